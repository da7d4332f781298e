"""What the study asks: claims of the paper in our words, and hypotheses of our own, each with a rule for its verdict.

The paper is Aliee et al., NeurIPS 2022, of whose text only the abstract was at hand. All that decides a verdict is in
this file, in `verdicts` and in `effects`, which were written before any result of the study was there.

Rules. A claim of an effect *holds* where the whole interval lies on its side of 0 and, where there are systems enough
for a rank test, this is below .05 after Holm's correction over the rows of its claim; *the opposite holds* where the
same is true of the other side; there is *no difference* where the whole interval is within the margin; else it is
*undecided*. A claim that there is no effect *holds* where the interval excludes an effect of the margin or more, *does
not hold* where the whole interval is beyond the margin, and is *undecided* otherwise. With fewer than six systems all
is *undecided*, since no rank test could tell, but for single kinds of systems: with three networks or more these are
judged by the interval only, and what is said of them is a hint.

At the strength of the best value by the truth there is no test: it is the best of several strengths by the values that
are measured, and the unregularized members have one, so that the effect is too large in the method's favor. There a
claim of an effect is answered by *at best* and the number; only that there is no effect may *hold*, in spite of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sparsenode.errors import UserError, nearest_names
from sparsenode.evaluation.study.tables import ERROR, NO_DISTANCE, Scale

if TYPE_CHECKING:
    import pandas as pd

WEIGHT_SPARSITY = ("l1", "l0", "imp")
FEATURE_SPARSITY = ("pathreg", "cnode", "grouplasso", "grouplasso_adaptive", "lassonet")
RATIO_MARGIN = math.log(1.1)
"""Errors that differ by less than a tenth count as alike."""
SHARE_MARGIN = 0.05
"""So do areas and shares that differ by less than this."""
HOLDS, OPPOSITE, NO_DIFFERENCE, UNDECIDED = "holds", "the opposite holds", "no difference", "undecided"
FAILS, NOT_MEASURED, AT_BEST = "does not hold", "not measured", "at best"

Direction = Literal["less", "greater", "not less", "not greater"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim about what a method does to a quantity, beside the unregularized members.

    Attributes:
        text: the claim in our words.
        origin: `paper` or `own`.
        metric: the quantity.
        scale: how it is compared.
        methods: those that the claim is about; those that a table has are taken.
        distances: levels of distance, each a row of its own.
        direction: what is claimed of the method's quantity; `not less` and `not greater` claim that there is no effect.
        margin: the least effect that matters.
        under: conditions that the claim is about, in words.
        condition: which rows these are, from the columns of the conditions.
        is_association: the claim is that, over systems, a method's gain in the quantity goes with its gain in AUPRC.
    """

    text: str
    origin: Literal["paper", "own"]
    metric: str
    scale: Scale
    methods: tuple[str, ...]
    distances: tuple[int, ...]
    direction: Direction
    margin: float
    under: str = "all conditions"
    condition: Callable[[Any], Any] | None = None
    is_association: bool = False


def _noisy_or_irregular(table: pd.DataFrame) -> pd.Series:
    return (table["noise"] > 0) | (table["share_kept"] < 1)


CLAIMS: Mapping[str, Claim] = {
    "weight_sparsity_forecasting": Claim(
        text="Weight sparsity helps forecasting under noise and irregular sampling",
        origin="paper",
        metric=ERROR,
        scale="ratio",
        methods=WEIGHT_SPARSITY,
        distances=(0, 1, 2),
        direction="less",
        margin=RATIO_MARGIN,
        under="noise, or observations left out",
        condition=_noisy_or_irregular,
    ),
    "weight_sparsity_spurious": Claim(
        text="Weight sparsity does not keep models from spurious dependencies",
        origin="paper",
        metric="spurious",
        scale="difference",
        methods=WEIGHT_SPARSITY,
        distances=(NO_DISTANCE,),
        direction="not less",
        margin=SHARE_MARGIN,
    ),
    "weight_sparsity_interventions": Claim(
        text="Models with weight sparsity forecast interventions no better than dense ones",
        origin="paper",
        metric=ERROR,
        scale="ratio",
        methods=WEIGHT_SPARSITY,
        distances=(5,),
        direction="not less",
        margin=RATIO_MARGIN,
    ),
    "weight_sparsity_dynamics": Claim(
        text="Weight sparsity does not show the true dynamics",
        origin="paper",
        metric="auprc",
        scale="difference",
        methods=WEIGHT_SPARSITY,
        distances=(NO_DISTANCE,),
        direction="not greater",
        margin=SHARE_MARGIN,
    ),
    "feature_sparsity_dynamics": Claim(
        text="Feature sparsity helps to find sparse true dynamics",
        origin="paper",
        metric="auprc",
        scale="difference",
        methods=FEATURE_SPARSITY,
        distances=(NO_DISTANCE,),
        direction="greater",
        margin=SHARE_MARGIN,
    ),
    "feature_sparsity_spurious": Claim(
        text="Feature sparsity keeps models from spurious dependencies",
        origin="paper",
        metric="spurious",
        scale="difference",
        methods=FEATURE_SPARSITY,
        distances=(NO_DISTANCE,),
        direction="less",
        margin=SHARE_MARGIN,
    ),
    "feature_sparsity_forecasting": Claim(
        text="Feature sparsity helps forecasting under noise and irregular sampling",
        origin="own",
        metric=ERROR,
        scale="ratio",
        methods=FEATURE_SPARSITY,
        distances=(0, 1, 2),
        direction="less",
        margin=RATIO_MARGIN,
        under="noise, or observations left out",
        condition=_noisy_or_irregular,
    ),
    "feature_sparsity_interventions": Claim(
        text="Models with feature sparsity forecast interventions better than dense ones",
        origin="own",
        metric=ERROR,
        scale="ratio",
        methods=FEATURE_SPARSITY,
        distances=(5,),
        direction="less",
        margin=RATIO_MARGIN,
    ),
    "sparsity_out_of_distribution": Claim(
        text="Sparsity helps forecasting out of distribution: from starts outside, and of a changed system",
        origin="own",
        metric=ERROR,
        scale="ratio",
        methods=WEIGHT_SPARSITY + FEATURE_SPARSITY,
        distances=(3, 4),
        direction="less",
        margin=RATIO_MARGIN,
    ),
    "gain_with_structure": Claim(
        text="The gain in forecasting goes with the correct structure, system by system",
        origin="own",
        metric=ERROR,
        scale="ratio",
        methods=WEIGHT_SPARSITY + FEATURE_SPARSITY,
        distances=(2, 3),
        direction="greater",
        margin=0.2,
        is_association=True,
    ),
}


def get_claim(name: str) -> Claim:
    """The claim of a name.

    Raises:
        UserError: there is none.
    """
    if name not in CLAIMS:
        message = f"the study has no claim {name!r}; the nearest: {nearest_names(name, CLAIMS)}"
        raise UserError(message)
    return CLAIMS[name]
