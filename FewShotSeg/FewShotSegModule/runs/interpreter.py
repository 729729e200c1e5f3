"""How to start Python in a process of its own."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import slicer
from slicer.i18n import tr as _

import FewShotSegLib
from FewShotSegModule.runs.errors import RunError


def pythonExecutable() -> str:
    """The interpreter that has the engine's packages: in Slicer its PythonSlicer, elsewhere the one that runs now.

    :raises RunError: It can't be found.
    """
    name = "PythonSlicer.exe" if os.name == "nt" else "PythonSlicer"
    home = getattr(getattr(slicer, "app", None), "slicerHome", None)
    if home:
        beside = Path(home) / "bin" / name
        found = str(beside) if beside.is_file() else shutil.which("PythonSlicer")
        if found:
            return found
    # In Slicer, sys.executable is the application itself.
    if Path(sys.executable or "").stem.lower().startswith("python"):
        return sys.executable
    raise RunError(_("PythonSlicer was not found beside the application; is the installation of Slicer complete?"))


def engineFolder() -> Path:
    """The folder that has the engine's package in it."""
    return Path(FewShotSegLib.__file__).resolve().parents[1]


def environment() -> dict[str, str]:
    """The environment in which that interpreter finds the engine where this process found it."""
    variables = dict(os.environ)
    engine = str(engineFolder())
    before = variables.get("PYTHONPATH")
    variables["PYTHONPATH"] = os.pathsep.join([engine, before] if before else [engine])
    variables["PYTHONIOENCODING"] = "utf-8"
    return variables
