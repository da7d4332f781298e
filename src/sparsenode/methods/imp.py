"""Iterative magnitude pruning: the smallest weights go, step by step (Han et al. 2015, Frankle & Carbin 2019).

Its schedule is the one that DASH is compared with (Hossain et al. 2024, arXiv 2403.04805); it is `dash` with strength
0, and what is said there of a biological network and the published code holds here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from sparsenode.pruning import ScheduledPruner

if TYPE_CHECKING:
    from torch import Tensor


class MagnitudePruning(ScheduledPruner):
    """Prune the smallest weights."""

    summary: ClassVar[str] = "smallest weights pruned step by step"
    strength: ClassVar[str | None] = (
        "the largest share of each layer's weights that is pruned: the schedule stops there. 0 prunes nothing, 1 "
        "follows the schedule to its end (.959 as published). With one network per target, only weights from the "
        "sources are pruned, and an edge is gone once all of its weights are"
    )
    largest_strength: ClassVar[float] = 1.0
    # What is left falls by half a decade a step.
    whole_range: ClassVar[tuple[float, ...]] = (0.5, 0.842, 0.95, 0.984, 0.995, 0.999)

    def scores(
        self, sizes: Sequence[Tensor], before: Sequence[Tensor], edges: Tensor | None, strength: float
    ) -> list[Tensor]:
        """The sizes of the weights."""
        del before, edges, strength
        return list(sizes)

    def weights_left(self, size: int, strength: float, iterations: int) -> dict[int, int]:
        """Weights of a layer that the schedule leaves, by iteration; it ends where a share `strength` is pruned."""
        return self.left_by_schedule(size, strength, iterations)
