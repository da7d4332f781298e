"""Expression along each lineage in training and other donors, with the forecasts at the chosen strengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sparsenode.data.contract import read_metadata, subtracted_center, trajectory_slices
from sparsenode.errors import UserError
from sparsenode.evaluation.baselines import fit_polynomial
from sparsenode.evaluation.results import Choice, models_of
from sparsenode.figures import style
from sparsenode.figures.names import name_labels
from sparsenode.figures.style import Look
from sparsenode.files import read_table

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from sparsenode.evaluation.results import Results

GENES = 2
"""Genes of each lineage."""
MOST_DONORS = 4
"""Of more donors than this the first ones are shown, those of the training before other donors."""
WINDOW_SHARE = 0.06
"""Width of the running mean, as a share of the cells of a panel; `FEWEST` cells at least."""
FEWEST = 15
MARKERS = {
    "erythroid": "GATA1 KLF1 HBB HBA1 HBM AHSP ALAS2 GYPA SLC4A1 EPB42 TFR2 HEMGN",
    "monocyte": "CD14 LYZ S100A8 S100A9 FCGR3A SPI1 VCAN CEBPB CEBPD MPO ELANE AZU1 MAFB IRF8 C5AR1",
    "b": "MS4A1 CD79A PAX5 EBF1 CD19 CD74 IGHM IGHD TCL1A BANK1 FCRL1 MME BACH2",
}
"""Genes that are known to mark a lineage, by its name in lower case; other genes are shown where a lineage has none."""
LEAST_CHANGE = 0.2
"""Share of the change of the most changing gene from which on a marker goes before other genes."""
_NEEDED = ("model", "method", "protocol", "trajectory", "feature", "time", "predicted")
_CELL_COLOR = "#a8a8a8"
_UNITS = {"log1p": "log(1 + normalized counts)", "none": "normalized counts"}


@dataclass(frozen=True)
class Trend:
    """Expression of one gene in one trajectory, in the source's unit: `times` and `values` (cell,), by time."""

    times: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Trends:
    """What is drawn: genes by lineage, donors with their roles, and the observed trend of each (gene, trajectory).

    `restore` gives for each (gene, trajectory) what leads from modeling units to the source's: offset and scale.
    """

    genes: Mapping[str, tuple[str, ...]]
    donors: Mapping[str, str]
    trajectory: Mapping[tuple[str, str], str]
    observed: Mapping[tuple[str, str], Trend]
    restore: Mapping[tuple[str, str], tuple[float, float]]
    unit: str
    time_unit: str


def read(results: Results) -> tuple[pd.DataFrame, Mapping[tuple[str, str], Choice], pd.DataFrame, Trends]:
    """Read what `draw` takes.

    Raises:
        UserError: no forecast of a gene was kept.
    """
    table = read_table(results.files["forecasts"], needed=_NEEDED)
    genes = list(dict.fromkeys(table["feature"].astype(str)))
    trends = read_trends(results.adata, genes, where=str(results.files["data"]))
    return results.metrics, results.choices, table, trends


