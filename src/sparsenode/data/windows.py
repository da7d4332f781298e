"""Rows of a training solve: whole trajectories or windows that restart from observations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sparsenode.data.contract import observation_counts, read_metadata, training_mask
from sparsenode.data.missing import by_pattern, carry_forward, interpolate, is_complete
from sparsenode.errors import UserError

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class Rows:
    """What training solves and compares with, row by row.

    `initial` (row, feature) and `velocity` (row, feature) at the start; `at_start` (row,) tells whether a row begins
    where its trajectory begins, where a second-order model learns the velocity itself. `times[row]` counts from the
    start of the row, in the unit of the dataset, and `observed[row]` is (time, feature), NaN where an entry is missing;
    states and slopes are never missing. `initial_error`
    (row, feature) is the standard error of `initial` as a mean of noisy observations, `velocity_error` that of a
    slope. `groups[row]` names the trajectory's group, `observations[row]` (time,) are numbers of the observations in
    the data.
    """

    initial: np.ndarray
    initial_error: np.ndarray
    velocity: np.ndarray
    velocity_error: np.ndarray
    at_start: np.ndarray
    times: list[np.ndarray]
    observed: list[np.ndarray]
    weights: list[np.ndarray]
    groups: list[str] = field(default_factory=list)
    observations: list[np.ndarray] = field(default_factory=list)


def make_windows(
    adata: AnnData, split: str, phase: str, length: int, stride: int, *, past: int = 1
) -> list[np.ndarray]:
    """Indices of the observations of every window: `length` + 1 in a row of one trajectory, split and phase.

    A window starts every `stride` observations; the last one ends at the last observation, so that all are used.

    Args:
        adata: the trajectories.
        split: split of the observations.
        phase: phase of the observations.
        length: number of the intervals of a window.
        stride: number of observations between the starts of two windows.
        past: number of observations of the stretch, at least, that a window has up to its start and with it.

    Raises:
        UserError: no stretch of observations is long enough.
    """
    return cut_stretches(
        _stretches(adata, split, phase), length, stride, past=past, where=f"{split} observations ({phase})"
    )


def cut_stretches(
    stretches: Sequence[np.ndarray], length: int, stride: int, *, past: int, where: str
) -> list[np.ndarray]:
    """Windows of stretches of observations; see `make_windows`, and `find_stretches`.

    Raises:
        UserError: no stretch is long enough; `where` says what its observations are.
    """
    windows: list[np.ndarray] = []
    for whole in stretches:
        stretch = whole[past - 1 :]
        if len(stretch) <= length:
            continue
        starts = list(range(0, len(stretch) - length, stride))
        if starts[-1] != len(stretch) - length - 1:
            starts.append(len(stretch) - length - 1)
        windows.extend(stretch[start : start + length + 1] for start in starts)
    if not windows:
        longest = max((len(stretch) for stretch in stretches), default=0)
        raise UserError(
            f"windows of length {length} do not fit: the longest stretch of {where} has {longest}, and a window needs "
            f"{length + past}; shorten windows.length or give the split a larger share"
        )
    return windows


def _stretches(adata: AnnData, split: str, phase: str) -> list[np.ndarray]:
    chosen = ((adata.obs["split"] == split) & (adata.obs["phase"] == phase)).to_numpy()
    return find_stretches(chosen, adata.obs["trajectory"].cat.codes.to_numpy())


def find_stretches(chosen: np.ndarray, trajectory: np.ndarray) -> list[np.ndarray]:
    """Longest runs of consecutive chosen observations of one trajectory.

    Args:
        chosen: which observations are chosen, (observation,).
        trajectory: number of the trajectory of each observation, (observation,).
    """
    breaks = np.flatnonzero((np.diff(trajectory) != 0) | (np.diff(chosen.astype(int)) != 0)) + 1
    return [rows for rows in np.split(np.arange(len(chosen)), breaks) if len(rows) and chosen[rows[0]]]


def local_fit(times: np.ndarray, values: np.ndarray, at: float) -> tuple[np.ndarray, np.ndarray]:
    """Value and derivative at a time of the least-squares polynomial (cubic where there are 6 points or more).

    Of each feature through its observed values; without any, the value is NaN and the derivative 0.
    """
    if not is_complete(values):
        value, slope = np.full(values.shape[1], np.nan), np.zeros(values.shape[1])
        for columns, rows in by_pattern(values):
            if rows.any():
                value[columns], slope[columns] = local_fit(times[rows], values[np.ix_(rows, columns)], at)
        return value, slope
    degree = min(3 if len(times) >= 6 else 2, len(times) - 1)
    span = max(float(np.ptp(times)), np.finfo(float).tiny)
    basis = np.vander((times - at) / span, degree + 1, increasing=True)
    coefficients = np.linalg.lstsq(basis, values, rcond=None)[0]
    slope = coefficients[1] / span if degree else np.zeros(values.shape[1])
    return coefficients[0], slope


def slope_weights(times: np.ndarray, at: float | None = None) -> np.ndarray:
    """Weights (time,) that give the slope at the last of some times, of a line or, from 4 times on, of a parabola.

    With `at`, the slope at that time.
    """
    degree = min(1 if len(times) < 4 else 2, len(np.unique(times)) - 1)
    if degree < 1:
        return np.zeros(len(times))
    span = float(np.ptp(times))
    basis = np.vander((times - (times[-1] if at is None else at)) / span, degree + 1, increasing=True)
    return np.asarray(np.linalg.pinv(basis)[1] / span)


def past_slopes(times: np.ndarray, values: np.ndarray, starts: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Slope of the last observations up to each start, and its error for noise of 1, both (start, feature).

    Of each feature through what is observed of it; 0 of fewer than two values.

    Args:
        times: (observation,) times.
        values: (observation, feature), NaN where missing; all that are used of a start belong to one trajectory.
        starts: (start,) indices of the observations that are starts.
        count: number of the observations that a slope is fitted to.
    """
    slopes, errors = np.zeros((len(starts), values.shape[1])), np.zeros((len(starts), values.shape[1]))
    for row, start in enumerate(starts):
        past = slice(int(start) - count + 1, int(start) + 1)
        past_times, past_values = times[past], values[past]
        if is_complete(past_values):
            weights = slope_weights(past_times)
            slopes[row], errors[row] = weights @ past_values, np.linalg.norm(weights)
            continue
        for columns, rows in by_pattern(past_values):
            if rows.any():
                weights = slope_weights(past_times[rows], at=past_times[-1])
                slopes[row, columns] = weights @ past_values[np.ix_(rows, columns)]
                errors[row, columns] = np.linalg.norm(weights)
    return slopes, errors


