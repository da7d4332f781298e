"""Error against sparsity: what forecast accuracy each method pays for a sparser network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sparsenode.evaluation.results import (
    Choice,
    error_split,
    models_of,
    pick,
    select_errors,
)
from sparsenode.figures import style
from sparsenode.figures.style import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sparsenode.evaluation.results import Results

THRESHOLDS = {"paths": "below 10⁻⁵", "relative": "below 10⁻³ of the largest path"}


def read(results: Results) -> tuple[pd.DataFrame, Mapping[tuple[str, str], Choice]]:
    """Read what `draw` takes."""
    return results.metrics, results.choices


def draw(dataset: str, metrics: pd.DataFrame, choices: Mapping[tuple[str, str], Choice]) -> Figure:
    """For each model a row of two panels, one for each meaning of an absent path."""
    from matplotlib.figure import Figure

    models = models_of(metrics)
    figure = Figure(figsize=(9.4, 0.5 + 3.6 * len(models)), layout="constrained")
    subfigures = np.atleast_1d(figure.subfigures(len(models), 1))
    looks = style.looks(style.method_order(metrics["method"]))
    for subfigure, model in zip(subfigures, models, strict=True):
        protocol = next((choice.protocol for (name, _), choice in choices.items() if name == model), "trajectory")
        split, phase = error_split(metrics, model, protocol)
        where = {"model": model, "protocol": protocol, "split": split, "phase": phase}
        subfigure.suptitle(
            f"{style.heading(dataset, model, models)}: {split} error of {style.describe_protocol(protocol)}\n"
            f"small dots: members; large symbols: median over {style.count_seeds(pick(metrics, model=model))} "
            "at each strength, joined in order of strength"
        )
        panels = subfigure.subplots(1, len(THRESHOLDS), sharey=True)
        for axes, (estimator, meaning) in zip(panels, THRESHOLDS.items(), strict=True):
            for method in style.method_order(pick(metrics, metric="seconds", model=model)["method"]):
                errors = select_errors(metrics, method=method, **where)
                chosen = choices.get((model, method), Choice(None, protocol)).strength
                label = f"{method} ({style.describe_divergence(metrics, model, method)})"
                _draw_method(axes, metrics, errors, estimator, looks[method], chosen, label)
            _draw_references(axes, metrics, where, looks, estimator)
            axes.set_xlabel(f"feature sparsity: share of input-output paths\n{meaning}")
            axes.set_xlim(-0.03, 1.03)
        panels[0].set_ylabel(f"mean squared error\n{style.error_unit(metrics)}")
        style.limit_errors(panels[0])
        _legend(panels[-1])
    return figure


def _draw_method(
    axes: Axes,
    metrics: pd.DataFrame,
    errors: pd.DataFrame,
    estimator: str,
    look: Look,
    chosen: float | None,
    label: str,
) -> None:
    if errors.empty:
        axes.plot([], [], color=look.color, marker=look.marker, label=label)
        return
    sparsity = pick(
        metrics,
        metric="feature_sparsity",
        estimator=estimator,
        status="finished",
        model=errors["model"].iloc[0],
        method=errors["method"].iloc[0],
    )
    members = errors.merge(sparsity, on=["strength", "seed"], suffixes=("", "_sparsity"))
    members = members[np.isfinite(members["value"])].rename(columns={"value_sparsity": "x", "value": "y"})
    style.draw_members(axes, members, look, chosen, label=label)


def _draw_references(
    axes: Axes, metrics: pd.DataFrame, where: Mapping[str, str], looks: Mapping[str, Look], estimator: str
) -> None:
    name, value = style.best_baseline(metrics, **where)
    if name:
        axes.axhline(
            value, color=style.GRAY, linestyle=(0, (5, 2, 1, 2)), linewidth=1.2, zorder=1,
            label=f"best trivial forecast:\n{name}",
        )  # fmt: skip
    untrained = pick(metrics, metric="feature_sparsity", estimator=estimator, status="untrained", model=where["model"])
    for method, values in untrained.groupby("method", sort=False)["value"]:
        axes.axvline(values.median(), color=looks[str(method)].color, linestyle=":", linewidth=1.1, zorder=1)


def _legend(axes: Axes) -> None:
    from matplotlib.lines import Line2D

    handles, labels = axes.get_legend_handles_labels()
    ring = {"marker": "o", "markersize": 10, "markerfacecolor": "none", "linestyle": "none"}
    handles += [
        Line2D([], [], markeredgecolor=style.GRAY, markeredgewidth=1.6, **ring),
        Line2D([], [], color=style.GRAY, linestyle=":", linewidth=1.1),
    ]
    labels += ["strength chosen on\nvalidation", "sparsity of the\nuntrained network"]
    axes.legend(handles, labels, loc="upper left", bbox_to_anchor=(1.02, 1.0))
