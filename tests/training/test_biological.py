"""Training a biological network: every method that has a meaning on it, as the other networks are trained."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import anndata
import numpy as np
import pytest
import torch

from sparsenode.dynamics import network
from sparsenode.errors import UserError
from sparsenode.methods import get_method, method_names, needs_one_network_per_target
from sparsenode.settings import MethodSettings, ModelSettings, RefitSettings, SolverSettings, WindowSettings
from sparsenode.training import run as runs
from sparsenode.training.loop import TrainingResult, train
from sparsenode.training.problems import Problem, make_problems
from sparsenode.training.run import Run, Task

SETTINGS = ModelSettings(
    network="biological",
    hidden=(8,),
    solver=SolverSettings(step=1.0),
    iterations=20,
    check_every=5,
    learning_rate=0.02,
    warm_up=0.2,
)
SUITED = [name for name in method_names() if not needs_one_network_per_target(get_method(name))]
PRIOR = np.array([[0.0, -1.0], [0.5, 0.0]])


@pytest.fixture(scope="module")
def problems(rotation: anndata.AnnData) -> list[tuple[float, Problem]]:
    return make_problems(rotation, SETTINGS)


def strengths_of(method: str, *strengths: float) -> MethodSettings:
    fields = get_method(method).model_fields
    named = {name: value for name, value in {"prior": "known", "most": 0.5}.items() if name in fields}
    taken = (0.0,) if get_method(method).strength is None else strengths
    return MethodSettings(regularizer=method, strengths=taken, options=named)


def run(
    problems: list[tuple[float, Problem]],
    method: str,
    *,
    strengths: tuple[float, ...] = (0.1,),
    seeds: tuple[int, ...] = (0, 1),
    **changes: Any,
) -> TrainingResult:
    return train(problems, 2, SETTINGS.changed(**changes), strengths_of(method, *strengths), seeds, prior=PRIOR)


@pytest.mark.slow(reason="trains an ensemble")
def test_training_forecasts_better_than_holding_the_state(problems: list[tuple[float, Problem]]) -> None:
    result = run(problems, "none", iterations=150, seeds=(0,), learning_rate=0.03)
    losses = [row["loss"] for row in result.history]
    assert losses[-1] < 0.02
    assert losses[-1] < 0.1 * losses[0]


# All pairs of two of the three, and all three of the method whose penalty has the gates in it.
FORMS = [
    (method, gates, normalization)
    for method in SUITED
    for gates, normalization in itertools.product(("weight", "unit"), ("relative", "study"))
    if method == "pathreg" or (gates == "weight") == (normalization == "relative")
]


@pytest.mark.slow(reason="trains an ensemble")
@pytest.mark.parametrize(("method", "gates", "normalization"), FORMS)
def test_every_method_that_needs_no_network_of_each_target_lowers_the_loss(
    problems: list[tuple[float, Problem]], method: str, gates: str, normalization: str
) -> None:
    result = run(problems, method, iterations=40, strengths=(0.01,), gates=gates, normalization=normalization)
    assert {member.status for member in result.members} == {"finished"}
    losses = np.array([row["loss"] for row in result.history]).reshape(-1, 2)
    assert (losses[-1] < 0.8 * losses[0]).all()


@pytest.mark.slow(reason="trains an ensemble")
@pytest.mark.parametrize("method", SUITED)
def test_a_member_does_not_depend_on_its_neighbors(problems: list[tuple[float, Problem]], method: str) -> None:
    changes: dict[str, Any] = {"refit": RefitSettings(iterations=5, learning_rate=0.01), "initial_noise": 1.0}
    together = run(problems, method, strengths=(0.0, 0.1), seeds=(0, 1, 2), **changes)
    strength = together.members[-1].strength
    alone = run(problems, method, strengths=(strength,), seeds=(2,), **changes)
    for name, tensor in alone.parameters.named().items():
        torch.testing.assert_close(together.parameters.named()[name][-1:], tensor, rtol=2e-4, atol=2e-4)


@pytest.mark.slow(reason="trains an ensemble")
@pytest.mark.parametrize("gates", ["weight", "unit"])
@pytest.mark.parametrize("method", ["l1", "l0", "pathreg"])
def test_a_refit_keeps_what_was_pruned_in_both_branches_at_zero(
    problems: list[tuple[float, Problem]], method: str, gates: str
) -> None:
    settings = {"iterations": 30, "gates": gates, "gates_learning_rate": 0.6}
    result = run(
        problems, method, strengths=(100.0,), refit=RefitSettings(iterations=8, learning_rate=0.01), **settings
    )
    for weight, mask in zip(result.parameters.prunable, result.parameters.masks, strict=True):
        assert (weight[mask == 0] == 0).all()
    for branch in result.parameters.masks[0].chunk(2, dim=-1):
        assert (branch == 0).any()


@pytest.mark.slow(reason="trains an ensemble")
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


@pytest.mark.slow(reason="trains an ensemble")
def test_the_rate_of_relaxation_is_learned(rotation: anndata.AnnData) -> None:
    """x' = -1.5 x: under a strong penalty on all weights nothing else is left of the network."""
    adata = rotation.copy()
    time = adata.obs["time"].to_numpy()
    values = np.exp(-1.5 * time)[:, None] * np.array([[1.0, 2.0]])
    adata.X = values.astype(np.float32)
    adata.uns["sparsenode"]["initial_states"].loc[:, :] = [[1.0, 2.0]] * 3
    settings = SETTINGS.changed(decay=0.3, iterations=150, learning_rate=0.03)
    result = train(make_problems(adata, settings), 2, settings, strengths_of("l1", 3.0), [0])
    assert result.parameters.multiplier[0].mean() == pytest.approx(1.5, abs=0.2)


