"""Figures of a fit, drawn by the workflow's own functions from the same tables."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sparsenode.data.contract import read_metadata, write_trajectories
from sparsenode.errors import UserError, describe_choice
from sparsenode.evaluation.edges import write_test
from sparsenode.evaluation.evaluate import Evaluation, write_evaluation
from sparsenode.evaluation.results import Results
from sparsenode.figures.drawing import draw_figure

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.figure import Figure

    from sparsenode.inference import EdgeTest


FIGURES = ("trajectories", "network", "network_graph", "strengths", "pareto", "stability")
"""Figures that need no more than a fit."""
EDGES = "edges"
"""The figure of a test of edges."""


class Plots:
    """Figures of a fit. Each is a matplotlib `Figure`, which notebooks show and `savefig` writes."""

    def __init__(self, adata: AnnData, evaluation: Evaluation, test: EdgeTest | None = None) -> None:
        """Keep what figures are drawn from."""
        self._adata, self._evaluation, self._test = adata, evaluation, test

    def trajectories(self) -> Figure:
        """Observed and forecast trajectories."""
        return self.figure("trajectories")

    def network(self) -> Figure:
        """The learned network as a heat map, beside the true one where it is known."""
        return self.figure("network")

    def graph(self) -> Figure:
        """The learned network as a drawing."""
        return self.figure("network_graph")

    def path(self) -> Figure:
        """Error and sparsities over the strength."""
        return self.figure("strengths")

    def stability(self) -> Figure:
        """How often each pair is selected, over the strength."""
        return self.figure("stability")

    def edges(self) -> Figure:
        """Tested edges, once `test_edges` or `edges` of the fit was called."""
        return self.figure(EDGES)

    @property
    def _names(self) -> tuple[str, ...]:
        """The figures that can be drawn."""
        return FIGURES if self._test is None else (*FIGURES, EDGES)

    def figure(self, name: str, *, font_size: float = 9.0) -> Figure:
        """A figure of the workflow by its name, of those that need no more than a fit.

        Args:
            name: name of the figure: trajectories, network, network_graph, strengths, pareto or stability,
                and edges of a fit whose edges were tested.
            font_size: size of the text, in points.

        Raises:
            UserError: there is no such figure, or the edges were not tested.
        """
        if name not in self._names:
            if name == EDGES:
                raise UserError("the edges of this fit were not tested; call test_edges() or edges() first")
            raise UserError(f"a fit has no figure {name!r}; {describe_choice(name, self._names)}")
        with self._results() as results:
            figure = draw_figure(name, results, font_size=font_size)
        # Notebooks show figures of pyplot only, unless an object says itself how it looks.
        figure._repr_png_ = partial(_png, figure)
        return figure

    def save(self, folder: str | Path) -> None:
        """Write all figures of a fit into a folder, each as PDF and PNG.

        Raises:
            UserError: a file cannot be written.
        """
        with self._results() as results:
            for name in self._names:
                draw_figure(name, results, [Path(folder) / f"{name}.{ending}" for ending in ("pdf", "png")])

    @contextlib.contextmanager
    def _results(self) -> Iterator[Results]:
        """The files of the workflow: figures then show what these hold, to the last digit."""
        with tempfile.TemporaryDirectory(prefix="sparsenode-") as folder:
            root = Path(folder)
            files = {
                "metrics": root / "metrics.parquet",
                "forecasts": root / "forecasts.parquet",
                "networks": root / "networks",
                "selection": root / "selection",
            }
            write_evaluation(self._evaluation, self._adata, **files)
            write_trajectories(self._adata, root / "data.h5ad")
            files["data"] = root / "data.h5ad"
            if self._test is not None:
                files[EDGES] = root / EDGES
                write_test(self._test, list(self._adata.var_names), files[EDGES])
            yield Results(read_metadata(self._adata).name, files)


def _png(figure: Figure) -> bytes:
    """A figure as a PNG file."""
    content = io.BytesIO()
    figure.savefig(content, format="png", bbox_inches="tight")
    return content.getvalue()
