"""Typed attributes that are kept in a scripted module's node, in the manner of Slicer's wrapper."""

from __future__ import annotations

import json
import typing
import weakref
from collections.abc import Callable, MutableSequence, Sequence
from typing import Any

import vtk

#: The dynamic property of a widget that says which attribute it shows.
SlicerParameterNamePropertyName = "SlicerParameterName"


class Default:
    """Annotation: the value of an attribute that was never set."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Validator:
    """Annotation: refuses values."""

    def validate(self, value: Any) -> None:
        raise NotImplementedError


class WithinRange(Validator):
    """Annotation: numbers from a minimum to a maximum."""

    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: Any) -> None:
        if value is not None and not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


class Choice(Validator):
    """Annotation: one of some values."""

    def __init__(self, choices: Any) -> None:
        self.choices = list(choices)

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"Value {value!r} is not in {self.choices}")


class KeptList(MutableSequence[Any]):
    """What is read from a list attribute: each change is kept at once; it can't be added to other lists."""

    def __init__(self, values: Sequence[Any], keep: Callable[[list[Any]], None]) -> None:
        self._values, self._keep = list(values), keep

    def __getitem__(self, index: Any) -> Any:
        return self._values[index]

    def __len__(self) -> int:
        return len(self._values)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._values[index] = value
        self._keep(self._values)

    def __delitem__(self, index: Any) -> None:
        del self._values[index]
        self._keep(self._values)

    def insert(self, index: int, value: Any) -> None:
        self._values.insert(index, value)
        self._keep(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list | KeptList) and self._values == list(other)

    __hash__ = None  # type: ignore[assignment]  # as lists


class Field:
    """One attribute: its type, default and validators, and how it is kept."""

    def __init__(self, name: str, hint: Any, given: Any) -> None:
        self.name = name
        annotations: tuple[Any, ...] = ()
        if typing.get_origin(hint) is typing.Annotated:
            hint, *rest = typing.get_args(hint)
            annotations = tuple(rest)
        self.kind = hint
        self.validators = [part for part in annotations if isinstance(part, Validator)]
        self.isNode = isinstance(hint, type) and hasattr(hint, "GetNodeTagName")
        if not self.isNode and (typing.get_origin(hint) or hint) not in (bool, int, float, str, list):
            raise TypeError(f"No way to keep {name}: {hint}")
        defaults = [part.value for part in annotations if isinstance(part, Default)]
        if given is not None:
            defaults.append(given)
        self.default = defaults[0] if defaults else None if self.isNode else (typing.get_origin(hint) or hint)()

    def read(self, node: Any) -> Any:
        """The value in a node; a missing one is written first."""
        if not node.HasParameter(self.name):
            self.write(node, self.default)
        if self.isNode:
            return node.GetNodeReference(self.name)
        value = json.loads(node.GetParameter(self.name))
        return KeptList(value, lambda values: self.write(node, values)) if isinstance(value, list) else value

    def write(self, node: Any, value: Any) -> None:
        """Checks a value and keeps it in a node."""
        if self.isNode:
            if value is not None and not isinstance(value, self.kind):
                raise TypeError(f"{self.name} takes {self.kind.__name__}, not {type(value).__name__}")
            node.SetParameter(self.name, "")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            return
        kind = typing.get_origin(self.kind) or self.kind
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if kind is list:
            value = list(value)
        if not isinstance(value, kind):
            raise TypeError(f"{self.name} takes {kind.__name__}, not {type(value).__name__}")
        for validator in self.validators:
            validator.validate(value)
        node.SetParameter(self.name, json.dumps(value))


class KeptValue:
    """An attribute's value in one node, as Slicer's wrapper remembers it: only a ModifiedEvent makes it look again."""

    def __init__(self, field: Field, node: Any) -> None:
        self._field, self._node = field, node
        self._writing = False
        self.value = field.read(node)
        here = weakref.ref(self)

        def modified(_caller: Any, _event: Any) -> None:
            kept = here()
            if kept is not None and not kept._writing:
                kept.value = field.read(node)

        self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, modified)

    def __del__(self) -> None:
        self._node.RemoveObserver(self._tag)

    def write(self, value: Any) -> None:
        """Keeps a value; who observes the node finds it remembered already."""
        self._writing = True
        before = self._node.StartModify()
        try:
            self._field.write(self._node, value)
            self.value = self._field.read(self._node)
        finally:
            self._node.EndModify(before)
            self._writing = False


class Connector:
    """The place where the Qt part puts what binds widgets to attributes.

    `connect(wrapper, gui)` gives a tag for `disconnect(wrapper, tag)`.
    """

    connect: Callable[[Any, Any], Any] | None = None
    disconnect: Callable[[Any, Any], None] | None = None


def parameterNodeWrapper(described: type) -> type:
    """Makes a class whose objects keep the described attributes in a vtkMRMLScriptedModuleNode."""
    fields = {
        name: Field(name, hint, getattr(described, name, None))
        for name, hint in typing.get_type_hints(described, include_extras=True).items()
    }

    def initialize(self: Any, parameterNode: Any) -> None:
        object.__setattr__(self, "parameterNode", parameterNode)
        object.__setattr__(self, "kept", {name: KeptValue(field, parameterNode) for name, field in fields.items()})

    def setAttribute(self: Any, name: str, value: Any) -> None:
        if name not in fields:
            raise AttributeError(f"{described.__name__} has no parameter {name}")
        self.kept[name].write(value)

    def connectGui(self: Any, gui: Any, _mapping: Any = None) -> Any:
        if Connector.connect is None:
            raise RuntimeError("The Qt part of the stand-in is not in place.")
        return Connector.connect(self, gui)

    def disconnectGui(self: Any, tag: Any) -> None:
        if Connector.disconnect is not None:
            Connector.disconnect(self, tag)

    members: dict[str, Any] = {
        **{name: _attribute(name) for name in fields},
        "__doc__": described.__doc__,
        "__init__": initialize,
        "__setattr__": setAttribute,
        "fields": fields,
        "connectGui": connectGui,
        "disconnectGui": disconnectGui,
        "AddObserver": lambda self, *rest: self.parameterNode.AddObserver(*rest),
        "RemoveObserver": lambda self, *rest: self.parameterNode.RemoveObserver(*rest),
        "Modified": lambda self: self.parameterNode.Modified(),
        "StartModify": lambda self: self.parameterNode.StartModify(),
        "EndModify": lambda self, before: self.parameterNode.EndModify(before),
    }
    return type(described.__name__, (), members)


def _attribute(name: str) -> property:
    return property(lambda self: self.kept[name].value)
