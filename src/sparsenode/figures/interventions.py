"""What is forecast when a variable is held: beside the true effects, or as the fates that forecasts end in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sparsenode.errors import UserError
from sparsenode.evaluation.results import pick
from sparsenode.evaluation.tables import ALL, COLUMNS, NO_SEED
from sparsenode.figures import style
from sparsenode.figures.names import name_labels
from sparsenode.files import read_table
from sparsenode.interventions.true_effects import TRUTH
from sparsenode.labels import NO_FATE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sparsenode.evaluation.results import Results

_FATE_COLORS = (style.BLUE, style.VERMILION, style.ORANGE, style.GREEN, style.SKY, style.PURPLE, "#7A5195", "#8C6D31")
_BAR = 0.24
"""Height of a bar and its gap, in inches."""
_MOST_COLUMNS = 4


def read(results: Results) -> tuple[pd.DataFrame]:
    """Read what `draw` takes."""
    return (read_table(results.files["interventions"], needed=COLUMNS),)


def draw(dataset: str, table: pd.DataFrame) -> Figure:
    """For each model a row of panels, one a method: true and predicted effects, or the fates.

    Raises:
        UserError: the table holds no trained model.
    """
    from matplotlib.figure import Figure

    models = [model for model in dict.fromkeys(table["model"]) if model]
    if not models:
        raise UserError(f"the interventions on {dataset} hold no trained model: train and evaluate at least one")
    panels = [(model, method) for model in models for method in style.method_order(pick(table, model=model)["method"])]
    fates = not pick(table, metric="fate_share").empty
    columns = min(_MOST_COLUMNS, max(len([1 for name, _ in panels if name == model]) for model in models))
    rows_of = [_wrap([panel for panel in panels if panel[0] == model], columns) for model in models]
    rows = [row for model_rows in rows_of for row in model_rows]
    height = _BAR * (pick(table, metric="fate_share")["trajectory"].nunique() + 1) + 0.9 if fates else 2.6
    figure = Figure(figsize=(2.2 * columns + 2.4, height * len(rows) + 0.7), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    for row, line in zip(grid, rows, strict=True):
        for axes, (model, method) in zip(row, line, strict=False):
            method_table = pick(table, model=model, method=method)
            name = method if len(models) == 1 else f"{model}:{_break(model, method)}{method}"
            (_draw_fates if fates else _draw_effects)(axes, table, method_table, name)
        for axes in row[len(line) :]:
            axes.set_visible(False)
    if fates:
        _finish_fates(figure, grid, rows, dataset)
    else:
        _finish_effects(figure, grid, rows, table, dataset)
    return figure


def _wrap(panels: Sequence[tuple[str, str]], columns: int) -> list[Sequence[tuple[str, str]]]:
    return [panels[first : first + columns] for first in range(0, len(panels), columns)]


def _phase(table: pd.DataFrame) -> str:
    return "fit" if "fit" in set(pick(table, metric="effect")["phase"]) else "extrapolation"


def _draw_effects(axes: Axes, table: pd.DataFrame, method_table: pd.DataFrame, name: str) -> None:
    """True effect of each intervention on each other variable against the median predicted one, with its range."""
    phase = _phase(table)
    keys = ["trajectory", "reference"]
    true = pick(table, metric="effect", method=TRUTH, phase=phase).set_index(keys)["value"]
    predicted = pick(method_table, metric="effect", phase=phase, status="finished").groupby(keys)["value"]
    spread = predicted.agg(["median", "min", "max"]).reindex(true.index)
    middle, least, most = (spread[name].to_numpy(np.float64) for name in ("median", "min", "max"))
    axes.axline((0, 0), slope=1, color=style.GRAY, linewidth=0.8, zorder=1)
    axes.axhline(0, color=style.LIGHT_GRAY, linewidth=0.8, zorder=0)
    look = style.looks([method_table["method"].iloc[0]])[method_table["method"].iloc[0]]
    axes.errorbar(
        true.to_numpy(), middle, yerr=np.array([middle - least, most - middle]), color=look.color, marker=look.marker,
        markersize=3, linestyle="none", elinewidth=0.7, alpha=0.8,
    )  # fmt: skip
    lines = [name]
    for metric, word in (("intervention_skill", "skill"), ("effect_correlation", "rank correlation")):
        values = pick(method_table, metric=metric, trajectory=ALL, phase=phase, status="finished")["value"]
        lines.append(f"{word} {values.median():.2f}" if len(values) else f"{word} undefined")
    axes.set_title("\n".join(lines))


def _finish_effects(
    figure: Figure, grid: np.ndarray, rows: Sequence[Sequence[tuple[str, str]]], table: pd.DataFrame, dataset: str
) -> None:
    """One square frame around the true effects; what was predicted far beyond them leaves it."""
    true = pick(table, metric="effect", method=TRUTH, phase=_phase(table))["value"]
    reach = 1.6 * float(true.abs().max()) or 1.0
    unit = next((unit for unit in pick(table, metric="effect")["unit"] if unit), "")
    for row, line in zip(grid, rows, strict=True):
        row[0].set_ylabel("predicted change of the mean" + (f"\n({unit})" if unit else ""))
        for axes in row[: len(line)]:
            axes.set_xlim(-reach, reach)
            axes.set_ylim(-reach, reach)
            axes.set_box_aspect(1)
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("true change of the mean")
    count = pick(table, metric="effect", method=TRUTH)["trajectory"].nunique()
    figure.suptitle(
        f"{dataset}: effects of {count} intervention{'s' if count > 1 else ''} on every other variable\n"
        "skill: 1 − error / error of claiming that nothing changes; bars: range over seeds"
    )


def _break(model: str, method: str) -> str:
    """What is between the two in a title: a panel is as wide as some 28 letters."""
    return "\n" if len(model) + len(method) > 26 else " "


def _draw_fates(axes: Axes, table: pd.DataFrame, method_table: pd.DataFrame, name: str) -> None:
    """Shares of the fates as stacked bars, without an intervention on top; marks tell whether it agrees."""
    shares = pick(method_table, metric="fate_share", seed=NO_SEED, status="finished")
    names = list(dict.fromkeys(pick(table, metric="fate_share", status="finished")["trajectory"]))
    agreement = pick(method_table, metric="fate_agreement", seed=NO_SEED)
    agrees = dict(zip(agreement["trajectory"], agreement["value"], strict=True))
    left = np.zeros(len(names))
    fates = name_labels(pick(table, metric="fate_share", status="finished")["reference"])
    for number, fate in enumerate(fates):
        values = pick(shares, reference=fate).set_index("trajectory")["value"].reindex(names).fillna(0.0).to_numpy()
        color = style.LIGHT_GRAY if fate == NO_FATE else _FATE_COLORS[number % len(_FATE_COLORS)]
        label = "none of them" if fate == NO_FATE else fates[fate]
        axes.barh(np.arange(len(names)), values, left=left, height=0.75, color=color, label=label)
        left += values
    for position, intervention in enumerate(names):
        if intervention in agrees:
            mark, color = ("✓", style.BLACK) if agrees[intervention] == 1 else ("✗", style.VERMILION)
            axes.annotate(
                mark,
                (1.02, position),
                xycoords=("axes fraction", "data"),
                va="center",
                color=color,
                annotation_clip=False,
            )
    verdicts = [value for intervention, value in agrees.items() if intervention != ALL]
    counted = f"\n{verdicts.count(1.0)} of {len(verdicts)} as expected" if verdicts else ""
    axes.set_title(name + (counted if len(shares) else "\nno strength chosen"))
    axes.set_yticks(np.arange(len(names)), list(name_labels(label.replace("_", " ") for label in names).values()))


def _finish_fates(figure: Figure, grid: np.ndarray, rows: Sequence[Sequence[tuple[str, str]]], dataset: str) -> None:
    for row, line in zip(grid, rows, strict=True):
        for axes in row[: len(line)]:
            axes.set_xlim(0, 1)
            axes.tick_params(labelbottom=True)
            axes.spines["left"].set_visible(False)
            axes.tick_params(axis="y", length=0)
            axes.set_xlabel("share of forecasts")
    grid[0, 0].invert_yaxis()
    last = grid[0, len(rows[0]) - 1]
    bars = last.containers
    labels = [bar.get_label() for bar in bars]
    last.legend(bars, labels, title="ends in", alignment="left", loc="upper left", bbox_to_anchor=(1.15, 1.0))
    figure.suptitle(
        f"{dataset}: fates that forecasts end in, from states before commitment\n"
        "✓ known losses and gains are forecast, ✗ they are not"
    )
