"""L1: the sum of absolute weights, by a proximal step, since under Adam only no weight becomes zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from sparsenode.methods import WeightProximal

if TYPE_CHECKING:
    from torch import Tensor


class AbsoluteWeights(WeightProximal):
    """Sum of absolute weights."""

    summary: ClassVar[str] = "sum of absolute weights, proximal"

    def size(self, weights: Sequence[Tensor], *, per_entry: bool) -> Tensor:
        """Sum (member,) of the absolute weights; their mean where `per_entry`."""
        total = weights[0].abs().flatten(1).sum(1)
        for weight in weights[1:]:
            total = total + weight.abs().flatten(1).sum(1)
        return total / (sum(weight[0].numel() for weight in weights) if per_entry else 1)

    def proximal(self, weights: Sequence[Tensor], step_sizes: Sequence[Tensor], strength: Tensor) -> tuple[Tensor, ...]:
        """Shrink every weight toward zero by its own step size times the strength, and stop there.

        The step size is the optimizer's for that weight: the proximal operator in the metric of Adam (ProxGen, Yun et
        al. 2021), whose fixed point is that of the penalized loss. With one step size for all it would not be.
        """
        scale = strength.view(-1, *[1] * (weights[0].dim() - 1))
        return tuple(
            weight.sign() * (weight.abs() - step * scale).clamp(min=0.0)
            for weight, step in zip(weights, step_sizes, strict=True)
        )
