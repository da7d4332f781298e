"""What peers are worth beside the truth, by the same metrics as trained networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sparsenode.errors import UserError
from sparsenode.evaluation.networks import join_rankings, ranking_table, selection_frequency
from sparsenode.evaluation.rows import FREQUENCY_THRESHOLD, Truth, degree_rows, mark_undefined
from sparsenode.evaluation.sparsity import THRESHOLD
from sparsenode.evaluation.structure import score_pairs, select_pairs, source_numbers
from sparsenode.evaluation.tables import ALL, NO_SEED, make_table

ESTIMATOR = "peer"
_COLUMNS = ("seed", "source", "target", "score", "sign")


@dataclass(frozen=True)
class PeerScores:
    """Scores and signs of a peer, both (seed, source, target), 0 on the diagonal."""

    name: str
    seeds: tuple[int, ...]
    scores: np.ndarray
    signs: np.ndarray


def read_peer(path: Path, features: Sequence[str]) -> PeerScores:
    """The scores that `infer_peer` wrote; the peer's name is that of the file.

    Raises:
        UserError: the file cannot be read, or lacks the score of a pair of the features.
    """
    try:
        table = pd.read_parquet(path, columns=list(_COLUMNS))
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"cannot read {path}: {reason}; `sparsenode infer-peer` writes such a file") from error
    count = len(features)
    place = {name: number for number, name in enumerate(features)}
    source, target = (table[column].map(place).to_numpy(np.float64) for column in ("source", "target"))
    if np.isnan(source).any() or np.isnan(target).any():
        unknown = sorted((set(table["source"]) | set(table["target"])) - place.keys())
        raise UserError(f"{path} scores {unknown[0]!r}, which is no feature of the data; remove it to infer it anew")
    seeds = sorted(set(table["seed"].tolist()))
    scores = np.full((len(seeds), count, count), np.nan)
    signs = np.zeros_like(scores)
    at = np.searchsorted(seeds, table["seed"]), source.astype(int), target.astype(int)
    scores[at], signs[at] = table["score"], table["sign"]
    diagonal = np.arange(count)
    scores[:, diagonal, diagonal] = 0.0
    if not seeds or np.isnan(scores).any():
        raise UserError(f"{path} does not score every pair of the {count} features; remove it to infer it anew")
    return PeerScores(path.stem, tuple(seeds), scores, signs)


def peer_rows(peers: Sequence[PeerScores], truth: Truth, dataset: str) -> list[pd.DataFrame]:
    """Structure metrics of each peer, by seed and pooled over them (seed -1), in the rows of the method `peer:NAME`.

    Pooled as in `peer_rankings`: what is to be compared with networks that are pooled over members. A pair is then
    predicted where at least half of the seeds score it. `sign_accuracy` only of peers that tell signs.
    """
    if truth.edges is None:
        return []
    edges = select_pairs(truth.edges, truth.known)
    true_signs = None if truth.signs is None else select_pairs(truth.signs, truth.known)
    sources = source_numbers(truth.known)
    tables = []
    for peer in peers:
        whole, sign = _pool(peer)
        present = [*(peer.scores >= THRESHOLD), selection_frequency(peer.scores) >= FREQUENCY_THRESHOLD]
        scored = zip((*peer.seeds, NO_SEED), (*peer.scores, whole), present, (*peer.signs, sign), strict=True)
        for seed, *matrices in scored:
            scores, presence, signs = (select_pairs(matrix, truth.known) for matrix in matrices)
            told = signs if peer.signs.any() else None
            found = score_pairs(
                scores,
                edges,
                threshold=FREQUENCY_THRESHOLD,
                presence=presence,
                signs=told,
                true_signs=true_signs,
                sources=sources,
            )
            table = make_table(
                dataset=dataset,
                method=f"peer:{peer.name}",
                seed=seed,
                trajectory=ALL,
                estimator=ESTIMATOR,
                metric=list(found),
                value=list(found.values()),
            )
            tables.append(mark_undefined(table))
    return tables


def peer_degree_rows(peers: Sequence[PeerScores], truth: Truth, dataset: str) -> list[pd.DataFrame]:
    """What each peer's scores, pooled over seeds, are worth beside random networks of the same degrees."""
    if truth.edges is None:
        return []
    return [
        table
        for peer in peers
        for table in degree_rows(
            {ESTIMATOR: (_pool(peer)[0], selection_frequency(peer.scores))},
            truth,
            {"dataset": dataset, "method": f"peer:{peer.name}"},
        )
    ]


def peer_rankings(peers: Sequence[PeerScores], truth: Truth, features: Sequence[str]) -> pd.DataFrame:
    """Scores of all known pairs beside the truth, pooled over seeds: rows of `rankings.parquet`.

    Pooled is the mean of the scores, which each peer scales itself; a sign is that of most seeds.
    """
    if truth.edges is None:
        return join_rankings([])
    tables = []
    for peer in peers:
        told = {ESTIMATOR: _pool(peer)}
        tables.append(ranking_table(told, features, (truth.edges, truth.known), model="", method=f"peer:{peer.name}"))
    return join_rankings(tables)


def _pool(peer: PeerScores) -> tuple[np.ndarray, np.ndarray]:
    """Scores and signs (source, target) over seeds."""
    return peer.scores.mean(axis=0), np.sign(peer.signs.sum(axis=0))
