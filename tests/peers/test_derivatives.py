import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsenode.errors import UserError
from sparsenode.peers import derivatives
from sparsenode.peers.derivatives import (
    Samples,
    average_ties,
    deviation,
    larger,
    last_of_stretches,
    read_samples,
    smooth,
    standardize,
    training_stretches,
)

times_of = st.integers(0, 10**6).map(lambda seed: np.cumsum(np.random.default_rng(seed).uniform(0.2, 1.8, size=20)))


@pytest.mark.slow(reason="draws many examples")
@given(times_of, st.floats(-5, 5), st.floats(-5, 5))
def test_lines_and_constants_are_exact_at_any_times(times, slope, level):
    values = np.stack([slope * times + level, np.full_like(times, level)], axis=1)
    smoothed, slopes = smooth(times, values)
    np.testing.assert_allclose(smoothed, values, atol=1e-6 * (1 + abs(level) + abs(slope) * times[-1]))
    np.testing.assert_allclose(slopes, np.broadcast_to([slope, 0.0], slopes.shape), atol=1e-5)


@pytest.mark.parametrize("irregular", [False, True])
def test_a_cubic_is_exact_away_from_the_ends(irregular):
    times = np.linspace(-2.0, 2.0, 61)
    if irregular:
        times = np.sort(np.random.default_rng(0).uniform(-2.0, 2.0, 121))
    smoothed, slopes = smooth(times, (times**3 - times)[:, None])
    inner = np.abs(times) < 1.2
    np.testing.assert_allclose(smoothed[:, 0], times**3 - times, atol=0.02)
    np.testing.assert_allclose(slopes[inner, 0], (3 * times**2 - 1)[inner], atol=0.01)


def test_each_variable_is_as_smooth_as_it_is_noisy():
    times = np.linspace(0.0, 10.0, 101)
    courses = np.stack([np.sin(times), np.sin(times)], axis=1)
    noise = np.random.default_rng(0).normal(size=courses.shape) * [0.0, 0.1]
    smoothed, slopes = smooth(times, courses + noise)
    wrong = np.sqrt(np.mean((slopes - np.cos(times)[:, None]) ** 2, axis=0))
    assert wrong[0] < 0.01
    assert wrong[1] < 0.25
    assert np.std(np.gradient(courses[:, 1] + noise[:, 1], times) - np.cos(times)) > 2 * wrong[1]
    assert np.std(smoothed[:, 1] - courses[:, 1]) < 0.5 * np.std(noise[:, 1])


def test_what_weighs_little_hardly_bends_the_curve():
    times = np.linspace(0.0, 6.0, 60)
    values = np.sin(times)[:, None]
    spoiled = values.copy()
    spoiled[30] += 3.0
    weight = np.ones(60)
    weight[30] = 1e-6
    np.testing.assert_allclose(smooth(times, spoiled, weight)[0][25:29], values[25:29], atol=0.02)
    assert np.abs(smooth(times, spoiled)[0][25:29] - values[25:29]).max() > 0.05


@pytest.mark.slow(reason="smooths a long course")
def test_parts_of_a_long_stretch_join_without_a_seam(monkeypatch):
    times = np.linspace(0.0, 12.0, 120)
    values = np.sin(times)[:, None] + 0.02 * np.random.default_rng(0).normal(size=(120, 1))
    whole = smooth(times, values)
    monkeypatch.setattr(derivatives, "_LONGEST", 50)
    parts = smooth(times, values)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, atol=0.1)


def test_what_is_smoothed_again_is_the_same_whatever_became_of_it():
    times = np.linspace(0.0, 1.0, 12)
    values = np.stack([times**2, np.cos(times)], axis=1)
    first = smooth(times, values)
    expected = [array.copy() for array in first]
    for array in first:
        array[:] = 0.0
    np.testing.assert_array_equal(smooth(times, values), expected)
    assert not np.array_equal(smooth(times, values, np.linspace(1.0, 9.0, 12)), expected)
    assert not np.array_equal(smooth(2 * times, values), expected)


def test_derivatives_of_a_linear_system(linear, system):
    samples = read_samples(linear, 1)
    assert samples.velocities is None
    assert len(samples.inputs) == 1
    np.testing.assert_array_equal(samples.observed, linear.X)
    np.testing.assert_array_equal(np.bincount(samples.stretch), [41] * 5)
    error = samples.rates - samples.states @ system
    assert np.sqrt(np.mean(error**2)) < 0.02 * samples.rates.std()


