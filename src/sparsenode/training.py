"""Train all members of a method at once: loss, optimizer, isolation of diverged members."""

from __future__ import annotations

import json
import math
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sparsenode.dynamics import network
from sparsenode.dynamics.network import Parameters
from sparsenode.ensemble import PRUNING_THRESHOLD, Member, save_ensemble
from sparsenode.errors import UserError
from sparsenode.files import file_sha256, write_atomically
from sparsenode.methods import Method, get_method
from sparsenode.model import initialize, make_field, starting_states
from sparsenode.problems import Problem, check_validation, make_problems
from sparsenode.progress import Report, follow_training
from sparsenode.provenance import describe_software
from sparsenode.settings import MethodSettings, ModelSettings, read_method_settings, read_model_settings
from sparsenode.solvers import solve_nodes

if TYPE_CHECKING:
    from sparsenode.dynamics.fields import VectorField

EXPLODED = 1e6
"""A relative loss above this counts as divergence before it becomes infinite."""

# Apart from the stream of the initial weights, so that a method with gates starts where one without them does.
_GATE_STREAM = 2**32
_START_STREAM = 2**33


@dataclass(frozen=True)
class TrainingResult:
    """Trained parameters, members strength by strength and seed by seed, and one history row a member and check."""

    parameters: Parameters
    members: tuple[Member, ...]
    history: list[dict[str, Any]]


@dataclass(frozen=True)
class _Task:
    """What stays the same during a run."""

    settings: ModelSettings
    method: Method
    options: dict[str, Any]
    field: VectorField
    grid: list[tuple[float, int]]
    strengths: Tensor
    device: torch.device


@dataclass
class _Run:
    """What a run changes; the first axis of every tensor is the members still in training, `active` in the grid."""

    active: list[int]
    parameters: Parameters
    optimizer: torch.optim.Adam
    gate_streams: list[torch.Generator]
    start_streams: list[torch.Generator]
    snapshot: Parameters
    penalty_scale: list[Tensor]
    ended: dict[int, tuple[Parameters, Member]] = field(default_factory=dict)


def train(
    problems: Sequence[tuple[float, Problem]],
    features: int,
    settings: ModelSettings,
    method_settings: MethodSettings,
    seeds: Sequence[int],
    *,
    device: str = "cpu",
    report: Callable[[Report], None] | None = None,
) -> TrainingResult:
    """Train every (strength, seed) of a method together.

    `problems` come from `make_problems`; `report` is called at each check. A member whose loss is not finite, or
    above `EXPLODED`, is frozen at the last check at which it was sound and leaves the batch; the others do not
    notice.
    """
    task = _make_task(features, settings, method_settings, seeds, device)
    run = _start(task)
    placed = [(until, problem.to(task.device)) for until, problem in problems]
    history: list[dict[str, Any]] = []
    refit_iterations = settings.refit.iterations if settings.refit else 0
    total = settings.iterations + refit_iterations
    began = time.perf_counter()
    for iteration in range(total + 1):
        refitting = iteration >= settings.iterations
        if settings.refit and iteration == settings.iterations:
            _begin_refit(run, task)
        progress = iteration / settings.iterations
        if refitting:
            progress = (iteration - settings.iterations) / max(refit_iterations, 1)
        ramp = min(1.0, progress / settings.warm_up) if settings.warm_up > 0 else 1.0
        _schedule(run.optimizer, min(progress, 1.0), settings.final_learning_rate_share)
        problem = next((one for until, one in placed if iteration / settings.iterations < until), placed[-1][1])

        run.optimizer.zero_grad(set_to_none=True)
        loss = _data_loss(run, task, problem, None if refitting else ramp)
        penalty = torch.zeros_like(loss) if refitting else _penalty(run, task)
        sound = torch.ones(len(run.active), dtype=torch.bool)
        if iteration % settings.check_every == 0 or iteration == total:
            values = loss.detach().cpu()
            sound = torch.isfinite(values) & (values < EXPLODED)
            history.extend(_history_rows(run, task, iteration, loss, penalty, sound))
            reason = f"loss not finite or above {EXPLODED:g} by iteration {iteration}"
            _end_members(run, task, ~sound, "diverged", reason, iteration)
            _take_snapshot(run, sound)
            if report is not None and sound.any():
                median = float(values[sound].median())
                report(Report(iteration, total, int(sound.sum()), len(task.grid), median, _sparsity(run)))
        if iteration == total or not sound.any():
            _end_members(run, task, sound, "finished", "", iteration)
            break
        strength = task.strengths[run.active] * (0.0 if refitting else ramp)
        (loss + strength * penalty)[sound].sum().backward()
        _step(run, task, strength, refitting)
        if not sound.all():
            _keep_members(run, torch.nonzero(sound).flatten().tolist())
    seconds = (time.perf_counter() - began) / len(task.grid)
    ordered = [run.ended[member] for member in range(len(task.grid))]
    kept = [parameters for parameters, _ in ordered]
    if settings.refit:
        # Members that diverged before the refit: the same form as the others, nothing pruned but what was closed.
        kept = [one if one.masks else network.prune_closed(one, settings.activation, PRUNING_THRESHOLD) for one in kept]
    return TrainingResult(
        network.join(kept).map(lambda tensor: tensor.cpu()),
        tuple(replace(member, seconds=seconds) for _, member in ordered),
        history,
    )


