"""dynGENIE3 (Huynh-Thu & Geurts 2018, Scientific Reports 8:3384): trees on differences in time and decay.

Equations 3 to 5 and the authors' code (github.com/vahuynh/dynGENIE3), with the trees of scikit-learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from sparsenode.peers import RandomPeer

if TYPE_CHECKING:
    from sparsenode.peers.derivatives import Samples

_LEAST_ABOVE_FLOOR = 1e-6  # as in the authors' code


class DynGenie3(RandomPeer):
    """Trees that explain a difference over time plus decay by the state before it."""

    summary: ClassVar[str] = "dynGENIE3: trees on differences over time plus decay (scikit-learn)"

    forest: Literal["random_forest", "extra_trees"] = Field("random_forest", description="Kind of trees.")
    decay: float | None = Field(
        None,
        ge=0,
        description="Decay rate of every variable, one over the unit of time; null for rates estimated as published, "
        "from the fall between the largest and the least value of each trajectory, at second order for none.",
    )
    trees: int = Field(500, ge=1, description="Trees for each target; 1000 as published take twice as long.")
    tried: Literal["sqrt", "all"] = Field(
        "sqrt", description="Inputs that are tried at each split: the square root of their number, or all."
    )

    @property
    def has_self_effects(self) -> bool:
        """The own state is an input."""
        return True

    def infer(self, samples: Samples, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Share of a source in what splits on other variables explain of a target, (source, target); it has no sign.

        The shares of the others sum to 1, as published; that on the diagonal is what splits on the target's own state
        explain beside them (published as 0), decay being part of what is explained. A target that moves only by itself
        has a self-effect of 1. At second order differences of velocities are explained by positions and velocities.
        """
        from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

        from sparsenode.peers.derivatives import deviation, differences, standardize

        pairs = differences(samples)
        rates = estimate_decay(samples) if self.decay is None else np.full(samples.states.shape[1], self.decay)
        inputs = np.hstack([standardize(values) for values in pairs.inputs])
        explained = pairs.rates + rates * pairs.inputs[-1]
        targets = standardize(explained)
        count = targets.shape[1]
        is_still = ~np.isfinite(deviation(pairs.rates))
        scores = np.zeros((count, count))
        make = {"random_forest": RandomForestRegressor, "extra_trees": ExtraTreesRegressor}[self.forest]
        for target in np.flatnonzero(targets.any(0) & ~is_still):
            forest = make(
                n_estimators=self.trees,
                max_features="sqrt" if self.tried == "sqrt" else None,
                random_state=seed,
                n_jobs=1,
            )
            forest.fit(inputs, targets[:, target])
            each = [tree.tree_.compute_feature_importances(normalize=False) for tree in forest.estimators_]
            importances = np.mean(each, axis=0).reshape(-1, count).sum(0)
            others = importances.sum() - importances[target]
            scores[:, target] = importances / (others if others > 0 else max(importances[target], np.finfo(float).tiny))
        return scores, np.zeros_like(scores)


def estimate_decay(samples: Samples) -> np.ndarray:
    """Decay rates (variable,) as published: the largest over the trajectories, 0 for each variable at second order.

    Between its largest and its least value in a trajectory a variable is taken to fall, or rise, exponentially to the
    least value of all variables in all trajectories, at most 1e-6 above which it counts as that far. So all variables
    should have one unit, as expression has.
    """
    values, times = samples.observed, samples.times
    rates = np.zeros(values.shape[1])
    if samples.velocities is not None:
        return rates
    variables = np.arange(values.shape[1])
    heights = np.log(np.maximum(values - values.min(), _LEAST_ABOVE_FLOOR))
    for number in np.unique(samples.stretch):
        rows = np.flatnonzero(samples.stretch == number)
        high, low = rows[values[rows].argmax(0)], rows[values[rows].argmin(0)]
        falls = heights[high, variables] - heights[low, variables]
        apart = np.abs(times[high] - times[low])
        rates = np.maximum(rates, np.divide(falls, apart, out=np.zeros_like(falls), where=apart > 0))
    return rates
