"""Scoring protocols: which pairs count in the published scores of a benchmark, and what is measured over them.

The project's own scores count every ordered pair of two different variables whose truth is known. Studies count
otherwise: with self-effects, without the sources that have no edge, or one network for each series. A protocol is one
entry of `PROTOCOLS`; a dataset names those it is scored by (`evaluation.scoring`), beside the project's own scores.
Peers and trained models are scored by the same function, `score`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.evaluation.metrics import describe
from sparsenode.evaluation.networks import mean_shares, pick_members, selection_frequency, target_shares
from sparsenode.evaluation.structure import rank_pairs
from sparsenode.evaluation.tables import ALL, NO_SEED, make_table
from sparsenode.labels import BASELINE, SCORING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparsenode.data.observations import Observations

SCORING_METRICS = ("auroc", "auprc", "auprc_ratio")
"""Metrics of rankings that are measured by a scoring protocol, as `scoring_NAME`."""
NO_SELF_EFFECTS = "the scores tell nothing of self-effects, which this scoring protocol counts"
"""Why scores without a diagonal have no value where self-effects count."""
_NO_PAIR = "no pair that this scoring protocol counts has a known truth"
_NO_SELF_TRUTH = "the truth tells nothing of self-effects, which this scoring protocol counts"
_ALL_EDGES = "all pairs that this scoring protocol counts are edges"
_NO_EDGES = "no pair that this scoring protocol counts is an edge"
_MANY_SERIES = (
    "this scoring protocol infers a network from each series, and {} are for training: make a dataset of each"
)

describe(
    *(f"scoring_{name}" for name in SCORING_METRICS),
    description="the ranking metrics over the pairs that the scoring protocol in `reference` counts "
    "(`evaluation.scoring`); chance is in `baseline:random`",
    undefined="of these pairs all are edges (AUROC) or none is; the truth or the scores tell nothing of self-effects, "
    "where they count; several series, where each has a network",
)


@dataclass(frozen=True, kw_only=True)
class ScoringProtocol:
    """What counts in published scores.

    Attributes:
        name: the entry of `evaluation.scoring`, and after `scoring:` of the column `reference`.
        description: which pairs count, in words.
        self_effects: whether a variable with itself is a pair.
        counted: which pairs count (source, target), of the edges (source, target), before those of unknown truth and,
            without self-effects, the diagonal are left out.
        each_series: whether a network is inferred from each series, and the scores of all are averaged.
    """

    name: str
    description: str
    self_effects: bool
    counted: Callable[[np.ndarray], np.ndarray]
    each_series: bool = False


def _all_pairs(edges: np.ndarray) -> np.ndarray:
    return np.ones(edges.shape, dtype=bool)


def _of_sources_with_edges(edges: np.ndarray) -> np.ndarray:
    return np.broadcast_to(edges.any(axis=1, keepdims=True), edges.shape)


PROTOCOLS: Mapping[str, ScoringProtocol] = {
    protocol.name: protocol
    for protocol in (
        ScoringProtocol(
            name="pairs",
            description="all ordered pairs of two different variables; one network from all series",
            self_effects=False,
            counted=_all_pairs,
        ),
        ScoringProtocol(
            name="pairs_and_self",
            description="all ordered pairs, a variable with itself too; one network from all series",
            self_effects=True,
            counted=_all_pairs,
        ),
        ScoringProtocol(
            name="each_series",
            description="all ordered pairs, a variable with itself too; a network from each series, and the mean of "
            "their scores",
            self_effects=True,
            counted=_all_pairs,
            each_series=True,
        ),
        ScoringProtocol(
            name="regulators",
            description="ordered pairs of two different variables whose source has an edge in the truth, be it onto "
            "itself; one network from all series",
            self_effects=False,
            counted=_of_sources_with_edges,
        ),
    )
}
"""All scoring protocols by name."""


@dataclass(frozen=True, kw_only=True)
class ScoredPairs:
    """The pairs of a dataset that a protocol counts.

    Attributes:
        protocol: the protocol.
        counted: which pairs count and have a known truth, (source, target).
        edges: which of them are edges, (pair,).
        reason: why nothing can be scored; empty where something can.
    """

    protocol: ScoringProtocol
    counted: np.ndarray
    edges: np.ndarray
    reason: str = ""


def pairs_of_protocol(protocol: ScoringProtocol, edges: np.ndarray, known: np.ndarray, series: int = 1) -> ScoredPairs:
    """The pairs that a protocol counts.

    Args:
        protocol: the protocol.
        edges: true edges (source, target), self-effects included.
        known: where the truth is known, (source, target).
        series: number of training series.
    """
    counted = protocol.counted(edges) & known
    reason = ""
    if not protocol.self_effects:
        counted = counted & ~np.eye(len(edges), dtype=bool)
    elif not counted.diagonal().any():
        reason = _NO_SELF_TRUTH
    if not counted.any():
        reason = _NO_PAIR
    if protocol.each_series and series > 1:
        reason = _MANY_SERIES.format(series)
    return ScoredPairs(protocol=protocol, counted=counted, edges=edges[counted], reason=reason)


def scored_pairs(data: Observations, names: Iterable[str]) -> tuple[ScoredPairs, ...]:
    """The pairs that each named protocol counts on a dataset; none where nothing is known of its network."""
    if data.truth is None:
        return ()
    series = len(np.unique(data.trajectory[data.training]))
    edges = data.truth.truth != 0
    return tuple(pairs_of_protocol(PROTOCOLS[name], edges, data.truth.known, series) for name in names)


def score(scores: np.ndarray, pairs: ScoredPairs, *, has_self_effects: bool = True) -> dict[str, tuple[float, str]]:
    """Value of each of `SCORING_METRICS`, and why it has none, which is empty where it has one.

    Args:
        scores: (source, target), larger for what is more likely an edge.
        pairs: which pairs count.
        has_self_effects: whether the diagonal of the scores tells of self-effects.
    """
    reason = pairs.reason
    if not reason and pairs.protocol.self_effects and not has_self_effects:
        reason = NO_SELF_EFFECTS
    if reason:
        return dict.fromkeys(SCORING_METRICS, (float("nan"), reason))
    ranking = rank_pairs(scores[pairs.counted], pairs.edges)
    why = _NO_EDGES if not pairs.edges.any() else _ALL_EDGES
    return {name: (ranking[name], why if np.isnan(ranking[name]) else "") for name in SCORING_METRICS}


def score_rows(
    scores: np.ndarray, pairs: ScoredPairs, *, has_self_effects: bool = True, **columns: Any
) -> pd.DataFrame:
    """Rows of one matrix of scores (source, target) by one protocol; `columns` are constant."""
    scored = score(scores, pairs, has_self_effects=has_self_effects)
    return make_table(
        trajectory=ALL,
        reference=f"{SCORING}{pairs.protocol.name}",
        metric=[f"scoring_{name}" for name in scored],
        value=[value for value, _ in scored.values()],
        status=["undefined" if reason else "finished" for _, reason in scored.values()],
        reason=[reason for _, reason in scored.values()],
        **columns,
    )


def random_scoring(pairs: Sequence[ScoredPairs], dataset: str) -> list[pd.DataFrame]:
    """What equal scores for all pairs, that is pure chance, would reach by each protocol."""
    return [
        score_rows(np.zeros(entry.counted.shape), entry, dataset=dataset, method=f"{BASELINE}random") for entry in pairs
    ]


def model_scoring(
    scores: Mapping[str, np.ndarray],
    keys: pd.DataFrame,
    pairs: Sequence[ScoredPairs],
    deviations: np.ndarray | None,
    label: Mapping[str, Any],
) -> list[pd.DataFrame]:
    """Rows of the members of an ensemble by each protocol, and of each strength pooled over its members (seed -1).

    What is ranked is the share of what each target gets (`networks.target_shares`), of itself too where self-effects
    count. Pooled is the mean of the members' shares, and as the estimator `frequency` the share of members with the
    path.

    Args:
        scores: scores (member, source, target) by estimator.
        keys: strength and seed of each member.
        pairs: which pairs count by each protocol.
        deviations: standard deviation of each source, (source,).
        label: constant columns of the rows.
    """
    tables = []
    for entry in pairs:
        options = {"self_effects": entry.protocol.self_effects}
        for estimator, matrices in scores.items():
            for matrix, strength, seed in zip(matrices, keys["strength"], keys["seed"], strict=True):
                shares = target_shares(matrix, deviations, **options)
                tables.append(score_rows(shares, entry, estimator=estimator, strength=strength, seed=seed, **label))
        for strength in np.unique(keys["strength"]).tolist():
            at = np.flatnonzero(keys["strength"] == strength)
            pooled = {
                name: mean_shares(pick_members(matrices, at), deviations, **options)
                for name, matrices in scores.items()
            }
            pooled["frequency"] = selection_frequency(pick_members(scores["paths"], at))
            for estimator, matrix in pooled.items():
                tables.append(score_rows(matrix, entry, estimator=estimator, strength=strength, seed=NO_SEED, **label))
    return tables
