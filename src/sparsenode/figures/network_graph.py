"""Learned networks as drawings: known edges found, known edges missed, and new ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.patches import ArrowStyle, FancyArrowPatch
from matplotlib.patheffects import Normal, Stroke

from sparsenode.data.contract import Network, reference_network
from sparsenode.evaluation.networks import Matrices, read_shares
from sparsenode.evaluation.results import Choice, models_of
from sparsenode.figures import style
from sparsenode.figures.names import name_labels
from sparsenode.figures.network import restrict, scale
from sparsenode.figures.panels import (
    MOST_PANELS,
    Panels,
    add_legend,
    choose_networks,
    describe_selection,
    make_panels,
    panel_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sparsenode.evaluation.results import Results

MOST_FEATURES = 16
SUBGRAPH = 12
"""Of more than `MOST_FEATURES` features, as many are shown: fewer, since more edges join them."""
MOST_LETTERS = 16
"""Of a feature's name, whose box is to leave room for the edges."""
LEAST_FREQUENCY = 0.5
"""An edge is drawn if at least this share of the seeds has it."""
BEND = 0.12
"""Of an arrow, by which the two between a pair of features are told apart."""
HEADS = 4
"""Order of drawing of the heads: above all edges, below the names."""
LIMIT = 1.15
"""Half the side of a panel; features are placed within 1."""
UNTOLD = style.BLACK
MISSED = {"color": "#a0a0a0", "linestyle": (0, (1, 1.5))}
TRUE = "true network"


class Drawing(NamedTuple):
    """What is drawn of one method, all (source, target), and the `rule` by which its edges were taken, in words.

    Edges of pairs of which the reference tells nothing are neither `new` nor `confirmed` but `untold`.
    """

    confirmed: np.ndarray
    missed: np.ndarray
    new: np.ndarray
    untold: np.ndarray
    rule: str

    @property
    def learned(self) -> np.ndarray:
        """All edges of the method that are drawn."""
        return self.confirmed | self.new | self.untold


class Places(NamedTuple):
    """The center of each feature in a panel (feature, 2), and half the size of its box in points (feature, 2)."""

    centers: np.ndarray
    boxes: np.ndarray


def read(results: Results) -> tuple[Any, ...]:
    """Read what `draw` takes."""
    features, choices = list(results.adata.var_names), results.choices
    networks = results.files["networks"]
    learned = {(model, method): read_shares(networks / model / f"{method}.csv", features) for model, method in choices}
    return results.metrics, choices, learned, features, reference_network(results.adata)


def draw(
    dataset: str,
    metrics: pd.DataFrame,
    choices: Mapping[tuple[str, str], Choice],
    learned: Mapping[tuple[str, str], Matrices],
    features: Sequence[str],
    reference: tuple[str, Network] | None,
) -> Figure:
    """A graph for each network, of six at most; every feature has one place in all of them.

    Args:
        dataset: name of the dataset, for the headings.
        metrics: metrics of all trajectories.
        choices: chosen strengths by (model, method).
        learned: networks by (model, method), whose weights are signed shares in what each target gets.
        features: names of the features (feature,), in the order of the matrices.
        reference: name and network that the learned ones are compared with; None where there is none.
    """
    models = [model for model in models_of(metrics) if any(name == model for name, _ in choices)]
    picked = choose_features(learned, None if reference is None else reference[1])
    names = list(name_labels((features[number] for number in picked), most=MOST_LETTERS).values())
    block = np.ix_(picked, picked)
    reference_block = None if reference is None else restrict(reference[1], block)
    edges = None if reference_block is None else reference_block.truth
    is_truth = reference is not None and reference[0] == TRUE
    edge_limit = count_wanted(reference_block, len(picked), is_truth=is_truth)
    subnetworks = {key: Matrices(*(matrix[block] for matrix in network)) for key, network in learned.items()}
    drawings = {
        key: choose_edges(network, reference_block, edge_limit, cut=choices[key].is_cut)
        for key, network in subnetworks.items()
    }
    centers = lay_out(edges, list(drawings.values()), is_truth=is_truth)
    keys = choose_networks(metrics, {key: choices[key] for key in learned}, MOST_PANELS)

    unsigned = any((drawings[key].learned & subnetworks[key].unsigned).any() for key in keys)
    if reference_block is not None and not reference_block.signed:
        unsigned = unsigned or any(drawings[key].missed.any() for key in keys)
    heading = [
        *_heading(dataset, reference, len(picked), len(features), unsigned=unsigned),
        *describe_selection(len(keys), len(learned)),
    ]
    side = 2.3 if len(keys) > 1 else 4.4
    panels = make_panels(len(keys), height=side + 0.3, heading=heading)
    font = 6.5 if len(picked) <= SUBGRAPH or len(keys) == 1 else 5.5
    boxes = np.array([half_size(name, font) for name in names])
    # Titles and gaps take a part of the side of a panel, which is 72 points an inch.
    geometry = Places(push_apart(centers, 2.4 * boxes * 2 * LIMIT / (0.85 * 72 * side)), boxes)
    for axes, key in zip(panels.axes, keys, strict=True):
        axes.set_axis_off()
        drawing, strength = drawings[key], choices[key].strength
        _draw_graph(axes, drawing, subnetworks[key], reference_block, geometry)
        _draw_features(axes, names, geometry, font)
        lines = [*describe(drawing, edges), drawing.rule] if strength is not None else ["too few members finished"]
        axes.set_title("\n".join([panel_name(key, models), *lines]))
    _legend(panels, reference, untold=any(drawings[key].untold.any() for key in keys))
    return panels.figure


