"""Sparse neural ordinary differential equations: train, forecast and recover networks, and measure both."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparsenode import pl as pl
    from sparsenode import tl as tl
    from sparsenode.data.contract import read_trajectories as read_trajectories
    from sparsenode.data.preprocess import load_dataset as load_dataset
    from sparsenode.data.readers.long_tables import read_table as read_table
    from sparsenode.ensemble.members import load_ensemble as load_model
    from sparsenode.estimator.model import SparseNODE as SparseNODE
    from sparsenode.estimator.model import load as load

__version__ = "0.1.0"
__all__ = [
    "SparseNODE",
    "__version__",
    "load",
    "load_dataset",
    "load_model",
    "pl",
    "read_table",
    "read_trajectories",
    "tl",
]

# Public names and where they are defined: imported at first use, so that the workflow starts without torch and pandas.
_PUBLIC = {
    "SparseNODE": ("sparsenode.estimator.model", "SparseNODE"),
    "load": ("sparsenode.estimator.model", "load"),
    "load_dataset": ("sparsenode.data.preprocess", "load_dataset"),
    "load_model": ("sparsenode.ensemble.members", "load_ensemble"),
    "read_table": ("sparsenode.data.readers.long_tables", "read_table"),
    "read_trajectories": ("sparsenode.data.contract", "read_trajectories"),
}


_MODULES = ("pl", "tl")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _PUBLIC:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    module, attribute = _PUBLIC[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC, *_MODULES})
