"""When a member has learned what it can: its objective no longer falls, then its learning rate does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsenode.settings import StopSettings

_NOT_COOLING = -1


@dataclass(frozen=True)
class Plateau:
    """What the objective of each member did lately; all (member,).

    `total` and `count` are its sum and number since the last comparison, `previous` its mean before that, and
    `cooling_since` is the iteration at which the learning rate began to fall, or -1.
    """

    total: Tensor
    count: Tensor
    previous: Tensor
    cooling_since: Tensor

    def select(self, rows: Sequence[int]) -> Plateau:
        """The same of some members."""
        index = list(rows)
        return Plateau(self.total[index], self.count[index], self.previous[index], self.cooling_since[index])


def start(members: int, device: torch.device) -> Plateau:
    """Nothing observed yet."""
    return Plateau(
        torch.zeros(members, device=device),
        torch.zeros(members, device=device),
        torch.full((members,), math.inf, device=device),
        torch.full((members,), _NOT_COOLING, device=device),
    )


def observe(plateau: Plateau, objective: Tensor) -> Plateau:
    """Add the objectives (member,) of one iteration."""
    return Plateau(plateau.total + objective.detach(), plateau.count + 1, plateau.previous, plateau.cooling_since)


def compare(plateau: Plateau, stop: StopSettings, iteration: int, last: int) -> Plateau:
    """Let members cool whose mean objective over the last `stop.patience` iterations hardly fell.

    Hardly: by less than `stop.tolerance` of its size, against the mean over as many iterations before. All begin
    `stop.cooldown` iterations before the `last` one.
    """
    cooling = plateau.cooling_since
    full = plateau.count >= stop.patience
    mean = plateau.total / plateau.count.clamp(min=1)
    # Infinity means "no mean yet": the first one is always an improvement.
    settled = full & torch.isfinite(plateau.previous)
    settled &= mean > plateau.previous - stop.tolerance * plateau.previous.abs()
    begins = (cooling == _NOT_COOLING) & (settled | torch.full_like(settled, iteration >= last - stop.cooldown))
    return Plateau(
        torch.where(full, 0.0, plateau.total),
        torch.where(full, 0.0, plateau.count),
        torch.where(full, mean, plateau.previous),
        torch.where(begins, iteration, cooling),
    )


def learning_rate_share(plateau: Plateau, stop: StopSettings, iteration: int, final_share: float) -> Tensor | None:
    """Share (member,) of the learning rate: along a cosine from 1 to `final_share`; None where nobody cools.

    On a GPU they are there in any case, since to look whether anybody cools would be to wait for it.
    """
    cooling = plateau.cooling_since != _NOT_COOLING
    if cooling.device.type == "cpu" and not bool(cooling.any()):
        return None
    progress = ((iteration - plateau.cooling_since) / max(stop.cooldown, 1)).clamp(0.0, 1.0)
    share = final_share + (1.0 - final_share) * 0.5 * (1.0 + torch.cos(math.pi * progress))
    return torch.where(cooling, share, torch.ones_like(share))


def done(plateau: Plateau, stop: StopSettings, iteration: int) -> Tensor:
    """Which members (member,) have cooled to the end."""
    cooling = plateau.cooling_since
    return (cooling != _NOT_COOLING) & (iteration >= cooling + stop.cooldown)
