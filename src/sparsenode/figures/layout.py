"""The layout of a figure: headings and labels are broken into lines where they have no room, legends stay below them.

Constrained layout makes room for the height of a title and for the width of a legend beside the panels, but lets titles
run into each other, and into the legend. What it leaves is done here, after it, the same for all figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsenode.figures.names import legible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.text import Text

MOST_TURNS = 6
"""How often a layout is found again after something was broken into lines or the figure grew."""
MOST_GROWTH = 4.0
"""How many times as high as it was made a figure becomes for its legends."""
GAP = 4.0
"""Room between neighboring texts, in points."""


def settle(figure: Figure, *, layouts: int = 1) -> None:
    """Find the layout of a figure and keep it.

    The layout starts `layouts` times from the one before; panels of a fixed shape below a heading need two.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if text.get_text() != (written := legible(text.get_text())):
            text.set_text(written)
    made = figure.get_figheight()
    for turn in range(MOST_TURNS):
        figure.draw_without_rendering()
        changes = [*(_break_texts(part, figure) for part in parts_of(figure)), _grow(figure, MOST_GROWTH * made)]
        if not any(changes) and turn >= layouts - 1:
            break
    figure.set_layout_engine("none")
    for part in parts_of(figure):
        _lower_legends(part, figure)


def parts_of(figure: Any) -> Iterator[Any]:
    """A figure and the figures within it."""
    yield figure
    for part in figure.subfigs:
        yield from parts_of(part)


def _axes_of(part: Any, figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.figure is part and axes.get_visible()]


def _break_texts(part: Any, figure: Figure) -> bool:
    """Break headings of a part at its width, and titles and labels of panels where their neighbors' begin."""
    gap = GAP * figure.dpi / 72
    changed = [_break_lines(text, part.bbox.width - gap) for text in _headings(part)]
    panels = _axes_of(part, figure)
    right = min([part.bbox.x1, *(box.x0 for box in map(_box, _beside(part, figure)))])
    for kind in ("title", "xlabel", "ylabel"):
        texts = [(axes, text) for axes in panels if (text := _text_of(axes, kind)).get_text().strip()]
        low, high = (part.bbox.y0, part.bbox.y1) if kind == "ylabel" else (part.bbox.x0, right)
        for axes, text in texts:
            others = [other for other, _ in texts if other is not axes]
            changed.append(_break_lines(text, _room(axes, others, low, high, across=kind == "ylabel") - gap))
    return any(changed)


def _text_of(axes: Axes, kind: str) -> Text:
    texts: dict[str, Any] = {"title": axes.title, "xlabel": axes.xaxis.label, "ylabel": axes.yaxis.label}
    return texts[kind]


def _room(axes: Axes, others: list[Axes], low: float, high: float, *, across: bool) -> float:
    """How long a text over the middle of a panel may be, in pixels, up to the middle between it and its neighbors."""
    along = 1 if across else 0
    mine = np.asarray(axes.get_window_extent().get_points())
    middle = mine[:, along].mean()
    rooms = [2 * (middle - low), 2 * (high - middle)]
    for other in others:
        its = np.asarray(other.get_window_extent().get_points())
        beside = min(mine[1, 1 - along], its[1, 1 - along]) > max(mine[0, 1 - along], its[0, 1 - along])
        distance = abs(its[:, along].mean() - middle)
        if beside and distance > 1:
            rooms.append(distance)
    # A text is never broken into single letters: below this it is too long for its place, however it is broken.
    return float(max(min(rooms), 0.6 * np.ptp(mine[:, along])))


def _headings(part: Any) -> list[Text]:
    """The headings of a figure or of one within it, and labels that all its panels share, if they are horizontal."""
    return [text for text in part.texts if text.get_rotation() == 0 and text.get_text().strip() and text.get_visible()]


def _break_lines(text: Text, room: float) -> bool:
    """Break each line of a text that is longer than `room`, in pixels, between words, or within one that is longer."""
    whole = text.get_text()
    lines: list[str] = []
    for line in whole.split("\n"):
        current = ""
        for word in line.split(" "):
            first, *rest = _pieces(text, word, room)
            if current and _length(text, f"{current} {first}") > room:
                lines.append(current)
                current = first
            else:
                current = f"{current} {first}" if current else first
            for piece in rest:
                lines.append(current)
                current = piece
        lines.append(current)
    text.set_text("\n".join(lines))
    return text.get_text() != whole


def _pieces(text: Text, word: str, room: float) -> list[str]:
    """A word, in pieces of at most `room` where it is longer, broken after an underline where there is one."""
    pieces = []
    while len(word) > 1 and (length := _length(text, word)) > room:
        end = max(1, int(len(word) * room / length))
        end = max(word.rfind("_", 1, end), word.rfind("-", 1, end)) + 1 or end
        pieces.append(word[:end])
        word = word[end:]
    return [*pieces, word]


def _length(text: Text, line: str) -> float:
    """How long a line of a text is along its direction, in pixels."""
    if not line:
        return 0.0
    text.set_text(line)
    extent = text.get_window_extent()
    return float(extent.height if text.get_rotation() == 90 else extent.width)


def _box(artist: Any) -> Any:
    return artist.get_window_extent()


def _beside(part: Any, figure: Figure) -> list[Legend]:
    """Legends of a part that lie right of its panels."""
    end = max((_box(axes).x1 for axes in _axes_of(part, figure)), default=part.bbox.x0)
    return [legend for legend in part.legends if _box(legend).x0 > end]


def _grow(figure: Figure, highest: float) -> bool:
    """Make a figure higher where a legend has no room below the heading, or above the next legend."""
    gap = GAP * figure.dpi / 72
    factors = [1.0]
    for part in parts_of(figure):
        top = min([part.bbox.y1, *(_box(text).y0 for text in _headings(part) if _box(text).y1 > part.bbox.y1 - 20)])
        room = top - part.bbox.y0 - gap
        factors += [_box(legend).height / max(room, 1.0) for legend in _beside(part, figure)]
        legends = [_box(legend) for axes in _axes_of(part, figure) if (legend := axes.get_legend()) is not None
                   and _box(legend).x0 >= _box(axes).x1]  # fmt: skip
        for box in legends:
            below = [other.y1 for other in legends if other.y1 < box.y1 - 1 and _meet(box.intervalx, other.intervalx)]
            factors.append(box.height / max(box.y1 - max([part.bbox.y0, *below]) - gap, 1.0))
    height = min(figure.get_figheight() * max(factors), highest)
    if height < 1.01 * figure.get_figheight():
        return False
    figure.set_size_inches(figure.get_figwidth(), 1.01 * height)
    return True


def _meet(one: Any, other: Any) -> bool:
    return bool(min(one[1], other[1]) > max(one[0], other[0]))


def _lower_legends(part: Any, figure: Figure) -> None:
    """Put a legend beside the panels below the headings that it would lie on."""
    for legend in _beside(part, figure):
        over = [_box(text) for text in _headings(part) if _meet(_box(text).intervalx, _box(legend).intervalx)]
        over = [box for box in over if box.y1 > part.bbox.y0 + 0.5 * part.bbox.height and box.y0 < _box(legend).y1]
        if over:
            top = (min(box.y0 for box in over) - part.bbox.y0) / part.bbox.height
            legend.set_bbox_to_anchor((0, 0, 1, top), transform=part.transSubfigure)
