"""Measure a version on spectra whose structure is known, with candidates of the same mass.

``python evaluate.py --help`` shows examples and all settings.
"""

import sys

from team5.cli.evaluate import main

# Hydra's shell completion looks for the word @hydra.main in a program.
if __name__ == "__main__":
    sys.exit(main())
