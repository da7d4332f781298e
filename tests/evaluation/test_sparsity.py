"""Sparsity of path matrices, counted by hand."""

import numpy as np

from sparsenode.evaluation import sparsity

PATHS = np.array([[[0, 1, 1e-6], [2e-5, 0, 5], [1e-4, 1e-4, 1e-4]], np.ones((3, 3))])


def test_feature_sparsity_counts_empty_entries():
    np.testing.assert_allclose(sparsity.feature_sparsity(PATHS), [3 / 9, 0])


def test_relative_threshold_is_a_share_of_the_largest_entry():
    np.testing.assert_allclose(sparsity.feature_sparsity(PATHS, relative=True), [7 / 9, 0])
    np.testing.assert_allclose(sparsity.feature_sparsity(np.zeros((1, 2, 2)), relative=True), [1])


def test_restriction_to_sources_and_pairs():
    sources = np.array([True, False, False])
    np.testing.assert_allclose(sparsity.feature_sparsity(PATHS, sources=sources), [2 / 3, 0])
    assert np.isnan(sparsity.feature_sparsity(PATHS, sources=~np.ones(3, bool))).all()
    np.testing.assert_allclose(sparsity.pair_sparsity(PATHS, np.eye(3, dtype=bool)), [2 / 3, 0])
