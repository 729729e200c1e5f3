"""Context of neighbouring slices: how far it reaches, where it is taken from, and what it is worth on a real case."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from FewShotSegLib.inference import frame_pass
from FewShotSegLib.inference.feature_store import FeatureStore
from FewShotSegLib.inference.frame_pass import FramePass, Painted
from FewShotSegLib.network.model import FewShotNetwork
from FewShotSegLib.network.stack_context import StackContext
from FewShotSegLib.preprocessing.frame import Frame
from FewShotSegLib.preprocessing.intensity import window_of
from FewShotSegLib.weights import load_network

SIDE = 64


@pytest.fixture(scope="module")
def bundled() -> FewShotNetwork:
    return load_network()


def a_stack(slices: int) -> tuple[np.ndarray, np.ndarray]:
    """(Z, 64, 64) intensities and labels: a disc that moves."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    labels = np.stack([(rows - 30) ** 2 + (columns - 24 - z / 4) ** 2 < 150 for z in range(slices)]).astype(np.int32)
    return (60 * labels + 100 + rng.normal(0, 12, labels.shape)).astype(np.float32), labels


def a_pass(network: FewShotNetwork, slices: int) -> tuple[FramePass, Painted]:
    stack, labels = a_stack(slices)
    frame = Frame(0, 0, SIDE, SIDE, SIDE, SIDE)
    work = FramePass(network, stack, 3.0, (1.0, 1.0), frame, window_of(stack), torch.device("cpu"), FeatureStore())
    positions = [slices // 4, 3 * slices // 4]
    return work, Painted(positions, labels[positions], 2.0)


def noted_stacks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Will hold the number of slices of each stack that context is asked for."""
    asked: list[int] = []
    context = FewShotNetwork.context

    def noted(self: FewShotNetwork, kept: torch.Tensor) -> torch.Tensor:
        asked.append(len(kept))
        return context(self, kept)

    monkeypatch.setattr(FewShotNetwork, "context", noted)
    return asked


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
def test_slices_see_their_neighbours_only_with_context(
    bundled: FewShotNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, painted = a_pass(bundled, 12)
    hints = work.evidence(painted, [1])
    asked = noted_stacks(monkeypatch)
    whole = work.run(painted, [], 1, [1], hints=hints)
    part = work.run(painted, [], 1, [1], hints=hints, only=[5, 6, 7])
    assert asked == [12, 3]
    assert float((whole[0, 6].float() - part[0, 6].float()).abs().max()) > 0.05
    alone = load_network(use_stack=False)
    work, _ = a_pass(alone, 12)
    whole, part = (work.run(painted, [], 1, [1], hints=hints, only=only)[0, 5:8] for only in (None, [5, 6, 7]))
    torch.testing.assert_close(whole.float(), part.float(), rtol=0, atol=0.02)
    assert len(asked) == 2


@torch.inference_mode()
def test_tall_stacks_give_context_in_turns_of_slices_that_lie_as_far_apart_as_in_training(
    bundled: FewShotNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_pass, "_STACK", 6)
    work, painted = a_pass(bundled, 20)
    asked = noted_stacks(monkeypatch)
    logits = work.run(painted, [], 1, [1], hints=work.evidence(painted, [1]))
    assert asked == [7, 7, 6]
    found = logits[0].float() > 0
    truth = torch.from_numpy(a_stack(20)[1][:, 1::2, 1::2] > 0)
    assert float(2 * (found & truth).sum() / (found.sum() + truth.sum())) > 0.9


@torch.inference_mode()
def test_other_volumes_slices_are_segmented_without_context(
    bundled: FewShotNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(self: FewShotNetwork, kept: torch.Tensor) -> torch.Tensor:
        raise AssertionError("context was asked for")

    monkeypatch.setattr(FewShotNetwork, "context", never)
    work, _ = a_pass(bundled, 8)
    stack, labels = a_stack(8)
    image = torch.from_numpy(work.window(stack[3:4]))[0]
    support = frame_pass.SupportSlice(image, torch.from_numpy(labels[3]).long())
    assert work.run(Painted(), [support], 1, [1]).shape == (1, 8, SIDE // 2, SIDE // 2)
