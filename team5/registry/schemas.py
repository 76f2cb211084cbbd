"""Schemas of ``checkpoint_tracker.json`` and ``config.json``, as pydantic models.

They only validate: the parsed dicts are kept unchanged, so that unknown keys survive writing.
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from team5.registry.versions import Version

MAX_TRACKER_BYTES = 16 * 2**20
MAX_CONFIG_BYTES = 4 * 2**20
_MAX_ANSWERS = 1_000_000  # of a calibration
MOMENT_FORMAT = "%Y-%m-%dT%H:%M:%SZ"  # ISO 8601, in UTC

# No dot, so that no alias looks like a version.
_ALIAS = re.compile(r"(?!(latest|null|none|true|false)$|v[0-9])[a-z][a-z0-9_-]{0,39}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_IN_WORDS = {
    "string_type": "is not text",
    "list_type": "is not a list",
    "dict_type": "is not an object",
    "model_type": "is not an object",
    "int_type": "is not a whole number",
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "too_long": "holds too many",
    "string_too_long": "is too long",
}


def is_alias(name: str) -> bool:
    """Tell whether a name can be an alias: a word of small letters, digits, - and _."""
    return _ALIAS.fullmatch(name) is not None


def parse_moment(text: str) -> dt.datetime:
    """Return a moment written as ``2026-11-01T12:00:00Z``.

    Raises
    ------
    ValueError
        If it has another format.
    """
    return dt.datetime.strptime(text, MOMENT_FORMAT).replace(tzinfo=dt.UTC)


def _is_moment(text: str) -> bool:
    try:
        parse_moment(text)
    except ValueError:
        return False
    return True


def _is_sha256(text: str) -> bool:
    return _SHA256.fullmatch(text) is not None


def _is_file_name(text: str) -> bool:
    return text not in ("", ".", "..") and not set(text) & set("/\\\0")


def _only_if(is_valid: Callable[[str], bool], fault: str) -> AfterValidator:
    """Return a validator whose error is ``fault``, with the value in place of ``{text}``."""

    def check(text: str) -> str:
        if not is_valid(text):
            raise PydanticCustomError("text", fault, {"text": repr(text[:60])})
        return text

    return AfterValidator(check)


VersionName = Annotated[
    str, _only_if(Version.is_version, "is {text}, not written v<major>.<minor>")
]
AliasName = Annotated[str, _only_if(is_alias, "{text} is no name of an alias")]
Moment = Annotated[str, _only_if(_is_moment, "is {text}, not written as 2026-11-01T12:00:00Z")]
Sha256 = Annotated[str, _only_if(_is_sha256, "is {text}, not 64 hex digits")]
FileName = Annotated[str, _only_if(_is_file_name, "{text} is no file of the version's own folder")]
Text = Annotated[str, Field(max_length=10_000)]
Name = Annotated[str, Field(max_length=1_000)]
Names = Annotated[list[Name], Field(max_length=1_000)]
Small = Annotated[int, Field(ge=0, le=10_000)]
Count = Annotated[int, Field(ge=0, le=10**12)]
Counts = Annotated[dict[Name, Count], Field(max_length=10_000)]
Number = Annotated[float, Field(ge=-1e15, le=1e15)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class JudgedFigure(_Part):
    """A figure of two versions on the same queries, and the 95 % interval of the difference."""

    before: float
    after: float
    difference: float
    low: float
    high: float


class Judged(_Part):
    """Two versions on the same spectra, before one becomes latest."""

    queries: Text
    sha256: Sha256
    compared_with: VersionName
    figures: dict[Text, JudgedFigure] = Field(max_length=1_000)


class Entry(_Part):
    """One version."""

    version: VersionName
    date: Text = ""
    description: Text = ""
    performance: dict[str, Any] = Field(default_factory=dict, max_length=1_000)
    sha256: Sha256 | None = None
    compared: Judged | None = None


class RecordedMove(_Part):
    """One time that ``latest`` moved."""

    at: Moment
    latest: VersionName | None
    previous: VersionName | None
    reason: Text = ""
    judged: Judged | None = None


class TrackerSchema(_Part):
    """``checkpoint_tracker.json``."""

    latest: VersionName | None = None
    checkpoints: list[Entry] = Field(default_factory=list, max_length=100_000)
    history: list[RecordedMove] = Field(default_factory=list, max_length=1_000_000)
    aliases: dict[AliasName, VersionName] = Field(default_factory=dict, max_length=1_000)
    deleted: list[VersionName] = Field(default_factory=list, max_length=1_000_000)

    @model_validator(mode="after")
    def _once_each(self) -> "TrackerSchema":
        seen: set[str] = set()
        for index, entry in enumerate(self.checkpoints):
            if entry.version in seen:
                raise PydanticCustomError(
                    "twice",
                    '"checkpoints"[{index}] is a second entry of {version}',
                    {"index": index, "version": entry.version},
                )
            seen.add(entry.version)
        return self


class NetworkSizes(_Part):
    """Sizes of the network."""

    model_config = ConfigDict(extra="forbid")

    d_model: Annotated[int, Field(ge=1, le=4_096)] = 1
    d_hidden: Annotated[int, Field(ge=1, le=16_384)] = 1
    n_layers: Annotated[int, Field(ge=0, le=64)] = 1
    n_blocks: Annotated[int, Field(ge=1, le=64)] = 1
    rank: Annotated[int, Field(ge=1, le=1_024)] = 1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0
    conditions_at_atoms: bool = False


class ScoreSettings(_Part):
    """Weights of a spectrum's peaks in its score."""

    model_config = ConfigDict(extra="forbid")

    intensity_power: Annotated[float, Field(ge=0, le=4)] = 0
    mz_power: Annotated[float, Field(ge=0, le=4)] = 0
    log_p_floor: Annotated[float, Field(ge=-1_000, le=0)] | None = None


