"""C-NODE: penalize the strength of input-output paths (Aliee, Theis & Kilbertus 2021, arXiv 2106.12430)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from sparsenode.dynamics.paths import mean_path
from sparsenode.methods import Penalty

if TYPE_CHECKING:
    from torch import Tensor


class PathStrength(Penalty):
    """Mean strength of the paths from inputs to outputs."""

    summary: ClassVar[str] = "mean strength of input-output paths"
    empties: ClassVar[bool] = False

    def penalty(
        self, weights: Sequence[Tensor], open_probability: Sequence[Tensor], *, per_entry: bool
    ) -> list[tuple[float, Tensor]]:
        """Mean over paths of |W_1|...|W_L|, (member,); over the entries of the path matrix where `per_entry`.

        Smooth: paths become small and not zero, so read its sparsity at a threshold.
        """
        del open_probability
        return [(1.0, mean_path([weight.abs() for weight in weights], per_entry=per_entry))]
