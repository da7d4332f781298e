"""Where the texts of a figure lie once it is rendered, and which of them lie on each other."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.transforms import Bbox

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOUCH = 1.0
"""Pixels by which extents may reach into each other: they are a little larger than the ink."""


def texts_of(figure: Figure) -> dict[str, Bbox]:
    """Extent of each legend, heading, title, label and tick label that is seen; entries of a legend are of one box."""
    figure.draw_without_rendering()
    legends = [legend for legend in figure.findobj(Legend) if _is_seen(legend)]
    within = _undrawn(figure) | {id(text) for legend in legends for text in legend.findobj(Text)}
    boxes = {f"legend {number}": legend.get_window_extent() for number, legend in enumerate(legends)}
    for number, text in enumerate(figure.findobj(lambda artist: isinstance(artist, Text) and _is_seen(artist))):
        if id(text) not in within and text.get_text().strip():
            boxes[f"{number}: {text.get_text()}"] = text.get_window_extent()
    return boxes


def overlaps(boxes: dict[str, Bbox]) -> list[tuple[str, str]]:
    """Pairs of texts, by their extents, that lie on each other."""
    pairs = combinations(boxes.items(), 2)
    return [(one, other) for (one, box), (other, its) in pairs if _overlap(box, its)]


def _overlap(one: Bbox, other: Bbox) -> bool:
    common = Bbox.intersection(one, other)
    return common is not None and common.width > TOUCH and common.height > TOUCH


def _is_seen(artist: Any) -> bool:
    axes = getattr(artist, "axes", None)
    return artist.get_visible() and (axes is None or axes.get_visible())


def _undrawn(figure: Figure) -> set[int]:
    """Labels of ticks beyond the limits of their axis, and of axes without axis, which are not drawn."""
    labels: set[int] = set()
    for axes in figure.findobj(Axes):
        for axis in (axes.xaxis, axes.yaxis):
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            drawn = {id(tick) for tick in axis._update_ticks()} if axes.axison else set()
            labels |= {id(tick_label) for tick in ticks if id(tick) not in drawn for tick_label in tick.findobj(Text)}
            if not axes.axison:
                labels |= {id(text) for text in axis.findobj(Text)}
    return labels
