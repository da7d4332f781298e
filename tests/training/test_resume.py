"""A run that is interrupted and resumed is, to the last bit, the run that was not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import pytest
import torch

from sparsenode.errors import InterruptedTrainingError
from sparsenode.methods import get_method, method_names
from sparsenode.problems import make_problems
from sparsenode.settings import (
    MethodSettings,
    ModelSettings,
    RefitSettings,
    SolverSettings,
    StopSettings,
    WindowSettings,
)
from sparsenode.training import TrainingResult, loop, train
from sparsenode.training.checkpoints import Checkpoints

TINY = ModelSettings(
    hidden=(6,), solver=SolverSettings(step=0.5), iterations=20, check_every=5, learning_rate=0.02, warm_up=0.2
)
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "refit": {"refit": RefitSettings(7, 0.01)},
    "noise": {"initial_noise": 1.0, "decay": 0.5},
    "stop": {"stop": StopSettings(0.05, 5, 5), "refit": RefitSettings(5, 0.01), "gates": "unit"},
    "windows": {"order": 2, "windows": WindowSettings(4, 2), "whole_share": 0.4},
}


def settings_of(method: str) -> MethodSettings:
    return MethodSettings(method, (0.0, 0.5, 1e39) if get_method(method).has_strength else (0.0,), {})


def run_in_pieces(
    adata: anndata.AnnData, folder: Path, settings: ModelSettings, method: str, every: int | None, **named: Any
) -> tuple[TrainingResult, int]:
    """Train, interrupted after every so many iterations, and how often that was."""
    problems = make_problems(adata, settings)
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
                settings_of(method),
                [0, 1],
                checkpoints=checkpoints,
                interrupted=interrupted,
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


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("method", method_names())
def test_a_run_in_pieces_is_the_whole_run(rotation: anndata.AnnData, tmp_path: Path, method: str, variant: str) -> None:
    settings = replace(TINY, **VARIANTS[variant])
    whole, none = run_in_pieces(rotation, tmp_path / "whole", settings, method, None)
    assert none == 0
    for every in (1, 6):
        cut, pieces = run_in_pieces(rotation, tmp_path / str(every), settings, method, every)
        assert pieces >= (17 if every == 1 else 3)
        assert_equal(cut, whole)


def test_so_is_a_run_in_blocks_of_members(rotation: anndata.AnnData, tmp_path: Path) -> None:
    settings = replace(TINY, refit=RefitSettings(7, 0.01))
    whole, _ = run_in_pieces(rotation, tmp_path / "whole", settings, "l0", None, most_members=4)
    cut, pieces = run_in_pieces(rotation, tmp_path / "cut", settings, "l0", 6, most_members=4)
    assert pieces > 6
    assert_equal(cut, whole)


def test_a_smaller_limit_of_memory_holds_for_what_is_resumed(
    rotation: anndata.AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems, checkpoints = make_problems(rotation, TINY), Checkpoints(tmp_path, {})
    calls = iter(range(100))

    def go(**named: Any) -> TrainingResult:
        return train(problems, 2, TINY, settings_of("l0"), [0, 1], checkpoints=checkpoints, **named)

    with pytest.raises(InterruptedTrainingError):
        go(most_members=4, interrupted=lambda: 15 if next(calls) == 8 else 0)
    sizes = []
    draw = loop.data_loss
    monkeypatch.setattr(loop, "data_loss", lambda run, *rest: sizes.append(len(run.active)) or draw(run, *rest))
    result = go(most_members=2)
    assert max(sizes) == 2
    assert [member.status for member in result.members] == ["finished"] * 4 + ["diverged"] * 2
    rows = [(row["strength"], row["seed"], row["iteration"]) for row in result.history]
    assert len(set(rows)) == len(rows)


def test_what_did_not_fit_is_not_tried_again(
    rotation: anndata.AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems, checkpoints = make_problems(rotation, TINY), Checkpoints(tmp_path, {})
    draw = loop.data_loss
    sizes = []

    def data_loss(run: Any, *rest: Any) -> torch.Tensor:
        sizes.append(len(run.active))
        if len(run.active) > 3:
            message = "CUDA out of memory"
            raise torch.OutOfMemoryError(message)
        return draw(run, *rest)

    monkeypatch.setattr(loop, "data_loss", data_loss)
    for stop in (5, 10**6):
        calls = iter(range(10**6))

        def interrupted(calls: Any = calls, stop: int = stop) -> int:
            return 15 if next(calls) == stop else 0

        try:
            train(problems, 2, TINY, settings_of("l0"), [0, 1], checkpoints=checkpoints, interrupted=interrupted)
        except InterruptedTrainingError:
            assert sizes.count(6) == 1
    assert sizes.count(6) == 1
