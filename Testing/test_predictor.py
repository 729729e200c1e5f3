"""The network over a stack: context of neighbouring slices, supports, evidence, and where the head runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from FewShotSegLib import Volume
from FewShotSegLib.inference.boxes import likely_boxes
from FewShotSegLib.inference.encodings import Encodings
from FewShotSegLib.inference.labelled_slices import LabelledSlices
from FewShotSegLib.inference.predictor import Predictor
from FewShotSegLib.inference.support import SupportImage
from FewShotSegLib.network.matching import Match
from FewShotSegLib.network.model import FewShotNetwork
from FewShotSegLib.network.stack_context import StackContext
from FewShotSegLib.preprocessing.frame import Frame
from FewShotSegLib.preprocessing.views import SliceView
from FewShotSegLib.priors import SHAPE, Knowledge
from FewShotSegLib.weights import load_network

SIDE = 64


@pytest.fixture(scope="module")
def bundled() -> FewShotNetwork:
    return load_network()


def a_stack(slices: int) -> tuple[np.ndarray, np.ndarray]:
    """(Z, 64, 64) intensities and labels: two discs, one of which moves."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    labels = np.zeros((slices, SIDE, SIDE), np.int32)
    for z in range(slices):
        labels[z][(rows - 30) ** 2 + (columns - 20 - z / 4) ** 2 < 120] = 1
        labels[z][(rows - 30) ** 2 + (columns - 50) ** 2 < 80] = 2
    return (np.array([100, 160, 40])[labels] + rng.normal(0, 12, labels.shape)).astype(np.float32), labels


def a_predictor(network: FewShotNetwork, slices: int, gap: float = 3.0) -> Predictor:
    view = SliceView(Volume.from_array(a_stack(slices)[0], spacing=(1.0, 1.0, gap)), 0)
    return Predictor(network, view, Frame(0, 0, SIDE, SIDE, SIDE, SIDE), torch.device("cpu"), Encodings())


def painted(slices: int, *positions: int) -> LabelledSlices:
    labels = a_stack(slices)[1][list(positions)]
    return LabelledSlices(list(positions), labels, Knowledge.everything(len(positions), 2))


def dice(logits: torch.Tensor, slices: Sequence[int], count: int, label: int = 1) -> float:
    found = logits[list(slices)].float() > 0
    truth = torch.from_numpy(a_stack(count)[1][list(slices)][:, 1::2, 1::2] == label)
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


# Context of neighbouring slices


def test_untrained_context_adds_nothing() -> None:
    context = StackContext(8, 4)
    assert not context.added(context(torch.rand(5, 2, 4, 6, 6)).flatten(0, 1)).any()


@torch.no_grad()
def test_context_reaches_sixteen_slices_each_way_and_no_further_and_never_to_another_segment() -> None:
    torch.manual_seed(0)
    context = StackContext(8, 4)
    kept = torch.rand(40, 2, 4, 6, 6)
    changed = kept.clone()
    changed[20, 1] += 1
    difference = (context(changed) - context(kept)).abs().amax(dim=(2, 3, 4))
    assert not difference[:, 0].any()
    assert torch.nonzero(difference[:, 1]).flatten().tolist() == list(range(4, 37))


@torch.inference_mode()
def test_slices_see_their_neighbours_only_with_context(bundled: FewShotNetwork) -> None:
    given = painted(12, 3, 9)

    def changed_by_neighbours(network: FewShotNetwork, context: bool) -> float:
        predictor = a_predictor(network, 12)
        evidence = predictor.evidence(given, [1])
        whole, part = (
            predictor.logits(given, [], [1], evidence, only, context)[0, 6].float() for only in (None, [5, 6, 7])
        )
        return float((whole - part).abs().max())

    assert changed_by_neighbours(bundled, True) > 0.05
    assert changed_by_neighbours(bundled, False) < 0.02
    assert changed_by_neighbours(load_network(use_stack=False), True) < 0.02


@torch.inference_mode()
def test_tall_stacks_are_segmented_as_well_as_those_the_network_learned_context_from(bundled: FewShotNetwork) -> None:
    predictor, given = a_predictor(bundled, 100), painted(100, 20, 50, 80)
    logits = predictor.logits(given, [], [1], predictor.evidence(given, [1]))
    assert dice(logits[0], range(20, 81), 100) > 0.9


@torch.inference_mode()
def test_slices_closer_than_the_logits_points_are_interpolated_but_for_those_that_are_painted(
    bundled: FewShotNetwork,
) -> None:
    given = painted(37, 9, 18, 27)
    done: list[int] = []
    for gap, looked_at in ((3.0, 37), (0.5, 12)):  # points of the logits are 2 mm apart, so every fourth
        predictor = a_predictor(bundled, 37, gap)
        logits = predictor.logits(given, [], [1], predictor.evidence(given, [1]), tick=done.append)
        assert sum(done) == 37
        done.clear()
        assert dice(logits[0], range(9, 28), 37) > 0.9
        between = logits[0, 12:17].float()
        straight = torch.lerp(between[0], between[-1], 0.5)
        assert ((between[2] - straight).abs().max() < 0.02) == (looked_at < 37)


