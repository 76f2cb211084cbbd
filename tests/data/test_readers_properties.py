"""What is written in any legal shape is what is read."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from team5.data.readers import read_spectra

ADDUCTS = ["[M+H]+", "[M-H]-", "[M+Na]+", "[M]+", "[M+HCOO]-", "[2M+H]+"]
KEYS = {
    "precursor": {
        "mgf": ["PEPMASS", "PRECURSOR_MZ", "pepmass"],
        "msp": ["PrecursorMZ", "PRECURSORMZ", "Precursor m/z", "PRECURSOR_MZ"],
    },
    "adduct": {
        "mgf": ["ADDUCT", "ION", "PRECURSORTYPE", "ION_TYPE", "adduct"],
        "msp": ["Precursor_type", "PRECURSORTYPE", "ADDUCTIONNAME", "Adduct"],
    },
    "smiles": {"mgf": ["SMILES", "smiles"], "msp": ["SMILES", "Smiles", "smiles"]},
    "energy": {
        "mgf": ["COLLISION_ENERGY", "collisionEnergy"],
        "msp": ["Collision_energy", "COLLISIONENERGY"],
    },
    "noise": {"mgf": ["LIBRARYQUALITY", "centroided"], "msp": ["MW", "Ontology", "Synon"]},
}
ANNOTATIONS = ["", ' "C5H8N3=p-C3H3NO2"', " C6H5+", "\t'?'", " CN1C=NC(=O)", ' "a: b; c 12 13"']

peaks = st.lists(
    st.tuples(st.integers(500_000, 9_999_999), st.integers(1, 999_999)),
    min_size=1, max_size=12, unique_by=lambda peak: peak[0],
)  # fmt: skip


@st.composite
def records(draw):
    return {
        "precursor": f"{draw(st.integers(500_000, 9_999_999)) / 1e4:.4f}",
        "adduct": draw(st.sampled_from(ADDUCTS)),
        "smiles": draw(st.sampled_from(["CCO", "CC(=O)Oc1ccccc1C(=O)O", "C/C=C/[C@@H](O)N"])),
        "energy": draw(st.sampled_from(["35 eV", "30 % (nominal)", "20"])),
        "noise": draw(st.sampled_from(["1", "true", "Säure", "12,5"])),
        "peaks": [(mz / 1e4, height / 10) for mz, height in draw(peaks)],
    }


def written_number(draw, value, comma):
    text = draw(st.sampled_from([f"{value:.4f}", f"{value:.5f}"]))
    return text.replace(".", ",") if comma else text


@st.composite
def files(draw, kind):
    """Return records and the bytes of a file that holds them, in a shape drawn at random."""
    listed = draw(st.lists(records(), min_size=1, max_size=4))
    comma = draw(st.booleans())
    separator = draw(st.sampled_from([" ", "\t", "   "]))
    # Latin-1 is told by what is not UTF-8, UTF-16 by its bytes.
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le"]))
    line_end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    between = draw(st.sampled_from(["", "\n", "\n\n"]))
    assign = draw(st.sampled_from(["=", " = "] if kind == "mgf" else [": ", ":", " : "]))
    text = draw(st.sampled_from(["", "# a comment\n"]))
    for record in listed:
        names = draw(st.permutations([*KEYS, "name"] if kind == "msp" else list(KEYS)))
        lines = []
        for name in names:
            if name == "name":
                lines.append(f"{draw(st.sampled_from(['NAME', 'Name']))}{assign}x")
                continue
            value = record[name]
            if name == "precursor" and comma:
                value = value.replace(".", ",")
            lines.append(f"{draw(st.sampled_from(KEYS[name][kind]))}{assign}{value}")
        annotation = draw(st.sampled_from(ANNOTATIONS))
        rows = [
            f"{written_number(draw, mz, comma)}{separator}{written_number(draw, height, comma)}"
            f"{annotation}"
            for mz, height in record["peaks"]
        ]
        if kind == "mgf":
            begin, end = draw(
                st.sampled_from([("BEGIN IONS", "END IONS"), ("begin ions", "end ions")])
            )
            text += "\n".join([begin, *lines, *rows, end]) + "\n" + between
        else:
            lines.append(f"{draw(st.sampled_from(['Num Peaks', 'NUM PEAKS']))}{assign}{len(rows)}")
            text += "\n".join([*lines, *rows]) + "\n" + between
    return listed, text.replace("\n", line_end).encode(encoding)


def check(path, listed, content):
    path.write_bytes(content)
    read = read_spectra(path)
    assert read.skipped == {}
    assert len(read.records) == len(listed)
    for record, expected in zip(read.records, listed, strict=True):
        ascending = sorted(expected["peaks"])
        spectrum = record.spectrum
        np.testing.assert_allclose(spectrum.mzs, [mz for mz, _ in ascending], rtol=1e-12)
        heights = np.array([height for _, height in ascending])
        np.testing.assert_allclose(spectrum.intensities, heights / heights.max(), rtol=1e-9)
        assert spectrum.precursor_mz == float(expected["precursor"])
        assert (spectrum.adduct, spectrum.notes) == (expected["adduct"], ())
        assert spectrum.collision_energy == expected["energy"]
        assert record.smiles == expected["smiles"]


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(files("mgf"))
def test_mgf_of_any_legal_shape_is_read_as_it_was_written(tmp_path_factory, written):
    check(tmp_path_factory.getbasetemp() / "random.mgf", *written)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(files("msp"))
def test_msp_of_any_legal_shape_is_read_as_it_was_written(tmp_path_factory, written):
    check(tmp_path_factory.getbasetemp() / "random.msp", *written)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text(max_size=400), st.sampled_from([".mgf", ".msp", ".ms", ".json", ".csv", ".mzML"]))
def test_no_text_ends_in_a_traceback(tmp_path_factory, text, ending):
    from team5.errors import Team5Error

    path = tmp_path_factory.getbasetemp() / f"noise{ending}"
    begin = {".mgf": "BEGIN IONS\n", ".msp": "Name: x\nNum Peaks: 1\n", ".csv": "mzs,intensities\n"}
    path.write_text(
        begin.get(ending, "") + text + "\nEND IONS\n", encoding="utf-8", errors="replace"
    )
    try:
        read_spectra(path)
    except Team5Error as refused:
        assert "\n" not in str(refused)  # noqa: PT017
