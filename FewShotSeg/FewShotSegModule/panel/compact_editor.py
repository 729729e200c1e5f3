"""Arranges Slicer's Segment Editor for a panel that has to show more than it."""

from __future__ import annotations

from typing import Any

#: Tools in a row beside the list of segments; the editor's own two make it higher than the list.
_COLUMNS = 4


def makeCompact(ui: Any) -> None:
    """Puts an active tool's options below the list of segments, over the whole width, and folds masking and help.

    As it comes, the options stand beside the tools, which makes the panel 130 pixels wider whenever a tool is chosen,
    and moves the views under the mouse. A part that this version of Slicer does not have is left out.

    :param ui: The panel's widgets by name, with segmentEditorWidget and the parts inside of it.
    """
    editor = ui.segmentEditorWidget
    editor.setEffectColumnCount(_COLUMNS)
    layout = editor.layout()
    layout.setContentsMargins(0, 0, 0, 0)
    options, masking, help_ = (
        getattr(ui, name, None) for name in ("OptionsGroupBox", "MaskingGroupBox", "EffectHelpBrowser")
    )
    for box in (options, masking):
        if box is not None:
            layout.addWidget(box, layout.rowCount(), 0)
    # What is left over stays below, not between the list and the options.
    layout.setRowStretch(layout.rowCount(), 1)
    if masking is not None:
        masking.collapsed = True
    if help_ is not None and options is not None:
        help_.visible = False
        help_.connect("textChanged()", lambda: options.setToolTip(help_.collapsibleText()))
