"""The training cache: what is read, how regions and painted images are made, and how volumes come back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from FewShotSegLib.training import prepare as preparation
from FewShotSegLib.training.colour_slices import find_palette, read_slice_set, snap_colours
from FewShotSegLib.training.label_vocabulary import common_name, extend_vocabulary, structure_family
from FewShotSegLib.training.open_data import find_sources
from FewShotSegLib.training.regions import body_mask, slice_regions, watershed_regions
from FewShotSegLib.training.sources import TrainingVolume, load_volumes, save_volume, sensible_axes
from FewShotSegLib.training.synthesis import background_clusters, deform, invented_body, paint, with_wall

SPACING = (3.0, 2.0, 2.0)


def a_phantom() -> tuple[np.ndarray, np.ndarray]:
    """Return CT-like values and labels (k, j, i): a body of -50 HU that holds organs of 60 and 150 HU."""
    k, j, i = np.indices((16, 48, 56))
    body = (j - 24) ** 2 / 20**2 + (i - 28) ** 2 / 25**2 < 1
    liver = ((k - 8) * 1.5) ** 2 + (j - 24) ** 2 + (i - 18) ** 2 < 10**2
    kidney = ((k - 8) * 1.5) ** 2 + (j - 24) ** 2 + (i - 40) ** 2 < 7**2
    labels = np.where(kidney, 2, np.where(liver, 1, 0)).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 8, body.shape)
    values = np.where(body, np.array([-50, 60, 150])[labels] + noise, -1000)
    return np.rint(values).astype(np.int16), labels


def write_nifti(array: np.ndarray, path: Path, spacing_kji: tuple[float, float, float] = SPACING) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing_kji[::-1])
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A tiny data folder: a labelled CT, the demo scan, an unlabelled MR, a label map, a 2D set and a benchmark."""
    values, labels = a_phantom()
    opened = tmp_path / "data" / "open"
    examples = opened / "TotalSegmentator_examples"
    for case, table in (("ct_chest_1p5mm", {"1": "liver", "2": "kidney_left"}), ("ct_abdpelvis_3mm", {"1": "liver"})):
        write_nifti(values, examples / f"{case}_image.nii.gz")
        write_nifti(labels, examples / f"{case}_label.nii.gz")
        entries = {value: {"name": name, "voxels": 1} for value, name in table.items()}
        (examples / f"{case}_labels.json").write_text(json.dumps(entries))
    (examples / "dataset.json").write_text(json.dumps({"labels": "per case, see *_labels.json"}))
    write_nifti(values + 1000, opened / "unlabelled" / "PGBM_Study3_T2reg_image.nii.gz")
    (opened / "unlabelled" / "dataset.json").write_text(json.dumps({"labels": {}}))
    write_nifti(labels, opened / "labelmaps" / "headneck_1_label.nii.gz")
    tables = {"headneck_*": {"1": "Lung-Lt", "2": "Spinal_Cord"}}
    (opened / "labelmaps" / "dataset.json").write_text(json.dumps({"labels": tables}))
    sheet = opened / "slices_2d" / "Aorta" / "net"
    for folder in ("images", "masks"):
        (sheet / folder).mkdir(parents=True)
    Image.fromarray(np.full((40, 40), 90, np.uint8)).save(sheet / "images" / "7_1.png")
    mask = np.zeros((40, 40), np.uint8)
    mask[10:20, 10:20] = 255
    Image.fromarray(mask).save(sheet / "masks" / "7_1.png")
    write_nifti(values, tmp_path / "data" / "benchmark" / "SABS_CT" / "case00_image.nii.gz")
    return tmp_path / "data"


