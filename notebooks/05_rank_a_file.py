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
# # Rank a whole file against a library
#
# What is behind each spectrum of a file? A library of structures, sorted by mass, says which ones
# have the precursor; the model scores all of these, and the best of each spectrum come into a
# table. Here the library holds 345 molecules and the file a dozen spectra; the commands are the
# same for millions.
#
# A notebook is good for looking at the results. The work itself is done by commands, which are run
# here as in a terminal.

# %%
# %matplotlib inline
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

import team5
from team5.data.demo import demo_table
from team5.data.readers import read_spectra
from team5.inference.inference import infer, load_model
from team5.viz.answers import plot_match
from team5.viz.structures import plot_candidates, plot_fragments, plot_structure
from team5.viz.style import new_figure

pl.Config(
    tbl_hide_dataframe_shape=True,
    tbl_hide_column_data_types=True,
    tbl_rows=30,
    tbl_cols=12,
    tbl_width_chars=140,
    fmt_str_lengths=200,
)

REPOSITORY = Path(team5.__file__).parents[1]
FOLDER = tempfile.TemporaryDirectory()  # gone when the notebook is closed
WORK = Path(FOLDER.name)


def run(*words):
    """Run a command as in a terminal, quietly; what it answers is returned."""
    done = subprocess.run([sys.executable, *words], cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


# %% [markdown]
# ## A library
#
# ```bash
# python -m team5.library build team5/data/demo_molecules.csv demo.library
# ```
#
# A file with one SMILES per line, and a name behind it if you like, does as well; so do SDF, CSV
# and Parquet. Structures are standardised, each is kept once, and what cannot be used is counted.

# %%
library = WORK / "demo.library"
run("-m", "team5.library", "build", "team5/data/demo_molecules.csv", str(library))
facts = json.loads(run("-m", "team5.library", "info", str(library), "--json"))
pl.DataFrame(
    {
        "records read": facts["n_records"],
        "structures": facts["n_structures"],
        "there already": facts["n_merged"],
        "left out": sum(facts["dropped"].values()),
        "lightest (u)": round(facts["min_exact_mass"], 3),
        "heaviest (u)": round(facts["max_exact_mass"], 3),
        "kB": round(facts["bytes"] / 1000),
    }
)

# %% [markdown]
# ## The search
#
# ```bash
# python predict.py spectra=tests/files/massspecgym.tsv library=demo.library output=hits.parquet
# ```
#
# Candidates are the structures within 10 ppm of the precursor (`ppm=10`), for the adduct that the
# spectrum names. All of them are scored, and the best 100 are told (`keep=100`).

# %%
spectra = REPOSITORY / "tests" / "files" / "massspecgym.tsv"
output = WORK / "hits.parquet"
run(
    "-m",
    "team5",
    "predict",
    f"spectra={spectra}",
    f"library={library}",
    f"output={output}",
    "device=cpu",
)
hits = pl.read_parquet(output)
hits.select(
    "identifier",
    "rank",
    "name",
    "formula",
    "adduct",
    "collision_energy",
    pl.col("probability", "score", "explained_intensity").round(2),
    pl.col("error_ppm").round(1),
)

# %% [markdown]
# One row for each candidate, the best of each spectrum first. `explained_intensity` is the share of
# the spectrum that the structure explains; `error_ppm` how far the measured precursor is from the
# calculated one. A spectrum with one candidate has that one as its best, right or not: look at the
# probability.
#
# The best of each, and how sure that is:

# %%
best = hits.filter(rank=1)
best.select(
    "identifier",
    "name",
    candidates="n_candidates",
    probability=pl.col("probability").round(2),
    match="label",
    explained=pl.col("explained_intensity").round(2),
    compared_with=pl.format("{} {}", "n_references", "references"),
)

# %%
figure = new_figure(8.5, 5.5)
panels = figure.subplots(2, 3).ravel()
for ax, hit in zip(panels, best.iter_rows(named=True), strict=True):
    ax.set_title(
        f"{hit['identifier']}\n{hit['name']}, probability {hit['probability']:.2f}", size=9
    )
for ax, smiles in zip(panels, best["smiles"], strict=True):
    plot_structure(smiles, ax=ax)
figure

# %% [markdown]
# All of the intensity is explained in each of them, and still number 4 is no match: it is
# paracetamol as `[M+Na]+`, one fragment beside the precursor. Sodium adducts break up badly and say
# little.
#
# ## What was left out
#
# Every spectrum of the file is among the hits or, with its reason, in `hits.parquet.left_out.csv`.

# %%
pl.read_csv(WORK / "hits.parquet.left_out.csv")

# %% [markdown]
# "No candidate" means that the library does not hold the compound, the precursor is off by more
# than 10 ppm, or the adduct is another one. The record of ethanol is right, for instance, but the
# library begins above 100 u.
#
# ## Looking at a hit
#
# The table has all that a picture needs: spectrum and structure give the match again, with its
# fragments.

# %%
model = load_model(device="cpu")
measured = {record.spectrum.identifier: record.spectrum for record in read_spectra(spectra).records}


def look(identifier):
    """Return spectrum, match and prediction of the best hit."""
    hit = best.row(by_predicate=pl.col("identifier") == identifier, named=True)
    spectrum = measured[identifier]
    expected = infer(
        model,
        hit["smiles"],
        adduct=hit["adduct"],
        collision_energy=spectrum.collision_energy,
    )
    return spectrum, infer(model, hit["smiles"], spectra=spectrum), expected


aspirin = look("MassSpecGymID9000003")
plot_match(*aspirin)

# %%
plot_fragments(aspirin[1])

# %%
paracetamol = look("MassSpecGymID9000006")
plot_match(*paracetamol)

# %% [markdown]
# The candidates of one spectrum, as a grid. Caffeine and isocaffeine are both in the library; the
# fragments hardly tell them apart.

# %%
of_caffeine = hits.filter(identifier="MassSpecGymID9000001").sort("rank")
matches = infer(model, of_caffeine["smiles"].to_list(), spectra=measured["MassSpecGymID9000001"])
plot_candidates(matches, names=of_caffeine["name"].to_list())

# %% [markdown]
# ## A search that is broken off
#
# Long searches get killed: the power fails, a job's time is up. What is done lies in
# `hits.parquet.parts/`, some spectra per file, and can be read at any time; `resume=true` goes on
# with the rest. To see that, a search of more spectra is killed here as soon as its first part is
# there.

# %%
some = pl.from_arrow(demo_table()).filter(fold="val", collision_energy="20 eV").head(40)
some.write_parquet(WORK / "more.parquet")
command = [
    *("-m", "team5", "predict"),
    f"spectra={WORK}/more.parquet",
    f"library={library}",
    f"output={WORK}/more_hits.parquet",
    "device=cpu",
    "engine.workers=1",
]
parts = WORK / "more_hits.parquet.parts"
search = subprocess.Popen(
    [sys.executable, *command],
    cwd=REPOSITORY,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
)
while search.poll() is None and not list(parts.glob("part-*.parquet")):
    time.sleep(0.05)
search.kill()
search.wait()
first = pl.read_parquet(parts / "part-*.parquet")

# %% [markdown]
# The same command with `resume=true`; afterwards the parts are one file.

# %%
run(*command, "resume=true")
whole = pl.read_parquet(WORK / "more_hits.parquet")
pl.DataFrame(
    {
        "": ["when it was killed", "in the end"],
        "spectra with hits": [first["spectrum"].n_unique(), whole["spectrum"].n_unique()],
        "hits": [len(first), len(whole)],
        "parts folder": ["there", "there" if parts.exists() else "gone"],
    }
)

# %% [markdown]
# With the true structures known, the table tells how often the best hit was right. Those spectra
# are computed, so this shows how it is done and is no measure of the model.

# %%
truth = some.select("identifier", true="inchikey14")
(
    whole.filter(pl.col("n_candidates") > 1)
    .join(truth, on="identifier")
    .filter(pl.col("inchikey14") == pl.col("true"))
    .group_by("rank")
    .agg(spectra=pl.len(), explained=pl.col("explained_intensity").median().round(2))
    .sort("rank")
    .rename({"rank": "rank of the true structure", "explained": "intensity explained (median)"})
)

# %% [markdown]
# ## Further
#
# - Libraries larger than memory, also on object storage; a Parquet file sorted by `exact_mass`
#   does, too
# - `engine=ray` uses the machines of a cluster, `prefilter=true` scores of long lists only what is
#   worth it
# - `max_error=0.1` holds back rankings that are not sure enough: column `abstained`
# - What answers cost, and what a million spectra would: [docs/scale.md](../docs/scale.md)
# - All of it: [A candidate library](../docs/library.md)
