"""Lasso: sparse linear regression of each target's smoothed derivative on the states, by scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from sparsenode.peers import Peer
from sparsenode.peers.derivatives import Last

if TYPE_CHECKING:
    from sparsenode.peers.derivatives import Samples


class Lasso(Peer):
    """Sparse linear regression of derivatives, or states, on states."""

    summary: ClassVar[str] = "sparse linear regression of derivatives, or states, on states"

    of: Literal["derivatives", "states"] = Field(
        "derivatives", description="What of the target the sources explain: its derivative or its state."
    )
    rates: Literal["smoothed", "differences"] = Field(
        "smoothed",
        description="What derivatives are: the slopes of smoothed states, explained by these; or the differences "
        "between one observation and the next over the time between them, explained by the observed states before.",
    )
    folds: int = Field(5, ge=2, description="Parts that are left out in turn.")
    strengths: int = Field(
        30, ge=2, description="Penalties that are tried, down to a thousandth of the one that leaves nothing."
    )
    last: Last = None

    @property
    def has_self_effects(self) -> bool:
        """Of states the target's own is no input."""
        return self.of == "derivatives"

    def infer(self, samples: Samples) -> tuple[np.ndarray, np.ndarray]:
        """Absolute coefficients of the sources and their signs, (source, target), all of variance 1.

        Each target takes the penalty with which errors on left-out parts are least: whole stretches of the training
        data, or blocks of time where there are fewer than two. At second order positions and velocities are inputs,
        and the larger of a source's two coefficients counts. Of states the target's own is no input.
        """
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LassoCV

        from sparsenode.peers.derivatives import (
            differences,
            inputs_and_targets,
            larger,
            last_of_stretches,
            standardize,
        )

        if self.of == "derivatives" and self.rates == "differences":
            samples = differences(samples)
        samples = last_of_stretches(samples, self.last)
        input_kinds, explained = inputs_and_targets(samples, self.of)
        inputs = np.hstack([standardize(values) for values in input_kinds])
        explained = standardize(explained)
        fold_numbers = _parts(samples.stretch, self.folds)
        splits = [
            (np.flatnonzero(fold_numbers != fold), np.flatnonzero(fold_numbers == fold))
            for fold in np.unique(fold_numbers)
        ]
        flat_coefficients = np.zeros((inputs.shape[1], explained.shape[1]))
        with warnings.catch_warnings():
            # The weakest penalties of a path take longest, and are hardly ever the best.
            warnings.filterwarnings("ignore", category=ConvergenceWarning)
            for target in np.flatnonzero(explained.any(axis=0)):
                sources = np.arange(inputs.shape[1])
                if self.of == "states":
                    sources = np.delete(sources, target)
                model = LassoCV(alphas=self.strengths, cv=splits, max_iter=5000)
                flat_coefficients[sources, target] = model.fit(inputs[:, sources], explained[:, target]).coef_
        coefficients = flat_coefficients.reshape(len(input_kinds), -1, explained.shape[1])
        return larger(np.abs(coefficients), np.sign(coefficients))


def _parts(stretch: np.ndarray, folds: int) -> np.ndarray:
    """Number of the part (observation,) that is left out together: stretches, or blocks of a single one."""
    _, number = np.unique(stretch, return_inverse=True)
    if number.max() == 0:
        return np.arange(len(number)) * folds // len(number)
    return np.asarray(number % min(folds, number.max() + 1))
