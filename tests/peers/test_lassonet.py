import numpy as np
import pytest
import torch

from sparsenode.peers.derivatives import Samples
from sparsenode.peers.lassonet import LassoNetRegression

OPTIONS = {
    "hidden": 4,
    "hierarchy": 10.0,
    "start": 10.0,
    "path_multiplier": 1.5,
    "iterations": 100,
    "path_iterations": 30,
}


@pytest.mark.slow(reason="runs the package of a method's authors")
def test_the_driver_outlasts_what_is_irrelevant(driven):
    scores, signs = LassoNetRegression(**OPTIONS).infer(driven)
    assert scores[2, 0] > 2 * scores[[0, 1, 3], 0].max()
    assert scores[:, 0].min() > 0
    assert not scores[:, 1:].any()  # nothing moves the others
    assert not signs.any()


@pytest.mark.slow(reason="runs the package of a method's authors")
def test_at_second_order_the_larger_of_position_and_velocity_counts(driven):
    velocities = np.random.default_rng(3).normal(size=driven.states.shape)
    rates = np.zeros_like(driven.rates)
    rates[:, 0] = velocities[:, 1]
    scores, _ = LassoNetRegression(**OPTIONS).infer(
        Samples(driven.states, driven.states, velocities, rates, driven.stretch)
    )
    assert scores.shape == (4, 4)
    assert scores[1, 0] > 2 * scores[[0, 2, 3], 0].max()


def test_random_numbers_of_others_are_left_alone(driven):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    LassoNetRegression(**{**OPTIONS, "iterations": 2, "path_iterations": 2}).infer(driven)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize(("selected", "expected"), [(True, 15.0), (False, 0.0)])
def test_what_never_leaves_outlasts_the_path_and_what_never_was_in_it_has_no_score(
    driven, monkeypatch, selected, expected
):
    from types import SimpleNamespace

    import lassonet

    class Regressor:
        feature_importances_ = torch.tensor([float("inf"), 3.0, 3.0, 3.0])

        def __init__(self, **settings):
            assert settings["M"] == 10.0

        def path(self, *_, **__):
            mask = torch.tensor([selected, True, True, True])
            return [SimpleNamespace(selected=mask, lambda_=0.0), SimpleNamespace(selected=mask, lambda_=10.0)]

    monkeypatch.setattr(lassonet, "LassoNetRegressor", Regressor)
    scores, _ = LassoNetRegression(**OPTIONS).infer(driven)
    assert scores[:, 0].tolist() == [expected, 3.0, 3.0, 3.0]
