import numpy as np
import pytest
from scipy.linalg import expm

from sparsenode.peers.derivatives import Samples, differences
from sparsenode.peers.quadratic_lasso import QuadraticLasso


def samples_of(states, rates, velocities=None):
    return Samples(states, states, velocities, rates, np.repeat(np.arange(4), len(states) // 4))


def test_a_product_counts_for_both_of_its_sources_and_a_square_for_its_own():
    states = np.random.default_rng(0).normal([0.0, 2.0, -3.0], [1.0, 1.0, 5.0], size=(400, 3))
    rates = np.column_stack([states[:, 1] * states[:, 2], states[:, 1] ** 2, -states[:, 0]])
    scores, signs = QuadraticLasso().infer(samples_of(states, rates))
    edges = np.array([[0, 0, 1], [1, 1, 0], [1, 0, 0]], bool)
    assert scores[edges].min() > 0.5
    assert scores[~edges].max() < 0.02
    # More of one source changes the rate by the mean of the other.
    np.testing.assert_array_equal(signs[edges], [-1, -1, 1, 1])


@pytest.mark.slow(reason="runs the package of a method's authors")
def test_rates_are_those_of_smoothed_states_or_differences(exact, system):
    other = Samples(exact.states @ system, exact.states, None, exact.rates, exact.stretch)
    np.testing.assert_array_equal(QuadraticLasso().infer(other)[0], QuadraticLasso().infer(exact)[0])
    changed = Samples(exact.observed, exact.states * 2, None, exact.rates * 3, exact.stretch)
    differences_only = QuadraticLasso(rates="differences")
    np.testing.assert_array_equal(differences_only.infer(changed)[0], differences_only.infer(exact)[0])


def test_differences_find_a_linear_system(system):
    starts = np.random.default_rng(0).normal(size=(6, 3))
    times = np.linspace(0.0, 3.0, 61)
    states = np.concatenate([[start @ expm(system * time) for time in times] for start in starts])
    nothing = np.zeros_like(states)
    samples = Samples(states, nothing, None, nothing, np.repeat(np.arange(6), 61), np.tile(times, 6))
    scores, signs = QuadraticLasso(rates="differences").infer(samples)
    edges = system != 0
    assert scores[edges].min() > 5 * scores[~edges].max()
    np.testing.assert_array_equal(signs[edges], np.sign(system[edges]))


@pytest.mark.parametrize("order", [1, 2])
def test_differences_end_with_each_stretch_and_take_their_own_intervals(order):
    times = np.array([0.0, 1.0, 3.0, 10.0, 10.5])
    values = np.array([0.0, 2.0, 3.0, 5.0, 7.0])[:, None]
    velocities = None if order == 1 else values
    observed = values if order == 1 else np.full((5, 1), np.nan)
    samples = Samples(observed, values + 1, velocities, values, np.array([4, 4, 4, 9, 9]), times)
    pairs = differences(samples)
    assert pairs.rates.ravel().tolist() == [2.0, 0.5, 4.0]
    assert pairs.stretch.tolist() == [4, 4, 9]
    assert pairs.times.tolist() == [0.0, 1.0, 10.0]
    assert pairs.inputs[0].ravel().tolist() == ([0.0, 2.0, 5.0] if order == 1 else [1.0, 3.0, 6.0])
    assert pairs.inputs[-1].ravel().tolist() == [0.0, 2.0, 5.0]


def test_at_second_order_positions_velocities_and_their_products_are_terms():
    states, velocities = np.random.default_rng(0).normal(size=(2, 400, 2))
    rates = np.column_stack([states[:, 1] * velocities[:, 1], -velocities[:, 0]])
    scores, signs = QuadraticLasso().infer(samples_of(states, rates, velocities))
    assert scores[[1, 0], [0, 1]].min() > 0.9
    assert scores[[0, 1], [0, 1]].max() < 0.05
    assert signs[0, 1] == -1


def test_stretches_of_five_observations_have_four_differences_to_choose_by(system):
    starts = np.random.default_rng(0).normal(size=(60, 3))
    times = np.linspace(0.0, 0.4, 5)
    states = np.concatenate([[start @ expm(system * time) for time in times] for start in starts])
    samples = Samples(states, states, None, states @ system, np.repeat(np.arange(60), 5), np.tile(times, 60))
    scores, _ = QuadraticLasso(rates="differences").infer(samples)
    edges = system != 0
    assert np.isfinite(scores).all()
    assert scores[edges].min() > 5 * scores[~edges].max()
