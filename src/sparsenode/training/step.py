"""One iteration: loss, penalty, and the step of the optimizer with what follows it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sparsenode.dynamics import network
from sparsenode.dynamics.fused.loss import solve_loss
from sparsenode.dynamics.mlp import Layers
from sparsenode.dynamics.network import Parameters
from sparsenode.dynamics.solvers import solve_nodes
from sparsenode.ensemble.model import starting_states
from sparsenode.ensemble.starts import deviation_nodes, deviations
from sparsenode.methods import EdgeProximal, WeightProximal
from sparsenode.training.adam import EPSILON
from sparsenode.training.edges import edge_tensors, gather_edges, move_edges, scatter_edges
from sparsenode.training.matching import Matching
from sparsenode.training.noise import Drawn, Needs, Stage
from sparsenode.training.problems import Problem
from sparsenode.training.run import Run, Task, penalty_terms


def needs(run: Run, task: Task, problem: Problem | Matching, *, gated: bool) -> Needs:
    """What `data_loss` draws; `gated` is whether gates are drawn."""
    log_alpha = run.parameters.log_alpha if gated else ()
    gates = sum(math.prod(layer.shape[1:]) for layer in log_alpha)
    if isinstance(problem, Matching):
        return Needs(gates=gates)
    settings, count = task.settings, len(problem.positions)
    starts = (1 + settings.takes_slopes, problem.rows, problem.positions.shape[1])
    return Needs(
        gates=gates,
        starts=starts if settings.initial_noise > 0 else None,
        rows=(count, problem.rows) if problem.rows < count else None,
    )


def data_loss(
    run: Run,
    task: Task,
    problem: Problem | Matching,
    iteration: int,
    gate_noise: float | Tensor | None,
    drawn: Drawn | None = None,
) -> Tensor:
    """Loss (member,) of a solve, or of rates, with the gates drawn once; deterministic gates without `gate_noise`.

    `gate_noise` is the share of the noise that has ramped in, `drawn` what `needs` asks for; both are drawn here where
    they are not given.
    """
    settings, parameters = task.settings, run.parameters
    seeds = task.seeds(run.active)
    if drawn is None:
        asked = needs(run, task, problem, gated=gate_noise is not None)
        drawn = Stage(task.device).at(replace(asked, rows=None), seeds, iteration, iteration)
        problem = problem if isinstance(problem, Matching) else problem.sample(iteration)
    if gate_noise is None or not parameters.log_alpha:
        factors = network.deterministic_gates(parameters)
    else:
        factors = network.sampled_gates(parameters, _noise_of_gates(parameters, drawn), gate_noise)
    layers = network.effective_layers(parameters, factors, settings.activation)
    if isinstance(problem, Matching):
        return problem.of_seeds(seeds).loss(task.field, layers, compiled=task.compiled)
    problem = problem if drawn.rows is None else problem.take(drawn.rows)
    return _solve_loss(parameters, task, problem.of_seeds(seeds), layers, drawn.normal())


def objective(
    run: Run,
    task: Task,
    problem: Problem | Matching,
    iteration: int,
    *,
    gate_noise: float | Tensor | None,
    strength: Tensor | None,
    penalized: bool,
    drawn: Drawn | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, penalty and what is minimized, (member,) each.

    Args:
        run: the run.
        task: what stays the same.
        problem: what the iteration compares with.
        iteration: number of the iteration.
        gate_noise: see `data_loss`.
        strength: (member,), None in a refit.
        penalized: whether the penalty is needed; else it is zero.
        drawn: see `data_loss`.
    """
    loss = data_loss(run, task, problem, iteration, gate_noise, drawn)
    penalties = penalty(run, task) if penalized else torch.zeros_like(loss)
    return loss, penalties, loss if strength is None else loss + strength * penalties


@torch.no_grad()
def forecast_loss(parameters: Parameters, task: Task, problem: Problem, seeds: Sequence[int]) -> Tensor:
    """Loss (member,) of a solve of all rows, without any noise; `seeds` are those of the members."""
    return _solve_loss(parameters, task, problem.of_seeds(seeds), _noise_free_layers(parameters, task), None)


@torch.no_grad()
def row_losses(parameters: Parameters, task: Task, problem: Problem) -> Tensor:
    """Share (member, row) of each row of a problem that is the same for all seeds in the loss of a noise-free solve."""
    start = _starts(parameters, task, problem, None)
    return problem.loss.of_rows(_solve(parameters, task, problem, _noise_free_layers(parameters, task), start))


def _noise_free_layers(parameters: Parameters, task: Task) -> Layers:
    return network.effective_layers(parameters, network.deterministic_gates(parameters), task.settings.activation)


def _solve_loss(parameters: Parameters, task: Task, problem: Problem, layers: Layers, drawn: Tensor | None) -> Tensor:
    """Loss (member,) of a solve; `drawn`, if any, perturbs the initial states (member, 1 or 2, row, feature)."""
    start = _starts(parameters, task, problem, drawn)
    if task.compiled:
        return solve_loss(task.field, layers, problem.grid, start, problem.loss)
    return problem.loss(_solve(parameters, task, problem, layers, start))


def _starts(parameters: Parameters, task: Task, problem: Problem, drawn: Tensor | None) -> Tensor:
    """Initial states of a solve, perturbed as drawn."""
    settings = task.settings
    positions, velocities = problem.positions, problem.velocities
    noise = torch.zeros(())
    if drawn is not None:
        noise = settings.initial_noise * problem.errors * drawn[:, 0]
        if settings.takes_slopes:
            velocities = velocities + settings.initial_noise * problem.velocity_errors * drawn[:, 1]
    if problem.groups is None:
        return starting_states(parameters, settings, positions + noise, velocities, problem.learned)
    return starting_states(parameters, settings, positions, groups=problem.groups) + noise


