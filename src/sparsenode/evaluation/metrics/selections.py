"""Metrics of the edges that a test has selected, of all ordered pairs of different variables."""

from __future__ import annotations

import numpy as np

from sparsenode.evaluation.metrics import SELECTIONS, metric
from sparsenode.evaluation.metrics.rankings import NO_EDGE


@metric(SELECTIONS, description="ordered pairs that the test of edges selects", unit="pairs")
def selected_edges(selected: np.ndarray) -> float:
    """Number of the selected pairs (pair,)."""
    return float(np.sum(selected))


@metric(SELECTIONS, description="ordered pairs of which the test of edges says that they cannot be told", unit="pairs")
def untold_edges(untold: np.ndarray) -> float:
    """Number of the pairs (pair,) that cannot be told."""
    return float(np.sum(untold))


@metric(SELECTIONS, description="share of the selected pairs of known truth that are no edge, 0 where none is selected")
def false_discovery_rate(selected: np.ndarray, edges: np.ndarray) -> float:
    """Share of the selected pairs (pair,) that are no edges (pair,), 0 where none is selected.

    Source:
        Benjamini and Hochberg, J. R. Stat. Soc. B 57 (1995): the share whose expectation is the rate.
    """
    return float((~np.asarray(edges, bool))[np.asarray(selected, bool)].mean()) if np.any(selected) else 0.0


@metric(
    SELECTIONS,
    description="share of the true edges that are selected",
    undefined=NO_EDGE,
)
def recall(selected: np.ndarray, edges: np.ndarray) -> float:
    """Share of the edges (pair,) that are selected (pair,); NaN where there is none."""
    return float(np.asarray(selected, bool)[np.asarray(edges, bool)].mean()) if np.any(edges) else float("nan")
