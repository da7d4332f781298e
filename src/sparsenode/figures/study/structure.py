"""Correctness of the learned networks over noise and over the amount of data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsenode.evaluation.study.tables import CONDITIONS, VALIDATION
from sparsenode.figures.study.shared import draw_means, refuse_empty

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PANELS = {
    "auprc": "AUPRC",
    "spurious": "absent pairs\nthat are connected",
    "sign_errors": "wrong signs among\ntrue edges found",
}
AXES = {
    "noise": "noise, share of the deviation",
    "share_kept": "share of observations",
    "trajectories": "training trajectories",
}


def draw(long: pd.DataFrame) -> Figure:
    """A row of panels for each quantity and a column for each condition; what varies besides is held at its center."""
    from matplotlib.figure import Figure

    rows = long[(long["choice"] == VALIDATION) & long["metric"].isin(list(PANELS))]
    refuse_empty(rows, "structure of learned networks")
    center = centers(rows)
    panels = [name for name in PANELS if (rows["metric"] == name).any()]
    figure = Figure(figsize=(2.0 + 2.5 * len(AXES), 0.9 + 2.0 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), len(AXES), squeeze=False, sharey="row", sharex="col")
    for metric, row in zip(panels, grid, strict=True):
        for condition, axes in zip(AXES, row, strict=True):
            here = rows[rows["metric"] == metric]
            for other, value in center.items():
                here = here if other == condition else here[here[other] == value]
            # Architectures are averaged: a method has one, but for the unregularized one.
            draw_means(axes, here, condition, "value")
        row[0].set_ylabel(PANELS[metric])
    for axes, label in zip(grid[-1], AXES.values(), strict=True):
        axes.set_xlabel(label)
    grid[0, -1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
    at = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in center.items())
    figure.suptitle(
        f"What the learned networks show\nmeans over systems; what is not on the axis is at its center ({at})",
        x=0.01,
        ha="left",
    )
    return figure


def centers(rows: pd.DataFrame) -> dict[str, float]:
    """The value of each condition that most datasets have, the smaller of two that are as frequent."""
    datasets = rows.drop_duplicates("dataset")
    return {name: float(datasets[name].mode().min()) for name in CONDITIONS}
