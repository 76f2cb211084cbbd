import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from team5.chemistry.adducts import default_adduct, parse_adduct
from team5.chemistry.molecule import parse_smiles
from team5.data.demo import demo_molecules
from team5.errors import MoleculeError
from tests.chemistry.structures import SMILES

FAULTY = {
    "CC$$": "not understood at position 4",
    "C[Xx]C": "not understood at position 3",
    "CC(C": "a parenthesis is opened and not closed at position 3",
    "CC)C": "a parenthesis is closed that was not opened at position 3",
    "C1CC": "a ring is opened and not closed at position 2",
    "c1ccccc1C2CC": "a ring is opened and not closed at position 10",
    "C%12CC1CC1": "a ring is opened and not closed at position 2",
    "[13CH3]C%(101)C": "a ring is opened and not closed at position 9",
    "[CH3]C=1CC=2CC1": "a ring is opened and not closed at position 12",
    "C C": "a blank at position 2",
    "CCO ethanol": "a blank at position 4",
    "C(C)(C)(C)(C)C": "atom 1 (C) has more bonds than its valence allows",
    "CCN(C)(C)C": "atom 3 (N) has more bonds than its valence allows",
    "c1cccc1": "atoms 1, 2, 3, 4, 5 cannot form an aromatic ring",
    "CC*": "atom 3 is a placeholder (*)",
    "C~C": "the bond between atoms 1 and 2 is neither single, double, triple nor aromatic",
    "C[999C]": "atom 2 is 999C, an isotope that is not known",
    "[C,N]C": "not understood at position 3",
    "": "the SMILES is empty",
    "   ": "the SMILES is empty",
    "C" * 4_001: "4001 characters; at most 4000",
    "C" * 129: "129 heavy atoms; at most 128",
}


@pytest.mark.parametrize("smiles", FAULTY)
def test_an_error_names_what_is_wrong_where_and_the_text(smiles):
    with pytest.raises(MoleculeError) as raised:
        parse_smiles(smiles)
    text = str(raised.value)
    assert FAULTY[smiles] in text
    assert smiles.strip()[:50] in text
    assert "\n" not in text
    assert text.endswith(".")


@pytest.mark.parametrize("given", [None, 5, b"CCO", ["CCO"]])
def test_only_text_is_a_smiles(given):
    with pytest.raises(MoleculeError, match="a SMILES must be text"):
        parse_smiles(given)


def test_errors_of_many_threads_are_those_of_one(capfd):
    """RDKit's log, which tells the position, is one for the whole process."""
    texts = [*FAULTY, *SMILES.values()] * 20

    def told(smiles: str) -> str:
        try:
            return parse_smiles(smiles).canonical_smiles
        except MoleculeError as error:
            return str(error)

    alone = [told(smiles) for smiles in texts]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(told, texts)) == alone
    finally:
        sys.setswitchinterval(interval)
    assert capfd.readouterr().err == ""


