"""Training settings that a version stores, and those that a resumed run takes from it.

A version may come from anybody, so its content is data. A run is resumed with the user's own
config, composed from configs/ and the command line, into which the numbers and strings below are
merged. Paths, loggers, callbacks and anything else that reaches outside the training come only from
the user, and interpolations stored in a version are never resolved.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, cast, get_args

from omegaconf import DictConfig
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from team5.data.splits import N_CROSS_FOLDS
from team5.errors import ConfigError
from team5.registry.allowed import argument_fault, is_dotted
from team5.registry.schemas import (
    NetworkSizes,
    ScoreSettings,
    Text,
    TokenizerLimits,
    fault_of,
    first_fault,
)
from team5.runtime.command import unknown_key
from team5.training.lineage import plain_settings

# Settings of data= that name files, and all settings that a resumed run must be given again.
PATHS = ("path", "archive", "folds", "pool", "cache_dir")
GATE_QUERIES = "callbacks.export.gate_queries"
FILES = (*(f"data.{name}" for name in PATHS if name != "cache_dir"), GATE_QUERIES)

# Written by team5 before it wrote resolved values; the user's own value is used for each.
_INTERPOLATIONS = {
    "${seed}",
    "${description}",
    "${output_dir}",
    "${output_dir}/mlruns",
    "${checkpoints_root}",
}
# Where a user's class may replace team5's, or none.
_CLASSES = {
    "data": "team5.data.datamodule.SpectrumDataModule",
    "model": "team5.models.lightning_module.Team5LightningModule",
    "model.optimizer": "torch.optim.AdamW",
    "model.encoder": None,
}
# Keys of these sections that name files, show or write: the user's own values are used.
_USERS = {
    "data": PATHS,
    "trainer": (
        "default_root_dir",
        "enable_checkpointing",
        "enable_model_summary",
        "enable_progress_bar",
    ),
}
_PLAIN = ("seed", "description", "pretraining", "at_most")
# Of the trainer's settings, plain numbers.
_NUMBERS = (
    "min_epochs",
    "max_epochs",
    "max_steps",
    "check_val_every_n_epoch",
    "log_every_n_steps",
    "accumulate_grad_batches",
    "gradient_clip_val",
)
_OPTIONAL = ("pretraining", "model.encoder")  # sections that may be null
_MAX_COUNT, _MAX_NAME = 10**6, 200
_MISSING = "???"
_REMEDY = "Nothing of it was used. Give the setting yourself, KEY=VALUE, if you trust the rest."

Count = Annotated[int, Field(ge=0, le=_MAX_COUNT)]
Positive = Annotated[int, Field(ge=1, le=_MAX_COUNT)]
Size = Annotated[float, Field(ge=0, le=1e9)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
License = Annotated[str, Field(pattern=r"^\w[\w ./-]{0,59}$")]
Metric = Annotated[str, Field(pattern=r"^(train|val)/[\w@]{1,60}$")]
Direction = Literal["min", "max"]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("text", "is no line of text")
    return text


def _class_name(text: str) -> str:
    if not is_dotted(text) or len(text) > _MAX_NAME:
        raise PydanticCustomError("name", "is no name of a class")
    return text


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class _Arguments(_Settings):
    """Settings of an object; a user's class may have further ones, of plain values too."""

    model_config = ConfigDict(extra="allow")

    target: Annotated[str, AfterValidator(_class_name)] = Field("", alias="_target_")

    @model_validator(mode="after")
    def _plain(self, info: ValidationInfo) -> _Arguments:
        allow = cast(dict[str, Any], info.context)["allow"]
        extra = self.model_extra or {} if allow is not None else {}  # None: the user's own
        for name, value in extra.items():
            if self.target in allow:
                fault = argument_fault(name, value)
            else:
                fault = f"{name[:60]!r} is not taken from a version"
            if fault is not None:
                raise PydanticCustomError("argument", "{fault}", {"fault": fault})
        return self


