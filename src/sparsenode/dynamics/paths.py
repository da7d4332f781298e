"""Input-output paths of a layered network. Imports torch only for types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def path_product(weights: Sequence[Tensor]) -> Tensor:
    """Product |W_1|...|W_L| (..., in, out): the summed strength of all paths from each input to each output."""
    product = weights[0].abs()
    for weight in weights[1:]:
        product = product @ weight.abs()
    return product


def mean_path(weights: Sequence[Tensor], *, per_entry: bool = False) -> Tensor:
    """Mean (member,) over all paths, hidden units included, of the product of non-negative weights along a path.

    `weights[l]` are (member, in_l, out_l), or (member, in_l, 1) where an input has one value for all its outputs; with
    one network per target, (member, target, in_l, out_l).
    With `per_entry`, the mean over the entries of the path matrix, in which paths through different hidden units
    are summed. Costs one matrix-vector product per layer; the matrix of paths is never formed.
    """
    mean = weights[-1].mean(-1, keepdim=True)
    count = 1
    for weight in reversed(weights[:-1]):
        hidden = mean.shape[-2]
        count *= hidden
        mean = weight * mean.mean(-2, keepdim=True) if weight.shape[-1] == 1 else weight @ mean / hidden
    return mean.flatten(1).mean(1) * (count if per_entry else 1)
