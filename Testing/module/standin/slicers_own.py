"""Slicer's own Python files in place of the stand-ins for them, where a checkout of its sources is at hand.

`SLICER_SOURCE=FOLDER python -m pytest Testing/module/test_panel.py` tries the panel with the parameter node's wrapper,
its connectors to widgets, and the base classes of modules as they are in that version of Slicer. Nothing of Slicer is
part of this repository, so without the variable the stand-ins are used.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

VARIABLE = "SLICER_SOURCE"

#: Widgets that Slicer's connectors know and this module's panel doesn't have.
_OTHER_CTK = (
    "ctkCheckBox",
    "ctkCheckablePushButton",
    "ctkColorPickerButton",
    "ctkComboBox",
    "ctkDirectoryButton",
    "ctkDoubleRangeSlider",
    "ctkDoubleSlider",
    "ctkDoubleSpinBox",
    "ctkPathLineEdit",
)
_OTHER_QMRML = ("qMRMLRangeWidget", "qMRMLSliderWidget", "qMRMLSpinBox")


def use(slicer: Any, ctk: ModuleType) -> None:
    """Loads them if the variable is set; to be called before the module under test is imported."""
    source = os.environ.get(VARIABLE)
    if not source:
        return
    for namespace, names in ((ctk, _OTHER_CTK), (slicer, _OTHER_QMRML)):
        for name in names:
            setattr(namespace, name, type(name, (), {}))
    slicer.app.translate = lambda _context, text: text
    manager = SimpleNamespace(connect=lambda *_arguments: True, disconnect=lambda *_arguments: True)
    slicer.app.moduleManager = lambda: manager
    slicer.util.settingsValue = lambda _key, default, converter=None: default
    module = Path(__file__).resolve().parents[3] / "FewShotSeg" / "FewShotSeg.py"
    slicer.util.modulePath = lambda _name: str(module)
    folder = Path(source).expanduser() / "Base" / "Python" / "slicer"
    _load("slicer.i18n", folder / "i18n.py")
    _load("slicer.parameterNodeWrapper", folder / "parameterNodeWrapper" / "__init__.py")
    _load("slicer.ScriptedLoadableModule", folder / "ScriptedLoadableModule.py")


def _load(name: str, file: Path) -> None:
    package = [str(file.parent)] if file.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=package)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    parent, _dot, child = name.rpartition(".")
    setattr(sys.modules[parent], child, module)
