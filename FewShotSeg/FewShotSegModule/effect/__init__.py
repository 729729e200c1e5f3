"""The Segment Editor effect "Segment from examples"."""
