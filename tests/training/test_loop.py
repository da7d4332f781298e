"""Training: it learns, members are apart, what diverges is set aside, and a run in pieces is the whole run."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import torch

from drawn_noise import draw_normal
from sparsenode.dynamics import network
from sparsenode.errors import InterruptedTrainingError, UserError
from sparsenode.methods import EdgeMask, Pruner, get_method, method_names, needs_one_network_per_target
from sparsenode.progress import Report
from sparsenode.settings import (
    BootstrapSettings,
    MethodSettings,
    ModelSettings,
    RefitSettings,
    SolverSettings,
    StopSettings,
    WindowSettings,
)
from sparsenode.training import graph, step
from sparsenode.training import run as runs
from sparsenode.training.checkpoints import Checkpoints
from sparsenode.training.loop import TrainingResult, train
from sparsenode.training.problems import Problem, make_problems
from sparsenode.training.run import Run, Task

TINY = ModelSettings(
    hidden=(6,), solver=SolverSettings(step=1.0), iterations=20, check_every=5, learning_rate=0.02, warm_up=0.2
)


@pytest.fixture(scope="module")
def problems(rotation: anndata.AnnData) -> list[tuple[float, Problem]]:
    return make_problems(rotation, TINY)


PRIOR = np.array([[0.0, -1.0], [0.5, 0.0]])
PRUNING = {"epochs": 20, "first_epoch": 4, "first_share": 0.5, "every": 5, "share": 0.3}
NAMED = {"dash": {"prior": "known"}, "masked": {"prior": "known"}}


def strengths_of(method: str, *strengths: float, **options: Any) -> MethodSettings:
    """Those that have a meaning to the method: none, or none above its largest."""
    record = get_method(method)
    allowed = tuple(sorted({min(strength, record.largest_strength) for strength in strengths}))
    given = (PRUNING if issubclass(record, Pruner) else {}) | NAMED.get(method, {}) | options
    return MethodSettings(regularizer=method, strengths=(0.0,) if record.strength is None else allowed, options=given)


def suited(settings: ModelSettings, method: str) -> ModelSettings:
    """With one network per target where the method needs it."""
    return settings.changed(network="per_target") if needs_one_network_per_target(get_method(method)) else settings


def run(
    problems: list[tuple[float, Problem]], method: str, *, seeds: tuple[int, ...] = (0, 1), **changes: Any
) -> TrainingResult:
    strengths = changes.pop("strengths", (0.0, 0.1))
    settings = suited(TINY.changed(**changes), method)
    return train(problems, 2, settings, strengths_of(method, *strengths), seeds, prior=PRIOR)


def row_of(result: TrainingResult, strength: float, seed: int) -> dict[str, torch.Tensor]:
    row = [(member.strength, member.seed) for member in result.members].index((strength, seed))
    return {name: tensor[row] for name, tensor in result.parameters.named().items()}


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor], tolerance: float = 0.0) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        torch.testing.assert_close(tensor, right[name], rtol=tolerance, atol=tolerance, msg=name)


@pytest.mark.slow(reason="trains an ensemble")
def test_training_forecasts_better_than_holding_the_state(problems: list[tuple[float, Problem]]) -> None:
    result = run(problems, "none", iterations=300, seeds=(0,))
    losses = [row["loss"] for row in result.history]
    assert losses[-1] < 0.02
    assert losses[-1] < 0.1 * losses[0]


def test_members_come_strength_by_strength(problems: list[tuple[float, Problem]]) -> None:
    result = run(problems, "l1")
    assert [(member.strength, member.seed) for member in result.members] == [(0.0, 0), (0.0, 1), (0.1, 0), (0.1, 1)]
    assert {member.status for member in result.members} == {"finished"}
    assert {member.iterations for member in result.members} == {20}


@pytest.mark.slow(reason="trains several models")
@pytest.mark.parametrize("method", method_names())
def test_same_seed_same_result(problems: list[tuple[float, Problem]], method: str) -> None:
    first, second = run(problems, method), run(problems, method)
    assert_same(first.parameters.named(), second.parameters.named())
    assert first.history == second.history


def test_other_seed_other_result(problems: list[tuple[float, Problem]]) -> None:
    result = run(problems, "none")
    assert not torch.equal(result.parameters.weights[0][0], result.parameters.weights[0][1])


@pytest.mark.slow(reason="trains several models")
@pytest.mark.parametrize(
    "changes",
    [{}, {"refit": RefitSettings(iterations=5, learning_rate=0.01)}, {"gates": "unit"}, {"initial_noise": 1.0}],
)
@pytest.mark.parametrize("method", method_names())
def test_a_member_does_not_depend_on_its_neighbors(
    problems: list[tuple[float, Problem]], method: str, changes: dict[str, Any]
) -> None:
    """To rounding: the vectorized loops of single operations treat the last few numbers of a tensor apart."""
    together = run(problems, method, seeds=(0, 1, 2), strengths=(0.0, 0.1, 1.0), **changes)
    strength = together.members[-1].strength
    alone = run(problems, method, seeds=(2,), strengths=(strength,), **changes)
    assert_same(row_of(together, strength, 2), row_of(alone, strength, 2), tolerance=2e-4)


@pytest.mark.slow(reason="trains several models")
@pytest.mark.parametrize("refit", [None, RefitSettings(iterations=5, learning_rate=0.01)])
def test_a_diverged_member_is_set_aside_and_harms_no_neighbor(
    problems: list[tuple[float, Problem]], monkeypatch: pytest.MonkeyPatch, refit: RefitSettings | None
) -> None:
    sound = run(problems, "pathreg", seeds=(0, 1, 2), refit=refit)
    draw = step.data_loss

    def data_loss(run_: Run, task: Task, problem: Problem, iteration: int, *arguments: Any) -> torch.Tensor:
        loss = draw(run_, task, problem, iteration, *arguments)
        if iteration >= 8 and 1 in run_.active:
            factor = torch.ones(len(run_.active))
            factor[run_.active.index(1)] = torch.nan
            loss = loss * factor
        return loss

    monkeypatch.setattr(step, "data_loss", data_loss)
    result = run(problems, "pathreg", seeds=(0, 1, 2), refit=refit)
    lost = result.members[1]
    assert (lost.status, lost.iterations) == ("diverged", 10)
    assert "not finite" in lost.reason
    assert [member.status for member in result.members].count("finished") == len(result.members) - 1
    assert all(torch.isfinite(tensor).all() for tensor in result.parameters.named().values())
    for member in result.members:
        if member != lost:
            mine, theirs = (row_of(each, member.strength, member.seed) for each in (result, sound))
            assert_same(mine, theirs, tolerance=2e-4)
    flagged = [row for row in result.history if row["status"] == "diverged"]
    assert [(row["strength"], row["seed"], row["iteration"]) for row in flagged] == [(0.0, 1, 10)]


def lose(monkeypatch: pytest.MonkeyPatch, after: int, lost: set[int]) -> None:
    """Let the parameters of some members become NaN, from the step number `after` on."""
    step = graph.step
    calls = itertools.count()

    def spoiling(run_: Run, *arguments: Any, **named: Any) -> None:
        step(run_, *arguments, **named)
        if next(calls) == after:
            rows = [row for row, member in enumerate(run_.active) if member in lost]
            with torch.no_grad():
                for tensor in run_.parameters.weights:
                    tensor[rows] = torch.nan

    monkeypatch.setattr(graph, "step", spoiling)


# With checks every 5 of 20 iterations: lost right before the refit begins, and at other places of both phases.
@pytest.mark.slow(reason="trains several models")
@pytest.mark.parametrize("after", [3, 13, 17, 19, 21])
@pytest.mark.parametrize("method", ["none", "l0"])
def test_a_member_lost_around_the_start_of_a_refit_keeps_sound_parameters(
    problems: list[tuple[float, Problem]], monkeypatch: pytest.MonkeyPatch, method: str, after: int
) -> None:
    sound = run(problems, method, seeds=(0, 1, 2), refit=RefitSettings(iterations=6, learning_rate=0.01))
    lose(monkeypatch, after, {0})
    result = run(problems, method, seeds=(0, 1, 2), refit=RefitSettings(iterations=6, learning_rate=0.01))
    assert result.members[0].status == "diverged"
    assert {member.status for member in result.members[1:]} == {"finished"}
    assert all(torch.isfinite(tensor).all() for tensor in result.parameters.named().values())
    assert len(result.parameters.masks) == 2
    for member in result.members[1:]:
        assert_same(*(row_of(each, member.strength, member.seed) for each in (result, sound)), tolerance=2e-4)


def test_a_block_whose_members_all_diverged_before_the_refit_joins_the_others(
    problems: list[tuple[float, Problem]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = run(problems, "l0", seeds=(0, 1), strengths=(0.1,), refit=RefitSettings(iterations=5, learning_rate=0.01))
    lose(monkeypatch, 3, {0, 1})
    lost = run(problems, "l0", seeds=(2, 3), strengths=(0.1,), refit=RefitSettings(iterations=5, learning_rate=0.01))
    assert {member.status for member in lost.members} == {"diverged"}
    joined = network.join([lost.parameters, sound.parameters])
    assert all(torch.isfinite(tensor).all() for tensor in joined.named().values())
    for name, tensor in sound.parameters.named().items():
        assert torch.equal(joined.named()[name][2:], tensor)


@pytest.mark.slow(reason="trains several models")
@pytest.mark.parametrize("method", ["l1", "cnode"])
@pytest.mark.parametrize("network", ["joint", "per_target"])
def test_strength_zero_is_plain_training(problems: list[tuple[float, Problem]], method: str, network: str) -> None:
    plain = run(problems, "none", network=network)
    free = run(problems, method, strengths=(0.0,), network=network)
    assert_same(free.parameters.named(), plain.parameters.named())


@pytest.mark.slow(reason="trains several models")
@pytest.mark.parametrize("method", ["l1", "cnode", "l0", "pathreg"])
def test_an_absurd_strength_harms_no_other_strength(problems: list[tuple[float, Problem]], method: str) -> None:
    """1e39 is infinite in single precision: every gradient of its members is NaN from the first step on."""
    together = run(problems, method, strengths=(0.0, 0.1, 1e39))
    without = run(problems, method, strengths=(0.0, 0.1))
    assert [member.status for member in together.members] == ["finished"] * 4 + ["diverged"] * 2
    assert all(torch.isfinite(tensor).all() for tensor in together.parameters.named().values())
    for member in without.members:
        assert_same(*(row_of(each, member.strength, member.seed) for each in (together, without)), tolerance=2e-4)


def test_all_members_can_diverge(problems: list[tuple[float, Problem]]) -> None:
    result = run(problems, "none", learning_rate=1e30, clip=None)
    assert {member.status for member in result.members} == {"diverged"}
    assert all(torch.isfinite(tensor).all() for tensor in result.parameters.named().values())


@pytest.mark.slow(reason="trains several models")
@pytest.mark.parametrize("gates", ["weight", "unit"])
@pytest.mark.parametrize("method", ["l0", "l1", "pathreg", "grouplasso", "lassonet"])
def test_a_refit_keeps_what_was_pruned_at_zero(problems: list[tuple[float, Problem]], method: str, gates: str) -> None:
    settings = {"iterations": 30, "gates": gates, "gates_learning_rate": 0.6, "strengths": (100.0,)}
    result = run(problems, method, refit=RefitSettings(iterations=8, learning_rate=0.01), **settings)
    pruned = 0
    for weight, mask in zip(result.parameters.prunable, result.parameters.masks, strict=True):
        assert (weight[mask == 0] == 0).all()
        pruned += int((mask == 0).sum())
    assert pruned > 0


@pytest.mark.slow(reason="trains an ensemble")
def test_sparsity_rises_with_strength(problems: list[tuple[float, Problem]]) -> None:
    result = run(problems, "l1", iterations=150, strengths=(0.0, 0.3, 3.0), seeds=(0,))
    zeros = sum((weight == 0).sum((1, 2)) for weight in result.parameters.weights)
    assert zeros[0] == 0
    assert zeros[0] < zeros[1] < zeros[2]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("normalization", ["relative", "study"])
@pytest.mark.parametrize("method", method_names())
def test_every_method_trains_with_windows_at_both_orders(
    rotation: anndata.AnnData, order: int, normalization: str, method: str
) -> None:
    settings = TINY.changed(
        order=order,
        normalization=normalization,
        windows=WindowSettings(length=4, stride=2),
        whole_share=0.5,
        iterations=6,
        velocity_hidden=(3,),
    )
    settings = suited(settings, method)
    result = train(make_problems(rotation, settings), 2, settings, strengths_of(method, 0.01), [0], prior=PRIOR)
    assert result.members[0].status == "finished"
    assert np.isfinite([row["loss"] for row in result.history]).all()


@pytest.mark.slow(reason="trains an ensemble")
def test_dopri5_trains_like_the_coarse_grid(problems: list[tuple[float, Problem]]) -> None:
    coarse = run(problems, "none", iterations=5, solver=SolverSettings(step=0.5))
    adaptive = run(problems, "none", iterations=5, solver=SolverSettings(scheme="dopri5", step=0.5, tolerance=1e-6))
    assert adaptive.history[-1]["loss"] == pytest.approx(coarse.history[-1]["loss"], rel=1e-2)


@pytest.mark.slow(reason="trains an ensemble")
def test_a_decay_is_learned(rotation: anndata.AnnData) -> None:
    adata = rotation.copy()
    adata.X = np.exp(-adata.obs["time"].to_numpy())[:, None] * np.array([[1.0, 2.0]], np.float32)
    adata.uns["sparsenode"]["initial_states"].loc[:, :] = [[1.0, 2.0]] * 3
    settings = TINY.changed(decay=0.3, iterations=200, learning_rate=0.05)
    result = train(make_problems(adata, settings), 2, settings, strengths_of("l1", 3.0), [0])
    assert result.parameters.decay[0].mean() == pytest.approx(1.0, abs=0.15)


def test_reports_come_at_each_check(problems: list[tuple[float, Problem]]) -> None:
    reports: list[Report] = []
    train(problems, 2, TINY, strengths_of("none"), [0, 1], report=reports.append)
    assert [report.iteration for report in reports] == [0, 5, 10, 15, 20]
    assert {(report.sound, report.members) for report in reports} == {(2, 2)}


@pytest.mark.slow(reason="trains an ensemble")
def test_members_in_blocks_are_the_members_of_one_block(problems: list[tuple[float, Problem]]) -> None:
    together = run(problems, "l0", seeds=(0, 1, 2), refit=RefitSettings(iterations=5, learning_rate=0.01))
    strengths = strengths_of("l0", 0.0, 0.1)
    settings = TINY.changed(refit=RefitSettings(iterations=5, learning_rate=0.01))
    for most in (1, 4, 100):
        reports: list[Report] = []
        apart = train(problems, 2, settings, strengths, [0, 1, 2], most_members=most, report=reports.append)
        assert [(one.strength, one.seed, one.status, one.iterations) for one in apart.members] == [
            (one.strength, one.seed, one.status, one.iterations) for one in together.members
        ]
        assert_same(apart.parameters.named(), together.parameters.named(), tolerance=2e-4)
        done = [report.iteration for report in reports]
        assert done == sorted(done)
        assert done[-1] == reports[-1].total == 25


@pytest.mark.slow(reason="trains an ensemble")
def test_a_block_that_does_not_fit_is_halved_until_it_does(
    problems: list[tuple[float, Problem]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A device with room for two members, full at the third iteration."""
    whole = run(problems, "l0", seeds=(0, 1, 2))
    draw = step.data_loss
    sizes = []

    def data_loss(run_: Run, task: Task, problem: Problem, iteration: int, *arguments: Any) -> torch.Tensor:
        sizes.append(len(run_.active))
        if len(run_.active) > 2 and iteration == 6:
            message = "CUDA out of memory"
            raise torch.OutOfMemoryError(message)
        return draw(run_, task, problem, iteration, *arguments)

    monkeypatch.setattr(step, "data_loss", data_loss)
    split = run(problems, "l0", seeds=(0, 1, 2))
    assert list(dict.fromkeys(sizes)) == [6, 3, 1, 2]
    assert "6 members do not fit in the memory" in caplog.text
    assert_same(split.parameters.named(), whole.parameters.named(), tolerance=2e-4)
    rows = [(row["strength"], row["seed"], row["iteration"]) for row in split.history]
    assert len(set(rows)) == len(rows) == len(whole.history)


