"""Precision over recall of the learned networks at their chosen strengths, beside peers and chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsenode.evaluation.networks import RankingKey, Rankings
from sparsenode.evaluation.peers import favored_estimators
from sparsenode.evaluation.results import Choice
from sparsenode.evaluation.structure import NO_PAIR, auprc_ratio
from sparsenode.evaluation.tables import PEER
from sparsenode.figures import style
from sparsenode.figures.style import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sparsenode.evaluation.results import Results

ESTIMATORS = {
    "paths": "paths: strength of the input-output paths",
    "jacobian": "jacobian: mean absolute Jacobian",
    "frequency": "frequency: share of seeds with the edge",
}
MOST_LINES = 12
"""Lines of one panel: of more methods and peers than this, those with the largest area are drawn."""


def read(results: Results) -> tuple[Rankings, Mapping[tuple[str, str], Choice]]:
    """Read what `draw` takes.

    Raises:
        UserError: the rankings were not written.
    """
    from sparsenode.evaluation.networks import open_rankings

    return open_rankings(results.files["networks"]), results.choices


@dataclass(frozen=True)
class Curve:
    """What is drawn of a ranking: corners (recall, precision) of its line, and its `area` over that of chance.

    `area` is NaN where there is no edge. The ranking is of so many `pairs`, so many of which are `edges`.
    """

    corners: tuple[np.ndarray, np.ndarray]
    area: float
    edges: int
    pairs: int


def make_curve(scores: np.ndarray, edges: np.ndarray) -> Curve:
    """The curve of a ranking, of scores and edges (pair,)."""
    count = int(np.count_nonzero(edges))
    corners = trace(scores, edges) if count else (np.empty(0), np.empty(0))
    return Curve(corners, auprc_ratio(scores, edges), count, len(edges))


def draw(dataset: str, rankings: Rankings, choices: Mapping[tuple[str, str], Choice] | None = None) -> Figure:
    """For each model a row of panels, one for each estimator; peers, which have none of these, are in every panel.

    Where no strength was chosen for any method, only the peers are drawn.
    """
    from matplotlib.figure import Figure

    choices = choices or {}
    notes = style.told_notes(choices)
    # One ranking after another: of thousands of variables each is large.
    curves = {key: make_curve(*rankings[key]) for key in rankings}
    methods = style.method_order(method for _, method, _ in curves)
    ours = [key for key in curves if key[1] in methods]
    models = list(dict.fromkeys(model for model, _, _ in ours)) or [""]
    estimators = [name for name in ESTIMATORS if any(estimator == name for _, _, estimator in ours)] or [""]
    looks = style.looks([*methods, *style.peer_order(method for _, method, _ in curves)])
    absence = "no method has a chosen strength (too few members finished)"
    if not curves and any(choice.strength is not None for choice in choices.values()):
        absence = NO_PAIR
    figure = Figure(figsize=(3.3 * max(len(estimators), 2), 0.3 + 5.6 * len(models)), layout="constrained")
    subfigures = np.atleast_1d(figure.subfigures(len(models), 1))
    for subfigure, model in zip(subfigures, models, strict=True):
        panels = subfigure.subplots(1, len(estimators), sharey=True, squeeze=False)[0]
        for axes, estimator in zip(panels, estimators, strict=True):
            selected = select_curves(curves, model, estimator)
            axes.set_title(ESTIMATORS.get(estimator, absence))
            _draw_panel(axes, selected, looks, choices)
        panels[0].set_ylabel("precision: share of true edges\namong the pairs ranked above")
        first = next(iter(selected.values()), Curve((np.empty(0), np.empty(0)), np.nan, 0, 0))
        subfigure.suptitle(
            f"{style.heading(dataset, model, models)}: how many of the {first.edges} true edges (of {first.pairs} "
            "pairs) are found, and at what precision\neach method at the strength chosen on validation, scores pooled "
            "over seeds; dashed: peers, the same in every panel" + "".join(f"\n{note}" for note in notes)
        )
    return figure


def select_curves(curves: Mapping[RankingKey, Curve], model: str, estimator: str) -> dict[str, Curve]:
    """Curves of a model's methods by an estimator, in the order in which methods are shown, then of peers.

    A peer has scores of its own, of which the better ones are drawn.
    """
    mine = {method: curve for (name, method, by), curve in curves.items() if (name, by) == (model, estimator)}
    best = favored_estimators({(peer, by): curve.area for (_, peer, by), curve in curves.items() if is_peer(peer)})
    favored = {peer: curve for (_, peer, by), curve in curves.items() if best.get(peer) == by}
    return {name: mine[name] for name in style.method_order(mine)} | {
        name: favored[name] for name in style.peer_order(favored)
    }


def is_peer(method: str) -> bool:
    """Whether a method is a peer."""
    return method.startswith(PEER)


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


def _draw_panel(
    axes: Axes,
    curves: Mapping[str, Curve],
    looks: Mapping[str, Look],
    choices: Mapping[tuple[str, str], Choice],
) -> None:
    """One line for each method; the legend below is in the order of their areas."""
    ratios = {method: curve.area for method, curve in curves.items()}
    order = sorted((method for method in curves if np.isfinite(ratios[method])), key=lambda method: -ratios[method])
    handles: list[Any] = []
    labels: list[str] = []
    for method in order[:MOST_LINES]:
        look, gray = looks[method], is_peer(method)
        [line] = axes.plot(
            *curves[method].corners, color=look.color, linestyle=look.line, linewidth=1.1 if gray else 1.5,
            zorder=2 if gray else 3, solid_joinstyle="miter",
        )  # fmt: skip
        handles.append(line)
        labels.append(f"{ratios[method]:.2f}  {style.told_label(method, choices)}{' (peer)' if gray else ''}")
    if not curves:
        axes.set_axis_off()
        return
    first = next(iter(curves.values()))
    chance = first.edges / first.pairs
    # Chance is listed among the methods by its ratio: a method below it is worse than a guess.
    position = sum(ratios[method] >= 1 for method in order[:MOST_LINES])
    handles.insert(position, axes.axhline(chance, color=style.GRAY, linewidth=0.8, zorder=1))
    labels.insert(position, f"1.00  chance, precision {chance:.2g}")
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
