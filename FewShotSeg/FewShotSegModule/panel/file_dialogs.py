"""Choosing files and folders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt


def pathOf(chosen: Any) -> str:
    """The path that a file dialog gives, "" if it was cancelled; some bindings of Qt give the filter, too."""
    return str(chosen[0] if isinstance(chosen, tuple) else chosen)


def browseMenu(button: Any, edit: Any, folder: str, file: str, chooseFile: Callable[[], str]) -> None:
    """Lets a button offer to choose a folder or a file, and put its path into a text field.

    :param button: A QToolButton.
    :param edit: The QLineEdit.
    :param folder: Text of the entry for a folder.
    :param file: Text of the entry for a file.
    :param chooseFile: Asks for a file; gives "" if the user cancelled.
    """

    def chosen(path: str) -> None:
        if path:
            edit.text = path

    menu = qt.QMenu(button)
    for text, choose in (
        (folder, lambda: pathOf(qt.QFileDialog.getExistingDirectory(edit, "", edit.text))),
        (file, chooseFile),
    ):
        entry = qt.QAction(text, menu)
        entry.connect("triggered()", _choosing(choose, chosen))
        menu.addAction(entry)
    button.setMenu(menu)
    button.setPopupMode(qt.QToolButton.InstantPopup)
    # Without the arrow, which would need room of its own; three dots say that there is more.
    button.setStyleSheet("QToolButton::menu-indicator { image: none }")


def _choosing(choose: Callable[[], str], chosen: Callable[[str], None]) -> Callable[[], None]:
    return lambda: chosen(choose())
