import math
import os
import random
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from team5.cli.arguments import RAW_ARGUMENTS, put_raw_values, split_command_line
from team5.cli.run import compose_config
from team5.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT_KEYS = [a.key for a in RAW_ARGUMENTS["predict"] if a.parse.__name__ == "parse_text"]
# What the system can pass to a program: no NUL, nothing that is no UTF-8.
TYPED = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


def arrives(*words: str) -> dict:
    return OmegaConf.to_container(compose_config("predict", words), resolve=True)


def smiles_of(text: str) -> object:
    return split_command_line("predict", [f"smiles={text}"]).raw["smiles"]


@pytest.mark.parametrize(
    "smiles",
    [
        "CC(=O)Oc1ccccc1C(=O)O",
        "C#N",
        "F/C=C\\F",
        "N[C@@H](C)C(=O)O",
        "[Na+].[Cl-]",
        "[13CH3:1]O",
        "[OH-]",
        "CCO ",
        "null",
        "???",
        "${oc.env:HOME}",
        "\\${a}",
        "${",
        "1e5",
        "'CCO'",
        "C=C=C",
        "[C,N]O[C,N]",
        "CCO |$a,b$|",
        "%(C",
    ],
)
def test_smiles_arrives_as_it_was_typed(smiles):
    assert arrives(f"smiles={smiles}")["smiles"] == smiles


@pytest.mark.parametrize(
    ("typed", "smiles"),
    [
        ("[CCO,CCN]", ["CCO", "CCN"]),
        ("CCO,CCN", ["CCO", "CCN"]),
        ("[ CCO , CCN ]", ["CCO", "CCN"]),
        ("[CCO,]", ["CCO"]),
        ("['CCO',\"CCN\"]", ["CCO", "CCN"]),
        ("[[Na+].[Cl-],C[NH3+]]", ["[Na+].[Cl-]", "C[NH3+]"]),
        ("[[Na+].[Cl-],]", ["[Na+].[Cl-]"]),
        ("[Na+].[Cl-],CCO", ["[Na+].[Cl-]", "CCO"]),
        ("[[C,N]O,CCO]", ["[C,N]O", "CCO"]),
        ("[F/C=C\\F,${x}]", ["F/C=C\\F", "${x}"]),
    ],
)
def test_comma_outside_brackets_makes_a_list(typed, smiles):
    assert arrives(f"smiles={typed}")["smiles"] == smiles


@pytest.mark.parametrize("typed", ["[CCO,,CCN]", "[,CCO]", "[CCO,'',CCN]"])
def test_empty_item_of_a_list_is_named(typed):
    with pytest.raises(ConfigError, match=r"item [12] of"):
        smiles_of(typed)


@given(st.lists(st.sampled_from(["CCO", "[Na+].[Cl-]", "C(=O)[O-]", "F/C=C\\F"]), min_size=2))
def test_list_keeps_its_items_and_their_order(smiles):
    assert smiles_of(f"[{','.join(smiles)}]") == smiles


@given(st.sampled_from(TEXT_KEYS), TYPED)
def test_any_text_arrives_as_it_was_typed(key, text):
    assume(text.strip() and text != "null")
    cfg = OmegaConf.create({key: None})
    put_raw_values(cfg, split_command_line("predict", [f"{key}={text}"]).raw)
    assert cfg[key] == text
    assert OmegaConf.to_container(cfg, resolve=True) == {key: text}


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("version", "v0.10"),
        ("version", "1e5"),
        ("version", "0.10"),
        ("collision_energy", "35 % (nominal)"),
        ("collision_energy", "15, 30, 45, 60"),
        ("adduct", "[M+H]+"),
        ("device", "cuda:1"),
        ("spectra", "my spectra (1)=a,b.mgf"),
        ("output", "C:\\results\\${x}.csv"),
    ],
)
def test_text_stays_text(key, text):
    assert arrives(f"{key}={text}")[key] == text


def test_null_is_not_given():
    assert arrives("version=null", "mzs=null")["version"] is None


@pytest.mark.parametrize("key", [argument.key for argument in RAW_ARGUMENTS["predict"]])
@pytest.mark.parametrize("text", ["", "  "])
def test_empty_value_is_refused(key, text):
    with pytest.raises(ConfigError, match=f"{key}= is empty"):
        split_command_line("predict", [f"{key}={text}"])


