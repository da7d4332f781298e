"""PathReg: penalize input-output paths and the probability that they are open (Aliee et al., NeurIPS 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sparsenode.methods import Method
from sparsenode.paths import mean_path

if TYPE_CHECKING:
    from torch import Tensor


def penalty(
    weights: Sequence[Tensor], open_probability: Sequence[Tensor], *, per_entry: bool, kappa: float = 0.1
) -> list[tuple[float, Tensor]]:
    """Mean over paths of the absolute path weight, and `kappa` times the mean probability that a path is open.

    Shapes: `weights[l]` (without gates, as in the study) (member, in_l, out_l), `open_probability[l]` the same or
    (member, in_l, 1) for gates on units; terms (member,). A mean over paths, hidden units included, so that width does
    not change the scale; where `per_entry` the study's mean over entries of the path matrix. A larger `kappa` (0.1 to
    10) closes gates sooner than it shrinks weights.
    """
    return [
        (1.0, mean_path([weight.abs() for weight in weights], per_entry=per_entry)),
        (kappa, mean_path(open_probability, per_entry=per_entry)),
    ]


METHOD = Method(
    "pathreg",
    "mean strength of paths and probability that they are open",
    gated=True,
    penalty=penalty,
    options={
        "kappa": {
            "type": "number",
            "minimum": 0,
            "default": 0.1,
            "description": "weight of the probability that a path is open, beside the strength of the path",
        }
    },
)
