"""The ``--help`` text of a program with a config: examples, settings, choices."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, ListConfig, OmegaConf

from team5.cli.arguments import RAW_ARGUMENTS


def help_text(
    entry_point: str, examples: str, cfg: DictConfig, config_dir: Path, *, by_file: bool
) -> str:
    """Return examples, then every setting with its value and the comment in its file.

    Parameters
    ----------
    entry_point : str
        Name of the config.
    examples : str
    cfg : DictConfig
        Composed, including Hydra's own settings and the choices given with ``--help``.
    config_dir : Path
    by_file : bool
        Whether the program is ``ENTRY_POINT.py`` rather than a command of `team5`.
    """
    if not by_file:  # whose commands have no shell completion
        examples = re.sub(r"python (\w+)\.py", r"team5 \1", examples)
        examples = examples.replace("python -m team5.library", "team5 library")
    config = (config_dir / f"{entry_point}.yaml").read_text(encoding="utf-8")
    settings = re.sub(r"^defaults:\n(?:[ \t]+.*\n)*", "", config, count=1, flags=re.MULTILINE)
    file = f"configs/{entry_point}.yaml"
    lines = [examples, "", f"Settings, key=value, with their defaults ({file}):", ""]
    lines += [f"    {text}".rstrip() for text in settings.strip().splitlines()]
    used, choices = used_groups(config), cfg.hydra.runtime.choices
    options = {group: names for group, names in config_groups(config_dir).items() if group in used}
    if options:
        lines += ["", "Choices, group=option (configs/):", ""]
        lines += [f"    {group}: {', '.join(names)}" for group, names in options.items()]
    of_groups = [
        line
        for group in options
        if isinstance(cfg.get(group), DictConfig)
        for line in ("", *_settings_of(group, cfg, config_dir / group, choices[group]))
    ]
    if of_groups:
        lines += ["", "Settings of the chosen groups; add group=option to --help to see others:"]
        lines += [f"    {line}".rstrip() for line in of_groups]
    raw = ", ".join(argument.key for argument in RAW_ARGUMENTS[entry_point])
    lines += ["", f"Taken verbatim, without any escaping: {raw}."]
    lines += ["Flags: --help; --cfg job shows the resulting settings."]
    if by_file:
        call = f"python {entry_point}.py --shell-completion"
        lines += [
            f'Completion: eval "$({call} install=bash)", or zsh; {call} install=fish | source.'
        ]
    lines += ["hydra.verbose=true or TEAM5_DEBUG=1 adds the traceback to an error."]
    return "\n".join(lines)


def config_groups(folder: Path) -> dict[str, list[str]]:
    """Return the options of each group in a folder of configs, without Hydra's own groups."""
    groups: dict[str, list[str]] = {}
    for file in sorted(folder.rglob("*.yaml")):
        group = file.parent.relative_to(folder).as_posix()
        if group != "." and not is_hydras(group):
            groups.setdefault(group, []).append(file.stem)
    return groups


def used_groups(config: str) -> set[str]:
    """Return the groups that a config's defaults choose from."""
    pattern = r"^\s*-\s*(?:optional\s+)?(?:override\s+)?/?(\w+):"
    return set(re.findall(pattern, config, re.MULTILINE))


def is_hydras(key: str) -> bool:
    """Whether a key, or a group, is one of Hydra's own."""
    return re.split(r"[./]", key.lstrip("+~"), maxsplit=1)[0] == "hydra"


def _settings_of(group: str, cfg: DictConfig, folder: Path, chosen: str) -> Iterator[str]:
    """Yield ``group.key: value  # comment`` of each setting."""
    comments: dict[str, str] = {}
    options = [chosen]
    for option in options:  # the one chosen, then those it extends
        file = folder / f"{option}.yaml"
        text = file.read_text(encoding="utf-8") if file.is_file() else ""  # in another --config-dir
        comments = {**_comments(text), **comments}
        options += [name for name in re.findall(r"^ +- (\w+)$", text, re.M) if name != "_self_"]
    for key, value in _leaves(cfg[group]):
        text = f"{group}.{key}: {value}"
        yield f"{text}  # {comments[key]}" if key in comments else text


def _leaves(cfg: DictConfig, before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in cfg.items_ex(resolve=False):
        key = str(name)
        if isinstance(value, DictConfig) and value:
            yield from _leaves(value, f"{before}{key}.")
        elif isinstance(value, ListConfig):
            yield f"{before}{key}", f"[{', '.join(str(item) for item in value)}]"
        elif key not in ("_target_", "_partial_"):
            text = OmegaConf.to_yaml(OmegaConf.create({"_": value}))
            yield f"{before}{key}", text.partition(":")[2].strip()


def _comments(yaml: str) -> dict[str, str]:
    """Return the comment behind each key of a YAML file, by its dotted name."""
    comments, parents = {}, [(-1, "")]
    for line in yaml.splitlines():
        setting = re.match(r"(\s*)([\w@]+):(?:.*?\s#\s(.*))?", line)
        if setting is None:
            continue
        indent, key, comment = len(setting[1]), setting[2], setting[3]
        while parents[-1][0] >= indent:
            parents.pop()
        name = ".".join([*(name for _, name in parents[1:]), key])
        parents.append((indent, key))
        if comment:
            comments[name] = comment
    return comments
