"""The network of sums and products, against loops over single genes and units that are written out here."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sparsenode.dynamics import biological, gates, network
from sparsenode.dynamics.fields import BIOLOGICAL, VectorField, clamped, first_order
from sparsenode.dynamics.mlp import Layers
from sparsenode.dynamics.network import Parameters
from sparsenode.dynamics.solvers import Grid, solve_nodes
from sparsenode.evaluation.sparsity import EXACT_ZERO

MEMBERS, GENES, UNITS = 2, 3, 4
FIELD = first_order(GENES, BIOLOGICAL)


def random_parameters(*, gates_on: str | None = None, size: float = 1.0) -> Parameters:
    """No weight is zero, and gates, if there are any, are closed, open and between; `size` is that of the weights."""
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    weights = (size * draw(MEMBERS, GENES, 2 * UNITS), size * draw(MEMBERS, 2 * UNITS, GENES))
    log_alpha = tuple(3 * draw(*gates.initialize(one, gates_on).shape) for one in weights) if gates_on else ()
    return Parameters(
        weights, (draw(MEMBERS, 1, 2 * UNITS),), log_alpha, multiplier=(draw(MEMBERS, 1, GENES).abs() + 0.1,)
    )


def random_states(rows: int, seed: int = 2) -> Tensor:
    """On both sides of a half, where the activations are centered."""
    generator = torch.Generator().manual_seed(seed)
    return 0.5 + 2 * torch.randn(MEMBERS, rows, GENES, generator=generator, dtype=torch.float64)


def layers_of(parameters: Parameters) -> Layers:
    return network.effective_layers(parameters, network.deterministic_gates(parameters), "elu")


def gated_weights(parameters: Parameters) -> tuple[Tensor, ...]:
    if not parameters.log_alpha:
        return parameters.weights
    pairs = zip(parameters.weights, parameters.log_alpha, strict=True)
    return tuple(weight * gates.deterministic(log_alpha) for weight, log_alpha in pairs)


def plain_rate(parameters: Parameters, member: int, state: list[float]) -> list[float]:
    """The published equations, one number after the other."""
    into, onto = (weight[member].tolist() for weight in parameters.weights)
    bias = parameters.biases[0][member, 0].tolist()
    multiplier = parameters.multiplier[0][member, 0].tolist()
    hill = [(value - 0.5) / (1 + abs(value - 0.5)) for value in state]
    units = [bias[unit] + sum(hill[gene] * into[gene][unit] for gene in range(GENES)) for unit in range(UNITS)]
    units += [
        math.exp(bias[unit]) * math.prod((1 + hill[gene]) ** into[gene][unit] for gene in range(GENES))
        for unit in range(UNITS, 2 * UNITS)
    ]
    joint = [sum(units[unit] * onto[unit][gene] for unit in range(2 * UNITS)) for gene in range(GENES)]
    return [max(0.0, multiplier[gene]) * (joint[gene] - state[gene]) for gene in range(GENES)]


def differentiable_rate(parameters: Parameters, state: Tensor) -> Tensor:
    """The same for autograd; member by member, with the product branch as a product."""
    rates = []
    for member in range(MEMBERS):
        shifted = state[member] - 0.5
        hill = shifted / (1 + shifted.abs())
        linear, powers = parameters.weights[0][member].split(UNITS, dim=1)
        own, other = parameters.biases[0][member].split(UNITS, dim=1)
        products = (1 + hill).unsqueeze(2).pow(powers).prod(1) * other.exp()
        joint = torch.cat((hill @ linear + own, products), dim=1) @ parameters.weights[1][member]
        rates.append(torch.relu(parameters.multiplier[0][member]) * (joint - state[member]))
    return torch.stack(rates)


@pytest.mark.slow(reason="solves to a reference's precision")
def test_rates_are_those_of_the_published_equations() -> None:
    parameters, states = random_parameters(), random_states(5)
    parameters.multiplier[0][1, 0, 2] = -0.7  # taken as zero
    found = FIELD.rate(layers_of(parameters), states)
    for member, row in itertools.product(range(MEMBERS), range(5)):
        expected = plain_rate(parameters, member, states[member, row].tolist())
        torch.testing.assert_close(found[member, row], torch.tensor(expected, dtype=torch.float64))
    assert not found[1, :, 2].any()
    torch.testing.assert_close(differentiable_rate(parameters, states), found, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("at", [-3.0, 0.2, 0.5, 0.9, 40.0])
def test_a_regulator_is_half_active_at_one_half_and_never_beyond_its_bounds(at: float) -> None:
    """With one weight of 1 in a branch, a unit is phi_sum itself, or 1 + phi_sum, between 0 and 2."""
    parameters = random_parameters().map(torch.zeros_like)
    parameters.weights[0][:, 0, 0] = 1.0
    parameters.weights[0][:, 0, UNITS] = 1.0
    states = torch.full((MEMBERS, 1, GENES), at, dtype=torch.float64)
    *_, units, _ = biological.apply_recorded(layers_of(parameters), states)
    assert float(units[0, 0, UNITS]) == pytest.approx(1.0 + float(units[0, 0, 0]), rel=1e-12)
    assert 0.0 < float(units[0, 0, UNITS]) < 2.0
    assert (float(units[0, 0, 0]) > 0) - (float(units[0, 0, 0]) < 0) == (at > 0.5) - (at < 0.5)


@pytest.mark.slow(reason="draws or differentiates many networks")
@pytest.mark.parametrize("held", [None, 1])
def test_reverse_pass_is_that_of_autograd(held: int | None) -> None:
    parameters = random_parameters()
    leaves = [*parameters.weights, *parameters.biases, *parameters.multiplier]
    states = random_states(6)
    for leaf in (*leaves, states):
        leaf.requires_grad_()
    field: VectorField = FIELD
    expected = differentiable_rate(parameters, states)
    if held is not None:
        mask = torch.arange(GENES) == held
        field, expected = clamped(FIELD, mask), torch.where(mask, 0.0, expected)
    gradient = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    (theirs,) = torch.autograd.grad(expected, [states], gradient)
    with torch.no_grad():
        layers = layers_of(parameters)
        rate, recorded = field.record(layers, states)
        ours, for_linear = field.reverse(layers, recorded, gradient)
    torch.testing.assert_close(rate, expected.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    assert recorded[0] is states
    assert [one.shape[-1] for one in for_linear] == [UNITS, UNITS, GENES]


@pytest.mark.parametrize("gates_on", [None, "weight", "unit"])
@pytest.mark.parametrize("rows", [2, 70])
def test_gradients_of_a_solve_are_those_of_autograd_through_a_plain_loop(rows: int, gates_on: str | None) -> None:
    """Weights, bias, multiplier, gates and the start, through the written-out reverse pass of a Runge-Kutta solve."""
    parameters = random_parameters(gates_on=gates_on, size=0.3)
    parameters.multiplier[0][0, 0, 1] = -0.4
    leaves = [*parameters.weights, *parameters.biases, *parameters.multiplier, *parameters.log_alpha]
    state = random_states(rows)
    for leaf in (*leaves, state):
        leaf.requires_grad_()
    found = solve_nodes(FIELD, layers_of(parameters), Grid(3, torch.full((rows, 1), 0.1, dtype=torch.float64)), state)

    folded = replace(parameters, weights=gated_weights(parameters))
    at, states, slopes = state, [state], [differentiable_rate(folded, state)]
    for _ in range(3):
        first = differentiable_rate(folded, at)
        second = differentiable_rate(folded, at + 0.05 * first)
        third = differentiable_rate(folded, at + 0.05 * second)
        at = at + 0.1 / 6 * (first + 2 * second + 2 * third + differentiable_rate(folded, at + 0.1 * third))
        states.append(at)
        slopes.append(differentiable_rate(folded, at))
    expected = torch.cat((torch.stack(states, dim=2), 0.1 * torch.stack(slopes, dim=2)), dim=2)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    gradient = torch.randn(found.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ours = torch.autograd.grad(found, [*leaves, state], gradient, retain_graph=True)
    theirs = torch.autograd.grad(expected, [*leaves, state], gradient)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_jacobian_is_that_of_autograd() -> None:
    parameters, states = random_parameters(), random_states(3)
    found = FIELD.jacobian(layers_of(parameters), states)
    assert found.shape == (MEMBERS, 3, GENES, GENES)
    for member, row in itertools.product(range(MEMBERS), range(3)):

        def rate(state: Tensor, member: int = member) -> Tensor:
            return differentiable_rate(parameters, state.expand(MEMBERS, 1, -1))[member, 0]

        expected = torch.autograd.functional.jacobian(rate, states[member, row])
        torch.testing.assert_close(found[member, row], expected.T, rtol=1e-10, atol=1e-10)


def test_jacobian_where_the_activations_change_sides() -> None:
    """Both have the slope 1 at one half, from either side."""
    parameters = random_parameters()
    layers = layers_of(parameters)
    half = torch.full((MEMBERS, 1, GENES), 0.5, dtype=torch.float64)
    at, below, above = (FIELD.jacobian(layers, half + offset) for offset in (0.0, -1e-7, 1e-7))
    torch.testing.assert_close(at, below, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(at, above, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [1e4, 1e8])
def test_far_states_give_finite_rates_and_gradients_in_single_precision(size: float) -> None:
    layers = layers_of(random_parameters(size=0.3).map(lambda tensor: tensor.float()))
    states = (size * (random_states(4) - 0.5)).float()
    rate, recorded = FIELD.record(layers, states)
    for_states, _ = FIELD.reverse(layers, recorded, torch.ones_like(rate))
    assert torch.isfinite(rate).all()
    assert torch.isfinite(for_states).all()


def test_without_regulators_genes_approach_their_production_exponentially() -> None:
    parameters = random_parameters()
    parameters = replace(parameters, weights=(torch.zeros_like(parameters.weights[0]), parameters.weights[1]))
    bias = parameters.biases[0]
    constant = torch.cat((bias[..., :UNITS], bias[..., UNITS:].exp()), dim=-1) @ parameters.weights[1]
    start = random_states(3)
    step = torch.full((3, 1), 0.02, dtype=torch.float64)
    end = solve_nodes(FIELD, layers_of(parameters), Grid(50, step), start)[:, :, 50]
    expected = constant + (start - constant) * torch.exp(-parameters.multiplier[0])
    torch.testing.assert_close(end, expected, rtol=1e-6, atol=1e-8)


def test_the_adaptive_solver_agrees() -> None:
    parameters, start = random_parameters(size=0.3), random_states(2)
    step = torch.full((2, 1), 0.02, dtype=torch.float64)
    layers = layers_of(parameters)
    found, adaptive = (
        solve_nodes(FIELD, layers, Grid(20, step), start, scheme=scheme, tolerance=1e-8) for scheme in ("rk4", "dopri5")
    )
    torch.testing.assert_close(found, adaptive, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gates_on", [None, "weight", "unit"])
def test_paths_are_summed_over_both_branches_and_scaled_by_the_multiplier(gates_on: str | None) -> None:
    parameters = random_parameters(gates_on=gates_on)
    parameters.multiplier[0][0, 0, 1] = -2.0
    into, onto = gated_weights(parameters)
    found = network.path_matrix(parameters)
    for member, source, target in itertools.product(range(MEMBERS), range(GENES), range(GENES)):
        strength = 0.0
        for unit in range(2 * UNITS):
            strength += abs(float(into[member, source, unit])) * abs(float(onto[member, unit, target]))
        multiplier = max(0.0, float(parameters.multiplier[0][member, 0, target]))
        assert float(found[member, source, target]) == pytest.approx(multiplier * strength, abs=1e-12)
    assert not found[0, :, 1].any()


def test_open_paths_are_a_mean_over_the_units_of_both_branches() -> None:
    parameters = random_parameters(gates_on="weight")
    one, two = network.open_probabilities(parameters)
    expected = torch.zeros(MEMBERS, GENES, GENES, dtype=torch.float64)
    for unit in range(2 * UNITS):
        expected += one[:, :, unit, None] * two[:, unit, None, :] / (2 * UNITS)
    torch.testing.assert_close(network.open_paths(parameters), expected)


@pytest.mark.parametrize("branch", [0, 1])
@pytest.mark.parametrize("layer", [0, 1])
def test_with_one_branch_cut_the_other_acts_as_before(branch: int, layer: int) -> None:
    """Cut before the units a branch gives a constant, cut behind them nothing; its paths are gone either way."""
    parameters = random_parameters()
    own = slice(branch * UNITS, (branch + 1) * UNITS)
    cut = [weight.clone() for weight in parameters.weights]
    cut[layer].narrow(2 - layer, own.start, UNITS).zero_()
    after = replace(parameters, weights=tuple(cut))
    states, others = random_states(4), random_states(4, seed=9)
    difference = FIELD.rate(layers_of(parameters), states) - FIELD.rate(layers_of(after), states)
    elsewhere = FIELD.rate(layers_of(parameters), others) - FIELD.rate(layers_of(after), others)
    assert not torch.allclose(difference, elsewhere)  # the branch did something that depends on the state

    whole, left = network.path_matrix(parameters), network.path_matrix(after)
    lost = parameters.weights[0][..., own].abs() @ parameters.weights[1][:, own].abs() * parameters.multiplier[0]
    torch.testing.assert_close(whole - left, lost)
    *_, units, output = biological.apply_recorded(layers_of(after), states)
    *_, units_before, _ = biological.apply_recorded(layers_of(parameters), states)
    other = slice((1 - branch) * UNITS, (2 - branch) * UNITS)
    assert torch.equal(units[..., other], units_before[..., other])
    rates = parameters.multiplier[0]
    kept = units[..., other] @ parameters.weights[1][:, other]
    rest = output / rates - kept
    if layer == 1:
        torch.testing.assert_close(rest, torch.zeros_like(rest))
    else:
        torch.testing.assert_close(rest, rest[:, :1].expand_as(rest))
        assert rest.abs().min() > 1e-3


def test_branches_are_chains_of_views() -> None:
    """With and without the axis of members; what is written into a chain is written into the network."""
    parameters = random_parameters()
    for one in (parameters, parameters.map(lambda tensor: tensor[1])):
        for branch, (into, onto) in enumerate(network.chains(one, one.prunable)):
            assert (into.shape[-2:], onto.shape[-2:]) == ((GENES, UNITS), (UNITS, GENES))
            into.fill_(branch + 3.0)
            onto.fill_(branch + 5.0)
    into, onto = parameters.weights
    assert into[:, 0].tolist() == [[3.0] * UNITS + [4.0] * UNITS] * MEMBERS
    assert onto[:, :, 0].tolist() == [[5.0] * UNITS + [6.0] * UNITS] * MEMBERS


def test_sizes_of_weights_onto_a_gene_go_with_its_rate() -> None:
    parameters = random_parameters()
    parameters.multiplier[0][0, 0] = torch.tensor([-0.4, 0.0, 2.0])
    into, onto = network.sizes(parameters)
    assert torch.equal(into, parameters.weights[0].abs())
    assert not onto[0, :, :2].any()
    assert torch.equal(onto[0, :, 2], 2.0 * parameters.weights[1][0, :, 2].abs())
    assert torch.equal(onto[1], parameters.weights[1][1].abs() * parameters.multiplier[0][1])
    alone = network.sizes(parameters.map(lambda tensor: tensor[0]))
    assert all(torch.equal(one, all_[0]) for one, all_ in zip(alone, (into, onto), strict=True))


@pytest.mark.parametrize("gates_on", [None, "weight", "unit"])
def test_a_pruned_network_keeps_its_rates_and_its_sparsity(gates_on: str | None) -> None:
    parameters = random_parameters(gates_on=gates_on)
    parameters.weights[0][0, 0, 0] = 1e-7
    pruned = network.prune_closed(parameters, 1e-5)
    assert [mask.shape for mask in pruned.masks] == [weight.shape for weight in parameters.weights]
    assert not pruned.masks[0][0, 0, 0]
    states = random_states(3)
    before, after = (FIELD.rate(layers_of(one), states) for one in (parameters, pruned))
    torch.testing.assert_close(before, after, rtol=1e-5, atol=1e-5)
    sparsity = network.weight_sparsity(parameters, 1e-5)
    torch.testing.assert_close(network.weight_sparsity(pruned, 1e-5), sparsity)
    empty = torch.cat([(mask == 0).flatten(1) for mask in pruned.masks], dim=1).double().mean(1)
    torch.testing.assert_close(sparsity, empty)


@pytest.mark.parametrize("gates_on", [None, "weight"])
def test_weights_onto_a_gene_whose_rate_is_zero_are_zeros(gates_on: str | None) -> None:
    """The published count: zeros over both layers, the last one times the rectified multipliers."""
    parameters = random_parameters(gates_on=gates_on)
    parameters.weights[0][0, 0, :3] = 0.0
    parameters.multiplier[0][1, 0, :2] = torch.tensor([0.0, -0.4], dtype=torch.float64)
    into, onto = gated_weights(parameters)
    onto = onto * parameters.multiplier[0].clamp(min=0.0)
    expected = torch.cat([(one == 0).flatten(1) for one in (into, onto)], dim=1).double().mean(1)
    torch.testing.assert_close(network.weight_sparsity(parameters, EXACT_ZERO), expected)
    if gates_on is None:
        assert expected.tolist() == [3 / (2 * GENES * 2 * UNITS), 2 / (2 * GENES)]


@pytest.mark.parametrize(("genes", "units", "of_genes", "of_units"), [(350, 40, 2, 17), (60, 120, 6, 3), (3, 4, 1, 1)])
def test_few_initial_weights_are_not_zero(genes: int, units: int, of_genes: int, of_units: int) -> None:
    """As many as where all but the twentieth part of each input's weights, rounded up, are put to zero."""
    (into, onto), bias, rates = biological.initialize([torch.Generator().manual_seed(0)], genes, units)
    assert into.shape == (1, genes, 2 * units)
    for branch in into.split(units, dim=2):
        assert ((branch != 0).sum(2) == of_genes).all()
    assert onto.shape == (1, 2 * units, genes)
    assert ((onto != 0).sum(2) == of_units).all()
    assert bias.shape == (1, 1, 2 * units)
    assert bias.abs().max() <= genes**-0.5
    assert rates.shape == (1, 1, genes)
    assert 0.0 <= rates.min() < rates.max() < 1.0
    if genes > 100:
        assert float(onto[onto != 0].std()) == pytest.approx(0.05, rel=0.1)
        assert not torch.equal(into[..., :units] != 0, into[..., units:] != 0)


def test_each_member_begins_from_its_seed_alone() -> None:
    def fresh(*seeds: int) -> dict[str, Tensor]:
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return network.initialize_biological(generators, 30, 20, gates_on="weight").named()

    together, alone = fresh(3, 7), fresh(7)
    assert set(alone) == {"weights.0", "weights.1", "biases.0", "log_alpha.0", "log_alpha.1", "multiplier.0"}
    for name, tensor in alone.items():
        assert torch.equal(together[name][1], tensor[0])
    assert not torch.equal(together["weights.0"][0], together["weights.0"][1])


def test_multipliers_start_alike_where_a_rate_is_given() -> None:
    generators = [torch.Generator().manual_seed(0)]
    parameters = network.initialize_biological(generators, GENES, UNITS, gates_on=None, rate=0.3)
    assert torch.equal(parameters.multiplier[0], torch.full((1, 1, GENES), 0.3))
    (rates,) = network.own_rates(parameters)
    assert torch.equal(rates, parameters.multiplier[0])
