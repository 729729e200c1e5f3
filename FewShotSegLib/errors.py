"""Errors of the engine: every message says what was got, what was expected and what to do about it.

All of them derive from `FewShotSegError`, so an application can show any of them to its user by catching one type.
Where Python has a natural counterpart (`ValueError`, `OSError`, `RuntimeError`) they derive from it too.
"""

from __future__ import annotations


class FewShotSegError(Exception):
    """Base of all errors the engine raises on purpose."""


class VolumeError(FewShotSegError, ValueError):
    """A volume can't be used: not 3D, several values per voxel, NaN, one slice only, empty, complex numbers."""


class GeometryError(FewShotSegError, ValueError):
    """Two volumes that must share a grid (size, spacing, origin, direction) don't."""


class ExampleError(FewShotSegError, ValueError):
    """Examples can't be used: none, nothing painted, slice outside the volume, labels that are no labels."""


class ReadError(FewShotSegError, OSError):
    """A file is missing, unreadable, incomplete or of an unsupported format."""


class WriteError(FewShotSegError, OSError):
    """A file can't be written; nothing of it remains and an older file of that name is untouched."""


class WeightsError(FewShotSegError, RuntimeError):
    """The network's weights are missing, truncated or altered."""


class DeviceError(FewShotSegError, RuntimeError):
    """The device asked for doesn't exist on this machine or isn't known."""


class SettingError(FewShotSegError, ValueError):
    """A setting lies outside what it may be."""


class Cancelled(FewShotSegError):
    """The work was stopped on request, usually by the progress callback raising this; there is no result."""
