"""The one way from the results of a run to a figure: read its tables, draw it, write it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsenode.figures import FIGURES, comparison, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sparsenode.evaluation.results import Results


def draw_figure(
    name: str,
    results: Results,
    outputs: Sequence[Path] = (),
    *,
    animation: Path | None = None,
    font_size: float = 9.0,
    dots_per_inch: float = 150,
) -> Figure:
    """Draw a figure of `FIGURES` from the results of a dataset, and write it.

    Args:
        name: name of the figure, that of its module: `read` there gives what its `draw` takes after the dataset.
        results: results of the dataset.
        outputs: files to write, each in the format of its ending.
        animation: GIF file to write, of a figure that is animated; its module has `animate`, for the last table.
        font_size: size of the text, in points.
        dots_per_inch: resolution of formats made of pixels.

    Raises:
        UserError: a file is missing or damaged, or lacks what the figure shows.
    """
    module = importlib.import_module(f"sparsenode.figures.{name}")
    tables = list(module.read(results))
    motion = tables.pop() if FIGURES[name].animated else None
    with style.style(font_size):
        figure: Figure = module.draw(results.dataset, *tables)
        style.save_figure(figure, outputs, dots_per_inch=dots_per_inch)
        if animation is not None:
            module.animate(results.dataset, motion, animation)
    return figure


def draw_comparison(
    name: str,
    settings: Mapping[str, Any],
    results: Sequence[Results],
    outputs: Sequence[Path] = (),
    *,
    font_size: float = 9.0,
    dots_per_inch: float = 150,
) -> Figure:
    """Draw one comparison of several datasets or methods, and write it.

    Args:
        name: name of the comparison, for the heading.
        settings: its entry in the configuration's `comparisons`.
        results: results of datasets, at least those that the comparison needs.
        outputs: files to write, each in the format of its ending.
        font_size: size of the text, in points.
        dots_per_inch: resolution of formats made of pixels.

    Raises:
        UserError: a dataset of the comparison has no results here.
    """
    tables = comparison.read(name, settings, results)
    with style.style(font_size):
        figure = comparison.draw(name, settings, tables)
        style.save_figure(figure, outputs, dots_per_inch=dots_per_inch)
    return figure
