"""Pruners in training: how many weights are zero at each step, which, and that they stay so."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import torch

from sparsenode.dynamics import network
from sparsenode.errors import InterruptedTrainingError, UserError
from sparsenode.methods import get_method, make_method
from sparsenode.settings import (
    PRUNING_THRESHOLD,
    MethodSettings,
    ModelSettings,
    RefitSettings,
    SolverSettings,
    StopSettings,
    WindowSettings,
)
from sparsenode.training import graph
from sparsenode.training import run as runs
from sparsenode.training.checkpoints import Checkpoints
from sparsenode.training.loop import TrainingResult, train
from sparsenode.training.problems import make_problems
from sparsenode.training.run import Run, Task

TINY = ModelSettings(hidden=(6,), solver=SolverSettings(step=1.0), iterations=20, check_every=5, learning_rate=0.02)
PRIOR = np.array([[0.0, -1.0], [0.5, 0.0]])
SCHEDULE = {"epochs": 20, "first_epoch": 4, "first_share": 0.5, "every": 5, "share": 0.3}
"""Weights go before the steps 3, 4, 9 and 14, counted from 0."""
TIMES = [3, 4, 9, 14]
FORMS: dict[str, dict[str, Any]] = {
    "joint": {},
    "one layer": {"hidden": ()},
    "three layers": {"hidden": (6, 5)},
    "per target": {"network": "per_target"},
    "biological": {"network": "biological", "hidden": (5,)},
    "second order": {"order": 2, "velocity_hidden": (3,), "decay": 0.5},
    "second order, per target": {"order": 2, "velocity_hidden": (3,), "network": "per_target", "hidden": (4, 3)},
}


def pruner(method: str, *strengths: float, **options: Any) -> MethodSettings:
    named = {"prior": "known"} if "prior" in get_method(method).model_fields else {}
    return MethodSettings(regularizer=method, strengths=strengths, options=SCHEDULE | named | options)


def run(
    adata: anndata.AnnData,
    method: MethodSettings,
    seeds: tuple[int, ...] = (0, 1),
    prior: np.ndarray | None = PRIOR,
    **changes: Any,
) -> TrainingResult:
    settings = TINY.changed(**changes)
    return train(make_problems(adata, settings), 2, settings, method, seeds, prior=prior)


Recorded = list[tuple[list[int], list[torch.Tensor], list[torch.Tensor]]]


def record_steps(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Who is active, weights and masks after each step."""
    recorded: Recorded = []
    step = graph.step

    def recording(run_: Run, *arguments: Any, **named: Any) -> None:
        step(run_, *arguments, **named)
        weights, masks = run_.parameters.prunable, run_.parameters.masks
        recorded.append((list(run_.active), *([one.detach().clone() for one in part] for part in (weights, masks))))

    monkeypatch.setattr(graph, "step", recording)
    return recorded


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("method", ["imp", "dash"])
def test_as_many_weights_are_zero_after_each_step_as_the_schedule_says(
    rotation: anndata.AnnData, monkeypatch: pytest.MonkeyPatch, method: str, form: str
) -> None:
    recorded = record_steps(monkeypatch)
    strengths = (0.0, 0.4, 1.0)
    run(rotation, pruner(method, *strengths), **FORMS[form])
    assert len(recorded) == 20
    for number, (active, weights, masks) in enumerate(recorded):
        assert active == list(range(6))
        for layer, (weight, mask) in enumerate(zip(weights, masks, strict=True)):
            assert torch.equal(weight != 0, mask == 1)
            if layer and FORMS[form].get("network") == "per_target":
                assert mask.all()  # a target's own few weights stay
                continue
            # The units of both branches lie side by side, into them and out of them.
            blocks = weight.chunk(2, dim=2 - layer) if form == "biological" else [weight]
            for member, block in itertools.product(active, blocks):
                left = size = block[member].numel()
                least = size - round(strengths[member // 2] * size) if method == "imp" else 0
                for time, share in zip(TIMES, [0.5, 0.3, 0.3, 0.3], strict=True):
                    left = max(left - round(share * left), least) if number >= time else left
                assert int((block[member] != 0).sum()) == left > 0
        if number:
            assert all((mask <= before).all() for mask, before in zip(masks, recorded[number - 1][2], strict=True))


def test_magnitude_pruning_takes_the_smallest_weights(
    rotation: anndata.AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = record_steps(monkeypatch)
    run(rotation, pruner("imp", 1.0), hidden=(6, 5))
    for time in TIMES:
        (_, before, _), (_, _, masks) = recorded[time - 1], recorded[time]
        for weight, mask in zip(before, masks, strict=True):
            for member in range(2):
                sizes = weight[member].abs().flatten().numpy()
                kept = np.flatnonzero(mask[member].numpy())
                assert set(kept) == set(np.argsort(sizes)[::-1][: len(kept)])


def test_dash_takes_those_of_the_smallest_scores_and_remembers_these(
    rotation: anndata.AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = record_steps(monkeypatch)
    strengths = (0.3, 0.9)
    run(rotation, pruner("dash", *strengths), hidden=(6, 5), seeds=(0,))
    prior = torch.as_tensor(PRIOR, dtype=torch.float32)
    scores = make_method("dash", {"prior": "known"}).scores
    for member, strength in enumerate(strengths):
        before = [weight[member].abs() for weight in recorded[TIMES[0] - 1][1]]
        for time in TIMES:
            weights = [weight[member] for weight in recorded[time - 1][1]]
            before = list(scores(weights, before, prior, strength))
            for score, earlier, mask in zip(before, recorded[time - 1][2], recorded[time][2], strict=True):
                ranked = np.where(earlier[member].flatten() > 0, score.flatten().numpy(), -1)
                kept = np.flatnonzero(mask[member].numpy())
                assert set(kept) == set(np.argsort(ranked)[::-1][: len(kept)])


def assert_equal(one: TrainingResult, other: TrainingResult) -> None:
    assert one.parameters.named().keys() == other.parameters.named().keys()
    for name, tensor in one.parameters.named().items():
        assert torch.equal(tensor, other.parameters.named()[name]), name


@pytest.mark.slow(reason="trains an ensemble")
@pytest.mark.parametrize("form", FORMS)
def test_dash_without_weight_on_the_prior_is_magnitude_pruning(rotation: anndata.AnnData, form: str) -> None:
    form_ = FORMS[form] | {"refit": RefitSettings(iterations=4, learning_rate=0.01)}
    assert_equal(run(rotation, pruner("dash", 0.0), **form_), run(rotation, pruner("imp", 1.0), **form_))
    half = pruner("dash", 0.0, most=0.6)
    assert_equal(run(rotation, half, **form_), run(rotation, pruner("imp", 0.6), **form_))


@pytest.mark.parametrize("network", ["joint", "per_target"])
def test_dash_by_the_prior_alone_keeps_its_edges_with_one_layer(rotation: anndata.AnnData, network: str) -> None:
    for seed, prior in enumerate(([[0.1, -3.0], [2.0, 0.5]], [[-3.0, 0.0], [0.5, 2.0]])):
        result = run(rotation, pruner("dash", 1.0, first_share=0.25, share=0.4), hidden=(), network=network,
                     prior=np.array(prior), seeds=(seed, 7))  # fmt: skip
        found = network_of(result)
        ranked = np.sort(np.abs(prior), axis=None)[::-1]
        # 4 weights become 3, then 2, 1 and 1.
        assert [int(one.sum()) for one in found] == [1, 1]
        for one in found:
            assert np.array_equal(one, np.abs(prior) >= ranked[0])


@pytest.mark.parametrize("network", ["joint", "per_target"])
def test_at_second_order_an_edge_of_the_prior_stands_for_position_and_velocity(
    rotation: anndata.AnnData, network: str
) -> None:
    method = pruner("dash", 1.0, first_share=0.75, share=0.0)
    result = run(rotation, method, hidden=(), network=network, order=2, velocity_hidden=(3,))
    mask = result.parameters.masks[0]
    kept = mask.squeeze(-1).transpose(1, 2) if network == "per_target" else mask
    expected = np.zeros((2, 4, 2))
    expected[:, [0, 2], 1] = 1.0  # from x and x' to y, the prior's largest entry
    assert np.array_equal(kept.numpy(), expected)


def network_of(result: TrainingResult) -> np.ndarray:
    """Which sources lead to which targets, (member, source, target)."""
    return (network.path_matrix(result.parameters) != 0).numpy()


def test_members_have_masks_of_their_own(rotation: anndata.AnnData) -> None:
    for method in ("imp", "dash"):
        result = run(rotation, pruner(method, 0.5, 0.9), seeds=(0, 1))
        masks = [mask.flatten(1) for mask in result.parameters.masks]
        for one, other in ((0, 1), (0, 2), (1, 3)):
            assert any(not torch.equal(mask[one], mask[other]) for mask in masks)


def test_imp_that_prunes_nothing_is_plain_training(rotation: anndata.AnnData) -> None:
    plain = run(rotation, MethodSettings(regularizer="none", strengths=(0.0,), options={}))
    nothing = run(rotation, pruner("imp", 0.0))
    assert all(bool((mask == 1).all()) for mask in nothing.parameters.masks)
    assert_equal(replace(nothing, parameters=replace(nothing.parameters, masks=())), plain)


def test_the_sparsity_of_the_metrics_counts_what_is_pruned(rotation: anndata.AnnData) -> None:
    result = run(rotation, pruner("imp", 0.0, 1.0), hidden=(20,))
    # Layers of 40: 20 left, then 14, 10 and 7.
    found = network.weight_sparsity(result.parameters, PRUNING_THRESHOLD)
    assert found.tolist() == [0.0, 0.0, 1 - 7 / 40, 1 - 7 / 40]


EXTRAS: dict[str, dict[str, Any]] = {
    "plain": {},
    "refit": {"refit": RefitSettings(iterations=7, learning_rate=0.01)},
    "stop": {"stop": StopSettings(tolerance=0.05, patience=3, cooldown=4)},
}


# `dash` remembers scores as well; what `imp` remembers, the masks, is among it.
@pytest.mark.slow(reason="trains an ensemble")
@pytest.mark.parametrize(
    ("method", "form", "extra"),
    [
        *itertools.product(["dash"], ["three layers", "per target", "biological", "second order"], EXTRAS),
        ("imp", "three layers", "stop"),
        ("imp", "biological", "refit"),
    ],
)
def test_a_pruned_run_in_pieces_is_the_whole_run(
    rotation: anndata.AnnData, tmp_path: Path, method: str, form: str, extra: str
) -> None:
    settings = TINY.changed(**FORMS[form], **EXTRAS[extra])
    problems = make_problems(rotation, settings)

    def go(checkpoints: Checkpoints | None, every: int) -> TrainingResult:
        calls = iter(range(10**6))
        return train(problems, 2, settings, pruner(method, 0.3, 0.8), [0, 1], prior=PRIOR, checkpoints=checkpoints,
                     interrupted=lambda: 15 if next(calls) == every else 0)  # fmt: skip

    whole = go(None, -1)
    for every in (1, 4):
        checkpoints, pieces = Checkpoints(tmp_path / str(every), {}), 0
        while True:
            try:
                cut = go(checkpoints, every)
            except InterruptedTrainingError:
                pieces += 1
            else:
                break
        assert pieces >= 3
        assert_equal(cut, whole)
        assert cut.history == whole.history


def test_a_neighbor_that_diverges_before_weights_go_changes_nothing(
    rotation: anndata.AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = pruner("dash", 0.5, first_epoch=6)
    sound = run(rotation, method, seeds=(0, 1, 2))
    step, calls = graph.step, iter(range(100))

    def spoiling(run_: Run, *arguments: Any, **named: Any) -> None:
        step(run_, *arguments, **named)
        if next(calls) == 7:  # right before weights go at step 9, and the check at 10
            with torch.no_grad():
                run_.parameters.weights[0][1] = torch.nan

    monkeypatch.setattr(graph, "step", spoiling)
    spoiled = run(rotation, method, seeds=(0, 1, 2))
    assert [member.status for member in spoiled.members] == ["finished", "diverged", "finished"]
    lost = network.select(spoiled.parameters, [1])
    # It stands where it was at the check at 5, and its mask as well: of 12 weights a layer 6 were left just before.
    assert [int(mask.sum()) for mask in lost.masks] == [6, 6]
    for weight, mask in zip(lost.weights, lost.masks, strict=True):
        assert weight.isfinite().all()
        assert torch.equal(weight != 0, mask == 1)
    for row in (0, 2):
        for name, tensor in network.select(spoiled.parameters, [row]).named().items():
            torch.testing.assert_close(
                tensor, network.select(sound.parameters, [row]).named()[name], rtol=2e-4, atol=2e-4
            )


def test_a_refit_keeps_what_is_pruned_and_takes_its_own_learning_rate(
    rotation: anndata.AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = record_steps(monkeypatch)
    result = run(rotation, pruner("imp", 1.0), refit=RefitSettings(iterations=6, learning_rate=0.007))
    assert len(recorded) == 26
    for _, _, masks in recorded[20:]:
        assert all((mask <= before).all() for mask, before in zip(masks, recorded[19][2], strict=True))
    for weight, mask, before in zip(result.parameters.weights, result.parameters.masks, recorded[19][1], strict=True):
        assert torch.equal(weight != 0, mask == 1)
        assert not torch.equal(weight, before)
    rates = {row["iteration"]: row["learning_rate"] for row in result.history}
    assert rates[0] == pytest.approx(0.02)
    assert rates[25] < 0.007


@pytest.mark.slow(reason="trains an ensemble")
def test_nobody_cools_before_the_last_weights_go(rotation: anndata.AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every member would stop as soon as it may: five iterations of patience, twice."""
    stop = StopSettings(tolerance=1.0, patience=5, cooldown=20)
    pruned: list[tuple[int, list[int]]] = []
    prune = runs.prune

    def recorded(run_: Run, task: Task, iteration: int, iterations: int) -> None:
        assert run_.plateau is not None
        pruned.append((iteration, run_.plateau.cooling_since.tolist()))
        prune(run_, task, iteration, iterations)

    monkeypatch.setattr(runs, "prune", recorded)
    method = pruner("imp", 1.0, epochs=100, first_epoch=11, every=25, last_epoch=50)
    result = run(rotation, method, iterations=120, warm_up=0.0, stop=stop)
    # Of the 100 iterations before the last members cool: before the 11th, the 25th and the 50th.
    assert pruned == [(10, [-1, -1]), (24, [-1, -1]), (49, [-1, -1])]
    assert {member.iterations for member in result.members} == {80}


@pytest.mark.slow(reason="trains an ensemble")
def test_a_pruned_network_still_learns(rotation: anndata.AnnData) -> None:
    """The rotation needs its two couplings alone, beside a decay: eight weights of a linear field, half of them."""
    method = pruner("dash", 0.5, epochs=10, first_epoch=3, first_share=0.5, last_epoch=3)
    result = run(rotation, method, hidden=(), decay=0.3, iterations=300, learning_rate=0.05)
    assert np.array_equal(network_of(result), np.broadcast_to(PRIOR != 0, (2, 2, 2)))
    assert [row["loss"] for row in result.history][-1] < 1e-3


def test_what_has_no_meaning_is_refused(rotation: anndata.AnnData) -> None:
    with pytest.raises(
        UserError, match=r"strength of 1\.5 has no meaning to the method imp; give at most 1: the largest"
    ):
        run(rotation, pruner("imp", 0.5, 1.5))
    with pytest.raises(UserError, match="the method dash takes a prior network, but none is given"):
        run(rotation, pruner("dash", 0.5), prior=None)


def test_a_prior_that_knows_nothing_prunes_by_size(rotation: anndata.AnnData) -> None:
    empty = run(rotation, pruner("dash", 0.0, 0.7, 1.0), seeds=(0,), prior=np.zeros((2, 2)))
    for mask in empty.parameters.masks:
        assert torch.equal(mask[0], mask[1])
        assert torch.equal(mask[0], mask[2])


@pytest.mark.slow(reason="trains an ensemble")
@pytest.mark.parametrize("method", ["imp", "dash"])
def test_pruners_train_on_batches_of_windows(rotation: anndata.AnnData, method: str) -> None:
    settings = {"windows": WindowSettings(length=4, stride=2, batch=5), "whole_share": 0.4, "initial_noise": 1.0}
    result = run(rotation, pruner(method, 0.5), **settings)
    assert {member.status for member in result.members} == {"finished"}
    assert np.isfinite([row["loss"] for row in result.history]).all()
    assert {row["penalty"] for row in result.history} == {0.0}