@pytest.mark.parametrize(
    "changes", [{"windows": WindowSettings(length=4, stride=2), "whole_share": 0.5}, {"starts": "learned"}]
)
def test_windows_and_learned_starts_train_too(rotation: anndata.AnnData, changes: dict[str, Any]) -> None:
    settings, adata = SETTINGS.changed(decay=0.5, **changes), rotation.copy()
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


GENES, UNITS = 7, 3
WIDE_PRIOR = np.random.default_rng(5).normal(size=(GENES, GENES))
RATES = [0.3, 1.0, 0.0, 2.0, -0.4, 0.7, 1.5]
OFTEN = {"epochs": 4, "first_epoch": 1, "first_share": 0.5, "every": 1, "share": 0.2}


def pruner(method: str, strength: float) -> tuple[Task, Run]:
    """A run of two members of a network in which no weight is zero, but some rates are, before anything is pruned."""
    options = OFTEN | ({"prior": "known"} if "prior" in get_method(method).model_fields else {})
    settings = SETTINGS.changed(hidden=(UNITS,))
    task = runs.make_task(
        GENES,
        settings,
        MethodSettings(regularizer=method, strengths=(strength,), options=options),
        [0, 1],
        torch.device("cpu"),
        prior=WIDE_PRIOR,
    )
    run_ = runs.start(task, [0, 1])
    scatter(run_, 1.0)
    with torch.no_grad():
        run_.parameters.multiplier[0].copy_(torch.tensor(RATES).roll(1).expand(2, 1, -1))
        run_.parameters.multiplier[0][0] = torch.tensor(RATES)
    return task, run_


def scatter(run_: Run, size: float) -> None:
    """Add random numbers to what is left of the weights."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight, mask in zip(run_.parameters.weights, run_.parameters.masks, strict=True):
            weight.add_(size * torch.randn(weight.shape, generator=generator)).mul_(mask)


def matrices(tensors: Sequence[torch.Tensor], member: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Layers (gene, 2 x unit) and (2 x unit, gene) as the published ones, (unit, gene) and (gene, unit) a branch."""
    into, onto = (tensor[member].detach().numpy().astype(np.float64).copy() for tensor in tensors)
    ranges = (slice(0, UNITS), slice(UNITS, 2 * UNITS))
    return [(into[:, units].T, onto[units].T) for units in ranges]


def shares(values: np.ndarray) -> np.ndarray:
    return np.abs(values) / np.abs(values).sum()


