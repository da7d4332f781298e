"""What all figures share: colors, fonts, words, axes, writing of files."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.path import Path as Path2D

from sparsenode.evaluation.results import Choice, count_members, pick
from sparsenode.evaluation.tables import PEER
from sparsenode.figures.layout import settle
from sparsenode.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

BLACK, GRAY, LIGHT_GRAY = "#000000", "#6f6f6f", "#d0d0d0"
# Colors of Okabe and Ito (2008), which all common kinds of color vision tell apart.
BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"
_METHOD_LOOKS = {
    "none": (BLACK, "D"),
    "l1": (BLUE, "o"),
    "cnode": (ORANGE, "s"),
    "l0": (GREEN, "^"),
    "pathreg": (VERMILION, "v"),
    "grouplasso": (PURPLE, "P"),
    "lassonet": (SKY, "X"),
    "imp": ("#8C6D31", "h"),
    "dash": ("#7A5195", "p"),
}
_SPARE_COLORS = (PURPLE, SKY, "#8C6D31", "#7A5195", "#4D4D4D", "#882255", "#999933", VERMILION, GREEN, ORANGE, BLUE)
_SPARE_MARKERS = ("P", "X", "h", "p", "*", "H", "D", "<", ">", "8", "d")
# Peers are no models of this package: dashed and gray, so that the colors are left to those that are.
_PEER_LOOKS = {
    "peer:correlation": ("#8c8c8c", "1", (0, (1, 1))),
    "peer:extra_trees": ("#000000", "2", (0, (1, 1))),
    "peer:sindy": ("#4d4d4d", "3", (0, (5, 2))),
    "peer:lasso": ("#000000", "+", (0, (3, 1, 1, 1, 1, 1))),
    "peer:lassonet": ("#8c8c8c", "4", (0, (6, 1, 1, 1))),
    "peer:pcmci": ("#000000", "x", (0, (7, 2))),
    "peer:granger": ("#4d4d4d", "x", (0, (1, 2))),
    "peer:quadratic_lasso": ("#4d4d4d", "+", (0, (4, 1, 1, 1, 1, 1))),
    "peer:dyngenie3": ("#8c8c8c", "2", (0, (3, 2))),
}
_SPARE_PEER_LINES = ((0, (8, 2)), (0, (2, 2)), (0, (8, 2, 2, 2)))
PEER_NAMES = {
    "peer:correlation": "correlation",
    "peer:extra_trees": "extra trees",
    "peer:sindy": "SINDy",
    "peer:lasso": "lasso",
    "peer:lassonet": "LassoNet, static",
    "peer:pcmci": "PCMCI+",
    "peer:granger": "Granger",
    "peer:quadratic_lasso": "lasso on products",
    "peer:dyngenie3": "dynGENIE3",
}
EDGE, NEW_EDGE = BLUE, VERMILION
"""Colors of edges: those of the true or the prior network, and learned ones that it does not have."""
MARK = "†"
TOLD = f"{MARK} given a prior network made of the true one"
MOST_DECADES = 1e6
"""Errors are shown over at most this range; what exploded leaves the panel at its top."""
_NO_DENSITY = 1e-9
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# Two strokes across an axis, as a marker.
_BREAK = Path2D([(-2, -3), (0, 3), (0, -3), (2, 3)], [Path2D.MOVETO, Path2D.LINETO] * 2)


@dataclass(frozen=True)
class Look:
    """How a method is drawn, the same in every figure."""

    color: str
    marker: str
    line: Any = "-"


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """Look of each method; those of the package have their own, other ones take spare ones in order; peers are gray."""
    methods = list(dict.fromkeys(methods))
    peers = [name for name in methods if name.startswith(PEER)]
    methods = [name for name in methods if name not in peers]
    taken = {_METHOD_LOOKS[name] for name in methods if name in _METHOD_LOOKS}
    spare = [
        look
        for look in zip(_SPARE_COLORS, _SPARE_MARKERS, strict=True)
        if look[0] not in {color for color, _ in taken} or look not in taken
    ]
    # Colors that are left come first.
    spare.sort(key=lambda look: look[0] in {color for color, _ in taken})
    assigned, spare_count = {}, 0
    for name in methods:
        if name in _METHOD_LOOKS:
            assigned[name] = Look(*_METHOD_LOOKS[name])
        else:
            assigned[name] = Look(*spare[spare_count % len(spare)])
            spare_count += 1
    strangers = [name for name in peers if name not in _PEER_LOOKS]
    for name in peers:
        if name in _PEER_LOOKS:
            assigned[name] = Look(*_PEER_LOOKS[name])
        else:
            assigned[name] = Look(GRAY, "|", _SPARE_PEER_LINES[strangers.index(name) % len(_SPARE_PEER_LINES)])
    return assigned


def method_order(methods: Iterable[str]) -> list[str]:
    """Methods in the order in which all figures show them: the package's own, then other ones as they come."""
    names = [name for name in dict.fromkeys(methods) if ":" not in name and name]
    ordered = [name for name in _METHOD_LOOKS if name in names]
    return ordered + [name for name in names if name not in ordered]


