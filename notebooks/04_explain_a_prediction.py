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
# # Explain a prediction
#
# What does an answer rest on? Here one match is taken apart: which fragment each peak is, what
# stays unexplained, what the probability means and what it was compared with, how the isomers rank,
# and when the model says that it does not know. At the end: when not to believe it.

# %%
# %matplotlib inline
import polars as pl

from team5.data.spectrum import Spectrum
from team5.evaluation.selective import risk_coverage
from team5.inference.inference import infer, load_model
from team5.viz.answers import plot_match
from team5.viz.evaluation import plot_risk_coverage
from team5.viz.structures import plot_candidates, plot_fragments

pl.Config(
    tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, tbl_rows=20, fmt_str_lengths=120
)

model = load_model(device="cpu")

# %% [markdown]
# ## The spectrum
#
# Paracetamol, `[M+H]+`, as the literature has it, heights rounded: ketene leaves (152.07 to 110.06,
# the protonated aminophenol), then ammonia (93.03) or water (92.05); 65.04 is the cyclopentadienyl
# cation. One peak does not belong here: 107.0855, C8H11+, put in as something that came through the
# isolation window together with it.
#
# Paracetamol is not among the compounds the shipped model learned from.

# %%
paracetamol = "CC(=O)Nc1ccc(O)cc1"
spectrum = Spectrum(
    mzs=[43.0178, 65.0386, 82.0651, 92.0495, 93.0335, 107.0855, 110.0600, 134.0600, 152.0706],
    intensities=[4, 18, 2, 4, 9, 7, 100, 3, 55],
    precursor_mz=152.0706,
    adduct="[M+H]+",
    collision_energy="30 eV",
    identifier="paracetamol",
)
match = infer(model, paracetamol, spectra=spectrum)
expected = infer(model, paracetamol, adduct="[M+H]+", collision_energy="30 eV")
plot_match(spectrum, match, expected)

# %% [markdown]
# Blue peaks are explained by an ion of the structure, the pale one is not. Below the axis stands
# what the model expects: the base peak is right, and so is that the precursor is still there.
#
# ## Which fragment is which peak

# %%
plot_fragments(match, top=8, columns=4)

# %% [markdown]
# The atoms of a fragment are shaded, the bonds that were broken to make it are crossed. Hydrogens
# may move: 110.06 keeps nitrogen and ring, and takes one hydrogen over from the acetyl group that
# leaves as ketene.
#
# In numbers. *Probability* is the share of the predicted spectrum that this ion has, so it tells
# whether the model expected the ion, or only knows that it is possible.

# %%
pl.DataFrame(
    {
        "m/z": peak.mz,
        "intensity": peak.intensity,
        "ion": peak.formula,
        "error (ppm)": round(peak.error_ppm, 1),
        "bonds broken": len(peak.broken_bonds),
        "probability": round(peak.probability, 3),
    }
    for peak in match.peaks
)

# %% [markdown]
# ## What is not explained
#
# A peak that no fragment explains is a rearrangement that the enumeration does not know, a second
# compound, an isotope, noise, or a sign that the structure is wrong. A few small ones are usual. A
# base peak without explanation is not.

# %%
explained = {peak.mz for peak in match.peaks}
heights = spectrum.intensities / spectrum.intensities.max()
pl.DataFrame(
    {"m/z": mz, "intensity": round(height, 3), "share of all intensity": round(share, 3)}
    for mz, height, share in zip(
        spectrum.mzs.tolist(), heights.tolist(), (heights / heights.sum()).tolist(), strict=True
    )
    if mz not in explained
)

# %% [markdown]
# That much is explained does not say much by itself. With up to four hydrogens moved, a small
# molecule has an ion for nearly every formula, as the isomers below show. What counts is whether
# the peaks are those that the model expects to be high.
#
# ## What the probability means
#
# How well the peaks fit is the *score*, a log-likelihood, and it depends on the spectrum: poor
# spectra fit nothing well. So the structure is compared with other molecules of the same mass, and
# the probability says how it stands among them. Given alone, it is compared with isomers that are
# made from it; in a list of at least nine of one mass, with the others of the list.

