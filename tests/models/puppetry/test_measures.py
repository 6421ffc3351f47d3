import numpy as np
import pytest

from neurend.checks import InputError
from neurend.models.puppetry import measures

TRUTH = np.random.default_rng(0).normal(size=(50, 4))
MEAN = np.array([0.1, 0.2, 0.3, 0.4])


def test_explained_variance_of_truth_mean_and_half():
    guess = np.broadcast_to(MEAN, TRUTH.shape)
    assert measures.explained_variance(TRUTH, TRUTH, MEAN) == 1
    assert measures.explained_variance(guess, TRUTH, MEAN) == 0
    assert measures.explained_variance((TRUTH + guess) / 2, TRUTH, MEAN) == pytest.approx(0.75)
    first = np.diag([1.0, 0, 0, 0])
    spoilt = TRUTH + [0, 9, 9, 9]
    assert measures.explained_variance(spoilt, TRUTH, MEAN, root=first) == 1
    assert np.isnan(measures.explained_variance(guess, guess, MEAN))


def test_correlations_are_numpys_and_none_where_nothing_moves():
    predicted = TRUTH + np.random.default_rng(1).normal(size=TRUTH.shape)
    predicted[:, 2] = 1
    found = measures.correlations(predicted, TRUTH)
    for k in (0, 1, 3):
        assert found[k] == pytest.approx(np.corrcoef(predicted[:, k], TRUTH[:, k])[0, 1])
    assert found[2] == 0


def test_jitter_is_that_of_the_truth_times_a_factor_and_none_on_a_line():
    assert measures.jitter_ratio(3 * TRUTH + 1, TRUTH) == pytest.approx(3)
    line = np.arange(50.0)[:, None] * MEAN[None]
    assert measures.jitter_ratio(line, TRUTH) == pytest.approx(0, abs=1e-12)
    with pytest.raises(InputError, match=r'predicted: got shape \(49, 4\), expected \(t=50, e=4\)'):
        measures.jitter_ratio(TRUTH[1:], TRUTH)
