"""Balanced accuracy of the learned networks over their sparsity, beside peers and published values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.evaluation.networks import Rankings
from sparsenode.evaluation.peers import favored_estimators
from sparsenode.evaluation.results import Choice, models_of, pick
from sparsenode.evaluation.structure import NO_PAIR, auprc
from sparsenode.evaluation.tables import PEER
from sparsenode.figures import style
from sparsenode.figures.panels import WIDTH, choose_models, describe_selection, write_heading
from sparsenode.figures.published import Published, read_published
from sparsenode.figures.style import Look, SparsityAxis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

    from sparsenode.evaluation.results import Results

MOST_COLUMNS = 2
MOST_PEERS = 3
CURVE_POINTS = 400
RING = 11
TICK, LEADER, LABEL = 7, 13, 20
"""How far to the right of a panel, in points, published values' ticks and the lines to their names reach, and names
begin."""


def read(results: Results) -> tuple[pd.DataFrame, Mapping[tuple[str, str], Choice], Rankings, Sequence[Published]]:
    """Read what `draw` takes.

    Raises:
        UserError: the rankings were not written, or no values are known for the benchmark.
    """
    from sparsenode.evaluation.networks import open_rankings

    published = read_published(results.benchmark)
    return results.metrics, results.choices, open_rankings(results.files["networks"]), published


def draw(
    dataset: str,
    metrics: pd.DataFrame,
    choices: Mapping[tuple[str, str], Choice],
    rankings: Rankings,
    published: Sequence[Published] = (),
) -> Figure:
    """A panel for each model, of six at most; peers and published values are the same in every panel.

    The names of published values are right of the last panel of each row.
    """
    from matplotlib.figure import Figure

    every, models = models_of(metrics), choose_models(metrics, choices)
    members = {model: select_members(metrics, model) for model in models}
    published_methods = [entry for entry in published if "balanced_accuracy" in entry.values]
    every_peer = peer_curves(rankings)
    peers = {peer: every_peer[peer] for peer in best_peers(every_peer)}
    share = true_share(rankings)
    sparsities = [float(value) for table in members.values() for value in table["sparsity"]]
    axis = SparsityAxis([*sparsities, 1 - share])
    looks = style.looks([*style.method_order(metrics["method"]), *peers])

    columns = min(len(models), MOST_COLUMNS)
    rows = -(-len(models) // columns)
    figure = Figure(figsize=(WIDTH + (1.3 if published_methods else 0), 2.0 + 2.4 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, model in zip(panels, models, strict=False):
        axes.set_title(model)
        axes.axhline(50, color=style.GRAY, linewidth=0.8, zorder=1)
        if np.isfinite(share):
            axes.axvline(share, color=style.GRAY, linewidth=0.8, zorder=1)
        for method in style.method_order(pick(metrics, metric="seconds", model=model)["method"]):
            method_members = pick(members[model], method=method).rename(columns={"sparsity": "x"})
            method_members["y"] = 100 * method_members["balanced_accuracy"]
            chosen = choices.get((model, method), Choice(None, "")).strength
            style.draw_members(axes, method_members, looks[method], chosen, place=axis.place, ring=RING)
        for peer, (densities, accuracies) in peers.items():
            look = looks[peer]
            seen = densities >= axis.least
            axes.plot(
                densities[seen], 100 * accuracies[seen], color=look.color, linestyle=look.line, linewidth=1.1, zorder=2
            )
        axis.draw(axes, "x")
        if not rankings and members[model].empty:
            axes.text(0.5, 0.25, NO_PAIR, ha="center", color=style.GRAY, transform=axes.transAxes)
    for axes in panels[len(models) :]:
        axes.set_visible(False)
    for axes in panels[: len(models)]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("pairs without a path (%),\nlogarithmic in the rest")
    for axes in panels[::columns]:
        axes.set_ylabel("balanced accuracy (%)")
    low, _ = panels[0].get_ylim()
    panels[0].set_ylim(max(min(low, 48.0), 0.0), 101)
    last = {*range(columns - 1, len(models), columns), len(models) - 1}
    names = []
    for number, axes in enumerate(panels[: len(models)] if published_methods else []):
        _mark_published(axes, published_methods)
        if number in last:
            names.append((axes, _name_published(axes, published_methods)))
    write_heading(
        figure,
        [
            f"{dataset}: which pairs have a path, beside the true network",
            f"small dots: members; symbols: median over {style.count_seeds(metrics)} at each strength, joined in "
            "order of strength",
            *style.told_notes(choices),
            *describe_selection(len(models), len(every), "models"),
        ],
    )
    _legend(figure, metrics, choices, looks, peers, share, has_published=bool(published_methods))
    figure.draw_without_rendering()
    for axes, texts in names:
        _set_apart(axes, texts)
    return figure


def select_members(metrics: pd.DataFrame, model: str) -> pd.DataFrame:
    """Finished members of a model: `method`, `strength`, `seed`, `sparsity` and `balanced_accuracy`, as shares."""
    where = {"model": model, "estimator": "paths", "status": "finished"}
    keys = ["method", "strength", "seed"]
    tables = [
        pick(metrics, metric=metric, **where)[[*keys, "value"]].rename(columns={"value": name})
        for metric, name in (("known_sparsity", "sparsity"), ("balanced_accuracy", "balanced_accuracy"))
    ]
    # A seed below 0 is pooled over the members.
    return tables[0][tables[0]["seed"] >= 0].merge(tables[1], on=keys)


def peer_curves(rankings: Rankings) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each peer the density and the balanced accuracy of its best 1, 2, ... pairs, by the better of its scores."""
    areas, curves = {}, {}
    # One ranking after another: of thousands of variables each is large.
    for key in rankings:
        _, peer, estimator = key
        if peer.startswith(PEER):
            scores, edges = rankings[key]
            areas[peer, estimator] = auprc(scores, edges)
            if edges.any() and not edges.all():
                curves[peer, estimator] = trace(scores, edges)
    best = favored_estimators(areas)
    return {peer: curves[peer, best[peer]] for peer in style.peer_order(best) if (peer, best[peer]) in curves}


