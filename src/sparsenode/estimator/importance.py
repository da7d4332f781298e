"""How much each edge matters: several importances of a fit, by one of which `network` ranks.

`fitted` are shares in how a target's rate depends on all variables, over the training states, of the members at the
chosen strength; `paths` say what its penalty has left in them. `derivatives` are such shares of members that only match
slopes, along a path of strengths: an edge counts the more, the longer it stays and the stronger it is. `costs` are what
leaving an input out costs on held-out observations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.automatic.options import automatic_options
from sparsenode.automatic.record import Choice
from sparsenode.automatic.rules import FEW_VARIABLES
from sparsenode.data.missing import deviation_observed
from sparsenode.errors import UserError
from sparsenode.evaluation.measure import jacobian_states
from sparsenode.evaluation.networks import mean_shares, target_shares
from sparsenode.inference.results import mask_unscreened, order_effects
from sparsenode.training.strengths import strength_at

if TYPE_CHECKING:
    from anndata import AnnData

    from sparsenode.data.observations import Observations
    from sparsenode.data.trajectories import Floats
    from sparsenode.ensemble.members import Ensemble
    from sparsenode.inference import EdgeTest
    from sparsenode.training.engine import Engine

BY_COSTS = frozenset({"costs", "ranks"})
"""Rankings that take a test of edges."""
MATCHED_ITERATIONS = 400
"""Iterations of the members that are matched for a ranking."""
PATH, PATH_SEEDS = tuple(map(strength_at, range(-6, 3))), 2
"""Strengths of the adaptive group lasso along which members are matched, and seeds of each."""
NO_PENALTY: Mapping[str, Any] = {"regularizer": "none", "strengths": [0.0], "options": {}}
DENSE_SEEDS = 8
"""Seeds of the members without a penalty, of few variables or joint networks."""


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

    @property
    def ordered(self) -> Floats:
        """What is ranked by, where what a measure says nothing of is below all else: -inf."""
        return order_effects(self.ranked)

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
    paths = mean_shares(np.asarray(chosen.path_matrix()), deviations)
    measures = {"fitted": derivative_shares(chosen, data), "paths": paths}
    kind, reason = str(ranking.value), ranking.reason
    if kind in BY_COSTS:
        tested = test()
        if tested.reason:
            kind, reason = "derivatives", f"no costs: {tested.reason}"
        else:
            measures["costs"] = cost_importance(tested, data.features)
    if kind in {"derivatives", "ranks"}:
        try:
            least = min(MATCHED_ITERATIONS, int(chosen.settings["model_settings"]["iterations"]))
            matched = match_path(
                adata, chosen.settings, iterations=least, memory_mb=memory_mb, engine=same_engine(chosen)
            )
            measures["derivatives"] = derivative_shares(matched, data)
        except UserError as error:
            kind, reason = "fitted", f"no derivatives: {error}"
    ranked = mean_ranks([measures["derivatives"], measures["costs"]]) if kind == "ranks" else measures[kind]
    return Importances(measures=measures, ranked=ranked, ranking=Choice("ranking", kind, reason))


def mean_ranks(matrices: Sequence[Floats]) -> Floats:
    """Mean over measures of the rank of each pair, as a share: 1 where all have it first; NaN counts as least."""
    from scipy.stats import rankdata

    ranks = [rankdata(order_effects(matrix)).reshape(matrix.shape) for matrix in matrices]
    return np.asarray(np.mean(ranks, axis=0) / matrices[0].size)


def match_path(adata: AnnData, frozen: Mapping[str, Any], **options: Any) -> Ensemble:
    """Members matched along the path of strengths; without a penalty of few variables, or of a joint network.

    Args:
        adata: the trajectories.
        frozen: the settings of the fit.
        **options: of `match_members`.

    Raises:
        UserError: no trajectory is long enough to be smoothed, or no member has finished.
    """
    if frozen["model_settings"]["network"] != "per_target" or adata.n_vars <= FEW_VARIABLES:
        return match_members(adata, frozen, range(DENSE_SEEDS), method=NO_PENALTY, **options)
    method = {"regularizer": "grouplasso", "strengths": list(PATH), "options": automatic_options("grouplasso")}
    return match_members(adata, frozen, range(PATH_SEEDS), method=method, **options)


def same_engine(ensemble: Ensemble) -> Engine:
    """What computes the losses of a smaller training beside one: the kernel, where that has compiled it already."""
    from sparsenode.dynamics.fused import library

    is_compiled = ensemble.metadata.get("engine") == "compiled" and library.load("float32") is not None
    return "compiled" if is_compiled else "auto"


def match_members(
    adata: AnnData,
    frozen: Mapping[str, Any],
    seeds: Sequence[int],
    *,
    iterations: int = MATCHED_ITERATIONS,
    method: Mapping[str, Any],
    memory_mb: int | None = None,
    engine: Engine = "auto",
) -> Ensemble:
    """Members of a fit's model that only match slopes, with its bootstrap, in seconds where solves take minutes.

    Args:
        adata: the trajectories.
        frozen: the settings of the fit.
        seeds: of the members.
        iterations: of each of them.
        method: settings of the method.
        memory_mb: as of the fit.
        engine: what computes losses.

    Raises:
        UserError: no trajectory is long enough to be smoothed, or no member has finished.
    """
    from sparsenode.training.job import make_training

    matched = {"share": 1.0, "form": "slopes"}
    model = {**frozen["model_settings"], "matching": matched, "iterations": iterations, "refit": None, "stop": None}
    settings = {**frozen, "method": method["regularizer"], "model_settings": model, "method_settings": dict(method)}
    matched_members, _ = make_training(adata, settings, list(seeds), memory_mb=memory_mb).run(engine=engine)
    finished = [row for row, member in enumerate(matched_members.members) if member.status == "finished"]
    if not finished:
        raise UserError("all members were lost while slopes were matched")
    return matched_members.select(finished)


def derivative_shares(ensemble: Ensemble, data: Observations) -> Floats:
    """Share of each source in how a target's rate depends on all variables, (source, target), itself among them.

    The dependence is the mean over training states of the size of the members' mean derivative at the state, times the
    deviation of the source: what members do not agree on cancels. A target that depends on nothing gets zeros.

    Args:
        ensemble: the members.
        data: the observations, less the center of the data.
    """
    # What a Jacobian is taken at is less the center, as the members of a training are.
    ensemble = replace(ensemble, centers=())
    states, velocities = jacobian_states(data, ensemble.model_settings.order)
    jacobian = np.asarray(ensemble.common_jacobian(states, velocities), np.float64)
    return target_shares(jacobian[None], states.std(axis=0), self_effects=True)[0]


def cost_importance(test: EdgeTest, features: Sequence[str]) -> Floats:
    """Log increase of the error of held-out observations without each source, (source, target), of a test of edges.

    NaN where the source was no candidate in any fold, which is less than any cost.
    """
    table = pd.concat([mask_unscreened(test.table), test.self_effects])
    numbers = {name: number for number, name in enumerate(features)}
    matrix = np.full((len(features), len(features)), np.nan)
    matrix[table["source"].map(numbers), table["target"].map(numbers)] = table["effect"]
    return matrix
