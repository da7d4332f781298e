"""Learned networks at the chosen strengths beside the true one, as heat maps in one clustered order."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.data.contract import Network, reference_network
from sparsenode.evaluation.results import Choice, models_of, pick
from sparsenode.figures import style
from sparsenode.figures.names import name_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sparsenode.evaluation.results import Results

MOST_FEATURES = 40
"""Of more features than this, those with the strongest learned edges are shown."""
COLUMNS = 3
NOT_KNOWN = "#ececec"
NOTES_WIDTH = 110


def read(results: Results) -> tuple[Any, ...]:
    """Read what `draw` takes."""
    from sparsenode.evaluation.networks import read_networks

    features, choices = list(results.adata.var_names), results.choices
    learned = read_networks(results.files["networks"], choices, features)
    weights = {key: network.weights for key, network in learned.items()}
    unsigned = {key: network.unsigned for key, network in learned.items()}
    unlisted = {key: network.frequency == 0 for key, network in learned.items() if choices[key].is_cut}
    return results.metrics, choices, weights, features, reference_network(results.adata), unsigned, unlisted


def draw(
    dataset: str,
    metrics: pd.DataFrame,
    choices: Mapping[tuple[str, str], Choice],
    learned: Mapping[tuple[str, str], np.ndarray],
    features: Sequence[str],
    reference: tuple[str, Network] | None,
    unsigned: Mapping[tuple[str, str], np.ndarray] | None = None,
    unlisted: Mapping[tuple[str, str], np.ndarray] | None = None,
) -> Figure:
    """For each model the reference and one heat map per method, in the same order of features.

    Args:
        dataset: name of the dataset, for the heading.
        metrics: metrics of all trajectories.
        choices: chosen strengths by (model, method).
        learned: signed weights (source, target) by (model, method).
        features: names of the features (feature,), in the order of the weights.
        reference: name and network that the learned ones are compared with; None where there is none.
        unsigned: true (source, target) where a sign is not known, by (model, method).
        unlisted: true (source, target) where nothing is known of a pair, for networks whose list was cut.
    """
    from matplotlib.figure import Figure

    models = models_of(metrics)
    selected_count, order = choose_features(learned, reference)
    names = list(name_labels(features[number] for number in order).values())
    reference_block = None if reference is None else restrict(reference[1], np.ix_(order, order))
    panels = {
        model: [method for method in style.method_order(metrics["method"]) if (model, method) in choices]
        for model in models
    }
    rows = {
        model: int(np.ceil((len(methods) + (reference is not None)) / COLUMNS)) for model, methods in panels.items()
    }
    side = 2.7 if len(order) <= 20 else 3.6
    figure = Figure(
        figsize=(COLUMNS * side + 1.2, sum(side * count + 1.0 for count in rows.values())), layout="constrained"
    )
    subfigures = np.atleast_1d(figure.subfigures(len(models), 1, height_ratios=[rows[model] for model in models]))
    for subfigure, model in zip(subfigures, models, strict=True):
        neither = {method: (unsigned or {}).get((model, method)) for method in panels[model]}
        green = any(mask is not None and mask.any() for mask in neither.values())
        green = green or (reference_block is not None and not reference_block.signed)
        notes = ["green: sign not known"] if green else []
        if reference is not None and reference_block is not None and not reference_block.known.all():
            notes.append(f"light gray: pairs of which the {reference[0]} tells nothing")
        cut = {method: choices[model, method].edges for method in panels[model] if choices[model, method].is_cut}
        if cut:
            listed = max(edges["listed"] for edges in cut.values() if edges is not None)
            notes.append(f"hatched: not known, since the pair is not among the {listed:,} edges of the largest share")
        name = style.heading(dataset, model, models)
        subfigure.suptitle(_heading(name, metrics, selected_count, len(features), reference, notes, cut=bool(cut)))
        grid = subfigure.subplots(rows[model], COLUMNS, squeeze=False).ravel()
        last = len(panels[model]) + (reference is not None)
        used = iter(grid)
        mesh = None
        edges = None
        if reference is not None and reference_block is not None:
            edges = reference_block.truth != 0
            axes = next(used)
            mesh = _draw_matrix(
                axes,
                np.sign(reference_block.truth),
                None,
                None if reference_block.signed else edges,
                ~reference_block.known,
            )
            axes.set_title(f"{reference[0]}\n{int(edges.sum())} edges\n")
        for method in panels[model]:
            axes = next(used)
            mask = neither[method]
            block = None if mask is None else mask[np.ix_(order, order)]
            matrix = scale(learned[model, method])[np.ix_(order, order)]
            blank = (unlisted or {}).get((model, method))
            mesh = _draw_matrix(axes, matrix, edges, block)
            if blank is not None:
                hatch(axes, blank[np.ix_(order, order)] & ~np.eye(len(order), dtype=bool))
            axes.set_title(_panel_title(metrics, choices[model, method], model, method, learned[model, method]))
        for number, axes in enumerate(grid):
            # All panels have the same order: names are at the left and below the last panel of a column.
            _label_features(axes, names, left=number % COLUMNS == 0, below=number + COLUMNS >= last)
            axes.set_visible(number < last)
        if mesh is not None:
            bar = subfigure.colorbar(mesh, ax=grid, shrink=0.5, aspect=25, pad=0.02)
            bar.set_label("path strength relative to the network's largest\n(− represses, + activates)")
    return figure


def choose_features(
    learned: Mapping[tuple[str, str], np.ndarray], reference: tuple[str, Network] | None
) -> tuple[int, np.ndarray]:
    """How many features are shown, and their numbers in the order of a hierarchical clustering.

    Features are clustered by their edges, in and out, in the reference, or in the mean of the learned networks where
    there is none or only a part of the features is shown. Pairs that the reference tells of decide which part.
    """
    strengths = np.mean([np.abs(scale(matrix)) for matrix in learned.values()], axis=0)
    count = len(strengths)
    picked = np.arange(count)
    profile = strengths
    if count > MOST_FEATURES:
        known_strengths = strengths if reference is None else strengths * reference[1].known
        totals = known_strengths.sum(axis=0) + known_strengths.sum(axis=1)
        picked = np.sort(np.argsort(-totals, kind="stable")[:MOST_FEATURES])
    elif reference is not None:
        profile = reference[1].truth
    block = profile[np.ix_(picked, picked)]
    return len(picked), picked[cluster(np.concatenate((block, block.T), axis=1))]


def restrict(network: Network, block: tuple[np.ndarray, ...]) -> Network:
    """The part of a network among some features, with no edge where it tells nothing and no self-loops."""
    truth, is_known = network.truth[block], network.known[block]
    loops = np.eye(len(truth), dtype=bool)
    return Network(np.where(is_known & ~loops, truth, 0.0), is_known | loops, network.signed)


def cluster(profiles: np.ndarray) -> np.ndarray:
    """Order of the rows of `profiles` along an average-linkage tree with the best order of its leaves."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    if len(profiles) < 3:
        return np.arange(len(profiles))
    return leaves_list(linkage(profiles, method="average", optimal_ordering=True))


