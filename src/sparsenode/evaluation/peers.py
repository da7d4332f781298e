"""What peers are worth beside the truth, by the same metrics as trained networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sparsenode.errors import UserError
from sparsenode.evaluation.networks import (
    mean_shares,
    ranking_table,
    selection_frequency,
    target_shares,
)
from sparsenode.evaluation.scoring import score_rows
from sparsenode.evaluation.sparsity import THRESHOLD
from sparsenode.evaluation.structure import score_pairs, select_pairs, source_numbers
from sparsenode.evaluation.tables import ALL, NO_SEED, PEER, make_table
from sparsenode.evaluation.tabulate import FREQUENCY_THRESHOLD, degree_rows, mark_undefined
from sparsenode.evaluation.truth import Truth
from sparsenode.files import read_table
from sparsenode.peers.inference import unfinished_reason

ESTIMATOR = "peer"
SHARES = "peer_shares"
_COLUMNS = ("seed", "source", "target", "score", "sign")


@dataclass(frozen=True)
class PeerScores:
    """Scores and signs of a peer, both (seed, source, target); on the diagonal 0 unless it `has_self_effects`."""

    name: str
    seeds: tuple[int, ...]
    scores: np.ndarray
    signs: np.ndarray
    has_self_effects: bool = False


def read_peer(path: Path, features: Sequence[str]) -> PeerScores:
    """The scores that `infer_peer` wrote; the peer's name is that of the file.

    Raises:
        UserError: the file is missing or damaged, or lacks the score of a pair of the features, or the peer was ended.
    """
    if reason := unfinished_reason(path):
        raise UserError(
            f"{path} has no scores, since the peer was {reason}; raise its `time_limit`, or delete the file"
        )
    return peer_scores(path.stem, read_table(path, columns=_COLUMNS), features, str(path))


def peer_scores(name: str, table: pd.DataFrame, features: Sequence[str], where: str) -> PeerScores:
    """Matrices of a table of scores, as `peers.inference.score_pairs` gives it.

    Args:
        name: that of the peer.
        table: the scores.
        features: names of the variables, (variable,).
        where: what messages call the table: the path of its file, or words.

    Raises:
        UserError: it lacks the score of a pair of the features.
    """
    count = len(features)
    if count == 1 and not len(table):  # there is no pair to score
        return PeerScores(name, (0,), np.zeros((1, 1, 1)), np.zeros((1, 1, 1)))
    numbers = {feature: number for number, feature in enumerate(features)}
    source, target = (table[column].map(numbers).to_numpy(np.float64) for column in ("source", "target"))
    if np.isnan(source).any() or np.isnan(target).any():
        unknown = sorted((set(table["source"]) | set(table["target"])) - numbers.keys())
        raise UserError(f"{where} scores {unknown[0]!r}, which is no feature of the data; delete it and run again")
    seeds = sorted(set(table["seed"].tolist()))
    has_self_effects = bool((source == target).any())
    scores = np.full((len(seeds), count, count), np.nan)
    if not has_self_effects:
        scores[:, np.arange(count), np.arange(count)] = 0.0
    signs = np.zeros_like(scores)
    at = np.searchsorted(seeds, table["seed"]), source.astype(int), target.astype(int)
    scores[at], signs[at] = table["score"], table["sign"]
    if not seeds or np.isnan(scores).any():
        raise UserError(f"{where} does not score every pair of the {count} features; delete it and run again")
    return PeerScores(name, tuple(seeds), scores, signs, has_self_effects)


def unfinished_peers(paths: Sequence[Path]) -> dict[str, str]:
    """Peers that were ended by their time limit, of the files that `infer_peer` wrote: by name what is said of them.

    Raises:
        UserError: a file is missing or damaged.
    """
    reasons = {path.stem: unfinished_reason(path) for path in paths}
    return {name: reason for name, reason in reasons.items() if reason}


def unfinished_rows(unfinished: Mapping[str, str], dataset: str) -> list[pd.DataFrame]:
    """Rows of peers that were ended, which say why in place of every value: the main metric of each, `unfinished`."""
    return [
        make_table(
            dataset=dataset,
            method=PEER + name,
            trajectory=ALL,
            estimator=ESTIMATOR,
            metric="auprc",
            status="unfinished",
            reason=reason,
        )
        for name, reason in unfinished.items()
    ]


def peer_rows(peers: Sequence[PeerScores], truth: Truth, dataset: str) -> list[pd.DataFrame]:
    """Structure metrics of each peer, by seed and pooled over them (seed -1), in the rows of the method `peer:NAME`.

    By two estimators: `peer`, the scores as the peer gives them, and `peer_shares`, the same as shares of what each
    target gets, as trained networks are ranked (`networks.target_shares`), so that neither side has the better scale.
    Pooled over seeds is the mean of either. A pair is then predicted where at least half of the seeds score it.
    `sign_accuracy` only of peers that have signs.
    """
    if truth.edges is None:
        return []
    edges = select_pairs(truth.edges, truth.known)
    true_signs = None if truth.signs is None else select_pairs(truth.signs, truth.known)
    sources = source_numbers(truth.known)
    tables = []
    for peer in peers:
        present = [*(peer.scores >= THRESHOLD), selection_frequency(peer.scores) >= FREQUENCY_THRESHOLD]
        signs = [*peer.signs, _pooled_sign(peer)]
        singles = {ESTIMATOR: peer.scores, SHARES: target_shares(peer.scores)}
        for estimator, pooled in _pool(peer).items():
            for seed, *matrices in zip(
                (*peer.seeds, NO_SEED), (*singles[estimator], pooled), present, signs, strict=True
            ):
                scores, presence, sign = (select_pairs(matrix, truth.known) for matrix in matrices)
                metrics = score_pairs(
                    scores,
                    edges,
                    threshold=FREQUENCY_THRESHOLD,
                    presence=presence,
                    signs=sign if peer.signs.any() else None,
                    true_signs=true_signs,
                    sources=sources,
                )
                table = make_table(
                    dataset=dataset,
                    method=PEER + peer.name,
                    seed=seed,
                    trajectory=ALL,
                    estimator=estimator,
                    metric=list(metrics),
                    value=list(metrics.values()),
                )
                tables.append(mark_undefined(table))
    return tables


def peer_scoring(peers: Sequence[PeerScores], truth: Truth, dataset: str) -> list[pd.DataFrame]:
    """Rows of each peer by each scoring protocol, by seed and pooled over seeds (seed -1), by both estimators."""
    tables = []
    for peer in peers:
        for pairs in truth.scoring:
            self_effects = pairs.protocol.self_effects
            pooled = {ESTIMATOR: peer.scores.mean(axis=0), SHARES: mean_shares(peer.scores, self_effects=self_effects)}
            singles = {ESTIMATOR: peer.scores, SHARES: target_shares(peer.scores, self_effects=self_effects)}
            for estimator, mean in pooled.items():
                for seed, scores in zip((*peer.seeds, NO_SEED), (*singles[estimator], mean), strict=True):
                    tables.append(
                        score_rows(
                            scores,
                            pairs,
                            has_self_effects=peer.has_self_effects,
                            dataset=dataset,
                            method=PEER + peer.name,
                            estimator=estimator,
                            seed=seed,
                        )
                    )
    return tables


def peer_degree_rows(peers: Sequence[PeerScores], truth: Truth, dataset: str) -> list[pd.DataFrame]:
    """What each peer's scores, pooled over seeds, are worth beside random networks of the same degrees."""
    if truth.edges is None:
        return []
    return [
        table
        for peer in peers
        for table in degree_rows(
            {name: (pooled, selection_frequency(peer.scores)) for name, pooled in _pool(peer).items()},
            truth,
            {"dataset": dataset, "method": PEER + peer.name},
        )
    ]


