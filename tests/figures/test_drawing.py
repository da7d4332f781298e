"""Every figure of the registry, from files to files, drawn once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from drawn_figures import draw
from rendered_texts import overlaps, texts_of
from sparsenode.evaluation.results import Results
from sparsenode.figures import FIGURES, layout, style
from sparsenode.figures.drawing import draw_figure

pytestmark = pytest.mark.slow(reason="matplotlib finds the layout of each figure and writes it in two formats")

STARTS = {".pdf": b"%PDF", ".png": b"\x89PNG", ".gif": b"GIF8"}


@dataclass(frozen=True)
class Drawing:
    """The files of a figure, and the extents of the texts of each layout that was found for it."""

    paths: list[Path]
    texts: list[dict[str, Bbox]]


_DRAWINGS: dict[str, Drawing] = {}


@pytest.fixture
def drawing(figure: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drawing:
    """The drawing of a figure, which the tests share."""
    if figure not in _DRAWINGS:
        texts: list[dict[str, Bbox]] = []

        def settle(drawn: Figure) -> None:
            layout.settle(drawn)
            texts.append(texts_of(drawn))

        monkeypatch.setattr(style, "settle", settle)
        paths = draw(figure, "dataset", request.getfixturevalue("world"), tmp_path)
        _DRAWINGS[figure] = Drawing(paths, texts)
    return _DRAWINGS[figure]


@pytest.mark.parametrize("figure", FIGURES)
def test_files_are_written(drawing):
    for path in drawing.paths:
        assert path.stat().st_size > 1000
        assert path.read_bytes().startswith(STARTS[path.suffix])


@pytest.mark.parametrize("figure", FIGURES)
def test_no_text_lies_on_another(drawing):
    assert drawing.texts
    for texts in drawing.texts:
        assert overlaps(texts) == []


def test_a_figure_is_drawn_from_python_without_a_file(files):
    before = dict(mpl.rcParams)
    figure = draw_figure("pareto", Results("toy", files))
    assert figure.get_suptitle().startswith("toy: error against sparsity")
    assert dict(mpl.rcParams) == before
