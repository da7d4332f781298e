"""Trivial forecasts against numpy's own fits."""

import numpy as np
import pytest

from sparsenode.evaluation import baselines, forecast, plans


@pytest.fixture
def data(linear_data):
    return plans.read_observations(linear_data)


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
    data = plans.read_observations(linear_data)
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
    data = plans.read_observations(linear_data)
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
