"""Error beside the unregularized members' over noise and sampling: a heat map for each method and level of distance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sparsenode.data.distances import LEVEL_NAMES
from sparsenode.evaluation.study.effects import paired_values
from sparsenode.evaluation.study.tables import ERROR, VALIDATION
from sparsenode.figures import style
from sparsenode.figures.study.shared import mean_over_systems, refuse_empty

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LEAST_RANGE = np.log(1.25)
"""Colors reach at least this far from a ratio of 1, so that what hardly differs looks so."""


def draw(long: pd.DataFrame) -> Figure:
    """A row of panels for each method and a column for each level; blue is better than the unregularized members."""
    from matplotlib.figure import Figure

    paired = paired_values(long[long["choice"] == VALIDATION], ERROR, "ratio")
    refuse_empty(paired, "errors of methods beside those of unregularized members")
    methods = style.method_order(paired["method"])
    levels = sorted(paired["distance"].unique())
    keys = ["method", "distance", "noise", "share_kept"]
    means = mean_over_systems(paired, "effect", keys)
    noises, shares = (sorted(means[name].unique()) for name in ("noise", "share_kept"))
    limit = max(LEAST_RANGE, float(np.quantile(np.abs(means["effect"]), 0.95)))
    figure = Figure(figsize=(1.6 + 1.7 * len(levels), 0.9 + 1.5 * len(methods)), layout="constrained")
    grid = figure.subplots(len(methods), len(levels), squeeze=False)
    for method, panels in zip(methods, grid, strict=True):
        for level, axes in zip(levels, panels, strict=True):
            rows = means[(means["method"] == method) & (means["distance"] == level)]
            cells = rows.pivot(index="noise", columns="share_kept", values="effect").reindex(noises, columns=shares)
            image = style.draw_heat_map(
                axes, cells.to_numpy(), mask=cells.isna().to_numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit,
                annot=np.exp(cells.to_numpy()), fmt=".2f",
                xticklabels=[f"{share:g}" for share in shares], yticklabels=[f"{noise:g}" for noise in noises],
            )  # fmt: skip
            axes.set_facecolor(style.LIGHT_GRAY)
        panels[0].set_ylabel(f"{style.method_label(method)}\nnoise")
    for level, axes in zip(levels, grid[0], strict=True):
        axes.set_title(f"{level}: {LEVEL_NAMES[int(level)]}")
    for axes in grid[-1]:
        axes.set_xlabel("share of observations")
    bar = figure.colorbar(image, ax=grid, shrink=0.8)
    ticks = np.log([ratio for ratio in (0.1, 0.25, 0.5, 0.8, 1, 1.25, 2, 4, 10) if abs(np.log(ratio)) <= limit])
    bar.set_ticks(ticks, labels=[f"{np.exp(tick):.3g}" for tick in ticks])
    bar.set_label("error / that of unregularized members")
    systems = len(paired[["kind", "network"]].drop_duplicates())
    figure.suptitle(
        f"Error beside unregularized members of the same data and seed\ngeometric means over {systems} systems, "
        "at the strength chosen on validation; gray: not measured",
        x=0.01,
        ha="left",
    )
    return figure
