"""Figures of the study, from its long table: for each a file with `draw(long)`."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

STUDY_FIGURES = {
    "ratios": "error beside the unregularized members', over noise and sampling, by method and level of distance",
    "levels": "error over the level of distance, for all methods",
    "structure": "correctness of the learned networks over noise and amount of data",
    "gain": "gain in forecasting against gain in correct structure, a dot a system",
}


def draw_study(
    name: str, long: Path, outputs: Sequence[Path], *, font_size: float = 9.0, dots_per_inch: float = 150
) -> None:
    """Draw a figure of `STUDY_FIGURES` from the long table of the study, and write it.

    Args:
        name: name of the figure, that of its module.
        long: the long table.
        outputs: files to write, each in the format of its ending.
        font_size: size of the text, in points.
        dots_per_inch: resolution of formats made of pixels.

    Raises:
        UserError: the table cannot be read, or lacks what the figure shows.
    """
    from sparsenode.evaluation.study.tables import read_long
    from sparsenode.figures import style

    module = importlib.import_module(f"sparsenode.figures.study.{name}")
    with style.style(font_size):
        style.save_figure(module.draw(read_long(long)), outputs, dots_per_inch=dots_per_inch)
