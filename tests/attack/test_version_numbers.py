"""Numbers of a version: within bounds, or one typed error before anything is made of them."""

import copy
import math
from collections.abc import Iterator
from typing import Any

import pytest
import safetensors.torch
import torch

from team5.cli.versions import main as registry
from team5.errors import CheckpointError, ConfigError, Team5Error
from team5.inference.inference import infer
from team5.inference.loading import LoadedModel, load_model
from team5.registry.export import read_version
from team5.registry.integrity import write_checksums
from tests.attack.versions import Place, write

WEIGHT = "fragment_head.none.weight"
HUGE = 10**13
# What a config holds that may be any number, small or below 0.
_MAY_BE_NEGATIVE = {"score", "accuracy", "f1_score", "hydrogen_shifts"}


def refused(root, said: str) -> None:
    """Loading and promoting refuse the version with one error that says so."""
    with pytest.raises(CheckpointError, match=said):
        load_model("v0.1", root=root, device="cpu")
    assert registry(["promote", "v0.1", "--root", str(root)]) == 1


@pytest.mark.parametrize("name", [WEIGHT, "match_head.weight", "candidate_head.mean"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30, -1e5])
def test_a_weight_that_no_training_gives_is_refused(trained, tmp_path, name, value, capsys):
    weights = {key: tensor.clone() for key, tensor in trained["weights"].items()}
    weights[name].view(-1)[-1] = value
    write({**trained, "weights": weights}, tmp_path, trained["config"])
    refused(tmp_path, f"{name} is not finite, or beyond 10000")
    assert f"{name} is not finite" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["match_head.low", "isomer_head.high"])
def test_limits_may_be_infinite_and_nothing_else(trained, tmp_path, name):
    weights = {key: tensor.clone() for key, tensor in trained["weights"].items()}
    assert weights[name].isinf().all()
    write({**trained, "weights": weights}, tmp_path / "infinite", trained["config"])
    load_model("v0.1", root=tmp_path / "infinite", device="cpu")
    weights[name][0] = math.nan
    write({**trained, "weights": weights}, tmp_path / "nan", trained["config"])
    refused(tmp_path / "nan", f"{name} is not finite")


def test_a_scale_that_divides_by_nothing_is_refused(trained, tmp_path):
    weights = {**trained["weights"], "match_head.scale": torch.zeros(9)}
    write({**trained, "weights": weights}, tmp_path, trained["config"])
    refused(tmp_path, "match_head.scale is below 1e-06")


@pytest.mark.parametrize("kind", [torch.int32, torch.int64, torch.bool, torch.uint8])
def test_weights_are_floating_point(trained, tmp_path, kind):
    weights = {**trained["weights"], WEIGHT: trained["weights"][WEIGHT].to(kind)}
    write({**trained, "weights": weights}, tmp_path, trained["config"])
    refused(tmp_path, f"{WEIGHT} is of {kind}, not floating point")


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_other_floating_points_are_taken(trained, tmp_path, kind):
    weights = {key: tensor.to(kind) for key, tensor in trained["weights"].items()}
    write({**trained, "weights": weights}, tmp_path, trained["config"])
    load_model("v0.1", root=tmp_path, device="cpu")


def test_what_is_infinite_only_as_float32_is_refused(trained, tmp_path):
    weight = trained["weights"][WEIGHT].double() * 1e300
    write({**trained, "weights": {**trained["weights"], WEIGHT: weight}}, tmp_path,
          trained["config"])  # fmt: skip
    refused(tmp_path, f"{WEIGHT} is not finite")


@pytest.mark.parametrize(("size", "value"), [
    # 64 layers of 4096 would be 17 GB; the file has 70 kB.
    ("d_model", 4096), ("d_hidden", 16_384), ("n_layers", 64), ("n_blocks", 64), ("rank", 1024),
])  # fmt: skip
def test_sizes_are_held_against_the_weights_before_a_network_is_made(
    trained, tmp_path, monkeypatch, size, value
):
    config = copy.deepcopy(trained["config"])
    config["model"][size] = value
    write(trained, tmp_path, config)

    def must_not_run(*_: object) -> None:
        raise AssertionError("a network is made of sizes that were not checked")

    monkeypatch.setattr(LoadedModel, "__init__", must_not_run)
    refused(tmp_path, f"config.json says {size} {value}, the weights ")


def test_shapes_of_each_weight_are_held_against_the_network(trained, tmp_path):
    name = "context_encoder.net.0.weight"
    weights = {**trained["weights"], name: torch.zeros(3, 3)}
    write({**trained, "weights": weights}, tmp_path, trained["config"])
    refused(tmp_path, f"{name} has shape")