def test_a_saved_volume_comes_back_memory_mapped_and_complete(tmp_path: Path) -> None:
    values, labels = a_phantom()
    volume = TrainingVolume(
        "set__case", "set", "CT", "volume", SPACING, [0], values, {"real": labels}, {1: "liver"}, "body", True, "set/1"
    )
    save_volume(volume, tmp_path)

    (back,) = load_volumes(tmp_path)

    assert isinstance(back.image, np.memmap)
    assert np.array_equal(back.image, values)
    assert np.array_equal(back.labelings["real"], labels)
    assert (back.name, back.set_name, back.modality, back.kind) == ("set__case", "set", "CT", "volume")
    assert back.spacing_kji == SPACING
    assert back.axes == [0]
    assert back.label_names == {1: "liver"}
    assert (back.label_group, back.background_complete, back.subject) == ("body", True, "set/1")


def test_a_half_written_volume_is_not_loaded(tmp_path: Path) -> None:
    part = tmp_path / ".part-set__case-1"
    part.mkdir()
    (part / "meta.json").write_text("{}")
    assert load_volumes(tmp_path) == []


def test_a_labeling_of_another_shape_is_refused(tmp_path: Path) -> None:
    values, labels = a_phantom()
    volume = TrainingVolume("v", "set", "CT", "volume", SPACING, [0], values, {"real": labels[1:]})
    with pytest.raises(ValueError, match="labeling real has shape"):
        save_volume(volume, tmp_path)


@pytest.mark.parametrize(
    ("shape", "spacing", "axes"),
    [
        ((60, 60, 60), (2.5, 1.0, 1.0), [0, 1, 2]),
        ((60, 60, 60), (5.0, 1.0, 1.0), [0]),
        ((20, 60, 60), (2.0, 1.95, 1.95), [0]),
        ((60, 40, 60), (2.5, 5.0, 5.0), [0]),
        ((60, 60, 60), (1.0, 5.0, 5.0), [0]),
        ((60, 60, 60), (1.0, 1.0, 2.0), [2, 0, 1]),
    ],
)
def test_reformats_are_made_of_nearly_isotropic_volumes_only(
    shape: tuple[int, ...], spacing: tuple[float, ...], axes: list[int]
) -> None:
    assert sensible_axes(shape, spacing) == axes


def test_spellings_of_one_structure_get_one_name() -> None:
    assert common_name("Parotid-Lt") == common_name("left parotid") == "parotid_left"
    assert common_name("oesophagus") == "esophagus"
    assert common_name("kidney l") == "kidney_left"
    assert common_name("small intestine") == "small_bowel"
    assert structure_family("rib_left_7") == structure_family("rib_right_12")
    assert structure_family("vertebrae_L1") == structure_family("vertebrae_T12")


def test_a_growing_vocabulary_keeps_its_values(tmp_path: Path) -> None:
    first = extend_vocabulary(tmp_path, ["spleen", "liver"])
    second = extend_vocabulary(tmp_path, ["aorta", "liver"])
    assert {name: second[name] for name in first} == first
    assert len(set(second.values())) == 3


def test_the_body_mask_keeps_air_inside_and_drops_air_outside() -> None:
    values, _ = a_phantom()
    values[:, 22:26, 26:30] = -1000
    mask = body_mask(values, "CT")
    assert mask[8, 24, 28]
    assert not mask[8, 0, 0]


def test_regions_follow_the_organs_and_stay_inside_the_body() -> None:
    values, labels = a_phantom()
    levels = watershed_regions(values, SPACING, "CT")
    body = body_mask(values, "CT")
    for regions in levels:
        assert regions.shape == values.shape
        assert not regions[~body].any()
        ids = np.unique(regions)
        assert ids.tolist() == list(range(len(ids)))
    best = []
    for regions in levels:
        organ = labels == 1
        overlap = np.bincount(regions[organ])
        overlap[0] = 0
        region = regions == overlap.argmax()
        best.append(2 * (region & organ).sum() / (region.sum() + organ.sum()))
    assert max(best) > 0.8
    counts = [int(regions.max()) for regions in levels]
    assert counts == sorted(counts, reverse=True)


