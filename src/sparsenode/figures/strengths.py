"""What each penalty strength costs in accuracy, and how many pairs of variables it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sparsenode.evaluation.results import Choice, models_of, pick
from sparsenode.figures import style
from sparsenode.figures.panels import (
    MOST_PANELS,
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
from sparsenode.figures.style import Look, StrengthAxis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sparsenode.evaluation.results import Results

BAND = 0.13


def read(results: Results) -> tuple[pd.DataFrame, Mapping[Key, Choice]]:
    """Read what `draw` takes."""
    return results.metrics, results.choices


def draw(dataset: str, metrics: pd.DataFrame, choices: Mapping[Key, Choice]) -> Figure:
    """For each model, of three at most, two panels with a line a method: error and pairs left, over the strength.

    Errors are multiples of that without a regularizer, since curves of several methods nearly coincide.
    """
    from matplotlib.lines import Line2D

    every, models = models_of(metrics), choose_models(metrics, choices, MOST_PANELS // 2)
    seeds = style.count_seeds(metrics)
    heading = [
        f"{dataset}: what each penalty strength costs, and what it leaves",
        f"lines: median over {seeds}; bands: their range; rings: strength chosen on validation",
        *describe_selection(len(models), len(every), "models"),
    ]
    panels = make_panels(2 * len(models), height=2.3, heading=heading)
    looks = style.looks(style.method_order(metrics["method"]))
    labels: dict[str, str] = {}
    has_trivial = has_plain = False
    for model, error_axes, left_axes in zip(models, panels.axes[::2], panels.axes[1::2], strict=True):
        errors, left = relative_errors(metrics, model, choices), paths_left(metrics, model)
        methods = methods_with_strengths(metrics, model)
        trained = pick(metrics, metric="seconds", model=model, method=methods)["strength"]
        axis = StrengthAxis(trained)
        for axes, table in ((error_axes, errors.table), (left_axes, left)):
            for method in methods:
                chosen = choices.get((model, method), Choice(None, "")).strength
                _draw_line(axes, axis, pick(table, method=method), looks[method], chosen)
            plain = pick(table, method="none")["value"]
            if len(plain) and "none" not in methods:
                has_plain = True
                axes.axhline(plain.median(), color=style.BLACK, linewidth=0.9, zorder=1)
            axis.draw(axes)
            axes.set_xlabel("penalty strength")
        trivial = draw_trivial(error_axes, errors.trivial)
        has_trivial = has_trivial or (np.isfinite(errors.trivial) and not trivial)
        labels |= {method: method_with_losses(metrics, model, method, choices) for method in methods}
        if not errors.table.empty:
            style.limit_errors(error_axes)
        name = f"{model}: " if len(models) > 1 else ""
        error_axes.set_title("\n".join(filter(None, [f"{name}{errors.split} error", trivial])))
        error_axes.set_ylabel(f"multiple of the error\n{errors.reference}")
        left_axes.set_title(f"{name}pairs left")
        left_axes.set_ylabel("pairs of variables\nwith a path (%)")
        left_axes.set_ylim(-4, 104)
    handles = [Line2D([], [], color=looks[method].color, marker=looks[method].marker) for method in labels]
    texts = list(labels.values())
    if has_plain:
        handles.append(Line2D([], [], color=style.BLACK, linewidth=0.9))
        texts.append("no regularizer")
    if has_trivial:
        handles.append(Line2D([], [], color=style.GRAY, linestyle=TRIVIAL_LINE, linewidth=1))
        texts.append(TRIVIAL)
    add_legend(panels, handles, texts, columns=3 if max(map(len, texts), default=0) < 24 else 2)
    return panels.figure


def methods_with_strengths(metrics: pd.DataFrame, model: str) -> list[str]:
    """Methods of a model that have strengths; all of them where none has."""
    trained = pick(metrics, metric="seconds", model=model)
    methods = style.method_order(trained["method"])
    return [method for method in methods if (pick(trained, method=method)["strength"] > 0).any()] or methods


def _draw_line(axes: Axes, axis: StrengthAxis, rows: pd.DataFrame, look: Look, chosen: float | None) -> None:
    """Median over seeds as a line, their range as a band, a ring at the chosen strength; strength 0 is a mark apart."""
    if rows.empty:
        return
    over = rows.groupby("strength")["value"].agg(["median", "min", "max"])
    positive = over[over.index > 0]
    line = {"color": look.color, "marker": look.marker, "markersize": 4}
    axes.plot(positive.index, positive["median"], linewidth=1.3, zorder=3, **line)
    axes.fill_between(positive.index, positive["min"], positive["max"], color=look.color, alpha=BAND, linewidth=0)
    if 0.0 in over.index:
        axes.plot(axis.place([0.0]), [over["median"].loc[0.0]], linestyle="none", zorder=3, **line)
    if chosen is not None and chosen in over.index:
        axes.plot(
            axis.place([chosen]), [over["median"].loc[chosen]], marker="o", markersize=10, markerfacecolor="none",
            markeredgecolor=look.color, markeredgewidth=1.4, linestyle="none", zorder=4, clip_on=False,
        )  # fmt: skip
