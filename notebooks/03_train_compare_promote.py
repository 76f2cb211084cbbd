# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Train, compare and promote versions
#
# A *version* is a model with all it needs to answer, in a folder with checksums. This notebook
# trains two small ones on the same spectra, draws their training curves, compares them, makes one
# the *latest*, the one that answers when no version is named, and asks it. All of it happens in a
# temporary folder, whose numbering begins anew with v0.1; the shipped versions stay as they are.
#
# The models are tiny and the spectra few and computed, so that it takes a minute or two without a
# GPU. What you see is the procedure, not how good such a model is.

# %%
# %matplotlib inline
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl

import team5
from team5.data.demo import demo_table
from team5.data.spectrum import Spectrum
from team5.inference.inference import infer, load_model
from team5.viz.answers import plot_match
from team5.viz.curves import plot_runs

pl.Config(
    tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, tbl_rows=30, fmt_str_lengths=120
)

REPOSITORY = Path(team5.__file__).parents[1]
FOLDER = tempfile.TemporaryDirectory()  # gone when the notebook is closed
WORK = Path(FOLDER.name)
VERSIONS = WORK / "checkpoints"


def run(*words):
    """Run a command as in a terminal, quietly; what it answers is returned."""
    return subprocess.run([sys.executable, *words], cwd=REPOSITORY, capture_output=True, text=True)


def registry(*words):
    """Ask the registry of this notebook: `python -m team5.registry WORDS`."""
    return run("-m", "team5.registry", *words, "--root", str(VERSIONS))


# %% [markdown]
# ## The spectra
#
# A part of the demo set, saved as a file the way your own would be. Its columns are those of
# MassSpecGym: peaks, SMILES, adduct, precursor, collision energy. The column *fold* says what is
# learned from (train) and what the training is judged by (val); without it team5 divides the
# compounds by structure. [Notebook 02](02_explore_a_data_set.ipynb) looks into such a file.

# %%
demo = pl.from_arrow(demo_table())
compounds = demo.select("inchikey14", "formula", "fold").unique(maintain_order=True)
chosen = pl.concat(
    [
        compounds.filter(fold="train").head(36),
        # With their isomers, from which they are to be told apart.
        compounds.filter(fold="val").sort("formula", "inchikey14").head(12),
    ]
)
spectra = demo.join(chosen, on="inchikey14", how="semi").filter(adduct="[M+H]+")
spectra.write_parquet(WORK / "spectra.parquet")

spectra.group_by("fold", maintain_order=True).agg(
    spectra=pl.len(),
    compounds=pl.col("inchikey14").n_unique(),
    formulas=pl.col("formula").n_unique(),
)

# %% [markdown]
# ## Two trainings
#
# The same command twice; in a terminal it is
#
# ```bash
# python train.py experiment=debug data=file data.path=spectra.parquet model.optimizer.lr=0.001
# ```
#
# and for real work `experiment=finetune`, which starts from the shipped version. Only the learning
# rate differs. Each run writes its figures to `metrics.csv` and exports its best epoch as a
# version. `set_as_latest=never` leaves the choice to us.

# %%
learning_rates = {"v0.1": 0.001, "v0.2": 0.01}
for version, learning_rate in learning_rates.items():
    training = run(
        "-m",
        "team5",
        "train",
        "experiment=debug",
        "data=file",
        f"data.path={WORK}/spectra.parquet",
        "data.num_workers=0",
        "data.batch_size=6",
        "data.train_compounds=null",
        f"model.optimizer.lr={learning_rate}",
        "trainer.max_epochs=4",
        "callbacks.export.set_as_latest=never",
        f"checkpoints_root={VERSIONS}",
        f"data.cache_dir={WORK}/cache",
        f"hydra.run.dir={WORK}/runs/{version}",
    )
    if training.returncode:
        raise RuntimeError(training.stderr)

runs = {version: WORK / f"runs/{version}/metrics/metrics.csv" for version in learning_rates}
plot_runs(runs, "val/loss")

# %% [markdown]
# `val/loss` is what is watched: how unlikely the validation peaks are to the model, low is good. It
# is measured on compounds that the model did not learn from; when it rises while the training loss
# still falls, the model learns by heart. A run's best epoch has a dot, and that epoch was exported.
#
# ## Compare
#
# ```bash
# python -m team5.registry compare v0.1 v0.2
# ```

