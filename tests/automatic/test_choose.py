"""Settings that are chosen from the data: exact cases of each rule, and data that are awkward."""

from __future__ import annotations

from typing import Any

import anndata
import numpy as np
import pytest

from sparsenode.automatic import rules
from sparsenode.automatic.choose import CHOSEN, choose_settings
from sparsenode.automatic.facts import Facts, read_facts
from sparsenode.automatic.record import BY_HAND, Choices, describe_choices
from sparsenode.automatic.smoothing import smoothing_width
from sparsenode.data.contract import replace_entries
from sparsenode.data.preprocess import assemble
from sparsenode.data.readers.arrays import read_arrays
from sparsenode.errors import UserError
from sparsenode.settings import ModelSettings, WindowSettings


def rotations(count: int = 3, observations: int = 40, *, noise: float = 0.0, rate: float = 2.0) -> tuple[Any, Any]:
    """Rotations (trajectory, time, variable) at a rate, and their times (time,)."""
    times = np.linspace(0.0, 6.0, observations)
    angles = np.arange(count)[:, None] + rate * times
    values = np.stack((np.cos(angles), np.sin(angles)), axis=-1)
    return values + noise * np.random.default_rng(0).standard_normal(values.shape), times


def data_of(values: Any, times: Any = None, *, by: str = "time_blocks") -> anndata.AnnData:
    """Trajectories of arrays with validation data."""
    settings = {"validation": {"by": by, "share": 0.2}, "initial_state": {}, "feature_weight": "movement"}
    return assemble("data", read_arrays(values, times), settings, {})


def reasons(choices: Choices) -> dict[str, str]:
    return {choice.key: choice.reason for choice in choices.choices}


def facts(**changes: Any) -> Facts:
    """Ten trajectories of fifty observations of ten variables, with some facts changed."""
    usual = {
        "features": 10,
        "observations": 500,
        "trajectories": 10,
        "longest": 50,
        "usual": 50,
        "usual_validation": 50,
        "spacing": 0.1,
        "slowest_spacing": 0.1,
        "duration": 5.0,
        "scale": 1.0,
        "noise": 0.05,
        "order": 0.0,
        "branches": False,
        "constant": (),
        "alike": (),
        "moving": 10,
    }
    return Facts(**{**usual, **changes})


def test_the_facts_of_a_rotation_are_known_exactly() -> None:
    measured = read_facts(data_of(*rotations(noise=0.1)))
    assert (measured.features, measured.trajectories, measured.moving) == (2, 3, 2)
    # States and slopes of a rotation at 2 radians have deviations of 1 and 2.
    assert measured.scale == pytest.approx(0.5, rel=0.1)
    assert measured.noise == pytest.approx(0.1 * np.sqrt(2), rel=0.2)
    assert measured.spacing == pytest.approx(6 / 39)
    assert (measured.usual, measured.usual_validation) == (32, 8)
    assert not measured.branches


def test_only_training_and_validation_data_are_looked_at() -> None:
    adata = data_of(*rotations())
    split = adata.obs["split"].astype(str)
    test = (adata.obs["trajectory"] == adata.obs["trajectory"].cat.categories[-1]).to_numpy()
    adata = replace_entries(adata, obs=adata.obs.assign(split=split.where(~test, "test")))
    changed = adata.copy()
    changed.X[test] *= -1e3  # type: ignore[index]
    assert read_facts(adata) == read_facts(changed)
    assert smoothing_width(adata, 0.1) == smoothing_width(changed, 0.1)


def test_every_setting_has_a_value_and_a_reason() -> None:
    choices = choose_settings(data_of(*rotations()), {})
    assert set(CHOSEN) <= set(reasons(choices))
    assert all(reasons(choices).values())
    assert len(describe_choices(choices.choices)) == len(choices.choices)
    assert choices.settings.solver.step == pytest.approx(choices.settings.time_scale / 6, rel=0.01)


@pytest.mark.parametrize(
    "by_hand",
    [
        {"time_scale": 3.0, "windows": None, "decay": None},
        {"windows": {"length": 5, "stride": 5, "batch": None}, "hidden": (3,), "iterations": 9},
        {"order": 2, "matching": None},
        {"network": "biological", "hidden": (6,)},
        {"starts": "learned"},
        {"solver": {"scheme": "dopri5", "step": 0.3, "tolerance": 0.01}},
    ],
)
def test_what_is_set_by_hand_is_left_alone(by_hand: dict[str, Any]) -> None:
    choices = choose_settings(data_of(*rotations()), by_hand)
    chosen = choices.settings.model_dump()
    for key, value in by_hand.items():
        assert chosen[key] == value
        assert reasons(choices)[key] == BY_HAND
    assert list(reasons(choices).values()).count(BY_HAND) == len(by_hand)