def test_second_derivatives_stand_beside_positions_and_velocities(make_trajectories):
    times = np.linspace(0.0, 6.0, 61)
    adata = make_trajectories([(times, np.sin(times)[:, None]), (times, np.cos(times)[:, None])])
    samples = read_samples(adata, 2)
    inner = times[3:-3]  # the ends are left out
    positions = np.concatenate([np.sin(inner), np.cos(inner)])
    np.testing.assert_allclose(samples.inputs[0][:, 0], positions, atol=1e-3)
    np.testing.assert_allclose(samples.inputs[1][:, 0], np.concatenate([np.cos(inner), -np.sin(inner)]), atol=0.02)
    assert np.sqrt(np.mean((samples.rates[:, 0] + positions) ** 2)) < 0.05
    np.testing.assert_array_equal(np.bincount(samples.stretch), [55, 55])


def test_stretches_bridge_single_observations_and_end_at_blocks(make_trajectories):
    times = np.arange(20.0)
    splits = np.array(["train"] * 20 + ["test"] * 3 + ["train"] * 17, object)
    splits[[4, 6, 7, 8]] = "validation"  # one, and three in a row
    splits[12:16] = "validation"  # four
    adata = make_trajectories([(times, np.zeros((20, 1)))] * 2, splits=splits)
    found = [part.tolist() for part in training_stretches(adata)]
    assert found == [[0, 1, 2, 3, 5, 9, 10, 11], [16, 17, 18, 19], list(range(23, 40))]


def test_later_phases_and_observations_without_weight_are_not_looked_at(make_trajectories):
    weights = np.ones(12)
    weights[3] = 0
    adata = make_trajectories([(np.arange(12.0), np.zeros((12, 1)))], weights=weights)
    phase = adata.obs["phase"].cat.add_categories("extrapolation")
    phase.iloc[9:] = "extrapolation"
    adata.obs["phase"] = phase
    assert [part.tolist() for part in training_stretches(adata)] == [[0, 1, 2, 4, 5, 6, 7, 8]]


def test_observations_of_one_time_are_averaged_by_their_weights():
    times, values, weight = average_ties(
        np.array([0.0, 1.0, 1.0, 2.0]), np.array([[1.0], [2.0], [5.0], [7.0]]), np.array([1.0, 2.0, 1.0, 4.0])
    )
    assert times.tolist() == [0.0, 1.0, 2.0]
    assert values.tolist() == [[1.0], [3.0], [7.0]]
    assert weight.tolist() == [1.0, 3.0, 4.0]


def test_times_that_differ_by_rounding_count_as_one():
    close = np.array([0.0, 1.0, 1.0 + 1e-12, 2.0, 3.0])
    times, values, weight = average_ties(close, np.array([[1.0], [2.0], [4.0], [7.0], [8.0]]), np.ones(5))
    assert times.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert values.ravel().tolist() == [1.0, 3.0, 7.0, 8.0]
    assert weight.tolist() == [1.0, 2.0, 1.0, 1.0]
    apart, *_ = average_ties(np.array([0.0, 1.0, 1.001, 2.0]), np.zeros((4, 1)), np.ones(4))
    assert apart.tolist() == [0.0, 1.0, 1.001, 2.0]


def test_too_few_observations_are_refused(make_trajectories):
    adata = make_trajectories([(np.array([0.0, 1.0, 1.0, 2.0, 3.0]), np.zeros((5, 2)))] * 2)
    with pytest.raises(UserError, match=r"take 5 training observations.*the longest stretch has 4: run no peers"):
        read_samples(adata, 1)
    adata.obs["split"] = adata.obs["split"].cat.rename_categories({"train": "test"})
    with pytest.raises(UserError, match="the longest stretch has 0"):
        read_samples(adata, 1)


def test_standardized_values_and_constants():
    values = np.random.default_rng(0).normal(size=(30, 3)) * [1.0, 1e-9, 1.0] + [5.0, 0.0, 0.0]
    values[:, 2] = 0.1
    found = standardize(values)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(found.std(0), [1, 1, 0], atol=1e-12)
    assert np.isinf(deviation(values)).tolist() == [False, False, True]
    assert np.isinf(deviation(np.zeros((4, 1)))).all()


def test_the_larger_of_two_kinds_with_its_sign():
    sizes = np.array([[[1.0, 2.0]], [[3.0, 0.5]]])
    signs = np.array([[[1.0, -1.0]], [[0.0, 1.0]]])
    size, sign = larger(sizes, signs)
    assert size.tolist() == [[3.0, 2.0]]
    assert sign.tolist() == [[0.0, -1.0]]


def test_the_last_samples_of_each_stretch():
    stretch = np.array([0, 0, 0, 1, 1, 2])
    values = np.arange(6.0)[:, None]
    samples = Samples(values, values, values, values, stretch)
    for count, kept in ((1, [2, 4, 5]), (2, [1, 2, 3, 4, 5]), (None, list(range(6)))):
        found = last_of_stretches(samples, count)
        for column in (found.observed, found.states, found.velocities, found.rates):
            np.testing.assert_array_equal(column[:, 0], kept)
        np.testing.assert_array_equal(found.stretch, stretch[kept])
