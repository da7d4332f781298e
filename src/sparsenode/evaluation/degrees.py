"""Random networks with the in- and out-degrees of the true one, and what scores are worth beside them.

A few regulators with many targets make a network easy to guess: scores that only know which variables are regulators,
or are regulated much, recover random networks of the same degrees as well as the true one. What exceeds them is
knowledge of single edges.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

NETWORKS = 100
"""Random networks that a score is compared with."""
SEED = 0
BURN_IN = 100
"""Rounds of exchanges from the true network to the first random one."""
ROUNDS = 20
"""Rounds from one random network to the next: in each about half of the edges are to be exchanged."""
TRIPLES = 4
"""Every such round exchanges the targets of three edges, every other round those of two."""
CALIBRATED = ("auprc", "early_precision", "balanced_accuracy")
"""Metrics that are compared; the rows are `auprc_degree_mean`, `auprc_degree_z`, `auprc_degree_ratio` and so on."""
RIGID = "no other network of the same degrees was found by exchanging targets: too few edges, or too few known pairs"
CONSTANT = "all random networks have the same value"
EMPTY = "the mean of the random networks is 0"


def sample_networks(
    edges: np.ndarray, known_pairs: np.ndarray, *, count: int = NETWORKS, seed: int = SEED
) -> np.ndarray | None:
    """Random networks of the same in- and out-degrees among the known pairs off the diagonal, all equally probable.

    A Markov chain of exchanges: two edges swap their targets, or three pass them on, if that gives only known pairs,
    and neither a self-loop nor a pair twice. Without the triples a directed cycle of three could never turn around;
    with them the chain reaches every network where all pairs are known (Rao, Jana & Bandyopadhyay 1996, Sankhya A
    58:225). Where many pairs are unknown there may be networks that it does not reach.

    Args:
        edges: the true network (source, target), boolean.
        known_pairs: pairs whose truth is known, (source, target), boolean.
        count: number of random networks.
        seed: seed of the random numbers.

    Returns:
        The networks (network, edge), each edge as its number among the known pairs (the order of
        `structure.select_pairs`); None where the exchanges led to no network but the true one.
    """
    allowed = np.asarray(known_pairs, bool) & ~np.eye(len(edges), dtype=bool)
    source, target = np.nonzero(np.asarray(edges, bool) & allowed)
    numbers = np.cumsum(allowed.ravel()) - 1
    generator = np.random.default_rng(seed)
    networks = np.empty((count, len(source)), np.int64)
    for row in range(count):
        for number in range(ROUNDS + (BURN_IN if row == 0 else 0)):
            target = exchange_targets(source, target, allowed, 3 if number % TRIPLES == 0 else 2, generator)
        networks[row] = numbers[source * len(edges) + target]
    true = numbers[np.flatnonzero(np.asarray(edges, bool) & allowed)]
    return None if (np.sort(networks, axis=1) == true).all() else networks


def exchange_targets(
    source: np.ndarray, target: np.ndarray, allowed: np.ndarray, size: int, generator: np.random.Generator
) -> np.ndarray:
    """One round: disjoint groups of `size` edges pass on their targets where they may; returns the new targets (edge,).

    A group may if none of its pairs, old or new, is also a pair of another edge or group. This holds after the exchange
    as well as before, so that every round is as probable backward as forward, and the chain uniform. How many groups
    are drawn is random, down to none, so that each can also move by itself and the chain has no period.
    """
    groups = int(generator.integers(0, len(source) // size + 1))
    if groups == 0:
        return target
    chosen = generator.permutation(len(source))[: groups * size].reshape(groups, size)
    passed_on = np.roll(chosen, 1, axis=1)
    old = source * len(allowed) + target
    new = source[chosen] * len(allowed) + target[passed_on]
    _, positions, times = np.unique(np.concatenate((old, new.ravel())), return_inverse=True, return_counts=True)
    alone = times[positions] == 1
    free = alone[chosen] & alone[len(old) :].reshape(new.shape) & allowed.ravel()[new]
    may = free.all(axis=1)
    exchanged = target.copy()
    exchanged[chosen[may]] = target[passed_on[may]]
    return exchanged


def score_networks(scores: np.ndarray, predicted: np.ndarray, networks: np.ndarray) -> dict[str, np.ndarray]:
    """The `CALIBRATED` metrics (network,) of one vector of scores, were each of the networks the true one.

    As in `structure`, ties included. The pairs are sorted once, since only the edges' places differ between networks.

    Args:
        scores: score of each known pair, (pair,).
        predicted: which pairs are predicted as edges, (pair,).
        networks: numbers of the pairs that are edges, (network, edge).
    """
    ranked = np.sort(np.asarray(scores, np.float64))
    pairs, edge_count = len(ranked), networks.shape[1]
    reached = pairs - np.searchsorted(ranked, scores, "left")
    before = pairs - np.searchsorted(ranked, scores, "right")
    early = np.clip(edge_count - before, 0, reached - before) / (reached - before)
    upto = np.sort(reached[networks], axis=1)
    true_positives = np.stack([np.searchsorted(row, row, "right") for row in upto])
    hits = np.asarray(predicted, bool)[networks].sum(axis=1)
    absent = pairs - edge_count
    respected = 1.0 - (np.count_nonzero(predicted) - hits) / absent if absent else np.full(len(hits), np.nan)
    return {
        "auprc": (true_positives / upto).mean(axis=1),
        "early_precision": early[networks].mean(axis=1),
        "balanced_accuracy": (hits / edge_count + respected) / 2,
    }


def calibrate(
    scores: np.ndarray, predicted: np.ndarray, edges: np.ndarray, networks: np.ndarray | None
) -> Mapping[str, tuple[float, str]]:
    """Scores beside random networks: for each metric the `mean` of these, the true network's `z` score and `ratio`.

    Each value has the reason why it is NaN, or "". `z` is the distance from the mean in standard deviations of the
    random networks, `ratio` the value over the mean.

    Args:
        scores: score of each known pair, (pair,).
        predicted: which pairs are predicted as edges, (pair,).
        edges: which pairs are true edges, (pair,).
        networks: random networks from `sample_networks`.
    """
    kinds = ("mean", "z", "ratio")
    if networks is None:
        return {f"{name}_degree_{kind}": (float("nan"), RIGID) for name in CALIBRATED for kind in kinds}
    true = score_networks(scores, predicted, np.flatnonzero(edges)[None])
    calibrated: dict[str, tuple[float, str]] = {}
    for name, values in score_networks(scores, predicted, networks).items():
        mean, deviation, value = float(values.mean()), float(values.std(ddof=1)), float(true[name][0])
        varies = np.ptp(values) > 1e-12  # more than rounding
        calibrated[f"{name}_degree_mean"] = mean, ""
        calibrated[f"{name}_degree_z"] = ((value - mean) / deviation, "") if varies else (float("nan"), CONSTANT)
        calibrated[f"{name}_degree_ratio"] = (value / mean, "") if mean > 0 else (float("nan"), EMPTY)
    return calibrated
