"""The layout of a figure: headings and labels are broken into lines where they have no room, legends stay below them.

Constrained layout makes room for the height of a title and for the width of a legend beside the panels, but lets titles
run into each other, and into the legend. What it leaves is done here, after it, the same for all figures.
"""

from __future__ import annotations

import warnings
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
"""How often a layout is computed again after something was broken into lines or the figure grew."""
MOST_GROWTH = 4.0
"""How many times as wide and as high as it was made a figure becomes for its legends."""
WIDER = 1.25
"""By how much a figure grows at a time whose panels have no room."""
LEAST_MOVE = 0.002
"""Share of a figure's side by which its panels may still move from one layout to the next."""
GAP = 4.0
"""Room between neighboring texts, in points."""


def settle(figure: Figure) -> None:
    """Find the layout of a figure, each from the one before until it stays, and keep it; it may grow for it."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if text.get_text() != (written := legible(text.get_text())):
            text.set_text(written)
    original_size = figure.get_size_inches()
    wholes: dict[Text, str] = {}
    before = np.empty(0)
    for _ in range(MOST_TURNS):
        if not _draw(figure):
            figure.set_size_inches(WIDER * figure.get_size_inches())
            continue
        changes = [
            *(_break_texts(subfigure, figure, wholes) for subfigure in parts_of(figure)),
            _grow(figure, MOST_GROWTH * original_size),
        ]
        changes += [_lower_below_label(axes) for axes in figure.axes]
        extents = np.array([axes.get_position().extents for axes in figure.axes]).ravel()
        if (
            not any(changes)
            and extents.shape == before.shape
            and np.abs(extents - before).max(initial=0.0) < LEAST_MOVE
        ):
            break
        before = extents
    figure.set_layout_engine("none")
    for subfigure in parts_of(figure):
        _lower_legends(subfigure, figure)


def _draw(figure: Figure) -> bool:
    """Find one layout; False where the panels have no room beside their labels."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="constrained_layout not applied")
        try:
            figure.draw_without_rendering()
        except UserWarning:
            return False
    return True


def parts_of(figure: Any) -> Iterator[Any]:
    """A figure and the figures within it."""
    yield figure
    for subfigure in figure.subfigs:
        yield from parts_of(subfigure)


def _axes_of(subfigure: Any, figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.figure is subfigure and axes.get_visible()]


def _break_texts(subfigure: Any, figure: Figure, wholes: dict[Text, str]) -> bool:
    """Break headings of a (sub)figure at its width, and titles and labels of panels where their neighbors' begin.

    Labels at its side are broken at its height, less that of the headings that they reach.
    """
    gap = GAP * figure.dpi / 72
    changed = [_break_lines(text, subfigure.bbox.width - gap, wholes) for text in _headings(subfigure)]
    changed += [_break_lines(text, _height_beside(text, subfigure) - gap, wholes) for text in _side_labels(subfigure)]
    panels = _axes_of(subfigure, figure)
    right = min([subfigure.bbox.x1, *(box.x0 for box in map(_box, _beside(subfigure, figure)))])
    for kind in ("title", "xlabel", "ylabel"):
        texts = [(axes, text) for axes in panels if (text := _text_of(axes, kind)).get_text().strip()]
        low, high = (subfigure.bbox.y0, subfigure.bbox.y1) if kind == "ylabel" else (subfigure.bbox.x0, right)
        for axes, text in texts:
            neighbors = [other for other, _ in texts if other is not axes]
            room = _room(axes, neighbors, low, high, across=kind == "ylabel") - gap
            changed.append(_break_lines(text, room, wholes))
    return any(changed)


def _text_of(axes: Axes, kind: str) -> Text:
    texts: dict[str, Any] = {"title": axes.title, "xlabel": axes.xaxis.label, "ylabel": axes.yaxis.label}
    return texts[kind]


def _room(axes: Axes, neighbors: list[Axes], low: float, high: float, *, across: bool) -> float:
    """How long a text over the middle of a panel may be, in pixels, up to the middle between it and its neighbors."""
    along = 1 if across else 0
    mine = np.asarray(axes.get_window_extent().get_points())
    middle = mine[:, along].mean()
    rooms = [2 * (middle - low), 2 * (high - middle)]
    for other in neighbors:
        its = np.asarray(other.get_window_extent().get_points())
        beside = min(mine[1, 1 - along], its[1, 1 - along]) > max(mine[0, 1 - along], its[0, 1 - along])
        distance = abs(its[:, along].mean() - middle)
        if beside and distance > 1:
            rooms.append(distance)
    # A text is never broken into single letters: below this it is too long for its place, however it is broken.
    return float(max(min(rooms), 0.6 * np.ptp(mine[:, along])))


def _headings(subfigure: Any) -> list[Text]:
    """The headings of a figure or of one within it, and labels that all its panels share, if they are horizontal."""
    return _texts_along(subfigure, 0)


def _side_labels(subfigure: Any) -> list[Text]:
    """The vertical labels that all panels of a figure or of one within it share."""
    return _texts_along(subfigure, 90)


def _texts_along(subfigure: Any, rotation: float) -> list[Text]:
    return [
        text
        for text in subfigure.texts
        if text.get_rotation() == rotation and text.get_text().strip() and text.get_visible()
    ]


