r"""Predict with a trained model from a structure, a spectrum, or both.

Match a spectrum with a structure, typed verbatim, without any escaping:

    python predict.py smiles="CC(=O)Oc1ccccc1C(=O)O" mzs=[121.028,139.039] intensities=[100,35]

Rank several structures for a spectrum:

    python predict.py smiles="[CC(=O)Oc1ccccc1C(=O)O,O=C(O)c1ccc(OC(C)=O)cc1]" \
        mzs=[121.028,139.039] intensities=[100,35] precursor_mz=181.0495

Simulate the spectrum of a structure, with a given version and energy; or those of several, written
to a file for other programs:

    python predict.py version=v0.1 smiles="CC(=O)Oc1ccccc1C(=O)O" collision_energy="35 eV"
    python predict.py smiles="[CCO,CCN]" output=spectra.mgf

Rank a file of structures for every spectrum of a file; or match the spectra of a file with the
structures in its records:

    python predict.py spectra=queries.mgf candidates=structures.smi output=ranking.csv device=cuda
    python predict.py spectra=library.msp output=matches.parquet

Search a library of structures (python -m team5.library build) for each spectrum;
resume=true resumes an interrupted search, engine=ray searches on a Ray cluster:

    python predict.py spectra=run.mzML library=pubchem.library output=hits.parquet
    python predict.py spectra=run.mzML library=pubchem.library output=hits.parquet resume=true
    python predict.py spectra=run.mzML library=s3://bucket/pubchem.library output=hits.parquet \
        engine=ray engine.address=ray://head:10001
    python predict.py mzs=[121.028,139.039] intensities=[100,35] precursor_mz=181.0495 \
        library=pubchem.library

Match a spectrum with a structure, more reliably by comparing it with other molecules of its mass:

    python predict.py smiles="CC(=O)Oc1ccccc1C(=O)O" mzs=[121.028,139.039] \
        intensities=[100,35] references=library.smi
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from team5.cli.run import program

if TYPE_CHECKING:
    from omegaconf import DictConfig


@program("predict")
def main(cfg: DictConfig) -> int:
    """Predict as configured; 1 if nothing could be answered."""
    from team5.cli.prediction import predict

    return predict(cfg)


if __name__ == "__main__":
    sys.exit(main())
