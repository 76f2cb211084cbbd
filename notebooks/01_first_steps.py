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
# # First steps
#
# A tandem mass spectrum is a list of pieces of a molecule. team5 cuts a structure into its possible
# pieces and knows from measured spectra how likely each piece is. So it answers three questions:
#
# 1. **Match**: is this spectrum of this structure, and which piece is each peak?
# 2. **Rank**: which of these structures fits best?
# 3. **Simulate**: what spectrum is to be expected?
#
# This notebook asks all three about caffeine. It takes less than a minute on most computers.

# %%
# %matplotlib inline
from team5.data.spectrum import Spectrum
from team5.inference.inference import infer, load_model
from team5.viz.answers import plot_match, plot_simulation
from team5.viz.structures import plot_candidates, plot_fragments

model = load_model(device="cpu")  # the latest version
model

# %% [markdown]
# ## The spectrum
#
# The main fragments of protonated caffeine, as the literature has them: methyl isocyanate leaves
# first (195.09 to 138.07, a retro-Diels-Alder reaction), then carbon monoxide (to 110.07). Heights
# are rounded; any unit will do. SMILES are typed as they are.
#
# Caffeine is not among the compounds the shipped model learned from.

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

# %% [markdown]
# ## 1. Match
#
# `infer` takes the model, its tokenizer (which cuts molecules; `None` is the model's own), a
# structure and a spectrum. What is not known of a measurement is left out: peaks alone will do,
# `infer(model, caffeine, mzs, intensities)`.

# %%
match = infer(model, caffeine, spectra=spectrum)
match

# %% [markdown]
# The answer is a plain object: `match.probability`, `match.label`, `match.peaks` and so on. Each
# explained peak knows its formula, how far the measured m/z is off, and which atoms of the
# structure the fragment keeps.

# %%
plot_fragments(match, top=6, columns=3)

# %% [markdown]
# The same peaks in the spectrum, and below the axis what the model expects of caffeine: the answer
# to the third question, in advance.

# %%
expected = infer(model, caffeine, adduct="[M+H]+", collision_energy="35 eV")
plot_match(spectrum, match, expected)

# %% [markdown]
# For comparison, aspirin with the same peaks. Its own ion, m/z 181.05, is lighter than the highest
# of them, so that the spectrum cannot be of aspirin, whatever else its fragments explain.

# %%
aspirin = "CC(=O)Oc1ccccc1C(=O)O"
infer(model, aspirin, spectra=spectrum)

# %% [markdown]
# ## 2. Rank
#
# A list of structures with one spectrum is ranked. These are isomers, C8H10N4O2 all of them, so
# that their mass says nothing: only the fragments tell them apart.

# %%
candidates = {
    "caffeine": caffeine,
    "isocaffeine": "CN1C=NC2=C1N(C)C(=O)N(C)C2=O",
    "enprofylline": "CCCN1C2=C(NC=N2)C(=O)NC1=O",
    "methyl-(nitrophenyl)guanidine": "CN=C(N)Nc1ccc(cc1)[N+](=O)[O-]",
}
matches = infer(model, list(candidates.values()), spectra=spectrum)
plot_candidates(matches, names=list(candidates))

# %% [markdown]
# Caffeine and isocaffeine differ in the place of one methyl group and give nearly the same
# fragments, so their probabilities lie close together, whichever of them comes first. A high
# probability is evidence, not identification: for such isomers, a standard or the retention time
# decides.
#
# ## 3. Simulate
#
# A structure alone gives the spectrum to be expected, for an adduct and a collision energy.

# %%
plot_simulation(infer(model, caffeine, adduct="[M+H]+", collision_energy="10 eV"))

# %%
plot_simulation(infer(model, caffeine, adduct="[M+H]+", collision_energy="50 eV"))

# %% [markdown]
# With more energy the precursor at 195.09 goes and the small fragments come.
#
# ## Further
#
# - [02](02_explore_a_data_set.ipynb): what a file of spectra holds and what is left out of it
# - [03](03_train_compare_promote.ipynb): versions of your own
# - [04](04_explain_a_prediction.ipynb): what an answer rests on, and when not to believe it
# - [05](05_rank_a_file.ipynb): a whole file against a library of structures
# - Several spectra of one compound are judged together:
#   `infer(model, smiles, spectra=[Spectrum(...), Spectrum(...)])`
# - Every answer becomes a table: `from team5.inference.tables import to_frame`
# - From a terminal, and limits: [README](../README.md)
