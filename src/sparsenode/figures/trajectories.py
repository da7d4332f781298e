"""Observed and predicted trajectories at the chosen strengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sparsenode.evaluation.results import Choice, models_of
from sparsenode.figures import style
from sparsenode.figures.names import name_labels
from sparsenode.figures.style import Look
from sparsenode.files import read_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from sparsenode.evaluation.results import Results

FEATURES = 4
TRAJECTORIES = 4
SPAN_LOOKS = {
    ("validation", "fit"): ("validation", "#FBE7C0"),
    ("test", "fit"): ("test", "#E2E2E2"),
    ("train", "extrapolation"): ("extrapolation", "#EBD9E6"),
    ("validation", "extrapolation"): ("extrapolation", "#EBD9E6"),
    ("test", "extrapolation"): ("extrapolation", "#EBD9E6"),
}
NEIGHBORS = 25
"""Observations in the running mean that is drawn where the observations are noisy."""
MOST_SPANS = 4
"""Splits that interleave more often than this within a trajectory are not shaded."""
_TEXT = ("model", "method", "protocol", "trajectory", "group", "split", "phase", "feature", "time_unit", "value_unit")
_NUMBERS = ("start", "time", "observed", "predicted")


def read(results: Results) -> tuple[pd.DataFrame, Mapping[tuple[str, str], Choice], pd.DataFrame]:
    """Read what `draw` takes."""
    return results.metrics, results.choices, read_table(results.files["forecasts"], needed=(*_TEXT, *_NUMBERS))


def draw(
    dataset: str, metrics: pd.DataFrame, choices: Mapping[tuple[str, str], Choice], forecasts: pd.DataFrame
) -> Figure:
    """For each model a grid of panels: the features that move most, by trajectories, test ones first."""
    from matplotlib.figure import Figure

    models = models_of(metrics)
    observed = _observed(forecasts)
    within = set(forecasts.loc[forecasts["protocol"] == "rolling", "trajectory"])
    names = choose_trajectories(observed[observed["trajectory"].isin(within)] if within else observed)
    features = choose_features(observed)
    labels = name_labels([*names, *features])
    size = (2.4 + 1.9 * len(names), (0.9 + 1.25 * len(features)) * len(models))
    figure = Figure(figsize=size, layout="constrained")
    looks = style.looks(style.method_order(metrics["method"]))
    for subfigure, model in zip(np.atleast_1d(figure.subfigures(len(models), 1)), models, strict=True):
        protocol = next((choice.protocol for (name, _), choice in choices.items() if name == model), "trajectory")
        subfigure.suptitle(
            f"{style.heading(dataset, model, models)}: forecasts of {style.describe_protocol(protocol)}\n"
            f"lines: median over seeds at the chosen strength; bands: range over seeds"
        )
        grid = subfigure.subplots(len(features), len(names), squeeze=False, sharex="col", sharey="row")
        mine = forecasts[(forecasts["model"] == model) & (forecasts["protocol"] == protocol)]
        for axes, name in zip(grid[0], names, strict=True):
            axes.set_title(_title(observed, name, labels[name]))
        for row, feature in zip(grid, features, strict=True):
            unit = "" if len(features) > 2 else f" ({_unit(forecasts, 'value_unit')})"
            row[0].set_ylabel(f"{labels[feature]}{unit}")
            for axes, name in zip(row, names, strict=True):
                _draw_observed(axes, observed, name, feature)
                chosen = mine[(mine["trajectory"] == name) & (mine["feature"] == feature)]
                for method, look in looks.items():
                    _draw_forecast(axes, chosen[chosen["method"] == method], observed, name, feature, look)
            # The observations set the scale, which a forecast that explodes must not.
            of_panels = observed["feature"].eq(feature) & observed["trajectory"].isin(names)
            values = observed.loc[of_panels, "observed"].dropna()
            if values.empty:
                continue
            margin = 0.15 * (float(np.ptp(values)) or 1.0)
            row[0].set_ylim(values.min() - margin, values.max() + margin)
        for axes in grid[-1]:
            axes.set_xlabel(style.time_label(_unit(forecasts, "time_unit")))
        subfigure.supylabel(f"value ({_unit(forecasts, 'value_unit')})", fontsize=grid[0, 0].yaxis.label.get_size())
        _legend(subfigure, metrics, choices, model, looks, observed, names)
    return figure


def _unit(forecasts: pd.DataFrame, column: str) -> str:
    return str(forecasts[column].iloc[0])


def _observed(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Each observation once: those of whole trajectories, of which long ones are thinned out.

    NaN where an entry is missing: no point is drawn there, and no course where half of the neighbors are.
    """
    whole = forecasts[(forecasts["method"] == "baseline:zeros") & (forecasts["protocol"] == "trajectory")]
    text = ["trajectory", "group", "split", "phase", "feature"]
    return whole[[*text, "time", "observed"]].astype(dict.fromkeys(text, str)).sort_values("time", kind="stable")


