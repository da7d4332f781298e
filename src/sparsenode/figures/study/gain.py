"""Gain in forecasting against gain in correct structure, a dot a system."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sparsenode.data.distances import LEVEL_NAMES
from sparsenode.evaluation.study.effects import mean_by_system, paired_values
from sparsenode.evaluation.study.tables import ERROR, VALIDATION
from sparsenode.figures import style
from sparsenode.figures.study.shared import refuse_empty

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LEVELS = (2, 3)
_COLORS = (style.BLUE, style.ORANGE, style.GREEN, style.VERMILION, style.SKY, style.PURPLE, "#8C6D31", "#7A5195")


def draw(long: pd.DataFrame) -> Figure:
    """A column for each method and a row for each of two levels; colors are kinds of systems."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    chosen = long[long["choice"] == VALIDATION]
    errors = paired_values(chosen[chosen["distance"].isin(LEVELS)], ERROR, "ratio")
    areas = paired_values(chosen, "auprc", "difference")
    refuse_empty(errors, "errors of methods beside those of unregularized members")
    refuse_empty(areas, "structure of methods beside that of unregularized members")
    methods = style.method_order(errors["method"])
    levels = sorted(errors["distance"].unique())
    kinds = sorted(errors["kind"].unique())
    colors = {kind: _COLORS[number % len(_COLORS)] for number, kind in enumerate(kinds)}
    figure = Figure(figsize=(1.8 + 2.3 * len(methods), 0.9 + 2.2 * len(levels)), layout="constrained")
    grid = figure.subplots(len(levels), len(methods), squeeze=False, sharex=True, sharey=True)
    for level, panels in zip(levels, grid, strict=True):
        for method, axes in zip(methods, panels, strict=True):
            of_level = errors[(errors["method"] == method) & (errors["distance"] == level)]
            gain = -mean_by_system(of_level)
            area = mean_by_system(areas[areas["method"] == method])
            common = gain.index.intersection(area.index)
            for kind in kinds:
                mine = common[common.get_level_values("kind") == kind]
                axes.plot(
                    area.loc[mine], np.exp(gain.loc[mine]), color=colors[kind], marker="o", linestyle="none",
                    markersize=4, alpha=0.8, label=kind.replace("_", " "),
                )  # fmt: skip
            axes.axhline(1.0, color=style.LIGHT_GRAY, zorder=0)
            axes.axvline(0.0, color=style.LIGHT_GRAY, zorder=0)
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panels[0].set_ylabel(f"{LEVEL_NAMES[int(level)]}:\ntimes less error")
    for method, axes in zip(methods, grid[0], strict=True):
        axes.set_title(style.method_label(method))
    for axes in grid[-1]:
        axes.set_xlabel("gain in AUPRC")
    grid[0, -1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
    figure.suptitle(
        "Does the gain in forecasting go with the correct structure?\na dot a system, over all conditions, beside its "
        "unregularized members; at the strength chosen on validation",
        x=0.01,
        ha="left",
    )
    return figure
