import re
from collections import Counter, defaultdict

import numpy as np
import pyarrow.parquet as pq
import pytest

from team5.chemistry.adducts import parse_adduct
from team5.chemistry.fragments import enumerate_fragments
from team5.chemistry.molecule import parse_smiles
from team5.constants import ELECTRON_MASS, HYDROGEN_MASS
from team5.data.decoys import CandidatePool, choose_decoys
from team5.data.demo import COMPUTED_NOTICE, demo_molecules, demo_table, write_demo_table
from team5.data.spectrum import Spectrum
from team5.data.splits import check_folds
from team5.errors import StorageError

COLUMNS = [
    "identifier", "mzs", "intensities", "smiles", "inchikey14", "formula", "exact_mass", "adduct",
    "precursor_mz", "ion_mode", "instrument_type", "collision_energy", "license", "contributor",
    "fold",
]  # fmt: skip


@pytest.fixture(scope="module")
def table():
    return demo_table()


@pytest.fixture(scope="module")
def rows(table):
    return table.to_pylist()


@pytest.fixture(scope="module")
def by_name(rows):
    names = {molecule.smiles: molecule.name for molecule in demo_molecules()}
    spectra = defaultdict(list)
    for row in rows:
        spectra[names[row["smiles"]]].append(row)
    return spectra


def precursor_intensity(row):
    near = np.abs(np.array(row["mzs"]) - row["precursor_mz"]) < 0.01
    return np.array(row["intensities"])[near].max(initial=0.0)


def test_every_structure_has_the_formula_known_for_its_name():
    known = {molecule.name: molecule.formula for molecule in demo_molecules()}
    computed = {entry.name: parse_smiles(entry.smiles).formula for entry in demo_molecules()}
    assert computed == known


def test_molecules_are_distinct_neutral_and_within_the_mass_range():
    molecules = [parse_smiles(molecule.smiles) for molecule in demo_molecules()]
    assert len({molecule.inchikey14 for molecule in molecules}) == len(molecules)
    assert len({molecule.name for molecule in demo_molecules()}) == len(molecules)
    assert all(60 < molecule.exact_mass < 700 for molecule in molecules)
    assert all(molecule.charge == 0 and molecule.notes == () for molecule in molecules)
    elements = {symbol for m in molecules for symbol in re.findall("[A-Z][a-z]?", m.formula)}
    assert elements == {"C", "H", "N", "O", "S", "P", "F", "Cl", "Br"}


def test_the_set_holds_well_known_molecules_of_several_kinds_and_many_isomers():
    molecules = demo_molecules()
    assert 300 <= len(molecules) <= 400
    assert {molecule.category for molecule in molecules} == {
        "drug", "metabolite", "natural product", "pesticide", "synthetic",
    }  # fmt: skip
    names = {molecule.name for molecule in molecules}
    assert names >= {
        "caffeine", "aspirin", "paracetamol", "ibuprofen", "glucose", "tryptophan", "cholesterol",
    }  # fmt: skip
    counts = Counter(molecule.formula for molecule in molecules)
    assert sum(counts[molecule.formula] > 1 for molecule in molecules) >= 200


def test_the_table_has_the_columns_and_types_of_a_prepared_one(table):
    assert table.column_names == COLUMNS
    types = {name: str(table.schema.field(name).type) for name in COLUMNS}
    assert types["mzs"] == types["intensities"] == "list<item: double>"
    assert types["exact_mass"] == types["precursor_mz"] == "double"
    assert all(types[name] == "string" for name in COLUMNS if name.endswith(("e", "t", "d", "y")))
    assert all(table[name].null_count == 0 for name in COLUMNS)


def test_every_row_is_a_spectrum_that_says_it_is_computed(rows):
    for row in rows:
        spectrum = Spectrum(np.array(row["mzs"]), np.array(row["intensities"]))
        assert np.array_equal(spectrum.mzs, row["mzs"])
        assert np.array_equal(spectrum.intensities, row["intensities"])
        assert row["instrument_type"] == "computed"
        assert row["contributor"] == "team5 (computed)"
        assert row["license"] == "CC0"
    assert "computed" in COMPUTED_NOTICE
    assert "not measured" in COMPUTED_NOTICE


def test_rows_agree_with_their_structure_and_adduct(rows):
    molecules = {entry.smiles: parse_smiles(entry.smiles) for entry in demo_molecules()}
    for row in rows:
        molecule, adduct = molecules[row["smiles"]], parse_adduct(row["adduct"])
        assert row["inchikey14"] == molecule.inchikey14
        assert row["formula"] == molecule.formula
        assert row["exact_mass"] == pytest.approx(molecule.exact_mass)
        assert row["precursor_mz"] == pytest.approx(
            adduct.precursor_mz(molecule.exact_mass), abs=1e-5
        )
        assert row["ion_mode"] == adduct.ion_mode
        assert max(row["mzs"]) < row["precursor_mz"] + 0.01


