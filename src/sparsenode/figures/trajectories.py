"""Observed and predicted trajectories at the chosen strengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.evaluation.results import Choice, count_members
from sparsenode.figures import style
from sparsenode.figures.names import name_labels
from sparsenode.figures.panels import (
    Key,
    Panels,
    add_legend,
    choose_networks,
    describe_selection,
    make_panels,
    panel_name,
    validation_ratio,
)
from sparsenode.figures.style import Look
from sparsenode.files import read_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sparsenode.evaluation.results import Results

FEATURES = 2
TRAJECTORIES = 2
MOST_NETWORKS = 5
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)))
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
_NUMBERS = ("seed", "start", "time", "observed", "predicted")


def read(results: Results) -> tuple[pd.DataFrame, Mapping[tuple[str, str], Choice], pd.DataFrame]:
    """Read what `draw` takes."""
    return results.metrics, results.choices, read_table(results.files["forecasts"], needed=(*_TEXT, *_NUMBERS))


def draw(dataset: str, metrics: pd.DataFrame, choices: Mapping[Key, Choice], forecasts: pd.DataFrame) -> Figure:
    """A column for each of two trajectories: the courses of two features with the best forecast, and errors of several.

    Forecasts of several networks nearly coincide with what is observed, and are told apart by their errors.
    """
    every = [key for key in choices if not forecasts[_of_network(forecasts, key, choices[key])].empty]
    ranked = choose_networks(metrics, {key: choices[key] for key in every}, MOST_NETWORKS)
    best = min(ranked, key=lambda key: validation_ratio(metrics, key, choices[key]), default=None)
    observed = _observed(forecasts)
    within = set(forecasts.loc[forecasts["protocol"] == "rolling", "trajectory"])
    names = choose_trajectories(observed[observed["trajectory"].isin(within)] if within else observed)
    features = choose_features(observed)
    labels = name_labels([*names, *features])
    looks = network_looks(ranked)
    rows = {key: forecasts[_of_network(forecasts, key, choices[key])] for key in ranked}
    models = list(dict.fromkeys(model for model, _ in choices))
    heading = [f"{dataset}: observed and forecast courses, and errors of the forecasts"]
    if best is not None:
        protocol = style.describe_protocol(choices[best].protocol)
        heading.append(f"line: {' '.join(panel_name(best, models).split())}, best on validation, of {protocol}")
    heading += ["median over seeds; band: their range", *describe_selection(len(ranked), len(every))]
    panels = make_panels(len(names) * (len(features) + 1), height=1.55, heading=heading, columns=len(names))
    grid = np.array(panels.axes, object).reshape(len(features) + 1, len(names))
    for row, feature in zip(grid, features, strict=False):
        for axes, name in zip(row, names, strict=True):
            _draw_observed(axes, observed, name, feature)
            if best is not None:
                _draw_forecast(axes, _of_panel(rows[best], name, feature), observed, name, feature, looks[best])
        _limit_courses(row, observed, names, feature)
        row[0].set_ylabel(f"{labels[feature]}\n({_unit(forecasts, 'value_unit')})")
    for axes, name in zip(grid[-1], names, strict=True):
        for key in ranked:
            _draw_errors(axes, rows[key][rows[key]["trajectory"] == name], looks[key])
        axes.set_xlabel(style.time_label(_unit(forecasts, "time_unit")))
    _limit_error_rows(grid[-1])
    grid[-1, 0].set_ylabel(f"error over all features\n({_unit(forecasts, 'value_unit')})")
    for axes, name in zip(grid[0], names, strict=True):
        axes.set_title(_title(observed, name, labels[name]))
    for axes, name in zip(grid.T, names, strict=True):
        times = observed.loc[observed["trajectory"] == name, "time"]
        for panel in axes:
            margin = 0.03 * (float(np.ptp(times)) or 1.0)
            panel.set_xlim(times.min() - margin, times.max() + margin)
    _legend(panels, metrics, looks, models, observed, (names, features))
    return panels.figure


def network_looks(keys: Sequence[Key]) -> dict[Key, Look]:
    """Look of each network: the color of its method; a method of a second model is dashed."""
    by_method = style.looks(style.method_order(method for _, method in keys))
    seen: dict[str, int] = {}
    looks = {}
    for key in keys:
        number = seen.get(key[1], 0)
        seen[key[1]] = number + 1
        look = by_method[key[1]]
        looks[key] = Look(look.color, look.marker, DASHES[number % len(DASHES)])
    return looks


def _of_network(forecasts: pd.DataFrame, key: Key, choice: Choice) -> np.ndarray:
    """Which rows are forecasts of a network by the protocol that it was chosen by."""
    wanted = {"model": key[0], "method": key[1], "protocol": choice.protocol}
    return np.all([(forecasts[name] == value).to_numpy() for name, value in wanted.items()], axis=0)


def _of_panel(rows: pd.DataFrame, name: str, feature: str) -> pd.DataFrame:
    return rows[(rows["trajectory"] == name) & (rows["feature"] == feature)]


def _limit_courses(row: np.ndarray, observed: pd.DataFrame, names: Sequence[str], feature: str) -> None:
    """The observations set the scale, which a forecast that explodes must not."""
    of_panels = observed["feature"].eq(feature) & observed["trajectory"].isin(names)
    values = observed.loc[of_panels, "observed"].dropna()
    if not values.empty:
        margin = 0.15 * (float(np.ptp(values)) or 1.0)
        for axes in row:
            axes.set_ylim(values.min() - margin, values.max() + margin)


def error_course(rows: pd.DataFrame) -> pd.DataFrame:
    """Root mean square over features of the error of one trajectory's forecasts.

    Columns `start`, `time` and `median` over seeds, in the order of time within each start.
    """
    squares = (rows["predicted"] - rows["observed"]).astype(np.float64) ** 2
    means = squares.groupby([rows["start"], rows["time"], rows["seed"]]).mean()
    return (means**0.5).groupby(level=["start", "time"]).median().rename("median").reset_index()


def _draw_errors(axes: Axes, rows: pd.DataFrame, look: Look) -> None:
    course = error_course(rows)
    course = course[np.isfinite(course["median"]) & (course["median"] > 0)]
    times, values = [], []
    for _, window in course.groupby("start"):
        # A line is broken where the next forecast starts.
        times += [*window["time"], np.nan]
        values += [*window["median"], np.nan]
    axes.plot(times, values, color=look.color, linestyle=look.line, linewidth=1.1)


def _limit_error_rows(row: np.ndarray) -> None:
    """One logarithmic scale for all trajectories."""
    values = np.concatenate([line.get_ydata() for axes in row for line in axes.get_lines()] or [np.empty(0)])
    values = values[np.isfinite(values)]
    if not len(values):
        return
    low = max(float(np.quantile(values, 0.02)), float(values.max()) / style.MOST_DECADES)
    high = min(2.0 * float(values.max()), style.MOST_DECADES * low)
    for axes in row:
        axes.set_ylim(low / 1.5, high)
        style.limit_errors(axes)


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
    panels: Panels,
    metrics: pd.DataFrame,
    looks: Mapping[Key, Look],
    models: Sequence[str],
    observed: pd.DataFrame,
    shown: tuple[Sequence[str], Sequence[str]],
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    names, features = shown
    handles: list[Any] = [Line2D([], [], color="#9a9a9a", marker=".", linestyle="none")]
    labels = ["observed"]
    noisy = (is_noisy(_of_panel(observed, name, feature)["observed"]) for name in names for feature in features)
    if any(noisy):
        handles.append(Line2D([], [], color=style.GRAY, linestyle="--"))
        labels.append(f"mean of {NEIGHBORS} observations")
    for key, look in looks.items():
        handles.append(Line2D([], [], color=look.color, linestyle=look.line))
        lost, _ = count_members(metrics, *key)
        losses = f" ({style.describe_divergence(metrics, *key)})" if lost else ""
        labels.append(f"{' '.join(panel_name(key, models).split())}{losses}")
    shaded = {SPAN_LOOKS[key] for name in names for _, _, key in spans(observed, name) if key in SPAN_LOOKS}
    for label, color in sorted(shaded):
        handles.append(Patch(color=color))
        labels.append(f"{label} data")
    add_legend(panels, handles, labels)
