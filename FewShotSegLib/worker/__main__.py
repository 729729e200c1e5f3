"""Entry point of `python -m FewShotSegLib.worker FOLDER`."""

from __future__ import annotations

import sys

from FewShotSegLib.worker.process import main

if __name__ == "__main__":
    main(sys.argv[1:])
