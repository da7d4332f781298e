from dataclasses import replace

import pytest
import torch

from sparsenode.dynamics import gates, mlp, network
from sparsenode.dynamics.network import Parameters

WIDTHS = (3, 5, 4, 2)


def fresh(*seeds: int, gates_on: str | None = "weight", velocity_widths: tuple[int, ...] = ()) -> Parameters:
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return network.initialize_parameters(generators, WIDTHS, gates_on=gates_on, velocity_widths=velocity_widths)


def with_random_gates(parameters: Parameters) -> Parameters:
    """Gates of which a third or so are closed in evaluation."""
    generator = torch.Generator().manual_seed(4)
    drawn = tuple(torch.empty_like(one).uniform_(-5, 4, generator=generator) for one in parameters.log_alpha)
    return replace(parameters, log_alpha=drawn)


def assert_same(one: Parameters, other: Parameters) -> None:
    assert one.named().keys() == other.named().keys()
    for name, tensor in one.named().items():
        assert torch.equal(tensor, other.named()[name]), name


def test_names_lead_back_to_the_parameters_also_beyond_ten_layers() -> None:
    deep = Parameters(tuple(torch.full((1, 1, 1), index) for index in range(12)), ())
    assert list(deep.named())[-1] == "weights.11"
    assert_same(network.from_named(dict(reversed(deep.named().items()))), deep)
    parameters = fresh(0, 1, velocity_widths=(3, 2, 3))
    assert_same(network.from_named(parameters.named()), parameters)


def test_map_reaches_every_tensor() -> None:
    parameters = fresh(0, velocity_widths=(3, 2, 3))
    doubled = parameters.map(lambda tensor: 2 * tensor)
    assert all(torch.equal(doubled.named()[name], 2 * tensor) for name, tensor in parameters.named().items())


def test_joined_blocks_are_the_ensemble_of_all_their_seeds() -> None:
    assert_same(network.join([fresh(0, 1), fresh(2)]), fresh(0, 1, 2))


def test_gates_and_velocity_leave_the_initial_weights_as_they_are() -> None:
    plain, gated, second = fresh(5, gates_on=None), fresh(5), fresh(5, velocity_widths=(3, 4, 3))
    assert plain.log_alpha == ()
    for one, other, third in zip(plain.weights, gated.weights, second.weights, strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one, third)
    assert [tuple(one.shape) for one in second.velocity_weights] == [(1, 3, 4), (1, 4, 3)]


def test_decay_begins_alike_for_all_variables_and_leaves_the_rest_as_it_is() -> None:
    plain = fresh(5, 6).named()
    for decay in ((0.5,), (9.0, 6.0)):
        generators = [torch.Generator().manual_seed(seed) for seed in (5, 6)]
        found = network.initialize_parameters(generators, WIDTHS, gates_on="weight", decay=decay).named()
        expected = torch.tensor([value for value in decay for _ in range(2)]).expand(2, 1, -1)
        assert torch.equal(found.pop("decay.0"), expected)
        assert found.keys() == plain.keys()
        assert all(torch.equal(tensor, plain[name]) for name, tensor in found.items())


def test_effective_network_folds_the_gates_into_the_weights() -> None:
    parameters = with_random_gates(fresh(0, 1))
    factors = network.deterministic_gates(parameters)
    layers = network.effective_layers(parameters, factors, "tanh")
    assert layers.activation == "tanh"
    for found, weight, log_alpha in zip(layers.weights, parameters.weights, parameters.log_alpha, strict=True):
        assert torch.equal(found, weight * gates.deterministic(log_alpha))
        assert torch.equal(found == 0, gates.deterministic(log_alpha) == 0)
    plain = network.effective_layers(parameters, (), "elu").weights
    assert all(found is given for found, given in zip(plain, parameters.weights, strict=True))


def test_masks_replace_the_gates() -> None:
    parameters = with_random_gates(fresh(0))
    masks = tuple(torch.ones_like(one) for one in parameters.weights)
    assert network.deterministic_gates(replace(parameters, masks=masks)) is masks
    assert network.deterministic_gates(fresh(0, gates_on=None)) == ()


def test_noise_of_the_gates_ramps_in() -> None:
    parameters = with_random_gates(fresh(0, 1))
    generator = torch.Generator().manual_seed(0)
    logistic = [torch.rand(one.shape, generator=generator).logit() for one in parameters.log_alpha]
    still = network.deterministic_gates(parameters)
    drawn = network.sampled_gates(parameters, logistic, 1.0)
    for fixed, nothing, half, full, log_alpha, noise in zip(
        still,
        network.sampled_gates(parameters, logistic, 0.0),
        network.sampled_gates(parameters, logistic, 0.5),
        drawn,
        parameters.log_alpha,
        logistic,
        strict=True,
    ):
        assert torch.equal(nothing, fixed)
        assert torch.equal(full, gates.sample(log_alpha, noise))
        torch.testing.assert_close(half, (fixed + full) / 2)
    assert any(not torch.equal(one, other) for one, other in zip(still, drawn, strict=True))


@pytest.mark.parametrize("gates_on", ["weight", "unit"])
def test_open_probability_of_every_weight(gates_on: str) -> None:
    parameters = with_random_gates(fresh(0, 1, gates_on=gates_on))
    found = network.open_probabilities(parameters)
    for probability, weight, log_alpha in zip(found, parameters.weights, parameters.log_alpha, strict=True):
        assert probability.shape == (weight.shape if gates_on == "weight" else (*weight.shape[:2], 1))
        assert torch.equal(probability, gates.open_probability(log_alpha))
    assert network.open_probabilities(fresh(0, gates_on=None)) == ()


def test_a_closed_unit_gate_silences_its_input_for_every_target() -> None:
    parameters = fresh(0, gates_on="unit")
    parameters.log_alpha[0][:, 1] = -10.0
    layers = network.effective_layers(parameters, network.deterministic_gates(parameters), "elu")
    generator = torch.Generator().manual_seed(0)
    state = torch.randn(1, 6, 3, generator=generator)
    other = state.clone()
    other[..., 1] += 5.0
    assert torch.equal(mlp.apply(layers, state), mlp.apply(layers, other))
    other[..., 0] += 5.0
    assert not torch.equal(mlp.apply(layers, state), mlp.apply(layers, other))


def test_pruning_folds_the_gates_masks_what_is_small_and_leaves_the_network_as_it_was() -> None:
    parameters = with_random_gates(fresh(0, 1))
    parameters.weights[0][0, 0, 0] = 1e-6
    effective = network.effective_layers(parameters, network.deterministic_gates(parameters), "elu").weights
    pruned = network.prune_closed(parameters, 1e-5)
    after = network.effective_layers(pruned, network.deterministic_gates(pruned), "elu").weights
    for before, found, mask in zip(effective, after, pruned.masks, strict=True):
        assert torch.equal(found, torch.where(before.abs() > 1e-5, before, 0.0))
        assert torch.equal(mask == 0, before.abs() <= 1e-5)
    assert after[0][0, 0, 0] == 0
    assert 0.1 < float(torch.cat([mask.flatten() for mask in pruned.masks]).mean()) < 0.95
    assert_same(network.prune_closed(pruned, 1e-5), pruned)
