"""Interventions: forecasts with variables held, beside the true system and beside known fates."""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.stats import spearmanr

from sparsenode.cli import main
from sparsenode.data.contract import read_trajectories, write_trajectories
from sparsenode.data.observations import read_observations
from sparsenode.data.preprocess import assemble
from sparsenode.data.sources import make_source
from sparsenode.dynamics.network import Parameters
from sparsenode.ensemble.members import Ensemble, Member, save_ensemble
from sparsenode.errors import UserError
from sparsenode.files import file_sha256
from sparsenode.interventions.fates import FateCount, Fates, read_fates, uncommitted_starts
from sparsenode.interventions.forecast import evaluate_interventions, tabulate_interventions
from sparsenode.interventions.intervals import member_interval, verdicts
from sparsenode.interventions.requests import Intervention, resolve_interventions
from sparsenode.interventions.settings import InterventionSettings
from sparsenode.interventions.true_effects import NO_EFFECT, TRUTH, TrueEffects, effect_correlation
from sparsenode.labels import UNCLAMPED
from sparsenode.settings import ModelSettings, read_model_settings
from sparsenode.typed import read_settings

OPTIONS = make_source(
    "second_order", {"oscillators": 4, "trajectories": 6, "test_trajectories": 2, "observations": 20, "velocity": 0}
).options
ALL_HELD = InterventionSettings(each="low", clamp={"two": {"x1": 1.5, "x3": "high"}})


@pytest.fixture(scope="module")
def springs() -> anndata.AnnData:
    """Oscillators that start at rest, four trajectories for training and two for the test."""
    settings = {"source": "second_order", "options": OPTIONS, "validation": {"by": "trajectory", "share": 0.25}}
    return assemble("springs", make_source("second_order", OPTIONS).load({}), settings, {})


def true_matrix(adata: anndata.AnnData) -> np.ndarray:
    """What maps (x, x') to x'', (in, target)."""
    facts = adata.uns["sparsenode"]["provenance"]
    position = (facts["coupling"] - np.diag(facts["stiffness"])).T
    return np.concatenate((position, -np.diag(facts["damping"])))


def linear(matrices: Sequence[np.ndarray], method: str = "exact") -> Ensemble:
    """Members x'' = (x, x') matrix that start at rest."""
    weights = torch.as_tensor(np.stack(matrices), dtype=torch.float32)
    count, _, features = weights.shape
    still = (torch.zeros(count, features, features),), (torch.zeros(count, 1, features),)
    parameters = Parameters(
        (weights,), (torch.zeros(count, 1, features),), velocity_weights=still[0], velocity_biases=still[1]
    )
    settings = {
        "dataset": "springs",
        "model": "linear",
        "method": method,
        "model_settings": {"order": 2, "hidden": [], "velocity_hidden": [], "solver": {"step": 0.05}},
        "method_settings": {"regularizer": "none", "strengths": [0.0], "options": {}},
    }
    members = tuple(Member(0.0, seed, "finished", "", 1, 1.0) for seed in range(count))
    return Ensemble(settings, members, tuple(f"x{index + 1}" for index in range(features)), {}, parameters)


def pick(table: pd.DataFrame, **wanted: Any) -> pd.DataFrame:
    keep = np.ones(len(table), bool)
    for name, value in wanted.items():
        keep &= (table[name] == value).to_numpy()
    return table[keep]


CHOSEN = {("linear", "exact"): 0.0}


@pytest.mark.slow(reason="simulates, forecasts and compares whole datasets")
def test_the_true_system_as_a_model_foretells_every_intervention(springs: anndata.AnnData) -> None:
    table = evaluate_interventions(springs, [linear([true_matrix(springs)] * 2)], CHOSEN, ALL_HELD)
    for phase in ("fit", "extrapolation"):
        skills = pick(table, metric="intervention_skill", phase=phase)
        assert len(skills) == 2 * 6  # members, interventions and all
        assert skills["value"].dropna().min() > 0.9999
        assert pick(table, metric="effect_correlation", phase=phase, trajectory="all")["value"].min() > 0.999
        assert pick(table, metric="unclamped_mse", phase=phase)["value"].max() < 1e-6
    assert set(table["status"]) <= {"finished", "undefined"}


@pytest.mark.slow(reason="simulates, forecasts and compares whole datasets")
def test_a_center_changes_neither_truth_nor_forecasts(springs: anndata.AnnData) -> None:
    plain = evaluate_interventions(springs, [linear([true_matrix(springs)])], CHOSEN, ALL_HELD)
    center = np.array([3.0, 0.0, -2.0, 0.5])
    centered, facts = springs.copy(), springs.uns["sparsenode"]
    centered.X = springs.X - center.astype(np.float32)
    centered.layers["noise_free"] = springs.layers["noise_free"] - center.astype(np.float32)
    states = facts["initial_states"] - center
    centered.uns["sparsenode"] = {**facts, "center": center, "initial_states": states}
    model = linear([true_matrix(springs)])
    # The model of the data less the center: the same forces at the same places.
    force = torch.as_tensor(center @ true_matrix(springs)[:4], dtype=torch.float32)
    shifted = replace(model, parameters=replace(model.parameters, biases=(force.expand(1, 1, 4).clone(),)))
    found = evaluate_interventions(centered, [shifted], CHOSEN, ALL_HELD)
    assert found["status"].tolist() == plain["status"].tolist()
    np.testing.assert_allclose(found["value"], plain["value"], rtol=1e-2, atol=1e-4)


