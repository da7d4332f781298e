"""An iteration that is recorded once and then repeated by a single call: a CUDA graph.

An iteration is some thousand small operations, and a GPU ends most of them before the host has begun the next. Recorded
are forward, backward, the optimizer and the steps after it. What differs between iterations is copied into tensors that
stay where they are; a change of anything else (the members, the problem, the weights of edges) takes a new record.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sparsenode.dynamics.network import Parameters
from sparsenode.ensemble.device import is_out_of_memory
from sparsenode.training import run as runs
from sparsenode.training.matching import Matching
from sparsenode.training.noise import Drawn, Stage
from sparsenode.training.problems import Problem
from sparsenode.training.run import Run, Task
from sparsenode.training.step import is_proximal, needs, objective, penalty, step

_LOG = logging.getLogger(__name__)


SAME = 0.01
"""Share of a step, and of a loss, by which a record may differ: rounding of a GPU is far below it, and a mistake far
above."""


class NotRecordedError(Exception):
    """An iteration that cannot be recorded."""


class RecordedStep:
    """An iteration of a run; `repeat` does it, with the numbers of another one.

    Args:
        run: the run, which has taken a step of the same kind before.
        task: what stays the same.
        problem: what is compared with.
        gate_noise: whether gates are drawn (None for not), at a share below 1 of the noise that is still ramping in.
        strength: (member,), None in a refit.
        penalized: whether the penalty is computed.
        share: (member,) of the step that a member takes; None for all.
        drawn: what an iteration draws.

    Raises:
        NotRecordedError: CUDA refuses.
        torch.OutOfMemoryError: the memory does not suffice.
    """

    def __init__(
        self,
        run: Run,
        task: Task,
        problem: Problem | Matching,
        *,
        gate_noise: float | None,
        strength: Tensor | None,
        penalized: bool,
        share: Tensor | None,
        drawn: Drawn,
    ) -> None:
        self.key = record_key(run, problem, gate_noise, share, penalized=penalized)
        self._strength = None if strength is None else strength.clone()
        ramping = gate_noise is not None and gate_noise < 1.0
        self._noise = torch.tensor(gate_noise, device=task.device) if ramping else None
        self._share = None if share is None else share.clone()
        self._drawn = replace(drawn, **{name: tensor.clone() for name, tensor in drawn.tensors().items()})
        noise = self._noise if ramping else gate_noise
        refitting = strength is None
        pulled = torch.zeros(len(run.active), device=task.device) if self._strength is None else self._strength

        def iterate() -> tuple[Tensor, Tensor, Tensor]:
            run.optimizer.zero_grad()
            outcome = objective(
                run,
                task,
                problem,
                0,
                gate_noise=noise,
                strength=self._strength,
                penalized=penalized,
                drawn=self._drawn,
            )
            outcome[-1].sum().backward()
            step(run, task, pulled, refitting=refitting, share=self._share)
            loss, penalties, total = outcome
            return loss.detach(), penalties.detach(), total.detach()

        self._again = _record(iterate, task.device)

    def repeat(
        self, *, gate_noise: float | None, strength: Tensor | None, share: Tensor | None, drawn: Drawn
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, penalty and what is minimized, (member,) each, before the step that has then been taken.

        They are overwritten by the next repetition.
        """
        if self._noise is not None and gate_noise is not None:
            self._noise.fill_(gate_noise)
        for fixed, new in ((self._strength, strength), (self._share, share)):
            if fixed is not None and new is not None:
                fixed.copy_(new)
        for fixed, new in zip(self._drawn.tensors().values(), drawn.tensors().values(), strict=True):
            fixed.copy_(new)
        return self._again()


def record_key(
    run: Run, problem: Problem | Matching, gate_noise: float | None, share: Tensor | None, *, penalized: bool
) -> tuple[Any, ...]:
    """What a record is of: objects that are compared by identity, and kept alive by it, and what is computed."""
    ramping = None if gate_noise is None else gate_noise < 1.0
    identical = (run.parameters, run.optimizer, problem, *run.edge_weights, *run.penalty_scale)
    return (*map(_Same, identical), ramping, penalized, share is None)