def choose_features(learned: Mapping[tuple[str, str], Matrices], reference: Network | None) -> np.ndarray:
    """Numbers of the features that are shown: all, or of more than `MOST_FEATURES` those of the strongest edges.

    Edges of pairs of which the reference tells nothing do not count: they would show nothing beside it.
    """
    strengths = np.mean([np.abs(scale(np.where(_is_stable(network), network.weights, 0.0)))
                         for network in learned.values()], axis=0)  # fmt: skip
    count = len(strengths)
    if count <= MOST_FEATURES:
        return np.arange(count)
    if reference is not None:
        strengths = strengths * reference.known
    picked: dict[int, None] = {}
    for pair in np.argsort(-strengths, axis=None, kind="stable"):
        both = [int(number) for number in np.unravel_index(pair, strengths.shape)]
        if len({*picked, *both}) <= SUBGRAPH:
            picked |= dict.fromkeys(both)
        if len(picked) == SUBGRAPH:
            break
    return np.sort(np.array(list(picked)))


def count_wanted(reference: Network | None, features: int, *, is_truth: bool) -> int:
    """Edges that are drawn at most: as many as the truth has, where all of it is known; else one a feature at least.

    So too where the truth has none among the features that are shown.
    """
    if reference is None:
        return 2 * features
    edge_count = int(np.count_nonzero(reference.truth))
    return edge_count if edge_count and is_truth and reference.known.all() else max(edge_count, features)


def choose_edges(network: Matrices, reference: Network | None, most: int, *, cut: bool = False) -> Drawing:
    """The strongest edges of those that at least half of the seeds have, compared with the `reference`.

    Args:
        network: learned network (source, target).
        reference: network that its edges are compared with; None where there is none.
        most: number of edges that are drawn at most.
        cut: whether its list was cut. The pairs that it lacks have smaller shares than all that it has. Where fewer
            are listed than `most`, it is not known whether the lacking ones are missed.
    """
    candidates = _is_stable(network)
    order = np.lexsort((-network.frequency.ravel(), -np.abs(network.weights).ravel()))
    order = order[candidates.ravel()[order]]
    chosen = np.zeros(candidates.shape, bool)
    chosen.ravel()[order[:most]] = True
    if len(order) > most:
        rule = f"its {most} strongest edges of {len(order)}{' that are listed' if cut else ''}"
    else:
        rule = f"all {len(order)} {'listed ' if cut else ''}edges that half of the seeds have"
    if reference is None:
        none = np.zeros_like(chosen)
        return Drawing(none, none, chosen, none, rule)
    edges = (reference.truth != 0) & reference.known
    new = chosen & ~edges & reference.known
    missed = edges & ~chosen
    if cut and len(order) < most:
        unlisted = missed & (network.frequency == 0)
        missed &= ~unlisted
        rule += f"\n{int(unlisted.sum())} known edges are not listed: not known" if unlisted.any() else ""
    return Drawing(chosen & edges, missed, new, chosen & ~reference.known, rule)


def _is_stable(network: Matrices) -> np.ndarray:
    off_diagonal = ~np.eye(len(network.weights), dtype=bool)
    return (network.frequency >= LEAST_FREQUENCY) & (network.weights != 0) & off_diagonal


