"""Starting from a segmentation that is there already, and the report as a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nodes import add_segmentation, add_volume, box

LIVER, SPLEEN = box(slice(1, 6), slice(4, 9), slice(4, 9)), box(slice(2, 5), slice(12, 18), slice(10, 15))


@pytest.fixture
def logic(slicer: Any) -> Any:
    from FewShotSegModule.logic import FewShotSegLogic

    made = FewShotSegLogic()
    yield made
    made.removeObservers()
    made.shutdown()


@pytest.fixture
def nodes(slicer: Any) -> tuple[Any, Any]:
    volume = add_volume(slicer, "scan")
    return volume, add_segmentation(slicer, volume, {"liver": LIVER, "spleen": SPLEEN})


def test_a_segmentation_becomes_a_result_with_its_names_and_stays_as_it_is(logic: Any, nodes: tuple[Any, Any]) -> None:
    from FewShotSegModule.scene.painted import Painted

    volume, segmentation = nodes
    before = Painted(volume, segmentation).whole()
    result = logic.resultFrom(volume, segmentation)
    assert [structure.name for structure in result.structures] == ["liver", "spleen"]
    assert np.array_equal(result.labels == 1, LIVER)
    assert np.array_equal(result.labels == 2, SPLEEN)
    assert np.array_equal(Painted(volume, segmentation).whole(), before)


def test_a_segmentation_of_another_place_is_refused_by_name(logic: Any, slicer: Any, nodes: tuple[Any, Any]) -> None:
    from FewShotSegModule.scene.errors import SceneError

    volume, _ = nodes
    empty = add_segmentation(slicer, volume, {})
    with pytest.raises(SceneError, match="scan"):
        logic.resultFrom(volume, empty)


@pytest.mark.parametrize(("count", "expected"), [(3, [1, 3, 5]), (1, [3]), (50, [1, 2, 3, 4, 5])])
def test_slices_are_spread_over_what_is_segmented(nodes: tuple[Any, Any], count: int, expected: list[int]) -> None:
    from FewShotSegModule.scene.existing import spreadSlices

    volume, segmentation = nodes
    assert spreadSlices(volume, segmentation, count) == [(0, k) for k in expected]


def test_the_report_tells_sizes_painted_slices_and_what_is_doubtful_first(
    logic: Any, slicer: Any, nodes: tuple[Any, Any]
) -> None:
    from FewShotSegModule.scene.confidence import writeConfidence
    from FewShotSegModule.scene.example_slice import ExampleSlice
    from FewShotSegModule.scene.preview import makePreview

    volume, segmentation = nodes
    result = logic.resultFrom(volume, segmentation)
    result.confidence[SPLEEN] = 0.25
    preview = makePreview(volume, result)
    sure = writeConfidence(volume, result)
    rows = [ExampleSlice(volume, segmentation, 0, k) for k in (1, 3)]
    table = logic.reportOf(preview, sure, rows)
    content = table.GetTable()
    columns = {content.GetColumnName(n): n for n in range(content.GetNumberOfColumns())}
    rowsOf = {content.GetValue(n, 0).ToString(): n for n in range(content.GetNumberOfRows())}
    assert set(rowsOf) == {"liver", "spleen"}
    size = abs(np.linalg.det(_ijkToRas(volume)[:3, :3]))
    volumes = content.GetColumn(columns["Volume (ml)"])
    assert volumes.GetValue(rowsOf["liver"]) == pytest.approx(LIVER.sum() * size / 1000, abs=1e-3)
    painted = content.GetColumn(columns["Painted slices"])
    assert (painted.GetValue(rowsOf["liver"]), painted.GetValue(rowsOf["spleen"])) == (2, 1)
    assert rowsOf["spleen"] == 0, "the doubtful one comes first"


def _ijkToRas(volume: Any) -> np.ndarray:
    from FewShotSegModule.scene.geometry import ijkToRas

    return ijkToRas(volume)
