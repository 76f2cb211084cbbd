from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from team5.chemistry.molecule import parse_smiles
from team5.chemistry.tokenizer import MoleculeTokenizer, TokenizerConfig
from team5.data.datamodule import SpectrumDataModule
from team5.data.dataset import DECOY, TARGET
from team5.data.demo import demo_table
from team5.errors import ConfigError, DataError, DataFileNotFoundError


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def module_of(cache, **arguments) -> SpectrumDataModule:
    module = SpectrumDataModule(
        **{"kind": "demo", "cache_dir": str(cache), "num_workers": 0, "seed": 1, **arguments}
    )
    module.tokenizer = MoleculeTokenizer(TokenizerConfig(max_depth=1, max_fragments=40))
    return module


@pytest.fixture(scope="module")
def demo(cache) -> SpectrumDataModule:
    module = module_of(cache)
    module.prepare_data()
    module.setup("fit")
    return module


@pytest.fixture(scope="module")
def spectra_file(tmp_path_factory):
    """A file of one's own: some of the demo set's spectra, without folds."""
    path = tmp_path_factory.mktemp("own") / "spectra.parquet"
    table = pl.from_arrow(demo_table(seed=3)).with_columns(pl.lit(None, pl.String).alias("fold"))
    keep = sorted(set(table["inchikey14"]))[::2]
    columns = ["identifier", "mzs", "intensities", "smiles", "adduct", "precursor_mz",
               "instrument_type", "collision_energy"]  # fmt: skip
    table.filter(pl.col("inchikey14").is_in(keep)).select(columns).write_parquet(path)
    return path


def blocks(smiles) -> set[str]:
    return {parse_smiles(text).inchikey14 for text in smiles}


def test_no_structure_is_trained_and_validated_on(demo):
    train = {compound.inchikey14 for compound in demo.train}
    for queries in (demo.pairs, demo.rankings):
        assert not train & blocks(query.candidates[0] for query in queries)


def test_every_structure_is_held_out_by_one_part_and_test_by_all(cache, demo):
    parts = []
    for part in range(5):
        module = module_of(cache, cross_fold=part)
        module.prepare_data()
        module.setup("fit")
        assert module.facts["cross_fold"] == part
        held_out = {compound.inchikey14 for compound in module.held_out}
        assert not held_out & {compound.inchikey14 for compound in module.train}
        assert not held_out & blocks(query.candidates[0] for query in module.rankings)
        parts.append(held_out)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) < 20
    assert sum(sizes) == len(set().union(*parts))
    assert not set().union(*parts) & {compound.inchikey14 for compound in demo.held_out}
    with pytest.raises(ConfigError, match="there are 5 parts"):
        module_of(cache, cross_fold=5).setup("fit")


def test_a_pair_is_a_structure_and_a_decoy_of_its_mass(demo):
    assert demo.pairs
    for query in demo.pairs:
        own, decoy = (parse_smiles(smiles) for smiles in query.candidates)
        assert own.inchikey14 != decoy.inchikey14
        assert abs(own.exact_mass - decoy.exact_mass) <= 10e-6 * own.exact_mass


def test_candidates_of_a_ranking_are_of_one_mass_and_no_two_alike(demo):
    assert demo.rankings
    for query in demo.rankings:
        candidates = [parse_smiles(smiles) for smiles in query.candidates]
        assert 2 <= len(candidates) <= demo.n_candidates
        assert len({c.inchikey14 for c in candidates}) == len(candidates)
        assert np.ptp([c.exact_mass for c in candidates]) <= 21e-6 * candidates[0].exact_mass


def test_references_are_other_molecules_of_the_mass(demo):
    for own, references in demo.references.items():
        decoys = {query.candidates[1] for query in demo.pairs if query.candidates[0] == own}
        assert len(references) <= demo.n_references
        assert not blocks(references) & blocks({own, *decoys})
        for smiles in references:
            mass = parse_smiles(smiles).exact_mass
            assert mass == pytest.approx(parse_smiles(own).exact_mass, rel=10e-6)


