import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from sparsenode.methods import EdgeProximal, get_method
from sparsenode.methods.grouplasso import GroupLasso

edges = st.lists(st.floats(-3, 3), min_size=3, max_size=3)
thresholds = st.floats(0, 4)


def shorten(edge: list[float], threshold: float) -> np.ndarray:
    made = torch.tensor(edge, dtype=torch.float64).view(1, 1, 1, -1)
    found, skip = GroupLasso().proximal(made, None, torch.full((1, 1, 1), threshold, dtype=torch.float64))
    assert skip is None
    return found.flatten().numpy()


@pytest.mark.parametrize("edge", [[0.3, -0.4, 1.2], [0.0, 0.0, 0.0], [-2.0, 0.1, 0.0]])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0, 1.31, 5.0])
def test_the_step_minimizes_distance_plus_penalty(edge: list[float], threshold: float) -> None:
    given_edge = np.array(edge)

    def value(weights: np.ndarray) -> float:
        return float(np.square(weights - given_edge).sum() / 2 + threshold * np.linalg.norm(weights))

    found = shorten(edge, threshold)
    searched = minimize(value, given_edge + 0.01, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
    assert value(found) <= searched.fun + 1e-9
    np.testing.assert_allclose(found, searched.x, atol=1e-4)


@pytest.mark.slow(reason="imports the authors' package")
def test_the_step_is_that_of_the_lassonet_package() -> None:
    """Its proximal step without hidden weights is the group lasso's."""
    from lassonet.prox import prox

    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(4, 7, generator=generator, dtype=torch.float64)  # (entry, edge)
    theirs, _ = prox(weights, torch.zeros(1, 7, dtype=torch.float64), lambda_=1.5, lambda_bar=0.0, M=0.0)
    ours, _ = GroupLasso().proximal(weights.T.view(1, 1, 7, 4), None, torch.full((1, 1, 7), 1.5, dtype=torch.float64))
    torch.testing.assert_close(ours.view(7, 4).T, theirs)


@pytest.mark.slow(reason="draws many examples")
@settings(deadline=None)
@given(edges, thresholds, thresholds)
def test_a_larger_threshold_never_leaves_a_longer_edge(edge: list[float], one: float, other: float) -> None:
    weak, strong = sorted((one, other))
    assert np.linalg.norm(shorten(edge, strong)) <= np.linalg.norm(shorten(edge, weak)) + 1e-12
    if strong > np.linalg.norm(edge):
        assert not shorten(edge, strong).any()


@settings(deadline=None)
@given(edges, thresholds)
def test_an_edge_keeps_its_direction(edge: list[float], threshold: float) -> None:
    found = shorten(edge, threshold)
    length, before = np.linalg.norm(found), np.linalg.norm(edge)
    np.testing.assert_allclose(found * before, np.array(edge) * length, atol=1e-9)
    assert length == pytest.approx(max(before - threshold, 0.0), abs=1e-9)


@settings(deadline=None)
@given(edges)
def test_threshold_zero_leaves_the_edge(edge: list[float]) -> None:
    np.testing.assert_allclose(shorten(edge, 0.0), edge, rtol=1e-12, atol=1e-30)


def test_size_is_the_norm_of_each_edge() -> None:
    made = torch.tensor([3.0, 4.0, 0.0, 0.0]).view(1, 1, 2, 2)
    assert GroupLasso().edge_size(made, None).tolist() == [[[5.0, 0.0]]]


def test_adaptive_weights_are_powers_of_the_relative_norm() -> None:
    size = torch.tensor([[[90.0, 2.0, 4.0], [0.0, 70.0, 8.0], [3.0, 3.0, 50.0]]])
    assert GroupLasso(adaptive=0.0).edge_weights(size) is None
    first = GroupLasso(adaptive=1.0).edge_weights(size)
    second = GroupLasso(adaptive=2.0).edge_weights(size)
    assert first is not None
    assert second is not None
    # Relative to the mean over what comes from others, 3 for each target but the second, and 4 there.
    torch.testing.assert_close(first[0, 0, 1:], torch.tensor([3.0 / 2, 3.0 / 4]))
    torch.testing.assert_close(first[0, 2, :2], torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(second, first.square())
    assert first[0, 1, 0] == pytest.approx(1000.0)  # an edge that is not there is penalized most, and not infinitely
    torch.testing.assert_close(GroupLasso(adaptive=1.0).edge_weights(7 * size), first)


def test_the_adaptive_variant_begins_without_a_penalty() -> None:
    assert [GroupLasso().ramp(progress) for progress in (0.0, 0.4, 1.0)] == [0.0, 0.4, 1.0]
    assert [GroupLasso(adaptive=1.0).ramp(progress) for progress in (0.0, 0.99, 1.0)] == [0.0, 0.0, 1.0]
    assert [GroupLasso(adaptive=1.0, lasso_first=True).ramp(progress) for progress in (0.0, 0.4, 1.0)] == [
        0.0,
        0.4,
        1.0,
    ]


def test_grouplasso_acts_on_edges_of_one_network_per_target() -> None:
    method = get_method("grouplasso")
    assert method is GroupLasso
    assert issubclass(method, EdgeProximal)
    assert (method.skip, method.gated) == (False, False)
