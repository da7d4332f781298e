"""Random networks of given degrees by enumeration, and scores beside them by the metrics of a single network."""

from collections import Counter
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
import pytest
from scipy.stats import chisquare

from sparsenode.evaluation import degrees
from sparsenode.evaluation.degrees import calibrate, sample_networks, score_networks
from sparsenode.evaluation.structure import balanced_accuracy, rank_pairs, select_pairs


def random_truth(features=12, share=0.2, known_share=0.8, seed=0):
    """Edges and known pairs (source, target), edges among the unknown ones and self-loops too."""
    rng = np.random.default_rng(seed)
    return rng.random((features, features)) < share, rng.random((features, features)) < known_share


def as_matrices(networks, known):
    """Edges (network, source, target) of networks given as numbers of known pairs."""
    allowed = known & ~np.eye(len(known), dtype=bool)
    matrices = np.zeros((len(networks), *known.shape), int)
    sources, targets = np.nonzero(allowed)
    for matrix, numbers in zip(matrices, networks, strict=True):
        np.add.at(matrix, (sources[numbers], targets[numbers]), 1)
    return matrices


def test_degrees_are_kept_within_the_known_pairs():
    edges, known = random_truth()
    true = edges & known & ~np.eye(12, dtype=bool)
    matrices = as_matrices(sample_networks(edges, known), known)
    assert len(matrices) == 100
    assert matrices.max() == 1  # no pair twice
    assert not matrices[:, ~known].any()
    assert not matrices[:, np.eye(12, dtype=bool)].any()
    np.testing.assert_array_equal(matrices.sum(axis=2), np.broadcast_to(true.sum(axis=1), (100, 12)))
    np.testing.assert_array_equal(matrices.sum(axis=1), np.broadcast_to(true.sum(axis=0), (100, 12)))
    assert len({matrix.tobytes() for matrix in matrices}) == 100


