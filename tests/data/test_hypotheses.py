"""Adducts that a spectrum may be of: how they are written, and which one a structure stands on."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from team5.chemistry.adducts import parse_adduct
from team5.chemistry.molecule import parse_smiles
from team5.data.conditions import Conditions
from team5.data.context import ADDUCTS
from team5.data.hypotheses import fitting_adduct, parse_hypotheses
from team5.data.spectrum import Spectrum
from team5.errors import AdductError, SpectrumError

CAFFEINE = parse_smiles("Cn1cnc2c1c(=O)n(C)c(=O)n2C")
CHOLINE = parse_smiles("C[N+](C)(C)CCO")
PEAKS = [110.0713, 138.0662], [60.0, 100.0]
NEUTRAL = [name for name in ADDUCTS if name not in ("[M]+", "[M]-")]


@pytest.mark.parametrize("written", [
    "[M+H]+,[M+Na]+", " M+H , M+Na ", ["[M+H]+", "[M+Na]+"], ("(M+H)+", "[M+Na]1+", "[M+H]+"),
])  # fmt: skip
def test_several_adducts_are_read_however_they_are_listed(written):
    assert parse_hypotheses(written) == ("[M+H]+", "[M+Na]+")
    spectrum = Spectrum(*PEAKS, precursor_mz=195.0877, adduct=written)
    assert (spectrum.adduct, spectrum.hypotheses) == (None, ("[M+H]+", "[M+Na]+"))
    assert spectrum.ion_mode == "positive"
    filled = Conditions(written).fill(Spectrum(*PEAKS, precursor_mz=195.0877))
    assert filled.hypotheses == spectrum.hypotheses


@pytest.mark.parametrize(("written", "said"), [
    ("[M+H]+,[M+Xx]+", r"'\[M\+Xx\]\+' is not understood"),
    ("[M+H]+,", "'' is not understood"),
    (["auto", "[M+H]+"], "'auto' is not understood"),
    ([], "a list of 0 adducts"),
    (["[M+H]+"] * 33, "a list of 33 adducts"),
])  # fmt: skip
def test_a_list_with_something_else_in_it_is_refused_by_name(written, said):
    for make in (Conditions, lambda adduct: Spectrum(*PEAKS, precursor_mz=200, adduct=adduct)):
        with pytest.raises(AdductError, match=said):
            make(written)


@pytest.mark.parametrize(("mode", "n"), [("positive", 6), ("negative", 5), (None, 11)])
def test_auto_is_all_the_adducts_of_the_ion_mode(mode, n):
    spectrum = Spectrum(*PEAKS, precursor_mz=200, adduct="Auto", ion_mode=mode)
    assert len(spectrum.hypotheses) == n
    modes = {parse_adduct(name).ion_mode for name in spectrum.hypotheses}
    assert modes == ({mode} if mode else {"positive", "negative"})
    assert spectrum.ion_mode == mode


def test_one_that_is_left_in_the_ion_mode_is_known():
    spectrum = Spectrum(*PEAKS, adduct="[M+H]+,[M-H]-", ion_mode="negative")
    assert (spectrum.adduct, spectrum.hypotheses) == ("[M-H]-", ())
    with pytest.raises(SpectrumError, match=r"\[M\+H\]\+ or \[M\+Na\]\+ in negative ion mode"):
        Spectrum(*PEAKS, adduct="[M+H]+,[M+Na]+", ion_mode="negative")


def test_without_a_precursor_none_of_several_can_be_told():
    with pytest.raises(SpectrumError, match="no precursor m/z") as raised:
        Spectrum(*PEAKS, adduct="auto")
    assert raised.value.code == "adduct_needs_precursor"
    assert raised.value.argument == "precursor_mz"


def test_a_spectrum_that_states_its_adduct_keeps_it():
    stated = Spectrum(*PEAKS, precursor_mz=217.0696, adduct="[M+Na]+")
    assert Conditions("auto").fill(stated).adduct == "[M+Na]+"
    open_ = Spectrum(*PEAKS, precursor_mz=217.0696, adduct="auto")
    assert dataclasses.replace(open_, identifier="a").hypotheses == open_.hypotheses
    assert dataclasses.replace(open_, adduct="[M+Na]+").hypotheses == ()


@given(st.sampled_from(NEUTRAL), st.floats(-5e-6, 5e-6))
def test_the_adduct_is_the_one_whose_ion_has_the_precursor(name, error):
    measured = parse_adduct(name).precursor_mz(CAFFEINE.exact_mass) * (1 + error)
    assert fitting_adduct(ADDUCTS, measured, CAFFEINE).name == name
    assert fitting_adduct(ADDUCTS[::-1], measured, CAFFEINE).name == name


def test_a_cation_flies_as_it_is():
    measured = parse_adduct("[M]+").precursor_mz(CHOLINE.exact_mass)
    assert fitting_adduct(ADDUCTS, measured, CHOLINE).name == "[M]+"


def test_an_adduct_that_loses_what_is_not_there_is_none_of_the_structure():
    benzene = parse_smiles("c1ccccc1")
    measured = parse_adduct("[M-H2O+H]+").precursor_mz(benzene.exact_mass)
    assert fitting_adduct(("[M+H]+", "[M-H2O+H]+"), measured, benzene).name == "[M+H]+"


def test_where_none_has_the_precursor_the_nearest_is_taken():
    assert fitting_adduct(ADDUCTS, 217.3, CAFFEINE).name == "[M+Na]+"


def test_of_adducts_that_a_structure_cannot_form_the_nearest_is_taken_to_be_refused_by_name():
    benzene = parse_smiles("c1ccccc1")
    losses = ("[M-2H2O+H]+", "[M-H2O+H]+", "[M-CO2+H]+")
    measured = parse_adduct("[M-H2O+H]+").precursor_mz(benzene.exact_mass)
    assert fitting_adduct(losses, measured, benzene).name == "[M-H2O+H]+"


def test_as_many_adducts_as_the_message_allows_are_read():
    assert parse_hypotheses(["[M+H]+"] * 32) == ("[M+H]+",)
