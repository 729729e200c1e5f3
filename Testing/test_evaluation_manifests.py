"""Episodes: the slice rules, and that the data must be what the manifests were frozen on."""

import os
from pathlib import Path

import numpy as np
import pytest

from FewShotSegLib.evaluation import manifests, slice_rules
from FewShotSegLib.evaluation.datasets import DATASETS, DatasetNotFoundError, open_dataset
from FewShotSegLib.evaluation.manifests import ManifestMismatchError
from FewShotSegLib.volume import Volume

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("FEWSHOTSEG_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture
def a_data_folder(tmp_path):
    """A set of four small cases; labels 1 and 2 on slices 2..9, label 3 on case3 only, label 4 nowhere."""
    folder = tmp_path / "data" / "benchmark" / "CHAOS_T2"
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text('{"labels": {"1": "one", "2": "two", "3": "three", "4": "four"}}')
    rng = np.random.default_rng(0)
    for number in range(4):
        label = np.zeros((12, 8, 8), np.uint8)
        label[2:10, 1:3, 1:4], label[3:8, 5:7, 4:7] = 1, 2
        if number == 3:
            label[5:7, 0, 0] = 3
        image = rng.integers(0, 100, label.shape).astype(np.int16)
        Volume(image, spacing=(1.0, 2.0, 3.0)).write(folder / f"case{number}_image.nii.gz")
        Volume(label, spacing=(1.0, 2.0, 3.0)).write(folder / f"case{number}_label.nii.gz")
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [15]),  # floor(.5 * 10) = 5
        (3, [11, 15, 18]),  # floor(1.67), floor(5), floor(8.33)
        (5, [11, 13, 15, 17, 19]),
        (10, list(range(10, 20))),
        (20, list(range(10, 20))),  # more than there are: each once
    ],
)
def test_painted_slices_within_a_volume_are_spread_over_the_labelled_ones(count, expected):
    assert slice_rules.within_volume_slices(range(10, 20), count) == expected


def test_painted_slices_follow_the_labelled_ones_over_gaps():
    assert slice_rules.within_volume_slices([3, 4, 9, 12], 2) == [4, 12]


