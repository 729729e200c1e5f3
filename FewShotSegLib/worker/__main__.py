"""Entry point of `python -m FewShotSegLib.worker FOLDER`."""

from __future__ import annotations

import sys

from FewShotSegLib import threads

if __name__ == "__main__":
    threads.prepare()  # before numpy and torch are loaded
    from FewShotSegLib.worker.process import main

    main(sys.argv[1:])
