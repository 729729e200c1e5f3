"""One axial, one coronal and one sagittal slice: together they say where a structure ends in all directions."""

import numpy as np

from FewShotSegLib import Example, Segmenter
from FewShotSegLib.demo.sample_scan import load_sample_scan

scan = load_sample_scan(["spleen"])
examples = []
for axis in (0, 1, 2):  # arrays have the axes (k, j, i): across axial, coronal and sagittal slices
    area = np.count_nonzero(scan.labels.array, axis=tuple({0, 1, 2} - {axis}))
    examples += Example.from_labelmap(scan.image, scan.labels, slices=[int(area.argmax())], axis=axis)
result = Segmenter().segment(scan.image, examples)

result.labelmap.write("spleen.seg.nrrd")
