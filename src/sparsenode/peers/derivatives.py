"""What peers are given: smoothed states and their derivatives at the observations that models are trained on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from sparsenode.data.contract import training_mask
from sparsenode.data.missing import is_complete
from sparsenode.errors import UserError

if TYPE_CHECKING:
    from anndata import AnnData

FEWEST = 5
"""Observations that a smoothing spline takes; stretches with fewer are left out."""
_BRIDGED = 3  # single observations held out at random leave the course visible, held-out blocks do not
_LONGEST, _MARGIN = 400, 20
_SHORT = 100  # observations of a stretch whose smoothers are kept, some MB, for others at the same times
ENDS = 3
"""Observations at each end of a stretch of which second derivatives are left out."""
_SMOOTHING = 10.0 ** np.arange(-6.0, 8.5, 0.5)
_COST_OF_FREEDOM = 1.2


@dataclass(frozen=True)
class Samples:
    """Observations, each with its derivatives, in the order of the file; those of one time are averaged.

    `observed` and `states`, observed and smoothed, `velocities` (only at second order, else None) and `rates`, the
    highest derivative, that which is to be explained: all (observation, variable), in the dataset's units.
    `stretch` (observation,) numbers the stretches. `time` (observation,) increases within each of them; None where
    all steps are 1. No entry is missing: in place of those that are, `observed` holds what is smoothed.
    """

    observed: np.ndarray
    states: np.ndarray
    velocities: np.ndarray | None
    rates: np.ndarray
    stretch: np.ndarray
    time: np.ndarray | None = None

    @property
    def times(self) -> np.ndarray:
        """Time of each observation, (observation,)."""
        return np.arange(len(self.stretch), dtype=np.float64) if self.time is None else self.time

    @property
    def inputs(self) -> list[np.ndarray]:
        """What rates are a function of: states and, at second order, velocities."""
        return [self.states] if self.velocities is None else [self.states, self.velocities]


def read_samples(adata: AnnData, order: int) -> Samples:
    """Samples of the training split's fit phase, the observations that models are trained on.

    Derivatives come from a smoothing spline of each variable along each stretch; of weighted observations a weighted
    one. Splines that are bent least have no curvature at their ends, so that at second order the outermost
    observations of a stretch are left out. A variable of which entries are missing is smoothed over its own observed
    times, and read at all times of the stretch; a stretch in which any variable has fewer than `FEWEST` is left out.

    Raises:
        UserError: no stretch has `FEWEST` observations at different times.
    """
    time = adata.obs["time"].to_numpy(dtype=np.float64)
    values = np.asarray(adata.X, dtype=np.float64)
    weight = adata.obs["weight"].to_numpy(dtype=np.float64)
    stretches: list[tuple[np.ndarray, ...]] = []
    longest = 0
    for rows in training_stretches(adata):
        merged = average_ties(time[rows], values[rows], weight[rows])
        fewest = int((~np.isnan(merged[1])).sum(axis=0).min())
        longest = max(longest, fewest)
        if fewest >= FEWEST:
            stretches.append(_derivatives(*merged, order))
    if not stretches:
        raise UserError(
            f"derivatives take {FEWEST} training observations (split train, phase fit) of a trajectory in a row, at "
            f"different times, of every variable; the longest stretch has {longest}: run no peers on these data"
        )
    times, observed, states, first, last = (np.concatenate(columns) for columns in zip(*stretches, strict=True))
    return Samples(
        observed=observed,
        states=states,
        velocities=first if order == 2 else None,
        rates=last,
        stretch=np.repeat(np.arange(len(stretches)), [len(arrays[0]) for arrays in stretches]),
        time=times,
    )


def last_of_stretches(samples: Samples, count: int | None) -> Samples:
    """The last `count` samples of each stretch, such as those near rest; all of them for None."""
    if count is None:
        return samples
    from_end = np.zeros(len(samples.stretch), dtype=np.int64)
    for number in np.unique(samples.stretch):
        rows = np.flatnonzero(samples.stretch == number)
        from_end[rows] = np.arange(len(rows))[::-1]
    selected = from_end < count
    return Samples(
        observed=samples.observed[selected],
        states=samples.states[selected],
        velocities=None if samples.velocities is None else samples.velocities[selected],
        rates=samples.rates[selected],
        stretch=samples.stretch[selected],
        time=samples.times[selected],
    )


def differences(samples: Samples) -> Samples:
    """Samples whose rates are differences to the next observation over the time between, from observed states.

    The last observation of each stretch has none and is left out. At second order the differences are those of the
    velocities, which are smoothed, and so are the states.
    """
    within = samples.stretch[1:] == samples.stretch[:-1]
    first, following = np.flatnonzero(within), np.flatnonzero(within) + 1
    states, moved = samples.observed, samples.observed
    if samples.velocities is not None:
        states, moved = samples.states, samples.velocities
    intervals = (samples.times[following] - samples.times[first])[:, None]
    return Samples(
        observed=samples.observed[first],
        states=states[first],
        velocities=None if samples.velocities is None else samples.velocities[first],
        rates=(moved[following] - moved[first]) / intervals,
        stretch=samples.stretch[first],
        time=samples.times[first],
    )


def inputs_and_targets(samples: Samples, of: str) -> tuple[list[np.ndarray], np.ndarray]:
    """What explains, (observation, variable) of each kind, and what is explained: `states` as observed, or rates."""
    if of == "states":
        return [samples.observed], samples.observed
    return samples.inputs, samples.rates


Last = Annotated[
    int | None,
    Field(
        ge=1,
        description="Only the last so many observations of each stretch of training observations, such as those of a "
        "trajectory near rest; null for all.",
    ),
]
"""Option of peers, see `last_of_stretches`."""


def training_stretches(adata: AnnData) -> list[np.ndarray]:
    """Observations of one trajectory, split train and phase fit, that no long run of other observations interrupts.

    Observations without weight count as none.
    """
    is_training = training_mask(adata.obs["split"], adata.obs["phase"])
    chosen = np.flatnonzero(is_training & (adata.obs["weight"] > 0).to_numpy())
    trajectory = adata.obs["trajectory"].cat.codes.to_numpy()[chosen]
    breaks = np.flatnonzero((np.diff(trajectory) != 0) | (np.diff(chosen) > _BRIDGED + 1)) + 1
    return [rows for rows in np.split(chosen, breaks) if len(rows)]


def average_ties(time: np.ndarray, values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct times (time,), at each the weighted mean of the values (time, variable), and the sum of the weights.

    The weights are (time,), or where values are missing (time, variable), those of the observed ones; a mean of none is
    missing. Times nearer to the one before than a millionth of the mean step count as one: no slope can be
    determined between them.

    Args:
        time: times that do not decrease, (observation,).
        values: (observation, variable).
        weight: (observation,).
    """
    near = np.diff(time) <= 1e-6 * np.ptp(time) / max(len(time) - 1, 1)
    time_index = np.concatenate(([0], np.cumsum(~near)))
    distinct = time[np.concatenate(([True], ~near))]
    sums = np.zeros((len(distinct), values.shape[1]))
    if not is_complete(values):
        totals, observed = np.zeros_like(sums), ~np.isnan(values)
        np.add.at(totals, time_index, observed * weight[:, None])
        np.add.at(sums, time_index, np.where(observed, values, 0.0) * weight[:, None])
        return distinct, np.where(totals > 0, sums / np.where(totals > 0, totals, 1.0), np.nan), totals
    total = np.bincount(time_index, weights=weight)
    np.add.at(sums, time_index, values * weight[:, None])
    return distinct, sums / total[:, None], total


