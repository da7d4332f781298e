"""Solves against exact solutions and plain loops, and the exact loss against a loop over all observations."""

import itertools
import weakref
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from torch import Tensor

from sparsenode.dynamics import mlp
from sparsenode.dynamics.fields import VectorField, make_field
from sparsenode.dynamics.mlp import Layers
from sparsenode.dynamics.solvers import Grid, dense_output_matrix, factor_loss, solve_nodes, solve_pieces

SYSTEM = np.array([[-0.4, 2.0, 0.0], [-1.5, -0.3, -0.5], [0.3, 0.0, -0.2]])  # x' = x SYSTEM
START = np.array([1.0, -0.5, 0.8])


def linear(matrix: np.ndarray) -> Layers:
    """A network of one layer, which is linear."""
    weight = torch.as_tensor(matrix, dtype=torch.float64)[None]
    return Layers((weight,), (torch.zeros(1, 1, weight.shape[2], dtype=torch.float64),))


def even_grid(intervals: int, duration: float | Sequence[float]) -> Grid:
    durations = torch.as_tensor(np.atleast_1d(duration), dtype=torch.float64)
    return Grid(intervals, (durations / intervals)[:, None])


def random_layers(field: VectorField, activation: str, members: int, dtype: torch.dtype = torch.float64) -> Layers:
    generators = [torch.Generator().manual_seed(seed) for seed in range(members)]
    weights, biases = mlp.initialize_layers(generators, (field.inputs, 5, 4, field.features))
    return Layers(tuple(2 * one.to(dtype) for one in weights), tuple(one.to(dtype) for one in biases), activation)


