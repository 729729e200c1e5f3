"""One Python package that Slicer does not bring along."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass


@dataclass(frozen=True)
class Requirement:
    """A package, and the versions of it that do; knows whether it is there without importing it.

    Importing would take seconds (torch), and on Windows would lock files that an installation has to replace.

    Example:
        >>> Requirement("torch", "torch", ">=2.3,<3").accepts("2.10.0+cpu")
        True

    Attributes:
        distribution: Name for pip.
        module: Name for import.
        specifier: The versions that do, as pip understands them.
    """

    distribution: str
    module: str
    specifier: str

    def __str__(self) -> str:
        return self.distribution + self.specifier

    def installedVersion(self) -> str | None:
        """The version that pip knows of, suitable or not; None if it knows none."""
        # Something may have been installed since Python last looked.
        importlib.invalidate_caches()
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None

    def accepts(self, version: str) -> bool:
        """Whether a version is one of those that do; what is no version is none."""
        from packaging.specifiers import SpecifierSet  # comes with Slicer
        from packaging.version import InvalidVersion

        try:
            return SpecifierSet(self.specifier).contains(version, prereleases=True)
        except InvalidVersion:
            return False

    def isSatisfied(self) -> bool:
        """Whether a suitable version is installed and its module can be found."""
        version = self.installedVersion()
        return version is not None and self.accepts(version) and importlib.util.find_spec(self.module) is not None
