"""The whole system: every target's network together, solved over windows, and fitted by waveform relaxation.

Waveform relaxation (Lelarasmee et al. 1982): each target is refitted with the paths of all others as inputs, then the
whole system is solved again, which gives new paths. What is compared with data are raw observations in every round; the
smoothed course of the training blocks is the first round's input only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sparsenode.dynamics.fused import system as fused
from sparsenode.inference.blocks import Windows
from sparsenode.inference.networks import Inputs, Layout
from sparsenode.inference.refits import Problems, refit, ridge_by_evidence

_FARTHEST = 20.0  # from the mean, in standard deviations: a path beyond it has left the data
_START_STEPS = 4
_LARGEST_CHANGE = 0.5  # of a start in one step, in standard deviations
_CALM = 1e-4  # share of a window's error by which a step lowers it, below which it is the last
_RIDGE = 1e-8


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """Which variables a target's network may use.

    Attributes:
        sources: numbers of the other inputs of each target, (target, input - 1).
        mask: 1 for inputs that may be used, the target itself first, (target, input).
        slope: size of each target's slopes, (target,).
        layout: of the parameters.
    """

    sources: Tensor
    mask: Tensor
    slope: Tensor
    layout: Layout


@dataclass(frozen=True, kw_only=True)
class System:
    """A fitted system: parameters (target, parameter), starts (window, variable), and the ridge (target, parameter)."""

    parameters: Tensor
    start: Tensor
    ridge: Tensor


def system_rates(wiring: Wiring, parameters: Tensor, states: Tensor, *, derivative: bool) -> tuple[Tensor, Tensor]:
    """Rates (row, variable) of all targets at states (row, variable), and where asked for what they depend on.

    The second is the derivative of each target's rate by its inputs, (target, row, input); empty where not asked for.
    """
    first, bias, second, linear, constant = wiring.layout.split(parameters)
    targets = torch.arange(states.shape[1])[:, None]
    inputs = states.mT[torch.cat([targets, wiring.sources], dim=1)].mT  # (target, row, input)
    hidden = torch.tanh(torch.baddbmm(bias[:, None], inputs, first))
    rates = (torch.bmm(hidden, second[..., None]) + torch.bmm(inputs, linear[..., None]))[..., 0] + constant[:, None]
    if not derivative:
        return (rates * wiring.slope[:, None]).mT, states.new_empty(0)
    by_unit = (1 - hidden.square()) * second[:, None]
    by_input = (torch.bmm(by_unit, first.mT) + linear[:, None]) * wiring.slope[:, None, None]
    return (rates * wiring.slope[:, None]).mT, by_input


def solve_system(wiring: Wiring, parameters: Tensor, start: Tensor, steps: Tensor) -> Tensor:
    """Paths of all variables on half steps, (window, 2 * step + 1, variable).

    Args:
        wiring: the inputs of each target.
        parameters: (target, parameter).
        start: (window, variable).
        steps: lengths of the steps, (window, step).
    """

    def rate(states: Tensor) -> Tensor:
        return system_rates(wiring, parameters, states, derivative=False)[0]

    state, path = start, [start]
    for step in (steps / 2).repeat_interleave(2, dim=1).unbind(1):
        width = step[:, None]
        k1 = rate(state)
        k2 = rate(state + width / 2 * k1)
        k3 = rate(state + width / 2 * k2)
        k4 = rate(state + width * k3)
        state = state + width / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        path.append(state)
    return torch.stack(path, dim=1)


def system_sensitivity(wiring: Wiring, parameters: Tensor, path: Tensor, steps: Tensor) -> Tensor:
    """How states at the nodes depend on the start, (window, step + 1, variable, variable), along a path."""
    windows, nodes, count = path.shape
    _, by_input = system_rates(wiring, parameters, path.reshape(-1, count), derivative=True)
    jacobian = path.new_zeros((windows * nodes, count, count))
    targets = torch.arange(count)
    by_input = by_input.permute(1, 0, 2)
    # Inputs that a mask leaves out have weights of zero, so that a source that fills up a row adds nothing.
    jacobian.scatter_add_(2, wiring.sources.expand(len(jacobian), -1, -1), by_input[..., 1:].contiguous())
    jacobian[:, targets, targets] += by_input[..., 0]
    jacobian = jacobian.reshape(windows, nodes, count, count)
    state = torch.eye(count, dtype=path.dtype).expand(windows, -1, -1)
    states = [state]
    for number in range(steps.shape[1]):
        step = steps[:, number, None, None]
        left, middle, right = jacobian[:, 2 * number : 2 * number + 3].unbind(1)
        k1 = left @ state
        k2 = middle @ (state + step / 2 * k1)
        k3 = middle @ (state + step / 2 * k2)
        k4 = right @ (state + step * k3)
        state = state + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        states.append(state)
    return torch.stack(states, dim=1)


def fit_system_starts(
    wiring: Wiring, parameters: Tensor, start: Tensor, observed: Tensor, weight: Tensor, steps: Tensor
) -> tuple[Tensor, Tensor]:
    """Starts of all variables that fit each window's observations best, and the paths from them on half steps.

    Gauss-Newton in each window, shortened where its error would rise.

    Args:
        wiring: the inputs of each target.
        parameters: (target, parameter).
        start: to begin with, (window, variable).
        observed: (window, node, variable).
        weight: 1 or 0, (window, node, variable).
        steps: (window, step).
    """
    if not fused.is_available():
        return fit_system_starts_plainly(wiring, parameters, start, observed, weight, steps)
    targets = torch.arange(len(wiring.sources))[:, None]
    networks = fused.Networks(
        sources=torch.cat([targets, wiring.sources], dim=1),
        parameters=parameters,
        slope=wiring.slope,
        units=wiring.layout.units,
    )
    search = fused.Search(
        steps=_START_STEPS, farthest=_FARTHEST, largest_change=_LARGEST_CHANGE, calm=_CALM, ridge=_RIDGE
    )
    return fused.fit_starts(networks, start, observed, weight, steps, search)


def fit_system_starts_plainly(
    wiring: Wiring, parameters: Tensor, start: Tensor, observed: Tensor, weight: Tensor, steps: Tensor
) -> tuple[Tensor, Tensor]:
    """The same by operations of torch: what the kernel is compared with, and taken where there is no compiler."""
    path = solve_system(wiring, parameters, start, steps)
    squares = _window_squares(path, observed, weight)
    share = torch.ones(len(start), dtype=start.dtype)
    active = torch.ones(len(start), dtype=torch.bool)
    identity = _RIDGE * torch.eye(start.shape[1], dtype=start.dtype)
    for _ in range(_START_STEPS):
        jacobian = system_sensitivity(wiring, parameters, torch.nan_to_num(path), steps) * weight[..., None]
        jacobian = jacobian.flatten(1, 2)
        residual = torch.nan_to_num((path[:, ::2] - observed) * weight).flatten(1)
        normal = torch.nan_to_num(jacobian.mT @ jacobian) + identity
        change = torch.linalg.solve_ex(normal, torch.nan_to_num(jacobian.mT @ residual[..., None]))[0][..., 0]
        change = torch.nan_to_num(change).clamp(-_LARGEST_CHANGE, _LARGEST_CHANGE)
        moved = start - share[:, None] * change
        trial = solve_system(wiring, parameters, moved, steps)
        after = _window_squares(trial, observed, weight)
        better = (after < squares) & active
        active = active & ~(better & (squares - after < _CALM * squares))
        start = torch.where(better[:, None], moved, start)
        path = torch.where(better[:, None, None], trial, path)
        squares = torch.where(better, after, squares)
        share = torch.where(better, torch.ones_like(share), share / 4)
        if not active.any():
            break
    return start, path


def _window_squares(path: Tensor, observed: Tensor, weight: Tensor) -> Tensor:
    """Sum of squared residuals (window,); infinite where a path is not finite or far from the data."""
    squares = ((path[:, ::2] - observed) * weight).square().sum((1, 2))
    stays = torch.isfinite(path).all(-1).all(-1) & (path.abs().amax((1, 2)) < _FARTHEST)
    return torch.where(stays, squares, torch.inf)


def target_problems(wiring: Wiring, windows: Windows, path: Tensor) -> Problems:
    """The refits of all targets, whose inputs are paths on half steps, (window, 2 step + 1, variable)."""
    return Problems(
        layout=wiring.layout,
        inputs=Inputs(
            values=path[..., wiring.sources].permute(2, 0, 1, 3).contiguous(),
            steps=torch.as_tensor(windows.steps),
            slope=wiring.slope,
        ),
        observed=torch.as_tensor(windows.observed).permute(2, 0, 1).contiguous(),
        weight=torch.as_tensor(windows.weight).permute(2, 0, 1).contiguous(),
        mask=wiring.mask,
    )


def replace_strays(path: Tensor, smoothed: Tensor) -> Tensor:
    """A path with the smoothed course in windows in which it leaves the data."""
    stays = torch.isfinite(path).all(-1).all(-1) & (path.abs().amax((1, 2)) < _FARTHEST)
    return torch.where(stays[:, None, None], path, smoothed)


def fit_system(wiring: Wiring, windows: Windows, *, rounds: int, draws: int, seed: int) -> System:
    """Fit all targets: from random units along smoothed inputs, then in rounds along the system's own paths.

    Args:
        wiring: the inputs of each target.
        windows: training windows.
        rounds: of waveform relaxation; it ends early where the error no longer falls.
        draws: random starts of each network along smoothed inputs, of which the best goes on.
        seed: of the random starts.
    """
    smoothed = torch.as_tensor(windows.smoothed)
    steps, observed, weight = (torch.as_tensor(value) for value in (windows.steps, windows.observed, windows.weight))
    problems = target_problems(wiring, windows, smoothed)
    count = len(wiring.mask)
    generator = torch.Generator().manual_seed(seed)
    drawn = wiring.layout.draw(draws * count, generator)
    targets = torch.arange(count).repeat(draws)
    tried = problems.of(targets)
    start = smoothed[:, 0].mT.contiguous()
    ridge = torch.full((len(targets),), 1e-2, dtype=torch.float64)
    fits = refit(tried, drawn, start[targets], ridge, steps=8, tolerance=1e-2)
    fits = refit(tried, fits.parameters, fits.start, ridge_by_evidence(tried, fits), steps=15, tolerance=1e-3)
    best = torch.argmin(fits.squares.reshape(draws, count), dim=0) * count + torch.arange(count)
    parameters, start, ridge = fits.parameters[best], fits.start[best], ridge_by_evidence(tried, fits)[best]
    system = System(parameters=parameters, start=start.mT.contiguous(), ridge=ridge)
    best_error, best_system = np.inf, system
    for number in range(rounds + 1):
        begun, path = fit_system_starts(wiring, system.parameters, system.start, observed, weight, steps)
        squares = ((replace_strays(path, smoothed)[:, ::2] - observed) * weight).square().sum()
        error = float(squares)
        if error < best_error:
            calm = error > 0.999 * best_error
            best_error, best_system = error, replace(system, start=begun)
        else:
            calm = True
        if (calm and number > 1) or number == rounds:
            break
        problems = target_problems(wiring, windows, replace_strays(path, smoothed))
        fits = refit(problems, system.parameters, begun.mT.contiguous(), system.ridge, steps=12, tolerance=1e-3)
        system = System(
            parameters=fits.parameters, start=fits.start.mT.contiguous(), ridge=ridge_by_evidence(problems, fits)
        )
    return best_system