def test_facts_say_what_was_learned_from(demo):
    facts = demo.facts
    n_train = sum(len(compound.measurements) for compound in demo.train)
    assert (facts["kind"], facts["source"], facts["computed"]) == ("demo", "demo", True)
    assert facts["train_compounds"] == len(demo.train)
    assert facts["train_spectra"] == n_train
    assert facts["val_pairs"] == 2 * len(demo.pairs)
    assert facts["licenses"] == {"CC0": n_train}
    assert facts["contributors"] == {"team5 (computed)": n_train}
    assert facts["left_out"] == {"several molecules or charges": 0, "too large": 0}
    for name in ("adducts", "instruments", "elements"):  # in one order, whatever the hash seed
        numbers = facts[name]
        assert list(numbers) == sorted(numbers, key=lambda key: (-numbers[key], key))


def batches(module: SpectrumDataModule, epoch: int) -> list[list[str]]:
    loader = module.train_dataloader()
    loader.batch_sampler.set_epoch(epoch)
    return [[tokens.molecule.smiles for tokens in batch.molecules.tokens] for batch in loader]


def test_the_same_seed_gives_the_same_batches(cache, demo):
    other = module_of(cache)
    other.setup("fit")
    one, two = (next(iter(module.train_dataloader())) for module in (demo, other))
    torch.testing.assert_close(one.context, two.context, rtol=0, atol=0)
    torch.testing.assert_close(one.weights, two.weights, rtol=0, atol=0)
    assert [query.candidates for query in other.pairs] == [query.candidates for query in demo.pairs]
    assert [q.candidates for q in other.rankings] == [q.candidates for q in demo.rankings]


def test_epochs_differ_and_each_holds_every_compound_once(demo):
    first, again, second = batches(demo, 0), batches(demo, 0), batches(demo, 1)
    assert first == again
    assert first != second
    everything = Counter(compound.smiles for compound in demo.train)
    assert Counter(smiles for batch in second for smiles in batch) == everything


def test_another_seed_gives_other_decoys(cache, demo):
    other = module_of(cache, seed=2)
    other.prepare_data()
    other.setup("fit")
    decoys = {q.measurement.identifier: q.candidates[1] for q in demo.pairs}
    changed = [q.candidates[1] != decoys.get(q.measurement.identifier) for q in other.pairs]
    assert any(changed)


def test_validation_batches_hold_a_structure_and_a_decoy_for_each_spectrum(demo):
    pairs, rankings = demo.val_dataloader()
    n = 0
    for batch in pairs:
        own, decoys = (batch.spectrum_index[batch.labels == label] for label in (TARGET, DECOY))
        assert own.tolist() == decoys.tolist() == list(range(len(own)))
        n += len(own)
    assert n == len(demo.pairs)
    assert len(rankings) == len(demo.rankings)
    for batch in rankings:
        assert batch.labels.tolist() == [1] + [0] * (len(batch) - 1)


def test_a_learning_curve_takes_fewer_compounds_to_train_and_the_same_to_validate(cache, demo):
    few = module_of(cache, train_compounds=10)
    few.setup("fit")
    assert len(few.train) == few.facts["train_compounds"] == 10
    assert {c.inchikey14 for c in few.train} < {c.inchikey14 for c in demo.train}
    assert [q.candidates for q in few.pairs] == [q.candidates for q in demo.pairs]


def test_a_file_of_ones_own_is_split_by_structure(cache, spectra_file):
    module = module_of(cache, kind="file", path=str(spectra_file))
    module.prepare_data()
    module.setup("fit")
    assert not module.is_computed
    assert module.facts["source"] == "spectra.parquet"
    train = {compound.inchikey14 for compound in module.train}
    assert not train & blocks(query.candidates[0] for query in module.pairs)
    again = module_of(cache, kind="file", path=str(spectra_file))
    again.setup("fit")
    assert [c.inchikey14 for c in again.train] == [c.inchikey14 for c in module.train]


@pytest.mark.parametrize("arguments", [{"n_references": 0}, {"train_decoys": 1}])
def test_what_is_no_structure_in_a_parquet_pool_is_named_before_training(
    cache, demo, tmp_path, arguments
):
    pool = demo.candidate_pool
    path = tmp_path / "pool.parquet"
    columns = {"inchikey14": pool.inchikey14s, "formula": pool.formulas,
               "exact_mass": pool.exact_masses, "smiles": ["C("] * len(pool)}  # fmt: skip
    pl.DataFrame(columns).write_parquet(path)
    with pytest.raises(DataError, match=r"pool\.parquet: SMILES 'C\('.* position"):
        module_of(cache, pool=str(path), **arguments).setup("fit")


