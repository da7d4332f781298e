"""Sparse neural ordinary differential equations: train, forecast and recover networks, and measure both."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparsenode.data.contract import read_trajectories as read_trajectories
    from sparsenode.ensemble.members import load_ensemble as load_model

__version__ = "0.1.0"
__all__ = ["__version__", "load_model", "read_trajectories"]

# Public names and where they are defined: imported at first use, so that the workflow starts without torch and pandas.
_PUBLIC = {
    "load_model": ("sparsenode.ensemble.members", "load_ensemble"),
    "read_trajectories": ("sparsenode.data.contract", "read_trajectories"),
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    module, attribute = _PUBLIC[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
