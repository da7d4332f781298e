"""What leaving inputs out costs: refits of every target on training blocks, and their errors on held-out ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sparsenode.data.trajectories import Floats
from sparsenode.inference.blocks import Windows
from sparsenode.inference.networks import Layout, solve_targets, start_sensitivity
from sparsenode.inference.refits import Fits, Problems, fit_starts, refit, ridge_by_evidence
from sparsenode.inference.significance import misfit_share
from sparsenode.inference.systems import (
    System,
    Wiring,
    fit_system_starts,
    replace_strays,
    solve_system,
    system_rates,
    target_problems,
)

_REFERENCE_STEPS, _MASKED_STEPS, _TOLERANCE = 15, 30, 1e-4
_EARLY_STEPS = (5, 5)  # of a masked refit, after each of which its ridge is estimated
_JACOBIAN = 4_000_000  # numbers of a batch of Jacobians, 32 MB
_WORST = 100.0  # mean squared error of a block, in the variance of the variable: a forecast beyond it has no meaning


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Log errors of held-out blocks, by what was left out.

    Attributes:
        log_errors: of each target, (target, mask, held-out block); the first mask leaves nothing out.
        misfit: share of each target's training error that is no white noise, (target,).
        deviations: how far that is from none, in standard deviations, (target,).
        unexplained: variance of the held-out errors, (target,), over that of the target.
        derivative: mean derivative of each target's rate by its inputs over training paths, (target, input).
        sign_share: share of these states at which the derivative has the sign of its mean, (target, input).
    """

    log_errors: Floats
    misfit: Floats
    deviations: Floats
    unexplained: Floats
    derivative: Floats
    sign_share: Floats


def without(problems: Problems, fits: Fits) -> Tensor:
    """Parameters (network, parameter) to begin masked refits with, out of full fits.

    The loss about a fit is a parabola, whose lowest point without the inputs is where a Newton step goes (optimal brain
    surgeon, Hassibi and Stork 1993).

    Args:
        problems: the masked refits.
        fits: the full fit of each.
    """
    free = problems.layout.free(problems.mask)
    removed = fits.parameters * (1 - free)
    matrix = fits.curvature + torch.diag_embed(fits.ridge)
    pull = torch.einsum("np,npq->nq", removed, matrix) * free
    inner = matrix * free[:, :, None] * free[:, None, :] + torch.diag_embed(1 - free)
    change = torch.linalg.solve_ex(inner, pull)[0]
    return fits.parameters * free + torch.nan_to_num(change) * free


