"""``python -m team5``, the same as the command ``team5``."""

import sys

from team5.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
