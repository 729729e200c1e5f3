"""Tells Slicer's Segment Editor of the effect."""

from __future__ import annotations

from pathlib import Path

import FewShotSegModule


def registerEffect() -> None:
    """Registers the effect; to be called once, when the application has started."""
    import qSlicerSegmentationsEditorEffectsPythonQt as effects

    folder = Path(FewShotSegModule.__file__).resolve().parents[1] / "FewShotSegEffect"
    effect = effects.qSlicerSegmentEditorScriptedEffect(None)
    effect.setPythonSource((folder / "SegmentFromExamplesEffect.py").as_posix())
    effect.self().register()
