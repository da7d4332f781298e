"""Stability paths: how often each pair is selected, over the strength (Meinshausen and Bühlmann 2010)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.data.contract import Network, reference_network
from sparsenode.evaluation.networks import (
    SUMMARY_COLUMNS,
    feature_numbers,
    group_pairs,
    read_stability,
    read_stability_summary,
    stability_file,
    summarize_frequencies,
)
from sparsenode.evaluation.results import Choice, count_members, models_of, pick
from sparsenode.figures import style
from sparsenode.figures.panels import (
    MOST_PANELS,
    Key,
    Panels,
    add_legend,
    choose_networks,
    describe_selection,
    make_panels,
    panel_name,
)
from sparsenode.figures.style import StrengthAxis
from sparsenode.files import reading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sparsenode.evaluation.results import Results

MOST_LINES = 500
"""Of more pairs than this, the mean and quartiles are drawn in place of a line for each."""
FEWEST_SEEDS = 8
"""Seeds from which on single pairs are drawn: of fewer, their frequencies have a handful of values, line on line."""


@dataclass(frozen=True)
class Paths:
    """Selection frequencies of one method at its `strengths`, ascending.

    `summary` tells of each group of pairs at each strength (see `evaluation.networks.summarize_frequencies`).
    `frequency` (strength, source, target) is that of single pairs, None where there are too many to draw.
    """

    strengths: np.ndarray
    summary: pd.DataFrame
    frequency: np.ndarray | None = None

    def band(self, group: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, lower and upper quartile (strength,) over the pairs of a group."""
        rows = pick(self.summary, group=group).set_index("strength")
        mean, lower, upper = rows.reindex(self.strengths)[["mean", "lower", "upper"]].to_numpy(np.float64).T
        return mean, lower, upper


def make_paths(strengths: np.ndarray, frequency: np.ndarray, reference: tuple[str, Network] | None) -> Paths:
    """Paths of frequencies (strength, source, target) of all pairs."""
    groups = group_pairs(reference, frequency.shape[-1])
    rows = [
        row
        for strength, matrix in zip(strengths, frequency, strict=True)
        for row in summarize_frequencies(matrix, strength, groups)
    ]
    return Paths(strengths, pd.DataFrame(rows, columns=SUMMARY_COLUMNS), frequency)


def read(results: Results) -> tuple[Any, ...]:
    """Read what `draw` takes.

    Raises:
        UserError: the frequencies over the strength were not written.
    """
    metrics, features = results.metrics, list(results.adata.var_names)
    paths = {
        (model, method): read_paths(results.files["networks"], metrics, model, method, features)
        for model in models_of(metrics)
        for method in methods_with_strengths(metrics, model)
    }
    # Where single pairs are not drawn, no network of thousands of variables is needed.
    few = {
        key: (method_paths.strengths, method_paths.frequency)
        for key, method_paths in paths.items()
        if method_paths.frequency is not None
    }
    reference = reference_network(results.adata) if few else None
    paths |= {key: make_paths(strengths, frequency, reference) for key, (strengths, frequency) in few.items()}
    return metrics, results.choices, paths, reference


def methods_with_strengths(metrics: pd.DataFrame, model: str) -> list[str]:
    """Methods of a model with finished members at a strength above 0; all of them where none has one."""
    trained = pick(metrics, metric="seconds", model=model)
    finished = pick(trained, status="finished")
    methods = style.method_order(trained["method"])
    return [name for name in methods if (pick(finished, method=name)["strength"] > 0).any()] or methods


def read_paths(folder: Path, metrics: pd.DataFrame, model: str, method: str, features: Sequence[str]) -> Paths:
    """Selection frequencies of one (model, method) from a dataset's folder of networks.

    A strength at which members finished and which the file does not list is one at which nothing was selected.

    Raises:
        UserError: the folder has no such table, or it names features that the data do not have.
    """
    summary = read_stability_summary(folder, model, method)
    finished = pick(metrics, metric="seconds", model=model, method=method, status="finished")["strength"]
    strengths = np.unique(np.concatenate((finished.to_numpy(np.float64), summary["strength"].to_numpy(np.float64))))
    if sum(_count_pairs(summary).values()) > MOST_LINES:
        return Paths(strengths, summary)
    table = read_stability(folder, model, method)
    path = stability_file(folder, model, method)
    source, target = (feature_numbers(table[name], features, str(path)) for name in ("source", "target"))
    with reading(path):
        if not table["strength"].isin(strengths).all():
            raise ValueError("it lists pairs at a strength of which it has no summary")
    frequency = np.zeros((len(strengths), len(features), len(features)), np.float32)
    frequency[np.searchsorted(strengths, table["strength"]), source, target] = table["frequency"]
    return Paths(strengths, summary, frequency)


def _count_pairs(summary: pd.DataFrame) -> dict[str, int]:
    """Number of pairs of each group, which is the same at every strength."""
    return dict(zip(summary["group"], summary["pairs"].astype(int), strict=True))


