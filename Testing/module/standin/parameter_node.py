"""Typed attributes that are kept in a scripted module's node, in the manner of Slicer's wrapper."""

from __future__ import annotations

import json
import typing
from collections.abc import Callable
from typing import Any


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

    def __get__(self, wrapper: Any, _owner: Any = None) -> Any:
        if wrapper is None:
            return self
        if self.isNode:
            return wrapper.parameterNode.GetNodeReference(self.name)
        text = wrapper.parameterNode.GetParameter(self.name)
        return json.loads(text) if text else self.default

    def __set__(self, wrapper: Any, value: Any) -> None:
        if self.isNode:
            if value is not None and not isinstance(value, self.kind):
                raise TypeError(f"{self.name} takes {self.kind.__name__}, not {type(value).__name__}")
            wrapper.parameterNode.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            return
        kind = typing.get_origin(self.kind) or self.kind
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind):
            raise TypeError(f"{self.name} takes {kind.__name__}, not {type(value).__name__}")
        for validator in self.validators:
            validator.validate(value)
        wrapper.parameterNode.SetParameter(self.name, json.dumps(value))


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
        for name, field in fields.items():
            if not field.isNode and not parameterNode.GetParameter(name):
                field.__set__(self, field.default)

    def setAttribute(self: Any, name: str, value: Any) -> None:
        if name not in fields:
            raise AttributeError(f"{described.__name__} has no parameter {name}")
        fields[name].__set__(self, value)

    def connectGui(self: Any, gui: Any, _mapping: Any = None) -> Any:
        if Connector.connect is None:
            raise RuntimeError("The Qt part of the stand-in is not in place.")
        return Connector.connect(self, gui)

    def disconnectGui(self: Any, tag: Any) -> None:
        if Connector.disconnect is not None:
            Connector.disconnect(self, tag)

    members: dict[str, Any] = {
        **fields,
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
