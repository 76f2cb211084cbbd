"""Train a model on spectra and export its best epoch as a version.

``python train.py --help`` shows examples and all settings.
"""

import sys

from team5.cli.train import main

# Hydra's shell completion looks for the word @hydra.main in a program.
if __name__ == "__main__":
    sys.exit(main())