def observation_noise(values: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """Standard deviation (feature,) of the noise of observations in time order, (time, feature).

    With `counts` (time,), how many observations each is the mean of: that of a single one.

    From differences of neighbors, which a slow trend does not change (von Neumann 1941). Where a difference tends to
    have the sign of the one before, they tell the motion and not the noise: then from third differences, which a
    parabola does not change. Of each feature over its observed values, as if these followed each other. Zero for one
    observation.
    """
    if not is_complete(values):
        noise = np.zeros(values.shape[1])
        for columns, rows in by_pattern(values):
            noise[columns] = observation_noise(values[np.ix_(rows, columns)], None if counts is None else counts[rows])
        return noise
    if len(values) < 2:
        return np.zeros(values.shape[1])
    first = np.diff(values, axis=0)
    variance = np.ones(len(values)) if counts is None else 1.0 / counts
    noise = np.sqrt(_mean_square(first, variance, (1, 1)))
    if len(values) < 5:
        return noise
    moves = (first[1:] * first[:-1]).mean(0) > 0
    return np.where(moves, np.sqrt(_mean_square(np.diff(values, n=3, axis=0), variance, (1, 9, 9, 1))), noise)


def _mean_square(differences: np.ndarray, variance: np.ndarray, squared: tuple[int, ...]) -> np.ndarray:
    """Mean square of differences over the variance that noise of 1 gives them; `squared` coefficients of each."""
    expected = np.convolve(variance, squared, mode="valid")
    return np.asarray((np.square(differences) / expected[:, None]).mean(0))


def check_known(needed: int, known_count: int) -> None:
    """Refuse a model that takes more observations than a forecast is given.

    Raises UserError.
    """
    if needed > known_count:
        raise UserError(
            f"velocity_observations of the model is {needed}, but forecasts of this dataset are given {known_count} "
            f"observation{'s' if known_count > 1 else ''}; set initial_state.known of the dataset to {needed} or more"
        )


def _restart_states(
    adata: AnnData, values: np.ndarray, time: np.ndarray, stretch_of: dict[int, np.ndarray]
) -> np.ndarray:
    """States (observation, feature) that windows restart from: what is observed, or a line between its neighbors.

    The neighbors are those of the same stretch of training observations. Where a stretch observes nothing of a feature,
    its state is that of `carry_forward`.
    """
    if is_complete(values):
        return values
    states = values.copy()
    for rows in {int(stretch[0]): stretch for stretch in stretch_of.values()}.values():
        states[rows] = interpolate(time[rows], values[rows])
    trajectory = adata.obs["trajectory"].cat
    initial = read_metadata(adata).initial_states.loc[list(trajectory.categories)].to_numpy(dtype=float)
    return carry_forward(states, trajectory.codes.to_numpy(), initial)


def _observed_of(values: np.ndarray, count: int) -> np.ndarray:
    """How many of the `count` observations that a state is the mean of are observed of each feature, 1 at least."""
    if is_complete(values):
        return np.full(values.shape[1], count)
    return np.maximum((~np.isnan(values)).sum(axis=0), 1)


def training_rows(
    adata: AnnData,
    *,
    windows: tuple[int, int] | None,
    smoothing: int,
    order: int,
    velocity_observations: int | None = None,
) -> Rows:
    """Rows of the training split's fit phase.

    Without windows a row is a trajectory, from its initial state.

    Args:
        adata: the trajectories.
        windows: length and stride of the windows; None for whole trajectories.
        smoothing: number of observations to each side within the stretch whose local polynomial fit is the restart
            state of a window, the observation itself if 0; at second order at least 3, since the velocity comes from
            it.
        order: order of the model, 1 or 2.
        velocity_observations: number of the last observations whose slope is the velocity instead (second order), or
            zero for 1; the model's network adds to it.

    Raises:
        UserError: fewer observations are known at the start of a trajectory than the slope takes.
    """
    metadata = read_metadata(adata)
    initial_states = metadata.initial_states
    averaged = metadata.initial_state_count if windows is None else 2 * smoothing + 1
    known_count = metadata.known_observations
    slope_of = velocity_observations or 1
    check_known(slope_of, known_count)
    time = adata.obs["time"].to_numpy(dtype=float)
    names = adata.obs["trajectory"].astype(str).to_numpy()
    weight = adata.obs["weight"].to_numpy(dtype=float)
    values = np.asarray(adata.X, dtype=float)
    is_train = training_mask(adata.obs["split"], adata.obs["phase"])
    first_of = {
        name: int(np.flatnonzero(names == name)[0]) + known_count - 1 for name in dict.fromkeys(names[is_train])
    }
    if windows is None:
        of_name = {name: np.flatnonzero(is_train & (names == name)) for name in first_of}
        chosen = [rows[rows >= first_of[name]] for name, rows in of_name.items() if rows[-1] >= first_of[name]]
    else:
        chosen = make_windows(adata, "train", "fit", *windows, past=known_count)
    width = max(smoothing, 3) if order == 2 and velocity_observations is None else smoothing
    stretch_of = {int(index): rows for rows in _stretches(adata, "train", "fit") for index in rows}
    states = values if windows is None else _restart_states(adata, values, time, stretch_of)
    count = observation_counts(adata)
    noise_of = {
        name: observation_noise(values[indices], count[indices])
        for name in first_of
        for indices in [np.flatnonzero(is_train & (names == name))]
    }
    group = adata.obs["group"].astype(str).to_numpy() if "group" in adata.obs else names
    initial, initial_error, velocity, at_start, times = [], [], [], [], []
    for rows in chosen:
        start, name = int(rows[0]), names[rows[0]]
        begins = start == first_of[name] or windows is None
        state = initial_states.loc[name].to_numpy(dtype=float) if windows is None else states[start]
        slope = np.zeros(values.shape[1])
        if width:
            stretch = stretch_of[start]
            near = stretch[np.abs(stretch - start) <= width]
            if begins:
                near = stretch[max(0, start - int(stretch[0]) - width) :][: 2 * width + 1]
            fitted, slope = local_fit(time[near], values[near], time[start])
            if windows is not None and smoothing:
                state = np.where(np.isnan(fitted), state, fitted)
        initial.append(state)
        counted = _observed_of(values[start : start + averaged], averaged) if windows is None else averaged
        initial_error.append(noise_of[name] / np.sqrt(counted))
        velocity.append(slope)
        at_start.append(begins)
        times.append(time[rows] - time[first_of[name] if windows is None else start])
    velocity_error = np.zeros_like(velocity)
    if velocity_observations is not None:
        starts = np.array([rows[0] if windows is not None else first_of[names[rows[0]]] for rows in chosen])
        slopes, errors = past_slopes(time, values, starts, slope_of)
        noise = np.array([noise_of[names[start]] for start in starts])
        velocity, velocity_error = list(slopes), noise * errors
        at_start = [True] * len(starts)
    return Rows(
        np.array(initial),
        np.array(initial_error),
        np.array(velocity),
        velocity_error,
        np.array(at_start),
        times,
        [values[rows] for rows in chosen],
        [weight[rows] for rows in chosen],
        [str(group[rows[0]]) for rows in chosen],
        chosen,
    )
