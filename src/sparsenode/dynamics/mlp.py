"""A multilayer perceptron for every member at once, with the reverse pass that a solver needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layers:
    """Effective weights (gates and masks folded in) and biases of an ensemble of networks.

    Shapes: `weights[l]` (member, in_l, out_l), `biases[l]` (member, 1, out_l), `decay` (member, 1, state): the rate
    at which each variable decays beside what the network gives, if the field has it; at second order its stiffness and
    its damping. `skip` (member, in_1, out_L) leads from the inputs straight to the outputs, if the network has it.

    With one network per target the networks are side by side: each layer has the units of all targets, those of the
    first target first, and no weights between targets. If there are hidden layers, the last weights are a row (member,
    1, in_L), since each unit leads to one output only: then `rows_last` is true.

    Other networks than perceptrons have their linear maps here in an order of their own (see `biological`).
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    activation: str = "elu"
    decay: Tensor | None = None
    skip: Tensor | None = None
    rows_last: bool = False

    def select(self, rows: slice) -> Layers:
        """The networks of some members."""
        return Layers(
            tuple(weight[rows] for weight in self.weights),
            tuple(bias[rows] for bias in self.biases),
            self.activation,
            None if self.decay is None else self.decay[rows],
            None if self.skip is None else self.skip[rows],
            self.rows_last,
        )


def _activate(values: Tensor, activation: str) -> Tensor:
    if activation == "elu" and values.device.type != "cpu":
        return torch.nn.functional.elu(values)  # one pass through a GPU's memory in place of four
    if activation == "elu":
        # exp(x) - 1 is never below x, so the larger of the two is right on both sides. With many rows half the time of
        # torch's own, which also treats the last few numbers of a tensor apart.
        return torch.maximum(values.clamp(max=0.0).exp_() - 1.0, values)
    if activation == "tanh":
        return torch.tanh(values)
    return torch.nn.functional.softplus(values)


def _through_activation(gradient: Tensor, activated: Tensor, activation: str) -> Tensor:
    """Gradient before the activation, from its value: nothing else needs to be kept for the reverse pass."""
    if activation == "elu":
        return torch.ops.aten.elu_backward(gradient, 1.0, 1.0, 1.0, True, activated)
    if activation == "tanh":
        return torch.ops.aten.tanh_backward(gradient, activated)
    return gradient * (1.0 - torch.exp(-activated))


def apply(layers: Layers, inputs: Tensor) -> Tensor:
    """Outputs (member, row, out) of the networks for inputs (member, row, in)."""
    return apply_recorded(layers, inputs)[-1]


def apply_recorded(layers: Layers, inputs: Tensor) -> list[Tensor]:
    """Input of every layer, and the output last: what `reverse` needs."""
    values = [inputs]
    last = len(layers.weights) - 1
    for index, (weight, bias) in enumerate(zip(layers.weights, layers.biases, strict=True)):
        if layers.rows_last and index == last:
            linear = _sum_units(values[-1] * weight, bias.shape[-1]) + bias
        else:
            linear = torch.baddbmm(bias, values[-1], weight)
        values.append(linear if index == last else _activate(linear, layers.activation))
    if layers.skip is not None:
        values[-1] = torch.baddbmm(values[-1], inputs, layers.skip)
    return values


def _sum_units(values: Tensor, targets: int) -> Tensor:
    """Sum (..., target) over the units of each target's network."""
    return values.unflatten(-1, (targets, -1)).sum(-1)


def spread_over_units(values: Tensor, units: int) -> Tensor:
    """Give each target's value to all of its units, (..., unit): the transpose of their sum."""
    targets = values.shape[-1]
    return values.unsqueeze(-1).expand(*values.shape, units // targets).flatten(-2)


def reverse(layers: Layers, recorded: Sequence[Tensor], gradient: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Gradient for the inputs, and for the linear output of every layer.

    `gradient` (member, row, out) belongs to the output. The weight gradients are not formed here: a solver
    evaluates the network many times and gathers them into one product per layer.
    """
    linear_gradients = [gradient]
    past = None if layers.skip is None else torch.bmm(gradient, layers.skip.transpose(1, 2))
    for index in range(len(layers.weights) - 1, -1, -1):
        weight = layers.weights[index]
        if layers.rows_last and index == len(layers.weights) - 1:
            gradient = spread_over_units(gradient, weight.shape[-1]) * weight
        else:
            gradient = torch.bmm(gradient, weight.transpose(1, 2))
        if index > 0:
            gradient = _through_activation(gradient, recorded[index], layers.activation)
            linear_gradients.append(gradient)
    linear_gradients.reverse()
    return gradient if past is None else gradient.add_(past), linear_gradients


def jacobian(layers: Layers, inputs: Tensor) -> Tensor:
    """Derivative (member, row, in, out) of every output with respect to every input."""
    recorded = apply_recorded(layers, inputs)
    product = layers.weights[0].unsqueeze(1).expand(-1, inputs.shape[1], -1, -1)
    for index in range(1, len(layers.weights)):
        activated = recorded[index].unsqueeze(2)
        product = _through_activation(product, activated.expand_as(product), layers.activation)
        weight = layers.weights[index].unsqueeze(1)
        if layers.rows_last and index == len(layers.weights) - 1:
            product = _sum_units(product * weight, layers.biases[-1].shape[-1])
        else:
            product = product @ weight
    return product if layers.skip is None else product + layers.skip.unsqueeze(1)


def initialize_layers(
    generators: Sequence[torch.Generator], widths: Sequence[int]
) -> tuple[list[Tensor], list[Tensor]]:
    """Weights and biases, uniform within 1/sqrt(in) as usual for linear layers; one random stream a member."""
    weights, biases = [], []
    for width_in, width_out in pairwise(widths):
        bound = width_in**-0.5
        draws = [torch.rand((width_in + 1, width_out), generator=generator) for generator in generators]
        values = (2.0 * torch.stack(draws) - 1.0) * bound
        weights.append(values[:, :-1].contiguous())
        biases.append(values[:, -1:].contiguous())
    return weights, biases
