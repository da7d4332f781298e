"""Error and sparsities over the strength of each method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.evaluation.results import Choice, models_of, pick, select_errors
from sparsenode.figures import style
from sparsenode.figures.style import StrengthAxis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sparsenode.evaluation.results import Results

SPARSITIES = {
    ("weight_sparsity", "weights", ""): ("weights", style.BLUE, "o"),
    ("feature_sparsity", "paths", ""): ("input-output paths", style.VERMILION, "s"),
    ("spurious_feature_sparsity", "paths", "not_regulators"): ("paths from non-regulators", style.PURPLE, "^"),
    ("spurious_feature_sparsity", "paths", "truth"): ("paths that are no true edge", style.PURPLE, "^"),
}
TRIVIAL = "best trivial forecast\nof the same split"
TRIVIAL_LINE = (0, (5, 2, 1, 2))
UNTRAINED = "untrained network"
CHOSEN = "strength chosen\non validation"
ERROR_LOOKS = {
    ("test", "fit"): ("test", style.BLACK, "o"),
    ("test", "extrapolation"): ("test, extrapolation", style.PURPLE, "v"),
    ("validation", "fit"): ("validation", style.ORANGE, "^"),
    ("train", "fit"): ("train", style.SKY, "s"),
}


def read(results: Results) -> tuple[pd.DataFrame, Mapping[tuple[str, str], Choice]]:
    """Read what `draw` takes."""
    return results.metrics, results.choices


def draw(dataset: str, metrics: pd.DataFrame, choices: Mapping[tuple[str, str], Choice]) -> Figure:
    """For each model two rows of panels, error above sparsity, and a column for each method with strengths."""
    from matplotlib.figure import Figure

    models = models_of(metrics)
    columns = {model: _methods_with_strengths(metrics, model) for model in models}
    width = max(len(methods) for methods in columns.values())
    figure = Figure(figsize=(1.5 + 1.9 * width + 2.0, 0.6 + 4.3 * len(models)), layout="constrained")
    subfigures = np.atleast_1d(figure.subfigures(len(models), 1))
    for subfigure, model in zip(subfigures, models, strict=True):
        protocol = next((choice.protocol for (name, _), choice in choices.items() if name == model), "trajectory")
        subfigure.suptitle(
            f"{style.heading(dataset, model, models)}: median and range over "
            f"{style.count_seeds(pick(metrics, model=model))}\nerrors of {style.describe_protocol(protocol)}"
        )
        grid = subfigure.subplots(2, width, squeeze=False, sharey="row", sharex="col")
        for panels, method in zip(grid.T, columns[model], strict=False):
            choice = choices.get((model, method), Choice(None, protocol))
            # Where strength 0 is plain training, models without a regularizer are used for it.
            names = [method, "none"] if choice.starts_plain else [method]
            axis = StrengthAxis(pick(metrics, metric="seconds", model=model, method=names)["strength"])
            panels[0].set_title(f"{method}\n{style.describe_divergence(metrics, model, method)}")
            _draw_errors(panels[0], metrics, model, names, protocol, axis)
            _draw_sparsities(panels[1], metrics, model, names, axis)
            for axes in panels:
                axis.draw(axes)
                if choice.strength is not None:
                    axes.axvline(
                        axis.place([choice.strength])[0], color=style.GRAY, linewidth=5, alpha=0.3, zorder=0,
                        label=CHOSEN,
                    )  # fmt: skip
            panels[1].set_xlabel(style.strength_label(axis, choice))
        for axes in grid[:, len(columns[model]) :].ravel():
            axes.set_visible(False)
        style.limit_errors(grid[0, 0])
        grid[0, 0].set_ylabel(f"mean squared error\n{style.error_unit(metrics)}")
        grid[1, 0].set_ylabel("share that is zero")
        grid[1, 0].set_ylim(-0.04, 1.04)
        for row, title in zip(grid, ("error", "sparsity"), strict=True):
            _legend(row[: max(len(columns[model]), 1)], title)
    return figure


def _methods_with_strengths(metrics: pd.DataFrame, model: str) -> list[str]:
    """Methods of a model that have strengths; all of them where none has."""
    trained = pick(metrics, metric="seconds", model=model)
    methods = style.method_order(trained["method"])
    several = [method for method in methods if (pick(trained, method=method)["strength"] > 0).any()]
    return several or methods


def _draw_errors(
    axes: Axes, metrics: pd.DataFrame, model: str, names: list[str], protocol: str, axis: StrengthAxis
) -> None:
    """Errors of each split, with the least error of a trivial forecast as a line of the same color."""
    for (split, phase), (name, color, marker) in ERROR_LOOKS.items():
        where = {"model": model, "protocol": protocol, "split": split, "phase": phase}
        errors = _with_plain(select_errors(metrics, method=names, **where), names[0])
        if errors.empty:
            continue
        _draw_spread(axes, axis, errors, color, marker, name)
        trivial, value = style.best_baseline(metrics, **where)
        if trivial:
            axes.axhline(value, color=color, linestyle=TRIVIAL_LINE, linewidth=1, label=TRIVIAL, zorder=1)


def _with_plain(rows: pd.DataFrame, method: str) -> pd.DataFrame:
    """A method's rows; where it has none of strength 0, those of the method without a regularizer are added."""
    mine = pick(rows, method=method)
    return mine if (mine["strength"] == 0).any() else pd.concat([mine, pick(rows, method="none")])


