"""Segment from Examples: the classes by whose names Slicer finds the module; what they do is in FewShotSegModule."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

# In a package, the engine lies beside this file. In a source checkout it lies beside this file's folder, which Slicer
# doesn't search; and tools that load the file by its path don't search this folder either.
_FOLDER = Path(__file__).resolve().parent
for _place in (_FOLDER, *([] if (_FOLDER / "FewShotSegLib").is_dir() else [_FOLDER.parent])):
    if str(_place) not in sys.path:
        sys.path.append(str(_place))

import slicer  # noqa: E402
from FewShotSegModule.effect.registration import registerEffect  # noqa: E402
from FewShotSegModule.logic import FewShotSegLogic  # noqa: E402
from FewShotSegModule.panel.widget import FewShotSegWidget  # noqa: E402
from FewShotSegModule.self_test.self_test import FewShotSegTest  # noqa: E402
from FewShotSegModule.setup.sample_data import registerSampleData  # noqa: E402
from slicer.i18n import tr as _  # noqa: E402
from slicer.i18n import translate  # noqa: E402
from slicer.ScriptedLoadableModule import ScriptedLoadableModule  # noqa: E402

__all__ = ["FewShotSeg", "FewShotSegLogic", "FewShotSegTest", "FewShotSegWidget"]


class FewShotSeg(ScriptedLoadableModule):
    """What Slicer's module list shows."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Segment from Examples")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "SegmentEditor", "Volumes"]
        parent.contributors = ["FewShotSeg contributors"]
        parent.helpText = _(
            "Paint structures on a few slices of a volume, and get them on all the others: click"
            " <b>Segment from examples</b>, go on painting, and the result follows. Paint all structures on a slice"
            " or one after the other, areas or strokes, on slices along any axis. Keys: {add}"
            " adds the current slice, {run} starts and cancels, {accept} accepts the result."
            " The Segment Editor has it as an effect, too."
            ' <a href="https://github.com/FewShotSeg/SlicerFewShotSeg#readme">Documentation</a>.'
        ).format(add="Ctrl+Shift+E", run="Ctrl+Shift+G", accept="Ctrl+Shift+K")
        parent.acknowledgementText = _(
            "The method follows: Song, Xu, Wang, Du, Chen, Zhang, Li: Interactive prototype learning and"
            " self-learning for few-shot medical image segmentation. Artificial Intelligence in Medicine 167 (2025)"
            " 103183, {link}. This is an independent implementation from the paper's abstract. Research software,"
            " no medical device."
        ).format(link='<a href="https://doi.org/10.1016/j.artmed.2025.103183">doi 10.1016/j.artmed.2025.103183</a>')
        slicer.app.connect("startupCompleted()", registerSampleData)
        slicer.app.connect("startupCompleted()", registerEffect)