def test_where_all_variables_are_held_nothing_is_left_to_compare(springs: anndata.AnnData) -> None:
    clamp = {"all_of_them": {f"x{number}": "low" for number in range(1, 5)}}
    message = "dataset springs: the intervention 'all_of_them' holds every variable, so that nothing is left to follow"
    with pytest.raises(UserError, match=message):
        resolve_interventions(read_observations(springs), InterventionSettings(each="low", clamp=clamp), "springs")
    data = read_observations(springs)
    single = replace(data, values=data.values[:, :1], features=("x1",))
    with pytest.raises(UserError, match="the intervention 'x1 high' holds every variable"):
        resolve_interventions(single, InterventionSettings(each="high"), "springs")


@pytest.mark.slow(reason="simulates, forecasts and compares whole datasets")
def test_a_model_without_couplings_is_as_good_as_claiming_no_effect(springs: anndata.AnnData) -> None:
    matrix = true_matrix(springs)
    own = np.concatenate((np.diag(matrix[:4].diagonal()), matrix[4:]))
    table = evaluate_interventions(springs, [linear([own])], CHOSEN, ALL_HELD)
    effects = pick(table, metric="effect", method="exact")
    assert not effects["value"].any()
    correlations = pick(table, metric="effect_correlation")
    assert set(correlations["status"]) == {"undefined"}
    assert correlations["value"].isna().all()


@pytest.mark.slow(reason="simulates, forecasts and compares whole datasets")
def test_errors_are_means_over_trajectories_times_and_the_other_variables(springs: anndata.AnnData) -> None:
    """By hand, with the solver of the source and the forecasts of the model."""
    matrix = true_matrix(springs)
    wrong = matrix.copy()
    wrong[1, 2] += 0.3
    ensemble = linear([matrix, wrong])
    table = evaluate_interventions(
        springs, [ensemble], CHOSEN, InterventionSettings(clamp={"two": {"x1": 1.5, "x3": -1}})
    )
    facts = springs.uns["sparsenode"]
    names = [str(name) for name in facts["initial_states"].index[-2:]]
    system = make_source("second_order", {}).system_from_provenance(
        {"options": OPTIONS, "scale": facts["scale"], **facts["provenance"]}
    )
    clamp = {"x1": 1.5, "x3": -1.0}
    held, trivial, free = [], [], []
    for name in names:
        rows = (springs.obs["trajectory"] == name).to_numpy()
        within = (springs.obs["phase"][rows] == "fit").to_numpy()
        times = springs.obs["time"][rows].to_numpy()
        start = springs.layers["noise_free"][rows][:1].astype(float)
        with_clamp = system.solve(start, times[None], {0: 1.5, 2: -1.0})[0][within][:, [1, 3]]
        without = system.solve(start, times[None])[0][within][:, [1, 3]]
        given = facts["initial_states"].loc[[name]].to_numpy()
        predicted = ensemble.forecast(given, [times], clamp=clamp)[0][1][within][:, [1, 3]]
        unclamped = ensemble.forecast(given, [times])[0][1][within][:, [1, 3]]
        held.append(np.square(predicted - with_clamp).mean())
        trivial.append(np.square(without - with_clamp).mean())
        free.append(np.square(unclamped - without).mean())
    of_two = {"trajectory": "two", "phase": "fit"}
    assert pick(table, metric="intervention_mse", seed=1, **of_two)["value"].item() == pytest.approx(np.mean(held))
    assert pick(table, method=NO_EFFECT, **of_two)["value"].item() == pytest.approx(np.mean(trivial))
    assert pick(table, metric="unclamped_mse", seed=1, **of_two)["value"].item() == pytest.approx(np.mean(free))
    skill = pick(table, metric="intervention_skill", seed=1, **of_two)
    assert skill["value"].item() == pytest.approx(1 - np.mean(held) / np.mean(trivial))
    assert set(skill["reference"]) == {NO_EFFECT}
    assert set(pick(table, metric="effect", method=TRUTH)["reference"]) == {"x2", "x4"}


def test_nothing_else_changes_where_no_edge_leads(springs: anndata.AnnData) -> None:
    """A sink has no skill to be scored, and is told to have none."""
    alone = springs.copy()
    coupling = alone.uns["sparsenode"]["provenance"]["coupling"].copy()
    coupling[:, 3] = 0.0
    alone.uns["sparsenode"] = {**alone.uns["sparsenode"]}
    alone.uns["sparsenode"]["provenance"] = {**alone.uns["sparsenode"]["provenance"], "coupling": coupling}
    held = InterventionSettings(clamp={"sink": {"x4": 0.0}, "other": {"x1": 2.0, "x2": 2.0, "x3": 2.0}})
    table = evaluate_interventions(alone, [linear([true_matrix(alone)])], CHOSEN, held)
    sink = pick(table, metric="intervention_skill", trajectory="sink")
    assert sink["value"].isna().all()
    assert set(sink["reason"]) == {"nothing else changes in truth"}
    assert pick(table, metric="intervention_skill", trajectory="all", phase="fit")["value"].item() > 0.999


