"""The exact loss where entries are missing, against a loop over all observed ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from sparsenode.dynamics.solvers import dense_output_matrix, factor_loss, group_features, stack_losses

INTERVALS = 3
NODES = 2 * (INTERVALS + 1)


def observations(
    lengths: Sequence[int], features: int, share: float, seed: int = 0, *, alike: bool = False
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Positions, values with missing entries, and weights of rows; `alike` ones have the same times and weights."""
    rng = np.random.default_rng(seed)
    positions = [np.sort(rng.uniform(0, INTERVALS, length)) for length in lengths]
    weights = [rng.uniform(0.1, 2.0, length) for length in lengths]
    if alike:
        positions, weights = [positions[0]] * len(lengths), [weights[0]] * len(lengths)
    observed = [rng.normal(size=(length, features)) for length in lengths]
    for values in observed:
        values[rng.random(values.shape) < share] = np.nan
    return positions, observed, weights


def brute_force(
    nodes: Tensor, positions: list[np.ndarray], observed: list[np.ndarray], weights: list[np.ndarray], per: np.ndarray
) -> Tensor:
    """One observed entry after the other."""
    total = torch.zeros(len(nodes), dtype=torch.float64)
    for row, times in enumerate(positions):
        for index, at in enumerate(times):
            matrix = torch.as_tensor(dense_output_matrix(np.array([at]), INTERVALS))[0]
            for feature, value in enumerate(observed[row][index]):
                if np.isfinite(value):
                    error = nodes[:, row, :, feature] @ matrix - value
                    total = total + weights[row][index] * per[feature] * error**2
    return total


def assert_same(found: Tensor, expected: Tensor, nodes: Tensor) -> None:
    """Values and gradients to rounding of float64."""
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-13)
    gradients = [torch.autograd.grad(each.sum(), nodes, retain_graph=True)[0] for each in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize("alike", [False, True])
def test_the_loss_of_each_row_is_that_of_the_row_only(share: float, alike: bool) -> None:
    positions, observed, weights = observations((20, 20, 20) if alike else (20, 12, 3), 5, share, alike=alike)
    per = np.random.default_rng(1).uniform(0.5, 2.0, 5)
    loss = factor_loss(positions, observed, weights, per, INTERVALS, scale=1.7, dtype=torch.float64)
    nodes = torch.as_tensor(np.random.default_rng(2).normal(size=(2, 3, NODES, 5)))
    for row in range(3):
        chosen = [positions[row]], [observed[row]], [weights[row]]
        expected = brute_force(nodes[:, [row]], *chosen, per) / 1.7
        torch.testing.assert_close(loss.of_rows(nodes)[:, row], expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(loss.of_rows(nodes).sum(1), loss(nodes), rtol=1e-10, atol=1e-12)


# A feature that a row never observes, rows shorter than the node values, and patterns that some features share.
@pytest.mark.parametrize("lengths", [(20, 12, 3), (9,), (1, 15)])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_only_observed_entries_count(lengths: tuple[int, ...], share: float) -> None:
    positions, observed, weights = observations(lengths, 5, share)
    observed[0][:, 1] = np.nan
    for values in observed:
        values[:, 3] = np.where(np.isnan(values[:, 2]), np.nan, 0.5)
    per = np.array([0.3, 1.0, 2.0, 0.7, 0.0])
    nodes = torch.as_tensor(np.random.default_rng(1).normal(size=(2, len(lengths), NODES, 5))).requires_grad_()
    loss = factor_loss(positions, observed, weights, per, INTERVALS, scale=1.7, dtype=torch.float64)
    assert_same(loss(nodes), brute_force(nodes, positions, observed, weights, per) / 1.7, nodes)


def test_rows_and_members_are_picked_as_without_missing_entries() -> None:
    positions, observed, weights = observations([9, 4, 12], 3, 0.4)
    per = np.array([0.3, 1.0, 2.0])
    rng = np.random.default_rng(2)
    multipliers = [[rng.exponential(size=len(times)) for times in positions] for _ in range(2)]
    of_seeds = [[weight * by for weight, by in zip(weights, each, strict=True)] for each in multipliers]
    losses = [factor_loss(positions, observed, one, per, INTERVALS, dtype=torch.float64) for one in of_seeds]
    stacked = stack_losses(losses).of_members(torch.tensor([1, 0, 1]))
    nodes = torch.as_tensor(rng.normal(size=(3, 3, NODES, 3))).requires_grad_()
    seeds = [1, 0, 1]
    expected = [brute_force(nodes[[m]], positions, observed, of_seeds[s], per) for m, s in enumerate(seeds)]
    assert_same(stacked(nodes), torch.cat(expected), nodes)
    for rows in ([2, 0], [1]):
        chosen = [[of_rows[row] for row in rows] for of_rows in (positions, observed)]
        part = [
            brute_force(nodes[[m]][:, rows], *chosen, [of_seeds[s][row] for row in rows], per)
            for m, s in enumerate(seeds)
        ]
        found = stacked.select(torch.tensor(rows))(nodes[:, rows])
        assert_same(found, torch.cat(part) * 3 / len(rows), nodes)


@pytest.mark.parametrize("alike", [True, False])
def test_rows_that_miss_the_same_entries_share_factors(alike: bool) -> None:
    positions, observed, weights = observations([12] * 3, 3, 0.0, alike=True)
    for row, values in enumerate(observed):
        values[::2, 1] = np.nan
        if not alike:
            values[row, 2] = np.nan
    loss = factor_loss(positions, observed, weights, np.ones(3), INTERVALS, dtype=torch.float64)
    assert loss.factor.shape[1] == (1 if alike else 3)
    nodes = torch.as_tensor(np.random.default_rng(1).normal(size=(2, 3, NODES, 3))).requires_grad_()
    assert_same(loss(nodes), brute_force(nodes, positions, observed, weights, np.ones(3)), nodes)


def test_features_that_miss_the_same_entries_are_in_one_group() -> None:
    rng = np.random.default_rng(0)
    observed = rng.normal(size=(30, 200))
    observed[::2, 100:190] = np.nan
    for feature in range(190, 200):
        observed[feature % 29, feature] = np.nan
    columns = group_features([observed], 50)
    numbers = columns[columns >= 0]
    assert sorted(numbers.tolist()) == list(range(200))
    for features in columns:
        members = features[features >= 0]
        patterns = np.isnan(observed[:, members])
        assert (patterns == patterns[:, :1]).all()
    # Two large groups and ten of one feature are neither filled up to 100 each nor cut into 200.
    assert columns.size < 600
    assert len(columns) < 40


def test_a_missing_entry_of_all_features_is_an_observation_less() -> None:
    positions, observed, weights = observations([9, 14], 3, 0.0)
    rows = [np.delete(np.arange(len(times)), [2, 5]) for times in positions]
    shorter = [[of_row[row] for of_row, row in zip(of, rows, strict=True)] for of in (positions, observed, weights)]
    for values in observed:
        values[[2, 5]] = np.nan
    nodes = torch.as_tensor(np.random.default_rng(1).normal(size=(2, 2, NODES, 3))).requires_grad_()
    missing = factor_loss(positions, observed, weights, np.ones(3), INTERVALS, dtype=torch.float64)
    assert_same(missing(nodes), factor_loss(*shorter, np.ones(3), INTERVALS, dtype=torch.float64)(nodes), nodes)