def lay_out(edges: np.ndarray | None, drawings: Sequence[Drawing], *, is_truth: bool) -> np.ndarray:
    """Position of each feature (feature, 2) within ±1, neighbors in the graph near each other (Kamada and Kawai 1989).

    The graph is the true network; where none is known, that of all edges that are drawn.
    """
    import networkx

    joined = np.any([drawing.learned | drawing.missed for drawing in drawings], axis=0)
    if is_truth and edges is not None:
        joined = edges != 0
    graph = networkx.from_numpy_array((joined | joined.T).astype(int))
    reached = dict(networkx.all_pairs_shortest_path_length(graph))
    # What no path joins is put a little farther off than the farthest that are joined, not at infinity.
    far = 1.5 + max((length for lengths in reached.values() for length in lengths.values()), default=1)
    distances = {node: {other: lengths.get(other, far) for other in graph} for node, lengths in reached.items()}
    layout = networkx.kamada_kawai_layout(graph, dist=distances)
    positions = np.array([layout[number] for number in graph])
    positions = positions - (positions.max(axis=0) + positions.min(axis=0)) / 2
    # Both axes are stretched to the panel, which draws dense graphs apart.
    return positions / np.maximum(np.abs(positions).max(axis=0), 1e-9)


def push_apart(places: np.ndarray, sizes: np.ndarray, *, steps: int = 200) -> np.ndarray:
    """Move boxes until none lies on another, or `steps` have not sufficed.

    Args:
        places: centers of the boxes (feature, 2).
        sizes: their widths and heights (feature, 2), in the same unit.
        steps: most moves of all boxes.

    Returns:
        The centers (feature, 2) after the moves.
    """
    places = places.copy()
    gap = 0.05 * sizes.mean(axis=0)
    for _ in range(steps):
        differences = places[:, None] - places[None]
        lacking = (sizes[:, None] + sizes[None]) / 2 - np.abs(differences)
        overlaps = (lacking > 0).all(axis=2) & ~np.eye(len(places), dtype=bool)
        if not overlaps.any():
            break
        # Apart along the direction that takes the shorter way; of two in one place the first goes up.
        number = np.arange(len(places))
        earlier = np.sign(number[:, None] - number)[..., None]
        upward = np.where(differences == 0, earlier, np.sign(differences))
        shorter = lacking == lacking.min(axis=2, keepdims=True)
        moves = np.where(overlaps[..., None] & shorter, (lacking + gap) * upward / 2, 0.0)
        # A box that several push at goes less far than all of them together ask for.
        places += 0.6 * moves.sum(axis=1)
    return places


def describe(drawing: Drawing, edges: np.ndarray | None) -> list[str]:
    """Counts of a drawing in words: a line, or none where no edge is known."""
    if edges is None:
        return []
    counts = f"{int(drawing.confirmed.sum())} of {np.count_nonzero(edges)} known found, {int(drawing.new.sum())} new"
    untold = int(drawing.untold.sum())
    return [counts + (f", {untold} of pairs not known" if untold else "")]


def _draw_graph(axes: Axes, drawing: Drawing, network: Matrices, reference: Network | None, geometry: Places) -> None:
    """Arrows in the color of what they are; missed edges below, those found on top."""
    edges, weights = drawing.learned, network.weights
    signs = np.where(network.unsigned, 0.0, np.sign(weights))
    largest = np.abs(weights[edges]).max(initial=0.0) or 1.0
    if reference is not None:
        missed = reference.truth if reference.signed else np.zeros_like(reference.truth)
        for pair in np.argwhere(drawing.missed):
            _draw_edge(axes, pair, missed, geometry, {**MISSED, "linewidth": 0.9, "zorder": 1})
    new = style.NEW_EDGE if reference is not None else style.EDGE
    for mask, color in ((drawing.untold, UNTOLD), (drawing.new, new), (drawing.confirmed, style.EDGE)):
        for pair in np.argwhere(mask):
            width = 0.4 + 1.6 * abs(weights[tuple(pair)]) / largest
            look = {"color": color, "linewidth": width, "zorder": 2 + (color == style.EDGE)}
            _draw_edge(axes, pair, signs, geometry, look)


