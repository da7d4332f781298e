"""Which regulators drive which targets in each lineage: heat maps of one sparse method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from sparsenode.data.contract import prior_networks
from sparsenode.errors import UserError
from sparsenode.evaluation.networks import STRONGEST_PAIRS
from sparsenode.evaluation.results import Choice, pick, select_errors
from sparsenode.figures import style
from sparsenode.figures.names import name_label, name_labels
from sparsenode.figures.network import cluster, hatch

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sparsenode.evaluation.results import Results

REGULATORS, TARGETS = 16, 24
"""Shown of each lineage: those with the strongest influences."""


class Prior(NamedTuple):
    """A prior network: its `name`, its `edges` and of which pairs it tells, both boolean (source, target) by name."""

    name: str
    edges: pd.DataFrame
    known: pd.DataFrame

    def chance(self) -> float:
        """Share of edges among the pairs of two genes that it tells of: the precision of a random prediction."""
        mask = self.known.to_numpy() & ~np.eye(len(self.known), dtype=bool)
        return float(self.edges.to_numpy()[mask].mean()) if mask.any() else float("nan")


def read(results: Results) -> tuple[tuple[str, str, float], pd.DataFrame, dict[str, Prior], str]:
    """Read what `draw` takes.

    Raises:
        UserError: no strength was chosen for any method, or the influences in each group were not written.
    """
    from sparsenode.evaluation.networks import read_groups

    chosen = choose_method(results.metrics, results.choices, where=str(results.files["selection"]))
    influences = read_groups(results.files["networks"], *chosen[:2])
    priors = read_priors(results.adata, list(influences["group"].cat.categories))
    return chosen, influences, priors, style.count_seeds(results.metrics)


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
            table = select_errors(
                metrics, model=model, method=method, protocol=choice.protocol, split="validation", phase="fit"
            )
            of_choice = pick(table, strength=choice.strength)["value"]
            errors[model, method, choice.strength] = float(of_choice.median()) if len(of_choice) else np.inf
    if not errors:
        raise UserError(f"{where}: no strength was chosen for any method, so there are no influences to draw")
    sparse = {key: error for key, error in errors.items() if key[1] != "none"} or errors
    return min(sparse, key=lambda key: sparse[key])


def read_priors(adata: AnnData, groups: Sequence[str]) -> dict[str, Prior]:
    """Prior network of each group: the one named like it, else the base one; groups without either are left out."""
    names = list(adata.var_names)
    networks = prior_networks(adata)
    priors = {}
    for group in groups:
        name = next((name for name in (group, "base") if name in networks), None)
        if name is not None:
            matrices = networks[name].truth != 0, networks[name].known
            priors[group] = Prior(name, *(pd.DataFrame(matrix, names, names) for matrix in matrices))
    return priors


def influence_matrix(influences: pd.DataFrame, group: str) -> pd.DataFrame:
    """Influences (regulator, target) of the strongest regulators and targets of a group, 0 where none is listed.

    In a group with `STRONGEST_PAIRS` listed pairs, other pairs may have weaker influences.

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
    priors: Mapping[str, Prior],
    seeds: str,
) -> Figure:
    """A heat map for each lineage, below each other."""
    from matplotlib.figure import Figure

    groups = [str(name) for name in influences["group"].cat.categories]
    model, method, strength = chosen
    figure = Figure(figsize=(7.6, 0.7 + 3.6 * len(groups)), layout="constrained")
    why = "no sparse method finished" if method == "none" else "the least validation error of all sparse methods"
    counts = influences["group"].value_counts()
    cut = {name for name in groups if counts.get(name, 0) >= STRONGEST_PAIRS}
    note = f"; hatched: weaker than the {STRONGEST_PAIRS:,} strongest pairs of its lineage" if cut else ""
    figure.suptitle(
        f"{dataset}: regulators and targets of each lineage\n"
        f"model {model}, {method} (strength {strength:g}, {seeds}): {why}\nred: activates; blue: represses{note}"
    )
    for axes, group in zip(np.atleast_1d(figure.subplots(len(groups), 1)), groups, strict=True):
        table = influence_matrix(influences, group)
        if table.empty:
            axes.set_axis_off()
            axes.set_title(f"{name_label(group)}: no influence of any regulator was learned")
            continue
        prior = priors.get(group)
        _draw_matrix(axes, table, prior)
        if group in cut:
            hatch(axes, (table.to_numpy() == 0) & (table.index.to_numpy()[:, None] != table.columns.to_numpy()))
        comparison = "no prior network" if prior is None else describe_prior(table, prior)
        axes.set_title(f"{name_label(group)}: its {len(table)} strongest regulators\n{comparison}")
    return figure


def describe_prior(table: pd.DataFrame, prior: Prior) -> str:
    """How many of the influences shown that a prior network tells of are its edges, beside chance."""
    mask = prior.known.loc[table.index, table.columns].to_numpy() & (table.to_numpy() != 0)
    edges = int(prior.edges.loc[table.index, table.columns].to_numpy()[mask].sum())
    count = int(mask.sum())
    if count == 0:
        return f"the {prior.name} network tells of none of these influences"
    return (
        f"dots: {prior.name} network, {edges} of the {count} influences it tells of "
        f"({edges / count:.0%}; by chance {prior.chance():.0%})"
    )


def _draw_matrix(axes: Axes, table: pd.DataFrame, prior: Prior | None) -> None:
    largest = float(table.abs().to_numpy().max()) or 1.0
    targets, sources = (list(name_labels(names).values()) for names in (table.columns, table.index))
    meaning = "change of the target's rate\n(scaled expression per pseudotime)"
    style.draw_heat_map(
        axes, table, cmap="RdBu_r", vmin=-largest, vmax=largest, linecolor="#e8e8e8", linewidths=0.3,
        xticklabels=targets, yticklabels=sources, cbar=True, cbar_kws={"pad": 0.01, "aspect": 18, "label": meaning},
    )  # fmt: skip
    if prior is not None:
        rows, columns = np.nonzero(prior.edges.loc[table.index, table.columns].to_numpy())
        axes.plot(columns + 0.5, rows + 0.5, "o", markersize=3, markerfacecolor="white", markeredgecolor="black",
                  markeredgewidth=0.6)  # fmt: skip
    axes.tick_params(axis="x", rotation=90)
    axes.tick_params(axis="y", rotation=0)
    axes.tick_params(labelsize=6.5)
    axes.set(xlabel="target", ylabel="regulator")
