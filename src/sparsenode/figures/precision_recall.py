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
from sparsenode.figures.panels import MOST_PANELS, make_panels
from sparsenode.figures.style import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sparsenode.evaluation.results import Results

ESTIMATORS = {
    "paths": "ranked by the strength of their paths",
    "jacobian": "ranked by their mean absolute Jacobian",
    "frequency": "ranked by the share of seeds with the edge",
}
"""How the pairs are ranked, in words; of several rankings of a method the first one is drawn."""
MOST_METHODS, MOST_PEERS = 4, 2
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
    """A panel for each model, of six at most, with the best methods and peers; peers are the same in every panel.

    Where no strength was chosen for any method, only the peers are drawn.
    """
    choices = choices or {}
    # One ranking after another: of thousands of variables each is large.
    curves = {key: make_curve(*rankings[key]) for key in rankings}
    methods = style.method_order(method for _, method, _ in curves)
    ours = [key for key in curves if key[1] in methods]
    every = list(dict.fromkeys(model for model, _, _ in ours)) or [""]
    models = every[:MOST_PANELS]
    estimator = next((name for name in ESTIMATORS if any(by == name for _, _, by in ours)), "")
    looks = style.looks([*methods, *style.peer_order(method for _, method, _ in curves)])
    absence = "no method has a chosen strength (too few members finished)"
    if not curves and any(choice.strength is not None for choice in choices.values()):
        absence = NO_PAIR
    first = next(iter(curves.values()), Curve((np.empty(0), np.empty(0)), np.nan, 0, 0))
    heading = [
        f"{dataset}: how many of the {first.edges} true edges are found, and at what precision",
        f"all {first.pairs} pairs of variables, {ESTIMATORS[estimator]}" if estimator else absence,
        *style.told_notes(choices),
        *([f"the first {len(models)} of {len(every)} models"] if len(models) < len(every) else []),
    ]
    panels = make_panels(len(models), height=4.1, heading=heading, sharey=True)
    for number, (model, axes) in enumerate(zip(models, panels.axes, strict=True)):
        axes.set_title(model if len(models) > 1 else "")
        _draw_panel(axes, select_curves(curves, model, estimator), looks, choices, beside=len(models) == 1)
        if number % 2 == 0:
            axes.set_ylabel("precision: share of true edges\namong the pairs ranked above")
    return panels.figure


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


def choose_lines(areas: Mapping[str, float]) -> list[str]:
    """Methods and peers that are drawn, the largest area first; those without an area have no line."""
    order = sorted((name for name, area in areas.items() if np.isfinite(area)), key=lambda name: -areas[name])
    best = [name for name in order if not is_peer(name)][:MOST_METHODS]
    best += [name for name in order if is_peer(name)][:MOST_PEERS]
    return [name for name in order if name in best]


def _draw_panel(
    axes: Axes,
    curves: Mapping[str, Curve],
    looks: Mapping[str, Look],
    choices: Mapping[tuple[str, str], Choice],
    *,
    beside: bool,
) -> None:
    """One line for each method; the legend, below the panel or beside it, is in the order of their areas."""
    if not curves:
        axes.set_axis_off()
        return
    ratios = {method: curve.area for method, curve in curves.items()}
    order = choose_lines(ratios)
    handles: list[Any] = []
    labels: list[str] = []
    # Lines that coincide are stripes: each is narrower than those below it.
    widths = dict(zip(order, np.linspace(3.2, 1.2, len(order)), strict=True))
    for number, method in enumerate(order):
        look, gray = looks[method], is_peer(method)
        [line] = axes.plot(
            *curves[method].corners, color=look.color, linestyle=look.line, linewidth=1.1 if gray else widths[method],
            zorder=3 + 0.01 * number + gray, solid_joinstyle="miter",
        )  # fmt: skip
        handles.append(line)
        labels.append(f"{ratios[method]:.2f}  {style.told_label(method, choices)}{' (peer)' if gray else ''}")
    first = next(iter(curves.values()))
    chance = first.edges / first.pairs
    # Chance is listed among the methods by its ratio: a method below it is worse than a guess.
    position = sum(ratios[method] >= 1 for method in order)
    handles.insert(position, axes.axhline(chance, color=style.GRAY, linewidth=0.8, zorder=1))
    labels.insert(position, "1.00  chance")
    rest = sum(np.isfinite(area) for area in ratios.values()) - len(order)
    if rest:
        handles.append(axes.plot([], [], linestyle="none")[0])
        labels.append(f"and {rest} with less")
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    axes.set_ylim(0, 1.02)
    axes.set_box_aspect(1)
    axes.set_xlabel("recall: share of\nthe true edges found")
    where = {"bbox_to_anchor": (1.04, 1.0)} if beside else {"bbox_to_anchor": (-0.1, -0.36)}
    axes.legend(
        handles, labels, title="area over that of chance", alignment="left", loc="upper left", handlelength=2.2,
        borderaxespad=0.0, **where,
    )  # fmt: skip
