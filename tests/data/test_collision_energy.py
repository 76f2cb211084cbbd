import math
import re
import tarfile
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from team5.data.collision_energy import CollisionEnergy, parse_collision_energy, to_electronvolt

UNKNOWN = CollisionEnergy(None)


def single(value, unit):
    return CollisionEnergy(value, unit, is_ramp=False, low=value, high=value)


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("40", 40, None),
        ("31.25", 31.25, None),
        ("35 eV", 35, "eV"),
        ("35 ev", 35, "eV"),
        ("35eV", 35, "eV"),
        ("17.5 eV", 17.5, "eV"),
        ("17,5 eV", 17.5, "eV"),
        ("45V", 45, "eV"),
        ("45.0V", 45, "eV"),
        ("45 V", 45, "eV"),
        ("30 % (nominal)", 30, "NCE"),
        ("30% (nominal)", 30, "NCE"),
        ("62.5 % (nominal)", 62.5, "NCE"),
        ("35 (nominal)", 35, "NCE"),
        ("35  (nominal)", 35, "NCE"),
        ("35(NCE)", 35, "NCE"),
        ("35 NCE", 35, "NCE"),
        ("35NCE", 35, "NCE"),
        ("20.0 NCE", 20, "NCE"),
        ("NCE 35", 35, "NCE"),
        ("NCE=35%", 35, "NCE"),
        ("NCE=35% 17eV", 17, "eV"),
        ("HCD 65%", 65, "NCE"),
        ("HCD (NCE 65%)", 65, "NCE"),
        ("90 HCD", 90, "NCE"),
        ("HCD 35", 35, "NCE"),
        ("35 eV HCD", 35, "eV"),
        ("120 %", 120, "NCE"),
        ("CE30", 30, None),
        ("CE: 30", 30, None),
        ("CID 35", 35, None),
        ("Q-TOF 20eV", 20, "eV"),
        ("35 eV FT-MS", 35, "eV"),
        ("35 eV FT-MS II", 35, "eV"),
        ("35 eV IT-MS", 35, "eV"),
        ("MS2 35 eV", 35, "eV"),
        ("80 % by Ar 50 %", 80, "NCE"),
        ("-35 V", 35, "eV"),
        ("35% 28eV", 28, "eV"),
        ("CE 30 V, DP 80 V", 30, "eV"),
        ("DP=80 CE=30", 30, None),
        (35, 35, None),
        (27.5, 27.5, None),
    ],
)
def test_one_energy_is_parsed(text, value, unit):
    assert parse_collision_energy(text) == single(value, unit)


@pytest.mark.parametrize(
    ("text", "value", "unit", "low", "high"),
    [
        ("30-50", 40, None, 30, 50),
        ("Ramp 20.5-30.7 eV", 25.6, "eV", 20.5, 30.7),
        ("RAMP 20.5-30.7 eV", 25.6, "eV", 20.5, 30.7),
        ("Ramp 20,5-30.7 eV", 25.6, "eV", 20.5, 30.7),
        ("Ramp 5-60 V", 32.5, "eV", 5, 60),
        ("Ramp 20%-70% (nominal)", 45, "NCE", 20, 70),
        ("30 V (ramped)", 30, "eV", 30, 30),
        ("15, 30, 45, 60", 37.5, None, 15, 60),
        ("15,30,45", 30, None, 15, 45),
        ("15, 30, 45 or 90 (nominal)", 45, "NCE", 15, 90),
        ("10,20,40 eV", 70 / 3, "eV", 10, 40),
        ("25,60,100% (stepped)", 185 / 3, "NCE", 25, 100),
        ("25,60,100 (stepped)", 185 / 3, None, 25, 100),
        ("HCD (NCE 20-30-40%)", 30, "NCE", 20, 40),
        ("stepped 20, 40, 60 NCE", 40, "NCE", 20, 60),
        ("35 +- 15", 35, None, 35, 35),
        ("45 CE +- 15", 45, None, 45, 45),
        ("35 ± 15 eV", 35, "eV", 35, 35),
        ("30+/-15 V", 30, "eV", 30, 30),
        ("40 eV, CES 15", 40, "eV", 40, 40),
        ("42% (nominal) with stepped collision energies 30% and 55%", 42, "NCE", 30, 55),
    ],
)
def test_several_energies_have_their_middle_and_their_bounds(text, value, unit, low, high):
    energy = parse_collision_energy(text)
    assert energy.is_ramp
    assert energy.unit == unit
    assert (energy.value, energy.low, energy.high) == pytest.approx((value, low, high))


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "N/A",
        "low",
        "ceV",
        "SORI CID",
        "3 kV",
        "3kV",
        "scaled by m/z",
        "scaled 80 (m/z=200) to 110 (m/z=120)",
        "160-0.41mz or 15 (mz>350) nominal units",
        "200-500-650 (Argon)",
        "0",
        "0 eV",
        "DP 60 V",
        math.nan,
        math.inf,
    ],
)
def test_text_without_a_usable_number_is_classed_as_unknown(text):
    assert parse_collision_energy(text) == UNKNOWN


@given(st.text())
def test_no_text_raises(text):
    energy = parse_collision_energy(text)
    if energy.value is not None:
        assert energy.value > 0
        assert energy.low <= energy.high


def test_nce_is_scaled_by_precursor_and_electronvolt_is_not():
    assert to_electronvolt(single(30, "NCE"), 250.0) == pytest.approx(15)
    assert to_electronvolt(single(30, "NCE"), 500.0) == pytest.approx(30)
    assert to_electronvolt(single(30, "eV"), 250.0) == pytest.approx(30)
    assert to_electronvolt(UNKNOWN, 250.0) is None
    assert to_electronvolt(single(30, "NCE"), math.nan) is None


def test_missing_unit_is_nce_on_an_orbitrap_and_electronvolt_elsewhere():
    energy = single(30, None)
    assert to_electronvolt(energy, 250.0) == pytest.approx(30)
    assert to_electronvolt(energy, 250.0, "LC-ESI-QTOF") == pytest.approx(30)
    assert to_electronvolt(energy, 250.0, "LC-ESI-QFT") == pytest.approx(15)
    assert to_electronvolt(single(30, "eV"), 250.0, "LC-ESI-QFT") == pytest.approx(30)


def test_energies_of_the_archive_are_understood(shared_data):
    texts: Counter[str] = Counter()
    (archive,) = shared_data.glob("MassBank-data-*.tar.gz")
    with tarfile.open(archive, "r|gz") as members:
        for member in members:
            file = members.extractfile(member)
            content = file.read() if file else b""
            if b"MS_TYPE MS2\n" in content:
                found = re.search(rb"COLLISION_ENERGY (.*)", content)
                texts[found[1].decode() if found else ""] += 1
    n_missing = texts.pop("", 0)
    shapes = {re.sub(r"\d+(\.\d+)?", "N", text) for text in texts}
    understood = sum(n for text, n in texts.items() if parse_collision_energy(text).value)
    assert n_missing > 1_000
    assert len(shapes) > 30
    assert understood / texts.total() > 0.997