def test_nothing_is_printed_by_rdkit_before_or_after_an_error():
    code = (
        "from team5.chemistry.molecule import parse_smiles\n"
        "for text in ('CCO', 'C1CC', 'c1cccc1', 'CC(C', '[H]', 'C[N+](C)(C)C', '[H]'):\n"
        "    try: print(parse_smiles(text).inchikey14)\n"
        "    except ValueError: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.startswith("LFQSCWFLJHTTHZ\n")


@pytest.mark.parametrize(
    ("smiles", "formula", "mass", "inchikey14"),
    [
        # Exact masses as in PubChem.
        ("CC(=O)Oc1ccccc1C(=O)O", "C9H8O4", 180.04225873, "BSYNRYMUTXBXSQ"),
        ("CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "C8H10N4O2", 194.08037557, "RYYVLZVUVIJVGH"),
        ("O", "H2O", 18.01056468, "XLYOFNOQVPJJNP"),
        ("ClC(Cl)Cl", "CHCl3", 117.91438314, "HEDRZPFGACZZDS"),
    ],
)
def test_formula_mass_and_key_are_those_of_the_compound(smiles, formula, mass, inchikey14):
    molecule = parse_smiles(smiles)
    assert molecule.formula == formula
    assert molecule.exact_mass == pytest.approx(mass, abs=2e-6)
    assert molecule.inchikey14 == inchikey14
    assert (molecule.notes, molecule.charge) == ((), 0)


def test_demo_molecules_have_the_formulas_written_beside_them():
    assert all(parse_smiles(entry.smiles).formula == entry.formula for entry in demo_molecules())


@pytest.mark.parametrize(
    ("smiles", "judged", "atom_indices"),
    [
        ("[Na+].CC(=O)[O-]", "CC(=O)O", (1, 2, 3, 4)),
        ("CC(=O)[O-].[Na+]", "CC(=O)O", (0, 1, 2, 3)),
        ("CC(=O)O.OC(=O)CC", "CCC(=O)O", (4, 5, 6, 7, 8)),
        ("OO.[Fe].C", "C", (3,)),
        ("[Na+].[H]C([H])([H])C(=O)[O-]", "CC(=O)O", (2, 5, 6, 7)),
        ("Cl.CN(C)C.O.O", "CN(C)C", (1, 2, 3, 4)),
    ],
)
def test_a_mixture_is_judged_by_its_largest_organic_part(smiles, judged, atom_indices):
    molecule = parse_smiles(smiles)
    assert molecule.canonical_smiles == Chem.CanonSmiles(judged)
    assert tuple(sorted(molecule.atom_indices)) == atom_indices
    assert molecule.charge == 0
    assert any("largest organic component" in note for note in molecule.notes)
    # The typed text's own atoms, explicit hydrogens included.
    params = Chem.SmilesParserParams()
    params.removeHs = False
    typed = Chem.MolFromSmiles(smiles, params)
    for atom, index in zip(molecule.mol.GetAtoms(), molecule.atom_indices, strict=True):
        assert typed.GetAtomWithIdx(index).GetAtomicNum() == atom.GetAtomicNum()


def test_the_part_that_is_judged_does_not_depend_on_the_order_of_parts():
    one, two = parse_smiles("CCCO.CCCN.[Cl-]"), parse_smiles("[Cl-].CCCN.CCCO")
    assert one.canonical_smiles == two.canonical_smiles


@given(st.sampled_from(sorted(SMILES)), st.randoms(use_true_random=False))
def test_atom_indices_refer_to_the_text_as_typed(name, random):
    """Each atom is numbered by an isotope-free map number in the text, which must be its index."""
    mol = Chem.MolFromSmiles(SMILES[name])
    for atom in mol.GetAtoms():
        atom.SetAtomMapNum(0)
    order = list(range(mol.GetNumAtoms()))
    random.shuffle(order)
    typed = Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False)
    molecule = parse_smiles(f"[K+].{typed}.[Cl-]")
    params = Chem.SmilesParserParams()
    params.sanitize, params.removeHs = False, False
    as_typed = Chem.MolFromSmiles(f"[K+].{typed}.[Cl-]", params)
    for bond in molecule.mol.GetBonds():
        ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        assert as_typed.GetBondBetweenAtoms(*(molecule.atom_indices[i] for i in ends)) is not None
    for i, index in enumerate(molecule.atom_indices):
        symbol = molecule.mol.GetAtomWithIdx(i).GetSymbol()
        assert as_typed.GetAtomWithIdx(index).GetSymbol() == symbol


@pytest.mark.parametrize(
    ("written", "neutral", "moved"),
    [
        ("[NH3+]CC", "NCC", 1),
        ("CC(=O)[O-]", "CC(=O)O", 1),
        ("[O-]C(=O)CC(=O)[O-]", "OC(=O)CC(=O)O", 2),
        ("c1cc[nH+]cc1", "c1ccncc1", 1),
        ("[NH3+]CC[NH3+]", "NCCN", 2),
        ("C[S-]", "CS", 1),
        ("[NH3+]CC(=O)O", "NCC(=O)O", 1),
    ],
)
def test_charges_that_protons_explain_are_removed(written, neutral, moved):
    molecule, other = parse_smiles(written), parse_smiles(neutral)
    assert molecule.canonical_smiles == other.canonical_smiles
    assert (molecule.charge, molecule.formula) == (0, other.formula)
    assert molecule.exact_mass == pytest.approx(other.exact_mass, abs=1e-9)
    assert molecule.inchikey14 == other.inchikey14
    assert any(f"with {moved} proton" in note for note in molecule.notes)
    assert other.notes == ()


@pytest.mark.parametrize(
    "smiles", ["C[N+](C)(C)CC(=O)[O-]", "O=[N+]([O-])c1ccccc1", "C[N+](C)(C)[O-]", "[C-]#[O+]"]
)
def test_charges_that_are_balanced_within_stay(smiles):
    molecule = parse_smiles(smiles)
    assert molecule.canonical_smiles == Chem.CanonSmiles(smiles)
    assert (molecule.charge, molecule.notes) == (0, ())


@pytest.mark.parametrize(
    ("smiles", "charge", "formula", "precursor_mz"),
    [
        # Choline, benzyltrimethylammonium as a salt, and an ion of two charges.
        ("C[N+](C)(C)CCO", 1, "C5H14NO+", 104.1070),
        ("[Cl-].C[N+](C)(C)Cc1ccccc1", 1, "C10H16N+", 150.1277),
        ("C[N+](C)(C)CCOP(=O)(O)OCC[N+](C)(C)C", 2, "C10H27N2O4P+2", 135.0849),
    ],
)
def test_a_permanent_charge_stays_and_flies_as_it_is(smiles, charge, formula, precursor_mz):
    molecule = parse_smiles(smiles)
    assert (molecule.charge, molecule.formula) == (charge, formula)
    adduct = parse_adduct(default_adduct(None, molecule.charge))
    assert adduct.name.startswith("[M]")
    assert adduct.precursor_mz(molecule.exact_mass) == pytest.approx(precursor_mz, abs=2e-4)


def test_isotopes_are_kept_with_their_masses():
    plain = parse_smiles("CC(=O)O").exact_mass
    assert parse_smiles("[13CH3]C(=O)O").exact_mass == pytest.approx(plain + 1.00335484, abs=1e-6)
    deuterated = parse_smiles("[2H]C([2H])([2H])C(=O)O")
    assert deuterated.exact_mass == pytest.approx(plain + 3 * 1.00627675, abs=1e-6)
    assert deuterated.canonical_smiles == Chem.CanonSmiles("[2H]C([2H])([2H])C(=O)O")
    assert deuterated.atom_indices == tuple(range(7))


@pytest.mark.parametrize(
    ("stereo", "plain"),
    [
        ("C[C@H](N)C(=O)O", "CC(N)C(=O)O"),
        ("C[C@@H](N)C(=O)O", "CC(N)C(=O)O"),
        ("C/C=C/C", "CC=CC"),
        ("[Na+].C[C@H](O)C(=O)[O-]", "CC(O)C(=O)O"),
    ],
)
def test_stereo_is_ignored_and_the_answer_says_so(stereo, plain):
    molecule = parse_smiles(stereo)
    assert molecule.smiles == stereo
    assert molecule.canonical_smiles == parse_smiles(plain).canonical_smiles
    assert molecule.inchikey14 == parse_smiles(plain).inchikey14
    assert "stereo is kept in the text and ignored by the score" in molecule.notes
    assert parse_smiles(plain).notes == ()


def test_marks_that_mean_no_stereo_are_not_spoken_of():
    assert parse_smiles("C[C@H](C)O").notes == ()
    assert parse_smiles("C/C=C(C)/C").notes == ()


def test_explicit_hydrogens_and_map_numbers_change_nothing():
    plain = parse_smiles("CCO")
    for written in ("[H]OC([H])([H])C", "[CH3:1][CH2:2][OH:3]", "  CCO\n", "C-C-O"):
        molecule = parse_smiles(written)
        assert molecule.canonical_smiles == plain.canonical_smiles
        assert molecule.exact_mass == pytest.approx(plain.exact_mass, abs=1e-9)
        assert molecule.notes == ()
        assert molecule.smiles == written


# What 2,000 molecules take in memory, and what they say of it, in bytes.
MEMORY = """
from pathlib import Path
from team5.chemistry.molecule import parse_smiles
from team5.data.demo import demo_molecules

def memory():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

texts = [molecule.smiles for molecule in demo_molecules()]
for text in texts:
    parse_smiles(text)
before = memory()
molecules = [parse_smiles(texts[i % len(texts)]) for i in range(2000)]
print(memory() - before, sum(molecule.n_bytes for molecule in molecules))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_molecule_says_about_how_much_memory_it_takes():
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True
    )
    taken, stated = map(int, done.stdout.split())
    assert taken / 1.5 < stated < taken * 1.5
