"""Run an entry point: compose its config, turn errors into one or two lines and an exit code."""

from __future__ import annotations

import functools
import itertools
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from team5.cli.arguments import (
    RAW_ARGUMENTS,
    CommandLine,
    config_keys,
    put_raw_values,
    split_command_line,
)
from team5.cli.help import config_groups, help_text, is_hydras, used_groups
from team5.cli.jobs import argv_of_job, own_environment, share_run_folder
from team5.errors import ConfigError, MissingExtraError, Team5Error
from team5.runtime.command import (
    TERMINATED,
    raising_at_sigterm,
    run_program,
    unknown_key,
    wants_traceback,
)
from team5.runtime.places import config_folder
from team5.training.processes import is_first_process

CONFIG_DIR = config_folder()

# Hydra's plugins: the choice that needs one, and its extra.
_PLUGINS = {
    ("hydra/launcher", "submitit_slurm"): ("launcher=slurm", "slurm"),
    ("hydra/sweeper", "optuna"): ("sweeper=optuna", "sweep"),
}

_OWN = "own"  # a group with files of users only
_CONFIG_DIR = ("--config-dir", "-cd")

Task = Callable[[DictConfig], int | None]
Run = Callable[[DictConfig], float | None]
Program = Callable[[], int]


def program(entry_point: str, config_dir: Path = CONFIG_DIR) -> Callable[[Task], Program]:
    """Make a program of a function that takes a composed config; for quick commands.

    Uses Hydra's compose API: no run folder, a quick start. The docstring of the function's module
    opens ``--help``.

    Parameters
    ----------
    entry_point : str
        Name of the config, and of the list of raw arguments.
    config_dir : Path, default team5's own
    """

    def decorate(task: Task) -> Program:
        @functools.wraps(task)
        def main() -> int:
            argv = sys.argv[1:]

            def run() -> int | None:
                line = split_command_line(entry_point, argv)
                if _answer_flags(entry_point, line, task, config_dir):
                    return 0
                _log_to_stderr(wants_traceback(argv))
                with raising_at_sigterm(SystemExit(TERMINATED)):
                    return task(_compose(entry_point, line, config_dir))

            return run_program(run, argv=argv, explain=_explain_raised)

        return main

    return decorate


def hydra_program(entry_point: str, config_dir: Path = CONFIG_DIR) -> Callable[[Run], Program]:
    """Make a program of a function that takes a composed config; for trainings.

    Runs under ``hydra.main``: run folders, ``--multirun``, launchers, and sweepers, which judge a
    run by the number that the function returns. While the function runs,
    ``sys.argv`` is again as typed, because Lightning starts further processes with it; within a
    multirun it holds that one job's overrides.

    Parameters
    ----------
    entry_point : str
        Name of the config, and of the list of raw arguments.
    config_dir : Path, default team5's own
    """

    def decorate(task: Run) -> Program:
        @functools.wraps(task)
        def main() -> int:
            typed = list(sys.argv)

            def run() -> int | None:
                line = split_command_line(entry_point, typed[1:])
                _config_folders(line)
                if _wants_help(line):
                    _print_help(entry_point, line, task, config_dir)
                    return 0
                if _answers_a_shell(entry_point, line, config_dir):
                    return 0
                try:
                    return _run_hydra(entry_point, line, typed, task, config_dir)
                finally:
                    sys.argv = typed

            return run_program(run, argv=typed[1:], explain=_explain_raised)

        return main

    return decorate


def compose_config(
    entry_point: str, argv: Sequence[str], config_dir: Path = CONFIG_DIR
) -> DictConfig:
    """Return the config composed from a command line, including raw values.

    Parameters
    ----------
    entry_point : str
        Name of the config, and of the list of raw arguments.
    argv : sequence of str
        The arguments after the program's name.
    config_dir : Path, default team5's own

    Raises
    ------
    ConfigError
        If the command line is wrong; says where, and names the closest existing setting.
    """
    return _compose(entry_point, split_command_line(entry_point, argv), config_dir)


