"""Structure metrics against scikit-learn and against brute force over tie orders."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

from sparsenode.evaluation import structure

# Few distinct scores, so that ties are the rule.
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=2, max_size=40)


@given(PAIRS)
def test_auroc_and_auprc_agree_with_scikit_learn(pairs):
    scores, edges = np.array([score for score, _ in pairs], float), np.array([edge for _, edge in pairs])
    if not edges.any() or edges.all():
        assert np.isnan(structure.auroc(scores, edges))
        return
    assert structure.auroc(scores, edges) == pytest.approx(roc_auc_score(edges, scores))
    assert structure.auprc(scores, edges) == pytest.approx(average_precision_score(edges, scores))
    assert structure.auprc_ratio(scores, edges) == pytest.approx(average_precision_score(edges, scores) / edges.mean())


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


def test_equal_scores_are_worth_chance():
    edges = np.array([True, False, False, False])
    scores = structure.score_pairs(np.zeros(4), edges, threshold=1e-5)
    assert scores["auroc"] == 0.5
    assert scores["auprc"] == scores["early_precision"] == 0.25
    assert scores["auprc_ratio"] == 1
    assert scores["balanced_accuracy"] == 0.5
    assert scores["shd"] == 1


def test_perfect_scores():
    edges = np.array([True, False, True, False])
    scores = structure.score_pairs(edges * 1.0, edges, threshold=1e-5)
    assert scores == {
        "auroc": 1,
        "auprc": 1,
        "auprc_ratio": 2,
        "early_precision": 1,
        "balanced_accuracy": 1,
        "shd": 0,
    }


def test_balanced_accuracy_and_shd_count_wrong_pairs():
    rng = np.random.default_rng(1)
    predicted, edges = rng.random((2, 50)) < 0.3
    assert structure.balanced_accuracy(predicted, edges) == pytest.approx(balanced_accuracy_score(edges, predicted))
    assert structure.shd(predicted, edges) == sum(one != other for one, other in zip(predicted, edges, strict=True))


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
