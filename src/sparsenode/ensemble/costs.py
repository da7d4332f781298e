"""How long training takes on a processor core. Imports nothing heavy: the plan of a run asks before anything runs.

A training step solves `rows` trajectories or windows with some evaluations of the field. With operations of torch each
evaluation and its share of the reverse pass has a cost for all members together; the compiled kernel has one for each
iteration, and takes rows in groups of `LANES`, but for wide networks of few rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sparsenode.dynamics.fused.library import MOST_LAYERS
from sparsenode.ensemble.memory import MemberSize
from sparsenode.settings import ModelSettings

SECONDS_PER_EVALUATION = 8e-5
SECONDS_PER_UNIT = 3.3e-9
SECONDS_PER_PRODUCT = 2.9e-11
SECONDS_PER_WEIGHT = 3e-8
"""Of the optimizer, the penalty and the gates, for each member and weight."""

# Measured on a loaded machine and scaled by what matrix products took there; not yet checked on an idle one.
COMPILED_SECONDS_PER_ITERATION = 4e-4
COMPILED_SECONDS_PER_UNIT = 4e-10
COMPILED_SECONDS_PER_PRODUCT = 2.6e-11
COMPILATION_SECONDS = 6.0
LANES = 8
"""Rows that the kernel takes at once on most processors; it takes 16 on some and 4 on others."""


@dataclass(frozen=True)
class Cost:
    """Seconds on one core: of starting operations, and of what grows with members and rows."""

    overhead: float
    products: float

    @property
    def seconds(self) -> float:
        """Both together."""
        return self.overhead + self.products


def solves_plain(size: MemberSize, *, solves: float, members: int, rows: int, evaluations: int) -> Cost:
    """Cost of so many solves with their gradients, by operations of torch.

    Args:
        size: the size of a member.
        solves: number of the solves, one an iteration.
        members: number of the members.
        rows: rows of a solve.
        evaluations: evaluations of the field in a solve.
    """
    each_row = size.widths * SECONDS_PER_UNIT + 3 * size.products * SECONDS_PER_PRODUCT
    return Cost(solves * evaluations * SECONDS_PER_EVALUATION, solves * evaluations * members * rows * each_row)


def solves_compiled(
    size: MemberSize,
    settings: ModelSettings,
    *,
    solves: float,
    members: int,
    rows: int,
    evaluations: int,
    complete: bool,
) -> Cost:
    """The same by the compiled kernel, without its compilation; `complete` where no entries are missing."""
    has_wide_layout = settings.network == "joint" and settings.order == 1 and complete
    lanes = rows if has_wide_layout and 2 * rows <= LANES else LANES * math.ceil(rows / LANES)
    each_lane = size.widths * COMPILED_SECONDS_PER_UNIT + 3 * size.products * COMPILED_SECONDS_PER_PRODUCT
    return Cost(solves * COMPILED_SECONDS_PER_ITERATION, solves * evaluations * members * lanes * each_lane)


def kernel_takes(settings: ModelSettings) -> bool:
    """Whether the compiled kernel knows a model: perceptrons and the coarse grid, and no learned starts."""
    return (
        settings.network != "biological"
        and settings.solver.scheme == "rk4"
        and settings.starts == "given"
        and len(settings.hidden) < MOST_LAYERS
    )


def compiling_pays(
    settings: ModelSettings,
    size: MemberSize,
    *,
    members: int,
    rows: int,
    evaluations: int,
    complete: bool,
    matched: int = 0,
) -> bool:
    """Whether the kernel knows a model and saves more than its compilation takes, were it for this training only.

    So it is the same on every machine and every time, whether or not the kernel is compiled already.

    Args:
        settings: the settings of the model.
        size: the size of a member.
        members: number of the members.
        rows: rows of a solve.
        evaluations: evaluations of the field in a solve.
        complete: whether no entries are missing.
        matched: rows at which rates are matched, of a model with `matching`.
    """
    if not kernel_takes(settings):
        return False
    matches = settings.iterations * settings.matching.share if settings.matching else 0.0
    solves = settings.iterations - matches + (settings.refit.iterations if settings.refit else 0)
    saved = 0.0
    for number, each_rows, each_evaluations in ((solves, rows, evaluations), (matches, matched, 1)):
        plain = solves_plain(size, solves=number, members=members, rows=each_rows, evaluations=each_evaluations)
        compiled = solves_compiled(
            size,
            settings,
            solves=number,
            members=members,
            rows=each_rows,
            evaluations=each_evaluations,
            complete=complete,
        )
        saved += plain.seconds - compiled.seconds
    return saved > COMPILATION_SECONDS
