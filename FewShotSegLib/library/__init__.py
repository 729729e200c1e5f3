"""Example libraries: painted slices of some patients, kept in a folder or one file, that serve other patients."""

from FewShotSegLib.library.entry import Entry, LibrarySegment, PaintedSlice
from FewShotSegLib.library.library import Library

__all__ = ["Entry", "Library", "LibrarySegment", "PaintedSlice"]
