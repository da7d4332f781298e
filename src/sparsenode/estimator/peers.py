"""What other people's methods make of the data of a fit: their networks beside its own, and a consensus of all."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.errors import UserError
from sparsenode.estimator.settings import FitSettings
from sparsenode.evaluation.networks import network_matrices, network_table
from sparsenode.evaluation.peers import PeerScores, peer_scores
from sparsenode.evaluation.structure import score_pairs, select_pairs
from sparsenode.evaluation.tables import PEER
from sparsenode.evaluation.tabulate import FREQUENCY_THRESHOLD
from sparsenode.peers import inference, make_peer
from sparsenode.peers.derivatives import read_samples
from sparsenode.peers.processes import TimeLimitError
from sparsenode.settings import AUTO

if TYPE_CHECKING:
    from anndata import AnnData

    from sparsenode.evaluation.truth import Truth

MANY_VARIABLES = 200
"""From so many variables on no peer is asked that is not named."""
USUAL = ("lasso", "extra_trees")
"""Peers that are asked below so many variables."""
CONSENSUS = "consensus"
"""Name of the ranking by mean ranks."""
_SEEDS = 1


@dataclass(frozen=True)
class Inferred:
    """Scores of the peers that gave some, and by name the reason of each that gave none."""

    scores: tuple[PeerScores, ...]
    reasons: Mapping[str, str]


def peer_options(settings: FitSettings, variables: int) -> dict[str, dict[str, Any]]:
    """Options of each peer that is to be asked, by its name.

    Raises:
        UserError: there is no such peer or option.
    """
    if settings.peers == AUTO:
        # They ask scikit-learn only, which needs no process of its own to be ended.
        return {name: {"time_limit": None} for name in USUAL} if variables < MANY_VARIABLES else {}
    named = settings.peers if isinstance(settings.peers, Mapping) else {name: {} for name in settings.peers}
    for name, options in named.items():
        make_peer(name, options)
    return {name: dict(options) for name, options in named.items()}


def ask_peers(adata: AnnData, settings: FitSettings, order: int, *, verbose: bool) -> Inferred:
    """Ask the peers for the network of the training data, which is all that they are given.

    Args:
        adata: the trajectories.
        settings: those of the estimator.
        order: order of the derivatives that are explained.
        verbose: whether it is told which peer is at work.

    Raises:
        UserError: a peer that was named cannot be asked.
    """
    features = [str(name) for name in adata.var_names]
    options = peer_options(settings, len(features))
    scores, reasons = [], {}
    if not options:
        return Inferred((), {})
    try:
        samples = read_samples(adata, order)
    except UserError as error:
        if settings.peers != AUTO:
            raise
        return Inferred((), dict.fromkeys(options, str(error)))
    for name, values in options.items():
        if verbose:
            sys.stderr.write(f"SparseNODE: the network by {name}\n")
        try:
            table = inference.score_pairs(make_peer(name, values), samples, features, _SEEDS)
            scores.append(peer_scores(name, table, features, f"the peer {name}"))
        except TimeLimitError as limit:
            reasons[name] = str(limit)
        except UserError as error:
            # There is no configuration here.
            raise UserError(str(error).replace("`run.peers`", "`peers`")) from error
    return Inferred(tuple(scores), reasons)


def peer_table(peer: PeerScores, features: Sequence[str], truth: Truth) -> pd.DataFrame:
    """Edges of a peer as a table of edges of a model, ranked by the shares of each target's scores."""
    known = None if truth.edges is None else (truth.edges, truth.known)
    return network_table(peer.scores, peer.signs, features, known)


def consensus(tables: Iterable[pd.DataFrame], features: Sequence[str]) -> PeerScores:
    """Mean ranks of all pairs over several tables of edges, as scores: 1 where all have a pair first, 0 where last.

    Pairs that a table does not have, or has alike, share their mean rank. A sign is that of most tables.
    """
    from scipy.stats import rankdata

    count = len(features)
    pairs = ~np.eye(count, dtype=bool)
    ranks, signs = [], []
    for table in tables:
        matrices = network_matrices(table.assign(weight=table["share"]), features)
        ranks.append(rankdata(-np.abs(matrices.weights[pairs])))
        signs.append(np.where(matrices.unsigned, 0.0, np.sign(matrices.weights)))
    scores = np.zeros((count, count))
    scores[pairs] = 1.0 - (np.mean(ranks, axis=0) - 1.0) / max(int(pairs.sum()) - 1, 1)
    return PeerScores(CONSENSUS, (0,), scores[None], np.sign(np.sum(signs, axis=0))[None])


def consensus_table(scores: PeerScores, features: Sequence[str], truth: Truth) -> pd.DataFrame:
    """The pairs by their mean rank, with the columns of a table of edges; `share` and `weight` are the scores."""
    table = peer_table(scores, features, truth)
    source, target = (pd.Index(features).get_indexer(pd.Index(table[name])) for name in ("source", "target"))
    table = table.assign(share=scores.scores[0][source, target])
    return table.sort_values("share", ascending=False, kind="stable", ignore_index=True)


def table_shares(table: pd.DataFrame, features: Sequence[str]) -> np.ndarray:
    """Shares (source, target) that a table of edges is ranked by, 0 where it has no edge."""
    return np.abs(network_matrices(table.assign(weight=table["share"]), features).weights)


def score_matrix(shares: np.ndarray, truth: Truth) -> dict[str, float]:
    """Areas below the curves of a ranking (source, target) beside the truth."""
    assert truth.edges is not None  # noqa: S101  who asks has looked
    edges = select_pairs(truth.edges, truth.known)
    areas = score_pairs(select_pairs(shares, truth.known), edges, threshold=FREQUENCY_THRESHOLD)
    return {"auroc": areas["auroc"], "auprc": areas["auprc"], "density": float(edges.mean())}


def labels_of(peers: Iterable[PeerScores]) -> dict[str, PeerScores]:
    """Scores by the names that tables have for peers."""
    return {PEER + peer.name: peer for peer in peers}
