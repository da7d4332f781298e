"""Figures: for each a file, in which `draw_NAME` writes it from the tables of one dataset."""

import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple


class Figure(NamedTuple):
    """What a figure shows, which tables of its dataset it is drawn from, and which datasets have it.

    `needs` is `always`, `rolling` (rolling forecasts), `body` (a source that knows the body behind the angles),
    `cells` (a source of cells along lineages, ordered in pseudotime), `map` (one that also puts them on a map),
    `truth` (a source that knows the true network), `interventions` (a dataset that names some) or `edges` (one whose
    edges are tested). An `animated` figure
    also writes an animation. A `published` one also shows what other studies have published for the dataset's
    `benchmark`.
    """

    shows: str
    inputs: tuple[str, ...]
    needs: str = "always"
    animated: bool = False
    published: bool = False


FIGURES = {
    "strengths": Figure("error and sparsities over the strength, for each method", ("metrics", "selection")),
    "pareto": Figure("error against sparsity, for all methods", ("metrics", "selection")),
    "trajectories": Figure("observed and predicted trajectories", ("metrics", "selection", "forecasts")),
    "network": Figure("the learned network beside the true one", ("metrics", "selection", "networks", "data")),
    "precision_recall": Figure(
        "precision over recall of the learned networks, and of peers", ("selection", "networks"), "truth"
    ),
    "balanced_accuracy": Figure(
        "balanced accuracy of the learned networks over their sparsity, beside peers and published values",
        ("metrics", "selection", "networks"),
        "truth",
        published=True,
    ),
    "stability": Figure(
        "how often each pair is selected, over the strength", ("metrics", "selection", "networks", "data")
    ),
    "network_graph": Figure(
        "the learned network as a drawing: known edges found and missed, and new ones",
        ("metrics", "selection", "networks", "data"),
    ),
    "horizon": Figure("error over lead time", ("metrics", "selection", "data"), "rolling"),
    "skeleton": Figure(
        "the observed and the predicted body", ("metrics", "selection", "forecasts", "data"), "body", animated=True
    ),
    "joints": Figure("which joint's motion depends on which", ("selection", "networks", "data"), "body"),
    "embedding": Figure("the cells of each donor, by lineage and by pseudotime", ("data",), "map"),
    "gene_trends": Figure(
        "expression along each lineage and its forecasts", ("metrics", "selection", "forecasts", "data"), "cells"
    ),
    "regulators": Figure(
        "which regulators drive which genes in each lineage", ("metrics", "selection", "networks", "data"), "cells"
    ),
    "interventions": Figure(
        "what is forecast when a variable is held, and what is known",
        ("metrics", "selection", "interventions"),
        "interventions",
    ),
    "edges": Figure("tested edges: effects with their intervals, those that are needed marked", ("edges",), "edges"),
}
INPUTS = {
    "metrics": "parquet file of metrics",
    "selection": "folder of chosen strengths",
    "forecasts": "parquet file of forecasts",
    "networks": "folder of learned networks",
    "data": "h5ad file of trajectories",
    "interventions": "parquet file of forecast interventions",
    "edges": "folder of tested edges",
}


def subcommand_of(figure: str) -> str:
    """Name of the subcommand that draws a figure."""
    return f"draw-{figure.replace('_', '-')}"


def shield_matplotlib() -> None:
    """Keep a person's backend and settings from matplotlib in this process; to be called before it is first imported.

    Jupyter exports a backend that other environments do not have, on which the import fails, also that of packages
    which import matplotlib, such as scanpy. Settings in the working folder go before those that are named, so that it
    is imported, whoever does so, in another one.
    """
    os.environ["MPLBACKEND"] = "agg"
    os.environ["MATPLOTLIBRC"] = os.devnull
    if not any(isinstance(finder, _MatplotlibFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _MatplotlibFinder())


class _MatplotlibFinder(importlib.abc.MetaPathFinder):
    """Finds matplotlib where it is, to be loaded by `_AsideLoader`, and no other module."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if fullname != "matplotlib":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _AsideLoader(spec.loader)
        return spec


class _AsideLoader(importlib.abc.Loader):
    """Loads a module by its own loader, with this folder, which holds no settings, as the working folder."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self.loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        # From here on the module is as any other: its data files are found by its own loader.
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        try:
            folder = Path.cwd()
        except FileNotFoundError:  # It was removed, and so were settings in it.
            self.loader.exec_module(module)
            return
        os.chdir(Path(__file__).parent)
        try:
            self.loader.exec_module(module)
        finally:
            os.chdir(folder)
