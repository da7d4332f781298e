"""What a test of edges gives: tables of pairs, of targets and of groups, and words for them. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sparsenode.errors import UserError, some_of

if TYPE_CHECKING:
    import pandas as pd

    from sparsenode.data.trajectories import Floats
    from sparsenode.inference.settings import EdgeTestSettings

NEEDED, NO_EVIDENCE, UNTOLD, FORBIDDEN = "needed", "no evidence", "cannot be told", "forbidden"
REQUIRED, UNSUPPORTED = "required", "required, without evidence"
CONTRADICTED = "required, but held-out observations are forecast better without it"
_NAMED = 5  # names listed in a summary
CONDITIONS = (
    "needed means needed given the other measured variables: hidden common causes, synchronized variables and times "
    "made from the same variables can make an absent edge needed; on cells all p-values are conditional on the "
    "pseudotime"
)
"""What every result of the test has to be read with."""


@dataclass(frozen=True, kw_only=True)
class EdgeTest:
    """Which edges are needed, given the other measured variables.

    Hidden common causes, synchronized variables and times that were made from the same variables (a pseudotime) can
    make an absent edge needed. On cells all p-values are conditional on the pseudotime.

    Attributes:
        table: a row for each ordered pair of different variables, the largest effect first: `source`, `target`,
            `effect` (mean log increase of the error of held-out observations when the source is left out), `lower` and
            `upper` (its interval), `sign` (of the mean derivative of the target's rate by the source; 0 where it was no
            candidate), `sign_share` (of the states that have it), `p`, `q` (Benjamini and Hochberg), `q_dependent`
            (Benjamini and Yekutieli), `screened` (share of the folds in which the source was a candidate), `group`
            (what it can stand in for, such as "one of A, B"; empty for none), `selected` (q at most the rate of the
            settings), `verdict`.
        self_effects: the same for what variables do to themselves, with q-values of their own.
        groups: of inputs that were also left out together: `sources`, `target`, `effect`, `lower`, `upper`, `p`, `q`.
        targets: of each variable: `unexplained` (share of its variance that forecasts of held-out windows leave),
            `misfit` (share of the training residuals that is no white noise), `deviations` (how far it is from none,
            in standard deviations), `margin` (effect that a misfit of this size could make) and `verdict`.
        blocks: number of independent blocks.
        reason: why nothing can be told; empty otherwise.
        settings: how it was tested.
    """

    table: pd.DataFrame
    self_effects: pd.DataFrame
    groups: pd.DataFrame
    targets: pd.DataFrame
    blocks: int
    reason: str
    settings: EdgeTestSettings

    def edges(self, fdr: float | None = None, *, dependent: bool = False) -> pd.DataFrame:
        """The edges whose false discovery rate is at most `fdr`, the largest effect first.

        Args:
            fdr: expected share of absent edges among those that are returned, .05 to .2; that of the settings where it
                is None.
            dependent: whether p-values may depend on each other in any way (Benjamini and Yekutieli).

        Raises:
            UserError: the rate is not between 0 and 1.
        """
        fdr = self.settings.fdr if fdr is None else fdr
        if not 0 < fdr < 1:
            raise UserError(f"fdr: found {fdr}; allowed: a number between 0 and 1, such as 0.1")
        rows = self.table["q_dependent" if dependent else "q"] <= fdr
        return self.table[rows].reset_index(drop=True)

    def kept_edges(self) -> pd.DataFrame:
        """What a sparse model has: the selected edges and those that every model was required to have."""
        required = self.table["verdict"].isin((REQUIRED, UNSUPPORTED, CONTRADICTED))
        return self.table[self.table["selected"] | required].reset_index(drop=True)

    def doubts(self) -> list[str]:
        """What cannot be told and why, and what the data contradict, a sentence each; none where all is told."""
        untold = self.table[self.table["verdict"] == UNTOLD]
        lines = []
        if self.reason:
            lines.append(f"nothing can be told: {self.reason}")
        elif len(untold):
            targets = list(dict.fromkeys(untold["target"]))
            lines.append(
                f"{len(untold)} edges into {some_of(targets)} cannot be told: more than noise is left of these, and an "
                "absent input may help to mend that"
            )
        contradicted = self.table[self.table["verdict"] == CONTRADICTED]
        lines += [
            f"the edge from {row.source} to {row.target} is required, and held-out observations are forecast better "
            "without it"
            for row in contradicted.itertuples()
        ]
        groups = sorted(set(self.table["group"]) - {""})
        if groups:
            lines.append(f"inputs that can stand in for each other: {'; '.join(groups[:_NAMED])}")
        return lines

    def summary(self, fdr: float | None = None) -> str:
        """What came out, in words."""
        edges = self.edges(fdr)
        rate = self.settings.fdr if fdr is None else fdr
        untold = int((self.table["verdict"] == UNTOLD).sum())
        lines = [
            f"{len(edges)} of {len(self.table)} edges are needed, given the other measured variables, at a false "
            f"discovery rate of {rate:g}" + (f"; {untold} cannot be told" if untold else ""),
            *self.doubts(),
        ]
        misfits = self.targets.loc[self.targets["margin"] > 0, "target"].tolist()
        if misfits and not self.reason:
            lines.append(
                f"more than noise is left of {len(misfits)} variables, so that small effects tell nothing: "
                f"{some_of(misfits)}"
            )
        return "\n".join([*lines, CONDITIONS])


def mask_unscreened(table: pd.DataFrame) -> pd.DataFrame:
    """A table of pairs with `effect` and `sign` NaN where the source was a candidate in no fold: none was measured."""
    is_tested = table["screened"] > 0
    return table.assign(effect=table["effect"].where(is_tested), sign=table["sign"].where(is_tested))


def order_effects(effects: Floats) -> Floats:
    """What pairs are ranked by: their effects, and -inf, less than any effect, where there is none (NaN)."""
    return np.nan_to_num(effects, nan=-np.inf)
