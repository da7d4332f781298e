"""Matching: rates beside slopes of smoothed observations, or their integrals, and what shooting goes on from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import torch

from sparsenode.dynamics import fields, network
from sparsenode.dynamics.mlp import Layers
from sparsenode.errors import InterruptedTrainingError, UserError
from sparsenode.methods import Pruner, get_method, method_names, needs_one_network_per_target
from sparsenode.settings import (
    BootstrapSettings,
    MatchingSettings,
    MethodSettings,
    ModelSettings,
    SolverSettings,
    StopSettings,
    WindowSettings,
)
from sparsenode.training.checkpoints import Checkpoints
from sparsenode.training.loop import TrainingResult, train
from sparsenode.training.matching import Matching, make_matching, step_quadrature
from sparsenode.training.problems import bootstrap_multipliers, make_problems, make_validation

ROTATION = torch.tensor([[-0.2, 1.0], [-1.0, -0.2]])
"""Matrix (source, target) of the rates of the fixture `rotation`."""
SETTINGS = ModelSettings(
    hidden=(6,),
    solver=SolverSettings(step=0.5),
    iterations=20,
    check_every=5,
    learning_rate=0.02,
    matching=MatchingSettings(share=0.5),
)
NONE = MethodSettings(regularizer="none", strengths=(0.0,))
FORMS = (MatchingSettings(), MatchingSettings(form="integrals", interval=3))


def linear(*matrices: torch.Tensor) -> Layers:
    """Networks without hidden layers, one a matrix (source, target)."""
    weight = torch.stack(matrices)
    return Layers((weight,), (torch.zeros(len(matrices), 1, weight.shape[2], dtype=weight.dtype),))


def double(matching: Matching) -> Matching:
    tensors: dict[str, Any] = {
        name: value.double()
        for name, value in vars(matching).items()
        if torch.is_tensor(value) and value.is_floating_point()
    }
    return replace(matching, **tensors)


def fit(adata: anndata.AnnData, settings: ModelSettings, method: MethodSettings = NONE, **named: Any) -> TrainingResult:
    seeds = named.pop("seeds", [0, 1])
    multipliers = bootstrap_multipliers(adata, 1, seeds) if settings.bootstrap else None
    named = {"matching": make_matching(adata, settings, multipliers)} | named
    return train(make_problems(adata, settings, seeds), adata.n_vars, settings, method, seeds, **named)


def same(one: TrainingResult, other: TrainingResult) -> bool:
    pairs = zip(one.parameters.named().values(), other.parameters.named().values(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize("times", [np.arange(4.0), np.array([0.0, 0.1, 0.5, 0.6, 2.0, 2.1, 5.0])])
def test_the_integral_over_a_step_is_exact_for_cubics(times: np.ndarray) -> None:
    nodes, weights = step_quadrature(times)
    for power in range(4):
        exact = np.diff(times ** (power + 1)) / (power + 1)
        np.testing.assert_allclose((weights * times[nodes] ** power).sum(1), exact, rtol=1e-10, atol=1e-12)


def test_the_integral_over_a_step_is_of_order_five() -> None:
    errors = []
    for count in (20, 40):
        times = np.linspace(0.0, 2.0, count + 1)
        nodes, weights = step_quadrature(times)
        errors.append(np.abs((weights * np.cos(times)[nodes]).sum(1) - np.diff(np.sin(times))).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(5.0, abs=0.3)


@pytest.mark.parametrize("matching", FORMS)
def test_a_field_without_rates_has_the_relative_loss_one_and_the_true_one_nearly_none(
    rotation: anndata.AnnData, matching: MatchingSettings
) -> None:
    problem = make_matching(rotation, SETTINGS.changed(matching=matching))
    assert problem is not None
    still, true = problem.loss(fields.make_field(1, 2), linear(torch.zeros(2, 2), ROTATION)).tolist()
    assert still == pytest.approx(1.0, rel=1e-6)
    assert true < 5e-3  # the curvature of a spline vanishes at its ends


@pytest.mark.parametrize("matching", FORMS)
def test_the_loss_is_that_of_brute_force_with_its_gradient(
    rotation: anndata.AnnData, matching: MatchingSettings
) -> None:
    """At weights that differ, by a plain loop over residuals, in float64."""
    adata = rotation.copy()
    adata.obs["weight"] = np.random.default_rng(0).uniform(0.5, 2.0, adata.n_obs)
    problem = make_matching(adata, SETTINGS.changed(matching=matching))
    assert problem is not None
    problem, field = double(problem), fields.make_field(1, 2)
    matrix = torch.tensor([[0.3, -0.7], [0.2, 0.1]], dtype=torch.float64, requires_grad=True)
    loss = problem.loss(field, linear(matrix))[0]
    rates = problem.states @ matrix
    expected = torch.zeros((), dtype=torch.float64)
    for row in range(problem.weight.shape[1]):
        rate = rates[row]
        if problem.nodes is not None:
            first = int(problem.first[row])
            steps = range(first, first + problem.steps)
            rate = sum(problem.quadrature[step] @ rates[problem.nodes[step]] for step in steps) / problem.duration[row]
        expected = (
            expected + problem.weight[0, row] * (problem.feature_weight * (rate - problem.movement[row]) ** 2).sum()
        )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    assert problem.weight.sum().item() == pytest.approx(1.0, rel=1e-6)
    assert torch.autograd.gradcheck(lambda values: problem.loss(field, linear(values)), (matrix,))


def test_intervals_stay_within_their_trajectory(rotation: anndata.AnnData) -> None:
    """13 observations each: ten intervals of three steps, whose rows are all of the same trajectory."""
    problem = make_matching(rotation, SETTINGS.changed(matching=FORMS[1]))
    assert problem is not None
    assert problem.first.tolist() == [start + 12 * number for number in range(3) for start in range(10)]
    rows = torch.stack([problem.nodes[problem.first + step] for step in range(problem.steps)], dim=1).flatten(1)
    assert (rows.min(1).values // 13 == rows.max(1).values // 13).all()


def test_at_second_order_accelerations_are_matched(rotation: anndata.AnnData) -> None:
    """A damped rotation has x'' = -(1 + .04) x - .4 x' in each of its coordinates."""
    matrix = torch.cat((-1.04 * torch.eye(2), -0.4 * torch.eye(2)))
    for scale in (1.0, 2.0):
        settings = SETTINGS.changed(order=2, time_scale=scale)
        problem = make_matching(rotation, settings)
        assert problem is not None
        assert problem.states.shape == (39, 4)
        scaled = torch.cat((matrix[:2] * scale**2, matrix[2:] * scale))
        still, true = problem.loss(fields.make_field(2, 2), linear(torch.zeros(4, 2), scaled)).tolist()
        assert still == pytest.approx(1.0, rel=1e-6)
        assert true < 0.03
        assert (problem.weight[0].view(3, 13)[:, [0, 1, 2, -1]] == 0).all()  # a spline's ends have no curvature


