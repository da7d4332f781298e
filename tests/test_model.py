import pytest
import torch

from sparsenode.dynamics import mlp, network
from sparsenode.model import initialize, make_field, starting_states
from sparsenode.settings import ModelSettings

FIRST = ModelSettings(hidden=(5,))
SECOND = ModelSettings(order=2, hidden=(5,), velocity_hidden=(4,))
POSITIONS = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.0, 0.5]])
VELOCITIES = 10 * POSITIONS


@pytest.mark.parametrize(("settings", "inputs"), [(FIRST, 3), (SECOND, 6)])
def test_parameters_have_the_shape_of_the_model(settings: ModelSettings, inputs: int) -> None:
    parameters = initialize(settings, 3, [0, 1], gated=True)
    assert make_field(settings, 3).inputs == inputs
    assert [tuple(one.shape) for one in parameters.weights] == [(2, inputs, 5), (2, 5, 3)]
    assert [tuple(one.shape) for one in parameters.biases] == [(2, 1, 5), (2, 1, 3)]
    assert [tuple(one.shape) for one in parameters.log_alpha] == [(2, inputs, 5), (2, 5, 3)]
    assert len(parameters.velocity_weights) == (0 if settings.order == 1 else 2)
    assert parameters.masks == ()


def test_gates_stand_where_the_settings_say_and_only_if_the_method_has_them() -> None:
    unit = ModelSettings(hidden=(5,), gates="unit")
    assert [tuple(one.shape) for one in initialize(unit, 3, [0], gated=True).log_alpha] == [(1, 3, 1), (1, 5, 1)]
    assert initialize(unit, 3, [0], gated=False).log_alpha == ()


def test_a_network_without_hidden_layers_is_allowed() -> None:
    (weight,) = initialize(ModelSettings(hidden=()), 3, [0], gated=False).weights
    assert weight.shape == (1, 3, 3)


@pytest.mark.parametrize("settings", [FIRST, SECOND])
def test_a_member_starts_the_same_whoever_stands_beside_it(settings: ModelSettings) -> None:
    together, alone = (initialize(settings, 3, seeds, gated=True).named() for seeds in ([4, 0, 9], [9]))
    for name, tensor in alone.items():
        assert torch.equal(tensor[0], together[name][2])
    assert not torch.equal(together["weights.0"][0], together["weights.0"][1])


def test_first_order_starts_at_the_positions() -> None:
    found = starting_states(initialize(FIRST, 3, [0, 1], gated=False), FIRST, POSITIONS, VELOCITIES)
    assert torch.equal(found, POSITIONS.expand(2, 2, 3))


def test_second_order_learns_the_velocity_where_it_is_not_given() -> None:
    parameters = initialize(SECOND, 3, [0, 1], gated=False)
    own = mlp.apply(network.velocity_layers(parameters, "elu"), POSITIONS.expand(2, 2, 3))
    found = starting_states(parameters, SECOND, POSITIONS)
    assert found.shape == (2, 2, 6)
    assert torch.equal(found, torch.cat((POSITIONS.expand(2, 2, 3), own), dim=-1))

    given = starting_states(parameters, SECOND, POSITIONS, VELOCITIES)
    assert torch.equal(given[..., 3:], VELOCITIES.expand(2, 2, 3))

    mixed = starting_states(parameters, SECOND, POSITIONS, VELOCITIES, torch.tensor([[True], [False]]))
    assert torch.equal(mixed[:, 0], found[:, 0])
    assert torch.equal(mixed[:, 1], given[:, 1])


def test_the_velocity_network_learns_from_the_rows_where_it_is_used() -> None:
    parameters = initialize(SECOND, 3, [0], gated=False).map(lambda tensor: tensor.requires_grad_())
    learned = torch.tensor([[False], [False]])
    starting_states(parameters, SECOND, POSITIONS, VELOCITIES, learned).sum().backward()
    assert not parameters.velocity_weights[0].grad.any()
    starting_states(parameters, SECOND, POSITIONS, VELOCITIES, ~learned).sum().backward()
    assert parameters.velocity_weights[0].grad.any()