def peer_order(methods: Iterable[str]) -> list[str]:
    """Peers, `peer:NAME`, in the order in which all figures show them."""
    names = [name for name in dict.fromkeys(methods) if name.startswith(PEER)]
    ordered = [name for name in _PEER_LOOKS if name in names]
    return ordered + [name for name in names if name not in ordered]


def method_label(method: str) -> str:
    """A method or a peer in words."""
    return PEER_NAMES.get(method, method.removeprefix(PEER).replace("_", " ") if method.startswith(PEER) else method)


def told_label(method: str, choices: Mapping[tuple[str, str], Choice]) -> str:
    """A method in words, with a mark where it is given a prior that is made of the true network (`TOLD`)."""
    knows_truth = any(choice.knows_truth for (_, name), choice in choices.items() if name == method)
    return method_label(method) + (f" {MARK}" if knows_truth else "")


def told_notes(choices: Mapping[tuple[str, str], Choice]) -> list[str]:
    """What the mark of `told_label` means, where any method has it."""
    return [TOLD] if any(choice.knows_truth for choice in choices.values()) else []


@contextlib.contextmanager
def style(font_size: float = 9.0) -> Iterator[None]:
    """The theme of all figures, whatever a person's own settings are; `font_size` in points."""
    import seaborn as sns

    settings = {
        "font.size": font_size,
        "font.family": "DejaVu Sans",
        "axes.titlesize": font_size,
        "axes.labelsize": font_size,
        "xtick.labelsize": 0.85 * font_size,
        "ytick.labelsize": 0.85 * font_size,
        "legend.fontsize": 0.9 * font_size,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
        "lines.linewidth": 1.4,
        "lines.markersize": 4,
        "patch.force_edgecolor": False,
        "pdf.fonttype": 42,
        "figure.dpi": 100,
        # Names of variables and trajectories may hold dollar signs: no text is a formula.
        "text.parse_math": False,
    }
    # The writer of PDF files tells at length, at the level of information, how it cuts fonts.
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    with mpl.style.context(["default", sns.axes_style("ticks"), settings]):
        yield


def save_figure(figure: Figure, outputs: Sequence[Path], *, dots_per_inch: float = 150) -> None:
    """Write a figure to each path, in the format of its ending; the same figure gives the same bytes every time."""
    # The layout is found here, not again for each format.
    settle(figure)
    for path in outputs:
        # Neither dates nor program versions, by which equal figures would differ.
        metadata = {".pdf": {"CreationDate": None, "Producer": None, "Creator": None}, ".png": {"Software": None}}
        ending = Path(path).suffix
        content = io.BytesIO()
        figure.savefig(
            content,
            format=ending.removeprefix("."),
            dpi=dots_per_inch,
            bbox_inches="tight",
            metadata=metadata.get(ending, {}),
        )
        # Written in one go: matplotlib's own writers answer a full disk with a traceback.
        with write_atomically(path) as temporary:
            temporary.write_bytes(content.getvalue())


