import os
import signal
import sys

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from team5.callbacks.stop_on_signal import StopOnSignal
from tests.callbacks.test_checkpoint_export import ScriptedModule

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals"),
]


class SignalledModule(ScriptedModule):
    """A module that this process is sent a signal at."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__([1.0, 0.5])
        self.number = number
        self.steps = 0

    def training_step(self, batch, batch_index):
        self.steps += 1
        os.kill(os.getpid(), self.number)
        return super().training_step(batch, batch_index)


@pytest.fixture
def fit(tmp_path):
    """Fit a module, and give back what the signals did before."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
    before = {number: signal.getsignal(number) for number in numbers}

    def run(module) -> StopOnSignal:
        stop = StopOnSignal()
        trainer = Trainer(
            default_root_dir=tmp_path, accelerator="cpu", max_epochs=2, callbacks=[stop],
            logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False,
        )  # fmt: skip
        loader = DataLoader(torch.ones(2, 1), batch_size=1)
        with pytest.raises(SystemExit):
            trainer.fit(module, loader, loader)
        return stop

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_the_fit_after_the_batch_and_is_remembered(fit, number):
    module = SignalledModule(number)
    before = signal.getsignal(number)
    assert fit(module).received == number
    assert module.steps == 1
    assert signal.getsignal(number) == before


def test_where_submitit_watches_it_is_told(fit):
    told = []

    def requeue(number, frame):
        told.append(number)
        sys.exit(-1)

    signal.signal(signal.SIGUSR2, requeue)
    assert fit(SignalledModule(signal.SIGUSR1)).received is None
    assert told == [signal.SIGUSR1]
