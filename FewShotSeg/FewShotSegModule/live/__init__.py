"""The loop: somebody paints, and the segmentation of the volume follows."""
