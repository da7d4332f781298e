"""Entries that were not observed, NaN among values: what is computed over the observed ones only.

Every function gives what it always gave, bit for bit, where nothing is missing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def is_complete(values: NDArray[np.floating]) -> bool:
    """Whether no entry is missing."""
    return not np.isnan(values).any()


def missing_share(values: NDArray[np.floating]) -> float:
    """Share of the entries that are missing."""
    return float(np.isnan(values).mean()) if values.size else 0.0


def describe_share(share: float) -> str:
    """The share of the entries that are missing in words."""
    return f"{100 * share:.3g} % of the entries missing"


def by_pattern(values: NDArray[np.floating]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.bool_]]]:
    """Columns that are observed in the same rows, and which rows these are.

    Args:
        values: (observation, feature).

    Returns:
        Numbers of the columns, (column,), and which rows are observed, (observation,), for each pattern.
    """
    observed = ~np.isnan(values)
    alike: dict[bytes, list[int]] = {}
    for column, pattern in enumerate(observed.T):
        alike.setdefault(np.packbits(pattern).tobytes(), []).append(column)
    for columns in alike.values():
        yield np.array(columns), observed[:, columns[0]]


def mean_observed(values: Floats) -> Floats:
    """Mean (feature,) over the observed rows of (observation, feature); NaN where none is."""
    if is_complete(values):
        return np.asarray(values.mean(axis=0))
    counts = (~np.isnan(values)).sum(axis=0)
    return np.where(counts > 0, np.nansum(values, axis=0) / np.maximum(counts, 1), np.nan)


def deviation_observed(values: Floats) -> Floats:
    """Standard deviation (feature,) over the observed rows of (observation, feature); NaN where none is."""
    if is_complete(values):
        return np.asarray(values.std(axis=0))
    return np.sqrt(mean_observed(np.square(values - mean_observed(values))))


def least_observed(values: Floats) -> Floats:
    """The least observed value of each feature, (feature,); NaN where none is observed."""
    return np.asarray(np.fmin.reduce(values, axis=0))


def largest_observed(values: Floats) -> Floats:
    """The largest observed value of each feature, (feature,); NaN where none is observed."""
    return np.asarray(np.fmax.reduce(values, axis=0))


def carry_forward(values: Floats, trajectory: NDArray[np.integer], initial: Floats) -> Floats:
    """What is known of the state at each observation, (observation, feature), without a look ahead.

    An observed value, or else the last one observed before it in its trajectory, or else that of the initial state.

    Args:
        values: (observation, feature), trajectory by trajectory in order of time.
        trajectory: number of the trajectory of each observation, (observation,).
        initial: initial state of each trajectory, (trajectory, feature).
    """
    if is_complete(values):
        return values
    numbers = np.arange(len(values))
    begins = np.concatenate(([True], np.diff(trajectory) != 0))
    first = np.maximum.accumulate(np.where(begins, numbers, 0))
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, numbers[:, None]), axis=0)
    carried = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    return np.where(last >= first[:, None], carried, initial[trajectory])


def interpolate(times: Floats, values: Floats) -> Floats:
    """Values (observation, feature) with a line in time between observed neighbors in place of missing ones.

    Beyond the first and the last observed value it is held. Features of which none is observed stay missing.

    Args:
        times: (observation,), not decreasing.
        values: (observation, feature).
    """
    if is_complete(values):
        return values
    filled = values.copy()
    for columns, rows in by_pattern(values):
        if rows.any() and not rows.all():
            for column in columns:
                filled[~rows, column] = np.interp(times[~rows], times[rows], values[rows, column])
    return filled
