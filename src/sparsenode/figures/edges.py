"""Tested edges: what leaving out each source costs, with its interval, ordered by q-value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sparsenode.evaluation.edges import read_test
from sparsenode.figures import style
from sparsenode.figures.names import name_labels
from sparsenode.inference.results import CONTRADICTED, FORBIDDEN, NEEDED, NO_EVIDENCE, REQUIRED, UNTOLD

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from sparsenode.evaluation.results import Results
    from sparsenode.inference import EdgeTest

MOST_ROWS = 40
"""Edges that are drawn at most."""
_ROW = 0.17
"""Height of a row, in inches."""
_REQUIRED_IN_VAIN = "required, contradicted"
_KINDS = {
    NEEDED: (style.BLUE, "o", style.BLUE),
    UNTOLD: (style.ORANGE, "s", "white"),
    REQUIRED: (style.PURPLE, "D", style.PURPLE),
    _REQUIRED_IN_VAIN: (style.PURPLE, "D", "white"),
    NO_EVIDENCE: (style.GRAY, "o", "white"),
}
"""Color, marker and filling of each kind of verdict, in the order of the legend."""
_SIGNS = {1: "→", -1: "⊣", 0: "?"}


def read(results: Results) -> tuple[EdgeTest]:
    """Read what `draw` takes."""
    return (read_test(results.files["edges"]),)


def drawn_rows(test: EdgeTest) -> pd.DataFrame:
    """The edges that are drawn: of all by q-value, then p-value, then the size of the effect, the first ones.

    Edges that no model was allowed to have are left out.
    """
    table = test.table[test.table["effect"].notna() & (test.table["verdict"] != FORBIDDEN)]
    order = np.lexsort([-table["effect"], table["p"].fillna(1.0), table["q"].fillna(1.0)])
    return table.iloc[order].head(MOST_ROWS)


def draw(dataset: str, test: EdgeTest) -> Figure:
    """A row for each edge: effect and interval; the color tells the verdict, the arrow the sign."""
    from matplotlib.figure import Figure

    table = drawn_rows(test)
    count = len(table)
    figure = Figure(figsize=(6.0, _ROW * max(count, 4) + 1.6), layout="constrained")
    axes = figure.subplots()
    labels = name_labels(test.targets["target"], most=16)
    kinds = [_kind(str(verdict)) for verdict in table["verdict"]]
    positions = np.arange(count)
    for kind, (color, marker, filling) in _KINDS.items():
        of_kind = np.array([entry == kind for entry in kinds], bool)
        if not of_kind.any():
            continue
        rows = table[of_kind]
        effect, lower, upper = (rows[name].to_numpy(np.float64) for name in ("effect", "lower", "upper"))
        axes.errorbar(
            effect,
            positions[of_kind],
            xerr=np.array([effect - lower, upper - effect]),
            color=color,
            marker=marker,
            markerfacecolor=filling,
            linestyle="none",
            elinewidth=1.0,
            label=kind,
        )
    axes.axvline(0.0, color=style.LIGHT_GRAY, linewidth=0.8, zorder=0)
    names = [
        f"{labels[source]} {_SIGNS[sign]} {labels[target]}"
        for source, sign, target in zip(
            table["source"].tolist(), table["sign"].tolist(), table["target"].tolist(), strict=True
        )
    ]
    axes.set_yticks(positions, names)
    axes.set_ylim(max(count, 4) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    for position, q in zip(positions, table["q"], strict=True):
        axes.annotate(
            "" if np.isnan(q) else f"{q:.1g}" if q < 0.1 else f"{q:.2f}",
            (1.02, position),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize="small",
            color=style.BLACK if q <= test.settings.fdr else style.GRAY,
            annotation_clip=False,
        )
    if count:
        axes.annotate("q", (1.02, -1.0), xycoords=("axes fraction", "data"), va="center", annotation_clip=False)
        axes.legend(loc="upper left", bbox_to_anchor=(1.12, 1.0))
    else:
        axes.text(0.5, 0.5, "nothing was tested", transform=axes.transAxes, ha="center", va="center")
    axes.set_xlabel(
        "effect: log increase of the error of held-out observations without the source\n"
        f"(bars: {100 * test.settings.coverage:.3g} % intervals over blocks)"
    )
    figure.suptitle(_title(dataset, test, count))
    return figure


def _kind(verdict: str) -> str:
    """What kind of verdict one is: all that begin with "required" are one kind, but for those that data contradict."""
    if verdict == CONTRADICTED:
        return _REQUIRED_IN_VAIN
    return REQUIRED if verdict.startswith(REQUIRED) else verdict


def _title(dataset: str, test: EdgeTest, drawn: int) -> str:
    table = test.table
    selected, untold = int(table["selected"].sum()), int((table["verdict"] == UNTOLD).sum())
    lines = [
        f"{dataset}: {selected} of {len(table)} edges are needed, given the other measured variables\n"
        f"(false discovery rate {test.settings.fdr:g}" + (f"; {untold} cannot be told)" if untold else ")")
    ]
    if left_out := len(table) - drawn:
        lines.append(f"drawn are the {drawn} of the smallest q-values, {left_out} others are left out")
    return "\n".join(lines)