def describe_divergence(metrics: pd.DataFrame, model: str, method: str) -> str:
    """How many members diverged, in words."""
    lost, count = count_members(metrics, model, method)
    return f"{lost} of {count} diverged"


def count_seeds(metrics: pd.DataFrame) -> str:
    """Number of seeds in words."""
    count = pick(metrics, metric="seconds")["seed"].nunique()
    return f"{count} seed" if count == 1 else f"{count} seeds"


def describe_protocol(protocol: str) -> str:
    """What forecasts of a protocol are given, in words."""
    if protocol == "rolling":
        return "rolling starts, given the past"
    if protocol == "window":
        return "windows, each forecast from only its first observation"
    if protocol == "one_step":
        return "single steps, each from one observation to the next"
    return "whole trajectories, each forecast from its initial state"


def draw_spread(
    axes: Axes, rows: pd.DataFrame, x: str, *, color: str, alpha: float = 0.2, bars: bool = False, **look: Any
) -> None:
    """Draw the median over seeds of the column `value` as a line, and their range as a band or as bars.

    Args:
        axes: panel to draw in.
        rows: one row for each member and place.
        x: column of the places along the panel.
        color: color of the line and of the range.
        alpha: opacity of a band.
        bars: whether the range is drawn as bars.
        **look: what else a line takes.
    """
    import seaborn as sns

    kind = {"err_style": "bars", "err_kws": {"elinewidth": 0.9}} if bars else {"err_kws": {"alpha": alpha, "lw": 0}}
    look = {"markeredgecolor": color, **kind, **look}
    sns.lineplot(
        rows, x=x, y="value", estimator="median", errorbar=("pi", 100), color=color, legend=False, ax=axes, **look
    )
    _clear_labels(axes)


def draw_dots(
    axes: Axes, times: np.ndarray | pd.Series, values: np.ndarray | pd.Series, *, points: float, color: str, **look: Any
) -> None:
    """Draw observations as dots without an edge.

    Args:
        axes: panel to draw in.
        times: times of the observations (observation,).
        values: their values (observation,).
        points: diameter of a dot, in points.
        color: color of the dots.
        **look: what else `seaborn.scatterplot` takes.
    """
    import seaborn as sns

    # Arrays have no names, which seaborn would label the axes with.
    x, y = np.asarray(times), np.asarray(values)
    sns.scatterplot(x=x, y=y, s=points**2, color=color, linewidth=0, legend=False, ax=axes, **look)


def draw_range(axes: Axes, table: pd.DataFrame, *, color: str, linewidth: float = 1.2) -> None:
    """Draw the median of forecasts as a line and their range as a band, both broken where `time` is NaN.

    Args:
        axes: panel to draw in.
        table: columns `time`, `median`, `min` and `max`.
        color: color of both.
        linewidth: width of the line, in points.
    """
    # By matplotlib, as seaborn leaves NaN out, and a line for each window takes ten times as long as a broken one.
    axes.plot(table["time"], table["median"], color=color, linewidth=linewidth, zorder=4)
    axes.fill_between(table["time"], table["min"], table["max"], color=color, alpha=0.18, linewidth=0, zorder=3)


