"""Fixtures of panels that ran the real engine; imported by conftest.py, so nothing here needs Qt before a test asks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


def dice(found: np.ndarray, expected: np.ndarray) -> float:
    return 2 * np.count_nonzero(found & expected) / (np.count_nonzero(found) + np.count_nonzero(expected))


def mask_of(panel: Any, segmentation: Any, name: str) -> np.ndarray:
    identifier = segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
    return panel.slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, identifier, panel.volume) > 0


@pytest.fixture
def ready_panel(painted_panel: Any) -> Any:
    """A panel with examples, which computes on the CPU, in the quality "fast" as without asking."""
    painted_panel.ui.deviceSelector.currentIndex = 1
    painted_panel.ui.addAllButton.click()
    assert painted_panel.ui.runButton.enabled, painted_panel.ui.runButton.toolTip
    return painted_panel


@pytest.fixture(scope="session")
def results() -> list[Any]:
    """Results of real runs: what follows a run needs only one of them."""
    return []


@pytest.fixture
def finished_panel(ready_panel: Any, results: list[Any]) -> Any:
    """A panel after a run of the real engine; after the first test, with the result that it had."""
    panel = ready_panel
    if not results:
        panel.ui.runButton.click()
        panel.waitFor(lambda: panel.ui.acceptButton.enabled)
        results.append(panel.widget.live.result)
    else:
        panel.widget.live.show(panel.volume, results[0])
    assert panel.ui.acceptButton.enabled
    return panel
