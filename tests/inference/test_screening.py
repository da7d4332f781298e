"""The screen of candidates: what it keeps, and how many true edges it loses."""

import numpy as np
import pytest
from scipy.linalg import expm

from sparsenode.inference.blocks import cut_blocks
from sparsenode.inference.screening import features_of, screen


def simulate(count, *, seed, trajectories=12, observations=25):
    """Blocks of a sparse linear system with 5 % noise, and its edges (source, target)."""
    generator = np.random.default_rng(seed)
    matrix = np.zeros((count, count))
    for target in range(count):
        sources = generator.choice(np.delete(np.arange(count), target), 2, replace=False)
        matrix[target, sources] = generator.choice([-1.0, 1.0], 2) * generator.uniform(0.5, 1.5, 2)
    matrix -= (max(np.linalg.eigvals(matrix).real.max(), 0.0) + 0.3) * np.eye(count)
    times = np.linspace(0, 4, observations)
    starts = generator.normal(size=(trajectories, count))
    states = np.einsum("tij,rj->rti", expm(matrix * times[:, None, None]), starts)
    states = states / states.std((0, 1))
    noisy = states + 0.05 * generator.normal(size=states.shape)
    edges = (matrix.T != 0) & ~np.eye(count, dtype=bool)
    return cut_blocks([times] * trajectories, list(noisy)), edges


def everything(count):
    return np.ones((count, count), dtype=bool), np.zeros((count, count), dtype=bool)


def test_all_are_candidates_where_there_are_few():
    blocks, _ = simulate(5, seed=0)
    allowed, required = everything(5)
    allowed[1, 2] = False
    candidates = screen(blocks, allowed, required, 20)
    assert candidates[0].tolist() == [1, 2, 3, 4]
    assert candidates[2].tolist() == [0, 3, 4, 2]


@pytest.mark.slow(reason="group lassos of 24 targets")
def test_few_true_edges_are_lost():
    lost, total = 0, 0
    for seed in range(2):
        blocks, edges = simulate(24, seed=seed)
        candidates = screen(blocks, *everything(24), 8)
        assert all(len(set(row)) == 8 and target not in row for target, row in enumerate(candidates.tolist()))
        chosen = np.zeros_like(edges)
        chosen[candidates.T, np.arange(24)] = True
        lost, total = lost + int((edges & ~chosen).sum()), total + int(edges.sum())
    assert total == 96
    assert lost <= 3  # a choice at random loses 63


@pytest.mark.slow(reason="group lassos of 12 targets")
def test_required_edges_are_candidates_and_forbidden_ones_are_not():
    blocks, edges = simulate(12, seed=1)
    allowed, required = everything(12)
    source, target = np.argwhere(~edges & ~np.eye(12, dtype=bool))[0]
    present_source, present_target = np.argwhere(edges)[0]
    required[source, target] = True
    allowed[present_source, present_target] = False
    candidates = screen(blocks, allowed, required, 2)
    assert source in candidates[target]
    assert present_source not in candidates[present_target]


def test_functions_of_an_input_are_orthonormal_and_constants_have_none():
    states = np.random.default_rng(0).normal(size=(50, 2))
    states[:, 1] = 3.0
    features = features_of(states)
    np.testing.assert_allclose(features[0].T @ features[0], np.eye(3), atol=1e-12)
    assert not features[1].any()
    line = states[:, 0] - states[:, 0].mean()
    np.testing.assert_allclose(np.abs(features[0, :, 0] @ line), np.linalg.norm(line))
