"""Raw values on the command line, extracted before Hydra parses it.

Nearly every character of a SMILES, a collision energy or a path means something in Hydra's
grammar. The arguments listed in `RAW_ARGUMENTS` for an entry point are therefore extracted verbatim
and put into the composed config afterwards, so that nobody ever has to escape a SMILES.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from team5.errors import ConfigError
from team5.runtime.command import unknown_key

if TYPE_CHECKING:
    from omegaconf import DictConfig


def parse_text(key: str, text: str) -> str:
    """Return a value verbatim."""
    return text


def parse_smiles(key: str, text: str) -> str | list[str]:
    """Return one SMILES verbatim, or a list of them, recognised by its commas.

    A SMILES has no comma, so ``[CCO,CCN]`` and ``CCO,CCN`` are lists, ``[CCO,]`` is a list of one
    and ``[Na+].[Cl-]`` is one SMILES. A comma within brackets (SMARTS, ``[C,N]O[C,N]``) or in a
    text with ``|`` (CXSMILES) separates nothing. Items of a list may be quoted.

    Raises
    ------
    ConfigError
        If an item of a list is empty; says which.
    """
    parts = _split_outside_brackets(_without_enclosing_brackets(text))
    if len(parts) == 1 or "|" in text:
        return text
    if not parts[-1].strip():
        parts.pop()  # the comma that makes [CCO,] a list of one
    items = [_unquote(part.strip()) for part in parts]
    for number, item in enumerate(items, start=1):
        if not item:
            raise ConfigError(
                f"{key}: item {number} of {len(items)} in {text!r} is empty. "
                f"Give a SMILES between the commas, or remove one comma."
            )
    return items


def parse_numbers(key: str, text: str) -> list[float]:
    """Return the numbers in ``[1, 2]``, ``1,2`` or ``1 2``.

    Whether they form a spectrum is left to `Spectrum`, so that the command line and Python
    give the same errors; ``nan`` and an empty ``[]`` are accepted.

    Raises
    ------
    ConfigError
        If an element is not a number; says which.
    """
    stripped = text.strip()
    body = stripped.removeprefix("[").removesuffix("]").strip()
    if stripped.startswith("[") != stripped.endswith("]"):
        raise ConfigError(f"{key}: {_shorten(text)} has one bracket only. Write {key}=[1.5,2.5].")
    if "[" in body or "]" in body:
        raise ConfigError(
            f"{key}: {_shorten(text)} is a list of lists. Give one spectrum as {key}=[1.5,2.5], "
            "several as spectra=FILE."
        )
    if not body:
        return []
    return [
        _number(f"{key}[{index}]", element)
        for index, element in enumerate(re.split(r"\s*,\s*|\s+", body))
    ]


def parse_number(key: str, text: str) -> float:
    """Return one number.

    Raises
    ------
    ConfigError
        If the text is not a number.
    """
    return _number(key, text.strip())


@dataclass(frozen=True, slots=True)
class RawArgument:
    """A key whose value Hydra never sees.

    Attributes
    ----------
    key : str
        Dotted key of the value in the composed config.
    parse : callable, default `parse_text`
        ``parse(key, text)`` returns the value.
    takes_null : bool, default True
        Whether ``key=null`` means "not given", as elsewhere in Hydra.
    """

    key: str
    parse: Callable[[str, str], Any] = parse_text
    takes_null: bool = True


_VERSION = ("version", "checkpoints_root", "device")
_FILES = ("spectra", "candidates", "references", "library", "output")


def _as_typed(*keys: str) -> tuple[RawArgument, ...]:
    return tuple(RawArgument(key) for key in keys)


# Raw arguments by entry point.
RAW_ARGUMENTS: Mapping[str, tuple[RawArgument, ...]] = {
    "predict": (
        RawArgument("smiles", parse_smiles, takes_null=False),
        RawArgument("mzs", parse_numbers),
        RawArgument("intensities", parse_numbers),
        RawArgument("precursor_mz", parse_number),
        *_as_typed(*_VERSION, "adduct", "collision_energy", "instrument_type", *_FILES),
    ),
    "evaluate": _as_typed(
        *_VERSION, "output", *(f"data.{name}" for name in
        ("queries", "train", "pool", "massspecgym", "candidates", "archive", "path", "folds",
         "cache_dir")),
    ),
    "train": _as_typed(
        *("from_version", "resume", "checkpoints_root", "description"),
        *("data.archive", "data.path", "data.folds", "data.pool", "data.queries"),
        *("data.cache_dir", "callbacks.export.gate_queries"),
    ),
    "serve": _as_typed(*_VERSION, "token"),
}  # fmt: skip

_MAX_DEPTH = 50  # brackets within brackets

# Flags of Hydra that take the next word as value; the others have none.
_FLAGS_WITH_VALUE = {
    *("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn"),
    *("--config-dir", "-cd", "--experimental-rerun", "--info", "-i"),
    *("--shell-completion", "-sc"),
}
_FLAGS = {
    *_FLAGS_WITH_VALUE,
    *("--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun", "-m"),
}


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A command line, split into the part for Hydra and the part it must not see.

    Attributes
    ----------
    flags : tuple of str
        ``--help``, ``--cfg job`` and the like, with their values.
    overrides : tuple of str
        ``key=value`` for Hydra.
    typed : tuple of str
        The raw arguments verbatim, ``smiles=CC(=O)O``.
    raw : dict
        Their values by key.
    """

    flags: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    typed: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)


