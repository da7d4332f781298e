from dataclasses import replace

import pytest
import torch

from sparsenode.dynamics import mlp, network
from sparsenode.dynamics.fields import BIOLOGICAL as BIOLOGICAL_FORM
from sparsenode.dynamics.network import Parameters
from sparsenode.ensemble.model import initialize, make_field, starting_states
from sparsenode.errors import UserError
from sparsenode.settings import ModelSettings

FIRST = ModelSettings(hidden=(5,))
SECOND = ModelSettings(order=2, hidden=(5,), velocity_hidden=(4,))
BIOLOGICAL = ModelSettings(network="biological", hidden=(4,))
AT_REST = SECOND.changed(velocity_observations=1)
WITH_SLOPES = SECOND.changed(velocity_observations=3)
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


def test_a_biological_network_has_two_branches_in_one_layer_and_a_multiplier_for_each_variable() -> None:
    parameters = initialize(BIOLOGICAL, 3, [0, 1], gated=True)
    assert make_field(BIOLOGICAL, 3).form is BIOLOGICAL_FORM
    assert [tuple(one.shape) for one in parameters.weights] == [(2, 3, 8), (2, 8, 3)]
    assert [tuple(one.shape) for one in parameters.log_alpha] == [(2, 3, 8), (2, 8, 3)]
    assert [tuple(one.shape) for one in parameters.biases] == [(2, 1, 8)]
    assert parameters.multiplier[0].shape == (2, 1, 3)
    assert parameters.decay == ()
    at_rate = initialize(BIOLOGICAL.changed(decay=3.0, time_scale=0.2), 3, [0, 1], gated=True)
    torch.testing.assert_close(at_rate.multiplier[0], torch.full((2, 1, 3), 0.6))
    assert torch.equal(at_rate.weights[0], parameters.weights[0])


@pytest.mark.parametrize(
    ("changes", "found"),
    [({"order": 2}, "order 2 and hidden \\[4\\]"), ({"hidden": (4, 4)}, "order 1 and hidden \\[4, 4\\]")],
)
def test_a_biological_network_of_another_shape_is_refused(changes: dict[str, object], found: str) -> None:
    with pytest.raises(UserError, match=f"a biological network has order 1 and one number .* found {found}"):
        initialize(BIOLOGICAL.changed(**changes), 3, [0], gated=False)


@pytest.mark.parametrize("settings", [FIRST, SECOND, BIOLOGICAL])
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


def trained(settings: ModelSettings) -> Parameters:
    """Parameters whose every entry is random, those that begin at zero too."""
    generator = torch.Generator().manual_seed(2)
    fresh = initialize(settings, 3, [0, 1], gated=False)
    return fresh.map(lambda tensor: torch.randn(tensor.shape, generator=generator))


def test_the_network_of_the_velocity_is_given_slopes_where_it_takes_several_observations() -> None:
    assert [one.takes_slopes for one in (FIRST, SECOND, AT_REST, WITH_SLOPES)] == [False, False, False, True]
    for settings, width in ((SECOND, 3), (AT_REST, 3), (WITH_SLOPES, 6)):
        parameters = initialize(settings, 3, [0, 1], gated=False)
        assert [tuple(one.shape) for one in parameters.velocity_weights] == [(2, width, 4), (2, 4, 3)]
        assert [tuple(one.shape) for one in parameters.velocity_biases] == [(2, 1, 4), (2, 1, 3)]


@pytest.mark.parametrize("velocity_hidden", [(), (4,), (4, 5)])
def test_a_model_begins_at_the_slopes_or_at_rest(velocity_hidden: tuple[int, ...]) -> None:
    for settings, expected in ((WITH_SLOPES, VELOCITIES), (AT_REST, torch.zeros(2, 3))):
        settings = settings.changed(velocity_hidden=velocity_hidden)  # noqa: PLW2901
        parameters = initialize(settings, 3, [0, 1], gated=False)
        found = starting_states(parameters, settings, POSITIONS, VELOCITIES, torch.ones(2, 1, dtype=torch.bool))
        assert torch.equal(found, torch.cat((POSITIONS, expected), dim=-1).expand(2, 2, 6))


@pytest.mark.parametrize("settings", [FIRST, FIRST.changed(decay=0.5), SECOND, SECOND.changed(decay=0.5)])
@pytest.mark.parametrize("gated", [False, True])
def test_without_slopes_a_model_begins_at_the_numbers_of_its_seeds(settings: ModelSettings, gated: bool) -> None:
    widths = [3 * settings.order, 5, 3]
    plain = network.initialize_parameters(
        [torch.Generator().manual_seed(seed) for seed in (3, 0)],
        widths,
        gates_on="weight" if gated else None,
        velocity_widths=[3, 4, 3] if settings.order == 2 else [],
    ).named()
    found = initialize(settings, 3, [3, 0], gated=gated).named()
    decay = found.pop("decay.0", None)
    assert (decay is None) == (settings.decay is None)
    assert found.keys() == plain.keys()
    assert all(torch.equal(tensor, plain[name]) for name, tensor in found.items())


