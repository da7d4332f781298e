"""Stability paths: how often each pair is selected, over the strength (Meinshausen and Bühlmann 2010)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.data.contract import Network, reference_network
from sparsenode.errors import UserError
from sparsenode.figures import style
from sparsenode.figures.style import Choice, StrengthAxis, pick

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES = 500
"""Of more pairs than this, the mean and quartiles are drawn in place of a line for each."""
BAND = (0.25, 0.75)
"""Quantiles of the pairs between which an area is filled."""
COLUMNS = 3


@dataclass(frozen=True)
class Paths:
    """Selection frequencies (strength, source, target) of one method at its `strengths`, ascending."""

    strengths: np.ndarray
    frequency: np.ndarray


def draw_stability(
    *,
    dataset: str,
    metrics: Path,
    selection: Path,
    networks: Path,
    data: Path,
    outputs: Sequence[Path],
    font_size: float = 9.0,
    dots_per_inch: float = 150,
) -> None:
    """Write the figure of one data set to each path of `outputs`.

    Raises:
        UserError: the frequencies over the strength were not written.
    """
    from sparsenode.data.contract import read_trajectories

    adata = read_trajectories(data)
    table, choices = style.read_metrics(metrics), style.read_selection(selection)
    paths = {
        (model, method): read_paths(networks, table, model, method, list(adata.var_names))
        for model in style.models_of(table)
        for method in methods_with_strengths(table, model)
    }
    with style.style(font_size):
        figure = draw(dataset, table, choices, paths, reference_network(adata))
        style.save_figure(figure, outputs, dots_per_inch=dots_per_inch)


def methods_with_strengths(metrics: pd.DataFrame, model: str) -> list[str]:
    """Methods of a model with finished members at a strength above 0; all of them where none has one."""
    trained = pick(metrics, metric="seconds", model=model)
    finished = pick(trained, status="finished")
    methods = style.method_order(trained["method"])
    return [name for name in methods if (pick(finished, method=name)["strength"] > 0).any()] or methods


def read_paths(folder: Path, metrics: pd.DataFrame, model: str, method: str, features: Sequence[str]) -> Paths:
    """Selection frequencies of one (model, method) from a dataset's folder of networks.

    A strength at which members finished and which the file does not list is one at which nothing was selected. Pairs
    that were left out of a long file count as never selected.

    Raises:
        UserError: the folder has no such table, or it names features that the data do not have.
    """
    from sparsenode.evaluation.networks import read_stability

    table = read_stability(folder, model, method)
    finished = pick(metrics, metric="seconds", model=model, method=method, status="finished")["strength"]
    strengths = np.unique(np.concatenate((finished.to_numpy(np.float64), table["strength"].to_numpy(np.float64))))
    where = f"the stability path of {model}, {method} in {folder}"
    source, target = (_numbers(table[name], features, where) for name in ("source", "target"))
    frequency = np.zeros((len(strengths), len(features), len(features)), np.float32)
    frequency[np.searchsorted(strengths, table["strength"]), source, target] = table["frequency"]
    return Paths(strengths, frequency)


def is_cut(paths: Paths) -> bool:
    """Whether so many pairs are listed at some strength that others may have been left out."""
    from sparsenode.evaluation.networks import LISTED_PAIRS

    return bool((np.count_nonzero(paths.frequency, axis=(1, 2)) >= LISTED_PAIRS).any())


def _numbers(names: pd.Series, features: Sequence[str], where: str) -> np.ndarray:
    """Place of each name in `features`; the names are categories, of which there are few."""
    names = names.astype("category")
    lookup = pd.Index(list(features)).get_indexer(pd.Index(names.cat.categories))
    if (lookup < 0).any():
        unknown = str(names.cat.categories[int(np.argmin(lookup))])
        raise UserError(f"{where} names the feature {unknown!r}, which the data do not have; evaluate the models anew")
    return lookup[names.cat.codes.to_numpy()]


def draw(
    dataset: str,
    metrics: pd.DataFrame,
    choices: Mapping[tuple[str, str], Choice],
    paths: Mapping[tuple[str, str], Paths],
    reference: tuple[str, Network] | None,
) -> Figure:
    """For each model a panel per method."""
    from matplotlib.figure import Figure

    models = list(dict.fromkeys(model for model, _ in paths))
    methods = {model: [method for name, method in paths if name == model] for model in models}
    rows = {model: int(np.ceil(len(methods[model]) / COLUMNS)) for model in models}
    columns = min(COLUMNS, max(map(len, methods.values()), default=1))
    figure = Figure(
        figsize=(max(1.0 + 2.7 * columns, 6.2), sum(1.5 + 2.5 * count for count in rows.values())), layout="constrained"
    )
    parts = np.atleast_1d(figure.subfigures(len(models), 1, height_ratios=[1.5 + 2.5 * rows[name] for name in models]))
    for part, model in zip(parts, models, strict=True):
        grid = part.subplots(rows[model], columns, squeeze=False, sharey=True)
        groups = group_pairs(reference, paths[model, methods[model][0]].frequency.shape[1])
        for number, axes in enumerate(grid.ravel()):
            axes.set_visible(number < len(methods[model]))
        for axes, method in zip(grid.ravel(), methods[model], strict=False):
            _draw_panel(axes, paths[model, method], choices.get((model, method), Choice(None, "")), groups)
            axes.set_title(f"{method}\n{style.describe_divergence(metrics, model, method)}")
        for axes in grid[:, 0]:
            axes.set_ylabel("selection frequency\n(share of the seeds)")
        grid[0, 0].set_ylim(-0.03, 1.03)
        cut = any(is_cut(paths[model, method]) for method in methods[model])
        part.suptitle(_heading(style.heading(dataset, model, models), metrics, model, groups, cut=cut))
        _legend(part, groups)
    return figure


def group_pairs(reference: tuple[str, Network] | None, features: int) -> dict[str, tuple[str, np.ndarray]]:
    """Color and mask (source, target) of each group of pairs by its name, edges last, to be drawn on top.

    Pairs of which the reference tells nothing, and self-loops, are in no group.
    """
    others = ~np.eye(features, dtype=bool)
    if reference is None:
        return {"pairs": (style.GRAY, others)}
    name, network = reference
    edges = (network.truth != 0) & network.known & others
    return {
        "other pairs": (style.GRAY, network.known & others & ~edges),
        f"edges of the {name}": (style.EDGE, edges),
    }


def _draw_panel(axes: Axes, paths: Paths, choice: Choice, groups: Mapping[str, tuple[str, np.ndarray]]) -> None:
    axis = StrengthAxis(paths.strengths)
    positive = paths.strengths > 0
    for order, (color, mask) in enumerate(groups.values()):
        frequency = paths.frequency[:, mask]
        if frequency.size == 0:
            continue
        strengths, values = paths.strengths[positive], frequency[positive]
        _draw_pairs(axes, strengths, values, color, order, single=_count(groups) <= MOST_LINES)
        mean = {"color": color, "linewidth": 2.4, "zorder": 6 + order, "path_effects": _rim()}
        axes.plot(strengths, values.mean(axis=1), marker="o" if len(strengths) == 1 else "", **mean)
        if axis.has_zero:
            axes.plot(axis.place([0.0]), frequency[~positive].mean(axis=1), marker="o", linestyle="none", **mean)
    axis.draw(axes)
    if choice.strength is not None:
        axes.axvline(axis.place([choice.strength])[0], color=style.BLACK, linewidth=1.2, linestyle="--", zorder=9)
    axes.set_xlabel(style.strength_label(axis, choice))


def _draw_pairs(axes: Axes, strengths: np.ndarray, values: np.ndarray, color: str, order: int, *, single: bool) -> None:
    """A thin line for each pair, or the area between their quartiles; `values` (strength, pair)."""
    from matplotlib.collections import LineCollection

    if not single:
        axes.fill_between(
            strengths, *np.quantile(values, BAND, axis=1), color=color, alpha=0.3, linewidth=0, zorder=1 + order
        )
        return
    lines = np.stack((np.broadcast_to(strengths[:, None], values.shape), values), axis=2).swapaxes(0, 1)
    count = values.shape[1]
    axes.add_collection(
        LineCollection(
            list(lines), colors=color, linewidths=0.8, alpha=float(np.clip(30 / count, 0.15, 0.7)), zorder=1 + order,
            rasterized=count > 300,
        )
    )  # fmt: skip


def _count(groups: Mapping[str, tuple[str, np.ndarray]]) -> int:
    return sum(int(mask.sum()) for _, mask in groups.values())


def _rim() -> list[Any]:
    """A white rim, by which a line is seen on lines of its own color."""
    from matplotlib.patheffects import Normal, Stroke

    return [Stroke(linewidth=4.2, foreground="white"), Normal()]


def _heading(
    name: str, metrics: pd.DataFrame, model: str, groups: Mapping[str, tuple[str, np.ndarray]], *, cut: bool
) -> str:
    from sparsenode.evaluation.networks import LISTED_PAIRS

    seeds = style.count_seeds(pick(metrics, model=model))
    told = f"{name}: how often each pair is selected as the strength grows\n{_count(groups)} pairs, {seeds}"
    return f"{told}; all but the {LISTED_PAIRS:,} most frequent of a strength count as never selected" if cut else told


def _legend(part: Any, groups: Mapping[str, tuple[str, np.ndarray]]) -> None:
    """One legend below all panels: what a line or an area is, in which colors."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    single = _count(groups) <= MOST_LINES
    handles: list[Any] = [Line2D([], [], color=color, linewidth=2.4) for color, _ in groups.values()]
    labels = [f"{name} ({int(mask.sum())}), mean" for name, (_, mask) in groups.items()]
    if single:
        handles.append(Line2D([], [], color=style.GRAY, linewidth=0.8))
        labels.append("each pair")
    else:
        handles.append(Patch(color=style.GRAY, alpha=0.3, linewidth=0))
        labels.append("the middle half of the pairs")
    handles.append(Line2D([], [], color=style.BLACK, linewidth=1.2, linestyle="--"))
    labels.append("strength chosen on validation")
    part.legend(handles, labels, loc="outside lower center", ncols=2)