def _compose(entry_point: str, line: CommandLine, config_dir: Path) -> DictConfig:
    for override in line.overrides:
        if override.startswith(("+", "~")):
            # A program that answers reads only what its config lists.
            raise ConfigError(f"{override!r} is not read. Write key=value, without + or ~.")
    cfg = _composed(entry_point, line, config_dir)
    put_raw_values(cfg, line.raw)
    if "checkpoints_root" in cfg and cfg.checkpoints_root is None:
        from team5.registry.roots import find_checkpoints  # which --help does without

        cfg.checkpoints_root = str(find_checkpoints(version=cfg.get("version")))
    return cfg


def _composed(
    entry_point: str, line: CommandLine, config_dir: Path, *, with_hydra: bool = False
) -> DictConfig:
    """Return the config with all overrides but raw values."""
    from hydra import compose, initialize_config_dir

    try:
        with initialize_config_dir(str(config_dir), job_name=entry_point, version_base="1.3"):
            return compose(
                entry_point,
                overrides=[*line.overrides, *_search_path(line)],
                return_hydra_config=with_hydra,
            )
    except (HydraException, OmegaConfBaseException) as error:
        raise _explain_override(error, entry_point, line, config_dir) from error


def _run_hydra(
    entry_point: str, line: CommandLine, typed: list[str], task: Run, config_dir: Path
) -> int:
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    ended: list[bool] = []
    failures: list[BaseException] = []

    @functools.wraps(task)
    def job(cfg: DictConfig) -> float | None:
        # Runs in this process, or pickled in a process of a launcher.
        single = HydraConfig.get().mode == RunMode.RUN
        sys.argv = typed if single else argv_of_job(typed, line)
        share_run_folder()
        try:
            put_raw_values(cfg, line.raw)
            if "checkpoints_root" in cfg and cfg.checkpoints_root is None:
                from team5.registry.roots import checkpoints_to_write  # as above

                cfg.checkpoints_root = str(checkpoints_to_write())
            if is_first_process():
                _record_config(cfg)
            with own_environment():
                result = task(cfg)
        except (Team5Error, HydraException, OmegaConfBaseException, OSError) as error:
            if not single:
                raise  # Hydra names the failed job
            failures.append(error)
            return None
        ended.append(True)
        return result

    # Otherwise Hydra prints errors in its own format and exits with 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv = [typed[0], *line.flags, *line.overrides]
    try:
        hydra.main(version_base="1.3", config_path=str(config_dir), config_name=entry_point)(job)()
    except (HydraException, OmegaConfBaseException) as error:
        if isinstance(error, InstantiationException) or ended:
            raise
        raise _explain_override(error, entry_point, line, config_dir) from error
    if failures:
        raise failures[0]
    return 0


def _record_config(cfg: DictConfig) -> None:
    """Rewrite the config in the run folder: Hydra wrote it before the raw values were set."""
    from hydra.core.hydra_config import HydraConfig

    settings = HydraConfig.get()
    if settings.output_subdir is not None:
        folder = Path(settings.runtime.output_dir) / settings.output_subdir
        OmegaConf.save(cfg, folder / "config.yaml")


def _explain_raised(error: Exception) -> Team5Error | None:
    """Translate an error of Hydra, or return None for one that needs its traceback."""
    if isinstance(error, YAMLError):  # of a config of the caller's own
        return ConfigError(_on_one_line(str(error)))
    if not isinstance(error, (HydraException, OmegaConfBaseException)):
        return None
    cause = error.__cause__
    while cause is not None:  # Hydra's instantiate wraps errors of a constructor
        if isinstance(cause, Team5Error):
            return cause
        cause = cause.__cause__
    if isinstance(error, InstantiationException):
        # Lightning is imported where it raised this, and else takes seconds.
        exceptions = sys.modules.get("lightning.fabric.utilities.exceptions")
        refusals = (exceptions.MisconfigurationException,) if exceptions is not None else ()
        expected = (TypeError, ValueError, ImportError, HydraException, OmegaConfBaseException)
        if error.__cause__ is not None and not isinstance(error.__cause__, expected + refusals):
            return None
        return ConfigError(_on_one_line(str(error)))
    return _explain(error)


