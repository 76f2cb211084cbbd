"""Measure a version on spectra whose structure is known, with candidates of the same mass.

    python evaluate.py version=v0.1 data.queries=retrieval_test.parquet
    python evaluate.py data.queries=retrieval_test.parquet output=figures.json
    python evaluate.py version=v0.1 data.queries=retrieval_val.parquet record=true

Prints hit@1/5/20 and MRR for all candidates, for long lists and for candidates of the same formula,
match accuracy, F1 and AUROC, and the cosine of predicted spectra; each with its 95 % interval over
structures, beside chance and beside the same model with spectra exchanged between queries.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from team5.cli.run import program

if TYPE_CHECKING:
    from omegaconf import DictConfig


@program("evaluate")
def main(cfg: DictConfig) -> int:
    """Measure as the settings say."""
    from team5.cli.evaluation import evaluate

    return evaluate(cfg)


if __name__ == "__main__":
    sys.exit(main())
