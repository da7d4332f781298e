import pytest
import torch
from torch import Tensor

from sparsenode.dynamics import mlp
from sparsenode.dynamics.mlp import Layers

ACTIVATIONS = {"elu": torch.nn.functional.elu, "tanh": torch.tanh, "softplus": torch.nn.functional.softplus}
MEMBERS, ROWS, WIDTHS = 3, 4, (3, 5, 6, 2)


def random_layers(activation: str, widths: tuple[int, ...] = WIDTHS) -> Layers:
    generators = [torch.Generator().manual_seed(seed) for seed in range(MEMBERS)]
    weights, biases = mlp.initialize_layers(generators, widths)
    # Twice as large as at the start, so that the activations are visited on both sides of zero and far from it.
    return Layers(tuple(2 * one.double() for one in weights), tuple(2 * one.double() for one in biases), activation)


def random_inputs(width: int = WIDTHS[0]) -> Tensor:
    return torch.randn(MEMBERS, ROWS, width, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


def plain_network(layers: Layers, member: int, values: Tensor) -> Tensor:
    for index, (weight, bias) in enumerate(zip(layers.weights, layers.biases, strict=True)):
        values = values @ weight[member] + bias[member]
        if index < len(layers.weights) - 1:
            values = ACTIVATIONS[layers.activation](values)
    return values


def with_gradients(layers: Layers) -> Layers:
    return Layers(
        tuple(one.clone().requires_grad_() for one in layers.weights),
        tuple(one.clone().requires_grad_() for one in layers.biases),
        layers.activation,
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_member_is_a_network_of_its_own(activation: str) -> None:
    layers, inputs = random_layers(activation), random_inputs()
    found = mlp.apply(layers, inputs)
    for member in range(MEMBERS):
        torch.testing.assert_close(found[member], plain_network(layers, member, inputs[member]))


def test_the_last_layer_is_linear_and_a_single_layer_is_affine() -> None:
    layers, inputs = random_layers("elu", (3, 2)), random_inputs()
    torch.testing.assert_close(mlp.apply(layers, inputs), inputs @ layers.weights[0] + layers.biases[0])


@pytest.mark.parametrize("widths", [(3, 2), WIDTHS], ids=["one layer", "three layers"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_reverse_pass_is_that_of_autograd(activation: str, widths: tuple[int, ...]) -> None:
    layers, inputs = with_gradients(random_layers(activation, widths)), random_inputs().requires_grad_()
    recorded = mlp.apply_recorded(layers, inputs)
    gradient = torch.randn(recorded[-1].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = torch.autograd.grad(recorded[-1], [inputs, *layers.weights, *layers.biases], gradient)

    with torch.no_grad():
        for_inputs, for_linear = mlp.reverse(layers, recorded, gradient)
    torch.testing.assert_close(for_inputs, expected[0])
    count = len(layers.weights)
    for index in range(count):
        torch.testing.assert_close(recorded[index].transpose(1, 2) @ for_linear[index], expected[1 + index])
        torch.testing.assert_close(for_linear[index].sum(1, keepdim=True), expected[1 + count + index])


def test_reverse_pass_leaves_the_given_gradient_alone() -> None:
    layers, inputs = random_layers("elu"), random_inputs()
    gradient = torch.ones(MEMBERS, ROWS, WIDTHS[-1], dtype=torch.float64)
    mlp.reverse(layers, mlp.apply_recorded(layers, inputs), gradient)
    assert torch.equal(gradient, torch.ones_like(gradient))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_jacobian_is_that_of_autograd(activation: str) -> None:
    layers, inputs = random_layers(activation), random_inputs()
    found = mlp.jacobian(layers, inputs)
    assert found.shape == (MEMBERS, ROWS, WIDTHS[0], WIDTHS[-1])
    for member in range(MEMBERS):
        for row in range(ROWS):
            expected = torch.autograd.functional.jacobian(
                lambda state, member=member: plain_network(layers, member, state[None])[0], inputs[member, row]
            )
            torch.testing.assert_close(found[member, row], expected.T)


def test_jacobian_of_a_single_layer_is_its_weight() -> None:
    layers = random_layers("elu", (3, 2))
    expected = layers.weights[0].unsqueeze(1).expand(-1, ROWS, -1, -1)
    assert torch.equal(mlp.jacobian(layers, random_inputs()), expected)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_large_inputs_give_finite_values_and_gradients(activation: str) -> None:
    layers = with_gradients(random_layers(activation))
    inputs = 1e4 * random_inputs()
    recorded = mlp.apply_recorded(layers, inputs)
    for_inputs, _ = mlp.reverse(layers, recorded, torch.ones_like(recorded[-1]))
    assert torch.isfinite(recorded[-1]).all()
    assert torch.isfinite(for_inputs).all()


def test_initial_weights_fill_their_bounds_evenly() -> None:
    weights, biases = mlp.initialize_layers([torch.Generator().manual_seed(0)], (400, 300))
    bound = 400**-0.5
    assert weights[0].shape == (1, 400, 300)
    assert biases[0].shape == (1, 1, 300)
    assert weights[0].abs().max() <= bound
    assert abs(float(weights[0].mean())) < 0.01 * bound
    assert float(weights[0].std()) == pytest.approx(bound / 3**0.5, rel=0.01)


def test_initial_weights_of_a_member_depend_on_its_stream_alone() -> None:
    def start(*seeds: int) -> list[Tensor]:
        weights, biases = mlp.initialize_layers([torch.Generator().manual_seed(seed) for seed in seeds], WIDTHS)
        return [*weights, *biases]

    for together, alone, other in zip(start(3, 7, 5), start(7), start(8), strict=True):
        assert torch.equal(together[1], alone[0])
        assert not torch.equal(alone, other)


def test_elu_is_one_operation_on_a_gpu_and_torchs_own_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    values = torch.linspace(-30.0, 5.0, 1001)
    torch.testing.assert_close(mlp._activate(values.clone(), "elu"), torch.nn.functional.elu(values))
    asked = []
    monkeypatch.setattr(torch.nn.functional, "elu", lambda given: asked.append(given.device.type) or given)
    for device in ("cpu", "meta"):
        mlp._activate(torch.zeros(3, device=device), "elu")
    assert asked == ["meta"]