@pytest.mark.parametrize("unit", [1e-3, 1.0, 86400.0])
@pytest.mark.parametrize("begin", [0.0, 1.7e9])
def test_the_choices_go_with_the_unit_of_time_and_not_with_its_begin(unit: float, begin: float) -> None:
    values, times = rotations()
    if begin and unit < 1:
        unit = 1.0  # seconds since 1970 have no thousandths in common with each other
    here, there = (choose_settings(data_of(values, at), {}).settings for at in (times, begin + unit * times))
    assert there.time_scale == pytest.approx(unit * here.time_scale, rel=0.01)
    assert there.solver.step == pytest.approx(unit * here.solver.step, rel=0.01)
    assert there.decay == pytest.approx(here.decay / unit, rel=0.01)  # type: ignore[operator]
    assert (there.windows, there.smoothing, there.hidden) == (here.windows, here.smoothing, here.hidden)


def test_oscillators_of_which_only_positions_are_seen_are_of_second_order() -> None:
    times = np.linspace(0.0, 8.0, 50)
    phases = np.linspace(0.0, 5.0, 6)[:, None]
    positions = np.stack((np.cos(times + phases), np.cos(1.7 * times + 2 * phases)), axis=-1)
    assert choose_settings(data_of(positions, times), {}).settings.order == 2
    assert choose_settings(data_of(*rotations()), {}).settings.order == 1


@pytest.mark.parametrize(
    ("changes", "units"), [({}, 21), ({"observations": 40}, 5), ({"features": 200}, 5), ({"observations": 10**6}, 30)]
)
def test_units_grow_with_the_observations(changes: dict[str, Any], units: int) -> None:
    assert rules.choose_hidden(facts(**changes), "per_target").value == (units,)


def test_one_network_per_target_needs_memory_and_a_method_for_it() -> None:
    assert rules.choose_network(facts(), None, fits=True).value == "per_target"
    assert rules.choose_network(facts(), None, fits=False).value == "joint"
    assert rules.choose_network(facts(), "cnode", fits=True).value == "joint"
    assert rules.choose_network(facts(), "grouplasso", fits=False).value == "per_target"
    assert rules.choose_network(facts(features=1000), None, fits=True).value == "joint"
    adata = data_of(*rotations())
    assert choose_settings(adata, {}, memory=10**6).settings.network == "joint"


@pytest.mark.parametrize(
    ("changes", "length"),
    [
        ({}, 5),
        ({"noise": 0.8}, None),
        ({"usual_validation": 5}, 4),
        ({"usual_validation": 3}, None),
        ({"longest": 3, "usual": 3}, None),
        ({"scale": 1000.0, "spacing": 0.1}, 40),
    ],
)
def test_windows_are_as_long_as_the_data_allow(changes: dict[str, Any], length: int | None) -> None:
    usual = facts(**changes)
    windows = rules.choose_windows(usual, usual.scale, usual.scale / 6, 1, is_whole=False).value
    assert (windows and windows.length) == length


def test_windows_are_no_longer_than_the_slowest_trajectory_can_be_solved() -> None:
    # Half a unit of time is 500 observations of a fast trajectory, and of the slow one 5,000 units of time.
    usual = facts(spacing=1e-3, slowest_spacing=10.0, scale=1.0, longest=1000, usual=1000)
    windows = rules.choose_windows(usual, 1.0, 1 / 6, 1, is_whole=False).value
    steps = 0 if windows is None else windows.length * usual.slowest_spacing * 6
    assert steps <= rules.MOST_STEPS


def test_many_windows_are_drawn_in_batches() -> None:
    windows = rules.choose_windows(facts(observations=10**5), 1.0, 1 / 6, 1, is_whole=False).value
    assert windows.batch == rules.MOST_SOLVES


def test_starts_are_learned_where_groups_begin_alike_and_part() -> None:
    branching = facts(branches=True)
    assert rules.choose_starts(branching, 1, windows=False, decay=True).value == "learned"
    assert rules.choose_starts(branching, 1, windows=True, decay=True).value == "given"
    assert rules.choose_starts(branching, 2, windows=False, decay=True).value == "given"
    assert rules.choose_starts(branching, 1, windows=False, decay=False).value == "given"
    assert rules.choose_starts(facts(), 1, windows=False, decay=True).value == "given"


@pytest.mark.parametrize(("apart_at_start", "parts"), [(0.0, True), (2.0, False)])
def test_branches_are_noticed(apart_at_start: float, parts: bool) -> None:
    times = np.linspace(0.0, 3.0, 30)
    noise = 0.02 * np.random.default_rng(0).standard_normal((2, 30, 1))
    values = np.stack([sign * (times + apart_at_start) for sign in (-1.0, 1.0)])[..., None] + noise
    adata = data_of(values, times)
    groups = adata.obs["trajectory"].astype(str)
    assert read_facts(replace_entries(adata, obs=adata.obs.assign(group=groups))).branches is parts
    assert not read_facts(adata).branches  # of one group


