"""Errors of forecasts against loops that spell them out."""

import numpy as np
import pytest

from sparsenode.data.observations import read_observations
from sparsenode.errors import UserError
from sparsenode.evaluation import forecast, plans
from sparsenode.evaluation.forecast import Kept

NOTHING = Kept(np.empty(0, np.int64), np.empty(0, np.int64))


def test_trajectory_errors_are_those_of_one_solve_from_the_initial_state(linear_data, new_ensemble):
    data = read_observations(linear_data)
    plan = plans.plan_trajectories(data)
    ensemble = new_ensemble()
    errors = forecast.forecast_errors(ensemble, data, plan, NOTHING)
    initial = linear_data.uns["sparsenode"]["initial_states"]
    for number, group in plan.groups.iterrows():
        here = (linear_data.obs["trajectory"] == group["trajectory"]).to_numpy()
        chosen = here & (linear_data.obs["phase"] == group["phase"]).to_numpy()
        times = linear_data.obs["time"].to_numpy()
        state = initial.loc[group["trajectory"]].to_numpy()
        whole = ensemble.forecast(state[None], [times[here]])[0]
        predicted = whole[:, chosen[here]]
        difference = predicted - linear_data.X[chosen]
        np.testing.assert_allclose(errors.mse[:, number], (difference**2).mean(axis=(1, 2)), rtol=1e-6)
        weighted = (difference**2 * linear_data.var["weight"].to_numpy()).mean(axis=(1, 2))
        np.testing.assert_allclose(errors.means["mse_weighted"][:, number], weighted, rtol=1e-6)
        free = predicted - linear_data.layers["noise_free"][chosen]
        np.testing.assert_allclose(errors.means["mse_noise_free"][:, number], (free**2).mean(axis=(1, 2)), rtol=1e-5)


