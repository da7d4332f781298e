"""Other people's methods of network inference, through their own packages: one file each, found by name.

A peer scores every ordered pair of variables, as an ensemble's path matrix does, and stands beside the methods in the
same tables. To add one, write `peers/NAME.py` that ends with `PEER = Peer(...)`; nothing else needs to know of it. Its
package is imported within `infer`, so that the workflow can read names and options without loading it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Peer:
    """What a peer gives.

    `infer(samples, seed, **options)` gives scores, at least 0 and larger for what is more likely an edge, and signs
    (-1, 1, or 0 where it tells none), both (source, target); what stands on the diagonal is not looked at. One that is
    not `random` is asked once, with the seed 0. `options` are JSON-schema properties with defaults.
    """

    name: str
    summary: str
    infer: Callable[..., tuple[np.ndarray, np.ndarray]]
    random: bool = False
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@cache
def _peers() -> Mapping[str, Peer]:
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    peers: list[Peer] = [module.PEER for module in modules if hasattr(module, "PEER")]
    return {peer.name: peer for peer in sorted(peers, key=lambda peer: peer.name)}


def peer_names() -> tuple[str, ...]:
    """Names of all peers, sorted."""
    return tuple(_peers())


def get_peer(name: str) -> Peer:
    """The record of a peer; KeyError with the known names if there is none."""
    if name not in _peers():
        raise KeyError(f"no peer {name!r}; known are {', '.join(peer_names())}")
    return _peers()[name]
