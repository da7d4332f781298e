import numpy as np

from sparsenode.peers.correlation import Correlation
from sparsenode.peers.derivatives import Samples


def test_correlations_of_states_are_numpys():
    states = np.random.default_rng(0).normal(size=(50, 3)) @ [[1.0, -0.8, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 1.0]]
    smoothed = np.random.default_rng(1).normal(size=(50, 3))
    scores, signs = Correlation(of="states").infer(Samples(states, smoothed, None, smoothed, np.zeros(50, int)))
    expected = np.corrcoef(states.T)
    np.testing.assert_allclose(scores * signs, expected, atol=1e-12)


def test_correlations_with_derivatives_are_directed():
    states, rates = np.random.default_rng(0).normal(size=(2, 60, 2))
    rates[:, 1] = -3 * states[:, 0]
    scores, signs = Correlation(of="derivatives").infer(Samples(states, states, None, rates, np.zeros(60, int)))
    whole = np.corrcoef(states.T, rates.T)[:2, 2:]
    np.testing.assert_allclose(scores, np.abs(whole), atol=1e-12)
    assert (scores[0, 1].round(12), signs[0, 1]) == (1.0, -1.0)
    assert scores[1, 0] < 0.5


def test_at_second_order_the_larger_of_position_and_velocity_counts():
    states, velocities, rates = np.random.default_rng(0).normal(size=(3, 60, 2))
    rates[:, 1] = -velocities[:, 0]
    scores, signs = Correlation(of="derivatives").infer(Samples(states, states, velocities, rates, np.zeros(60, int)))
    assert (scores[0, 1].round(12), signs[0, 1]) == (1.0, -1.0)
    both = np.abs([np.corrcoef(part.T, rates.T)[:2, 2:] for part in (states, velocities)])
    np.testing.assert_allclose(scores, both.max(0), atol=1e-12)