def test_seeds_of_a_bootstrap_weigh_rows_differently(rotation: anndata.AnnData) -> None:
    multipliers = bootstrap_multipliers(rotation, 1, [3, 4])
    problem = make_matching(rotation, SETTINGS, multipliers)
    assert problem is not None
    expected = multipliers[4] / multipliers[4].sum()
    np.testing.assert_allclose(problem.of_seeds([4]).weight[0].numpy(), expected, rtol=1e-5)
    field, layers = fields.make_field(1, 2), linear(torch.eye(2), torch.eye(2))
    assert len(set(problem.of_seeds([3, 4]).loss(field, layers).tolist())) == 2


@pytest.mark.slow(reason="trains an ensemble")
def test_matching_to_the_end_learns_the_rates_without_a_solve(rotation: anndata.AnnData) -> None:
    settings = SETTINGS.changed(hidden=(), iterations=400, matching=MatchingSettings(share=1.0))
    result = fit(rotation, settings)
    np.testing.assert_allclose(result.parameters.weights[0].numpy(), ROTATION.expand(2, -1, -1).numpy(), atol=0.02)
    assert [row["loss"] for row in result.history[-2:]] == pytest.approx([0.0, 0.0], abs=5e-3)


@pytest.mark.slow(reason="trains several models")
@pytest.mark.parametrize("method", method_names())
def test_every_method_trains_by_it(rotation: anndata.AnnData, method: str) -> None:
    kind = get_method(method)
    options = {"epochs": 20, "first_epoch": 4, "first_share": 0.5, "every": 5, "share": 0.3}
    options = (options if issubclass(kind, Pruner) else {}) | (
        {"prior": "known"} if "prior" in kind.model_fields else {}
    )
    settings = SETTINGS.changed(network="per_target") if needs_one_network_per_target(kind) else SETTINGS
    strengths = (0.0,) if kind.strength is None else (0.5,)
    named = MethodSettings(regularizer=method, strengths=strengths, options=options)
    result = fit(rotation, settings, named, prior=np.array([[0.0, -1.0], [0.5, 0.0]]))
    losses = {row["iteration"]: row["loss"] for row in result.history if row["seed"] == 0}
    assert [member.status for member in result.members] == ["finished", "finished"]
    assert losses[5] < losses[0]


