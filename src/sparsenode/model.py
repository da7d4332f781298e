"""What a model's settings mean: its vector field, its fresh parameters and the states it starts from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sparsenode.dynamics import fields, mlp, network
from sparsenode.dynamics.fields import VectorField
from sparsenode.dynamics.network import Parameters
from sparsenode.settings import ModelSettings


def make_field(settings: ModelSettings, features: int) -> VectorField:
    """The vector field of a model's order."""
    return fields.make_field(settings.order, features)


def initialize(settings: ModelSettings, features: int, seeds: Sequence[int], *, gated: bool) -> Parameters:
    """Parameters at initialization, each member from its seed alone."""
    field = make_field(settings, features)
    return network.initialize_parameters(
        [torch.Generator().manual_seed(seed) for seed in seeds],
        [field.inputs, *settings.hidden, features],
        gates_on=settings.gates if gated else None,
        velocity_widths=[features, *settings.velocity_hidden, features] if settings.order == 2 else [],
        decay=settings.decay,
    )


def starting_states(
    parameters: Parameters,
    settings: ModelSettings,
    positions: Tensor,
    velocities: Tensor | None = None,
    learned: Tensor | None = None,
) -> Tensor:
    """States (member, row, state) from positions (row, feature), or (member, row, feature) where members differ.

    At second order the velocity is that of the model's own network where `learned` (row, 1) is true, or everywhere
    if no `velocities` (row, feature) are given.
    """
    members = parameters.weights[0].shape[0]
    positions = positions.expand(members, -1, -1)
    if settings.order == 1:
        return positions.contiguous()
    if velocities is not None and learned is None:
        return torch.cat((positions, velocities.expand_as(positions)), dim=-1)
    own = mlp.apply(network.velocity_layers(parameters, settings.activation), positions)
    if velocities is not None and learned is not None:
        own = torch.where(learned, own, velocities)
    return torch.cat((positions, own), dim=-1)
