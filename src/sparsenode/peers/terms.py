"""Polynomial terms of the inputs: what is left out in turn, and what coefficients say of each source."""

from __future__ import annotations

import numpy as np

from sparsenode.peers.derivatives import larger

FOLDS = 5


def blocked_folds(stretch: np.ndarray, folds: int = FOLDS) -> np.ndarray:
    """Number of the fold (observation,) in which an observation is left out: each leaves out a block of each stretch.

    Args:
        stretch: number of the stretch of each observation, (observation,), in the order of the file.
        folds: how many blocks each stretch is cut into.
    """
    _, counts = np.unique(stretch, return_counts=True)
    return np.concatenate([np.arange(count) * folds // count for count in counts])


def score_terms(
    powers: np.ndarray, coefficients: np.ndarray, slopes: np.ndarray, kinds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the sizes of a target's coefficients over the terms that a source is in, and the sign of its mean effect.

    Both (source, target). A product of a variable with itself counts once, for that variable. Where inputs are of two
    kinds, positions and velocities, the larger of a source's two sums counts.

    Args:
        powers: of each input in each term, (term, input); the inputs are all variables of one kind, then of the next.
        coefficients: (term, target), of terms of deviation 1.
        slopes: mean derivative of each such term by each input, (input, term).
        kinds: how many kinds of inputs there are.
    """
    shape = (kinds, -1, coefficients.shape[1])
    sums = (powers > 0).T @ np.abs(coefficients)
    effects = slopes @ coefficients
    return larger(sums.reshape(shape), np.sign(effects).reshape(shape))


def mean_slopes(powers: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Mean derivative over the observations of each term by each input, (input, term), of terms of degree 3 at most.

    Args:
        powers: of each input in each term, (term, input).
        inputs: (observation, input).
    """
    moments = inputs.mean(0), inputs.T @ inputs / len(inputs)
    slopes = np.zeros(powers.T.shape)
    for term, source in zip(*np.nonzero(powers), strict=True):
        left = powers[term].copy()  # what the derivative leaves of the term: of degree 2 at most
        left[source] -= 1
        factors = np.repeat(np.arange(len(left)), left)
        mean = moments[len(factors) - 1][tuple(factors)] if len(factors) else 1.0
        slopes[source, term] = powers[term, source] * mean
    return slopes
