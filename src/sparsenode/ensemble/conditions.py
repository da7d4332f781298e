"""What forecasts are given beside their initial states: slopes, groups, levels, and variables that are held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from sparsenode.data.windows import check_known, past_slopes
from sparsenode.errors import UserError

if TYPE_CHECKING:
    from sparsenode.data.observations import Observations
    from sparsenode.ensemble.members import Ensemble


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What forecasts are given, row by row; see `Ensemble.forecast`.

    Attributes:
        slopes: slopes (row, feature) of the last observations, for models that take them.
        groups: group of each row, (row,), for models that have learned where groups start.
        levels: level of each row, (row,), for the same models.
        clamp: values at which variables are held, by name.
    """

    slopes: np.ndarray | None = None
    groups: np.ndarray | None = None
    levels: np.ndarray | None = None
    clamp: Mapping[str, float] = field(default_factory=dict)

    def select(self, rows: Sequence[int] | slice) -> Conditions:
        """The conditions of some rows."""
        slopes, groups, levels = (
            None if values is None else values[rows] for values in (self.slopes, self.groups, self.levels)
        )
        return replace(self, slopes=slopes, groups=groups, levels=levels)

    def forecast(self, ensemble: Ensemble, states: np.ndarray, times: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Forecasts (member, time, feature) of each row.

        Args:
            ensemble: the model.
            states: initial states, (row, feature).
            times: times of each row, the first that of its initial state.
        """
        return ensemble.forecast(
            states,
            times,
            slopes=self.slopes,
            groups=None if self.groups is None else self.groups.tolist(),
            levels=self.levels,
            clamp=self.clamp,
        )


def prepare_conditions(
    ensemble: Ensemble,
    data: Observations,
    starts: np.ndarray,
    known_count: int,
    clamp: Mapping[str, float] | None = None,
) -> Conditions:
    """Conditions of forecasts that start from observations, as far as a model takes them.

    Args:
        ensemble: the model.
        data: the observations.
        starts: number of the observation that each forecast starts from, (row,).
        known_count: how many observations each forecast is given at least, up to the one that it starts from.
        clamp: values at which variables are held, by name.

    Raises:
        UserError: the model takes more observations than forecasts are given, or a group has no training data, so that
            nothing is known of its start.
    """
    slopes = groups = levels = None
    if ensemble.model_settings.takes_slopes:
        count = ensemble.model_settings.velocity_observations or 1
        check_known(count, known_count)
        slopes = past_slopes(data.time, data.values, starts, count)[0]
    if ensemble.groups:
        groups, levels = data.group[starts], data.levels[data.trajectory[starts]]
        if unknown := sorted(set(groups) - set(ensemble.groups)):
            raise UserError(
                f"no training trajectory is of the group {unknown[0]!r}, so that no start of it was learned; leave its "
                "trajectories out, train on one of them, or set `starts: given` of the model"
            )
    return Conditions(slopes=slopes, groups=groups, levels=levels, clamp=clamp or {})