def peer_rankings(peers: Sequence[PeerScores], truth: Truth, features: Sequence[str]) -> list[pd.DataFrame]:
    """Scores of all known pairs beside the truth, pooled over seeds, by both estimators: rows of `rankings.parquet`.

    One table for each peer. A sign is that of most seeds.
    """
    if truth.edges is None:
        return []
    tables = []
    for peer in peers:
        sign = _pooled_sign(peer)
        signed_scores = {estimator: (pooled, sign) for estimator, pooled in _pool(peer).items()}
        tables.append(
            ranking_table(signed_scores, features, (truth.edges, truth.known), model="", method=PEER + peer.name)
        )
    return tables


def favored_metrics(metrics: pd.DataFrame) -> pd.DataFrame:
    """A table of metrics of one dataset with one estimator of each peer, that whose pooled AUPRC is larger."""
    is_area = (metrics["metric"] == "auprc") & (metrics["seed"] == NO_SEED)
    rows = metrics[is_area & metrics["method"].astype(str).str.startswith(PEER)]
    keys = zip(rows["method"], rows["estimator"], strict=True)
    best = favored_estimators(dict(zip(keys, rows["value"].tolist(), strict=True)))
    mask = [
        best.get(peer, estimator) == estimator
        for peer, estimator in zip(metrics["method"], metrics["estimator"], strict=True)
    ]
    return metrics[np.array(mask, bool)]


def favored_estimators(areas: Mapping[tuple[str, str], float]) -> dict[str, str]:
    """The estimator of each peer that has the largest of its `areas`, by (peer, estimator), the first of equal ones.

    Models are to be compared with the best of a peer.
    """
    best: dict[str, str] = {}
    for peer, estimator in areas:
        if peer not in best or areas[peer, estimator] > areas[peer, best[peer]]:
            best[peer] = estimator
    return best


def _pool(peer: PeerScores) -> dict[str, np.ndarray]:
    """Scores (source, target) over seeds, by estimator."""
    return {ESTIMATOR: peer.scores.mean(axis=0), SHARES: mean_shares(peer.scores)}


def _pooled_sign(peer: PeerScores) -> np.ndarray:
    return np.asarray(np.sign(peer.signs.sum(axis=0)))
