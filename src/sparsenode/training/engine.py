"""What computes losses and their gradients: operations of torch, or the compiled kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from sparsenode.dynamics.fused import library
from sparsenode.ensemble import costs
from sparsenode.ensemble.memory import evaluations_kept, member_size_of
from sparsenode.errors import UserError

if TYPE_CHECKING:
    from sparsenode.training.matching import Matching
    from sparsenode.training.problems import Problem
    from sparsenode.training.run import Task

Engine = Literal["auto", "plain", "compiled"]


def is_compiled(task: Task, problems: Sequence[Problem], matching: Matching | None, engine: Engine) -> bool:
    """Whether a training takes the compiled kernel.

    Args:
        task: what stays the same in the training.
        problems: what it solves, one after the other.
        matching: what it matches first, if anything.
        engine: what is asked for; `auto` takes the kernel where it saves more time than its compilation takes, and a
            compiler is at hand.

    Raises:
        UserError: the kernel is asked for and cannot be had.
    """
    possible = costs.kernel_takes(task.settings) and task.device.type == "cpu"
    if engine == "plain" or (engine == "auto" and not (possible and _pays(task, problems, matching))):
        return False
    if possible and library.load("float32") is not None:
        return True
    if engine == "compiled":
        raise UserError(
            "the compiled engine was asked for; it needs a C compiler and the CPU, and does not know biological "
            "networks, the scheme dopri5 or learned starts: take the plain one"
        )
    return False


def _pays(task: Task, problems: Sequence[Problem], matching: Matching | None) -> bool:
    largest = max(problems, key=lambda problem: problem.rows * problem.grid.intervals)
    return costs.compiling_pays(
        task.settings,
        member_size_of(task.field.features, task.settings, type(task.method)),
        members=len(task.grid),
        rows=largest.rows,
        evaluations=evaluations_kept("rk4", largest.grid.intervals),
        complete=all(problem.loss.columns is None for problem in problems),
        matched=0 if matching is None else matching.rows,
    )
