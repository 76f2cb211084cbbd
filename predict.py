"""Ask a trained model about a structure, a spectrum, or both.

``python predict.py --help`` shows examples and all settings.
"""

import sys

from team5.cli.predict import main

# Hydra's shell completion looks for the word @hydra.main in a program.
if __name__ == "__main__":
    sys.exit(main())
