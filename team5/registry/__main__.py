"""Entry point of ``python -m team5.registry``: the commands on versions."""

import sys

from team5.cli.versions import main

if __name__ == "__main__":
    sys.exit(main())