@pytest.mark.parametrize("header", [
    (2**40).to_bytes(8, "little"),
    (2**21).to_bytes(8, "little") + b" " * 2**21,
    b"\0" * 8,
    b"",
])  # fmt: skip
def test_a_header_that_says_more_than_there_is_is_refused(trained, tmp_path, header):
    write(trained, tmp_path, trained["config"])
    (tmp_path / "v0.1/model.safetensors").write_bytes(header)
    with pytest.raises(CheckpointError, match="no safetensors file"):
        load_model("v0.1", root=resealed(tmp_path), device="cpu")


def test_a_tensor_larger_than_the_file_is_refused(trained, tmp_path):
    write(trained, tmp_path, trained["config"])
    path = tmp_path / "v0.1/model.safetensors"
    content = bytearray(safetensors.torch.save({WEIGHT: torch.zeros(4, 16)}))
    content[8:] = content[8:].replace(b"[4,16]", b"[9,99]")
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="no safetensors file"):
        load_model("v0.1", root=resealed(tmp_path), device="cpu")


def test_a_file_that_is_too_large_is_not_read(trained, tmp_path):
    write(trained, tmp_path, trained["config"])
    with (tmp_path / "v0.1/model.safetensors").open("r+b") as file:
        file.truncate(3 * 2**30)  # sparse: it takes no room on the disk
    with pytest.raises(CheckpointError, match="at most 2,147,483,648 are read"):
        read_version(tmp_path, "v0.1")


def resealed(root):
    """Put right the checksums of a version whose files were changed."""
    folder = root / "v0.1"
    write_checksums(folder)
    (root / "checkpoint_tracker.json").unlink()
    return root


def numbers(value: Any, before: Place = ()) -> Iterator[Place]:
    """Yield the places of numbers; of a list that of its first."""
    match value:
        case dict():
            for key, item in value.items():
                yield from numbers(item, (*before, key))
        case list() if value:
            yield from numbers(value[0], (*before, 0))
        case int() | float():
            yield before


def with_value(config: dict[str, Any], place: Place, value: object) -> dict[str, Any]:
    config = copy.deepcopy(config)
    section: Any = config
    for key in place[:-1]:
        section = section[key]
    section[place[-1]] = value
    return config


def test_every_number_of_a_config_is_bounded(trained, tmp_path):
    config = {key: v for key, v in trained["config"].items() if key != "training_config"}
    places = list(numbers(config))
    assert len(places) >= 40
    for number, place in enumerate(places):
        values: list[object] = [HUGE * 1000, "text", None, {}, [1], -HUGE * 1000]
        if not _MAY_BE_NEGATIVE & set(place):
            values.append(-1)
        for value in values:
            root = tmp_path / f"{number}-{values.index(value)}"
            write(trained, root, with_value(config, place, value))
            if value is None and (place[0] in ("data", "code") or place[-1] == "log_p_floor"):
                continue  # not known of every version; no floor
            with pytest.raises((CheckpointError, ConfigError)):
                load_model("v0.1", root=root, device="cpu")


@pytest.mark.slow
def test_whatever_stands_in_a_config_is_one_typed_error_or_changes_nothing(trained, tmp_path):
    config = {key: v for key, v in trained["config"].items() if key != "training_config"}
    write(trained, tmp_path / "honest", config)
    question = ("CCO", [47.049, 29.039], [100.0, 40.0])
    expected = infer(load_model("v0.1", root=tmp_path / "honest", device="cpu"), None, *question)
    tried: list[object] = [10**12, -1, "text", 1e300, True, None, [], {}, "x" * 10**6, [[]] * 1000]
    # How peaks count is a version's own affair: another floor is another answer.
    places = [each for each in _all_places(config) if each[0] != "score"]
    for number, place in enumerate(places):
        for value in tried:
            root = tmp_path / str(number) / str(tried.index(value))
            write(trained, root, with_value(config, place, value))
            try:
                model = load_model("v0.1", root=root, device="cpu")
            except Team5Error:
                continue
            assert infer(model, None, *question).probability == expected.probability


def _all_places(value: Any, before: Place = ()) -> Iterator[Place]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*before, key)
            yield from _all_places(item, (*before, key))


def test_a_model_that_answers_with_no_number_says_so(trained):
    model = LoadedModel.from_config(trained["config"])
    model.load_weights(
        {**trained["weights"], "match_head.mean": torch.full((9,), math.nan)}, "weights"
    )
    with pytest.raises(CheckpointError, match="answers with no number"):
        infer(model, None, "CCO", [47.049, 29.039], [100.0, 40.0])
