"""PythonQt's manners on top of PySide6: Qt properties are attributes, signals are connected by their C++ signature.

Slicer's Python sees Qt through PythonQt, for which code has to look otherwise than for PySide6: `button.enabled` is a
value there and a method here, `button.connect("clicked(bool)", slot)` exists there only. The generated classes are
strict where PythonQt is lenient or silent (a misspelt signal or property), so that a test fails and not the panel.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore

_generated: dict[type, type] = {}
_Object: Any = QtCore.QObject


def withManners(plain: Any) -> Any:
    """The subclass of a PySide6 class that behaves as PythonQt's; always the same one for the same class."""
    if plain not in _generated:
        _generated[plain] = type(plain.__name__, (Manners, plain), {"__module__": "qt"})
    return _generated[plain]


class Manners:
    """To be put before a QObject class in the list of bases."""

    #: C++ signatures that PySide6 knows under another name (vtk types are plain objects here), and the signal meant.
    cppSignals: dict[str, str] = {}  # noqa: RUF012  # overridden, never changed

    def __getattribute__(self, name: str) -> Any:
        if name in ("connect", "disconnect"):
            # PySide6 would answer with QObject's own ones, which are static and instance methods at once.
            return getattr(Manners, name).__get__(self)
        if name.startswith("_") or name not in propertyNames(type(self)):
            return super().__getattribute__(name)
        return _Object.property(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in propertyNames(type(self)):
            if type(value).__module__ == "numpy":
                raise TypeError(
                    f"PythonQt takes no {type(value).__name__} of numpy, as for {type(self).__name__}.{name}"
                )
            if not _Object.setProperty(self, name, list(value) if isinstance(value, tuple) else value):
                raise TypeError(f"{type(self).__name__}.{name} doesn't take {value!r}")
        elif name == "name":
            _Object.setObjectName(self, value)
        elif name.startswith("_") or hasattr(type(self), name) or type(self) not in _generated.values():
            super().__setattr__(name, value)
        else:
            # PythonQt doesn't let attributes be made up on a C++ object either.
            raise AttributeError(f"{type(self).__name__} has no property {name!r}")

    @property
    def name(self) -> str:
        return _Object.objectName(self)

    def className(self) -> str:
        return type(self).__name__

    def connect(self, signature: str, slot: Callable[..., Any]) -> bool:
        """Connects as PythonQt does: the slot gets no more arguments than it takes."""
        signal = self._signal(signature)
        adapter = _Slot(slot)
        connections = self.__dict__.setdefault("_connections", [])
        connections.append((signature, slot, adapter))
        signal.connect(adapter)
        return True

    def disconnect(self, signature: str, slot: Callable[..., Any] | None = None) -> bool:
        found = False
        connections = self.__dict__.setdefault("_connections", [])
        for entry in list(connections):
            if entry[0] == signature and slot in (None, entry[1]):
                self._signal(signature).disconnect(entry[2])
                connections.remove(entry)
                found = True
        return found

    def _signal(self, signature: str) -> Any:
        if signature in self.cppSignals:
            return getattr(self, self.cppSignals[signature])
        meta = _Object.metaObject(self)
        normalized = signature.replace(" ", "")
        if meta.indexOfSignal(normalized) < 0:
            raise ValueError(f"{type(self).__name__} has no signal {signature!r}")
        name, arguments = normalized[:-1].split("(", 1)
        signal = getattr(self, name)
        try:
            return signal[arguments] if arguments else signal
        except (IndexError, KeyError, TypeError):
            return signal


class _Slot:
    """Calls a function with as many arguments as it takes, as PythonQt's signal receivers do."""

    def __init__(self, slot: Callable[..., Any]) -> None:
        self._slot = slot
        self._count = _positionalCount(slot)

    def __call__(self, *arguments: Any) -> None:
        self._slot(*(arguments if self._count is None else arguments[: self._count]))


def _positionalCount(slot: Callable[..., Any]) -> int | None:
    """How many arguments a callable takes; None for any number."""
    try:
        parameters = inspect.signature(slot).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in positional for parameter in parameters)


_propertyNames: dict[type, frozenset[str]] = {}
#: Properties read by virtual functions: Qt itself looks these up here and needs the function.
_VIRTUAL = {"sizeHint", "minimumSizeHint"}


def propertyNames(cls: Any) -> frozenset[str]:
    """Names of a class's Qt properties."""
    if cls not in _propertyNames:
        meta = cls.staticMetaObject
        names = {meta.property(index).name() for index in range(meta.propertyCount())}
        _propertyNames[cls] = frozenset(names - _VIRTUAL)
    return _propertyNames[cls]