def test_smoothing_is_none_without_noise_and_wide_with_it() -> None:
    exact, noisy = data_of(*rotations()), data_of(*rotations(noise=0.3))
    assert smoothing_width(exact, read_facts(exact).noise) == 0
    assert smoothing_width(noisy, read_facts(noisy).noise) >= 4


def test_what_is_chosen_to_smooth_is_nearer_to_the_states() -> None:
    from sparsenode.data.windows import training_rows

    exact, noisy = (data_of(*rotations(noise=noise, observations=120)) for noise in (0.0, 0.2))
    width = smoothing_width(noisy, read_facts(noisy).noise)
    errors = {}
    for smoothing in (0, width):
        starts = training_rows(noisy, windows=(5, 5), smoothing=smoothing, order=1)
        states = training_rows(exact, windows=(5, 5), smoothing=0, order=1)
        errors[smoothing] = float(np.square(starts.initial - states.initial).mean())
    assert errors[width] < 0.5 * errors[0]


def test_too_few_observations_are_refused_with_what_to_do() -> None:
    with pytest.raises(UserError, match="found 7 training and 2 validation observations"):
        read_facts(data_of(*rotations(1, 9)))


def test_few_observations_give_the_simplest_model_with_a_warning() -> None:
    choices = choose_settings(data_of(*rotations(1, 40)), {})
    assert choices.settings.hidden == (rules.LEAST_UNITS,)
    assert "measure more" in choices.warnings[0]


def test_trajectories_of_two_observations_are_solved_whole() -> None:
    values = np.random.default_rng(0).standard_normal((12, 2, 2))
    settings = choose_settings(data_of(values, np.array([0.0, 1.0]), by="trajectory"), {}).settings
    assert (settings.windows, settings.matching) == (None, None)


def test_constant_duplicated_and_multiple_variables_are_named() -> None:
    values, times = rotations()
    first = values[..., :1]
    values = np.concatenate([values, np.full_like(first, 3.0), first, 1 - 2 * values[..., 1:]], axis=-1)
    choices = choose_settings(data_of(values, times), {})
    constant, alike = choices.warnings
    assert "x3" in constant
    assert "x1 and x4, x2 and x5" in alike
    assert np.isfinite(choices.settings.time_scale)


def test_data_that_never_move_are_refused() -> None:
    moving = data_of(*rotations())
    still = moving.copy()
    still.X[:] = 1.0  # type: ignore[index]
    with pytest.raises(UserError, match="no variable changes"):
        read_facts(still)


def test_missing_entries_are_no_hindrance() -> None:
    values, times = rotations(noise=0.05)
    values[np.random.default_rng(1).uniform(size=values.shape) < 0.2] = np.nan
    choices = choose_settings(data_of(values, times), {})
    assert choices.settings.time_scale == pytest.approx(0.5, rel=0.2)


def test_wildly_different_sampling_gives_settings_that_can_be_solved() -> None:
    fast, slow = np.linspace(0, 6, 200), np.linspace(0, 6000, 40)
    values = [np.stack((np.cos(2 * times), np.sin(2 * times)), axis=-1) for times in (fast, slow)]
    settings = choose_settings(data_of(values, [fast, slow]), {}).settings
    trained = 6000.0 * 31 / 39  # the last fifth is held out
    longest = trained if settings.windows is None else settings.windows.length * 6000 / 39
    assert longest / settings.solver.step <= 1.01 * 10 * rules.MOST_STEPS


def test_single_observations_held_out_leave_no_windows() -> None:
    # Some four of two hundred follow each other by chance.
    settings = choose_settings(data_of(*rotations(3, 200), by="observation"), {}).settings
    assert settings.windows is None


def test_contradictions_by_hand_are_named() -> None:
    with pytest.raises(UserError, match="starts: found learned"):
        choose_settings(data_of(*rotations()), {"starts": "learned", "windows": WindowSettings()})


def test_settings_by_hand_are_those_of_a_model() -> None:
    everything = ModelSettings().model_dump()
    choices = choose_settings(data_of(*rotations()), everything)
    assert choices.settings == ModelSettings()


def test_what_ranks_is_chosen_only_where_it_is_asked_for() -> None:
    """The workflow ranks by paths, whatever the data."""
    data = data_of(*rotations())
    assert "ranking" not in reasons(choose_settings(data, {}))
    chosen, by_hand = (choose_settings(data, {}, ranking=ranking).choices[-1] for ranking in ("auto", "costs"))
    assert chosen == rules.choose_ranking(read_facts(data))
    assert chosen.value == "derivatives"
    assert (by_hand.value, by_hand.reason) == ("costs", BY_HAND)
    assert rules.choose_ranking(facts(features=4)).value == "derivatives"
    assert rules.choose_ranking(facts(features=5)).value == "fitted"
    assert rules.choose_ranking(facts(features=4, longest=4)).value == "fitted"