def test_a_single_member_that_does_not_fit_is_an_error(
    problems: list[tuple[float, Problem]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def data_loss(*arguments: Any) -> torch.Tensor:
        message = "CUDA out of memory"
        raise torch.OutOfMemoryError(message)

    monkeypatch.setattr(step, "data_loss", data_loss)
    with pytest.raises(UserError, match=r"a single member does not fit in the memory of the device \(cpu\)"):
        run(problems, "none")


def test_other_errors_are_no_lack_of_memory(
    problems: list[tuple[float, Problem]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def data_loss(*arguments: Any) -> torch.Tensor:
        message = "shapes do not fit"
        raise RuntimeError(message)

    monkeypatch.setattr(step, "data_loss", data_loss)
    with pytest.raises(RuntimeError, match="shapes"):
        run(problems, "none")


STOP = StopSettings(tolerance=0.05, patience=10, cooldown=10)


@pytest.mark.slow(reason="trains an ensemble")
@pytest.mark.parametrize("method", ["l1", "l0"])
def test_a_member_that_no_longer_improves_leaves_and_the_others_do_not_notice(
    problems: list[tuple[float, Problem]], method: str
) -> None:
    settings = {"iterations": 120, "stop": STOP}
    together = run(problems, method, seeds=(0, 1), strengths=(0.0, 3.0), **settings)
    iterations = [member.iterations for member in together.members]
    assert min(iterations) < max(iterations)
    assert {member.status for member in together.members} == {"finished"}
    for row in (0, 3):
        member = together.members[row]
        alone = run(problems, method, seeds=(member.seed,), strengths=(member.strength,), **settings)
        assert alone.members[0].iterations == member.iterations
        assert_same(*(row_of(each, member.strength, member.seed) for each in (together, alone)), tolerance=2e-3)
    rates = [row["learning_rate"] for row in together.history if (row["strength"], row["seed"]) == (0.0, 0)]
    assert rates[0] == 0.02
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.05 * 0.02)


@pytest.mark.slow(reason="trains an ensemble")
def test_the_bar_reaches_its_end_when_all_stop_early(problems: list[tuple[float, Problem]]) -> None:
    reports: list[Report] = []
    settings = TINY.changed(iterations=400, stop=StopSettings(tolerance=1.0, patience=10, cooldown=10))
    result = train(problems, 2, settings, strengths_of("none"), [0], report=reports.append)
    assert result.members[0].iterations < 200
    assert reports[-1].iteration == reports[-1].total == 400


def test_the_last_to_cool_do_so_to_the_end(problems: list[tuple[float, Problem]]) -> None:
    stop = StopSettings.model_construct(tolerance=-10.0, patience=5, cooldown=11)
    result = run(problems, "none", iterations=40, seeds=(0,), check_every=15, stop=stop)
    assert [row["iteration"] for row in result.history] == [0, 15, 29, 30, 40]
    assert result.history[-1]["learning_rate"] == pytest.approx(0.05 * 0.02)


def test_early_stopping_ends_at_the_iterations_at_the_latest(problems: list[tuple[float, Problem]]) -> None:
    result = run(
        problems, "none", iterations=40, stop=StopSettings.model_construct(tolerance=-10.0, patience=5, cooldown=10)
    )
    assert {member.iterations for member in result.members} == {40}


@pytest.mark.slow(reason="trains an ensemble")
@pytest.mark.parametrize("method", ["none", "pathreg"])
def test_losses_over_200_iterations_after_a_neighbor_diverged(
    problems: list[tuple[float, Problem]], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    settings = {"iterations": 220, "seeds": (0, 1), "strengths": (0.1,)}
    sound = run(problems, method, **settings)
    lose(monkeypatch, 12, {1})
    spoiled = run(problems, method, **settings)
    assert spoiled.members[1].status == "diverged"
    losses = [[row["loss"] for row in each.history if row["seed"] == 0] for each in (sound, spoiled)]
    assert len(losses[0]) == len(losses[1]) == 45
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "refit": {"refit": RefitSettings(iterations=7, learning_rate=0.01)},
    "noise": {"initial_noise": 1.0, "decay": 0.5},
    "stop": {
        "stop": StopSettings(tolerance=0.05, patience=5, cooldown=5),
        "refit": RefitSettings(iterations=5, learning_rate=0.01),
        "gates": "unit",
    },
    "windows": {"order": 2, "windows": WindowSettings(length=4, stride=2), "whole_share": 0.4},
    "batches": {
        "windows": WindowSettings(length=4, stride=2, batch=5),
        "refit": RefitSettings(iterations=7, learning_rate=0.01),
    },
    "motion": {
        "order": 2,
        "velocity_hidden": (3,),
        "velocity_observations": 3,
        "decay": 1.0,
        "time_scale": 0.5,
        "windows": WindowSettings(length=4, stride=2, batch=5),
        "whole_share": 0.4,
        "initial_noise": 1.0,
    },
    "bootstrap": {
        "bootstrap": BootstrapSettings(block=2),
        "windows": WindowSettings(length=4, stride=2, batch=5),
        "whole_share": 0.4,
    },
}


def problems_of(adata: anndata.AnnData, settings: ModelSettings) -> list[tuple[float, Problem]]:
    """Problems of data that give a forecast as many observations as the model takes."""
    given = adata.copy()
    given.uns["sparsenode"]["known_observations"] = settings.velocity_observations or 1
    return make_problems(given, settings, (0, 1, 2))


def run_in_pieces(
    adata: anndata.AnnData, folder: Path, settings: ModelSettings, method: str, every: int | None, **named: Any
) -> tuple[TrainingResult, int]:
    """Train, interrupted after every so many iterations, and how often that was."""
    options = named.pop("options", {})
    problems = problems_of(adata, settings)
    checkpoints = Checkpoints(folder, {"method": method})
    pieces = 0
    while True:
        calls = iter(range(10**6))

        def interrupted(calls: Any = calls) -> int:
            return 15 if next(calls) == every else 0

        try:
            result = train(
                problems,
                2,
                settings,
                strengths_of(method, 0.0, 0.5, 1e39, **options),
                [0, 1],
                checkpoints=checkpoints,
                interrupted=interrupted,
                prior=PRIOR,
                **named,
            )
        except InterruptedTrainingError:
            pieces += 1
        else:
            return result, pieces


def assert_equal(one: TrainingResult, other: TrainingResult) -> None:
    assert one.parameters.named().keys() == other.parameters.named().keys()
    for name, tensor in one.parameters.named().items():
        assert torch.equal(tensor, other.parameters.named()[name]), name
    assert [replace(member, seconds=0.0) for member in one.members] == [
        replace(member, seconds=0.0) for member in other.members
    ]
    assert str(one.history) == str(other.history)  # as text, since NaN is not equal to itself


# Of each kind of method one with all variants; the others, which share its code, with those that have most in them.
OF_EACH_KIND = ["dash", "l1", "lassonet", "pathreg"]
COMBINATIONS = [
    (method, variant)
    for method in method_names()
    for variant in (VARIANTS if method in OF_EACH_KIND else ("stop", "motion"))
]


@pytest.mark.slow(reason="trains an ensemble")
@pytest.mark.parametrize(("method", "variant"), COMBINATIONS)
def test_a_run_in_pieces_is_the_whole_run(rotation: anndata.AnnData, tmp_path: Path, method: str, variant: str) -> None:
    settings = suited(TINY.changed(**VARIANTS[variant]), method)
    whole, none = run_in_pieces(rotation, tmp_path / "whole", settings, method, None)
    assert none == 0
    for every in (1, 6):
        cut, pieces = run_in_pieces(rotation, tmp_path / str(every), settings, method, every)
        assert pieces >= (17 if every == 1 else 3)
        assert_equal(cut, whole)


@pytest.mark.slow(reason="trains an ensemble")
@pytest.mark.parametrize(("method", "variant"), COMBINATIONS)
def test_recorded_iterations_are_those_without_a_record(
    rotation: anndata.AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, variant: str
) -> None:
    """On a CPU a record is run again, with the numbers that a GPU would be given; one strength diverges on the way."""
    repeated = []
    repeat = graph.RecordedStep.repeat
    monkeypatch.setattr(
        graph.RecordedStep, "repeat", lambda self, **given: repeated.append(self) or repeat(self, **given)
    )
    settings = suited(TINY.changed(iterations=30, **VARIANTS[variant]), method)
    plain, _ = run_in_pieces(rotation, tmp_path / "plain", settings, method, None)
    assert not repeated
    recorded, _ = run_in_pieces(rotation, tmp_path / "recorded", settings, method, None, recorded=True)
    if get_method(method).gated:  # the share of their noise is a tensor, which rounds differently
        assert_same(plain.parameters.named(), recorded.parameters.named(), tolerance=1e-4)
        assert [(one.status, one.iterations) for one in plain.members] == [
            (one.status, one.iterations) for one in recorded.members
        ]
    else:
        assert_equal(plain, recorded)
    assert len(repeated) > 12
    assert 1 < len(set(map(id, repeated))) < len(repeated) / 2


@pytest.mark.parametrize("fault", ["a stale strength", "a stale draw", "no step", "refused"])
def test_a_record_that_does_otherwise_is_not_used(
    problems: list[tuple[float, Problem]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    """Whatever a GPU does, members end as without a record."""
    repeat, record = graph.RecordedStep.repeat, graph._record

    def repeat_wrongly(self: Any, **given: Any) -> Any:
        if fault == "a stale strength":
            given["strength"] = given["strength"] * 0 + 100.0
        if fault == "a stale draw":
            given["drawn"] = replace(given["drawn"], gates=given["drawn"].gates * 0 - 20_000)
        return repeat(self, **given)

    def record_wrongly(iterate: Any, device: torch.device) -> Any:
        if fault == "refused":
            message = "operation not permitted when stream is capturing"
            raise graph.NotRecordedError(message)
        losses = [torch.full((4,), 0.5)] * 3
        return (lambda: losses) if fault == "no step" else record(iterate, device)

    settings = TINY.changed(iterations=12, warm_up=0.0)
    given = strengths_of("l0", 0.0, 0.1)
    plain = train(problems, 2, settings, given, (0, 1))
    monkeypatch.setattr(graph.RecordedStep, "repeat", repeat_wrongly)
    monkeypatch.setattr(graph, "_record", record_wrongly)
    spoiled = train(problems, 2, settings, given, (0, 1), recorded=True)
    assert_equal(plain, spoiled)
    assert caplog.text.count("cannot be recorded as a CUDA graph") == 1


@pytest.mark.slow(reason="trains several models")
@pytest.mark.parametrize("variant", ["plain", "stop", "bootstrap"])
def test_weights_of_edges_come_back_with_a_checkpoint(rotation: anndata.AnnData, tmp_path: Path, variant: str) -> None:
    settings = suited(TINY.changed(**VARIANTS[variant]), "grouplasso")
    options = {"adaptive": 1.0, "stages": 3}
    whole, _ = run_in_pieces(rotation, tmp_path / "whole", settings, "grouplasso", None, options=options)
    alike, _ = run_in_pieces(rotation, tmp_path / "alike", settings, "grouplasso", None)
    cut, pieces = run_in_pieces(rotation, tmp_path / "cut", settings, "grouplasso", 3, options=options)
    assert pieces >= 6
    assert_equal(cut, whole)
    assert not torch.equal(alike.parameters.weights[0], whole.parameters.weights[0])


@pytest.mark.parametrize("method", ["grouplasso", "lassonet"])
def test_a_single_variable_has_no_edge_to_penalize(rotation: anndata.AnnData, method: str) -> None:
    one = rotation[:, :1].copy()
    one.uns["sparsenode"]["initial_states"] = one.uns["sparsenode"]["initial_states"].iloc[:, :1]
    result = train(make_problems(one, TINY), 1, suited(TINY, method), strengths_of(method, 1.0), [0])
    assert result.members[0].status == "finished"
    assert [row["penalty"] for row in result.history] == [0.0] * len(result.history)


@pytest.mark.slow(reason="trains an ensemble")
def test_edges_are_weighed_for_the_last_time_before_anybody_cools(
    rotation: anndata.AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every member would stop as soon as it may: five iterations of patience, twice.
    stop = StopSettings(tolerance=1.0, patience=5, cooldown=30)
    settings = suited(TINY.changed(iterations=100, warm_up=0.1, stop=stop), "grouplasso")
    weighed: list[list[int]] = []
    reweigh = runs.reweigh_edges

    def recorded(run_: Run, task: Task) -> None:
        assert run_.plateau is not None
        weighed.append(run_.plateau.cooling_since.tolist())
        reweigh(run_, task)

    monkeypatch.setattr(runs, "reweigh_edges", recorded)
    method = strengths_of("grouplasso", 0.01, 0.1, adaptive=1.0, stages=3)
    result = train(problems_of(rotation, settings), 2, settings, method, [0])
    assert weighed == [[-1, -1]] * 3
    # Weighed at 10, 30 and 50; two patiences after that all cool.
    assert [member.iterations for member in result.members] == [90, 90]


@pytest.mark.slow(reason="trains several models")
@pytest.mark.parametrize("variant", ["batches", "motion", "bootstrap"])
@pytest.mark.parametrize("method", method_names())
def test_a_member_that_trains_on_batches_does_not_depend_on_its_neighbors(
    rotation: anndata.AnnData, method: str, variant: str
) -> None:
    settings = suited(TINY.changed(**VARIANTS[variant]), method)
    problems = problems_of(rotation, settings)
    together = train(problems, 2, settings, strengths_of(method, 0.0, 0.1, 1.0), (0, 1, 2), prior=PRIOR)
    strength = together.members[-1].strength
    alone = train(problems, 2, settings, strengths_of(method, strength), (2,), prior=PRIOR)
    assert_same(row_of(together, strength, 2), row_of(alone, strength, 2), tolerance=2e-4)


def test_batches_change_with_the_iteration_and_go_on_through_the_refit(
    rotation: anndata.AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TINY.changed(**VARIANTS["batches"])
    ((until, problem),) = problems_of(rotation, settings)
    sample, drawn = Problem.sample, []

    def recorded(one: Problem, iteration: int) -> Problem:
        drawn.append(iteration)
        return sample(one, iteration)

    monkeypatch.setattr(Problem, "sample", recorded)
    result = train([(until, problem)], 2, settings, strengths_of("none"), [0])
    assert drawn == [*range(21), *range(20, 28)]
    monkeypatch.setattr(Problem, "sample", lambda one, iteration: sample(one, 0))
    fixed = train([(until, problem)], 2, settings, strengths_of("none"), [0])
    assert not torch.equal(result.parameters.weights[0], fixed.parameters.weights[0])


def started(settings: ModelSettings, seeds: list[int], method: str = "none") -> tuple[Run, Task]:
    task = runs.make_task(2, settings, strengths_of(method, 0.01), seeds, torch.device("cpu"), prior=PRIOR)
    return runs.start(task, range(len(seeds))), task


@pytest.mark.slow(reason="trains an ensemble")
def test_a_model_that_trains_on_batches_learns_all_windows(rotation: anndata.AnnData) -> None:
    settings = TINY.changed(windows=WindowSettings(length=4, stride=2, batch=5), iterations=300)
    ((until, problem),) = make_problems(rotation, settings)
    result = train([(until, problem)], 2, settings, strengths_of("none"), [0])
    fresh, task = started(settings, [0])
    trained = replace(fresh, parameters=result.parameters)
    whole = replace(problem, batch=None)
    first, last = (step.data_loss(one, task, whole, 0, None).item() for one in (fresh, trained))
    assert last < 0.05
    assert last < 0.1 * first


@pytest.mark.parametrize("velocity_observations", [1, 3])
def test_starts_and_slopes_are_perturbed_by_their_own_errors(
    rotation: anndata.AnnData, monkeypatch: pytest.MonkeyPatch, velocity_observations: int
) -> None:
    settings = TINY.changed(**VARIANTS["motion"] | {"velocity_observations": velocity_observations})
    settings = settings.changed(initial_noise=2.0)
    (_, problem), _ = problems_of(rotation, settings)
    given: list[torch.Tensor] = []
    begin = step.starting_states

    def recorded(parameters: Any, settings_: ModelSettings, *starts: torch.Tensor) -> torch.Tensor:
        given.extend(starts)
        return begin(parameters, settings_, *starts)

    monkeypatch.setattr(step, "starting_states", recorded)
    seeds, iteration = [4, 9, 4], 6
    run_, task = started(settings, seeds)
    step.data_loss(run_, task, problem, iteration, None)
    part = problem.sample(iteration)
    takes_slopes = velocity_observations > 1
    noise = draw_normal(seeds, iteration, (1 + takes_slopes, *part.positions.shape), torch.device("cpu"))
    assert part.errors.all()
    assert torch.equal(given[0], part.positions + 2.0 * part.errors * noise[:, 0])
    expected = part.velocities
    if takes_slopes:
        assert part.velocity_errors.all()
        expected = expected + 2.0 * part.velocity_errors * noise[:, 1]
    assert torch.equal(given[1], expected)


@pytest.mark.slow(reason="trains several models")
@pytest.mark.parametrize("method", method_names())
def test_every_method_trains_on_motion(rotation: anndata.AnnData, method: str) -> None:
    """All that a model of motion has: slopes, stiffness and damping, another scale of time, noise and batches."""
    settings = suited(TINY.changed(**VARIANTS["motion"]), method)
    result = train(problems_of(rotation, settings), 2, settings, strengths_of(method, 0.4), [0], prior=PRIOR)
    assert result.members[0].status == "finished"
    assert np.isfinite([row["loss"] for row in result.history]).all()
    fresh, _ = started(settings, [0], method)
    has_fixed_masks = issubclass(get_method(method), EdgeMask)
    for name, tensor in fresh.parameters.named().items():
        stays = has_fixed_masks and name.startswith("masks")
        assert torch.equal(result.parameters.named()[name], tensor) == stays, name


@pytest.mark.slow(reason="trains an ensemble")
def test_so_is_a_run_in_blocks_of_members(rotation: anndata.AnnData, tmp_path: Path) -> None:
    settings = TINY.changed(refit=RefitSettings(iterations=7, learning_rate=0.01))
    whole, _ = run_in_pieces(rotation, tmp_path / "whole", settings, "l0", None, most_members=4)
    cut, pieces = run_in_pieces(rotation, tmp_path / "cut", settings, "l0", 6, most_members=4)
    assert pieces > 6
    assert_equal(cut, whole)


@pytest.mark.slow(reason="trains an ensemble")
def test_a_smaller_limit_of_memory_holds_for_what_is_resumed(
    rotation: anndata.AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems, checkpoints = make_problems(rotation, TINY), Checkpoints(tmp_path, {})
    calls = iter(range(100))

    def go(**named: Any) -> TrainingResult:
        return train(problems, 2, TINY, strengths_of("l0", 0.0, 0.5, 1e39), [0, 1], checkpoints=checkpoints, **named)

    with pytest.raises(InterruptedTrainingError):
        go(most_members=4, interrupted=lambda: 15 if next(calls) == 8 else 0)
    sizes = []
    draw = step.data_loss
    monkeypatch.setattr(step, "data_loss", lambda run, *rest: sizes.append(len(run.active)) or draw(run, *rest))
    result = go(most_members=2)
    assert max(sizes) == 2
    assert [member.status for member in result.members] == ["finished"] * 4 + ["diverged"] * 2
    rows = [(row["strength"], row["seed"], row["iteration"]) for row in result.history]
    assert len(set(rows)) == len(rows)


def test_what_did_not_fit_is_not_tried_again(
    rotation: anndata.AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems, checkpoints = make_problems(rotation, TINY), Checkpoints(tmp_path, {})
    draw = step.data_loss
    sizes = []

    def data_loss(run: Any, *rest: Any) -> torch.Tensor:
        sizes.append(len(run.active))
        if len(run.active) > 3:
            message = "CUDA out of memory"
            raise torch.OutOfMemoryError(message)
        return draw(run, *rest)

    monkeypatch.setattr(step, "data_loss", data_loss)
    for stop in (5, 10**6):
        calls = iter(range(10**6))

        def interrupted(calls: Any = calls, stop: int = stop) -> int:
            return 15 if next(calls) == stop else 0

        try:
            train(
                problems,
                2,
                TINY,
                strengths_of("l0", 0.0, 0.5, 1e39),
                [0, 1],
                checkpoints=checkpoints,
                interrupted=interrupted,
            )
        except InterruptedTrainingError:
            assert sizes.count(6) == 1
    assert sizes.count(6) == 1
