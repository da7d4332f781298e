"""Extra trees on derivatives: GENIE3 (Huynh-Thu et al. 2010) with rates as what is explained, as in dynGENIE3.

The trees are scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from sparsenode.peers import RandomPeer
from sparsenode.peers.derivatives import Last

if TYPE_CHECKING:
    from sparsenode.peers.derivatives import Samples


_TRIED: Mapping[str, str | float | None] = {"sqrt": "sqrt", "third": 1 / 3, "all": None}


class ExtraTrees(RandomPeer):
    """GENIE3 with extremely randomized trees, on derivatives."""

    summary: ClassVar[str] = "GENIE3 with extremely randomized trees, on derivatives"

    of: Literal["derivatives", "states"] = Field(
        "derivatives",
        description="What of the target the sources explain: its derivative, or, as GENIE3 itself, its state.",
    )
    decay: bool = Field(
        True,
        description="A target's own state is among what explains its derivative, as a decay; it is no source.",
    )
    trees: int = Field(500, ge=1, description="Trees for each target.")
    tried: Literal["sqrt", "third", "all"] = Field(
        "sqrt",
        description="Inputs that are tried at each split: the square root of their number; a third, which ranks "
        "hundreds of sources better and takes four times as long; or all.",
    )
    last: Last = None

    @property
    def has_self_effects(self) -> bool:
        """With decay the own state is an input."""
        return self.of == "derivatives" and self.decay

    def infer(self, samples: Samples, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Share of a target's variance that splits on a source explain, (source, target); it has no sign.

        At second order it is the sum over the source's position and velocity.
        """
        from sklearn.ensemble import ExtraTreesRegressor

        from sparsenode.peers.derivatives import inputs_and_targets, last_of_stretches, standardize

        inputs, targets = inputs_and_targets(last_of_stretches(samples, self.last), self.of)
        targets = standardize(targets)
        count = targets.shape[1]
        scores = np.zeros((count, count))
        for target in np.flatnonzero(targets.any(0)):
            sources = np.arange(count)
            if self.of == "states" or not self.decay:
                sources = np.delete(sources, target)
            forest = ExtraTreesRegressor(
                n_estimators=self.trees, max_features=_TRIED[self.tried], random_state=seed, n_jobs=1
            )
            forest.fit(np.hstack([values[:, sources] for values in inputs]), targets[:, target])
            # As GENIE3: not scaled to a sum of 1, so that what a target's trees leave unexplained does not count.
            each = [tree.tree_.compute_feature_importances(normalize=False) for tree in forest.estimators_]
            scores[sources, target] = np.mean(each, axis=0).reshape(len(inputs), -1).sum(0)
        return scores, np.zeros_like(scores)
