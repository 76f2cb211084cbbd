"""Serve a model over HTTP: a page for people at /, JSON for programs at /predict.

``python serve.py --help`` shows examples and all settings.
"""

import sys

from team5.cli.serve import main

# Hydra's shell completion looks for the word @hydra.main in a program.
if __name__ == "__main__":
    sys.exit(main())