def _make_task(
    features: int, settings: ModelSettings, method_settings: MethodSettings, seeds: Sequence[int], device: str
) -> _Task:
    grid = [(strength, seed) for strength in method_settings.strengths for seed in seeds]
    place = torch.device(device)
    return _Task(
        settings,
        get_method(method_settings.regularizer),
        dict(method_settings.options),
        make_field(settings, features),
        grid,
        torch.tensor([strength for strength, _ in grid], device=place),
        place,
    )


def _start(task: _Task) -> _Run:
    seeds = [seed for _, seed in task.grid]
    fresh = initialize(task.settings, task.field.features, seeds, gated=task.method.gated)
    parameters = _leaves(fresh.map(lambda tensor: tensor.to(task.device)))
    with torch.no_grad():
        scale = []
        if task.settings.normalization == "relative":
            scale = [term for _, term in _penalty_terms(parameters, task)]
    return _Run(
        list(range(len(task.grid))),
        parameters,
        _make_optimizer(parameters, task.settings, task.settings.learning_rate),
        [torch.Generator().manual_seed(_GATE_STREAM + seed) for seed in seeds],
        [torch.Generator().manual_seed(_START_STREAM + seed) for seed in seeds],
        _copy(parameters),
        scale,
    )


def _copy(parameters: Parameters) -> Parameters:
    return parameters.map(lambda tensor: tensor.detach().clone())


def _leaves(parameters: Parameters) -> Parameters:
    """Copies that collect gradients, masks aside."""
    leaves = _copy(parameters)
    for name, tensor in leaves.named().items():
        tensor.requires_grad_(not name.startswith("masks"))
    return leaves


def _make_optimizer(parameters: Parameters, settings: ModelSettings, learning_rate: float) -> torch.optim.Adam:
    plain = [*parameters.weights, *parameters.biases, *parameters.velocity_weights, *parameters.velocity_biases]
    plain.extend(parameters.decay)
    groups: list[dict[str, Any]] = [{"params": plain, "lr": learning_rate, "peak": learning_rate}]
    if parameters.log_alpha and not parameters.masks:
        rate = settings.gates_learning_rate
        groups.append({"params": list(parameters.log_alpha), "lr": rate, "peak": rate})
    return torch.optim.Adam(groups, fused=True)


def _schedule(optimizer: torch.optim.Adam, progress: float, final_share: float) -> None:
    """Cosine from the peak to its `final_share`."""
    share = final_share + (1.0 - final_share) * 0.5 * (1.0 + math.cos(math.pi * progress))
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * share


def _begin_refit(run: _Run, task: _Task) -> None:
    if task.settings.refit is None or run.parameters.masks:
        return
    with torch.no_grad():
        pruned, kept = (
            network.prune_closed(one, task.settings.activation, PRUNING_THRESHOLD)
            for one in (run.parameters, run.snapshot)
        )
    # The snapshot stays that of the last check: a member may have been lost since.
    run.parameters, run.snapshot = _leaves(pruned), _copy(kept)
    run.optimizer = _make_optimizer(run.parameters, task.settings, task.settings.refit.learning_rate)


