"""The command ``team5``: the programs and tools of the repository, by name."""

from __future__ import annotations

import sys
from importlib import import_module

from team5 import __version__
from team5.errors import ConfigError
from team5.runtime.command import print_error

# Each with its module, whether it has a Hydra command line, and a line of help.
_COMMANDS = {
    "predict": ("team5.cli.predict", True, "match, rank or simulate; search files and libraries"),
    "train": ("team5.cli.train", True, "train a model and export its best epoch as a version"),
    "evaluate": ("team5.cli.evaluate", True, "measure a version on spectra of known structure"),
    "serve": ("team5.cli.serve", True, "serve a model over HTTP, with a page for people"),
    "versions": ("team5.cli.versions", False, "list, show, compare, promote ... versions"),
    "simulate": ("team5.cli.simulate", False, "predict the spectra of a file of structures"),
    "library": ("team5.cli.library", False, "build and inspect candidate libraries"),
    "demo": (
        "team5.cli.demo",
        False,
        "fine-tune on the built-in demo set and predict with it",
    ),
}

_EXAMPLES = """\
    team5 predict smiles="CC(=O)Oc1ccccc1C(=O)O" mzs=[121.028,139.039] intensities=[100,35]
    team5 predict spectra=run.mgf candidates=suspects.csv output=ranking.csv
    team5 predict smiles=CCO
    team5 simulate structures=suspects.csv energies=10,20,40 output=lib.msp
    team5 serve
    team5 train experiment=finetune data=file data.path=my_spectra.mgf
    team5 versions list
"""


def main() -> int:
    """Run the command named by the first argument.

    Returns
    -------
    int
        Exit code: 0 done, 1 it failed, 2 the call was wrong, 130 Ctrl-C.
    """
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help", "help"):
        width = max(map(len, _COMMANDS))
        print(f"{_EXAMPLES}\nCommands, each with --help:\n")
        for name, (*_, line) in _COMMANDS.items():
            print(f"    {name:<{width}}  {line}")
        return 0
    if words[0] == "--version":
        print(f"team5 {__version__}")
        return 0
    if words[0] not in _COMMANDS:
        text = f"no command {words[0]!r}; there are {', '.join(_COMMANDS)}."
        print_error(ConfigError(text, argument="command"))
        return ConfigError.exit_code
    name, is_program, _ = _COMMANDS[words[0]]
    module = import_module(name)
    if not is_program:
        return int(module.main(words[1:]))
    # A training in several processes starts the others by this path.
    sys.argv = [str(module.__file__), *words[1:]]
    return int(module.main())
