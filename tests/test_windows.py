import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsenode.errors import UserError
from sparsenode.windows import local_fit, make_windows, training_rows


def trajectories(splits: list[str], phases: list[str] | None = None, step: float = 0.5) -> anndata.AnnData:
    """One trajectory for each string of `splits`, a letter an observation: t, v or e for the split.

    `phases` alike, f or x for the phase. Feature a is the time, b a cubic of it.
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
    return made


def test_windows_start_every_stride_and_the_last_ends_at_the_end() -> None:
    windows = make_windows(trajectories(["t" * 10]), "train", "fit", length=4, stride=2)
    assert [list(window) for window in windows] == [
        [0, 1, 2, 3, 4],
        [2, 3, 4, 5, 6],
        [4, 5, 6, 7, 8],
        [5, 6, 7, 8, 9],
    ]


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
