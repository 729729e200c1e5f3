"""The parts of the FewShotSeg module of 3D Slicer; the engine below them is FewShotSegLib, which knows no Slicer."""
