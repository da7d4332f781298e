"""Sparsity of path matrices, counted by hand."""

import numpy as np
import torch

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


def test_exact_zeros_are_told_from_the_smallest_numbers():
    np.testing.assert_allclose(sparsity.exact_sparsity(PATHS), [0, 0])
    paths = np.array([[[0, 0, 1e-30], [0, 0, 5], [0, 1e-45, 0]]], np.float32)
    np.testing.assert_allclose(sparsity.exact_sparsity(paths), [3 / 6])
    assert np.isnan(sparsity.exact_sparsity(np.zeros((2, 1, 1)))).all()
    assert (paths < sparsity.EXACT_ZERO).tolist() == (paths == 0).tolist()
    tensor = torch.as_tensor(paths)
    assert torch.equal(tensor < sparsity.EXACT_ZERO, tensor == 0)


def test_the_out_degree_is_a_mean_over_sources_with_targets():
    members = np.zeros((3, 4, 4))
    members[0, 0] = [9, 1, 2, 3]  # a self-loop is no target
    members[0, 1] = [1e-5, 9, 1e-6, 0]
    members[0, 2, 2] = 9
    members[1, 3, 3] = 1
    members[2] = 1
    found = sparsity.out_degree(members)
    np.testing.assert_array_equal(found, [(3 + 1) / 2, np.nan, 3])


def test_the_mean_out_degree_is_over_all_sources():
    members = np.zeros((3, 4, 4))
    members[0, 0] = [9, 1, 2, 3]  # a self-loop is no target
    members[0, 1] = [1e-7, 9, 0, 0]
    members[2] = 1
    np.testing.assert_allclose(sparsity.mean_out_degree(members), [(3 + 1) / 4, 0, 3])
    assert np.isnan(sparsity.mean_out_degree(np.zeros((1, 1, 1)))).all()
