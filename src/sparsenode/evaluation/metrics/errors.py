"""Metrics of forecasts: their squared errors, and what these are worth beside trivial forecasts."""

from __future__ import annotations

import numpy as np

from sparsenode.data.distances import DISTANT_PHASES
from sparsenode.data.observations import Observations
from sparsenode.evaluation.metrics import COMPARISONS, ERRORS, describe, metric, registered_metrics

LARGEST_ERROR = 100.0
"""Squared modeling units at which an error is cut: simulated values are in training deviations."""


@metric(
    ERRORS,
    name="mse",
    description="mean squared error in modeling units, of forecasts of whole trajectories the initial state included "
    "where it is a single observation; where entries are missing, the mean over the features of each one's mean over "
    "its observed entries, in all of these errors",
    unit="squared modeling unit",
    unit_of=lambda data: data.unit,
)
def mean_squared_error(squares: np.ndarray) -> np.ndarray:
    """Mean over features (entry,)."""
    return np.asarray(squares.mean(axis=1))


@metric(
    ERRORS,
    name="mse_weighted",
    description="`mse` with each feature's squared error times its weight, where weights differ",
    unit="share of movement",
    unit_of=lambda data: "share of movement" if np.ptp(data.weights) > 0 else None,
)
def weighted_error(squares: np.ndarray, data: Observations) -> np.ndarray:
    """Weighted mean over features (entry,)."""
    return np.asarray(squares @ (data.weights / len(data.weights)))


@metric(
    ERRORS,
    name="mse_restored",
    description="`mse` in the units of the source, where it names one (degree²)",
    unit="squared unit of the source",
    unit_of=lambda data: f"{data.source_unit}^2" if data.source_unit else None,
)
def restored_error(squares: np.ndarray, data: Observations, observation: np.ndarray) -> np.ndarray:
    """Mean over features (entry,)."""
    return np.asarray((squares * np.square(data.scale[data.trajectory[observation]])).mean(axis=1))


@metric(
    ERRORS,
    name="mse_noise_free",
    description="`mse` against the noise-free values, where they are known",
    unit="squared modeling unit",
    unit_of=lambda data: None if data.noise_free is None else data.unit,
)
def noise_free_error(
    forecast: np.ndarray, data: Observations, observation: np.ndarray, shares: np.ndarray | float
) -> np.ndarray:
    """Mean over features (entry,)."""
    assert data.noise_free is not None  # noqa: S101 measured only where it is there
    squares = np.square(forecast.astype(np.float64) - data.noise_free[observation])
    return np.asarray(weigh_squares(squares, shares).mean(axis=1))


def _has_levels(data: Observations) -> bool:
    """Whether a dataset has test sets at levels of distance."""
    return data.noise_free is not None and bool(np.isin(data.phase, DISTANT_PHASES).any())


@metric(
    ERRORS,
    name="mse_cut",
    description=f"`mse_noise_free` with the error of each observation, mean over the variables, cut at "
    f"{LARGEST_ERROR:g}, ten deviations of the training data; an observation of which the forecast is not finite "
    "counts as much; of data with test sets at levels of distance",
    unit="squared modeling unit",
    unit_of=lambda data: data.unit if _has_levels(data) else None,
)
def cut_error(forecast: np.ndarray, data: Observations, observation: np.ndarray) -> np.ndarray:
    """Mean over features (entry,), at most `LARGEST_ERROR`."""
    errors = _exact_errors(forecast, data, observation)
    return np.where(errors < LARGEST_ERROR, errors, LARGEST_ERROR)


@metric(
    ERRORS,
    name="share_ran_away",
    description="share of the observations that `mse_cut` cuts",
    unit_of=lambda data: "" if _has_levels(data) else None,
)
def share_ran_away(forecast: np.ndarray, data: Observations, observation: np.ndarray) -> np.ndarray:
    """1 where the error reaches `LARGEST_ERROR` or is not finite, else 0, (entry,)."""
    return np.where(_exact_errors(forecast, data, observation) < LARGEST_ERROR, 0.0, 1.0)


def _exact_errors(forecast: np.ndarray, data: Observations, observation: np.ndarray) -> np.ndarray:
    """Mean squared distance from the noise-free values, (entry,), also where forecasts are not finite."""
    assert data.noise_free is not None  # noqa: S101 measured only where it is there
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.square(forecast.astype(np.float64) - data.noise_free[observation]).mean(axis=1))


def weigh_squares(squares: np.ndarray, shares: np.ndarray | float) -> np.ndarray:
    """Squared errors (entry, feature) times their shares, 0 where these are, whatever the errors; 1 changes nothing."""
    return squares if isinstance(shares, float) else np.where(shares > 0, squares * shares, 0.0)


def error_units(data: Observations) -> dict[str, str]:
    """Unit of each mean squared error that is measured on a dataset."""
    units = {
        name: entry.unit_of(data) for name, entry in registered_metrics(ERRORS).items() if entry.unit_of is not None
    }
    return {name: unit for name, unit in units.items() if unit is not None}


describe(
    "mse_sum",
    description="sum of `mse` over a subject's trajectories (the study's figure)",
    unit="squared modeling unit",
)


@metric(
    COMPARISONS,
    description="1 − mse / mse of `reference`, a trivial forecast: initial state held, training mean, zeros, line in "
    "time; given a past also constant velocity and the last cycle",
)
def skill(mse: np.ndarray, trivial: np.ndarray) -> np.ndarray:
    """How much smaller an error is than a trivial forecast's; NaN where that has none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(1 - mse / np.where(trivial > 0, trivial, np.nan))


@metric(COMPARISONS, description="(mse of own mean − mse) / (mse of own mean − mse of own cubic)")
def explained(mse: np.ndarray, mean: np.ndarray, cubic: np.ndarray) -> np.ndarray:
    """Share of what a cubic in time explains of the course of a trajectory; NaN where it explains nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((mean - mse) / np.where(mean > cubic, mean - cubic, np.nan))


describe(
    "mse_reduction",
    "mse_sum_reduction",
    description="error of `reference` less that of the model at the chosen strength, on the same observations; "
    "estimators `mean` (over seeds), `lower`, `upper` (95 % bootstrap over seeds and observations), `mean_forecast` "
    "(of the seeds' mean forecast); with `evaluation.interval_repeats`",
    unit="squared modeling unit",
)
