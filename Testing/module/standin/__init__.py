"""Original stand-ins for the parts of Slicer that its Python package without an application lacks."""
