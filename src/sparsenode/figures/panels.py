"""Which networks a figure shows where it has no room for all, its panels, and errors as figures compare them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd

from sparsenode.evaluation.remarks import least_trivial_error
from sparsenode.evaluation.results import Choice, error_split, models_of, pick, select_errors
from sparsenode.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Key = tuple[str, str]
"""A model and one of its methods."""
MOST_PANELS = 6
TITLE_LETTERS = 20
TRIVIAL = "best trivial forecast"
TRIVIAL_LINE = (0, (5, 2, 1, 2))
NEAR = 4.0
"""Beyond the other errors, by this factor, a trivial forecast is told in words: a line would take their room."""
WIDTH = 4.8
"""Width of a figure of two columns, in inches: its text has some six points where it is printed 8 cm wide."""


def validation_ratio(metrics: pd.DataFrame, key: Key, choice: Choice) -> float:
    """Median error of a method on validation data over that of the best trivial forecast; infinite where unknown."""
    where = {"model": key[0], "protocol": choice.protocol, "split": "validation", "phase": "fit"}
    rows = select_errors(metrics, method=key[1], **where)
    errors = rows.loc[rows["strength"] == choice.strength, "value"].to_numpy(np.float64)
    _, trivial = least_trivial_error(metrics, **where)
    return float(np.median(errors)) / trivial if len(errors) and trivial > 0 else math.inf


def choose_networks(metrics: pd.DataFrame, choices: Mapping[Key, Choice], most: int) -> list[Key]:
    """At most so many (model, method), in the order in which figures show them.

    Of more, those that forecast validation data best: the best of each model, then the second of each, and so on.
    """
    models = list(dict.fromkeys(pick(metrics, metric="seconds")["model"]))
    order = style.method_order(metrics["method"])
    keys = [(model, method) for model in models for method in order if (model, method) in choices]
    if len(keys) <= most:
        return keys
    ratios = {key: validation_ratio(metrics, key, choices[key]) for key in keys}
    ranks: dict[Key, int] = {}
    for model in models:
        of_model = sorted((key for key in keys if key[0] == model), key=lambda key: ratios[key])
        ranks |= {key: rank for rank, key in enumerate(of_model)}
    best = set(sorted(keys, key=lambda key: (ranks[key], ratios[key]))[:most])
    return [key for key in keys if key in best]


def choose_models(metrics: pd.DataFrame, choices: Mapping[Key, Choice], most: int = MOST_PANELS) -> list[str]:
    """At most so many models, in the order of the table.

    Of more, those whose best method forecasts validation data best; models without a chosen strength come last.
    """
    models = models_of(metrics)
    if len(models) <= most:
        return models
    ratios = dict.fromkeys(models, math.inf)
    for key, choice in choices.items():
        if key[0] in ratios:
            ratios[key[0]] = min(ratios[key[0]], validation_ratio(metrics, key, choice))
    best = set(sorted(models, key=lambda model: ratios[model])[:most])
    return [model for model in models if model in best]


def describe_selection(shown: int, count: int, noun: str = "networks") -> list[str]:
    """What is said where only some are shown: a line, or none where all are."""
    each = "of each model " if noun == "networks" else ""
    return [f"{shown} of {count} {noun}: {each}those that forecast validation data best"] if shown < count else []


def panel_name(key: Key, models: Sequence[str]) -> str:
    """Title of a panel: the method, and its model before it where there are several, in a line of its own if long."""
    if len(models) < 2:
        return key[1]
    return f"{key[0]}: {key[1]}" if len(key[0]) + len(key[1]) <= TITLE_LETTERS else f"{key[0]}\n{key[1]}"


class Panels(NamedTuple):
    """A figure with its panels, and the cell that none of them fills, None where all cells are filled."""

    figure: Figure
    axes: list[Axes]
    vacant: Axes | None


def make_panels(count: int, *, height: float, heading: Sequence[str], columns: int = 2, **sharing: Any) -> Panels:
    """A figure of so many panels below a heading.

    Args:
        count: number of panels.
        height: height of a row, in inches.
        heading: its lines; the first one says what is shown.
        columns: panels in a row; a single panel has the row to itself.
        **sharing: `sharex` and `sharey` of the panels.
    """
    from matplotlib.figure import Figure

    columns = min(columns, max(count, 1))
    rows = -(-max(count, 1) // columns)
    figure = Figure(figsize=(WIDTH, rows * height + 0.25 * len(heading) + 0.3), layout="constrained")
    write_heading(figure, heading)
    cells = list(figure.subplots(rows, columns, squeeze=False, **sharing).ravel())
    for axes in cells[count:]:
        axes.set_axis_off()
    for axes in cells[:count]:
        axes.tick_params(labelbottom=True)
    return Panels(figure, cells[:count], cells[count] if count < len(cells) else None)


def label_bottom(panels: Panels, label: str) -> None:
    """Label the axes along the bottom only of the panels that have no other below them."""
    count = len(panels.axes)
    columns = min(2, count)
    for number, axes in enumerate(panels.axes):
        is_last = number + columns >= count
        axes.tick_params(labelbottom=is_last)
        axes.set_xlabel(label if is_last else "")


def write_heading(figure: Any, lines: Sequence[str]) -> None:
    """A heading at the left of a figure, in the size of its other texts, so that it takes few lines."""
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=mpl.rcParams["axes.titlesize"])


def draw_trivial(axes: Axes, value: float) -> str:
    """Draw the error of the best trivial forecast as a line where it lies near the others; else give it in words."""
    low, high = axes.get_ylim()
    if not np.isfinite(value):
        return ""
    if low / NEAR <= value <= NEAR * high:
        axes.axhline(value, color=style.GRAY, linestyle=TRIVIAL_LINE, linewidth=1, zorder=1, label=TRIVIAL)
        return ""
    return f"{TRIVIAL}: {float(f'{value:.2g}'):g}"


def add_legend(panels: Panels, handles: Sequence[Any], labels: Sequence[str], *, columns: int = 2, **look: Any) -> None:
    """The legend of all panels: in the cell that none of them fills, else below them."""
    if panels.vacant is not None and len(labels) <= 8 and max(map(len, labels), default=0) <= 22:
        panels.vacant.legend(handles, labels, loc="center left", bbox_to_anchor=(-0.1, 0.5), **look)
    else:
        panels.figure.legend(handles, labels, loc="outside lower center", ncols=columns, **look)


class RelativeErrors(NamedTuple):
    """Errors of a model's members over a `reference`, in words, which is plain training where there is any.

    `table` has the columns `method`, `strength`, `seed` and `value`; `trivial` is that of the best trivial forecast,
    NaN where there is none; errors are of the `split`.
    """

    table: pd.DataFrame
    reference: str
    trivial: float
    split: str


def relative_errors(metrics: pd.DataFrame, model: str, choices: Mapping[Key, Choice]) -> RelativeErrors:
    """Errors of all finished members of a model as multiples of that without a regularizer."""
    protocol = next((choice.protocol for (name, _), choice in choices.items() if name == model), "trajectory")
    split, phase = error_split(metrics, model, protocol)
    where = {"model": model, "protocol": protocol, "split": split, "phase": phase}
    methods = style.method_order(pick(metrics, metric="seconds", model=model)["method"])
    table = select_errors(metrics, method=methods, **where)
    table = table.loc[np.isfinite(table["value"]), ["method", "strength", "seed", "value"]]
    _, trivial = least_trivial_error(metrics, **where)
    plain = float(pick(table, method="none")["value"].median())
    if plain > 0:
        unit, reference = plain, "without a regularizer"
    elif trivial > 0:
        unit, reference = trivial, "of the best trivial forecast"
    else:
        unit, reference = float(table["value"].median()), "of the median member"
    return RelativeErrors(table.assign(value=table["value"] / unit), reference, trivial / unit, split)


def paths_left(metrics: pd.DataFrame, model: str) -> pd.DataFrame:
    """Pairs with a path (percent) in each finished member: `method`, `strength`, `seed` and `value`."""
    rows = pick(metrics, metric="feature_sparsity", estimator="paths", reference="", status="finished", model=model)
    rows = rows[rows["seed"] >= 0]
    return rows.assign(value=100 * (1 - rows["value"]))[["method", "strength", "seed", "value"]]


def method_with_losses(metrics: pd.DataFrame, model: str, method: str, choices: Mapping[Key, Choice]) -> str:
    """A method in words, with the members that diverged where there are any."""
    label = style.told_label(method, choices)
    lost = pick(metrics, metric="seconds", model=model, method=method)["status"].eq("diverged").any()
    return f"{label} ({style.describe_divergence(metrics, model, method)})" if lost else label
