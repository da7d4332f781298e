"""Correlation: how closely a source moves with a target, the least that any method has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from sparsenode.peers import Peer

if TYPE_CHECKING:
    from sparsenode.peers.derivatives import Samples


class Correlation(Peer):
    """Absolute Pearson correlation of source and target."""

    summary: ClassVar[str] = "absolute Pearson correlation of source and target"

    of: Literal["states", "derivatives"] = Field(
        "states",
        description="What of the target is correlated; with its state, both directions of a pair score alike.",
    )

    @property
    def has_self_effects(self) -> bool:
        """Derivatives correlate with the own state too."""
        return self.of == "derivatives"

    def infer(self, samples: Samples) -> tuple[np.ndarray, np.ndarray]:
        """Absolute Pearson correlations of sources with targets, and their signs, (source, target).

        `of` says what of the target is correlated: its observed states, or its derivatives, which tell a direction; at
        second order the larger one of the sources' positions and velocities then counts. With a constant there is none.
        """
        from sparsenode.peers.derivatives import larger, standardize

        sources, targets = (
            ([samples.observed], samples.observed) if self.of == "states" else (samples.inputs, samples.rates)
        )
        count = len(targets)
        correlations = np.stack([standardize(values).T @ standardize(targets) / count for values in sources])
        return larger(np.abs(correlations), np.sign(correlations))
