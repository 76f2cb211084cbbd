import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from team5.errors import SpectrumError, StorageError
from team5.runtime.command import run_program, wants_traceback

REPOSITORY = Path(__file__).resolve().parents[2]


def failing(error: BaseException):
    def run():
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (SpectrumError("no peaks."), 2, "SpectrumError: no peaks.\n"),
        (StorageError("the disk is full."), 1, "StorageError: the disk is full.\n"),
        (
            PermissionError(13, "Permission denied", "a"),
            1,
            "StorageError: [Errno 13] Permission denied: 'a'. Check the disk and your rights.\n",
        ),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
    ],
)
def test_error_becomes_one_line_and_an_exit_code(error, code, said, capsys):
    assert run_program(failing(error), argv=[]) == code
    assert capsys.readouterr() == ("", said)


def test_debug_adds_the_traceback(capsys):
    argv = ["hydra.verbose=true"]
    assert run_program(failing(SpectrumError("no peaks.")), argv=argv) == 2
    said = capsys.readouterr().err
    assert "Traceback (most recent call last)" in said
    assert said.endswith("\nSpectrumError: no peaks.\n")


def test_mistake_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run_program(failing(ZeroDivisionError()))


@pytest.mark.parametrize(("code", "expected"), [(None, 0), (0, 0), (1, 1)])
def test_return_value_is_the_exit_code(code, expected):
    assert run_program(lambda: code) == expected


