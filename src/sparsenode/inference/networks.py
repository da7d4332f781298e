"""One small network per target: its rate, the path along given inputs, and how both depend on the parameters.

The rate of a target is linear in its inputs plus one hidden layer of tanh units, in units of the target's slopes. Where
the paths of all inputs are known, a target is an ordinary differential equation of one dimension, whose sensitivities
follow from scalar recursions, so that one step of least squares costs little more than one solve.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Where the parameters of a network lie in one vector.

    `inputs` counts the target itself, which is the first input, and all others; `units` are hidden ones. A vector is
    first weights (input, unit), biases (unit,), second weights (unit,), linear weights (input,) and a constant.
    """

    inputs: int
    units: int

    @property
    def size(self) -> int:
        """Number of parameters of a network."""
        return self.inputs * self.units + 2 * self.units + self.inputs + 1

    def split(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """First weights (…, input, unit), biases, second weights (…, unit), linear weights (…, input), constant (…)."""
        first, bias, second, linear, constant = parameters.split(
            [self.inputs * self.units, self.units, self.units, self.inputs, 1], dim=-1
        )
        return first.unflatten(-1, (self.inputs, self.units)), bias, second, linear, constant[..., 0]

    def free(self, mask: Tensor) -> Tensor:
        """Which parameters are free, (…, parameter), where only inputs of the mask (…, input) are; 1 or 0."""
        ones = mask.new_ones((*mask.shape[:-1], 2 * self.units))
        return torch.cat([mask.repeat_interleave(self.units, -1), ones, mask, ones[..., :1]], dim=-1)

    def groups(self) -> Tensor:
        """Group of each parameter, (parameter,): the number of its input, and a last one of all others."""
        of_input = torch.arange(self.inputs)
        others = torch.full((2 * self.units + 1,), self.inputs)
        return torch.cat([of_input.repeat_interleave(self.units), others[1:], of_input, others[:1]])

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Parameters (network, parameter) before training: random units that have no effect yet."""
        parameters = torch.zeros((count, self.size), dtype=torch.float64)
        first = self.inputs * self.units
        drawn = torch.randn((count, first + self.units), generator=generator, dtype=torch.float64)
        parameters[:, :first] = drawn[:, :first] / self.inputs**0.5
        parameters[:, first : first + self.units] = drawn[:, first:]
        return parameters


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What drives each network, over windows; all networks of a batch share the windows.

    Attributes:
        values: paths of the other inputs on half steps, (network, window, 2 * step + 1, input - 1).
        steps: lengths of the steps, 0 beyond the end of a window, (window, step).
        slope: size of each target's slopes, (network,).
    """

    values: Tensor
    steps: Tensor
    slope: Tensor

    def of(self, networks: Tensor) -> Inputs:
        """Those of some networks, by number (network,)."""
        return Inputs(values=self.values[networks], steps=self.steps, slope=self.slope[networks])


@dataclass(frozen=True, kw_only=True)
class Path:
    """A solve of one-dimensional equations, with what the sensitivities are made of.

    `states` (network, window, step + 1). At the four stages of each step: `stages`, the states (network, window, step,
    stage), `units`, the values of the hidden units (network, window, step, stage, unit).
    """

    states: Tensor
    stages: Tensor
    units: Tensor

    def of(self, networks: Tensor) -> Path:
        """Those of some networks, by number (network,)."""
        return Path(states=self.states[networks], stages=self.stages[networks], units=self.units[networks])

    def assign(self, networks: Tensor, path: Path) -> None:
        """Put the paths of some networks, by number (network,), into this one."""
        for name in ("states", "stages", "units"):
            getattr(self, name)[networks] = getattr(path, name)


def solve_targets(layout: Layout, parameters: Tensor, start: Tensor, inputs: Inputs) -> Path:
    """Paths of the targets by the classical Runge-Kutta method.

    Args:
        layout: of the parameters.
        parameters: (network, parameter).
        start: state of each target at the start of each window, (network, window).
        inputs: what drives them.
    """
    first, bias, second, linear, constant = layout.split(parameters)
    networks, windows, nodes, width = inputs.values.shape
    # The unit of rates enters the weights, and what the inputs add to units and rates is computed once.
    second, linear, constant = (value * inputs.slope[:, None] for value in (second, linear, constant[:, None]))
    flat = inputs.values.reshape(networks, windows * nodes, width)
    shape = (networks, windows, nodes, -1)
    into_units = torch.baddbmm(bias[:, None], flat, first[:, 1:]).reshape(shape).unbind(2)
    outside = torch.baddbmm(constant[:, None], flat, linear[:, 1:, None]).reshape(shape).unbind(2)
    self_first, self_linear, second = first[:, :1], linear[:, None, :1], second[..., None]
    state, stages, units = start[..., None], [], []
    states = [state]

    def rate(node: int, at: Tensor) -> Tensor:
        hidden = torch.addcmul(into_units[node], at, self_first).tanh_()
        stages.append(at)
        units.append(hidden)
        return torch.baddbmm(outside[node], hidden, second).addcmul_(at, self_linear)

    for number, step in enumerate(inputs.steps[..., None].unbind(1)):
        left, half = 2 * number, step / 2
        k1 = rate(left, state)
        k2 = rate(left + 1, torch.addcmul(state, half, k1))
        k3 = rate(left + 1, torch.addcmul(state, half, k2))
        k4 = rate(left + 2, torch.addcmul(state, step, k3))
        state = torch.addcmul(state, step / 6, k2.add_(k3).mul_(2).add_(k1).add_(k4))
        states.append(state)
    steps = inputs.steps.shape[1]
    return Path(
        states=torch.cat(states, -1),
        stages=torch.cat(stages, -1).reshape(networks, windows, steps, 4),
        units=torch.stack(units, 2).reshape(networks, windows, steps, 4, layout.units),
    )


def step_sensitivity(layout: Layout, parameters: Tensor, path: Path, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """How the state after each step depends on that before it, (network, window, step), and on the rates at its stages.

    The second, (network, window, step, stage), has all that follows within the step included; by it the dependence of
    the rates on the parameters enters.
    """
    first, _, second, linear, _ = layout.split(parameters)
    effect = (second * first[:, 0])[:, None, None, None]
    slope = inputs.slope[:, None, None, None]
    derivative = ((1 - path.units.square()) * effect).sum(-1).add(linear[:, 0, None, None, None]) * slope
    d1, d2, d3, d4 = derivative.unbind(-1)
    step = inputs.steps
    by4 = (step / 6).expand_as(d4)
    by3 = step / 3 + by4 * d4 * step
    by2 = step / 3 + by3 * d3 * step / 2
    by1 = step / 6 + by2 * d2 * step / 2
    growth = 1 + by1 * d1 + by2 * d2 + by3 * d3 + by4 * d4
    return growth, torch.stack([by1, by2, by3, by4], dim=-1)


def start_sensitivity(layout: Layout, parameters: Tensor, path: Path, inputs: Inputs) -> Tensor:
    """How the states of each path depend on its start, (network, window, step + 1)."""
    return _accumulate(step_sensitivity(layout, parameters, path, inputs)[0])


def _accumulate(growth: Tensor) -> Tensor:
    return torch.cat([torch.ones_like(growth[..., :1]), growth.cumprod(-1)], dim=-1)


def parameter_sensitivity(layout: Layout, parameters: Tensor, path: Path, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """How states depend on the start, (network, window, step + 1), and on the parameters.

    The second is (network, window, step, parameter), of the states after each step; the start does not depend on them.
    """
    growth, by_stage = step_sensitivity(layout, parameters, path, inputs)
    _, _, second, _, _ = layout.split(parameters)
    by_stage = by_stage * inputs.slope[:, None, None, None]
    into_units = (1 - path.units.square()) * second[:, None, None, None] * by_stage[..., None]
    networks, windows, steps = path.units.shape[:3]
    left, middle, right = into_units[..., 0, :], into_units[..., 1, :] + into_units[..., 2, :], into_units[..., 3, :]
    jacobian = path.states.new_empty((networks, windows, steps, layout.size))
    first = jacobian[..., : layout.inputs * layout.units].unflatten(-1, (layout.inputs, layout.units))
    first[..., 0, :] = (into_units * path.stages[..., None]).sum(-2)
    at_left, at_middle, at_right = (inputs.values[:, :, node::2] for node in (0, 1, 2))
    torch.mul(at_left[:, :, :steps, :, None], left[..., None, :], out=first[..., 1:, :])
    first[..., 1:, :].addcmul_(at_middle[..., None], middle[..., None, :])
    first[..., 1:, :].addcmul_(at_right[..., None], right[..., None, :])
    rest = jacobian[..., layout.inputs * layout.units :]
    units = layout.units
    rest[..., :units] = into_units.sum(-2)
    rest[..., units : 2 * units] = (path.units * by_stage[..., None]).sum(-2)
    linear = rest[..., 2 * units : -1]
    linear[..., 0] = (path.stages * by_stage).sum(-1)
    sides = (by_stage[..., :1], by_stage[..., 1:2] + by_stage[..., 2:3], by_stage[..., 3:])
    linear[..., 1:] = at_left[:, :, :steps] * sides[0] + at_middle * sides[1] + at_right * sides[2]
    rest[..., -1] = by_stage.sum(-1)
    for number in range(1, steps):
        jacobian[:, :, number].addcmul_(growth[:, :, number, None], jacobian[:, :, number - 1])
    return _accumulate(growth), jacobian
