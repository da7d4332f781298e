"""How a fit ranks pairs of variables beside the true network, and tables of finished rows that a run goes on from."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData

from sparsenode.data.contract import true_network
from sparsenode.estimator.model import SparseNODE
from sparsenode.evaluation.networks import selection_frequency
from sparsenode.evaluation.scoring import PROTOCOLS, pairs_of_protocol
from sparsenode.evaluation.structure import rank_pairs

REPOSITORY = Path(__file__).resolve().parent.parent


def rank_fit(model: SparseNODE, adata: AnnData, protocol: str = "pairs") -> dict[str, float]:
    """Every metric of the ranking; see `rank_against`."""
    truth = true_network(adata)
    if truth is None:
        raise ValueError("the true network is not known")
    return rank_against(model, truth.truth != 0, np.asarray(truth.known, bool), protocol)


def rank_against(model: SparseNODE, edges: np.ndarray, known: np.ndarray, protocol: str) -> dict[str, float]:
    """Every metric of the ranking by the importance that the fit ranks by; whether its set of edges is exact.

    An edge is selected where half of the seeds of the chosen strength have it.

    Args:
        model: the fit.
        edges: true edges (source, target).
        known: where they are known, (source, target).
        protocol: name of the scoring protocol, by which pairs count.
    """
    scored = pairs_of_protocol(PROTOCOLS[protocol], edges, known)
    if scored.reason:
        raise ValueError(scored.reason)
    ranked = rank_pairs(np.nan_to_num(model.importances_.ranked, nan=-1e300)[scored.counted], scored.edges)
    members = model.ensemble_.members
    rows = [
        row for row, member in enumerate(members) if member.strength == model.strength_ and member.status == "finished"
    ]
    selected = (selection_frequency(model.ensemble_.select(rows).path_matrix()) >= 0.5)[scored.counted]
    differs = selected != scored.edges
    return {**ranked, "exact": float(not differs.any()), "wrong": float(differs.mean())}


def count_selected(q: np.ndarray, edges: np.ndarray, rates: tuple[float, ...]) -> dict[str, int]:
    """Numbers of pairs that are selected at each false discovery rate, and of absent ones among them.

    Args:
        q: q-values of the pairs, (pair,).
        edges: whether each is an edge, (pair,).
        rates: false discovery rates.
    """
    counts = {}
    for rate in rates:
        selected = np.asarray(q) <= rate
        counts |= {f"selected_{rate:g}": int(selected.sum()), f"false_{rate:g}": int((selected & ~edges).sum())}
    return counts


def commit() -> str:
    """The commit that is measured, with a plus where files differ from it."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    return described.stdout.strip()


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows that are finished."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row at the end of a table, which is made with a header if it is not there."""
    is_new = not path.is_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(row), lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow({key: f"{value:.4g}" if isinstance(value, float) else value for key, value in row.items()})
