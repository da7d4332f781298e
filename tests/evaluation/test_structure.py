"""Structure metrics against scikit-learn and against brute force over tie orders."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

from sparsenode.evaluation import structure
from sparsenode.evaluation.networks import target_shares

# Few distinct scores, so that ties are the rule.
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=2, max_size=40)


@pytest.mark.slow(reason="draws many examples")
@given(PAIRS)
def test_auroc_and_auprc_agree_with_scikit_learn(pairs):
    scores, edges = np.array([score for score, _ in pairs], float), np.array([edge for _, edge in pairs])
    if not edges.any() or edges.all():
        assert np.isnan(structure.auroc(scores, edges))
        return
    assert structure.auroc(scores, edges) == pytest.approx(roc_auc_score(edges, scores))
    assert structure.auprc(scores, edges) == pytest.approx(average_precision_score(edges, scores))
    assert structure.auprc_ratio(scores, edges) == pytest.approx(average_precision_score(edges, scores) / edges.mean())


@pytest.mark.slow(reason="draws many examples")
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6))
def test_early_precision_is_the_mean_over_all_orders_of_ties(pairs):
    scores, edges = np.array([score for score, _ in pairs], float), np.array([edge for _, edge in pairs])
    count = int(edges.sum())
    if count == 0:
        assert np.isnan(structure.early_precision(scores, edges))
        return
    found = []
    for order in permutations(range(len(pairs))):
        shuffled = np.array(order)
        ranked = shuffled[np.argsort(-scores[shuffled], kind="stable")]
        found.append(edges[ranked[:count]].mean())
    assert structure.early_precision(scores, edges) == pytest.approx(np.mean(found))


@pytest.mark.slow(reason="draws many examples")
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=2, max_size=6), st.sampled_from([0.05, 0.3, 0.5]))
def test_balanced_accuracy_of_the_best_share_is_the_mean_over_all_orders_of_ties(pairs, share):
    scores, edges = np.array([score for score, _ in pairs], float), np.array([edge for _, edge in pairs])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structure, "BEST_SHARE", share)
        value = structure.rank_pairs(scores, edges)["balanced_accuracy_at_95"]
    if edges.all() or not edges.any():
        assert np.isnan(value)
        return
    count = max(1, round(share * len(pairs)))
    found = []
    for order in permutations(range(len(pairs))):
        shuffled = np.array(order)
        best = shuffled[np.argsort(-scores[shuffled], kind="stable")][:count]
        found.append(structure.balanced_accuracy(np.isin(np.arange(len(pairs)), best), edges))
    assert value == pytest.approx(np.mean(found))


def test_ninety_five_percent_are_left_out():
    edges = np.arange(400) < 30
    scores = np.linspace(1.0, 0.0, 400)
    wanted = balanced_accuracy_score(edges, np.arange(400) < 20)
    assert structure.rank_pairs(scores, edges)["balanced_accuracy_at_95"] == pytest.approx(wanted)


def test_equal_scores_are_worth_chance():
    edges = np.array([True, False, False, False])
    scores = structure.score_pairs(np.zeros(4), edges, threshold=1e-5)
    assert scores["auroc"] == 0.5
    assert scores["auprc"] == scores["early_precision"] == 0.25
    assert scores["auprc_ratio"] == 1
    assert scores["balanced_accuracy"] == scores["balanced_accuracy_at_95"] == 0.5
    assert scores["shd"] == 1


def test_perfect_scores():
    edges = np.array([True, False, True, False])
    scores = structure.score_pairs(edges * 1.0, edges, threshold=1e-5)
    assert scores == {
        "auroc": 1,
        "auprc": 1,
        "auprc_ratio": 2,
        "early_precision": 1,
        "balanced_accuracy_at_95": 0.75,
        "balanced_accuracy": 1,
        "known_sparsity": 0.5,
        "shd": 0,
        "wrong_share": 0,
    }


def test_balanced_accuracy_and_shd_count_wrong_pairs():
    rng = np.random.default_rng(1)
    predicted, edges = rng.random((2, 50)) < 0.3
    assert structure.balanced_accuracy(predicted, edges) == pytest.approx(balanced_accuracy_score(edges, predicted))
    wrong = sum(first != second for first, second in zip(predicted, edges, strict=True))
    assert structure.shd(predicted, edges) == wrong
    assert structure.wrong_share(predicted, edges) == wrong / 50


def test_no_edges_or_nothing_but_edges_give_nan():
    assert np.isnan(structure.auprc(np.ones(3), np.zeros(3, bool)))
    assert np.isnan(structure.balanced_accuracy(np.ones(3), np.ones(3, bool)))


def test_nan_scores_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        structure.auroc(np.array([1.0, np.nan]), np.array([True, False]))


def test_selected_pairs_leave_out_the_diagonal_and_what_is_unknown():
    matrix = np.arange(9.0).reshape(3, 3)
    known = np.ones((3, 3), bool)
    known[0, 1] = False
    np.testing.assert_array_equal(structure.select_pairs(matrix, known), [2, 3, 5, 6, 7])
    np.testing.assert_array_equal(structure.select_pairs(matrix[None], known), [[2, 3, 5, 6, 7]])


def test_sign_accuracy_counts_predicted_true_edges_of_known_sign():
    # Right, wrong, not predicted, no edge, an edge without an estimated sign, right again.
    predicted = np.array([1, 1, 0, 1, 1, 1], bool)
    signs = np.array([2.0, 0.5, -1.0, 1.0, 0.0, -3.0])
    true_signs = np.array([1, -1, -1, 0, 1, -1])
    assert structure.sign_accuracy(predicted, signs, true_signs) == 2 / 4
    assert structure.sign_accuracy(predicted, -signs, true_signs) == 1 / 4
    assert np.isnan(structure.sign_accuracy(np.array([0, 0, 0, 1, 0, 0], bool), signs, true_signs))
    scores = structure.score_pairs(predicted * 1.0, true_signs != 0, threshold=0.5, signs=signs, true_signs=true_signs)
    assert scores["sign_accuracy"] == 0.5


def test_out_degrees_are_compared_over_sources_with_a_known_pair():
    rng = np.random.default_rng(2)
    known = rng.random((8, 8)) < 0.7
    known[5] = np.eye(8, dtype=bool)[5]  # nothing but its self-loop is known of this source
    predicted, edges = rng.random((2, 8, 8)) < 0.4
    inside = known & ~np.eye(8, dtype=bool)
    wanted = spearmanr(*((one & inside)[np.arange(8) != 5].sum(axis=1) for one in (predicted, edges))).statistic
    pairs = [structure.select_pairs(one, known) for one in (predicted, edges)]
    sources = structure.source_numbers(known)
    assert structure.out_degree_correlation(*pairs, sources) == pytest.approx(wanted)
    found = structure.score_pairs(pairs[0] * 1.0, pairs[1], threshold=0.5, sources=sources)
    assert found["out_degree_correlation"] == pytest.approx(wanted)
    assert structure.out_degree_correlation(pairs[1], pairs[1], sources) == pytest.approx(1.0)


def test_equal_out_degrees_have_no_correlation():
    sources = np.array([0, 0, 1, 1])
    some, even, none = np.array([1, 1, 0, 1], bool), np.array([1, 0, 0, 1], bool), np.zeros(4, bool)
    assert np.isnan(structure.out_degree_correlation(even, some, sources))
    assert np.isnan(structure.out_degree_correlation(some, none, sources))
    assert np.isnan(structure.out_degree_correlation(some, some, np.zeros(4, int)))


def test_presence_decides_what_is_predicted_and_scores_the_ranking():
    edges = np.array([True, False, False])
    scores = structure.score_pairs(np.array([3.0, 2.0, 1.0]), edges, threshold=0.5, presence=np.array([0.0, 0.4, 0.5]))
    assert (scores["auprc"], scores["shd"]) == (1.0, 2.0)


def test_target_shares_are_what_each_source_gives_of_what_a_target_gets():
    members = np.zeros((3, 3, 3))
    members[0] = [[9.0, 1.0, 2.0], [3.0, 9.0, 2.0], [1.0, 3.0, 9.0]]  # the diagonal is part of no sum
    members[1] = 50 * members[0]
    shares = target_shares(members)
    np.testing.assert_allclose(shares[0, [1, 2], 0], [0.75, 0.25])
    np.testing.assert_allclose(shares[0, [0, 2], 1], [0.25, 0.75])
    np.testing.assert_allclose(shares[1], shares[0])
    assert not shares[2].any()  # nothing is known of a member without any path
    scaled = target_shares(members, np.array([1.0, 1.0, 3.0]))
    np.testing.assert_allclose(scaled[0, [1, 2], 0], [0.5, 0.5])
    # In another unit of a source its Jacobian is another one, and its deviation makes up for it.
    other = members[0] * np.array([[10.0], [1.0], [1.0]])
    np.testing.assert_allclose(target_shares(other[None], np.array([0.1, 1.0, 3.0]))[0], scaled[0], atol=1e-12)
    np.testing.assert_allclose(target_shares(-members), -shares)


def test_pooled_estimators_have_frequency_presence_and_signs():
    paths = np.array([[[0, 2.0], [0, 0]], [[0, 2.0], [4.0, 0]], [[0, 0], [1.0, 0]], [[0, 1.0], [0, 0]]])
    jacobian = np.array([[[0, -1.0], [0, 0]], [[0, 3.0], [-3.0, 0]], [[0, 0], [-1.0, 0]], [[0, -1.0], [0, 0]]])
    pooled = structure.pool_members({"paths": paths, "jacobian": np.abs(jacobian)}, jacobian)
    assert list(pooled) == ["paths", "jacobian", "frequency"]
    np.testing.assert_array_equal(pooled["frequency"].scores, [[0, 0.75], [0.5, 0]])
    np.testing.assert_array_equal(pooled["paths"].presence, [[0, 0.75], [0.5, 0]])
    # Each target has one other variable to get anything from, whose share is 1 in the members that have the edge.
    np.testing.assert_array_equal(pooled["jacobian"].signs, [[0, -1], [-1, 0]])
    np.testing.assert_allclose(pooled["jacobian"].scores, [[0, 3 / 4], [2 / 4, 0]])
    assert structure.pool_members({"paths": paths[:0]}, jacobian[:0]) == {}


def test_intervals_reach_as_far_as_single_members_matter():
    members = np.random.default_rng(3).normal(size=(6, 40)) + 0.3 * (np.arange(40) < 10)
    edges = np.arange(40) < 10
    without = [structure.auprc(sum(members[row] for row in range(6) if row != out), edges) for out in range(6)]
    error = np.sqrt(5 / 6 * sum((one - np.mean(without)) ** 2 for one in without))
    value = structure.auprc(sum(members), edges)
    found = structure.pooled_interval(members, edges)
    assert found["auprc"] == pytest.approx((value - 2.570582 * error, value + 2.570582 * error), abs=1e-6)
    assert found["auprc_ratio"] == pytest.approx([end / 0.25 for end in found["auprc"]])
    assert structure.pooled_interval(members[[0, 0]], edges)["auprc"] == (structure.auprc(members[0], edges),) * 2
    assert structure.pooled_interval(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([True, False]))["auprc"] == (0.0, 1.0)


@pytest.mark.slow(reason="repeats an experiment and its resampling many times")
def test_intervals_hold_what_other_members_would_score():
    """Nineteen times in twenty, though few members are noisy: resampled ones would rank worse than all of them."""
    generator = np.random.default_rng(0)
    held = []
    for _ in range(100):
        edges = generator.random(110) < 0.25
        signal = edges + generator.normal(0.0, 0.5, 110)
        drawn = signal + generator.normal(size=(21, 5, 110))
        lower, upper = structure.pooled_interval(drawn[0], edges)["auprc"]
        held.append(lower <= np.mean([structure.auprc(one.mean(axis=0), edges) for one in drawn[1:]]) <= upper)
    assert 0.88 <= np.mean(held) < 1.0


def test_ties_of_frequencies_stay_ties_in_intervals():
    # A sum less one of its terms differs from the sum of the others by rounding, and would rank one pair above another.
    members = np.random.default_rng(0).random((10, 40)) < 0.5
    edges = np.arange(40) < 10
    whole = structure.pooled_interval(members.astype(int), edges)["auprc"]
    assert structure.pooled_interval(members * 0.1, edges)["auprc"] == pytest.approx(whole)
