"""Input-output paths of a layered network. Imports torch for types alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def path_product(weights: Sequence[Tensor]) -> Tensor:
    """Product |W_1|...|W_L| (member, in, out): the summed strength of all paths from each input to each output."""
    product = weights[0].abs()
    for weight in weights[1:]:
        product = product @ weight.abs()
    return product


def mean_path(weights: Sequence[Tensor], *, per_entry: bool = False) -> Tensor:
    """Mean (member,) over all paths, hidden units included, of the product of non-negative weights along a path.

    With `per_entry`, the mean over the entries of the path matrix, in which paths through different hidden units
    are summed. Costs one matrix-vector product per layer; the matrix of paths is never formed.
    """
    total = weights[-1].sum(2, keepdim=True)
    for weight in reversed(weights[:-1]):
        total = weight @ total
    count = weights[0].shape[1] * weights[-1].shape[2]
    if not per_entry:
        for weight in weights[:-1]:
            count *= weight.shape[2]
    return total.sum((1, 2)) / count
