"""Steps between raw observations and modeling units, as pure functions."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sparsenode.data.missing import largest_observed, least_observed
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError


def resolve_repeated_times(
    times: Floats,
    values: Floats,
    how: Literal["first", "mean", "error"],
    where: str,
    *,
    instead: str = "`first` or `mean`",
) -> tuple[Floats, Floats, Floats]:
    """Leave one observation of each time.

    Args:
        times: (observation,), sorted.
        values: (observation, feature).
        how: `first` keeps the first; `mean` averages and gives the average the weight of what went into it, which
            leaves a least-squares fit as it was; `error` refuses.
        where: what the observations are, for messages.
        instead: what else can be chosen, for messages.

    Returns:
        Times, values and weights.

    Raises:
        UserError: times repeat and `how` is `error`.
    """
    distinct_times, starts, counts = np.unique(times, return_index=True, return_counts=True)
    if how == "error" and len(distinct_times) < len(times):
        first = distinct_times[counts > 1][0]
        message = (
            f"{where}: {len(times) - len(distinct_times)} observations repeat a time (first {first:.15g}); "
            f"choose {instead} to allow it"
        )
        raise UserError(message)
    if how == "mean":
        return distinct_times, np.add.reduceat(values, starts, axis=0) / counts[:, None], counts.astype(np.float64)
    return distinct_times, values[starts], np.ones(len(distinct_times))


def value_range(values: Floats) -> tuple[Floats, Floats]:
    """Smallest observed value and range of every feature, each (feature,), of `values` (observation, feature)."""
    lowest = least_observed(values)
    return lowest, largest_observed(values) - lowest


def scaling_ranges(
    values: Sequence[Floats],
    training: Sequence[NDArray[np.bool_]],
    scaling: Literal["per_trajectory", "training_range"],
) -> list[tuple[Floats, Floats]]:
    """Smallest value and range, each (feature,), that every trajectory is scaled by.

    Args:
        values: of each trajectory, (observation, feature).
        training: of each trajectory, (observation,), true for training observations.
        scaling: `per_trajectory` takes a trajectory's own values; `training_range` one range for all, of the
            training observations.
    """
    if scaling == "per_trajectory":
        return [value_range(trajectory_values) for trajectory_values in values]
    together = np.vstack(
        [trajectory_values[chosen] for trajectory_values, chosen in zip(values, training, strict=True)]
    )
    return [value_range(together)] * len(values)


def unit_time(times: Floats) -> tuple[Floats, float, float]:
    """Times scaled to [0, 1], with the offset and the scale that lead back; `times` are sorted."""
    offset, scale = float(times[0]), float(times[-1] - times[0]) or 1.0
    return (times - offset) / scale, offset, scale


def scale_of_range(extent: Floats) -> Floats:
    """What to divide by: the range, and 1 where it is zero, so that a constant feature becomes 0."""
    return np.where(extent > 0, extent, 1.0)
