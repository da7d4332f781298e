"""What peers are given where entries are missing: each variable smoothed over its own observed times."""

from __future__ import annotations

import anndata
import numpy as np
import pytest

from sparsenode.errors import UserError
from sparsenode.peers.derivatives import average_ties, read_samples, smooth


def test_a_variable_is_smoothed_over_its_own_observed_times() -> None:
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0.0, 6.0, 40))
    values = np.stack((np.sin(times), np.cos(times), 2 - times), axis=1) + 0.05 * rng.normal(size=(40, 3))
    holes = values.copy()
    holes[rng.random(holes.shape) < 0.4] = np.nan
    smoothed, slopes = smooth(times, holes)
    for variable in range(3):
        seen = ~np.isnan(holes[:, variable])
        alone, slope = smooth(times[seen], holes[seen][:, [variable]])
        np.testing.assert_array_equal(smoothed[seen, variable], alone[:, 0])
        np.testing.assert_array_equal(slopes[seen, variable], slope[:, 0])
    np.testing.assert_allclose(smoothed, np.stack((np.sin(times), np.cos(times), 2 - times), axis=1), atol=0.15)


def test_lines_are_exact_at_all_times_of_a_stretch() -> None:
    """Between observed times and beyond them."""
    times = np.linspace(0.0, 3.0, 16)
    values = np.stack((3 - times, 2 * times), axis=1)
    holes = values.copy()
    holes[[0, 1, 5, 6, 15], 0] = np.nan
    smoothed, slopes = smooth(times, holes)
    np.testing.assert_allclose(smoothed, values, atol=1e-6)
    np.testing.assert_allclose(slopes, np.tile([-1.0, 2.0], (16, 1)), atol=1e-6)


def test_ties_are_averaged_over_what_is_observed() -> None:
    times = np.array([0.0, 0.0, 1.0, 1.0, 2.0])
    values = np.array([[1.0, np.nan], [3.0, 5.0], [np.nan, 1.0], [np.nan, 3.0], [2.0, 2.0]])
    distinct, means, weights = average_ties(times, values, np.array([1.0, 3.0, 1.0, 1.0, 2.0]))
    np.testing.assert_array_equal(distinct, [0.0, 1.0, 2.0])
    np.testing.assert_allclose(means, [[2.5, 5.0], [np.nan, 2.0], [2.0, 2.0]])
    np.testing.assert_allclose(weights, [[4.0, 3.0], [0.0, 2.0], [2.0, 2.0]])


@pytest.mark.slow(reason="runs several peers or processes")
@pytest.mark.parametrize("order", [1, 2])
def test_samples_are_complete(rotation: anndata.AnnData, order: int) -> None:
    data = rotation.copy()
    holes = np.random.default_rng(0).random(data.shape) < 0.25
    holes[:, 0] &= ~holes.all(axis=1)
    data.X[holes] = np.nan
    samples = read_samples(data, order)
    full = read_samples(rotation, order)
    assert samples.rates.shape == full.rates.shape
    for values in (samples.observed, *samples.inputs, samples.rates):
        assert np.isfinite(values).all()
    np.testing.assert_allclose(samples.states, full.states, atol=0.15)
    if order == 1:
        seen = ~np.isnan(data.X)
        np.testing.assert_array_equal(samples.observed[seen], rotation.X[seen].astype(float))
        np.testing.assert_array_equal(samples.observed[~seen], samples.states[~seen])


def test_stretches_with_a_variable_that_is_hardly_observed_are_left_out(rotation: anndata.AnnData) -> None:
    data = rotation.copy()
    data.X[4:13, 1] = np.nan
    assert read_samples(data, 1).stretch.max() == 1
    data.X[:, 1] = np.nan
    with pytest.raises(UserError, match=r"of every variable; the longest stretch has 0: run no peers"):
        read_samples(data, 1)