def test_traceback_is_asked_for_by_verbose_or_environment(monkeypatch):
    monkeypatch.delenv("TEAM5_DEBUG", raising=False)
    assert not wants_traceback(["hydra.verbose=false"])
    assert wants_traceback(["hydra.verbose=true"])
    monkeypatch.setenv("TEAM5_DEBUG", "0")
    assert not wants_traceback([])
    monkeypatch.setenv("TEAM5_DEBUG", "1")
    assert wants_traceback([])


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A folder with a training program and one that answers, and configs with groups."""
    root = tmp_path_factory.mktemp("project")
    configs = {
        "train.yaml": """
            defaults:
              - _self_
              - data: demo
              - model: small
              - hydra: default
            # How long
            epochs: 3
            from_version: null
            description: ${data.name}
            must: ???
            """,
        "data/demo.yaml": "name: demo\n",
        "data/file.yaml": "name: file\npath: null\n",
        "model/small.yaml": "_target_: collections.Counter\nwidth: 8\n",
        "model/broken.yaml": "_target_: team5.data.spectrum.Spectrum\nmzs: [1]\nintensities: []\n",
        "model/mistyped.yaml": "_target_: decimal.Decimal\nwidht: 8\n",
        "predict.yaml": "smiles: null\nversion: null\ntop: 3\n",
        "hydra/default.yaml": (REPOSITORY / "configs/hydra/default.yaml").read_text(),
    }
    for name, text in configs.items():
        file = root / "configs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
    (root / "train.py").write_text(
        textwrap.dedent('''\
        """Train.

            python train.py experiment=finetune
        """
        import os, sys
        from pathlib import Path
        import hydra
        from omegaconf import OmegaConf
        from team5.cli.run import hydra_program
        from team5.errors import DataError

        @hydra_program("train", Path(__file__).parent / "configs")
        def main(cfg):
            if cfg.from_version == "fail":
                raise DataError("spectra.mgf: nothing in it.")
            if cfg.from_version == "score":
                return 3.5
            if cfg.from_version == "must":
                return cfg.must
            if cfg.from_version == "bug":
                raise ZeroDivisionError
            hydra.utils.instantiate(cfg.model)
            data = OmegaConf.to_container(cfg.data, resolve=True)
            print(repr([cfg.from_version, cfg.epochs, data, sys.argv[1:]]))

        if __name__ == "__main__":
            sys.exit(main())
        ''')
    )
    (root / "predict.py").write_text(
        textwrap.dedent('''\
        """Ask."""
        import sys
        from pathlib import Path
        from team5.cli.run import program

        @program("predict", Path(__file__).parent / "configs")
        def main(cfg):
            for _ in range(cfg.top):
                print(cfg.smiles)

        if __name__ == "__main__":
            sys.exit(main())
        ''')
    )
    return root


def call(project: Path, *words: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *words],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_training_program_gets_raw_values_and_its_command_line_back(project):
    words = ["from_version=v0.10", "data=file", "data.path=a=b (${x}).mgf", "epochs=5"]
    done = call(project, "train.py", *words)
    assert (done.returncode, done.stderr) == (0, "")
    data = {"name": "file", "path": "a=b (${x}).mgf"}
    assert done.stdout == repr(["v0.10", 5, data, words]) + "\n"


def test_run_folder_records_the_raw_values(project, tmp_path):
    done = call(project, "train.py", "from_version=v0.10", f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 0
    assert yaml.safe_load((tmp_path / "run/.hydra/config.yaml").read_text())["from_version"] == (
        "v0.10"
    )


def test_each_job_of_a_multirun_can_be_started_again_on_its_own(project, tmp_path):
    done = call(
        project, "train.py", "-m", "epochs=1,2", "from_version=v0.3", f"hydra.sweep.dir={tmp_path}"
    )
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        repr(["v0.3", epochs, {"name": "demo"}, [f"epochs={epochs}", "from_version=v0.3"]])
        for epochs in (1, 2)
    ]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["from_version=fail"], 2, "DataError: spectra.mgf: nothing in it.\n"),
        (["from_version=score"], 0, ""),
        (["from_version=must"], 2, "ConfigError: must must be given. Write must=VALUE.\n"),
        (
            ["epoch=5"],
            2,
            "ConfigError: no setting 'epoch'; closest: epochs. --help lists all.\n",
        ),
        (
            ["model=smal"],
            2,
            "ConfigError: no model=smal; there are, closest first: small, mistyped, broken.\n",
        ),
        (
            # The key of the group chosen is known, though the default group lacks it.
            ["data=file", "data.name=x", "model.widht=9"],
            2,
            "ConfigError: no setting 'model.widht'; closest: model.width. --help lists all.\n",
        ),
        (
            ["data.xyzzy=1"],
            2,
            "ConfigError: no setting 'data.xyzzy'; there are: data.name. --help shows examples.\n",
        ),
        (
            ["data.path=a.mgf"],
            2,
            "ConfigError: no setting 'data.path'; closest: data.name. --help lists all.\n",
        ),
        (
            ["model=broken"],
            2,
            "SpectrumError: 1 m/z values but 0 intensities. Give every peak both.\n",
        ),
        (
            ["--epochs=3"],
            2,
            "ConfigError: --epochs is no flag of train.py. Write epochs=VALUE.\n",
        ),
        (["epochs=${nowhere}"], 2, "ConfigError: epochs: Interpolation key 'nowhere' not found.\n"),
    ],
)
def test_wrong_training_call_gets_one_line(project, words, code, said):
    done = call(project, "train.py", *words)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr == said


def test_a_config_of_ones_own_that_is_no_yaml_gets_one_line(project):
    (project / "mine" / "model").mkdir(parents=True)
    (project / "mine" / "model" / "wide.yaml").write_text("width: [\n")
    done = call(project, "train.py", "--config-dir", "mine", "model=wide")
    assert done.returncode == 2
    assert done.stderr.startswith("ConfigError: while parsing a flow")
    assert "wide.yaml" in done.stderr
    assert done.stderr.count("\n") == 1


def test_mistyped_constructor_argument_gets_one_line(project):
    done = call(project, "train.py", "model=mistyped")
    assert done.returncode == 2
    assert done.stderr.startswith("ConfigError: Error in call to target 'decimal.Decimal'")
    assert "widht" in done.stderr
    assert done.stderr.count("\n") == 1


def test_value_that_a_constructor_refuses_gets_one_line(project):
    words = ("model._target_=fractions.Fraction", "~model.widht", "+model.numerator=half")
    done = call(project, "train.py", "model=mistyped", *words)
    assert done.returncode == 2
    assert done.stderr.startswith("ConfigError: Error in call to target 'fractions.Fraction'")
    assert "half" in done.stderr
    assert done.stderr.count("\n") == 1


def test_mistake_of_ours_keeps_its_traceback(project):
    done = call(project, "train.py", "from_version=bug")
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("ZeroDivisionError")


def test_verbose_adds_the_traceback(project):
    done = call(project, "train.py", "from_version=fail", TEAM5_DEBUG="1")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("\nDataError: spectra.mgf: nothing in it.\n")


def test_help_opens_with_the_examples_and_lists_choices(project):
    done = call(project, "train.py", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Train.\n\n    python train.py experiment=finetune\n")
    assert "data: demo, file" in done.stdout
    assert "# How long\n    epochs: 3" in done.stdout
    assert "_self_" not in done.stdout


def test_closed_pipe_is_no_traceback(project):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "predict.py", "smiles=CCO", "top=100000"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_answering_program_leaves_no_run_folder(project, tmp_path):
    done = subprocess.run(
        [sys.executable, str(project / "predict.py"), "smiles=C=C", "top=1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("C=C\n", "")
    assert list(tmp_path.iterdir()) == []
