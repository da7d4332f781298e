"""Comparisons across datasets or methods: how accuracy, sparsity and error change along a quantity such as noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.errors import UserError
from sparsenode.evaluation.peers import favored_metrics
from sparsenode.evaluation.results import Choice, models_of, pick
from sparsenode.evaluation.tables import PEER
from sparsenode.figures import style
from sparsenode.figures.style import Look, SparsityAxis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sparsenode.evaluation.results import Results

CHANCE = "baseline:random"
PANELS = {
    "balanced_accuracy": "balanced accuracy (%)",
    "auprc": "AUPRC",
    "sparsity": "sparsity: pairs\nwithout a path (%)",
    "mse": "mean squared error of\nwhole test trajectories",
}
LEAST_RATIO = 4
"""Errors are drawn on a logarithmic scale where the largest is more than so many times the least."""
_WHERE: dict[str, dict[str, str]] = {
    "balanced_accuracy": {"metric": "balanced_accuracy", "estimator": "paths"},
    "auprc": {"metric": "auprc", "estimator": "paths"},
    "sparsity": {"metric": "feature_sparsity", "estimator": "paths"},
    "mse": {"metric": "mse", "horizon": "trajectory", "split": "test", "phase": "fit", "trajectory": "all"},
}
COLUMNS = ["model", "line", "x", "panel", "seed", "value"]

Tables = Mapping[str, tuple[pd.DataFrame, Mapping[tuple[str, str], Choice]]]


def read(comparison: str, settings: Mapping[str, Any], results: Sequence[Results]) -> Tables:
    """Read what `draw` takes.

    Raises:
        UserError: a dataset of the comparison has no results here.
    """
    datasets = [entry.dataset for entry in results]
    for name in settings.get("datasets") or [settings.get("dataset")]:
        if name not in datasets:
            raise UserError(f"the comparison {comparison} needs the dataset {name}; given are: {', '.join(datasets)}")
    return {entry.dataset: (entry.metrics, entry.choices) for entry in results}


def draw(comparison: str, settings: Mapping[str, Any], tables: Tables) -> Figure:
    """For each model a row of panels, one for each quantity; peers and chance are the same in every row."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    points = collect_points(settings, tables)
    model_points = points[points["model"] != ""]
    models = list(dict.fromkeys(model_points["model"])) or [""]
    lines, peers = style.method_order(model_points["line"]), style.peer_order(points["line"])
    looks = style.looks([*lines, *peers])
    line_looks = {line: looks[line] for line in (*lines, *peers)}
    sparsity = SparsityAxis(pick(points, panel="sparsity")["value"])

    figure = Figure(figsize=(2.5 * len(PANELS) + 2.0, 1.0 + 2.7 * len(models)), layout="constrained")
    grid = figure.subplots(len(models), len(PANELS), sharex=True, sharey="col", squeeze=False)
    for row, model in zip(grid, models, strict=True):
        for axes, panel in zip(row, PANELS, strict=True):
            here = pick(points, panel=panel, model=["", model])
            if panel == "balanced_accuracy":
                here = here.assign(value=100 * here["value"])
            if panel == "sparsity":
                here = here.assign(value=sparsity.place(here["value"]))
            _draw_panel(axes, here, line_looks, _width(points))
            if here.empty:
                axes.text(0.5, 0.5, "not measured", color=style.GRAY, ha="center", transform=axes.transAxes)
            if panel == "sparsity":
                sparsity.draw(axes, "y")
        row[0].set_ylabel(f"model {model}")
    errors = pick(points, panel="mse")["value"]
    grid[0, -1].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if len(errors) and errors.max() > LEAST_RATIO * errors.min():
        style.limit_errors(grid[0, -1])
    for axes, title in zip(grid[0], PANELS.values(), strict=True):
        axes.set_title(title)
    ticks = sorted(set(points["x"].dropna()))
    for axes in grid.ravel():
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.tick_params(labelbottom=True)
    figure.supxlabel(settings["label"], fontsize=grid[0, 0].xaxis.label.get_fontsize())
    figure.suptitle(
        f"{comparison.replace('_', ' ')}: {_describe_data(settings)}\n"
        "each method at the strength chosen on validation; "
        f"symbols: median over {_pooled(settings)}, bars: their range",
        x=0.01,
        ha="left",
    )
    _legend(figure, line_looks, has_chance=CHANCE in set(points["line"]))
    return figure


