"""Learned networks at the chosen strengths beside the true one, as heat maps in one clustered order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.data.contract import Network, reference_network
from sparsenode.evaluation.results import Choice, models_of, pick
from sparsenode.figures import style
from sparsenode.figures.names import name_labels
from sparsenode.figures.panels import MOST_PANELS, Key, choose_networks, describe_selection, make_panels, panel_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sparsenode.evaluation.results import Results

MOST_FEATURES = 20
"""Of more features than this, those with the strongest learned edges are shown."""
NOT_KNOWN = "#ececec"


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
    choices: Mapping[Key, Choice],
    learned: Mapping[Key, np.ndarray],
    features: Sequence[str],
    reference: tuple[str, Network] | None,
    unsigned: Mapping[Key, np.ndarray] | None = None,
    unlisted: Mapping[Key, np.ndarray] | None = None,
) -> Figure:
    """The reference and the networks that forecast best, as heat maps in the same order of features, six at most.

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
    models = models_of(metrics)
    selected_count, order = choose_features(learned, reference)
    names = list(name_labels(features[number] for number in order).values())
    block = np.ix_(order, order)
    reference_block = None if reference is None else restrict(reference[1], block)
    edges = None if reference_block is None else reference_block.truth != 0
    shown = choose_networks(metrics, {key: choices[key] for key in learned}, MOST_PANELS - (reference is not None))
    masks = {key: (unsigned or {}).get(key) for key in shown}
    unknown = any(mask is not None and mask.any() for mask in masks.values())
    unknown = unknown or (reference_block is not None and not reference_block.signed)
    cut = [counts for key in shown if choices[key].is_cut and (counts := choices[key].edges) is not None]
    heading = [
        f"{dataset}: learned networks, median over {style.count_seeds(metrics)}{_chance(metrics)}",
        *_notes(reference, reference_block, selected_count, len(features), unknown=unknown, cut=cut),
        *describe_selection(len(shown), len(learned)),
    ]
    count = len(shown) + (reference is not None)
    panels = make_panels(count, height=2.35 if count > 1 else 4.4, heading=heading)
    mesh: Any = None
    used = iter(panels.axes)
    if reference is not None and reference_block is not None:
        axes = next(used)
        mesh = _draw_matrix(
            axes,
            np.sign(reference_block.truth),
            None,
            None if reference_block.signed else edges,
            ~reference_block.known,
        )
        axes.set_title(f"{reference[0]}\n{int(np.count_nonzero(reference_block.truth))} edges")
    for key, axes in zip(shown, used, strict=True):
        mask = masks[key]
        mesh = _draw_matrix(axes, scale(learned[key])[block], edges, None if mask is None else mask[block])
        blank = (unlisted or {}).get(key)
        if blank is not None:
            hatch(axes, blank[block] & ~np.eye(len(order), dtype=bool))
        axes.set_title(_panel_title(metrics, choices[key], key, models, learned[key]))
    columns = min(2, count)
    for number, axes in enumerate(panels.axes):
        # All panels have the same order: names are at the left and below the last panel of a column.
        _label_features(axes, names, left=number % columns == 0, below=number + columns >= count)
    if mesh is not None:
        bar = panels.figure.colorbar(mesh, ax=panels.axes, location="bottom", shrink=0.6, aspect=30, pad=0.02)
        bar.set_ticks([-1, -0.5, 0, 0.5, 1])
        bar.set_label("strength of all paths, relative to the network's largest\n(blue: represses, red: activates)")
    return panels.figure


def choose_features(learned: Mapping[Key, np.ndarray], reference: tuple[str, Network] | None) -> tuple[int, np.ndarray]:
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
    size = 6.5 if len(names) <= 12 else 5.5
    positions = np.arange(len(names)) + 0.5
    axes.set_xticks(positions if below else [], names if below else [], rotation=90, fontsize=size)
    axes.set_yticks(positions if left else [], names if left else [], fontsize=size, rotation=0)
    if below:
        axes.set_xlabel("target")
    if left:
        axes.set_ylabel("source")


def _notes(
    reference: tuple[str, Network] | None,
    reference_block: Network | None,
    selected_count: int,
    count: int,
    *,
    unknown: bool,
    cut: Sequence[Mapping[str, int]],
) -> list[str]:
    """What is said of the signs below the heading, each in a line."""
    notes = []
    if reference is not None:
        notes.append(f"dots: edges of the {reference[0]}; gray: self-loops, not scored")
    if unknown:
        notes.append("green: sign not known")
    if reference is not None and reference_block is not None and not reference_block.known.all():
        notes.append(f"light gray: pairs of which the {reference[0]} tells nothing")
    if cut:
        listed = max(edges["listed"] for edges in cut)
        notes.append(f"hatched: not known, since the pair is not among the {listed:,} edges of the largest share")
    if selected_count < count:
        of_listed = " of those listed" if cut else ""
        notes.append(f"the {selected_count} of {count:,} variables with the strongest edges{of_listed}")
    return notes


def _chance(metrics: pd.DataFrame) -> str:
    """The AUPRC of chance in words, empty where the truth is not known."""
    random = pick(metrics, method="baseline:random", metric="auprc")["value"]
    return f"; AUPRC of chance {random.iloc[0]:.2f}" if len(random) else ""


def _panel_title(metrics: pd.DataFrame, choice: Choice, key: Key, models: Sequence[str], matrix: np.ndarray) -> str:
    if choice.strength is None:
        return f"{panel_name(key, models)}\ntoo few members finished"
    edges = int(((matrix != 0) & ~np.eye(len(matrix), dtype=bool)).sum())
    if choice.is_cut and choice.edges is not None:
        edges = choice.edges["typical"]
    model, method = key
    rows = pick(
        metrics, metric="auprc", estimator="paths", model=model, method=method, strength=choice.strength,
        status="finished",
    )  # fmt: skip
    # A seed below 0 is pooled over the members.
    scores = rows.loc[rows["seed"] >= 0, "value"]
    score = [f"AUPRC {scores.median():.2f}"] if len(scores) else []
    return "\n".join([panel_name(key, models), f"{edges:,} edges", *score])