def test_no_region_spans_two_independent_slices() -> None:
    plane = np.zeros((64, 64), np.int16)
    plane[8:56, 8:56] = 400
    plane[20:40, 20:40] = 900
    for regions in slice_regions(np.stack([plane, plane])):
        first, second = (set(np.unique(part)) - {0} for part in regions)
        assert first
        assert not first & second


def test_blurred_colour_borders_snap_to_the_palette() -> None:
    colours = np.zeros((1, 40, 40, 3), np.int16)
    colours[0, 5:20, 5:20] = (255, 0, 0)
    colours[0, 25:38, 5:20] = (0, 255, 0)
    exact = colours.copy()
    colours[0, 4, 5:20] = (96, 0, 0)
    palette = find_palette(colours)
    labels = snap_colours(colours, palette)
    assert palette.tolist() == [[0, 0, 0], [0, 255, 0], [255, 0, 0]]
    assert np.array_equal(labels > 0, exact.any(axis=-1))
    assert len(np.unique(labels)) == 3


def test_masks_that_show_other_slices_than_their_images_are_dropped(tmp_path: Path) -> None:
    folder = tmp_path / "KneeBones3Dify"
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
        Image.fromarray(np.full((40, 40), 200, np.uint8)).save(folder / part / "1.png")
    _, labels, subjects = read_slice_set(folder)
    assert not labels.any()
    assert subjects == ["1"]


def test_painted_images_differ_by_seed_and_leave_air_dark() -> None:
    _, labels = a_phantom()
    images = []
    for seed in (1, 2):
        generator = np.random.default_rng(seed)
        body = invented_body(labels, SPACING, generator)
        assert body[labels > 0].all()
        clusters = background_clusters(body, SPACING, generator)
        image = paint(labels, clusters, SPACING, {1: "liver", 2: "kidney_left"}, generator)
        assert image.dtype == np.int16
        assert image.min() >= -200
        assert image.max() <= 2000
        assert np.median(image[~body]) < np.median(image[body])
        images.append(image)
    assert not np.array_equal(images[0], images[1])


def test_label_maps_are_painted_whatever_their_values() -> None:
    _, labels = a_phantom()
    many = np.where(labels > 0, labels.astype(np.uint16) + 300, 0)  # of a vocabulary with more than 255 names
    generator = np.random.default_rng(1)
    clusters = background_clusters(invented_body(many, SPACING, generator), SPACING, generator)
    image = paint(many, clusters, SPACING, {301: "liver", 302: "kidney_left"}, generator)
    inside = (many > 0) | (clusters > 0)
    assert np.median(image[inside]) > np.median(image[~inside])


def test_a_wall_lies_around_its_cavity_and_covers_nothing_else() -> None:
    labels = np.zeros((20, 40, 40), np.uint16)
    labels[5:15, 10:30, 10:25] = 1
    labels[5:15, 10:30, 25:35] = 2
    walled = with_wall(labels, 1, 300, 4.0, (2.0, 1.0, 1.0))
    assert np.array_equal(walled[labels > 0], labels[labels > 0])
    wall = np.argwhere(walled == 300)
    assert wall.min(axis=0).tolist() == [3, 6, 6]
    assert wall.max(axis=0).tolist() == [16, 33, 27]
    assert np.array_equal(with_wall(labels, 7, 300, 4.0, (2.0, 1.0, 1.0)), labels)


def test_one_table_of_labels_may_serve_several_cases_and_levels_are_named(data_dir: Path) -> None:
    folder = data_dir / "open" / "SpinalCord_SCT"
    for case in ("t1", "t2", "PAM50_T2"):
        write_nifti(a_phantom()[0], folder / f"{case}_image.nii.gz")
        write_nifti(a_phantom()[1], folder / f"{case}_label.nii.gz")
    tables = {"t1, t2": {"1": "spinal cord"}, "PAM50_T2": "cord by vertebral level, 1 = C1"}
    (folder / "dataset.json").write_text(json.dumps({"labels": tables}), encoding="utf-8")
    found = {source.case: source for source in find_sources(data_dir) if source.set_name == "SpinalCord_SCT"}
    assert found["t1"].names == found["t2"].names == {1: "spinal_cord"}
    assert (found["PAM50_T2"].names[1], found["PAM50_T2"].names[8]) == ("spinal_cord_c1", "spinal_cord_t1")


