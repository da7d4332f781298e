import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparsenode.dynamics.paths import mean_path, path_product

widths_of_networks = st.lists(st.integers(1, 4), min_size=2, max_size=5)


def random_weights(widths: list[int], seed: int = 0, members: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(members, width_in, width_out, dtype=torch.float64, generator=generator)
        for width_in, width_out in itertools.pairwise(widths)
    ]


def all_paths(weights: list[Tensor], member: int) -> dict[tuple[int, ...], float]:
    """Absolute weight of every path, by the units it visits."""
    widths = [weights[0].shape[1], *(weight.shape[2] for weight in weights)]
    return {
        units: math.prod(
            abs(float(weight[member, source, target]))
            for weight, source, target in zip(weights, units[:-1], units[1:], strict=True)
        )
        for units in itertools.product(*(range(width) for width in widths))
    }


@settings(deadline=None, max_examples=25)
@given(widths_of_networks, st.integers(0, 1000))
def test_path_product_sums_all_paths_from_input_to_output(widths: list[int], seed: int) -> None:
    weights = random_weights(widths, seed)
    found = path_product(weights)
    assert found.shape == (2, widths[0], widths[-1])
    for member in range(2):
        expected = torch.zeros(widths[0], widths[-1], dtype=torch.float64)
        for units, strength in all_paths(weights, member).items():
            expected[units[0], units[-1]] += strength
        torch.testing.assert_close(found[member], expected)


@settings(deadline=None, max_examples=25)
@given(widths_of_networks, st.integers(0, 1000))
def test_mean_path_is_the_mean_over_all_paths(widths: list[int], seed: int) -> None:
    weights = random_weights(widths, seed)
    absolute = [weight.abs() for weight in weights]
    for member in range(2):
        paths = all_paths(weights, member)
        total = sum(paths.values())
        assert float(mean_path(absolute)[member]) == pytest.approx(total / len(paths))
        assert float(mean_path(absolute, per_entry=True)[member]) == pytest.approx(total / (widths[0] * widths[-1]))


def test_mean_path_per_entry_is_the_mean_of_the_path_matrix() -> None:
    weights = random_weights([4, 7, 6, 3])
    found = mean_path([weight.abs() for weight in weights], per_entry=True)
    torch.testing.assert_close(found, path_product(weights).mean((1, 2)))


def test_mean_path_of_equal_weights_does_not_depend_on_width() -> None:
    for widths in ([2, 3, 2], [5, 50, 20, 4]):
        weights = [torch.full((1, *shape), 0.5) for shape in itertools.pairwise(widths)]
        assert float(mean_path(weights)[0]) == pytest.approx(0.5 ** (len(widths) - 1))


@settings(deadline=None, max_examples=25)
@given(widths_of_networks, st.integers(0, 1000))
def test_an_input_with_one_value_for_all_its_outputs_need_not_be_spread_over_them(widths: list[int], seed: int) -> None:
    narrow = [weight.abs()[:, :, :1] for weight in random_weights(widths, seed)]
    spread = [one.expand(-1, -1, above) for one, above in zip(narrow, widths[1:], strict=True)]
    for per_entry in (False, True):
        torch.testing.assert_close(mean_path(narrow, per_entry=per_entry), mean_path(spread, per_entry=per_entry))


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_closed_layer_closes_every_path(closed: int) -> None:
    weights = random_weights([3, 4, 4, 2])
    weights[closed] = torch.zeros_like(weights[closed])
    assert not path_product(weights).any()
    assert not mean_path([weight.abs() for weight in weights]).any()


def test_a_hidden_unit_without_output_carries_no_path() -> None:
    weights = random_weights([3, 2, 2])
    weights[0][:, :, 1] = 0.0
    weights[1][:, 0, 1] = 0.0
    assert not path_product(weights)[:, :, 1].any()
    assert (path_product(weights)[:, :, 0] > 0).all()


def test_gradients_of_mean_path() -> None:
    weights = [weight.abs().requires_grad_() for weight in random_weights([2, 3, 2, 2])]
    assert torch.autograd.gradcheck(lambda *given: mean_path(given), weights)
    assert torch.autograd.gradcheck(lambda *given: mean_path(given, per_entry=True), weights)