def _data_loss(run: _Run, task: _Task, problem: Problem, gate_noise: float | None) -> Tensor:
    """Loss (member,) of a solve with the gates drawn once for it; deterministic gates without `gate_noise`."""
    settings, parameters = task.settings, run.parameters
    if gate_noise is None or not parameters.log_alpha:
        factors = network.deterministic_gates(parameters)
    else:
        factors = network.sampled_gates(parameters, _draw_uniform(run, task.device), gate_noise)
    layers = network.effective_layers(parameters, factors, settings.activation)
    positions = problem.positions
    if settings.initial_noise > 0:
        shape = positions.shape
        noise = torch.stack([torch.randn(shape, generator=stream) for stream in run.start_streams])
        positions = positions + settings.initial_noise * problem.errors * noise.to(task.device)
    start = starting_states(parameters, settings, positions, problem.velocities, problem.learned)
    solver = settings.solver
    return problem.loss(
        solve_nodes(task.field, layers, problem.grid, start, scheme=solver.scheme, tolerance=solver.tolerance)
    )


def _draw_uniform(run: _Run, device: torch.device) -> list[Tensor]:
    """Uniform noise in the shape of the gates; one stream a member, so that members do not depend on each other."""
    shapes = [log_alpha.shape[1:] for log_alpha in run.parameters.log_alpha]
    sizes = [math.prod(shape) for shape in shapes]
    drawn = torch.empty(len(run.gate_streams), sum(sizes))
    for row, stream in zip(drawn, run.gate_streams, strict=True):
        torch.rand(row.shape, generator=stream, out=row)
    parts = drawn.to(device).split(sizes, dim=1)
    return [part.view(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]


def _penalty_terms(parameters: Parameters, task: _Task) -> list[tuple[float, Tensor]]:
    per_entry = task.settings.normalization == "study"
    if task.method.size is not None:
        return [(1.0, task.method.size(parameters.weights, per_entry=per_entry, **task.options))]
    if task.method.penalty is None:
        return []
    probabilities = network.open_probabilities(parameters)
    return list(task.method.penalty(parameters.weights, probabilities, per_entry=per_entry, **task.options))


def _penalty(run: _Run, task: _Task) -> Tensor:
    """Penalty (member,): each term over its value at initialization, unless the normalization is the study's.

    What a proximal step stands for is reported and not differentiated.
    """
    total = torch.zeros(len(run.active), device=task.device)
    with torch.set_grad_enabled(task.method.proximal is None):
        for index, (coefficient, term) in enumerate(_penalty_terms(run.parameters, task)):
            total = total + coefficient * (term / run.penalty_scale[index] if run.penalty_scale else term)
    return total


def _step(run: _Run, task: _Task, strength: Tensor, refitting: bool) -> None:
    """Clip, step, and then what keeps the weights where they belong: the proximal step, or the masks of a refit."""
    if task.settings.clip is not None:
        _clip([tensor for group in run.optimizer.param_groups for tensor in group["params"]], task.settings.clip)
    run.optimizer.step()
    weights = run.parameters.weights
    with torch.no_grad():
        if refitting:
            for weight, mask in zip(weights, run.parameters.masks, strict=False):
                weight.mul_(mask)
        elif task.method.proximal is not None:
            scaled = strength / run.penalty_scale[0] if run.penalty_scale else strength / _entries(weights)
            shrunk = task.method.proximal(weights, _step_sizes(run), scaled, **task.options)
            for weight, value in zip(weights, shrunk, strict=True):
                weight.copy_(value)


def _entries(weights: Sequence[Tensor]) -> int:
    return sum(weight.shape[1] * weight.shape[2] for weight in weights)


def _step_sizes(run: _Run) -> list[Tensor]:
    """Step of the optimizer for each weight, per unit of gradient."""
    group = run.optimizer.param_groups[0]
    sizes = []
    for weight in run.parameters.weights:
        moments = run.optimizer.state[weight]
        correction = 1.0 - group["betas"][1] ** float(moments["step"])
        sizes.append(group["lr"] / ((moments["exp_avg_sq"] / correction).sqrt_().add_(group["eps"])))
    return sizes


def _clip(parameters: Sequence[Tensor], limit: float) -> None:
    """Scale the gradient of each member to a norm of at most `limit`."""
    gradients = [tensor.grad for tensor in parameters if tensor.grad is not None]
    norm = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients]).sum(0).sqrt()
    factor = (limit / (norm + 1e-12)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))


