"""mzTab-M, read back by pyteomics."""

import pytest

from team5.errors import ConfigError
from team5.search.writers import write_answers
from tests.answers import SIMULATION, make_match

pytest.importorskip("pandas", reason="pyteomics reads mzTab with it")
mztab = pytest.importorskip("pyteomics.mztab")


def test_another_program_reads_a_feature_and_its_candidates(tmp_path):
    matches = [
        make_match("CCO", 0.9, rank=1, confidence=0.39127),
        make_match("CCN", 0.2, rank=2, confidence=None),
    ]
    write_answers(matches, tmp_path / "a.mztab")
    read = mztab.MzTab(str(tmp_path / "a.mztab"))
    assert (read.version, read.variant) == ("2.0.0-M", "M")
    summary, features, evidence = (
        read.small_molecule_table, read.small_molecule_feature_table,
        read.small_molecule_evidence_table,
    )  # fmt: skip
    assert len(summary) == len(features) == 1
    assert summary["smiles"].iloc[0] == "CCO"
    assert float(summary["best_id_confidence_value"].iloc[0]) == 0.3913
    assert list(evidence["rank"]) == [1, 2]
    assert list(evidence["evidence_input_id"]) == [1, 1]
    assert features["SME_ID_REFS"].iloc[0] == "1|2"


def test_it_holds_no_simulated_spectra(tmp_path):
    with pytest.raises(ConfigError, match="not simulated spectra"):
        write_answers(SIMULATION, tmp_path / "a.mztab")
