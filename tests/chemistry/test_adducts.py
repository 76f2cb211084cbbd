import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem.Descriptors import ExactMolWt

from team5.chemistry.adducts import (
    _PREFERRED_NAMES,
    _parse,
    can_form,
    default_adduct,
    ion_mode_of_text,
    parse_adduct,
    structure_charge,
)
from team5.chemistry.molecule import parse_smiles
from team5.errors import AdductError

CAFFEINE = 194.080376  # C8H10N4O2, monoisotopic
CHOLINE = "C[N+](C)(C)CCO"
BERBERINE = "COc1ccc2cc3-c4cc5OCOc5cc4CC[n+]3cc2c1OC"


@pytest.mark.parametrize(
    ("adduct", "precursor_mz"),
    [
        ("[M+H]+", 195.08765),
        ("[M-H]-", 193.07310),
        ("[M+Na]+", 217.06960),
        ("[M+NH4]+", 212.11420),
        ("[M+K]+", 233.04354),
        ("[M+Li]+", 201.09583),
        ("[M+Cl]-", 229.04978),
        ("[M+HCOO]-", 239.07858),
        ("[M+CH3COO]-", 253.09423),
        ("[M-H2O+H]+", 177.07709),
        ("[M]+", 194.07983),
        ("[M]-", 194.08092),
        ("[M+2H]2+", 98.04746),
        ("[2M+H]+", 389.16803),
        ("[2M-H]-", 387.15348),
    ],
)
def test_precursor_of_caffeine_is_the_reference_value(adduct, precursor_mz):
    assert parse_adduct(adduct).precursor_mz(CAFFEINE) == pytest.approx(precursor_mz, abs=1e-4)


@pytest.mark.parametrize(
    ("smiles", "precursor_mz"),
    [
        (CHOLINE, 104.10699),
        (BERBERINE, 336.12303),
        ("C[n+]1ccccc1", 94.06513),
    ],
)
def test_permanent_cation_flies_as_it_is_written(smiles, precursor_mz):
    molecule = parse_smiles(smiles)
    adduct = parse_adduct(default_adduct("positive", molecule.charge))
    assert adduct.name == "[M]+"
    assert adduct.precursor_mz(molecule.exact_mass) == pytest.approx(precursor_mz, abs=1e-4)
    # RDKit subtracts the missing electron of a cation as written.
    assert adduct.precursor_mz(molecule.exact_mass) == pytest.approx(
        ExactMolWt(Chem.MolFromSmiles(smiles)), abs=1e-4
    )


def test_radical_cation_of_a_neutral_structure_lacks_one_electron():
    naphthalene = parse_smiles("c1ccc2ccccc2c1")
    mz = parse_adduct("[M]+.").precursor_mz(naphthalene.exact_mass)
    assert mz == pytest.approx(128.06205, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[M+H]+", "[M+H]+"),
        ("M+H", "[M+H]+"),
        ("M+H+", "[M+H]+"),
        (" [M + H]+ ", "[M+H]+"),
        ("[M+H]1+", "[M+H]+"),
        ("[M+H]+*", "[M+H]+"),
        ("[M+Na]1+", "[M+Na]+"),
        ("[M]+*", "[M]+"),
        ("[M]+.", "[M]+"),
        ("[M]•+", "[M]+"),
        ("M+", "[M]+"),
        ("M-H", "[M-H]-"),
        ("[M−H]−", "[M-H]-"),
        ("M+2H", "[M+2H]2+"),
        ("[M+2H]++", "[M+2H]2+"),
        ("[M+2H]+2", "[M+2H]2+"),
        ("[M+H-H2O]+", "[M-H2O+H]+"),
        ("M-H2O+H", "[M-H2O+H]+"),
        ("[M-OH]+", "[M-H2O+H]+"),
        ("[M+H-2H2O]+", "[M-2H2O+H]+"),
        ("[M+H-NH3]+", "[M-NH3+H]+"),
        ("[M+FA-H]-", "[M+HCOO]-"),
        ("[M+HCOOH-H]-", "[M+HCOO]-"),
        ("[M+HCO2]-", "[M+HCOO]-"),
        ("[M+CHO2]-", "[M+HCOO]-"),
        ("[M+CH3COOH-H]-", "[M+CH3COO]-"),
        ("[M+C2H3O2]-", "[M+CH3COO]-"),
        ("[M+Hac-H]-", "[M+CH3COO]-"),
        ("[M+CH3COO]-/[M-CH3]-", "[M+CH3COO]-"),
        ("[M+CH3CN+H]+", "[M+ACN+H]+"),
        ("[M-HCO2]-", "[M-CO2-H]-"),
        ("[M-2H+Na]-", "[M+Na-2H]-"),
        ("[M+K-2H]-", "[M+K-2H]-"),
        ("[2M+FA-H]-", "[2M+HCOO]-"),
        ("[M+H-C6H10O5]+", "[M+H-C6H10O5]+"),
        ("[M-C6H10O5+H]+", "[M+H-C6H10O5]+"),
        ("[M-2H]2-", "[M-2H]2-"),
        ("[M-2H]-", "[M-2H]-"),
        ("(M+H)+", "[M+H]+"),
        ("[M+H+]", "[M+H]+"),
        ("MH+", "[M+H]+"),
        ("2MNa+", "[2M+Na]+"),
        ("M+2H2+", "[M+2H]2+"),
        ("M+H[1+]", "[M+H]+"),
        ("[M-H](-)", "[M-H]-"),
        ("[M+.]+", "[M]+"),
        ("[M+]", "[M]+"),
        ("[Cat]+", "[M]+"),
        ("[M+FA]-", "[M+HCOO]-"),
        ("[M+Ac]-", "[M+CH3COO]-"),
        ("[M+AcO]-", "[M+CH3COO]-"),
        ("[M+OAc]-", "[M+CH3COO]-"),
        ("[M+Ac-H]-", "[M+CH3COO]-"),
        ("[M+TFA]-", "[M+CF3COO]-"),
        ("[M+H-H20]+", "[M-H2O+H]+"),
        ("[M+H-(H2O)2]+", "[M-2H2O+H]+"),
        ("[M+35Cl]-", "[M+Cl]-"),
        ("[M+37Cl]-", "[M+(37Cl)]-"),
    ],
)
def test_ways_of_writing_have_one_name(text, name):
    assert parse_adduct(text).name == name


