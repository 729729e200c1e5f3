"""Importing the module needs nothing that Slicer doesn't bring along, and installs, opens or computes nothing."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

OWN = ("FewShotSegLib", "FewShotSegModule")
#: What reviewers of the Extensions Index accept at file scope beside Python's own; Qt is part of the application.
IN_SLICER = {"ctk", "numpy", "qt", "scipy", "SegmentEditorEffects", "SimpleITK", "slicer", "vtk", "vtkmodules"}
#: What may be brought into the application only on a click.
ON_DEMAND = {"PyTorchUtils", "SampleData", "safetensors", "torch"}


def file_scope(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """All statements that run when a file is imported: not those of functions, nor what only type checkers read."""
    for statement in statements:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            yield from file_scope(statement.orelse)
            continue
        yield statement
        for field in ("body", "orelse", "finalbody"):
            yield from file_scope(getattr(statement, field, []))
        for handler in getattr(statement, "handlers", []):
            yield from file_scope(handler.body)


def imports(file: Path) -> set[str]:
    """Dotted names of what a file imports at file scope; for "from a import b" both a and a.b."""
    names: set[str] = set()
    for statement in file_scope(ast.parse(file.read_text(encoding="utf-8")).body):
        if isinstance(statement, ast.Import):
            names |= {alias.name for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            assert not statement.level, f"{file}: relative imports do not survive Slicer's reloading"
            names |= {str(statement.module)} | {f"{statement.module}.{alias.name}" for alias in statement.names}
    return names


def files_of(name: str, repository: Path) -> Iterator[Path]:
    """The files that run when one of the project's own modules is imported."""
    top = repository / "FewShotSeg" if name.startswith("FewShotSegModule") else repository
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        path = top.joinpath(*parts[:count])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                yield file


def module_files(repository: Path) -> list[Path]:
    return [file for file in (repository / "FewShotSeg").rglob("*.py") if "__pycache__" not in file.parts]


def test_the_module_and_what_it_imports_need_only_what_slicer_brings_along(repository: Path) -> None:
    waiting, seen = module_files(repository), set()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        for name in imports(file):
            top = name.split(".")[0]
            if top in OWN:
                waiting.extend(files_of(name, repository))
            else:
                allowed = top in IN_SLICER or top in sys.stdlib_module_names
                assert allowed, f"{file.relative_to(repository)} imports {name} at file scope"


def test_packages_that_come_on_a_click_are_imported_in_functions_only(repository: Path) -> None:
    found = set()
    for file in module_files(repository):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(str(node.module).split(".")[0])
        assert not {name.split(".")[0] for name in imports(file)} & ON_DEMAND, file
    # The check above is about something: these are imported, only later.
    assert {"PyTorchUtils", "SampleData"} <= found


@pytest.mark.parametrize("call", ["pip_install", "pip_ensure", "installTorch", "ensureWithConsent", "installMissing"])
def test_nothing_is_installed_at_file_scope(repository: Path, call: str) -> None:
    for file in module_files(repository):
        for statement in file_scope(ast.parse(file.read_text(encoding="utf-8")).body):
            if isinstance(statement, ast.Expr | ast.Assign):
                assert call not in ast.unparse(statement), f"{file.relative_to(repository)}: {ast.unparse(statement)}"
