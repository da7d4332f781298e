"""What is refused in data before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError

_NAMED = 5  # names listed in a message


def refuse_constant(features: Sequence[str], values: Floats) -> None:
    """Refuse variables of which nothing can be learned.

    Args:
        features: names of the variables.
        values: (observation, variable), NaN where missing.

    Raises:
        UserError: a variable has the same value in all observations.
    """
    constant = np.fmin.reduce(values) == np.fmax.reduce(values)
    if constant.any():
        names = [name for name, still in zip(features, constant, strict=True) if still]
        listed = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
        raise UserError(
            f"{len(names)} of {len(features)} variables have one value in all observations: {listed}; leave them "
            "out, since nothing can be learned of them"
        )
