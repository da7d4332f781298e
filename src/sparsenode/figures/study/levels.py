"""Error over the level of distance, for all methods, beside trivial forecasts and the unchanged system."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sparsenode.data.distances import LEVEL_NAMES
from sparsenode.evaluation.study.rows import UNCHANGED
from sparsenode.evaluation.study.tables import ERROR, RAN_AWAY, VALIDATION
from sparsenode.figures import style
from sparsenode.figures.study.shared import draw_means, mean_over_systems, refuse_empty
from sparsenode.labels import BASELINE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def draw(long: pd.DataFrame) -> Figure:
    """For each architecture a column: the error above, the share of forecasts that ran away below."""
    from matplotlib.figure import Figure

    chosen = long[long["choice"] == VALIDATION]
    errors = chosen[chosen["metric"] == ERROR]
    refuse_empty(errors, f"errors ({ERROR})")
    errors = errors.assign(value=np.log10(errors["value"]))
    lost = chosen[chosen["metric"] == RAN_AWAY]
    trivial = _trivial(long)
    unchanged = long[(long["method"] == UNCHANGED) & (long["metric"] == ERROR)]
    models = list(dict.fromkeys(errors["model"]))
    figure = Figure(figsize=(2.2 + 3.4 * len(models), 6.4), layout="constrained")
    grid = figure.subplots(2, len(models), squeeze=False, sharex="col", sharey="row", height_ratios=(2, 1))
    for model, (above, below) in zip(models, grid.T, strict=True):
        mine = errors[errors["model"] == model]
        draw_means(above, mine, "distance", "value", is_logarithm=True)
        draw_means(below, lost[lost["model"] == model], "distance", "value")
        places = sorted(mine["distance"].unique())
        trivial_means = mean_over_systems(trivial[trivial["distance"].isin(places)], "value", ["distance"])
        above.plot(
            [places.index(level) for level in trivial_means["distance"]], 10 ** trivial_means["value"],
            color=style.GRAY, linestyle=":", label="best trivial forecast",
        )  # fmt: skip
        if len(unchanged):
            level = int(unchanged["distance"].iloc[0])
            value = mean_over_systems(unchanged.assign(value=np.log10(unchanged["value"])), "value", ["distance"])
            above.plot(
                [places.index(level)], 10 ** value["value"], color=style.GRAY, marker="_", markersize=14,
                linestyle="none", label="true system, unchanged",
            )  # fmt: skip
        above.set_title(f"model {model}")
        below.set_xticks(range(len(places)), [f"{level}: {LEVEL_NAMES[int(level)]}" for level in places], rotation=90)
        below.set_ylim(-0.03, max(0.1, below.get_ylim()[1]))
    grid[0, 0].set_ylabel("squared error, training deviation²")
    grid[0, 0].set_yscale("log")
    style.label_powers(grid[0, 0].yaxis)
    grid[1, 0].set_ylabel("share of forecasts\nthat ran away")
    grid[0, -1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
    systems = len(errors[["kind", "network"]].drop_duplicates())
    figure.suptitle(
        f"Error over the level of distance from the training data\nmeans of logarithms over {systems} systems and all "
        "conditions, at the strength chosen on validation",
        x=0.01,
        ha="left",
    )
    return figure


def _trivial(long: pd.DataFrame) -> pd.DataFrame:
    """The least error of a trivial forecast on each dataset and phase, as a logarithm."""
    rows = long[long["method"].str.startswith(BASELINE) & (long["metric"] == ERROR)]
    keys = ["kind", "network", "dataset", "distance", "phase"]
    return rows.assign(value=np.log10(rows["value"])).groupby(keys, sort=True)["value"].min().reset_index()
