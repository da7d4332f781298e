"""L0: the expected share of open gates (Louizos, Welling & Kingma 2018, arXiv 1712.01312, equation 12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sparsenode.methods import Method

if TYPE_CHECKING:
    from torch import Tensor


def penalty(
    weights: Sequence[Tensor], open_probability: Sequence[Tensor], *, per_entry: bool
) -> list[tuple[float, Tensor]]:
    """Mean over all weights of the probability that the weight is open, (member,)."""
    del weights, per_entry
    total = open_probability[0].sum((1, 2))
    for probability in open_probability[1:]:
        total = total + probability.sum((1, 2))
    count = sum(probability.shape[1] * probability.shape[2] for probability in open_probability)
    return [(1.0, total / count)]


METHOD = Method("l0", "expected share of open weights", gated=True, penalty=penalty)