class _Data(_Arguments):
    kind: Literal["demo", "file", "massbank"] = "demo"
    licenses: list[License] = Field(default=[], max_length=100)
    batch_size: Positive = 1
    max_spectra: Positive = 1
    val_max_spectra: Positive = 1
    n_candidates: Positive = 1
    n_references: Count = 0
    cross_fold: Annotated[int, Field(ge=0, lt=N_CROSS_FOLDS)] | None = None
    isomer_decoys: Count = 0
    val_share: Share = 0.05
    train_compounds: Positive | None = None
    train_decoys: Count = 0
    train_exchanged: Count = 0
    seed: Seed = 0
    num_workers: Annotated[int, Field(ge=0, le=128)] = 0


class _Network(NetworkSizes):
    target: Literal["team5.models.model.ModelConfig"] | None = Field(None, alias="_target_")


class _Score(ScoreSettings):
    target: Literal["team5.data.preprocess.ScoreRule"] | None = Field(None, alias="_target_")


class _Tokenizer(TokenizerLimits):
    model_config = ConfigDict(extra="forbid")

    target: Literal["team5.chemistry.tokenizer.TokenizerConfig"] | None = Field(
        None, alias="_target_"
    )


class _Optimizer(_Arguments):
    partial: Literal[True] = Field(True, alias="_partial_")
    lr: Size = 0
    weight_decay: Size = 0
    betas: list[Share] = Field(default=[], min_length=2, max_length=2)
    eps: Size = 0
    amsgrad: bool = False


class _Encoder(_Arguments):
    partial: Literal[True] = Field(alias="_partial_")


class _Model(_Arguments):
    network: _Network | None = None
    tokenizer: _Tokenizer | None = None
    score: _Score | None = None
    encoder: _Encoder | None = None
    optimizer: _Optimizer | None = None
    warmup_steps: Count = 0
    final_lr_share: Share = 0
    averaging_decay: Share = 0
    match_ridge: Size = 0
    contrast_weight: Size = 0
    contrast_scale: Size = 0
    exchange_weight: Size = 0
    parent_share: Share = 0


class _Pretraining(_Settings):
    structures: Positive = 1
    epochs: Positive = 1
    batch_size: Positive = 1
    lr: Size = 0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0


class _Timeout(_Settings):
    target: Literal["datetime.timedelta"] = Field(alias="_target_")
    minutes: Size = 0


class _Strategy(_Settings):
    target: Literal["lightning.pytorch.strategies.DDPStrategy"] = Field(alias="_target_")
    timeout: _Timeout | None = None


class _Trainer(_Settings):
    target: Literal["lightning.Trainer"] | None = Field(None, alias="_target_")
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    devices: Annotated[int, Field(ge=1, le=16)] | Literal["auto"] = 1
    num_nodes: Annotated[int, Field(ge=1, le=64)] = 1
    strategy: Literal["auto", "ddp"] | _Strategy = "auto"
    precision: Literal[
        "auto", "32-true", "16-mixed", "bf16-mixed", "bf16-true", "16-true", "64-true"
    ] = "auto"
    fast_dev_run: bool = False
    min_epochs: Count | None = None
    max_epochs: Annotated[int, Field(ge=-1, le=_MAX_COUNT)] | None = None
    max_steps: Annotated[int, Field(ge=-1, le=10**9)] = -1
    limit_train_batches: Size | None = None
    limit_val_batches: Size | None = None
    val_check_interval: Size | None = None
    check_val_every_n_epoch: Positive | None = None
    num_sanity_val_steps: Count | None = None
    log_every_n_steps: Count | None = None
    accumulate_grad_batches: Positive = 1
    gradient_clip_val: Size | None = None
    gradient_clip_algorithm: Literal["norm", "value"] | None = None
    deterministic: bool | Literal["warn"] | None = None
    benchmark: bool | None = None
    detect_anomaly: bool = False
    use_distributed_sampler: bool = True


class _EarlyStopping(_Settings):
    model_config = ConfigDict(extra="ignore")

    monitor: Metric | None = None
    mode: Direction = "min"
    min_delta: Size = 0
    patience: Count = 0
    check_on_train_epoch_end: bool | None = None