def random_state(field: VectorField, members: int, rows: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(members, rows, field.state_size, generator=generator, dtype=dtype)


def plain_runge_kutta(field: VectorField, layers: Layers, grid: Grid, state: Tensor) -> Tensor:
    """The textbook's loop, left to autograd."""

    def rate(at: Tensor) -> Tensor:
        values = at
        for index, (weight, bias) in enumerate(zip(layers.weights, layers.biases, strict=True)):
            values = values @ weight + bias
            if index < len(layers.weights) - 1:
                values = getattr(torch.nn.functional, layers.activation)(values)
        if layers.decay is not None:
            taken = layers.decay * at
            values = values - sum(taken.split(field.features, dim=-1))
        return values if field.order == 1 else torch.cat((at[..., field.features :], values), dim=-1)

    h = grid.step
    states, slopes = [state], [rate(state)]
    for _ in range(grid.intervals):
        k1 = rate(state)
        k2 = rate(state + h / 2 * k1)
        k3 = rate(state + h / 2 * k2)
        k4 = rate(state + h * k3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        states.append(state)
        slopes.append(rate(state))
    observed = slice(0, field.features)
    nodes = [one[..., observed] for one in states] + [h * one[..., observed] for one in slopes]
    return torch.stack(nodes, dim=2)


@pytest.mark.slow(reason="solves to a reference's precision")
def test_decay_is_a_linear_term_beside_the_network() -> None:
    """Values, and gradients of everything, of x' = network(x) - decay x."""
    field = make_field(1, 3)
    layers, state = random_layers(field, "tanh", 2), random_state(field, 2, 3)
    decay = torch.tensor([[[0.1, 2.0, 0.0]], [[1.0, 0.5, 0.3]]], dtype=torch.float64)
    grid = even_grid(3, [0.4, 1.0, 0.7])
    leaves = [leaf.requires_grad_() for leaf in (state, decay, *layers.weights, *layers.biases)]

    def solve(initial: Tensor, rates: Tensor, *tensors: Tensor) -> Tensor:
        return solve_nodes(field, Layers(tensors[:3], tensors[3:], "tanh", rates), grid, initial)

    assert torch.autograd.gradcheck(solve, leaves)
    nothing = Layers(
        tuple(torch.zeros_like(one) for one in layers.weights),
        tuple(torch.zeros_like(one) for one in layers.biases),
        "tanh",
        decay,
    )
    with torch.no_grad():
        found = solve_nodes(field, nothing, even_grid(50, [1.0, 1.0, 1.0]), state)[:, :, 50]
        torch.testing.assert_close(found, state * torch.exp(-decay), rtol=1e-6, atol=1e-8)


def random_decay(field: VectorField, members: int) -> Tensor:
    generator = torch.Generator().manual_seed(8)
    return 2 * torch.rand(members, 1, field.state_size, generator=generator, dtype=torch.float64)


def without_network(decay: Tensor) -> Layers:
    """Layers at second order that give nothing but the decay (member, 1, state)."""
    members, features = decay.shape[0], decay.shape[2] // 2
    weight = torch.zeros(members, 2 * features, features, dtype=decay.dtype)
    return Layers((weight,), (torch.zeros(members, 1, features, dtype=decay.dtype),), "elu", decay)


# Of two variables, so that a mistake in the layout of stiffness and damping shows.
@pytest.mark.parametrize("rows", [1, 3, 70])
@pytest.mark.parametrize("order", [1, 2])
def test_values_and_gradients_with_decay_are_those_of_autograd_through_a_plain_loop(order: int, rows: int) -> None:
    field = make_field(order, 2)
    layers, state = random_layers(field, "tanh", 2), random_state(field, 2, rows)
    grid = Grid(4, torch.linspace(0.1, 0.4, rows, dtype=torch.float64)[:, None])
    decay = random_decay(field, 2)
    layers = Layers(layers.weights, layers.biases, "tanh", decay)
    leaves = [leaf.requires_grad_() for leaf in (decay, state, *layers.weights, *layers.biases)]
    expected = plain_runge_kutta(field, layers, grid, state)
    found = solve_nodes(field, layers, grid, state)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    gradient = torch.randn(found.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for one, other in zip(
        torch.autograd.grad(found, leaves, gradient), torch.autograd.grad(expected, leaves, gradient), strict=True
    ):
        assert one.abs().max() > 0
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)


@pytest.mark.slow(reason="solves to a reference's precision")
def test_gradients_of_stiffness_and_damping_by_finite_differences() -> None:
    field = make_field(2, 2)
    layers, state = random_layers(field, "tanh", 2), random_state(field, 2, 2)
    grid = even_grid(2, [0.5, 1.0])
    leaves = [leaf.requires_grad_() for leaf in (random_decay(field, 2), state, *layers.weights, *layers.biases)]

    def solve(decay: Tensor, initial: Tensor, *tensors: Tensor) -> Tensor:
        return solve_nodes(field, Layers(tensors[:3], tensors[3:], "tanh", decay), grid, initial)

    assert torch.autograd.gradcheck(solve, leaves)


def damped(times: np.ndarray, stiffness: float, damping: float, start: float, velocity: float) -> np.ndarray:
    """Exact x (time,) of x'' = -stiffness x - damping x', by the matrix exponential."""
    system = np.array([[0.0, 1.0], [-stiffness, -damping]])
    return np.array([(expm(system * at) @ [start, velocity])[0] for at in times])


def test_stiffness_and_damping_alone_are_a_damped_oscillator_to_order_four() -> None:
    """Underdamped, critically damped and overdamped, in two members and two variables."""
    stiffness, damping = np.array([[9.0, 4.0], [1.0, 0.0]]), np.array([[0.4, 4.0], [3.0, 0.7]])
    layers = without_network(torch.as_tensor(np.concatenate((stiffness, damping), axis=1))[:, None])
    state = random_state(make_field(2, 2), 2, 1)
    duration, errors = 2.0, []
    for intervals in (16, 32, 64):
        nodes = solve_nodes(make_field(2, 2), layers, even_grid(intervals, duration), state)[:, 0, : intervals + 1]
        times = np.linspace(0, duration, intervals + 1)
        worst = 0.0
        for member, feature in itertools.product(range(2), range(2)):
            start, velocity = state[member, 0, feature].item(), state[member, 0, 2 + feature].item()
            exact = damped(times, stiffness[member, feature], damping[member, feature], start, velocity)
            worst = max(worst, np.abs(nodes[member, :, feature].numpy() - exact).max())
        errors.append(worst)
    assert errors[-1] < 1e-5
    np.testing.assert_allclose(np.log2(np.array(errors[:-1]) / errors[1:]), 4.0, atol=0.3)


@pytest.mark.slow(reason="solves to a reference's precision")
def test_the_adaptive_reference_knows_the_decay() -> None:
    field = make_field(2, 2)
    layers, state = random_layers(field, "tanh", 2), random_state(field, 2, 2)
    decay = random_decay(field, 2).requires_grad_()
    layers = Layers(layers.weights, layers.biases, "tanh", decay)
    grid = even_grid(64, [1.0, 2.0])
    fast = solve_nodes(field, layers, grid, state)
    reference = solve_nodes(field, layers, grid, state, scheme="dopri5", tolerance=1e-10)
    torch.testing.assert_close(fast, reference, rtol=1e-7, atol=1e-7)
    one, other = (torch.autograd.grad(nodes.square().sum(), decay)[0] for nodes in (fast, reference))
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_nodes_of_a_linear_system_are_its_exact_solution() -> None:
    intervals, duration = 200, 2.0
    start = torch.as_tensor(START)[None, None]
    found = solve_nodes(make_field(1, 3), linear(SYSTEM), even_grid(intervals, duration), start)[0, 0].numpy()
    for node in range(intervals + 1):
        exact = START @ expm(SYSTEM * duration * node / intervals)
        np.testing.assert_allclose(found[node], exact, atol=1e-9)
        np.testing.assert_allclose(found[intervals + 1 + node], exact @ SYSTEM * duration / intervals, atol=1e-10)


def test_a_network_of_several_layers_that_is_linear_on_the_way_gives_the_exact_solution() -> None:
    """A bias lifts the states to where an elu is the identity; the next layer takes it off again."""
    lift = 50.0
    weights = (torch.eye(3, dtype=torch.float64)[None], torch.as_tensor(SYSTEM)[None])
    biases = (torch.full((1, 1, 3), lift, dtype=torch.float64), -lift * weights[1].sum(1, keepdim=True))
    start = torch.as_tensor(START)[None, None]
    found = solve_nodes(make_field(1, 3), Layers(weights, biases, "elu"), even_grid(100, 2.0), start)
    np.testing.assert_allclose(found[0, 0, 100].numpy(), START @ expm(2.0 * SYSTEM), atol=1e-7)


def test_an_oscillator_of_second_order_is_a_cosine() -> None:
    """x'' = -9 x - 0.4 x': a network of one layer on (x, x')."""
    layers = linear(np.array([[-9.0], [-0.4]]))
    start = torch.tensor([[[1.0, -0.2]]], dtype=torch.float64)
    intervals, duration = 200, 3.0
    found = solve_nodes(make_field(2, 1), layers, even_grid(intervals, duration), start)[0, 0, :, 0].numpy()
    frequency = np.sqrt(9 - 0.04)
    times = np.linspace(0, duration, intervals + 1)
    exact = np.exp(-0.2 * times) * np.cos(frequency * times)
    slope = -0.2 * exact - frequency * np.exp(-0.2 * times) * np.sin(frequency * times)
    np.testing.assert_allclose(found[: intervals + 1], exact, atol=1e-6)
    np.testing.assert_allclose(found[intervals + 1 :], slope * duration / intervals, atol=1e-7)


@pytest.mark.parametrize("order", [1, 2])
def test_nodes_are_of_order_four(order: int) -> None:
    field = make_field(order, 2)
    layers, start = random_layers(field, "tanh", 1), random_state(field, 1, 1)
    best = solve_nodes(field, layers, even_grid(512, 4.0), start)[0, 0, 512]
    errors = [
        float((solve_nodes(field, layers, even_grid(count, 4.0), start)[0, 0, count] - best).norm())
        for count in (8, 16, 32)
    ]
    orders = np.log2([errors[0] / errors[1], errors[1] / errors[2]])
    assert orders[1] == pytest.approx(4.0, abs=0.35)
    assert orders[0] > 3.3


def test_dense_output_is_of_order_four() -> None:
    """Between the nodes of the exact solution itself, so that the order is that of the interpolant."""
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 2.0, 60))
    exact = np.stack([START @ expm(SYSTEM * at) for at in times])
    errors = []
    for intervals in (4, 8, 16, 32):
        step = 2.0 / intervals
        states = np.stack([START @ expm(SYSTEM * step * node) for node in range(intervals + 1)])
        nodes = np.concatenate((states, states @ SYSTEM * step))
        errors.append(np.abs(dense_output_matrix(times / step, intervals) @ nodes - exact).max())
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert orders[-1] == pytest.approx(4.0, abs=0.4)
    assert orders.min() > 3.2