def test_identifiers_are_numbered_and_each_molecule_has_a_few_spectra(rows):
    assert [row["identifier"] for row in rows] == [
        f"team5-demo-{number:06d}" for number in range(1, len(rows) + 1)
    ]
    counts = Counter(row["inchikey14"] for row in rows)
    assert len(counts) == len(demo_molecules())
    assert set(counts.values()) == {3, 4}


@pytest.mark.parametrize(
    ("name", "is_acidic"),
    [
        ("aspirin", True),
        ("phenobarbital", True),
        ("p-cresol", True),
        ("theophylline", True),
        ("sulfamethazine", True),
        ("caffeine", False),
        ("cholesterol", False),
        ("nicotine", False),
        ("glucose", False),
        ("atrazine", False),
    ],
)
def test_only_acidic_molecules_have_negative_spectra(by_name, name, is_acidic):
    assert any(row["adduct"] == "[M-H]-" for row in by_name[name]) == is_acidic


def test_more_energy_leaves_less_precursor_and_smaller_fragments(rows):
    precursor, center = defaultdict(list), defaultdict(list)
    for row in rows:
        if row["adduct"] == "[M+H]+":
            energy = row["collision_energy"]
            precursor[energy].append(precursor_intensity(row))
            mean_mz = np.average(row["mzs"], weights=row["intensities"])
            center[energy].append(mean_mz / row["precursor_mz"])
    energies = ["10 eV", "20 eV", "40 eV"]
    for values in (precursor, center):
        low, middle, high = (np.mean(values[energy]) for energy in energies)
        assert low > middle > high
    assert np.mean(precursor["10 eV"]) > 0.9
    assert np.mean(precursor["40 eV"]) < 0.4


def test_peaks_are_fragments_but_for_a_little_noise(by_name):
    for name in ("caffeine", "aspirin", "diazepam", "testosterone"):
        fragments = enumerate_fragments(parse_smiles(by_name[name][0]["smiles"]))
        for row in by_name[name]:
            charge = 1 if row["ion_mode"] == "positive" else -1
            shifts = np.arange(-4, 5)[:, None] * HYDROGEN_MASS - charge * ELECTRON_MASS
            ions = (fragments.masses + shifts).ravel()
            mzs, intensities = np.array(row["mzs"]), np.array(row["intensities"])
            errors_ppm = np.abs(mzs[:, None] - ions).min(axis=1) / mzs * 1e6
            explained = errors_ppm < 10
            assert intensities[explained].sum() > 0.9 * intensities.sum()
            assert np.median(errors_ppm[explained]) < 3
            assert intensities[~explained].max(initial=0.0) < 0.05


def test_familiar_fragments_are_there(by_name):
    def has(name, adduct, mz):
        return any(
            np.abs(np.array(row["mzs"]) - mz).min() < 0.002
            for row in by_name[name]
            if row["adduct"] == adduct
        )

    assert has("caffeine", "[M+H]+", 138.0662)  # loss of methyl isocyanate
    assert has("aspirin", "[M+H]+", 121.0284)  # hydroxybenzoyl
    assert has("ibuprofen", "[M-H]-", 161.1336)  # loss of carbon dioxide
    assert has("glucose", "[M+H]+", 163.0601)  # loss of water


def test_folds_keep_a_structure_and_its_isomers_together(rows):
    check_folds((row["inchikey14"], row["fold"]) for row in rows)
    structures = {row["inchikey14"]: row for row in rows}.values()
    counts = Counter(row["fold"] for row in structures)
    assert set(counts) == {"train", "val", "test"}
    assert counts["train"] > 0.7 * len(structures)
    assert counts["val"] >= 30
    for fold in ("val", "test"):
        formulas = Counter(row["formula"] for row in structures if row["fold"] == fold)
        assert min(formulas.values()) >= 2


def test_held_out_spectra_all_have_decoys_in_the_set(rows):
    names = ("smiles", "inchikey14", "formula", "exact_mass")
    pool = CandidatePool.from_structures(*([row[name] for row in rows] for name in names))
    held_out = [row for row in rows if row["fold"] != "train"]
    decoys = choose_decoys(
        *([row[name] for row in held_out] for name in ("inchikey14", "exact_mass", "identifier")),
        pool,
        seed=0,
    )
    assert None not in decoys


def test_another_seed_gives_only_other_noise(table):
    other = demo_table(seed=1)
    assert other.drop_columns(["mzs", "intensities"]).equals(
        table.drop_columns(["mzs", "intensities"])
    )
    assert not any(a == b for a, b in zip(other["mzs"], table["mzs"], strict=True))


def test_the_table_is_written_whole_and_the_same_each_time(table, tmp_path):
    path = write_demo_table(tmp_path / "folder" / "demo.parquet")
    assert pq.read_table(path).equals(table)
    assert {file.name for file in path.parent.iterdir()} == {"demo.parquet", "demo.peaks.arrow"}


def test_an_unwritable_place_is_a_storage_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        write_demo_table(tmp_path / "file" / "demo.parquet")
