"""Strokes instead of areas: a cross inside of a structure, and a frame of "not this" around it."""

import numpy as np

from FewShotSegLib import Example, Segmenter
from FewShotSegLib.demo.sample_scan import load_sample_scan

SPLEEN, NOT_THIS, AROUND = 2, 9, 6
scan = load_sample_scan(["spleen"])
examples = []
for k in (86, 96, 106):
    spleen = scan.labels.array[k] == SPLEEN
    (row, column), ends = np.median(np.argwhere(spleen), axis=0).astype(int), np.argwhere(spleen)
    cross = np.zeros_like(spleen)
    cross[row : row + 2], cross[:, column : column + 2] = True, True
    (top, left), (bottom, right) = ends.min(axis=0) - AROUND, ends.max(axis=0) + AROUND
    mask = np.full(spleen.shape, NOT_THIS, np.uint8)
    mask[: top - 1], mask[bottom + 1 :], mask[:, : left - 1], mask[:, right + 1 :] = 0, 0, 0, 0
    mask[top:bottom, left:right] = np.where(cross & spleen, SPLEEN, 0)[top:bottom, left:right]
    examples.append(Example(scan.image, 0, k, mask, {SPLEEN: "spleen"}, complete=set(), background=NOT_THIS))
result = Segmenter().segment(scan.image, examples)

result.labelmap.write("spleen.seg.nrrd")
