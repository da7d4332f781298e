import numpy as np
import pytest
from sklearn.linear_model import LassoCV

from sparsenode.peers.derivatives import Samples
from sparsenode.peers.lasso import Lasso

OPTIONS = {"of": "derivatives", "folds": 3, "strengths": 20, "last": None}


def linear_samples(matrix: np.ndarray, *, stretches: int = 4, noise: float = 0.0) -> Samples:
    """Independent states of variance 1 and their rates x' = x matrix."""
    generator = np.random.default_rng(0)
    states = generator.normal(size=(240, len(matrix)))
    rates = states @ matrix + noise * generator.normal(size=states.shape)
    return Samples(states, states, None, rates, np.repeat(np.arange(stretches), 240 // stretches))


def test_a_linear_system_is_recovered_with_its_signs():
    matrix = np.array([[-1.0, 0.0, 2.0], [0.7, -1.0, 0.0], [0.0, -0.5, -1.0]])
    scores, signs = Lasso(**OPTIONS).infer(linear_samples(matrix))
    np.testing.assert_array_equal(np.sign(scores) > 0.5, scores > 0)
    assert scores[matrix != 0].min() > 5 * scores[matrix == 0].max()
    np.testing.assert_array_equal(signs[matrix != 0], np.sign(matrix[matrix != 0]))


@pytest.mark.parametrize("stretches", [1, 2, 4])
def test_each_target_takes_the_penalty_of_cross_validation(stretches: int):
    matrix = np.zeros((3, 3))
    matrix[0, 1], matrix[2, 1] = 0.3, -0.1
    samples = linear_samples(matrix, stretches=stretches, noise=0.5)
    scores, _ = Lasso(**OPTIONS).infer(samples)
    parts = np.arange(240) * 3 // 240 if stretches == 1 else samples.stretch % 3
    splits = [(np.flatnonzero(parts != part), np.flatnonzero(parts == part)) for part in np.unique(parts)]
    states, rates = ((values - values.mean(0)) / values.std(0) for values in (samples.states, samples.rates))
    expected = LassoCV(alphas=20, cv=splits, max_iter=5000).fit(states, rates[:, 1]).coef_
    np.testing.assert_allclose(scores[:, 1], np.abs(expected), atol=1e-6)


def test_differences_are_of_one_stretch_and_over_the_time_between():
    matrix = np.array([[-1.0, 0.0, 2.0], [0.7, -1.0, 0.0], [0.0, -0.5, -1.0]])
    generator = np.random.default_rng(1)
    observed, times, stretch = [], [], np.repeat(np.arange(30), 6)
    for _ in range(30):
        state, time = generator.normal(size=3), 0.0
        for _ in range(6):
            observed.append(state)
            times.append(time)
            step = generator.uniform(0.1, 0.3)
            state, time = state + step * state @ matrix, time + step
    # Smoothed states and rates that tell nothing.
    nothing = generator.normal(size=(180, 3))
    samples = Samples(np.array(observed), nothing, None, nothing[::-1], stretch, np.array(times))
    scores, signs = Lasso(rates="differences", folds=3, strengths=20).infer(samples)
    assert scores[matrix != 0].min() > 20 * scores[matrix == 0].max()
    np.testing.assert_array_equal(signs[matrix != 0], np.sign(matrix[matrix != 0]))
    assert Lasso(rates="smoothed").infer(samples)[0].max() < 0.5


def test_a_target_that_never_moves_has_no_scores():
    samples = linear_samples(np.array([[0.0, 1.0], [0.0, 0.0]]))
    scores, signs = Lasso(**OPTIONS).infer(samples)
    assert not scores[:, 0].any()
    assert not signs[:, 0].any()
    assert scores[0, 1] > 0.9


def test_at_second_order_the_larger_of_position_and_velocity_counts():
    samples = linear_samples(np.zeros((3, 3)))
    velocities = np.random.default_rng(3).normal(size=samples.states.shape)
    rates = np.zeros_like(samples.rates)
    rates[:, 0] = -velocities[:, 1] + 0.4 * samples.states[:, 2]
    scores, signs = Lasso(**OPTIONS).infer(Samples(samples.states, samples.states, velocities, rates, samples.stretch))
    assert scores.shape == (3, 3)
    assert scores[1, 0] > scores[2, 0] > 5 * scores[0, 0]
    assert (signs[1, 0], signs[2, 0]) == (-1, 1)


def test_states_are_explained_by_the_others_near_rest_alone():
    generator = np.random.default_rng(1)
    observed = generator.normal(size=(240, 3))
    near_rest = np.arange(240) % 4 == 3
    observed[near_rest, 1] = observed[near_rest, 0]
    nothing = np.zeros_like(observed)
    samples = Samples(observed, nothing, None, nothing, np.repeat(np.arange(60), 4))
    scores, signs = Lasso(**{**OPTIONS, "of": "states", "last": 1}).infer(samples)
    assert not np.diag(scores).any()
    assert scores[0, 1] > 0.9
    assert signs[0, 1] == 1
    assert scores[2].max() < 0.2
    assert Lasso(**{**OPTIONS, "of": "states", "last": None}).infer(samples)[0][0, 1] < 0.6
