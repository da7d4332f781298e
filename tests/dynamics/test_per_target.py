"""One network per target: side by side in one product, each is the small network that it would be alone."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sparsenode.dynamics import gates, mlp, network
from sparsenode.dynamics.fields import make_field
from sparsenode.dynamics.network import Parameters
from sparsenode.dynamics.solvers import Grid, solve_nodes
from sparsenode.training.adam import Adam
from sparsenode.training.edges import between_variables, gather_edges, move_edges, scatter_edges

FEATURES = 3
HIDDEN = [(), (5,), (4, 2), (1,), (1, 1)]


def fresh(
    hidden: tuple[int, ...], members: int = 2, *, order: int = 1, skip: bool = False, gates_on: str | None = None
) -> Parameters:
    generators = [torch.Generator().manual_seed(seed) for seed in range(members)]
    widths = (order * FEATURES, *hidden, FEATURES)
    made = network.initialize_parameters(generators, widths, gates_on=gates_on, per_target=True, skip=skip)
    return made.map(lambda tensor: tensor.double())


def alone(parameters: Parameters, member: int, target: int, inputs: Tensor, activation: str) -> Tensor:
    """Output (row,) of one target's network, layer by layer."""
    factors = network.deterministic_gates(parameters)
    values, last = inputs, len(parameters.weights) - 1
    for layer, weight in enumerate(parameters.weights):
        own = weight[member, target] * (factors[layer][member, target] if factors else 1.0)
        units = weight.shape[-1]
        values = values @ own + parameters.biases[layer][member, 0, target * units : (target + 1) * units]
        if layer < last:
            values = getattr(torch.nn.functional, activation)(values)
    output = values[:, 0]
    for straight in parameters.skip:
        output = output + inputs @ straight[member, target, :, 0]
    return output


