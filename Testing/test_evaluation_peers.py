"""The peers that need no training, on volumes whose answer is known."""

import numpy as np
import pytest

from FewShotSegLib import Example, Volume
from FewShotSegLib.evaluation import random_walker, registration, registry
from FewShotSegLib.evaluation.fillers import UNKNOWN
from FewShotSegLib.evaluation.slice_completion import complete_slices


@pytest.fixture
def a_noisy_box():
    """A bright and a dark box, labels 1 and 2, in a noisy volume of 9 x 40 x 44 voxels."""
    label = np.zeros((9, 40, 44), np.int32)
    label[1:8, 8:30, 6:20], label[1:8, 8:30, 24:40] = 1, 2
    image = np.array([100.0, 200.0, 20.0])[label] + np.random.default_rng(0).normal(0, 5, label.shape)
    return Volume(image.astype(np.float32), spacing=(1.0, 1.0, 3.0)), label


def painted_on(label, slices):
    painted = np.full(label.shape, UNKNOWN, np.int32)
    painted[slices] = label[slices]
    return painted


def test_the_walker_follows_the_intensities_between_and_beyond_painted_slices(a_noisy_box):
    image, label = a_noisy_box
    found, sure = random_walker.walk(image.array, painted_on(label, [2, 6]), image.spacing)
    for value in (1, 2):
        overlap = 2 * ((found == value) & (label == value)).sum() / ((found == value).sum() + (label == value).sum())
        assert overlap > 0.9
    assert (found[[2, 6]] == label[[2, 6]]).all()
    assert (sure[[2, 6]] == 1).all()
    assert 0 <= sure.min() < sure.max() <= 1


def test_the_walker_solves_no_larger_system_than_it_may(a_noisy_box, monkeypatch):
    image, label = a_noisy_box
    sizes = []
    solve = random_walker.random_walker

    def counting(data, *args, **options):
        sizes.append(data.size)
        return solve(data, *args, **options)

    monkeypatch.setattr(random_walker, "random_walker", counting)
    found, _ = random_walker.walk(image.array, painted_on(label, [2, 6]), image.spacing, most_voxels=2000)
    assert sizes[0] <= 2000
    assert found.shape == label.shape
    assert ((found == 1) & (label == 1)).sum() > 0.7 * (label == 1).sum()


def test_the_walker_paints_along_any_axis(a_noisy_box):
    image, label = a_noisy_box
    turned = np.moveaxis(image.array, 0, 2)
    painted = np.moveaxis(painted_on(label, [2, 6]), 0, 2)
    found, _ = random_walker.walk(turned, painted, (3.0, 1.0, 1.0), axis=2)
    straight, _ = random_walker.walk(image.array, painted_on(label, [2, 6]), (1.0, 1.0, 3.0))
    assert (np.moveaxis(found, 2, 0) == straight).mean() > 0.99


def test_nothing_painted_is_nothing_to_walk_to(a_noisy_box):
    image, label = a_noisy_box
    with pytest.raises(ValueError, match="Nothing is painted"):
        random_walker.walk(image.array, painted_on(np.zeros_like(label), [2]), image.spacing)


def square(size, around=15):
    mask = np.zeros((31, 31), np.int32)
    mask[around - size : around + size + 1, around - size : around + size + 1] = 1
    return mask


def test_between_painted_slices_the_shape_is_interpolated():
    done = complete_slices(np.stack([square(4), square(8)]), [2, 6], 12)
    widths = [int(plane[15].sum()) for plane in done]
    assert widths[2:7] == [9, 11, 13, 15, 17]


def test_a_completed_label_reaches_as_far_as_its_sampled_extent():
    # An extent of 12 slices, 4..15, is sampled at 6, 10 and 14: half a gap more on both sides.
    done = complete_slices(np.stack([square(5)] * 3), [6, 10, 14], 30)
    assert np.flatnonzero(done.any(axis=(1, 2))).tolist() == list(range(4, 17))


def test_a_completed_label_ends_half_way_to_a_slice_without_it():
    other = np.where(square(5), 2, 0).astype(np.int32)
    done = complete_slices(np.stack([square(5), square(5), other]), [2, 10, 14], 20)
    assert np.flatnonzero((done == 1).any(axis=(1, 2))).tolist() == [*range(0, 13)]
    assert np.flatnonzero((done == 2).any(axis=(1, 2))).tolist() == [14]


def test_slices_stay_as_painted_in_a_completed_labelmap():
    masks = np.random.default_rng(0).integers(0, 3, (3, 9, 9)).astype(np.int32)
    done = complete_slices(masks, [1, 3, 4], 6)
    assert (done[[1, 3, 4]] == masks).all()


def a_patient(shift, seed):
    """A body with a bright and a dark ball, moved by `shift` mm along i; voxels of 3 mm."""
    k, j, i = np.indices((24, 40, 48)) * 3.0
    i = i - shift
    body = ((j - 60) / 48) ** 2 + ((i - 60) / 42) ** 2 < 1
    label = np.zeros(body.shape, np.int32)
    label[(k - 36) ** 2 + (j - 48) ** 2 + (i - 45) ** 2 < 17**2] = 1
    label[(k - 36) ** 2 + (j - 72) ** 2 + (i - 75) ** 2 < 14**2] = 2
    image = np.where(body, np.array([100.0, 180.0, 40.0])[label], 0.0)
    image += np.random.default_rng(seed).normal(0, 4, image.shape)
    return Volume(image.astype(np.float32), spacing=(3.0, 3.0, 3.0)), label


def overlap_of(found, label):
    return [2 * ((found == v) & (label == v)).sum() / ((found == v).sum() + (label == v).sum()) for v in (1, 2)]


def test_registration_carries_labels_to_where_they_are_in_another_patient():
    support, painted = a_patient(0.0, seed=1)
    query, label = a_patient(18.0, seed=2)
    shown = Example.from_labelmap(support, painted, slices=[8, 12, 16])
    method = registry.make_method("register")
    found, sure = method.segment(query, shown)
    assert min(overlap_of(painted, label)) < 0.5, "without registration the labels would be elsewhere"
    assert min(overlap_of(found, label)) > 0.75
    assert sure is not None
    assert 0 <= sure.min() <= sure.max() <= 1


def test_registration_needs_examples_along_one_axis():
    support, painted = a_patient(0.0, seed=1)
    shown = [Example(support, 0, 12, painted[12]), Example(support, 1, 16, painted[:, 16])]
    with pytest.raises(ValueError, match="along one axis"):
        registration._completed(shown)
    with pytest.raises(ValueError, match="no examples"):
        registration.propagate(support, [])
