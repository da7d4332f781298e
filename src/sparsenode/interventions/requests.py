"""Interventions, with values for their words, and the forecasts of models under them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sparsenode.data.missing import largest_observed, least_observed
from sparsenode.data.observations import Observations
from sparsenode.ensemble.conditions import prepare_conditions
from sparsenode.errors import UserError, nearest_names
from sparsenode.interventions.settings import ExpectedFates, InterventionSettings

if TYPE_CHECKING:
    from sparsenode.ensemble.members import Ensemble


@dataclass(frozen=True)
class Intervention:
    """Variables that are held, and the fates that are known to be lost and gained."""

    name: str
    clamp: Mapping[str, float]
    lost: tuple[str, ...] = ()
    gained: tuple[str, ...] = ()

    def free(self, features: Sequence[str]) -> np.ndarray:
        """Which features are not held, (feature,)."""
        return np.array([feature not in self.clamp for feature in features])


@dataclass(frozen=True)
class Starts:
    """Where forecasts start: `states` (row, feature), the observations (row,) they are, and the `times` of each row."""

    states: np.ndarray
    observations: np.ndarray
    times: Sequence[np.ndarray]


def resolve_interventions(data: Observations, settings: InterventionSettings, dataset: str) -> list[Intervention]:
    """The interventions with the values of their words, those of `each` last, named as in "x1 low".

    Raises:
        UserError: a variable or a fate that there is not, or no intervention at all.
    """
    training = data.values[data.training]
    words = {"low": least_observed(training), "high": largest_observed(training)}
    center = np.zeros(len(data.features)) if data.center is None else data.center
    indices = {feature: index for index, feature in enumerate(data.features)}
    known_fates = fate_names(data)
    interventions = []
    for name, clamp in settings.clamp.items():
        where = f"dataset {dataset}, interventions.clamp.{name}"
        values = {}
        for feature, value in clamp.items():
            if feature not in indices:
                raise UserError(f"{where}: no variable is named {feature!r}; the nearest: "
                                f"{nearest_names(feature, data.features)}")  # fmt: skip
            index = indices[feature]
            values[feature] = float(words[value][index]) if isinstance(value, str) else float(value) - center[index]
        expected = settings.expected.get(name, ExpectedFates())
        for kind, fates in (("lost", expected.lost), ("gained", expected.gained)):
            for fate in fates:
                if fate not in known_fates:
                    key = f"dataset {dataset}, interventions.expected.{name}.{kind}"
                    raise UserError(f"{key}: no group of trajectories is named {fate!r}; there are: "
                                    f"{', '.join(known_fates)}")  # fmt: skip
        interventions.append(Intervention(name, values, expected.lost, expected.gained))
    if settings.each is not None:
        for index, feature in enumerate(data.features):
            interventions.append(
                Intervention(f"{feature} {settings.each}", {feature: float(words[settings.each][index])})
            )
    if not interventions:
        raise UserError(f"dataset {dataset}: interventions names none; give `clamp` or `each`")
    if everything := [
        intervention.name for intervention in interventions if not intervention.free(data.features).any()
    ]:
        raise UserError(
            f"dataset {dataset}: the intervention {everything[0]!r} holds every variable, so that nothing is left to "
            "follow; hold fewer, or leave out `interventions`"
        )
    return interventions


def fate_names(data: Observations) -> list[str]:
    """Names of the groups of training trajectories, each of which is a fate."""
    return list(dict.fromkeys(data.group[data.training].tolist()))


def forecast_starts(
    ensemble: Ensemble, data: Observations, starts: Starts, clamp: Mapping[str, float]
) -> list[np.ndarray]:
    """Forecasts (member, time, feature) of each row, of a model of any kind."""
    conditions = prepare_conditions(ensemble, data, starts.observations, data.known, clamp)
    return conditions.forecast(ensemble, starts.states, starts.times)
