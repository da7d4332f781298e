"""Iterative pruning: when weights go, how many are left, and which. Imports torch for types alone.

The published schedule (DASH, Hossain et al. 2024, arXiv 2403.04805) is that of `SCHEDULE`'s defaults: of 200 epochs,
70 % of each layer's weights go at the start of epoch 3, and 10 % of the rest at the start of epochs 10, 20, ..., 190.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

SCHEDULE: Mapping[str, Mapping[str, Any]] = {
    "epochs": {
        "type": "integer",
        "minimum": 1,
        "default": 200,
        "description": "epochs that the training counts, the unit of the other times: 200 as published, 100 for "
        "percents of the training, as many as `iterations` of the model for single iterations; of a model with `stop`, "
        "the training before the last members cool",
    },
    "first_epoch": {
        "type": "integer",
        "minimum": 1,
        "default": 3,
        "description": "epoch, counted from 1, at whose start weights are pruned for the first time",
    },
    "first_share": {
        "type": "number",
        "minimum": 0,
        "exclusiveMaximum": 1,
        "default": 0.7,
        "description": "share of each layer's weights that goes then",
    },
    "every": {
        "type": "integer",
        "minimum": 1,
        "default": 10,
        "description": "after that, weights are pruned at the start of each epoch that this number divides",
    },
    "share": {
        "type": "number",
        "minimum": 0,
        "exclusiveMaximum": 1,
        "default": 0.1,
        "description": "share of each layer's remaining weights that goes each time",
    },
    "last_epoch": {
        "type": ["integer", "null"],
        "minimum": 1,
        "default": None,
        "description": "epoch after whose start nothing is pruned any more; null for the last but one, as published. A "
        "third to a half of `epochs` leaves the pruned network time to learn, since the learning rate falls",
    },
}
"""Options of a schedule, as JSON-schema properties."""


def schedule_problem(
    *, epochs: int = 200, first_epoch: int = 3, last_epoch: int | None = None, **_others: Any
) -> str | None:
    """What contradicts itself in a schedule: the option that is wrong, what it is, and what is allowed."""
    if first_epoch > epochs:
        return f"first_epoch: found {first_epoch}, with epochs: {epochs}; allowed: at most as many"
    if last_epoch is not None and not first_epoch <= last_epoch <= epochs:
        return (
            f"last_epoch: found {last_epoch}; allowed: null, or from first_epoch ({first_epoch}) to epochs ({epochs})"
        )
    return None


def weights_left(
    size: int,
    most: float,
    iterations: int,
    *,
    epochs: int = 200,
    first_epoch: int = 3,
    first_share: float = 0.7,
    every: int = 10,
    share: float = 0.1,
    last_epoch: int | None = None,
) -> dict[int, int]:
    """How many weights of a layer of `size` are left, by the iteration from which on they are.

    The training is `iterations` long. `most` is the largest share of the weights that is ever pruned: from where the
    schedule has reached it, nothing goes. Numbers that are pruned are rounded, those half way to the even one. Where
    epochs are shorter than an iteration, the last of several prunings at one iteration counts.
    """
    last = epochs - 1 if last_epoch is None else last_epoch
    later = (epoch for epoch in range(first_epoch + 1, last + 1) if epoch % every == 0)
    left, least = size, size - round(most * size)
    found: dict[int, int] = {}
    for epoch in (first_epoch, *later):
        pruned = round((first_share if epoch == first_epoch else share) * left)
        left = max(left - pruned, least)
        found[(epoch - 1) * iterations // epochs] = left
    return found


def keep_largest(scores: Tensor, weight: Tensor, mask: Tensor, count: int) -> Tensor:
    """Mask of the `count` entries with the largest scores, in the shape of all three.

    Only what is left in `mask` is kept. Of equal scores the larger absolute weight counts, and then the place.
    """
    import torch

    ranked = torch.where(mask > 0, scores, -torch.inf).flatten()
    order = weight.abs().flatten().argsort(descending=True, stable=True)
    order = order[ranked[order].argsort(descending=True, stable=True)]
    kept = torch.zeros_like(mask).flatten()
    kept[order[:count]] = 1.0
    return kept.view_as(mask) * mask
