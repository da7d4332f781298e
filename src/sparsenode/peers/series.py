"""Observations as time series of equal steps, as methods on lags take them, and how many lags they are given."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from sparsenode.errors import UserError

if TYPE_CHECKING:
    from sparsenode.peers.derivatives import Samples

logger = logging.getLogger(__name__)

MOST_LAGS = 5
"""Steps that are looked back at most where their number is chosen from the data."""
_ROUNDING, _MOST_ROUNDING = 0.02, 0.2  # of an interval, and of a step
_LEAST_FILLED = 0.5
_LEAST_VARIANCE = float(np.finfo(np.float32).eps) ** 2  # what is left of values in single precision is their rounding

Irregular = Annotated[
    Literal["interpolate", "refuse"],
    Field(
        description="What is done with times that have no common step: values are interpolated by straight lines at "
        "the mean step, with a warning, since interpolated values depend on each other more than observed ones; or the "
        "data are refused. Single observations that are absent from equal steps are never interpolated, but left out."
    ),
]
"""Option of peers, see `equal_steps`."""

Lags = Annotated[
    int | None,
    Field(
        ge=1,
        description="Steps that are looked back; null for the number, at most 5, with which a vector autoregression "
        "has the least information criterion (BIC), at second order at least 2, since two positions tell a velocity.",
    ),
]
"""Option of peers, see `choose_lags`."""


@dataclass(frozen=True)
class LaggedValues:
    """Values (row, variable) and those of the steps before them (row, lag, variable), rows without gaps only."""

    values: np.ndarray
    lagged: np.ndarray


def equal_steps(samples: Samples, irregular: str, peer: str) -> list[np.ndarray]:
    """Observed values of each stretch at equal steps, (step, variable), NaN where there is no observation.

    The step is the same in all stretches, the least interval between observations, if all intervals are multiples of
    it, to 2 %, and if at least half of the steps then have an observation. Other times are irregular.

    Args:
        samples: observations with their times.
        irregular: `interpolate` or `refuse`.
        peer: name of the peer, for messages.

    Raises:
        UserError: the times are irregular, and are to be refused.
    """
    rows = [np.flatnonzero(samples.stretch == number) for number in np.unique(samples.stretch)]
    times = [samples.times[selected] for selected in rows]
    values = [samples.observed[selected] for selected in rows]
    intervals = np.concatenate([np.diff(time) for time in times])
    step = intervals.min()
    steps = np.rint(intervals / step)
    is_equal = np.abs(intervals / step - steps) <= np.minimum(_ROUNDING * steps, _MOST_ROUNDING)
    if is_equal.all() and len(intervals) >= _LEAST_FILLED * steps.sum():
        return [_fill(np.rint(np.diff(time) / step), parts) for time, parts in zip(times, values, strict=True)]
    if irregular == "refuse":
        raise UserError(
            f"{peer} takes observations at equal steps, and these are from {intervals.min():.4g} to "
            f"{intervals.max():.4g} apart; set its option `irregular` to interpolate, or take it from `run.peers`"
        )
    step = intervals.mean()
    logger.warning(
        "%s: observations are from %.4g to %.4g apart and are interpolated at steps of %.4g",
        peer,
        intervals.min(),
        intervals.max(),
        step,
    )
    return [_interpolate(time, parts, step) for time, parts in zip(times, values, strict=True)]


def _fill(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values (observation, variable) at equal steps, (step, variable), NaN where `steps` to the next are several."""
    places = np.concatenate([[0], np.cumsum(steps.astype(int))])
    filled = np.full((places[-1] + 1, values.shape[1]), np.nan)
    filled[places] = values
    return filled


def _interpolate(time: np.ndarray, values: np.ndarray, step: float) -> np.ndarray:
    count = max(int(np.floor((time[-1] - time[0]) / step * (1 + 1e-9))) + 1, 2)
    grid = time[0] + step * np.arange(count)
    return np.column_stack([np.interp(grid, time, column) for column in values.T])


def lag_values(series: Sequence[np.ndarray], lags: int) -> LaggedValues:
    """Values and the values before them, of all series, which are not joined; rows with a gap are left out.

    Args:
        series: values (step, variable) of each series, NaN at gaps.
        lags: how many steps before each value are given.
    """
    from statsmodels.tsa.tsatools import lagmat

    variables = series[0].shape[1]
    values, lagged = [np.empty((0, variables))], [np.empty((0, lags, variables))]
    for whole in series:
        if len(whole) > lags:
            # Column by column the values one step before, then those of two steps before, and so on.
            lagged.append(lagmat(whole, lags, trim="both").reshape(-1, lags, variables))
            values.append(whole[lags:])
    rows = LaggedValues(np.concatenate(values), np.concatenate(lagged))
    is_whole = ~(np.isnan(rows.values).any(1) | np.isnan(rows.lagged).any((1, 2)))
    return LaggedValues(rows.values[is_whole], rows.lagged[is_whole])


def choose_lags(series: Sequence[np.ndarray], order: int) -> int:
    """Number of lags with which a vector autoregression has the least BIC, summed over its equations.

    All numbers, from the order of the dynamics to `MOST_LAGS`, are judged on the same rows; those for which there are
    not two rows for each coefficient are not looked at, and if none is left the least is taken.

    Args:
        series: values (step, variable) of each series, NaN at gaps.
        order: order of the dynamics, 1 or 2; so many lags there are at least.
    """
    from statsmodels.regression.linear_model import OLS
    from statsmodels.tools.eval_measures import bic_sigma

    from sparsenode.peers.derivatives import standardize

    variables = series[0].shape[1]
    for most in range(MOST_LAGS, order, -1):
        rows = lag_values(series, most)
        if len(rows.values) >= 2 * (most * variables + 1):
            break
    else:
        return order
    count = len(rows.values)
    moves = rows.values.std(0) > 0
    values, lagged = standardize(rows.values[:, moves]), rows.lagged[:, :, moves]
    criteria = []
    for lags in range(order, most + 1):
        design = np.column_stack([np.ones(count), standardize(lagged[:, :lags].reshape(count, -1))])
        with nearly_collinear():
            coefficients = OLS(values, design).fit().params.reshape(design.shape[1], -1)  # flat for one variable
        errors = values - design @ coefficients
        variances = np.maximum(np.square(errors).mean(0), _LEAST_VARIANCE)
        criteria.append(bic_sigma(variances, count, design.shape[1]).sum())
    return order + int(np.argmin(criteria))


@contextlib.contextmanager
def nearly_collinear() -> Iterator[None]:
    """Let statsmodels fit and test the pasts of smooth series without noise, which are collinear to rounding.

    It then takes what rank there is, and says so at every fit.
    """
    from statsmodels.tools.sm_exceptions import SingularMatrixWarning, ValueWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The design matrix is rank-deficient", category=SingularMatrixWarning)
        warnings.filterwarnings("ignore", message="covariance of constraints", category=ValueWarning)
        yield
