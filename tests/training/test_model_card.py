import yaml

from team5.training.model_card import write_model_card

DATA = {
    "source": "MassBank-data-2025.05.1.tar.gz",
    "computed": False,
    "train_compounds": 3_485,
    "train_spectra": 47_012,
    "val_compounds": 229,
    "val_pairs": 1_374,
    "licenses": {"CC BY": 30_000, "CC BY-SA": 17_012},
    "contributors": {"Eawag": 40_000, "RIKEN": 7_012},
}


def test_the_card_names_licences_and_contributors_with_their_counts():
    card = write_model_card({"data": DATA})
    for row in ("| CC BY | 30,000 |", "| CC BY-SA | 17,012 |", "| Eawag | 40,000 |",
                "| RIKEN | 7,012 |"):  # fmt: skip
        assert row in card
    assert "47,012 spectra of 3,485 compounds" in card
    assert DATA["source"] in card
    assert "https://creativecommons.org/licenses/by-sa/4.0/" in card
    assert "computed spectra" not in card


def test_the_card_opens_with_metadata_that_parse():
    _, header, _ = write_model_card({"data": DATA}).split("---\n", 2)
    assert yaml.safe_load(header)["license"] == "cc-by-sa-4.0"


def test_the_card_of_a_model_of_computed_spectra_warns():
    card = write_model_card({"data": {**DATA, "computed": True}, "parent_version": "v0.1"})
    assert "It was trained on computed spectra, not measured ones" in card.replace("\n", " ")
    assert "It started from the weights of v0.1." in card.replace("\n", " ")


def test_the_card_names_no_parent_where_there_is_none():
    assert "It started from" not in write_model_card({"data": DATA, "parent_version": None})
