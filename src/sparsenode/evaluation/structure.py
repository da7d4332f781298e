"""How well scores of directed pairs recover a true network.

Scores are ranked by size; sparse models give many exact ties (zeros above all), and every metric here is exact under
them: it is either defined on groups of equal scores or is the expectation over all orders of the tied pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from sparsenode.data.ranks import rank_correlation
from sparsenode.evaluation.metrics import PAIRS, describe, metric, registered_metrics
from sparsenode.evaluation.metrics.rankings import NO_EDGE
from sparsenode.evaluation.networks import mean_shares, selection_frequency
from sparsenode.evaluation.paired import LEVEL

RANKING_METRICS = ("auroc", "auprc", "auprc_ratio", "early_precision", "balanced_accuracy_at_95")
"""Metrics of scores that need no threshold."""
NO_PAIR = "no pair of two variables has a known truth"
"""What figures of structure say in place of curves, where a truth knows no pair off the diagonal."""
BEST_SHARE = 0.05
"""Share of the known pairs that `balanced_accuracy_at_95` takes as edges: 95 % sparsity."""

_ONE_KIND = "all pairs of known truth are edges, or none is"


def select_pairs(matrix: np.ndarray, known_pairs: np.ndarray) -> np.ndarray:
    """Entries of a (..., source, target) matrix off the diagonal whose truth is known: (..., pair)."""
    features = matrix.shape[-1]
    return matrix[..., np.asarray(known_pairs, bool) & ~np.eye(features, dtype=bool)]


@metric(
    "",
    description="area under the curve of true and false positive rates, of the ranking of ordered pairs without "
    "self-loops",
    undefined=_ONE_KIND,
)
def auroc(scores: np.ndarray, edges: np.ndarray) -> float:
    """Probability that a true edge scores above an absent one, ties counted as one half; 0.5 is random.

    `scores` (pair,), larger for what is more likely an edge; `edges` (pair,) truth. NaN where all pairs or none are
    edges.
    """
    return rank_pairs(scores, edges)["auroc"]


@metric("", description="average precision of the ranking of these pairs by steps, ties grouped", undefined=NO_EDGE)
def auprc(scores: np.ndarray, edges: np.ndarray) -> float:
    """Step average precision: the precision at each distinct score, weighted by the recall gained there.

    Tied pairs enter together, so that equal scores throughout give the share of true edges, the random predictor's
    value. NaN where there is no edge.
    """
    return rank_pairs(scores, edges)["auprc"]


@metric("", description="`auprc` over the share of true edges", undefined=NO_EDGE)
def auprc_ratio(scores: np.ndarray, edges: np.ndarray) -> float:
    """`auprc` over the share of true edges: 1 is random, one over that share is perfect."""
    return rank_pairs(scores, edges)["auprc_ratio"]


@metric(
    "",
    description="precision among as many pairs as there are true edges, expected over the order of ties",
    undefined=NO_EDGE,
)
def early_precision(scores: np.ndarray, edges: np.ndarray) -> float:
    """Share of true edges among as many best pairs as there are true edges, expected over the order of ties.

    NaN where there is no edge. Random is the share of true edges (BEELINE, Pratapa et al. 2020, without its
    exclusion of zero scores).
    """
    return rank_pairs(scores, edges)["early_precision"]


describe(
    "balanced_accuracy_at_95",
    description="balanced accuracy of the best 5 % of the pairs by score, at least one, expected over the order of "
    "ties: at 95 % sparsity",
    undefined=_ONE_KIND,
)


def rank_pairs(scores: np.ndarray, edges: np.ndarray) -> dict[str, float]:
    """Every metric of a ranking, which needs no threshold: the `RANKING_METRICS`.

    `balanced_accuracy_at_95` is the balanced accuracy where the best 5 % of the pairs, one at least, are predicted,
    expected over the order of ties. NaN, as of `auroc`, where all pairs or none are edges.
    """
    scores, edges = np.asarray(scores, np.float64), np.asarray(edges, bool)
    if scores.shape != edges.shape or scores.ndim != 1:
        raise ValueError(f"scores {scores.shape} and edges {edges.shape} must be equally long vectors")
    if np.isnan(scores).any():
        raise ValueError("scores hold NaN, which has no rank")
    pairs, edge_count = len(edges), int(edges.sum())
    if edge_count == 0:
        return dict.fromkeys(RANKING_METRICS, float("nan"))
    # By the distinct scores of the true edges, of which there are few: sorting the other scores only by value is fast.
    values, hits = np.unique(scores[edges], return_counts=True)
    ranked = np.sort(scores)
    below, upto = np.searchsorted(ranked, values, "left"), np.searchsorted(ranked, values, "right")
    ties, before = upto - below, pairs - upto
    true_positives = np.cumsum(hits[::-1])[::-1]
    misses_below = below - (edge_count - true_positives)
    outranked = float(np.sum(hits * (misses_below + (ties - hits) / 2)))
    precision = float(np.sum(hits * true_positives / (before + ties)) / edge_count)
    taken = np.clip(edge_count - before, 0, ties)
    best = max(1, round(BEST_SHARE * pairs))
    # Balanced accuracy is linear in the number of recovered edges, so its expectation is that of the expected number.
    expected = float(np.sum(hits * np.clip(best - before, 0, ties) / ties))
    absent = pairs - edge_count
    return {
        "auroc": outranked / (edge_count * (pairs - edge_count)) if pairs > edge_count else float("nan"),
        "auprc": precision,
        "auprc_ratio": precision * pairs / edge_count,
        "early_precision": float(np.sum(hits * taken / ties) / edge_count),
        "balanced_accuracy_at_95": (
            (expected / edge_count + 1.0 - (best - expected) / absent) / 2 if absent else float("nan")
        ),
    }


@metric(
    PAIRS,
    description="mean of the shares of edges that are predicted and of absent pairs that are not",
    undefined=_ONE_KIND,
)
def balanced_accuracy(predicted: np.ndarray, edges: np.ndarray) -> float:
    """Mean of the shares of edges that are predicted and of absent pairs that are not; 0.5 is random.

    NaN where either has no pair.
    """
    predicted, edges = np.asarray(predicted, bool), np.asarray(edges, bool)
    if edges.all() or not edges.any():
        return float("nan")
    return float((predicted[edges].mean() + (~predicted[~edges]).mean()) / 2)


@metric(PAIRS, description="share of the pairs of known truth without a path")
def known_sparsity(predicted: np.ndarray) -> float:
    """Share of the pairs that are not predicted."""
    return float(1.0 - np.mean(predicted))


@metric(PAIRS, description="wrong directed pairs", unit="pairs")
def shd(predicted: np.ndarray, edges: np.ndarray) -> float:
    """Structural Hamming distance: the number of pairs that are wrongly an edge or wrongly none."""
    return float(np.sum(np.asarray(predicted, bool) != np.asarray(edges, bool)))


@metric(PAIRS, description="share of the pairs of known truth that are wrong: `shd` over their number")
def wrong_share(predicted: np.ndarray, edges: np.ndarray) -> float:
    """Share of the pairs that are wrongly an edge or wrongly none."""
    return float(np.mean(np.asarray(predicted, bool) != np.asarray(edges, bool)))


@metric(
    PAIRS,
    description="share of right signs (of the mean Jacobian) among true edges that are predicted; 0.5 is guessing",
    undefined="no true edge of known sign is predicted",
)
def sign_accuracy(predicted: np.ndarray, signs: np.ndarray, true_signs: np.ndarray) -> float:
    """Share of right signs among the true edges that are predicted; NaN where none is. Guessing gives 0.5.

    Args:
        predicted: which pairs are predicted as edges, (pair,), boolean.
        signs: numbers (pair,) whose signs are the estimated ones, 0 being wrong.
        true_signs: true signs (pair,), 0 where there is no edge or its sign is not known.
    """
    predicted_edges = np.asarray(predicted, bool) & (np.asarray(true_signs) != 0)
    if not predicted_edges.any():
        return float("nan")
    return float(np.mean(np.sign(signs)[predicted_edges] == np.sign(true_signs)[predicted_edges]))


def source_numbers(known_pairs: np.ndarray) -> np.ndarray:
    """Number of the source of each known pair off the diagonal, (pair,), in the order of `select_pairs`."""
    numbers = np.arange(len(known_pairs))[:, None]
    return select_pairs(np.broadcast_to(numbers, known_pairs.shape), known_pairs)


@metric(
    PAIRS,
    description="rank correlation (Spearman) with the true numbers of targets, over the sources with known pairs and "
    "among these",
    undefined="all sources have equally many targets",
)
def out_degree_correlation(predicted: np.ndarray, edges: np.ndarray, sources: np.ndarray) -> float:
    """Rank correlation (Spearman) of the sources' numbers of predicted and of true targets among the known pairs.

    Over the sources with a known pair; NaN where either number is the same for all.

    Args:
        predicted: which pairs are predicted as edges, (pair,), boolean.
        edges: which pairs are true edges, (pair,), boolean.
        sources: number of each pair's source, (pair,).
    """
    distinct, positions = np.unique(sources, return_inverse=True)
    predicted_counts, true_counts = (
        np.bincount(positions, weights=mask, minlength=len(distinct)) for mask in (predicted, edges)
    )
    return rank_correlation(predicted_counts, true_counts)


def score_pairs(
    scores: np.ndarray,
    edges: np.ndarray,
    *,
    threshold: float,
    presence: np.ndarray | None = None,
    signs: np.ndarray | None = None,
    true_signs: np.ndarray | None = None,
    sources: np.ndarray | None = None,
) -> dict[str, float]:
    """Every structure metric of one vector of scores; pairs of at least `threshold` are the predicted edges.

    `known_sparsity` is the share of the pairs, those whose truth is known, that are none. `sign_accuracy` is among the
    metrics where `signs` and `true_signs` are given, `out_degree_correlation` where `sources` are.

    Args:
        scores: score of each known pair, (pair,).
        edges: which pairs are true edges, (pair,).
        threshold: the least score, or presence, of a predicted edge.
        presence: what is compared with the threshold, (pair,); the scores where it is None.
        signs: numbers (pair,) whose signs are the estimated ones.
        true_signs: true signs (pair,), 0 where there is no edge or its sign is not known.
        sources: number of each pair's source, (pair,).
    """
    predicted = np.asarray(scores if presence is None else presence) >= threshold
    values = {
        "scores": scores,
        "edges": edges,
        "predicted": predicted,
        "signs": signs,
        "true_signs": true_signs,
        "sources": sources,
    }
    measured = {name: entry.measure(**values) for name, entry in registered_metrics(PAIRS).items()}
    return rank_pairs(scores, edges) | {name: value for name, value in measured.items() if value is not None}


@dataclass(frozen=True)
class Pooled:
    """Scores (source, target) of a strength, pooled over its members.

    `presence` is the share of members that reach the threshold, `signs` has the sign of the pooled Jacobian.
    """

    scores: np.ndarray
    presence: np.ndarray
    signs: np.ndarray

    def select(self, known_pairs: np.ndarray) -> Pooled:
        """The same of the known pairs off the diagonal, (pair,)."""
        return Pooled(*(select_pairs(matrix, known_pairs) for matrix in (self.scores, self.presence, self.signs)))


def pool_members(
    scores: Mapping[str, np.ndarray], jacobian: np.ndarray, deviations: np.ndarray | None = None
) -> dict[str, Pooled]:
    """Pooled estimators of the members of one strength.

    `frequency` is the share of members with the path; every other estimator is the mean of the members'
    `target_shares`.

    Args:
        scores: scores (member, source, target) by estimator.
        jacobian: mean signed Jacobian (member, source, target).
        deviations: standard deviation of each source, (source,).
    """
    if not len(jacobian):
        return {}
    signs = np.sign(mean_shares(jacobian, deviations))
    pooled = {
        name: Pooled(mean_shares(matrices, deviations), selection_frequency(matrices), signs)
        for name, matrices in scores.items()
    }
    frequency = selection_frequency(scores["paths"])
    pooled["frequency"] = Pooled(frequency, frequency, signs)
    return pooled


def pooled_interval(members: np.ndarray, edges: np.ndarray) -> dict[str, tuple[float, float]]:
    """95 % interval of `auprc` and `auprc_ratio` of the mean over members, by the jackknife over members.

    `members` (member, pair): scores of one size, of two members or more. The value of all, and to either side Student's
    quantile times the standard error from the values without one member each, within what can be reached. The bootstrap
    draws fewer different members than there are, whose mean ranks worse, so that its interval would lie too low.
    """
    # Summed again without each, not subtracted: what is equal is to stay a tie.
    without = np.array([auprc(np.delete(members, member, axis=0).sum(axis=0), edges) for member in range(len(members))])
    error = np.sqrt((len(members) - 1) * without.var())
    reach = float(stdtrit(len(members) - 1, (1.0 + LEVEL) / 2.0) * error)
    value = auprc(members.sum(axis=0), edges)
    lower, upper = (float(end) for end in np.clip((value - reach, value + reach), 0.0, 1.0))
    share = float(np.mean(edges)) or float("nan")
    return {"auprc": (lower, upper), "auprc_ratio": (lower / share, upper / share)}
