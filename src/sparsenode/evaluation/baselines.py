"""Trivial forecasts that every model must beat, and oracles that none can be expected to.

A baseline knows the initial state, like a model, and the training observations of a trajectory's group (its lineage or
branch; those of all groups where its own has none). Where test observations are forecast, or training and validation
are scored as one, the validation observations are known too. An oracle is fitted to the very observations that it is
scored on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from sparsenode.evaluation.forecast import Errors, Kept, Observations, Plan, matrix_errors

BASELINES = ("initial_state", "training_mean", "zeros", "linear")
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
    """Least-squares polynomial in time for each column of `values` (observation, feature), as a function of time."""
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
    fit_phase = data.phase == "fit"
    training = fit_phase & (data.split == "train")
    both = fit_phase & np.isin(data.split, ["train", "validation"])
    group, sees_both = data.group[plan.observation], union | (data.split[plan.observation] == "test")
    predicted = np.empty((len(plan.observation), len(data.features)))
    for name in np.unique(group):
        for sees, candidates in ((False, training), (True, both)):
            entries = np.flatnonzero((group == name) & (sees_both == sees))
            if len(entries):
                own = candidates & (data.group == name)
                known = np.flatnonzero(own if own.any() else candidates)
                fit = fit_polynomial(data.time[known], data.values[known], degree)
                predicted[entries] = fit(data.time[plan.observation[entries]])
    return predicted


def predict_baseline(name: str, data: Observations, plan: Plan, *, union: bool = False) -> np.ndarray:
    """Forecast of one of `BASELINES`, (entry, feature); with `union`, as scored on unions of training and validation.

    `initial_state` holds the state that the forecast starts from; `training_mean` and `linear` are the mean and the
    least-squares line in time of the known observations; `zeros` is zero.
    """
    if name == "initial_state":
        return plan.initial_states[plan.row]
    if name == "zeros":
        return np.zeros((len(plan.observation), len(data.features)))
    return fit_known_polynomial(data, plan, {"training_mean": 0, "linear": 1}[name], union=union)


def predict_oracle(name: str, data: Observations, plan: Plan, *, union: bool = False) -> np.ndarray:
    """Fit of one of `ORACLES` to each simple group, or with `union` to each union, (entry, feature)."""
    simple = len(plan.groups) - len(plan.unions)
    groups = range(simple, len(plan.groups)) if union else range(simple)
    return fit_own_polynomial(data, plan, {"mean": 0, "cubic": 3}[name], groups)


def baseline_errors(name: str, data: Observations, plan: Plan, kept: Kept) -> Errors:
    """Errors (one member, group) of one of `BASELINES` or `ORACLES`."""
    predict = predict_baseline if name in BASELINES else predict_oracle
    simple = matrix_errors(predict(name, data, plan), data, plan, kept)
    if not plan.unions:
        return simple
    union = matrix_errors(predict(name, data, plan, union=True), data, plan, kept)
    count = len(plan.groups) - len(plan.unions)

    def join(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.concatenate((first[:, :count], second[:, count:]), axis=1)

    noise_free = None
    if simple.noise_free is not None and union.noise_free is not None:
        noise_free = join(simple.noise_free, union.noise_free)
    return Errors(join(simple.mse, union.mse), join(simple.weighted, union.weighted), noise_free, simple.kept)
