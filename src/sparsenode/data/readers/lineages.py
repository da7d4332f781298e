"""Cells that are of several lineages: the weights and times of each lineage, and the trajectories that they make.

A cell before a branching is an observation of each lineage that it may lead to. Each lineage is a trajectory of its
cells in the order of their times, and a cell's weight is its weight in the loss of that trajectory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sparsenode.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sparsenode.data.trajectories import Floats

CUTOFF = 0.25
"""A cell is of a lineage whose weight is at least this share of the cell's largest one."""
_FEWEST = 2  # cells of a lineage


class Course(NamedTuple):
    """One lineage among some cells: its name, their numbers in the order of their times, their times and weights."""

    lineage: str
    cells: NDArray[np.int_]
    times: Floats
    weights: Floats


@dataclass(frozen=True)
class Lineages:
    """Lineages by name, with `weights` and `times`, both (cell, lineage): a weight is 0 where a cell is not of one."""

    names: tuple[str, ...]
    weights: Floats
    times: Floats

    def courses(self, cells: NDArray[np.int_]) -> Iterator[Course]:
        """The lineages of which some of the `cells` (cell,) are; those of one time stay in their order."""
        for number, name in enumerate(self.names):
            within = cells[self.weights[cells, number] > 0]
            ordered = within[np.argsort(self.times[within, number], kind="stable")]
            if len(ordered):
                yield Course(name, ordered, self.times[ordered, number], self.weights[ordered, number])


def read_lineages(
    weights: Any,
    times: Any,
    count: int,
    *,
    where: tuple[str, str],
    names: Sequence[str] | None = None,
    cutoff: float = CUTOFF,
) -> Lineages:
    """Lineages out of a table of weights, of times, or of both.

    Args:
        weights: weights or a mask (cell, lineage): an array, a sparse one, or a DataFrame; None for those of the times.
        times: times (cell,), or (cell, lineage) with NaN where a cell is not of the lineage.
        count: number of cells.
        where: what messages call the weights, and the times.
        names: names of the lineages (lineage,); those of the table where it is None.
        cutoff: a cell is of a lineage whose weight is at least this share of the cell's largest one.

    Raises:
        UserError: tables that do not fit the cells or each other, weights below 0, times that are not there, or a
            lineage of fewer than two cells.
    """
    per_lineage = np.ndim(times) != 1
    table_names, time_table = _read_table(times if per_lineage else np.asarray(times)[:, None], count, where[1])
    table = np.ones_like(time_table)
    if weights is not None:
        table_names, table = _read_table(weights, count, where[0])
    if not per_lineage:
        time_table = np.repeat(time_table, table.shape[1], axis=1)
    if table.shape != time_table.shape:
        raise UserError(
            f"{where[0]} has {table.shape[1]} lineages, and {where[1]} {time_table.shape[1]}; give the same, in one "
            "order"
        )
    names = table_names if names is None else tuple(names)
    if not (np.isfinite(table) & (table >= 0)).all():
        row = int(np.argwhere(~(np.isfinite(table) & (table >= 0)))[0, 0])
        raise UserError(f"{where[0]} holds {_wrong(table[row])} for cell {row}; give weights of at least 0, 0 for none")
    table = np.where(np.isnan(time_table), 0.0, table) if per_lineage else table
    largest = table.max(axis=1, keepdims=True)
    table = np.where(table >= cutoff * largest, table, 0.0)
    if (wrong := np.argwhere((table > 0) & ~np.isfinite(time_table))).size:
        row, column = wrong[0].tolist()
        raise UserError(
            f"{where[1]} is {time_table[row, column]} for cell {row}, of the lineage {names[column]!r}; leave the cell "
            "out, or give it a weight of 0" + (", or the time NaN" if per_lineage else "")
        )
    sizes = (table > 0).sum(axis=0)
    if (sizes < _FEWEST).any():
        number = int(np.argmin(sizes))
        raise UserError(
            f"{where[0] if weights is not None else where[1]}: {sizes[number]} cells are of the lineage "
            f"{names[number]!r}; it takes at least {_FEWEST}: leave the lineage out"
        )
    return Lineages(names, table, time_table)


def _read_table(values: Any, count: int, where: str) -> tuple[tuple[str, ...], Floats]:
    """Names of the lineages, and a table of numbers (cell, lineage)."""
    named = getattr(values, "columns", getattr(values, "names", None))  # of CellRank's probabilities: `names`
    matrix = values.toarray() if hasattr(values, "toarray") else values
    try:
        table = np.array(matrix.to_numpy() if hasattr(matrix, "to_numpy") else matrix, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{where} holds what is no number ({error}); give a table of numbers (cell, lineage)"
        ) from error
    if table.ndim != 2 or table.shape[0] != count or not table.shape[1]:
        raise UserError(f"{where} has the shape {table.shape} for {count} cells; give (cell, lineage)")
    names = [f"lineage {number + 1}" for number in range(table.shape[1])] if named is None else list(map(str, named))
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{where} has the lineage {repeated!r} more than once; give each a name of its own")
    return tuple(names), table


def _wrong(weights: Sequence[float] | Floats) -> float:
    return next(float(weight) for weight in weights if not (np.isfinite(weight) and weight >= 0))