@pytest.mark.parametrize(
    "text",
    ["", "H", "[M]", "[M+Xy]+", "[M+H]0+", "M+?", "[M+h]+", "[0M+H]+", "protonated", "[X+H]+",
     "[M+?]+", "[M-?]-", "[M+H+2i]+", "[M+Ac]+", "[M+C2Ac]+", "[M+U]+", "[M+99999H]99999+",
     "[M+(H2O)999]+", "[M+H+]-", "[M+21H]21+", "[M+(13H2O)+H]+", "[M+(23Na)+H]+"],
)  # fmt: skip
def test_text_that_is_no_adduct_is_refused_with_its_text_and_an_example(text):
    with pytest.raises(AdductError) as refused:
        parse_adduct(text)
    assert repr(text) in str(refused.value)
    assert "[M+H]+" in str(refused.value)


@pytest.mark.parametrize(("text", "name"), [
    ("M+H+Na2+", "[M+H+Na]2+"),
    ("M+H+Li2+", "[M+H+Li]2+"),
    ("[M+Cl-]-", "[M+Cl]-"),
    ("[M+Na+]+", "[M+Na]+"),
    ("[M+2H+]2+", "[M+2H]2+"),
    ("[2M+H+]", "[2M+H]+"),
    ("[9M+H]+", "[9M+H]+"),
    ("[2M+TFA-H]-", "[2M+CF3COOH-H]-"),
])  # fmt: skip
def test_charges_written_at_a_term_acids_and_up_to_nine_molecules_are_read(text, name):
    assert parse_adduct(text).name == name


def test_an_element_that_a_formula_names_twice_is_added_up():
    as_groups, summed = parse_adduct("[M+CH3CH2OH+H]+"), parse_adduct("[M+C2H6O+H]+")
    assert as_groups.composition == summed.composition == (("C", 2), ("H", 7), ("O", 1))


def test_isotopes_have_their_own_mass():
    chloride, heavy = parse_adduct("[M+Cl]-"), parse_adduct("[M+37Cl]-")
    assert heavy.mass_shift - chloride.mass_shift == pytest.approx(1.99705, abs=1e-5)
    assert heavy.composition == chloride.composition
    deuterated = parse_adduct("[M+D]+").precursor_mz(CAFFEINE)
    assert deuterated == pytest.approx(196.09393, abs=1e-4)
    assert parse_adduct("[M+2H]2+").charge == 2  # two protons


@pytest.mark.parametrize(
    ("text", "ion_mode"),
    [("[M+?]+", "positive"), ("[M-?]1-", "negative"), ("[M+X](-)", "negative"), ("M", None)],
)
def test_sign_of_an_adduct_that_is_not_understood_is_known(text, ion_mode):
    assert ion_mode_of_text(text) == ion_mode