def choose_trajectories(observed: pd.DataFrame) -> list[str]:
    """Those with most test observations, from each group (lineage, branch) in turn."""
    table = observed.drop_duplicates(["trajectory", "split", "time"])
    share = table["split"].eq("test").groupby(table["trajectory"], sort=False).mean()
    candidates = list(share.index[share == share.max()])
    if len(candidates) == 1:
        candidates = list(share.sort_values(ascending=False, kind="stable").index)
    group_of = dict(zip(observed["trajectory"], observed["group"], strict=True))
    groups: dict[str, list[str]] = {}
    for name in candidates:
        groups.setdefault(group_of[name], []).append(name)
    chosen: list[str] = []
    for turn in range(len(candidates)):
        for number, names in enumerate(groups.values()):
            # Another member of each group, so that several donors are seen.
            if turn < len(names):
                chosen.append(names[(turn + number) % len(names)])
    return list(dict.fromkeys(chosen))[:TRAJECTORIES]


def choose_features(observed: pd.DataFrame) -> list[str]:
    """Those whose smoothed course varies most over the trajectories."""
    wide = observed.groupby(["trajectory", "feature"], sort=False)["observed"]
    smooth = wide.transform(lambda values: values.rolling(15, min_periods=1, center=True).mean())
    movement = smooth.groupby(observed["feature"]).var().sort_values(ascending=False, kind="stable")
    return sorted(movement.index[:FEATURES])


def spans(observed: pd.DataFrame, name: str) -> list[tuple[float, float, tuple[str, str]]]:
    """Stretches of a trajectory to be shaded: (first time, last time, (split, phase))."""
    mine = observed[observed["trajectory"] == name].drop_duplicates("time")
    keys = list(zip(mine["split"], mine["phase"], strict=True))
    times = mine["time"].to_numpy()
    starts = [0, *(number for number in range(1, len(keys)) if keys[number] != keys[number - 1])]
    if not 1 < len(starts) <= MOST_SPANS:
        return []
    edges = [times[0], *((times[number - 1] + times[number]) / 2 for number in starts[1:]), times[-1]]
    stretches = [(edges[number], edges[number + 1], keys[start]) for number, start in enumerate(starts)]
    if mine["split"].nunique() == 1:
        # The title tells the split; only the later phase is worth a shade.
        stretches = [span for span in stretches if span[2][1] != "fit"]
    return stretches


def _title(observed: pd.DataFrame, name: str, label: str) -> str:
    splits = observed.loc[observed["trajectory"] == name, "split"].unique()
    return f"{label}\n({splits[0]})" if len(splits) == 1 else label


def _draw_observed(axes: Axes, observed: pd.DataFrame, name: str, feature: str) -> None:
    for first, last, key in spans(observed, name):
        if key in SPAN_LOOKS:
            axes.axvspan(first, last, color=SPAN_LOOKS[key][1], linewidth=0, zorder=0)
    mine = observed[(observed["trajectory"] == name) & (observed["feature"] == feature)]
    size = float(np.clip(150 / max(len(mine), 1), 2.5, 5))
    style.draw_dots(axes, mine["time"], mine["observed"], points=size / 2, color="#9a9a9a", zorder=1)
    if is_noisy(mine["observed"]):
        course = mine["observed"].rolling(NEIGHBORS, min_periods=NEIGHBORS // 2, center=True).mean()
        # By matplotlib: a line of seaborn has no gaps.
        axes.plot(mine["time"], course, color=style.GRAY, linestyle="--", linewidth=1.2, zorder=2)


def is_noisy(values: pd.Series) -> bool:
    """Whether neighbors in time differ so much that a course is not seen in the points themselves."""
    values = values.dropna()
    return len(values) > 2 * NEIGHBORS and float(values.diff().var()) > 0.2 * float(values.var())


def _draw_forecast(axes: Axes, rows: pd.DataFrame, observed: pd.DataFrame, name: str, feature: str, look: Look) -> None:
    """One line per start: a single one for a whole trajectory, one for each window."""
    if rows.empty:
        return
    table = rows.groupby(["start", "time"])["predicted"].agg(["median", "min", "max"]).reset_index()
    mine = observed[(observed["trajectory"] == name) & (observed["feature"] == feature)]
    observations = mine.groupby("time")["observed"].mean()
    pieces = []
    for start, window in table.groupby("start"):
        if start < window["time"].iloc[0] and start in observations.index:
            restart = observations.loc[start]
            pieces.append(pd.DataFrame({"time": [start], "median": restart, "min": restart, "max": restart}))
        pieces += [window, pd.DataFrame({"time": [np.nan]})]
    style.draw_range(axes, pd.concat(pieces, ignore_index=True), color=look.color)


def _legend(
    subfigure: SubFigure,
    metrics: pd.DataFrame,
    choices: Mapping[tuple[str, str], Choice],
    model: str,
    looks: Mapping[str, Look],
    observed: pd.DataFrame,
    names: Sequence[str],
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [Line2D([], [], color="#9a9a9a", marker=".", linestyle="none")]
    labels = ["observed"]
    if any(is_noisy(rows["observed"]) for _, rows in observed.groupby(["trajectory", "feature"])):
        handles.append(Line2D([], [], color=style.GRAY, linestyle="--"))
        labels.append(f"observed, mean of {NEIGHBORS}\nneighbors in time")
    for method, look in looks.items():
        if (model, method) in choices:
            strength = style.format_strength(choices[model, method].strength)
            handles.append(Line2D([], [], color=look.color))
            labels.append(f"{method}: strength {strength}\n({style.describe_divergence(metrics, model, method)})")
    shaded = {SPAN_LOOKS[key] for name in names for _, _, key in spans(observed, name) if key in SPAN_LOOKS}
    for label, color in sorted(shaded):
        handles.append(Patch(color=color))
        labels.append(label)
    subfigure.legend(handles, labels, loc="outside right upper")
