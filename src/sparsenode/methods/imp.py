"""Iterative magnitude pruning: the smallest weights go, step by step (Han et al. 2015, Frankle & Carbin 2019).

Its schedule is the one that DASH is compared with (Hossain et al. 2024, arXiv 2403.04805); it is `dash` with strength
0, and what is said there of a biological network and the published code holds here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sparsenode import pruning
from sparsenode.methods import Method

if TYPE_CHECKING:
    from torch import Tensor


def scores(
    sizes: Sequence[Tensor], before: Sequence[Tensor], edges: Tensor | None, strength: float, **schedule: Any
) -> list[Tensor]:
    """The sizes of the weights."""
    del before, edges, strength, schedule
    return list(sizes)


def weights_left(size: int, strength: float, iterations: int, **schedule: Any) -> dict[int, int]:
    """Weights of a layer that the schedule leaves, by iteration; it ends where a share `strength` is pruned."""
    return pruning.weights_left(size, strength, iterations, **schedule)


METHOD = Method(
    "imp",
    "smallest weights pruned step by step",
    strength="the largest share of each layer's weights that is pruned: the schedule stops there. 0 prunes nothing, 1 "
    "follows the schedule to its end (.959 as published). With one network per target only of what leads from the "
    "sources, where an edge is gone once all of its weights are",
    largest_strength=1.0,
    scores=scores,
    weights_left=weights_left,
    problem=pruning.schedule_problem,
    options=pruning.SCHEDULE,
)
