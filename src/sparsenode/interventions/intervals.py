"""How sure an effect is: its interval over bootstrap members, and whether it is up, down, or cannot be told."""

from __future__ import annotations

import numpy as np

from sparsenode.errors import UserError
from sparsenode.inference.results import UNTOLD

UP, DOWN = "up", "down"
FEWEST_MEMBERS = 3


def check_coverage(coverage: float) -> None:
    """Refuse a coverage that is no share.

    Raises:
        UserError: it is not between 0 and 1.
    """
    if isinstance(coverage, bool) or not (isinstance(coverage, float | int) and 0 < coverage < 1):
        raise UserError(f"coverage: found {coverage!r}; give a share above 0 and below 1, such as 0.9")


def member_interval(values: np.ndarray, coverage: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Median over members and the ends of an interval, each of the shape of one member's values.

    Each member is trained with weights of the observations of its own (the Bayesian bootstrap), so that the standard
    deviation over members is the standard error of what is estimated (Rubin, Annals of Statistics 9, 1981), known with
    one degree of freedom less than there are members. Quantiles of few members would be far too narrow. Of members of
    a model without a bootstrap the interval tells of random starts only.

    Args:
        values: of each member, (member, ...).
        coverage: of the interval, above 0 and below 1.

    Returns:
        Median, lower and upper end; the ends are NaN for a single member, or where a value is not finite.
    """
    from scipy.special import stdtrit

    center = np.median(values, axis=0)
    if len(values) < 2:
        return center, np.full_like(center, np.nan), np.full_like(center, np.nan)
    with np.errstate(invalid="ignore", over="ignore"):
        reach = stdtrit(len(values) - 1, (1 + coverage) / 2) * values.std(axis=0, ddof=1)
        lower, upper = center - reach, center + reach
    finite = np.isfinite(values).all(axis=0)
    return center, np.where(finite, lower, np.nan), np.where(finite, upper, np.nan)


def verdicts(lower: np.ndarray, upper: np.ndarray, members: int) -> list[str]:
    """Whether each interval is above zero, below it, or tells neither.

    Args:
        lower: lower ends.
        upper: upper ends, of the same shape (value,).
        members: number of members that the intervals are of. Of fewer than `FEWEST_MEMBERS` nothing can be told: the
            same value of two of them by chance is an interval without any width.
    """
    if members < FEWEST_MEMBERS:
        return [UNTOLD] * len(lower)
    return [UP if low > 0 else DOWN if high < 0 else UNTOLD for low, high in zip(lower, upper, strict=True)]
