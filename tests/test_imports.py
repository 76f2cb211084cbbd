import json
import pkgutil
import subprocess
import sys
from graphlib import TopologicalSorter

import grimp
import pytest

import team5

MODULES = sorted(module.name for module in pkgutil.walk_packages(team5.__path__, "team5."))


def imported_by(statement: str) -> set[str]:
    """Names in ``sys.modules`` of a fresh process that ran one statement."""
    program = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_every_module_imports_and_stays_silent():
    program = "\n".join(f"import {name}" for name in MODULES)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert run.returncode == 0, run.stderr
    assert run.stdout == ""
    assert run.stderr == ""


def test_no_modules_import_each_other_even_within_functions():
    graph = grimp.build_graph("team5", cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    assert sum(map(len, imports.values())) > 1000
    TopologicalSorter(imports).prepare()


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        (
            "team5.inference.inference",
            {
                "hydra",
                "lightning",
                "matchms",
                "matplotlib",
                "pandas",
                "polars",
                "pytorch_lightning",
                "team5.callbacks",
                "team5.training",
                "torchmetrics",
            },
        ),
        # The tracker by hand starts at once.
        ("team5.training.update_checkpoint_tracker", {"lightning", "rdkit", "torch"}),
        ("team5.registry.tracker", {"lightning", "rdkit", "torch"}),
        ("team5.chemistry.molecule", {"matchms", "polars", "torch"}),
        ("team5.data.readers", {"matchms", "matplotlib"}),
        # Models and files are for processes of their own.
        ("team5.serving.server", {"hydra", "lightning", "matchms", "numba", "torch"}),
    ],
)
def test_module_does_not_load(module, unwanted):
    assert imported_by(f"import {module}") & unwanted == set()