class _Export(_Settings):
    model_config = ConfigDict(extra="ignore")

    monitor: Metric | None = None
    mode: Direction = "min"
    every_best: bool = False
    set_as_latest: Literal["on_success", "always", "never"] = "on_success"


class _Callbacks(_Settings):
    model_config = ConfigDict(extra="ignore")

    early_stopping: _EarlyStopping | None = None
    export: _Export | None = None


class _Training(_Settings):
    model_config = ConfigDict(extra="ignore")

    seed: Seed = 0
    description: Annotated[Text, AfterValidator(_printable)] | None = None
    data: _Data | None = None
    model: _Model | None = None
    pretraining: _Pretraining | None = None
    trainer: _Trainer | None = None
    callbacks: _Callbacks | None = None


class _Given(_Training):
    """What a user gives for a training or an evaluation."""

    at_most: Positive | None = None


def check_settings(cfg: DictConfig) -> None:
    """Refuse values of team5's own settings that no training, evaluation or version can have.

    Settings of a user's own class are that class's to check, and most of the trainer's Lightning's.

    Raises
    ------
    ConfigError
        Naming the first setting and what it may be.
    """
    plain = plain_settings(cfg)
    checked = {key: plain[key] for key in _PLAIN if key in plain}
    for section in ("data", "model"):
        if (plain.get(section) or {}).get("_target_") == _CLASSES[section]:
            checked[section] = _without(plain[section], frozenset(PATHS))
    checked["trainer"] = {
        key: value for key, value in (plain.get("trainer") or {}).items() if key in _NUMBERS
    }
    if (fault := first_fault(_Given, checked, {"allow": None})) is not None:
        key = ".".join(map(str, fault.location))
        if fault.kind == "extra_forbidden":
            raise unknown_key(key, names_in(key.rpartition(".")[0]))
        problem = f"{key}={value_at(plain, key)!r} {fault.text.removeprefix('Input ')}."
        if fault.kind == "model_type":
            names = [name.rpartition(".")[2] for name in names_in(key)]
            problem += f" Write {key}={{{names[0]}: VALUE}}, with any of {', '.join(names)}"
            problem += f", or {key}=null for none." if key in _OPTIONAL else "."
        raise ConfigError(problem, argument=key)


def names_in(section: str) -> list[str]:
    """Return the dotted names of a section's settings, also if it is null; none if it is none."""
    model: type[BaseModel] = _Given
    for part in section.split("."):
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        kinds = get_args(fields[part].annotation) if part in fields else ()
        models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not models:
            return []
        model = models[0]
    return [f"{section}.{field.alias or name}" for name, field in model.model_fields.items()]


def taken_settings(
    stored: Mapping[str, Any], version: str, *, typed: Collection[str], allow: Sequence[str]
) -> dict[str, Any]:
    """Return the plain, validated values that a resumed run takes from ``training_config``.

    Parameters
    ----------
    stored : mapping
        As read: untrusted data.
    version : str
        Its name, for errors.
    typed : collection of str
        Dotted keys that the user gives; these and the keys below them are not taken.
    allow : sequence of str
        Dotted names of classes outside team5 that may be named.

    Raises
    ------
    ConfigError
        If it holds an interpolation, names a class that is not allowed, or a value that it may
        not give.
    """
    remaining = _without(stored, frozenset(typed))
    for where, text in _texts(remaining):
        if ("${" in text and text not in _INTERPOLATIONS) or text == _MISSING:
            raise ConfigError(
                f"{version}: training_config{where} is {text[:60]!r}, to be resolved where it is "
                f"read; a version gives plain values. {_REMEDY}"
            )
    remaining = _with_values(remaining, stored)
    for section, keys in _USERS.items():
        if isinstance(remaining.get(section), dict):
            remaining[section] = _without(remaining[section], frozenset(keys))
    foreign = sorted(_foreign(remaining) - set(allow))
    if foreign:
        raise ConfigError(
            f"{version} was trained with {', '.join(foreign)}, not named in team5's configs, so "
            f"nothing of it was imported. If you trust that code: allow=[{','.join(foreign)}]."
        )
    if fault := fault_of(_Training, remaining, {"allow": allow}):
        raise ConfigError(f"{version}: training_config: {fault}. {_REMEDY}")
    checked = _Training.model_validate(remaining, context={"allow": allow})
    taken = {key: v for key, v in _kept(checked, remaining).items() if v is not None}
    if "callbacks" in remaining:
        # Including their names, so that defaults that the run had removed stay removed.
        names = [name for name, settings in (remaining["callbacks"] or {}).items() if settings]
        taken["callbacks"] = {name: taken.get("callbacks", {}).get(name) or {} for name in names}
    if value_at(taken, "callbacks.export.set_as_latest") == "always":
        # A version does not decide what becomes latest, but may exclude itself.
        del taken["callbacks"]["export"]["set_as_latest"]
    return taken


