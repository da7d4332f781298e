"""The trainable tensors of an ensemble, and the effective network they stand for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from sparsenode.dynamics import gates, mlp
from sparsenode.dynamics.mlp import Layers


@dataclass(frozen=True)
class Parameters:
    """Tensors of an ensemble, each a tuple with one entry a layer and the axis `member` first.

    `log_alpha` is empty where a method has no gates, `masks` before a refit, `velocity_*` at first order; `decay` is
    empty or one tensor (member, 1, state). Once masks are there they replace the gates: a refit folds the
    deterministic gates into the weights. `starts` is empty or one tensor (member, group, feature), the learned starts
    of the groups; `references` then holds two that are not trained: the starts that were given, and their errors.
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    log_alpha: tuple[Tensor, ...] = ()
    masks: tuple[Tensor, ...] = ()
    velocity_weights: tuple[Tensor, ...] = ()
    velocity_biases: tuple[Tensor, ...] = ()
    decay: tuple[Tensor, ...] = ()
    starts: tuple[Tensor, ...] = ()
    references: tuple[Tensor, ...] = ()

    def map(self, function: Callable[[Tensor], Tensor]) -> Parameters:
        """The same parameters with a function applied to every tensor."""
        return Parameters(*(tuple(function(tensor) for tensor in getattr(self, name)) for name in _NAMES))

    def named(self) -> dict[str, Tensor]:
        """Tensors by name, such as `weights.0`."""
        return {f"{name}.{index}": tensor for name in _NAMES for index, tensor in enumerate(getattr(self, name))}


_NAMES = tuple(entry.name for entry in fields(Parameters))
NOT_TRAINED = ("masks", "references")


def from_named(tensors: dict[str, Tensor]) -> Parameters:
    """The inverse of `Parameters.named`."""
    groups: dict[str, list[Tensor]] = {name: [] for name in _NAMES}
    for key in sorted(tensors, key=lambda key: (key.split(".")[0], int(key.split(".")[1]))):
        groups[key.split(".")[0]].append(tensors[key])
    return Parameters(**{name: tuple(group) for name, group in groups.items()})


def select(parameters: Parameters, rows: Sequence[int]) -> Parameters:
    """Copies of the parameters of some members, by position."""
    index = torch.tensor(list(rows), dtype=torch.long)
    return parameters.map(lambda tensor: tensor.detach()[index])


def join(blocks: Sequence[Parameters]) -> Parameters:
    """One ensemble out of several of the same shape, members in the order given."""
    named = [block.named() for block in blocks]
    return from_named({key: torch.cat([tensors[key] for tensors in named]) for key in named[0]})


def initialize_parameters(
    generators: Sequence[torch.Generator],
    widths: Sequence[int],
    *,
    gates_on: str | None,
    velocity_widths: Sequence[int] = (),
    decay: Sequence[float] = (),
) -> Parameters:
    """Fresh parameters, member i from generator i alone.

    `widths` are the network's, input to output; `gates_on` is `weight`, `unit` or None; `velocity_widths` those of
    the network that gives the initial velocity (second order); `decay` is what every variable's rate of decay starts
    at (first order), or its stiffness and its damping (second order), empty for none.
    """
    weights, biases = mlp.initialize_layers(generators, widths)
    velocity_weights, velocity_biases = mlp.initialize_layers(generators, velocity_widths)
    log_alpha = gates.initialize_gates(widths, len(generators), gates_on) if gates_on else []
    return Parameters(
        tuple(weights),
        tuple(biases),
        tuple(log_alpha),
        (),
        tuple(velocity_weights),
        tuple(velocity_biases),
        (torch.tensor(decay).repeat_interleave(widths[-1]).expand(len(generators), 1, -1).contiguous(),)
        if decay
        else (),
    )


def deterministic_gates(parameters: Parameters) -> tuple[Tensor, ...]:
    """What multiplies the weights in evaluation: masks, else the deterministic gates, else nothing."""
    return parameters.masks or tuple(gates.deterministic(log_alpha) for log_alpha in parameters.log_alpha)


def sampled_gates(parameters: Parameters, noise: Sequence[Tensor], noise_share: float) -> tuple[Tensor, ...]:
    """A draw of the gates, blended with their deterministic value while `noise_share` ramps from 0 to 1.

    `noise` are logistic random numbers in the shape of the gates.
    """
    drawn = (gates.sample(log_alpha, one) for log_alpha, one in zip(parameters.log_alpha, noise, strict=True))
    if noise_share >= 1.0:
        return tuple(drawn)
    still = (gates.deterministic(log_alpha) for log_alpha in parameters.log_alpha)
    return tuple(torch.lerp(fixed, draw, noise_share) for fixed, draw in zip(still, drawn, strict=True))


def effective_layers(parameters: Parameters, factors: Sequence[Tensor], activation: str) -> Layers:
    """The network with `factors` (gates or masks; empty for none) folded into its weights."""
    weights = parameters.weights
    if factors:
        weights = tuple(weight * factor for weight, factor in zip(weights, factors, strict=True))
    return Layers(weights, parameters.biases, activation, parameters.decay[0] if parameters.decay else None)


def velocity_layers(parameters: Parameters, activation: str) -> Layers:
    """The network of the initial velocity."""
    return Layers(parameters.velocity_weights, parameters.velocity_biases, activation)


def open_probabilities(parameters: Parameters) -> tuple[Tensor, ...]:
    """Probability that each weight is open: (member, in, out), or (member, in, 1) for gates on units."""
    return tuple(gates.open_probability(log_alpha) for log_alpha in parameters.log_alpha)


def prune_closed(parameters: Parameters, activation: str, threshold: float) -> Parameters:
    """Fold the deterministic gates into the weights and mask what is below `threshold`: the start of a refit."""
    effective = effective_layers(parameters, deterministic_gates(parameters), activation).weights
    masks = tuple((weight.abs() > threshold).to(weight.dtype) for weight in effective)
    folded = tuple(weight * mask for weight, mask in zip(effective, masks, strict=True))
    return replace(parameters, weights=folded, masks=masks)
