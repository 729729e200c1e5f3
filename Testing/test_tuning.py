"""Tuning the segment head to painted slices, and what these say about where structures end."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from FewShotSegLib import Example, Segmenter, Volume
from FewShotSegLib.evidence import POSITION, Motion
from FewShotSegLib.inference import tuning
from FewShotSegLib.inference.course import Tick
from FewShotSegLib.inference.feature_store import FeatureStore
from FewShotSegLib.inference.frame_pass import OUTSIDE, FramePass, Painted, SupportSlice
from FewShotSegLib.inference.request import lay_out
from FewShotSegLib.inference.self_painted import with_slices
from FewShotSegLib.inference.tuning import STEPS, tuned
from FewShotSegLib.network.matching import SupportSet
from FewShotSegLib.network.model import FewShotNetwork
from FewShotSegLib.preprocessing.frame import Frame
from FewShotSegLib.preprocessing.intensity import window_of

SIZE = 64
BODY = 80.0


def a_stack() -> tuple[np.ndarray, np.ndarray]:
    """(12, 64, 64) intensities and labels: two discs that differ from their surroundings by texture alone."""
    rng = np.random.default_rng(2)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    labels = np.zeros((12, SIZE, SIZE), np.int32)
    for z in range(12):
        labels[z][(rows - 22 - z) ** 2 + (columns - 20) ** 2 < 120] = 1
        labels[z][(rows - 30) ** 2 + (columns - 46) ** 2 < 80] = 2
    noise = np.array([4.0, 40.0, 12.0])[labels] * rng.normal(0, 1, labels.shape)
    return (100 + noise).astype(np.float32), labels


@pytest.fixture(scope="module")
def bundled() -> FewShotNetwork:
    return Segmenter(device="cpu").network


@pytest.fixture
def work(bundled: FewShotNetwork) -> FramePass:
    stack, _ = a_stack()
    frame = Frame(0, 0, SIZE, SIZE, SIZE, SIZE)
    return FramePass(bundled, stack, 3.0, (1.0, 1.0), frame, window_of(stack), torch.device("cpu"), FeatureStore())


def the_painted(*positions: int) -> Painted:
    return Painted(list(positions), a_stack()[1][list(positions)])


def loss_on_painted(network: FewShotNetwork, work: FramePass, painted: Painted) -> float:
    with torch.inference_mode():
        lessons = tuning._lessons(work, painted, painted, [], 2)
        return float(np.mean([float(tuning._loss(network, lesson, lesson.segments)) for lesson in lessons]))


@torch.inference_mode()
def test_a_tuned_head_finds_left_out_slices_better_and_the_bundled_one_stays_as_it_is(work: FramePass) -> None:
    painted = the_painted(1, 5, 9)
    before = {name: value.clone() for name, value in work.network.state_dict().items()}
    ticks: list[int] = []
    network = tuned(work, painted, [], 2, BODY, ticks.append)
    assert sum(ticks) == STEPS
    assert loss_on_painted(network, work, painted) < 0.9 * loss_on_painted(work.network, work, painted)
    after = work.network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("head.") for name in changed)
    assert not any(parameter.requires_grad for parameter in network.parameters())


@torch.inference_mode()
def test_what_a_look_saw_between_painted_slices_helps_to_find_them_but_is_no_lesson(
    work: FramePass, monkeypatch: pytest.MonkeyPatch
) -> None:
    painted = the_painted(1, 5, 9)
    seen = with_slices(painted, [3, 7], *certain_of(a_stack()[1][[3, 7]]))
    around: list[list[int]] = []
    evidence_around = FramePass.evidence_around

    def noted(self: FramePass, guides: Painted, targets: list[int], position: int, tick: Tick) -> torch.Tensor:
        around.append([position, *guides.positions])
        return evidence_around(self, guides, targets, position, tick)

    monkeypatch.setattr(FramePass, "evidence_around", noted)
    lessons = tuning._lessons(work, painted, seen, [], 2)
    assert around == [[1, 3, 5, 7, 9], [5, 1, 3, 7, 9], [9, 1, 3, 5, 7]]
    half = work.frame.cut_labels(painted.masks, work.frame.half)
    assert all(torch.equal(lesson.labels[0], mask) for lesson, mask in zip(lessons, half, strict=True))


def certain_of(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return labels, np.ones(labels.shape, bool)


@torch.inference_mode()
def test_tuning_gives_the_same_for_the_same(work: FramePass) -> None:
    first, second = (tuned(work, the_painted(1, 5, 9), [], 2, BODY, lambda _: None).state_dict() for _ in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@torch.inference_mode()
def test_one_painted_slice_teaches_nothing(work: FramePass) -> None:
    assert tuned(work, the_painted(4), [], 2, BODY, lambda _: None) is work.network


def slices_of_others(work: FramePass, *positions: int, volume: int = 0) -> list[SupportSlice]:
    stack, labels = a_stack()
    images = torch.from_numpy(work.window(stack))
    return [SupportSlice(images[z], torch.from_numpy(labels[z]).long(), volume) for z in positions]


@torch.inference_mode()
def test_other_volumes_are_learned_from_where_nothing_is_painted_in_the_query(work: FramePass) -> None:
    foreign = slices_of_others(work, 1, 5, 9)
    ticks: list[int] = []
    network = tuned(work, Painted(), foreign, 2, BODY, ticks.append)
    assert sum(ticks) == STEPS
    lessons = tuning._lessons_of_others(work, foreign, 2, BODY, lambda _: None)
    before, after = (
        np.mean([float(tuning._loss(net, lesson, lesson.segments)) for lesson in lessons])
        for net in (work.network, network)
    )
    assert after < 0.9 * before
    assert tuned(work, Painted(), foreign[:1], 2, BODY, lambda _: None) is work.network


@torch.inference_mode()
def test_a_slice_of_another_volume_is_found_from_further_volumes(
    work: FramePass, monkeypatch: pytest.MonkeyPatch
) -> None:
    supports: list[int] = []
    real = work.support

    def counted(own: list, others: list) -> SupportSet:
        supports.append(len(others))
        return real(own, others)

    monkeypatch.setattr(work, "support", counted)
    one, two = slices_of_others(work, 1, 5, 9), slices_of_others(work, 3, 7, volume=1)
    tuning._lessons_of_others(work, one, 2, BODY, lambda _: None)
    assert supports == [2, 2, 2]
    supports.clear()
    tuning._lessons_of_others(work, one + two, 2, BODY, lambda _: None)
    assert supports == [2, 2, 2, 3, 3]


@torch.inference_mode()
def test_where_a_lesson_expects_structures_is_not_exact(work: FramePass) -> None:
    lesson = tuning._lessons_of_others(work, slices_of_others(work, 1, 5), 2, BODY, lambda _: None)[0]
    expected = lesson.evidence[0, :, POSITION.start]
    assert 0.9 < float(expected.max()) <= 1
    inside = torch.stack([lesson.labels[0] == segment for segment in (1, 2)])
    assert all(float(e[i].mean()) > 3 * float(e[~i].mean()) for e, i in zip(expected, inside, strict=True))
    moved = [tuning._moved(lesson, step).evidence for step in range(6)]
    assert all(not torch.equal(m, lesson.evidence) for m in moved)
    assert not torch.equal(moved[1], moved[2])


@torch.inference_mode()
def test_slices_without_a_segment_in_common_teach_nothing(work: FramePass) -> None:
    empty = Painted([2, 6], np.zeros((2, SIZE, SIZE), np.int32))
    assert tuned(work, empty, [], 2, BODY, lambda _: None) is work.network


@torch.inference_mode()
def test_lessons_run_the_head_where_slices_are_segmented_with_it(work: FramePass) -> None:
    lesson = tuning._lessons(work, the_painted(1, 5, 9), the_painted(1, 5, 9), [], 2)[1]
    assert lesson.boxes == tuple(work.boxes(lesson.match, lesson.evidence, [1, 2]))
    logits = tuning._decoded(work.network, lesson, 1)
    decoded = work.network.decode(lesson.features, lesson.match, lesson.evidence[:, :1], 0, (1, 5, 0, 4)).logits
    within = tuning._decoded(work.network, dataclasses.replace(lesson, boxes=((1, 5, 0, 4), None)), 1)
    assert logits.shape == within.shape == (1, 1, SIZE // 2, SIZE // 2)
    assert torch.equal(within[..., 4:20, 0:16], decoded)
    assert (within[..., :4, :] == OUTSIDE).all()
    assert (within[..., 16:] == OUTSIDE).all()


@torch.inference_mode()
def test_lessons_and_looks_through_one_frame_share_the_motion(work: FramePass, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []
    measure = Motion.of

    def noted(image: torch.Tensor, tick: Tick) -> Motion:
        measured.append(len(image))
        return measure(image, tick)

    monkeypatch.setattr(Motion, "of", noted)
    tuned(work, the_painted(1, 5, 9), [], 2, BODY, lambda _: None)
    work.evidence(the_painted(1, 5, 9), [1, 2])
    again = FramePass(*(work.network, work.stack, 3.0, (1.0, 1.0), work.frame, work.window, work.device, work.store))
    again.evidence(the_painted(5), [1])
    assert measured == [12]


@torch.inference_mode()
def test_segments_that_are_likely_nowhere_teach_nothing(work: FramePass, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FramePass, "boxes", lambda _self, _match, _evidence, targets: [None] * len(targets))
    network = tuned(work, the_painted(1, 5, 9), [], 2, BODY, lambda _: None)
    same = zip(network.head.parameters(), work.network.head.parameters(), strict=True)
    assert all(torch.equal(mine, bundled) for mine, bundled in same)


@torch.inference_mode()
def test_tuning_can_be_cancelled_at_every_step(work: FramePass) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuned(work, the_painted(1, 5, 9), [], 2, BODY, stop)


def test_steps_are_those_of_adam() -> None:
    start = torch.randn(5, generator=torch.Generator().manual_seed(0))
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    descent, reference = tuning._Adam([ours]), torch.optim.Adam([theirs], lr=2e-3)
    for _ in range(30):
        (ours**4).sum().backward()
        descent.step()
        reference.zero_grad()
        (theirs**4).sum().backward()
        reference.step()
    torch.testing.assert_close(ours, theirs)
    assert not torch.equal(ours, start)


def test_many_segments_take_turns() -> None:
    segments = list(range(1, 14))
    turns = [tuning._some(segments, turn) for turn in range(0, 39, 6)]
    assert all(len(turn) == 6 for turn in turns)
    assert set().union(*turns) == set(segments)
    assert tuning._some([2, 5], 6) == [2, 5]


def test_evidence_of_a_left_out_slice_is_that_of_the_whole_stack_where_shapes_are_concerned(work: FramePass) -> None:
    painted = the_painted(1, 5, 9)
    around = work.evidence_around(painted, [1, 2], 7)
    whole = work.evidence(painted, [1, 2])([7])
    torch.testing.assert_close(around[:, :, :4], whole[:, :, :4])


def test_evidence_of_a_structure_is_nearly_the_same_whether_or_not_others_are_looked_for(work: FramePass) -> None:
    painted = the_painted(1, 5, 9)
    both = work.evidence(painted, [1, 2])([3, 7])
    # On their way through the slices distances are interpolated between pixels: of two classes each for itself, or of
    # both together where they are background alike.
    change = (work.evidence(painted, [2])([3, 7]) - both[:, 1:]).abs()
    assert change.max() < 0.1
    assert (change < 1e-4).float().mean() > 0.98
    torch.testing.assert_close(work.evidence(painted, [2, 1])([3, 7]), both[:, [1, 0]])


def a_request_reach(positions: list[int], gap: float) -> float | None:
    stack, labels = a_stack()
    image = Volume.from_array(stack, spacing=(1.0, 1.0, gap))
    return lay_out(image, Example.from_labelmap(image, image.with_array(labels), positions), [1, 2]).painted.reach


def test_slices_spread_over_the_structures_say_where_these_end_but_a_cluster_does_not() -> None:
    assert a_request_reach([1, 5, 9], 5.0) == 2
    assert a_request_reach([4, 5, 6], 1.0) is None
    assert a_request_reach([5], 5.0) is None
