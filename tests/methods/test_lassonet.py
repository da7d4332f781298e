import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from sparsenode.methods import EdgeProximal, get_method
from sparsenode.methods.lassonet import LassoNet

numbers = st.floats(-3, 3)


def step(
    edge: list[float], skip: list[float], threshold: float, hierarchy: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    weights, linear = (torch.tensor(values, dtype=torch.float64).view(1, 1, 1, -1) for values in (edge, skip))
    limit = torch.full((1, 1, 1), threshold, dtype=torch.float64)
    moved, kept = LassoNet(hierarchy=hierarchy).proximal(weights, linear, limit)
    assert kept is not None
    return moved.flatten().numpy(), kept.flatten().numpy()


@pytest.mark.parametrize("skips", [1, 2])
@pytest.mark.parametrize("hierarchy", [0.3, 1.0, 10.0])
@pytest.mark.parametrize("threshold", [0.0, 0.2, 1.0, 4.0])
def test_the_step_is_that_of_the_lassonet_package(skips: int, hierarchy: float, threshold: float) -> None:
    from lassonet.prox import prox

    generator = torch.Generator().manual_seed(1)
    weights = 0.7 * torch.randn(6, 40, generator=generator, dtype=torch.float64)  # (entry, edge)
    linear = torch.randn(skips, 40, generator=generator, dtype=torch.float64)
    their_skip, their_weights = prox(linear, weights, lambda_=threshold, lambda_bar=0.0, M=hierarchy)
    limit = torch.full((1, 1, 40), threshold, dtype=torch.float64)
    ours, skip = LassoNet(hierarchy=hierarchy).proximal(
        weights.T.view(1, 1, 40, 6), linear.T.view(1, 1, 40, skips), limit
    )
    assert skip is not None
    torch.testing.assert_close(ours.view(40, 6).T, their_weights)
    torch.testing.assert_close(skip.view(40, skips).T, their_skip)


@pytest.mark.parametrize("edge", [[0.5, -0.2], [2.0, 1.0], [0.0, 0.0], [0.1, 3.0]])
@pytest.mark.parametrize("skip", [0.4, -1.5, 0.05])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 2.0])
def test_the_step_minimizes_distance_plus_penalty_within_the_hierarchy(
    edge: list[float], skip: float, threshold: float
) -> None:
    hierarchy = 1.5

    def value(linear: np.ndarray) -> np.ndarray:
        """At given linear weights the best network weights are the nearest ones within the bound."""
        bound = hierarchy * np.abs(linear)[:, None]
        nearest = np.clip(edge, -bound, bound)
        return (linear - skip) ** 2 / 2 + np.square(nearest - edge).sum(axis=1) / 2 + threshold * np.abs(linear)

    grid = np.linspace(-4, 4, 80_001)
    best = grid[np.argmin(value(grid))]
    found_edge, (found_skip,) = step(edge, [skip], threshold, hierarchy)
    assert found_skip == pytest.approx(best, abs=2e-4)
    bound = hierarchy * abs(found_skip)
    np.testing.assert_allclose(found_edge, np.clip(edge, -bound, bound), atol=1e-12)


def test_the_step_minimizes_over_linear_weights_of_position_and_velocity() -> None:
    edge, skip = np.array([1.0, -0.6]), np.array([0.3, -0.2])

    def value(linear: np.ndarray) -> float:
        length = np.linalg.norm(linear)
        nearest = np.clip(edge, -2 * length, 2 * length)
        return float((np.square(linear - skip).sum() + np.square(nearest - edge).sum()) / 2 + 0.4 * length)

    searched = minimize(value, skip, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
    _, found = step(edge.tolist(), skip.tolist(), 0.4)
    np.testing.assert_allclose(found, searched.x, atol=1e-5)


@pytest.mark.slow(reason="draws many examples")
@settings(deadline=None)
@given(st.lists(numbers, min_size=2, max_size=4), numbers, st.floats(0, 5), st.floats(0.1, 20))
def test_the_hierarchy_holds(edge: list[float], skip: float, threshold: float, hierarchy: float) -> None:
    moved, (kept,) = step(edge, [skip], threshold, hierarchy)
    assert np.abs(moved).max() <= hierarchy * abs(kept) + 1e-9
    assert np.isfinite(moved).all()
    assert (np.abs(moved) <= np.abs(edge)).all()
    if kept == 0:
        assert not moved.any()


@pytest.mark.slow(reason="draws many examples")
@settings(deadline=None)
@given(st.lists(numbers, min_size=2, max_size=3), numbers, st.floats(0, 4), st.floats(0, 4))
def test_a_larger_threshold_never_leaves_a_larger_linear_weight(
    edge: list[float], skip: float, one: float, other: float
) -> None:
    weak, strong = sorted((one, other))
    assert abs(step(edge, [skip], strong)[1][0]) <= abs(step(edge, [skip], weak)[1][0]) + 1e-9


def test_threshold_zero_leaves_what_keeps_the_hierarchy() -> None:
    moved, kept = step([0.5, -0.7], [0.4], 0.0)
    assert (moved.tolist(), kept.tolist()) == ([0.5, -0.7], [0.4])


def test_a_large_threshold_empties_the_edge() -> None:
    moved, kept = step([0.5, -0.7], [0.4], 100.0)
    assert not moved.any()
    assert not kept.any()


def test_the_strength_grows_from_dense_to_sparse() -> None:
    shares = [LassoNet().ramp(progress) for progress in (0.0, 0.01, 0.5, 1.0)]
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert shares[2:] == [pytest.approx(1e-3**0.5), 1.0]


def test_size_is_the_norm_of_the_linear_weights() -> None:
    assert LassoNet().edge_size(
        torch.ones(1, 1, 2, 5), torch.tensor([3.0, 4.0, 0.0, 1.0]).view(1, 1, 2, 2)
    ).tolist() == [[[5.0, 1.0]]]


def test_lassonet_has_a_linear_skip_in_each_targets_network() -> None:
    method = get_method("lassonet")
    assert method is LassoNet
    assert issubclass(method, EdgeProximal)
    assert (method.skip, method.gated) == (True, False)
