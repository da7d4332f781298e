"""What is forecast when a variable is held: beside the true effects, or as fates that become rarer or more frequent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.errors import UserError
from sparsenode.evaluation.results import Choice, pick
from sparsenode.evaluation.tables import ALL, COLUMNS, NO_SEED
from sparsenode.figures import style
from sparsenode.figures.names import name_labels
from sparsenode.figures.panels import (
    MOST_PANELS,
    Key,
    Panels,
    choose_networks,
    describe_selection,
    label_bottom,
    make_panels,
    panel_name,
)
from sparsenode.files import read_table
from sparsenode.interventions.true_effects import TRUTH
from sparsenode.labels import NO_FATE, UNCLAMPED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sparsenode.evaluation.results import Results

MOST_INTERVENTIONS = 16
"""Of more interventions than this, those that change the shares of fates most are shown."""


def read(results: Results) -> tuple[pd.DataFrame, Mapping[Key, Choice], pd.DataFrame]:
    """Read what `draw` takes."""
    return results.metrics, results.choices, read_table(results.files["interventions"], needed=COLUMNS)


def draw(dataset: str, metrics: pd.DataFrame, choices: Mapping[Key, Choice], table: pd.DataFrame) -> Figure:
    """A panel for each network, of six at most: how far effects are off, or how fates change.

    Args:
        dataset: name of the dataset, for the heading.
        metrics: metrics of all trajectories, by which networks are chosen where there are more.
        choices: chosen strengths by (model, method).
        table: forecast interventions, in the form of metrics.

    Raises:
        UserError: the table holds no trained model.
    """
    models = [model for model in dict.fromkeys(table["model"]) if model]
    if not models:
        raise UserError(f"the interventions on {dataset} hold no trained model: train and evaluate at least one")
    every = [(model, method) for model in models for method in style.method_order(pick(table, model=model)["method"])]
    ranked = choose_networks(metrics, {key: choices.get(key, Choice(None, "")) for key in every}, MOST_PANELS)
    networks = ranked if len(every) > MOST_PANELS else every
    notes = describe_selection(len(networks), len(every))
    names = [panel_name(key, models) for key in networks]
    tables = [pick(table, model=model, method=method) for model, method in networks]
    if pick(table, metric="fate_share").empty:
        return _draw_all_effects(dataset, table, names, tables, notes)
    return _draw_all_fates(dataset, table, names, tables, notes)


def _draw_all_effects(
    dataset: str, table: pd.DataFrame, names: Sequence[str], tables: Sequence[pd.DataFrame], notes: Sequence[str]
) -> Figure:
    """One frame for all panels; what was predicted far beyond the true effects leaves it."""
    phase = "fit" if "fit" in set(pick(table, metric="effect")["phase"]) else "extrapolation"
    true = pick(table, metric="effect", method=TRUTH, phase=phase)
    count = true["trajectory"].nunique()
    unit = next((unit for unit in pick(table, metric="effect")["unit"] if unit), "")
    heading = [
        f"{dataset}: how far forecast effects of {count} intervention{'s' if count > 1 else ''} are off",
        "a point: another variable's mean; 0: as it truly changes; bars: range over seeds",
        *notes,
    ]
    panels = make_panels(len(names), height=2.2, heading=heading, sharex=True, sharey=True)
    reach = float(true["value"].abs().max()) or 1.0
    offsets = [_draw_effects(axes, true, rows, phase) for axes, rows in zip(panels.axes, tables, strict=True)]
    farthest = max(float(np.max(np.abs(off[np.isfinite(off)]), initial=0.0)) for off in offsets)
    limit = max(0.05 * reach, min(1.2 * farthest, reach))
    for number, (axes, name, rows, off) in enumerate(zip(panels.axes, names, tables, offsets, strict=True)):
        skill = pick(rows, metric="intervention_skill", trajectory=ALL, phase=phase, status="finished")["value"]
        beyond = int((np.abs(off[0]) > limit).sum())
        axes.set_title(
            f"{name}\nskill " + (f"{skill.median():.2f}" if len(skill) else "undefined")
            + (f"; {beyond} beyond the panel" if beyond else "")
        )  # fmt: skip
        axes.set_xlim(-1.15 * reach, 1.15 * reach)
        if number % 2 == 0:
            axes.set_ylabel("forecast less true" + (f"\n({unit})" if unit else ""))
    panels.axes[0].set_ylim(-limit, limit)
    label_bottom(panels, "true change" + (f"\n({unit})" if unit else ""))
    return panels.figure


def _draw_effects(axes: Axes, true_rows: pd.DataFrame, rows: pd.DataFrame, phase: str) -> np.ndarray:
    """How far the median forecast of each effect is off, with its range, over the true effect.

    Returns:
        Forecast less true (3, effect), of the median, the least and the largest forecast over seeds.
    """
    keys = ["trajectory", "reference"]
    true = true_rows.set_index(keys)["value"]
    predicted = pick(rows, metric="effect", phase=phase, status="finished").groupby(keys)["value"]
    spread = predicted.agg(["median", "min", "max"]).reindex(true.index)
    middle, least, most = (spread[column].to_numpy(np.float64) for column in ("median", "min", "max"))
    axes.axhline(0, color=style.GRAY, linewidth=0.8, zorder=1)
    method = rows["method"].iloc[0]
    look = style.looks([method])[method]
    axes.errorbar(
        true.to_numpy(), middle - true.to_numpy(), yerr=np.array([middle - least, most - middle]), color=look.color,
        marker=look.marker, markersize=3.5, linestyle="none", elinewidth=0.8,
    )  # fmt: skip
    return np.stack((middle, least, most)) - true.to_numpy()


def _draw_all_fates(
    dataset: str, table: pd.DataFrame, names: Sequence[str], tables: Sequence[pd.DataFrame], notes: Sequence[str]
) -> Figure:
    shares = pick(table, metric="fate_share", status="finished", seed=NO_SEED)
    fates = list(dict.fromkeys(pick(table, metric="fate_share", status="finished")["reference"]))
    changes = [fate_changes(rows, fates) for rows in tables]
    every = [name for name in dict.fromkeys(shares["trajectory"]) if name != UNCLAMPED]
    shown = choose_interventions(every, changes)
    expected = expected_changes(table, shown, fates)
    heading = [f"{dataset}: how fates of forecasts change when a variable is held"]
    if expected.any(axis=None):
        heading.append("triangles: expected, more frequent or rarer; black: so forecast, hollow: not")
    if len(shown) < len(every):
        heading.append(f"the {len(shown)} of {len(every)} interventions that change most")
    heading += notes
    panels = make_panels(len(names), height=0.2 * len(shown) + 0.8, heading=heading, sharex=True, sharey=True)
    mesh = None
    for axes, name, rows, change in zip(panels.axes, names, tables, changes, strict=True):
        mesh = _draw_fates(axes, change.reindex(shown), expected) or mesh
        axes.set_title(f"{name}\n{_verdict(rows) if len(change) else 'no strength chosen'}".rstrip())
    fate_labels = name_labels([fate for fate in fates if fate != NO_FATE])
    labels = ["none of them" if fate == NO_FATE else fate_labels[fate] for fate in fates]
    rows_of = name_labels(name.replace("_", " ") for name in shown)
    label_bottom(panels, "")
    for axes in panels.axes:
        axes.set_xticks(np.arange(len(fates)) + 0.5, labels, rotation=90)
        axes.set_yticks(np.arange(len(shown)) + 0.5, list(rows_of.values()), rotation=0)
    _add_bar(panels, mesh)
    return panels.figure


def fate_changes(rows: pd.DataFrame, fates: Sequence[str]) -> pd.DataFrame:
    """Share of forecasts that end in each fate (column), less that without an intervention, by intervention."""
    shares = pick(rows, metric="fate_share", seed=NO_SEED, status="finished")
    table = shares.pivot(index="trajectory", columns="reference", values="value").reindex(columns=list(fates))
    return table.drop(index=UNCLAMPED) - table.loc[UNCLAMPED] if UNCLAMPED in table.index else table.iloc[:0]


def expected_changes(table: pd.DataFrame, interventions: Sequence[str], fates: Sequence[str]) -> pd.DataFrame:
    """1 where a fate (column) is expected to become more frequent under an intervention, −1 where rarer, else 0."""
    rows = pick(table, metric="fate_expected").drop_duplicates(["trajectory", "reference"])
    expected = rows.pivot(index="trajectory", columns="reference", values="value")
    return expected.reindex(index=list(interventions), columns=list(fates)).fillna(0.0)


def choose_interventions(names: Sequence[str], changes: Sequence[pd.DataFrame]) -> list[str]:
    """All interventions, or of many those whose largest change of a share, in the mean over networks, is largest."""
    if len(names) <= MOST_INTERVENTIONS:
        return list(names)
    largest = np.mean([change.abs().max(axis=1).reindex(list(names)).fillna(0.0) for change in changes], axis=0)
    best = set(np.argsort(-largest, kind="stable")[:MOST_INTERVENTIONS].tolist())
    return [name for number, name in enumerate(names) if number in best]


def _draw_fates(axes: Axes, change: pd.DataFrame, expected: pd.DataFrame) -> Any:
    """A heat map of changes, in percentage points, with a triangle where one is expected."""
    values = 100 * change.to_numpy(np.float64)
    mesh = style.draw_heat_map(
        axes, values, ~np.isfinite(values), cmap="RdBu_r", vmin=-100, vmax=100, linewidths=0.5, linecolor="white"
    )
    for (row, column), way in np.ndenumerate(expected.to_numpy()):
        if way:
            agrees = np.sign(values[row, column]) == way and abs(values[row, column]) > 1e-7
            axes.plot(
                [column + 0.5], [row + 0.5], marker="^" if way > 0 else "v", markersize=5, linestyle="none",
                markerfacecolor="black" if agrees else "white", markeredgecolor="black", markeredgewidth=0.8,
            )  # fmt: skip
    return mesh


def _verdict(rows: pd.DataFrame) -> str:
    """How many interventions agree with what is expected of them, in words; empty where nothing is expected."""
    agreement = pick(rows, metric="fate_agreement", seed=NO_SEED)
    verdicts = agreement.loc[agreement["trajectory"] != ALL, "value"]
    return f"{int((verdicts == 1).sum())} of {len(verdicts)} as expected" if len(verdicts) else ""


def _add_bar(panels: Panels, mesh: Any) -> None:
    if mesh is None:
        return
    bar = panels.figure.colorbar(mesh, ax=panels.axes, location="bottom", shrink=0.6, aspect=30, pad=0.02)
    bar.set_label("change of the share of forecasts (percentage points)")
