"""Values that are far from zero beside their movement: centered before they become single precision.

Single precision has 24 bits. Of 10,000,000 to 10,000,001.5 it keeps whole numbers only; less 10,000,000.7 it keeps all.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sparsenode.data.contract import training_mask
from sparsenode.data.missing import largest_observed, least_observed, mean_observed
from sparsenode.errors import UserError, some_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sparsenode.data.trajectories import Floats, RawTrajectories, Trajectory

logger = logging.getLogger(__name__)

_ROUNDING = 2.0**-24  # largest relative rounding error of single precision
_MOST_ROUNDING = 1e-4  # rounding error as a share of the standard deviation, from which values are centered
_LEAST = 2.0**-150  # what is smaller becomes 0 in single precision
_LOST = 0.05  # rounding error as a share of the movement within trajectories, from which it is lost
_NONE = {"measured": 1e-12, "simulated": 1e-8}  # movement as a share of the size that arithmetic or a solver makes
_FAR, _SHARE = 100, 0.1  # spans that times lie from zero, and share of a step that rounding may be
_WHOLE = 1.0  # what times that are all alike may be apart
_FEWEST_STEPS = 16  # between neighboring numbers of the source's precision, that a movement takes
_NOISE_STEPS, _NOISE_SHARE = 2, 0.1  # by how many of these numbers arithmetic moves which share of constants
_NAMED = 3  # features named in a message


def center_values(
    name: str, raw: RawTrajectories, splits: Sequence[NDArray[np.str_]]
) -> tuple[RawTrajectories, Floats | None]:
    """Trajectories whose features are centered where single precision would round their movement away.

    Args:
        name: name of the dataset, for messages.
        raw: trajectories in modeling units, in double precision.
        splits: split of each observation, (observation,) of every trajectory.

    Returns:
        The trajectories, with the offsets that lead back, and what was subtracted, (feature,): 0 for features that stay
        as they are, and None where all do.

    Raises:
        UserError: measured movement within trajectories is lost in single precision all the same.
    """
    trajectories = raw.trajectories
    training = [
        trajectory.values[training_mask(split, trajectory.phases)]
        for trajectory, split in zip(trajectories, splits, strict=True)
    ]
    training = [values for values in training if len(values)]
    mean = _mean(training)
    spread = _deviation(training, [mean] * len(training))
    # Rounding at a value that is far from all others of its trajectory is small beside how far that is.
    # Of a feature that a trajectory never observes, all of this is 0.
    sizes = np.array([_size(trajectory.values) for trajectory in trajectories])
    largest = sizes.max(axis=0)
    least = _NONE.get(raw.kind, _NONE["measured"]) * largest
    spreads = np.maximum(spread, [_deviation([trajectory.values], [mean]) for trajectory in trajectories])
    far = ((_ROUNDING * sizes > _MOST_ROUNDING * spreads) & (spreads > least)).any(axis=0)
    spread = np.where(spread > least, spread, spreads.max(axis=0))
    center = np.zeros(len(raw.features))
    center[far] = [_rounded(*each) for each in zip(mean[far], spread[far], strict=True)]
    movement = _deviation(training, [mean_observed(values) for values in training])
    movements = np.maximum(
        movement, [_deviation([trajectory.values], [mean_observed(trajectory.values)]) for trajectory in trajectories]
    )
    distances = np.array([_size(trajectory.values - center) for trajectory in trajectories])
    lost = ((_ROUNDING * distances > _LOST * movements) & (movements > least)).any(axis=0)
    lost |= (largest < _LEAST) & (largest >= np.finfo(np.float64).smallest_normal)
    if lost.any():
        movement = np.where(movement > least, movement, movements.max(axis=0))
        message = (
            f"dataset {name}: {int(lost.sum())} of {len(raw.features)} features move too little within their "
            f"trajectories for single precision: {_describe(raw, lost, movement, largest)}; scale each trajectory by "
            "its own range (scaling: per_trajectory), or leave these features out"
        )
        if raw.kind == "measured":
            raise UserError(message)
        logger.warning(message)
    if not far.any():
        return raw, None
    logger.warning(
        "dataset %s: %d of %d features are far from zero beside their movement, and are centered in X: %s",
        name,
        int(far.sum()),
        len(raw.features),
        _describe(raw, far, spread, largest),
    )
    return replace(raw, trajectories=tuple(_less(trajectory, center) for trajectory in trajectories)), center


def count_steps(parts: Sequence[Floats], kind: np.dtype) -> Floats:
    """How many neighboring numbers of a source's precision each feature's movement spans, (feature,).

    Args:
        parts: values of each trajectory, (observation, feature), as the source has them.
        kind: type of the source's numbers; whole numbers count as double precision, in which they are computed with.

    Returns:
        The largest range within a trajectory over the distance of neighboring numbers at the feature's largest value;
        infinite for features that move in no trajectory.
    """
    precision = kind if kind.kind == "f" else np.dtype(np.float64)
    with np.errstate(invalid="ignore"):  # what is infinite is refused elsewhere
        largest = np.max([_size(values) for values in parts], axis=0)
        extent = np.fmax.reduce([largest_observed(values) - least_observed(values) for values in parts])
        steps = extent / np.spacing(largest.astype(precision)).astype(np.float64)
    return np.where(extent > 0, steps, np.inf)


def refuse_rounded(parts: Sequence[Floats], kind: np.dtype, features: Sequence[str], where: str) -> None:
    """Refuse values in half or single precision that were rounded to a few numbers before they were written.

    What may as well be left of a constant by arithmetic is only told: a few observations that are one or two
    neighboring numbers off, movement among the smallest numbers there are, and any in double precision.

    Args:
        parts: values of each trajectory, (observation, feature), as the source has them.
        kind: type of the source's numbers; whole numbers are never refused.
        features: names of the features, (feature,), for the message.
        where: the file or dataset, for the message.

    Raises:
        UserError: the movement of features spans fewer than 16 neighboring numbers.
    """
    if kind.kind != "f":
        return
    steps = count_steps(parts, kind)
    few = np.flatnonzero(steps < _FEWEST_STEPS)
    if not len(few):
        return
    largest = np.max([_size(values) for values in parts], axis=0)
    noise = ((steps <= _NOISE_STEPS) & (_share_off(parts) <= _NOISE_SHARE)) | (
        largest < float(np.finfo(kind).smallest_normal)
    )
    is_double = kind.itemsize >= np.dtype(np.float64).itemsize
    refused = few[:0] if is_double else few[~noise[few]]
    few = refused if len(refused) else few
    names = some_of([features[index] for index in few.tolist()], _NAMED)
    message = (
        f"{where}: the movement of {len(few)} of {len(features)} features ({names}) is lost in rounding: within a "
        f"trajectory their values, in {kind}, span at most {steps[few].max():.0f} neighboring numbers of it"
    )
    if len(refused):
        raise UserError(f"{message}; write them in double precision (float64), or leave these features out")
    precision = "" if is_double else "in double precision (float64), or "
    logger.warning("%s; if they are no constants, write them %sless a number near their mean", message, precision)


def _share_off(parts: Sequence[Floats]) -> Floats:
    """Share of the observations that have another value than the median of their trajectory, (feature,)."""
    off, count = 0, 0
    for values in parts:
        observed = ~np.isnan(values)
        # Missing entries are sorted to the end.
        middle = np.maximum(observed.sum(axis=0) - 1, 0) // 2
        median = np.take_along_axis(np.sort(values, axis=0), middle[None], axis=0)
        off = off + ((values != median) & observed).sum(axis=0)
        count = count + observed.sum(axis=0)
    return np.asarray(off / np.maximum(count, 1))


def _size(values: Floats) -> Floats:
    """Largest observed absolute value of each feature, (feature,); 0 where none is observed."""
    return np.asarray(np.fmax.reduce(np.abs(values), axis=0, initial=0.0))


def _mean(matrices: Sequence[Floats]) -> Floats:
    """Mean (feature,) over the observed entries of all matrices (observation, feature)."""
    total = np.sum([np.nansum(values, axis=0) for values in matrices], axis=0)
    return np.asarray(total / _count(matrices))


def _count(matrices: Sequence[Floats]) -> NDArray[np.int_]:
    """How many entries of each feature are observed, (feature,), 1 at least."""
    return np.maximum(np.sum([(~np.isnan(values)).sum(axis=0) for values in matrices], axis=0), 1)


def refuse_rounded_times(times: Floats, kind: np.dtype, where: str) -> None:
    """Refuse times far from zero whose steps their precision rounds away.

    Args:
        times: times of one trajectory, (observation,), in order.
        kind: type of the source's numbers; whole numbers count as double precision.
        where: the file and trajectory, for the message.

    Raises:
        UserError: neighboring numbers are a tenth of the mean step apart, or more.
    """
    precision = kind if kind.kind == "f" else np.dtype(np.float64)
    largest, span = float(np.abs(times).max()), float(np.ptp(times))
    distance = float(np.spacing(np.asarray(largest, precision)))
    step = span / max(len(times) - 1, 1) if span else _WHOLE / _SHARE
    if largest < _FAR * span or distance < _SHARE * step:
        return
    precise = (
        "" if precision.itemsize >= np.dtype(np.float64).itemsize else ", or write them in double precision (float64)"
    )
    message = (
        f"{where}: times up to {largest:.15g} in {kind} are {distance:.3g} apart at least, which rounds their steps "
        f"away (they span {span:.3g}); count them from the first one{precise}"
    )
    raise UserError(message)


def _deviation(matrices: Sequence[Floats], means: Sequence[Floats]) -> Floats:
    """Root of the mean squared distance from the means, (feature,), over the observations of all matrices."""
    squares = [np.square(values - mean) for values, mean in zip(matrices, means, strict=True)]
    total = np.sum([np.nansum(square, axis=0) for square in squares], axis=0)
    return np.asarray(np.sqrt(total / _count(matrices)))


def _rounded(mean: float, spread: float) -> float:
    """The mean to the digit of its spread."""
    return round(float(mean), -int(np.floor(np.log10(spread))))


def _less(trajectory: Trajectory, center: Floats) -> Trajectory:
    """A trajectory less the center, and the offset that leads back."""
    scale = np.ones_like(center) if trajectory.scale is None else trajectory.scale
    offset = np.zeros_like(center) if trajectory.offset is None else trajectory.offset
    return replace(
        trajectory,
        values=trajectory.values - center,
        noise_free=None if trajectory.noise_free is None else trajectory.noise_free - center,
        first_values=None if trajectory.first_values is None else trajectory.first_values - center,
        offset=offset + scale * center,
        scale=scale,
    )


def _describe(raw: RawTrajectories, chosen: NDArray[np.bool_], movement: Floats, largest: Floats) -> str:
    indices = np.flatnonzero(chosen)
    named = [
        f"{raw.features[index]} by {movement[index]:.3g} beside values up to {largest[index]:.10g}" for index in indices
    ]
    return some_of(named, _NAMED)
