"""How much less a model errs than the trivial forecasts, with an interval over seeds and observations.

The forecasts of a model and of a baseline are compared on the same observations, so that the noise of an observation,
most of either error, counts once and not twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.data.observations import Observations
from sparsenode.evaluation.baselines import baselines_of, oracles_of, predict_baseline, predict_oracle
from sparsenode.evaluation.forecast import predict_rows
from sparsenode.evaluation.metrics.errors import weigh_squares
from sparsenode.evaluation.plans import KEYS, Plan, add_means, sum_by_subject
from sparsenode.evaluation.tables import NO_SEED, cross_table
from sparsenode.labels import BASELINE, ORACLE

if TYPE_CHECKING:
    from sparsenode.ensemble.members import Ensemble

LEVEL = 0.95
"""Share of the bootstrap samples within an interval."""


def entry_errors(ensemble: Ensemble, data: Observations, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Mean squared error over features of each member, (member, entry), and of the members' mean forecast, (entry,).

    Where entries are missing, squared errors count times their share in the group (`Plan.observed_shares`), so that the
    mean over a group is its `mse`.
    """
    mean = _mean_over_features(data, plan)
    member_errors = np.empty((len(ensemble.members), len(plan.observation)))
    together = np.empty(len(plan.observation))
    for first, last, predicted in predict_rows(ensemble, data, plan):
        observed = data.values[plan.observation[first:last]]
        with np.errstate(over="ignore", invalid="ignore"):
            for member, forecast in enumerate(predicted):
                member_errors[member, first:last] = mean(np.square(forecast - observed), first, last)
            squares = np.square(predicted.mean(axis=0, dtype=np.float64) - observed)
            together[first:last] = mean(squares, first, last)
    return member_errors, together


def _mean_over_features(data: Observations, plan: Plan) -> Callable[[np.ndarray, int, int], np.ndarray]:
    """What takes squares (entry, feature) of entries from a first to before a last to their means (entry,)."""
    shares = plan.observed_shares(data)

    def mean(squares: np.ndarray, first: int, last: int) -> np.ndarray:
        if shares is None:
            return np.asarray(squares.mean(axis=1))
        missing = np.isnan(data.values[plan.observation[first:last]])
        weighed = weigh_squares(squares, np.where(missing, 0.0, shares[plan.group[first:last]]))
        return np.asarray(weighed.mean(axis=1))

    return mean


def reference_errors(data: Observations, plan: Plan) -> dict[str, np.ndarray]:
    """Mean squared errors over features (entry,) of the baselines and of the cubic oracle, by method."""
    predicted = {f"{BASELINE}{name}": predict_baseline(name, data, plan) for name in baselines_of(plan)}
    if "cubic" in oracles_of(plan):
        predicted[f"{ORACLE}cubic"] = predict_oracle("cubic", data, plan)
    observed = data.values[plan.observation]
    mean = _mean_over_features(data, plan)
    return {name: mean(np.square(forecast - observed), 0, len(observed)) for name, forecast in predicted.items()}


def bootstrap_means(differences: np.ndarray, shares: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Means (repeat,) of differences over observations drawn again, members weighted by their shares.

    Args:
        differences: (member, observation).
        shares: weight of each member, (repeat, member), adding up to 1 in each repeat.
        generator: source of the random numbers.
    """
    repeats, count = len(shares), differences.shape[1]
    drawn = generator.multinomial(count, np.full(count, 1.0 / count), size=repeats)
    return np.asarray((shares * (drawn @ differences.T / count)).sum(axis=1))


def paired_rows(
    own: np.ndarray,
    together: np.ndarray,
    references: Mapping[str, np.ndarray],
    plan: Plan,
    label: Mapping[str, Any],
    *,
    repeats: int,
    seed: int = 0,
) -> list[pd.DataFrame]:
    """Rows of `mse_reduction` and `mse_sum_reduction`: the error of a reference less that of the model.

    Positive: the model errs less. The estimator `mean` is over the members, `lower` and `upper` are the ends of a 95 %
    interval of the percentile bootstrap over members and, within each trajectory, split and phase, over observations.
    `mean_forecast` is that of the mean over the members' forecasts.

    Args:
        own: squared errors of the members, (member, entry), from `entry_errors`.
        together: squared errors of the members' mean forecast, (entry,), from `entry_errors`.
        references: squared errors (entry,) of the trivial forecasts, by method.
        plan: the forecasts that the entries belong to.
        label: constant columns of the rows.
        repeats: number of bootstrap samples, 1,000 or more.
        seed: seed of the random numbers.
    """
    generator = np.random.default_rng(seed)
    members = len(own)
    # One draw of members for all trajectories and references: a member is bad, or good, on all of them.
    shares = generator.multinomial(members, np.full(members, 1.0 / members), size=repeats) / members
    groups = plan.groups.iloc[: len(plan.groups) - len(plan.unions)]
    entries = [np.flatnonzero(plan.group == number) for number in groups.index]
    estimators = pd.DataFrame({"estimator": ["mean", "mean_forecast", "lower", "upper"]})
    tables = []
    for method, reference in references.items():
        columns = []
        for indices in entries:
            differences = reference[indices] - own[:, indices]
            drawn = bootstrap_means(differences, shares, generator)
            columns.append(
                np.concatenate(([differences.mean(), (reference[indices] - together[indices]).mean()], drawn))
            )
        values = np.stack(columns, axis=1)
        constants = {"reference": method, "seed": NO_SEED, **label}
        for metric, (named, reductions) in {
            "mse_reduction": add_means(groups, values),
            "mse_sum_reduction": sum_by_subject(groups, values),
        }.items():
            tail = (1.0 - LEVEL) / 2.0
            ends = np.quantile(reductions[2:], [tail, 1.0 - tail], axis=0)
            estimates = np.concatenate((reductions[:2], ends))
            tables.append(cross_table(estimators, named[KEYS], estimates, metric=metric, **constants))
    return tables