def leave_out(wiring: Wiring, system: System, training: Windows, held_out: Windows, left_out: Tensor) -> Costs:
    """Refit every target without each set of inputs, and forecast the held-out blocks.

    Args:
        wiring: the inputs of each target.
        system: fitted to the training windows.
        training: windows of training blocks.
        held_out: windows of held-out blocks.
        left_out: 1 for what each mask leaves out, (target, mask, input), the target itself first; the first mask leaves
            nothing out.
    """
    smoothed, substeps = torch.as_tensor(training.smoothed), training.substeps
    path = replace_strays(
        solve_system(wiring, system.parameters, system.start, torch.as_tensor(training.steps)), smoothed
    )
    held_smoothed = torch.as_tensor(held_out.smoothed)
    held_start, held_path = fit_system_starts(
        wiring,
        system.parameters,
        held_smoothed[:, 0],
        torch.as_tensor(held_out.observed),
        torch.as_tensor(held_out.weight),
        torch.as_tensor(held_out.steps),
    )
    held_replaced = replace_strays(held_path, held_smoothed)
    problems, held_problems = target_problems(wiring, training, path), target_problems(wiring, held_out, held_replaced)
    targets, masks = left_out.shape[:2]
    held_blocks, block_rows = np.unique(held_out.block, return_inverse=True)
    log_errors = np.empty((targets, masks, len(held_blocks)))
    misfit, deviations, unexplained = np.empty(targets), np.empty(targets), np.empty(targets)
    full = refit(
        problems,
        system.parameters,
        system.start.mT.contiguous(),
        system.ridge,
        steps=_REFERENCE_STEPS,
        tolerance=_TOLERANCE,
    )
    solved = solve_targets(wiring.layout, full.parameters, full.start, problems.inputs)
    along = start_sensitivity(wiring.layout, full.parameters, solved, problems.inputs)[..., ::substeps]
    weight = problems.weight[..., ::substeps]
    left = ((solved.states - problems.observed) * problems.weight)[..., ::substeps]
    counts = held_problems.weight.sum(-1)
    for target in range(targets):
        misfit[target], deviations[target] = misfit_share(
            left[target].numpy(), along[target].numpy(), weight[target].numpy()
        )
    for chunk in _chunks(targets, masks, training, wiring.layout):
        number = torch.tensor(chunk).repeat_interleave(masks)
        parameters = full.parameters[number]
        is_masked = torch.arange(len(number)) % masks > 0
        removed = left_out[chunk].flatten(0, 1)[is_masked]
        parameters[is_masked] = _masked(problems, full, number[is_masked], removed)
        _, residual = fit_starts(held_problems.of(number), parameters, held_start.mT[number])
        errors = residual.square().sum(-1).unflatten(0, (len(chunk), masks)).numpy()
        for row, target in enumerate(chunk):
            observed = counts[target].numpy()
            total = np.bincount(block_rows, observed, len(held_blocks))
            for mask in range(masks):
                mean = np.bincount(block_rows, errors[row, mask], len(held_blocks)) / np.maximum(total, 1)
                log_errors[target, mask] = np.log(np.clip(np.nan_to_num(mean, nan=_WORST), 1e-30, _WORST))
            unexplained[target] = errors[row, 0].sum() / max(observed.sum() - np.count_nonzero(observed), 1)
    states = path[:, ::2].reshape(-1, path.shape[-1])
    _, by_input = system_rates(wiring, system.parameters, states, derivative=True)
    derivative = by_input.mean(1)
    agreement = (torch.sign(by_input) == torch.sign(derivative)[:, None]).double().mean(1)
    return Costs(
        log_errors=log_errors,
        misfit=misfit,
        deviations=deviations,
        unexplained=unexplained,
        derivative=derivative.numpy(),
        sign_share=agreement.numpy(),
    )


def _chunks(targets: int, masks: int, training: Windows, layout: Layout) -> list[list[int]]:
    """Targets whose masked refits are computed together, so many as make a Jacobian of `_JACOBIAN` numbers."""
    windows, steps = training.steps.shape
    together = max(1, _JACOBIAN // (masks * windows * steps * layout.size))
    return [list(range(first, min(first + together, targets))) for first in range(0, targets, together)]


def _masked(problems: Problems, full: Fits, number: Tensor, left_out: Tensor) -> Tensor:
    """Parameters (mask, parameter) refitted without inputs, each with a ridge of its own.

    In a full fit the evidence can shut an input out that another one stands for. Without the other one it is to come
    back, so that the ridge is estimated again once the refit has begun.

    Args:
        problems: those of all targets.
        full: their fits.
        number: target of each mask, (mask,).
        left_out: 1 for what it leaves out, else 0, (mask, input).
    """
    masked = replace(problems.of(number), mask=problems.mask[number] * (1 - left_out))
    complete = full.of(number)
    zeroed, moved = complete.parameters * masked.layout.free(masked.mask), without(masked, complete)
    (first_start, first), (second_start, second) = (
        fit_starts(masked, begun, complete.start, steps=2) for begun in (zeroed, moved)
    )
    better = second.square().sum((1, 2)) < first.square().sum((1, 2))
    begun = torch.where(better[:, None], moved, zeroed)
    start = torch.where(better[:, None], second_start, first_start)
    ridge = complete.ridge
    for steps in _EARLY_STEPS:
        fits = refit(masked, begun, start, ridge, steps=steps, tolerance=_TOLERANCE)
        begun, start, ridge = fits.parameters, fits.start, ridge_by_evidence(masked, fits)
    return refit(masked, begun, start, ridge, steps=_MASKED_STEPS, tolerance=_TOLERANCE).parameters
