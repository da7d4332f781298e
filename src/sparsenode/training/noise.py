"""Random numbers of training, keyed by (seed, iteration): a run that resumes needs no other state of them.

Members of one seed get the same numbers, whatever their strength, their neighbors and the time at which they train. On
a GPU they are made for many iterations at once and wait there, so that no iteration waits for the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sparsenode.training import sfc64

_GATES = 1
_STARTS = 2
_BATCHES = 3
_WEIGHTS = 4

_STAGED_BYTES = 256 * 2**20
_MOST_STAGED = 200
_MOST_DEVICE_STEPS = 1000  # of the generator, one after another: with more of them the host is faster


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What an iteration draws: numbers for `gates`, normal ones of shape `starts`, `rows` (of how many, how many)."""

    gates: int = 0
    starts: tuple[int, ...] | None = None
    rows: tuple[int, int] | None = None

    @property
    def any(self) -> bool:
        """Whether an iteration draws anything."""
        return self.gates > 0 or self.starts is not None or self.rows is not None

    def bytes(self, seeds: int) -> int:
        """Bytes that an iteration's numbers take."""
        starts = 0 if self.starts is None else 4 * int(np.prod(self.starts))
        rows = 0 if self.rows is None else 8 * self.rows[1]
        return seeds * (2 * self.gates + starts) + rows


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The numbers of an iteration, one entry for each distinct seed, and which one is a member's.

    `gates` (seed, count) are 16 random bits each, `starts` (seed, ...) standard normal, `rows` (row,); `seed_of`
    (member,) is None where no seed is repeated.
    """

    gates: Tensor | None = None
    starts: Tensor | None = None
    rows: Tensor | None = None
    seed_of: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """What differs between iterations, by name."""
        drawn = {"gates": self.gates, "starts": self.starts, "rows": self.rows}
        return {name: tensor for name, tensor in drawn.items() if tensor is not None}

    def logistic(self) -> Tensor | None:
        """Logistic noise (member, count) for the gates.

        The logit of 16 random bits each: a gate's chance to be closed is off by less than 2e-5, at a sixth of the time.
        """
        if self.gates is None:
            return None
        return self._of_members(self.gates.float().add_(2.0**15 + 0.5).mul_(2.0**-16).logit_())

    def normal(self) -> Tensor | None:
        """Standard normal noise (member, ...) for the starts."""
        return None if self.starts is None else self._of_members(self.starts)

    def _of_members(self, numbers: Tensor) -> Tensor:
        return numbers if self.seed_of is None else numbers[self.seed_of]


class Stage:
    """Gives the numbers of one iteration after another; on a GPU it has made them ahead."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._made: tuple[Needs, tuple[int, ...]] | None = None
        self._first = 0
        self._many: list[tuple[str, Tensor]] = []
        self._count = 0
        self._seed_of: Tensor | None = None

    def at(self, needs: Needs, seeds: Sequence[int], iteration: int, last: int) -> Drawn:
        """The numbers of an iteration for members of some seeds; there will be none after the `last`."""
        key = (needs, tuple(seeds))
        if self._made != key or not self._first <= iteration < self._first + self._count:
            distinct, seed_of = _distinct(seeds)
            count = 1
            if self.device.type != "cpu":
                count = min(_MOST_STAGED, last - iteration + 1, _STAGED_BYTES // max(1, needs.bytes(len(distinct))))
            drawn = draw_many(needs, distinct, range(iteration, iteration + max(1, count)), self.device)
            self._made, self._first, self._count, self._many = key, iteration, max(1, count), list(drawn.items())
            self._seed_of = None if seed_of is None else seed_of.to(self.device)
        offset = iteration - self._first
        return Drawn(seed_of=self._seed_of, **{name: tensor[offset] for name, tensor in self._many})


def draw_many(needs: Needs, seeds: Sequence[int], iterations: range, device: torch.device) -> dict[str, Tensor]:
    """What some iterations draw for distinct seeds: the tensors of `Drawn` by name, with an axis `iteration` first."""
    many = {}
    if needs.gates:
        steps = -(-needs.gates // sfc64.NUMBERS_OF_A_STEP)
        if device.type != "cpu" and steps <= _MOST_DEVICE_STEPS and max(seeds) < sfc64.MOST_KEY:
            bits = sfc64.draw_bits(_GATES, seeds, iterations, needs.gates, device)
        else:
            drawn = [
                [_generator(_GATES, seed, iteration).random_raw(steps).view(np.int16)[: needs.gates] for seed in seeds]
                for iteration in iterations
            ]
            bits = torch.from_numpy(np.array(drawn)).to(device)
        many["gates"] = bits
    if needs.starts is not None:
        normal = [
            [
                np.random.Generator(_generator(_STARTS, seed, iteration)).standard_normal(needs.starts, np.float32)
                for seed in seeds
            ]
            for iteration in iterations
        ]
        many["starts"] = torch.from_numpy(np.array(normal)).to(device)
    if needs.rows is not None:
        rows = torch.stack([draw_rows(iteration, *needs.rows) for iteration in iterations])
        many["rows"] = rows.to(device)
    return many


def _generator(purpose: int, seed: int, iteration: int) -> np.random.SFC64:
    return np.random.SFC64([purpose, seed, iteration])


def draw_rows(iteration: int, rows: int, count: int) -> Tensor:
    """Draw `count` of `rows` rows without repetition: those of an iteration, the same for all members."""
    generator = np.random.Generator(_generator(_BATCHES, rows, iteration))
    return torch.from_numpy(generator.choice(rows, count, replace=False))


def draw_weights(seed: int, count: int) -> np.ndarray:
    """Draw `count` weights of a seed's bootstrap, exponential with mean 1."""
    return np.random.Generator(_generator(_WEIGHTS, seed, 0)).standard_exponential(count)


def _distinct(seeds: Sequence[int]) -> tuple[list[int], Tensor | None]:
    """Seeds without repetition, and for each member the place of its seed among them; None where none is repeated."""
    distinct = list(dict.fromkeys(seeds))
    if len(distinct) == len(seeds):
        return distinct, None
    number_of = {seed: number for number, seed in enumerate(distinct)}
    return distinct, torch.tensor([number_of[seed] for seed in seeds])