def _keep_members(run: _Run, keep: list[int]) -> None:
    """Let the other members leave the batch: their rows of parameters, moments and streams go."""
    old = run.parameters
    run.parameters = _leaves(network.select(old, keep))
    replaced = dict(zip(old.named().values(), run.parameters.named().values(), strict=True))
    for group in run.optimizer.param_groups:
        group["params"] = [replaced[tensor] for tensor in group["params"]]
    for before, after in replaced.items():
        if before in run.optimizer.state:
            moments = run.optimizer.state.pop(before)
            run.optimizer.state[after] = {key: value[keep] if value.dim() else value for key, value in moments.items()}
    run.snapshot = network.select(run.snapshot, keep)
    run.penalty_scale = [scale[keep] for scale in run.penalty_scale]
    run.gate_streams = [run.gate_streams[row] for row in keep]
    run.start_streams = [run.start_streams[row] for row in keep]
    run.active = [run.active[row] for row in keep]


def _take_snapshot(run: _Run, sound: Tensor) -> None:
    for kept, current in zip(run.snapshot.named().values(), run.parameters.named().values(), strict=True):
        kept[sound] = current.detach()[sound]


def _end_members(run: _Run, task: _Task, rows: Tensor, status: str, reason: str, iteration: int) -> None:
    """Put members aside at their last snapshot."""
    for row in torch.nonzero(rows).flatten().tolist():
        member = run.active[row]
        if member not in run.ended:
            strength, seed = task.grid[member]
            kept = network.select(run.snapshot, [row])
            run.ended[member] = (kept, Member(strength, seed, status, reason, iteration, 0.0))


@torch.no_grad()
def _sparsity(run: _Run) -> float:
    """Share of zero weights, median over members, on deterministic gates."""
    factors = network.deterministic_gates(run.parameters)
    weights = network.effective_layers(run.parameters, factors, "elu").weights
    empty = torch.stack([(weight.abs() < PRUNING_THRESHOLD).sum((1, 2)) for weight in weights]).sum(0)
    return float((empty / _entries(weights)).median())


def _history_rows(
    run: _Run, task: _Task, iteration: int, loss: Tensor, penalty: Tensor, sound: Tensor
) -> list[dict[str, Any]]:
    losses, penalties, rate = loss.tolist(), penalty.tolist(), run.optimizer.param_groups[0]["lr"]
    return [
        {
            "strength": task.grid[member][0],
            "seed": task.grid[member][1],
            "iteration": iteration,
            "loss": losses[row],
            "penalty": penalties[row],
            "learning_rate": rate,
            "status": "training" if sound[row] else "diverged",
        }
        for row, member in enumerate(run.active)
    ]


def train_members(
    data: Path,
    settings: Path,
    seeds: Sequence[int],
    output: Path,
    history: Path,
    *,
    threads: int = 1,
    device: str = "auto",
) -> None:
    """Train one block of seeds of a (data set, model, method), and write its model file and history.

    `data` is a file of trajectories, `settings` the frozen settings. The file carries settings, seeds, versions and
    every member's status. Raises UserError if the data do not fit the settings.
    """
    import pandas as pd

    from sparsenode.data.contract import read_trajectories

    torch.set_num_threads(threads)
    frozen = json.loads(settings.read_text(encoding="utf-8"))
    adata = read_trajectories(data)
    if adata.uns["sparsenode"]["name"] != frozen["dataset"]:
        raise UserError(
            f"{data} holds the dataset {adata.uns['sparsenode']['name']!r}, but {settings} is for {frozen['dataset']!r}"
        )
    model_settings = read_model_settings(frozen["model_settings"])
    method_settings = read_method_settings(frozen["method_settings"])
    problems = make_problems(adata, model_settings)
    check_validation(adata, model_settings, method_settings)
    place = resolve_device(device)
    with follow_training(f"{frozen['dataset']} {frozen['model']} {frozen['method']}") as report:
        result = train(
            problems,
            adata.n_vars,
            model_settings,
            method_settings,
            list(seeds),
            device=place,
            report=report,
        )
    metadata = {
        # Linux counts the peak of the process in kilobytes.
        "memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "data_sha256": file_sha256(data),
        "seeds": list(seeds),
        "device": place,
        "threads": threads,
        **describe_software(),
    }
    with write_atomically(history) as temporary:
        pd.DataFrame(result.history).to_parquet(temporary, index=False)
    save_ensemble(output, result.parameters, result.members, frozen, list(adata.var_names), metadata)


def resolve_device(device: str) -> str:
    """`auto` is cuda where there is one and else cpu. Raises UserError if cuda is asked for and missing."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device: found cuda, but torch sees no GPU here; use auto or cpu, or a node with a GPU")
    return device