@pytest.mark.parametrize("typed", ["[1, 2.5,3e2]", "1,2.5,3e2", "1 2.5 300", " [1\t2.5 300.0] "])
def test_numbers_are_read_in_every_shape(typed):
    assert arrives(f"mzs={typed}")["mzs"] == [1.0, 2.5, 300.0]


@given(st.lists(st.floats(allow_nan=False)))
def test_numbers_come_back_exactly(numbers):
    assert split_command_line("predict", [f"mzs={numbers}"]).raw["mzs"] == numbers


def test_nan_is_left_for_the_spectrum_to_refuse():
    assert math.isnan(arrives("mzs=[nan]")["mzs"][0])


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("[1,x2,3]", r"mzs\[1\] = 'x2' is not a number"),
        ("1,,3", r"mzs\[1\] is empty"),
        ("1_000", r"mzs\[0\] = '1_000' is not a number"),
        ("[1,2", "one bracket"),
        ("[[1,2],[3]]", "list of lists"),
    ],
)
def test_bad_number_is_named(typed, said):
    with pytest.raises(ConfigError, match=said):
        split_command_line("predict", [f"mzs={typed}"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["+smiles=CCO"], "Write smiles=VALUE"),
        (["++smiles=CCO"], "Write smiles=VALUE"),
        (["~smiles"], "Write smiles=VALUE"),
        (["smiles =CCO"], "Write smiles=VALUE"),
        (["smiles", "=CCO"], "Write smiles=VALUE"),
        (["smiles"], "Write smiles=VALUE"),
        (["--smiles", "CCO"], "Write smiles=VALUE"),
        (["--collision-energy=3"], "Write collision_energy=VALUE"),
        (["=CCO"], "no key"),
        (["CCO"], "no key=value"),
        (["smiles=CCO", "smiles=CCN"], "smiles is given twice.*list|smiles is given twice"),
        (["top=3", "top=3"], "top is given twice"),
        (["--hepl"], "Closest: --help"),
        (["--cfg"], "needs a value"),
    ],
)
def test_near_miss_says_what_to_write(words, said):
    with pytest.raises(ConfigError, match=said):
        split_command_line("predict", words)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        # Hydra alone would complain about the grammar of the value.
        ("smile=CC(=O)O", "no setting 'smile'; closest: smiles"),
        ("Smiles=CCO", "closest: smiles"),
        ("mz=[1,2]", "closest: mzs"),
        ("energy=35", "closest: collision_energy|there are: adduct"),
        ("xyzzy=1", "there are: adduct"),
        ("top=a(b", "'top=a\\(b' cannot be read"),
        ("+top=3", "without \\+"),
    ],
)
def test_unknown_key_names_the_closest(word, said):
    with pytest.raises(ConfigError, match=said) as raised:
        compose_config("predict", [word])
    assert "\n" not in str(raised.value)


def test_raw_value_for_a_key_the_config_lacks_is_refused():
    cfg = OmegaConf.create({"data": {"path": None}})
    with pytest.raises(ConfigError, match=r"no setting 'data.archive'; closest: data.path"):
        put_raw_values(cfg, {"data.archive": "a.tar.gz"})


def random_pool_smiles(shared_data: Path, count: int) -> list[str]:
    from pyarrow import parquet

    column = parquet.read_table(shared_data / "candidate_pool.parquet", columns=["smiles"])
    rows = random.Random(17).sample(range(column.num_rows), count)
    return column.take(rows).column("smiles").to_pylist()


def test_two_thousand_smiles_of_the_pool_arrive_unchanged(shared_data):
    base = compose_config("predict", [])
    changed = []
    for smiles in random_pool_smiles(shared_data, 2_000):
        line = split_command_line("predict", [f"smiles={smiles}"])
        put_raw_values(base, line.raw)
        if base.smiles != smiles or line.overrides:
            changed.append(smiles)
    assert changed == []


@pytest.mark.parametrize("way", ["shell", "exec"])
def test_smiles_of_the_pool_arrive_through_a_real_process(shared_data, way):
    odd = ["F/C=C\\F", "[Na+].[Cl-]", "N[C@@H](C)C(=O)O", "C#C$C"]
    for smiles in [*random_pool_smiles(shared_data, 2), *odd[: 2 if way == "exec" else 4]]:
        command = [sys.executable, "predict.py", "--cfg", "job", f"smiles={smiles}"]
        shown = subprocess.run(
            shlex.join(command) if way == "shell" else command,
            shell=way == "shell",
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        assert yaml.safe_load(shown.stdout)["smiles"] == smiles