def _explain(error: BaseException) -> ConfigError:
    """Return an error of Hydra or OmegaConf about a config as one line."""
    if isinstance(error, MissingMandatoryValue):
        key = getattr(error, "full_key", None) or str(error).split("\n")[0].rpartition(" ")[2]
        return ConfigError(f"{key} must be given. Write {key}=VALUE.")
    if isinstance(error, OmegaConfBaseException):
        first = str(error).split("\n")[0].rstrip(".")
        where = f"{error.full_key}: " if error.full_key else ""
        return ConfigError(f"{where}{first}.")
    missing = re.match(r"You must specify '([^']+)'", str(error))
    if missing:
        options = str(error).partition("Available options:")[2].split()
        there_are = f" There are: {', '.join(sorted(options))}." if options else ""
        key = missing.group(1)
        return ConfigError(f"{key} must be chosen. Write {key}=OPTION.{there_are}")
    cause = error.__cause__
    if not str(error).strip() and cause is not None:
        return _explain(cause)
    return ConfigError(_on_one_line(str(error)))


def _explain_override(
    error: Exception, entry_point: str, line: CommandLine, config_dir: Path
) -> Team5Error:
    """Return the fault of a command line that Hydra refused."""
    keys = _known_keys(entry_point, line, config_dir)
    for override in line.overrides:
        key = override.partition("=")[0].lstrip("~").partition("@")[0]
        # Hydra parses the value first: it would blame the grammar of a SMILES after a mistyped key.
        # What begins with + is new on purpose.
        if not key.startswith("+") and keys and key not in keys and not is_hydras(key):
            return _below_null(key, keys, line) or unknown_key(key, keys)
        if key == _OWN and not any(
            key in config_groups(folder) for folder in _config_folders(line)
        ):
            return ConfigError(f"{override}: name the folder of {key}/: --config-dir FOLDER.")
    if isinstance(error, OverrideParseException):
        why = _on_one_line(error.message.split("\nSee https")[0]).rstrip(".")
        return ConfigError(
            f"{error.override!r} cannot be read: {why}. "
            f"""Put quotes around the value: '{error.override.partition("=")[0]}="..."'."""
        )
    if isinstance(error, MissingConfigException) and error.options:
        group, _, option = (error.missing_cfg_file or "").rpartition("/")
        if (group, option) in _PLUGINS:
            choice, extra = _PLUGINS[group, option]
            return MissingExtraError.of(choice, extra)
        return ConfigError(_unknown_option(group, option, error.options))
    return _explain(error)


def _below_null(key: str, keys: set[str], line: CommandLine) -> ConfigError | None:
    """Return the fault of a key below a section that is null; None if it is below no such one."""
    from team5.training.settings import names_in  # which takes its time

    section = key.rpartition(".")[0]
    names = names_in(section)
    if section not in keys or not names or any(each.startswith(f"{section}.") for each in keys):
        return None
    if key not in names:
        return unknown_key(key, names)
    pairs = [override.partition("=") for override in line.overrides]
    given = [f"{k.rpartition('.')[2]}: {value}" for k, _, value in pairs if k in names]
    return ConfigError(
        f"{key} cannot be set alone, as {section} is null. Give it whole: "
        f"'{section}={{{', '.join(given)}}}'.",
        code="unknown_setting",
        argument=key,
    )


def _unknown_option(group: str, option: str, options: Sequence[str]) -> str:
    import difflib

    ordered = difflib.get_close_matches(option, options, n=len(options), cutoff=0)
    return f"no {group}={option}; there are, closest first: {', '.join(ordered)}."


def _known_keys(entry_point: str, line: CommandLine, config_dir: Path) -> set[str]:
    """Return the keys a command line may set: the config's, and the groups'."""
    from hydra import compose, initialize_config_dir

    folders = (config_dir, *_config_folders(line))
    groups = {group for folder in folders for group in config_groups(folder)}
    groups |= used_groups((config_dir / f"{entry_point}.yaml").read_text(encoding="utf-8"))
    searched = _search_path(line)
    choices = [text for text in line.overrides if text.partition("=")[0].lstrip("+") in groups]
    with initialize_config_dir(str(config_dir), job_name=entry_point, version_base="1.3"):
        # After a wrong choice the defaults remain; after a faulty config nothing does.
        for chosen in (choices, []):
            try:
                cfg = compose(entry_point, overrides=[*chosen, *searched])
                return groups | set(config_keys(cfg))
            except (HydraException, OmegaConfBaseException):
                continue
    return set()


