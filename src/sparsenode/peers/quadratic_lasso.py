"""Lasso on states and their products, by scikit-learn: rates as sparse polynomials of degree two."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from sparsenode.peers import Peer

if TYPE_CHECKING:
    from sparsenode.peers.derivatives import Samples


class QuadraticLasso(Peer):
    """Sparse linear regression of rates on states and products of two."""

    summary: ClassVar[str] = "sparse linear regression of rates on states and products of two"

    rates: Literal["smoothed", "differences"] = Field(
        "smoothed",
        description="What is explained: the slopes of smoothed states by these; or the differences between one "
        "observation and the next over the time between them, by the observed states before them, which is as good "
        "where observations are dense and free of noise.",
    )
    strengths: int = Field(
        30, ge=2, description="Penalties that are tried, down to `least` of the one that leaves nothing."
    )
    least: float = Field(1e-3, gt=0, lt=1, description="The last penalty, as a share of the one that leaves nothing.")

    @property
    def has_self_effects(self) -> bool:
        """The own state is in terms."""
        return True

    def infer(self, samples: Samples) -> tuple[np.ndarray, np.ndarray]:
        """Sum of a target's absolute coefficients over the terms a source is in, and the sign of its mean effect.

        Both (source, target). States have mean 0 and deviation 1 before they are multiplied, and so have terms and
        rates. Each target takes the penalty with which errors on blocks of time left out are least. At second order
        positions and velocities are inputs, and the larger of a source's two sums counts.
        """
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LassoCV
        from sklearn.preprocessing import PolynomialFeatures

        from sparsenode.peers.derivatives import deviation, differences, standardize
        from sparsenode.peers.terms import blocked_folds, mean_slopes, score_terms

        if self.rates == "differences":
            samples = differences(samples)
        inputs = np.hstack([standardize(values) for values in samples.inputs])
        explained = standardize(samples.rates)
        polynomials = PolynomialFeatures(degree=2, include_bias=False)
        terms = polynomials.fit_transform(inputs)
        sizes = deviation(terms)
        terms = standardize(terms)
        fold_numbers = blocked_folds(samples.stretch)
        # Stretches of five observations have four differences, and then there are four folds.
        splits = [
            (np.flatnonzero(fold_numbers != fold), np.flatnonzero(fold_numbers == fold))
            for fold in np.unique(fold_numbers)
        ]
        coefficients = np.zeros((terms.shape[1], explained.shape[1]))
        with warnings.catch_warnings():
            # The weakest penalties of a path take longest, and are hardly ever the best.
            warnings.filterwarnings("ignore", category=ConvergenceWarning)
            for target in np.flatnonzero(explained.any(axis=0)):
                model = LassoCV(alphas=self.strengths, eps=self.least, cv=splits, max_iter=5000)
                coefficients[:, target] = model.fit(terms, explained[:, target]).coef_
        slopes = mean_slopes(polynomials.powers_, inputs) / sizes
        return score_terms(polynomials.powers_, coefficients, slopes, kinds=len(samples.inputs))
