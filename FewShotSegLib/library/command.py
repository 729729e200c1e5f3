"""`fewshotseg library`: makes a library of examples, shows what is in it, and changes it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from FewShotSegLib.errors import WriteError
from FewShotSegLib.example_arguments import Reader, add_example_arguments, add_to_example, read_examples
from FewShotSegLib.files.outputs import check_page_writable, write_page
from FewShotSegLib.library.library import Library
from FewShotSegLib.library.page import library_page, lines_of
from FewShotSegLib.library.saving import check_savable
from FewShotSegLib.terminal import Warnings, say

_DESCRIPTION = """\
Keeps painted slices of patients, with their scans, in a folder or one .zip file, to segment other patients with.

A structure is told by its name: "liver" is the same structure in all libraries, whatever its value. No file name, path,
patient's name or DICOM field goes into a library; voxels, their geometry and what you type do.
"""

_EPILOG = """\
examples:
  Two patients, of one of them coronal slices too:
    fewshotseg library create livers.zip --example a.nii.gz a.seg.nrrd --example b.nii.gz b.seg.nrrd --slices 12,20 \\
        --example b.nii.gz b.seg.nrrd --axis j --slices 80

  What is in it, and pictures:
    fewshotseg library show livers.zip --html livers.html

  Segment somebody else with it:
    fewshotseg segment ct.nii.gz --library livers.zip --output all.seg.nrrd

A LIB that ends in .zip is one file, any other a folder. It is written whole or not at all. `fewshotseg library create
--help` tells of the options for examples.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `library`."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)

    def add(name: str, action: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        subparser = actions.add_parser(name, help=text, description=text + ".", allow_abbrev=False)
        subparser.add_argument("library", metavar="LIB", help="a folder, or a file that ends in .zip")
        subparser.set_defaults(do=action)
        return subparser

    for name, action, text in (
        ("create", _create, "make a new library of painted slices"),
        ("add", _add, "add painted slices to a library"),
    ):
        with_examples = add(name, action, text)
        add_example_arguments(with_examples)
        add_to_example(with_examples, "--title", "TEXT", "what to call the preceding example's scan, not 'scan 1'")
        add_to_example(with_examples, "--origin", "TEXT", "a note on where the preceding example's scan comes from")
    show = add("show", _show, "show what is in a library")
    show.add_argument("--html", metavar="FILE.html", help="a page to write, with a picture of each scan")
    show.add_argument("--check", action="store_true", help="read all scans, to find damage, and print the fingerprint")
    rename = add("rename", _rename, "give a structure another name; if another one has it, the two become one")
    rename.add_argument("old", metavar="OLD", help="its name now")
    rename.add_argument("new", metavar="NEW", help="its name from now on")
    remove = add("remove", _remove, "remove scans with their painted slices")
    remove.add_argument("entries", metavar="ENTRY", nargs="+", help="as `show` lists them: scan-1")
    merge = add("merge", _merge, "add all that other libraries hold")
    merge.add_argument("others", metavar="OTHER", nargs="+", help="libraries, which stay as they are")


def run(args: argparse.Namespace) -> int:
    """Does the work of `library`; errors are raised as FewShotSegError."""
    package, shown = logging.getLogger("FewShotSegLib"), Warnings()
    package.addHandler(shown)
    try:
        args.do(args)
    finally:
        package.removeHandler(shown)
    return 0


def _create(args: argparse.Namespace) -> None:
    if args.library and os.path.lexists(args.library):
        raise WriteError(f"{args.library} is there already, expected a new name; `add` adds to a library.")
    if args.library:
        check_savable(Path(args.library).absolute())
    _add_examples(Library(), args)


def _add(args: argparse.Namespace) -> None:
    _add_examples(_open_to_change(args), args)


def _add_examples(library: Library, args: argparse.Namespace) -> None:
    read = Reader()
    for argument in args.examples:
        examples = read_examples([argument], args.names, read)
        library.add(examples, origin=argument.origin or "", title=argument.title or "")
    _save(library, args)


def _show(args: argparse.Namespace) -> None:
    if args.html is not None:
        check_page_writable(args.html)
    library = Library.open(args.library)
    for line in lines_of(library):
        say(line + "\n", sys.stdout)
    if args.check:
        say(f"\nfingerprint: {library.fingerprint}\n", sys.stdout)
    if args.html is not None:
        write_page(args.html, library_page(library, Path(args.library).stem))
        say(f"written: {args.html}\n", sys.stdout)


def _rename(args: argparse.Namespace) -> None:
    library = _open_to_change(args)
    library.rename(args.old, args.new)
    _save(library, args)


def _remove(args: argparse.Namespace) -> None:
    library = _open_to_change(args)
    for entry in dict.fromkeys(args.entries):
        library.remove(entry)
    _save(library, args)


def _merge(args: argparse.Namespace) -> None:
    library = _open_to_change(args)
    for other in args.others:
        library.merge(Library.open(other))
    _save(library, args)


def _open_to_change(args: argparse.Namespace) -> Library:
    """The library; an error before the work if it couldn't be saved again."""
    library = Library.open(args.library)
    check_savable(Path(args.library).absolute())
    return library


def _save(library: Library, args: argparse.Namespace) -> None:
    library.save(args.library)
    slices = sum(len(entry.slices) for entry in library.entries)
    say(f"written: {args.library}, {len(library.entries)} scans with {slices} painted slices\n", sys.stdout)