def draw_members(
    axes: Axes,
    members: pd.DataFrame,
    look: Look,
    chosen: float | None,
    *,
    place: Callable[[pd.Series], Any] = np.asarray,
    label: str = "",
    ring: float = 12,
) -> None:
    """Draw members as small dots, their medians joined in order of strength, and a ring at the chosen strength.

    Args:
        axes: panel to draw in.
        members: columns `strength`, `x` and `y`.
        look: look of their method.
        chosen: strength that gets the ring; None for none.
        place: gives the positions of values of `x` along the panel.
        label: name of the line in the legend; empty for none.
        ring: diameter of the ring, in points.
    """
    import seaborn as sns

    middle = members.groupby("strength")[["x", "y"]].median().sort_index()
    middle, members = (table.assign(x=place(table["x"])) for table in (middle, members))
    dots = {"s": 6, "alpha": 0.5, "linewidth": 0, "legend": False}
    sns.scatterplot(members, x="x", y="y", color=look.color, zorder=3, ax=axes, **dots)
    sns.lineplot(
        middle, x="x", y="y", sort=False, estimator=None, color=look.color, marker=look.marker,
        markersize=5, linewidth=1, markeredgewidth=0.5, label=label or None, legend=False, zorder=4, ax=axes,
    )  # fmt: skip
    point = middle[middle.index == chosen]
    if len(point):
        axes.plot(
            point["x"], point["y"], marker="o", markersize=ring, markerfacecolor="none", zorder=5,
            markeredgecolor=look.color, markeredgewidth=1.6, linestyle="none",
        )  # fmt: skip
    _clear_labels(axes)


def draw_heat_map(axes: Axes, values: np.ndarray | pd.DataFrame, mask: np.ndarray | None = None, **look: Any) -> Any:
    """Draw a framed heat map of values (row, column), and give it for a color bar.

    Args:
        axes: panel to draw in.
        values: what colors stand for (row, column).
        mask: true where nothing is drawn (row, column); None for nowhere.
        **look: what else `seaborn.heatmap` takes.
    """
    import seaborn as sns

    look = {"cbar": False, "xticklabels": False, "yticklabels": False, **look}
    sns.heatmap(values, mask=mask, ax=axes, **look)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(True)
    return axes.collections[-1]


