"""Ends a training when the system or SLURM asks for it, as Ctrl-C does."""

import signal
import sys
from types import FrameType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

# SLURM's notice that a job is to make room; with launcher=slurm submitit takes SIGUSR2 for it.
_NOTICES = ("SIGUSR1", "SIGUSR2")


class StopOnSignal(Callback):
    """Stop at SIGTERM and SIGUSR1, at once: what a run has exported is whole at any moment.

    Lightning's own handler lets its processes agree on a step to stop after, for which it talks to
    the others from within the handler; they may be waiting in another exchange, and all for ever.
    Here each process ends for itself, and what others wait for breaks off.

    Where submitit watches over the job, it is told of SIGUSR1 as of its SIGUSR2, and puts the job
    back into the queue.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over; Lightning gives them back when the fit ends."""
        if sys.platform == "win32":
            return
        signal.signal(signal.SIGTERM, self._stop)
        notice, requeue = (getattr(signal, name) for name in _NOTICES)
        submitit = signal.getsignal(requeue)
        signal.signal(notice, submitit if callable(submitit) else self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> Any:
        signal.signal(number, signal.SIG_IGN)
        self.received = signal.Signals(number)
        # Lightning then ends its other processes, and with SystemExit.
        raise KeyboardInterrupt