def collect_points(settings: Mapping[str, Any], tables: Tables) -> pd.DataFrame:
    """One row for each finished member at its chosen strength and each panel: `COLUMNS`.

    Along datasets a line is a method, else it is one of those that the settings name; lines of a single `x` are left
    out. Peers and chance have the model "" and only an AUPRC; where all lines are of one dataset they have no `x`.
    """
    rows: list[pd.DataFrame] = []
    if settings.get("datasets"):
        for dataset, x in settings["datasets"].items():
            metrics, choices = tables[dataset]
            for model in models_of(metrics):
                for method in style.method_order(pick(metrics, metric="seconds", model=model)["method"]):
                    rows += _members(metrics, choices, model, method, line=method, x=x)
            rows += _references(metrics, x)
    else:
        metrics, choices = tables[settings["dataset"]]
        for line, methods in settings["methods"].items():
            for method, x in methods.items():
                for model in models_of(metrics):
                    rows += _members(metrics, choices, model, method, line=line, x=x)
        rows += _references(metrics, float("nan"))
    points = pd.concat([pd.DataFrame(columns=COLUMNS).astype({"x": float, "value": float, "seed": int}), *rows])
    # What was measured at one place only has no course to compare.
    x_counts = points.groupby(["model", "line"])["x"].transform("nunique")
    return points[(x_counts != 1) | points["line"].eq(CHANCE)]


def _members(
    metrics: pd.DataFrame, choices: Mapping[tuple[str, str], Choice], model: str, method: str, *, line: str, x: float
) -> list[pd.DataFrame]:
    chosen = choices.get((model, method), Choice(None, "")).strength
    if chosen is None:
        return []
    members = pick(metrics, model=model, method=method, strength=chosen, status="finished")
    members = members[members["seed"] >= 0]
    return [
        pick(members, **where)[["seed", "value"]].assign(model=model, line=line, x=float(x), panel=panel)[COLUMNS]
        for panel, where in _WHERE.items()
    ]


def _references(metrics: pd.DataFrame, x: float) -> list[pd.DataFrame]:
    """AUPRC of peers, seed by seed and by the better of their scores, and of chance."""
    scored = pick(favored_metrics(metrics), metric="auprc", reference="", trajectory="all", status="finished")
    peers = scored[scored["method"].str.startswith(PEER) & (scored["seed"] >= 0)]
    chance = pick(scored, method=CHANCE)
    return [
        rows.assign(model="", line=rows["method"], x=x, panel="auprc")[COLUMNS] for rows in (peers, chance) if len(rows)
    ]


def _width(points: pd.DataFrame) -> float:
    """Width over which lines at one place are set apart, so that their bars do not hide each other."""
    positions = np.unique(points["x"].dropna())
    return float(0.3 * np.diff(positions).min()) if len(positions) > 1 else 0.0


def _draw_panel(axes: Axes, points: pd.DataFrame, looks: Mapping[str, Look], width: float) -> None:
    methods = style.method_order(looks)
    shifts = dict(zip(methods, np.linspace(-0.5, 0.5, len(methods)) * width, strict=True)) if len(methods) > 1 else {}
    for line, look in looks.items():
        line_points = points[points["line"] == line]
        is_peer = line.startswith(PEER)
        if line_points.empty:
            continue
        if line_points["x"].isna().all():
            axes.axhline(line_points["value"].median(), color=look.color, linestyle=look.line, linewidth=1.1, zorder=2)
            continue
        style.draw_spread(
            axes, line_points.assign(x=line_points["x"] + shifts.get(line, 0.0)), "x", color=look.color, bars=True,
            linestyle=look.line, linewidth=1.1 if is_peer else 1.4, marker=None if is_peer else look.marker,
            markersize=5, markeredgecolor="white", markeredgewidth=0.5, zorder=2 if is_peer else 3, label=line,
        )  # fmt: skip
        axes.containers[-1].set_label(line)
    chance = points[points["line"] == CHANCE]
    if chance["x"].isna().all():
        for value in chance["value"]:
            axes.axhline(value, color=style.GRAY, linewidth=0.8, zorder=1)
    else:
        axes.plot(chance["x"], chance["value"], color=style.GRAY, linewidth=0.8, zorder=1)


def _pooled(settings: Mapping[str, Any]) -> str:
    """What is drawn as one symbol: seeds, and datasets of the same number."""
    positions = list((settings.get("datasets") or {}).values())
    return "seeds and datasets" if len(set(positions)) < len(positions) else "seeds"


def _describe_data(settings: Mapping[str, Any]) -> str:
    return ", ".join(settings["datasets"]) if settings.get("datasets") else str(settings["dataset"])


def _legend(figure: Figure, looks: Mapping[str, Look], *, has_chance: bool) -> None:
    from matplotlib.lines import Line2D

    handles, labels = [], []
    for line, look in looks.items():
        is_peer = line.startswith(PEER)
        handles.append(
            Line2D([], [], color=look.color, linestyle=look.line, marker=None if is_peer else look.marker, markersize=5)
        )
        labels.append(f"{style.method_label(line)}{' (peer)' if is_peer else ''}")
    if has_chance:
        handles.append(Line2D([], [], color=style.GRAY, linewidth=0.8))
        labels.append("chance")
    figure.legend(handles, labels, loc="outside right upper", handlelength=2.6)
