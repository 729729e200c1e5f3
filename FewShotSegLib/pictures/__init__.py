"""Small pictures of slices, drawn with numpy alone."""
