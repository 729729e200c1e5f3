"""The shell command `fewshotseg`: finds the subcommand, runs it and turns errors into messages and exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from FewShotSegLib import __version__, threads
from FewShotSegLib.errors import Cancelled, FewShotSegError
from FewShotSegLib.memory import is_out_of_memory
from FewShotSegLib.terminal import open_standard_streams, say

EXIT_FINE, EXIT_FAILED, EXIT_USAGE, EXIT_CANCELLED = 0, 1, 2, 130

_NO_MEMORY = (
    "there is not enough memory for this volume; close other programs or segment a smaller part of it (where a "
    "graphics card has too little, --device cpu helps)"
)

_EPILOG = """\
examples:
  fewshotseg segment ct.nii.gz --example ct.nii.gz painted.seg.nrrd --output all.seg.nrrd
  fewshotseg segment --help

exit codes:
  0 done    1 the work failed (the message says why)    2 wrong usage    130 stopped with Ctrl-C
"""


@dataclass(frozen=True)
class Command:
    """A subcommand; its module has `add_arguments(parser)` and `run(args) -> int` and is loaded only when it is used.

    Attributes:
        module: Name of that module.
        help: One line for `fewshotseg --help`.
        extra: Which extra of the package it needs ("training"), or "" for none.
    """

    module: str
    help: str
    extra: str = ""


COMMANDS = {
    "segment": Command("FewShotSegLib.segment_command", "segment a volume from a few painted slices"),
    "library": Command("FewShotSegLib.library.command", "keep painted slices of patients for others"),
    "cohort": Command("FewShotSegLib.cohort.command", "segment many patients' volumes from a library", "cohort"),
    "train": Command("FewShotSegLib.training.command", "train the network", "training"),
    "benchmark": Command("FewShotSegLib.evaluation.command", "measure the engine on labelled volumes", "evaluation"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `fewshotseg`.

    Args:
        argv: Arguments without the program's name; those of the process if None.

    Returns:
        Exit code: 0 done, 1 the work failed, 2 wrong usage, 130 stopped with Ctrl-C.
    """
    threads.prepare()  # before a command's module loads numpy and torch
    open_standard_streams()
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    finally:
        say("", sys.stdout)  # so that what can't be written any more is dropped here, and not complained of at the end


def _run(arguments: list[str]) -> int:
    chosen = next((argument for argument in arguments if not argument.startswith("-")), "")
    command = COMMANDS.get(chosen, Command("", ""))
    try:
        args = _parser(chosen).parse_args(arguments)
        return int(import_module(command.module).run(args))
    except SystemExit as stop:  # argparse has said what is wrong, or has shown the help
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    except (KeyboardInterrupt, Cancelled):
        return _fail("stopped before the end", EXIT_CANCELLED)
    except FewShotSegError as error:
        return _fail(_NO_MEMORY if is_out_of_memory(error) else str(error))
    except ModuleNotFoundError as error:
        return _fail(_missing_module(error, chosen, command))
    except Exception as error:
        if is_out_of_memory(error):
            return _fail(_NO_MEMORY)
        if isinstance(error, OSError):  # of whatever was needed, the working folder itself, for instance
            return _fail(f"the system refused something that was needed: {error}; check disks, folders and permissions")
        raise


def _parser(chosen: str) -> argparse.ArgumentParser:
    """The parser; only the chosen command's arguments are added, so that other commands' modules aren't loaded."""
    parser = argparse.ArgumentParser(
        prog="fewshotseg",
        description="Few-shot segmentation of 3D medical volumes: paint a few slices, get the volume.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fewshotseg {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        subparser = commands.add_parser(
            name, help=command.help, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )
        if name == chosen:
            import_module(command.module).add_arguments(subparser)
    return parser


def _fail(message: str, code: int = EXIT_FAILED) -> int:
    say(f"fewshotseg: {message}\n", sys.stderr)
    return code


def _missing_module(error: ModuleNotFoundError, name: str, command: Command) -> str:
    """What to do about a module that isn't there."""
    missing = error.name or str(error)
    if missing.partition(".")[0] == "FewShotSegLib":
        return f"'{name}' is not part of this installation ({missing} is missing); install the whole package"
    package = f'"fewshotseg[{command.extra}]"' if command.extra else "fewshotseg"
    return f"'{name}' needs the Python package {missing}, which is not installed; run: pip install {package}"
