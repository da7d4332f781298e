"""Trivial forecasts against numpy's own fits."""

import numpy as np
import pytest

from sparsenode.data.observations import read_observations
from sparsenode.evaluation import baselines, forecast, plans
from sparsenode.evaluation.settings import RollingSettings


@pytest.fixture
def data(linear_data):
    return read_observations(linear_data)


@pytest.fixture
def plan(data):
    return plans.plan_trajectories(data)


def known(data, group, splits):
    return np.isin(data.split, splits) & (data.phase == "fit") & (data.group == group)


def test_mean_and_line_come_from_the_known_observations_of_the_group(data, plan):
    mean = baselines.predict_baseline("training_mean", data, plan)
    line = baselines.predict_baseline("linear", data, plan)
    for group in ("odd", "even"):
        for scored, splits in ((["train", "validation"], ["train"]), (["test"], ["train", "validation"])):
            here = known(data, group, splits)
            entries = (data.group[plan.observation] == group) & np.isin(data.split[plan.observation], scored)
            np.testing.assert_allclose(mean[entries], np.tile(data.values[here].mean(axis=0), (entries.sum(), 1)))
            fit = np.polynomial.polynomial.polyfit(data.time[here], data.values[here], 1)
            wanted = np.polynomial.polynomial.polyval(data.time[plan.observation][entries], fit).T
            np.testing.assert_allclose(line[entries], wanted)


def test_training_and_validation_are_scored_as_one_by_fits_to_both(linear_data):
    split = linear_data.obs["split"].astype(str).to_numpy()
    split[[3, 5, 8]] = "validation"
    linear_data.obs["split"] = split
    data = read_observations(linear_data)
    plan = plans.plan_trajectories(data)
    assert plan.groups.iloc[-1][["trajectory", "split"]].tolist() == ["one", "train+validation"]
    both = known(data, "odd", ["train", "validation"])
    one = (data.trajectory == 0) & (data.phase == "fit")
    nothing = forecast.Kept(np.empty(0, np.int64), np.empty(0, np.int64))
    mean = baselines.baseline_errors("training_mean", data, plan, nothing).mse[0, -1]
    assert mean == pytest.approx(((data.values[one] - data.values[both].mean(axis=0)) ** 2).mean())
    held = baselines.baseline_errors("initial_state", data, plan, nothing).mse[0, -1]
    assert held == pytest.approx(((data.values[one] - data.initial_states[0]) ** 2).mean())
    own = baselines.baseline_errors("mean", data, plan, nothing).mse[0, -1]
    assert own == pytest.approx(data.values[one].var(axis=0).mean())


def test_a_group_without_training_observations_takes_all_of_them(linear_data):
    linear_data.obs["group"] = linear_data.obs["trajectory"]
    data = read_observations(linear_data)
    plan = plans.plan_trajectories(data)
    mean = baselines.predict_baseline("training_mean", data, plan)
    here = (data.split != "test") & (data.phase == "fit")
    entries = data.group[plan.observation] == "four"
    np.testing.assert_allclose(mean[entries][0], data.values[here].mean(axis=0))


def test_held_state_and_zeros(data, plan):
    held = baselines.predict_baseline("initial_state", data, plan)
    np.testing.assert_array_equal(held[plan.row == 2], np.tile(data.initial_states[2], (16, 1)))
    assert not baselines.predict_baseline("zeros", data, plan).any()
    windows = plans.plan_windows(data, [np.array([5, 6, 7])])
    np.testing.assert_array_equal(
        baselines.predict_baseline("initial_state", data, windows), np.tile(data.values[5], (2, 1))
    )


def test_oracles_are_the_best_fits_to_what_is_scored(data, plan):
    cubic = baselines.predict_oracle("cubic", data, plan)
    entries = plan.group == 1
    time, values = data.time[plan.observation[entries]], data.values[plan.observation[entries]]
    fit = np.polynomial.polynomial.polyfit(time, values, 3)
    np.testing.assert_allclose(cubic[entries], np.polynomial.polynomial.polyval(time, fit).T, atol=1e-9)
    mean = baselines.predict_oracle("mean", data, plan)
    np.testing.assert_allclose(mean[entries][0], values.mean(axis=0))


def test_few_observations_lower_the_degree():
    fit = baselines.fit_polynomial(np.array([2.0, 2.0]), np.array([[1.0], [3.0]]), 3)
    np.testing.assert_allclose(fit(np.array([2.0, 9.0])), [[2], [2]])


def rolling(adata, period=0.9):
    """The data with courses that repeat after `period`, and the plan of rolling forecasts on them."""
    time = adata.obs["time"].to_numpy()
    phases = 2 * np.pi * time / period
    adata.X = np.column_stack((np.sin(phases), np.cos(phases), np.sin(phases + 1))).astype(np.float32)
    adata.obs["phase"] = "fit"
    data = read_observations(adata)
    return data, plans.plan_rolling(data, RollingSettings(past=2.2, horizon=0.6))


def test_the_last_cycle_is_exact_on_a_course_that_repeats(linear_data):
    data, plan = rolling(linear_data, period=1.0)
    assert {"constant_velocity", "last_cycle"} <= set(baselines.baselines_of(plan))
    np.testing.assert_allclose(
        baselines.predict_baseline("last_cycle", data, plan), data.values[plan.observation], atol=1e-5
    )


@pytest.mark.parametrize("period", [7, 11, 16])
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_the_period_is_found_in_noise(period, noise):
    time = np.arange(3 * period)
    rng = np.random.default_rng(period)
    shifts = np.linspace(0, 2, 12)
    past = np.sin(2 * np.pi * (time[:, None] / period + shifts)) + noise * rng.normal(size=(len(time), 12))
    found = baselines.estimate_period(past)
    assert found % period == 0
    assert found > 0


def test_constant_velocity_is_exact_on_lines(linear_data):
    time = linear_data.obs["time"].to_numpy()
    linear_data.X = np.column_stack((time, 3 - 2 * time, np.ones_like(time))).astype(np.float32)
    data = read_observations(linear_data)
    plan = plans.plan_rolling(data, RollingSettings(past=0.4, horizon=0.6))
    found = baselines.predict_baseline("constant_velocity", data, plan)
    np.testing.assert_allclose(found, data.values[plan.observation], atol=1e-4)


def test_baselines_of_the_past_need_one(data, plan):
    assert set(baselines.baselines_of(plan)) == set(baselines.BASELINES)
    short = plans.plan_rolling(data, RollingSettings(past=0.4, horizon=0.6))
    assert "constant_velocity" in baselines.baselines_of(short)
    assert "last_cycle" not in baselines.baselines_of(short)
    assert baselines.oracles_of(short) == ()
    assert baselines.oracles_of(plan) == baselines.ORACLES


def test_baselines_look_at_nothing_after_the_start(linear_data):
    data, plan = rolling(linear_data)
    before = {name: baselines.predict_baseline(name, data, plan) for name in baselines.PAST_BASELINES}
    last = plan.row == plan.row[-1]
    data.values[plan.observation[last]] = 1e6
    for name, predicted in before.items():
        np.testing.assert_array_equal(baselines.predict_baseline(name, data, plan)[last], predicted[last])
