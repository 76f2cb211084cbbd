"""Train a model on spectra and export its best epoch as a version.

Fine-tune the latest version on the built-in demo set, or on spectra of your own:

    python train.py experiment=finetune
    python train.py experiment=finetune from_version=v0.1 data=file data.path=my_spectra.mgf

Learn from MassBank from scratch (downloads the release once, or takes data.archive=FILE):

    python train.py experiment=massbank
    python train.py experiment=massbank trainer=ddp trainer.devices=2

Go on with a run, optimizer and epoch counter included:

    python train.py resume=v0.2 trainer.max_epochs=20
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from team5.cli.run import hydra_program

if TYPE_CHECKING:
    from omegaconf import DictConfig


@hydra_program("train")
def main(cfg: DictConfig) -> int:
    """Train as the settings say."""
    from team5.training.train import train

    train(cfg)
    return 0


if __name__ == "__main__":
    sys.exit(main())
