import numpy as np
import pytest
from matplotlib.figure import Figure

from team5.errors import ConfigError
from team5.evaluation.matching import ReliabilityBin
from team5.evaluation.selective import risk_coverage
from team5.viz.evaluation import plot_reliability, plot_risk_coverage


@pytest.fixture
def curve():
    confidences = np.linspace(1, 0, 100)
    return risk_coverage(confidences, confidences < 0.5)


def test_risk_rises_from_left_to_right_in_percent(curve):
    (ax,) = plot_risk_coverage({"rank": curve}).axes

    (line,) = ax.lines
    assert line.get_xdata()[0] == 20
    assert line.get_xdata()[-1] == 100
    assert line.get_ydata()[-1] == pytest.approx(50)
    assert [text.get_text() for text in ax.texts] == ["rank, 50 %"]


def test_share_answered_at_an_error_rate_is_said(curve):
    (ax,) = plot_risk_coverage({"rank": curve}, max_error=0.1).axes

    assert [text.get_text() for text in ax.texts] == ["rank, 50 %\n55 % answered at 10 %"]
    assert any(set(np.asarray(line.get_ydata())) == {10} for line in ax.lines)


def test_curves_of_several_versions_go_into_given_axes(curve):
    figure = Figure()
    ax = figure.add_subplot()

    assert plot_risk_coverage({"v0.1": curve, "v0.2": curve}, ax=ax) is figure
    assert len(ax.lines) == 2
    with pytest.raises(ConfigError, match="no curves"):
        plot_risk_coverage({})


def test_reliability_shows_said_and_true_shares_and_the_pairs():
    bins = [
        ReliabilityBin(0.0, 0.5, 0.2, 0.25, 0.1, 0.4, 30),
        ReliabilityBin(0.5, 1.0, 0.8, 0.7, 0.6, 0.9, 50),
    ]

    shares, counts = plot_reliability(bins).axes

    points = shares.lines[-1]
    assert np.asarray(points.get_xydata()).tolist() == [[0.2, 0.25], [0.8, 0.7]]
    assert [bar.get_height() for bar in counts.patches] == [30, 50]