class TokenizerLimits(_Part):
    """Limits of cutting structures into fragments."""

    max_depth: Annotated[int, Field(ge=1, le=3)] = 1
    max_fragments: Annotated[int, Field(ge=1, le=10_000)] = 1


class _Tokenizer(TokenizerLimits):
    atom_vocabulary: dict[Name, Small] = Field(default_factory=dict, max_length=100)
    bond_vocabulary: dict[Name, Small] = Field(default_factory=dict, max_length=100)
    fragment_features: Names = []


class _Encoder(_Part):
    class_: Name = Field(alias="class")
    arguments: dict[Name, Any] = Field(max_length=1_000)


class _Context(_Part):
    adducts: Names
    instruments: Names


class _References(_Part):
    features: Names
    isomers: Small
    at_least: Small
    at_most: Small


class _Answers(_Part):
    """Confidence of validation answers, whether each was wrong, and its structure."""

    confidences: list[Annotated[float, Field(ge=0, le=1)]] = Field(max_length=_MAX_ANSWERS)
    wrong: list[Annotated[int, Field(ge=0, le=1)]] = Field(max_length=_MAX_ANSWERS)
    groups: list[Annotated[int, Field(ge=0, lt=_MAX_ANSWERS)]] = Field(max_length=_MAX_ANSWERS)

    @model_validator(mode="after")
    def _of_one_length(self) -> "_Answers":
        if not len(self.confidences) == len(self.wrong) == len(self.groups):
            raise PydanticCustomError("lengths", "holds lists of different lengths")
        return self


class _Confidence(_Part):
    """Calibration of list confidences: fields of `ListConfidence`."""

    model_config = ConfigDict(extra="forbid")

    log_scale: Annotated[float, Field(ge=-10, le=10)]
    per_log_length: Annotated[float, Field(ge=-2, le=2)]
    same_formula: Annotated[float, Field(ge=-5, le=5)]
    uninformative: Annotated[float, Field(ge=0, le=1)]
    n_lists: Count
    n_structures: Count


