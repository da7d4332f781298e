import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsenode.data.windows import (
    check_known,
    local_fit,
    make_windows,
    observation_noise,
    past_slopes,
    slope_weights,
    training_rows,
)
from sparsenode.errors import UserError


def trajectories(
    splits: list[str], phases: list[str] | None = None, step: float = 0.5, known: int | None = None
) -> anndata.AnnData:
    """One trajectory for each string of `splits`, a letter an observation: t, v or e for the split.

    `phases` alike, f or x for the phase. Feature a is the time, b a cubic of it. `known` observations are given to a
    forecast.
    """
    phases = phases or ["f" * len(letters) for letters in splits]
    names = [f"course {number}" for number, letters in enumerate(splits) for _ in letters]
    time = np.concatenate([10.0 + step * np.arange(len(letters)) for letters in splits])
    obs = pd.DataFrame(
        {
            "trajectory": pd.Categorical(names),
            "time": time,
            "split": [{"t": "train", "v": "validation", "e": "test"}[letter] for letter in "".join(splits)],
            "phase": [{"f": "fit", "x": "extrapolation"}[letter] for letter in "".join(phases)],
            "weight": 1.0 + np.arange(len(time)),
        },
        index=[str(number) for number in range(len(time))],
    )
    values = np.stack((time, (time - 11) ** 3), axis=1)
    made = anndata.AnnData(X=values, obs=obs, var=pd.DataFrame({"weight": [1.0, 1.0]}, index=["a", "b"]))
    starts = pd.DataFrame(
        {"a": 100.0 + np.arange(len(splits)), "b": -1.0}, index=[f"course {number}" for number in range(len(splits))]
    )
    made.uns["sparsenode"] = {"initial_states": starts, "initial_state_count": 1}
    if known is not None:
        made.uns["sparsenode"]["known_observations"] = known
    return made


def test_windows_start_every_stride_and_the_last_ends_at_the_end() -> None:
    windows = make_windows(trajectories(["t" * 10]), "train", "fit", length=4, stride=2)
    assert [list(window) for window in windows] == [
        [0, 1, 2, 3, 4],
        [2, 3, 4, 5, 6],
        [4, 5, 6, 7, 8],
        [5, 6, 7, 8, 9],
    ]


@pytest.mark.slow(reason="draws many examples")
@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.text("tve", min_size=2, max_size=12), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_windows_never_cross_trajectories_splits_or_phases(
    splits: list[str], random: object, length: int, stride: int
) -> None:
    phases = ["".join(random.choice("fx") for _ in letters) for letters in splits]
    data = trajectories(splits, phases)
    key = data.obs["trajectory"].astype(str) + data.obs["split"] + data.obs["phase"]
    wanted = (data.obs["split"] == "validation") & (data.obs["phase"] == "extrapolation")
    runs = (wanted & (key == key.shift())).groupby((~(wanted & (key == key.shift()))).cumsum()).sum() + 1
    if runs[runs > length].empty or not wanted.any():
        with pytest.raises(UserError):
            make_windows(data, "validation", "extrapolation", length, stride)
        return
    covered = set()
    for window in make_windows(data, "validation", "extrapolation", length, stride):
        assert len(window) == length + 1
        assert (np.diff(window) == 1).all()
        assert key.iloc[window].nunique() == 1
        assert wanted.iloc[window].all()
        covered.update(window.tolist())
    if stride <= length + 1:  # every observation of a stretch that is long enough is used
        breaks = (~(wanted & (key == key.shift()))).cumsum()
        for _, stretch in breaks[wanted].groupby(breaks[wanted]):
            if len(stretch) > length:
                assert {int(name) for name in stretch.index} <= covered


def test_a_window_that_fits_nowhere_is_an_error_that_says_what_would_fit() -> None:
    with pytest.raises(UserError, match=r"windows of length 6 .* longest stretch of train .* has 5, .* needs 7"):
        make_windows(trajectories(["ttttt", "ttt", "vvvvvvvv"]), "train", "fit", length=6, stride=1)
    assert len(make_windows(trajectories(["ttttt"]), "train", "fit", length=4, stride=3)) == 1