def best_peers(curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> list[str]:
    """The peers that are drawn, of `MOST_PEERS` at most: those with the greatest balanced accuracy anywhere."""
    best = sorted(curves, key=lambda peer: -float(curves[peer][1].max()))[:MOST_PEERS]
    return [peer for peer in curves if peer in best]


def trace(scores: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Density and balanced accuracy where the best k pairs are taken as edges, at `CURVE_POINTS` k at most.

    `scores` and `edges` (pair,), of which some are edges and some are not. Of tied pairs any are taken: the accuracy
    is the expectation over their orders.
    """
    _, group, counts = np.unique(-scores, return_inverse=True, return_counts=True)
    hits = np.bincount(group, weights=edges, minlength=len(counts))
    taken = np.concatenate(([0], np.cumsum(counts)))
    pairs, edge_count = len(edges), int(edges.sum())
    some = np.unique(np.geomspace(1, pairs, CURVE_POINTS).round())
    true_positives = np.interp(some, taken, np.concatenate(([0.0], np.cumsum(hits))))
    accuracy = (true_positives / edge_count + 1 - (some - true_positives) / (pairs - edge_count)) / 2
    return some / pairs, accuracy


def true_share(rankings: Rankings) -> float:
    """Share of the known pairs that are true edges; NaN where nothing is ranked."""
    first = next(iter(rankings), None)
    return float("nan") if first is None else float(rankings[first][1].mean())


def _mark_published(axes: Axes, published: Sequence[Published]) -> None:
    """Ticks right of a panel at the accuracy of published values.

    Their sparsity is that of weights, so that they have no place along the axis of pairs.
    """
    for entry in published:
        axes.annotate(
            "", (1, 100 * entry.values["balanced_accuracy"]), xytext=(TICK, 0), xycoords=axes.get_yaxis_transform(),
            textcoords="offset points", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": style.GRAY, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip


def _name_published(axes: Axes, published: Sequence[Published]) -> list[Annotation]:
    """Names and accuracies beside the ticks of published values, the lowest first, below a heading."""
    look: dict[str, Any] = {
        "fontsize": 0.8 * axes.title.get_fontsize(), "color": style.GRAY, "textcoords": "offset points",
        "annotation_clip": False,
    }  # fmt: skip
    axes.annotate("published (%)", (1, 1), xytext=(LABEL, 4), xycoords="axes fraction", va="bottom", **look)
    return [
        axes.annotate(
            f"{entry.method} {100 * entry.values['balanced_accuracy']:.3g}",
            (1, 100 * entry.values["balanced_accuracy"]),
            xytext=(LABEL, 0), xycoords=axes.get_yaxis_transform(), va="center", **look,
        )
        for entry in sorted(published, key=lambda entry: entry.values["balanced_accuracy"])
    ]  # fmt: skip


def _set_apart(axes: Axes, names: Sequence[Annotation]) -> None:
    """Move names that would overlap up and down, each joined with its tick by a line."""
    point = axes.figure.dpi / 72
    tick_positions = np.array([axes.transData.transform((1, name.xy[1]))[1] for name in names])
    room = 1.05 * max(name.get_window_extent().height for name in names)
    low, high = axes.get_window_extent().intervaly
    for name, at, position in zip(names, tick_positions, spread(tick_positions, room, low, high), strict=True):
        name.set_position((LABEL, (position - at) / point))
        axes.annotate(
            "", name.xy, xytext=(LABEL - 1, (position - at) / point), xycoords=axes.get_yaxis_transform(),
            textcoords="offset points", annotation_clip=False, in_layout=False,
            arrowprops={
                "arrowstyle": "-", "color": style.GRAY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": TICK,
            },
        )  # fmt: skip


def spread(wanted: np.ndarray, room: float, low: float, high: float) -> np.ndarray:
    """Positions at least `room` apart, as near to the `wanted` ones as least squares can have them.

    Args:
        wanted: positions (name,), sorted, in any unit.
        room: least distance between neighbors, in the same unit.
        low: lower end, which positions do not pass where there is room for all of them.
        high: upper end, likewise.
    """
    steps = room * np.arange(len(wanted))
    # Positions less their steps may not fall: neighbors that would are put at their mean.
    groups: list[list[float]] = []
    for value in wanted - steps:
        groups.append([float(value)])
        while len(groups) > 1 and np.mean(groups[-2]) > np.mean(groups[-1]):
            last = groups.pop()
            groups[-1] += last
    level = np.concatenate([np.full(len(group), np.mean(group)) for group in groups])
    half = room / 2
    return np.asarray(np.maximum(np.minimum(level, high - half - steps[-1]), low + half) + steps)


def _legend(
    figure: Figure,
    metrics: pd.DataFrame,
    choices: Mapping[tuple[str, str], Choice],
    looks: Mapping[str, Look],
    peers: Mapping[str, Any],
    share: float,
    *,
    has_published: bool,
) -> None:
    from matplotlib.lines import Line2D

    handles: list[Line2D] = []
    labels: list[str] = []
    for method in style.method_order(pick(metrics, metric="seconds")["method"]):
        look = looks[method]
        handles.append(Line2D([], [], color=look.color, marker=look.marker, markersize=5, linewidth=1))
        labels.append(style.told_label(method, choices))
    handles.append(
        Line2D([], [], marker="o", markersize=RING - 1, markerfacecolor="none", markeredgecolor=style.GRAY,
               markeredgewidth=1.6, linestyle="none")
    )  # fmt: skip
    labels.append("chosen on validation")
    for peer in peers:
        handles.append(Line2D([], [], color=looks[peer].color, linestyle=looks[peer].line, linewidth=1.1))
        labels.append(f"{style.method_label(peer)} (peer)")
    if has_published:
        handles.append(
            Line2D([], [], color=style.GRAY, marker="_", markersize=TICK, markeredgewidth=1.6, linestyle="none")
        )
        labels.append("published (of weights)")
    if np.isfinite(share):
        handles.append(
            Line2D([], [], color=style.GRAY, marker="|", markersize=11, markeredgewidth=0.8, linestyle="none")
        )
        labels.append(f"true network ({100 * (1 - share):.3g} %)")
    handles.append(Line2D([], [], color=style.GRAY, linewidth=0.8))
    labels.append("chance (50 %)")
    figure.legend(handles, labels, loc="outside lower center", ncols=3, handlelength=2.2, columnspacing=1.2)
