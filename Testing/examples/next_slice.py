"""A session: paint a slice, look, paint the slice that is suggested, look again."""

from FewShotSegLib import Example, Segmenter
from FewShotSegLib.demo.sample_scan import load_sample_scan

scan = load_sample_scan(["right kidney"])
session = Segmenter().session(scan.image)
session.add(Example.from_labelmap(scan.image, scan.labels, slices=[85])[0])
result = session.predict()

(suggestion,) = session.suggest(count=1)
print(suggestion)  # Slice 96 along k: ends of right kidney, say
mask = scan.labels.array.take(suggestion.index, suggestion.axis)  # here a user would paint
session.add(Example(scan.image, suggestion.axis, suggestion.index, mask, scan.labels.names))
result = session.predict(near=lambda slices, labels, confidence: print(f"first look at slices {slices}"))

result.labelmap.write("kidney.seg.nrrd")
