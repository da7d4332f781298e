"""LassoNet (Lemhadri et al. 2021) by its authors' package: derivatives by a network of the states, static.

Here a network explains smoothed derivatives observation by observation; nothing is solved in time, unlike the method
of the same name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sparsenode.peers import Peer

if TYPE_CHECKING:
    from sparsenode.peers.derivatives import Samples


def infer(
    samples: Samples,
    seed: int,
    *,
    hidden: int,
    hierarchy: float,
    start: float,
    path_multiplier: float,
    iterations: int,
    path_iterations: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The penalty at which a source leaves a target's network, (source, target), for a target of variance 1; no sign.

    The target's own state is among the inputs. At second order positions and velocities are inputs, and the larger of a
    source's two penalties counts. A source that is constant has none.
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
                hidden_dims=(hidden,),
                M=hierarchy,
                lambda_start=start,
                path_multiplier=path_multiplier,
                n_iters=(iterations, path_iterations),
                device="cpu",
                verbose=0,
                random_state=seed,
                torch_seed=seed,
            )
            path = regressor.path(inputs, targets[:, target], disable_lambda_warning=True)
            left = regressor.feature_importances_.numpy()
            # What the dense network does without never leaves; what is there at the end outlasts every penalty.
            last = path[-1].lambda_ * path_multiplier
            left = np.where(path[0].selected.numpy() & inputs.any(0), np.minimum(left, last), 0.0)
            scores[:, target] = left.reshape(-1, count).max(0)
    return scores, np.zeros_like(scores)


PEER = Peer(
    name="lassonet",
    summary="LassoNet regression of derivatives on states (its authors' package)",
    infer=infer,
    random=True,
    options={
        "hidden": {"type": "integer", "minimum": 1, "default": 16, "description": "Units of the hidden layer."},
        "hierarchy": {
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 10.0,
            "description": "M of LassoNet: how much larger than a source's linear weight its weights may be.",
        },
        "start": {
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 10.0,
            "description": "First penalty of the path, at which nothing leaves yet; to find it takes long.",
        },
        "path_multiplier": {
            "type": "number",
            "exclusiveMinimum": 1,
            "default": 1.25,
            "description": "From one penalty of the path to the next; nearer to 1 is finer and slower.",
        },
        "iterations": {
            "type": "integer",
            "minimum": 1,
            "default": 1000,
            "description": "Most iterations without a penalty, before the path.",
        },
        "path_iterations": {
            "type": "integer",
            "minimum": 1,
            "default": 50,
            "description": "Most iterations at each penalty of the path.",
        },
    },
)
