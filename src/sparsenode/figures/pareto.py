"""Error against sparsity: what accuracy of forecasts each method pays for a sparser network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sparsenode.evaluation.results import Choice, models_of, pick
from sparsenode.figures import style
from sparsenode.figures.panels import (
    TRIVIAL,
    TRIVIAL_LINE,
    Key,
    add_legend,
    choose_models,
    describe_selection,
    draw_trivial,
    make_panels,
    method_with_losses,
    paths_left,
    relative_errors,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sparsenode.evaluation.results import Results

APART = 2.4
"""Percent of pairs by which neighboring methods are set apart, so that symbols at one place are all seen."""


def read(results: Results) -> tuple[pd.DataFrame, Mapping[Key, Choice]]:
    """Read what `draw` takes."""
    return results.metrics, results.choices


def draw(dataset: str, metrics: pd.DataFrame, choices: Mapping[Key, Choice]) -> Figure:
    """A panel for each model, of six at most: error over the share of pairs without a path, one line a method."""
    from matplotlib.lines import Line2D

    every, models = models_of(metrics), choose_models(metrics, choices)
    looks = style.looks(style.method_order(metrics["method"]))
    heading = [
        f"{dataset}: error against sparsity; best is below and right",
        f"symbols: median over {style.count_seeds(metrics)} at each strength, joined in order of strength; "
        "filled: chosen on validation; methods are set apart sideways",
        *describe_selection(len(models), len(every), "models"),
    ]
    panels = make_panels(len(models), height=2.9, heading=heading)
    labels: dict[str, str] = {}
    has_trivial = False
    for number, (model, axes) in enumerate(zip(models, panels.axes, strict=True)):
        errors = relative_errors(metrics, model, choices)
        sparsity = paths_left(metrics, model)
        sparsity = sparsity.assign(value=100 - sparsity["value"])
        methods = style.method_order(pick(metrics, metric="seconds", model=model)["method"])
        shifts = dict(zip(methods, APART * (np.arange(len(methods)) - (len(methods) - 1) / 2), strict=True))
        for method in methods:
            chosen = choices.get((model, method), Choice(None, "")).strength
            members = pick(sparsity, method=method).merge(errors.table, on=["method", "strength", "seed"])
            _draw_method(axes, members, looks[method], chosen, shifts[method])
            labels[method] = method_with_losses(metrics, model, method, choices)
        trivial = draw_trivial(axes, errors.trivial)
        has_trivial = has_trivial or (np.isfinite(errors.trivial) and not trivial)
        if not errors.table.empty:
            style.limit_errors(axes)
        margin = 4 + APART * len(methods) / 2
        axes.set_xlim(-margin, 100 + margin)
        axes.set_xticks([0, 25, 50, 75, 100])
        axes.set_xlabel("pairs of variables\nwithout a path (%)")
        axes.set_title("\n".join(filter(None, [model if len(models) > 1 else "", trivial])))
        if number % 2 == 0:
            axes.set_ylabel(f"multiple of the {errors.split} error\n{errors.reference}")
    handles = [Line2D([], [], color=looks[name].color, marker=looks[name].marker, linewidth=1) for name in labels]
    texts = list(labels.values())
    if has_trivial:
        handles.append(Line2D([], [], color=style.GRAY, linestyle=TRIVIAL_LINE, linewidth=1))
        texts.append(TRIVIAL)
    add_legend(panels, handles, texts, columns=3 if max(map(len, texts), default=0) < 24 else 2)
    return panels.figure


def _draw_method(axes: Axes, members: pd.DataFrame, look: style.Look, chosen: float | None, shift: float) -> None:
    """Medians at each strength as hollow symbols, joined; the chosen one is filled and larger, with its range."""
    if members.empty:
        return
    middle = members.groupby("strength")[["value_x", "value_y"]].median().sort_index()
    x, y = middle["value_x"] + shift, middle["value_y"]
    axes.plot(
        x, y, color=look.color, marker=look.marker, markersize=4, markerfacecolor="white", linewidth=0.9, zorder=3
    )
    if chosen is not None and chosen in middle.index:
        values = members.loc[members["strength"] == chosen, "value_y"]
        axes.plot([x.loc[chosen]] * 2, [values.min(), values.max()], color=look.color, linewidth=0.9, zorder=3)
        axes.plot(
            [x.loc[chosen]], [y.loc[chosen]], marker=look.marker, markersize=7.5, color=look.color, linestyle="none",
            markeredgecolor="white", markeredgewidth=0.6, zorder=5,
        )  # fmt: skip