def test_slopes_change_nothing_but_the_network_of_the_velocity() -> None:
    plain, slopes, rest = (
        initialize(settings, 3, [0, 7], gated=True).named() for settings in (SECOND, WITH_SLOPES, AT_REST)
    )
    assert plain.keys() == slopes.keys() == rest.keys()
    for name, tensor in plain.items():
        if not name.startswith("velocity"):
            assert torch.equal(tensor, slopes[name])
            assert torch.equal(tensor, rest[name])
    assert torch.equal(rest["velocity_weights.0"], plain["velocity_weights.0"])
    assert rest["velocity_weights.0"].all()
    assert slopes["velocity_weights.0"].all()


@pytest.mark.parametrize("time_scale", [1.0, 0.2])
def test_decay_begins_at_its_rate_or_where_a_return_is_as_fast_without_overshooting(time_scale: float) -> None:
    first = initialize(FIRST.changed(decay=3.0, time_scale=time_scale), 3, [0, 1], gated=False)
    second = initialize(SECOND.changed(decay=3.0, time_scale=time_scale), 3, [0, 1], gated=False)
    rate = 3.0 * time_scale
    torch.testing.assert_close(first.decay[0], torch.full((2, 1, 3), rate))
    torch.testing.assert_close(second.decay[0], torch.tensor([rate**2] * 3 + [2 * rate] * 3).expand(2, 1, 6))


def test_the_network_corrects_slopes_from_positions_and_slopes() -> None:
    parameters = trained(WITH_SLOPES)
    start = torch.cat((POSITIONS, VELOCITIES), dim=-1).expand(2, 2, 6)
    own = mlp.apply(network.velocity_layers(parameters, "elu"), start)
    expected = torch.cat((POSITIONS.expand(2, 2, 3), VELOCITIES + own), dim=-1)
    for learned in (None, torch.tensor([[True], [False]])):
        torch.testing.assert_close(
            starting_states(parameters, WITH_SLOPES, POSITIONS, VELOCITIES, learned), expected, rtol=0, atol=0
        )
    each = torch.stack((POSITIONS, 2 * POSITIONS)), torch.stack((VELOCITIES, -VELOCITIES))
    of_members = starting_states(parameters, WITH_SLOPES, *each)
    torch.testing.assert_close(of_members[0], expected[0])
    corrected = mlp.apply(network.velocity_layers(parameters, "elu"), torch.cat(each, dim=-1))
    torch.testing.assert_close(of_members[1, :, 3:], (each[1] + corrected)[1])


def test_a_model_that_takes_slopes_needs_them() -> None:
    for learned in (None, torch.tensor([[True], [True]])):
        with pytest.raises(UserError, match="takes the slopes of the last observations"):
            starting_states(trained(WITH_SLOPES), WITH_SLOPES, POSITIONS, None, learned)
    assert starting_states(trained(AT_REST), AT_REST, POSITIONS).shape == (2, 2, 6)


@pytest.mark.parametrize("settings", [WITH_SLOPES, AT_REST])
def test_the_gradient_reaches_the_whole_network_of_the_velocity(settings: ModelSettings) -> None:
    learned = torch.ones(2, 1, dtype=torch.bool)
    parameters = trained(settings).map(lambda tensor: tensor.double().requires_grad_())
    of_velocity = (*parameters.velocity_weights, *parameters.velocity_biases)

    def start(*tensors: torch.Tensor) -> torch.Tensor:
        moved = replace(parameters, velocity_weights=tensors[:2], velocity_biases=tensors[2:])
        return starting_states(moved, settings, POSITIONS.double(), VELOCITIES.double(), learned)

    assert torch.autograd.gradcheck(start, of_velocity)
    start(*of_velocity).square().sum().backward()
    assert all(tensor.grad.any() for tensor in of_velocity)


@pytest.mark.parametrize("settings", [WITH_SLOPES, AT_REST])
def test_the_last_layer_of_the_velocity_learns_from_the_first_iteration_on(settings: ModelSettings) -> None:
    parameters = initialize(settings, 3, [0], gated=False).map(lambda tensor: tensor.requires_grad_())
    learned = torch.ones(2, 1, dtype=torch.bool)
    starting_states(parameters, settings, POSITIONS, VELOCITIES, learned).sum().backward()
    assert parameters.velocity_weights[-1].grad.all()
    assert parameters.velocity_biases[-1].grad.all()