@pytest.mark.slow(reason="draws many examples")
@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.text("tve", min_size=2, max_size=14), min_size=1, max_size=4),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 5),
)
def test_windows_leave_the_first_observations_of_a_stretch_to_the_past(
    splits: list[str], length: int, stride: int, past: int
) -> None:
    """As if they were of another split; what is before a window is of its trajectory and split."""
    data = trajectories(splits)
    shortened = data.copy()
    key = (data.obs["trajectory"].astype(str) + data.obs["split"]).to_numpy()
    place = 0
    for index in range(data.n_obs):
        place = place + 1 if index and key[index] == key[index - 1] else 0
        if place < past - 1:
            shortened.obs.iloc[index, data.obs.columns.get_loc("split")] = "past"
    try:
        expected = make_windows(shortened, "train", "fit", length, stride)
    except UserError:
        with pytest.raises(UserError, match=f"a window needs {length + past};"):
            make_windows(data, "train", "fit", length, stride, past=past)
        return
    found = make_windows(data, "train", "fit", length, stride, past=past)
    assert [window.tolist() for window in found] == [window.tolist() for window in expected]
    for window in found:
        assert window[0] >= past - 1
        assert len(set(key[window[0] - past + 1 : window[-1] + 1])) == 1


def test_a_stretch_too_short_for_the_past_is_an_error_that_says_what_would_fit() -> None:
    data = trajectories(["ttttt", "vvvvvvvv"])
    assert [list(window) for window in make_windows(data, "train", "fit", 2, 1, past=3)] == [[2, 3, 4]]
    with pytest.raises(UserError, match=r"windows of length 2 .* longest stretch of train .* has 5, .* needs 6"):
        make_windows(data, "train", "fit", 2, 1, past=4)


def test_a_split_without_observations_is_an_error() -> None:
    with pytest.raises(UserError, match="has 0"):
        make_windows(trajectories(["tttt"]), "test", "fit", length=1, stride=1)


@settings(deadline=None)
@given(
    st.lists(st.floats(-3, 3), min_size=4, max_size=4),
    st.integers(6, 15),
    st.floats(-1, 2),
    st.floats(0.01, 100),
)
def test_local_fit_is_exact_on_cubics(coefficients: list[float], count: int, place: float, scale: float) -> None:
    cubic = np.polynomial.Polynomial(coefficients)
    times = np.linspace(0, 1, count) ** 1.5
    values = np.stack((cubic(times), 2 * cubic(times)), axis=1)
    found, slope = local_fit(scale * times, values, scale * place)
    np.testing.assert_allclose(found, [cubic(place), 2 * cubic(place)], atol=1e-8)
    np.testing.assert_allclose(slope * scale, [cubic.deriv()(place), 2 * cubic.deriv()(place)], atol=1e-8)


def test_local_fit_takes_the_degree_that_the_points_allow() -> None:
    times = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    square = np.polynomial.Polynomial([1.0, -2.0, 0.5])
    value, slope = local_fit(times, square(times)[:, None], 1.5)
    np.testing.assert_allclose([value[0], slope[0]], [square(1.5), square.deriv()(1.5)])
    value, slope = local_fit(times[:2], np.array([[1.0], [3.0]]), 0.0)
    np.testing.assert_allclose([value[0], slope[0]], [1.0, 2.0])
    value, slope = local_fit(times[:1], np.array([[7.0]]), 0.0)
    assert (value[0], slope[0]) == (7.0, 0.0)


def test_local_fit_averages_noise_at_one_repeated_time() -> None:
    value, slope = local_fit(np.zeros(3), np.array([[1.0], [2.0], [6.0]]), 0.0)
    assert value[0] == pytest.approx(3.0)
    assert np.isfinite(slope).all()


