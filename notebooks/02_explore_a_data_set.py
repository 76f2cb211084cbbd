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
# # Explore a data set
#
# Before a model learns from spectra, or is judged by them, it pays to look at them. This notebook
# looks at the built-in demo set: compounds, adducts, energies, masses, one spectrum closely, and
# how compounds are divided into folds. Then it reads a file as it comes from elsewhere, with its
# faults, and shows what is left out of it and why.
#
# The demo set's spectra are computed from bond-strength rules, not measured. Measured ones are
# looked at in the same way: put your own file in their place.

# %%
# %matplotlib inline
import tempfile
from pathlib import Path

import polars as pl

import team5
from team5.chemistry.adducts import parse_adduct
from team5.chemistry.molecule import parse_smiles
from team5.data.demo import demo_molecules, write_demo_table
from team5.data.preparation import prepare_table
from team5.data.readers import read_spectra
from team5.data.splits import assign_folds, check_folds
from team5.errors import DataError
from team5.viz.answers import plot_two_spectra
from team5.viz.dataset import plot_dataset
from team5.viz.structures import plot_structure

pl.Config(
    tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, tbl_rows=20, fmt_str_lengths=300
)

FILES = Path(team5.__file__).parents[1] / "tests" / "files"
FOLDER = tempfile.TemporaryDirectory()  # gone when the notebook is closed
WORK = Path(FOLDER.name)

# %% [markdown]
# ## At a glance
#
# `plot_dataset` takes any file that team5 reads: MGF, MSP, mzML, MassBank, Parquet, CSV.

# %%
path = write_demo_table(WORK / "demo.parquet")
plot_dataset(path)

# %% [markdown]
# Each compound is there at three collision energies as `[M+H]+`, and those with an acidic hydrogen
# once as `[M-H]-`. Energies in eV and in NCE (normalised to m/z 500) mean different things and are
# told apart; many records of public libraries do not say which they mean.
#
# ## A compound
#
# A row is a spectrum. These are those of paracetamol.

# %%
demo = pl.read_parquet(path)
paracetamol = next(one.smiles for one in demo_molecules() if one.name == "paracetamol")
plot_structure(paracetamol)

# %%
rows = demo.filter(smiles=paracetamol)
rows.select(
    "adduct",
    "precursor_mz",
    "collision_energy",
    pl.col("mzs").list.len().alias("peaks"),
    "formula",
    "inchikey14",
    "fold",
)

# %% [markdown]
# The precursor follows from the exact mass and the adduct. It should be within a few ppm of the
# one measured; if not, the record names the wrong structure or the wrong adduct.

# %%
exact_mass = parse_smiles(paracetamol).exact_mass
pl.DataFrame(
    {
        "adduct": name,
        "exact mass": round(exact_mass, 4),
        "precursor m/z": round(parse_adduct(name).precursor_mz(exact_mass), 4),
    }
    for name in ("[M+H]+", "[M+Na]+", "[M+NH4]+", "[M-H]-", "[M+2H]2+")
)

# %% [markdown]
# ## A spectrum
#
# `read_spectra` gives records: a spectrum, checked, with the structure that its file names. A
# notebook shows a spectrum as a small picture.

# %%
records = read_spectra(path).records
gentle, _, hard = (
    record.spectrum
    for record in records
    if record.smiles == paracetamol and record.spectrum.adduct == "[M+H]+"
)
gentle

# %% [markdown]
# The same ion at 10 eV and at 40 eV. Peaks that both have are in colour; with more energy the
# precursor goes and the smaller fragments come. That is why the energy belongs to a spectrum:
# without it two spectra of one compound look like two compounds.
#
# That they are computed shows, too: a measured spectrum of paracetamol is led by 110.06, as
# [notebook 04](04_explain_a_prediction.ipynb) has it.

# %%
plot_two_spectra(gentle, hard, names=("paracetamol, 10 eV", "paracetamol, 40 eV"))

# %% [markdown]
# ## Folds
#
# A model learns from one fold (*train*), is watched on another (*val*) and judged at the end on the
# third (*test*). If spectra of one compound stood in two of them, it could recall instead of
# reason, and its figures would be too good. So it is compounds that are divided, not spectra.
#
# What is one compound? All that share the first block of the InChIKey, 14 letters made from the
# bonds alone. Stereoisomers and spellings are one compound, as fragments do not tell them apart;
# constitutional isomers are not.