def read_trends(adata: AnnData, kept: Sequence[str], *, where: str = "the trajectories") -> Trends:
    """Observed trends of the genes that change most along each lineage, among those whose forecasts were `kept`.

    Raises:
        UserError: none of the kept genes is among the data's.
    """
    candidates = [name for name in kept if name in adata.var_names]
    if not candidates:
        raise UserError(
            f"{where}: no forecast of any of its genes was kept; delete the table of forecasts and run again"
        )
    positions = [int(adata.var_names.get_loc(name)) for name in candidates]
    time, values = adata.obs["time"].to_numpy(np.float64), np.asarray(adata.X, np.float64)[:, positions]
    is_training = (adata.obs["split"] == "train").to_numpy()
    rows = {name: np.arange(span.start, span.stop) for name, span in trajectory_slices(adata).items()}
    group_of, donor_of = ({name: str(adata.obs[column].iloc[cells[0]]) for name, cells in rows.items()}
                          for column in ("group", "subject"))  # fmt: skip
    trained = {donor_of[name] for name, cells in rows.items() if is_training[cells].any()}
    roles = {donor: "training" if donor in trained else "test" for donor in dict.fromkeys(donor_of.values())}
    selected = sorted(roles, key=lambda donor: roles[donor] != "training")[:MOST_DONORS]
    changes: dict[str, np.ndarray] = {}
    for name, cells in rows.items():
        training_cells = cells[is_training[cells]]
        if len(training_cells):
            changes.setdefault(group_of[name], np.zeros(len(positions)))
            changes[group_of[name]] += change_along(time[training_cells], values[training_cells])
    genes = choose_genes(changes, candidates)
    metadata = read_metadata(adata)
    offset, scale = metadata.offset[:, positions], metadata.scale[:, positions]
    center = subtracted_center(adata)[positions]
    trajectory, observed, restore = {}, {}, {}
    for number, (name, cells) in enumerate(rows.items()):
        if group_of[name] not in genes or donor_of[name] not in selected:
            continue
        trajectory[group_of[name], donor_of[name]] = name
        for gene in genes[group_of[name]]:
            position = candidates.index(gene)
            unit = (
                float(offset[number, position] - scale[number, position] * center[position]),
                float(scale[number, position]),
            )
            restore[gene, name] = unit
            seen = cells[~np.isnan(values[cells, position])]
            observed[gene, name] = Trend(time[seen], unit[0] + unit[1] * (values[seen, position] + center[position]))
    return Trends(
        genes,
        {donor: roles[donor] for donor in selected},
        trajectory,
        observed,
        restore,
        _UNITS.get(metadata.transform, metadata.value_unit),
        metadata.time_unit,
    )