@pytest.mark.slow(reason="simulates, forecasts and compares whole datasets")
def test_a_forecast_that_explodes_is_told_and_spoils_no_other(springs: anndata.AnnData) -> None:
    matrix = true_matrix(springs)
    wild = matrix + 500.0 * np.eye(8, 4)
    table = evaluate_interventions(springs, [linear([matrix, wild])], CHOSEN, ALL_HELD)
    errors = pick(table, metric="intervention_mse", trajectory="all", phase="extrapolation", method="exact")
    assert list(errors["status"]) == ["finished", "not_finite"]
    skills = pick(table, metric="intervention_skill", trajectory="all", phase="extrapolation", method="exact")
    assert list(skills["status"]) == ["finished", "not_finite"]
    assert set(skills["reason"]) == {""}


@pytest.mark.slow(reason="simulates, forecasts and compares whole datasets")
def test_only_finished_members_of_the_chosen_strength_are_forecast(springs: anndata.AnnData) -> None:
    ensemble = linear([true_matrix(springs)] * 3)
    members = (
        ensemble.members[0],
        replace(ensemble.members[1], strength=1.0),
        replace(ensemble.members[2], status="diverged"),
    )
    table = evaluate_interventions(springs, [replace(ensemble, members=members)], CHOSEN, ALL_HELD)
    assert set(pick(table, method="exact")["seed"]) == {0}
    none = evaluate_interventions(springs, [ensemble], {("linear", "exact"): None}, ALL_HELD)
    (row,) = pick(none, method="exact").itertuples()
    assert (row.metric, row.status, np.isnan(row.value)) == ("intervention_mse", "undefined", True)


def test_words_are_the_range_of_the_training_data(springs: anndata.AnnData) -> None:
    data = read_observations(springs)
    found = resolve_interventions(data, ALL_HELD, "springs")
    assert [one.name for one in found] == ["two", "x1 low", "x2 low", "x3 low", "x4 low"]
    training = springs.X[((springs.obs["split"] == "train") & (springs.obs["phase"] == "fit")).to_numpy()]
    assert found[0].clamp == {"x1": 1.5, "x3": float(training[:, 2].max())}
    assert found[2].clamp == {"x2": float(training[:, 1].min())}
    assert list(found[0].free(data.features)) == [False, True, False, True]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"clamp": {"one": {"X9": 0.0}}},
            "interventions.clamp.one: no variable is named 'X9'; the nearest: x1, x2, x3",
        ),
        ({"clamp": {"all": {"x1": 0.0}}}, "interventions.clamp: found the name 'all'; allowed: another name, since"),
        (
            {"clamp": {"one": {"x1": 0.0}}, "expected": {"one": {"lost": ["monocyte"]}}},
            "interventions.expected.one.lost: no group of trajectories is named 'monocyte'; there are: all",
        ),
        ({}, "interventions: found neither clamp nor each"),
    ],
)
def test_what_the_data_do_not_have_is_named(springs: anndata.AnnData, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        resolve_interventions(
            read_observations(springs), read_settings(InterventionSettings, settings, "interventions"), "springs"
        )


def test_unknown_settings_are_named() -> None:
    with pytest.raises(UserError, match=r"interventions: unknown key: found \"clmap\""):
        read_settings(InterventionSettings, {"clmap": {}}, "interventions")


def test_a_start_from_within_cannot_be_compared_with_the_true_system(springs: anndata.AnnData) -> None:
    within = springs.copy()
    within.uns["sparsenode"] = {**within.uns["sparsenode"], "known_observations": 3}
    with pytest.raises(UserError, match=r"start from observation 3 .* set initial_state\.known to 1"):
        evaluate_interventions(within, [], {}, ALL_HELD)


def test_without_test_trajectories_there_is_nothing_to_compare_on(springs: anndata.AnnData) -> None:
    training = springs.copy()
    training.obs["split"] = training.obs["split"].cat.rename_categories({"test": "validation", "validation": "test2"})
    training.obs["split"] = training.obs["split"].astype(str).replace("test2", "validation").astype("category")
    with pytest.raises(UserError, match="no trajectory is test data"):
        evaluate_interventions(training, [], {}, ALL_HELD)


def test_effects_that_are_rounding_errors_have_no_rank() -> None:
    true = np.array([0.0, 1e-17, -1e-17, 0.5, -0.7])
    found = np.array([1e-6, -1e-6, 0.0, 0.4, -0.1])
    assert effect_correlation(found, true, 1e-4) == pytest.approx(1.0)
    assert effect_correlation(found, true) < 0.99


def test_rank_correlation_is_that_of_spearman() -> None:
    generator = np.random.default_rng(0)
    one, other = generator.integers(0, 5, 30).astype(float), generator.normal(size=30)
    assert effect_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic)
    assert effect_correlation(other, np.exp(other)) == pytest.approx(1.0)
    for undefined in (np.ones(30), np.append(other[:-1], np.nan)):
        assert np.isnan(effect_correlation(undefined, other))
    assert np.isnan(effect_correlation(other[:2], other[:2]))


# Two attractors: a and b repress each other, c follows a; without noise the first difference decides.
GENES = ("a", "b", "c")