class _LearnedFrom(_Part):
    """Facts of the spectra."""

    kind: Name | None = None
    source: Name | None = None
    table_sha256: Name | None = None
    folds_sha256: Name | None = None
    cross_fold: Small | None = None
    computed: bool | None = None
    train_compounds: Count | None = None
    train_spectra: Count | None = None
    train_decoys: Count | None = None
    val_compounds: Count | None = None
    val_pairs: Count | None = None
    val_spectra_without_decoy: Count | None = None
    left_out: Counts | None = None
    licenses: Counts | None = None
    contributors: Counts | None = None
    adducts: Counts | None = None
    instruments: Counts | None = None
    elements: Counts | None = None
    lightest: Number | None = None
    heaviest: Number | None = None


class _Seen(_Part):
    """Training data of a parent version."""

    adducts: Counts
    instruments: Counts
    elements: Counts
    lightest: Number
    heaviest: Number


class _Code(_Part):
    commit: Name | None
    dirty: bool | None


class _TrainingEnd(_Part):
    """State of the training at the export of the version."""

    epoch: Count
    global_step: Count
    score: Number
    monitor: Name = ""
    mode: Name = ""
    team5_version: Name = ""
    date: Name = ""


class _ExportedEntry(_Part):
    """The tracker's entry at the export."""

    date: Name = ""
    description: Text = ""
    performance: dict[Name, Number] = Field(default_factory=dict, max_length=1_000)


class FileRecord(_Part):
    """Checksum and size of one file."""

    sha256: Sha256
    size: Count | None = None


class ConfigSchema(_Part):
    """``config.json``, as far as team5 reads it."""

    schema_: int = Field(default=1, alias="schema", ge=1, le=1_000)
    version: VersionName | None = None
    model: NetworkSizes | None = None
    tokenizer: _Tokenizer | None = None
    encoder: _Encoder | None = None
    score: ScoreSettings | None = None
    context: _Context | None = None
    hydrogen_shifts: list[Annotated[int, Field(ge=-100, le=100)]] = Field([], max_length=1_000)
    match_features: Names = []
    references: _References | None = None
    calibration: dict[Name, _Answers] | None = Field(None, max_length=100)
    confidence: _Confidence | None = None
    training_config: dict[str, Any] | None = None
    parent_version: VersionName | None = None
    parent_hash: Name | None = None
    data: _LearnedFrom | None = None
    seen_before: list[_Seen] = Field(default_factory=list, max_length=1_000)
    code: _Code | None = None
    packages: dict[Name, Name] = Field(default_factory=dict, max_length=1_000)
    training: _TrainingEnd | None = None
    entry: _ExportedEntry | None = None
    slurm_run: Name | None = None
    files: dict[FileName, FileRecord] = Field(default_factory=dict, max_length=1_000)


class Fault(NamedTuple):
    """A fault of a JSON value: the keys that lead to it, pydantic's type, and the words."""

    location: tuple[str | int, ...]
    kind: str
    text: str


def fault_of(model: type[BaseModel], raw: Any, context: Any = None) -> str | None:
    """Return the first fault of a parsed JSON value and its place; None if it is valid."""
    if not isinstance(raw, Mapping):
        return "holds no JSON object"
    fault = first_fault(model, raw, context)
    return None if fault is None else f"{_place(fault.location)} {fault.text}".strip()


def first_fault(
    model: type[BaseModel], raw: Mapping[str, Any], context: Any = None
) -> Fault | None:
    """Return the first fault of a parsed JSON object; None if it is valid."""
    try:
        model.model_validate(raw, context=context)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        text = _IN_WORDS.get(first["type"], first["msg"])
        return Fault(first["loc"], first["type"], text)
    return None


def _place(location: Sequence[str | int]) -> str:
    """Return ``"checkpoints"[1]: "date"`` for a place in a JSON value."""
    text = ""
    for part in location:
        if part == "[key]":
            continue
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f': "{part}"' if text else f'"{part}"'
    return text