def test_unknown_element_prints_nothing(capfd):
    with pytest.raises(AdductError):
        parse_adduct("[M+Zz]+")
    assert capfd.readouterr() == ("", "")


def test_every_preferred_name_stands_for_its_own_ion():
    assert [parse_adduct(name).name for name in _PREFERRED_NAMES] == list(_PREFERRED_NAMES)
    ions = {
        (a.n_molecules, round(a.mass_shift, 5), a.charge)
        for a in map(parse_adduct, _PREFERRED_NAMES)
    }
    assert len(ions) == len(_PREFERRED_NAMES)


@given(
    name=st.sampled_from(_PREFERRED_NAMES),
    exact_mass=st.floats(min_value=100, max_value=2_000),
)
def test_mass_comes_back_from_precursor(name, exact_mass):
    adduct = parse_adduct(name)
    assert adduct.exact_mass(adduct.precursor_mz(exact_mass)) == pytest.approx(exact_mass)


@given(
    n_molecules=st.integers(1, 3),
    terms=st.lists(
        st.tuples(
            st.sampled_from("+-"),
            st.integers(1, 3),
            st.sampled_from(["H", "Na", "H2O", "C6H10O5", "NH3", "CHO2"]),
        ),
        max_size=4,
    ),
    charge=st.sampled_from(["+", "-", "2+", "3-"]),
)
def test_normalised_name_is_parsed_to_the_same_ion(n_molecules, terms, charge):
    number = n_molecules if n_molecules > 1 else ""
    text = "".join(f"{sign}{count if count > 1 else ''}{part}" for sign, count, part in terms)
    adduct = parse_adduct(f"[{number}M{text}]{charge}")
    again = parse_adduct(adduct.name)
    assert again.name == adduct.name
    assert (again.n_molecules, again.charge) == (adduct.n_molecules, adduct.charge)
    assert again.mass_shift == pytest.approx(adduct.mass_shift, abs=1e-9)


@pytest.mark.parametrize(
    ("ion_mode", "charge", "name"),
    [
        (None, 0, "[M+H]+"),
        ("positive", 0, "[M+H]+"),
        ("negative", 0, "[M-H]-"),
        (None, 1, "[M]+"),
        ("positive", 1, "[M]+"),
        ("positive", 2, "[M]2+"),
        ("negative", 1, "[M-2H]-"),
        (None, -1, "[M]-"),
        ("negative", -1, "[M]-"),
        ("positive", -1, "[M+2H]+"),
        ("negative", -2, "[M+H]-"),
    ],
)
def test_default_adduct_makes_up_the_difference_in_charge(ion_mode, charge, name):
    assert default_adduct(ion_mode, charge) == name
    assert parse_adduct(name).name == name


@pytest.mark.parametrize(
    ("name", "charge"),
    [
        ("[M]+", 1),
        ("[2M]2+", 1),
        ("[2M]+", None),
        ("[M-2H]-", 1),
        ("[M+2H]+", -1),
        # Protons or metal ions on a neutral molecule leave no electron unpaired.
        ("[M+2H]2+", 0),
        ("[M+H+Na]2+", 0),
        ("[M+2Na]2+", 0),
        ("[M-CH3]-", 0),
    ],
)
def test_an_ion_tells_the_permanent_charge_of_its_structure(name, charge):
    assert structure_charge(parse_adduct(name)) == charge


@pytest.mark.parametrize(
    ("smiles", "name", "formed"),
    [
        ("CCl", "[M-Cl]+", True),
        ("Cl", "[M-Cl]+", False),  # a proton would be left of it
        ("CCO", "[M-H2O+H]+", True),
        ("CCO", "[M-2H2O+H]+", False),
        ("CCO", "[2M-2H2O+H]+", True),
        ("CC=O", "[M-C2H4+H]+", True),
        ("C=C", "[M-C2H4+H]+", False),
    ],
)
def test_a_structure_forms_no_ion_that_loses_what_it_lacks_or_all_of_it(smiles, name, formed):
    assert can_form(parse_smiles(smiles), parse_adduct(name)) is formed


def test_unknown_ion_mode_is_refused():
    with pytest.raises(AdductError, match="positive or negative"):
        default_adduct("neutral")


def test_long_texts_are_not_kept():
    before = _parse.cache_info().currsize
    for i in range(5):
        assert parse_adduct("[M+H]+/" + "x" * 1_000_000 + str(i)).name == "[M+H]+"
    assert _parse.cache_info().currsize <= before + 1
