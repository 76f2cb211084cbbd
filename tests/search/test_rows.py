import pyarrow as pa

from team5.search.rows import SCHEMA, count_withheld


def test_withheld_spectra_are_counted_once_and_with_all_of_their_group():
    rows = [
        {"spectrum": 1, "n_spectra": 2, "abstained": "not sure enough"},
        {"spectrum": 1, "n_spectra": 2, "abstained": "not sure enough"},
        {"spectrum": 4, "n_spectra": 1, "abstained": "not sure enough"},
        {"spectrum": 5, "n_spectra": 3, "abstained": None},
    ]
    assert count_withheld(pa.Table.from_pylist(rows, schema=SCHEMA)) == 3
    assert count_withheld(SCHEMA.empty_table()) == 0