def toggle(state: np.ndarray) -> np.ndarray:
    a, b, c = state
    return np.array([1 / (1 + (4 * b) ** 4) - a, 1 / (1 + (4 * a) ** 4) - b, a - c])


def solve_toggle(start: np.ndarray, times: np.ndarray, clamp: Mapping[str, float]) -> np.ndarray:
    free = np.array([gene not in clamp for gene in GENES])
    first = np.where(free, start, [clamp.get(gene, 0.0) for gene in GENES])
    found = solve_ivp(lambda _, state: np.where(free, toggle(state), 0.0), (0, times[-1]), first, t_eval=times)
    return found.y.T


@dataclass(frozen=True)
class Toggle:
    """An ensemble whose members are the true switch, the second of them with a bias towards b."""

    members: tuple[Member, ...] = (Member(0.0, 0, "finished", "", 1, 1.0), Member(0.0, 1, "finished", "", 1, 1.0))
    features: tuple[str, ...] = GENES
    groups: tuple[str, ...] = ()
    settings: Mapping[str, str] = None  # type: ignore[assignment]

    @property
    def model_settings(self) -> ModelSettings:
        return read_model_settings({})

    def select(self, rows: Sequence[int]) -> Toggle:
        return replace(self, members=tuple(self.members[row] for row in rows))

    def forecast(
        self, initial_states: np.ndarray, times: Sequence[np.ndarray], *, clamp: Mapping[str, float], **_: Any
    ) -> list[np.ndarray]:
        biases = [np.array([0.0, 0.4 * member.seed, 0.0]) for member in self.members]
        return [
            np.stack([solve_toggle(state + bias, row - row[0], clamp) for bias in biases])
            for state, row in zip(initial_states, times, strict=True)
        ]


@pytest.fixture(scope="module")
def branches() -> anndata.AnnData:
    """Two branches from nearly one start, one into each attractor."""
    times = np.linspace(0.0, 12.0, 60)
    starts = {"to_a": np.array([0.42, 0.4, 0.0]), "to_b": np.array([0.4, 0.42, 0.0])}
    values = [solve_toggle(start, times, {}) for start in starts.values()]
    names = list(starts)
    obs = pd.DataFrame(
        {
            "trajectory": pd.Categorical(np.repeat(names, 60)),
            "group": pd.Categorical(np.repeat(names, 60)),
            "subject": pd.Categorical(np.repeat(names, 60)),
            "split": pd.Categorical(np.tile(np.repeat(["train", "test"], [50, 10]), 2)),
            "phase": pd.Categorical(["fit"] * 120),
            "time": np.tile(times, 2),
            "weight": 1.0,
        },
        index=[str(number) for number in range(120)],
    )
    adata = anndata.AnnData(np.concatenate(values).astype(np.float32), obs=obs)
    adata.var_names = list(GENES)
    adata.uns["sparsenode"] = {
        "name": "branches",
        "value_unit": "activity",
        "time_unit": "step",
        "initial_states": pd.DataFrame(np.stack(list(starts.values())), index=names, columns=list(GENES)),
        "settings": json.dumps({"source": "krumsiek11"}),
    }
    return adata


TOGGLE = Toggle(settings={"dataset": "branches", "model": "switch", "method": "true"})
HELD = InterventionSettings(
    clamp={"without_a": {"a": 0}, "without_b": {"b": "low"}, "more_a": {"a": "high"}, "without_c": {"c": 0}},
    expected={
        "without_a": {"lost": ("to_a",), "gained": ("to_b",)},
        "more_a": {"lost": ("to_b",)},
        "without_c": {"lost": ("to_a",)},  # which is wrong: c decides nothing
    },
)


def shares(table: pd.DataFrame, intervention: str, seed: int = -1) -> dict[str, float]:
    found = pick(table, metric="fate_share", trajectory=intervention, seed=seed)
    return dict(zip(found["reference"], found["value"], strict=True))


def test_a_switch_loses_the_fate_of_the_gene_that_is_knocked_out(branches: anndata.AnnData) -> None:
    table = evaluate_interventions(branches, [TOGGLE], {("switch", "true"): 0.0}, HELD)
    # The first member ends where the branches end; the second is pushed towards b from every start but late ones.
    free = shares(table, UNCLAMPED, seed=0)
    assert free == {"to_a": 0.5, "to_b": 0.5, "none": 0.0}
    assert shares(table, UNCLAMPED, seed=1)["to_b"] > 0.5
    assert shares(table, "without_a") == {"to_a": 0.0, "to_b": 1.0, "none": 0.0}
    assert shares(table, "without_b") == {"to_a": 1.0, "to_b": 0.0, "none": 0.0}
    assert shares(table, "more_a")["to_b"] == 0.0
    together = [np.mean([shares(table, UNCLAMPED, seed)[fate] for seed in (0, 1)]) for fate in ("to_a", "to_b")]
    assert [shares(table, UNCLAMPED)[fate] for fate in ("to_a", "to_b")] == pytest.approx(together)


def test_agreement_with_what_is_known(branches: anndata.AnnData) -> None:
    table = evaluate_interventions(branches, [TOGGLE], {("switch", "true"): 0.0}, HELD)
    agreement = pick(table, metric="fate_agreement", seed=-1).set_index("trajectory")["value"]
    assert agreement.to_dict() == {"without_a": 1.0, "more_a": 1.0, "without_c": 0.0, "all": pytest.approx(2 / 3)}


