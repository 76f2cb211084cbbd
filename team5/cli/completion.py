"""Completion in bash, zsh and fish: keys, choices, versions and files of an entry point.

eval "$(python predict.py --shell-completion bash)"

A shell asks this module, run by itself, for what may follow; it reads the YAML files alone, so
that the answer comes while somebody waits for it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from team5.errors import ConfigError
from team5.registry.versions import Version

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG_DIR = REPOSITORY / "configs"
ENTRY_POINTS = ("train", "predict", "evaluate", "serve")
SHELLS = ("bash", "zsh", "fish")

_VERSIONS = ("version", "from_version", "resume")
_CHOICES = {"device": ("auto", "cpu", "cuda", "mps"), "format": ("text", "json")}
_FILES = {
    *("spectra", "candidates", "references", "library", "output", "checkpoints_root"),
    *("data.path", "data.archive", "data.folds", "data.pool", "data.queries", "data.train"),
    *("data.massspecgym", "data.candidates", "data.cache_dir", "callbacks.export.gate_queries"),
}
_FLAGS = ("--help", "--cfg", "--shell-completion")

# In all three only `python PROGRAM.py` is completed here; what else Python is called with goes on
# as the shell does it by itself.
_BASH = """\
_team5() {
    local line=${COMP_LINE:0:COMP_POINT} IFS=$' \\t\\n' one
    local -a words
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    COMPREPLY=()
    (( ${#words[@]} > 2 )) || return
    case ${words[1]##*/} in PROGRAMS) ;; *) return ;; esac
    local word=${words[${#words[@]} - 1]} before=""
    # Where the shell parts words at = it takes only what stands behind it.
    [[ $COMP_WORDBREAKS == *=* && $word == *=* ]] && before=${word%"${word##*=}"}
    IFS=$'\\n'
    for one in $(PYTHONPATH=ROOT "${words[0]}" -m team5.cli.completion "${words[@]:1}" 2>/dev/null)
    do
        [[ $one == *[=./] ]] && compopt -o nospace 2>/dev/null
        COMPREPLY+=("$(printf %q "${one#"$before"}")")
    done
}
complete -o bashdefault -o default -F _team5 python python3
"""
_ZSH = """\
_team5() {
    if (( CURRENT < 3 )) || [[ ${words[2]:t} != (PROGRAMS) ]]; then _default; return; fi
    local -a found
    found=("${(@f)$(PYTHONPATH=ROOT ${words[1]} -m team5.cli.completion \\
        "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    local -a open=(${(M)found:#*[=./]}) whole=(${found:#*[=./]})
    compadd -S '' -a open
    compadd -a whole
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -u; }
compdef _team5 python python3
"""
_FISH = """\
function __team5_is
    set -l words (commandline -opc)
    test (count $words) -ge 2; and string match -qr '(^|/)(PROGRAMS)$' -- $words[2]
end
function __team5
    set -l words (commandline -opc) (commandline -ct)
    env PYTHONPATH=ROOT $words[1] -m team5.cli.completion $words[2..-1] 2>/dev/null
end
complete -c python -n __team5_is -f -a '(__team5)'
complete -c python3 -n __team5_is -f -a '(__team5)'
"""


def shell_script(shell: str) -> str:
    """Return what a shell evaluates to complete the four programs.

    Raises
    ------
    ConfigError
        If it is none of `SHELLS`.
    """
    import shlex

    if shell not in SHELLS:
        raise ConfigError(
            f"--shell-completion {shell}: choose {', '.join(SHELLS[:-1])} or {SHELLS[-1]}, as in "
            'eval "$(python predict.py --shell-completion bash)".'
        )
    text = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}[shell]
    programs = "|".join(f"{name}.py" for name in ENTRY_POINTS)
    return text.replace("PROGRAMS", programs).replace("ROOT", shlex.quote(str(REPOSITORY)))


def complete(entry_point: str, words: Sequence[str], config_dir: Path = CONFIG_DIR) -> list[str]:
    """Return what the last word may become, sorted.

    Parameters
    ----------
    entry_point : str
        Name of its config.
    words : sequence of str
        Those behind the program's name; the last is being typed and may be empty.
    config_dir : Path, default the repository's ``configs/``

    Returns
    -------
    list of str
        Whole words. ``key=`` wants a value, ``group.`` a further key, ``folder/`` a file.
    """
    *before, current = words or [""]
    if current.startswith("-"):
        return [flag for flag in _FLAGS if flag.startswith(current)]
    if before and before[-1] == "--shell-completion":
        return [shell for shell in SHELLS if shell.startswith(current)]
    typed = dict(word.split("=", 1) for word in before if "=" in word)
    settings, groups = _settings(entry_point, typed, config_dir)
    key, equals, value = current.partition("=")
    if not equals:
        keys = {f"{name}=" for name in groups} | {f"{name}=" for name in settings}
        # Of deep keys only the next part, as of paths.
        shown = {_next_part(name, current) for name in keys if name.startswith(current)}
        return sorted(name for name in shown if name.rstrip("=") not in typed)
    return [f"{key}={found}" for found in _values(key, value, settings, groups, typed)]


def _values(
    key: str, value: str, settings: dict[str, Any], groups: dict[str, list[str]], typed: Any
) -> list[str]:
    if key in groups:
        choices: Sequence[str] = groups[key]
    elif key in _VERSIONS:
        choices = _versions(Path(typed.get("checkpoints_root", "checkpoints")))
    elif key in _CHOICES:
        choices = _CHOICES[key]
    elif isinstance(settings.get(key), bool):
        choices = ("true", "false")
    elif key in _FILES:
        choices = sorted(_paths(value))
    else:
        choices = ()
    return [choice for choice in choices if choice.startswith(value)]


def _next_part(name: str, current: str) -> str:
    head, dot, _ = name[len(current) :].partition(".")
    return current + head + dot


def _versions(root: Path) -> list[str]:
    if not root.is_dir():
        return []
    names = [path.name for path in root.iterdir() if Version.is_version(path.name)]
    return [str(version) for version in sorted(map(Version.parse, names))]


def _paths(value: str) -> Iterator[str]:
    folder = value[: value.rfind("/") + 1]
    place = Path(folder or ".").expanduser()
    if place.is_dir():
        for path in place.iterdir():
            if not path.name.startswith(".") or value[len(folder) :].startswith("."):
                yield f"{folder}{path.name}" + ("/" if path.is_dir() else "")


def _settings(
    entry_point: str, typed: dict[str, str], config_dir: Path
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return the keys with their defaults, and the groups with their options."""
    config = _read(config_dir / f"{entry_point}.yaml")
    chosen: dict[str, str] = {}
    for default in config.pop("defaults", []):
        if isinstance(default, dict):
            chosen.update({name.split("/")[-1]: option for name, option in default.items()})
    groups = {
        name: sorted(file.stem for file in (config_dir / name).glob("*.yaml"))
        for name in chosen
        if name != "hydra" and (config_dir / name).is_dir()
    }
    settings = _flat(config)
    experiment = typed.get("experiment")
    if experiment:
        for default in _read(config_dir / "experiment" / f"{experiment}.yaml").get("defaults", []):
            if isinstance(default, dict):
                chosen |= {name.split("/")[-1]: option for name, option in default.items()}
    for name in groups:
        option = typed.get(name, chosen[name])
        if option and name != "experiment":
            settings |= _of_group(config_dir / name, option, name)
    return settings, groups


def _of_group(folder: Path, option: str, prefix: str) -> dict[str, Any]:
    file = folder / f"{option}.yaml"
    config = _read(file)
    settings: dict[str, Any] = {}
    for default in config.pop("defaults", []):
        if isinstance(default, str) and default != "_self_":
            settings |= _of_group(folder, default, prefix)
    is_global = file.is_file() and "@package _global_" in file.read_text(encoding="utf-8")
    return settings | _flat(config, "" if is_global else f"{prefix}.")


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for key, value in config.items():
        if key.startswith("_"):
            continue
        if isinstance(value, dict):
            settings |= _flat(value, f"{prefix}{key}.")
        else:
            settings[f"{prefix}{key}"] = value
    return settings


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    config: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    return config


def main(arguments: Sequence[str]) -> int:
    """Print what may follow a program's name and the words behind it; 1 for another program."""
    if not arguments or Path(arguments[0]).stem not in ENTRY_POINTS:
        return 1
    program, *words = arguments
    print("\n".join(complete(Path(program).stem, words)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
