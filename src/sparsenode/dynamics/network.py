"""The trainable tensors of an ensemble, and the effective network they represent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import torch
from torch import Tensor

from sparsenode.dynamics import biological, gates, mlp
from sparsenode.dynamics.mlp import Layers
from sparsenode.dynamics.paths import path_product


@dataclass(frozen=True)
class Parameters:
    """Tensors of an ensemble, each a tuple with one entry a layer and the axis `member` first.

    `log_alpha` is empty where a method has no gates, `masks` (1 or 0) where nothing is or will be pruned, `velocity_*`
    at first order; `decay` is empty or one tensor (member, 1, state). Masks replace the gates: a refit folds the
    deterministic gates into the weights, and a pruner has none. `starts` is empty or one tensor (member, group,
    feature), the learned starts of the groups; `references` then holds two that are not trained: the starts that were
    given, and their errors.

    Weights are (member, in, out), or with one network per target (member, target, in, out), one value a target at the
    end. `skip` is empty or one tensor (member, target, in, 1), what leads from the inputs straight to each target.
    Masks of the skip come after those of the weights.

    `multiplier` is empty or one tensor (member, 1, feature): the network is then that of `biological`, a chain of two
    layers whose hidden units are those of both branches, and without a bias at the end. It has no `decay` beside it.

    `standards` is empty or two tensors (member, 1, feature) that are not trained, a center and a spread of each
    variable: the network is then given (state - center) / spread and gives rates in units of the spreads. Both are
    folded into the effective layers.
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
    skip: tuple[Tensor, ...] = ()
    multiplier: tuple[Tensor, ...] = ()
    standards: tuple[Tensor, ...] = ()

    @property
    def prunable(self) -> tuple[Tensor, ...]:
        """What a penalty acts on: the weights, and the skip after them."""
        return (*self.weights, *self.skip)

    def map(self, function: Callable[[Tensor], Tensor]) -> Parameters:
        """The same parameters with a function applied to every tensor."""
        return Parameters(*(tuple(function(tensor) for tensor in getattr(self, name)) for name in _NAMES))

    def named(self) -> dict[str, Tensor]:
        """Tensors by name, such as `weights.0`."""
        return {f"{name}.{index}": tensor for name in _NAMES for index, tensor in enumerate(getattr(self, name))}


_NAMES = tuple(entry.name for entry in fields(Parameters))
NOT_TRAINED = ("masks", "references", "standards")


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
    per_target: bool = False,
    skip: bool = False,
) -> Parameters:
    """Fresh parameters, member i only from generator i.

    Args:
        generators: one random generator a member.
        widths: widths of the network, input to output, or with `per_target` the last of them is the number of networks,
            of which each has the hidden widths and one output.
        gates_on: `weight`, `unit`, or None for no gates.
        velocity_widths: widths of the network that gives the initial velocity (second order).
        decay: what every variable's rate of decay starts at (first order), or its stiffness and its damping (second
            order); empty for none.
        per_target: whether each target has a network of its own.
        skip: whether linear weights lead from the inputs straight to the outputs.
    """
    targets = widths[-1] if per_target else None
    if targets is None:
        weights, biases = mlp.initialize_layers(generators, widths)
    else:
        weights, biases = _initialize_targets(generators, widths[:-1], targets)
    skips = _initialize_targets(generators, widths[:1], widths[-1])[0] if skip else []
    velocity_weights, velocity_biases = mlp.initialize_layers(generators, velocity_widths)
    log_alpha = [gates.initialize(weight, gates_on) for weight in weights] if gates_on else []
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
        skip=tuple(skips),
    )


def initialize_biological(
    generators: Sequence[torch.Generator], features: int, units: int, *, gates_on: str | None, rate: float | None = None
) -> Parameters:
    """Fresh parameters of the network of `biological`, member i only from generator i.

    Args:
        generators: one random generator a member.
        features: number of the variables.
        units: units of each branch.
        gates_on: `weight`, `unit`, or None for no gates.
        rate: where the genes' multipliers all start; between 0 and 1 where it is None.
    """
    weights, bias, drawn = biological.initialize(generators, features, units)
    multiplier = drawn if rate is None else torch.full_like(drawn, rate)
    log_alpha = tuple(gates.initialize(weight, gates_on) for weight in weights) if gates_on else ()
    return Parameters(weights, (bias,), log_alpha, multiplier=(multiplier,))


