"""Answers as mzTab-M 2.0, the exchange format of metabolomics programs.

Hoffmann et al., mzTab-M, Anal. Chem. 91:3302 (2019); https://github.com/HUPO-PSI/mzTab.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from team5.chemistry.adducts import parse_adduct

_POLARITY = {
    "positive": "[MS, MS:1000130, positive scan, ]",
    "negative": "[MS, MS:1000129, negative scan, ]",
}
_OF_SUMMARY = (
    "SML_ID", "SMF_ID_REFS", "database_identifier", "chemical_formula", "smiles", "inchi",
    "chemical_name", "uri", "theoretical_neutral_mass", "adduct_ions", "reliability",
    "best_id_confidence_measure", "best_id_confidence_value", "abundance_assay[1]",
    "abundance_study_variable[1]", "abundance_variation_study_variable[1]",
    "opt_global_feature_id",
)  # fmt: skip
_OF_FEATURE = (
    "SMF_ID", "SME_ID_REFS", "SME_ID_REF_ambiguity_code", "adduct_ion", "isotopomer",
    "exp_mass_to_charge", "charge", "retention_time_in_seconds",
    "retention_time_in_seconds_start", "retention_time_in_seconds_end", "abundance_assay[1]",
)  # fmt: skip
_OF_EVIDENCE = (
    "SME_ID", "evidence_input_id", "database_identifier", "chemical_formula", "smiles", "inchi",
    "chemical_name", "uri", "derivatized_form", "adduct_ion", "exp_mass_to_charge", "charge",
    "theoretical_mass_to_charge", "spectra_ref", "identification_method", "ms_level",
    "id_confidence_measure[1]", "rank",
)  # fmt: skip
_CONFIDENCE = "[, , team5 confidence, ]"
# The format's term for several candidates of one feature.
_AMBIGUOUS = 1
# Tentative candidates, of the levels of Schymanski et al., Environ. Sci. Technol. 48:2097 (2014).
_RELIABILITY = 3


def write_mztab(tables: Iterable[pa.Table], path: Path, schema: pa.Schema) -> None:
    """Write rows of answers: a feature for each spectrum, evidence for each of its candidates."""
    modes: dict[str, None] = {}
    version = ""
    n_spectra = n_rows = 0
    with (
        tempfile.TemporaryFile("w+", dir=path.parent, encoding="utf-8") as summaries,
        tempfile.TemporaryFile("w+", dir=path.parent, encoding="utf-8") as features,
        tempfile.TemporaryFile("w+", dir=path.parent, encoding="utf-8") as evidence,
    ):
        for table in tables:
            for _, rows in groupby(table.to_pylist(), key=lambda row: row.get("spectrum")):
                candidates = list(rows)
                n_spectra += 1
                first, version = candidates[0], candidates[0]["version"]
                modes[parse_adduct(first["adduct"]).ion_mode] = None
                ids = range(n_rows + 1, n_rows + 1 + len(candidates))
                n_rows += len(candidates)
                _write(summaries, "SML", _OF_SUMMARY, _summary(n_spectra, first))
                _write(features, "SMF", _OF_FEATURE, _feature(n_spectra, first, ids))
                for number, row in zip(ids, candidates, strict=True):
                    _write(evidence, "SME", _OF_EVIDENCE, _evidence(number, n_spectra, row))
        with path.open("w", encoding="utf-8", newline="") as file:
            for key, value in _metadata(path, version, tuple(modes) or ("positive",)).items():
                file.write(f"MTD\t{key}\t{value}\n")
            for heading, columns, section in (
                ("SMH", _OF_SUMMARY, summaries),
                ("SFH", _OF_FEATURE, features),
                ("SEH", _OF_EVIDENCE, evidence),
            ):
                file.write("\n" + "\t".join((heading, *columns)) + "\n")
                section.seek(0)
                shutil.copyfileobj(section, file)


def _metadata(path: Path, version: str, modes: Iterable[str]) -> dict[str, str]:
    return {
        "mzTab-version": "2.0.0-M",
        "mzTab-ID": "team5",
        "description": "Candidate structures ranked for tandem mass spectra",
        "software[1]": f"[, , team5, {version}]",
        "quantification_method": "null",
        "ms_run[1]-location": "null",
        **{
            f"ms_run[1]-scan_polarity[{number}]": _POLARITY[mode]
            for number, mode in enumerate(modes, start=1)
        },
        "assay[1]": "assay",
        "assay[1]-ms_run_ref": "ms_run[1]",
        "study_variable[1]": "undefined",
        "study_variable[1]-assay_refs": "assay[1]",
        "study_variable[1]-description": "undefined",
        "cv[1]-label": "MS",
        "cv[1]-full_name": "PSI-MS controlled vocabulary",
        "cv[1]-version": "4.1.138",
        "cv[1]-uri": "https://purl.obolibrary.org/obo/ms.obo",
        "database[1]": '[, , "no database", null]',
        "database[1]-prefix": "null",
        "database[1]-version": "Unknown",
        "database[1]-uri": "null",
        "small_molecule-quantification_unit": "[, , no quantification, ]",
        "small_molecule_feature-quantification_unit": "[, , no quantification, ]",
        "small_molecule-identification_reliability": (
            "[MS, MS:1002896, compound identification confidence level, ]"
        ),
        "id_confidence_measure[1]": _CONFIDENCE,
    }


def _summary(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_structure(row),
        "SML_ID": number,
        "SMF_ID_REFS": number,
        "theoretical_neutral_mass": _mass(row),
        "adduct_ions": row["adduct"],
        "reliability": _RELIABILITY,
        "best_id_confidence_measure": _CONFIDENCE,
        "best_id_confidence_value": _rounded(row["confidence"]),
        "opt_global_feature_id": row.get("feature_id"),
    }


def _feature(number: int, row: Mapping[str, Any], ids: range) -> dict[str, Any]:
    return {
        "SMF_ID": number,
        "SME_ID_REFS": "|".join(map(str, ids)),
        "SME_ID_REF_ambiguity_code": _AMBIGUOUS if len(ids) > 1 else None,
        "adduct_ion": row["adduct"],
        "exp_mass_to_charge": row["precursor_mz"],
        "charge": parse_adduct(row["adduct"]).charge,
        "retention_time_in_seconds": row.get("retention_time"),
    }


def _evidence(number: int, feature: int, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_structure(row),
        "SME_ID": number,
        "evidence_input_id": row["identifier"] or feature,
        "adduct_ion": row["adduct"],
        "exp_mass_to_charge": row["precursor_mz"],
        "charge": parse_adduct(row["adduct"]).charge,
        "theoretical_mass_to_charge": _calculated_mz(row),
        "spectra_ref": f"ms_run[1]:index={(row.get('spectrum') or feature) - 1}",
        "identification_method": f"[, , team5, {row['version']}]",
        "ms_level": "[MS, MS:1000511, ms level, 2]",
        "id_confidence_measure[1]": _rounded(row["confidence"]),
        "rank": row["rank"] or 1,
    }


def _structure(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "chemical_formula": row["formula"],
        "smiles": row["smiles"],
        "chemical_name": row["name"],
    }


def _calculated_mz(row: Mapping[str, Any]) -> float:
    mz: float = row.get("precursor_mz_calculated") or row["precursor_mz"]
    return mz


def _mass(row: Mapping[str, Any]) -> float:
    return round(parse_adduct(row["adduct"]).exact_mass(_calculated_mz(row)), 5)


def _rounded(confidence: float | None) -> str | None:
    return None if confidence is None else f"{confidence:.4f}"


def _write(file: IO[str], prefix: str, columns: Iterable[str], values: Mapping[str, Any]) -> None:
    cells = (values.get(column) for column in columns)
    texts = ["null" if cell in (None, "") else " ".join(str(cell).split()) for cell in cells]
    file.write("\t".join((prefix, *texts)) + "\n")
