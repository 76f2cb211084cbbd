import subprocess

from team5.training.lineage import code_state, package_versions


def git(folder, *words):
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True)


def test_commit_and_changes_of_the_code_are_told(tmp_path):
    git(tmp_path, "init")
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "First")
    clean = code_state(tmp_path)
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "my_spectra.mgf").write_text("not code")
    (tmp_path / "checkpoints").mkdir()
    assert code_state(tmp_path) == clean
    (tmp_path / "code.py").write_text("2")
    assert code_state(tmp_path) == {**clean, "dirty": True}


def test_a_folder_below_another_checkout_has_no_commit(tmp_path):
    git(tmp_path, "init")
    (tmp_path / "library").mkdir()
    assert code_state(tmp_path / "library") == {"commit": None, "dirty": None}


def test_packages_that_change_figures_are_recorded():
    assert {"torch", "rdkit", "numba", "lightning"} <= set(package_versions())
