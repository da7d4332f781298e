"""Figures of an AnnData into which `sparsenode.tl.fit_dynamics` has written its fit."""

from __future__ import annotations

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