def test_one_seed_gives_one_sample_and_others_another():
    edges, known = random_truth()
    one, same, other = (sample_networks(edges, known, count=3, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def enumerated(edges, known):
    """All networks of the same degrees within the known pairs off the diagonal."""
    allowed = known & ~np.eye(len(known), dtype=bool)
    true = edges & allowed
    pairs = np.argwhere(allowed)
    found = []
    for chosen in combinations(range(len(pairs)), int(true.sum())):
        matrix = np.zeros(edges.shape, bool)
        matrix[tuple(pairs[list(chosen)].T)] = True
        if (matrix.sum(axis=0) == true.sum(axis=0)).all() and (matrix.sum(axis=1) == true.sum(axis=1)).all():
            found.append(matrix.tobytes())
    return found


FIVE = np.array([[0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], bool)
RING = np.roll(np.eye(4, dtype=bool), 1, axis=1)
CYCLE = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], bool)
TWO_EDGES = np.array([[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]], bool)
ALL_BUT_ONE = (np.arange(16) != 9).reshape(4, 4)


TINY = pytest.mark.parametrize(
    ("edges", "known", "networks"),
    [
        (FIVE, np.ones((4, 4), bool), 7),
        (FIVE, ALL_BUT_ONE, 5),
        (RING, np.ones((4, 4), bool), 9),
        (CYCLE, np.ones((3, 3), bool), 2),  # turned around by a triple alone
        (TWO_EDGES, np.ones((4, 4), bool), 2),  # a single exchange, always possible: no period
    ],
    ids=["five edges", "unknown pair", "ring", "cycle", "two edges"],
)


@dataclass(frozen=True)
class Given:
    """Draws of a generator that are given."""

    groups: int
    order: tuple[int, ...]

    def integers(self, low, high):
        assert low <= self.groups < high
        return self.groups

    def permutation(self, count):
        assert count == len(self.order)
        return np.array(self.order)


def transitions(wanted, known, size):
    """Exact probabilities (from, to) of one round between networks (source, target), over all draws."""
    allowed = known & ~np.eye(len(known), dtype=bool)
    number = {network.tobytes(): place for place, network in enumerate(wanted)}
    found = np.zeros((len(wanted), len(wanted)))
    for place, network in enumerate(wanted):
        source, target = np.nonzero(network)
        most = len(source) // size
        for groups in range(most + 1):
            for order in permutations(range(len(source))):
                after = np.zeros_like(network)
                after[source, degrees.exchange_targets(source, target, allowed, size, Given(groups, order))] = True
                found[place, number[after.tobytes()]] += 1
    return found / found.sum(axis=1, keepdims=True)


@pytest.mark.slow(reason="counts all networks of a tiny case many times")
@TINY
def test_every_round_is_as_probable_backward_as_forward_and_all_networks_are_reached(edges, known, networks):
    wanted = [np.frombuffer(one, bool).reshape(edges.shape) for one in enumerated(edges, known)]
    assert len(wanted) == networks
    pairs, triples = (transitions(wanted, known, size) for size in (2, 3))
    for matrix in (pairs, triples):
        np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    # Symmetric, so that uniform stays uniform; connected and without a period, so that all else becomes so.
    assert (np.linalg.matrix_power(pairs @ triples, 20) > 0).all()


@pytest.mark.slow(reason="draws hundreds of random networks")
@TINY
def test_all_networks_of_a_tiny_case_are_drawn_about_equally_often(edges, known, networks):
    drawn = 500
    matrices = as_matrices(sample_networks(edges, known, count=drawn), known).astype(bool)
    counts = Counter(matrix.tobytes() for matrix in matrices)
    assert set(counts) == set(enumerated(edges, known))
    assert chisquare(list(counts.values())).pvalue > 0.01


@pytest.mark.parametrize("count", [0, 1])
def test_networks_that_allow_no_exchange_are_none_and_their_rows_say_why(count):
    edges = np.zeros((4, 4), bool)
    edges[0, 1 : 1 + count] = True
    assert sample_networks(edges, np.ones((4, 4), bool)) is None
    star = np.zeros((4, 4), bool)
    star[0, 1:] = True
    assert sample_networks(star, np.ones((4, 4), bool)) is None
    found = calibrate(np.arange(12.0), np.ones(12, bool), select_pairs(star, np.ones((4, 4), bool)), None)
    assert len(found) == 9
    assert all(np.isnan(value) and "no other network of the same degrees" in reason for value, reason in found.values())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_networks_are_scored_as_if_each_were_the_true_one(seed):
    edges, known = random_truth(seed=seed)
    rng = np.random.default_rng(seed)
    networks = sample_networks(edges, known, count=20)
    pairs = len(select_pairs(edges, known))
    scores, predicted = rng.integers(0, 5, pairs) / 4, rng.random(pairs) < 0.3
    found = score_networks(scores, predicted, networks)
    for number, network in enumerate(networks):
        own = np.isin(np.arange(pairs), network)
        ranked = rank_pairs(scores, own)
        assert found["auprc"][number] == pytest.approx(ranked["auprc"])
        assert found["early_precision"][number] == pytest.approx(ranked["early_precision"])
        assert found["balanced_accuracy"][number] == pytest.approx(balanced_accuracy(predicted, own))


def test_the_true_network_is_placed_among_random_ones():
    edges, known = random_truth()
    true = select_pairs(edges, known)
    networks = sample_networks(edges, known)
    scores = true + np.random.default_rng(3).normal(0.0, 0.8, len(true))
    found = calibrate(scores, scores > 0.5, true, networks)
    for name, values in score_networks(scores, scores > 0.5, networks).items():
        value = {**rank_pairs(scores, true), "balanced_accuracy": balanced_accuracy(scores > 0.5, true)}[name]
        assert found[f"{name}_degree_mean"] == (pytest.approx(np.mean(values)), "")
        assert found[f"{name}_degree_z"] == (pytest.approx((value - np.mean(values)) / np.std(values, ddof=1)), "")
        assert found[f"{name}_degree_ratio"] == (pytest.approx(value / np.mean(values)), "")
        assert found[f"{name}_degree_z"][0] > 2


def test_scores_that_know_the_degrees_alone_are_worth_nothing_more():
    rng = np.random.default_rng(4)
    often = rng.random(30) ** 3
    edges, known = rng.random((30, 30)) < 0.6 * often[:, None], np.ones((30, 30), bool)
    scores = np.broadcast_to(edges.sum(axis=1)[:, None], (30, 30))
    pairs, true = select_pairs(scores, known), select_pairs(edges, known)
    networks = sample_networks(edges, known)
    found = calibrate(pairs, pairs > 5, true, networks)
    assert rank_pairs(pairs, true)["auprc_ratio"] > 1.5
    # Ties make it exact: each source's pairs have one score, and as many of them are edges in every network.
    for name in degrees.CALIBRATED:
        assert found[f"{name}_degree_ratio"][0] == pytest.approx(1.0)
        assert found[f"{name}_degree_z"] == (pytest.approx(np.nan, nan_ok=True), degrees.CONSTANT)


def test_a_mean_of_zero_has_no_ratio():
    networks = np.array([[2, 3], [3, 4]])
    found = calibrate(np.array([9.0, 8, 1, 1, 0]), np.ones(5, bool), np.array([1, 1, 0, 0, 0], bool), networks)
    assert found["early_precision_degree_mean"] == (0.0, "")
    assert found["early_precision_degree_ratio"][1] == degrees.EMPTY
