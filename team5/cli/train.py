"""Train a model on spectra and export its best epoch as a version.

Fine-tune the latest version on the built-in demo set, or on your own spectra:

    python train.py experiment=finetune
    python train.py experiment=finetune from_version=v0.1 data=file data.path=my_spectra.mgf

Train on MassBank from scratch (downloads the release once, or uses data.archive=FILE):

    python train.py experiment=massbank
    python train.py experiment=massbank trainer=ddp trainer.devices=2

On a cluster, and searching for better settings (extras slurm and sweep):

    python train.py experiment=massbank trainer=ddp launcher=slurm hydra.launcher.partition=NAME
    python train.py experiment=massbank sweeper=optuna hydra.sweeper.n_trials=20

Resume a run, including optimizer and epoch counter:

    python train.py resume=v0.2 trainer.max_epochs=20
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from team5.cli.run import hydra_program

if TYPE_CHECKING:
    from omegaconf import DictConfig


@hydra_program("train")
def main(cfg: DictConfig) -> float | None:
    """Train as configured, and return the best score."""
    from team5.training.train import train

    return train(cfg).score


if __name__ == "__main__":
    sys.exit(main())