def _config_folders(line: CommandLine) -> list[Path]:
    """Return the folders of configs in addition to team5's own.

    Raises
    ------
    ConfigError
        If one does not exist.
    """
    pairs = itertools.pairwise(_flag_words(line))
    folders = [Path(value).absolute() for flag, value in pairs if flag in _CONFIG_DIR]
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"--config-dir {folder}: no such folder. Give one of YAML files.")
    return folders


def _search_path(line: CommandLine) -> list[str]:
    """Return ``--config-dir`` as the compose API takes it."""
    folders = [f"'file://{folder}'" for folder in _config_folders(line)]
    return [f"hydra.searchpath=[{','.join(folders)}]"] if folders else []


def _flag_words(line: CommandLine) -> list[str]:
    """Return the flags and their values, ``--flag=value`` split."""
    return [
        part
        for flag in line.flags
        for part in (flag.split("=", 1) if flag.startswith("-") else [flag])
    ]


def _wants_help(line: CommandLine) -> bool:
    return "--help" in line.flags or "-h" in line.flags


def _answers_a_shell(entry_point: str, line: CommandLine, config_dir: Path) -> bool:
    """Let Hydra print the shell completion if requested."""
    for name, action in itertools.pairwise(_flag_words(line)):
        if name not in ("--shell-completion", "-sc"):
            continue
        if not re.fullmatch(r"(install|uninstall|query)=(bash|zsh|fish)", action):
            raise ConfigError(f"{name} {action}: write install=bash, install=zsh or install=fish.")
        import hydra  # takes its time

        # Hydra cannot parse raw arguments, and need not.
        raw = "|".join(re.escape(argument.key) for argument in RAW_ARGUMENTS[entry_point])
        typed_line = os.environ.get("COMP_LINE", "")
        os.environ["COMP_LINE"] = re.sub(rf"(?<=\s)(?:{raw})=\S*\s", "", typed_line)
        hydra.main(version_base="1.3", config_path=str(config_dir), config_name=entry_point)(
            lambda cfg: None
        )()
        return True
    return False


def _answer_flags(entry_point: str, line: CommandLine, task: Task, config_dir: Path) -> bool:
    """Handle the flags of a quick command; False if there are none."""
    flags = _flag_words(line)
    while (place := next((i for i, f in enumerate(flags) if f in _CONFIG_DIR), None)) is not None:
        del flags[place : place + 2]
    if not flags:
        return False
    if _wants_help(line):
        _print_help(entry_point, line, task, config_dir)
        return True
    if _answers_a_shell(entry_point, line, config_dir):
        return True
    resolve = "--resolve" in flags
    if [flag for flag in flags if flag != "--resolve"] in (["--cfg", "job"], ["-c", "job"]):
        sys.stdout.write(
            OmegaConf.to_yaml(_compose(entry_point, line, config_dir), resolve=resolve)
        )
        return True
    raise ConfigError(
        f"{' '.join(line.flags)}: {entry_point}.py takes --help, --config-dir FOLDER, --cfg job "
        "[--resolve], and --shell-completion install=SHELL."
    )


def _print_help(entry_point: str, line: CommandLine, task: Task | Run, config_dir: Path) -> None:
    examples = (sys.modules[task.__module__].__doc__ or "").strip()
    by_file = Path(sys.argv[0]).resolve().parent != Path(__file__).resolve().parent
    cfg = _composed(entry_point, line, config_dir, with_hydra=True)
    print(help_text(entry_point, examples, cfg, config_dir, by_file=by_file))


def _log_to_stderr(verbose: bool) -> None:
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s: %(message)s")
    logging.getLogger("team5").setLevel(logging.DEBUG if verbose else logging.WARNING)


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