def test_without_windows_a_row_is_a_training_trajectory_from_its_initial_state() -> None:
    data = trajectories(["ttttv", "eeee", "ttt"], ["fffff", "ffff", "ffx"])
    rows = training_rows(data, windows=None, smoothing=0, order=1)
    np.testing.assert_array_equal(rows.initial, [[100.0, -1.0], [102.0, -1.0]])
    assert rows.at_start.tolist() == [True, True]
    np.testing.assert_allclose(rows.times[0], [0.0, 0.5, 1.0, 1.5])
    np.testing.assert_allclose(rows.times[1], [0.0, 0.5])
    np.testing.assert_array_equal(rows.observed[1], data.X[[9, 10]])
    np.testing.assert_array_equal(rows.weights[0], [1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(rows.velocity, 0.0)


def test_held_out_observations_leave_gaps_in_a_row() -> None:
    rows = training_rows(trajectories(["ttvtvt"]), windows=None, smoothing=0, order=1)
    np.testing.assert_allclose(rows.times[0], [0.0, 0.5, 1.5, 2.5])


def test_windows_restart_from_the_observation_itself() -> None:
    data = trajectories(["ttttttt"])
    rows = training_rows(data, windows=(3, 3), smoothing=0, order=1)
    np.testing.assert_array_equal(rows.initial, data.X[[0, 3]])
    assert rows.at_start.tolist() == [True, False]
    assert all(times[0] == 0.0 for times in rows.times)
    np.testing.assert_allclose(rows.times[1], [0.0, 0.5, 1.0, 1.5])
    np.testing.assert_array_equal(rows.observed[1], data.X[3:7])


def test_smoothed_restarts_are_exact_on_a_cubic_and_give_its_derivative() -> None:
    data = trajectories(["t" * 12])
    noisy = training_rows(data, windows=(3, 3), smoothing=3, order=2)
    starts = [0, 3, 6, 8]
    np.testing.assert_allclose(noisy.initial, data.X[starts], atol=1e-9)
    time = data.obs["time"].to_numpy()[starts]
    np.testing.assert_allclose(noisy.velocity, np.stack((np.ones(4), 3 * (time - 11) ** 2), axis=1), atol=1e-8)


def test_smoothing_reaches_over_no_border() -> None:
    """Huge held-out values beside a training stretch must not reach its restart states."""
    data = trajectories(["vvv" + "t" * 9 + "vvv", "e" * 5], ["f" * 11 + "xxxx", "f" * 5])
    wild = data.copy()
    inside = np.zeros(len(data), dtype=bool)
    inside[3:11] = True
    wild.X[~inside] = 1e9
    for order in (1, 2):
        calm, other = (training_rows(one, windows=(2, 2), smoothing=4, order=order) for one in (data, wild))
        np.testing.assert_array_equal(calm.initial, other.initial)
        np.testing.assert_array_equal(calm.velocity, other.velocity)


def test_second_order_takes_velocities_from_observations_also_without_smoothing() -> None:
    data = trajectories(["t" * 12])
    rows = training_rows(data, windows=(4, 4), smoothing=0, order=2)
    np.testing.assert_array_equal(rows.initial, data.X[[0, 4, 7]])
    np.testing.assert_allclose(rows.velocity[:, 0], 1.0, atol=1e-9)
    whole = training_rows(data, windows=None, smoothing=0, order=2)
    np.testing.assert_allclose(whole.velocity[0], [1.0, 3.0], atol=1e-8)


def uneven_times(gaps: list[float]) -> np.ndarray:
    return 3.0 + np.cumsum(gaps)


GAPS = st.lists(st.floats(0.05, 2.0), min_size=2, max_size=9)


@settings(deadline=None, max_examples=60)
@given(GAPS, st.lists(st.floats(-3, 3), min_size=3, max_size=3), st.floats(0.01, 100))
def test_the_slope_at_the_last_time_is_exact_on_a_line_and_from_four_times_on_a_parabola(
    gaps: list[float], coefficients: list[float], scale: float
) -> None:
    times = uneven_times(gaps)
    curve = np.polynomial.Polynomial(coefficients[: 2 if len(times) < 4 else 3])
    found = slope_weights(scale * times) @ curve(times)
    assert found * scale == pytest.approx(curve.deriv()(times[-1]), abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(GAPS, st.randoms(use_true_random=False))
def test_the_slope_is_that_of_the_least_squares_fit(gaps: list[float], random: object) -> None:
    times, degree = uneven_times(gaps), 1 if len(gaps) < 4 else 2
    values = np.array([random.uniform(-1, 1) for _ in times])
    fitted = np.polynomial.Polynomial.fit(times, values, degree).deriv()(times[-1])
    weights = slope_weights(times)
    assert weights @ values == pytest.approx(fitted, rel=1e-6, abs=1e-6)
    assert weights.sum() == pytest.approx(0.0, abs=1e-7 * np.abs(weights).max())


def test_two_times_give_the_difference_and_three_even_ones_leave_out_the_one_between() -> None:
    np.testing.assert_allclose(slope_weights(np.array([1.0, 1.5])), [-2.0, 2.0])
    np.testing.assert_allclose(slope_weights(np.array([0.0, 0.5, 1.0])), [-1.0, 0.0, 1.0], atol=1e-12)


def test_repeated_times_lower_the_degree_and_a_single_one_has_no_slope() -> None:
    for times in ([2.0], [2.0, 2.0], [2.0] * 5):
        np.testing.assert_array_equal(slope_weights(np.array(times)), np.zeros(len(times)))
    np.testing.assert_allclose(slope_weights(np.array([0.0, 0.0, 2.0])) @ [1.0, 3.0, 8.0], 3.0)
    two_times = np.array([0.0, 0.0, 2.0, 2.0, 2.0])
    np.testing.assert_allclose(slope_weights(two_times) @ [1.0, 3.0, 7.0, 8.0, 9.0], 3.0)
    parabola = np.polynomial.Polynomial([1.0, -2.0, 0.5])
    three_times = np.array([0.0, 1.0, 1.0, 3.0, 3.0])
    np.testing.assert_allclose(slope_weights(three_times) @ parabola(three_times), parabola.deriv()(3.0))


def test_past_slopes_end_at_each_start() -> None:
    times = uneven_times([0.5, 0.1, 0.7, 0.4, 0.2, 0.9, 0.3])
    parabola = np.polynomial.Polynomial([1.0, -2.0, 0.5])
    values, starts = np.stack((2 * times, parabola(times)), axis=1), np.array([6, 3, 4])
    slopes, errors = past_slopes(times, values, starts, 4)
    np.testing.assert_allclose(slopes, np.stack((np.full(3, 2.0), parabola.deriv()(times[starts])), axis=1), atol=1e-9)
    assert errors.shape == (3, 2)
    wild = values.copy()
    wild[5:] = 1e9
    np.testing.assert_array_equal(past_slopes(times, wild, starts[1:], 4)[0], slopes[1:])
    pairs, _ = past_slopes(times, values, starts, 2)
    np.testing.assert_allclose(pairs, (values[starts] - values[starts - 1]) / np.diff(times)[starts - 1, None])


def test_one_observation_has_no_slope_and_no_error_of_it() -> None:
    slopes, errors = past_slopes(np.arange(4.0), np.ones((4, 2)), np.array([0, 3]), 1)
    np.testing.assert_array_equal(slopes, np.zeros((2, 2)))
    np.testing.assert_array_equal(errors, np.zeros((2, 2)))


@pytest.mark.parametrize("count", [2, 3, 4, 7])
def test_the_error_of_a_slope_is_its_spread_over_draws_of_the_noise(count: int) -> None:
    times = uneven_times([0.5, 0.1, 0.7, 0.4, 0.2, 0.9, 0.3, 0.3])
    draws = np.random.default_rng(0).normal(size=(len(times), 20_000))
    slopes, errors = past_slopes(times, draws, np.array([6, 7]), count)
    np.testing.assert_allclose(slopes.std(1), errors[:, 0], rtol=0.02)


def test_the_noise_of_white_noise_is_its_standard_deviation() -> None:
    rng = np.random.default_rng(0)
    sizes = np.array([0.1, 1.0, 30.0])
    noise = sizes * rng.normal(size=(4000, 3))
    np.testing.assert_allclose(observation_noise(noise), sizes, rtol=0.05)
    trend = np.linspace(0, 1, 4000)[:, None] ** 2
    np.testing.assert_allclose(observation_noise(noise + 20 * sizes * trend), sizes, rtol=0.05)
    np.testing.assert_allclose(
        observation_noise(noise[:50]), np.sqrt((np.diff(noise[:50], axis=0) ** 2).mean(0) / 2), rtol=1e-12
    )


def test_a_fast_motion_is_not_taken_for_noise() -> None:
    """36 observations a period, of which first differences would see a noise of 0.09."""
    rng = np.random.default_rng(0)
    motion = np.sin(2 * np.pi * np.arange(40_000) / 36)
    for size, tolerance in ((0.003, 0.1), (0.01, 0.016), (0.03, 0.016)):
        found = observation_noise((motion + size * rng.normal(size=40_000))[:, None])
        assert found[0] == pytest.approx(size, rel=tolerance)
    assert observation_noise(motion[:, None])[0] < 1e-3


def test_each_feature_has_a_noise_of_its_own() -> None:
    noise = 0.01 * np.random.default_rng(0).normal(size=(2000, 2))
    moving = np.stack((np.zeros(2000), np.sin(np.arange(2000) / 6)), axis=1)
    both = observation_noise(noise + moving)
    np.testing.assert_allclose(both, 0.01, rtol=0.1)
    for column in range(2):
        np.testing.assert_allclose(both[[column]], observation_noise((noise + moving)[:, [column]]))


def test_the_noise_of_few_observations() -> None:
    np.testing.assert_array_equal(observation_noise(np.empty((0, 2))), [0.0, 0.0])
    np.testing.assert_array_equal(observation_noise(np.array([[1.0, 2.0]])), [0.0, 0.0])
    np.testing.assert_allclose(observation_noise(np.array([[1.0], [4.0]])), 3 / np.sqrt(2))
    np.testing.assert_allclose(observation_noise(np.arange(4.0)[:, None]), np.sqrt(0.5))
    parabola = np.polynomial.Polynomial([1.0, 2.0, 0.5])(np.arange(5.0))[:, None]
    np.testing.assert_allclose(observation_noise(parabola), 0.0, atol=1e-12)


def test_a_model_that_takes_more_observations_than_are_given_is_refused() -> None:
    check_known(3, 3)
    with pytest.raises(UserError, match=r"velocity_observations of the model is 3, .* given 1 observation; .* to 3 or"):
        check_known(3, 1)
    with pytest.raises(UserError, match="given 2 observations;"):
        check_known(4, 2)
    for data in (trajectories(["t" * 9]), trajectories(["t" * 9], known=2)):
        for windows in (None, (2, 2)):
            with pytest.raises(UserError, match=r"set initial_state\.known of the dataset to 3 or more"):
                training_rows(data, windows=windows, smoothing=0, order=2, velocity_observations=3)


@pytest.mark.parametrize("order", [1, 2])
def test_whole_rows_start_at_the_last_observation_that_is_known(order: int) -> None:
    data = trajectories(["tttttv", "eeee", "tvtttt"], known=3)
    rows = training_rows(data, windows=None, smoothing=0, order=order)
    np.testing.assert_array_equal(rows.initial, [[100.0, -1.0], [102.0, -1.0]])
    np.testing.assert_allclose(rows.times[0], [0.0, 0.5, 1.0])
    np.testing.assert_allclose(rows.times[1], [0.0, 0.5, 1.0, 1.5])
    np.testing.assert_array_equal(rows.observed[0], data.X[2:5])
    np.testing.assert_array_equal(rows.observed[1], data.X[12:16])
    np.testing.assert_array_equal(rows.weights[0], [3.0, 4.0, 5.0])
    assert rows.at_start.tolist() == [True, True]


def test_times_count_from_the_last_known_observation_also_where_it_is_held_out() -> None:
    rows = training_rows(trajectories(["ttvttt"], known=3), windows=None, smoothing=0, order=1)
    np.testing.assert_allclose(rows.times[0], [0.5, 1.0, 1.5])


def test_a_trajectory_without_training_observations_from_the_last_known_on_is_no_row() -> None:
    rows = training_rows(trajectories(["ttvvvv", "tttttt"], known=3), windows=None, smoothing=0, order=1)
    np.testing.assert_array_equal(rows.initial, [[101.0, -1.0]])


def test_windows_start_where_enough_is_known() -> None:
    data = trajectories(["t" * 8, "vvv" + "t" * 6], known=3)
    rows = training_rows(data, windows=(3, 2), smoothing=0, order=2)
    np.testing.assert_array_equal(rows.initial, data.X[[2, 4, 13]])
    assert rows.at_start.tolist() == [True, False, False]
    np.testing.assert_array_equal(rows.velocity_error, 0.0)


def test_a_smoothed_restart_is_exact_on_a_cubic_however_much_is_known() -> None:
    data = trajectories(["t" * 16], known=9)
    rows = training_rows(data, windows=(3, 2), smoothing=3, order=2)
    np.testing.assert_allclose(rows.initial, data.X[[8, 10, 12]], atol=1e-8)
    noisy = data.copy()
    noisy.X[:5] = 1e6
    again = training_rows(noisy, windows=(3, 2), smoothing=3, order=2)
    np.testing.assert_array_equal(again.initial, rows.initial)


@pytest.mark.parametrize("windows", [None, (3, 2)])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_velocities_are_the_slopes_of_the_last_observations(windows: tuple[int, int] | None, count: int) -> None:
    data = trajectories(["t" * 11, "vvvv", "t" * 8], known=4)
    data.X = data.X + 0.1 * np.random.default_rng(0).normal(size=data.X.shape)
    time = data.obs["time"].to_numpy()
    rows = training_rows(data, windows=windows, smoothing=0, order=2, velocity_observations=count)
    starts = [3, 18] if windows is None else [3, 5, 7, 18, 19]
    slopes, errors = past_slopes(time, data.X, np.array(starts), count)
    np.testing.assert_array_equal(rows.velocity, slopes)
    if count < 4:
        np.testing.assert_allclose(slopes, (data.X[starts] - data.X[np.array(starts) - count + 1]) / (count - 1) / 0.5)
    assert rows.at_start.all()
    noise = np.array([observation_noise(data.X[:11] if start < 11 else data.X[15:]) for start in starts])
    np.testing.assert_allclose(rows.velocity_error, noise * errors)
    np.testing.assert_allclose(rows.initial_error, noise)
    alike = training_rows(data, windows=windows, smoothing=0, order=2)
    np.testing.assert_array_equal(rows.initial, alike.initial)
    for one, other in zip(rows.observed, alike.observed, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("windows", [None, (3, 2)])
def test_a_model_given_positions_alone_starts_all_rows_from_them(windows: tuple[int, int] | None) -> None:
    data = trajectories(["t" * 11], known=2)
    rows = training_rows(data, windows=windows, smoothing=0, order=2, velocity_observations=1)
    assert rows.at_start.all()
    np.testing.assert_array_equal(rows.velocity, 0.0)
    np.testing.assert_array_equal(rows.velocity_error, 0.0)
    assert rows.velocity_error.shape == rows.initial_error.shape
