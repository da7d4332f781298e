"""Iterative pruning: when weights go, how many are left, and which. Imports torch for types only.

The published schedule (DASH, Hossain et al. 2024, arXiv 2403.04805) is that of the defaults: of 200 epochs, 70 % of
each layer's weights go at the start of epoch 3, and 10 % of the rest at the start of epochs 10, 20, ..., 190.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field

from sparsenode.methods import Pruner
from sparsenode.typed import Contradiction

if TYPE_CHECKING:
    from torch import Tensor


class ScheduledPruner(Pruner):
    """A pruner with the schedule of iterative pruning."""

    epochs: int = Field(
        200,
        ge=1,
        description="epochs that the training counts, the unit of the other times: 200 as published, 100 for "
        "percents of the training, as many as `iterations` of the model for single iterations; of a model with `stop`, "
        "the training before the last members cool",
    )
    first_epoch: int = Field(
        3, ge=1, description="epoch, counted from 1, at whose start weights are pruned for the first time"
    )
    first_share: float = Field(0.7, ge=0, lt=1, description="share of each layer's weights that goes then")
    every: int = Field(
        10, ge=1, description="after that, weights are pruned at the start of each epoch that this number divides"
    )
    share: float = Field(0.1, ge=0, lt=1, description="share of each layer's remaining weights that goes each time")
    last_epoch: int | None = Field(
        None,
        ge=1,
        description="epoch after whose start nothing is pruned any more; null for the last but one, as published. A "
        "third to a half of `epochs` leaves the pruned network time to learn, since the learning rate falls",
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Epochs that are in no order."""
        if self.first_epoch > self.epochs:
            description = f"{self.first_epoch}, with epochs: {self.epochs}"
            yield Contradiction("first_epoch", description, f"at most {self.epochs}")
        elif self.last_epoch is not None and not self.first_epoch <= self.last_epoch <= self.epochs:
            allowed = f"null, or from first_epoch ({self.first_epoch}) to epochs ({self.epochs})"
            yield Contradiction("last_epoch", str(self.last_epoch), allowed)

    def left_by_schedule(self, size: int, most: float, iterations: int) -> dict[int, int]:
        """How many weights of a layer are left, by the iteration from which on they are.

        Numbers that are pruned are rounded, those half way to the even one. Where epochs are shorter than an iteration,
        the last of several prunings at one iteration counts.

        Args:
            size: weights of the layer.
            most: the largest share of the weights that is ever pruned: from where the schedule has reached it, nothing
                goes.
            iterations: length of the training.
        """
        last = self.epochs - 1 if self.last_epoch is None else self.last_epoch
        later = (epoch for epoch in range(self.first_epoch + 1, last + 1) if epoch % self.every == 0)
        remaining, least = size, size - round(most * size)
        counts: dict[int, int] = {}
        for epoch in (self.first_epoch, *later):
            pruned = round((self.first_share if epoch == self.first_epoch else self.share) * remaining)
            remaining = max(remaining - pruned, least)
            counts[(epoch - 1) * iterations // self.epochs] = remaining
        return counts


def keep_largest(scores: Tensor, weight: Tensor, mask: Tensor, count: int) -> Tensor:
    """Mask of the `count` entries with the largest scores, in the shape of all three.

    Only what is left in `mask` is kept. Of equal scores the larger absolute weight counts, and then the place.
    """
    import torch

    ranked = torch.where(mask > 0, scores, -torch.inf).flatten()
    order = weight.abs().flatten().argsort(descending=True, stable=True)
    order = order[ranked[order].argsort(descending=True, stable=True)]
    largest = torch.zeros_like(mask).flatten()
    largest[order[:count]] = 1.0
    return largest.view_as(mask) * mask
