"""Strengths by themselves: which batches are trained, by which errors, and that members are those of a list."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from sparsenode.ensemble.choice import describe_searches
from sparsenode.ensemble.members import join_ensembles
from sparsenode.errors import InterruptedTrainingError, UserError
from sparsenode.methods import get_method, make_method, method_names, most_strengths
from sparsenode.settings import (
    AUTO,
    BATCH,
    MOST_BATCHES,
    BootstrapSettings,
    MatchingSettings,
    MethodSettings,
    ModelSettings,
    SolverSettings,
    WindowSettings,
)
from sparsenode.training import screen
from sparsenode.training.checkpoints import Checkpoints
from sparsenode.training.job import Training, make_training
from sparsenode.training.loop import TrainingResult, train
from sparsenode.training.matching import make_matching
from sparsenode.training.problems import make_judge, make_problems
from sparsenode.training.run import fresh_parameters, make_task
from sparsenode.training.step import forecast_loss, row_losses
from sparsenode.training.strengths import Batch, Search, batch_below, next_batch, strength_at

if TYPE_CHECKING:
    from pathlib import Path

    import anndata

SETTINGS = ModelSettings(
    hidden=(4,), solver=SolverSettings(step=0.5), iterations=6, check_every=3, learning_rate=0.02, warm_up=0.2
)
L1 = MethodSettings(regularizer="l1", strengths=AUTO)
SEEDS = [0, 1]


@pytest.fixture(scope="module")
def held_out(rotation: anndata.AnnData) -> anndata.AnnData:
    """The third trajectory and the end of the second one are held out."""
    adata = rotation.copy()
    adata.obs["split"] = ["train"] * 22 + ["validation"] * 17
    adata.obs["split"] = adata.obs["split"].astype("category")
    for name in ("group", "subject"):
        adata.obs[name] = adata.obs["trajectory"]
    adata.uns["sparsenode"] = {**rotation.uns["sparsenode"], "name": "rotation"}
    return adata


def choice_of(*errors: tuple[float, float], chosen: float, at_edge: str | None = None) -> dict[str, Any]:
    """A choice among strengths with these log excesses over the best, each with a standard error of .1."""
    candidates = [
        {"strength": strength, "excess": excess, "standard_error": 0.1, "candidate": math.isfinite(excess)}
        for strength, excess in errors
    ]
    best = min(errors, key=lambda entry: entry[1] if math.isfinite(entry[1]) else math.inf)[0]
    return {"chosen": chosen, "at_edge": at_edge, "best": best, "candidates": candidates}


INSIDE = choice_of((0.01, 0.3), (0.1, 0.0), (1.0, 0.5), chosen=0.1)
SMALLEST = choice_of((0.01, 0.0), (0.1, 0.3), (1.0, 0.5), chosen=0.01, at_edge="smallest")
LARGEST = choice_of((0.01, 0.6), (0.1, 0.3), (1.0, 0.0), chosen=1.0, at_edge="largest")


def further(
    choice: dict[str, Any], method: str = "l1", *, before: int = 1, is_empty: bool = False
) -> tuple[tuple[float, ...], str]:
    options = {"prior": "known"} if method == "dash" else {}
    batches = [[0.01, 0.1, 1.0]] * before
    return next_batch(choice, batches, make_method(method, options), is_empty=is_empty)


def test_strengths_are_half_decades_of_three_digits() -> None:
    assert [strength_at(exponent) for exponent in range(-3, 3)] == [0.0316, 0.1, 0.316, 1.0, 3.16, 10.0]
    assert batch_below(3.16) == (0.0316, 0.1, 0.316, 1.0, 3.16)
    assert batch_below(0.0316, inclusive=False) == (0.0001, 0.000316, 0.001, 0.00316, 0.01)
    assert len(batch_below(1.0)) == BATCH


@pytest.mark.parametrize(
    ("choice", "strengths", "words"),
    [
        (INSIDE, (), "the choice, 0.1, is between strengths that are no better"),
        (SMALLEST, batch_below(0.01, inclusive=False), "the validation error still fell toward 0.01, the smallest"),
        (LARGEST, (3.16, 10.0, 31.6, 100.0, 316.0), "the choice was 1, the largest, which left edges"),
        # Larger ones are within one standard error of the smallest, which is chosen by none of these.
        (choice_of((0.01, 0.0), (0.1, 0.05), (1.0, 0.08), chosen=1.0), (), "the choice, 1, is between"),
        # The choice is inside, but by what an error that still falls is compared with.
        (choice_of((0.01, 0.0), (0.1, 0.3), (1.0, 0.5), chosen=0.1), batch_below(0.00316), "still fell toward 0.01"),
        # Less than one percent is nothing, however sure.
        (
            choice_of((0.01, 0.0), (0.1, 0.005), (1.0, 0.5), chosen=0.01, at_edge="smallest"),
            (),
            "the choice, 0.01, errs hardly less than 0.1",
        ),
        (
            choice_of((0.01, math.nan), (0.1, math.nan), chosen=None),
            (),
            "no strength can be chosen, since too many members were lost",
        ),
    ],
)
def test_the_next_batch_is_beyond_the_end_at_which_the_choice_is(
    choice: dict[str, Any], strengths: tuple[float, ...], words: str
) -> None:
    batch = Batch(*further(choice))
    assert batch.strengths == strengths
    assert words in batch.reason


def test_where_nothing_is_left_at_any_strength_smaller_ones_follow() -> None:
    """All err alike, so that the largest is chosen, which no larger one differs from."""
    choice = choice_of((0.01, 0.0), (0.1, 0.0), (1.0, 0.0), chosen=1.0)
    assert further(choice, is_empty=True) == (batch_below(0.00316), "even 0.01 left no edge")
    assert further(choice)[0] == ()


def test_after_four_batches_none_follows() -> None:
    assert further(SMALLEST, before=MOST_BATCHES - 1)[0]
    strengths, reason = further(SMALLEST, before=MOST_BATCHES)
    assert strengths == ()
    assert reason.endswith("the smallest, and 4 batches are the most that one job trains")
    assert further(INSIDE, before=MOST_BATCHES)[1].endswith("no better")


def test_a_penalty_that_empties_nothing_grows_until_the_error_doubles() -> None:
    for excess, count in ((0.9 * math.log(2.0), BATCH), (1.1 * math.log(2.0), 0)):
        choice = choice_of((0.01, 0.3), (0.1, 0.0), (1.0, excess), chosen=1.0, at_edge="largest")
        assert len(further(choice, "cnode")[0]) == count
        assert len(further(choice, "l1")[0]) == BATCH


def test_shares_are_one_batch_of_their_whole_range() -> None:
    for method, ends in {"imp": (0.5, 0.999), "dash": (0.0, 1.0)}.items():
        whole = get_method(method).whole_range
        assert whole is not None
        assert (whole[0], whole[-1]) == ends
        assert sorted(set(whole)) == list(whole)
        assert further(SMALLEST, method) == ((), "they are the whole range of a share")
        assert most_strengths(get_method(method)) == (len(whole), len(whole))
    assert most_strengths(get_method("l1")) == (5, 20)


@pytest.mark.parametrize(
    ("edges", "losses", "method", "top", "words"),
    [
        ([9, 9, 9, 9, 5, 1, 0, 0, 0], [1.0] * 9, "l1", 10.0, "leaves no edge"),
        # Not the first that happens to be empty, but the first from which on all are.
        ([9, 9, 0, 9, 5, 1, 0, 0, 0], [1.0] * 9, "l1", 10.0, "leaves no edge"),
        ([0] * 9, [1.0] * 9, "l1", 0.01, "leaves no edge"),
        ([9] * 9, [0.1] * 5 + [0.15, 0.2, 0.5, 0.9], "l1", 10.0, "doubles the loss"),
        ([9] * 4 + [0] * 5, [0.1] * 7 + [0.5, 0.9], "cnode", 31.6, "doubles the loss"),
        ([9] * 9, [0.1] * 6 + [math.nan] * 3, "l0", 10.0, "doubles the loss"),
        ([9] * 9, [0.1] * 9, "l0", 100.0, "the largest that was matched"),
    ],
)
def test_the_first_batch_begins_where_the_screen_leaves_no_edge(
    edges: list[int], losses: list[float], method: str, top: float, words: str
) -> None:
    batch = screen.begin_at(edges, losses, make_method(method, {}))
    assert batch.strengths == batch_below(top)
    assert words in batch.reason


def test_the_screen_takes_as_many_slopes_as_it_needs(rotation: anndata.AnnData) -> None:
    matching = make_matching(rotation, SETTINGS.changed(matching=MatchingSettings(share=1.0)))
    assert matching is not None
    assert screen.thin(matching, 39) is matching
    few = screen.thin(matching, 14)
    assert len(few.states) == len(few.movement) == 14
    assert torch.equal(few.states[[0, -1]], matching.states[[0, -1]])
    assert few.weight.sum().item() == pytest.approx(1.0)


@pytest.mark.slow(reason="trains to the end, since fewer iterations empty no edge")
@pytest.mark.parametrize("method", ["l1", "l0", "grouplasso"])
def test_the_screen_finds_a_strength_that_leaves_no_edge(held_out: anndata.AnnData, method: str) -> None:
    """And half a decade below it edges are left: the same training by a list."""
    network = "per_target" if method == "grouplasso" else "joint"
    settings = SETTINGS.changed(iterations=80, check_every=80, network=network, gates_learning_rate=0.3)
    named = MethodSettings(regularizer=method, strengths=AUTO)
    problems = make_problems(held_out, settings)
    batch = screen.first_batch(held_out, problems, settings, named, make_method(method, {}))
    assert "leaves no edge" in batch.reason
    top = batch.strengths[-1]
    assert batch.strengths == batch_below(top)
    matched = settings.changed(matching=MatchingSettings(share=1.0))
    below = [strength for strength in screen.SCREENED if strength < top][-1:]
    result = train(
        problems,
        2,
        matched,
        named.changed(strengths=(*below, top)),
        [0],
        matching=make_matching(held_out, matched),
    )
    from sparsenode.ensemble.members import path_strengths
    from sparsenode.ensemble.model import make_field

    paths = path_strengths(result.parameters, make_field(matched, 2))[:, [0, 1], [1, 0]]
    assert (paths >= 1e-5).any(1).tolist() == [*[True] * len(below), False]


def test_data_that_cannot_be_matched_begin_at_a_fixed_strength(rotation: anndata.AnnData) -> None:
    adata = rotation[rotation.obs["time"] < 0.9].copy()
    batch = screen.first_batch(adata, make_problems(adata, SETTINGS), SETTINGS, L1, make_method("l1", {}))
    assert batch.strengths == batch_below(screen.UNKNOWN)
    assert "too few to be matched" in batch.reason


WINDOWS = {"windows": WindowSettings(length=2, stride=1)}


@pytest.mark.parametrize("changes", [{}, WINDOWS], ids=["whole", "windows"])
def test_rows_of_the_judge_are_clusters_and_their_errors_those_of_evaluation(
    held_out: anndata.AnnData, changes: dict[str, Any]
) -> None:
    """Up to a factor that all members share, by which no comparison of logs changes."""
    from sparsenode.data.observations import read_observations
    from sparsenode.ensemble.members import Ensemble, Member
    from sparsenode.evaluation import forecast, plans

    settings = SETTINGS.changed(**changes)
    judge, cluster = make_judge(held_out, settings)
    task = make_task(2, settings, L1.changed(strengths=(0.1,)), SEEDS, torch.device("cpu"))
    parameters = fresh_parameters(task, [0, 1])
    by_row = row_losses(parameters, task, judge)
    whole = forecast_loss(parameters, task, judge, SEEDS)
    assert by_row.sum(1).tolist() == pytest.approx(whole.tolist(), rel=1e-5)
    assert sorted(set(cluster.tolist())) == [1, 2]
    errors = np.stack([by_row[:, cluster == code].sum(1).numpy() for code in (1, 2)], axis=1)
    frozen = {
        "dataset": "rotation",
        "model": "m",
        "method": "l1",
        "model_settings": settings.model_dump(mode="json"),
        "method_settings": {"regularizer": "l1", "strengths": [0.1], "options": {}},
    }
    members = tuple(Member(0.1, seed, "finished", "", 1, 0.0) for seed in SEEDS)
    ensemble = Ensemble(frozen, members, ("x", "y"), {}, parameters)
    data = read_observations(held_out)
    windows = [np.arange(first, first + 3) for first in (22, 23, *range(26, 37))]
    plan = plans.plan_windows(data, windows) if changes else plans.plan_trajectories(data)
    measured = forecast.forecast_errors(ensemble, data, plan, forecast.Kept(np.empty(0, int), np.empty(0, int)))
    named = plan.groups.reset_index()
    columns = named[named["split"] == "validation"].set_index("trajectory").loc[["b", "c"], "index"]
    ratio = errors / measured.mse[:, columns]
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:1], ratio.shape), rtol=1e-4)


def test_of_a_single_trajectory_the_clusters_are_blocks_of_time(held_out: anndata.AnnData) -> None:
    adata = held_out.copy()
    adata.obs["split"] = ["train"] * 26 + ["validation"] * 13
    judge, cluster = make_judge(adata, SETTINGS)
    assert cluster.tolist() == list(range(6))
    assert len(judge.positions) == 6
    task = make_task(2, SETTINGS, L1.changed(strengths=(0.1,)), SEEDS, torch.device("cpu"))
    parameters = fresh_parameters(task, [0, 1])
    # One row of all blocks, each of which counts as much as its observations.
    split = adata.copy()
    split.obs["split"] = np.where(np.arange(39) < 26, "validation", "train")
    rows = make_problems(split, SETTINGS.changed(normalization="study"))[0][1]
    shares = torch.tensor([3, 2, 2, 2, 2, 2]) / 13 * 6
    weighed = row_losses(parameters, task, judge) @ shares
    assert weighed.tolist() == pytest.approx(forecast_loss(parameters, task, rows, SEEDS).tolist(), rel=0.02)
    with_windows = make_judge(adata, SETTINGS.changed(**WINDOWS))[1]
    assert np.diff(with_windows).min() >= 0
    assert with_windows.max() == 4


def scripted(*batches: tuple[float, ...]) -> Search:
    """A search whose batches are known."""

    class Scripted(Search):
        def next(self, task: Any, trained: Any, ended: Any) -> Batch:  # noqa: ARG002  asked of no member
            count = len(trained)
            return Batch(batches[count], f"batch {count}") if count < len(batches) else Batch((), "the script ends")

    return Scripted(first=lambda: Batch(batches[0], "batch 0"), judge=None, cluster=np.empty(0))  # type: ignore[arg-type]


def fit(adata: anndata.AnnData, search: Search | None, *, settings: ModelSettings = SETTINGS, **named: Any) -> Any:
    method = named.pop("method", L1)
    return train(make_problems(adata, settings, SEEDS), 2, settings, method, SEEDS, search=search, **named)


def rows_of(result: TrainingResult, *strengths: float) -> list[torch.Tensor]:
    rows = [number for number, member in enumerate(result.members) if member.strength in strengths]
    return [tensor[rows] for tensor in result.parameters.named().values()]


BATCHES = ((0.1, 1.0), (0.001, 0.01), (10.0,))


def test_members_are_bit_for_bit_those_of_lists(rotation: anndata.AnnData) -> None:
    result = fit(rotation, scripted(*BATCHES))
    assert [(member.strength, member.seed) for member in result.members] == [
        (strength, seed) for strength in (0.001, 0.01, 0.1, 1.0, 10.0) for seed in SEEDS
    ]
    assert result.batches == [list(batch) for batch in BATCHES]
    assert result.reasons == ["batch 0", "batch 1", "batch 2", "the script ends"]
    for batch in BATCHES:
        listed = fit(rotation, None, method=L1.changed(strengths=batch))
        assert listed.reasons == []
        pairs = zip(rows_of(result, *batch), listed.parameters.named().values(), strict=True)
        assert all(torch.equal(*pair) for pair in pairs)
        own = [row for row in result.history if row["strength"] in batch]
        assert own == listed.history


def stopping_at(number: int) -> Callable[[], int]:
    calls: Iterator[int] = iter(range(1000))
    return lambda: 15 if next(calls) == number else 0


@pytest.mark.slow(reason="trains several batches twice")
@pytest.mark.parametrize("most", [None, 1])
def test_a_run_that_is_interrupted_in_a_second_batch_goes_on_from_there(
    rotation: anndata.AnnData, tmp_path: Path, most: int | None
) -> None:
    whole = fit(rotation, scripted(*BATCHES), most_members=most)
    per_batch = 7 * (1 if most is None else 4)
    checkpoints = Checkpoints(tmp_path, {})
    stopped = {"checkpoints": checkpoints, "most_members": most}
    with pytest.raises(InterruptedTrainingError):
        fit(rotation, scripted(*BATCHES), interrupted=stopping_at(per_batch + 4), **stopped)
    resumed = replace(scripted(*BATCHES), first=lambda: pytest.fail("the first batch is known"))
    result = fit(rotation, resumed, **stopped)
    assert result.batches == whole.batches
    assert result.reasons == whole.reasons
    assert result.history == whole.history
    pairs = zip(result.parameters.named().values(), whole.parameters.named().values(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_what_was_trained_is_kept_when_a_later_batch_is_interrupted(rotation: anndata.AnnData) -> None:
    result = fit(rotation, scripted(*BATCHES), interrupted=stopping_at(8), keep_interrupted=True)
    assert [member.strength for member in result.members] == [0.1, 0.1, 1.0, 1.0]
    result = fit(rotation, scripted(*BATCHES), interrupted=stopping_at(12), keep_interrupted=True)
    assert [member.reason for member in result.members] == ["interrupted at iteration 5"] * 4 + [""] * 4


def test_progress_never_goes_back(rotation: anndata.AnnData) -> None:
    reports: list[Any] = []
    fit(rotation, scripted(*BATCHES), report=reports.append)
    done = [report.iteration for report in reports]
    assert done == sorted(done)
    assert done[-1] == reports[-1].total == 15
    assert all(report.iteration <= report.total for report in reports)


def frozen_of(method: str, **changes: Any) -> dict[str, Any]:
    options = {"epochs": 12, "first_epoch": 2, "every": 3} if method in {"imp", "dash"} else {}
    options |= {"prior": "known"} if method == "dash" else {}
    network = "per_target" if method in {"grouplasso", "lassonet"} else "joint"
    settings = SETTINGS.changed(network=network, iterations=12, check_every=6, **changes)
    return {
        "dataset": "rotation",
        "model": "m",
        "method": method,
        "model_settings": settings.model_dump(mode="json"),
        "method_settings": {"regularizer": method, "strengths": AUTO, "options": options},
    }


def with_prior(adata: anndata.AnnData) -> anndata.AnnData:
    adata = adata.copy()
    adata.varp["prior_known"] = np.array([[0.0, 1.0], [-1.0, 0.0]])
    return adata


@pytest.mark.slow(reason="trains several models")
@pytest.mark.parametrize("method", [name for name in method_names() if get_method(name).strength is not None])
def test_every_method_trains_by_itself(held_out: anndata.AnnData, method: str) -> None:
    training = make_training(with_prior(held_out), frozen_of(method), SEEDS)
    ensemble, history = training.run()
    (search,) = ensemble.metadata["searches"]
    trained = sorted({member.strength for member in ensemble.members})
    assert sorted(strength for batch in search["batches"] for strength in batch) == trained
    assert len(search["reasons"]) == len(search["batches"]) + 1
    assert 1 <= len(search["batches"]) <= MOST_BATCHES
    assert sorted(set(history["strength"])) == trained
    words = describe_searches([search])
    assert words.count("; ") == len(search["batches"])
    assert "no further ones, since " in words


@pytest.mark.slow(reason="trains several models")
@pytest.mark.parametrize(
    "changes",
    [
        {"windows": WindowSettings(length=3, stride=2)},
        {"bootstrap": BootstrapSettings(block=2)},
        {"matching": MatchingSettings(share=0.5)},
        {"network": "biological"},
        {"order": 2},
        {"starts": "learned", "decay": 0.5},
        {"normalization": "study"},
        {"refit": {"iterations": 3}},
        {"stop": {"patience": 2, "cooldown": 3}},
    ],
    ids=str,
)
def test_it_goes_with_all_that_training_has(held_out: anndata.AnnData, changes: dict[str, Any]) -> None:
    frozen = frozen_of("l1")
    frozen["model_settings"] |= ModelSettings(**changes).model_dump(mode="json", include=set(changes))
    adata = held_out.copy()
    adata.obs["group"] = "all"
    ensemble, _ = make_training(adata, frozen, SEEDS).run()
    assert {member.status for member in ensemble.members} == {"finished"}
    assert ensemble.metadata["searches"][0]["reasons"]


def test_without_validation_observations_nothing_is_trained(rotation: anndata.AnnData) -> None:
    with pytest.raises(UserError, match=r"no validation observations \(phase fit\) to choose among the strengths on"):
        make_training(rotation, frozen_of("l1"), SEEDS)


@pytest.mark.slow(reason="trains several batches twice")
def test_jobs_of_other_seeds_begin_with_the_same_strengths(held_out: anndata.AnnData) -> None:
    first: list[list[float]] = []
    for seeds in ([0], [5, 6]):
        training: Training = make_training(held_out, frozen_of("l1"), seeds)
        first.append(training.run()[0].metadata["searches"][0]["batches"][0])
    assert first[0] == first[1]


def test_blocks_of_seeds_are_joined_with_what_each_has_chosen(held_out: anndata.AnnData) -> None:
    blocks = [make_training(held_out, frozen_of("imp"), seeds).run()[0] for seeds in ([0], [1, 2])]
    joined = join_ensembles(blocks)
    assert [search["seeds"] for search in joined.metadata["searches"]] == [[0], [1, 2]]
    assert len(joined.members) == 3 * len(get_method("imp").whole_range)
    assert describe_searches(joined.metadata["searches"]).startswith("0.5 to 0.999 (the range of a share); no further")


def test_what_jobs_did_is_said_once_where_they_did_alike() -> None:
    alike = {"batches": [[0.1, 1.0]], "reasons": ["because", "it is inside"]}
    other = {"batches": [[0.1, 1.0], [0.01]], "reasons": ["because", "it fell"], "seeds": [4]}
    one, two = {**alike, "seeds": [0, 1]}, {**alike, "seeds": [2, 3]}
    text = "0.1 to 1 (because); no further ones, since it is inside"
    assert describe_searches([one, two]) == text
    both = describe_searches([one, two, other])
    assert both == f"seeds 0 to 3: {text}; seeds 4 to 4: 0.1 to 1 (because); 0.01 to 0.01 (it fell)"
