"""The network of PHOENIX: regulators act through Hill-like activations, by sums and by products.

Hossain, Fanfani, Fischer, Quackenbush & Burkholz, Genome Biology 2024 (25:127). With s = x - 1/2, as of values between
0 and 1, and for each gene a rate m = max(0, multiplier):

    phi_sum(x) = s / (1 + |s|)                       a Hill function around its half saturation
    phi_product(x) = log(1 + phi_sum(x))             so that weights are the exponents of a product
    units = (phi_sum(x) W_sum + b_sum, exp(phi_product(x) W_product + b_product))
    dx/dt = m (units W_joint - x)

The two branches are side by side in one hidden layer: its first half are the units of the sum branch, the other half
those of the product branch. So the paths from gene to gene are those of a chain of two layers, and all that counts
paths or weights takes the network for one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sparsenode.dynamics.mlp import Layers

HALF_SATURATION = 0.5
"""State at which a regulator is half active, as published: scale data to 0 to 1. Log ratios about 0 (yeast) lie on the
slope below it, on which both activations still tell states apart."""

CONNECTED = 20
"""At the start, each input of a layer leads to one in so many of the layer's units, as published."""

SPREAD = 0.05
"""Standard deviation of the initial weights that are not zero, as published."""

LEARNING_RATE_OF_RATES = 5.0
"""How many times faster the genes' rates learn than weights, as published."""


def effective_layers(weights: Sequence[Tensor], biases: Sequence[Tensor], rates: Tensor) -> Layers:
    """The network as three linear maps, of the sum branch, of the product branch, and of both onto the rates.

    What multiplies the joint output is folded into its weights.

    Args:
        weights: those into and out of the hidden layer, (member, gene, 2 x unit) and (member, 2 x unit, gene).
        biases: that of the hidden layer, (member, 1, 2 x unit).
        rates: (member, 1, gene).
    """
    into, onto = weights
    sum_weights, product_weights = into.chunk(2, dim=-1)
    sum_bias, product_bias = biases[0].chunk(2, dim=-1)
    return Layers(
        (sum_weights.contiguous(), product_weights.contiguous(), onto * rates),
        (sum_bias, product_bias, torch.zeros_like(rates)),
        "hill",
        decay=rates,
    )


def branches(layers: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Views of two tensors in the shapes of the weights, a pair (..., gene, unit) and (..., unit, gene) a branch."""
    into, onto = layers
    return list(zip(into.chunk(2, dim=-1), onto.chunk(2, dim=-2), strict=True))


def apply_recorded(layers: Layers, states: Tensor) -> list[Tensor]:
    """The states, the input of each of the three linear maps, and the output, the production (member, row, gene).

    This is what `reverse` needs; decay is not taken off.
    """
    shifted = states - HALF_SATURATION
    size = shifted.abs()
    for_sums = shifted / (1.0 + size)
    # The logarithm of 1 + s / (1 + |s|) without the difference of two numbers near 1.
    for_products = torch.log1p(shifted + size).sub_(torch.log1p(size))
    sums = torch.baddbmm(layers.biases[0], for_sums, layers.weights[0])
    products = torch.baddbmm(layers.biases[1], for_products, layers.weights[1]).exp_()
    units = torch.cat((sums, products), dim=-1)
    output = torch.baddbmm(layers.biases[2], units, layers.weights[2])
    return [states, for_sums, for_products, units, output]


def _slopes(states: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives of both activations at states of any shape."""
    shifted = states - HALF_SATURATION
    size = shifted.abs()
    inverse = 1.0 / (1.0 + size)
    return inverse.square(), inverse / ((shifted + size) + 1.0)


def reverse(layers: Layers, recorded: Sequence[Tensor], gradient: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Gradient for the states, and for the output of each linear map; `gradient` (member, row, gene) is the output's.

    The weight gradients are not formed here, as in `mlp.reverse`.
    """
    states, _, _, units, _ = recorded
    for_units = torch.bmm(gradient, layers.weights[2].transpose(1, 2))
    count = layers.weights[0].shape[-1]
    of_sums = for_units[..., :count].contiguous()
    of_products = for_units[..., count:] * units[..., count:]
    slope_of_sums, slope_of_products = _slopes(states)
    for_states = torch.bmm(of_sums, layers.weights[0].transpose(1, 2)).mul_(slope_of_sums)
    for_states.addcmul_(torch.bmm(of_products, layers.weights[1].transpose(1, 2)), slope_of_products)
    return for_states, [of_sums, of_products, gradient]


def jacobian(layers: Layers, states: Tensor) -> Tensor:
    """Derivative (member, row, source, target) of every gene's production by every gene's state."""
    _, _, _, units, _ = apply_recorded(layers, states)
    count = layers.weights[0].shape[-1]
    slope_of_sums, slope_of_products = (slope.unsqueeze(-1) for slope in _slopes(states))
    of_sums = slope_of_sums * layers.weights[0].unsqueeze(1)
    of_products = slope_of_products * layers.weights[1].unsqueeze(1) * units[..., count:].unsqueeze(2)
    return torch.cat((of_sums, of_products), dim=-1) @ layers.weights[2].unsqueeze(1)


def initialize(
    generators: Sequence[torch.Generator], genes: int, units: int
) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
    """Weights into and out of the hidden layer, its bias and the genes' rates; one random stream a member.

    Few weights are not zero; biases are uniform within 1/sqrt(genes), rates between 0 and 1.

    Args:
        generators: one random generator a member.
        genes: number of the variables.
        units: units of each branch (40 of 350 genes, 120 of 3,551 in the paper).
    """
    into, onto, biases, rates = [], [], [], []
    for generator in generators:
        into.append(torch.cat([_sparse(generator, genes, units) for _ in range(2)], dim=-1))
        onto.append(_sparse(generator, 2 * units, genes))
        biases.append((2.0 * torch.rand((1, 2 * units), generator=generator) - 1.0) * genes**-0.5)
        rates.append(torch.rand((1, genes), generator=generator))
    return (torch.stack(into), torch.stack(onto)), torch.stack(biases), torch.stack(rates)


def _sparse(generator: torch.Generator, width_in: int, width_out: int) -> Tensor:
    """Normal weights (in, out), but zero save for one in `CONNECTED` of each input's, at random, at least one."""
    connections = max(1, width_out // CONNECTED)
    columns = torch.rand((width_in, width_out), generator=generator).topk(connections, dim=1).indices
    values = SPREAD * torch.randn((width_in, connections), generator=generator)
    return torch.zeros(width_in, width_out).scatter_(1, columns, values)
