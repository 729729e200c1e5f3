"""The folder through which arrays go to a worker and back, and what becomes of it when nobody could remove it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import IO

_PREFIX = "FewShotSeg-"
#: Held open, and locked where that is not the same, by the application that the folder belongs to; whatever ends the
#: application, the system lets go of it.
_OWNER = "owner"
#: Seconds after which a folder without that file was not just made by somebody.
_OLD = 24 * 3600.0


class ExchangeFolder:
    """A folder of this process alone, readable by its user only; to be removed when its worker has ended.

    An application that is killed removes nothing, and Windows refuses while a worker that was killed still has a file
    open. So what was left behind is removed whenever a new one is made.

    Example::

        folder = ExchangeFolder()
        np.save(folder.path / "1-query.npy", array)
        folder.remove()

    :raises OSError: It can't be made.
    """

    def __init__(self) -> None:
        removeAbandoned()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._owner = open(self.path / _OWNER, "wb")  # noqa: SIM115  # stays open as long as the folder is used
        with contextlib.suppress(OSError):  # a file system without locks: nobody can tell that it is abandoned then
            _lock(self._owner)

    def remove(self) -> None:
        """Removes it, or leaves that to the next one where the system refuses; may be called again."""
        self._owner.close()
        shutil.rmtree(self.path, ignore_errors=True)


def removeAbandoned() -> None:
    """Removes the folders of applications that are gone, and those that could not be removed in their time."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if _isOurs(folder) and _isAbandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _isOurs(folder: Path) -> bool:
    """Whether it is a folder, not a link to one, of this user."""
    found = folder.lstat()
    return folder.is_dir() and not folder.is_symlink() and (os.name == "nt" or found.st_uid == os.getuid())


def _isAbandoned(folder: Path) -> bool:
    """Whether no application holds it; those that can't be asked for that are held."""
    owner = folder / _OWNER
    if not owner.exists():
        return time.time() - folder.stat().st_mtime > _OLD
    if os.name == "nt":
        owner.unlink()  # which is refused while it is open
        return True
    with open(owner, "rb+") as file:
        _lock(file)
    return True


def _lock(file: IO[bytes]) -> None:
    """Marks an open file as in use.

    :raises OSError: Somebody else has.
    """
    if os.name != "nt":  # there, that it is open is enough
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