def change_along(times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How much each gene changes along a lineage, (gene,): the range of a cubic in time through its cells.

    Of a gene that is not observed in it, 0.
    """
    return np.asarray(np.ptp(np.nan_to_num(fit_polynomial(times, values, 3)(times)), axis=0))


def choose_genes(changes: Mapping[str, np.ndarray], candidates: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`GENES` genes of each lineage that change most along it, each gene in one lineage only; known markers first.

    `changes` (gene,) by lineage. Lineages choose in turn, so that none takes the best genes of another.
    """
    chosen: dict[str, list[str]] = {name: [] for name in changes}
    left = list(range(len(candidates)))
    for _ in range(GENES):
        for name, change in changes.items():
            if left:
                # By how much more than along the other lineages, where there are any.
                other_changes = [other for key, other in changes.items() if key != name]
                most = np.max(other_changes, axis=0) if other_changes else np.zeros_like(change)
                markers = set(MARKERS.get(name.casefold(), "").split())
                is_marker = np.isin(candidates, list(markers)) & (change >= LEAST_CHANGE * change.max())
                best = max(left, key=lambda gene: (is_marker[gene], (change - most)[gene]))
                left.remove(best)
                chosen[name].append(candidates[best])
    return {name: tuple(genes) for name, genes in chosen.items() if genes}


def draw(
    dataset: str,
    metrics: pd.DataFrame,
    choices: Mapping[tuple[str, str], Choice],
    forecasts: pd.DataFrame,
    trends: Trends,
) -> Figure:
    """For each model a block for each lineage: genes by donors."""
    from matplotlib.figure import Figure

    models = models_of(metrics)
    looks = style.looks(style.method_order(metrics["method"]))
    rows = sum(len(genes) for genes in trends.genes.values())
    size = (2.8 + 1.75 * len(trends.donors), (0.9 + 1.2 * rows) * len(models))
    figure = Figure(figsize=size, layout="constrained")
    for subfigure, model in zip(np.atleast_1d(figure.subfigures(len(models), 1)), models, strict=True):
        subfigure.suptitle(
            f"{style.heading(dataset, model, models)}: the genes that change most along each lineage\n"
            "lines: forecasts, median over seeds at the chosen strength; bands: range over seeds"
        )
        whole = forecasts[(forecasts["model"] == model) & (forecasts["protocol"] == "trajectory")]
        grid = subfigure.subplots(rows, len(trends.donors), squeeze=False, sharex=True)
        panels = [(lineage, gene) for lineage, genes in trends.genes.items() for gene in genes]
        labels = name_labels([*trends.donors, *(name for panel in panels for name in panel)])
        for row, (lineage, gene) in zip(grid, panels, strict=True):
            for axes, donor in zip(row, trends.donors, strict=True):
                _draw_panel(axes, trends, (lineage, gene, donor), whole, looks)
            _share_scale(row)
            row[0].set_ylabel(f"{labels[gene]}\n({labels[lineage]})")
        for axes, (donor, role) in zip(grid[0], trends.donors.items(), strict=True):
            axes.set_title(f"{labels[donor]}\n({role} donor)")
        for axes in grid[-1]:
            axes.set_xlabel(style.time_label(trends.time_unit).removeprefix("time: "))
        subfigure.supylabel(trends.unit, fontsize=grid[0, 0].yaxis.label.get_size())
        _legend(subfigure, metrics, choices, model, looks)
    return figure


def _draw_panel(
    axes: Axes, trends: Trends, key: tuple[str, str, str], forecasts: pd.DataFrame, looks: Mapping[str, Look]
) -> None:
    lineage, gene, donor = key
    name = trends.trajectory.get((lineage, donor))
    if name is None or not len(trends.observed[gene, name].times):
        axes.text(0.5, 0.5, "no cells", ha="center", va="center", transform=axes.transAxes, color=style.GRAY)
        return
    trend = trends.observed[gene, name]
    size = float(np.clip(50 / np.sqrt(max(len(trend.times), 1)), 1.8, 4))
    style.draw_dots(axes, trend.times, trend.values, points=size / 2, color=_CELL_COLOR, rasterized=True, zorder=2)
    times, means = running_mean(trend)
    axes.plot(times, means, color=style.GRAY, linestyle="--", linewidth=1.4, zorder=3)
    offset, scale = trends.restore[gene, name]
    mine = forecasts[(forecasts["trajectory"] == name) & (forecasts["feature"] == gene)]
    for method, look in looks.items():
        rows = mine[mine["method"] == method]
        if len(rows):
            table = offset + scale * rows.groupby("time")["predicted"].agg(["median", "min", "max"])
            style.draw_range(axes, table.reset_index(), color=look.color, linewidth=1.3)
    # A few cells far above all other cells would press the rest together, and so would a forecast that explodes.
    high = max(float(means.max()), float(np.quantile(trend.values, 0.99))) or 1.0
    axes.set_ylim(min(0.0, float(means.min())) - 0.07 * high, 1.1 * high)


def running_mean(trend: Trend) -> tuple[np.ndarray, np.ndarray]:
    """Mean times and values of neighbors in time, `WINDOW_SHARE` of the cells at once."""
    width = min(len(trend.times), max(FEWEST, round(WINDOW_SHARE * len(trend.times))))
    kernel = np.full(width, 1.0 / width)
    return np.convolve(trend.times, kernel, "valid"), np.convolve(trend.values, kernel, "valid")


def _share_scale(row: Sequence[Axes]) -> None:
    limits = [axes.get_ylim() for axes in row]
    for number, axes in enumerate(row):
        axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
        if number:
            axes.tick_params(labelleft=False)


def _legend(
    subfigure: SubFigure,
    metrics: pd.DataFrame,
    choices: Mapping[tuple[str, str], Choice],
    model: str,
    looks: Mapping[str, Look],
) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=_CELL_COLOR, marker=".", linestyle="none"),
        Line2D([], [], color=style.GRAY, linestyle="--"),
    ]
    labels = ["a cell", "mean of neighbors\nin pseudotime"]
    for method, look in looks.items():
        if (model, method) in choices:
            strength = style.format_strength(choices[model, method].strength)
            handles.append(Line2D([], [], color=look.color))
            labels.append(f"{method}: strength {strength}\n({style.describe_divergence(metrics, model, method)})")
    subfigure.legend(handles, labels, loc="outside right upper")