class _Same:
    """Equal only to the same object."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.thing is self.thing

    def __hash__(self) -> int:
        return id(self.thing)


def _record(iterate: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    """Record on a GPU; elsewhere each repetition runs as if it were the first."""
    if device.type != "cuda":
        return iterate
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, stream=torch.cuda.current_stream(device)):
            outcome = iterate()
    except RuntimeError as error:
        cause: BaseException | None = error
        while cause is not None:  # an error at the end of the recording hides the one within it
            if isinstance(cause, RuntimeError) and is_out_of_memory(cause):
                raise cause from None
            cause = cause.__context__
        raise NotRecordedError(str(error).splitlines()[0]) from error

    def again() -> Any:
        graph.replay()
        return outcome

    return again


@dataclass(frozen=True, kw_only=True)
class Taken:
    """An iteration: loss, penalty and what is minimized, (member,) each.

    `before` are the parameters that these belong to, where the step has been taken already; else `finish` takes it.
    """

    loss: Tensor
    penalties: Tensor
    total: Tensor
    before: Parameters | None = None
    pending: Callable[[Tensor], None] | None = None

    def finish(self, staying: Tensor | None) -> None:
        """Take the step, if it is not taken, of all members or of those that stay, (member,) on the CPU."""
        if self.pending is not None:
            self.pending(self.total if staying is None else self.total[staying.to(self.total.device)])


class Iterations:
    """Takes the iterations of a phase of training one after another, by a record of them where there can be one.

    The first iteration of each kind is not recorded, since libraries set themselves up in it, nor is the last, after
    which no step is taken. The first repetition is taken back and compared with the iteration itself: a record that
    does anything else is not used, and a remark says so.

    Args:
        task: what stays the same.
        last: number of the last iteration.
        recorded: whether iterations are recorded; None records on a GPU.
    """

    def __init__(self, task: Task, last: int, *, recorded: bool | None) -> None:
        self.task, self.last = task, last
        on_gpu = task.device.type == "cuda"
        self._recording = (on_gpu if recorded is None else recorded) and task.settings.solver.scheme == "rk4"
        self._stage = Stage(task.device) if on_gpu or self._recording else None
        self._kinds: dict[tuple[Any, ...], bool] = {}  # whether a record was compared
        self._record: RecordedStep | None = None
        self._active: list[int] | None = None
        self._seeds: list[int] = []

    def take(
        self,
        run: Run,
        problem: Problem | Matching,
        iteration: int,
        *,
        warm: float | None,
        strength: Tensor | None,
        share: Tensor | None,
        checked: bool,
    ) -> Taken:
        """Take an iteration.

        Args:
            run: the run.
            problem: what is compared with.
            iteration: its number, counted over all phases.
            warm: share of the gates' noise that has ramped in; None in a refit.
            strength: (member,); None in a refit.
            share: (member,) of the step that a member takes; None for all.
            checked: whether members are looked at: the penalty is then needed in any case.
        """
        # What a proximal step represents is known to the step itself; its value is only looked at.
        differentiated = strength is not None and (not is_proximal(self.task) or run.plateau is not None)
        drawn = self._draw(run, problem, iteration, gated=warm is not None)
        if self._recording and iteration < self.last and drawn is not None:
            taken = self._repeat(run, problem, warm, strength, share, drawn, checked, differentiated)
            if taken is not None:
                return taken
        penalized = differentiated or (checked and strength is not None)
        return self._plain(run, problem, iteration, warm, strength, share, penalized, drawn)

    def _plain(
        self,
        run: Run,
        problem: Problem | Matching,
        iteration: int,
        warm: float | None,
        strength: Tensor | None,
        share: Tensor | None,
        penalized: bool,
        drawn: Drawn | None,
    ) -> Taken:
        """The iteration itself, but for its step."""
        run.optimizer.zero_grad()
        loss, penalties, total = objective(
            run,
            self.task,
            problem,
            iteration,
            gate_noise=warm,
            strength=strength,
            penalized=penalized,
            drawn=drawn,
        )
        pulled = torch.zeros_like(loss) if strength is None else strength

        def pending(total: Tensor) -> None:
            total.sum().backward()
            step(run, self.task, pulled, refitting=strength is None, share=share)

        return Taken(loss=loss, penalties=penalties, total=total, pending=pending)

    def _draw(self, run: Run, problem: Problem | Matching, iteration: int, *, gated: bool) -> Drawn | None:
        if self._stage is None:
            return None
        if self._active is not run.active:
            self._active, self._seeds = run.active, self.task.seeds(run.active)
        return self._stage.at(needs(run, self.task, problem, gated=gated), self._seeds, iteration, self.last)

    def _repeat(
        self,
        run: Run,
        problem: Problem | Matching,
        warm: float | None,
        strength: Tensor | None,
        share: Tensor | None,
        drawn: Drawn,
        checked: bool,
        differentiated: bool,
    ) -> Taken | None:
        """The iteration by a record, a new one if there is none of its kind; None for one that is not recorded."""
        kind = record_key(run, problem, warm, share, penalized=differentiated)
        seen = (_Same(problem), *kind[-3:])
        given: dict[str, Any] = {"gate_noise": warm, "strength": strength, "share": share, "drawn": drawn}
        if self._record is None or self._record.key != kind:
            self._record = None  # gives its memory back before the next one takes as much
            if seen not in self._kinds:
                self._kinds[seen] = False
                return None
            try:
                self._record = RecordedStep(run, self.task, problem, penalized=differentiated, **given)
            except NotRecordedError as error:
                self._give_up(str(error))
                return None
        before = looked_at = None
        if checked or not self._kinds[seen]:
            before = runs.copy(run.parameters)
            looked_at = penalty(run, self.task).detach() if strength is not None and not differentiated else None
        tried = None if self._kinds[seen] else _Tried(run)
        loss, penalties, total = self._record.repeat(**given)
        if tried is not None:
            moved, loss = tried.take_back(), loss.clone()
            taken = self._plain(run, problem, 0, warm, strength, share, differentiated, drawn)
            taken.finish(None)
            difference = tried.difference(moved)
            if not (difference <= SAME and _is_close(loss, taken.loss)):
                self._give_up(f"it does otherwise than the iteration itself, by {difference:.1g} of a step")
            self._kinds[seen] = True
            loss, penalties, total = taken.loss.detach(), taken.penalties.detach(), taken.total.detach()
        return Taken(loss=loss, penalties=penalties if looked_at is None else looked_at, total=total, before=before)

    def _give_up(self, reason: str) -> None:
        self._recording, self._record = False, None
        _LOG.warning(
            "an iteration cannot be recorded as a CUDA graph (%s): training goes on without, more slowly", reason
        )


class _Tried:
    """The trained tensors of a run and their moments, which a repetition changes and `take_back` brings back."""

    def __init__(self, run: Run) -> None:
        trained = [tensor for group in run.optimizer.param_groups for tensor in group["params"]]
        moments = [moment for tensor in trained for moment in run.optimizer.state.get(tensor, {}).values()]
        self._trained = trained
        self._tensors = [*trained, *moments]
        self._values = [tensor.detach().clone() for tensor in self._tensors]

    @torch.no_grad()
    def take_back(self) -> list[Tensor]:
        """Bring the values back; the moves (...) of the trained tensors until now."""
        moves = [tensor - value for tensor, value in zip(self._trained, self._values, strict=False)]
        for tensor, value in zip(self._tensors, self._values, strict=True):
            tensor.copy_(value)
        return moves

    @torch.no_grad()
    def difference(self, moves: list[Tensor]) -> float:
        """How far from the moves until now others are, as a share of them; that of the member with the largest."""
        squares = difference = torch.zeros((), device=moves[0].device)
        for tensor, value, other in zip(self._trained, self._values, moves, strict=False):
            move = (tensor - value).flatten(1)
            squares = squares + move.square().sum(1)
            difference = difference + (move - other.flatten(1)).square().sum(1)
        sound = torch.isfinite(squares)
        shares = difference[sound] / squares[sound].clamp(min=torch.finfo(squares.dtype).tiny)
        return float(shares.max().sqrt()) if len(shares) else 0.0


def _is_close(loss: Tensor, other: Tensor) -> bool:
    return torch.allclose(loss, other.detach(), rtol=SAME, atol=SAME, equal_nan=True)
