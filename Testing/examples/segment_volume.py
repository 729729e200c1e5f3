"""The least that is needed: three painted slices of a CT, and their structures on all the others."""

from FewShotSegLib import Example, Segmenter
from FewShotSegLib.demo.sample_scan import load_sample_scan

scan = load_sample_scan(["right kidney", "left kidney"])  # for files: Volume.read("ct.nii.gz")
examples = Example.from_labelmap(scan.image, scan.labels, slices=[70, 85, 100])
result = Segmenter(device="auto").segment(scan.image, examples)

result.labelmap.write("kidneys.seg.nrrd")  # opens in 3D Slicer with names and colours
result.confidence.write("confidence.nii.gz")
for value, name in result.labelmap.names.items():
    print(f"{name}: {(result.labelmap.array == value).sum() * result.labelmap.voxel_volume / 1000:.0f} ml")
