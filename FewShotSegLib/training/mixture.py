"""How often each training volume is drawn."""

from __future__ import annotations

from .sources import TrainingVolume

OWN_WEIGHT = "weight"
"""Key of a volume's meta data that says its weight, where a cache is no mixture of the open sets."""
# Weight of one volume of a set. Sets of many alike volumes (hippocampus crops, head-and-neck plans) get little each.
_BY_SET = {
    "LIDC_CT": 8.0,
    "CCTH_CT": 4.0,
    "TotalSegmentator_examples": 7.0,
    "MSD_Spleen_crop": 2.0,
    "CRLM_CT": 4.0,
    "Abdomen_MR": 6.0,
    "Colin27": 3.0,
    "unlabelled": 2.0,
    "Breast_MR": 1.5,
    "Brain_MR": 1.5,
    "Neck_MR": 1.5,
    "MS_Ljubljana": 0.8,
    "Sunnybrook_cine": 4.0,
    "Vertebra_TPTBox": 2.5,
    "Leg_MR": 2.0,
    "Slicer_CTChest": 1.5,
    "Chest_CT": 1.5,
    "Mouse_MR": 1.0,
    "SpinalCord_SCT": 0.8,
    "SoftTissue_STS": 0.5,
    "Prostate_MR": 0.8,
    "pyradiomics": 1.0,
    "OpenKBP": 0.2,
    "Hippocampus_MSD": 0.03,
}
_BY_NAME = {
    "slices_2d__Whole-Heart-HVSMR-2.0": 6.0,
    "slices_2d__Kidney-Disease-T2W": 3.0,
    "synthetic__totalseg": 5.0,
    "synthetic__trunk": 2.0,
    "synthetic__heart": 0.8,
    "synthetic__vhf": 0.4,
    "synthetic__0001": 2.0,
    "synthetic__ct_": 1.5,
    "synthetic__ch2": 0.5,
    "synthetic__": 0.3,
}


def volume_weights(volumes: list[TrainingVolume]) -> list[float]:
    """Relative frequency of every volume."""
    return [_weight(volume) for volume in volumes]


def _weight(volume: TrainingVolume) -> float:
    if OWN_WEIGHT in volume.meta:
        return float(volume.meta[OWN_WEIGHT])
    for prefix, weight in _BY_NAME.items():
        if volume.name.startswith(prefix):
            return weight
    return _BY_SET.get(volume.set_name, 1.5)
