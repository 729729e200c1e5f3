"""The public interface: examples in, labels and confidence out.

Promises that hold whatever the network has learned are tested with random weights, the others with the bundled ones.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from two_balls import NAMES, dice, two_balls

from FewShotSegLib.errors import Cancelled
from FewShotSegLib.example import Example
from FewShotSegLib.network.config import NetworkConfig
from FewShotSegLib.network.model import FewShotNetwork
from FewShotSegLib.quality import QUALITIES
from FewShotSegLib.result import Result
from FewShotSegLib.segmenter import Segmenter
from FewShotSegLib.stages import Stage
from FewShotSegLib.volume import Volume
from FewShotSegLib.weights import BUNDLED, save_network

needs_weights = pytest.mark.skipif(not BUNDLED.is_file(), reason="the bundled weights are not in this checkout yet")


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    """A segmenter with random weights."""
    torch.manual_seed(0)
    config = NetworkConfig(mid_channels=16, high_channels=24)
    network = FewShotNetwork(config)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    path: Path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_network(network.state_dict(), config, path, {})
    return Segmenter(device="cpu", weights=path)


@pytest.fixture(scope="module")
def trained() -> Segmenter:
    """A segmenter with the bundled weights."""
    return Segmenter(device="cpu")


def flipped(volume: Volume, axis: int) -> Volume:
    """The same scan, stored the other way round along an array axis: voxels keep their place in the patient."""
    direction = np.reshape(volume.direction, (3, 3)).copy()
    column = 2 - axis
    length = (volume.shape[axis] - 1) * volume.spacing[column]
    origin = np.add(volume.origin, direction[:, column] * length)
    direction[:, column] *= -1
    return Volume.from_array(
        np.ascontiguousarray(np.flip(volume.array, axis)),
        volume.spacing,
        tuple(origin),
        tuple(direction.ravel()),
        volume.names,
        volume.colors,
        volume.name,
    )


def turned(volume: Volume, degrees: float) -> Volume:
    """The volume with its grid turned about two axes in the patient."""
    a = np.radians(degrees)
    c, s = np.cos(a), np.sin(a)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    direction = turn @ np.reshape(volume.direction, (3, 3))
    return Volume.from_array(
        volume.array, volume.spacing, volume.origin, tuple(direction.ravel()), volume.names, volume.colors, volume.name
    )


def assert_sound(result: Result, query: Volume) -> None:
    assert result.labelmap.same_grid(query)
    assert result.confidence.same_grid(query)
    assert result.labelmap.array.dtype.kind == "u"
    assert set(np.unique(result.labelmap.array)) <= {0, *NAMES}
    assert result.confidence.array.dtype == np.float32
    assert result.confidence.array.min() >= 0
    assert result.confidence.array.max() <= 1.0001


# What is promised whatever the weights


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_painted_slices_come_back_exactly_along_every_axis(segmenter: Segmenter, axis: int) -> None:
    image, labels = two_balls()
    middle = image.shape[axis] // 2
    slices = [middle - 2, middle + 2]
    examples = Example.from_labelmap(image, labels, slices, axis, complete="all")
    result = segmenter.segment(image, examples, quality="best")
    assert_sound(result, image)
    for index in slices:
        np.testing.assert_array_equal(
            result.labelmap.array.take(index, axis), labels.array.take(index, axis), err_msg=f"slice {index}"
        )
        assert (result.confidence.array.take(index, axis) == 1).all()


def test_painted_slices_of_several_axes_come_back_exactly(segmenter: Segmenter) -> None:
    image, labels = two_balls()
    examples = Example.from_labelmap(image, labels, [7, 9], complete="all")
    examples += Example.from_labelmap(image, labels, [20], axis=2, complete="all")
    found = segmenter.segment(image, examples).labelmap.array
    np.testing.assert_array_equal(found[[7, 9]], labels.array[[7, 9]])
    np.testing.assert_array_equal(found[..., 20], labels.array[..., 20])


def test_label_values_names_and_colours_are_those_of_the_examples(segmenter: Segmenter) -> None:
    image, labels = two_balls()
    result = segmenter.segment(image, Example.from_labelmap(image, labels, [7, 9]))
    assert result.labelmap.names == NAMES
    assert result.labelmap.colors == {3: (1.0, 0.5, 0.0)}
    large = image.with_array(labels.array.astype(np.int32) * 100, names={300: "a", 20000: "b"})
    result = segmenter.segment(image, Example.from_labelmap(image, large, [7, 9]))
    assert {300, 20000} <= set(np.unique(result.labelmap.array)) <= {0, 300, 20000}
    assert result.labelmap.names == {300: "a", 20000: "b"}


def test_the_same_input_gives_the_same_output(segmenter: Segmenter) -> None:
    image, labels = two_balls()
    one, other = (segmenter.segment(image, Example.from_labelmap(image, labels, [7, 9])) for _ in range(2))
    np.testing.assert_array_equal(one.labelmap.array, other.labelmap.array)
    np.testing.assert_array_equal(one.confidence.array, other.confidence.array)


def test_a_copy_of_the_query_is_the_query(segmenter: Segmenter) -> None:
    image, labels = two_balls()
    copy = image.with_array(image.array.copy())
    direct = segmenter.segment(image, Example.from_labelmap(image, labels, [7, 9]))
    by_copy = segmenter.segment(image, Example.from_labelmap(copy, labels, [7, 9]))
    np.testing.assert_array_equal(direct.labelmap.array, by_copy.labelmap.array)


def test_neither_query_nor_examples_are_changed(segmenter: Segmenter) -> None:
    image, labels = two_balls()
    before = image.array.copy(), labels.array.copy()
    image.array.setflags(write=False)
    segmenter.segment(image, Example.from_labelmap(image, labels, [7, 9]))
    np.testing.assert_array_equal(image.array, before[0])
    np.testing.assert_array_equal(labels.array, before[1])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_integer_and_float_images_give_the_same(segmenter: Segmenter, dtype: type) -> None:
    image, labels = two_balls()
    whole = image.with_array(image.array.clip(0, 255).round())
    typed = image.with_array(whole.array.astype(dtype))
    plain, same = (segmenter.segment(v, Example.from_labelmap(v, labels, [7, 9])) for v in (whole, typed))
    assert_sound(same, typed)
    assert (plain.labelmap.array == same.labelmap.array).mean() > 0.999


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_how_another_volume_is_stored_makes_no_difference(segmenter: Segmenter, axis: int) -> None:
    query, _ = two_balls(seed=1)
    image, labels = two_balls()
    turned_over = Example.from_labelmap(
        flipped(image, axis), flipped(labels, axis), [image.shape[0] - 1 - 8 if axis == 0 else 8]
    )
    plain = segmenter.segment(query, Example.from_labelmap(image, labels, [8]))
    same = segmenter.segment(query, turned_over)
    np.testing.assert_array_equal(same.labelmap.array, plain.labelmap.array)


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((10, 90, 90), (0.4, 0.4, 5.0)),
        ((8, 40, 40), (1.0, 1.0, 1.0)),
        ((40, 8, 40), (1.0, 5.0, 1.0)),
        ((6, 20, 24), (3.0, 3.0, 3.0)),
        ((2, 12, 12), (1.0, 1.0, 8.0)),
    ],
)
def test_thin_anisotropic_and_tiny_volumes_run(
    segmenter: Segmenter, shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    image, labels = two_balls(shape, spacing)
    painted = [i for i in range(shape[0]) if labels.array[i].any()][:1] or [0]
    if not labels.array[painted].any():
        labels.array[0, 4:8, 4:8] = 3
    assert_sound(segmenter.segment(image, Example.from_labelmap(image, labels, painted)), image)
    other, _ = two_balls(shape, spacing, seed=1)
    assert_sound(segmenter.segment(other, Example.from_labelmap(image, labels, painted)), other)


def test_fifty_examples_of_own_and_other_volumes_run(segmenter: Segmenter) -> None:
    image, labels = two_balls()
    query, own = two_balls(seed=1)
    other = two_balls((40, 32, 32), (1.0, 1.0, 1.0), seed=2)
    examples = (
        Example.from_labelmap(query, own, [6, 9])
        + Example.from_labelmap(image, labels, range(4, 12))
        + Example.from_labelmap(*other, slices=range(40))
    )
    assert len(examples) == 50
    assert_sound(segmenter.segment(query, examples), query)


def test_refinement_may_be_turned_off(segmenter: Segmenter) -> None:
    image, labels = two_balls()
    examples = Example.from_labelmap(image, labels, [7, 9])
    assert_sound(segmenter.segment(image, examples, refine=False), image)


@pytest.mark.parametrize(
    ("slices", "quality", "passes", "adaptations"),
    [
        ([4, 12], "fast", 1, 0),
        ([4, 12], "best", 3, 2),  # adapted to what is painted, then to what the first pass saw in the gap
        ([4, 6, 8, 10, 12], "best", 2, 2),  # no gap is left for a third pass
        (list(range(4, 13)), "best", 1, 1),
        ([8], "fast", 1, 0),
    ],
)
def test_a_fast_run_takes_one_pass_and_a_thorough_one_as_many_as_the_gaps_leave_room_for(
    segmenter: Segmenter, slices: list[int], quality: str, passes: int, adaptations: int
) -> None:
    image, labels = two_balls()
    parts: list[float] = []
    stages: list[str] = []
    segmenter.segment(
        image,
        Example.from_labelmap(image, labels, slices, complete="all"),
        lambda stage, done, total: stages.append(stage),
        overall=parts.append,
        quality=quality,
    )
    begun = [after for before, after in pairwise(["", *stages]) if after != before]
    assert begun.count(Stage.SEGMENTING) == passes
    assert begun.count(Stage.ADAPTING) == adaptations
    assert Stage.FOLLOWING not in begun
    assert parts[-1] == pytest.approx(1)


def test_refinement_of_half_strength_lies_between_none_and_full(trained: Segmenter) -> None:
    image, labels = two_balls()
    examples = Example.from_labelmap(image, labels, [7, 9])
    none, half, full = (
        trained.segment(image, examples, refine=strength).confidence.array.astype(float) for strength in (0.0, 0.5, 1.0)
    )
    assert np.abs(half - none).sum() > 0
    assert np.abs(half - none).sum() < np.abs(full - none).sum()


@pytest.mark.parametrize("slices", [[8], [5, 11], None])
def test_progress_is_told_in_stages_that_end_complete(segmenter: Segmenter, slices: list[int] | None) -> None:
    image, labels = two_balls()
    other = image.with_array(image.array + 1)  # without slices, the examples are those of another volume
    examples = Example.from_labelmap(other if slices is None else image, labels, slices or [7, 9])
    calls: list[tuple[str, int, int]] = []
    parts: list[float] = []
    segmenter.segment(image, examples, lambda *call: calls.append(call), overall=parts.append, quality="best")
    assert len(parts) == len(calls)
    assert parts[0] == 0
    assert parts[-1] == pytest.approx(1)
    assert all(before <= after for before, after in pairwise(parts))
    stages = [calls[0]]
    for before, call in pairwise(calls):
        stage, done, total = call
        assert stage
        assert 0 <= done <= total
        if stage != before[0] or done < before[1]:
            assert before[1] == before[2], f"stage {before} was left incomplete"
            stages.append(call)
        else:
            assert total == before[2]
    assert calls[-1][1] == calls[-1][2]
    told = {stage for stage, _, _ in stages}
    assert told <= set(Stage)
    assert {Stage.PREPARING, Stage.SEGMENTING, Stage.JOINING, Stage.CLEANING} <= told
    assert (Stage.ADAPTING in told) == (slices is None or len(slices) > 1)
    assert ({Stage.REGISTERING, Stage.SEARCHING, Stage.FOLLOWING} <= told) == (slices is None)


@pytest.mark.parametrize("error", [Cancelled("enough"), KeyboardInterrupt()])
def test_what_progress_raises_stops_the_work_at_once(segmenter: Segmenter, error: BaseException) -> None:
    image, labels = two_balls()
    calls = []

    def progress(stage: str, done: int, total: int) -> None:
        calls.append(stage)
        if len(calls) == 2:
            raise error

    with pytest.raises(type(error)) as caught:
        segmenter.segment(image, Example.from_labelmap(image, labels, [7, 9]), progress, quality="best")
    assert caught.value is error
    assert len(calls) == 2
    # and the segmenter is as good as new
    assert_sound(segmenter.segment(image, Example.from_labelmap(image, labels, [7, 9])), image)


def test_modules_can_be_switched_off(segmenter: Segmenter, tmp_path: Path) -> None:
    path = tmp_path / "same.safetensors"
    save_network(segmenter.network.state_dict(), segmenter.network.config, path, {})
    ablated = Segmenter("cpu", path, use_self_learning=False, use_shape=False)
    image, labels = two_balls()
    examples = Example.from_labelmap(image, labels, [7, 9])
    assert_sound(ablated.segment(image, examples), image)
    assert not np.array_equal(
        ablated.segment(image, examples).confidence.array, segmenter.segment(image, examples).confidence.array
    )


# What the bundled weights have learned


@needs_weights
@pytest.mark.parametrize("quality", QUALITIES)
def test_two_painted_slices_give_the_volume(trained: Segmenter, quality: str) -> None:
    image, labels = two_balls()
    found = trained.segment(image, Example.from_labelmap(image, labels, [6, 10]), quality=quality).labelmap.array
    assert dice(found, labels.array, 3) > 0.85
    assert dice(found, labels.array, 200) > 0.8


@needs_weights
def test_examples_of_another_volume_on_another_grid_give_the_volume(trained: Segmenter) -> None:
    query, truth = two_balls(seed=1)
    image, labels = two_balls((30, 50, 64), (1.2, 1.2, 1.6))
    result = trained.segment(query, Example.from_labelmap(image, labels, [12, 15, 18]))
    assert_sound(result, query)
    assert dice(result.labelmap.array, truth.array, 3) > 0.6
    assert dice(result.labelmap.array, truth.array, 200) > 0.5


@needs_weights
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_flipped_copy_gives_the_flipped_result(trained: Segmenter, axis: int) -> None:
    image, labels = two_balls()
    plain = trained.segment(image, Example.from_labelmap(image, labels, [6, 10])).labelmap.array
    other = flipped(image, axis)
    slices = [image.shape[0] - 1 - s for s in (10, 6)] if axis == 0 else [6, 10]
    found = trained.segment(other, Example.from_labelmap(other, flipped(labels, axis), slices)).labelmap.array
    for label in NAMES:
        assert dice(np.flip(found, axis), plain, label) > 0.93


@needs_weights
def test_an_oblique_grid_changes_nothing_within_a_volume(trained: Segmenter) -> None:
    image, labels = two_balls()
    plain = trained.segment(image, Example.from_labelmap(image, labels, [6, 10])).labelmap.array
    oblique = turned(image, 25)
    found = trained.segment(oblique, Example.from_labelmap(oblique, turned(labels, 25), [6, 10])).labelmap.array
    np.testing.assert_array_equal(found, plain)


@needs_weights
def test_examples_of_a_slightly_oblique_volume_are_as_good(trained: Segmenter) -> None:
    query, truth = two_balls(seed=1)
    image, labels = (turned(volume, 12) for volume in two_balls())
    found = trained.segment(query, Example.from_labelmap(image, labels, [6, 8, 10])).labelmap.array
    assert dice(found, truth.array, 3) > 0.6


@needs_weights
def test_negative_slices_keep_a_structure_from_spreading(trained: Segmenter) -> None:
    image, labels = two_balls()
    examples = Example.from_labelmap(image, labels, [1, 8, 14])
    assert not labels.array[[1, 14]].any()
    found = trained.segment(image, examples).labelmap.array
    assert not found[[0, 1, 14, 15]].any()
    assert dice(found, labels.array, 3) > 0.75