# %%
comparison = json.loads(registry("compare", "v0.1", "v0.2", "--json").stdout)
pl.DataFrame(comparison["figures"], schema=["figure", "v0.1", "v0.2"], orient="row").with_columns(
    pl.col("v0.1", "v0.2").round(3), change=(pl.col("v0.2") - pl.col("v0.1")).round(3)
)

# %% [markdown]
# *accuracy*, *f1_score* and *auroc* are those of matching: is this spectrum of this structure, or
# of a decoy of the same mass? *hit_rate@1* says how often the true structure comes first among its
# isomers, *mrr* is the mean of one over its rank. The loss falls when a version gets better, all
# else rises.
#
# There are 12 validation compounds, so a pair more or less is chance: one figure may rise while
# another falls. Versions that matter are judged on hundreds of compounds, with intervals, by
# `evaluate.py`.
#
# What else differs between the two:

# %%
pl.DataFrame(
    [
        [key.removeprefix("training_config."), str(one), str(other)]
        for key, one, other in comparison["config"]
        if key.startswith("training_config.model")
    ],
    schema=["setting", "v0.1", "v0.2"],
    orient="row",
)

# %% [markdown]
# ## Promote
#
# ```bash
# python -m team5.registry promote v0.1
# python -m team5.registry promote v0.2
# ```
#
# The first has nothing to be compared with. The second becomes latest only if its figures on the
# same data are not worse; otherwise the registry refuses and says by how much.


# %%
def said(*words):
    done = registry(*words)
    return (done.stdout or done.stderr).strip()


commands = [["promote", "v0.1"], ["promote", "v0.2"]]
pl.DataFrame({"command": " ".join(words), "answer": said(*words)} for words in commands)

# %% [markdown]
# Every move of *latest* is kept with its reason, and `rollback` takes the last one back. A refusal
# can be overruled, `promote v0.2 --force "REASON"`; the reason stands in the history.

# %%
history = json.loads(registry("history", "--json").stdout)
pl.DataFrame(history).select("latest", before="previous", why="reason")

# %%
pl.DataFrame(
    {
        "version": row["version"],
        "latest": row["latest"],
        "accuracy": round(row["performance"]["accuracy"], 3),
        "hit_rate@1": round(row["performance"]["hit_rate@1"], 3),
        "MB": round(row["bytes"] / 1e6, 2),
        "description": row["description"],
    }
    for row in json.loads(registry("list", "--json").stdout)
)

# %% [markdown]
# ## Ask the new version
#
# `load_model(root=...)` takes the latest of a folder. Beside it the shipped model: both predict
# caffeine at 35 eV, whose main fragments are known from the literature.

# %%
caffeine = "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"
spectrum = Spectrum(
    mzs=[195.0877, 138.0662, 123.0427, 110.0713, 83.0604, 69.0447, 56.0495],
    intensities=[100, 60, 4, 20, 8, 10, 3],
    precursor_mz=195.0877,
    adduct="[M+H]+",
    collision_energy="35 eV",
    identifier="caffeine",
)


def ask(model, title):
    match = infer(model, caffeine, spectra=spectrum)
    expected = infer(model, caffeine, adduct="[M+H]+", collision_energy="35 eV")
    return plot_match(spectrum, match, expected, title=title)


trained = load_model(root=VERSIONS, device="cpu")
ask(trained, f"{trained.version} of this notebook, {trained.n_parameters:,} parameters")

# %%
shipped = load_model(device="cpu")
ask(shipped, f"{shipped.version} as shipped, {shipped.n_parameters:,} parameters")

# %% [markdown]
# Both know which ions are possible: that comes from cutting the structure. How likely each one is
# has to be learned, and from a few dozen compounds with computed spectra a tiny model has learned
# little of it.
#
# ## Further
#
# - From the shipped version, on spectra of your own: `python train.py experiment=finetune data=file
#   data.path=FILE`; a few dozen compounds at least
# - On a GPU: `trainer=gpu`; going on with a training that stopped: `resume=v0.4`
# - Judged on spectra that no training has seen: `python evaluate.py`, and
#   `python -m team5.registry promote v0.4 --queries FILE`
# - [Train](../docs/train.md), [Evaluate](../docs/evaluate.md), [Versions](../docs/versions.md)
