"""Ranks of numbers, and how well two orders agree."""

from __future__ import annotations

import math

import numpy as np


def rank_correlation(first: np.ndarray, other: np.ndarray, *, undefined: float = math.nan) -> float:
    """Spearman's rank correlation, ties sharing their mean rank.

    Args:
        first: numbers, (entry,).
        other: numbers, (entry,).
        undefined: what it is where one of the two is constant.
    """
    from scipy.stats import rankdata

    ranks = [rankdata(values) - (len(values) + 1) / 2 for values in (first, other)]
    norm = np.sqrt(np.prod([rank @ rank for rank in ranks]))
    return float(ranks[0] @ ranks[1] / norm) if norm > 0 else undefined
