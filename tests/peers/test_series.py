import numpy as np
import pytest
from statsmodels.tsa.ar_model import ar_select_order

from sparsenode.errors import UserError
from sparsenode.peers.derivatives import Samples
from sparsenode.peers.series import choose_lags, equal_steps, lag_values


def samples_at(*stretches):
    """Samples of times and values of each stretch."""
    times, values = (np.concatenate(entries) for entries in zip(*stretches, strict=True))
    stretch = np.repeat(np.arange(len(stretches)), [len(time) for time, _ in stretches])
    return Samples(observed=values, states=values, velocities=None, rates=values, stretch=stretch, time=times)


def autoregression(coefficients, count, seed):
    """A series (step, variable) with coefficients (lag, source, target) and noise of deviation 1."""
    generator = np.random.default_rng(seed)
    lags, variables, _ = coefficients.shape
    values = list(generator.normal(size=(lags, variables)))
    for _ in range(count + 50):
        before = sum(values[-lag] @ matrix for lag, matrix in enumerate(coefficients, 1))
        values.append(before + generator.normal(size=variables))
    return np.array(values[-count:])


def test_observations_that_lack_are_gaps_and_never_interpolated():
    times = np.array([0.0, 0.1, 0.3, 0.4, 0.5])
    values = np.arange(10.0).reshape(5, 2)
    first, second = equal_steps(samples_at((times, values), (7.0 + times[:3], values[:3])), "refuse", "pcmci")
    np.testing.assert_array_equal(first, np.insert(values, 2, np.nan, axis=0))
    np.testing.assert_array_equal(second, np.insert(values[:3], 2, np.nan, axis=0))


def test_times_that_tremble_are_counted_step_by_step():
    times = np.cumsum(np.random.default_rng(0).uniform(0.992, 1.008, size=400))
    values = np.arange(400.0)[:, None]
    present = np.delete(np.arange(400), [7, 300])
    (series,) = equal_steps(samples_at((times[present], values[present])), "refuse", "pcmci")
    expected = values.copy()
    expected[[7, 300]] = np.nan
    np.testing.assert_array_equal(series, expected)


def test_samples_without_times_have_equal_steps():
    samples = Samples(np.ones((6, 2)), np.ones((6, 2)), None, np.ones((6, 2)), np.repeat([0, 1], 3))
    assert [len(series) for series in equal_steps(samples, "refuse", "pcmci")] == [3, 3]


def test_irregular_times_are_interpolated_at_the_mean_step_with_a_warning(caplog):
    times = np.array([0.0, 0.7, 1.9, 3.1, 4.0])
    line = np.column_stack([2 * times - 1, 3 - times])
    (series,) = equal_steps(samples_at((times, line)), "interpolate", "granger")
    grid = np.arange(5.0)
    np.testing.assert_allclose(series, np.column_stack([2 * grid - 1, 3 - grid]))
    assert "granger: observations are from 0.7 to 1.2 apart and are interpolated at steps of 1" in caplog.text
    with pytest.raises(UserError, match=r"^granger takes observations at equal steps, and these are from 0\.7 to 1\.2"):
        equal_steps(samples_at((times, line)), "refuse", "granger")


def test_equal_steps_that_are_mostly_empty_are_irregular():
    times = np.array([0.0, 1.0, 6.0, 12.0, 20.0])
    (series,) = equal_steps(samples_at((times, times[:, None])), "interpolate", "granger")
    np.testing.assert_allclose(series[:, 0], np.arange(5) * 5.0)


def test_lags_are_those_of_each_series_and_rows_with_gaps_are_left_out():
    generator = np.random.default_rng(0)
    series = [generator.normal(size=(count, 2)) for count in (8, 2, 5)]
    series[0][4, 1] = np.nan
    rows = lag_values(series, 2)
    values, lagged = [], []
    for whole in series:
        for step in range(2, len(whole)):
            window = whole[step - 2 : step + 1]
            if not np.isnan(window).any():
                values.append(window[2])
                lagged.append([window[1], window[0]])
    assert len(values) == 3 + 3
    np.testing.assert_array_equal(rows.values, values)
    np.testing.assert_array_equal(rows.lagged, lagged)


@pytest.mark.parametrize("lags", [1, 2, 3])
def test_the_number_of_lags_is_that_of_statsmodels_in_one_series(lags):
    coefficients = np.zeros((lags, 1, 1))
    coefficients[-1], coefficients[0] = 0.5, coefficients[0] + 0.3
    values = autoregression(coefficients, 300, seed=2)
    assert choose_lags([values], order=1) == len(ar_select_order(values[:, 0], 5).ar_lags) == lags


def test_lags_are_chosen_over_all_series_and_not_below_the_order():
    coefficients = np.zeros((2, 2, 2))
    coefficients[1] = [[0.5, 0.4], [0.0, 0.5]]
    series = [autoregression(coefficients, 30, seed) for seed in range(10)]
    assert choose_lags(series, order=1) == 2
    noise = [np.random.default_rng(seed).normal(size=(30, 2)) for seed in range(10)]
    assert choose_lags(noise, order=1) == 1
    assert choose_lags(noise, order=2) == 2
    assert choose_lags([noise[0][:5]], order=1) == 1  # too few to judge


def test_rounding_asks_for_no_lags():
    turn = np.array([[np.cos(0.3), np.sin(0.3)], [-np.sin(0.3), np.cos(0.3)]])
    values = np.array([np.linalg.matrix_power(turn, step)[0] for step in range(200)])
    assert choose_lags([values.astype(np.float32).astype(float)], order=1) == 1
