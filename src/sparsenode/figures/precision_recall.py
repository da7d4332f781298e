"""Precision over recall of the learned networks at their chosen strengths, beside peers and chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.evaluation.peers import favored_rankings
from sparsenode.evaluation.structure import auprc_ratio
from sparsenode.evaluation.tables import PEER
from sparsenode.figures import style
from sparsenode.figures.style import Choice, Look, pick

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ESTIMATORS = {
    "paths": "paths: strength of the input-output paths",
    "jacobian": "jacobian: mean absolute Jacobian",
    "frequency": "frequency: share of seeds with the edge",
}
MOST_LINES = 12
"""Lines of one panel: of more methods and peers than this, those with the largest area are drawn."""


def draw_precision_recall(
    *,
    dataset: str,
    selection: Path,
    networks: Path,
    outputs: Sequence[Path],
    font_size: float = 9.0,
    dots_per_inch: float = 150,
) -> None:
    """Write the figure of one data set to each path of `outputs`.

    Raises:
        UserError: the rankings were not written.
    """
    from sparsenode.evaluation.networks import read_rankings

    with style.style(font_size):
        figure = draw(dataset, read_rankings(networks), style.read_selection(selection))
        style.save_figure(figure, outputs, dots_per_inch=dots_per_inch)


def draw(dataset: str, rankings: pd.DataFrame, choices: Mapping[tuple[str, str], Choice] | None = None) -> Figure:
    """For each model a row of panels, one for each estimator; peers, which have none of these, are in every panel.

    `rankings` has one row per pair of each (model, method, estimator), with its `score` and whether it is an `edge`.
    Where no strength was chosen for any method, the peers stand alone.
    """
    from matplotlib.figure import Figure

    choices = choices or {}
    told = style.told_notes(choices)
    ours = rankings[rankings["method"].isin(style.method_order(rankings["method"]))]
    models = [str(model) for model in dict.fromkeys(ours["model"])] or [""]
    estimators = [name for name in ESTIMATORS if (ours["estimator"] == name).any()] or [""]
    looks = style.looks([*style.method_order(ours["method"]), *style.peer_order(rankings["method"])])
    figure = Figure(figsize=(3.3 * max(len(estimators), 2), 0.3 + 5.6 * len(models)), layout="constrained")
    parts = np.atleast_1d(figure.subfigures(len(models), 1))
    for part, model in zip(parts, models, strict=True):
        panels = part.subplots(1, len(estimators), sharey=True, squeeze=False)[0]
        for axes, estimator in zip(panels, estimators, strict=True):
            curves = select_curves(rankings, model, estimator)
            axes.set_title(ESTIMATORS.get(estimator, "no method has a chosen strength (too few members finished)"))
            _draw_panel(axes, curves, looks, choices)
        panels[0].set_ylabel("precision: share of true edges\namong the pairs ranked above")
        edges = next(iter(curves.values()))[1] if curves else np.empty(0)
        part.suptitle(
            f"{style.heading(dataset, model, models)}: how many of the {int(edges.sum())} true edges (of {len(edges)} "
            "pairs) are found, and at what precision\neach method at the strength chosen on validation, scores pooled "
            "over seeds; dashed: peers, the same in every panel" + "".join(f"\n{note}" for note in told)
        )
    return figure


def select_curves(rankings: pd.DataFrame, model: str, estimator: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Scores and edges (pair,) by method, in the order in which methods are shown, then by peer.

    A peer has scores of its own, of which the better ones are drawn.
    """
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    mine = pick(rankings, model=model, estimator=estimator)
    for method in style.method_order(mine["method"].astype(str)):
        found[method] = _arrays(pick(mine, method=method))
    favored = favored_rankings(rankings)
    for peer in style.peer_order(favored["method"].astype(str)):
        found[peer] = _arrays(pick(favored, method=peer))
    return found


def trace(scores: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners (recall, precision) of a line of steps whose area is `evaluation.structure.auprc`, the step average.

    Pairs of one score enter together: over the recall that they add the line lies at the precision after them.
    `scores` and `edges` (pair,), at least one of them an edge.
    """
    _, group, counts = np.unique(-np.asarray(scores, np.float64), return_inverse=True, return_counts=True)
    hits = np.bincount(group, weights=np.asarray(edges, bool), minlength=len(counts))
    gains = hits > 0
    recall = np.cumsum(hits)[gains] / hits.sum()
    precision = (np.cumsum(hits) / np.cumsum(counts))[gains]
    return np.repeat(np.concatenate(([0.0], recall)), 2)[1:-1], np.repeat(precision, 2)


def _arrays(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return rows["score"].to_numpy(np.float64), rows["edge"].to_numpy(bool)


def _draw_panel(
    axes: Axes,
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    looks: Mapping[str, Look],
    choices: Mapping[tuple[str, str], Choice],
) -> None:
    """One line for each method; the legend below is in the order of their areas."""
    ratios = {method: auprc_ratio(scores, edges) for method, (scores, edges) in curves.items()}
    order = sorted((method for method in curves if np.isfinite(ratios[method])), key=lambda method: -ratios[method])
    handles: list[Any] = []
    labels: list[str] = []
    for method in order[:MOST_LINES]:
        look, is_peer = looks[method], method.startswith(PEER)
        [line] = axes.plot(
            *trace(*curves[method]), color=look.color, linestyle=look.line, linewidth=1.1 if is_peer else 1.5,
            zorder=2 if is_peer else 3, solid_joinstyle="miter",
        )  # fmt: skip
        handles.append(line)
        labels.append(f"{ratios[method]:.2f}  {style.told_label(method, choices)}{' (peer)' if is_peer else ''}")
    if not curves:
        axes.set_axis_off()
        return
    chance = float(next(iter(curves.values()))[1].mean())
    # In its place among the methods: who stands below it is worse than a guess.
    place = sum(ratios[method] >= 1 for method in order[:MOST_LINES])
    handles.insert(place, axes.axhline(chance, color=style.GRAY, linewidth=0.8, zorder=1))
    labels.insert(place, f"1.00  chance, precision {chance:.2g}")
    if len(order) > MOST_LINES:
        handles.append(axes.plot([], [], linestyle="none")[0])
        labels.append(f"and {len(order) - MOST_LINES} with less")
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    axes.set_ylim(0, 1.02)
    axes.set_box_aspect(1)
    axes.set_xlabel("recall: share of the true edges found")
    axes.legend(
        handles, labels, title="AUPRC ratio (area over that of chance)", alignment="left", loc="upper left",
        bbox_to_anchor=(-0.03, -0.2), handlelength=2.8, borderaxespad=0.0,
    )  # fmt: skip
