import numpy as np
import pytest

from team5.errors import ConfigError, DataError
from team5.evaluation.logistic import fit_logistic_regression, sigmoid


def test_without_features_the_intercept_is_the_log_odds_of_the_labels():
    model = fit_logistic_regression(np.zeros((4, 1)), [1, 1, 1, 0], ridge=1.0)

    assert model.intercept == pytest.approx(np.log(3))
    assert model.weights == pytest.approx([0.0])


def test_one_balanced_feature_by_hand():
    # Symmetric: no intercept, and the weight w solves 4 (1 - sigmoid(w)) = ridge w.
    model = fit_logistic_regression([[1.0], [1.0], [-1.0], [-1.0]], [1, 1, 0, 0], ridge=2.0)

    assert model.intercept == pytest.approx(0.0, abs=1e-9)
    assert 4 * (1 - sigmoid(model.weights[0])) == pytest.approx(2 * model.weights[0])
    assert model.log_odds([[2.0]]) == pytest.approx([2 * model.weights[0]])


def test_gradient_vanishes_at_the_fit_even_from_far_away():
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 5)) * [1, 10, 100, 0.1, 1]
    y = (x @ [1, 0.5, 0.1, 3, 0] + random.normal(size=200) > 0).astype(int)
    model = fit_logistic_regression(x, y, ridge=1e-3)

    residuals = sigmoid(model.log_odds(x)) - y
    assert x.T @ residuals + 1e-3 * model.weights == pytest.approx(np.zeros(5), abs=1e-4)
    assert residuals.sum() == pytest.approx(0.0, abs=1e-5)


def test_sigmoid_of_large_log_odds_does_not_overflow():
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("features", "labels", "said"),
    [
        ([[1.0]], [1, 0], "do not fit"),
        ([[1.0], [2.0]], [1, 1], "rows of both labels"),
        ([[1.0], [np.nan]], [1, 0], "finite"),
        ([[1.0], [2.0]], [1, 2], "labels 0 or 1"),
    ],
)
def test_unusable_rows_are_named(features, labels, said):
    with pytest.raises(DataError, match=said):
        fit_logistic_regression(features, labels, ridge=1.0)


def test_ridge_of_zero_is_refused():
    with pytest.raises(ConfigError, match="ridge=0"):
        fit_logistic_regression([[1.0], [2.0]], [1, 0], ridge=0)
