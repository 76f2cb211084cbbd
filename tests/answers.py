"""Answers made by hand."""

import dataclasses

from team5.inference.results import AnswerList, ExplainedPeak, Match, Simulation


def make_match(smiles: str, probability: float, rank: int | None = None, **changes) -> Match:
    peak = ExplainedPeak(121.0284, 1.0, 121.0284, 0.2, "C7H5O2+", (0, 1), ((1, 2),), 0.4)
    match = Match(
        smiles=smiles,
        probability=probability,
        label=probability >= 0.5,
        threshold=0.5,
        rank=rank,
        score=-1.5,
        explained_intensity=0.82,
        peaks=(peak, dataclasses.replace(peak, mz=43.0178, intensity=0.2, formula="C2H3O+")),
        impossible_mzs=(),
        formula="C9H8O4",
        adduct="[M+H]+",
        precursor_mz=181.0495,
        precursor_fits=None,
        collision_energy=None,
        version="v0.2",
        version_hash="0123456789ab",
        notes=(),
    )
    return dataclasses.replace(match, **changes)


def make_ranking(n_candidates: int = 3) -> AnswerList[Match]:
    """Return candidates by rank."""
    smiles = ["CC(=O)Oc1ccccc1C(=O)O", 'odd,"name"', "O=C(O)c1ccc(OC(C)=O)cc1"]
    matches = [
        make_match(smiles[index % 3], 0.1 + index / (n_candidates + 1), n_candidates - index)
        for index in range(n_candidates)
    ]
    return AnswerList(matches).ranked()


SIMULATION = Simulation(
    smiles="CCO",
    mzs=(29.0386, 31.0178, 47.0491),
    intensities=(0.4, 0.1, 1.0),
    formulas=("C2H5+", "CH3O+", "C2H7O+"),
    formula="C2H6O",
    adduct="[M+H]+",
    precursor_mz=47.0491,
    collision_energy="35 eV",
    version="v0.2",
    version_hash="0123456789ab",
    notes=("predicted",),
)