def test_dense_output_of_a_solve_is_of_order_four() -> None:
    start, times = torch.as_tensor(START)[None, None], np.linspace(0, 2.0, 41)
    exact = np.stack([START @ expm(SYSTEM * at) for at in times])
    errors = []
    for intervals in (8, 16, 32):
        nodes = solve_nodes(make_field(1, 3), linear(SYSTEM), even_grid(intervals, 2.0), start)[0, 0].numpy()
        errors.append(np.abs(dense_output_matrix(times * intervals / 2.0, intervals) @ nodes - exact).max())
    assert np.log2(errors[1] / errors[2]) == pytest.approx(4.0, abs=0.4)


def test_dense_output_is_exact_for_cubics_and_at_the_nodes() -> None:
    intervals, step = 5, 0.3
    cubic = np.polynomial.Polynomial([0.3, -1.0, 0.7, 2.0])
    at_nodes = step * np.arange(intervals + 1)
    nodes = np.concatenate((cubic(at_nodes), step * cubic.deriv()(at_nodes)))
    times = np.random.default_rng(0).uniform(0, intervals * step, 40)
    np.testing.assert_allclose(dense_output_matrix(times / step, intervals) @ nodes, cubic(times), atol=1e-13)
    expected = np.eye(intervals + 1, 2 * intervals + 2)
    np.testing.assert_array_equal(dense_output_matrix(np.arange(intervals + 1.0), intervals), expected)


