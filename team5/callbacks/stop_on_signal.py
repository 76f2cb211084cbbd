"""Callback that stops a training on signals of the system or SLURM, as Ctrl-C does."""

import signal
import sys
from types import FrameType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

# SLURM announces the end of a job by the first; with launcher=slurm submitit uses the second.
_NOTICES = ("SIGUSR1", "SIGUSR2")


class StopOnSignal(Callback):
    """Stop at the next batch on SIGTERM and SIGUSR1; exported versions are complete at any moment.

    Not from within the handler: an exception raised there may meet compiled code, which turns it
    into an error of its own.

    In Lightning's handler the processes agree on the step to stop after, from within the handler:
    processes waiting in another collective operation would block for ever. Here each process ends
    by itself, which breaks the collective operations of the others. If submitit runs the job,
    SIGUSR1 is handled like its SIGUSR2, and it requeues the job.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the handlers; Lightning restores the former ones when the fit ends."""
        if sys.platform == "win32":
            return
        signal.signal(signal.SIGTERM, self._stop)
        notice, requeue = (getattr(signal, name) for name in _NOTICES)
        submitit = signal.getsignal(requeue)
        signal.signal(notice, submitit if callable(submitit) else self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        self.received = signal.Signals(number)

    def on_train_batch_start(self, *_: Any) -> None:
        """End the process if it has got a signal."""
        self._end_if_signalled()

    def on_train_batch_end(self, *_: Any) -> None:
        """End the process if it has got a signal."""
        self._end_if_signalled()

    def on_validation_batch_start(self, *_: Any) -> None:
        """End the process if it has got a signal."""
        self._end_if_signalled()

    def _end_if_signalled(self) -> None:
        if self.received is not None:
            # Lightning then ends its other processes, and with SystemExit.
            raise KeyboardInterrupt
