"""How much each edge matters: several importances of a fit, by one of which `network` ranks.

`paths` of the penalized members say what the penalty has left. `derivatives` are how strongly rates depend on states,
over the training states, of members that were matched to slopes without a penalty. `costs` are what leaving an input
out costs on held-out observations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.automatic.record import Choice
from sparsenode.data.missing import deviation_observed
from sparsenode.errors import UserError
from sparsenode.evaluation.measure import jacobian_states
from sparsenode.evaluation.networks import mean_shares

if TYPE_CHECKING:
    from anndata import AnnData

    from sparsenode.data.observations import Observations
    from sparsenode.data.trajectories import Floats
    from sparsenode.ensemble.members import Ensemble
    from sparsenode.inference import EdgeTest

MATCHED_MEMBERS, MATCHED_ITERATIONS = 4, 400
"""Members that are matched for a ranking, and their iterations."""


@dataclass(frozen=True, kw_only=True)
class Importances:
    """How much each pair matters, (source, target), by several measures.

    Attributes:
        measures: by name; NaN where a measure says nothing of a pair.
        ranked: what is ranked by; one of the measures, or a mean of ranks.
        ranking: which it is, and why.
    """

    measures: Mapping[str, Floats]
    ranked: Floats
    ranking: Choice

    def table(self, features: Sequence[str], *, self_loops: bool) -> pd.DataFrame:
        """All pairs, the most important first, with every measure."""
        source, target = (index.ravel() for index in np.indices(self.ranked.shape))
        names = np.asarray(features, dtype=object)
        columns = {"importance": self.ranked, **self.measures}
        table = pd.DataFrame(
            {"source": names[source], "target": names[target]}
            | {name: matrix.ravel() for name, matrix in columns.items()}
        )
        if not self_loops:
            table = table[source != target]
        table = table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)
        table.insert(0, "rank", np.arange(1, len(table) + 1))
        return table


def measure_importances(
    chosen: Ensemble,
    adata: AnnData,
    data: Observations,
    ranking: Choice,
    *,
    test: Callable[[], EdgeTest],
    memory_mb: int | None = None,
) -> Importances:
    """The measures that the ranking takes, and those that cost nothing.

    Where what was to rank cannot be had of the data, the next one does, and the reason says so.

    Args:
        chosen: the members at the chosen strength.
        adata: the trajectories.
        data: the same, as observations.
        ranking: what is ranked by, and why.
        test: makes the test of edges, or gives the one that was made.
        memory_mb: memory that may be used at most, in megabytes.
    """
    deviations = deviation_observed(data.values[data.training])
    measures = {"paths": mean_shares(np.asarray(chosen.path_matrix()), deviations)}
    kind, reason = str(ranking.value), ranking.reason
    if kind in {"costs", "ranks"}:
        tested = test()
        if tested.reason:
            kind, reason = "derivatives", f"no costs: {tested.reason}"
        else:
            measures["costs"] = cost_importance(tested, data.features)
    if kind in {"derivatives", "ranks"}:
        try:
            least = min(MATCHED_ITERATIONS, int(chosen.settings["model_settings"]["iterations"]))
            matched = match_members(adata, chosen.settings, iterations=least, memory_mb=memory_mb)
            measures["derivatives"] = derivative_importance(matched, data)
        except UserError as error:
            kind, reason = "paths", f"no derivatives: {error}"
    ranked = mean_ranks([measures["derivatives"], measures["costs"]]) if kind == "ranks" else measures[kind]
    return Importances(measures=measures, ranked=ranked, ranking=Choice("ranking", kind, reason))


def mean_ranks(matrices: Sequence[Floats]) -> Floats:
    """Mean over measures of the rank of each pair, as a share: 1 where all have it first; NaN counts as least."""
    from scipy.stats import rankdata

    ranks = [rankdata(np.nan_to_num(matrix, nan=-np.inf)).reshape(matrix.shape) for matrix in matrices]
    return np.asarray(np.mean(ranks, axis=0) / matrices[0].size)


def match_members(
    adata: AnnData,
    frozen: Mapping[str, Any],
    seeds: Sequence[int] = range(MATCHED_MEMBERS),
    *,
    iterations: int = MATCHED_ITERATIONS,
    method: Mapping[str, Any] | None = None,
    memory_mb: int | None = None,
) -> Ensemble:
    """Members of a fit's model that only match slopes, with its bootstrap, in seconds where solves take minutes.

    Args:
        adata: the trajectories.
        frozen: the settings of the fit.
        seeds: of the members.
        iterations: of each of them.
        method: settings of the method; None for no penalty.
        memory_mb: as of the fit.

    Raises:
        UserError: no trajectory is long enough to be smoothed.
    """
    from sparsenode.training.job import make_training

    matched = {"share": 1.0, "form": "slopes"}
    model = {**frozen["model_settings"], "matching": matched, "iterations": iterations, "refit": None, "stop": None}
    method = method or {"regularizer": "none", "strengths": [0.0], "options": {}}
    settings = {**frozen, "method": method["regularizer"], "model_settings": model, "method_settings": dict(method)}
    return make_training(adata, settings, list(seeds), memory_mb=memory_mb).run()[0]


def derivative_importance(ensemble: Ensemble, data: Observations, *, common: bool = False) -> Floats:
    """Mean over members of the mean size of d rate / d source over training states, (source, target).

    In deviations of the source and of the target's rates, so that neither units nor the speed of a target count.

    Args:
        ensemble: the members.
        data: the observations, less the center of the data.
        common: whether sizes are those of the members' mean at each state, in which cancels what they disagree on.
    """
    ensemble = replace(ensemble, centers=())
    order = ensemble.model_settings.order
    states, velocities = jacobian_states(data, order)
    rates = np.asarray(ensemble.rates(states, velocities), np.float64) * ensemble.model_settings.time_scale**order
    size = np.sqrt(np.square(rates).mean(axis=1))
    spread = states.std(axis=0)[:, None]
    if common:
        mean_size = size.mean(axis=0)
        jacobian = np.asarray(ensemble.common_jacobian(states, velocities), np.float64)
        return np.asarray(jacobian * spread / np.where(mean_size > 0, mean_size, np.inf))
    jacobian = np.asarray(ensemble.mean_absolute_jacobian(states, velocities), np.float64)
    scaled = jacobian * spread / np.where(size > 0, size, np.inf)[:, None, :]
    return np.asarray(scaled.mean(axis=0))


def cost_importance(test: EdgeTest, features: Sequence[str]) -> Floats:
    """Log increase of the error of held-out observations without each source, (source, target), of a test of edges.

    NaN where the source was no candidate in any fold, which is less than any cost.
    """
    pairs = test.table.assign(effect=test.table["effect"].where(test.table["screened"] > 0))
    table = pd.concat([pairs, test.self_effects])
    numbers = {name: number for number, name in enumerate(features)}
    matrix = np.full((len(features), len(features)), np.nan)
    matrix[table["source"].map(numbers), table["target"].map(numbers)] = table["effect"]
    return matrix
