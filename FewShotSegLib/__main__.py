"""`python -m FewShotSegLib` is the shell command `fewshotseg`."""

import sys

from FewShotSegLib.cli import main

if __name__ == "__main__":
    sys.exit(main())