def scale(matrix: np.ndarray) -> np.ndarray:
    """Weights off the diagonal relative to the largest of them; the diagonal, which is not scored, as NaN."""
    off = np.where(np.eye(len(matrix), dtype=bool), 0.0, matrix)
    largest = np.abs(off).max(initial=0.0)
    return off / largest if largest > 0 else off


def _draw_matrix(
    axes: Axes,
    matrix: np.ndarray,
    edges: np.ndarray | None,
    unsigned: np.ndarray | None = None,
    not_known: np.ndarray | None = None,
) -> object:
    count = len(matrix)
    axes.set_facecolor("#bdbdbd")
    empty = np.eye(count, dtype=bool)
    if not_known is not None and not_known.any():
        empty |= not_known
        style.draw_heat_map(axes, np.zeros(matrix.shape), ~not_known, cmap=[NOT_KNOWN], vmin=0, vmax=1, square=True)
    if unsigned is not None and unsigned.any():
        style.draw_heat_map(axes, matrix, empty | ~unsigned, cmap="Greens", vmin=0, vmax=1, square=True)
        empty |= unsigned
    mesh = style.draw_heat_map(axes, matrix, empty, cmap="RdBu_r", vmin=-1, vmax=1, square=True)
    if edges is not None:
        sources, targets = np.nonzero(edges & ~np.eye(count, dtype=bool))
        # A dot with a rim is seen on every color, dark or light; its size follows that of the cells.
        axes.plot(
            targets + 0.5, sources + 0.5, "o", markersize=min(4.0, 45 / count), markerfacecolor="white",
            markeredgecolor="black", markeredgewidth=min(0.8, 12 / count),
        )  # fmt: skip
    return mesh


def hatch(axes: Axes, mask: np.ndarray) -> None:
    """Hatch the cells of a heat map (row, column) of which nothing is known."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    cells = PatchCollection([Rectangle((column, row), 1, 1) for row, column in np.argwhere(mask).tolist()])
    cells.set(facecolor=NOT_KNOWN, edgecolor="#9a9a9a", hatch="/////", linewidth=0, rasterized=True)
    axes.add_collection(cells)


def _label_features(axes: Axes, names: Sequence[str], *, left: bool, below: bool) -> None:
    size = 6.5 if len(names) <= 20 else 4.5
    positions = np.arange(len(names)) + 0.5
    axes.set_xticks(positions if below else [], names if below else [], rotation=90, fontsize=size)
    axes.set_yticks(positions if left else [], names if left else [], fontsize=size)
    if below:
        axes.set_xlabel("target")
    if left:
        axes.set_ylabel("source")


def _heading(
    name: str,
    metrics: pd.DataFrame,
    selected_count: int,
    count: int,
    reference: tuple[str, Network] | None,
    further: Sequence[str],
    *,
    cut: bool = False,
) -> str:
    lines = [f"{name}: learned networks, median over {style.count_seeds(metrics)} at the chosen strength"]
    notes = ["gray: self-loops, not scored", *further]
    if reference is not None:
        notes.append(f"dots: edges of the {reference[0]}")
    if selected_count < count:
        notes.append(
            f"the {selected_count} of {count} features with the strongest edges{' of those listed' if cut else ''}"
        )
    random = pick(metrics, method="baseline:random", metric="auprc")["value"]
    if len(random):
        notes.append(f"AUPRC of chance {random.iloc[0]:#.2g}")
    return "\n".join([*lines, textwrap.fill("; ".join(notes), NOTES_WIDTH)])


def _panel_title(metrics: pd.DataFrame, choice: Choice, model: str, method: str, matrix: np.ndarray) -> str:
    edges = int(((matrix != 0) & ~np.eye(len(matrix), dtype=bool)).sum())
    if choice.is_cut and choice.edges is not None:
        edges = choice.edges["typical"]
    strength = style.format_strength(choice.strength)
    lines = [f"{method}, strength {strength}", f"{edges} edges, {style.describe_divergence(metrics, model, method)}"]
    rows = pick(
        metrics, metric="auprc", estimator="paths", model=model, method=method, strength=choice.strength,
        status="finished",
    )  # fmt: skip
    # A seed below 0 is pooled over the members.
    scores = rows.loc[rows["seed"] >= 0, "value"]
    if len(scores):
        lines.append(f"AUPRC {scores.median():#.2g} ({scores.min():#.2g} to {scores.max():#.2g})")
    return "\n".join(lines)