@pytest.mark.slow(reason="trains several models")
@pytest.mark.parametrize(
    "changes",
    [
        {"network": "biological"},
        {"order": 2},
        {"decay": 0.5, "starts": "learned"},
        {"standardize": True},
        {"windows": WindowSettings(length=4, stride=2, batch=3), "whole_share": 0.2},
        {"bootstrap": BootstrapSettings(block=2)},
        {"matching": MatchingSettings(share=0.3, form="integrals")},
        {"normalization": "study"},
        {"stop": StopSettings(patience=3, cooldown=5)},
    ],
    ids=str,
)
def test_a_run_in_pieces_is_the_whole_run(rotation: anndata.AnnData, tmp_path: Path, changes: dict[str, Any]) -> None:
    """Interrupted in matching, and at the first solve."""
    adata = rotation.copy()
    adata.obs["group"] = "all"
    settings = SETTINGS.changed(**changes)
    whole = fit(adata, settings)
    for interrupted_at in (4, 10):
        checkpoints, calls = Checkpoints(tmp_path / str(interrupted_at), {}), iter(range(1000))
        with pytest.raises(InterruptedTrainingError):
            fit(
                adata,
                settings,
                checkpoints=checkpoints,
                interrupted=lambda calls=calls, stop=interrupted_at: 15 if next(calls) == stop else 0,
            )
        assert same(fit(adata, settings, checkpoints=checkpoints), whole)


@pytest.mark.slow(reason="trains several models")
def test_a_start_that_forecasts_worse_is_not_taken(rotation: anndata.AnnData, caplog: pytest.LogCaptureFixture) -> None:
    """Slopes of the other sign lead away; where they lead right, the members go on from there."""
    settings = SETTINGS.changed(hidden=(), iterations=300, matching=MatchingSettings(share=0.5))
    matching = make_matching(rotation, settings)
    assert matching is not None
    caplog.set_level("INFO")
    fit(rotation, settings)
    assert "matching: 2 of 2 members go on from it" in caplog.text
    caplog.clear()
    wrong = replace(matching, movement=-4.0 * matching.movement)
    misled = fit(rotation, settings.changed(iterations=151), matching=wrong)
    assert "matching: 0 of 2 members go on from it" in caplog.text
    fresh = fit(rotation, settings.changed(iterations=1, matching=None), matching=None)
    distance = [
        (misled.parameters.weights[0] - matrix).abs().max() for matrix in (fresh.parameters.weights[0], -ROTATION)
    ]
    assert distance[0] < 0.5 < distance[1]


def test_the_start_is_chosen_on_validation_observations(rotation: anndata.AnnData) -> None:
    adata = rotation.copy()
    adata.obs["split"] = ["train"] * 26 + ["validation"] * 13
    problem = make_validation(adata, SETTINGS)
    assert problem is not None
    np.testing.assert_allclose(problem.positions.numpy(), np.asarray(adata.X)[[26]])
    assert make_validation(rotation, SETTINGS) is None