def split_command_line(entry_point: str, argv: Sequence[str]) -> CommandLine:
    """Split the arguments after the program's name into flags, overrides and raw values.

    Raises
    ------
    ConfigError
        If an argument is not ``key=value``, a flag does not exist, a key is given twice, or a raw
        key is empty or prefixed with Hydra's ``+``, ``++`` or ``~``.
    """
    arguments = {argument.key: argument for argument in RAW_ARGUMENTS[entry_point]}
    flags: list[str] = []
    overrides: list[str] = []
    typed: dict[str, str] = {}
    seen: set[str] = set()
    words = iter(argv)
    for word in words:
        if word.startswith("-"):
            flags.append(_known_flag(entry_point, word, arguments))
            if word in _FLAGS_WITH_VALUE:
                flags.extend(_flag_value(word, words))
            continue
        dressed_key, equals, text = word.partition("=")
        key = dressed_key.strip().lstrip("+~")
        if key in arguments and (dressed_key != key or not equals):
            raise ConfigError(
                f"{word!r} is not read. Write {key}=VALUE, with nothing around {key}."
            )
        if not equals and not dressed_key.startswith("~"):
            raise ConfigError(
                f"{word!r} is no key=value. Put no blanks around the = and quotes around a value "
                f"with blanks; python {entry_point}.py --help shows examples."
            )
        if not key:
            raise ConfigError(f"{word!r} has no key. Put no blanks around the =: smiles=CCO.")
        # Lightning adds hydra.* keys of its own when it starts further processes.
        if key in seen and not key.startswith("hydra"):
            several = " Several go in as smiles=[CCO,CCN]." if key == "smiles" else ""
            raise ConfigError(f"{key} is given twice. Give it once.{several}")
        seen.add(key)
        if key in arguments:
            typed[key] = text
        else:
            _check_depth(key, text)
            overrides.append(word)
    raw = {key: _parse(arguments[key], text) for key, text in typed.items()}
    return CommandLine(
        flags=tuple(flags),
        overrides=tuple(overrides),
        typed=tuple(f"{key}={text}" for key, text in typed.items()),
        raw=raw,
    )


def put_raw_values(cfg: DictConfig, raw: Mapping[str, Any]) -> None:
    """Set the raw values in a composed config, verbatim.

    A text that OmegaConf would read as an interpolation or as missing is escaped, so that it reads
    back unchanged; ``OmegaConf.to_container(cfg, resolve=True)`` gives plain values.

    Raises
    ------
    ConfigError
        If the config has no such key; names the closest.
    """
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("literal", _literal, replace=True)
    for key, value in raw.items():
        if not _has_key(cfg, key):
            raise unknown_key(key, config_keys(cfg))
        stored = [_shield(item) for item in value] if isinstance(value, list) else _shield(value)
        OmegaConf.update(cfg, key, stored, merge=False)


