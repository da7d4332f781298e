"""SINDy (Brunton et al. 2016) by pysindy: derivatives as sparse sums of polynomial terms of the states.

Library and optimizer are pysindy's. The derivatives are those that all peers are given: its SmoothedFiniteDifference
is made for observations at equal steps, and goes far astray at other steps.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from sparsenode.peers import Peer

if TYPE_CHECKING:
    from sparsenode.peers.derivatives import Samples

_FOLDS = 5


class Sindy(Peer):
    """Sparse identification of nonlinear dynamics (pysindy), polynomials and thresholded least squares."""

    summary: ClassVar[str] = (
        "sparse identification of nonlinear dynamics (pysindy), polynomials and thresholded least squares"
    )

    library: Literal["auto", "quadratic", "linear"] = Field(
        "auto",
        description="Which terms there are: a constant and the states, and with `quadratic` products of two; `auto` "
        "takes products where there are two observations or more for each term. With 50 variables they take hours.",
    )
    thresholds: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        (0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
        min_length=1,
        strict=False,
        description="Sizes below which a standardized coefficient is dropped; each target takes the best one.",
    )
    ridge: float = Field(
        0.05,
        ge=0,
        description="Penalty on squared coefficients while terms are dropped, beside a sum over observations.",
    )

    def infer(self, samples: Samples) -> tuple[np.ndarray, np.ndarray]:
        """Sum of the sizes of a target's coefficients over the terms a source is in, and the sign of its mean effect.

        Both (source, target). A coefficient's size is that of a term and of a derivative of standard deviation 1, for
        thresholds too. Each target takes the threshold with which errors on blocks of time left out are least. At
        second order positions and velocities are inputs, and the larger of a source's two sums counts.
        """
        from pysindy.feature_library import PolynomialLibrary

        from sparsenode.peers.derivatives import deviation, larger

        inputs = np.hstack(samples.inputs)
        inputs = inputs / deviation(inputs)
        polynomials = PolynomialLibrary(degree=polynomial_degree(self.library, *inputs.shape))
        terms = np.asarray(polynomials.fit_transform(inputs))
        powers = np.asarray(polynomials.powers_)
        sizes = deviation(terms)
        sizes[powers.sum(1) == 0] = 1.0
        coefficients = fit_terms(
            terms / sizes,
            samples.rates / deviation(samples.rates),
            samples.stretch,
            sorted(self.thresholds),
            self.ridge,
        )
        sums = (powers > 0).T @ np.abs(coefficients)
        effects = mean_slopes(powers, inputs.mean(0)) @ (coefficients / sizes[:, None])
        shape = (len(samples.inputs), -1, samples.rates.shape[1])
        return larger(sums.reshape(shape), np.sign(effects).reshape(shape))


def polynomial_degree(library: str, observations: int, inputs: int) -> int:
    """Degree of the terms.

    Args:
        library: `linear`, `quadratic`, or `auto`: 2 where there are two observations or more for each term of it.
        observations: number of observations.
        inputs: number of inputs.
    """
    quadratic_terms = (inputs + 1) * (inputs + 2) // 2
    fits = 2 * quadratic_terms <= observations
    return {"linear": 1, "quadratic": 2, "auto": 2 if fits else 1}[library]


def fit_terms(
    terms: np.ndarray, rates: np.ndarray, stretch: np.ndarray, thresholds: Sequence[float], ridge: float
) -> np.ndarray:
    """Coefficients (term, target) of the rates, of each target at its best threshold.

    Each fold leaves out a fifth of each stretch, in a row. Of equally good thresholds the largest is taken.

    Args:
        terms: (observation, term).
        rates: (observation, target).
        stretch: number of the stretch of each observation, (observation,).
        thresholds: sizes below which a coefficient is dropped, increasing.
        ridge: penalty on squared coefficients.
    """
    fold = np.concatenate([np.arange(count) * _FOLDS // count for count in np.bincount(stretch)])
    errors = np.zeros((len(thresholds), rates.shape[1]))
    for number in range(_FOLDS if len(thresholds) > 1 else 0):
        out = fold == number
        for index, threshold in enumerate(thresholds):
            coefficients = threshold_terms(terms[~out], rates[~out], threshold, ridge)
            errors[index] += np.square(rates[out] - terms[out] @ coefficients).sum(0)
    best = len(thresholds) - 1 - errors[::-1].argmin(0)
    fitted = np.stack([threshold_terms(terms, rates, threshold, ridge) for threshold in thresholds])
    return np.asarray(np.take_along_axis(fitted, best[None, None], 0)[0])


def threshold_terms(terms: np.ndarray, rates: np.ndarray, threshold: float, ridge: float) -> np.ndarray:
    """Coefficients (term, target) by sequentially thresholded least squares.

    Args:
        terms: (observation, term).
        rates: (observation, target).
        threshold: size below which a coefficient is dropped.
        ridge: penalty on squared coefficients.
    """
    from pysindy.optimizers import STLSQ

    # Each round but the last removes a term.
    optimizer = STLSQ(threshold=threshold, alpha=ridge, max_iter=terms.shape[1] * rates.shape[1] + 1)
    with warnings.catch_warnings():
        # A target without terms is an answer like any other here: its error decides.
        warnings.filterwarnings("ignore", message="Sparsity parameter is too big", category=UserWarning)
        optimizer.fit(terms, rates)
    return np.asarray(optimizer.coef_).T


def mean_slopes(powers: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Mean derivative of each term by each input, (input, term), of terms of degree 2 at most.

    `powers` (term, input) of the term; `means` (input,) over the observations.
    """
    partner_means = powers @ means - means[:, None]  # of a product of two inputs, the mean of the other input
    return np.asarray(powers.T * np.where(powers.sum(1) == 1, 1.0, partner_means))
