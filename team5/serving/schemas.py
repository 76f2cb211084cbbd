"""Bodies of requests and answers as /docs describes them, each with an example that works.

What values must be, `infer` says, in the same words as in Python; these classes only describe.
Answers are the dataclasses of `team5.inference.results`.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from team5.inference.results import Match, Simulation

_Mz = Annotated[float, Field(gt=0)]
_Height = Annotated[float, Field(ge=0)]


class SpectrumBody(BaseModel):
    """One spectrum of several that are judged together."""

    model_config = ConfigDict(extra="forbid")

    mzs: list[_Mz]
    intensities: list[_Height]
    precursor_mz: float | None = Field(None, gt=0)
    adduct: str | None = None
    collision_energy: str | float | None = None
    instrument_type: str | None = None
    ion_mode: str | None = Field(None, description="positive or negative")
    identifier: str = ""


class ItemBody(BaseModel):
    """A question, with the arguments of `infer`.

    A structure alone is simulated, with a spectrum matched; several structures are ranked.
    """

    model_config = ConfigDict(extra="forbid")

    smiles: str | list[str] | None = None
    mzs: list[_Mz] | list[list[_Mz]] | None = Field(None, description="m/z, in any order")
    intensities: list[_Height] | list[list[_Height]] | None = Field(
        None, description="in any positive unit"
    )
    spectra: list[SpectrumBody] | None = Field(
        None, description="in place of mzs and intensities: of one compound, judged together"
    )
    adduct: str | None = Field(None, description="[M+H]+; null goes by ion mode and charge")
    precursor_mz: float | None = Field(None, gt=0)
    collision_energy: str | float | None = Field(None, description="35 eV, 30 % (nominal)")
    instrument_type: str | None = None
    max_error: float | None = Field(
        None, description="share of wrong answers to accept; what is not sure enough abstains"
    )
    references: list[str] | None = Field(
        None, description="SMILES of further molecules: structures of the same mass are compared "
        "with them, where the version does that", examples=[["CCCN1C2=C(NC=N2)C(=O)NC1=O"]]
    )  # fmt: skip


class ItemsBody(BaseModel):
    """Several questions; each gets its own answer or its own error."""

    model_config = ConfigDict(extra="forbid")

    items: list[ItemBody]


class RankFileBody(BaseModel):
    """Files as text, each with its name, whose ending tells the format."""

    model_config = ConfigDict(extra="forbid")

    spectra: str = Field(description="the text of an MGF, MSP or mzML file")
    spectra_name: str | None = Field(None, description="such as queries.mgf; else by its content")
    candidates: str | None = Field(
        None, description="SMILES, one a line, with an optional name; null matches the spectra "
        "with the structures their records carry"
    )  # fmt: skip
    candidates_name: str | None = None
    adduct: str | None = None
    precursor_mz: float | None = None
    collision_energy: str | float | None = None
    instrument_type: str | None = None
    max_error: float | None = None


class ReadBody(BaseModel):
    """A file of spectra as text."""

    model_config = ConfigDict(extra="forbid")

    spectra: str = Field(description="the text of an MGF, MSP or mzML file")
    spectra_name: str | None = None


class DrawBody(BaseModel):
    """A structure, and what of it to colour; indices are those of `ExplainedPeak`."""

    model_config = ConfigDict(extra="forbid")

    smiles: str
    atoms: list[int] = Field(default_factory=list, description="atoms to colour")
    bonds: list[tuple[int, int]] = Field(
        default_factory=list, description="bonds to colour, by their atoms"
    )
    width: int = Field(300, ge=50, le=2000)
    height: int = Field(220, ge=50, le=2000)


class ErrorDetail(BaseModel):
    """An error as in Python: its class, text and code, and the key of the body it is about."""

    type: str
    message: str
    code: str
    argument: str | None = None
    where: str | None = None


class ErrorBody(BaseModel):
    """What every refusal looks like."""

    error: ErrorDetail


class VersionBody(BaseModel):
    """A version as the tracker has it."""

    version: str
    date: str
    description: str
    performance: dict[str, Any]
    is_latest: bool
    is_serving: bool = Field(description="whether it answers where no version is named")
    aliases: list[str]
    sha256: str | None


class VersionsBody(BaseModel):
    """All versions, oldest first."""

    latest: str | None
    serving: str | None
    versions: list[VersionBody]


class ReadSpectrum(BaseModel):
    """A spectrum of a file; m/z ascending, the base peak has intensity 1."""

    identifier: str
    place: str
    mzs: list[float]
    intensities: list[float]
    precursor_mz: float | None
    adduct: str | None
    collision_energy: str | None
    instrument_type: str | None
    ion_mode: str | None
    smiles: str | None


class ReadAnswer(BaseModel):
    """The spectra of a file, and what of it could not be used."""

    spectra: list[ReadSpectrum]
    left_out: list[str]


class Health(BaseModel):
    """Whether requests are answered, by what, and whether a newer version was refused."""

    status: str
    version: str | None = None
    version_hash: str | None = None
    refused: ErrorDetail | None = None


Answer = Match | Simulation | list[Match] | list[Simulation]


class OneOfMany(BaseModel):
    """The answer to one of several items, or its error."""

    answer: Answer | None = None
    error: ErrorDetail | None = None


class ManyAnswers(BaseModel):
    """In the order of the items."""

    items: list[OneOfMany]


PredictBody = ItemBody | ItemsBody | list[ItemBody]
PredictAnswer = Answer | ManyAnswers | list[OneOfMany]

EXAMPLES: dict[str, dict[str, Any]] = json.loads(
    (resources.files("team5.serving") / "docs/examples.json").read_text(encoding="utf-8")
)


def schema_of(kind: Any, components: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of a type; what it refers to goes into ``components``."""
    schema = TypeAdapter(kind).json_schema(ref_template="#/components/schemas/{model}")
    components.update(schema.pop("$defs", {}))
    if "properties" not in schema:
        return schema
    components[kind.__name__] = schema
    return {"$ref": f"#/components/schemas/{kind.__name__}"}
