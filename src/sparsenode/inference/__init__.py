"""Which edges are needed, given the other measured variables: masked refits, a paired test and false discovery rates.

`test_edges` is what to call. A network of small perceptrons, one per target, is trained by shooting at raw
observations (`systems`, `networks`, `refits`). Its own paths are then the inputs of one-dimensional refits without each
input (`masks`), which are compared with the full ones on held-out blocks (`blocks`, `significance`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparsenode.inference.edges import test_edges as test_edges
    from sparsenode.inference.results import EdgeTest as EdgeTest
    from sparsenode.inference.settings import EdgeSettings as EdgeSettings
    from sparsenode.inference.settings import EdgeTestSettings as EdgeTestSettings

__all__ = ["EdgeSettings", "EdgeTest", "EdgeTestSettings", "test_edges"]

# Imported at first use: the configuration reads the settings without torch.
_PUBLIC = {
    "EdgeSettings": "settings",
    "EdgeTest": "results",
    "EdgeTestSettings": "settings",
    "test_edges": "edges",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
