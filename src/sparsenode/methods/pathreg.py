"""PathReg: penalize input-output paths and the probability that they are open (Aliee et al., NeurIPS 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from sparsenode.dynamics.paths import mean_path
from sparsenode.methods import Penalty

if TYPE_CHECKING:
    from torch import Tensor


class PathReg(Penalty):
    """Mean strength of paths, and probability that they are open."""

    summary: ClassVar[str] = "mean strength of paths and probability that they are open"
    gated: ClassVar[bool] = True

    kappa: float = Field(
        0.1, ge=0, description="weight of the probability that a path is open, beside the strength of the path"
    )

    def penalty(
        self, weights: Sequence[Tensor], open_probability: Sequence[Tensor], *, per_entry: bool
    ) -> list[tuple[float, Tensor]]:
        """Mean over paths of the absolute path weight, and `kappa` times the mean probability that a path is open.

        A mean over paths, hidden units included, so that width does not change the scale; where `per_entry` the study's
        mean over entries of the path matrix. A larger `kappa` (0.1 to 10) closes gates sooner than it shrinks weights.

        Args:
            weights: of each layer (member, in, out), without gates, as in the study.
            open_probability: of each layer, the same, or (member, in, 1) for gates on units.
            per_entry: whether the means are over entries.
        """
        return [
            (1.0, mean_path([weight.abs() for weight in weights], per_entry=per_entry)),
            (self.kappa, mean_path(open_probability, per_entry=per_entry)),
        ]
