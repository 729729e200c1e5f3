"""Training volumes of a trial: images cut into superpixels, without any label."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from FewShotSegLib.errors import SettingError
from FewShotSegLib.evaluation.in_domain.trials import Trial
from FewShotSegLib.evaluation.runner import CaseStore
from FewShotSegLib.training.mixture import OWN_WEIGHT
from FewShotSegLib.training.prepare import limit_image_size, rescale
from FewShotSegLib.training.regions import watershed_regions
from FewShotSegLib.training.sources import META_FILE, TrainingVolume, save_volume, sensible_axes, smallest_unsigned
from FewShotSegLib.volume import Volume

# Grey values as they are, of unknown unit: the CT set of this protocol is a window of 8 bits, no Hounsfield units.
MODALITY = "MR"


def prepare_trial(trial: Trial, store: CaseStore, cache: Path) -> list[str]:
    """Makes what is missing of a trial's training volumes.

    Args:
        trial: Says which cases and slices may be seen.
        store: Gives the cases, and checks them against the manifest that the trial is measured with later.
        cache: Folder of this trial's volumes alone.

    Returns:
        Names of the volumes.

    Raises:
        SettingError: No stack of slices is left to train on, or the folder holds volumes of something else.
        ManifestMismatchError: The data is not what the manifest was made from.
        DatasetNotFoundError: A case is missing.
    """
    dataset, manifest = store.dataset(trial.dataset)
    names = []
    for case in trial.training_cases(list(manifest.cases)):
        image, label = store.case(trial.dataset, case)
        # All that is ever used of the labels: which slices to leave out.
        for first, last in trial.training_stacks(label.array, dataset.spec.ep1_labels):
            name = f"{trial.dataset}__{case}__{first}-{last}"
            names.append(name)
            if not (cache / name / META_FILE).exists():
                save_volume(unlabelled_volume(image, first, last, name, trial.dataset, case), cache)
    if not names:
        raise SettingError(f"{trial.dataset} has no slices to train on under {trial.setting}.")
    others = sorted({path.parent.name for path in cache.glob(f"*/{META_FILE}")} - set(names))
    if others:
        # They would be trained on, whatever they show.
        raise SettingError(f"{cache} holds volumes that don't belong to {trial.name}, such as {others[0]}; remove it.")
    return names


def unlabelled_volume(image: Volume, first: int, last: int, name: str, set_name: str, case: str) -> TrainingVolume:
    """The slices first..last of an image (along array axis 0) with superpixels in place of labels."""
    # Scaled by its own slices only, so that nothing of those left out gets in.
    values, spacing = limit_image_size(image.array[first : last + 1].astype(np.float32), image.spacing_kji)
    scaled, scaling = rescale(values)
    pixels = np.rint(scaled).astype(np.int16)
    regions = watershed_regions(pixels, spacing, MODALITY)
    return TrainingVolume(
        name=name,
        set_name=set_name,
        modality=MODALITY,
        kind="volume",
        spacing_kji=spacing,
        axes=sensible_axes(pixels.shape, spacing),
        image=pixels,
        labelings={f"regions{level}": smallest_unsigned(cut) for level, cut in enumerate(regions)},
        subject=f"{set_name}/{case}",
        # Every slice is drawn as often as any other: S2 leaves stacks of very different heights.
        meta=scaling | {"first_slice": first, "last_slice": last, OWN_WEIGHT: last - first + 1},
    )