def put_settings(cfg: DictConfig, taken: Mapping[str, Any]) -> list[str]:
    """Merge the values taken from a version into the user's config.

    Returns
    -------
    list of str
        Callbacks of the version's training that the user's config lacks.
    """
    callbacks = taken.get("callbacks")
    for key, value in taken.items():
        if key != "callbacks":
            _put(cfg, key, value)
    if callbacks is None:
        return []
    user_callbacks = cfg.callbacks or {}
    for name in [name for name in user_callbacks if name not in callbacks]:
        del user_callbacks[name]
    for name in user_callbacks:
        if user_callbacks[name]:
            _put(cfg.callbacks, name, callbacks[name])
    return [name for name in callbacks if name not in user_callbacks]


def _put(node: DictConfig, key: str, value: Any) -> None:
    present = node.get(key)
    if (
        isinstance(value, Mapping)
        and isinstance(present, DictConfig)
        and value.get("_target_", present.get("_target_")) == present.get("_target_")
    ):
        for name, item in value.items():
            _put(present, name, item)
    else:
        node[key] = value


def _kept(checked: BaseModel, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a section what its schema names, as it was written."""
    values = {}
    for name in checked.model_fields_set:
        field = type(checked).model_fields.get(name)
        value = getattr(checked, name)
        key = name if field is None else field.alias or name
        if field is not None or isinstance(checked, _Arguments):
            values[key] = _kept(value, raw[key]) if isinstance(value, BaseModel) else raw[key]
    return values


def _without(
    settings: Mapping[str, Any], typed: frozenset[str], before: str = ""
) -> dict[str, Any]:
    return {
        key: _without(value, typed, f"{before}{key}.") if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if f"{before}{key}" not in typed
    }


def _with_values(value: Any, stored: Mapping[str, Any]) -> Any:
    """Put in what team5 once wrote as interpolations: a number of the same config, or nothing."""
    match value:
        case Mapping():
            return {key: _with_values(item, stored) for key, item in value.items()}
        case list():
            return [_with_values(item, stored) for item in value]
        case "${seed}":
            return stored.get("seed")
        case str() if value in _INTERPOLATIONS:
            return None
    return value


def _foreign(settings: Mapping[str, Any]) -> set[str]:
    """Return the classes that replace team5's."""
    classes = {key: value_at(settings, f"{key}._target_") for key in _CLASSES}
    return {name for key, name in classes.items() if is_dotted(name) and name != _CLASSES[key]}


def value_at(settings: Any, key: str) -> Any:
    """Return the value of a dotted key in nested mappings, None where there is none."""
    for part in key.split("."):
        settings = settings.get(part) if isinstance(settings, Mapping) else None
    return settings


def _texts(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield all keys and texts in a JSON value, each with its place."""
    match value:
        case str():
            yield where, value
        case Mapping():
            for key, item in value.items():
                yield f"{where}, a key,", key
                yield from _texts(item, f"{where}.{key}"[:200])
        case list():
            for item in value:
                yield from _texts(item, where)
