"""State shared by Hydra's jobs and Lightning's processes: command line, folder, log."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from omegaconf import DictConfig, read_write

from team5.cli.arguments import CommandLine
from team5.training.processes import is_first_process


def argv_of_job(typed: list[str], line: CommandLine) -> list[str]:
    """Return the command line that runs one job of a multirun on its own."""
    from hydra.core.hydra_config import HydraConfig

    multirun_flags = [flag for flag in line.flags if flag in ("-m", "--multirun")]
    flags = [flag for flag in line.flags if flag not in multirun_flags]
    # A launcher or sweeper requested several jobs, and is among the overrides.
    mode = [] if multirun_flags else ["hydra.mode=RUN"]
    return [typed[0], *flags, *HydraConfig.get().overrides.task, *mode, *line.typed]


def share_run_folder() -> None:
    """Let all processes of a training use one run folder and one log, which the first one writes.

    Lightning starts further processes with ``hydra.run.dir``, which a multirun does not use. These
    processes show only warnings.
    """
    from hydra.core.hydra_config import HydraConfig

    settings = cast(DictConfig, HydraConfig.get())
    with read_write(settings):
        settings.run.dir = settings.runtime.output_dir
    if is_first_process():
        return
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, logging.FileHandler):
            root.removeHandler(handler)
            handler.close()
        else:
            handler.setLevel(logging.WARNING)


@contextmanager
def own_environment() -> Iterator[None]:
    """Undo a job's changes of the environment, such as the addresses of its processes.

    Otherwise Lightning would take a later job in this process for one started by the first.
    """
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
