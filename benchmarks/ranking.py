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
from sparsenode.data.missing import deviation_observed
from sparsenode.estimator.model import SparseNODE
from sparsenode.evaluation.networks import mean_shares, selection_frequency
from sparsenode.evaluation.scoring import PROTOCOLS, pairs_of_protocol
from sparsenode.evaluation.structure import rank_pairs

REPOSITORY = Path(__file__).resolve().parent.parent


def rank_fit(model: SparseNODE, adata: AnnData, protocol: str = "pairs") -> dict[str, float]:
    """Every metric of the ranking by paths; see `rank_against`."""
    truth = true_network(adata)
    if truth is None:
        raise ValueError("the true network is not known")
    return rank_against(model, adata, truth.truth != 0, np.asarray(truth.known, bool), protocol)


def rank_against(
    model: SparseNODE, adata: AnnData, edges: np.ndarray, known: np.ndarray, protocol: str
) -> dict[str, float]:
    """Every metric of the ranking by paths, pooled over the seeds of the chosen strength; whether its set is exact.

    The shares of the sources in what each target gets are averaged over seeds, as in the tables of the workflow. An
    edge is selected where half of the seeds have it.

    Args:
        model: the fit.
        adata: what it was fitted to.
        edges: true edges (source, target).
        known: where they are known, (source, target).
        protocol: name of the scoring protocol, by which pairs count.
    """
    scored = pairs_of_protocol(PROTOCOLS[protocol], edges, known)
    if scored.reason:
        raise ValueError(scored.reason)
    members = model.ensemble_.members
    rows = [
        row for row, member in enumerate(members) if member.strength == model.strength_ and member.status == "finished"
    ]
    paths = model.ensemble_.select(rows).path_matrix()
    training = (adata.obs["split"] == "train").to_numpy()
    deviations = deviation_observed(np.asarray(adata.X, np.float64)[training])
    shares = mean_shares(paths, deviations, self_effects=scored.protocol.self_effects)
    ranked = rank_pairs(shares[scored.counted], scored.edges)
    selected = (selection_frequency(paths) >= 0.5)[scored.counted]
    differs = selected != scored.edges
    return {**ranked, "exact": float(not differs.any()), "wrong": float(differs.mean())}


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
