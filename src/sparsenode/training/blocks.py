"""How many members a GPU holds at once, by measurement: the estimate of `memory` knows no libraries and no gaps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from sparsenode.ensemble.device import is_out_of_memory, release_memory
from sparsenode.training import run as runs
from sparsenode.training.matching import Matching
from sparsenode.training.problems import Problem
from sparsenode.training.run import Task
from sparsenode.training.step import objective, step

_FEW = 4
_MARGIN = 1.15
"""Over what was measured: checks copy the parameters, and penalties of some methods are computed at checks only."""


def members_that_fit(peak_of: Callable[[int], int], available: int, members: int) -> int:
    """How many of some members fit into a memory, of which so much is `available` in bytes; at least one.

    What members need is a line in their number, of which two points are measured. Where even these few do not fit, the
    answer is as few: training halves a block that does not fit.

    Args:
        peak_of: the most bytes that so many members take.
        available: bytes.
        members: how many there are.
    """
    few, more = min(_FEW, members), min(2 * _FEW, members)
    if few == more:
        return members  # what does not fit is halved
    try:
        first, second = peak_of(few), peak_of(more)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return few
    each = _MARGIN * max(second - first, 1) / (more - few)
    fixed = max(0.0, _MARGIN * first - few * each)
    return max(1, min(members, int((available - fixed) / each)))


def measure_members(task: Task, problems: Sequence[Problem | Matching], available: int) -> int:
    """How many members of a task a GPU trains at once in so many bytes, by trying a few iterations of a few of them."""

    def peak_of(members: int) -> int:
        release_memory()
        torch.cuda.reset_peak_memory_stats(task.device)
        run = runs.start(task, range(members))
        strength = task.strengths(run.active)
        for problem in problems:
            for iteration in range(2):  # the second with the moments of the first
                run.optimizer.zero_grad()
                *_, total = objective(run, task, problem, iteration, gate_noise=0.5, strength=strength, penalized=True)
                total.sum().backward()
                step(run, task, strength, refitting=False)
        return int(torch.cuda.max_memory_allocated(task.device))

    try:
        return members_that_fit(peak_of, available, len(task.grid))
    finally:
        release_memory()
