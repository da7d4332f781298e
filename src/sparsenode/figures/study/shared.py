"""What figures of the study share: means over systems in the order of their intervals, words, and empty panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sparsenode.errors import UserError
from sparsenode.evaluation.study.tables import SYSTEM
from sparsenode.figures import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def mean_over_systems(rows: pd.DataFrame, column: str, by: Sequence[str]) -> pd.DataFrame:
    """Mean of a column over kinds, in each over networks, in each over what else there is, for each group.

    Args:
        rows: rows of a long or of a paired table.
        column: what is averaged.
        by: columns of the groups, none of `SYSTEM`.
    """
    keys = list(by)
    table = rows.groupby([*keys, *SYSTEM], sort=True)[column].mean()
    return table.groupby([*keys, "kind"]).mean().groupby(keys).mean().reset_index()


def refuse_empty(rows: pd.DataFrame, what: str) -> None:
    """Check that there is something to draw.

    Raises:
        UserError: there is nothing.
    """
    if rows.empty:
        message = f"the long table of the study has no {what}, so that there is nothing to draw"
        raise UserError(message)


def draw_means(axes: Axes, rows: pd.DataFrame, x: str, column: str, *, is_logarithm: bool = False) -> None:
    """Draw a line a method through means over systems, at the different numbers of `x` in their order.

    Args:
        axes: panel to draw in.
        rows: rows of a long table.
        x: column of the places.
        column: what is averaged.
        is_logarithm: whether that is a logarithm to base ten of what is drawn.
    """
    places = sorted(rows[x].unique())
    looks = style.looks(style.method_order(rows["method"]))
    for method, look in looks.items():
        means = mean_over_systems(rows[rows["method"] == method], column, [x])
        at = [places.index(value) for value in means[x]]
        axes.plot(
            at, 10 ** means[column] if is_logarithm else means[column], color=look.color, marker=look.marker,
            markeredgecolor="white", markeredgewidth=0.5, label=style.method_label(method),
        )  # fmt: skip
    axes.set_xticks(np.arange(len(places)), [f"{place:g}" for place in places])
