"""Figures of an AnnData into which `sparsenode.tl.fit_dynamics` has written its fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sparsenode.tl import KEY, read_dynamics

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.figure import Figure


def trajectories(adata: AnnData, *, key: str = KEY) -> Figure:
    """Observed and forecast trajectories."""
    return read_dynamics(adata, key).plot.trajectories()


def network(adata: AnnData, *, key: str = KEY) -> Figure:
    """The learned network as a heat map."""
    return read_dynamics(adata, key).plot.network()


def graph(adata: AnnData, *, key: str = KEY) -> Figure:
    """The learned network as a drawing."""
    return read_dynamics(adata, key).plot.graph()


def path(adata: AnnData, *, key: str = KEY) -> Figure:
    """Error and sparsities over the strength."""
    return read_dynamics(adata, key).plot.path()


def network_page(adata: AnnData, path: str | Path, *, key: str = KEY) -> None:
    """Write the learned network as one HTML file: zoom, effects on hover, filters by size and q, search of a gene.

    Args:
        adata: the data, into which `sparsenode.tl.fit_dynamics` has written its fit.
        path: the file to write; it needs no other file and no internet.
        key: name that the fit was written under.

    Raises:
        UserError: there is no fit, or the file cannot be written.
    """
    from sparsenode.figures.interactive import write_page

    write_page(read_dynamics(adata, key).network(), path, title=str(adata.uns.get("name", "")))