@pytest.mark.parametrize("missing", [False, True])
def test_of_a_single_validation_trajectory_each_block_of_time_has_an_error(linear_data, new_ensemble, missing):
    linear_data.X[40, 1] = linear_data.X[33, 0] = linear_data.X[34, 0] = np.nan if missing else 1.0
    data = read_observations(linear_data)
    plan, ensemble = plans.plan_trajectories(data), new_ensemble()
    blocks = plan.validation_blocks(data)
    held_out = np.flatnonzero((data.split == "validation") & (data.phase == "fit"))
    assert sorted(plan.observation[blocks >= 0].tolist()) == held_out.tolist()
    errors = forecast.forecast_errors(ensemble, data, plan, NOTHING)
    assert errors.of_blocks.shape == (len(ensemble.members), blocks.max() + 1)
    three = data.trajectory_names.index("three")
    times = data.time[data.trajectory == three]
    predicted = ensemble.forecast(data.initial_states[[three]], [times])[0]
    for block in range(blocks.max() + 1):
        rows = plan.observation[blocks == block]
        squares = (predicted[:, rows - held_out[0]] - data.values[rows]) ** 2
        np.testing.assert_allclose(errors.of_blocks[:, block], np.nanmean(squares, axis=1).mean(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(errors.pick(np.array([2, 0])).of_blocks, errors.of_blocks[[2, 0]])
    linear_data.obs["split"] = linear_data.obs["split"].astype(str).replace({"test": "validation"})
    several = read_observations(linear_data)
    assert plans.plan_trajectories(several).validation_blocks(several) is None


def test_true_system_has_no_error_against_noise_free_values(linear_data, new_ensemble, system):
    data = read_observations(linear_data)
    ensemble = new_ensemble(strengths=[0.0], seeds=1)
    ensemble.matrices[:] = system
    errors = forecast.forecast_errors(ensemble, data, plans.plan_trajectories(data), NOTHING)
    assert errors.means["mse_noise_free"].max() < 1e-12
    assert errors.mse.min() > 1e-4


def test_window_errors_leave_out_the_restart_observation(linear_data, new_ensemble):
    data = read_observations(linear_data)
    windows = [np.array([0, 1, 2, 3]), np.array([2, 3, 4, 5]), np.array([40, 41, 42])]
    plan = plans.plan_windows(data, windows)
    ensemble = new_ensemble()
    errors = forecast.forecast_errors(ensemble, data, plan, NOTHING)
    assert list(plan.groups["trajectory"]) == ["one", "three"]
    squares = []
    for window in windows:
        predicted = ensemble.forecast(data.values[window[:1]], [data.time[window]])[0]
        squares.append(((predicted - data.values[window])[:, 1:] ** 2).mean(axis=2))
    np.testing.assert_allclose(errors.mse[:, 0], np.concatenate(squares[:2], axis=1).mean(axis=1))
    np.testing.assert_allclose(errors.mse[:, 1], squares[2].mean(axis=1))


def test_repeated_times_are_solved_once_and_scored_each(linear_data, new_ensemble):
    times = linear_data.obs["time"].to_numpy().copy()
    times[3] = times[4] = times[5]
    linear_data.obs["time"] = times
    data = read_observations(linear_data)
    plan = plans.plan_trajectories(data)
    assert len(plan.times[0]) == 14
    assert (plan.row == 0).sum() == 16
    ensemble = new_ensemble(strengths=[0.0], seeds=1)
    errors = forecast.forecast_errors(ensemble, data, plan, NOTHING)
    fit = data.phase[:16] == "fit"
    predicted = ensemble.forecast(plan.initial_states[:1], [np.unique(times[:16])])[0][0]
    expanded = predicted[np.searchsorted(np.unique(times[:16]), times[:16])]
    np.testing.assert_allclose(errors.mse[0, 0], ((expanded - data.values[:16])[fit] ** 2).mean())


def test_batches_change_nothing(linear_data, new_ensemble, monkeypatch):
    data = read_observations(linear_data)
    plan = plans.plan_trajectories(data)
    kept = Kept(np.arange(0, 64, 5), np.array([0, 2]))
    one = forecast.forecast_errors(new_ensemble(), data, plan, kept)
    monkeypatch.setattr(forecast, "BYTES_AT_ONCE", 1)
    ensemble = new_ensemble()
    several = forecast.forecast_errors(ensemble, data, plan, kept)
    assert len(ensemble.asked) == 4
    np.testing.assert_array_equal(one.mse, several.mse)
    np.testing.assert_array_equal(one.kept, several.kept)


def test_kept_forecasts_are_those_of_their_entries(linear_data, new_ensemble):
    data = read_observations(linear_data)
    plan = plans.plan_trajectories(data)
    kept = Kept(np.array([3, 20, 63]), np.array([2, 0]))
    found = forecast.forecast_errors(new_ensemble(), data, plan, kept).kept
    whole = new_ensemble().forecast(plan.initial_states, plan.times)
    for number, entry in enumerate(kept.entries):
        wanted = whole[plan.row[entry]][:, plan.position[entry]][:, [2, 0]]
        np.testing.assert_allclose(found[:, number], wanted, rtol=1e-6)


def test_a_forecast_that_explodes_spoils_its_own_numbers_only(linear_data, new_ensemble):
    data = read_observations(linear_data)
    ensemble = new_ensemble(strengths=[0.0], seeds=2)
    ensemble.matrices[1] = np.eye(3) * 1e4
    errors = forecast.forecast_errors(ensemble, data, plans.plan_trajectories(data), NOTHING)
    assert np.isfinite(errors.mse[0]).all()
    assert not np.isfinite(errors.mse[1]).all()


def test_means_over_trajectories_are_unweighted(linear_data):
    data = read_observations(linear_data)
    plan = plans.plan_trajectories(data)
    values = np.arange(len(plan.groups), dtype=float)[None]
    groups, extended = plans.add_means(plan.groups, values)
    training = (plan.groups["split"] == "train") & (plan.groups["phase"] == "fit")
    row = groups[(groups["trajectory"] == "all") & (groups["split"] == "train") & (groups["phase"] == "fit")].index
    assert extended[0, row].item() == values[0, training].mean()


def test_sums_by_subject_need_all_its_trajectories(shared_data):
    data = read_observations(shared_data)
    plan = plans.plan_trajectories(data)
    values = np.arange(len(plan.groups), dtype=float)[None]
    groups, sums = plans.sum_by_subject(plan.groups, values)
    assert list(groups["trajectory"]) == ["pair", "pair"]
    training = plan.groups[(plan.groups["split"] == "train") & (plan.groups["phase"] == "fit")].index
    assert sums[0, 0] == values[0, training].sum()


def test_other_features_are_refused(linear_data, new_ensemble):
    linear_data = linear_data[:, ["a", "c", "b"]].copy()
    linear_data.uns["sparsenode"]["initial_states"] = linear_data.uns["sparsenode"]["initial_states"]
    data = read_observations(linear_data)
    with pytest.raises(UserError, match=r"trained on 3 features .* train it again"):
        forecast.check_features(new_ensemble(), data, "exact/shrunk")
