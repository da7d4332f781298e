"""How much restarts are smoothed: cross-validation of local polynomials by leaving one out (Allen 1974)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from anndata import AnnData

WIDTHS = (2, 3, 4, 6, 8, 12)
"""Half widths, in observations, that are compared with no smoothing."""
NEGLIGIBLE = 0.02
"""Noise, in deviations, below which differences may tell the motion instead, and nothing is smoothed."""
_MOST = 300  # observations at which they are compared


def smoothing_width(adata: AnnData, noise: float) -> int:
    """Half width (observations) of the local fit that is nearest to the state; 0 where that is the observation itself.

    An observation that is left out of a fit errs from it by its own noise and by the fit's error. So a fit is better
    than the observation where the mean square of that is below twice the noise's.

    Args:
        adata: the trajectories.
        noise: noise of an observation, in deviations of its variable, the median over variables.
    """
    if noise < NEGLIGIBLE:
        return 0
    from sparsenode.data.contract import training_mask
    from sparsenode.data.missing import deviation_observed
    from sparsenode.data.windows import find_stretches, local_fit

    training = training_mask(adata.obs["split"], adata.obs["phase"])
    trajectory = adata.obs["trajectory"].cat.codes.to_numpy()
    time = adata.obs["time"].to_numpy(np.float64)
    values = np.asarray(adata.X, np.float64)
    spread = deviation_observed(values[training])
    scaled = values[:, spread > 0] / spread[spread > 0]
    stretches = [rows for rows in find_stretches(training, trajectory) if len(rows) > 2 * WIDTHS[0]]
    every = max(1, sum(map(len, stretches)) // _MOST)
    errors: dict[int, list[np.ndarray]] = {width: [] for width in WIDTHS}
    for rows in stretches:
        for index in range(every // 2, len(rows), every):
            for width in WIDTHS:
                near = rows[max(0, index - width) : index + width + 1]
                at = np.flatnonzero(near == rows[index])
                if len(near) < 2 * WIDTHS[0] + 1:
                    continue
                is_left_out = np.zeros((len(near), 1))
                is_left_out[at] = 1.0
                fitted, _ = local_fit(time[near], scaled[near], time[rows[index]])
                share = float(local_fit(time[near], is_left_out, time[rows[index]])[0][0])
                if share < 1 - 1e-6:
                    errors[width].append(np.square((scaled[rows[index]] - fitted) / (1 - share)))
    means = {width: float(np.nanmedian(np.nanmean(each, axis=0))) for width, each in errors.items() if each}
    if not means:
        return 0
    best = min(means, key=lambda width: means[width])
    return best if means[best] < 2 * noise**2 else 0
