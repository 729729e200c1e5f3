"""Fixtures for tests of the module: Slicer's own MRML, with stand-ins for what needs the application."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from loop_fixtures import loop  # noqa: F401
from standin.qt_fixtures import empty_panel, painted_panel, panel, slicer_with_qt  # noqa: F401
from standin.run_fixtures import finished_panel, ready_panel, results  # noqa: F401


@pytest.fixture(scope="session")
def installed_slicer() -> Any:
    """The module `slicer`, complete as far as no Qt is needed."""
    pytest.importorskip("slicer")
    from standin.install import install

    return install()


@pytest.fixture
def slicer(installed_slicer: Any) -> Iterator[Any]:
    """The module `slicer` with an empty scene."""
    from standin.safety import SceneGuard, takeReports

    installed_slicer.mrmlScene.Clear(1)
    # In the application it is always there.
    installed_slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(installed_slicer.mrmlScene)
    takeReports()
    guard = SceneGuard(installed_slicer.mrmlScene)
    yield installed_slicer
    guard.stop()
    installed_slicer.mrmlScene.Clear(1)
    dangers = takeReports()
    assert not dangers, dangers
