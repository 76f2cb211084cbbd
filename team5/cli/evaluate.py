"""Measure a version on spectra whose structure is known, with candidates of the same mass.

    python evaluate.py version=v0.1 data.queries=test.parquet
    python evaluate.py data.queries=test.parquet output=report.html
    python evaluate.py data.queries=val.parquet data.train=folds.csv data.pool=pool.parquet
    python evaluate.py version=v0.1 data.queries=val.parquet record=true
    python evaluate.py data=file data.path=my_spectra.mgf
    python evaluate.py data.massspecgym=MassSpecGym.tsv data.candidates=CANDIDATES.json

Prints accuracy, F1, AUROC and calibration of matches, hit@1/5/20 and MRR for all candidates, long
lists and candidates of the same formula, and the similarity of simulated to measured spectra; each
with its 95 % interval over structures, and with controls that see less than the model.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from team5.cli.run import program

if TYPE_CHECKING:
    from omegaconf import DictConfig


@program("evaluate")
def main(cfg: DictConfig) -> int:
    """Evaluate as configured."""
    from team5.cli.evaluation import evaluate

    return evaluate(cfg)


if __name__ == "__main__":
    sys.exit(main())
