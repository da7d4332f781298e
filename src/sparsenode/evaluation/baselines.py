"""Trivial forecasts that every model must beat, and oracles that none can be expected to.

A baseline knows the initial state, like a model, and the training observations of a trajectory's group (its lineage or
branch; those of all groups where its own has none). Where test observations are forecast, or training and validation
are scored as one, the validation observations are known too. Where a forecast
is given several observations, `constant_velocity` goes on from the last two of them, and `last_cycle` repeats the last
cycle of what is given. An oracle is fitted to the very observations that it is scored on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from sparsenode.data.missing import by_pattern, is_complete
from sparsenode.data.observations import Observations
from sparsenode.evaluation.forecast import Errors, Kept, matrix_errors
from sparsenode.evaluation.plans import ROLLING, Plan

BASELINES = ("initial_state", "training_mean", "zeros", "linear")
PAST_BASELINES = ("constant_velocity", "last_cycle")
"""Of those that are given more than one observation."""
BASELINE_NAMES = {
    "baseline:initial_state": "initial state held",
    "baseline:training_mean": "training mean",
    "baseline:zeros": "zero",
    "baseline:linear": "line in time",
    "baseline:constant_velocity": "constant velocity",
    "baseline:last_cycle": "last cycle repeated",
}
"""Baselines in words."""
ORACLES = ("mean", "cubic")


def fit_own_polynomial(data: Observations, plan: Plan, degree: int, groups: Iterable[int]) -> np.ndarray:
    """Least-squares polynomial in time per feature through the scored observations of each group: (entry, feature).

    Of a lower degree where there are fewer distinct times; NaN outside of the groups.
    """
    predicted = np.full((len(plan.observation), len(data.features)), np.nan)
    for number in groups:
        entries = plan.entries(number)
        observations = plan.observation[entries]
        fit = fit_polynomial(data.time[observations], data.values[observations], degree)
        predicted[entries] = fit(data.time[observations])
    return predicted


def fit_polynomial(time: np.ndarray, values: np.ndarray, degree: int) -> Callable[[np.ndarray], np.ndarray]:
    """Least-squares polynomial in time for each column of `values` (observation, feature), as a function of time.

    Of each through its observed values; NaN at any time where there are none.
    """
    if not is_complete(values):
        fits = [
            (columns, fit_polynomial(time[rows], values[np.ix_(rows, columns)], degree))
            for columns, rows in by_pattern(values)
            if rows.any()
        ]

        def evaluate(at: np.ndarray) -> np.ndarray:
            fitted = np.full((len(at), values.shape[1]), np.nan)
            for columns, fit in fits:
                fitted[:, columns] = fit(at)
            return fitted

        return evaluate
    degree = min(degree, len(np.unique(time)) - 1)
    # Centered and scaled time keeps the powers of any unit of time well conditioned.
    center = time.mean()
    scale = np.abs(time - center).max() or 1.0

    def powers(at: np.ndarray) -> np.ndarray:
        return np.vander((np.asarray(at) - center) / scale, degree + 1)

    coefficients = np.linalg.lstsq(powers(time), values, rcond=None)[0]
    return lambda at: powers(at) @ coefficients


def fit_known_polynomial(data: Observations, plan: Plan, degree: int, *, union: bool) -> np.ndarray:
    """Least-squares polynomial in time per feature through the known observations of the group: (entry, feature).

    Known are training observations, and those for validation too for test entries, or for all entries with `union`.
    """
    both = data.training | ((data.split == "validation") & (data.phase == "fit"))
    group, sees_both = data.group[plan.observation], union | (data.split[plan.observation] == "test")
    predicted = np.empty((len(plan.observation), len(data.features)))
    for name in np.unique(group):
        for sees, candidates in ((False, data.training), (True, both)):
            entries = np.flatnonzero((group == name) & (sees_both == sees))
            if len(entries):
                group_mask = candidates & (data.group == name)
                observations = np.flatnonzero(group_mask if group_mask.any() else candidates)
                fit = fit_polynomial(data.time[observations], data.values[observations], degree)
                predicted[entries] = fit(data.time[plan.observation[entries]])
                # What the group never observes is known of the other groups only.
                if not is_complete(predicted[entries]):
                    fit = fit_polynomial(data.time[candidates], data.values[candidates], degree)
                    of_all = fit(data.time[plan.observation[entries]])
                    predicted[entries] = np.where(np.isnan(predicted[entries]), of_all, predicted[entries])
    return predicted


def baselines_of(plan: Plan) -> tuple[str, ...]:
    """The baselines of a plan: those of the past where every forecast is given enough of it."""
    least = int(plan.given.min()) if len(plan.given) else 0
    of_past = {"constant_velocity": least > 1, "last_cycle": plan.protocol == ROLLING and least >= FEWEST_FOR_CYCLES}
    return (*BASELINES, *(name for name in PAST_BASELINES if of_past[name]))


def oracles_of(plan: Plan) -> tuple[str, ...]:
    """The oracles of a plan: none for rolling forecasts, whose entries of one lead time are no course in time."""
    return () if plan.protocol == ROLLING else ORACLES


def predict_constant_velocity(data: Observations, plan: Plan) -> np.ndarray:
    """The last two given observations, prolonged by a line: (entry, feature).

    Of a feature that is missing in one of them, the last two values that are observed among what is given; one that is
    observed less often is held.
    """
    last, before = plan.starts, plan.starts - 1
    steps = data.time[last] - data.time[before]
    # Two observations at one time give no velocity.
    slopes = (data.values[last] - data.values[before]) / np.where(steps > 0, steps, np.inf)[:, None]
    for row, feature in np.argwhere(np.isnan(slopes)):
        past = np.arange(last[row] - plan.given[row] + 1, last[row] + 1)
        observed = past[~np.isnan(data.values[past, feature])][-2:]
        step = np.ptp(data.time[observed]) if len(observed) > 1 else 0.0
        slopes[row, feature] = np.diff(data.values[observed, feature])[0] / step if step > 0 else 0.0
    elapsed = data.time[plan.observation] - data.time[last[plan.row]]
    return np.asarray(data.states[last[plan.row]] + slopes[plan.row] * elapsed[:, None])


FEWEST_FOR_CYCLES = 12
"""Observations that a forecast has to be given for `last_cycle`."""


def estimate_period(past: np.ndarray) -> int:
    """Steps after which the last observations of `past` (time, feature) have been seen before.

    The lag at which the last few observations are most like those before, among the lags beyond the one at which they
    are most unlike: half a cycle, looked for in the first half of the past.
    """
    compared = max(3, len(past) // 8)
    recent = past[-compared:]
    lags = np.arange(1, len(past) - compared + 1)
    mismatch = np.array([np.square(past[len(past) - compared - lag : len(past) - lag] - recent).mean() for lag in lags])
    half = int(np.argmax(mismatch[: max(1, len(lags) // 2)]))
    return int(lags[half + int(np.argmin(mismatch[half:]))])


def predict_last_cycle(data: Observations, plan: Plan) -> np.ndarray:
    """The last cycle of the given observations, again and again: (entry, feature).

    The period is that of `estimate_period`. Observations are taken to be evenly spaced, and missing entries to be as
    the last observed ones before them.
    """
    predicted = np.empty((len(plan.observation), len(data.features)))
    for row, (start, count) in enumerate(zip(plan.starts, plan.given, strict=True)):
        first, last = np.searchsorted(plan.row, [row, row + 1])
        past = data.states[start - count + 1 : start + 1]
        period = estimate_period(past)
        predicted[first:last] = past[count - period + (plan.position[first:last] - 1) % period]
    return predicted


def predict_baseline(name: str, data: Observations, plan: Plan, *, union: bool = False) -> np.ndarray:
    """Forecast of one of `baselines_of`, (entry, feature).

    `initial_state` holds the state that the forecast starts from; `training_mean` and `linear` are the mean and the
    least-squares line in time of the known observations; `zeros` is zero.

    Args:
        name: name of the baseline.
        data: the observations.
        plan: the forecasts.
        union: whether training and validation are scored as one.
    """
    if name == "initial_state":
        return plan.initial_states[plan.row]
    if name == "zeros":
        zeros = np.zeros((len(plan.observation), len(data.features)))
        return zeros if data.center is None else zeros - data.center
    if name in PAST_BASELINES:
        return (predict_constant_velocity if name == "constant_velocity" else predict_last_cycle)(data, plan)
    return fit_known_polynomial(data, plan, {"training_mean": 0, "linear": 1}[name], union=union)


def predict_oracle(name: str, data: Observations, plan: Plan, *, union: bool = False) -> np.ndarray:
    """Fit of one of `ORACLES` to each simple group, or with `union` to each union, (entry, feature)."""
    simple = len(plan.groups) - len(plan.unions)
    groups = range(simple, len(plan.groups)) if union else range(simple)
    return fit_own_polynomial(data, plan, {"mean": 0, "cubic": 3}[name], groups)


def baseline_errors(name: str, data: Observations, plan: Plan, stored: Kept) -> Errors:
    """Errors (one member, group) of one of `baselines_of` or `oracles_of` a plan."""
    predict = predict_oracle if name in ORACLES else predict_baseline
    simple = matrix_errors(predict(name, data, plan), data, plan, stored)
    if not plan.unions or plan.protocol == ROLLING:
        return simple
    union = matrix_errors(predict(name, data, plan, union=True), data, plan, stored)
    count = len(plan.groups) - len(plan.unions)
    joined = {
        metric: np.concatenate((values[:, :count], union.means[metric][:, count:]), axis=1)
        for metric, values in simple.means.items()
    }
    return Errors(joined, simple.kept)
