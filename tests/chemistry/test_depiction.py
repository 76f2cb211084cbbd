import re
import xml.etree.ElementTree as ET

import pytest

from team5.chemistry.depiction import INK, depict, depiction_svg
from team5.errors import MoleculeError

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


def test_atoms_have_places_inside_the_frame_by_their_index_as_typed():
    depiction = depict(ASPIRIN, 200, 120)

    assert set(depiction.places) == set(range(13))
    assert all(0 < x < 200 and 0 < y < 120 for x, y in depiction.places.values())
    assert len(depiction.bonds) == 13
    assert {(0, 1), (3, 4)} <= set(depiction.bonds)


def test_hydrogens_written_out_do_not_shift_the_indices():
    assert set(depict("[H]OC").places) == {1, 2}


def test_all_components_are_drawn():
    assert set(depict("[Na+].CC(=O)[O-]").places) == set(range(5))


def test_fragment_is_marked_by_its_bonds_and_lone_atoms():
    depiction = depict("CCOC")
    place = depiction.places

    assert depiction.fragment_lines([0, 1, 3]) == [(place[0], place[1]), (place[3], place[3])]


def test_broken_bond_is_crossed_in_its_middle():
    depiction = depict("CCO")
    ((start, end),) = depiction.cut_lines([(1, 2)])

    (x1, y1), (x2, y2) = depiction.places[1], depiction.places[2]
    assert (start[0] + end[0]) / 2 == pytest.approx((x1 + x2) / 2, abs=0.2)
    assert (start[1] + end[1]) / 2 == pytest.approx((y1 + y2) / 2, abs=0.2)
    along = (x2 - x1) * (end[0] - start[0]) + (y2 - y1) * (end[1] - start[1])
    assert along == pytest.approx(0, abs=3)


def test_svg_is_well_formed_in_the_colour_of_the_text_around_it():
    text = depiction_svg(ASPIRIN, atoms=[0, 1], cut_bonds=[(1, 3)], width=180, height=90)

    root = ET.fromstring(text)
    assert root.get("viewBox") == "0 0 180 90"
    assert "currentColor" in text
    assert INK not in text
    assert not re.search(r"https?:|script|style", text)
    paths = [path.get("d") for path in root.iter("path")]
    assert all(re.fullmatch(r"[MLQZ\d. -]+", path) for path in paths)


def test_stereo_is_drawn_as_typed():
    assert depiction_svg("C[C@H](N)C(=O)O") != depiction_svg("CC(N)C(=O)O")


@pytest.mark.parametrize("smiles", ["C1CC", '<script>alert("x")</script>', "C*C"])
def test_text_that_is_no_structure_is_refused(smiles):
    with pytest.raises(MoleculeError):
        depiction_svg(smiles)
