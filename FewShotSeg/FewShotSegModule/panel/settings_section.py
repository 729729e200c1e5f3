"""The advanced settings: those that have no connector to the parameter node of their own, and all as one object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _

from FewShotSegModule.panel.segment_choice import SegmentChoice
from FewShotSegModule.runs.run_input import RunSettings
from FewShotSegModule.scene import geometry
from FewShotSegModule.scene.gather import rangeAxis


class SettingsSection:
    """Connects segments, background and slice range with the parameter node, and reads all settings from there.

    :param ui: Has refineStrengthSlider, backgroundSelector, sliceRangeCheckBox, sliceRangeWidget, and what
        SegmentChoice needs.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._parameters: Any = None
        self._names: list[str] = []
        self._backgrounds: list[str] = []
        self._updating = False
        self._segments = SegmentChoice(ui, self._onSegmentsChanged)
        ui.backgroundSelector.connect("currentIndexChanged(int)", self._onBackgroundChanged)
        ui.sliceRangeCheckBox.connect("toggled(bool)", self._onRangeChanged)
        ui.sliceRangeWidget.connect("valuesChanged(double,double)", self._onRangeChanged)

    def bind(self, parameters: Any) -> None:
        """Takes another parameter node."""
        self._parameters = parameters

    def runSettings(self) -> RunSettings:
        """The settings as a run takes them."""
        parameters = self._parameters
        leftOut = set(parameters.leftOutSegments)
        chosen = [name for name in self._names if name not in leftOut]
        return RunSettings(
            device=parameters.device,
            refine=parameters.refine,
            refineStrength=parameters.refineStrength,
            quality=parameters.quality,
            segmentNames=chosen if len(chosen) < len(self._names) else None,
            sliceRange=tuple(parameters.sliceRange) if parameters.sliceRange else None,
            roi=parameters.roi,
            background=parameters.background or None,
        )

    def update(self, names: Sequence[str], query: Any, rows: Sequence[Any]) -> None:
        """Shows the settings for the segments of the examples and the slices of the query.

        :param names: Names of the segments on the examples.
        :param query: The volume to segment, may be None.
        :param rows: The examples that are to be used.
        """
        parameters, ui = self._parameters, self._ui
        self._names = [name for name in names if name != parameters.background]
        self._updating = True
        try:
            self._showBackground(names)
            self._segments.show(self._names, parameters.leftOutSegments)
            ui.refineStrengthSlider.enabled = parameters.refine
            self._showRange(query, rows)
        finally:
            self._updating = False

    def _showBackground(self, names: Sequence[str]) -> None:
        """Offers the segments of the examples, and the one that is chosen also where it is on no example now."""
        selector, chosen = self._ui.backgroundSelector, self._parameters.background
        backgrounds = list(dict.fromkeys([*names, *([chosen] if chosen else [])]))
        if backgrounds != self._backgrounds or not selector.count:
            self._backgrounds = backgrounds
            selector.clear()
            selector.addItems([_("no segment"), *backgrounds])
        selector.currentIndex = 1 + backgrounds.index(chosen) if chosen else 0

    def _showRange(self, query: Any, rows: Sequence[Any]) -> None:
        """The range counts the query's slices along the axis that the examples were painted along."""
        ui, limited = self._ui, bool(self._parameters.sliceRange)
        known = query is not None and query.GetImageData() is not None
        count = geometry.shapeOf(query)[rangeAxis(query, rows)] if known else 0
        ui.sliceRangeCheckBox.enabled = count > 1
        ui.sliceRangeWidget.enabled = count > 1 and limited
        ui.sliceRangeCheckBox.checked = limited
        if count > 1:
            ui.sliceRangeWidget.setRange(0, count - 1)
            ui.sliceRangeWidget.setValues(*(self._parameters.sliceRange or (0, count - 1)))

    def _onSegmentsChanged(self, leftOut: list[str]) -> None:
        # Names of segments that are on no example now are kept: they may come back.
        kept = [name for name in self._parameters.leftOutSegments if name not in self._names]
        self._parameters.leftOutSegments = kept + leftOut

    def _onBackgroundChanged(self, index: int) -> None:
        if not self._updating and self._parameters is not None:
            self._parameters.background = self._backgrounds[index - 1] if index > 0 else ""

    def _onRangeChanged(self) -> None:
        if self._updating or self._parameters is None:
            return
        widget = self._ui.sliceRangeWidget
        chosen = [round(widget.minimumValue), round(widget.maximumValue)]
        self._parameters.sliceRange = chosen if self._ui.sliceRangeCheckBox.checked else []
