"""Vector fields of first and second order around an ensemble of networks.

A field is a few pure functions and no parameters: `rate` and its reverse pass, how many state variables it has, which
of them are observed, and how input-output paths of its network become a source x target matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sparsenode.dynamics import biological, mlp
from sparsenode.dynamics.mlp import Layers


@dataclass(frozen=True)
class Form:
    """What a kind of network makes of its layers.

    `apply_recorded(layers, inputs)` lists the inputs (member, row, in), then those of the linear maps in the order of
    the layers, of which the first may be the inputs themselves, and at the end the output. `reverse(layers, recorded,
    gradient)` gives the gradient for the inputs, and for the output of each linear map; `jacobian(layers, inputs)` the
    derivative (member, row, in, out).
    """

    apply_recorded: Callable[[Layers, Tensor], list[Tensor]]
    reverse: Callable[[Layers, Sequence[Tensor], Tensor], tuple[Tensor, list[Tensor]]]
    jacobian: Callable[[Layers, Tensor], Tensor]


PERCEPTRON = Form(mlp.apply_recorded, mlp.reverse, mlp.jacobian)
BIOLOGICAL = Form(biological.apply_recorded, biological.reverse, biological.jacobian)


@dataclass(frozen=True)
class VectorField:
    """An autonomous vector field of `features` observed variables.

    `record(layers, state)` returns the rate (member, row, state) and what `reverse(layers, recorded, gradient)`
    needs to give the gradient for the state and for each layer's linear output (see `Form`). `fold_paths` turns an
    input x output matrix of the network, (member, in, out), into (member, source, target).
    """

    order: int
    features: int
    inputs: int
    record: Callable[[Layers, Tensor], tuple[Tensor, list[Tensor]]]
    reverse: Callable[[Layers, Sequence[Tensor], Tensor], tuple[Tensor, list[Tensor]]]
    fold_paths: Callable[[Tensor], Tensor]
    form: Form = PERCEPTRON

    def rate(self, layers: Layers, state: Tensor) -> Tensor:
        """Time derivative of the state, both (member, row, state)."""
        return self.record(layers, state)[0]

    def jacobian(self, layers: Layers, state: Tensor) -> Tensor:
        """Derivative (member, row, in, feature) of the network's rate, decay included, by every state variable."""
        jacobian = self.form.jacobian(layers, state)
        if layers.decay is None:
            return jacobian
        blocks = torch.diag_embed(layers.decay.unflatten(-1, (self.order, self.features)))
        return jacobian - blocks.flatten(2, 3).expand_as(jacobian)

    @property
    def state_size(self) -> int:
        """Variables of the state: twice the observed ones at second order."""
        return self.order * self.features


def first_order(features: int, form: Form = PERCEPTRON) -> VectorField:
    """x' = network(x), minus decay times x where the layers have a decay."""

    def record(layers: Layers, state: Tensor) -> tuple[Tensor, list[Tensor]]:
        recorded = form.apply_recorded(layers, state)
        if layers.decay is None:
            return recorded[-1], recorded
        return torch.addcmul(recorded[-1], layers.decay, state, value=-1.0), recorded

    def reverse(layers: Layers, recorded: Sequence[Tensor], gradient: Tensor) -> tuple[Tensor, list[Tensor]]:
        state_gradient, linear_gradients = form.reverse(layers, recorded, gradient)
        if layers.decay is not None:
            state_gradient = torch.addcmul(state_gradient, layers.decay, gradient, value=-1.0)
        return state_gradient, linear_gradients

    return VectorField(1, features, features, record, reverse, lambda matrix: matrix, form)


def second_order(features: int) -> VectorField:
    """x'' = network(x, x'); the state is (x, x') (SONODE, Norcliffe et al. 2020).

    A source acts on a target through its position or its velocity: the larger entry of the two counts. Where the layers
    have a decay, a stiffness times x and a damping times x' are taken off, both a variable's own.
    """

    def record(layers: Layers, state: Tensor) -> tuple[Tensor, list[Tensor]]:
        recorded = mlp.apply_recorded(layers, state)
        rate = recorded[-1]
        if layers.decay is not None:
            taken = layers.decay * state
            rate = rate - taken[..., :features] - taken[..., features:]
        return torch.cat((state[..., features:], rate), dim=-1), recorded

    def reverse(layers: Layers, recorded: Sequence[Tensor], gradient: Tensor) -> tuple[Tensor, list[Tensor]]:
        of_rate = gradient[..., features:].contiguous()
        state_gradient, linear_gradients = mlp.reverse(layers, recorded, of_rate)
        if layers.decay is not None:
            state_gradient = torch.addcmul(state_gradient, layers.decay, of_rate.repeat(1, 1, 2), value=-1.0)
        state_gradient[..., features:] += gradient[..., :features]
        return state_gradient, linear_gradients

    def fold_paths(matrix: Tensor) -> Tensor:
        position, velocity = matrix.split(features, dim=1)
        return torch.where(velocity.abs() > position.abs(), velocity, position)

    return VectorField(2, features, 2 * features, record, reverse, fold_paths)


def make_field(order: int, features: int) -> VectorField:
    """The field of a model's order, around a perceptron."""
    return first_order(features) if order == 1 else second_order(features)


def clamped(field: VectorField, held: Tensor) -> VectorField:
    """The field of a system in which the variables of `held` (feature,), true or false, do not change.

    Their rates, at second order their velocities and accelerations, are zero at every state, and nothing flows back
    through them in the reverse pass. Others feel the value they are held at. `jacobian` stays that of the network.
    """
    free = ~held.repeat(field.order)

    def of_free(values: Tensor) -> Tensor:
        # Not a product, by which a rate that is not finite would stay so.
        return torch.where(free, values, values.new_zeros(()))

    def record(layers: Layers, state: Tensor) -> tuple[Tensor, list[Tensor]]:
        rate, recorded = field.record(layers, state)
        return of_free(rate), recorded

    def reverse(layers: Layers, recorded: Sequence[Tensor], gradient: Tensor) -> tuple[Tensor, list[Tensor]]:
        return field.reverse(layers, recorded, of_free(gradient))

    return replace(field, record=record, reverse=reverse)