def _draw_features(axes: Axes, names: Sequence[str], geometry: Places, font: float) -> None:
    for center, name in zip(geometry.centers, names, strict=True):
        axes.text(
            *center, name, fontsize=font, ha="center", va="center", zorder=5,
            bbox={"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": style.GRAY, "linewidth": 0.6},
        )  # fmt: skip
    limit = max(LIMIT, float(np.abs(geometry.centers).max(initial=0.0)) + 0.1)
    axes.set_xlim(-limit, limit)
    axes.set_ylim(-limit, limit)
    axes.set_aspect("equal")


def half_size(name: str, size: float) -> tuple[float, float]:
    """Half the width and height, in points, of the box around a name."""
    from matplotlib.textpath import TextPath

    pad = 0.25 * size
    return TextPath((0, 0), name, size=size).get_extents().width / 2 + pad, size / 2 + pad


class HeadOnly(ArrowStyle.CurveFilledB):
    """The filled head of an arrow without its line, so that no other line is drawn over it."""

    def transmute(self, path: Any, mutation_size: float, linewidth: float) -> Any:
        """Paths of the head, and whether each is filled."""
        paths, fillable = super().transmute(path, mutation_size, linewidth)
        return paths[1:], fillable[1:]


def _draw_edge(axes: Axes, pair: np.ndarray, signed: np.ndarray, geometry: Places, look: Mapping[str, Any]) -> None:
    """An arrow for an activation, a bar for a repression, an open one where neither is known.

    A filled head is drawn above all lines, which elsewhere have a white rim where they cross.
    """
    source, target = pair
    start, end = geometry.centers[source], geometry.centers[target]
    way = end - start
    # The middle of the arc, towards which it leaves each of its ends.
    bend = (start + end) / 2 + BEND * np.array([way[1], -way[0]])
    represses, activates = signed[source, target] < 0, signed[source, target] > 0
    size = {"head_length": 0.5, "head_width": 0.25}
    if represses:
        head: Any = ArrowStyle("-[", widthB=0.5, lengthB=0.0)
    else:
        head = ArrowStyle("-|>" if activates else "->", **size)
    where = {
        "connectionstyle": f"arc3,rad={BEND}",
        "mutation_scale": 8,
        "shrinkA": _distance_to_rim(bend - start, geometry.boxes[source]) + 0.5,
        "shrinkB": _distance_to_rim(bend - end, geometry.boxes[target]) + (2.0 if represses else 1.0),
    }
    rim = [Stroke(linewidth=look["linewidth"] + 1.4, foreground="white"), Normal()]
    axes.add_patch(FancyArrowPatch(tuple(start), tuple(end), arrowstyle=head, path_effects=rim, **where, **look))
    if activates:
        above = {**look, "linewidth": 0.4, "linestyle": "-", "zorder": HEADS}
        axes.add_patch(FancyArrowPatch(tuple(start), tuple(end), arrowstyle=HeadOnly(**size), **where, **above))


def _distance_to_rim(way: np.ndarray, box: np.ndarray) -> float:
    """Points from the middle of a box of half size `box` to its rim along `way`."""
    length = np.hypot(*way) or 1.0
    with np.errstate(divide="ignore"):
        return float(np.min(box / np.abs(way / length)))


def _heading(
    name: str, reference: tuple[str, Network] | None, selected_count: int, count: int, *, unsigned: bool
) -> list[str]:
    heads = "arrow: activates; bar: represses; " + ("open arrow: sign not known; " if unsigned else "")
    compared = "" if reference is None else f" beside the {reference[0]}"
    lines = [f"{name}: learned networks{compared}", f"{heads}width: the source's share in what its target gets"]
    if selected_count < count:
        lines.append(f"{selected_count} of {count:,} variables: those of the strongest edges, and the edges among them")
    return lines


def _legend(panels: Panels, reference: tuple[str, Network] | None, *, untold: bool) -> None:
    from matplotlib.lines import Line2D

    if reference is None:
        return
    handles = [
        Line2D([], [], color=style.EDGE, linewidth=2),
        Line2D([], [], linewidth=1.2, **MISSED),
        Line2D([], [], color=style.NEW_EDGE, linewidth=2),
    ]
    labels = ["known edge, found", "known edge, missed", f"not in the {reference[0]}"]
    if untold:
        handles.append(Line2D([], [], color=UNTOLD, linewidth=2))
        labels.append(f"the {reference[0]} tells nothing of it")
    add_legend(panels, handles, labels, columns=3 if len(labels) == 3 else 2)
