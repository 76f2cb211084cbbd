"""A small table of queries: spectra with candidates of their structure's formula."""

from pathlib import Path

import polars as pl

from team5.chemistry.molecule import parse_smiles

# Isomers in groups of one formula, with some of their main fragments.
GROUPS = [
    [
        "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
        "Cc1nc2c([nH]1)c(=O)n(C)c(=O)n2C",
        "CCn1cnc2c1c(=O)[nH]c(=O)n2C",
    ],
    ["CC(=O)Oc1ccccc1C(=O)O", "COC(=O)c1ccc(C(=O)O)cc1", "COc1ccccc1C(=O)C(=O)O"],
    ["CC(=O)Nc1ccc(O)cc1", "CNC(=O)c1ccc(O)cc1", "COc1ccccc1C(N)=O", "NCC(=O)c1ccc(O)cc1"],
]
PEAKS = [
    ([195.0877, 138.0662, 110.0713], [100.0, 60.0, 15.0]),
    ([181.0495, 163.039, 121.0284], [10.0, 100.0, 60.0]),
    ([152.0706, 110.06, 93.0335], [100.0, 80.0, 10.0]),
]


def write_queries(path: Path) -> Path:
    """Write the queries as evaluate.py reads them."""
    rows = []
    for group, (mzs, intensities) in zip(GROUPS, PEAKS, strict=True):
        for number in range(2):
            molecules = [parse_smiles(smiles) for smiles in group]
            rows.append(
                {
                    "identifier": f"{group[number]}-{number}",
                    "inchikey14": molecules[number].inchikey14,
                    "smiles": group[number],
                    "formula": molecules[number].formula,
                    "adduct": "[M+H]+",
                    "precursor_mz": mzs[0],
                    "instrument_type": "LC-ESI-QTOF",
                    "collision_energy": "20 eV",
                    "mzs": mzs,
                    "intensities": intensities,
                    "candidates": group,
                    "candidate_inchikey14": [m.inchikey14 for m in molecules],
                    "same_formula": [True] * len(group),
                    "n_candidates": len(group),
                }
            )
    pl.DataFrame(rows).write_parquet(path)
    return path