def few_compounds(spectra_file: Path, path: Path, n: int) -> Path:
    """Write the spectra of n compounds of the file, no two of one formula."""
    table = pl.read_parquet(spectra_file)
    by_formula = {parse_smiles(text).formula: text for text in sorted(set(table["smiles"]))}
    chosen = sorted(by_formula.values())[:n]
    table.filter(pl.col("smiles").is_in(chosen)).write_parquet(path)
    return path


def test_compounds_without_others_of_their_mass_have_isomers_as_decoys(
    cache, spectra_file, tmp_path
):
    path = few_compounds(spectra_file, tmp_path / "few.parquet", 24)
    module = module_of(cache, kind="file", path=str(path), isomer_decoys=8, val_share=0.15)
    module.setup("fit")
    assert len(module.rankings) == module.facts["val_compounds"] == 4
    for query in (*module.pairs, *module.rankings):
        molecules = [parse_smiles(smiles) for smiles in query.candidates]
        assert len({molecule.formula for molecule in molecules}) == 1
        assert len({molecule.inchikey14 for molecule in molecules}) == len(molecules) > 1


def test_a_pool_without_structures_of_a_mass_is_filled_with_isomers(cache, spectra_file, tmp_path):
    path = few_compounds(spectra_file, tmp_path / "few.parquet", 24)
    pool = tmp_path / "pool.smi"
    pool.write_text("CCO\nCCN\nCCCCCCCCCCCCCCCCCCCC\n")
    module = module_of(
        cache, kind="file", path=str(path), pool=str(pool), isomer_decoys=8, val_share=0.15
    )
    module.setup("fit")
    assert len(module.rankings) == 4
    assert {"CCO", "CCN"} <= set(module.candidate_pool.smiles.to_pylist())
    masses = module.candidate_pool.exact_masses
    assert (masses[:-1] <= masses[1:]).all()


@pytest.mark.parametrize(
    ("stage", "purpose"),
    [
        ("fit", r"1\d compounds to train on and \d+ to validate on"),
        (None, r"1\d compounds to evaluate on"),
    ],
)
def test_what_is_too_small_to_learn_from_or_to_evaluate_on_is_said_in_a_line(
    cache, spectra_file, tmp_path, stage, purpose
):
    path = few_compounds(spectra_file, tmp_path / "fewer.parquet", 19)
    with pytest.raises(
        DataError, match=rf"fewer\.parquet: {purpose}.* At least 20 are needed"
    ) as e:
        module_of(cache, kind="file", path=str(path), isomer_decoys=8).setup(stage)
    assert stage == "fit" or "train" not in str(e.value)


def test_given_folds_are_kept(cache, spectra_file, tmp_path):
    keys = sorted(blocks(set(pl.read_parquet(spectra_file)["smiles"])))
    folds = tmp_path / "folds.csv"
    held_out = set(keys[::3])
    folds.write_text(
        "inchikey14,fold\n"
        + "".join(f"{key},{'val' if key in held_out else 'train'}\n" for key in keys[:-1])
    )
    module = module_of(cache, kind="file", path=str(spectra_file), folds=str(folds))
    module.setup("fit")
    # The last structure has no fold, and so is in none.
    assert {compound.inchikey14 for compound in module.train} == set(keys[:-1]) - held_out


def test_folds_of_other_structures_are_an_error(cache, spectra_file, tmp_path):
    folds = tmp_path / "folds.csv"
    folds.write_text(f"inchikey14,fold\n{'A' * 14},train\n{'B' * 14},val\n")
    module = module_of(cache, kind="file", path=str(spectra_file), folds=str(folds))
    with pytest.raises(DataError, match="none of the data set's structures has a fold"):
        module.setup("fit")


def test_nothing_to_validate_on_is_an_error(cache, spectra_file, tmp_path):
    keys = sorted(blocks(set(pl.read_parquet(spectra_file)["smiles"])))
    folds = tmp_path / "folds.csv"
    folds.write_text("inchikey14,fold\n" + "".join(f"{key},train\n" for key in keys))
    module = module_of(cache, kind="file", path=str(spectra_file), folds=str(folds))
    with pytest.raises(DataError, match="and 0 to validate on"):
        module.setup("fit")


