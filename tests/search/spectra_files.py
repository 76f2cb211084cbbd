"""Files of spectra of the demo molecules, in which every seventh cannot be answered."""

from pathlib import Path

from team5.chemistry.adducts import parse_adduct
from team5.chemistry.molecule import parse_smiles
from team5.data.demo import demo_molecules

PEAKS = "43.0178 30\n55.0542 20\n77.0386 60\n91.0542 100\n121.0284 10\nEND IONS\n"
# In turn, by what is wrong: the reason that is told begins so.
FAULTS = {
    "": "no precursor m/z",
    "PEPMASS=51.5\nADDUCT=[M+H]+\n": "no candidate within 10 ppm",
    "PEPMASS=181.05\nMSLEVEL=1\n": "MS1 spectrum, not MS2",
    "PEPMASS=181.05\nMSLEVEL=3\n": "MS3 spectrum, not MS2",
}


def write_mgf(path: Path, n: int) -> Path:
    """Write n spectra."""
    molecules = demo_molecules()
    plus_proton = parse_adduct("[M+H]+")
    blocks = []
    for number in range(1, n + 1):
        if number % 7 == 0:
            told = list(FAULTS)[number // 7 % len(FAULTS)]
        else:
            mass = parse_smiles(molecules[number * 5 % len(molecules)].smiles).exact_mass
            told = f"PEPMASS={plus_proton.precursor_mz(mass):.4f}\n"
            # The others are read as [M+H]+ because nothing else is said.
            told += "ADDUCT=[M+H]+\n" if number % 2 else ""
        blocks.append(f"BEGIN IONS\nTITLE=s{number}\n{told}{PEAKS}")
    path.write_text("\n".join(blocks))
    return path
