"""What is refused in data before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError, some_of


def refuse_constant(
    features: Sequence[str],
    values: Floats,
    *,
    where: str = "",
    advice: str = "leave them out, since nothing can be learned of them",
) -> None:
    """Refuse variables of which nothing can be learned.

    Args:
        features: names of the variables.
        values: (observation, variable), NaN where missing.
        where: what the observations are, for the message.
        advice: what to do, for the message.

    Raises:
        UserError: a variable has the same value in all observations.
    """
    constant = np.fmin.reduce(values) == np.fmax.reduce(values)
    if constant.any():
        names = [name for name, still in zip(features, constant, strict=True) if still]
        raise UserError(
            f"{where}{': ' if where else ''}{len(names)} of {len(features)} variables have one value in all "
            f"observations: {some_of(names)}; {advice}"
        )