class Inert(Toggle):
    """A model on which no intervention has an effect: all forecasts end at b, or, of the second member, at a."""

    def forecast(self, initial_states: np.ndarray, times: Any, **_: Any) -> list[np.ndarray]:  # noqa: ARG002
        ends = [np.tile(end, (2, 1)) for end in ([0.0, 1.0, 0.0], [1.0, 0.0, 1.0])]
        return [np.stack([ends[member.seed] for member in self.members]) for _ in initial_states]


def test_a_model_on_which_interventions_do_nothing_never_agrees(branches: anndata.AnnData) -> None:
    held = HELD.changed(expected=HELD.expected | {"without_b": {"gained": ("to_a",)}})
    table = evaluate_interventions(branches, [Inert(settings=TOGGLE.settings)], {("switch", "true"): 0.0}, held)
    # The first member has no fate a that could be lost, the second all of it, so that none can be gained.
    assert (
        shares(table, UNCLAMPED, seed=0)["to_b"],
        shares(table, UNCLAMPED, seed=1)["to_a"],
    ) == (1.0, 1.0)
    agreement = pick(table, metric="fate_agreement")
    assert len(agreement) == 15  # of three rows each: both together, and each member
    assert (agreement["value"] == 0.0).all()
    assert set(agreement["status"]) == {"finished"}


@pytest.mark.parametrize(
    ("without", "with_it", "agrees"),
    [
        ((0.5, 0.5), (0.0, 1.0), True),
        ((0.5, 0.25), (0.4, 0.3), True),
        ((0.5, 0.5), (0.5, 0.5), False),
        ((0.0, 1.0), (0.0, 1.0), False),  # nothing to lose
        ((0.0, 0.5), (0.0, 1.0), False),
        ((0.5, 0.5), (0.0, 0.5), False),  # what is lost leads nowhere
        ((0.5, 0.25), (0.6, 0.4), False),
        ((1.0, 0.0), (0.5, 0.0), False),
    ],
)
def test_a_loss_and_a_gain_are_changes(
    branches: anndata.AnnData, without: tuple[float, float], with_it: tuple[float, float], agrees: bool
) -> None:
    count = FateCount.make(read_observations(branches), [], HELD)
    found, before = (np.array([[*both, 1 - sum(both)]]) for both in (with_it, without))
    one = Intervention("without_a", {"a": 0.0}, ("to_a",), ("to_b",))
    assert count._agreement(one, before, found).tolist() == [float(agrees)]


def test_fates_have_intervals_over_members_and_verdicts(branches: anndata.AnnData) -> None:
    """Both members lose fate a without a; what one of them gains and the other does not cannot be told."""
    data = read_observations(branches)
    count = FateCount.make(data, resolve_interventions(data, HELD, "branches"), HELD)
    table = count.table(TOGGLE, coverage=0.9)
    rows = table.set_index(["intervention", "fate"])
    for name in HELD.clamp:
        assert rows.loc[name, "change"].sum() == pytest.approx(0.0)
        sizes = table[table["intervention"] == name]["change"].abs()
        assert sizes.is_monotonic_decreasing
    evaluated = evaluate_interventions(branches, [TOGGLE], {("switch", "true"): 0.0}, HELD)
    for fate, share in shares(evaluated, "without_a").items():
        assert rows.loc[("without_a", fate), "share"] == share
    unclamped = [shares(evaluated, UNCLAMPED, seed)["to_b"] for seed in (0, 1)]
    # By hand: Student's distribution with one degree of freedom over two members.
    member = [
        np.array([shares(evaluated, name, seed)["to_b"] - free for seed, free in enumerate(unclamped)])
        for name in ("without_a", "without_c")
    ]
    reach = 6.313751514675041 * member[0].std(ddof=1)
    row = rows.loc[("without_a", "to_b")]
    assert row["lower"] == pytest.approx(max(member[0].mean() - reach, -1))
    assert row["upper"] == pytest.approx(min(member[0].mean() + reach, 1))
    assert (rows.loc["without_c", "change"] == 0).all()
    assert set(rows.loc["without_c", "verdict"]) == {"cannot be told"}


class Copies(Toggle):
    """Members that are alike, so that nothing about them is uncertain."""

    def forecast(self, initial_states: np.ndarray, times: Any, *, clamp: Mapping[str, float], **_: Any) -> Any:
        return [
            np.repeat(states[:1], len(self.members), axis=0)
            for states in super().forecast(initial_states, times, clamp=clamp)
        ]


def test_what_all_members_agree_on_is_told_and_the_same_again(branches: anndata.AnnData) -> None:
    model = Copies(members=(*TOGGLE.members, TOGGLE.members[0]), settings=TOGGLE.settings)
    chosen = {("switch", "true"): 0.0}
    effects, fates = tabulate_interventions(branches, [model], chosen, HELD)
    by_fate = fates.set_index(["intervention", "fate"])["verdict"]
    assert by_fate[("without_a", "to_a")] == "down"
    assert by_fate[("without_a", "to_b")] == "up"
    on_b = effects.set_index(["intervention", "variable"]).loc[("without_a", "b")]
    assert (on_b["verdict"], on_b["agreement"]) == ("up", 1.0)
    assert on_b["lower"] == on_b["effect"] == on_b["upper"]
    again = tabulate_interventions(branches, [model], chosen, HELD)
    pd.testing.assert_frame_equal(effects, again[0])
    pd.testing.assert_frame_equal(fates, again[1])
    ranks = effects[effects["intervention"] == "more_a"]
    assert ranks["rank"].tolist() == [1, 2]
    assert ranks["relative"].abs().is_monotonic_decreasing