def test_dash_scores_each_branch_by_the_published_formulas() -> None:
    """Four pruned matrices, each with its own sum and count; S S^T of either branch is inverted by itself."""
    strength, known = 0.3, np.abs(WIDE_PRIOR)
    task, run_ = pruner("dash", strength)
    before = [[np.abs(into) for into, _ in matrices(run_.parameters.weights, member)] for member in range(2)]
    rates = np.maximum(run_.parameters.multiplier[0].detach().numpy().astype(np.float64), 0.0)
    left = UNITS * GENES
    for iteration in range(3):
        weights = [matrices(run_.parameters.weights, member) for member in range(2)]
        masks = [matrices(run_.parameters.masks, member) for member in range(2)]
        runs.prune(run_, task, iteration, 4)
        left -= round((0.2 if iteration else 0.5) * left)
        for member, branch in itertools.product(range(2), range(2)):
            (into, onto), earlier = weights[member][branch], before[member][branch]
            inner = np.linalg.inv(earlier @ earlier.T) @ earlier @ known @ known.T
            first = strength * shares(inner) + (1 - strength) * shares(into)
            outer = (first @ known).T @ np.linalg.inv(first @ first.T)
            second = strength * shares(outer) + (1 - strength) * shares(onto * rates[member].T)
            before[member][branch] = first
            found = matrices(run_.scores, member)[branch]
            pruned, kept = (
                matrices(tensors, member)[branch] for tensors in (run_.parameters.weights, run_.parameters.masks)
            )
            for layer, score in enumerate((first, second)):
                np.testing.assert_allclose(found[layer], score, rtol=1e-3, atol=1e-7)
                ranked = np.where(masks[member][branch][layer] > 0, found[layer], -1.0)
                assert set(np.flatnonzero(kept[layer])) == set(np.argsort(ranked, axis=None)[::-1][:left])
                assert np.array_equal(pruned[layer], weights[member][branch][layer] * kept[layer])
        scatter(run_, 0.2)


@pytest.mark.parametrize("method", ["imp", "dash"])
@pytest.mark.parametrize(("layer", "branch"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_weights_a_thousand_times_larger_take_nothing_from_the_other_branch(
    method: str, layer: int, branch: int
) -> None:
    task, run_ = pruner(method, 0.9)
    with torch.no_grad():
        run_.parameters.weights[layer].chunk(2, dim=2 - layer)[branch].mul_(1000.0)
    for iteration, left in ((0, 11), (1, 9), (2, 7)):  # of 21, as each halving and each fifth is rounded
        runs.prune(run_, task, iteration, 4)
        for member in range(2):
            counts = [int(mask.sum()) for pair in matrices(run_.parameters.masks, member) for mask in pair]
            assert counts == [left] * 4


def test_a_gene_without_a_rate_has_no_score_from_the_size_of_its_weights() -> None:
    task, run_ = pruner("imp", 1.0)
    weights = [matrices(run_.parameters.weights, member) for member in range(2)]
    runs.prune(run_, task, 0, 4)
    for member in range(2):
        rates = run_.parameters.multiplier[0][member, 0].detach().numpy()
        still = rates <= 0
        assert still.sum() == 2
        for branch in range(2):
            into, onto = matrices(run_.scores, member)[branch]
            first, last = weights[member][branch]
            np.testing.assert_allclose(into, np.abs(first), rtol=1e-6)
            np.testing.assert_allclose(onto, np.abs(last) * np.maximum(rates, 0.0)[:, None], rtol=1e-6)
            assert not onto[still].any()
            # Of 21 weights 11 stay, and 15 lead onto genes with a rate; what stays is the weight itself.
            kept = matrices(run_.parameters.masks, member)[branch][1]
            after = matrices(run_.parameters.weights, member)[branch][1]
            assert not kept[still].any()
            assert np.array_equal(after, last * kept)
    assert torch.equal(run_.parameters.multiplier[0][0, 0].detach(), torch.tensor(RATES))


def test_where_no_rate_is_left_the_larger_weights_stay() -> None:
    task, run_ = pruner("dash", 0.0)
    with torch.no_grad():
        run_.parameters.multiplier[0].fill_(-0.1)
    weights = [matrices(run_.parameters.weights, member) for member in range(2)]
    runs.prune(run_, task, 0, 4)
    for member, branch in itertools.product(range(2), range(2)):
        kept = np.flatnonzero(matrices(run_.parameters.masks, member)[branch][1])
        assert set(kept) == set(np.argsort(np.abs(weights[member][branch][1]), axis=None)[::-1][:11])


@pytest.mark.parametrize("method", ["imp", "dash"])
def test_a_member_whose_rates_have_diverged_is_left_alone(method: str) -> None:
    task, run_ = pruner(method, 0.9)
    with torch.no_grad():
        run_.parameters.multiplier[0][0, 0, 1] = torch.nan
    runs.prune(run_, task, 0, 4)
    assert [[int(one.sum()) for one in mask] for mask in run_.parameters.masks] == [[42, 22], [42, 22]]


@pytest.mark.parametrize("method", [name for name in method_names() if needs_one_network_per_target(get_method(name))])
def test_methods_of_single_targets_are_refused(problems: list[tuple[float, Problem]], method: str) -> None:
    with pytest.raises(UserError, match=f"{method} needs one network per target, but .* 'biological'"):
        run(problems, method)