# %%
names = {
    "(S)-ibuprofen": "C[C@@H](C(=O)O)c1ccc(CC(C)C)cc1",
    "(R)-ibuprofen": "C[C@H](C(=O)O)c1ccc(CC(C)C)cc1",
    "ibuprofen, otherwise written": "OC(=O)C(C)C1=CC=C(CC(C)C)C=C1",
    "ibuprofen sodium": "[Na+].CC(C([O-])=O)c1ccc(CC(C)C)cc1",
    "3-isobutyl isomer": "CC(C(=O)O)c1cccc(CC(C)C)c1",
}
pl.DataFrame(
    {
        "name": name,
        "SMILES": smiles,
        "formula": (molecule := parse_smiles(smiles)).formula,
        "InChIKey, first block": molecule.inchikey14,
    }
    for name, smiles in names.items()
)

# %% [markdown]
# `check_folds` refuses a table in which a compound stands in two folds. Here one row of paracetamol
# is moved on purpose:

# %%
moved = demo.with_columns(
    fold=pl.when(identifier=rows["identifier"][0]).then(pl.lit("test")).otherwise("fold")
)
folds = zip(moved["inchikey14"], moved["fold"], strict=True)
answer = "no structure is in two folds"
try:
    check_folds(folds, source="the moved table")
except DataError as error:
    answer = str(error)
pl.DataFrame({"check_folds says": [answer]})

# %% [markdown]
# Close relatives make it too easy as well: who has learned diazepam hardly needs to think about
# nordiazepam. A file without folds is therefore divided by `assign_folds` into clusters of similar
# structures (Morgan fingerprints, Butina), and whole clusters are held out.

# %%
structures = dict(demo.select("inchikey14", "smiles").unique(maintain_order=True).iter_rows())
folds = assign_folds(structures, val_share=0.1, test_share=0.1)
pl.Series("fold", list(folds.values())).value_counts(sort=True)

# %% [markdown]
# ## A file from elsewhere
#
# `gnps.mgf` is a small file, made up in the shapes of public exports, with the faults that these
# have. What can be used is read, the rest is counted by its reason, and nothing is mended in
# silence: `notes` says what a spectrum had to do without.

# %%
found = read_spectra(FILES / "gnps.mgf")
pl.DataFrame(
    {
        "identifier": record.spectrum.identifier,
        "adduct": record.spectrum.adduct,
        "precursor m/z": record.spectrum.precursor_mz,
        "energy": record.spectrum.collision_energy,
        "peaks": record.spectrum.n_peaks,
        "SMILES": record.smiles,
        "notes": "; ".join(record.spectrum.notes),
    }
    for record in found.records
)

# %%
what_it_means = {
    "MS1 spectrum, not MS2": "a survey scan, not a fragment spectrum",
    "no peaks": "a header without a peak list",
    "peak list not understood": "a line that is no peak, or an m/z without intensity",
    "peaks of negative intensity": "left over when a background was subtracted",
    "record without END IONS": "the file was cut off",
}
pl.DataFrame(
    {"left out because": reason, "records": count, "which means": what_it_means.get(reason, "")}
    for reason, count in found.skipped.most_common()
)

# %% [markdown]
# Spectra without a structure can be asked about, but nothing can be learned from them. To learn
# from a record, structure, adduct and precursor must also agree: `prepare_table`, the first step of
# every training, calculates the precursor and compares.

# %%
prepared = prepare_table(FILES / "gnps.mgf", WORK)
pl.DataFrame(
    [("used", prepared.n_spectra), *prepared.skipped.most_common()],
    schema=["to learn from", "records"],
    orient="row",
)

# %% [markdown]
# Four more fall out: the one without a structure, the two whose adduct is not known, and the
# leucine whose precursor does not fit: twice charged it would be at m/z 66.55, the file says
# 388.25.
#
# `massspecgym.mgf` is in the shape of the MassSpecGym data set. Its only record can be used; it
# brings its own fold.

# %%
record = read_spectra(FILES / "massspecgym.mgf").records[0]
record.spectrum

# %%
plot_structure(record.smiles)

# %% [markdown]
# ## Further
#
# - Other formats are read in the same way; `FILES` holds a small file of each.
# - To matchms and back: `spectrum.to_matchms()`, `Spectrum.from_matchms(...)`
# - [03](03_train_compare_promote.ipynb): learn from such a file