def test_a_pool_that_cannot_be_read_is_an_error(cache):
    with pytest.raises(DataFileNotFoundError, match=r"nowhere\.parquet"):
        module_of(cache, pool="nowhere.parquet").setup("fit")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"kind": "file"}, r"data=file needs data\.path=FILE"),
        ({"kind": "demo", "path": "a.mgf"}, r"data\.path='a\.mgf' needs data=file, not data=demo"),
        ({"kind": "massbank", "path": "a.mgf"}, "needs data=file, not data=massbank"),
        ({"kind": "demo", "archive": "a.tar.gz"}, "needs data=massbank, not data=demo"),
        ({"kind": "gnps"}, "data.kind='gnps' is unknown. Pass demo, file or massbank"),
    ],
)
def test_settings_that_contradict_each_other_are_an_error(cache, arguments, said):
    with pytest.raises(ConfigError, match=said):
        module_of(cache, **arguments)


def test_a_file_that_is_not_there_is_an_error(cache):
    with pytest.raises(DataFileNotFoundError, match=r"nowhere\.mgf"):
        module_of(cache, kind="file", path="nowhere.mgf").setup("fit")


def test_ions_of_several_molecules_or_charges_are_counted_and_left_out(cache, tmp_path):
    table = pl.from_arrow(demo_table(seed=4))
    odd = table.head(2).with_columns(
        pl.Series("adduct", ["[2M+H]+", "[M+2H]2+"]),
        pl.lit(None, pl.Float64).alias("precursor_mz"),
        pl.Series("identifier", ["dimer", "double"]),
    )
    path = tmp_path / "odd.parquet"
    columns = ["identifier", "mzs", "intensities", "smiles", "adduct", "precursor_mz",
               "instrument_type", "collision_energy", "fold"]  # fmt: skip
    pl.concat([table, odd]).select(columns).write_parquet(path)
    module = module_of(cache, kind="file", path=str(path))
    module.setup("fit")
    assert module.facts["left_out"]["several molecules or charges"] == 2
    used = {m.identifier for c in module.train for m in c.measurements}
    assert not used & {"dimer", "double"}


def test_decoys_to_train_with_are_of_the_mass_and_of_no_held_out_fold(cache):
    module = module_of(cache, train_decoys=2)
    module.prepare_data()
    module.setup("fit")
    assert module.facts["train_decoys"] == 2
    assert any(module.decoys)
    held_out = blocks(query.candidates[0] for query in (*module.pairs, *module.rankings))
    for compound, decoys in zip(module.train, module.decoys, strict=True):
        assert not blocks(decoys) & {compound.inchikey14, *held_out}
        for smiles in decoys:
            mass = parse_smiles(smiles).exact_mass
            assert mass == pytest.approx(compound.exact_mass, rel=1.1e-5)
    (batch, *_) = module.train_dataloader()
    assert 0 < batch.labels.sum() <= len(batch)


def test_what_cannot_form_the_ion_is_no_decoy_in_validation(cache, tmp_path):
    """Spectra of [M-H2O+H]+ are of structures with oxygen; their decoys have some too."""
    table = pl.from_arrow(demo_table(seed=3))
    path = tmp_path / "spectra.parquet"
    table.filter((pl.col("adduct") == "[M+H]+") & pl.col("smiles").str.contains("O")).with_columns(
        adduct=pl.lit("[M-H2O+H]+"), precursor_mz=pl.lit(None, pl.Float64)
    ).write_parquet(path)
    pool = tmp_path / "pool.parquet"
    # The very same masses, without oxygen.
    structures = table.select("inchikey14", "formula", "exact_mass").unique()
    structures.with_columns(
        smiles=pl.lit("CCCCN"), inchikey14=pl.col("inchikey14").str.reverse()
    ).sort("exact_mass").write_parquet(pool)
    module = module_of(cache, kind="file", path=str(path), pool=str(pool))
    with pytest.raises(DataError, match="no validation spectrum has a decoy"):
        module.setup("fit")