def test_a_single_member_or_none_tells_nothing(branches: anndata.AnnData) -> None:
    single = TOGGLE.select([0])
    effects, fates = tabulate_interventions(branches, [single], {("switch", "true"): 0.0}, HELD)
    assert set(effects["verdict"]) == set(fates["verdict"]) == {"cannot be told"}
    assert effects["lower"].isna().all()
    none = tabulate_interventions(branches, [single], {("switch", "true"): None}, HELD)
    assert [len(table) for table in none] == [0, 0]
    assert list(none[0].columns) == list(effects.columns)
    assert list(none[1].columns) == list(fates.columns)


def test_an_interval_is_students_about_the_median() -> None:
    values = np.random.default_rng(0).normal(size=(7, 3))
    values[0, 2] = np.inf
    center, lower, upper = member_interval(values, 0.9)
    np.testing.assert_allclose(center, np.median(values, axis=0))
    np.testing.assert_allclose((upper - lower)[:2] / 2, 1.9431802805153022 * values[:, :2].std(axis=0, ddof=1))
    assert np.isnan(lower[2])
    assert verdicts(np.array([0.1, -2.0, -1.0, np.nan]), np.array([0.2, -1.0, 1.0, np.nan]), 7) == [
        "up",
        "down",
        "cannot be told",
        "cannot be told",
    ]


@pytest.mark.parametrize(("members", "verdict"), [(1, "cannot be told"), (2, "cannot be told"), (3, "up")])
def test_two_members_that_agree_by_chance_tell_nothing(members: int, verdict: str) -> None:
    _, lower, upper = member_interval(np.full((members, 1), 0.25), 0.9)
    assert verdicts(lower, upper, members) == [verdict]


def test_a_model_that_reaches_no_fate_does_not_agree(branches: anndata.AnnData) -> None:
    class Stuck(Toggle):
        def forecast(self, initial_states: np.ndarray, times: Any, **_: Any) -> list[np.ndarray]:  # noqa: ARG002
            return [np.tile([0.41, 0.41, 0.0], (len(self.members), 2, 1)) for _ in initial_states]

    stuck = Stuck(settings=TOGGLE.settings)
    table = evaluate_interventions(branches, [stuck], {("switch", "true"): 0.0}, HELD)
    assert shares(table, UNCLAMPED) == {"to_a": 0.0, "to_b": 0.0, "none": 1.0}
    agreement = pick(table, metric="fate_agreement")
    assert (agreement["value"] == 0.0).all()


def test_a_model_that_leads_nowhere_does_not_agree(branches: anndata.AnnData) -> None:
    class Astray(Toggle):
        def forecast(
            self, initial_states: np.ndarray, times: Any, *, clamp: Mapping[str, float], **_: Any
        ) -> list[np.ndarray]:
            found = super().forecast(initial_states, times, clamp=clamp)
            return [forecast + 100.0 * bool(clamp) for forecast in found]

    astray = Astray(settings=TOGGLE.settings)
    table = evaluate_interventions(branches, [astray], {("switch", "true"): 0.0}, HELD)
    agreement = pick(table, metric="fate_agreement", seed=-1).set_index("trajectory")["value"]
    assert agreement["without_a"] == 0.0
    assert agreement["more_a"] == 1.0  # of which nothing that is gained is named