def test_groups_of_learned_starts_have_the_numbers_of_training_in_validation(rotation: anndata.AnnData) -> None:
    """Group q is the first that is trained on, and the last one held out; of a group without training the nearest."""
    twice = [rotation[:, :].copy(), rotation[:, :].copy()]
    adata = anndata.concat(twice, index_unique="-", merge="same")
    adata.obs["trajectory"] = pd.Categorical(np.repeat([f"t{number}" for number in range(6)], 13))
    adata.obs["group"] = np.repeat(["q", "p", "unknown", "p", "q", "r"], 13)
    adata.obs["split"] = np.repeat(["train", "train", "validation", "validation", "validation", "train"], 13)
    starts = rotation.uns["sparsenode"]["initial_states"].to_numpy()
    starts = np.concatenate((starts, starts[[1, 0, 2]]))
    initial = pd.DataFrame(starts, index=[f"t{number}" for number in range(6)], columns=["x", "y"])
    adata.uns["sparsenode"] = {"initial_states": initial, "initial_state_count": 1}
    problem = make_validation(adata, SETTINGS.changed(decay=0.5, starts="learned"))
    assert problem is not None
    assert problem.given is not None
    assert problem.given.groups == ("q", "p", "r")
    assert problem.groups.tolist() == [2, 1, 0]


@pytest.mark.slow(reason="trains several models")
@pytest.mark.parametrize("matching", FORMS)
def test_missing_entries_count_nothing(rotation: anndata.AnnData, matching: MatchingSettings) -> None:
    """The true field fits what is left, and a field without rates has the loss one."""
    adata = rotation.copy()
    adata.X[np.random.default_rng(1).random(adata.shape) < 0.2] = np.nan
    problem = make_matching(adata, SETTINGS.changed(matching=matching))
    assert problem is not None
    assert problem.observed is not None
    assert all(tensor.isfinite().all() for tensor in vars(problem).values() if torch.is_tensor(tensor))
    still, true = problem.loss(fields.make_field(1, 2), linear(torch.zeros(2, 2), ROTATION)).tolist()
    assert still == pytest.approx(1.0, rel=1e-5)
    assert true < 0.02
    assert (problem.observed == 0).any()
    changed = replace(
        problem, movement=torch.where(problem.observed > 0, problem.movement, torch.full_like(problem.movement, 9.0))
    )
    field, layers = fields.make_field(1, 2), linear(ROTATION)
    assert changed.loss(field, layers).item() == problem.loss(field, layers).item()


def test_a_variable_that_never_moves_is_to_stay(rotation: anndata.AnnData) -> None:
    adata = rotation.copy()
    adata.X[:, 1] = 5.0
    problem = make_matching(adata, SETTINGS)
    assert problem is not None
    field = fields.make_field(1, 2)
    still, drifting = problem.loss(field, linear(torch.zeros(2, 2), torch.tensor([[0.0, 0.0], [0.0, 1.0]]))).tolist()
    assert still == pytest.approx(1.0, rel=1e-4)
    assert drifting > 5.0
    adata.X[:, 0] = 5.0
    with pytest.raises(UserError, match="never move, so there are no slopes to match; set `matching` to null"):
        make_matching(adata, SETTINGS)


def test_too_few_observations_in_a_row_are_named(rotation: anndata.AnnData) -> None:
    adata = rotation[rotation.obs["time"] < 0.9].copy()
    with pytest.raises(UserError, match=r"takes 5 training observations .* the longest stretch has 4: set `matching`"):
        make_matching(adata, SETTINGS)
    with pytest.raises(UserError, match=r"takes 15 training observations .* the longest stretch has 13"):
        make_matching(rotation, SETTINGS.changed(matching=MatchingSettings(form="integrals", interval=14)))


def test_without_it_nothing_is_made(rotation: anndata.AnnData) -> None:
    assert make_matching(rotation, SETTINGS.changed(matching=None)) is None
    assert network.path_matrix(fit(rotation, SETTINGS.changed(matching=None)).parameters).isfinite().all()
