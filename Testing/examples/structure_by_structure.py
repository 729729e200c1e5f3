"""Each structure painted on slices of its own: what is not painted yet is looked for, and the result tells."""

import numpy as np

from FewShotSegLib import Example, Segmenter
from FewShotSegLib.demo.sample_scan import load_sample_scan

scan = load_sample_scan(["right kidney", "left kidney"])
examples = []
for name, slices in {"right kidney": [72, 85, 100], "left kidney": [75, 88, 97]}.items():
    value = next(value for value, known in scan.labels.names.items() if known == name)
    alone = np.where(scan.labels.array == value, value, 0)
    examples += Example.from_labelmap(scan.image, alone, slices=slices, names={value: name})
result = Segmenter().segment(scan.image, examples)

result.labelmap.write("kidneys.seg.nrrd")
for note in result.notes:
    print(note)  # Slice 85 along k: left kidney was found and is not painted there yet.
