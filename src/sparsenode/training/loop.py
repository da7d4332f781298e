"""Train every member of a grid: blocks that fit in memory, phases, isolation of what diverges, and how to resume."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsenode.dynamics import network
from sparsenode.dynamics.network import Parameters
from sparsenode.ensemble.device import is_out_of_memory, own_stream, release_memory
from sparsenode.ensemble.members import Member
from sparsenode.ensemble.states import list_names
from sparsenode.errors import InterruptedTrainingError, UserError
from sparsenode.methods import EdgeProximal
from sparsenode.progress import Report
from sparsenode.settings import PRUNING_THRESHOLD, MethodSettings, ModelSettings
from sparsenode.training import run as runs
from sparsenode.training import stopping
from sparsenode.training.blocks import measure_members
from sparsenode.training.checkpoints import Checkpoint, Checkpoints
from sparsenode.training.engine import Engine, is_compiled
from sparsenode.training.graph import Iterations
from sparsenode.training.matching import Matching
from sparsenode.training.problems import Problem
from sparsenode.training.run import Run, Task
from sparsenode.training.step import forecast_loss
from sparsenode.training.strengths import Search

_LOG = logging.getLogger(__name__)

EXPLODED = 1e6
"""A relative loss above this counts as divergence before it becomes infinite."""


_SURELY_FIT = 4
"""How many times as many members as there are have to fit, by the estimate, for a GPU not to be asked."""


@dataclass(frozen=True)
class TrainingResult:
    """Trained parameters, members strength by strength and seed by seed, and one history row a member and check.

    `batches` are the strengths that were trained together, and `reasons` say why each batch was, and why none followed;
    without reasons where the strengths were a list. `engine` is what computed losses.
    """

    parameters: Parameters
    members: tuple[Member, ...]
    history: list[dict[str, Any]]
    batches: list[list[float]]
    reasons: list[str]
    engine: Engine


@dataclass(frozen=True)
class _Phase:
    """A stretch of training with a schedule of its own; `first` is its first iteration, counted over all phases."""

    first: int
    iterations: int
    refitting: bool


@dataclass(frozen=True, kw_only=True)
class _Course:
    """What training compares with, one after another: rates with slopes, then solves with observations.

    `problems` are those of `make_problems`; `validation` tells which start is the better one after `matching`.
    """

    problems: Sequence[tuple[float, Problem]]
    matching: Matching | None
    validation: Problem | None

    def to(self, device: torch.device) -> _Course:
        """The same on another device."""
        return _Course(
            problems=[(until, problem.to(device)) for until, problem in self.problems],
            matching=None if self.matching is None else self.matching.to(device),
            validation=None if self.validation is None else self.validation.to(device),
        )

    def all(self) -> list[Problem | Matching]:
        """All that iterations compare with."""
        compared: list[Problem | Matching] = [problem for _, problem in self.problems]
        return compared if self.matching is None else [*compared, self.matching]

    def at(self, iteration: int, phase: _Phase, settings: ModelSettings) -> Problem | Matching:
        """What an iteration of a phase compares with."""
        if not phase.refitting and self.matching is not None and iteration < _first_solve(phase, settings):
            return self.matching
        if phase.refitting:
            return self.problems[-1][1]
        done = iteration / phase.iterations
        return next((problem for until, problem in self.problems if done < until), self.problems[-1][1])


def _first_solve(phase: _Phase, settings: ModelSettings) -> int:
    """First iteration of a phase with a solve; beyond the last one where rates are matched to the end."""
    if settings.matching is None or phase.refitting:
        return 0
    share = settings.matching.share
    return phase.iterations + 1 if share == 1.0 else math.ceil(share * phase.iterations)


@dataclass
class _Progress:
    """The state of training: all that a checkpoint holds.

    `batches` are the strengths so far, and `reasons` why; `blocks` are the members still to train, block by block;
    `run` is that of the first one, in phase `phase` at iteration `iteration` of the phase.
    """

    batches: list[list[float]]
    reasons: list[str]
    blocks: list[list[int]]
    phase: int = 0
    iteration: int = 0
    run: Run | None = None
    ended: dict[int, tuple[Parameters, Member]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class _Watch:
    """What looks at training from outside, reports, checkpoints, and a signal to stop; and what it decides.

    `recorded` tells whether iterations are recorded (see `Iterations`).
    """

    report: Callable[[Report], None] | None
    checkpoints: Checkpoints | None
    interrupted: Callable[[], int]
    recorded: bool | None = None
    last: Report | None = None
    number: int = 0
    began: float = field(default_factory=time.perf_counter)
    saved: float = field(default_factory=time.perf_counter)


def train(
    problems: Sequence[tuple[float, Problem]],
    features: int,
    settings: ModelSettings,
    method_settings: MethodSettings,
    seeds: Sequence[int],
    *,
    device: str = "cpu",
    most_members: int | None = None,
    report: Callable[[Report], None] | None = None,
    checkpoints: Checkpoints | None = None,
    interrupted: Callable[[], int] = lambda: 0,
    prior: NDArray[np.floating[Any]] | None = None,
    matching: Matching | None = None,
    validation: Problem | None = None,
    keep_interrupted: bool = False,
    search: Search | None = None,
    recorded: bool | None = None,
    available: int | None = None,
    engine: Engine = "auto",
) -> TrainingResult:
    """Train every (strength, seed) of a method together.

    A member whose loss is not finite, or above `EXPLODED`, is frozen at the last check at which it was sound and leaves
    the batch; the other members do not notice.

    Args:
        problems: what `make_problems` gives.
        features: number of the variables.
        settings: the settings of the model.
        method_settings: the settings of the method; its strengths are those of `search` where there is one.
        seeds: the seeds.
        device: name of the device.
        most_members: how many members are trained at once at most, block after block; all where it is None. A block for
            which a GPU has no memory is halved.
        report: called at each check.
        checkpoints: where training goes on from the newest checkpoint, and ends with the same result.
        interrupted: gives the number of a signal that has come, or 0.
        prior: (source, target), the network that a pruner knows, where it takes one.
        matching: what `make_matching` gives, of a model that matches rates first.
        validation: what `make_validation` gives: a member goes on from where matching has led it only where its loss on
            these is below that of its random start; on the training data where it is None.
        keep_interrupted: whether a signal ends the members that are trained at that time where they are, once their
            warm-up is over; members that were not begun are left out. `reason` of a member then says so.
        search: what tells the first batch of strengths, and after each whether another one is trained.
        recorded: whether iterations are recorded and repeated (see `Iterations`); None for those on a GPU.
        available: bytes of a GPU's memory that may be used: how many members these hold is measured, where the estimate
            `most_members` is no reason to be sure that all fit.
        engine: what computes losses and gradients: `plain` operations of torch, the `compiled` kernel, or `auto`, the
            kernel where it is to save time (see `engine.is_compiled`). Results are the same to rounding.

    Raises:
        InterruptedTrainingError: `interrupted` gives the number of a signal; a last checkpoint is written before. With
            `keep_interrupted` only where no member is past its warm-up.
    """
    last = problems[-1][1]
    torch_device = torch.device(device)
    watch = _Watch(report, checkpoints, interrupted, recorded)
    checkpoint = checkpoints.load() if checkpoints is not None else None
    batches, reasons = _batches(checkpoint, method_settings, search)
    strengths = tuple(strength for batch in batches for strength in batch)
    task = runs.make_task(
        features,
        settings,
        method_settings.changed(strengths=strengths),
        seeds,
        torch_device,
        last.given,
        prior,
        last.standards,
    )
    # By the first batch, so that a search that is resumed goes on as it began.
    begun = replace(task, grid=task.grid[: len(batches[0]) * len(seeds)])
    task = replace(task, compiled=is_compiled(begun, [problem for _, problem in problems], matching, engine))
    most = most_members or len(task.grid)
    with own_stream(task.device):
        course = _Course(problems=problems, matching=matching, validation=validation).to(task.device)
        if task.device.type == "cuda" and available is not None and most < _SURELY_FIT * len(task.grid):
            most = measure_members(task, course.all(), available)
        progress = _Progress(batches, reasons, _split(range(len(task.grid)), most))
        if checkpoint is not None:
            progress = _resume(task, progress, watch, most, checkpoint)
        watch.began = time.perf_counter() - progress.seconds
        while progress.blocks:
            try:
                _train_or_halve(task, progress, course, watch)
            except InterruptedTrainingError:
                if not keep_interrupted:
                    raise
                _end_here(task, progress)
                if not progress.ended:
                    raise
                break
            if not progress.blocks and search is not None:
                task = _begin_batch(task, progress, search, seeds, most)
    if watch.last is not None and watch.last.iteration < watch.last.total and watch.report is not None:
        watch.report(replace(watch.last, iteration=watch.last.total))  # all have stopped early
    progress.seconds = time.perf_counter() - watch.began
    if checkpoints is not None and progress.seconds > checkpoints.seconds:
        _save(progress, watch, checkpoints)  # should writing the results fail
    by_strength = sorted(range(len(task.grid)), key=lambda member: task.grid[member][0])
    ordered = [progress.ended[member] for member in by_strength if member in progress.ended]
    trained = [parameters for parameters, _ in ordered]
    if settings.refit:
        # Members that diverged before the refit: the form of the other members, nothing pruned but what was closed.
        trained = [
            member_parameters if member_parameters.masks else network.prune_closed(member_parameters, PRUNING_THRESHOLD)
            for member_parameters in trained
        ]
    seconds = progress.seconds / len(task.grid)
    return TrainingResult(
        network.join(trained),
        tuple(replace(member, seconds=seconds) for _, member in ordered),
        progress.history,
        progress.batches,
        progress.reasons,
        "compiled" if task.compiled else "plain",
    )


def _batches(
    checkpoint: Checkpoint | None, method_settings: MethodSettings, search: Search | None
) -> tuple[list[list[float]], list[str]]:
    """The batches of strengths that training begins, or goes on, with, and the reasons for them."""
    if checkpoint is not None and "batches" in checkpoint[2]:
        return checkpoint[2]["batches"], checkpoint[2]["reasons"]
    if search is None:
        return [list(method_settings.listed_strengths)], []
    first = search.first()
    _LOG.info("strengths %s: %s", list_names(first.strengths), first.reason)
    return [list(first.strengths)], [first.reason]


def _begin_batch(task: Task, progress: _Progress, search: Search, seeds: Sequence[int], most: int) -> Task:
    """Add the members of the next batch of strengths, if there is one, once all members have ended."""
    batch = search.next(task, progress.batches, list(progress.ended.values()))
    progress.reasons.append(batch.reason)
    if not batch.strengths:
        _LOG.info("no further strengths: %s", batch.reason)
        return task
    _LOG.info("further strengths %s: %s", list_names(batch.strengths), batch.reason)
    progress.batches.append(list(batch.strengths))
    before = len(task.grid)
    task = replace(task, grid=(*task.grid, *((strength, seed) for strength in batch.strengths for seed in seeds)))
    blocks = _split(range(before, len(task.grid)), most)
    progress.blocks.extend(blocks)
    return task


def _end_here(task: Task, progress: _Progress) -> None:
    """End the members of the first block at their last snapshot, if their penalty has been at its full strength."""
    run, iteration = progress.run, progress.iteration
    if run is None:
        return
    phase = _phases(task.settings)[progress.phase]
    if phase.refitting or iteration >= max(1.0, task.settings.warm_up * phase.iterations):
        reason = f"interrupted at iteration {phase.first + iteration}"
        _end_members(progress, run, task, torch.ones(len(run.active), dtype=torch.bool), "finished", reason, iteration)


def _split(members: Sequence[int], most: int) -> list[list[int]]:
    """Blocks of equal size, or nearly so, of at most `most` members."""
    count = math.ceil(len(members) / most)
    bounds = [len(members) * number // count for number in range(count + 1)]
    return [list(members[first:last]) for first, last in pairwise(bounds)]


def _halve_block(task: Task, progress: _Progress, watch: _Watch) -> None:
    """Begin the first block again, in two parts. Raises UserError if it is a single member."""
    members = progress.blocks[0]
    if len(members) == 1:
        raise UserError(
            f"a single member does not fit in the memory of the device ({task.device.type}); take a larger "
            "solver.step, shorter or fewer windows, a smaller hidden, or a device with more memory"
        )
    _LOG.warning("%d members do not fit in the memory of the device; training them in two parts", len(members))
    _begin_anew(task, progress, math.ceil(len(members) / 2))
    release_memory()
    if watch.checkpoints is not None:
        _save(progress, watch, watch.checkpoints)  # so that what does not fit is not tried again


def _begin_anew(task: Task, progress: _Progress, most: int) -> None:
    """Forget what was done of the first block, and cut it into parts of at most `most` members."""
    members = progress.blocks.pop(0)
    progress.blocks[:0] = _split(members, most)
    progress.phase, progress.iteration, progress.run = 0, 0, None
    for member in members:
        progress.ended.pop(member, None)
    again = {task.grid[member] for member in members}
    progress.history = [row for row in progress.history if (row["strength"], row["seed"]) not in again]


def _phases(settings: ModelSettings) -> list[_Phase]:
    phases = [_Phase(0, settings.iterations, refitting=False)]
    if settings.refit:
        phases.append(_Phase(settings.iterations, settings.refit.iterations, refitting=True))
    return phases


def _train_or_halve(task: Task, progress: _Progress, course: _Course, watch: _Watch) -> None:
    """Train the first block, or halve it where it does not fit into the memory."""
    full = False
    try:
        _train_block(task, progress, course, watch)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        full = True
    if full:  # here and not above, where the error still holds the tensors
        _halve_block(task, progress, watch)


def _train_block(task: Task, progress: _Progress, course: _Course, watch: _Watch) -> None:
    """Train the first block through all phases that are left."""
    members = progress.blocks[0]
    phases = _phases(task.settings)
    while progress.phase < len(phases):
        phase = phases[progress.phase]
        if progress.run is None:
            progress.run = _begin(task, progress, members, phase)
        if progress.run is not None:
            _train_phase(task, progress, phase, progress.run, course, watch)
        progress.phase, progress.iteration, progress.run = progress.phase + 1, 0, None
    progress.blocks.pop(0)
    progress.phase = 0


def _begin(task: Task, progress: _Progress, members: Sequence[int], phase: _Phase) -> Run | None:
    if not phase.refitting:
        return runs.start(task, members)
    sound = [member for member in members if progress.ended[member][1].status == "finished"]
    return runs.start_refit(task, sound, [progress.ended[member][0] for member in sound]) if sound else None


def _train_phase(
    task: Task,
    progress: _Progress,
    phase: _Phase,
    run: Run,
    course: _Course,
    watch: _Watch,
) -> None:
    """Train until all members of a run have finished or diverged."""
    settings = task.settings
    warm_up = 0.0 if phase.refitting else settings.warm_up
    reweighed = _reweighing(task, phase, warm_up)
    pruned = [] if phase.refitting else runs.pruning_iterations(task, _before_cooling(task, phase))
    # A change of the problem, the penalty or the mask changes the objective: plateaus are looked for after the last.
    changed = [change / phase.iterations for change in (*reweighed, *pruned)]
    ends = (*(until for until, _ in course.problems[:-1]), 0.0 if phase.refitting else settings.matching_until)
    settled = max([warm_up, *ends, *changed])
    current: Problem | Matching | None = None
    seeds: list[int] = []
    iterations = Iterations(task, phase.first + phase.iterations, recorded=watch.recorded)
    for iteration in range(progress.iteration, phase.iterations + 1):
        progress.iteration = iteration
        _keep_safe(progress, watch)
        done = iteration / phase.iterations
        counted = phase.first + iteration
        warm = min(1.0, done / warm_up) if warm_up > 0 else 1.0
        if iteration in reweighed:
            runs.reweigh_edges(run, task)
        if iteration in pruned:
            runs.prune(run, task, iteration, _before_cooling(task, phase))
        problem = _next_problem(task, run, course, phase, iteration)
        if problem is not current or len(seeds) != len(run.active):
            current, seeds, strengths = problem, task.seeds(run.active), task.strengths(run.active)
            active_problem = problem
            # Of a batch each iteration takes its members' losses: those over all rows would be many times larger.
            if isinstance(problem, Matching) or problem.rows == len(problem.positions):
                active_problem = problem.of_seeds(seeds)
        checked = _is_check(task, phase, iteration)
        share = _schedule(task, run, phase, iteration)
        staying = None
        taken = iterations.take(
            run,
            active_problem,
            counted,
            warm=None if phase.refitting else warm,
            strength=None if phase.refitting else strengths * task.method.ramp(warm),
            share=share,
            checked=checked,
        )
        if run.plateau is not None and done >= settled:
            run.plateau = stopping.observe(run.plateau, taken.total)
        if checked:
            sound = torch.isfinite(taken.loss) & (taken.loss < EXPLODED)
            _record(progress, run, task, counted, taken.loss, taken.penalties, share, sound)
            measured = taken.before or run.parameters
            staying = _check(task, progress, run, measured, iteration, phase, taken.loss, sound.cpu(), watch)
            if not staying.any():
                return
        taken.finish(staying)
        if staying is not None and not staying.all():
            runs.keep_members(run, torch.nonzero(staying).flatten().tolist())


def _next_problem(task: Task, run: Run, course: _Course, phase: _Phase, iteration: int) -> Problem | Matching:
    """What an iteration compares with; at the first solve after matching, members choose where they go on from."""
    if course.matching is not None and not phase.refitting and iteration == _first_solve(phase, task.settings):
        _choose_starts(task, run, course)
    return course.at(iteration, phase, task.settings)


def _choose_starts(task: Task, run: Run, course: _Course) -> None:
    """After matching, begin again from the random start with members that forecast no better than from there."""
    problem = course.validation or course.problems[-1][1]
    seeds = task.seeds(run.active)
    fresh = runs.fresh_parameters(task, run.active)
    matched, random = (forecast_loss(parameters, task, problem, seeds) for parameters in (run.parameters, fresh))
    reset = ~(matched < random)  # a loss that is not finite is not below any
    runs.start_shooting(run, task, fresh, reset)
    goes_on = int((~reset).sum())
    _LOG.info("matching: %d of %d members go on from it, the rest from their random start", goes_on, len(reset))


def _reweighing(task: Task, phase: _Phase, warm_up: float) -> list[int]:
    """Iterations at which the method weighs its edges: after the warm-up, and before the last members may cool."""
    if not isinstance(task.method, EdgeProximal) or phase.refitting:
        return []
    stages, first = task.method.weighings(), math.ceil(warm_up * phase.iterations)
    last = _before_cooling(task, phase)
    return [first + max(last - first, 0) * stage // stages for stage in range(stages)]


def _before_cooling(task: Task, phase: _Phase) -> int:
    """Iterations of a phase before the last members cool."""
    return phase.iterations - (task.settings.stop.cooldown if task.settings.stop else 0)


def _is_check(task: Task, phase: _Phase, iteration: int) -> bool:
    """Whether members are looked at; always where the last of them have to begin to cool."""
    settings = task.settings
    if settings.stop is not None and iteration == phase.iterations - settings.stop.cooldown and not phase.refitting:
        return True
    regular = iteration % settings.check_every == 0 and not (phase.refitting and iteration == 0)
    return regular or iteration == phase.iterations


def _schedule(task: Task, run: Run, phase: _Phase, iteration: int) -> Tensor | None:
    """Set the learning rate, along a cosine; with early stopping each member has a share (member,) of its own."""
    settings = task.settings
    final = settings.final_learning_rate_share
    if run.plateau is not None and settings.stop is not None:
        run.optimizer.set_share(1.0)
        return stopping.learning_rate_share(run.plateau, settings.stop, iteration, final)
    done = min(iteration / phase.iterations, 1.0)
    run.optimizer.set_share(final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * done)))
    return None


def _check(
    task: Task,
    progress: _Progress,
    run: Run,
    parameters: Parameters,
    iteration: int,
    phase: _Phase,
    loss: Tensor,
    sound: Tensor,
    watch: _Watch,
) -> Tensor:
    """Take a snapshot of the sound members, end those that diverged or finished; who goes on, (member,) on the CPU.

    The loss is that of `parameters`.
    """
    counted = phase.first + iteration
    reason = f"loss not finite or above {EXPLODED:g} by iteration {counted}"
    _end_members(progress, run, task, ~sound, "diverged", reason, iteration)
    runs.take_snapshot(run, sound, parameters)
    finished = torch.full_like(sound, iteration == phase.iterations)
    if run.plateau is not None and task.settings.stop is not None:
        run.plateau = stopping.compare(run.plateau, task.settings.stop, iteration, phase.iterations)
        finished |= stopping.done(run.plateau, task.settings.stop, iteration).cpu()
    finished &= sound
    if watch.report is not None and sound.any():
        watch.last = _report(task, progress, parameters, counted, loss.detach().cpu()[sound].tolist())
        watch.report(watch.last)
    _end_members(progress, run, task, finished, "finished", "", iteration)
    return sound & ~finished


def _end_members(
    progress: _Progress, run: Run, task: Task, rows: Tensor, status: str, reason: str, iteration: int
) -> None:
    """Put members aside at their last snapshot, in place of how they ended the phase before."""
    ended = torch.nonzero(rows).flatten().tolist()
    if not ended:
        return
    snapshot = network.select(run.snapshot, ended).map(lambda tensor: tensor.cpu())
    for place, row in enumerate(ended):
        number = run.active[row]
        sound_parameters = network.select(snapshot, [place])
        strength, seed = task.grid[number]
        before = progress.ended[number][1].iterations if number in progress.ended else 0
        progress.ended[number] = (sound_parameters, Member(strength, seed, status, reason, before + iteration, 0.0))


def _record(
    progress: _Progress,
    run: Run,
    task: Task,
    counted: int,
    loss: Tensor,
    penalties: Tensor,
    share: Tensor | None,
    sound: Tensor,
) -> None:
    """Add a row for every member to the history."""
    rate = torch.full_like(loss, run.optimizer.param_groups[0]["lr"], dtype=torch.float64)
    rates = rate if share is None else rate * share
    columns = (loss.tolist(), penalties.tolist(), rates.tolist(), sound.tolist())
    progress.history.extend(
        {
            "strength": task.grid[member][0],
            "seed": task.grid[member][1],
            "iteration": counted,
            "loss": one_loss,
            "penalty": one_penalty,
            "learning_rate": one_rate,
            "status": "training" if is_sound else "diverged",
        }
        for member, one_loss, one_penalty, one_rate, is_sound in zip(run.active, *columns, strict=True)
    )


def _report(task: Task, progress: _Progress, parameters: Parameters, counted: int, losses: list[float]) -> Report:
    phases = _phases(task.settings)
    total = phases[-1].first + phases[-1].iterations
    in_training = len(progress.blocks[0])
    before = len(task.grid) - sum(map(len, progress.blocks))
    diverged = sum(member.status == "diverged" for _, member in progress.ended.values())
    of_batch = len(task.grid) * len(progress.batches[0]) / sum(map(len, progress.batches))  # so that none goes back
    return Report(
        round((before * total + in_training * counted) / of_batch),
        round(total * len(task.grid) / of_batch),
        len(task.grid) - diverged,
        len(task.grid),
        median(losses),
        _sparsity(parameters),
    )


@torch.no_grad()
def _sparsity(parameters: Parameters) -> float:
    """Share of zero weights, median over members, on deterministic gates."""
    return float(network.weight_sparsity(parameters, PRUNING_THRESHOLD).median())


def _keep_safe(progress: _Progress, watch: _Watch) -> None:
    """Write a checkpoint if one is due, or if training has to stop now."""
    signal, saved = watch.interrupted(), False
    if watch.checkpoints is not None and (signal or time.perf_counter() - watch.saved > watch.checkpoints.seconds):
        saved = _save(progress, watch, watch.checkpoints)
    if signal:
        raise InterruptedTrainingError(signal, saved=saved)


def _save(progress: _Progress, watch: _Watch, checkpoints: Checkpoints) -> bool:
    progress.seconds = time.perf_counter() - watch.began
    tensors = {f"run.{name}": tensor for name, tensor in runs.pack(progress.run).items()} if progress.run else {}
    for member, (parameters, _) in progress.ended.items():
        tensors |= {f"ended.{member}.{name}": tensor for name, tensor in parameters.named().items()}
    state = {
        "batches": progress.batches,
        "reasons": progress.reasons,
        "blocks": progress.blocks,
        "phase": progress.phase,
        "iteration": progress.iteration,
        "active": progress.run.active if progress.run else None,
        "ended": {str(number): asdict(member) for number, (_, member) in progress.ended.items()},
        "history": progress.history,
        "seconds": progress.seconds,
    }
    watch.number += 1
    saved = checkpoints.save(watch.number, tensors, state)
    watch.saved = time.perf_counter()
    return saved


def _resume(task: Task, begun: _Progress, watch: _Watch, most: int, checkpoint: Checkpoint) -> _Progress:
    """Progress of a checkpoint; blocks of more than `most` members, a limit that is new, are begun again."""
    watch.number, tensors, state = checkpoint
    run = None
    if state["active"] is not None:
        packed, phase = runs.below(tensors, "run."), _phases(task.settings)[state["phase"]]
        run = runs.unpack(task, state["active"], packed, refitting=phase.refitting)
    ended = {
        int(number): (network.from_named(runs.below(tensors, f"ended.{number}.")), Member(**member))
        for number, member in state["ended"].items()
    }
    _LOG.info("going on from a checkpoint at iteration %d of phase %d", state["iteration"], state["phase"] + 1)
    progress = replace(
        begun,
        blocks=state["blocks"],
        phase=state["phase"],
        iteration=state["iteration"],
        run=run,
        ended=ended,
        history=state["history"],
        seconds=state["seconds"],
    )
    if progress.blocks and len(progress.blocks[0]) > most:
        _LOG.warning("%d members no longer fit in the memory given; training them again", len(progress.blocks[0]))
        _begin_anew(task, progress, most)
    progress.blocks = [piece for block in progress.blocks for piece in _split(block, most)]
    return progress
