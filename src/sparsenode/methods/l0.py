"""L0: the expected share of open gates (Louizos, Welling & Kingma 2018, arXiv 1712.01312, equation 12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from sparsenode.methods import Penalty

if TYPE_CHECKING:
    from torch import Tensor


class OpenGates(Penalty):
    """Expected share of open gates."""

    summary: ClassVar[str] = "expected share of open weights"
    gated: ClassVar[bool] = True

    def penalty(
        self, weights: Sequence[Tensor], open_probability: Sequence[Tensor], *, per_entry: bool
    ) -> list[tuple[float, Tensor]]:
        """Mean over all weights of the probability that the weight is open, (member,)."""
        del per_entry
        counts = [weight[0].numel() for weight in weights]
        total = open_probability[0].flatten(1).mean(1) * counts[0]
        for probability, count in zip(open_probability[1:], counts[1:], strict=True):
            total = total + probability.flatten(1).mean(1) * count
        return [(1.0, total / sum(counts))]
