"""What is known of the network of a dataset: the truth where there is one, prior networks, and which can regulate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparsenode.data.contract import Network, choose_reference
from sparsenode.data.missing import deviation_observed
from sparsenode.data.observations import Observations
from sparsenode.evaluation.degrees import sample_networks
from sparsenode.evaluation.networks import group_pairs
from sparsenode.evaluation.scoring import ScoredPairs, scored_pairs


@dataclass(frozen=True)
class Truth:
    """True network (source, target), where it is known, and which sources can regulate at all.

    `priors` are edges and known pairs (source, target) of networks that may or may not be true, by name. `signs` are
    those of the true edges: 1 activates, -1 represses, 0 is no edge or one whose sign is not known. `deviations`
    (feature,) are those over the training data, by which sources of different units compare. `same_degrees` are random
    networks (network, edge) of the true one's degrees, as numbers of known pairs, None where there are none.
    `made_priors` says by name of what those priors are made that are not the source's own. `pair_groups` are masks
    (source, target) of the groups of pairs that figures distinguish (see `networks.group_pairs`). `scoring` are the
    pairs that each scoring protocol of the dataset counts.
    """

    edges: np.ndarray | None
    known: np.ndarray
    regulators: np.ndarray
    priors: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    signs: np.ndarray | None = None
    deviations: np.ndarray | None = None
    same_degrees: np.ndarray | None = None
    made_priors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pair_groups: Mapping[str, np.ndarray] | None = None
    scoring: tuple[ScoredPairs, ...] = ()


def describe_truth(data: Observations, scoring: Iterable[str] = ()) -> Truth:
    """Truth, priors and regulators of a dataset; where nothing else is said all pairs are known.

    Args:
        data: the observations.
        scoring: names of the scoring protocols.
    """
    count = len(data.features)
    edges = signs = same_degrees = None
    known_pairs = np.zeros((count, count), bool)
    if data.truth is not None:
        known_pairs = data.truth.known & ~np.eye(count, dtype=bool)
        if known_pairs.any():
            edges = data.truth.truth != 0
            signs = np.sign(data.truth.truth) if data.truth.signed else None
            same_degrees = sample_networks(edges, known_pairs)
    return Truth(
        edges=edges,
        known=known_pairs,
        regulators=data.regulators,
        priors=_informative_priors(data.priors),
        signs=signs,
        deviations=deviation_observed(data.values[data.training]),
        same_degrees=same_degrees,
        made_priors=data.settings.get("priors", {}),
        pair_groups=group_pairs(choose_reference(data.truth, data.priors), count),
        scoring=scored_pairs(data, scoring),
    )


def _informative_priors(networks: Mapping[str, Network]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Edges and known pairs, (source, target) both, of every prior network that has an edge, by name."""
    priors = {}
    for name, network in networks.items():
        edges = network.truth != 0
        known_pairs = network.known & ~np.eye(len(edges), dtype=bool)
        if (edges & known_pairs).any() and (known_pairs & ~edges).any():
            priors[name] = edges, known_pairs
    return priors


def origin_of_prior(made_priors: Mapping[str, Mapping[str, Any]], name: str | None) -> dict[str, Any] | None:
    """What the prior network of a name is made `of`, and the share of it that is wrong; of none, None.

    `made_priors` are the dataset's own `priors`; any other is one of the source, made of nothing else.
    """
    if name is None:
        return None
    entry = made_priors.get(name, {"of": name})
    return {"name": name, "of": entry["of"], "corruption": entry.get("corruption", 0.0)}
