"""Which forecasts are asked for, by brute force over observations."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sparsenode.data.observations import read_observations
from sparsenode.errors import UserError
from sparsenode.evaluation import plans
from sparsenode.evaluation.settings import RollingSettings

ROLLING = RollingSettings(past=0.4, horizon=0.6)


@pytest.fixture
def data(linear_data):
    return read_observations(linear_data)


def brute_force(data, past, horizon):
    """(start, scored observation) of all rolling forecasts."""
    pairs = []
    for start in range(len(data.time)):
        own = np.flatnonzero(data.trajectory == data.trajectory[start])
        ahead = data.time[own] - data.time[start]
        scored = own[(ahead > 1e-9) & (ahead <= horizon + 1e-9)]
        enough = data.time[start] - data.time[own[0]] >= past - 1e-9 and ahead.max() >= horizon - 1e-9
        if enough and len(set(data.phase[scored])) == 1:
            pairs += [(start, one) for one in scored]
    return pairs


def test_rolling_forecasts_start_wherever_there_is_past_and_horizon(data):
    plan = plans.plan_rolling(data, ROLLING)
    found = list(zip(plan.starts[plan.row].tolist(), plan.observation.tolist(), strict=True))
    assert found == brute_force(data, 0.4, 0.6)
    np.testing.assert_array_equal(plan.given, 3)
    np.testing.assert_allclose(plan.initial_states, data.values[plan.starts])
    for row, times in enumerate(plan.times):
        entries = plan.row == row
        np.testing.assert_allclose(times[plan.position[entries]], data.time[plan.observation[entries]])
        assert times[0] == data.time[plan.starts[row]]


def test_rolling_forecasts_of_times_since_1970_are_the_same(data):
    plain = plans.plan_rolling(data, ROLLING)
    far = plans.plan_rolling(replace(data, time=data.time + 1.7e9), ROLLING)
    np.testing.assert_array_equal(far.starts, plain.starts)
    np.testing.assert_array_equal(far.observation, plain.observation)
    np.testing.assert_array_equal(far.given, plain.given)
    pd.testing.assert_frame_equal(far.groups, plain.groups)


def test_lead_times_are_groups_and_the_horizon_is_their_union(data):
    plan = plans.plan_rolling(data, ROLLING)
    leads = data.time[plan.observation] - data.time[plan.starts[plan.row]]
    for number, group in plan.groups.iterrows():
        entries = plan.entries(number)
        assert set(data.split[plan.observation[entries]]) == {group["split"]}
        if group["horizon"] == plans.ROLLING:
            assert leads[entries].max() == pytest.approx(0.6)
        else:
            np.testing.assert_allclose(leads[entries], float(group["horizon"].removeprefix(plans.LEAD)))
    assert set(plan.groups["horizon"]) == {"rolling", "rolling@0.2", "rolling@0.4", "rolling@0.6"}
    unions = plan.groups.index[plan.groups["horizon"] == plans.ROLLING]
    everything = np.concatenate([plan.entries(number) for number in unions])
    assert sorted(everything) == list(range(len(plan.observation)))


def test_a_stride_leaves_starts_out(data):
    dense, sparse = (
        plans.plan_rolling(data, RollingSettings(past=0.4, horizon=0.6, stride=stride)) for stride in (0.0, 0.5)
    )
    assert set(sparse.starts) < set(dense.starts)
    for code in np.unique(data.trajectory):
        starts = sparse.starts[data.trajectory[sparse.starts] == code]
        assert (np.diff(data.time[starts]) >= 0.5 - 1e-9).all()


def test_irregular_lead_times_are_put_into_bins(linear_data):
    rng = np.random.default_rng(0)
    for name in ("one", "two", "three", "four"):
        own = (linear_data.obs["trajectory"] == name).to_numpy()
        linear_data.obs.loc[own, "time"] = np.sort(rng.uniform(0, 4, own.sum()))
    linear_data.obs["phase"] = linear_data.obs["phase"].cat.rename_categories({"extrapolation": "later"})
    linear_data.obs["phase"] = "fit"
    data = read_observations(linear_data)
    plan = plans.plan_rolling(data, RollingSettings(past=0.0, horizon=2.0))
    names = {name for name in plan.groups["horizon"] if name != plans.ROLLING}
    assert 1 < len(names) <= plans.LEAD_BINS
    leads = data.time[plan.observation] - data.time[plan.starts[plan.row]]
    width = leads.max() / plans.LEAD_BINS
    for number, group in plan.groups.iterrows():
        if group["horizon"] != plans.ROLLING:
            edge = float(group["horizon"].removeprefix(plans.LEAD))
            own = leads[plan.entries(number)]
            assert ((own <= edge + 1e-3) & (own > edge - width - 1e-3)).all()


def test_single_steps_lead_to_the_next_observation_of_a_trajectory_split_and_phase(linear_data):
    linear_data.obs["split"] = linear_data.obs["split"].astype(str)
    linear_data.obs.iloc[[3, 7], linear_data.obs.columns.get_loc("split")] = "validation"
    data = read_observations(linear_data)
    wanted = []
    for first in range(len(data.time)):
        same = (data.trajectory == data.trajectory[first]) & (data.split == data.split[first])
        later = same & (data.phase == data.phase[first]) & (data.time > data.time[first])
        if later.any():
            wanted.append((first, int(np.flatnonzero(later)[np.argmin(data.time[later])])))
    plan = plans.plan_one_step(data)
    found = list(zip(plan.starts.tolist(), plan.observation.tolist(), strict=True))
    assert sorted(found) == wanted
    assert {(2, 4), (3, 7), (6, 8)} <= set(found)
    np.testing.assert_array_equal(plan.row, np.arange(len(found)))
    np.testing.assert_array_equal(plan.position, 1)
    for start, observed, times, state in zip(
        plan.starts, plan.observation, plan.times, plan.initial_states, strict=True
    ):
        assert times.tolist() == [data.time[start], data.time[observed]]
        np.testing.assert_array_equal(state, data.values[start])
    assert set(plan.groups["horizon"]) == {"one_step"}
    assert plans.BOTH in set(plan.groups["split"])


def test_single_steps_skip_observations_of_one_time_and_give_what_is_known(linear_data):
    linear_data.obs.iloc[4, linear_data.obs.columns.get_loc("time")] = linear_data.obs["time"].iloc[3]
    linear_data.uns["sparsenode"]["known_observations"] = 3
    plan = plans.plan_one_step(read_observations(linear_data))
    first = [pair for pair in zip(plan.starts.tolist(), plan.observation.tolist(), strict=True) if pair[0] < 6]
    assert first == [(2, 3), (4, 5), (5, 6)]
    assert set(plan.given) == {3}


def test_no_single_step_is_an_error(linear_data):
    alone = linear_data[linear_data.obs["time"] == 1.0]
    with pytest.raises(UserError, match=r"no one-step forecast is possible: .*evaluation\.one_step: false"):
        plans.plan_one_step(read_observations(alone))


def test_trajectories_too_short_for_rolling_forecasts(data):
    with pytest.raises(UserError, match=r"rolling.past 4 and rolling.horizon 5 .* longest trajectory has 3"):
        plans.plan_rolling(data, RollingSettings(past=4.0, horizon=5.0))


@pytest.mark.parametrize("known", [1, 3])
def test_a_whole_trajectory_starts_at_the_last_known_observation(linear_data, known):
    linear_data.uns["sparsenode"]["known_observations"] = known
    data = read_observations(linear_data)
    plan = plans.plan_trajectories(data)
    np.testing.assert_array_equal(plan.starts, [16 * number + known - 1 for number in range(4)])
    np.testing.assert_array_equal(plan.given, known)
    assert len(plan.observation) == 64 - 4 * (known if known > 1 else 0)


def test_means_over_the_trajectories_of_a_subject(linear_data):
    linear_data.obs["split"] = "test"
    linear_data.obs["subject"] = linear_data.obs["trajectory"].map(
        {"one": "pair", "two": "pair", "three": "c", "four": "d"}
    )
    data = read_observations(linear_data)
    plan = plans.plan_trajectories(data)
    values = np.arange(2 * len(plan.groups), dtype=float).reshape(2, -1)
    named, means = plans.add_means(plan.groups, values)
    for phase in ("fit", "extrapolation"):
        own = plan.groups["phase"].eq(phase) & plan.groups["subject"].eq("pair")
        row = named["trajectory"].eq("subject pair") & named["phase"].eq(phase)
        np.testing.assert_allclose(means[:, row][:, 0], values[:, own].mean(axis=1))
    plain, _ = plans.add_means(plans.plan_trajectories(read_observations(linear_data[:16])).groups, values[:, :2])
    assert not plain["trajectory"].str.startswith("subject").any()


def test_single_lead_times_are_told_as_means_alone(data):
    groups, _ = plans.add_means(
        plans.plan_rolling(data, ROLLING).groups, np.zeros(len(plans.plan_rolling(data, ROLLING).groups))
    )
    told = groups[plans.is_summary(groups)]
    single = told[told["horizon"].str.startswith(plans.LEAD)]
    assert set(single["trajectory"]) == {"all"}
    assert {"one", "all"} <= set(told.loc[told["horizon"] == "rolling", "trajectory"])
