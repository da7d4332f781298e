"""What is refused in the data of a fit before anything is computed."""

from __future__ import annotations

import numpy as np

from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError

_NAMED = 5  # names listed in a message


def check_raw(raw: RawTrajectories) -> None:
    """Refuse variables of which nothing can be learned.

    Raises:
        UserError: a variable has the same value in all observations.
    """
    values = np.concatenate([trajectory.values for trajectory in raw.trajectories])
    constant = (values == values[0]).all(axis=0)
    if constant.any():
        names = [name for name, still in zip(raw.features, constant, strict=True) if still]
        listed = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
        raise UserError(
            f"{len(names)} of {len(raw.features)} variables have one value in all observations: {listed}; leave them "
            "out, since nothing can be learned of them"
        )
