"""Every figure of the registry, from files to files."""

import matplotlib as mpl
import pytest

from drawn_figures import draw
from sparsenode.evaluation.results import Results
from sparsenode.figures import FIGURES
from sparsenode.figures.drawing import draw_figure

STARTS = {".pdf": b"%PDF", ".png": b"\x89PNG", ".gif": b"GIF8"}


@pytest.mark.parametrize("figure", FIGURES)
def test_files_are_written(figure, world, tmp_path):
    for path in draw(figure, "dataset", world, tmp_path):
        assert path.stat().st_size > 1000
        assert path.read_bytes().startswith(STARTS[path.suffix])


def test_a_figure_is_drawn_from_python_without_a_file(files):
    before = dict(mpl.rcParams)
    figure = draw_figure("pareto", Results("toy", files))
    assert figure.subfigs[0].get_suptitle().startswith("toy: test error")
    assert dict(mpl.rcParams) == before
