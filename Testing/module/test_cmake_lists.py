"""What the CMake lists package: everything that the module needs, nothing that isn't there."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cmake_files import commands, variables

#: Folders of the engine that the package leaves out; FewShotSegLib/CMakeLists.txt says why.
LEFT_OUT = {"demo", "evaluation", "training"}
FOLDERS = ["FewShotSeg", "FewShotSegLib"]


def files_to_package(folder: Path) -> set[str]:
    """Everything in the folder that belongs into the package, relative to it."""
    found = set()
    for file in folder.rglob("*"):
        path = file.relative_to(folder)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in path.parts)
        if file.is_file() and not hidden and path.name != "CMakeLists.txt":
            found.add(path.as_posix())
    return found if folder.name == "FewShotSeg" else {path for path in found if path.split("/")[0] not in LEFT_OUT}


def packaged(repository: Path) -> dict[str, Path]:
    """Path in the package to the file that is listed for it."""
    inside: dict[str, Path] = {}
    for name in FOLDERS:
        lists = variables(repository / name / "CMakeLists.txt")
        prefix = "" if name == "FewShotSeg" else f"{name}/"
        for path in lists["MODULE_PYTHON_SCRIPTS"] + lists["MODULE_PYTHON_RESOURCES"]:
            inside[prefix + path] = repository / name / path
        for path in lists.get("SAMPLE_DATA", []):
            inside[f"Resources/SampleData/{path}"] = repository / "Resources" / "SampleData" / path
    return inside


@pytest.mark.parametrize("name", FOLDERS)
def test_every_file_is_listed_and_every_listed_file_is_there(repository: Path, name: str) -> None:
    lists = variables(repository / name / "CMakeLists.txt")
    there = files_to_package(repository / name)
    complaints = []
    for variable, is_script in (("MODULE_PYTHON_SCRIPTS", True), ("MODULE_PYTHON_RESOURCES", False)):
        wanted = {path for path in there if path.endswith(".py") == is_script}
        listed = lists[variable]
        assert len(set(listed)) == len(listed), f"{name}/CMakeLists.txt lists something twice in {variable}"
        for action, paths in (("add to", wanted - set(listed)), ("remove from", set(listed) - wanted)):
            if paths:
                lines = "\n".join(f"  {path}" for path in sorted(paths))
                complaints.append(f"In {name}/CMakeLists.txt, {action} {variable}:\n{lines}")
    assert not complaints, "\n\n" + "\n\n".join(complaints)


def test_the_sample_scan_with_its_licence_is_packaged(repository: Path) -> None:
    listed = variables(repository / "FewShotSeg" / "CMakeLists.txt")["SAMPLE_DATA"]
    assert set(listed) == {file.name for file in (repository / "Resources" / "SampleData").iterdir()}


def test_the_extension_builds_both_folders(repository: Path) -> None:
    built = [arguments[0] for name, arguments in commands(repository / "CMakeLists.txt") if name == "add_subdirectory"]
    assert sorted(built) == sorted(FOLDERS)


@pytest.mark.parametrize("name", FOLDERS)
def test_each_folder_hands_its_lists_to_slicers_macro(repository: Path, name: str) -> None:
    (arguments,) = [
        arguments
        for command, arguments in commands(repository / name / "CMakeLists.txt")
        if command == "slicerMacroBuildScriptedModule"
    ]
    assert arguments[:6] == [
        "NAME", "${MODULE_NAME}", "SCRIPTS", "${MODULE_PYTHON_SCRIPTS}", "RESOURCES", "${MODULE_PYTHON_RESOURCES}"
    ]  # fmt: skip
    # The engine becomes a folder beside the module; the module itself lies at the top, where Slicer looks for it.
    assert arguments[6:] == (["WITH_SUBDIR"] if name == "FewShotSegLib" else ["WITH_GENERIC_TESTS"])
    assert variables(repository / name / "CMakeLists.txt")["MODULE_NAME"] == [name]


def test_the_self_test_runs_with_the_builds_tests(repository: Path) -> None:
    listed = commands(repository / "FewShotSeg" / "CMakeLists.txt")
    assert ("slicer_add_python_unittest", ["SCRIPT", "${MODULE_NAME}.py"]) in listed
    assert "FewShotSeg.py" in variables(repository / "FewShotSeg" / "CMakeLists.txt")["MODULE_PYTHON_SCRIPTS"]


def test_nothing_packaged_needs_what_is_left_out(repository: Path) -> None:
    for file in packaged(repository).values():
        if file.suffix != ".py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                assert not name.startswith(tuple(f"FewShotSegLib.{part}" for part in LEFT_OUT)), f"{file}: {name}"


def test_the_packaged_engine_runs_without_the_repository(repository: Path, tmp_path: Path) -> None:
    inside = packaged(repository)
    for path, file in inside.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, tmp_path / path)
    modules = [
        path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in inside
        if path.startswith("FewShotSegLib/") and path.endswith(".py") and not path.endswith("__main__.py")
    ]
    script = f"""
import importlib, pathlib, sys
sys.path.insert(0, {str(tmp_path)!r})
for name in {modules!r}:
    module = importlib.import_module(name)
    assert pathlib.Path(module.__file__).is_relative_to({str(tmp_path)!r}), module.__file__
from FewShotSegLib.volume import Volume
from FewShotSegLib.weights import load_network
load_network()
print(Volume.read("Resources/SampleData/AbdomenCT.nii.gz").array.shape)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(112, 101, 122)"
