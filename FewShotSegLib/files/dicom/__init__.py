"""DICOM: the largest regular stack of slices among the files of a folder, and segmentations as labelmaps."""

from FewShotSegLib.files.dicom.reading import read_file, read_folder

__all__ = ["read_file", "read_folder"]
