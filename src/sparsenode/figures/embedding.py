"""Cells of each donor on a diffusion map, by lineage and by pseudotime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sparsenode.errors import UserError
from sparsenode.figures import style
from sparsenode.figures.names import name_labels
from sparsenode.labels import SHARED

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sparsenode.evaluation.results import Results

EMBEDDING = "X_diffmap"
MOST_DONORS = 6
"""Of more donors than this the first ones are shown, those of the training before other donors."""
_COLORS = (style.VERMILION, style.BLUE, style.GREEN, style.ORANGE, style.PURPLE, style.SKY)
_SHARED_COLOR = "#9a9a9a"


@dataclass(frozen=True)
class Donor:
    """Cells of a donor, each once: `coordinates` (cell, 2), `lineages` (cell,) with `SHARED`, `times` (cell,).

    `role` is that of the donor, `training` or `test`; `averaged` tells whether points are averages of cells.
    """

    name: str
    role: str
    coordinates: np.ndarray
    lineages: np.ndarray
    times: np.ndarray
    averaged: bool = False


def read(results: Results) -> tuple[list[Donor], list[str], str]:
    """Read what `draw` takes.

    Raises:
        UserError: the data have no diffusion map.
    """
    from sparsenode.data.contract import read_metadata

    adata = results.adata
    lineages = [str(name) for name in adata.obs["group"].cat.categories]
    return read_donors(adata, where=str(results.files["data"])), lineages, read_metadata(adata).time_unit


def read_donors(adata: AnnData, *, where: str = "the trajectories") -> list[Donor]:
    """The donors (subjects) of an AnnData of trajectories, those that were trained on first.

    Raises:
        UserError: there is no diffusion map of two components or more.
    """
    width = adata.obsm[EMBEDDING].shape[1] if EMBEDDING in adata.obsm else 0
    if width < 2:
        problem = f"has {width} component" if width else "is missing"
        raise UserError(
            f"{where}: obsm[{EMBEDDING!r}] {problem}, and the map of cells takes two components; make the dataset "
            "again with a diffusion map (`embedding: diffmap` in the options of its source)"
        )
    coordinates = np.asarray(adata.obsm[EMBEDDING], np.float64)[:, :2]
    subjects, splits = adata.obs["subject"].astype(str).to_numpy(), adata.obs["split"].astype(str).to_numpy()
    lineages, times = adata.obs["group"].astype(str).to_numpy(), adata.obs["time"].to_numpy(np.float64)
    averaged = adata.obs["count"].to_numpy(np.float64) > 1 if "count" in adata.obs else np.zeros(adata.n_obs, bool)
    donors = []
    for name in dict.fromkeys(subjects):
        mask = subjects == name
        role = next((role for role in ("train", "validation", "test") if (splits[mask] == role).any()), "")
        merged = merge_cells(coordinates[mask], lineages[mask], times[mask])
        donors.append(Donor(name, role.replace("train", "training"), *merged, averaged=bool(averaged[mask].any())))
    return sorted(donors, key=lambda donor: donor.role != "training")


def merge_cells(
    coordinates: np.ndarray, lineages: np.ndarray, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each cell once: coordinates (cell, 2), lineage (cell,) or `SHARED`, and the mean of its times (cell,).

    Observations (observation, ...) with the same coordinates are one cell; its times differ between lineages where
    each is scaled to its own range.
    """
    cell_coordinates, number = np.unique(coordinates, axis=0, return_inverse=True)
    number = number.ravel()
    owner = np.empty(len(cell_coordinates), object)
    owner[number] = lineages
    owner[np.unique(number[lineages != owner[number]])] = SHARED
    return cell_coordinates, owner, np.bincount(number, times) / np.bincount(number)


def draw(dataset: str, donors: Sequence[Donor], lineages: Sequence[str], time_unit: str) -> Figure:
    """A column of panels for each donor: its cells by lineage above, by pseudotime below."""
    import seaborn as sns
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    selected = donors[:MOST_DONORS]
    figure = Figure(figsize=(1.9 + 2.2 * len(selected), 5.2), layout="constrained")
    figure.suptitle(_heading(dataset, len(selected), len(donors)))
    above, below = figure.subplots(2, len(selected), squeeze=False)
    colors = color_lineages(lineages)
    earliest = min(float(donor.times.min()) for donor in selected)
    latest = max(float(donor.times.max()) for donor in selected)
    norm = Normalize(earliest, latest)
    donor_labels = name_labels(donor.name for donor in selected)
    for donor, top, bottom in zip(selected, above, below, strict=True):
        # In an order by chance, so that no lineage lies over another; the few cells that lineages share come last.
        order = np.random.default_rng(0).permutation(len(donor.times))
        order = order[np.argsort(donor.lineages[order] == SHARED, kind="stable")]
        x, y = donor.coordinates[order].T
        looks = {"s": _size(len(order)), "linewidth": 0, "rasterized": True, "legend": False}
        sns.scatterplot(x=x, y=y, hue=donor.lineages[order], palette=colors, ax=top, **looks)
        sns.scatterplot(x=x, y=y, hue=donor.times[order], palette="viridis", hue_norm=norm, ax=bottom, **looks)
        what = "averages of cells" if donor.averaged else "cells"
        top.set_title(f"{donor_labels[donor.name]}: {donor.role} donor\n{len(order):,} {what}")
        for axes in (top, bottom):
            _prepare(axes)
        bottom.set_xlabel("diffusion component 1")
    for axes in (above[0], below[0]):
        axes.set_ylabel("diffusion component 2")
    # In an axes of its own beside the last panel: taken from the row, it would make these smaller than those above.
    bar = figure.colorbar(ScalarMappable(norm, "viridis"), cax=below[-1].inset_axes((1.06, 0.0, 0.06, 1.0)))
    bar.set_label(style.time_label(time_unit).removeprefix("time: "))
    _legend(above[-1], colors, {name for donor in selected for name in donor.lineages})
    return figure


def color_lineages(lineages: Sequence[str]) -> dict[str, str]:
    """A color for each lineage in their order, and one for cells of several."""
    return {name: _COLORS[number % len(_COLORS)] for number, name in enumerate(lineages)} | {SHARED: _SHARED_COLOR}


def _heading(dataset: str, selected_count: int, count: int) -> str:
    some = "" if selected_count == count else f" ({selected_count} of {count} donors)"
    return f"{dataset}: each donor's cells on a diffusion map of its own{some}\nabove: lineage; below: pseudotime"


def _size(count: int) -> float:
    """Area of a point in square points: thousands of cells are told apart, and single ones seen."""
    return float(np.clip(6000 / max(count, 1), 2.5, 14))


def _prepare(axes: Axes) -> None:
    # Components have no unit, and are scaled by the number of cells.
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(0.06)
    axes.set_box_aspect(1)


def _legend(axes: Axes, colors: Mapping[str, str], present: set[str]) -> None:
    from matplotlib.lines import Line2D

    names = [name for name in colors if name in present]
    handles = [Line2D([], [], color=colors[name], marker="o", markersize=5, linestyle="none") for name in names]
    written = name_labels(names, most=len(SHARED)) | {SHARED: SHARED.replace("by several", "by\nseveral")}
    labels = [written[name] for name in names]
    axes.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(1.03, 1.0),
        handletextpad=0.2,
        borderaxespad=0,
        title="lineage",
    )