def _draw_sparsities(axes: Axes, metrics: pd.DataFrame, model: str, names: list[str], axis: StrengthAxis) -> None:
    both = pick(metrics, model=model, method=names)
    has_regulators = not pick(both, reference="not_regulators").empty
    for (metric, estimator, reference), (name, color, marker) in SPARSITIES.items():
        if reference == "truth" and has_regulators:
            continue
        sparsities = pick(both, metric=metric, estimator=estimator, reference=reference)
        trained = _with_plain(pick(sparsities, status="finished"), names[0])
        if trained.empty:
            continue
        _draw_spread(axes, axis, trained, color, marker, name)
        untrained = pick(sparsities, status="untrained", method=names[0])["value"]
        if len(untrained):
            axes.axhline(untrained.median(), color=color, linestyle=":", linewidth=1.1, label=UNTRAINED, zorder=1)


def _draw_spread(axes: Axes, axis: StrengthAxis, rows: pd.DataFrame, color: str, marker: str, label: str) -> None:
    """Median over seeds as a line; the range as a band, and as a bar at strength 0, which is apart."""
    rows = rows[np.isfinite(rows["value"])]
    style.draw_spread(axes, rows[rows["strength"] > 0], "strength", color=color, marker=marker, label=label)
    zero = rows.loc[rows["strength"] == 0, "value"]
    if len(zero):
        lengths = [[zero.median() - zero.min()], [zero.max() - zero.median()]]
        axes.errorbar(axis.place([0.0]), [zero.median()], yerr=lengths, color=color, marker=marker, linestyle="none")


def _legend(row: np.ndarray, title: str) -> None:
    """One legend for a row of panels, right of the last one; what comes in every color is shown in gray, last."""
    from matplotlib.lines import Line2D

    entries: dict[str, Any] = {}
    for axes in row:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    for label, line in ((TRIVIAL, TRIVIAL_LINE), (UNTRAINED, ":")):
        if label in entries:
            del entries[label]
            entries[label] = Line2D([], [], color=style.GRAY, linestyle=line, linewidth=1.1)
    if CHOSEN in entries:
        entries[CHOSEN] = entries.pop(CHOSEN)
    row[-1].legend(
        entries.values(), entries.keys(), title=title, alignment="left", loc="upper left", bbox_to_anchor=(1.03, 1.0)
    )
