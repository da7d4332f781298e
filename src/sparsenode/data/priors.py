"""Prior networks made from known ones, of which a share of the edges is wrong."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsenode.data.trajectories import Floats, RawTrajectories
from sparsenode.errors import UserError
from sparsenode.labels import TRUTH


def add_priors(name: str, raw: RawTrajectories, settings: Mapping[str, Mapping[str, Any]]) -> RawTrajectories:
    """`raw` with further prior networks beside those of its source.

    Each depends on nothing but its origin, its corruption and its seed.

    Args:
        name: that of the dataset.
        raw: trajectories of a source.
        settings: by name, what each prior is made `of` (`truth` or a prior of the source), its `corruption` (the share
            of its edges that are moved, 0 to 1) and the `seed` of that.

    Raises:
        UserError: there is no truth or no prior of that name, the name is taken, or too few places are empty.
    """
    priors, masks = dict(raw.priors), dict(raw.priors_known)
    for prior, entry in settings.items():
        where = f"dataset {name}, priors.{prior}"
        if prior in raw.priors:
            message = f"{where}: the source has a prior of that name; choose another one"
            raise UserError(message)
        network, mask = _origin(raw, entry["of"], where)
        share, seed = entry.get("corruption", 0.0), entry.get("seed", 0)
        priors[prior] = corrupt(network, share, seed, told=mask, where=where)
        if mask is not None:
            masks[prior] = mask | (priors[prior] != 0)
    return replace(raw, priors=priors, priors_known=masks)


def _origin(raw: RawTrajectories, of: str, where: str) -> tuple[Floats, Any]:
    """The network that a prior is made of, and of which pairs it tells, None for all."""
    if of == TRUTH:
        if raw.truth is None:
            message = f"{where}.of: found truth, but the true network is not known; allowed: {_names(raw)}"
            raise UserError(message)
        return raw.truth, raw.truth_known
    if of not in raw.priors:
        message = f"{where}.of: found {of!r}, which is no prior of the source; allowed: {_names(raw)}"
        raise UserError(message)
    return raw.priors[of], raw.priors_known.get(of)


def _names(raw: RawTrajectories) -> str:
    return ", ".join([*([] if raw.truth is None else [TRUTH]), *sorted(raw.priors)]) or "none, the source has no prior"


def corrupt(
    network: Floats, share: float, seed: int, *, told: NDArray[Any] | None = None, where: str = "prior network"
) -> Floats:
    """Move a `share` of the edges of `network` to random places, with their signs and sizes.

    This is how the priors of PHOENIX are made (Hossain et al. 2024, `prior_matrix_maker.R`: edges are relocated to a
    source and another target, and keep their signs). Here they always go to a place where the network has no edge, so
    that as many edges are left and exactly the share of them is wrong. Pairs that the network does not tell of (where
    `told` is False, but for the diagonal) neither lose an edge nor gain one, since nobody could call it wrong. With one
    seed, a larger share moves what a smaller one does, to the same places, and more. 0 gives the network itself.

    Args:
        network: (source, target), 0 where there is no edge.
        share: 0 to 1.
        seed: of the choice of edges and places.
        told: (source, target), of which pairs the network tells; None for all.
        where: what the network is, for messages.

    Raises:
        UserError: too few places are empty.
    """
    diagonal = np.eye(len(network), dtype=bool)
    known_pairs = np.ones(network.size, bool) if told is None else (np.asarray(told, bool) | diagonal).ravel()
    generator = np.random.default_rng(seed)
    taken = (network != 0) | diagonal
    # All are put in an order before those that are not known are left out: which pairs are known moves no other edge.
    edges, empty = (generator.permutation(np.flatnonzero(pairs)) for pairs in (network, ~taken))
    edges, empty = edges[known_pairs[edges]], empty[known_pairs[empty]]
    count = round(share * len(edges))
    if count > len(empty):
        message = (
            f"{where}: {count} of {len(edges)} edges are to be moved, but only {len(empty)} known pairs have no edge"
        )
        raise UserError(message)
    moved, destinations = edges[:count], empty[:count]
    corrupted = np.array(network, dtype=np.float64)
    flat = corrupted.reshape(-1)
    flat[destinations] = flat[moved]
    flat[moved] = 0.0
    return corrupted