def _solve(parameters: Parameters, task: Task, problem: Problem, layers: Layers, start: Tensor) -> Tensor:
    """Node values of a solve (member, row, 2 x nodes, feature)."""
    solver = task.settings.solver
    nodes = solve_nodes(task.field, layers, problem.grid, start, scheme=solver.scheme, tolerance=solver.tolerance)
    if problem.groups is not None:
        deviation = deviations(parameters.references, problem.positions, problem.groups)
        nodes = nodes + deviation_nodes(
            deviation, network.own_rates(parameters)[0], problem.grid.step, range(problem.grid.intervals + 1)
        )
    return nodes


def _noise_of_gates(parameters: Parameters, drawn: Drawn) -> list[Tensor]:
    shapes = [log_alpha.shape[1:] for log_alpha in parameters.log_alpha]
    sizes = [math.prod(shape) for shape in shapes]
    noise = drawn.logistic()
    assert noise is not None  # noqa: S101  `needs` asks for it where there are gates
    return [layer_noise.view(-1, *shape) for layer_noise, shape in zip(noise.split(sizes, dim=1), shapes, strict=True)]


def penalty(run: Run, task: Task) -> Tensor:
    """Penalty (member,): each term over its value at initialization, unless the normalization is the study's.

    What a proximal step represents is not differentiated.
    """
    total = torch.zeros(len(run.active), device=task.device)
    with torch.set_grad_enabled(not is_proximal(task)):
        for index, (coefficient, term) in enumerate(penalty_terms(run, task)):
            total = total + coefficient * (term / run.penalty_scale[index] if run.penalty_scale else term)
    return total


def is_proximal(task: Task) -> bool:
    """Whether the penalty acts by a step after the optimizer's and not by its gradient."""
    return isinstance(task.method, WeightProximal | EdgeProximal)


def step(run: Run, task: Task, strength: Tensor, *, refitting: bool, share: Tensor | None = None) -> None:
    """Clip, step, and then what keeps the weights where they belong: the proximal step, or the masks of a refit.

    `strength` is (member,), and so is `share`, the part of the step that a member takes.
    """
    trained = [tensor for group in run.optimizer.param_groups for tensor in group["params"]]
    if task.settings.clip is not None:
        clip([tensor.grad for tensor in trained if tensor.grad is not None], task.settings.clip)
    before = [tensor.detach().clone() for tensor in trained] if share is not None else []
    on_edges = isinstance(task.method, EdgeProximal) and not refitting
    edges_before = [tensor.detach().clone() for tensor in edge_tensors(run.parameters)] if on_edges else []
    run.optimizer.step()
    weights = run.parameters.weights
    with torch.no_grad():
        if share is not None:
            for tensor, old in zip(trained, before, strict=True):
                tensor.copy_(torch.lerp(old, tensor, share.view(-1, *[1] * (tensor.dim() - 1))))
        if run.parameters.masks:
            for weight, mask in zip(run.parameters.prunable, run.parameters.masks, strict=True):
                weight.mul_(mask)
        elif on_edges:
            _step_on_edges(run, task, edges_before, strength, share)
        elif isinstance(task.method, WeightProximal):
            scaled = strength / (run.penalty_scale[0] if run.penalty_scale else _entries(weights))
            if share is not None:
                scaled = scaled * share
            shrunk = task.method.proximal(weights, _step_sizes(run), scaled)
            for weight, value in zip(weights, shrunk, strict=True):
                weight.copy_(value)


def _step_on_edges(run: Run, task: Task, before: Sequence[Tensor], strength: Tensor, share: Tensor | None) -> None:
    """The optimizer's step with one size for each edge, and the method's proximal step after it."""
    assert isinstance(task.method, EdgeProximal)  # noqa: S101  the caller asks for no other
    order, tensors = task.field.order, edge_tensors(run.parameters)
    moved, sizes = move_edges(run.optimizer, tensors, before, order)
    scaled = strength / (run.penalty_scale[0] if run.penalty_scale else run.edge_weights[0][0].numel())
    if share is not None:
        edge_share = share.view(-1, 1, 1, 1)
        moved = [torch.lerp(gather_edges(old, order), new, edge_share) for old, new in zip(before, moved, strict=True)]
        scaled = scaled * share
    threshold = sizes * run.edge_weights[0] * scaled.view(-1, 1, 1)
    own_skip = moved[1] if run.parameters.skip else None
    edges, skip = task.method.proximal(moved[0], own_skip, threshold)
    for tensor, value in zip(tensors, (edges, skip), strict=False):
        if value is not None:
            tensor.copy_(scatter_edges(value, order))


def _entries(weights: Sequence[Tensor]) -> int:
    return sum(weight[0].numel() for weight in weights)


def _step_sizes(run: Run) -> list[Tensor]:
    """Step of the optimizer for each weight, per unit of gradient."""
    optimizer, sizes = run.optimizer, []
    for weight in run.parameters.weights:
        second = optimizer.state[weight]["exp_avg_sq"] / optimizer.correction(weight, 1)
        sizes.append(optimizer.rate(0) / second.sqrt_().add_(EPSILON))
    return sizes


def clip(gradients: Sequence[Tensor], limit: float) -> None:
    """Scale the gradient of each member to a norm of at most `limit`, in place."""
    norms = [torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients]
    norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)
    factor = (limit / (norm + 1e-12)).clamp(max=1.0)
    if gradients[0].device.type == "cpu" and bool((factor == 1.0).all()):
        return
    for gradient in gradients:
        gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))