def _initialize_targets(
    generators: Sequence[torch.Generator], widths: Sequence[int], targets: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Weights (member, target, in, out) and biases (member, 1, target x out) of one network per target."""
    weights, biases = [], []
    for width_in, width_out in pairwise([*widths, 1]):
        (flat,), (bias,) = mlp.initialize_layers(generators, [width_in, targets * width_out])
        weights.append(flat.unflatten(2, (targets, width_out)).transpose(1, 2).contiguous())
        biases.append(bias)
    return weights, biases


def deterministic_gates(parameters: Parameters) -> tuple[Tensor, ...]:
    """What multiplies the weights in evaluation: masks, else the deterministic gates, else nothing."""
    return parameters.masks or tuple(gates.deterministic(log_alpha) for log_alpha in parameters.log_alpha)


def sampled_gates(parameters: Parameters, noise: Sequence[Tensor], noise_share: float | Tensor) -> tuple[Tensor, ...]:
    """A draw of the gates, blended with their deterministic value.

    Args:
        parameters: the parameters with the gates.
        noise: logistic random numbers in the shape of the gates.
        noise_share: share of the draw in the blend, which ramps from 0 to 1; a tensor () is not looked at.
    """
    drawn = (
        gates.sample(log_alpha, layer_noise) for log_alpha, layer_noise in zip(parameters.log_alpha, noise, strict=True)
    )
    if not isinstance(noise_share, Tensor) and noise_share >= 1.0:
        return tuple(drawn)
    still = (gates.deterministic(log_alpha) for log_alpha in parameters.log_alpha)
    return tuple(torch.lerp(fixed, draw, noise_share) for fixed, draw in zip(still, drawn, strict=True))


def effective_layers(parameters: Parameters, factors: Sequence[Tensor], activation: str) -> Layers:
    """The network with factors and standards folded into its weights.

    Args:
        parameters: the trainable tensors.
        factors: gates or masks; empty for none.
        activation: name of the activation function.
    """
    weights, *skip = _apply(parameters, factors)
    weights, biases, skip = _fold_standards(parameters, weights, skip)
    rates = own_rates(parameters)
    if parameters.multiplier:
        return biological.effective_layers(weights, parameters.biases, *rates)
    rows_last = False
    if _per_target(parameters):
        rows_last = len(weights) > 1
        hidden = weights[1:-1]
        last = (weights[-1].flatten(1).unsqueeze(1),) if rows_last else ()
        weights = (weights[0].transpose(1, 2).flatten(2), *map(_side_by_side, hidden), *last)
    return Layers(
        weights,
        biases,
        activation,
        rates[0] if rates else None,
        skip[0].squeeze(-1).transpose(1, 2).contiguous() if skip else None,
        rows_last,
    )


def own_rates(parameters: Parameters) -> tuple[Tensor, ...]:
    """Empty or one tensor (member, 1, state), the rate at which each variable decays by itself."""
    return parameters.decay or tuple(rates.clamp(min=0.0) for rates in parameters.multiplier)


def _per_target(parameters: Parameters) -> bool:
    return parameters.weights[0].dim() == 4


def path_matrix(parameters: Parameters) -> Tensor:
    """Summed strength (member, in, out) of all paths of the effective network, the skip included.

    Of a biological network through both branches, times the targets' multipliers.
    """
    weights, *skip = _apply(parameters, deterministic_gates(parameters))
    weights, _, skip = _fold_standards(parameters, weights, skip)
    paths = path_product(weights)
    if parameters.multiplier:
        paths = paths * own_rates(parameters)[0]
    if skip:
        paths = paths + skip[0].abs()
    return paths.squeeze(-1).transpose(1, 2) if _per_target(parameters) else paths


def open_paths(parameters: Parameters) -> Tensor:
    """Mean over paths of the probability to be open, (member, in, out), of a network with gates."""
    opened = [
        probabilities.expand_as(weight)
        for probabilities, weight in zip(open_probabilities(parameters), parameters.weights, strict=True)
    ]
    mean = path_product(opened) / math.prod(layer.shape[-1] for layer in opened[:-1])
    return mean.squeeze(-1).transpose(1, 2) if _per_target(parameters) else mean


def _apply(parameters: Parameters, factors: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], *tuple[Tensor, ...]]:
    """Weights with the factors folded in, and after them the skip, if there is one."""
    layers = len(parameters.weights)
    scaled = [weight * factor for weight, factor in zip(parameters.prunable, factors, strict=False)]
    effective = (*scaled, *parameters.prunable[len(scaled) :])
    return effective[:layers], *effective[layers:]


def _fold_standards(
    parameters: Parameters, weights: tuple[Tensor, ...], skip: list[Tensor]
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], list[Tensor]]:
    """Weights, biases and skip in units of the states, of those that see standardized states."""
    if not parameters.standards:
        return weights, parameters.biases, skip
    center, spread = parameters.standards
    of_sources, of_targets = spread.transpose(1, 2), spread
    if _per_target(parameters):
        center, of_sources, of_targets = center.unsqueeze(1), of_sources.unsqueeze(1), of_sources.unsqueeze(-1)

    def at_center(weight: Tensor) -> Tensor:
        shift = center @ weight
        return shift.flatten(1).unsqueeze(1) if _per_target(parameters) else shift

    scaled = [weights[0] / of_sources, *weights[1:]]
    biases = [parameters.biases[0] - at_center(scaled[0]), *parameters.biases[1:]]
    skip = [matrix / of_sources for matrix in skip]
    for matrix in skip:
        biases[-1] = biases[-1] - at_center(matrix)
    scaled[-1] = scaled[-1] * of_targets
    biases[-1] = biases[-1] * spread
    return tuple(scaled), tuple(biases), [matrix * of_targets for matrix in skip]


def _side_by_side(weight: Tensor) -> Tensor:
    """Weights (member, target, in, out) between hidden units as one block-diagonal matrix (member, in, out)."""
    identity = torch.eye(weight.shape[1], dtype=weight.dtype, device=weight.device)
    return (weight.unsqueeze(3) * identity.view(1, len(identity), 1, len(identity), 1)).flatten(3).flatten(1, 2)


def velocity_layers(parameters: Parameters, activation: str) -> Layers:
    """The network of the initial velocity."""
    return Layers(parameters.velocity_weights, parameters.velocity_biases, activation)


def open_probabilities(parameters: Parameters) -> tuple[Tensor, ...]:
    """Probability that each weight is open: (member, in, out), or (member, in, 1) for gates on units."""
    return tuple(gates.open_probability(log_alpha) for log_alpha in parameters.log_alpha)


def prune_closed(parameters: Parameters, threshold: float) -> Parameters:
    """Fold the deterministic gates into the weights and mask what is below `threshold`: the start of a refit."""
    weights, *skip = _apply(parameters, deterministic_gates(parameters))
    masks = tuple((weight.abs() > threshold).to(weight.dtype) for weight in (*weights, *skip))
    folded = [weight * mask for weight, mask in zip((*weights, *skip), masks, strict=True)]
    return replace(parameters, weights=tuple(folded[: len(weights)]), skip=tuple(folded[len(weights) :]), masks=masks)


def chains(parameters: Parameters, layers: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    """Views of tensors in the shapes of what is prunable, by the chains of layers that are pruned each by itself.

    They are the two branches of a biological network, and of any other a single one. Here and in `sizes` the axis
    `member` may be absent.
    """
    return [*biological.branches(layers)] if parameters.multiplier else [tuple(layers)]


def sizes(parameters: Parameters) -> list[Tensor]:
    """Absolute values of what is prunable; what leads onto a gene of a biological network, times the gene's rate."""
    magnitudes = [weight.detach().abs() for weight in parameters.prunable]
    if parameters.multiplier:
        magnitudes[-1] = magnitudes[-1] * own_rates(parameters)[0].detach()
    return magnitudes


def mask_nothing(parameters: Parameters) -> Parameters:
    """The same parameters with masks that let everything through: the start of a pruner."""
    return replace(parameters, masks=tuple(torch.ones_like(weight) for weight in parameters.prunable))


def mask_edges(parameters: Parameters, allowed: Tensor) -> Parameters:
    """The same parameters of networks of single targets, with what other inputs feed at zero and masked.

    Args:
        parameters: of each member, without a skip.
        allowed: 1 for inputs of a target that stay, else 0, (target, in, 1).
    """
    first, *later = parameters.weights
    masks = (torch.ones_like(first) * allowed.to(first), *(torch.ones_like(weight) for weight in later))
    return replace(parameters, weights=(first * masks[0], *later), masks=masks)


def weight_sparsity(parameters: Parameters, threshold: float) -> Tensor:
    """Share (member,) of the weights, with gates or masks folded in, that are below the threshold.

    Those onto the rates of a biological network are taken times the targets' multipliers, as the published code (DASH)
    does: all that lead to a gene whose multiplier is not above zero count as zero.
    """
    weights, *skip = _apply(parameters, deterministic_gates(parameters))
    if parameters.multiplier:
        weights = (*weights[:-1], weights[-1] * own_rates(parameters)[0])
    below = [(weight.abs() < threshold).flatten(1).sum(1).to(torch.float64) for weight in (*weights, *skip)]
    return torch.stack(below).sum(0) / sum(weight[0].numel() for weight in (*weights, *skip))