def _clear_labels(axes: Axes) -> None:
    """Take names of columns away from the axes, where seaborn puts them."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(text="", visible=True)


class StrengthAxis:
    """A logarithmic axis of strengths on which 0 has a place of its own, left of a break."""

    def __init__(self, strengths: Iterable[float]) -> None:
        values = sorted({float(strength) for strength in strengths if np.isfinite(strength)})
        self.positive = [value for value in values if value > 0]
        self.has_zero = 0.0 in values
        least = min(self.positive, default=1.0)
        self.zero = least / 10

    def place(self, strengths: Iterable[float]) -> np.ndarray:
        """Positions on the axis."""
        values = np.asarray(list(strengths), np.float64)
        return np.where(values > 0, values, self.zero)

    def _far_apart(self) -> list[float]:
        """The least strength, and from there on those whose labels have room beside that of the last one."""
        span = np.log10(4 * max(self.positive) / (self.zero if self.has_zero else min(self.positive)))
        chosen: list[float] = []
        for strength in self.positive:
            # A letter takes about this share of a panel.
            if not chosen or np.log10(strength / chosen[-1]) >= 0.045 * len(f"{strength:g}") * span:
                chosen.append(strength)
        return chosen

    def draw(self, axes: Axes) -> None:
        """Scale, limits and tick labels; the break between 0 and the rest is a mark on the axis.

        Powers of ten have labels, or the strengths themselves where none lies within them.
        """
        axes.set_xscale("log")
        least, largest = min(self.positive, default=1.0), max(self.positive, default=1.0)
        axes.set_xlim((self.zero if self.has_zero else least) / 2, largest * 2)
        powers = np.arange(np.ceil(np.log10(least) - 1e-9), np.floor(np.log10(largest) + 1e-9) + 1)
        every = max(1, int(np.ceil(len(powers) / 4)))
        ticks = [10.0**power for power in powers[::every]]
        labels = [power_of_ten(power) for power in powers[::every]]
        if not ticks:
            ticks = self._far_apart()
            labels = [f"{strength:g}" for strength in ticks]
        if self.has_zero:
            ticks, labels = [self.zero, *ticks], ["0", *labels]
            between = np.sqrt(self.zero * least)
            axes.plot(
                [between], [0], marker=_BREAK, color=BLACK, markersize=6, clip_on=False, zorder=5,
                transform=axes.get_xaxis_transform(), linestyle="none",
            )  # fmt: skip
        axes.set_xticks(ticks, labels)
        axes.minorticks_off()


class SparsityAxis:
    """Sparsity along a logarithmic axis of what is left (density): 90, 95 and 99 % are apart; sparser is right, or up.

    A network without any path, whose density has no logarithm, has a place of its own beyond a break.
    """

    def __init__(self, sparsities: Iterable[float], *, least_end: float = 0.95) -> None:
        """`sparsities` (0 to 1) are to be in sight; the axis goes at least as far as `least_end`."""
        values = np.asarray(list(sparsities), np.float64)
        densities = 1 - values[np.isfinite(values)]
        present = densities[densities > _NO_DENSITY]
        self.least = 0.8 * min(float(present.min(initial=1.0)), 1 - least_end)
        self.has_empty = bool((densities <= _NO_DENSITY).any())
        self.empty = self.least / 1.7

    def place(self, sparsities: Iterable[float]) -> np.ndarray:
        """Positions on the axis."""
        densities = 1 - np.asarray(list(sparsities), np.float64)
        return np.where(densities > _NO_DENSITY, densities, self.empty)

    def draw(self, axes: Axes, which: Literal["x", "y"]) -> None:
        """Scale, limits and tick labels in percent of the axis `which`; the break is a mark on it."""
        from matplotlib.ticker import NullLocator

        axis = axes.xaxis if which == "x" else axes.yaxis
        end = self.empty / 1.15 if self.has_empty else self.least
        axes.set(**{f"{which}scale": "log", f"{which}lim": (1.12, end)})
        room = 0.085 * np.log10(1.12 / end)
        tick_labels: dict[float, str] = {self.empty: "100"} if self.has_empty else {}
        # 0 and the powers of ten first; the other ticks where there is room.
        for sparsity in (0, 90, 99, 99.9, 99.99, 50, 95, 99.5, 99.95, 80, 98, 99.8, 20, 70):
            density = 1 - sparsity / 100
            if density >= self.least * 0.999 and all(abs(np.log10(density / other)) >= room for other in tick_labels):
                tick_labels[density] = f"{sparsity:g}"
        axis.set_ticks(list(tick_labels), list(tick_labels.values()))
        axis.set_minor_locator(NullLocator())
        if self.has_empty:
            between = float(np.sqrt(self.empty * self.least))
            where, along = ((between, 0), axes.get_xaxis_transform()), ((0, between), axes.get_yaxis_transform())
            (x, y), transform = where if which == "x" else along
            axes.plot(
                [x], [y], marker=_BREAK, color=BLACK, markersize=6, clip_on=False, zorder=5, transform=transform,
                linestyle="none",
            )  # fmt: skip


def power_of_ten(exponent: float) -> str:
    """A whole power of ten as people write it, without a formula: 10⁻³."""
    return f"10{str(round(exponent)).translate(_SUPERSCRIPTS)}"


def label_powers(axis: Axis) -> None:
    """Label the whole powers of ten along a logarithmic axis, also that of a color bar, and nothing between them."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(np.log10(value)) if value > 0 else ""))
    axis.set_minor_formatter(NullFormatter())


def format_strength(strength: float | None) -> str:
    """A strength as people write it."""
    if strength is None or not np.isfinite(strength):
        return "none (too few members finished)"
    return f"{strength:g}"


def heading(dataset: str, model: str, models: Sequence[str]) -> str:
    """Name of the dataset, and of the model where there are several."""
    return dataset if len(models) == 1 else f"{dataset}, model {model}"


def limit_errors(axes: Axes) -> None:
    """Logarithmic scale of errors: what exploded leaves the panel at its top; a short range gets more labels."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    axes.set_yscale("log")
    label_powers(axes.yaxis)
    low, high = axes.get_ylim()
    high = min(high, MOST_DECADES * low)
    axes.set_ylim(low, high)
    if high < 100 * low:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def time_label(unit: str) -> str:
    """Label of an axis of time; a unit of no meaning is left out."""
    if unit in {"", "time unit"}:
        return "time"
    return f"time: {unit}" if "(" in unit else f"time ({unit})"