def smooth(time: np.ndarray, values: np.ndarray, weight: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed values and their derivatives, both (time, variable), by the cubic smoothing spline of each variable.

    How smooth each variable is, is chosen by generalized cross-validation, in which a degree of freedom counts as 1.2
    (Kim & Gu 2004), since derivatives suffer more from too rough a curve than from too smooth a one. scipy's own choice
    (`lam=None`) takes one smoothness for all variables, and none beyond a bound that noisy data exceed. Long stretches
    are smoothed in overlapping parts.

    Where values are missing, the spline of a variable goes through its observed times. Between them it is read from the
    cubic Hermite interpolant of its values and derivatives there, and beyond them it is prolonged by lines, as splines
    that are bent least are.

    Args:
        time: times that increase, in any steps, (time,); 5 or more of every variable.
        values: (time, variable), NaN where missing.
        weight: of each time, (time,), or of each value, (time, variable); None where all weigh the same.
    """
    weight = np.ones(len(time)) if weight is None else weight
    if weight.ndim > 1 or not is_complete(values):
        return _smooth_each(time, values, np.broadcast_to(weight.reshape(len(time), -1), values.shape))
    key = (np.ascontiguousarray(array, np.float64).tobytes() for array in (time, values, weight))
    smoothed, slopes = _smooth_once(*key, values.shape, _LONGEST)
    return smoothed.copy(), slopes.copy()


@lru_cache(maxsize=64)
def _smooth_once(
    times: bytes, columns: bytes, weights: bytes, shape: tuple[int, int], longest: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same, kept for the next who asks: facts, matching and peers smooth the same trajectories."""
    time, weight = np.frombuffer(times), np.frombuffer(weights)
    values = np.frombuffer(columns).reshape(shape)
    smoothed, slopes = np.empty_like(values), np.empty_like(values)
    for wide, inner in _parts(len(time), longest):
        segment = _smooth_part(time[wide], values[wide], weight[wide])
        within = slice(inner.start - wide.start, inner.stop - wide.start)
        smoothed[inner], slopes[inner] = segment[0][within], segment[1][within]
    return smoothed, slopes


def _smooth_each(time: np.ndarray, values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same of each variable by itself, with weights (time, variable)."""
    from scipy.interpolate import CubicHermiteSpline

    smoothed, slopes = np.empty_like(values), np.empty_like(values)
    for variable, column in enumerate(values.T):
        observed = ~np.isnan(column)
        at, own_weight = time[observed], weight[observed, variable]
        curve, slope = (one[:, 0] for one in smooth(at, column[observed, None], own_weight))
        spline = CubicHermiteSpline(at, curve, slope)
        inside = np.clip(time, at[0], at[-1])
        slopes[:, variable] = spline.derivative()(inside)
        smoothed[:, variable] = spline(inside) + slopes[:, variable] * (time - inside)
        smoothed[observed, variable], slopes[observed, variable] = curve, slope
    return smoothed, slopes


def _parts(count: int, longest: int) -> Iterator[tuple[slice, slice]]:
    """Parts of so many times at most, with a margin to each side, and the parts themselves, which cover all once."""
    edges = np.linspace(0, count, -(-count // longest) + 1).astype(int)
    for first, last in itertools.pairwise(edges.tolist()):
        yield slice(max(0, first - _MARGIN), min(count, last + _MARGIN)), slice(first, last)


def _smooth_part(time: np.ndarray, values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count = len(time)
    step = (time[-1] - time[0]) / (count - 1)
    at, weight = (time - time[0]) / step, weight / weight.mean()
    smoothed, slopes = np.empty_like(values), np.empty_like(values)
    best = np.full(values.shape[1], np.inf)
    # Of trajectories that are observed at the same times smoothers are made once.
    smoothers = _alike_smoothers(at.tobytes(), weight.tobytes()) if count <= _SHORT else _smoothers(at, weight)
    for hat, derivative, freedom in smoothers:
        fitted = hat @ values
        score = weight @ np.square(values - fitted) / freedom**2
        better = score < best
        best[better] = score[better]
        smoothed[:, better] = fitted[:, better]
        slopes[:, better] = (derivative @ values[:, better]) / step
    return smoothed, slopes


_Smoother = tuple[np.ndarray, np.ndarray, float]
"""What gives the smoothed values and the derivatives, both (time, time), and one less the share of freedom."""


@lru_cache(maxsize=16)
def _alike_smoothers(at: bytes, weight: bytes) -> tuple[_Smoother, ...]:
    return tuple(_smoothers(np.frombuffer(at), np.frombuffer(weight)))


def _smoothers(at: np.ndarray, weight: np.ndarray) -> Iterator[_Smoother]:
    """Smoothing splines of each strength; they are linear, and those of the unit vectors give all variables."""
    from scipy.interpolate import make_smoothing_spline

    count = len(at)
    for strength in _SMOOTHING:
        spline = make_smoothing_spline(at, np.eye(count), w=weight, lam=strength)
        hat = spline(at)
        freedom = float(1 - _COST_OF_FREEDOM * np.trace(hat) / count)
        if freedom > 0:
            yield hat, spline.derivative()(at), freedom


def _derivatives(time: np.ndarray, values: np.ndarray, weight: np.ndarray, order: int) -> tuple[np.ndarray, ...]:
    """Times, values, smoothed values, first and highest derivatives."""
    smoothed, first = smooth(time, values, weight)
    if weight.ndim > 1:
        values = np.where(np.isnan(values), smoothed, values)
        weight = weight.mean(axis=1)
    if order == 1:
        return time, values, smoothed, first, first
    # The spline of the slopes, since the curvature of the first spline is rougher than it need be.
    last = smooth(time, first, weight)[1]
    interior = slice(ENDS, -ENDS) if len(time) >= FEWEST + 2 * ENDS else slice(None)
    return time[interior], values[interior], smoothed[interior], first[interior], last[interior]


def deviation(values: np.ndarray) -> np.ndarray:
    """Standard deviations (variable,), infinite for what is constant, so that it becomes 0 when divided by it."""
    deviations = values.std(0)
    moves = deviations > 1e-9 * np.abs(values).max(0)
    return np.where(moves, deviations, np.inf)


def standardize(values: np.ndarray) -> np.ndarray:
    """Values (observation, variable) of mean 0 and standard deviation 1; 0 where they are constant."""
    return np.asarray((values - values.mean(0)) / deviation(values))


def larger(sizes: np.ndarray, signs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the sizes and signs of each input's kind (kind, source, target) those of the kind of the largest size."""
    kind = sizes.argmax(0)[None]
    return np.take_along_axis(sizes, kind, 0)[0], np.take_along_axis(signs, kind, 0)[0]
