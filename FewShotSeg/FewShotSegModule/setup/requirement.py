"""One Python package that Slicer does not bring along."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Requirement:
    """A package, and the versions of it that do; knows whether it is there without importing it.

    Importing would take seconds (torch), and on Windows would lock files that an installation has to replace.

    Example:
        >>> Requirement("torch", "torch", minimum="2.3", below="3").specifier
        '>=2.3,<3'

    Attributes:
        distribution: Name for pip.
        module: Name for import.
        minimum: Oldest version that does.
        below: First version that no longer does, or "" for none.
    """

    distribution: str
    module: str
    minimum: str
    below: str = ""

    @property
    def specifier(self) -> str:
        """The versions, as pip understands them."""
        return f">={self.minimum}" + (f",<{self.below}" if self.below else "")

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
        """Whether a version is one of those that do."""
        release = _release(version)
        return _release(self.minimum) <= release and (not self.below or release < _release(self.below))

    def isSatisfied(self) -> bool:
        """Whether a suitable version is installed and its module can be found."""
        version = self.installedVersion()
        return version is not None and self.accepts(version) and importlib.util.find_spec(self.module) is not None


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version without trailing zeros: "2.10.0+cpu" is (2, 10)."""
    numbers = re.match(r"\d+(?:\.\d+)*", version)
    parts = [int(part) for part in numbers.group().split(".")] if numbers else []
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)
