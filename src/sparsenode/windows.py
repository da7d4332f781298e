"""Rows of a training solve: whole trajectories or windows that restart from observations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sparsenode.errors import UserError

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class Rows:
    """What training solves and compares with, row by row.

    `initial` (row, feature) and `velocity` (row, feature) at the start; `at_start` (row,) tells whether a row begins
    where its trajectory begins, where a second-order model learns the velocity itself. `times[row]` counts from the
    start of the row, in the unit of the data set, and `observed[row]` is (time, feature). `initial_error`
    (row, feature) is the standard error of `initial` as a mean of noisy observations.
    """

    initial: np.ndarray
    initial_error: np.ndarray
    velocity: np.ndarray
    at_start: np.ndarray
    times: list[np.ndarray]
    observed: list[np.ndarray]
    weights: list[np.ndarray]


def make_windows(adata: AnnData, split: str, phase: str, length: int, stride: int) -> list[np.ndarray]:
    """Indices of the observations of every window: `length` + 1 in a row of one trajectory, split and phase.

    A window starts every `stride` observations; the last one ends at the last observation, so that all are used.
    Raises UserError if no stretch of observations is long enough.
    """
    windows: list[np.ndarray] = []
    longest = 0
    for stretch in _stretches(adata, split, phase):
        longest = max(longest, len(stretch))
        if len(stretch) <= length:
            continue
        starts = list(range(0, len(stretch) - length, stride))
        if starts[-1] != len(stretch) - length - 1:
            starts.append(len(stretch) - length - 1)
        windows.extend(stretch[start : start + length + 1] for start in starts)
    if not windows:
        raise UserError(
            f"windows of length {length} do not fit: the longest stretch of {split} observations ({phase}) "
            f"has {longest}, and a window needs {length + 1}; shorten windows.length or give the split a larger share"
        )
    return windows


def _stretches(adata: AnnData, split: str, phase: str) -> list[np.ndarray]:
    """Longest runs of consecutive observations of one trajectory that belong to the split and phase."""
    chosen = ((adata.obs["split"] == split) & (adata.obs["phase"] == phase)).to_numpy()
    code = adata.obs["trajectory"].cat.codes.to_numpy()
    breaks = np.flatnonzero((np.diff(code) != 0) | (np.diff(chosen.astype(int)) != 0)) + 1
    return [part for part in np.split(np.arange(adata.n_obs), breaks) if len(part) and chosen[part[0]]]


def local_fit(times: np.ndarray, values: np.ndarray, at: float) -> tuple[np.ndarray, np.ndarray]:
    """Value and derivative at a time of the least-squares polynomial (cubic where there are 6 points or more)."""
    degree = min(3 if len(times) >= 6 else 2, len(times) - 1)
    span = max(float(np.ptp(times)), np.finfo(float).tiny)
    basis = np.vander((times - at) / span, degree + 1, increasing=True)
    coefficients = np.linalg.lstsq(basis, values, rcond=None)[0]
    slope = coefficients[1] / span if degree else np.zeros(values.shape[1])
    return coefficients[0], slope


def observation_noise(values: np.ndarray) -> np.ndarray:
    """Standard deviation (feature,) of the noise of observations in time order, (time, feature).

    From differences of neighbors, which a slow trend leaves alone (von Neumann 1941); zero for one observation.
    """
    if len(values) < 2:
        return np.zeros(values.shape[1])
    return np.sqrt(np.square(np.diff(values, axis=0)).mean(0) / 2)


def training_rows(adata: AnnData, *, windows: tuple[int, int] | None, smoothing: int, order: int) -> Rows:
    """Rows of the training split's fit phase.

    Without windows a row is a trajectory, from its initial state. With `windows` (length, stride) the restart state
    is a local polynomial fit over `smoothing` observations to each side within the stretch, the observation itself
    if 0; at second order at least 3, since the velocity comes from it.
    """
    initial_states = adata.uns["sparsenode"]["initial_states"]
    averaged = int(adata.uns["sparsenode"]["initial_state_count"]) if windows is None else 2 * smoothing + 1
    time = adata.obs["time"].to_numpy(dtype=float)
    names = adata.obs["trajectory"].astype(str).to_numpy()
    weight = adata.obs["weight"].to_numpy(dtype=float)
    values = np.asarray(adata.X, dtype=float)
    is_train = ((adata.obs["split"] == "train") & (adata.obs["phase"] == "fit")).to_numpy()
    if windows is None:
        chosen = [np.flatnonzero(is_train & (names == name)) for name in dict.fromkeys(names[is_train])]
    else:
        chosen = make_windows(adata, "train", "fit", *windows)
    width = max(smoothing, 3) if order == 2 else smoothing
    first_of = {name: int(np.flatnonzero(names == name)[0]) for name in dict.fromkeys(names[is_train])}
    stretch_of = {int(index): part for part in _stretches(adata, "train", "fit") for index in part}
    noise_of = {name: observation_noise(values[is_train & (names == name)]) for name in first_of}
    initial, initial_error, velocity, at_start, times = [], [], [], [], []
    for part in chosen:
        start, name = int(part[0]), names[part[0]]
        begins = start == first_of[name] or windows is None
        state = initial_states.loc[name].to_numpy(dtype=float) if windows is None else values[start]
        slope = np.zeros(values.shape[1])
        if width:
            stretch = stretch_of[start]
            near = stretch[np.abs(stretch - start) <= width]
            if begins:
                near = stretch[: 2 * width + 1]
            fitted, slope = local_fit(time[near], values[near], time[start])
            if windows is not None and smoothing:
                state = fitted
        initial.append(state)
        initial_error.append(noise_of[name] / np.sqrt(averaged))
        velocity.append(slope)
        at_start.append(begins)
        times.append(time[part] - time[first_of[name] if windows is None else start])
    return Rows(
        np.array(initial),
        np.array(initial_error),
        np.array(velocity),
        np.array(at_start),
        times,
        [values[part] for part in chosen],
        [weight[part] for part in chosen],
    )
