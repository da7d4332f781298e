"""What the automatic choices look at, measured once from training and validation data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sparsenode.errors import UserError

if TYPE_CHECKING:
    from anndata import AnnData

FEWEST_OBSERVATIONS = 10
"""Training and validation observations below which nothing can be chosen."""
FEW_OBSERVATIONS = 50
"""Training observations below which only the simplest model is taken."""
_SAME = 1e-6  # of one less a correlation: variables that are multiples of each other
_COMPARED = 2000  # variables of which all pairs are compared


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a dataset before anything is trained; of its training and validation data only.

    Attributes:
        features: number of variables.
        observations: number of the training observations.
        trajectories: number of the trajectories with training observations.
        longest: most training observations of a trajectory in a row.
        usual: training observations in a row, half of all are in runs at least so long.
        usual_validation: the same of the validation observations; None where none is held out.
        spacing: median time between neighboring observations.
        slowest_spacing: the same of the trajectory in which it is longest.
        duration: time from the first to the last training observation of the longest trajectory.
        scale: time in which states change by about as much as they differ: the median over variables of the deviation
            of the state over that of its slope.
        noise: median over variables of the noise of observations, in deviations of the variable.
        order: gain in the share of highest derivatives that linear functions explain, at second over first order.
        branches: whether groups of trajectories begin alike and then part.
        constant: names of the variables that do not change.
        alike: pairs of variables, each a multiple of the other plus a constant.
        moving: number of the variables that change.
    """

    features: int
    observations: int
    trajectories: int
    longest: int
    usual: int
    usual_validation: int | None
    spacing: float
    slowest_spacing: float
    duration: float
    scale: float
    noise: float
    order: float
    branches: bool
    constant: tuple[str, ...]
    alike: tuple[tuple[str, str], ...]
    moving: int


def read_facts(adata: AnnData) -> Facts:
    """Measure a dataset.

    Raises:
        UserError: there are too few observations to choose anything by, or nothing in them moves.
    """
    from sparsenode.data.contract import training_mask, trajectory_slices
    from sparsenode.data.missing import deviation_observed
    from sparsenode.data.windows import find_stretches

    split, phase = adata.obs["split"], adata.obs["phase"]
    training = training_mask(split, phase)
    trajectory = adata.obs["trajectory"].cat.codes.to_numpy()
    time = adata.obs["time"].to_numpy(np.float64)
    values = np.asarray(adata.X, np.float64)
    runs = find_stretches(training, trajectory)
    longest = max((len(run) for run in runs), default=0)
    observations, held_out = int(training.sum()), ((split == "validation") & (phase == "fit")).to_numpy()
    if observations + held_out.sum() < FEWEST_OBSERVATIONS or longest < 2:
        raise UserError(
            f"found {observations} training and {held_out.sum()} validation observations, of the former at most "
            f"{longest} of a trajectory in a row; an automatic model takes {FEWEST_OBSERVATIONS} or more in all, and "
            "two or more of a trajectory: measure more, or hold fewer out (`validation`)"
        )
    slices = [np.flatnonzero(training[rows]) + rows.start for rows in trajectory_slices(adata).values()]
    slices = [rows for rows in slices if len(rows)]
    steps = [np.diff(time[rows]) for rows in runs]
    positive = [step[step > 0] for step in steps]
    medians = [float(np.median(step)) for step in positive if len(step)]
    if not medians:
        raise UserError("all observations of each trajectory are at one time; give the times of the observations")
    deviations = deviation_observed(values[training])
    level = np.nanmax(np.abs(values[training]), axis=0, initial=0.0)
    moves = deviations > _SAME * level
    if not moves.any():
        raise UserError("no variable changes in the training data, so there is nothing to learn from them")
    names = list(map(str, adata.var_names))
    validation_runs = find_stretches(held_out, trajectory)
    slope_states, slopes = _slopes(adata, values, time, runs)
    return Facts(
        features=adata.n_vars,
        observations=observations,
        trajectories=len(slices),
        longest=longest,
        usual=_usual_length(runs),
        usual_validation=_usual_length(validation_runs) if validation_runs else None,
        spacing=float(np.median(np.concatenate(positive))),
        slowest_spacing=max(medians),
        duration=max(float(np.ptp(time[rows])) for rows in slices),
        scale=_natural_time(slope_states, slopes) or max(medians),
        noise=_noise_share(values, slices, deviations, moves),
        order=_gain_of_second_order(adata),
        branches=_part(adata, values, deviations, slices),
        constant=tuple(name for name, changes in zip(names, moves, strict=True) if not changes),
        alike=_multiples(values[training][:, moves], [names[column] for column in np.flatnonzero(moves)]),
        moving=int(moves.sum()),
    )


def _usual_length(runs: list[NDArray[np.intp]]) -> int:
    """Length of runs, half of whose observations are in runs at least so long."""
    lengths = np.sort([len(run) for run in runs])[::-1]
    return int(lengths[np.searchsorted(np.cumsum(lengths), lengths.sum() / 2)])