# %%
isomers = {
    "paracetamol": paracetamol,
    "metacetamol": "CC(=O)Nc1cccc(O)c1",
    "2-acetamidophenol": "CC(=O)Nc1ccccc1O",
    "methyl anthranilate": "COC(=O)c1ccccc1N",
    "4-methoxybenzamide": "COc1ccc(cc1)C(N)=O",
    "N-methylsalicylamide": "CNC(=O)c1ccccc1O",
    "2-phenylglycine": "NC(C(=O)O)c1ccccc1",
    "4-hydroxyphenylacetamide": "NC(=O)Cc1ccc(O)cc1",
    "piperonylamine": "NCc1ccc2OCOc2c1",
    "ethyl nicotinate": "CCOC(=O)c1cccnc1",
    "4-ethylnitrobenzene": "CCc1ccc(cc1)[N+](=O)[O-]",
}
matches = infer(model, list(isomers.values()), spectra=spectrum)
pl.DataFrame(
    {
        "asked": asked,
        "score": round(answer.score, 2),
        "probability": round(answer.probability, 3),
        "compared with": f"{answer.n_references} {answer.references}",
    }
    for asked, answer in {
        "alone": match,
        "in a list of 11 isomers": matches[0],
        "the precursor peak alone": infer(model, paracetamol, [152.0706], [100]),
    }.items()
)

# %% [markdown]
# *candidates* are other molecules of the list, *isomers* those made for the comparison. The third
# line is a spectrum without fragments: it fits every isomer alike, and so the probability is low
# although all of the intensity is explained.
#
# The probability was fitted on pairs of structure and spectrum that the model had not learned from.
# It speaks of molecules like those, under the question "this one, or another of its mass?". If the
# true structure is nowhere in your list, something still comes first.
#
# ## The isomers in their order

# %%
plot_candidates(matches, names=list(isomers), top=8, columns=4)

# %% [markdown]
# Blue probabilities reach the model's threshold. The three acetamidophenols differ in the place of
# the hydroxyl group alone and give the same ions, in nearly the same heights; no fragment tells
# them apart, and v0.2, which learned from metacetamol and not from paracetamol, even puts
# metacetamol first. Those with other bonds fall back, although almost all of the intensity is
# explained.
#
# ## When the model holds back
#
# `max_error` asks for an error rate. From validation spectra the model knows how often it was wrong
# when it was as sure as now; an answer that is not sure enough says so in `abstained`. A ranking is
# judged by its first place, a single match by its label.

# %%
rows = []
for max_error in (0.1, 0.2, 0.4):
    ranked = infer(model, list(isomers.values()), spectra=spectrum, max_error=max_error)
    alone = infer(model, paracetamol, spectra=spectrum, max_error=max_error)
    first = next(name for name, one in zip(isomers, ranked, strict=True) if one.rank == 1)
    verdict = "a match" if alone.label else "no match"
    rows.append(
        {
            "wrong answers accepted": f"{max_error:.0%}",
            "which isomer?": ranked[0].abstained or f"given: {first}",
            "paracetamol?": alone.abstained or f"given: {verdict}",
        }
    )
pl.DataFrame(rows)

# %% [markdown]
# The rank of the acetamidophenols is held back until so many wrong answers are accepted that it
# hardly means anything, and then it is one of the wrong ones.
#
# What such rates cost: the fewer wrong answers are accepted, the fewer answers there are. The
# curves are of the validation spectra, the surest answers first. The model promises less than they
# show, as there are only so many validation compounds, and its promise is to hold for new ones in
# 95 of 100 cases.

# %%
curves = {
    question: risk_coverage(answers["confidences"], answers["wrong"])
    for question, answers in model.calibration.items()
}
plot_risk_coverage(curves, max_error=0.2)

# %% [markdown]
# ## When not to believe it
#
# - **Isomers with the same skeleton.** Places of substituents, and every kind of stereochemistry,
#   hardly show in fragments. Look at the distance of the scores, not at the order: a standard, the
#   retention time or NMR decides.
# - **Few peaks.** With the precursor and one fragment, many structures fit. The probability falls,
#   but a list of poor candidates still has a first place.
# - **The true structure is not in the list.** Rankings cannot say "none of these"; the probability
#   can hint at it.
# - **High peaks without explanation.** Look whether their formula fits the molecule at all; if not,
#   suspect a second compound, another adduct or a wrong structure.
# - **Rearrangements.** Fragments come from cutting bonds and moving hydrogens. What forms new bonds
#   is mostly unknown to the model.
# - **Unlike what it learned from.** About 5,000 drugs, pesticides and natural products, mostly
#   `[M+H]+` and `[M-H]-`. For peptides, lipids, organometallics or `[M+Na]+`, expect less.
#
# How often it is right, measured: [Evaluate](../docs/evaluate.md), and the model card in
# [checkpoints/v0.2](../checkpoints/v0.2/README.md).
