"""What stands beside pyproject.toml for other tools agrees with it."""

import re
import tomllib

import yaml

from team5 import __version__
from tests.documents import REPOSITORY

PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
# Names on conda-forge that are others than on the index.
CONDA_NAMES = {"duckdb": "python-duckdb", "torch": "pytorch"}
# Packages for GPUs, which requirements.lock leaves to torch.
FOR_GPUS = re.compile(r"cuda-|nvidia-|triton")


def conda_name(requirement: str) -> str:
    name, limits = re.fullmatch(r"([\w-]+)(.*)", requirement).groups()
    return f"{CONDA_NAMES.get(name, name)} {limits}"


def test_the_recipe_for_conda_builds_and_needs_the_same():
    recipe = yaml.safe_load((REPOSITORY / "recipe" / "recipe.yaml").read_text())
    assert recipe["context"] == {"name": PROJECT["name"], "version": __version__}
    python = f"python {PROJECT['requires-python']}"
    needed = recipe["requirements"]
    assert sorted(needed["run"]) == sorted([python, *map(conda_name, PROJECT["dependencies"])])
    build = map(conda_name, PYPROJECT["build-system"]["requires"])
    assert sorted(needed["host"]) == sorted([python, "pip", *build])
    scripts = [f"{name} = {target}" for name, target in PROJECT["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == scripts
    about = recipe["about"]
    assert about["summary"] == PROJECT["description"]
    assert about["license"] == PROJECT["license"]
    assert about["license_file"] == PROJECT["license-files"]


def test_the_locks_agree_with_each_other():
    pylock = tomllib.loads((REPOSITORY / "pylock.toml").read_text())
    lock = (REPOSITORY / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([\w.-]+)==([^ ]+)", lock, re.MULTILINE))
    versions = {package["name"]: package["version"] for package in pylock["packages"]}
    others = {name for name, version in versions.items() if locked.get(name) != version}
    assert all(map(FOR_GPUS.match, others)), others
    needed = {re.match(r"[\w-]+", name)[0].lower() for name in PROJECT["dependencies"]}
    assert needed <= set(versions)