def test_slices_of_an_extent_lie_at_a_sixth_a_half_and_five_sixths():
    assert slice_rules.extent_slices(range(10, 22)) == [12, 16, 20]
    assert slice_rules.extent_slices([4, 10]) == [4 + 7 // 6, 4 + 7 // 2, 4 + 35 // 6]
    assert slice_rules.extent_slices([4]) == [4]


def test_ranges_pack_and_unpack():
    assert slice_rules.to_ranges([0, 1, 2, 5, 7, 8]) == [(0, 2), (5, 5), (7, 8)]
    assert slice_rules.from_ranges([(0, 2), (5, 5), (7, 8)]) == [0, 1, 2, 5, 7, 8]


def test_a_manifest_reads_back_as_written_and_the_seed_decides_the_draws(a_data_folder, tmp_path):
    dataset = open_dataset(a_data_folder, "CHAOS_T2")
    manifest = manifests.generate(dataset, seed=1)
    manifests.write(manifest, tmp_path)
    assert manifests.read("CHAOS_T2", tmp_path) == manifest
    assert manifests.generate(dataset, seed=1) == manifest
    drawn = {str(manifests.generate(dataset, seed=seed).episodes["EP1"]) for seed in range(5)}
    assert len(drawn) > 1


def test_episodes_of_each_protocol_hold_what_the_protocol_says(a_data_folder):
    manifest = manifests.generate(open_dataset(a_data_folder, "CHAOS_T2"), seed=1)
    within = manifest.of_protocol("W-3")[3]
    assert within.supports == (manifests.Support("case3", (3, 6, 8)),)
    assert within.labels == (1, 2, 3)
    assert within.scored == (0, 1, 2, 4, 5, 7, 9, 10, 11)
    assert len(manifest.of_protocol("W-5")) == 4
    assert not manifest.of_protocol("W-10"), "eight labelled slices are too few to paint ten"
    across = manifest.of_protocol("A-3")
    assert len(across) == 3
    assert all(
        len(episode.supports) == 3 and episode.query not in dict.fromkeys(_supports(episode)) for episode in across
    )
    assert len({_supports(episode)[0] for episode in manifest.of_protocol("A-1")}) == 3
    one_shot = manifest.of_protocol("EP1-blind")
    assert {episode.labels for episode in one_shot} == {(1,), (2,)}, "a label on one case has no support case"
    of_label_two = next(episode for episode in one_shot if episode.labels == (2,))
    assert of_label_two.supports[0].slices == (3, 5, 7)
    assert of_label_two.scored == (3, 4, 5, 6, 7)
    assert of_label_two.query not in _supports(of_label_two)


def test_changed_data_is_refused(a_data_folder):
    dataset = open_dataset(a_data_folder, "CHAOS_T2")
    manifest = manifests.generate(dataset, seed=1)
    image, label = dataset.image("case0"), dataset.label("case0")
    manifest.verify("case0", image, label)
    changed = image.array.copy()
    changed[0, 0, 0] += 1
    with pytest.raises(ManifestMismatchError, match="image_sha256 of case0"):
        manifest.verify("case0", image.with_array(changed), label)
    with pytest.raises(ManifestMismatchError, match="label_sha256 of case0"):
        manifest.verify("case0", image, label.with_array(np.where(label.array == 1, 2, label.array)))
    with pytest.raises(ManifestMismatchError, match="spacing of case0"):
        manifest.verify("case0", Volume(image.array, spacing=(1.0, 2.0, 4.0)), label)
    with pytest.raises(ManifestMismatchError, match="'other' is not in the manifest"):
        manifest.verify("other", image, label)


def test_checksums_do_not_depend_on_the_type_a_reader_chose():
    array = np.arange(24).reshape(2, 3, 4)
    sums = {manifests.array_sha256(array.astype(kind), "<i4") for kind in (np.uint8, np.int16, np.int64)}
    assert len(sums) == 1
    assert manifests.array_sha256(array.reshape(4, 3, 2), "<i4") not in sums


def test_missing_data_and_manifests_are_named(a_data_folder, tmp_path):
    with pytest.raises(DatasetNotFoundError, match="SABS_CT not found"):
        open_dataset(a_data_folder, "SABS_CT")
    with pytest.raises(DatasetNotFoundError, match="case9"):
        open_dataset(a_data_folder, "CHAOS_T2").image("case9")
    with pytest.raises(ManifestMismatchError, match="No manifest for SABS_CT"):
        manifests.read("SABS_CT", tmp_path)


@pytest.mark.parametrize("name", list(DATASETS))
def test_frozen_episodes_keep_the_rules(name):
    manifest = manifests.read(name)
    for protocol, episodes in manifest.episodes.items():
        assert len({episode.name for episode in episodes}) == len(episodes)
        for episode in episodes:
            assert set(episode.cases) <= set(manifest.cases)
            depth = manifest.cases[episode.query].shape[0]
            assert set(episode.scored) <= set(range(depth))
            if protocol.startswith("W-"):
                own = [support.slices for support in episode.supports if support.axis == 0]
                assert set(episode.scored) == set(range(depth)) - {k for slices in own for k in slices}
            elif protocol in ("EP1", *(f"A-{count}" for count in manifests.ACROSS_COUNTS)):
                assert episode.query not in _supports(episode)


@pytest.mark.parametrize("name", list(DATASETS))
def test_frozen_episodes_fit_the_shared_data(name):
    if not (DATA / "benchmark" / name).is_dir():
        pytest.skip(f"needs the shared data set {name}, which is not in {DATA} (set FEWSHOTSEG_DATA)")
    dataset, manifest = open_dataset(DATA, name), manifests.read(name)
    assert dataset.cases == sorted(manifest.cases)
    case = dataset.cases[0]
    manifest.verify(case, dataset.image(case), dataset.label(case))


def _supports(episode):
    return [support.case for support in episode.supports]
