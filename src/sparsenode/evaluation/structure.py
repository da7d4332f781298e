"""How well scores of directed pairs recover a true network.

Scores are ranked by size; sparse models give many exact ties (zeros above all), and every metric here is exact under
them: it is either defined on groups of equal scores or is the expectation over all orders of the tied pairs.
"""

from __future__ import annotations

import numpy as np


def select_pairs(matrix: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Entries of a (..., source, target) matrix off the diagonal whose truth is known: (..., pair)."""
    features = matrix.shape[-1]
    return matrix[..., np.asarray(known, bool) & ~np.eye(features, dtype=bool)]


def auroc(scores: np.ndarray, edges: np.ndarray) -> float:
    """Probability that a true edge scores above an absent one, ties counted as one half; 0.5 is random.

    `scores` (pair,), larger for what is more likely an edge; `edges` (pair,) truth. NaN where all pairs or none are
    edges.
    """
    hits, counts = _tied_groups(scores, edges)
    misses = counts - hits
    if hits.sum() == 0 or misses.sum() == 0:
        return float("nan")
    above = np.cumsum(hits) - hits
    return float(np.sum(misses * (above + hits / 2)) / (hits.sum() * misses.sum()))


def auprc(scores: np.ndarray, edges: np.ndarray) -> float:
    """Step average precision: the precision at each distinct score, weighted by the recall gained there.

    Tied pairs enter together, so that equal scores throughout give the share of true edges, the random predictor's
    value. NaN where there is no edge.
    """
    hits, counts = _tied_groups(scores, edges)
    if hits.sum() == 0:
        return float("nan")
    return float(np.sum(hits * np.cumsum(hits) / np.cumsum(counts)) / hits.sum())


def auprc_ratio(scores: np.ndarray, edges: np.ndarray) -> float:
    """`auprc` over the share of true edges: 1 is random, one over that share is perfect."""
    share = float(np.mean(edges)) if len(edges) else float("nan")
    return auprc(scores, edges) / share if share > 0 else float("nan")


def early_precision(scores: np.ndarray, edges: np.ndarray) -> float:
    """Share of true edges among as many best pairs as there are true edges, expected over the order of ties.

    NaN where there is no edge. Random is the share of true edges (BEELINE, Pratapa et al. 2020, without its
    exclusion of zero scores).
    """
    hits, counts = _tied_groups(scores, edges)
    wanted = hits.sum()
    if wanted == 0:
        return float("nan")
    before = np.cumsum(counts) - counts
    taken = np.clip(wanted - before, 0, counts)
    return float(np.sum(hits * taken / counts) / wanted)


def balanced_accuracy(predicted: np.ndarray, edges: np.ndarray) -> float:
    """Mean of the shares of edges found and of absences respected; 0.5 is random. NaN where either has no pair."""
    predicted, edges = np.asarray(predicted, bool), np.asarray(edges, bool)
    if edges.all() or not edges.any():
        return float("nan")
    return float((predicted[edges].mean() + (~predicted[~edges]).mean()) / 2)


def shd(predicted: np.ndarray, edges: np.ndarray) -> float:
    """Structural Hamming distance: the number of pairs that are wrongly an edge or wrongly none."""
    return float(np.sum(np.asarray(predicted, bool) != np.asarray(edges, bool)))


def score_pairs(scores: np.ndarray, edges: np.ndarray, *, threshold: float) -> dict[str, float]:
    """Every structure metric of one vector of scores; pairs of at least `threshold` are the predicted edges."""
    predicted = np.asarray(scores) >= threshold
    return {
        "auroc": auroc(scores, edges),
        "auprc": auprc(scores, edges),
        "auprc_ratio": auprc_ratio(scores, edges),
        "early_precision": early_precision(scores, edges),
        "balanced_accuracy": balanced_accuracy(predicted, edges),
        "shd": shd(predicted, edges),
    }


def _tied_groups(scores: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True edges and pairs in each group of equal scores, best first."""
    scores, edges = np.asarray(scores, np.float64), np.asarray(edges, bool)
    if scores.shape != edges.shape or scores.ndim != 1:
        raise ValueError(f"scores {scores.shape} and edges {edges.shape} must be equally long vectors")
    if np.isnan(scores).any():
        raise ValueError("scores hold NaN, which has no rank")
    _, group, counts = np.unique(-scores, return_inverse=True, return_counts=True)
    hits = np.bincount(group, weights=edges, minlength=len(counts))
    return hits, counts.astype(np.float64)
