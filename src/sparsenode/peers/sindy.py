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

_DEGREES = {"linear": 1, "quadratic": 2, "cubic": 3}
_MOST_CUBIC_TERMS = 120  # seven inputs


class Sindy(Peer):
    """Sparse identification of nonlinear dynamics (pysindy), polynomials and thresholded least squares."""

    summary: ClassVar[str] = (
        "sparse identification of nonlinear dynamics (pysindy), polynomials and thresholded least squares"
    )

    library: Literal["auto", "cubic", "quadratic", "linear"] = Field(
        "auto",
        description="Which terms there are: a constant and the states, and with `quadratic` products of two, with "
        "`cubic` of three too. With `auto` each target takes the smallest library whose error on blocks of time left "
        "out is within a standard error of the least; products are tried where there are two observations or more for "
        "each term, those of three with up to seven inputs. With 50 variables products of two take hours.",
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

    @property
    def has_self_effects(self) -> bool:
        """The own state is in terms."""
        return True

    def infer(self, samples: Samples) -> tuple[np.ndarray, np.ndarray]:
        """Sum of the sizes of a target's coefficients over the terms a source is in, and the sign of its mean effect.

        Both (source, target). A coefficient's size is that of a term and of a derivative of standard deviation 1, for
        thresholds too. Each target takes the library and the threshold with which errors on blocks of time left out
        are least. At second order positions and velocities are inputs, and the larger of a source's two sums counts.
        """
        from pysindy.feature_library import PolynomialLibrary

        from sparsenode.peers.derivatives import deviation
        from sparsenode.peers.terms import mean_slopes, score_terms

        inputs = np.hstack(samples.inputs)
        inputs = inputs / deviation(inputs)
        degrees = polynomial_degrees(self.library, *inputs.shape)
        polynomials = PolynomialLibrary(degree=degrees[-1])
        terms = np.asarray(polynomials.fit_transform(inputs))
        powers = np.asarray(polynomials.powers_)
        sizes = deviation(terms)
        sizes[powers.sum(1) == 0] = 1.0
        coefficients = fit_libraries(
            terms / sizes,
            samples.rates / deviation(samples.rates),
            samples.stretch,
            libraries=[powers.sum(1) <= degree for degree in degrees],
            thresholds=sorted(self.thresholds),
            ridge=self.ridge,
        )
        return score_terms(powers, coefficients, mean_slopes(powers, inputs) / sizes, kinds=len(samples.inputs))


def polynomial_degrees(library: str, observations: int, inputs: int) -> tuple[int, ...]:
    """Degrees of the libraries that are tried, ascending.

    Args:
        library: `linear`, `quadratic`, `cubic`, or `auto`: 1, 2 where there are two observations or more for each term
            of it, and 3 where there are too and it has few terms.
        observations: number of observations.
        inputs: number of inputs.
    """
    if library != "auto":
        return (_DEGREES[library],)
    quadratic_terms = (inputs + 1) * (inputs + 2) // 2
    cubic_terms = quadratic_terms * (inputs + 3) // 3
    degrees = [1]
    if 2 * quadratic_terms <= observations:
        degrees.append(2)
        if 2 * cubic_terms <= observations and cubic_terms <= _MOST_CUBIC_TERMS:
            degrees.append(3)
    return tuple(degrees)


def fit_libraries(
    terms: np.ndarray,
    rates: np.ndarray,
    stretch: np.ndarray,
    *,
    libraries: Sequence[np.ndarray],
    thresholds: Sequence[float],
    ridge: float,
) -> np.ndarray:
    """Coefficients (term, target) of the rates, of each target in its best library at its best threshold.

    The best library is the first whose error on blocks left out is within a standard error, over these blocks, of the
    least; the best threshold is that of the least error, and of equally good ones the largest.

    Args:
        terms: (observation, term).
        rates: (observation, target).
        stretch: number of the stretch of each observation, (observation,).
        libraries: which terms each library has, (term,), each library in the next.
        thresholds: sizes below which a coefficient is dropped, increasing.
        ridge: penalty on squared coefficients.
    """
    from sparsenode.peers.terms import FOLDS

    coefficients = np.zeros((len(libraries), terms.shape[1], rates.shape[1]))
    errors = np.zeros((len(libraries), FOLDS, rates.shape[1]))
    for number, library in enumerate(libraries):
        if len(thresholds) > 1 or len(libraries) > 1:
            by_threshold = block_errors(terms[:, library], rates, stretch, thresholds, ridge)
            best = len(thresholds) - 1 - by_threshold.sum(1)[::-1].argmin(0)
            errors[number] = np.take_along_axis(by_threshold, best[None, None], 0)[0]
        else:
            best = np.zeros(rates.shape[1], int)
        fitted = np.stack([threshold_terms(terms[:, library], rates, threshold, ridge) for threshold in thresholds])
        coefficients[number, library] = np.take_along_axis(fitted, best[None, None], 0)[0]
    means, deviations = errors.mean(1), errors.std(1, ddof=1) / np.sqrt(FOLDS)
    least = means.argmin(0)[None]
    bound = np.take_along_axis(means, least, 0) + np.take_along_axis(deviations, least, 0)
    chosen = (means <= bound).argmax(0)
    return np.asarray(np.take_along_axis(coefficients, chosen[None, None], 0)[0])


def block_errors(
    terms: np.ndarray, rates: np.ndarray, stretch: np.ndarray, thresholds: Sequence[float], ridge: float
) -> np.ndarray:
    """Squared errors (threshold, fold, target) on a fifth of each stretch, in a row, that is left out.

    Args:
        terms: (observation, term).
        rates: (observation, target).
        stretch: number of the stretch of each observation, (observation,).
        thresholds: sizes below which a coefficient is dropped.
        ridge: penalty on squared coefficients.
    """
    from sparsenode.peers.terms import FOLDS, blocked_folds

    fold_numbers = blocked_folds(stretch)
    errors = np.zeros((len(thresholds), FOLDS, rates.shape[1]))
    for fold in range(FOLDS):
        out = fold_numbers == fold
        for index, threshold in enumerate(thresholds):
            coefficients = threshold_terms(terms[~out], rates[~out], threshold, ridge)
            errors[index, fold] = np.square(rates[out] - terms[out] @ coefficients).sum(0)
    return errors


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
