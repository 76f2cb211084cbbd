"""predict(cfg): check the query, load a version, answer, print or write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from team5.errors import ConfigError
from team5.runtime.places import call_of
from team5.search.checks import check_one_source, check_window, is_count

if TYPE_CHECKING:
    from omegaconf import DictConfig

_CONTEXT = ("adduct", "precursor_mz", "collision_energy", "instrument_type")


def predict(cfg: DictConfig) -> int:
    """Predict as configured; 1 if nothing could be answered."""
    settings: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    _check_settings(settings)
    # Here and below: torch and RDKit take a second to import; errors in settings come before.
    if any(settings[name] is not None for name in ("library", "spectra", "candidates")):
        from team5.cli.searching import search

        return search(settings)
    output = settings["output"]
    if output is not None:
        from team5.search.writers import check_output_kind, check_output_path, write_answers

        check_output_path(
            output, read_from=[settings["references"]], versions=settings["checkpoints_root"]
        )
        is_simulation = settings["mzs"] is None and settings["intensities"] is None
        check_output_kind(output, is_simulation=is_simulation)
    from team5.cli.output import print_answers
    from team5.inference.inference import infer, load_model
    from team5.inference.results import AnswerList
    from team5.runtime.problems import Problems
    from team5.search.reading import read_references

    model = load_model(
        settings["version"],
        device=settings["device"],
        root=settings["checkpoints_root"],
        verify=settings["verify"],
        allow=settings["allow"],
    )
    problems = Problems()
    query = {name: settings[name] for name in ("mzs", "intensities", *_CONTEXT, "max_error")}
    references = read_references(settings["references"], problems)
    # Without a structure, infer reports what is missing.
    answers = infer(model, None, settings["smiles"] or [], **query, references=references)
    if isinstance(answers, AnswerList):
        answers = answers.ranked()
    if output is not None:
        count = write_answers(answers, output)
    else:
        peaks = settings["mzs"], settings["intensities"]
        count = print_answers(
            answers,
            as_json=settings["format"] == "json",
            top=settings["top"],
            peaks=peaks if None not in peaks else None,
        )
    n_withheld = sum(
        getattr(answer, "abstained", None) is not None
        for answer in (answers if isinstance(answers, list) else [answers])
    )
    problems.summarise(
        answered=count - n_withheld, withheld=n_withheld, output=output if count else None
    )
    return 0 if count else 1


def _check_settings(settings: dict[str, Any]) -> None:
    """Refuse settings that form no query; `infer` validates peaks and structures."""
    keys = {key for key, value in settings.items() if value is not None}
    if settings["format"] not in ("text", "json"):
        raise ConfigError(f"format={settings['format']}: choose text or json.", argument="format")
    if not is_count(settings["top"]):
        raise ConfigError(
            f"top={settings['top']}: give the number of rows to show, 1 or more.", argument="top"
        )
    for name in ("verify", "resume", "prefilter"):
        if not isinstance(settings[name], bool):
            raise ConfigError(f"{name}={settings[name]}: choose true or false.", argument=name)
    query_keys = sorted(keys & {"smiles", "mzs", "intensities"})
    if "spectra" in keys and query_keys:
        raise ConfigError(
            f"spectra= is for a file, {', '.join(query_keys)} for one spectrum or structure. "
            "Give spectra= with candidates=FILE, or alone if its records carry SMILES."
        )
    if {"smiles", "candidates"} <= keys:
        raise ConfigError("smiles= and candidates= both name structures. Give one of the two.")
    if "candidates" in keys and not keys & {"spectra", "mzs", "intensities"}:
        raise ConfigError(
            "candidates= needs a spectrum: add spectra=FILE, or mzs= and intensities=."
        )
    _check_search(settings, keys)
    if not keys & {"spectra", "smiles", "mzs", "intensities"}:
        raise ConfigError(
            "no query given. Give smiles=, with mzs= and intensities= if you have a spectrum; "
            f"{call_of('predict')} --help shows examples."
        )


def _check_search(settings: dict[str, Any], keys: set[str]) -> None:
    """Refuse invalid settings of a search with files of spectra or structures."""
    if not keys & {"library", "spectra", "candidates"}:
        if settings["resume"]:
            raise ConfigError("resume=true goes on with a search: add spectra= and output=.")
        return
    if "library" in keys:
        _check_library(keys)
    if settings["resume"] and "output" not in keys:
        raise ConfigError("resume=true goes on with a file: add output=, as it was given before.")
    check_window(settings["ppm"], settings["keep"])


def _check_library(keys: set[str]) -> None:
    check_one_source(keys)
    if "spectra" not in keys and not {"mzs", "intensities"} <= keys:
        raise ConfigError(
            "library= needs a spectrum: add spectra=FILE, or mzs=, intensities= and precursor_mz=."
        )
    if "spectra" not in keys and "precursor_mz" not in keys:
        raise ConfigError(
            "library= finds structures by the precursor: add precursor_mz=, and adduct= if it is "
            "not that of the ion mode."
        )
