"""Masses in u, default tolerances and size limits, each with unit and source."""

# CODATA 2018, in u.
ELECTRON_MASS = 0.000548579909065
# AME2020 (Wang et al., Chinese Physics C 45:030003, 2021), in u.
HYDROGEN_MASS = 1.00782503190

# A peak matches an ion within this relative distance, or the floor, whichever is larger.
PEAK_TOLERANCE_PPM = 10.0
PEAK_TOLERANCE_FLOOR = 0.002  # m/z
# A record whose precursor is further than this from its structure's is left out of training.
PRECURSOR_TOLERANCE = 0.02  # m/z
# Candidates and decoys have the same mass as the structure within this distance.
CANDIDATE_TOLERANCE_PPM = 10.0
# Peaks further above the precursor than this come from no ion of the structure.
PRECURSOR_MARGIN = 0.5  # m/z

MAX_PEAKS = 2_000  # peaks of a spectrum as it is read
MAX_HEAVY_ATOMS = 128  # two 64-bit words hold one fragment's atoms
MAX_SMILES_LENGTH = 4_000  # characters

ADDUCT_BY_ION_MODE = {"positive": "[M+H]+", "negative": "[M-H]-"}
