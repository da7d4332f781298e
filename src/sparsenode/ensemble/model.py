"""What a model's settings mean: its vector field, its fresh parameters and the states it starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsenode.dynamics import fields, mlp, network
from sparsenode.dynamics.fields import VectorField
from sparsenode.dynamics.network import Parameters
from sparsenode.ensemble.starts import GivenStarts
from sparsenode.errors import UserError
from sparsenode.settings import ModelSettings

Floats = NDArray[np.floating[Any]]


def make_field(settings: ModelSettings, features: int) -> VectorField:
    """The vector field of a model's order, around its kind of network.

    Raises UserError for a biological network of second order, or without exactly one number of units, and for
    standardized states of either.
    """
    if settings.standardize and (settings.order != 1 or settings.network == "biological"):
        raise UserError(
            f"standardize needs order 1 and a network of perceptrons; found order {settings.order} and network "
            f"{settings.network!r}; leave it out"
        )
    if settings.network != "biological":
        return fields.make_field(settings.order, features)
    if settings.order != 1 or len(settings.hidden) != 1:
        raise UserError(
            f"a biological network has order 1 and one number of hidden units, those of each of its two branches; "
            f"found order {settings.order} and hidden {list(settings.hidden)}; change them, or take another `network`"
        )
    return fields.first_order(features, fields.BIOLOGICAL)


def initialize(
    settings: ModelSettings,
    features: int,
    seeds: Sequence[int],
    *,
    gated: bool,
    skip: bool = False,
    given: GivenStarts | None = None,
    standards: Floats | None = None,
) -> Parameters:
    """Parameters at initialization, each member only from its seed.

    Args:
        settings: the settings of the model.
        features: number of the variables.
        seeds: one seed a member.
        gated: whether the method has gates.
        skip: whether linear weights lead from the inputs straight to the targets.
        given: the starts from which learned ones begin.
        standards: (2, feature), centers and spreads; the network then sees standardized states.
    """
    field = make_field(settings, features)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    gates_on = settings.gates if gated else None
    if field.form is fields.BIOLOGICAL:
        rate = next(iter(_first_decay(settings)), None)
        fresh = network.initialize_biological(generators, features, *settings.hidden, gates_on=gates_on, rate=rate)
    else:
        fresh = network.initialize_parameters(
            generators,
            [field.inputs, *settings.hidden, features],
            gates_on=gates_on,
            velocity_widths=velocity_widths(settings, features) if settings.order == 2 else [],
            decay=_first_decay(settings),
            per_target=settings.network == "per_target",
            skip=skip,
        )
    if given is not None:
        means, errors = (
            torch.as_tensor(values, dtype=torch.float32).expand(len(seeds), -1, -1).contiguous()
            for values in (given.means, given.errors)
        )
        fresh = replace(fresh, starts=(means.clone(),), references=(means, errors))
    if standards is not None:
        center, spread = torch.as_tensor(standards, dtype=torch.float32).unsqueeze(1).unsqueeze(1)
        fresh = replace(fresh, standards=tuple(standard.repeat(len(seeds), 1, 1) for standard in (center, spread)))
    if settings.order == 1 or settings.velocity_observations is None:
        return fresh
    # Where every start depends on it, a random network of the velocity is worse than none: training begins at the
    # slopes that are given, or at rest.
    last = fresh.velocity_weights[-1], fresh.velocity_biases[-1]
    return replace(
        fresh,
        velocity_weights=(*fresh.velocity_weights[:-1], torch.zeros_like(last[0])),
        velocity_biases=(*fresh.velocity_biases[:-1], torch.zeros_like(last[1])),
    )


def _first_decay(settings: ModelSettings) -> tuple[float, ...]:
    """What decay starts at: its rate, or the stiffness and the damping that return as fast without overshooting."""
    if settings.decay is None:
        return ()
    rate = settings.decay * settings.time_scale
    return (rate,) if settings.order == 1 else (rate**2, 2 * rate)


def velocity_widths(settings: ModelSettings, features: int) -> list[int]:
    """Widths of the network of the initial velocity."""
    return [features * (2 if settings.takes_slopes else 1), *settings.velocity_hidden, features]


def starting_states(
    parameters: Parameters,
    settings: ModelSettings,
    positions: Tensor,
    velocities: Tensor | None = None,
    learned: Tensor | None = None,
    groups: Tensor | None = None,
) -> Tensor:
    """States (member, row, state) from positions.

    Args:
        parameters: the trainable tensors.
        settings: the settings of the model.
        positions: (row, feature), or (member, row, feature) where members differ.
        velocities: (row, feature), or (member, row, feature), at second order; to a model that takes slopes they are
            the slopes. Without them the velocity is that of the model's own network everywhere.
        learned: (row, 1), where the velocity is that of the model's own network in spite of `velocities`.
        groups: (row,) numbers of the rows' groups, with learned starts.

    Raises:
        UserError: a model that takes slopes is given none.
    """
    members = parameters.weights[0].shape[0]
    if parameters.starts and groups is not None:
        return parameters.starts[0][:, groups]
    positions = positions.expand(members, -1, -1)
    if settings.order == 1:
        return positions.contiguous()
    layers = network.velocity_layers(parameters, settings.activation)
    if settings.takes_slopes:
        if velocities is None:
            raise UserError("this model takes the slopes of the last observations beside the states; give them too")
        slopes = velocities.expand_as(positions)
        return torch.cat((positions, slopes + mlp.apply(layers, torch.cat((positions, slopes), dim=-1))), dim=-1)
    if velocities is not None and learned is None:
        return torch.cat((positions, velocities.expand_as(positions)), dim=-1)
    start_velocities = mlp.apply(layers, positions)
    if velocities is not None and learned is not None:
        start_velocities = torch.where(learned, start_velocities, velocities)
    return torch.cat((positions, start_velocities), dim=-1)
