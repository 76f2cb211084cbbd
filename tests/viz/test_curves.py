import numpy as np
import pytest
from matplotlib.figure import Figure

from team5.errors import ConfigError, DataError, DataFileNotFoundError
from team5.viz.curves import plot_runs, plot_training_curves, read_metrics

METRICS = """epoch,step,train/loss,val/accuracy,val/loss
0,9,2.0,,
0,9,,0.6,1.5
1,19,1.5,,
1,19,,0.7,1.2
2,29,1.0,,
2,29,,0.72,1.4
"""


@pytest.fixture
def metrics(tmp_path):
    file = tmp_path / "metrics.csv"
    file.write_text(METRICS)
    return file


def test_each_figure_is_read_with_its_own_steps(metrics):
    series = read_metrics(metrics)

    steps, values = series["val/loss"]
    assert steps.tolist() == [9, 19, 29]
    assert values.tolist() == [1.5, 1.2, 1.4]
    assert series["train/loss"][1].tolist() == [2.0, 1.5, 1.0]


def test_losses_and_metrics_are_drawn_side_by_side(metrics):
    figure = plot_training_curves(metrics)

    left, right = figure.axes
    assert left.get_ylabel() == "loss"
    assert [text.get_text() for text in right.texts] == ["val/accuracy  0.72"]
    assert {text.get_text() for text in left.texts} == {
        "lowest val/loss",
        "train/loss  1",
        "val/loss  1.4",
    }
    assert any(np.all(np.asarray(line.get_xdata()) == 19) for line in left.lines)


def test_given_axes_take_the_losses_only(metrics):
    figure = Figure()
    ax = figure.add_subplot()

    assert plot_training_curves(metrics, ax) is figure
    assert figure.axes == [ax]


def test_run_without_validation_has_one_panel(tmp_path):
    file = tmp_path / "metrics.csv"
    file.write_text("step,train/loss\n" + "".join(f"{i},{1 / (i + 1)}\n" for i in range(300)))

    assert len(plot_training_curves(file).axes) == 1


def test_values_that_are_not_finite_are_left_out(tmp_path):
    file = tmp_path / "metrics.csv"
    file.write_text("step,train/loss\n0,nan\n1,0.5\n2,inf\n")

    steps, values = read_metrics(file)["train/loss"]
    assert (steps.tolist(), values.tolist()) == ([1.0], [0.5])


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataFileNotFoundError, match=r"metrics\.csv: no such file"):
        plot_training_curves(tmp_path / "metrics.csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column 'step'"),
        ("a,b\n1,2\n", "no column 'step'"),
        ("step,train/loss\n1,low\n", "line 2: holds what is no number"),
        ("step,train/loss\n1,2,3\n", "line 2: holds what is no number"),
        ("step,lr\n1,0.1\n", "no loss was logged"),
    ],
)
def test_file_that_is_no_metrics_table_is_named(tmp_path, text, said):
    file = tmp_path / "metrics.csv"
    file.write_text(text)

    with pytest.raises(DataError, match=said):
        plot_training_curves(file)


def test_runs_are_named_with_their_best_epoch(metrics, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("epoch,step,val/loss\n0,4,1.0\n1,9,0.5\n")

    (ax,) = plot_runs({"v0.1": metrics, "v0.2": other}).axes

    assert {text.get_text() for text in ax.texts} == {
        "v0.1  best 1.20 in epoch 1",
        "v0.2  best 0.500 in epoch 1",
    }
    marked = [line.get_xydata()[0].tolist() for line in ax.lines if line.get_marker() == "o"]
    assert marked == [[1, 1.2], [1, 0.5]]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "val/loss")


def test_best_epoch_of_what_is_no_loss_is_the_highest(metrics):
    (ax,) = plot_runs({"mine": metrics}, "val/accuracy").axes

    assert [text.get_text() for text in ax.texts] == ["mine  best 0.720 in epoch 2"]


def test_runs_go_into_given_axes(metrics):
    figure = Figure()
    ax = figure.add_subplot()

    assert plot_runs({"mine": metrics}, ax=ax) is figure
    assert ax.lines


def test_run_without_the_metric_says_which_it_has(metrics):
    with pytest.raises(DataError, match=r"no 'val/f1'.*are: train/loss, val/accuracy"):
        plot_runs({"mine": metrics}, "val/f1")
    with pytest.raises(ConfigError, match="no runs"):
        plot_runs({})
