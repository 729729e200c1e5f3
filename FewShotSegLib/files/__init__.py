"""Volumes in files: reading, writing, and the segments in the header of a `.seg.nrrd`."""
