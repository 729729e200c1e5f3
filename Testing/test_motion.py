"""Motion from slice to slice, and geodesic distances that follow it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from FewShotSegLib.evidence.geodesic import geodesic_channels, geodesic_distances
from FewShotSegLib.evidence.motion import Motion, moved, optical_flow


def drifting_stack(slices: int, step: tuple[float, float], size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """A bright disc over a darker texture, both moving by `step` pixels a slice, and where the disc is."""
    texture = gaussian_filter(np.random.default_rng(3).normal(0, 1, (size + 64, size + 64)), 3)
    texture = 0.3 + 0.1 * texture / texture.std()
    rows, columns = np.indices((size, size))
    images, masks = [], []
    for z in range(slices):
        down, right = (round(z * s) for s in step)
        mask = (rows - 20 - down) ** 2 + (columns - 20 - right) ** 2 <= 25
        background = texture[32 - down : 32 - down + size, 32 - right : 32 - right + size]
        images.append(np.where(mask, background + 0.4, background))
        masks.append(mask)
    return gaussian_filter(np.stack(images), (0, 0.7, 0.7)).clip(0, 1).astype(np.float32), np.stack(masks)


@pytest.mark.parametrize("step", [(2, -1), (6, 4)])
def test_flow_says_where_everything_went(step: tuple[int, int]) -> None:
    images, _ = drifting_stack(3, step)
    here, there = torch.from_numpy(images[:2]), torch.from_numpy(images[1:])
    flow = optical_flow(here, there)
    inside = flow[:, :, 12:-12, 12:-12]
    assert (inside - torch.tensor(step)[:, None, None]).abs().mean() < 0.3
    change = (there - here)[:, 12:-12, 12:-12].abs().mean()
    assert (moved(there[:, None], flow)[:, 0] - here)[:, 12:-12, 12:-12].abs().mean() < 0.2 * change


def test_motion_leads_up_and_down_again() -> None:
    motion = Motion.of(torch.from_numpy(drifting_stack(4, (3, 0))[0]))
    for z in range(3):
        assert motion.between(z, z + 1)[0, 20:-20, 20:-20].mean() == pytest.approx(3, abs=0.3)
        assert motion.between(z + 1, z)[0, 20:-20, 20:-20].mean() == pytest.approx(-3, abs=0.3)


def test_a_part_of_a_stack_moves_as_it_does_in_the_whole() -> None:
    image = torch.from_numpy(drifting_stack(6, (2, 1))[0])
    part, alone = Motion.of(image).part(2, 5), Motion.of(image[2:5])
    for here, there in ((0, 1), (1, 0), (1, 2), (2, 1)):
        assert torch.allclose(part.between(here, there), alone.between(here, there), atol=0.01)
    assert part.nbytes == alone.nbytes
    assert Motion.of(image).part(3, 4).nbytes == 0


def test_motion_is_followed_back_to_the_nearest_source_on_one_side() -> None:
    up = torch.tensor([1.0, 2.0, 4.0, 8.0])[:, None, None, None].expand(4, 2, 16, 16)
    motion = Motion(up, -up)
    assert motion.back_to([1], 1)[:, 0, 8, 8].tolist() == [0, 0, -2, -6, -14]
    assert motion.back_to([3], -1)[:, 1, 8, 8].tolist() == [7, 6, 4, 0, 0]
    assert motion.back_to([0, 2], 1)[:, 0, 8, 8].tolist() == [0, -1, -3, -4, -12]


def test_where_nothing_is_to_be_seen_nothing_moves() -> None:
    assert (optical_flow(torch.full((1, 40, 32), 0.3), torch.full((1, 40, 32), 0.3)) == 0).all()


@pytest.mark.parametrize("shape", [(1, 32, 32), (2, 8, 8), (3, 33, 70)])
def test_motion_of_small_stacks_is_finite(shape: tuple[int, int, int]) -> None:
    motion = Motion.of(torch.rand(shape))
    for z in range(shape[0] - 1):
        for flow in (motion.between(z, z + 1), motion.between(z + 1, z)):
            assert flow.shape == (2, *shape[1:])
            assert torch.isfinite(flow).all()


def test_measuring_motion_can_be_cancelled() -> None:
    def cancel(_: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        Motion.of(torch.rand(3, 16, 16), cancel)


def test_distances_follow_a_structure_that_moves_further_than_it_is_wide() -> None:
    images, masks = drifting_stack(6, (6, 4))
    image = torch.from_numpy(images)
    found = {}
    for name, motion in (("still", None), ("moving", Motion.of(image))):
        distances = geodesic_distances(image, torch.from_numpy(masks[:1].astype(int)), [0], 2, 2.0, motion)
        found[name] = _dice((geodesic_channels(distances)[-1, 0, 0] > 0).numpy(), masks[-1])
    assert found["moving"] > 0.9
    assert found["still"] < 0.5


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())
