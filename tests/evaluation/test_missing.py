"""Scores where entries are missing: of each variable over its observed ones, and never of a value that is not there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

from sparsenode.data.observations import Observations, read_observations
from sparsenode.evaluation.baselines import (
    baselines_of,
    fit_polynomial,
    oracles_of,
    predict_baseline,
    predict_constant_velocity,
)
from sparsenode.evaluation.evaluate import EvaluationSettings, evaluate_ensembles
from sparsenode.evaluation.forecast import Kept, forecast_errors, matrix_errors
from sparsenode.evaluation.measure import jacobian_states
from sparsenode.evaluation.paired import entry_errors, reference_errors
from sparsenode.evaluation.plans import (
    Plan,
    RollingSettings,
    plan_one_step,
    plan_rolling,
    plan_trajectories,
    plan_windows,
)
from sparsenode.evaluation.protocols import cut_windows

NOTHING_KEPT = Kept(np.empty(0, np.int64), np.empty(0, np.int64))


def with_holes(data: anndata.AnnData, share: float = 0.3, seed: int = 0) -> anndata.AnnData:
    """The same data with some entries missing, in the test trajectory all of variable `b` after the first one."""
    adata = data.copy()
    rng = np.random.default_rng(seed)
    holes = rng.random(adata.shape) < share
    holes[:, 2] &= ~holes[:, :2].all(axis=1)
    holes[adata.obs["time"] == 1.0] = False
    last = (adata.obs["trajectory"] == "four").to_numpy()
    holes[last & (adata.obs["time"] > 1.0).to_numpy(), 1] = True
    holes[last, 0] = False
    adata.X[holes] = np.nan
    # Training holds validation observations within it, so that there are unions of both.
    adata.obs["split"] = pd.Categorical(adata.obs["split"].to_numpy())
    inner = (adata.obs["trajectory"] == "one").to_numpy() & adata.obs["time"].between(1.5, 2.1).to_numpy()
    adata.obs.loc[inner, "split"] = "validation"
    return adata


@pytest.fixture
def holes(linear_data: anndata.AnnData) -> Observations:
    return read_observations(with_holes(linear_data))


def plans_of(data: Observations) -> list[Plan]:
    return [
        plan_trajectories(data),
        plan_windows(data, cut_windows(data, 3, 2)),
        plan_one_step(data),
        plan_rolling(data, RollingSettings(past=0.6, horizon=0.5)),
    ]


def brute_force(predicted: np.ndarray, data: Observations, plan: Plan, weights: np.ndarray) -> np.ndarray:
    """Mean over the observed variables of each group of the mean over their observed entries, one after the other."""
    errors = []
    for number in range(len(plan.groups)):
        of_variable, of_weight = [], []
        for feature in range(len(data.features)):
            squares = [
                (predicted[entry, feature] - data.values[plan.observation[entry], feature]) ** 2
                for entry in plan.entries(number)
                if np.isfinite(data.values[plan.observation[entry], feature])
            ]
            if squares:
                of_variable.append(weights[feature] * np.mean(squares))
                of_weight.append(feature)
        errors.append(np.mean(of_variable))
    return np.array(errors)


def test_errors_are_means_over_the_observed_entries_of_each_variable(holes: Observations) -> None:
    rng = np.random.default_rng(1)
    for plan in plans_of(holes):
        predicted = rng.normal(size=(len(plan.observation), 3))
        errors = matrix_errors(predicted, holes, plan, NOTHING_KEPT)
        np.testing.assert_allclose(errors.mse[0], brute_force(predicted, holes, plan, np.ones(3)), rtol=1e-12)
        weighted = brute_force(predicted, holes, plan, holes.weights)
        np.testing.assert_allclose(errors.means["mse_weighted"][0], weighted, rtol=1e-12)
        true = replace(holes, values=np.where(np.isnan(holes.values), np.nan, holes.noise_free))
        noise_free = brute_force(predicted, true, plan, np.ones(3))
        np.testing.assert_allclose(errors.means["mse_noise_free"][0], noise_free, rtol=1e-12)
        assert not np.isnan(errors.mse).any()
    assert any(plan.unions for plan in plans_of(holes))


def test_what_is_forecast_of_a_missing_entry_does_not_matter(holes: Observations, new_ensemble: Any) -> None:
    plan = plan_trajectories(holes)
    predicted = np.random.default_rng(1).normal(size=(len(plan.observation), 3))
    other = np.where(np.isnan(holes.values[plan.observation]), np.nan, predicted)
    one, two = (matrix_errors(each, holes, plan, NOTHING_KEPT) for each in (predicted, other))
    np.testing.assert_array_equal(one.mse, two.mse)
    lost = predicted.copy()
    lost[np.argwhere(np.isfinite(holes.values[plan.observation]))[0][0]] = np.nan
    assert np.isnan(matrix_errors(lost, holes, plan, NOTHING_KEPT).mse).any()


def test_with_nothing_missing_both_ways_agree(linear_data: anndata.AnnData, new_ensemble: Any) -> None:
    """The shares of complete data are one, and a variable of which as many are missing everywhere counts the same."""
    data = read_observations(linear_data)
    for plan in plans_of(data):
        assert plan.observed_shares(data) is None
        lacking = replace(data, values=np.concatenate((data.values, np.full((1, 3), np.nan))))
        np.testing.assert_allclose(plan.observed_shares(lacking), 1.0)
        ensemble = new_ensemble(strengths=(0.0,), seeds=2)
        one, two = (forecast_errors(ensemble, each, plan, NOTHING_KEPT) for each in (data, lacking))
        for name, values in one.means.items():
            np.testing.assert_allclose(two.means[name], values, rtol=1e-12)


def test_paired_errors_of_entries_have_the_mean_of_their_group(holes: Observations, new_ensemble: Any) -> None:
    plan, ensemble = plan_trajectories(holes), new_ensemble(strengths=(0.0,), seeds=2)
    members, together = entry_errors(ensemble, holes, plan)
    expected = forecast_errors(ensemble, holes, plan, NOTHING_KEPT).mse
    references = reference_errors(holes, plan)
    for number in range(len(plan.groups) - len(plan.unions)):
        entries = plan.entries(number)
        np.testing.assert_allclose(members[:, entries].mean(axis=1), expected[:, number], rtol=1e-6)
        for name, errors in references.items():
            if name.startswith("baseline:"):
                predicted = predict_baseline(name.removeprefix("baseline:"), holes, plan)
                mean = matrix_errors(predicted, holes, plan, NOTHING_KEPT).mse[0, number]
                assert errors[entries].mean() == pytest.approx(mean)
    assert np.isfinite(together).all()


def test_forecasts_start_from_what_is_known_by_then(holes: Observations) -> None:
    for plan in plans_of(holes)[1:]:
        for start, state in zip(plan.starts, plan.initial_states, strict=True):
            rows = holes.rows_of(holes.trajectory[start])
            for feature, value in enumerate(state):
                before = [row for row in rows[rows <= start] if np.isfinite(holes.values[row, feature])]
                assert value == holes.values[before[-1], feature]


def test_baselines_are_fitted_to_observed_entries(holes: Observations) -> None:
    for plan in plans_of(holes):
        for name in (*baselines_of(plan), "linear"):
            assert np.isfinite(predict_baseline(name, holes, plan)).all(), (plan.protocol, name)
    rng = np.random.default_rng(0)
    times, values = rng.uniform(0, 3, 20), rng.normal(size=(20, 4))
    values[rng.random(values.shape) < 0.5] = np.nan
    values[:, 3] = np.nan
    fitted = fit_polynomial(times, values, 2)(times)
    for column in range(3):
        seen = np.isfinite(values[:, column])
        fit = np.polynomial.Polynomial.fit(times[seen], values[seen, column], 2)
        np.testing.assert_allclose(fitted[:, column], fit(times), rtol=1e-8)
    assert np.isnan(fitted[:, 3]).all()


def test_a_variable_that_a_group_never_observes_is_known_of_the_others(linear_data: anndata.AnnData) -> None:
    adata = linear_data.copy()
    adata.X[(adata.obs["group"] == "even").to_numpy(), 0] = np.nan
    data = read_observations(adata)
    plan = plan_trajectories(data)
    predicted = predict_baseline("training_mean", data, plan)
    assert np.isfinite(predicted).all()
    even = data.group[plan.observation] == "even"
    training = data.values[data.training]
    np.testing.assert_allclose(
        predicted[even & (data.split[plan.observation] == "train"), 0], np.nanmean(training[:, 0])
    )


def test_the_velocity_is_that_of_the_last_two_observed_values() -> None:
    times = np.array([0.0, 1.0, 3.0, 4.0, 5.0])
    values = np.stack((2 * times, 1 - times, np.full(5, 7.0)), axis=1)
    values[3, 0] = values[2, 0] = np.nan
    values[[0, 1, 2], 1] = np.nan
    values[4, 1] = np.nan
    data = data_of(times, values)
    plan = replace(plan_one_step(data), starts=np.array([3]), given=np.array([4]), row=np.array([0]),
                   observation=np.array([4]))  # fmt: skip
    np.testing.assert_allclose(predict_constant_velocity(data, plan), [[2.0 + 2.0 * 1.0, -3.0, 7.0]])


def data_of(times: np.ndarray, values: np.ndarray) -> Observations:
    """One trajectory for training."""
    count = len(times)
    adata = anndata.AnnData(values.astype(np.float32))
    adata.var_names = list("abc")
    for name, value in {"trajectory": "t", "split": "train", "phase": "fit", "group": "g", "subject": "s"}.items():
        adata.obs[name] = pd.Categorical([value] * count)
    adata.obs["time"], adata.obs["weight"] = times, 1.0
    adata.uns["sparsenode"] = {"name": "one", "initial_states": pd.DataFrame([[0.0, 0.0, 7.0]], ["t"], list("abc"))}
    return read_observations(adata)


@pytest.mark.slow(reason="trains or evaluates several models")
def test_tables_hold_no_number_that_is_not_one(linear_data: anndata.AnnData, new_ensemble: Any) -> None:
    """Of the values that are missing, only the observed ones of the table of forecasts are empty."""
    adata = with_holes(linear_data)
    data = read_observations(adata)
    ensembles = [new_ensemble(), new_ensemble(windows={"length": 3, "stride": 2})]
    settings = EvaluationSettings(one_step=True, interval_repeats=1000)
    evaluation = evaluate_ensembles(data, ensembles, settings)
    metrics = evaluation.metrics
    lost = metrics[metrics["value"].isna()]
    assert (lost["reason"] != "").all()
    assert set(lost["status"]) <= {"undefined"}
    assert not metrics[metrics["metric"].isin(["mse", "skill", "explained", "mse_reduction"])]["value"].isna().any()
    forecasts = evaluation.forecasts
    assert not forecasts["predicted"].isna().any()
    wide = forecasts[forecasts["protocol"] == "trajectory"].drop_duplicates(["trajectory", "time", "feature"])
    assert wide["observed"].isna().sum() == np.isnan(data.values).sum()
    skill = metrics[metrics["metric"].eq("skill") & metrics["reference"].eq("baseline:initial_state")]
    of_exact = skill[skill["strength"].eq(0.0) & skill["trajectory"].eq("all") & skill["horizon"].eq("trajectory")]
    assert (of_exact["value"] > 0.3).all()


@pytest.mark.parametrize("order", [1, 2])
def test_jacobians_are_taken_at_states_that_are_known(holes: Observations, order: int) -> None:
    states, velocities = jacobian_states(holes, order)
    assert np.isfinite(states).all()
    assert velocities is None or np.isfinite(velocities).all()
    assert oracles_of(plan_trajectories(holes)) == ("mean", "cubic")
