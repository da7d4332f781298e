"""Members that were lost in training: how many, and why, as far as the data and the settings show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sparsenode.data.magnitudes import FAR, SUSPICIOUS, Magnitudes, doubts_of_step, doubts_of_times, doubts_of_values

if TYPE_CHECKING:
    from sparsenode.ensemble.members import Member
    from sparsenode.settings import ModelSettings


def lost_members(members: Iterable[Member]) -> list[Member]:
    """Members that did not finish."""
    return [member for member in members if member.status != "finished"]


def count_lost(members: Sequence[Member]) -> str:
    """How many of some members were lost, and by which iterations, as `2 of 6, by iteration 0 to 50`; empty if none."""
    iterations = sorted({member.iterations for member in lost_members(members)})
    if not iterations:
        return ""
    ends = f"{iterations[0]} to {iterations[-1]}" if len(iterations) > 1 else f"{iterations[0]}"
    return f"{len(lost_members(members))} of {len(members)}, by iteration {ends}"


def doubts_of_training(magnitudes: Magnitudes, settings: ModelSettings, *, failed: bool = False) -> list[str]:
    """Sentences on values and times of a dataset that a model can hardly learn from, with what to set.

    Once training has `failed`, what is less far from one is doubtful too, and so is a long step of the solver.
    """
    far = SUSPICIOUS if failed else FAR
    values = doubts_of_values(magnitudes, far, standardized=settings.standardize)
    doubts = [*values, *doubts_of_times(magnitudes, settings.time_scale, far)]
    return [*doubts, *doubts_of_step(magnitudes, settings.solver.step, settings.time_scale)] if failed else doubts


def has_failed(members: Sequence[Member]) -> bool:
    """Whether at least half of some members were lost; a few may be those of strengths that are too large."""
    lost = len(lost_members(members))
    return lost > 0 and 2 * lost >= len(members)


def reasons_of_loss(magnitudes: Magnitudes, settings: ModelSettings, members: Sequence[Member]) -> list[str]:
    """Sentences on why some of a model's members may have been lost, with what to set; at least one."""
    doubts = doubts_of_training(magnitudes, settings, failed=has_failed(members))
    if doubts:
        return doubts
    if all(member.iterations == 0 for member in lost_members(members)):
        return ["their first forecasts exploded: set `decay`, a smaller `solver.step` or fewer units"]
    return [
        "their forecasts exploded while they learned: set a smaller `learning_rate`, `solver.step` or strength, or "
        "`decay`"
    ]