def test_clusters_of_a_scan_follow_its_intensities() -> None:
    values, labels = a_phantom()
    body = values > -300
    clusters = background_clusters(body, SPACING, np.random.default_rng(0), values)
    assert not clusters[~body].any()
    assert np.median(clusters[labels == 2]) > np.median(clusters[body & (labels == 0)])


def test_bending_moves_all_arrays_alike() -> None:
    _, labels = a_phantom()
    bent, same = deform([labels, labels.copy()], SPACING, np.random.default_rng(3))
    assert np.array_equal(bent, same)
    assert not np.array_equal(bent, labels)
    assert np.count_nonzero(bent) == pytest.approx(np.count_nonzero(labels), rel=0.3)


def test_the_demo_scan_and_the_benchmark_are_never_sources(data_dir: Path) -> None:
    names = [source.name for source in find_sources(data_dir)]
    assert "TotalSegmentator_examples__ct_chest_1p5mm" in names
    assert not any("ct_abdpelvis_3mm" in name or "SABS" in name for name in names)


def test_scans_of_one_patient_share_the_subject(data_dir: Path) -> None:
    write_nifti(a_phantom()[0], data_dir / "open" / "unlabelled" / "PGBM_Study3_T1post_image.nii.gz")
    subjects = [source.subject for source in find_sources(data_dir) if "PGBM" in source.case]
    assert len(subjects) == 2
    assert len(set(subjects)) == 1


def test_the_cache_is_made_once_and_resumed(data_dir: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    preparation.prepare(data_dir, cache, processes=1)
    volumes = {volume.name: volume for volume in load_volumes(cache)}

    # One CT, one MR, one 2D set; four paintings each of the CT's labels and of the label map.
    assert len(volumes) == 3 + 2 * preparation.VARIANTS
    scan = volumes["TotalSegmentator_examples__ct_chest_1p5mm"]
    assert scan.modality == "CT"
    assert np.array_equal(scan.image, a_phantom()[0])
    assert sorted(scan.labelings) == ["real", "regions0", "regions1", "regions2"]
    (liver,) = [value for value, name in scan.label_names.items() if name == "liver"]
    assert np.array_equal(scan.labelings["real"] == liver, a_phantom()[1] == 1)
    painted = volumes["synthetic__ct_chest_1p5mm_v0"]
    assert painted.label_names == scan.label_names
    assert (painted.label_group, painted.subject) == (scan.label_group, scan.subject)
    assert set(volumes["synthetic__headneck_1_v1"].label_names.values()) == {"lung_left", "spinal_cord"}
    assert volumes["slices_2d__Aorta"].kind == "slice2d"

    (cache / "slices_2d__Aorta" / "meta.json").unlink()
    before = (cache / scan.name / "meta.json").stat().st_mtime_ns
    preparation.prepare(data_dir, cache, processes=1)
    assert (cache / scan.name / "meta.json").stat().st_mtime_ns == before
    assert "slices_2d__Aorta" in {volume.name for volume in load_volumes(cache)}


def test_long_axes_shrink_alike_in_image_and_labels() -> None:
    values = np.zeros((8, 300, 20), np.float32)
    values[:, 100:200] = 500
    image, spacing = preparation.limit_image_size(values, (2.0, 1.0, 1.0))
    labels, label_spacing = preparation.limit_label_size((values > 0).astype(np.uint8), (2.0, 1.0, 1.0))
    assert image.shape == labels.shape == (8, 256, 20)
    assert spacing == label_spacing
    assert list(spacing) == pytest.approx([2.0, 300 / 256, 1.0])
    assert np.array_equal(image[4, :, 10] > 250, labels[4, :, 10] > 0)