def draw(
    dataset: str,
    metrics: pd.DataFrame,
    choices: Mapping[Key, Choice],
    paths: Mapping[Key, Paths],
    reference: tuple[str, Network] | None,
) -> Figure:
    """A panel for each regularizer of each model, of six at most; without a `reference` where no pair is drawn.

    Lines of single pairs need so many seeds that their frequencies differ.
    """
    ranked = choose_networks(metrics, {key: choices.get(key, Choice(None, "")) for key in paths}, MOST_PANELS)
    shown = ranked or list(paths)[:MOST_PANELS]
    models = list(dict.fromkeys(model for model, _ in paths))
    counts = _count_pairs(pd.concat([paths[key].summary for key in shown]))
    seeds = pick(metrics, metric="seconds")["seed"].nunique()
    single = sum(counts.values()) <= MOST_LINES and seeds >= FEWEST_SEEDS
    # Without a finished member nothing is counted, not even how many pairs there are.
    pairs = f"{sum(counts.values())} pairs" if counts else "no member finished"
    heading = [
        f"{dataset}: how often pairs of variables are selected as the penalty grows",
        f"{pairs}, {style.count_seeds(metrics)}; dashed: strength chosen on validation",
        *describe_selection(len(shown), len(paths)),
    ]
    panels = make_panels(len(shown), height=1.9, heading=heading, sharey=True)
    for number, (axes, key) in enumerate(zip(panels.axes, shown, strict=True)):
        choice = choices.get(key, Choice(None, ""))
        _draw_panel(axes, paths[key], choice, counts, reference, single=single)
        lost, _ = count_members(metrics, *key)
        note = style.describe_divergence(metrics, *key) if lost else ""
        axes.set_title("\n".join(filter(None, [panel_name(key, models), note])))
        if number % 2 == 0:
            axes.set_ylabel("selected in\n(% of the seeds)")
    panels.axes[0].set_ylim(-3, 103)
    _legend(panels, counts, single=single)
    return panels.figure


def _color(group: str) -> str:
    return style.EDGE if group.startswith("edges") else style.GRAY


def _draw_panel(
    axes: Axes,
    paths: Paths,
    choice: Choice,
    counts: Mapping[str, int],
    reference: tuple[str, Network] | None,
    *,
    single: bool,
) -> None:
    axis = StrengthAxis(paths.strengths)
    positive = paths.strengths > 0
    for order, group in enumerate(name for name, count in counts.items() if count):
        color, strengths = _color(group), paths.strengths[positive]
        mean, *quartiles = (100 * values for values in paths.band(group))
        if sum(counts.values()) > MOST_LINES:
            band = [quartile[positive] for quartile in quartiles]
            axes.fill_between(strengths, *band, color=color, alpha=0.3, linewidth=0, zorder=1 + order)
        elif single and paths.frequency is not None:
            mask = group_pairs(reference, paths.frequency.shape[-1])[group]
            _draw_pairs(axes, strengths, 100 * paths.frequency[positive][:, mask], color, order)
        look = {"color": color, "linewidth": 2.4, "zorder": 6 + order, "path_effects": _rim()}
        axes.plot(strengths, mean[positive], marker="o" if len(strengths) == 1 else "", **look)
        if axis.has_zero:
            axes.plot(axis.place([0.0]), mean[~positive], marker="o", linestyle="none", **look)
    axis.draw(axes)
    if choice.strength is not None:
        axes.axvline(axis.place([choice.strength])[0], color=style.BLACK, linewidth=1.2, linestyle="--", zorder=9)
    axes.set_xlabel("penalty strength")


def _draw_pairs(axes: Axes, strengths: np.ndarray, values: np.ndarray, color: str, order: int) -> None:
    """A thin line for each pair; `values` (strength, pair)."""
    from matplotlib.collections import LineCollection

    lines = np.stack((np.broadcast_to(strengths[:, None], values.shape), values), axis=2).swapaxes(0, 1)
    count = values.shape[1]
    axes.add_collection(
        LineCollection(
            list(lines), colors=color, linewidths=0.8, alpha=float(np.clip(30 / count, 0.15, 0.7)), zorder=1 + order,
            rasterized=count > 300,
        )
    )  # fmt: skip


def _rim() -> list[Any]:
    """A white rim, by which a line is seen on lines of its own color."""
    from matplotlib.patheffects import Normal, Stroke

    return [Stroke(linewidth=4.2, foreground="white"), Normal()]


def _legend(panels: Panels, counts: Mapping[str, int], *, single: bool) -> None:
    """One legend for all panels: what a line or an area is, in which colors."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Line2D([], [], color=_color(group), linewidth=2.4) for group in counts]
    labels = [f"{group} ({count}), mean" for group, count in counts.items()]
    if single:
        handles.append(Line2D([], [], color=style.GRAY, linewidth=0.8))
        labels.append("each pair")
    elif sum(counts.values()) > MOST_LINES:
        handles.append(Patch(color=style.GRAY, alpha=0.3, linewidth=0))
        labels.append("the middle half of the pairs")
    add_legend(panels, handles, labels)
