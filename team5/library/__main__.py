"""Door of ``python -m team5.library``: the commands of candidate libraries."""

import sys

from team5.cli.library import main

if __name__ == "__main__":
    sys.exit(main())
