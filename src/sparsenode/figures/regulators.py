"""Which regulators drive which targets in each lineage: heat maps of one sparse method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sparsenode.data.contract import dense
from sparsenode.errors import UserError
from sparsenode.figures import style
from sparsenode.figures.network import cluster
from sparsenode.figures.style import Choice, pick

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REGULATORS, TARGETS = 16, 24
"""Shown of each lineage: those with the strongest influences."""


def draw_regulators(
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
        UserError: no strength was chosen for any method, or the influences in each group were not written.
    """
    from sparsenode.data.contract import read_trajectories
    from sparsenode.evaluation.networks import read_groups

    table = style.read_metrics(metrics)
    chosen = choose_method(table, style.read_selection(selection), where=str(selection))
    influences = read_groups(networks, *chosen[:2])
    priors = read_prior_edges(read_trajectories(data), list(influences["group"].cat.categories))
    with style.style(font_size):
        figure = draw(dataset, chosen, influences, priors, seeds=style.count_seeds(table))
        style.save_figure(figure, outputs, dots_per_inch=dots_per_inch)


def choose_method(
    metrics: pd.DataFrame, choices: Mapping[tuple[str, str], Choice], *, where: str = "the selection"
) -> tuple[str, str, float]:
    """Model, method and strength of the least validation error; `none` only where there is no other method.

    Raises:
        UserError: no strength was chosen for any method.
    """
    errors: dict[tuple[str, str, float], float] = {}
    for (model, method), choice in choices.items():
        if choice.strength is not None:
            found = style.select_errors(
                metrics, model=model, method=method, protocol=choice.protocol, split="validation", phase="fit"
            )
            of_choice = pick(found, strength=choice.strength)["value"]
            errors[model, method, choice.strength] = float(of_choice.median()) if len(of_choice) else np.inf
    if not errors:
        raise UserError(f"{where}: no strength was chosen for any method, so there are no influences to draw")
    sparse = {key: error for key, error in errors.items() if key[1] != "none"} or errors
    return min(sparse, key=lambda key: sparse[key])


def read_prior_edges(adata: AnnData, groups: Sequence[str]) -> dict[str, set[tuple[str, str]]]:
    """Edges (source, target) of the prior network named like each group, for groups that have one."""
    names = np.asarray(adata.var_names, dtype=object)
    edges = {}
    for group in groups:
        if f"prior_{group}" in adata.varp:
            source, target = np.nonzero(dense(adata.varp[f"prior_{group}"]))
            edges[group] = set(zip(names[source], names[target], strict=True))
    return edges


def influence_matrix(influences: pd.DataFrame, group: str) -> pd.DataFrame:
    """Influences (regulator, target) of the strongest regulators and targets of a group, 0 where none is listed.

    Rows and columns are in the order of a hierarchical clustering.
    """
    mine = pick(influences, group=group).astype({"source": str, "target": str})
    strength = mine["value"].abs()
    sources = strength.groupby(mine["source"]).sum().nlargest(REGULATORS).index
    mine = mine[mine["source"].isin(sources)]
    targets = mine["value"].abs().groupby(mine["target"]).sum().nlargest(TARGETS).index
    mine = mine[mine["target"].isin(targets)]
    table = mine.pivot_table(index="source", columns="target", values="value", fill_value=0.0)
    return table.iloc[cluster(table.to_numpy()), cluster(table.to_numpy().T)]


def draw(
    dataset: str,
    chosen: tuple[str, str, float],
    influences: pd.DataFrame,
    priors: Mapping[str, set[tuple[str, str]]],
    *,
    seeds: str,
) -> Figure:
    """A heat map for each lineage, below each other."""
    from matplotlib.figure import Figure

    groups = [str(name) for name in influences["group"].cat.categories]
    model, method, strength = chosen
    figure = Figure(figsize=(7.6, 0.9 + 3.4 * len(groups)), layout="constrained")
    notes = "\ndots: edges of the lineage's prior network" if any(priors.get(name) for name in groups) else ""
    figure.suptitle(
        f"{dataset}: regulators and targets of each lineage\n"
        f"model {model}, {method} (strength {strength:g}, {seeds}): the least validation error of all sparse methods"
        f"{notes}"
    )
    for axes, group in zip(np.atleast_1d(figure.subplots(len(groups), 1)), groups, strict=True):
        table = influence_matrix(influences, group)
        if table.empty:
            axes.set_axis_off()
            axes.set_title(f"{group}: no influence of any regulator was learned")
            continue
        mesh = _draw_matrix(axes, table, priors.get(group, set()))
        known = sum((source, target) in priors.get(group, set()) for source in table.index for target in table.columns)
        found = f"{known} edges of its prior network among them" if group in priors else "no prior network"
        axes.set_title(f"{group}: its {len(table)} strongest regulators ({found})")
        bar = figure.colorbar(mesh, ax=axes, pad=0.01, aspect=18)
        bar.set_label("change of the target's rate\n(scaled expression per pseudotime)")
    return figure


def _draw_matrix(axes: Axes, table: pd.DataFrame, edges: set[tuple[str, str]]) -> object:
    values = table.to_numpy(np.float64)
    largest = float(np.abs(values).max()) or 1.0
    mesh = axes.pcolormesh(values, cmap="RdBu_r", vmin=-largest, vmax=largest, edgecolors="#e8e8e8", linewidth=0.3)
    places = [
        (column + 0.5, row + 0.5)
        for row, source in enumerate(table.index)
        for column, target in enumerate(table.columns)
        if (source, target) in edges
    ]
    if places:
        axes.plot(*np.array(places).T, "o", markersize=3, markerfacecolor="white", markeredgecolor="black",
                  markeredgewidth=0.6)  # fmt: skip
    axes.set_xticks(np.arange(len(table.columns)) + 0.5, list(table.columns), rotation=90, fontsize=6.5)
    axes.set_yticks(np.arange(len(table.index)) + 0.5, list(table.index), fontsize=6.5)
    axes.tick_params(length=0)
    axes.set_xlabel("target")
    axes.set_ylabel("regulator")
    axes.invert_yaxis()
    for spine in axes.spines.values():
        spine.set_visible(True)
    return mesh
