"""How examples are named on the command line: `--example` with the options that follow it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from FewShotSegLib.example import Example
from FewShotSegLib.volume import AXIS_NAMES, Volume


@dataclass
class ExampleArgument:
    """One `--example` with the options that follow it; title and origin only where it goes into a library."""

    image: str
    labelmap: str
    slices: list[int] | None = None
    axis: int | None = None
    complete: Literal["all"] | frozenset[int] | None = None
    background: int | None = None
    title: str | None = None
    origin: str | None = None


class _AddExample(argparse.Action):
    """Starts a new example."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        image, labelmap = values
        examples = [*(getattr(namespace, self.dest) or []), ExampleArgument(image, labelmap)]
        setattr(namespace, self.dest, examples)


class _SetOnExample(argparse.Action):
    """Sets a field, named like the option, of the example given just before."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        if not namespace.examples:
            parser.error(f"{option} must follow the --example it belongs to")
        if getattr(namespace.examples[-1], self.dest) is not None:
            parser.error(f"{option} is given twice for one --example; repeat --example for another axis")
        setattr(namespace.examples[-1], self.dest, values)


class Reader:
    """Reads every file once, by whatever path it is named."""

    def __init__(self) -> None:
        self._volumes: dict[str, Volume] = {}

    def __call__(self, path: str) -> Volume:
        """The volume; ReadError or VolumeError as `Volume.read` raises them."""
        identity = identity_of(path)
        if identity not in self._volumes:
            self._volumes[identity] = Volume.read(path)
        return self._volumes[identity]


def add_example_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Adds `--example`, what may follow it, and `--names`; they set `examples` and `names`."""
    parser.add_argument(
        "--example", dest="examples", nargs=2, metavar=("IMAGE", "LABELMAP"), action=_AddExample,
        default=[], required=required,
        help="an image and a labelmap on its grid; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--slices", type=_whole_numbers, metavar="12,20", action=_SetOnExample, default=argparse.SUPPRESS,
        help="which slices of the preceding example are painted (default: all that hold a label)",
    )  # fmt: skip
    parser.add_argument(
        "--axis", type=_axis, metavar="k", action=_SetOnExample, default=argparse.SUPPRESS,
        help="axis across the slices of the preceding example: k (the default, the file's slowest), j, i or 0, 1, 2",
    )  # fmt: skip
    parser.add_argument(
        "--complete", type=_complete, metavar="all|none|1,2", action=_SetOnExample, default=argparse.SUPPRESS,
        help="labels that are painted completely on the slices of the preceding example; none: strokes, nothing but "
        "the painted pixels is known (default: it is found out)",
    )  # fmt: skip
    parser.add_argument(
        "--background", type=int, metavar="LABEL", action=_SetOnExample, default=argparse.SUPPRESS,
        help="the label of the preceding example that is painted where none of the structures is",
    )  # fmt: skip
    parser.add_argument(
        "--names", type=_names, metavar="1=liver,2=spleen", default={}, help="names of labels, for files without names"
    )


def add_to_example(parser: argparse.ArgumentParser, option: str, metavar: str, text: str) -> None:
    """Adds an option with a text that belongs to the preceding `--example`, a field of `ExampleArgument`."""
    parser.add_argument(option, metavar=metavar, action=_SetOnExample, default=argparse.SUPPRESS, help=text)


def read_examples(
    arguments: Sequence[ExampleArgument], names: dict[int, str], read: Callable[[str], Volume]
) -> list[Example]:
    """Reads images and labelmaps, and takes the slices that the arguments name.

    Args:
        arguments: In the order given.
        names: By label value, for files without names.
        read: Reads a file; see `Reader`.

    Raises:
        ReadError: A file can't be read.
        FewShotSegError: As `Example.from_labelmap` raises them.
    """
    examples: list[Example] = []
    for argument in arguments:
        image, labelmap = read(argument.image), read(argument.labelmap)
        examples += Example.from_labelmap(
            image, labelmap, argument.slices, argument.axis or 0, names, argument.complete, argument.background
        )
    return examples


def identity_of(path: str) -> str:
    """The same text for every way to write a path."""
    try:
        identity = os.path.normcase(os.path.realpath(path))
    except (OSError, ValueError):  # no such path can be: the message about that comes from whoever uses it
        return path
    return identity.casefold() if sys.platform == "darwin" else identity


def _whole_numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no list of slices, expected whole numbers such as 12,20"
        ) from None


def _complete(text: str) -> Literal["all"] | frozenset[int]:
    if text == "all":
        return "all"
    try:
        return frozenset(int(part) for part in text.split(",")) if text != "none" else frozenset()
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"'{text}' names no complete structures, expected all, none or labels such as 1,2"
        ) from None


def _axis(text: str) -> int:
    for axis, name in enumerate(AXIS_NAMES):
        if text.lower() in (name, str(axis)):
            return axis
    raise argparse.ArgumentTypeError(f"'{text}' is no axis, expected k, j, i or 0, 1, 2")


def _names(text: str) -> dict[int, str]:
    names = {}
    for part in text.split(","):
        value, _, name = part.partition("=")
        if not value.strip().isdigit() or not name.strip():
            raise argparse.ArgumentTypeError(f"'{part}' names no label, expected something like 1=liver,2=spleen")
        names[int(value)] = name.strip()
    return names