def config_keys(cfg: DictConfig, prefix: str = "") -> list[str]:
    """Return all keys of a config, dotted."""
    from omegaconf import DictConfig

    keys: list[str] = []
    if cfg._is_none() or cfg._is_missing() or cfg._is_interpolation():
        return keys
    for key in map(str, cfg):
        keys.append(f"{prefix}{key}")
        child = cfg._get_node(key)
        if isinstance(child, DictConfig):
            keys += config_keys(child, prefix=f"{prefix}{key}.")
    return keys


def _check_depth(key: str, text: str) -> None:
    """Refuse nesting too deep for Hydra's parser, which recurses for each bracket."""
    steps = ((c in "([{") - (c in ")]}") for c in text)
    if max(itertools.accumulate(steps), default=0) > _MAX_DEPTH:
        raise ConfigError(f"{key}: more than {_MAX_DEPTH} brackets within each other. Give fewer.")


def _parse(argument: RawArgument, text: str) -> Any:
    if not text.strip():
        raise ConfigError(f"{argument.key}= is empty. Give a value, or leave {argument.key}= out.")
    if argument.takes_null and text == "null":
        return None
    try:
        return argument.parse(argument.key, text)
    except ConfigError as error:
        error.argument = argument.key
        raise


def _number(where: str, text: str) -> float:
    try:
        if "_" in text:  # float() takes 1_000, which is a slip here
            raise ValueError(text)
        return float(text)
    except ValueError:
        what = f"= {_shorten(text)} is not a number" if text else "is empty"
        raise ConfigError(f"{where} {what}. Write numbers as 121.0284 or 1.2e3.") from None


def _known_flag(entry_point: str, word: str, arguments: Mapping[str, RawArgument]) -> str:
    name = word.split("=", 1)[0]
    if name in _FLAGS:
        return word
    key = name.lstrip("-").replace("-", "_")
    closest = difflib.get_close_matches(name, sorted(_FLAGS), n=3)
    if closest and key not in arguments:
        advice = f"Closest: {', '.join(closest)}."
    else:
        advice = f"Write {key}=VALUE."
    raise ConfigError(f"{name} is no flag of {entry_point}.py. {advice}")


def _flag_value(flag: str, words: Iterable[str]) -> list[str]:
    value = next(iter(words), None)
    if value is None:
        if flag in ("--info", "-i"):  # alone it means all
            return []
        raise ConfigError(f"{flag} needs a value. --help says which.")
    return [value]


def _without_enclosing_brackets(text: str) -> str:
    """Return the text without brackets that enclose all of it."""
    stripped = text.strip()
    if not (stripped.startswith("[") and stripped.endswith("]")):
        return text
    depth = 0
    for character in stripped[:-1]:
        depth += (character == "[") - (character == "]")
        if depth == 0:  # the first bracket closes before the end: [C,N]O[C,N]
            return text
    return stripped[1:-1]


def _split_outside_brackets(text: str) -> list[str]:
    parts = [""]
    depth = 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _unquote(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1].strip()
    return text


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def _shield(value: Any) -> Any:
    """Return a value escaped so that OmegaConf reads back exactly the original."""
    if isinstance(value, str) and ("${" in value or value == "???"):
        # Escaping has no form for "???" and none that survives a backslash before "${".
        return f"${{literal:x{value.encode().hex()}}}"
    return value


def _literal(encoded: str) -> str:
    return bytes.fromhex(encoded[1:]).decode()


def _has_key(cfg: DictConfig, key: str) -> bool:
    from omegaconf import DictConfig

    node: Any = cfg
    for part in key.split("."):
        if not isinstance(node, DictConfig) or node._is_none() or part not in map(str, node):
            return False
        node = node._get_node(part)
    return True
