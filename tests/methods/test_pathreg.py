import itertools

import pytest
import torch

from sparsenode.dynamics.paths import path_product
from sparsenode.methods import get_method
from sparsenode.methods.pathreg import PathReg


def random_layers(*widths: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, *shape) for shape in itertools.pairwise(widths)]
    weights = [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes]
    return weights, [torch.rand(shape, dtype=torch.float64, generator=generator) for shape in shapes]


def mean_over_paths(layers: list[torch.Tensor], member: int) -> float:
    one, two = (layer[member].abs() for layer in layers)
    widths = (one.shape[0], one.shape[1], two.shape[1])
    paths = [float(one[i, h] * two[h, o]) for i, h, o in itertools.product(*map(range, widths))]
    return sum(paths) / len(paths)


def test_the_terms_are_the_means_over_all_paths() -> None:
    weights, probabilities = random_layers(2, 3, 2)
    (first, strength), (second, open_) = PathReg(kappa=0.7).penalty(weights, probabilities, per_entry=False)
    assert (first, second) == (1.0, 0.7)
    for member in range(2):
        assert float(strength[member]) == pytest.approx(mean_over_paths(weights, member))
        assert float(open_[member]) == pytest.approx(mean_over_paths(probabilities, member))


def test_the_study_takes_the_mean_over_entries() -> None:
    weights, probabilities = random_layers(3, 6, 5, 3)
    (_, strength), (_, open_) = PathReg().penalty(weights, probabilities, per_entry=True)
    torch.testing.assert_close(strength, path_product(weights).mean((1, 2)))
    torch.testing.assert_close(open_, path_product(probabilities).mean((1, 2)))
    # 30 ways through the hidden units for each entry: what makes the study's gate term start so large.
    (_, alone), (_, alone_open) = PathReg().penalty(weights, probabilities, per_entry=False)
    torch.testing.assert_close(strength, 30 * alone)
    torch.testing.assert_close(open_, 30 * alone_open)


@pytest.mark.parametrize("closed", [0, 1])
def test_a_closed_layer_closes_every_path_and_leaves_the_weights_their_term(closed: int) -> None:
    weights, probabilities = random_layers(2, 3, 2)
    probabilities[closed] = torch.zeros_like(probabilities[closed])
    (_, strength), (_, open_) = PathReg().penalty(weights, probabilities, per_entry=False)
    assert not open_.any()
    assert (strength > 0).all()


def test_zero_weights_cost_nothing_and_are_not_pushed() -> None:
    _, probabilities = random_layers(2, 3, 2)
    weights = [torch.zeros_like(one, requires_grad=True) for one in probabilities]
    (_, strength), _ = PathReg().penalty(weights, probabilities, per_entry=False)
    strength.sum().backward()
    assert strength.tolist() == [0.0, 0.0]
    assert all(not weight.grad.any() for weight in weights)


def test_gradients() -> None:
    weights, probabilities = random_layers(2, 3, 2)
    leaves = [one.requires_grad_() for one in (*weights, *probabilities)]

    def total(*given: torch.Tensor) -> torch.Tensor:
        (_, strength), (kappa, open_) = PathReg(kappa=0.3).penalty(given[:2], given[2:], per_entry=False)
        return strength + kappa * open_

    assert torch.autograd.gradcheck(total, leaves)


def test_pathreg_is_gated_and_kappa_is_a_tenth_unless_said_otherwise() -> None:
    method = get_method("pathreg")
    assert method.gated
    assert method().kappa == 0.1
    weights, probabilities = random_layers(2, 3, 2)
    assert PathReg().penalty(weights, probabilities, per_entry=False)[1][0] == 0.1
