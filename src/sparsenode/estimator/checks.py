"""What is refused or doubted in the data of a fit before anything is computed."""

from __future__ import annotations

import warnings

import numpy as np

from sparsenode.data.checks import refuse_constant
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError, some_of
from sparsenode.estimator.settings import FitSettings
from sparsenode.typed import plain_value


def check_preparation(settings: FitSettings) -> None:
    """Refuse settings of what trajectories bring with them.

    Raises:
        UserError: such a setting is not the default.
    """
    for name in ("validation", "initial_state", "feature_weight"):
        value = getattr(settings, name)
        if value != type(settings).model_fields[name].get_default(call_default_factory=True):
            raise UserError(
                f"SparseNODE.{name}: found {plain_value(value)!r}, and X is an AnnData of trajectories, which brings "
                "its own; leave the setting out, or prepare the trajectories so (`load_dataset(..., validation=...)`)"
            )


def check_raw(raw: RawTrajectories) -> None:
    """Refuse variables of which nothing can be learned, and warn of those that nothing tells apart.

    Raises:
        UserError: a variable has the same value wherever it is observed.
    """
    values = np.concatenate([trajectory.values for trajectory in raw.trajectories])
    # One that is nowhere observed is refused where observations are counted.
    refuse_constant(raw.features, values)
    firsts: dict[bytes, str] = {}
    pairs = []
    for name, column in zip(raw.features, values.T, strict=True):
        first = firsts.setdefault(column.tobytes(), name)
        pairs += [f"{name} as {first}"] * (first != name)
    if pairs:
        warnings.warn(
            f"{len(pairs)} of {len(raw.features)} variables have the values of another one: {some_of(pairs)}; leave "
            "one of each pair out, since edges of the one may as well be those of the other",
            stacklevel=4,
        )
