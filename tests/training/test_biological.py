"""Training a biological network: every method that has a meaning on it, as the other networks are trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anndata
import numpy as np
import pytest
import torch

from sparsenode.dynamics import network
from sparsenode.errors import UserError
from sparsenode.methods import get_method, method_names
from sparsenode.problems import Problem, make_problems
from sparsenode.settings import MethodSettings, ModelSettings, RefitSettings, SolverSettings, WindowSettings
from sparsenode.training import TrainingResult, train
from sparsenode.training import run as runs

SETTINGS = ModelSettings(
    network="biological",
    hidden=(8,),
    solver=SolverSettings(step=0.5),
    iterations=20,
    check_every=5,
    learning_rate=0.02,
    warm_up=0.2,
)
SUITED = [name for name in method_names() if not (get_method(name).per_target or get_method(name).prior)]


@pytest.fixture(scope="module")
def problems(rotation: anndata.AnnData) -> list[tuple[float, Problem]]:
    return make_problems(rotation, SETTINGS)


def strengths_of(method: str, *strengths: float) -> MethodSettings:
    return MethodSettings(method, strengths if get_method(method).has_strength else (0.0,), {})


def run(
    problems: list[tuple[float, Problem]],
    method: str,
    *,
    strengths: tuple[float, ...] = (0.1,),
    seeds: tuple[int, ...] = (0, 1),
    **changes: Any,
) -> TrainingResult:
    return train(problems, 2, replace(SETTINGS, **changes), strengths_of(method, *strengths), seeds)


def test_training_forecasts_better_than_holding_the_state(problems: list[tuple[float, Problem]]) -> None:
    result = run(problems, "none", iterations=150, seeds=(0,), learning_rate=0.03)
    losses = [row["loss"] for row in result.history]
    assert losses[-1] < 0.02
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("normalization", ["relative", "study"])
@pytest.mark.parametrize("gates", ["weight", "unit"])
@pytest.mark.parametrize("method", SUITED)
def test_every_method_that_needs_no_network_of_each_target_lowers_the_loss(
    problems: list[tuple[float, Problem]], method: str, gates: str, normalization: str
) -> None:
    result = run(problems, method, iterations=60, strengths=(0.01,), gates=gates, normalization=normalization)
    assert {member.status for member in result.members} == {"finished"}
    losses = np.array([row["loss"] for row in result.history]).reshape(-1, 2)
    assert (losses[-1] < 0.8 * losses[0]).all()


@pytest.mark.parametrize("method", SUITED)
def test_a_member_does_not_depend_on_its_neighbors(problems: list[tuple[float, Problem]], method: str) -> None:
    changes: dict[str, Any] = {"refit": RefitSettings(5, 0.01), "initial_noise": 1.0}
    together = run(problems, method, strengths=(0.0, 0.1), seeds=(0, 1, 2), **changes)
    strength = together.members[-1].strength
    alone = run(problems, method, strengths=(strength,), seeds=(2,), **changes)
    for name, tensor in alone.parameters.named().items():
        torch.testing.assert_close(together.parameters.named()[name][-1:], tensor, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("gates", ["weight", "unit"])
@pytest.mark.parametrize("method", ["l1", "l0", "pathreg"])
def test_a_refit_keeps_what_was_pruned_in_both_branches_at_zero(
    problems: list[tuple[float, Problem]], method: str, gates: str
) -> None:
    settings = {"iterations": 60, "gates": gates, "gates_learning_rate": 0.3}
    result = run(problems, method, strengths=(100.0,), refit=RefitSettings(15, 0.01), **settings)
    for weight, mask in zip(result.parameters.prunable, result.parameters.masks, strict=True):
        assert (weight[mask == 0] == 0).all()
    for branch in result.parameters.masks[0].chunk(2, dim=-1):
        assert (branch == 0).any()


def test_sparsity_rises_with_the_strength_of_gates(problems: list[tuple[float, Problem]]) -> None:
    result = run(problems, "l0", iterations=150, strengths=(0.0, 1.0, 30.0), seeds=(0,), gates_learning_rate=0.2)
    closed = [
        sum(int((gate[member] == 0).sum()) for gate in network.deterministic_gates(result.parameters))
        for member in range(3)
    ]
    assert closed[0] < closed[1] < closed[2]


def test_multipliers_learn_faster_than_weights_and_from_their_own_gradient(
    problems: list[tuple[float, Problem]],
) -> None:
    task = runs.make_task(2, SETTINGS, strengths_of("l0", 0.1), [0, 1], torch.device("cpu"))
    started = runs.start(task, [0, 1])
    of_weights, of_multipliers, of_gates = started.optimizer.param_groups
    assert of_multipliers["params"] == list(started.parameters.multiplier)
    assert (of_weights["peak"], of_multipliers["peak"]) == (0.02, 0.1)
    assert of_gates["params"] == list(started.parameters.log_alpha)


def test_the_rate_of_relaxation_is_learned(rotation: anndata.AnnData) -> None:
    """x' = -1.5 x: under a strong penalty on all weights nothing else is left of the network."""
    adata = rotation.copy()
    time = adata.obs["time"].to_numpy()
    values = np.exp(-1.5 * time)[:, None] * np.array([[1.0, 2.0]])
    adata.X = values.astype(np.float32)
    adata.uns["sparsenode"]["initial_states"].loc[:, :] = [[1.0, 2.0]] * 3
    settings = replace(SETTINGS, decay=0.3, iterations=150, learning_rate=0.03)
    result = train(make_problems(adata, settings), 2, settings, strengths_of("l1", 3.0), [0])
    assert result.parameters.multiplier[0].mean() == pytest.approx(1.5, abs=0.2)


@pytest.mark.parametrize("changes", [{"windows": WindowSettings(4, 2), "whole_share": 0.5}, {"starts": "learned"}])
def test_windows_and_learned_starts_train_too(rotation: anndata.AnnData, changes: dict[str, Any]) -> None:
    settings, adata = replace(SETTINGS, decay=0.5, **changes), rotation.copy()
    adata.obs["group"] = "all"
    result = train(make_problems(adata, settings), 2, settings, strengths_of("pathreg", 0.01), [0, 1])
    assert {member.status for member in result.members} == {"finished"}
    assert bool(result.parameters.starts) == ("starts" in changes)


def test_a_packed_run_comes_back(problems: list[tuple[float, Problem]]) -> None:
    task = runs.make_task(2, SETTINGS, strengths_of("pathreg", 0.1), [0, 1], torch.device("cpu"))
    started = runs.start(task, [0, 1])
    again = runs.unpack(task, [0, 1], runs.pack(started), refitting=False)
    for name, tensor in started.parameters.named().items():
        assert torch.equal(again.parameters.named()[name], tensor)
    runs.keep_members(again, [1])
    assert torch.equal(again.parameters.multiplier[0], started.parameters.multiplier[0][1:])


@pytest.mark.parametrize("method", [name for name in method_names() if get_method(name).per_target])
def test_methods_of_single_targets_are_refused(problems: list[tuple[float, Problem]], method: str) -> None:
    with pytest.raises(UserError, match=f"{method} needs one network per target, but .* 'biological'"):
        run(problems, method)
