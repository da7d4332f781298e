"""From paired errors of held-out blocks to p-values, and from p-values to q-values."""

from __future__ import annotations

import numpy as np

from sparsenode.data.trajectories import Floats

CAUTION = 9.0
"""How many times larger than it is a misfit may become when an absent input that helps to mend it is left out.

In chaotic systems whose networks were trained too little, absent inputs had effects of up to 1.4 in log error at a
misfit of about half of the error: log(1 + 9 / 2) is 1.7.
"""
SUSPICIOUS = 3.0
"""Standard deviations of the autocorrelation of white residuals, from which on it counts as misfit."""


def corrected_t_test(
    differences: Floats, fold: np.ndarray, margin: Floats, *, coverage: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """One-sided test of each pair: the mean difference over blocks is above a margin.

    The folds' training sets overlap, so that blocks are not independent: with k folds the variance of the mean is
    multiplied by 1 + k / (k - 1), which is the correction of Nadeau and Bengio (Machine Learning 52, 2003) for test
    sets of 1 / (k - 1) times the size of the training sets.

    Args:
        differences: log error without the input less that with it, (pair, block).
        fold: of each block, (block,).
        margin: what the difference is compared with, (pair,).
        coverage: of the interval, such as .9.

    Returns:
        The mean, the ends of its two-sided interval, and the p-value, each (pair,).
    """
    from scipy import stats

    blocks = differences.shape[1]
    folds = len(np.unique(fold))
    mean = differences.mean(1)
    error = np.sqrt(differences.var(1, ddof=1) / blocks * (1 + folds / (folds - 1)))
    distance = mean - margin
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(error > 0, distance / error, np.where(distance > 0, np.inf, -np.inf))
    half = error * stats.t.ppf((1 + coverage) / 2, blocks - 1)
    return mean, mean - half, mean + half, stats.t.sf(t, blocks - 1)


def combine_splits(p_values: Floats) -> Floats:
    """One p-value (pair,) of several splits' (split, pair): twice their median, whatever their dependence.

    Source: Meinshausen, Meier and Bühlmann (JASA 104, 2009), theorem 3.1 at the quantile 1/2. That of one split is
    itself.
    """
    if len(p_values) == 1:
        return p_values[0]
    return np.minimum(2 * np.median(p_values, axis=0), 1.0)


def q_values(p_values: Floats, *, dependent: bool = False) -> Floats:
    """The smallest false discovery rate at which each hypothesis (hypothesis,) is rejected; NaN is none, and stays.

    Args:
        p_values: of all hypotheses, those that were not looked at as 1.
        dependent: whether p-values may depend on each other in any way (Benjamini and Yekutieli 2001), which costs a
            factor of the harmonic sum; else they may be independent or depend positively (Benjamini and Hochberg 1995).
    """
    q = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    count = len(tested)
    order = tested[np.argsort(p_values[tested], kind="stable")]
    factor = (1 / np.arange(1, count + 1)).sum() if dependent else 1.0
    scaled = p_values[order] * factor * count / np.arange(1, count + 1)
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q


def misfit_share(residuals: Floats, along: Floats, weight: Floats) -> tuple[float, float]:
    """Share of a target's residuals that is no white noise, and how many standard deviations it is from none.

    Noise is white, misfit is smooth: it is the residuals' covariance with the next observation over their variance.
    That each window's start was fitted makes white residuals covary by what projecting the start out does, which is
    taken off.

    Args:
        residuals: of windows with fitted starts, at the times of observations, (window, time); 0 where none is.
        along: how forecasts depend on the start, (window, time).
        weight: 1 where there is an observation, else 0, (window, time).
    """
    along = along * weight
    norm = np.square(along).sum(1)
    used = (norm > 0) & (weight.sum(1) > 1)
    residuals, along, weight, norm = residuals[used], along[used], weight[used], norm[used]
    freedom = weight.sum() - len(weight)
    pairs = weight[:, 1:] * weight[:, :-1]
    count = pairs.sum()
    variance = np.square(residuals).sum() / max(freedom, 1)
    if count == 0 or variance == 0:
        return 0.0, 0.0
    expected = -(along[:, 1:] * along[:, :-1] / norm[:, None])
    covariance = ((residuals[:, 1:] * residuals[:, :-1] - variance * expected) * pairs).sum() / count
    share = covariance / variance
    return float(np.clip(share, 0.0, 1.0)), float(share * np.sqrt(count))


def misfit_margin(share: float, deviations: float) -> float:
    """Log increase of the error that an input may owe to a misfit only; 0 where residuals are white.

    Args:
        share: of the error that is misfit, 0 to 1.
        deviations: how far it is from none, in standard deviations.
    """
    return float(np.log1p(CAUTION * share)) if deviations > SUSPICIOUS else 0.0