def test_positions_rounded_beyond_the_ends_stay_in_the_first_and_last_interval() -> None:
    matrix = dense_output_matrix(np.array([-1e-12, 3 + 1e-12]), 3)
    np.testing.assert_allclose(matrix, np.eye(4, 8)[[0, 3]], atol=1e-11)


# Few rows gather several evaluations into one product for the weight gradients; many rows are added one by one.
@pytest.mark.parametrize("rows", [1, 3, 70])
@pytest.mark.parametrize("activation", ["elu", "tanh", "softplus"])
@pytest.mark.parametrize("order", [1, 2])
def test_values_and_gradients_are_those_of_autograd_through_a_plain_loop(
    order: int, activation: str, rows: int
) -> None:
    field = make_field(order, 3)
    layers, state = random_layers(field, activation, 2), random_state(field, 2, rows)
    grid = Grid(5, torch.linspace(0.1, 0.4, rows, dtype=torch.float64)[:, None])
    leaves = [state, *layers.weights, *layers.biases]
    for leaf in leaves:
        leaf.requires_grad_()
    expected = plain_runge_kutta(field, layers, grid, state)
    found = solve_nodes(field, layers, grid, state)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    gradient = torch.randn(found.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for one, other in zip(
        torch.autograd.grad(found, leaves, gradient), torch.autograd.grad(expected, leaves, gradient), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("activation", ["elu", "tanh", "softplus"])
@pytest.mark.parametrize("order", [1, 2])
def test_gradients_by_finite_differences(order: int, activation: str) -> None:
    field = make_field(order, 2)
    layers, state = random_layers(field, activation, 1), random_state(field, 1, 2)
    grid = even_grid(2, [0.5, 1.0])
    leaves = [state, *layers.weights, *layers.biases]

    def solve(initial: Tensor, *tensors: Tensor) -> Tensor:
        return solve_nodes(field, Layers(tensors[:3], tensors[3:], activation), grid, initial)

    assert torch.autograd.gradcheck(solve, [leaf.requires_grad_() for leaf in leaves])


@pytest.mark.slow(reason="solves to a reference's precision")
@pytest.mark.parametrize("order", [1, 2])
def test_agrees_with_the_adaptive_reference_in_values_and_gradients(order: int) -> None:
    field = make_field(order, 2)
    # Smooth, unlike elu, whose kink limits the gradients of any solver to a low order.
    layers, state = random_layers(field, "tanh", 2), random_state(field, 2, 2)
    grid = even_grid(64, [1.0, 2.0])
    leaves = [leaf.requires_grad_() for leaf in (state, *layers.weights, *layers.biases)]
    fast = solve_nodes(field, layers, grid, state)
    reference = solve_nodes(field, layers, grid, state, scheme="dopri5", tolerance=1e-10)
    assert reference.shape == fast.shape
    torch.testing.assert_close(fast, reference, rtol=1e-7, atol=1e-7)
    for one, other in zip(
        torch.autograd.grad(fast.square().sum(), leaves),
        torch.autograd.grad(reference.square().sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scheme", ["rk4", "dopri5"])
@pytest.mark.parametrize("order", [1, 2])
def test_a_member_is_solved_alike_alone_and_beside_others(order: int, scheme: str) -> None:
    """Values and gradients, up to rounding: on some processors the batched products of one member take another path."""
    field = make_field(order, 3)
    layers = random_layers(field, "elu", 5, torch.float32)
    state = random_state(field, 5, 3, torch.float32)
    grid = Grid(3, torch.tensor([[0.2], [0.3], [0.1]]))

    def solve(members: slice) -> list[Tensor]:
        leaves = [one[members].clone().requires_grad_() for one in (state, *layers.weights, *layers.biases)]
        nodes = solve_nodes(field, Layers(tuple(leaves[1:4]), tuple(leaves[4:]), "elu"), grid, leaves[0], scheme=scheme)
        nodes.square().sum().backward()
        return [nodes.detach(), *(leaf.grad for leaf in leaves)]

    together = solve(slice(0, 5))
    for member in range(5):
        for one, other in zip(together, solve(slice(member, member + 1)), strict=True):
            torch.testing.assert_close(one[member : member + 1], other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scheme", ["rk4", "dopri5"])
def test_a_member_that_leaves_the_range_of_numbers_harms_no_other(scheme: str) -> None:
    field = make_field(1, 3)
    layers, state = random_layers(field, "elu", 3), random_state(field, 3, 2)
    leaves = [one.clone().requires_grad_() for one in (*layers.weights, *layers.biases)]
    with torch.no_grad():
        for leaf in leaves[:3]:
            leaf[1] = 1e150
    grid = even_grid(4, [1.0, 2.0])
    nodes = solve_nodes(field, Layers(tuple(leaves[:3]), tuple(leaves[3:]), "elu"), grid, state, scheme=scheme)
    nodes.square().sum().backward()
    sound = [0, 2]
    assert not torch.isfinite(nodes[1]).all()
    assert torch.isfinite(nodes[sound]).all()
    assert all(torch.isfinite(leaf.grad[sound]).all() for leaf in leaves)


def random_observations(
    lengths: Sequence[int], intervals: int, features: int, rng: np.random.Generator
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    positions = [np.sort(rng.uniform(0, intervals, length)) for length in lengths]
    observed = [rng.normal(size=(length, features)) for length in lengths]
    return positions, observed, [rng.uniform(0.1, 2.0, length) for length in lengths]


def brute_force(
    nodes: Tensor, positions: list, observed: list, weights: list, feature_weight: np.ndarray, intervals: int
) -> Tensor:
    total = torch.zeros(len(nodes), dtype=torch.float64)
    for row, times in enumerate(positions):
        for index, at in enumerate(times):
            matrix = torch.as_tensor(dense_output_matrix(np.array([at]), intervals))
            predicted = (matrix @ nodes[:, row])[:, 0]
            squares = (predicted - torch.as_tensor(observed[row][index])) ** 2
            total = total + weights[row][index] * (squares * torch.as_tensor(feature_weight)).sum(1)
    return total


# Nodes hold 2 x 5 values: rows of 3 observations leave the factor without full rank, one row with none at all.
@pytest.mark.parametrize("lengths", [(40, 25, 12), (3, 3), (1, 30, 4), (10,)])
def test_exact_loss_is_the_sum_over_all_observations(lengths: tuple[int, ...]) -> None:
    rng = np.random.default_rng(sum(lengths))
    intervals, features = 4, 3
    positions, observed, weights = random_observations(lengths, intervals, features, rng)
    feature_weight = rng.uniform(0.2, 3.0, features)
    loss = factor_loss(positions, observed, weights, feature_weight, intervals, scale=1.7, dtype=torch.float64)
    nodes = torch.as_tensor(rng.normal(size=(2, len(lengths), 2 * (intervals + 1), features))).requires_grad_()
    expected = brute_force(nodes, positions, observed, weights, feature_weight, intervals) / 1.7
    found = loss(nodes)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=0)
    torch.testing.assert_close(
        torch.autograd.grad(found.sum(), nodes)[0], torch.autograd.grad(expected.sum(), nodes)[0], rtol=1e-9, atol=1e-11
    )


def test_rows_observed_at_the_same_times_share_one_factor() -> None:
    rng = np.random.default_rng(0)
    (times,), (first,), (weight,) = random_observations([20], 3, 2, rng)
    observed = [first, first + 1.0, rng.normal(size=first.shape)]
    shared = factor_loss([times] * 3, observed, [weight] * 3, np.ones(2), 3, dtype=torch.float64)
    assert len(shared.factor) == 1
    nodes = torch.as_tensor(rng.normal(size=(2, 3, 8, 2)))
    expected = brute_force(nodes, [times] * 3, observed, [weight] * 3, np.ones(2), 3)
    torch.testing.assert_close(shared(nodes), expected, rtol=1e-11, atol=0)
    other_weights = factor_loss([times] * 3, observed, [weight, weight, 2 * weight], np.ones(2), 3)
    assert len(other_weights.factor) == 3


@pytest.mark.parametrize("shared", [True, False])
def test_the_loss_of_some_rows_averages_to_the_loss_of_all(shared: bool) -> None:
    """Over a partition into parts of equal size; parts of other sizes count by their rows."""
    rng = np.random.default_rng(0)
    positions, observed, weights = random_observations([9] * 6 if shared else [9, 4, 12, 9, 2, 30], 3, 2, rng)
    if shared:
        positions, weights = [positions[0]] * 6, [weights[0]] * 6
    feature_weight = np.array([0.4, 2.0])
    loss = factor_loss(positions, observed, weights, feature_weight, 3, scale=1.7, dtype=torch.float64)
    assert len(loss.factor) == (1 if shared else 6)
    nodes = torch.as_tensor(rng.normal(size=(2, 6, 8, 2))).requires_grad_()
    whole = loss(nodes)
    of_all = torch.autograd.grad(whole.sum(), nodes)[0]
    for parts in ([[4, 0], [5, 1], [2, 3]], [[3, 1, 5], [0, 4, 2]], [[2, 0, 1, 3, 5, 4]], [[1], [5, 0, 4, 2, 3]]):
        shares = [len(part) / 6 for part in parts]
        values = [loss.select(torch.tensor(part))(nodes[:, part]) for part in parts]
        mean = sum(share * value for share, value in zip(shares, values, strict=True))
        torch.testing.assert_close(mean, whole, rtol=1e-12, atol=0)
        torch.testing.assert_close(torch.autograd.grad(mean.sum(), nodes)[0], of_all, rtol=1e-11, atol=1e-13)
        for part, share, value in zip(parts, shares, values, strict=True):
            chosen = ([one[row] for row in part] for one in (positions, observed, weights))
            expected = brute_force(nodes[:, part], *chosen, feature_weight, 3) / 1.7 / share
            torch.testing.assert_close(value, expected, rtol=1e-11, atol=0)


def test_observations_without_weight_and_repeated_times() -> None:
    rng = np.random.default_rng(0)
    times, weight = np.repeat(rng.uniform(0, 3, 6), 3), np.tile([0.0, 1.0, 2.0], 6)
    times.sort()
    observed = rng.normal(size=(18, 2))
    loss = factor_loss([times], [observed], [weight], np.ones(2), 3, dtype=torch.float64)
    nodes = torch.as_tensor(rng.normal(size=(1, 1, 8, 2)))
    torch.testing.assert_close(loss(nodes), brute_force(nodes, [times], [observed], [weight], np.ones(2), 3))


def test_single_precision_does_not_cancel_at_an_error_of_1e_minus_7() -> None:
    """The expanded form of the same square, <Z, QZ> - 2<Z, R> + s, is wrong by a tenth and more here."""
    rng = np.random.default_rng(0)
    intervals, features, count = 8, 5, 2000
    positions = [np.sort(rng.uniform(0, intervals, count)) for _ in range(3)]
    nodes = rng.normal(size=(1, 3, 2 * (intervals + 1), features)).astype(np.float32)
    weights = [np.full(count, 1 / (3 * count))] * 3
    exact = [dense_output_matrix(at, intervals) @ nodes[0, row].astype(float) for row, at in enumerate(positions)]
    # An error that the nodes can express, so that nothing of it is in the constant.
    shift = 3e-4 * rng.normal(size=(2 * (intervals + 1), features))
    observed = [
        values + dense_output_matrix(at, intervals) @ shift for values, at in zip(exact, positions, strict=True)
    ]
    per_feature = np.full(features, 1 / features)
    expected = np.mean([np.square(dense_output_matrix(at, intervals) @ shift).mean() for at in positions])
    assert 1e-8 < expected < 2e-7
    loss = factor_loss(positions, observed, weights, per_feature, intervals)
    assert loss.factor.dtype == torch.float32
    assert float(loss(torch.as_tensor(nodes))) == pytest.approx(expected, rel=5e-3)


def test_the_size_of_the_factor_does_not_grow_with_the_observations() -> None:
    rng = np.random.default_rng(0)
    sizes = []
    for length in (50, 5000):
        positions, observed, weights = random_observations([length], 4, 2, rng)
        sizes.append(factor_loss(positions, observed, weights, np.ones(2), 4).factor.shape)
    assert sizes[0] == sizes[1] == (1, 10, 10)


def test_a_solve_that_fits_the_observations_has_no_loss_and_no_gradient() -> None:
    intervals = 10
    field, layers = make_field(1, 3), linear(SYSTEM)
    start, grid = torch.as_tensor(START)[None, None].requires_grad_(), even_grid(intervals, 1.0)
    nodes = solve_nodes(field, layers, grid, start)
    positions = np.linspace(0, intervals, 57)
    observed = dense_output_matrix(positions, intervals) @ nodes[0, 0].detach().numpy()
    loss = factor_loss([positions], [observed], [np.ones(57)], np.ones(3), intervals, dtype=torch.float64)
    value = loss(nodes)
    value.sum().backward()
    assert value.item() < 1e-25
    assert start.grad.abs().max() < 1e-12


def test_pairs_of_neighbors_share_values_and_slopes_where_intervals_meet() -> None:
    """The interpolant is once continuously differentiable, whatever the nodes."""
    nodes = np.random.default_rng(0).normal(size=8)
    h = 1e-6
    for inner, side in itertools.product((1, 2), (-1, 1)):
        at = dense_output_matrix(np.array([inner, inner + side * h]), 3) @ nodes
        assert at[0] == pytest.approx(nodes[inner])
        assert side * (at[1] - at[0]) / h == pytest.approx(nodes[4 + inner], abs=1e-4)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("scheme", ["rk4", "dopri5"])
def test_a_solve_in_pieces_is_the_whole_solve(order: int, scheme: str) -> None:
    field = make_field(order, 3)
    layers, state = random_layers(field, "tanh", 2), random_state(field, 2, 4)
    grid = even_grid(7, [0.7, 1.4, 2.0, 0.3])
    whole = solve_nodes(field, layers, grid, state, scheme=scheme, tolerance=1e-9)
    with torch.no_grad():
        pieces = dict(solve_pieces(field, layers, grid, state, piece=3, scheme=scheme, tolerance=1e-9))
    assert list(pieces) == [0, 3, 6]
    exact = {"atol": 0.0, "rtol": 0.0} if scheme == "rk4" else {"atol": 1e-7, "rtol": 1e-7}
    for first, nodes in pieces.items():
        count = nodes.shape[2] // 2
        places = [*range(first, first + count), *range(8 + first, 8 + first + count)]
        torch.testing.assert_close(nodes, whole[:, :, places], **exact)


def test_a_solve_without_gradients_keeps_nothing_for_a_reverse_pass() -> None:
    field = make_field(1, 3)
    layers, state = random_layers(field, "tanh", 2), random_state(field, 2, 4)
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def record(at: Layers, values: Tensor) -> tuple[Tensor, list[Tensor]]:
        nonlocal most
        rate, recorded = field.record(at, values)
        most = max(most, sum(one() is not None for one in alive))
        alive.append(weakref.ref(recorded[1]))
        return rate, recorded

    watched = replace(field, record=record)
    with torch.no_grad():
        free = solve_nodes(watched, layers, even_grid(20, [1.0] * 4), state)
    assert most <= 8
    alive.clear()
    torch.testing.assert_close(solve_nodes(watched, layers, even_grid(20, [1.0] * 4), state), free, atol=0.0, rtol=0.0)
    assert most > 70
