"""LassoNet (Lemhadri et al. 2021) by its authors' package: derivatives by a network of the states, static.

Here a network explains smoothed derivatives observation by observation; nothing is solved in time, unlike the method
of the same name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from sparsenode.peers import RandomPeer

if TYPE_CHECKING:
    from sparsenode.peers.derivatives import Samples


class LassoNetRegression(RandomPeer):
    """LassoNet regression of derivatives on states (its authors' package)."""

    summary: ClassVar[str] = "LassoNet regression of derivatives on states (its authors' package)"

    hidden: int = Field(16, ge=1, description="Units of the hidden layer.")
    hierarchy: float = Field(
        10.0, gt=0, description="M of LassoNet: how much larger than a source's linear weight its weights may be."
    )
    start: float = Field(
        10.0,
        gt=0,
        description="The first penalty of the path, which should leave every source in; to search for it takes long.",
    )
    path_multiplier: float = Field(
        1.25, gt=1, description="From one penalty of the path to the next; nearer to 1 is finer and slower."
    )
    iterations: int = Field(1000, ge=1, description="Most iterations without a penalty, before the path.")
    path_iterations: int = Field(50, ge=1, description="Most iterations at each penalty of the path.")

    @property
    def has_self_effects(self) -> bool:
        """The own state is an input."""
        return True

    def infer(self, samples: Samples, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """The penalty at which a source leaves a target's network, (source, target), of targets of variance 1; no sign.

        The target's own state is among the inputs. At second order positions and velocities are inputs, and the larger
        of a source's two penalties counts. A source that is constant has none.
        """
        import torch
        from lassonet import LassoNetRegressor

        from sparsenode.peers.derivatives import standardize

        inputs = standardize(np.hstack(samples.inputs))
        targets = standardize(samples.rates)
        count = targets.shape[1]
        scores = np.zeros((count, count))
        with torch.random.fork_rng():
            for target in np.flatnonzero(targets.any(0)):
                regressor = LassoNetRegressor(
                    hidden_dims=(self.hidden,),
                    M=self.hierarchy,
                    lambda_start=self.start,
                    path_multiplier=self.path_multiplier,
                    n_iters=(self.iterations, self.path_iterations),
                    device="cpu",
                    verbose=0,
                    random_state=seed,
                    torch_seed=seed,
                )
                path = regressor.path(inputs, targets[:, target], disable_lambda_warning=True)
                left = regressor.feature_importances_.numpy()
                # What the dense network does without never leaves; what is there at the end outlasts every penalty.
                last = path[-1].lambda_ * self.path_multiplier
                left = np.where(path[0].selected.numpy() & inputs.any(0), np.minimum(left, last), 0.0)
                scores[:, target] = left.reshape(-1, count).max(0)
        return scores, np.zeros_like(scores)
