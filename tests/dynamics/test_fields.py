import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sparsenode.dynamics import mlp
from sparsenode.dynamics.fields import VectorField, clamped, first_order, make_field, second_order
from sparsenode.dynamics.mlp import Layers
from sparsenode.dynamics.solvers import Grid, solve_nodes

FEATURES, MEMBERS, ROWS = 3, 2, 4


def random_layers(field: VectorField, *, decay: bool = False) -> Layers:
    generators = [torch.Generator().manual_seed(seed) for seed in range(MEMBERS)]
    weights, biases = mlp.initialize_layers(generators, (field.inputs, 5, FEATURES))
    rates = torch.rand(MEMBERS, 1, field.state_size, dtype=torch.float64, generator=generators[0]) if decay else None
    return Layers(tuple(one.double() for one in weights), tuple(one.double() for one in biases), "tanh", rates)


def random_state(field: VectorField, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(MEMBERS, ROWS, field.state_size, dtype=torch.float64, generator=generator)


def test_first_order_rate_is_the_network() -> None:
    field = first_order(FEATURES)
    assert (field.order, field.inputs, field.state_size) == (1, FEATURES, FEATURES)
    layers, state = random_layers(field), random_state(field)
    assert torch.equal(field.rate(layers, state), mlp.apply(layers, state))


def test_second_order_rate_is_the_velocity_and_the_network_of_both() -> None:
    field = second_order(FEATURES)
    assert (field.order, field.inputs, field.state_size) == (2, 2 * FEATURES, 2 * FEATURES)
    layers, state = random_layers(field), random_state(field)
    rate = field.rate(layers, state)
    assert torch.equal(rate[..., :FEATURES], state[..., FEATURES:])
    assert torch.equal(rate[..., FEATURES:], mlp.apply(layers, state))


def test_decay_is_taken_off_the_rate_of_each_variable() -> None:
    """At second order a stiffness times the position and a damping times the velocity."""
    for field in (first_order(FEATURES), second_order(FEATURES)):
        layers, state = random_layers(field, decay=True), random_state(field)
        rate, network = field.rate(layers, state), mlp.apply(layers, state)
        for member, feature in itertools.product(range(MEMBERS), range(FEATURES)):
            expected = network[member, :, feature].clone()
            for place in range(feature, field.state_size, FEATURES):
                expected -= layers.decay[member, 0, place] * state[member, :, place]
            torch.testing.assert_close(rate[member, :, feature - FEATURES], expected)
        if field.order == 2:
            assert torch.equal(rate[..., :FEATURES], state[..., FEATURES:])


@pytest.mark.parametrize("decay", [False, True])
@pytest.mark.parametrize("order", [1, 2])
def test_reverse_pass_is_that_of_autograd(order: int, decay: bool) -> None:
    field = make_field(order, FEATURES)
    layers = random_layers(field, decay=decay)
    leaves = replace(layers, weights=tuple(one.requires_grad_() for one in layers.weights))
    state = random_state(field).requires_grad_()
    rate, recorded = field.record(leaves, state)
    gradient = random_state(field, seed=2)
    before = gradient.clone()
    expected = torch.autograd.grad(rate, [state, *leaves.weights], gradient)
    with torch.no_grad():
        for_state, for_linear = field.reverse(leaves, recorded, gradient)
    torch.testing.assert_close(for_state, expected[0])
    for index in range(2):
        torch.testing.assert_close(recorded[index].transpose(1, 2) @ for_linear[index], expected[1 + index])
    assert torch.equal(gradient, before)


@pytest.mark.parametrize("decay", [False, True])
@pytest.mark.parametrize("order", [1, 2])
def test_jacobian_is_that_of_the_rate(order: int, decay: bool) -> None:
    field = make_field(order, FEATURES)
    layers, state = random_layers(field, decay=decay), random_state(field)
    found = field.jacobian(layers, state)
    assert found.shape == (MEMBERS, ROWS, field.state_size, FEATURES)
    # Rows do not mix, so that the sum over rows holds the derivative of each.
    whole = torch.autograd.functional.jacobian(lambda at: field.rate(layers, at)[..., -FEATURES:].sum(1), state)
    for member in range(MEMBERS):
        torch.testing.assert_close(found[member], whole[member, :, member].permute(1, 2, 0))


def test_first_order_paths_are_those_of_the_network() -> None:
    matrix = torch.randn(MEMBERS, FEATURES, FEATURES)
    assert torch.equal(first_order(FEATURES).fold_paths(matrix), matrix)


def test_second_order_paths_keep_the_larger_of_position_and_velocity_with_its_sign() -> None:
    position = torch.tensor([[[1.0, -5.0], [0.0, 2.0]]])
    velocity = torch.tensor([[[-3.0, 4.0], [0.0, -2.0]]])
    folded = second_order(2).fold_paths(torch.cat((position, velocity), dim=1))
    assert folded.tolist() == [[[-3.0, -5.0], [0.0, 2.0]]]


HELD = torch.tensor([False, True, False])


@pytest.mark.parametrize("order", [1, 2])
def test_held_variables_have_no_rate_and_others_keep_theirs(order: int) -> None:
    field = make_field(order, FEATURES)
    layers, state = random_layers(field, decay=True), random_state(field)
    held = HELD.repeat(order)
    free, found = field.rate(layers, state), clamped(field, HELD).rate(layers, state)
    assert not found[..., held].any()
    assert free[..., held].all()
    assert torch.equal(found[..., ~held], free[..., ~held])


def test_a_rate_that_is_not_finite_does_not_move_what_is_held() -> None:
    field = first_order(FEATURES)
    layers = random_layers(field)
    layers.biases[-1][..., 1] = torch.inf
    assert not clamped(field, HELD).rate(layers, random_state(field))[..., 1].any()


@pytest.mark.parametrize("decay", [False, True])
@pytest.mark.parametrize("order", [1, 2])
def test_gradients_through_a_clamped_solve_are_those_of_differences(order: int, decay: bool) -> None:
    field = clamped(make_field(order, FEATURES), HELD)
    layers = random_layers(field, decay=decay)
    grid = Grid(3, torch.tensor([[0.2], [0.3], [0.1], [0.25]], dtype=torch.float64))
    given = [random_state(field), *layers.weights, *layers.biases, *([layers.decay] if decay else [])]
    leaves = [one.clone().requires_grad_() for one in given]

    def nodes(state: Tensor, first: Tensor, second: Tensor, *rest: Tensor) -> Tensor:
        own = Layers((first, second), rest[:2], "tanh", rest[2] if decay else None)
        return solve_nodes(field, own, grid, state)

    assert torch.autograd.gradcheck(nodes, leaves, fast_mode=True)
    # What is held does not depend on the network at all.
    last = nodes(*leaves)[..., 1].sum()
    gradients = torch.autograd.grad(last, leaves[1:5])
    assert not any(gradient.any() for gradient in gradients)