def _slopes(
    adata: AnnData, values: NDArray[np.float64], time: NDArray[np.float64], runs: list[NDArray[np.intp]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """States and slopes (observation, variable): smoothed, or of neighbors where it is too short for that."""
    from sparsenode.peers.derivatives import read_samples

    try:
        samples = read_samples(adata, 1)
    except UserError:
        states, slopes = [], []
        for rows in runs:
            step = np.diff(time[rows])
            later = step > 0
            states.append(values[rows][1:][later])
            slopes.append(np.diff(values[rows], axis=0)[later] / step[later, None])
        return np.concatenate(states), np.concatenate(slopes)
    return samples.states, samples.rates


def _natural_time(states: NDArray[np.float64], slopes: NDArray[np.float64]) -> float | None:
    """Median over the variables that move of the deviation of the state over that of its slope; None where none is."""
    from sparsenode.data.missing import deviation_observed

    if not len(states):
        return None
    state, slope = deviation_observed(states), deviation_observed(slopes)
    moves = (slope > 0) & (state > 0)  # false where too little is observed to tell
    return rounded(float(np.median(state[moves] / slope[moves]))) if moves.any() else None


def _noise_share(
    values: NDArray[np.float64],
    trajectories: list[NDArray[np.intp]],
    deviations: NDArray[np.float64],
    moves: NDArray[np.bool_],
) -> float:
    """Median over variables of the noise by differences (root mean square over trajectories) over the deviation."""
    from sparsenode.data.windows import observation_noise

    squares = np.array([np.square(observation_noise(values[rows])) for rows in trajectories])
    counts = np.array([len(rows) for rows in trajectories], dtype=float)
    noise = np.sqrt(counts @ squares / counts.sum())
    return float(np.median(noise[moves] / deviations[moves]))


def _gain_of_second_order(adata: AnnData) -> float:
    """Share of the accelerations that linear functions of states and slopes explain, less that of slopes by states.

    Of each trajectory that is left out by the others; zero where too little is observed to tell.
    """
    from sparsenode.peers.derivatives import read_samples

    try:
        second = read_samples(adata, 2)
    except UserError:
        return 0.0
    assert second.velocities is not None  # noqa: S101  of the second order
    folds = second.stretch
    if len(np.unique(folds)) == 1:
        folds = np.arange(len(folds)) * 4 // len(folds)
    if len(second.states) < 4 * second.states.shape[1] + 10:
        return 0.0
    by_states = _explained(second.states, second.velocities, folds)
    by_both = _explained(np.hstack([second.states, second.velocities]), second.rates, folds)
    return by_both - max(by_states, 0.0)


def _explained(inputs: NDArray[np.float64], targets: NDArray[np.float64], folds: NDArray[np.integer]) -> float:
    """Median over targets of the share of variance that linear functions of the inputs explain in folds left out."""
    numbers = np.unique(folds)
    chosen = numbers[np.linspace(0, len(numbers) - 1, min(4, len(numbers))).astype(int)]
    spread = inputs.std(0)
    scaled = (inputs - inputs.mean(0)) / np.where(spread > 0, spread, 1.0)
    left, total = np.zeros(targets.shape[1]), np.zeros(targets.shape[1])
    for number in chosen:
        test = folds == number
        center = targets[~test].mean(0)
        fitted = scaled[~test]
        ridge = 1e-3 * len(fitted) * np.eye(fitted.shape[1])
        weights = np.linalg.solve(fitted.T @ fitted + ridge, fitted.T @ (targets[~test] - center))
        left += np.square(targets[test] - center - scaled[test] @ weights).sum(0)
        total += np.square(targets[test] - center).sum(0)
    moves = total > 0
    return float(np.median(1 - left[moves] / total[moves])) if moves.any() else 0.0


def _part(
    adata: AnnData,
    values: NDArray[np.float64],
    deviations: NDArray[np.float64],
    trajectories: list[NDArray[np.intp]],
) -> bool:
    """Whether groups begin alike and part: at their ends they are four times as far from each other as at the start.

    Distances are root mean squares over variables, in deviations, of means over a tenth of each trajectory, those at
    the start less what noise lets them differ by.
    """
    from sparsenode.data.missing import mean_observed
    from sparsenode.data.windows import observation_noise

    groups = adata.obs["group"].astype(str).to_numpy()
    firsts: dict[str, list[NDArray[np.float64]]] = {}
    lasts: dict[str, list[NDArray[np.float64]]] = {}
    variances: dict[str, list[NDArray[np.float64]]] = {}
    unit = np.where(deviations > 0, deviations, np.inf)
    for rows in trajectories:
        count = max(1, len(rows) // 10)
        group = groups[rows[0]]
        firsts.setdefault(group, []).append(mean_observed(values[rows[:count]]) / unit)
        lasts.setdefault(group, []).append(mean_observed(values[rows[-count:]]) / unit)
        variances.setdefault(group, []).append(np.square(observation_noise(values[rows]) / unit) / count)
    if len(firsts) < 2:
        return False
    start, end, noise = (
        np.array([np.nanmean(each, axis=0) for each in quantity.values()]) for quantity in (firsts, lasts, variances)
    )
    first, last = np.triu_indices(len(start), 1)
    apart = np.nanmean(np.square(start[first] - start[last]) - noise[first] - noise[last], axis=1)
    parted = np.nanmean(np.square(end[first] - end[last]), axis=1)
    return bool(np.median(parted) > 0.04 and np.median(apart) < np.median(parted) / 16)


def _multiples(values: NDArray[np.float64], names: list[str]) -> tuple[tuple[str, str], ...]:
    """Pairs of variables that are multiples of each other, up to a constant; none among very many variables."""
    if len(names) > _COMPARED or len(values) < 3:
        return ()
    complete = values[~np.isnan(values).any(axis=1)]
    if len(complete) < 3:
        return ()
    centered = complete - complete.mean(0)
    size = np.sqrt(np.square(centered).sum(0))
    scaled = centered / np.where(size > 0, size, 1.0)
    alike = np.triu(np.abs(scaled.T @ scaled) > 1 - _SAME, 1)
    return tuple((names[first], names[second]) for first, second in np.argwhere(alike))


def rounded(value: float) -> float:
    """A number of three digits."""
    return float(f"{value:.3g}")