def inputs_of(members: int, rows: int, width: int) -> Tensor:
    return torch.randn(members, rows, width, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("gates_on", [None, "weight", "unit"])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_outputs_are_those_of_each_network_alone(hidden: tuple[int, ...], gates_on: str | None, skip: bool) -> None:
    parameters = fresh(hidden, skip=skip, gates_on=gates_on)
    generator = torch.Generator().manual_seed(4)
    drawn = tuple(torch.empty_like(one).uniform_(-4, 3, generator=generator) for one in parameters.log_alpha)
    parameters = replace(parameters, log_alpha=drawn)
    layers = network.effective_layers(parameters, network.deterministic_gates(parameters), "tanh")
    inputs = inputs_of(2, 4, FEATURES)
    found = mlp.apply(layers, inputs)
    for member in range(2):
        for target in range(FEATURES):
            expected = alone(parameters, member, target, inputs[member], "tanh")
            torch.testing.assert_close(found[member, :, target], expected)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_the_jacobian_is_that_of_autograd(hidden: tuple[int, ...], skip: bool) -> None:
    parameters = fresh(hidden, 1, skip=skip)
    layers = network.effective_layers(parameters, (), "elu")
    inputs = inputs_of(1, 2, FEATURES)
    found = mlp.jacobian(layers, inputs)
    for row in range(2):
        expected = torch.autograd.functional.jacobian(
            lambda state: mlp.apply(layers, state.view(1, 1, -1)).flatten(), inputs[0, row]
        )
        torch.testing.assert_close(found[0, row], expected.T)


@pytest.mark.parametrize("rows", [2, 70])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_gradients_of_a_solve_are_those_of_autograd(hidden: tuple[int, ...], order: int, rows: int) -> None:
    """Through the written-out reverse pass, against autograd through the same steps one by one."""
    field = make_field(order, FEATURES)
    parameters = fresh(hidden, order=order, skip=True)
    leaves = [*parameters.weights, *parameters.biases, *parameters.skip]
    for leaf in leaves:
        leaf.requires_grad_()
    layers = network.effective_layers(parameters, (), "tanh")
    state = inputs_of(2, rows, field.state_size)
    step = torch.full((rows, 1), 0.2, dtype=torch.float64)
    found = solve_nodes(field, layers, Grid(3, step), state)

    at, states, slopes = state, [state], [field.rate(layers, state)]
    for _ in range(3):
        first = field.rate(layers, at)
        second = field.rate(layers, at + 0.1 * first)
        third = field.rate(layers, at + 0.1 * second)
        at = at + 0.2 / 6 * (first + 2 * second + 2 * third + field.rate(layers, at + 0.2 * third))
        states.append(at)
        slopes.append(field.rate(layers, at))
    plain_states, plain_slopes = torch.stack(states, dim=2), torch.stack(slopes, dim=2)
    if order == 2:
        plain_states, plain_slopes = plain_states[..., :FEATURES], plain_states[..., FEATURES:]
    expected = torch.cat((plain_states, 0.2 * plain_slopes), dim=2)
    torch.testing.assert_close(found, expected)
    gradient = torch.randn(found.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ours = torch.autograd.grad(found, leaves, gradient, retain_graph=True)
    theirs = torch.autograd.grad(expected, leaves, gradient)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_paths_are_summed_within_each_targets_network(hidden: tuple[int, ...], skip: bool) -> None:
    parameters = fresh(hidden, skip=skip)
    found = network.path_matrix(parameters)
    for member in range(2):
        for target in range(FEATURES):
            product = torch.eye(FEATURES, dtype=torch.float64)
            for weight in parameters.weights:
                product = product @ weight[member, target].abs()
            for straight in parameters.skip:
                product = product + straight[member, target].abs()
            torch.testing.assert_close(found[member, :, target], product[:, 0])


def test_a_closed_edge_gate_closes_the_paths_of_one_edge_alone() -> None:
    """With one network per target a gate on an input unit is one on an edge: the matrix of open paths has full rank."""
    parameters = fresh((4,), 1, gates_on="unit")
    closed = parameters.log_alpha[0].clone()
    closed[0, 1, 2] = -20.0
    parameters = replace(parameters, log_alpha=(closed, *parameters.log_alpha[1:]))
    paths = network.path_matrix(parameters)[0]
    assert (paths == 0).nonzero().tolist() == [[2, 1]]
    probability = network.open_paths(parameters)[0]
    assert probability[2, 1] < 1e-6
    others = probability.flatten()[[0, 1, 2, 3, 4, 5, 6, 8]]
    torch.testing.assert_close(others, torch.full_like(others, float(gates.open_probability(closed[0, 0, 0]) ** 2)))


def test_a_pruned_network_keeps_its_outputs_and_its_sparsity() -> None:
    parameters = fresh((4,), skip=True, gates_on="weight")
    generator = torch.Generator().manual_seed(2)
    drawn = tuple(torch.empty_like(one).uniform_(-6, 3, generator=generator) for one in parameters.log_alpha)
    skip = (torch.where(parameters.skip[0] > 0, parameters.skip[0], 0.0),)
    parameters = replace(parameters, log_alpha=drawn, skip=skip)
    pruned = network.prune_closed(parameters, 1e-5)
    assert [mask.shape for mask in pruned.masks] == [one.shape for one in (*parameters.weights, *skip)]
    torch.testing.assert_close(network.path_matrix(pruned), network.path_matrix(parameters))
    sparsity = network.weight_sparsity(parameters, 1e-5)
    torch.testing.assert_close(network.weight_sparsity(pruned, 1e-5), sparsity)
    empty = torch.cat([(mask == 0).flatten(1) for mask in pruned.masks], dim=1).double().mean(1)
    torch.testing.assert_close(sparsity, empty)


def test_each_member_begins_from_its_seed_alone_and_within_the_usual_bound() -> None:
    together, single = fresh((5,), 2, skip=True), fresh((5,), 1, skip=True)
    for name, tensor in single.named().items():
        assert torch.equal(together.named()[name][:1], tensor)
    for weight in (*together.weights, *together.skip):
        bound = weight.shape[-2] ** -0.5
        assert 0.5 * bound < float(weight.abs().max()) <= bound


def test_parameters_with_a_skip_come_back_from_their_names() -> None:
    parameters = fresh((3,), skip=True)
    again = network.from_named(parameters.named())
    assert [name for name in again.named() if name.startswith("skip")] == ["skip.0"]
    assert network.select(parameters, [1]).skip[0].shape == (1, FEATURES, FEATURES, 1)


@pytest.mark.parametrize("order", [1, 2])
def test_edges_hold_all_that_a_source_feeds_to_a_target(order: int) -> None:
    weight = torch.arange(2 * 3 * order * 3 * 4, dtype=torch.float64).view(2, 3, order * 3, 4)
    edges = gather_edges(weight, order)
    assert edges.shape == (2, 3, 3, 4 * order)
    for source in range(3):
        expected = torch.cat([weight[1, 2, part * 3 + source] for part in range(order)])
        assert torch.equal(edges[1, 2, source], expected)
    assert torch.equal(scatter_edges(edges, order), weight)


def test_a_variable_is_not_penalized_for_what_it_does_to_itself() -> None:
    assert between_variables(2, torch.device("cpu")).tolist() == [[0.0, 1.0], [1.0, 0.0]]


@pytest.mark.slow(reason="solves to a reference's precision")
@pytest.mark.parametrize("order", [1, 2])
def test_a_step_with_one_size_per_edge_is_adam_on_a_single_weight_each(order: int) -> None:
    """With one unit per edge and no skip, the mean over an edge's second moments is that of its own weights."""
    weight = torch.randn(1, 2, order * 2, 1, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimizer = Adam([{"params": [weight], "peak": 0.1}])
    for seed in range(3):
        before = weight.detach().clone()
        weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed + 7))
        optimizer.step()
    (moved,), sizes = move_edges(optimizer, [weight], [before], order)
    moments = optimizer.state[weight]
    mean = gather_edges(moments["exp_avg_sq"] / (1 - 0.999**3), order).mean(-1)
    torch.testing.assert_close(sizes, 0.1 / (mean.sqrt() + 1e-8))
    first = gather_edges(moments["exp_avg"] / (1 - 0.9**3), order)
    torch.testing.assert_close(moved, gather_edges(before, order) - sizes.unsqueeze(-1) * first)
    if order == 1:
        torch.testing.assert_close(scatter_edges(moved, order), weight.detach())
