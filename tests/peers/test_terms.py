import itertools

import numpy as np

from sparsenode.peers.terms import blocked_folds, mean_slopes, score_terms


def test_folds_are_blocks_of_each_stretch():
    folds = blocked_folds(np.repeat([3, 7], [10, 4]), 5)
    assert folds.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 0, 1, 2, 3]


def test_mean_slopes_are_those_of_finite_differences():
    inputs = np.random.default_rng(0).normal([1.0, -2.0, 0.5], 1.0, size=(60, 3))
    powers = np.array([power for power in itertools.product(range(4), repeat=3) if sum(power) <= 3])
    step = 1e-5

    def terms(at):
        return np.prod(at[:, None, :] ** powers, axis=2).mean(0)

    differences = [(terms(inputs + step * unit) - terms(inputs - step * unit)) / (2 * step) for unit in np.eye(3)]
    np.testing.assert_allclose(mean_slopes(powers, inputs), differences, atol=1e-8)


def test_a_source_scores_all_terms_it_is_in_once_each():
    powers = np.array([[0, 0], [1, 0], [2, 0], [1, 1], [0, 1]])
    coefficients = np.array([[9.0], [1.0], [-2.0], [4.0], [0.0]])
    slopes = np.array([[0.0, 1.0, 3.0, -1.0, 0.0], [0.0, 0.0, 0.0, 0.5, 1.0]])
    scores, signs = score_terms(powers, coefficients, slopes, kinds=1)
    np.testing.assert_array_equal(scores, [[7.0], [4.0]])
    np.testing.assert_array_equal(signs, [[-1.0], [1.0]])  # 1 - 6 - 4 and 2
    # The same inputs as position and velocity of one variable: the larger sum counts.
    scores, signs = score_terms(powers, coefficients, slopes, kinds=2)
    np.testing.assert_array_equal(scores, [[7.0]])
    np.testing.assert_array_equal(signs, [[-1.0]])
