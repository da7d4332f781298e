import numpy as np
import pytest

from sparsenode.peers.derivatives import Samples
from sparsenode.peers.sindy import Sindy, fit_libraries, polynomial_degrees, threshold_terms

OPTIONS = {"thresholds": [0.01, 0.1], "ridge": 1e-6}


def fit_terms(terms, rates, stretch, thresholds, ridge):
    """Coefficients in a single library of all terms."""
    library = np.ones(terms.shape[1], bool)
    return fit_libraries(terms, rates, stretch, libraries=[library], thresholds=thresholds, ridge=ridge)


@pytest.mark.parametrize("library", ["linear", "quadratic", "cubic", "auto"])
def test_a_linear_system_is_recovered_from_exact_derivatives(exact, system, library):
    scores, signs = Sindy(library=library, **OPTIONS).infer(exact)
    expected = np.abs(system) * exact.states.std(0)[:, None] / exact.rates.std(0)
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    np.testing.assert_array_equal(signs, np.sign(system))


def test_a_product_counts_for_both_of_its_sources():
    states = np.random.default_rng(0).normal([0.0, 2.0, -3.0], 1.0, size=(200, 3))
    rates = np.zeros_like(states)
    rates[:, 0] = states[:, 1] * states[:, 2]
    samples = Samples(states, states, None, rates, np.repeat([0, 1], 100))
    scores, signs = Sindy(library="quadratic", **OPTIONS).infer(samples)
    np.testing.assert_allclose(scores[:, 0], [0, 1, 1], atol=1e-6)
    # More of one source changes the rate by the mean of the other.
    np.testing.assert_array_equal(signs[:, 0], [0, -1, 1])


def test_at_second_order_the_larger_of_position_and_velocity_counts():
    states, velocities = np.random.default_rng(0).normal(size=(2, 200, 2))
    rates = np.zeros_like(states)
    rates[:, 1] = 0.2 * states[:, 0] - 1.5 * velocities[:, 0]
    samples = Samples(states, states, velocities, rates, np.repeat([0, 1], 100))
    scores, signs = Sindy(library="quadratic", **OPTIONS).infer(samples)
    expected = 1.5 * velocities[:, 0].std() / rates[:, 1].std()
    np.testing.assert_allclose(scores, [[0, expected], [0, 0]], atol=1e-6)
    np.testing.assert_array_equal(signs, [[0, -1], [0, 0]])


@pytest.mark.slow(reason="runs the package of a method's authors")
def test_each_target_takes_the_threshold_with_the_least_error_on_blocks_left_out():
    generator = np.random.default_rng(0)
    terms = generator.normal(size=(100, 4))
    weak = terms @ [1.0, 0.15, 0.0, 0.0]
    noisy = terms[:, 0] + generator.normal(size=100)
    rates, stretch, thresholds = np.column_stack([weak, noisy]), np.repeat([0, 1], 50), [0.05, 0.3]
    found = fit_terms(terms, rates, stretch, thresholds, 0.0)
    block = np.tile(np.arange(50) // 10, 2)
    for target in range(2):
        errors = []
        for threshold in thresholds:
            fits = [threshold_terms(terms[block != out], rates[block != out], threshold, 0.0) for out in range(5)]
            left = [rates[block == out] - terms[block == out] @ fit for out, fit in enumerate(fits)]
            errors.append(sum(float(np.square(part[:, target]).sum()) for part in left))
        best = thresholds[int(np.argmin(errors))]
        assert best == [0.05, 0.3][target]
        np.testing.assert_allclose(found[:, target], threshold_terms(terms, rates, best, 0.0)[:, target])
    np.testing.assert_allclose(found[:2, 0], [1.0, 0.15])


def test_among_equally_good_thresholds_the_largest_is_taken():
    terms = np.random.default_rng(0).normal(size=(50, 2))
    rates = np.zeros((50, 1))  # whatever the threshold, no term is needed
    assert not fit_terms(terms, rates, np.zeros(50, int), [0.1, 0.2], 0.0).any()
    half = terms @ [[1.0], [0.0]] + 1e-3 * np.random.default_rng(1).normal(size=(50, 1))
    chosen = fit_terms(terms, half, np.zeros(50, int), [0.1, 0.2], 0.0)
    np.testing.assert_array_equal(chosen, threshold_terms(terms, half, 0.2, 0.0))


def test_a_threshold_that_leaves_no_term_is_no_warning(recwarn):
    terms = np.random.default_rng(0).normal(size=(30, 3))
    assert not threshold_terms(terms, terms[:, :1], 50.0, 0.0).any()
    assert not recwarn.list


@pytest.mark.slow(reason="runs the package of a method's authors")
@pytest.mark.parametrize("degree", [1, 2, 3])
def test_each_target_takes_the_smallest_library_that_predicts_as_well(degree):
    states = np.random.default_rng(0).normal(size=(200, 3))
    noise = 0.05 * np.random.default_rng(1).normal(size=200)
    rates = np.column_stack([states[:, :degree].prod(axis=1) + noise, states[:, 2], states[:, 2]])
    samples = Samples(states, states, None, rates, np.repeat([0, 1], 100))
    scores, _ = Sindy(**OPTIONS | {"thresholds": [0.1]}).infer(samples)
    involved = np.arange(3) < degree
    np.testing.assert_allclose(scores[involved, 0], 1.0, atol=0.05)
    assert not scores[~involved, 0].any()
    np.testing.assert_allclose(scores[:, 1], [0, 0, 1], atol=1e-6)  # another target takes its own library


def test_terms_of_a_smaller_library_keep_their_places():
    terms = np.random.default_rng(0).normal(size=(60, 2))
    rates = terms @ [[1.0, 1.0], [0.0, 1.0]]
    libraries = [np.array([True, False]), np.array([True, True])]
    chosen = fit_libraries(terms, rates, np.zeros(60, int), libraries=libraries, thresholds=[0.0], ridge=0.0)
    np.testing.assert_allclose(chosen, [[1.0, 1.0], [0.0, 1.0]], atol=1e-9)


def test_products_are_terms_where_there_are_twice_as_many_observations():
    # 3 inputs: a constant, 3 states, 6 products of two and 10 of three; 8 inputs have 165 terms, of two 45.
    assert polynomial_degrees("auto", 19, 3) == (1,)
    assert polynomial_degrees("auto", 20, 3) == polynomial_degrees("auto", 39, 3) == (1, 2)
    assert polynomial_degrees("auto", 40, 3) == (1, 2, 3)
    assert polynomial_degrees("auto", 10_000, 8) == (1, 2)
    assert polynomial_degrees("cubic", 2, 3) == (3,)
    assert polynomial_degrees("quadratic", 2, 3) == (2,)
    assert polynomial_degrees("linear", 2000, 3) == (1,)
