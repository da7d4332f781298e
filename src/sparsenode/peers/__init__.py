"""Other people's methods of network inference, through their own packages: one file each, found by name.

A peer scores every ordered pair of variables, as an ensemble's path matrix does, and is in the same tables as the
methods. To add one, write `peers/NAME.py` with one class of peer, whose options are its fields; nothing else needs to
know of it. Its package is imported within `infer`, so that the workflow can read names and options without loading it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from sparsenode.errors import UserError
from sparsenode.typed import Settings, classes_of, read_settings, unknown_name

if TYPE_CHECKING:
    import numpy as np

    from sparsenode.peers.derivatives import Samples


class Peer(Settings):
    """What a peer gives; its class attributes are its `name` (that of its file) and `summary`."""

    name: ClassVar[str]
    summary: ClassVar[str]

    time_limit: float | None = Field(
        3600.0,
        gt=0,
        description="Seconds for all seeds together; a peer that takes longer is ended, has no scores, and the tables, "
        "the report and the end of the run say so. null for no limit.",
    )

    @property
    def has_self_effects(self) -> bool:
        """Whether the scores on the diagonal say how much a variable acts on itself, with these options."""
        return False

    def __init_subclass__(cls, **settings: Any) -> None:
        """Name the peer by its file."""
        super().__init_subclass__(**settings)
        cls.name = cls.__module__.rpartition(".")[2]

    @abstractmethod
    def infer(self, samples: Samples) -> tuple[np.ndarray, np.ndarray]:
        """Score all ordered pairs of variables.

        Returns:
            Scores, at least 0 and larger for what is more likely an edge, and signs (-1, 1, or 0 where the peer gives
            none), both (source, target). The diagonal is looked at only where `has_self_effects`.
        """


class RandomPeer(Peer):
    """A peer that gives another result with each seed."""

    @abstractmethod
    def infer(self, samples: Samples, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Score all ordered pairs of variables, by the random numbers of a seed."""


@cache
def _peers() -> Mapping[str, type[Peer]]:
    return classes_of(__name__, Peer)


def peer_names() -> tuple[str, ...]:
    """Names of all peers, sorted."""
    return tuple(_peers())


def get_peer(name: str) -> type[Peer]:
    """The class of a peer.

    Raises:
        UserError: there is none of that name.
    """
    if name not in _peers():
        raise UserError(unknown_name("peer", name, peer_names()))
    return _peers()[name]


def make_peer(name: str, options: Mapping[str, Any]) -> Peer:
    """A peer with its options.

    Raises:
        UserError: there is no such peer, or an option is unknown, missing or not allowed.
    """
    return read_settings(get_peer(name), options, f"options of {name}")
