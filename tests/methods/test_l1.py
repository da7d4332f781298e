import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsenode.methods import WeightProximal, get_method
from sparsenode.methods.l1 import AbsoluteWeights

numbers = st.floats(-3, 3)
sizes = st.floats(0, 2)


def shrink(weight: float, step: float, strength: float) -> float:
    made = torch.tensor([[[weight]]], dtype=torch.float64), torch.tensor([[[step]]], dtype=torch.float64)
    found = AbsoluteWeights().proximal(made[:1], made[1:], torch.tensor([strength], dtype=torch.float64))
    return float(found[0])


@pytest.mark.parametrize("weight", [-1.3, -0.2, 0.0, 0.05, 0.4, 2.0])
@pytest.mark.parametrize(("step", "strength"), [(0.5, 0.3), (0.1, 2.0), (1.0, 0.0), (2.0, 0.7)])
def test_the_step_minimizes_distance_plus_penalty(weight: float, step: float, strength: float) -> None:
    grid = np.linspace(-2.5, 2.5, 500_001)  # holds zero
    value = (grid - weight) ** 2 / (2 * step) + strength * np.abs(grid)
    assert shrink(weight, step, strength) == pytest.approx(grid[value.argmin()], abs=1e-5)


@settings(deadline=None)
@given(numbers, sizes, sizes, sizes)
def test_a_larger_strength_never_leaves_a_larger_weight(weight: float, step: float, one: float, other: float) -> None:
    weak, strong = sorted((one, other))
    assert abs(shrink(weight, step, strong)) <= abs(shrink(weight, step, weak))


@settings(deadline=None)
@given(numbers, sizes, sizes)
def test_a_weight_keeps_its_sign_and_never_grows(weight: float, step: float, strength: float) -> None:
    found = shrink(weight, step, strength)
    assert abs(found) <= abs(weight)
    assert found == 0 or np.sign(found) == np.sign(weight)
    if step * strength >= abs(weight):
        assert found == 0


@settings(deadline=None)
@given(numbers, sizes)
def test_strength_zero_leaves_the_weight(weight: float, step: float) -> None:
    assert shrink(weight, step, 0.0) == weight


@pytest.mark.slow(reason="draws many examples")
@settings(deadline=None)
@given(numbers, numbers, sizes, sizes)
def test_the_step_is_not_expansive(one: float, other: float, step: float, strength: float) -> None:
    moved = abs(shrink(one, step, strength) - shrink(other, step, strength))
    assert moved <= abs(one - other) + 1e-12


def test_every_member_has_its_strength_and_every_weight_its_step() -> None:
    weights = torch.ones(2, 1, 3)
    steps = torch.tensor([[[0.1, 0.2, 2.0]]]).expand(2, 1, 3)
    (found,) = AbsoluteWeights().proximal([weights], [steps], torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(found, torch.tensor([[[0.9, 0.8, 0.0]], [[0.8, 0.6, 0.0]]]))
    assert torch.equal(weights, torch.ones(2, 1, 3))


def test_size_is_the_sum_or_the_mean_of_absolute_weights() -> None:
    weights = [torch.tensor([[[1.0, -2.0]], [[0.0, 0.0]]]), torch.tensor([[[3.0], [-4.0]], [[0.0], [0.0]]])]
    assert AbsoluteWeights().size(weights, per_entry=False).tolist() == [10.0, 0.0]
    assert AbsoluteWeights().size(weights, per_entry=True).tolist() == [2.5, 0.0]


def test_l1_is_proximal() -> None:
    method = get_method("l1")
    assert issubclass(method, WeightProximal)
    assert not method.gated