def test_states_before_commitment_are_nearer_to_the_common_start(branches: anndata.AnnData) -> None:
    data = read_observations(branches)
    fates = read_fates(data)
    assert fates.names == ("to_a", "to_b")
    np.testing.assert_allclose(fates.ends[0], branches.X[40:50].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(fates.start, [0.41, 0.41, 0.0])
    starts = uncommitted_starts(data, fates, 4, 2.0)
    assert len(starts.states) == 8
    np.testing.assert_array_equal(starts.states[0], [0.42, 0.4, 0.0])
    for state, number, times in zip(starts.states, starts.observations, starts.times, strict=True):
        end = fates.ends[number // 60]
        assert np.linalg.norm(state - fates.start) < np.linalg.norm(state - end)
        assert times[1] - times[0] == pytest.approx(2.0 * np.ptp(data.time[:50]))
    # The last of them is the last one of that kind.
    after = data.values[starts.observations[3] + 1]
    assert np.linalg.norm(after - fates.start) >= np.linalg.norm(after - fates.ends[0])


def test_an_end_is_that_of_the_nearest_fate_or_of_none() -> None:
    fates = Fates(("left", "right"), np.array([[-1.0, 0.0, 9.0], [1.0, 0.0, 9.0]]), np.array([0.0, 1.0, 9.0]))
    states = [
        [-0.9, 0.1, 0.0],
        [0.8, -0.5, 0.0],
        [0.1, 0.9, 0.0],
        [40.0, 0.0, 0.0],
        [np.nan, 0.0, 0.0],
        [-np.inf, 0, 0],
    ]
    free = np.array([True, True, False])
    assert fates.classify(np.array(states), free).tolist() == [0, 1, 2, 2, 2, 2]


def test_learned_starts_are_the_only_ones_of_such_a_model(branches: anndata.AnnData) -> None:
    asked = []

    class Learned(Toggle):
        def forecast(self, initial_states: np.ndarray, times: Any, **told: Any) -> list[np.ndarray]:
            asked.append((told["groups"], initial_states))
            return super().forecast(initial_states, times, clamp=told["clamp"])

    learned = Learned(groups=("to_a", "to_b"), settings=TOGGLE.settings)
    evaluate_interventions(branches, [learned], {("switch", "true"): 0.0}, HELD)
    assert len(asked) == 5
    for groups, states in asked:
        assert groups == ["to_a", "to_b"]
        np.testing.assert_array_equal(states, branches.uns["sparsenode"]["initial_states"])


@pytest.mark.slow(reason="simulates, forecasts and compares whole datasets")
def test_a_gene_network_that_can_be_simulated_again_is_compared_with_itself() -> None:
    options = make_source("hill", {"nodes": 5, "trajectories": 4, "test_trajectories": 2, "observations": 10}).options
    adata = assemble("genes", make_source("hill", options).load({}), {"source": "hill", "options": options}, {})
    system = make_source("hill", {}).system_from_provenance(adata.uns["sparsenode"]["provenance"])

    class Genes(Toggle):
        def forecast(
            self, initial_states: np.ndarray, times: Any, *, clamp: Mapping[str, float], **_: Any
        ) -> list[np.ndarray]:
            held = {list(adata.var_names).index(name): value for name, value in clamp.items()}
            return [np.stack([one] * 2) for one in system.solve(initial_states, np.stack(times), held)]

    genes = Genes(features=tuple(adata.var_names), settings={"dataset": "genes", "model": "true", "method": "true"})
    table = evaluate_interventions(adata, [genes], {("true", "true"): 0.0}, InterventionSettings(each="high"))
    assert pick(table, metric="intervention_skill", trajectory="all")["value"].min() == pytest.approx(1.0)
    assert pick(table, metric="effect_correlation", trajectory="all")["value"].min() == pytest.approx(1.0)
    assert pick(table, method=NO_EFFECT, trajectory="all")["value"].min() > 1e-3


def test_one_group_has_no_fates(branches: anndata.AnnData) -> None:
    single = branches.copy()
    single.obs["group"] = pd.Categorical(["all"] * 120)
    with pytest.raises(UserError, match="can be simulated again, or trajectories of two groups"):
        evaluate_interventions(single, [], {}, InterventionSettings(each="low"))


def test_the_expected_fates_are_those_of_the_published_rules(repository: Path) -> None:
    """Which steady states the Boolean network reaches from its start, one gene at a time, with a gene held."""
    import yaml

    place = importlib.util.find_spec("scanpy").submodule_search_locations[0]
    text = (Path(place) / "sim_models/krumsiek11.txt").read_text(encoding="utf-8").replace("Pu.1", "Pu1")
    rules = dict(re.findall(r"^(\w+) = (.+)$", text.partition("# coupling list")[0], re.MULTILINE))
    assert len(rules) == 11
    fates = {
        "monocyte": {"Cebpa", "Pu1", "cJun", "EgrNab"},
        "neutrophil": {"Cebpa", "Pu1", "Gfi1"},
        "erythrocyte": {"Gata1", "Fog1", "EKLF", "SCL"},
        "megakaryocyte": {"Gata1", "Fog1", "Fli1", "SCL"},
    }
    assert lost_fates(rules, {}, fates) == set()
    entry = yaml.safe_load((repository / "config.yaml").read_text())["datasets"]["krumsiek11"]["interventions"]
    assert set(entry["expected"]) == set(entry["clamp"])
    for name, clamp in entry["clamp"].items():
        ((gene, value),) = clamp.items()
        held = {gene.replace(".", ""): value == "high"}
        expected = entry["expected"][name]
        lost = lost_fates(rules, held, fates)
        assert lost == set(expected["lost"]), name
        assert expected["gained"], name
        assert not lost & set(expected["gained"]), name


def lost_fates(rules: Mapping[str, str], held: Mapping[str, bool], fates: Mapping[str, set[str]]) -> set[str]:
    start = frozenset(gene for gene in rules if held.get(gene, gene in {"Gata2", "Cebpa", "Pu1"}))
    seen, waiting, steady = {start}, [start], []
    while waiting:
        state = waiting.pop()
        values = {gene: gene in state for gene in rules}
        following = {gene: bool(eval(rule, {}, values)) for gene, rule in rules.items()}  # noqa: S307 scanpy's own file
        changed = [state ^ {gene} for gene in rules if gene not in held and following[gene] != values[gene]]
        if not changed:
            steady.append(state)
        waiting.extend(one for one in changed if one not in seen)
        seen.update(changed)
    reached = [state - set(held) for state in steady]
    return {name for name, on in fates.items() if on - set(held) not in reached}


@pytest.fixture
def files(springs: anndata.AnnData, tmp_path: Path) -> dict[str, Path]:
    """Data, a model, its settings and its choice, as the workflow writes them."""
    found = {name: tmp_path / name for name in ("data.h5ad", "model.safetensors", "settings.json", "selection")}
    write_trajectories(springs, found["data.h5ad"])
    ensemble = linear([true_matrix(springs)])
    save_ensemble(
        found["model.safetensors"],
        ensemble.parameters,
        ensemble.members,
        ensemble.settings,
        ensemble.features,
        {"data_sha256": file_sha256(found["data.h5ad"])},
    )
    found["settings.json"].write_text(json.dumps(ensemble.settings))
    (found["selection"] / "linear").mkdir(parents=True)
    (found["selection"] / "linear" / "exact.json").write_text(json.dumps({"chosen": 0.0}))
    return found


def call(files: Mapping[str, Path], output: Path, interventions: Mapping[str, Any], *flags: str) -> int:
    named = {"data": "data.h5ad", "models": "model.safetensors", "settings": "settings.json", "selection": "selection"}
    given = itertools.chain.from_iterable((f"--{flag}", str(files[name])) for flag, name in named.items())
    told = ["--interventions", json.dumps(interventions), "--output", str(output)]
    return main(["forecast-interventions", *given, *told, *flags])


@pytest.mark.slow(reason="simulates, forecasts and compares whole datasets")
def test_from_files_to_a_table(files: dict[str, Path], tmp_path: Path) -> None:
    """The data come back from the file with all that it takes to simulate them again."""
    output = tmp_path / "interventions.parquet"
    tables = [tmp_path / f"{name}.csv" for name in ("effects", "fates")]
    assert call(files, output, {"each": "high"}, "--effects", str(tables[0]), "--fates", str(tables[1])) == 0
    table = pd.read_parquet(output)
    effects, fates = map(pd.read_csv, tables)
    assert len(effects) == 4 * 3
    assert fates.empty  # oscillators have no groups
    assert set(table["dataset"]) == {"springs"}
    assert pick(table, metric="intervention_skill", trajectory="all", phase="fit")["value"].item() > 0.999
    expected = evaluate_interventions(
        read_trajectories(files["data.h5ad"]),
        [linear([true_matrix(read_trajectories(files["data.h5ad"]))])],
        CHOSEN,
        InterventionSettings(each="high"),
    )
    pd.testing.assert_frame_equal(table, expected)


@pytest.mark.slow(reason="trains and forecasts")
def test_from_files_errors_are_one_line(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "interventions.parquet"
    assert call(files, output, {"clamp": {"one": {"x11": 0}}}) == 1
    assert "no variable is named 'x11'; the nearest: x1" in capsys.readouterr().err
    (files["selection"] / "linear" / "exact.json").unlink()
    assert call(files, output, {"each": "low"}) == 1
    assert "exact.json is missing; run again" in capsys.readouterr().err
    assert not output.exists()


def test_ends_words_and_starts_are_those_of_observed_entries(branches: anndata.AnnData) -> None:
    """Values that no number is taken from may as well be missing."""
    complete = read_observations(branches)
    settings = InterventionSettings(clamp={"held": {complete.features[0]: "low", complete.features[1]: "high"}})
    training = complete.values[complete.training]
    holes = np.random.default_rng(0).random(complete.values.shape) < 0.3
    holes |= np.isin(complete.values, [training[:, 0].min(), training[:, 1].max()])
    holes[[complete.rows_of(code)[0] for code in range(len(complete.trajectory_names))]] = False
    holes[:, 0] &= ~holes.all(axis=1)
    data = replace(complete, values=np.where(holes, np.nan, complete.values))
    clamp = resolve_interventions(data, settings, "toggle")[0].clamp
    seen = data.values[data.training]
    assert list(clamp.values()) == [np.nanmin(seen[:, 0]), np.nanmax(seen[:, 1])]
    fates, of_complete = read_fates(data), read_fates(complete)
    np.testing.assert_allclose(fates.ends, of_complete.ends, atol=0.2)
    starts = uncommitted_starts(data, fates, 4, 2.0)
    assert np.isfinite(starts.states).all()
    missing = np.isnan(data.values[starts.observations])
    first = starts.states == data.initial_states[data.trajectory[starts.observations]]
    agrees = starts.states == data.states[starts.observations]
    assert (agrees | first).all()
    assert missing.any()


def test_variables_are_held_on_the_usual_test_trajectories_only():
    options = {**OPTIONS, "distances": {"parameter": "coupling"}}
    source = make_source("second_order", options)
    settings = {"source": "second_order", "options": options, "validation": {"by": "trajectory", "share": 0.25}}
    adata = assemble("springs", source.load({}), settings, {})
    data = read_observations(adata)
    facts = adata.uns["sparsenode"]
    provenance = {"options": options, "scale": facts["scale"], **facts["provenance"]}
    interventions = resolve_interventions(data, ALL_HELD, "springs")
    effects = TrueEffects.make(data, interventions, source, provenance)
    tests = [name for name in data.trajectory_names if name in ("trajectory_4", "trajectory_5")]
    first = [data.rows_of(data.trajectory_names.index(name))[0] for name in tests]
    np.testing.assert_array_equal(effects.starts.observations, first)
    assert set(effects.phases) == {"fit", "extrapolation"}
