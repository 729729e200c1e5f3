"""Command that turns the open data sets into the cache that training reads.

    python -m FewShotSegLib.training.prepare --data DIR --output DIR

`DIR/open` of the data holds the sets. A volume that is already in the cache is skipped, so the command may be stopped
and started again; volumes appear in the order of their usefulness and each is complete when it appears.
"""

from __future__ import annotations

import argparse
import logging
import time
import traceback
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage

from FewShotSegLib.training import colour_slices, open_data, synthesis
from FewShotSegLib.training.label_vocabulary import extend_vocabulary
from FewShotSegLib.training.regions import body_mask, slice_regions, watershed_regions
from FewShotSegLib.training.sources import (
    META_FILE,
    REAL_LABELS,
    TrainingVolume,
    save_volume,
    sensible_axes,
    smallest_unsigned,
)

LOGGER = logging.getLogger(__name__)
LARGEST_SIZE = 256
SMALLEST_LABEL_VOXELS = 20
VARIANTS = 4
CROP_MARGIN = 6
# Hearts that are cavities only get a wall of the left ventricle, of a thickness within these bounds in mm.
CAVITY, WALL, WALL_MM = "ventricle_left", "myocardium", (5.0, 12.0)
# Scans whose labels are dense enough to be repainted.
PAINTED_SCANS = {"LIDC_CT/0001", "TotalSegmentator_examples/ct_upperabd_dicom", "Colin27/ch2"}
PAINTED_SCANS |= {"TotalSegmentator_examples/ct_chest_1p5mm"}
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Job:
    """One cache folder to be made: its name and what makes it."""

    name: str
    make: Callable[[], TrainingVolume]


def main(arguments: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds open/")
    parser.add_argument("--output", type=Path, required=True, help="cache folder")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="make only volumes whose name contains this")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    prepare(options.data, options.output, options.processes, options.only)


