"""Model card of a version: training data, limits and licence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from team5.runtime.tables import counted, counted_spectra

_HEADER = """\
---
license: cc-by-sa-4.0
library_name: team5
tags: [mass-spectrometry, ms-ms, structure-annotation]
---
"""


def write_model_card(facts: Mapping[str, Any]) -> str:
    """Return the Markdown card of a version from the facts of its training."""
    data = facts["data"]
    parts = [
        _HEADER,
        _what(data),
        _data(data, facts.get("parent_version")),
        _LIMITS,
        _license(data),
    ]
    return "\n".join(parts)


def _what(data: Mapping[str, Any]) -> str:
    notice = (
        "\n**It was trained on computed spectra, not measured ones: good for trying things out, "
        "not for identifying molecules.**\n"
        if data["computed"]
        else ""
    )
    return f"""\
# A team5 model

Says whether a tandem mass spectrum (MS/MS) is of a structure, ranks candidate structures for a
spectrum, and predicts the spectrum of a structure. One network gives a distribution over the
fragments of a structure; its likelihood of the measured peaks answers the first two questions, the
distribution itself is the third.
{notice}
## Intended use

Research on unknown small molecules: to put candidate structures in order, to see whether a spectrum
contradicts a structure, and to know which peak is which fragment, as one kind of evidence among
retention time, reference spectra and chemistry. Not for diagnosis, and not for any decision without
human review.

`python predict.py smiles=... mzs=[...] intensities=[...]`, or `team5.inference.inference`.
Its figures are in `checkpoint_tracker.json` next to the versions, and below if they were added
(`python evaluate.py card=true`).
"""


def _data(data: Mapping[str, Any], parent: str | None) -> str:
    before = f" It started from the weights of {parent}." if parent else ""
    return f"""\
## Training data

{counted_spectra(data["train_spectra"])} of {counted(data["train_compounds"], "compound")} from
{data["source"]}; the best epoch and the match probability were chosen on
{data["val_pairs"]:,} pairs of {counted(data["val_compounds"], "other compound")}.{before}

{_table("Licence of the records", data["licenses"])}
{_table("Contributor", data["contributors"])}"""


def _table(title: str, counts: Mapping[str, int]) -> str:
    rows = "\n".join(f"| {name} | {count:,} |" for name, count in counts.items())
    return f"| {title} | Spectra |\n|---|---:|\n{rows}\n"


_LIMITS = """\
## Limits

- Singly charged ions of one molecule; organic molecules of up to 128 heavy atoms.
- Stereo is ignored: stereoisomers get the same answer.
- Electrospray with collision-induced dissociation; other fragmentation methods were not seen.
- A high match probability among candidates of the same formula is evidence, not identification:
  isomers that differ in the position of one substituent often give the same fragments.
"""


def _license(data: Mapping[str, Any]) -> str:
    if data["computed"]:
        return "## Licence\n\nWeights: CC BY-SA 4.0, as those they started from.\n"
    return """\
## Licence

Weights: CC BY-SA 4.0 (https://creativecommons.org/licenses/by-sa/4.0/), as some of the records are.
If the source above is a MassBank release, the spectra are from MassBank (https://massbank.eu),
by the listed contributors, each under the licence stated in its record.
"""