# Supports


@torch.inference_mode()
def test_far_painted_slices_still_speak_for_segments_that_near_ones_lack(bundled: FewShotNetwork) -> None:
    given = painted(40, 0, 1, 2, 3, 4, 5, 39)
    given.labels[:6][given.labels[:6] == 2] = 0  # the second segment is on the last one only
    predictor = a_predictor(bundled, 40)
    logits = predictor.logits(given, [], [2], only=[2, 3], context=False)
    assert dice(logits[0], [2, 3], 40, 2) > 0.5


@torch.inference_mode()
def test_slices_of_another_volume_are_support_enough(bundled: FewShotNetwork) -> None:
    predictor = a_predictor(bundled, 8)
    stack, labels = a_stack(8)
    image = torch.from_numpy(predictor.window(stack[3:4]))[0]
    support = SupportImage(image, torch.from_numpy(labels[3]).long())
    logits = predictor.logits(LabelledSlices.none(2), [support], [1, 2])
    assert logits.shape == (2, 8, SIDE // 2, SIDE // 2)
    assert dice(logits[0], range(8), 8) > 0.7


@torch.inference_mode()
def test_slices_that_are_not_looked_at_have_no_segment(bundled: FewShotNetwork) -> None:
    given = painted(12, 3, 9)
    logits = a_predictor(bundled, 12).logits(given, [], [1, 2], only=[4, 5])
    assert (logits[:, [*range(4), *range(6, 12)]] < -5).all()
    assert (logits[:, 4:6] > 0).any()


# Evidence


def test_evidence_of_a_part_is_that_of_the_whole_stack_where_shapes_are_concerned(bundled: FewShotNetwork) -> None:
    predictor, given = a_predictor(bundled, 12), painted(12, 1, 5, 9)
    part = predictor.evidence(given, [1, 2], within=range(5, 10))([7])
    whole = predictor.evidence(given, [1, 2])([7])
    torch.testing.assert_close(part[:, :, SHAPE], whole[:, :, SHAPE])


def test_evidence_of_a_structure_is_nearly_the_same_whether_or_not_others_are_looked_for(
    bundled: FewShotNetwork,
) -> None:
    predictor, given = a_predictor(bundled, 12), painted(12, 1, 5, 9)
    both, alone = predictor.evidence(given, [1, 2])([3, 7]), predictor.evidence(given, [2])([3, 7])
    # On their way through the slices distances are interpolated between pixels: of two classes each for itself, or of
    # both together where they are background alike.
    change = (alone - both[:, 1:]).abs()
    assert change.max() < 0.25
    assert (change < 1e-4).float().mean() > 0.98
    torch.testing.assert_close(predictor.evidence(given, [2, 1])([3, 7]), both[:, [1, 0]])


def test_coarse_evidence_looks_like_fine_one(bundled: FewShotNetwork) -> None:
    predictor, given = a_predictor(bundled, 12), painted(12, 1, 5, 9)
    fine, coarse = (predictor.evidence(given, [1, 2], coarseness=c)([3, 7]) for c in (1, 2))
    assert coarse.shape == fine.shape
    assert (coarse - fine).abs()[:, :, SHAPE].mean() < 0.1


def test_measuring_evidence_can_be_cancelled(bundled: FewShotNetwork) -> None:
    predictor, given = a_predictor(bundled, 5), painted(5, 1, 3)

    def cancel(_: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        predictor.evidence(given, [1], tick=cancel)


# Where the head runs


def test_boxes_of_many_segments_together_stay_within_the_budget(bundled: FewShotNetwork) -> None:
    share = torch.zeros(1, 41, 32, 32)
    share[:, 1:] = torch.rand(1, 40, 32, 32, generator=torch.Generator().manual_seed(0)) * 3
    evidence = torch.full((1, 40, 9, 128, 128), -1.0)
    evidence[:, :, 3] = 1.0  # there is a shape
    evidence[:, :, 0] = -0.45  # near enough for the first limit everywhere
    evidence[:, :, 0, 60:68, 60:68] = 0.5
    boxes = likely_boxes(a_match(share), evidence, list(range(1, 41)))
    assert all(b is not None for b in boxes)
    assert sum((b[1] - b[0]) * (b[3] - b[2]) for b in boxes if b is not None) < 10 * 32 * 32
    (alone,) = likely_boxes(a_match(share[:, :2]), evidence[:, :1], [1])
    assert alone == (0, 32, 0, 32)


def a_match(coarse: torch.Tensor) -> Match:
    nothing = torch.zeros(0)
    levels = (coarse, coarse, coarse)
    return Match(
        nothing, nothing, coarse, coarse, levels, nothing, nothing, nothing, nothing, overall=(nothing, nothing)
    )
