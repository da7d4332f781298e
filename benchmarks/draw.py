"""Figures of the benchmarks, one message each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from sparsenode.figures.style import BLACK, BLUE, GRAY, VERMILION, save_figure, style

MODEL_LOOKS = {
    ("none", "none"): ("no gates, no penalty", BLACK, "o"),
    ("pathreg", "unit"): ("PathReg, gates on units", BLUE, "s"),
    ("pathreg", "weight"): ("PathReg, gates on weights", VERMILION, "^"),
}
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
SHORT = FuncFormatter(lambda value, _: f"{value:,.0f}")


def draw(name: str, table: pd.DataFrame, folder: Path) -> None:
    """Draw what there is of a table to PDF and PNG files named after the figure."""
    for figure_name, function in FIGURES.get(name, {}).items():
        with style():
            figure = Figure(figsize=(4.8, 3.4), layout="constrained")
            function(figure.subplots(), table)
            save_figure(figure, [folder / f"{figure_name}.pdf", folder / f"{figure_name}.png"])


def draw_members(axes: Axes, table: pd.DataFrame) -> None:
    for (method, gates), rows in table.groupby(["method", "gates"], sort=False):
        label, color, marker = MODEL_LOOKS[method, gates]
        axes.plot(rows["members"], rows["ms_per_member"], color=color, marker=marker, label=label)
    for draw_, words in (("evaluation", "at each evaluation"), ("solve", "once a solve")):
        loop = table[f"loop_ms_gates_per_{draw_}"].iloc[0]
        axes.axhline(loop, color=GRAY, linestyle="--" if draw_ == "evaluation" else ":")
        above = draw_ == "evaluation"
        text = f"one model, dopri5, gates drawn {words}"
        axes.annotate(
            text,
            (1, loop),
            (0, 2 if above else -2),
            textcoords="offset points",
            color=GRAY,
            va="bottom" if above else "top",
        )
    _log(axes, "members trained together", "time of one iteration of one member (ms)")
    axes.set_ylim(0.5, 2 * table["loop_ms_gates_per_evaluation"].iloc[0])
    axes.set_xticks(sorted(table["members"].unique()))
    axes.legend(loc="center right")


def draw_memory(axes: Axes, table: pd.DataFrame) -> None:
    for (method, gates), rows in table.groupby(["method", "gates"], sort=False):
        label, color, marker = MODEL_LOOKS[method, gates]
        slope = np.polyfit(rows["members"], rows["memory_mb"], 1)[0]
        axes.plot(
            rows["members"],
            rows["memory_mb"] / 1e3,
            color=color,
            marker=marker,
            label=f"{label}: {slope:.1f} MB a member",
        )
    axes.set_xlabel("members trained together")
    axes.set_ylabel("peak memory of the process (GB)")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left")


def draw_cells(axes: Axes, table: pd.DataFrame) -> None:
    axes.plot(table["cells"], table["ms_per_step"], color=BLUE, marker="s")
    axes.set_xscale("log")
    axes.set_ylim(0, 1.5 * table["ms_per_step"].max())
    axes.set_xlabel("cells")
    axes.set_ylabel("time of one step of 8 members (ms)")


def draw_genes(axes: Axes, table: pd.DataFrame) -> None:
    axes.plot(table["genes"], table["ms_per_member"], color=BLUE, marker="s", label="measured")
    last = table.iloc[-1]
    axes.plot(
        table["genes"],
        last["ms_per_member"] * table["genes"] / last["genes"],
        color=GRAY,
        linestyle=":",
        label="in proportion to the genes",
    )
    _log(axes, "genes", "time of one iteration of one of 8 members (ms)")
    axes.xaxis.set_major_formatter(SHORT)
    axes.set_xticks(table["genes"])
    axes.legend()


def draw_networks(axes: Axes, table: pd.DataFrame) -> None:
    shades = ("#9ecae1", "#6baed6", "#3182bd", "#08519c")
    for shade, (depth, rows) in zip(shades, table.groupby("hidden_layers"), strict=False):
        layers = "hidden layer" if depth == 1 else "hidden layers"
        axes.plot(rows["width"], rows["ms_per_member"], color=shade, marker="o", label=f"{depth} {layers}")
    _log(axes, "units of a hidden layer", "time of one iteration of one of 16 members (ms)")
    axes.set_xticks(sorted(table["width"].unique()))
    axes.legend()


def _log(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PLAIN)
        axis.set_minor_formatter("")
    axes.minorticks_off()


FIGURES: dict[str, dict[str, Callable[[Axes, pd.DataFrame], None]]] = {
    "members": {"members": draw_members, "memory": draw_memory},
    "cells": {"cells": draw_cells},
    "genes": {"genes": draw_genes},
    "networks": {"networks": draw_networks},
}
