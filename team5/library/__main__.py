"""Entry point of ``python -m team5.library``: the commands on candidate libraries."""

import sys

from team5.cli.library import main

if __name__ == "__main__":
    sys.exit(main())
