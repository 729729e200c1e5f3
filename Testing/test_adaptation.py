"""The segment head learns from painted slices before others are segmented."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from FewShotSegLib import Volume
from FewShotSegLib.inference.adaptation import STEPS, adapted
from FewShotSegLib.inference.encodings import Encodings
from FewShotSegLib.inference.labelled_slices import LabelledSlices
from FewShotSegLib.inference.predictor import Predictor
from FewShotSegLib.inference.pseudo_labels import with_slices
from FewShotSegLib.inference.support import SupportImage
from FewShotSegLib.network.model import FewShotNetwork
from FewShotSegLib.plan import Tick, no_tick
from FewShotSegLib.preprocessing.frame import Frame
from FewShotSegLib.preprocessing.views import SliceView
from FewShotSegLib.priors import Knowledge
from FewShotSegLib.weights import load_network

SIZE = 64
BODY = 80.0
NOTHING = LabelledSlices.none(2)


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
    return load_network()


@pytest.fixture(scope="module")
def predictor(bundled: FewShotNetwork) -> Predictor:
    view = SliceView(Volume.from_array(a_stack()[0], spacing=(1.0, 1.0, 3.0)), 0)
    return Predictor(bundled, view, Frame(0, 0, SIZE, SIZE, SIZE, SIZE), torch.device("cpu"), Encodings())


def the_painted(*positions: int) -> LabelledSlices:
    return LabelledSlices(list(positions), a_stack()[1][list(positions)], Knowledge.everything(len(positions), 2))


def slices_of_others(predictor: Predictor, *positions: int, volume: int = 0) -> list[SupportImage]:
    stack, labels = a_stack()
    images = torch.from_numpy(predictor.window(stack))
    return [SupportImage(images[z], torch.from_numpy(labels[z]).long(), volume) for z in positions]


@torch.inference_mode()
def learned(
    predictor: Predictor,
    labelled: LabelledSlices,
    shown: list[SupportImage] | None = None,
    tick: Tick = no_tick,
    guides: LabelledSlices | None = None,
) -> FewShotNetwork:
    return adapted(predictor, labelled, shown or [], BODY, tick, guides)


@torch.inference_mode()
def error_between(
    predictor: Predictor, network: FewShotNetwork, labelled: LabelledSlices, shown: list[SupportImage] | None = None
) -> float:
    """Cross entropy of slices that nobody has painted."""
    evidence = predictor.evidence(labelled, [1, 2]) if labelled.positions else None
    slices = [3, 7]
    other = Predictor(network, predictor.view, predictor.frame, predictor.device, predictor.encodings)
    logits = other.logits(labelled, shown or [], [1, 2], evidence)[:, slices].float()
    full = torch.cat([torch.zeros_like(logits[:1]), logits]).movedim(0, 1)
    return float(F.cross_entropy(full, torch.from_numpy(a_stack()[1][slices][:, 1::2, 1::2]).long()))


def weights_of(network: FewShotNetwork) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def changed(before: dict[str, torch.Tensor], network: FewShotNetwork) -> set[str]:
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


def test_an_adapted_head_finds_further_slices_better_and_the_bundled_one_stays_as_it_is(predictor: Predictor) -> None:
    painted, before = the_painted(1, 5, 9), weights_of(predictor.network)
    ticks: list[int] = []
    network = learned(predictor, painted, tick=ticks.append)
    assert sum(ticks) == STEPS
    assert error_between(predictor, network, painted) < 0.9 * error_between(predictor, predictor.network, painted)
    assert not changed(before, predictor.network)
    assert changed(before, network)
    assert all(name.startswith("head.") for name in changed(before, network))
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_adaptation_gives_the_same_for_the_same(predictor: Predictor) -> None:
    first, second = (learned(predictor, the_painted(1, 5, 9)) for _ in range(2))
    assert not changed(weights_of(first), second)


def test_what_a_pass_saw_between_painted_slices_guides_the_lessons_but_is_none(predictor: Predictor) -> None:
    painted, labels = the_painted(1, 5, 9), a_stack()[1][[3, 7]]
    guides = with_slices(painted, [3, 7], labels, np.ones(labels.shape, bool))
    network = learned(predictor, painted, guides=guides)
    assert changed(weights_of(learned(predictor, painted)), network)
    assert learned(predictor, the_painted(5), guides=guides) is predictor.network


def test_one_painted_slice_teaches_nothing(predictor: Predictor) -> None:
    ticks: list[int] = []
    assert learned(predictor, the_painted(4), tick=ticks.append) is predictor.network
    assert sum(ticks) == STEPS


def test_slices_without_a_segment_in_common_teach_nothing(predictor: Predictor) -> None:
    empty = LabelledSlices([2, 6], np.zeros((2, SIZE, SIZE), np.int32), Knowledge.everything(2, 2))
    assert learned(predictor, empty) is predictor.network
    apart = the_painted(2, 6)
    apart.labels[0][apart.labels[0] == 2] = 0
    apart.labels[1][apart.labels[1] == 1] = 0
    apart.known.complete[:] = [[True, False], [False, True]]
    assert learned(predictor, apart) is predictor.network


def test_a_segment_is_learned_only_from_slices_that_show_it_whole(predictor: Predictor) -> None:
    painted = the_painted(1, 5, 9)
    painted.known.complete[:] = False
    assert learned(predictor, painted) is predictor.network


def test_other_volumes_are_learned_from_where_nothing_is_painted_in_the_query(predictor: Predictor) -> None:
    shown = slices_of_others(predictor, 1, 5, 9)
    ticks: list[int] = []
    network = learned(predictor, NOTHING, shown, ticks.append)
    assert sum(ticks) == STEPS
    before, after = (error_between(predictor, n, NOTHING, shown) for n in (predictor.network, network))
    assert after < before
    assert learned(predictor, NOTHING, shown[:1]) is predictor.network


def test_a_slice_of_another_volume_is_learned_from_further_volumes_where_there_are_any(predictor: Predictor) -> None:
    alone = [*slices_of_others(predictor, 1), *slices_of_others(predictor, 5, 9, volume=1)]
    together = slices_of_others(predictor, 1, 5, 9)
    assert changed(weights_of(learned(predictor, NOTHING, together)), learned(predictor, NOTHING, alone))


def test_more_segments_than_one_step_takes_are_all_learned(predictor: Predictor) -> None:
    positions, rows, columns = [2, 4, 6, 8], *np.mgrid[:SIZE, :SIZE]
    labels = np.repeat(((rows // 16) * 4 + columns // 16 + 1)[None], 4, axis=0).astype(np.int32)  # 16 squares
    painted = LabelledSlices(positions, labels, Knowledge.everything(4, 16))
    assert changed(weights_of(predictor.network), learned(predictor, painted))


@pytest.mark.parametrize("calls", [1, 20, 40])
def test_adaptation_can_be_cancelled_at_every_step(predictor: Predictor, calls: int) -> None:
    done: list[int] = []

    def stop(steps: int) -> None:
        done.append(steps)
        if len(done) == calls:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learned(predictor, the_painted(1, 5, 9), tick=stop)
    assert len(done) == calls
