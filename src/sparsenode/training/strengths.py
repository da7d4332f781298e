"""Strengths by themselves: batches half a decade apart, and further ones while the choice is at an end.

The first batch begins at a strength that leaves no edge, where there is one, and goes downward, as a path of the lasso
does (Friedman, Hastie & Tibshirani 2010, section 2.5). Where that strength is, is asked of a screen
(`sparsenode.training.screen`), and training shows it: where edges are left at the largest strength and it is chosen,
the next batch goes upward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsenode.dynamics.network import Parameters
from sparsenode.ensemble.choice import choose_strength
from sparsenode.ensemble.members import Member, path_strengths
from sparsenode.methods import Method
from sparsenode.settings import BATCH, MOST_BATCHES, PRUNING_THRESHOLD
from sparsenode.training.problems import Problem
from sparsenode.training.run import Task
from sparsenode.training.step import row_losses

STEPS_OF_DECADE = 2
"""Strengths in a decade."""
SAME = math.log(1.01)
"""Excess of the log validation error of the next larger strength up to which smaller ones are of no use."""
DOUBLED = math.log(2.0)
"""Excess of the log validation error up to which a penalty that leaves no edge empty is tried."""


class Batch(NamedTuple):
    """Strengths that are trained together, ascending, none where no more are; and why, in words."""

    strengths: tuple[float, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class Search:
    """What tells which strengths are trained.

    Attributes:
        first: gives the first batch.
        judge: forecasts of the validation observations.
        cluster: number of the trajectory or block of time of each row of these, (row,).
    """

    first: Callable[[], Batch]
    judge: Problem
    cluster: np.ndarray

    def next(self, task: Task, batches: Sequence[Sequence[float]], ended: Sequence[tuple[Parameters, Member]]) -> Batch:
        """The batch after those that have ended, by what their members forecast."""
        import pandas as pd

        judge = self.judge.to(task.device)
        errors, selected = [], []
        off_diagonal = ~np.eye(task.field.features, dtype=bool)
        codes = np.unique(self.cluster)
        # One member at a time: what is compared needs no more memory than training does.
        for parameters, member in ended:
            losses = row_losses(parameters.map(lambda tensor: tensor.to(task.device)), task, judge)[0]
            by_row = losses.cpu().numpy().astype(np.float64)
            errors += [
                {
                    "strength": member.strength,
                    "seed": member.seed,
                    "cluster": code,
                    "value": by_row[self.cluster == code].sum(),
                }
                for code in codes
            ]
            paths = path_strengths(parameters, task.field)[0].numpy()
            selected.append(paths[off_diagonal] >= PRUNING_THRESHOLD)
        members = pd.DataFrame([(member.strength, member.seed, member.status) for _, member in ended])
        members.columns = ["strength", "seed", "status"]
        selections = np.array(selected)
        choice = choose_strength(pd.DataFrame(errors), members, selected=selections, sparsifies=task.method.sparsifies)
        smallest = members["strength"] == members["strength"].min()
        return next_batch(choice, batches, task.method, is_empty=not selections[smallest].any())


def next_batch(
    choice: Mapping[str, Any], batches: Sequence[Sequence[float]], method: Method, *, is_empty: bool
) -> Batch:
    """The batch after those that were trained, without strengths where the choice is inside or they are enough.

    Args:
        choice: what `choose_strength` gives of all members.
        batches: the strengths of each batch.
        method: the method.
        is_empty: whether the members of the smallest strength have no edge.
    """
    if method.whole_range is not None:
        return Batch((), "they are the whole range of a share")
    end, reason = _open_end(choice, method, is_empty=is_empty)
    if end is None:
        return Batch((), reason)
    if len(batches) >= MOST_BATCHES:
        return Batch((), f"{reason}, and {len(batches)} batches are the most that one job trains")
    strengths = [strength for batch in batches for strength in batch]
    if end == "smallest":
        return Batch(batch_below(min(strengths), inclusive=False), reason)
    highest = _exponent(max(strengths))
    return Batch(tuple(map(strength_at, range(highest + 1, highest + BATCH + 1))), reason)


def _open_end(choice: Mapping[str, Any], method: Method, *, is_empty: bool) -> tuple[str | None, str]:
    """The end beyond which strengths may be better, None where there is none; and why, in words."""
    if choice["chosen"] is None:
        return None, "no strength can be chosen, since too many members were lost"
    smallest, largest = choice["candidates"][0], choice["candidates"][-1]
    if is_empty:
        return "smallest", f"even {smallest['strength']:g} left no edge"
    usable = [entry for entry in choice["candidates"] if entry["candidate"]]
    if smallest["strength"] in {choice["chosen"], choice["best"]} and len(usable) > 1:
        least = usable[1]["standard_error"] if choice["chosen"] != smallest["strength"] else -math.inf
        if usable[1]["excess"] > max(least, SAME):
            return "smallest", f"the validation error still fell toward {smallest['strength']:g}, the smallest"
        if choice["chosen"] == smallest["strength"]:
            return None, f"the choice, {smallest['strength']:g}, errs hardly less than {usable[1]['strength']:g}"
    if choice["at_edge"] == "largest" and (method.empties or largest["excess"] < DOUBLED):
        left = "which left edges" if method.empties else "whose validation error is not yet twice the least"
        return "largest", f"the choice was {largest['strength']:g}, the largest, {left}"
    return None, f"the choice, {choice['chosen']:g}, is between strengths that are no better"


def batch_below(strength: float, *, inclusive: bool = True) -> tuple[float, ...]:
    """A batch of strengths, ascending, of which a strength is the largest, or the next above the largest."""
    top = _exponent(strength) - (not inclusive)
    return tuple(map(strength_at, range(top - BATCH + 1, top + 1)))


def strength_at(exponent: int) -> float:
    """The strength so many half decades above 1, of three digits."""
    return float(f"{10.0 ** (exponent / STEPS_OF_DECADE):.3g}")


def _exponent(strength: float) -> int:
    """Half decades that a strength is above 1."""
    return round(STEPS_OF_DECADE * math.log10(strength))