def _height_beside(label: Text, subfigure: Any) -> float:
    """How long a vertical label of a (sub)figure may be, in pixels, between the headings above and below its middle."""
    box = _box(label)
    middle = (box.y0 + box.y1) / 2
    # Beside a heading there may be room, which it has no more once it is broken, or a panel moves.
    headings = [_box(text) for text in _headings(subfigure)]
    high = min([subfigure.bbox.y1, *(other.y0 for other in headings if other.y0 > middle)])
    low = max([subfigure.bbox.y0, *(other.y1 for other in headings if other.y1 < middle)])
    # Below this it is too long for its place, however it is broken.
    return float(max(2 * min(high - middle, middle - low), 0.3 * subfigure.bbox.height))


def _break_lines(text: Text, room: float, wholes: dict[Text, str]) -> bool:
    """Break the lines of a text that are longer than `room`, in pixels, into as few as possible of about one length.

    `wholes` holds the texts as they were before they were broken.
    """
    before = text.get_text()
    whole = wholes.setdefault(text, before)
    lines = [_fill(text, line, room) for line in whole.split("\n")]
    for number, line in enumerate(whole.split("\n")):
        for share in (0.9, 0.8, 0.7, 0.6):
            narrower = _fill(text, line, share * room) if len(lines[number]) > 1 else []
            if len(narrower) != len(lines[number]):
                break
            lines[number] = narrower
    text.set_text("\n".join(line for broken in lines for line in broken))
    return text.get_text() != before


def _fill(text: Text, line: str, room: float) -> list[str]:
    """A line, broken between words where it is longer than `room`, or within a word that is longer."""
    if _length(text, line) <= room:
        return [line]
    lines: list[str] = []
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
    return [*lines, current]


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


def _beside(subfigure: Any, figure: Figure) -> list[Legend]:
    """Legends of a (sub)figure that lie right of its panels."""
    end = max((_box(axes).x1 for axes in _axes_of(subfigure, figure)), default=subfigure.bbox.x0)
    return [legend for legend in subfigure.legends if _box(legend).x0 > end]


def _grow(figure: Figure, largest: np.ndarray) -> bool:
    """Make a figure higher where legends have no room below the heading or above the next, wider where beside it."""
    gap = GAP * figure.dpi / 72
    widths, heights = [1.0], [1.0]
    for subfigure in parts_of(figure):
        top = min(
            [
                subfigure.bbox.y1,
                *(_box(text).y0 for text in _headings(subfigure) if _box(text).y1 > subfigure.bbox.y1 - 20),
            ]
        )
        room = top - subfigure.bbox.y0 - gap
        heights += [_box(legend).height / max(room, 1.0) for legend in _beside(subfigure, figure)]
        legends = [(_box(axes), _box(legend)) for axes in _axes_of(subfigure, figure) if (legend := axes.get_legend())]
        beside = [box for panel, box in legends if box.x0 >= panel.x1]
        for box in beside:
            under = [other.y1 for other in beside if other.y1 < box.y1 - 1 and _meet(box.intervalx, other.intervalx)]
            heights.append(box.height / max(box.y1 - max([subfigure.bbox.y0, *under]) - gap, 1.0))
        below = [box for panel, box in legends if box.y1 <= panel.y0]
        for box in below:
            nexts = [other.x0 for other in below if other.x0 > box.x0 + 1 and _meet(box.intervaly, other.intervaly)]
            widths += [(box.width + gap) / max(min(nexts) - box.x0, 1.0)] if nexts else []
    size = figure.get_size_inches()
    target_size = np.minimum(size * (max(widths), max(heights)), largest)
    if (target_size < 1.01 * size).all():
        return False
    figure.set_size_inches(np.where(target_size < 1.01 * size, size, 1.01 * target_size))
    return True


def _lower_below_label(axes: Axes) -> bool:
    """Put a legend below a panel farther down where the label of the axis reaches into it."""
    legend, label = axes.get_legend(), _box(axes.xaxis.label)
    if legend is None or not axes.xaxis.label.get_text():
        return False
    box = _box(legend)
    lack = box.y1 - label.y0
    if box.y1 > _box(axes).y0 or lack <= 0:
        return False
    x, y = axes.transAxes.inverted().transform(legend.get_bbox_to_anchor().p0)
    legend.set_bbox_to_anchor((x, y - 1.1 * lack / _box(axes).height), transform=axes.transAxes)
    return True


def _meet(first: Any, second: Any) -> bool:
    return bool(min(first[1], second[1]) > max(first[0], second[0]))


def _lower_legends(subfigure: Any, figure: Figure) -> None:
    """Put a legend beside the panels below the headings that it would lie on."""
    for legend in _beside(subfigure, figure):
        over = [_box(text) for text in _headings(subfigure) if _meet(_box(text).intervalx, _box(legend).intervalx)]
        over = [
            box for box in over if box.y1 > subfigure.bbox.y0 + 0.5 * subfigure.bbox.height and box.y0 < _box(legend).y1
        ]
        if over:
            top = (min(box.y0 for box in over) - subfigure.bbox.y0) / subfigure.bbox.height
            legend.set_bbox_to_anchor((0, 0, 1, top), transform=subfigure.transSubfigure)
