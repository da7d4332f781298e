import itertools

import pytest
import torch

from sparsenode.dynamics.paths import path_product
from sparsenode.methods import Penalty, get_method
from sparsenode.methods.cnode import PathStrength


def random_weights(*widths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, *shape, dtype=torch.float64, generator=generator) for shape in itertools.pairwise(widths)]


def test_the_penalty_is_the_mean_over_all_paths() -> None:
    weights = random_weights(2, 3, 2)
    ((coefficient, term),) = PathStrength().penalty(weights, (), per_entry=False)
    assert coefficient == 1.0
    for member in range(2):
        one, two = (weight[member].abs() for weight in weights)
        paths = [float(one[i, h] * two[h, o]) for i in range(2) for h in range(3) for o in range(2)]
        assert float(term[member]) == pytest.approx(sum(paths) / 12)


def test_per_entry_is_the_mean_of_the_path_matrix() -> None:
    weights = random_weights(3, 4, 5, 3)
    ((_, term),) = PathStrength().penalty(weights, (), per_entry=True)
    torch.testing.assert_close(term, path_product(weights).mean((1, 2)))


def test_the_sign_of_a_weight_does_not_matter() -> None:
    weights = random_weights(2, 3, 2)
    ((_, term),) = PathStrength().penalty(weights, (), per_entry=False)
    ((_, turned),) = PathStrength().penalty([-weights[0], weights[1]], (), per_entry=False)
    assert torch.equal(term, turned)


def test_zero_weights_cost_nothing_and_are_not_pushed() -> None:
    weights = [torch.zeros(2, 3, 3, requires_grad=True) for _ in range(2)]
    ((_, term),) = PathStrength().penalty(weights, (), per_entry=False)
    term.sum().backward()
    assert term.tolist() == [0.0, 0.0]
    assert all(not weight.grad.any() for weight in weights)


def test_a_weight_on_no_open_path_is_not_pushed() -> None:
    weights = random_weights(2, 3, 2)
    weights[1][:, 1] = 0.0
    leaves = [weight.requires_grad_() for weight in weights]
    PathStrength().penalty(leaves, (), per_entry=False)[0][1].sum().backward()
    assert not leaves[0].grad[:, :, 1].any()
    assert leaves[0].grad[:, :, 0].all()


def test_gradients() -> None:
    weights = [weight.requires_grad_() for weight in random_weights(2, 3, 2)]
    assert torch.autograd.gradcheck(lambda *given: PathStrength().penalty(given, (), per_entry=False)[0][1], weights)


def test_cnode_has_no_gates() -> None:
    method = get_method("cnode")
    assert not method.gated
    assert issubclass(method, Penalty)