def prepare(data_dir: Path, cache_dir: Path, processes: int = 2, only: str = "") -> None:
    """Make every missing volume of the cache; a volume that fails is reported and the others go on."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    jobs = [job for job in list_jobs(data_dir, cache_dir) if only in job.name]
    missing = [job for job in jobs if not (cache_dir / job.name / META_FILE).exists()]
    LOGGER.info("%d of %d volumes to make", len(missing), len(jobs))
    with ProcessPoolExecutor(max_workers=processes) as pool:
        futures = [pool.submit(_run, job, cache_dir) for job in missing]
        for done, future in enumerate(as_completed(futures), start=1):
            LOGGER.info("%d/%d %s", done, len(futures), future.result())


def list_jobs(data_dir: Path, cache_dir: Path) -> list[Job]:
    """Return all volumes of the cache in the order in which they should be made."""
    sources = open_data.find_sources(data_dir)
    named = [name for source in sources if open_data.uses_common_names(source) for name in source.names.values()]
    vocabulary = extend_vocabulary(cache_dir, [*named, WALL])
    jobs: list[Job] = []
    later: list[Job] = []
    flat = [
        Job(f"slices_2d__{colour_slices.slice_set_name(folder, data_dir)}", partial(make_slices, folder, data_dir))
        for folder in colour_slices.find_slice_sets(data_dir)
    ]
    for source in sources:
        if source.image is not None:
            if source.set_name == "OpenKBP" and flat:
                jobs += flat
                flat = []
            jobs.append(Job(source.name, partial(make_scan, source, vocabulary)))
        if source.image is None or f"{source.set_name}/{source.case}" in PAINTED_SCANS:
            painted = [
                Job(f"synthetic__{source.case}_v{variant}", partial(make_painted, source, vocabulary, variant))
                for variant in range(VARIANTS)
            ]
            if source.case.startswith("totalseg"):
                jobs += painted
            else:
                later += painted
    return jobs + flat + later


def make_scan(source: open_data.Source, vocabulary: dict[str, int]) -> TrainingVolume:
    """Read a scan and its labels and cut it into regions."""
    values, spacing = open_data.read_image(source)
    # OpenKBP is mostly empty air around a small body.
    box = _box(values > -900) if source.set_name == "OpenKBP" else ...
    labelings: dict[str, np.ndarray] = {}
    names: dict[int, str] = {}
    if source.labels is not None:
        labels, names = _renumbered(open_data.read_labels(source)[0], source, vocabulary)
        labelings[REAL_LABELS] = limit_label_size(labels[box], spacing)[0]
    values, spacing = limit_image_size(values[box], spacing)
    image, scaling = (np.clip(values, -1024, 3071), {}) if source.modality == "CT" else rescale(values)
    image = np.rint(image).astype(np.int16)
    for level, regions in enumerate(watershed_regions(image, spacing, source.modality)):
        labelings[f"regions{level}"] = smallest_unsigned(regions)
    return TrainingVolume(
        name=source.name,
        set_name=source.set_name,
        modality=source.modality,
        kind="volume",
        spacing_kji=spacing,
        axes=sensible_axes(image.shape, spacing),
        image=image,
        labelings=labelings,
        label_names=names,
        label_group=source.group,
        background_complete=source.dense,
        subject=source.subject,
        meta=scaling,
    )


def make_painted(source: open_data.Source, vocabulary: dict[str, int], variant: int) -> TrainingVolume:
    """Paint a label map with random contrast; the variant and the case decide all randomness."""
    seed = zlib.crc32(f"{source.name}/{variant}".encode())
    generator = np.random.default_rng(seed)
    raw, spacing = open_data.read_labels(source)
    if source.image is None:
        labels, names = _renumbered(raw[_box(raw > 0, margin=int(np.ceil(45 / spacing[1])))], source, vocabulary)
        labels, spacing = limit_label_size(labels, spacing)
        if CAVITY in names.values():
            labels = labels.astype(np.uint16)
            cavity = next(value for value, name in names.items() if name == CAVITY)
            thickness = generator.uniform(*WALL_MM)
            labels = synthesis.with_wall(labels, cavity, vocabulary[WALL], thickness, spacing)
            names |= {vocabulary[WALL]: WALL}
        body = synthesis.invented_body(labels, spacing, generator)
        clusters = synthesis.background_clusters(body, spacing, generator)
    else:
        # No painted scan is large enough to be shrunk.
        image = open_data.read_image(source)[0]
        body = body_mask(image if source.modality == "CT" else rescale(image)[0], source.modality) | (raw > 0)
        box = _box(body)
        labels, names = _renumbered(raw[box], source, vocabulary)
        clusters = synthesis.background_clusters(body[box], spacing, generator, image[box])
    if variant > 0:
        labels, clusters = synthesis.deform([labels, clusters], spacing, generator)
    painted = synthesis.paint(labels, clusters, spacing, names, generator)
    labelings = {REAL_LABELS: smallest_unsigned(labels)}
    return TrainingVolume(
        name=f"synthetic__{source.case}_v{variant}",
        set_name=f"synthetic_{source.set_name}",
        modality="synthetic",
        kind="volume",
        spacing_kji=spacing,
        axes=sensible_axes(painted.shape, spacing),
        image=painted,
        labelings=labelings,
        label_names=names,
        label_group=source.group,
        background_complete=True,
        subject=source.subject,
        meta={"seed": seed, "variant": variant, "painted_from": f"{source.set_name}/{source.case}"},
    )


def make_slices(folder: Path, data_dir: Path) -> TrainingVolume:
    """Stack one set of 2D slices; 8-bit values are no Hounsfield units, so all of them count as "MR"."""
    set_name = colour_slices.slice_set_name(folder, data_dir)
    luminance, labels, subjects = colour_slices.read_slice_set(folder)
    image = np.rint(rescale(luminance)[0]).astype(np.int16)
    labelings = {REAL_LABELS: labels}
    for level, regions in enumerate(slice_regions(image)):
        labelings[f"regions{level}"] = smallest_unsigned(regions)
    present = [int(value) for value in np.unique(labels) if value > 0]
    return TrainingVolume(
        name=f"slices_2d__{set_name}",
        set_name=f"slices_2d_{set_name}",
        modality="MR",
        kind="slice2d",
        spacing_kji=(1.0, 1.0, 1.0),
        axes=[0],
        image=image,
        labelings=labelings,
        label_names={value: f"colour_{value}" for value in present},
        label_group=f"slices_2d_{set_name}",
        background_complete=False,
        subject=f"slices_2d/{set_name}",
        meta={"slice_subjects": subjects, "spacing_known": False},
    )


def rescale(values: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """Map the 0.5 and 99.5 percentiles of the non-background to 0 and 1000, clipped to -200..2000.

    Args:
        values: float (k, j, i) in arbitrary units, air dark.

    Returns:
        The rescaled values, and the raw values that became 0 and 1000.
    """
    floor = np.percentile(values, 1)
    threshold = floor + 0.05 * (np.percentile(values, 99) - floor)
    inside = values[values > threshold]
    low, high = np.percentile(inside, (0.5, 99.5)) if inside.size else (float(values.min()), float(values.max()))
    scaled = np.clip((values - low) * (1000.0 / max(high - low, 1e-6)), -200, 2000)
    return scaled.astype(np.float32), {"raw_value_of_0": float(low), "raw_value_of_1000": float(high)}


def limit_image_size(values: np.ndarray, spacing: Spacing) -> tuple[np.ndarray, Spacing]:
    """Shrink every axis of a float image longer than LARGEST_SIZE to it: any axis may end up in-plane.

    Args:
        values: float (k, j, i); averaged before it is sampled.
        spacing: Voxel size (k, j, i) in mm.

    Returns:
        The image and its spacing.
    """
    factors = _shrink_factors(values.shape)
    smooth = ndimage.gaussian_filter(values, [0.0 if factor == 1.0 else 0.4 / factor for factor in factors])
    small = ndimage.zoom(smooth, factors, order=1, grid_mode=True, mode="nearest")
    return small, _shrunk_spacing(values.shape, small.shape, spacing)


def limit_label_size(labels: np.ndarray, spacing: Spacing) -> tuple[np.ndarray, Spacing]:
    """Shrink a label array exactly as `limit_image_size` shrinks an image, without mixing labels."""
    small = ndimage.zoom(labels, _shrink_factors(labels.shape), order=0, grid_mode=True, mode="nearest")
    return small, _shrunk_spacing(labels.shape, small.shape, spacing)


def _shrink_factors(shape: tuple[int, ...]) -> list[float]:
    return [min(1.0, LARGEST_SIZE / size) for size in shape]


def _shrunk_spacing(old: tuple[int, ...], new: tuple[int, ...], spacing: Spacing) -> Spacing:
    k, j, i = (mm * before / after for mm, before, after in zip(spacing, old, new, strict=True))
    return k, j, i


def _renumbered(
    raw: np.ndarray, source: open_data.Source, vocabulary: dict[str, int]
) -> tuple[np.ndarray, dict[int, str]]:
    """Give every structure its value in the common vocabulary (or its own one) and drop crumbs of a few voxels."""
    counts = np.bincount(raw.ravel().astype(np.int64))
    table = np.zeros(len(counts), np.uint16)
    names: dict[int, str] = {}
    for value in range(1, len(counts)):
        if counts[value] < SMALLEST_LABEL_VOXELS:
            continue
        name = source.names.get(value, f"label_{value}")
        new = vocabulary.get(name, 0) if open_data.uses_common_names(source) else value
        if new:
            table[value] = new
            names[new] = name
    return smallest_unsigned(table[raw]), names


def _box(mask: np.ndarray, margin: int = CROP_MARGIN) -> tuple[slice, ...]:
    """Return the mask's bounding box grown by the margin in-plane; slices without any of it go too."""
    if not mask.any():
        return tuple(slice(None) for _ in mask.shape)
    box = []
    for axis in range(mask.ndim):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        grow = margin if axis else 0
        box.append(slice(max(0, int(used[0]) - grow), int(used[-1]) + 1 + grow))
    return tuple(box)


def _run(job: Job, cache_dir: Path) -> str:
    start = time.monotonic()
    try:
        volume = job.make()
        save_volume(volume, cache_dir)
    except Exception:  # one broken file must not cost the other volumes
        return f"FAILED {job.name}\n{traceback.format_exc()}"
    labels = len(volume.label_names)
    return f"{job.name} {volume.image.shape} {labels} labels, {time.monotonic() - start:.0f} s"


if __name__ == "__main__":
    main()
