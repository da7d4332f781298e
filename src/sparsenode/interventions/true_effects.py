"""Forecasts under interventions beside the true system with the same variables held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.data.distances import DISTANT_PHASES
from sparsenode.data.observations import Observations
from sparsenode.data.ranks import rank_correlation
from sparsenode.data.source import SolvableSource
from sparsenode.errors import UserError
from sparsenode.evaluation.metrics import registered_metrics
from sparsenode.evaluation.tables import ALL, NO_SEED, cross_table
from sparsenode.evaluation.tabulate import mark_undefined
from sparsenode.interventions.requests import Intervention, Starts, forecast_starts
from sparsenode.labels import BASELINE, ORACLE

if TYPE_CHECKING:
    from sparsenode.ensemble.members import Ensemble

NO_EFFECT = f"{BASELINE}no_effect"
"""The trivial forecast that the intervention changes nothing: the true trajectory without it."""
TRUTH = f"{ORACLE}system"
"""Entry of the column `method` of the true effects."""
SMALLEST = 1e-3
"""Effects below this share of the greatest true one count as none: their ranks would be those of rounding errors."""
NO_KEYS = pd.DataFrame({"seed": [NO_SEED]})


@dataclass(frozen=True)
class TrueEffects:
    """Test trajectories of the true system, without interventions and with each.

    `free` (trajectory, time, feature) and `held` (intervention, trajectory, time, feature) are the true trajectories;
    `phases` say which times (trajectory, time) each phase has.
    """

    data: Observations
    interventions: Sequence[Intervention]
    starts: Starts
    free: np.ndarray
    held: np.ndarray
    phases: Mapping[str, np.ndarray]

    metric = "intervention_mse"

    @classmethod
    def make(
        cls,
        data: Observations,
        interventions: Sequence[Intervention],
        source: SolvableSource,
        provenance: Mapping[str, Any],
    ) -> TrueEffects:
        """Solve the true system from the test trajectories' starts, without interventions and with each.

        Raises:
            UserError: forecasts do not start at the first observation, or no trajectory is test data.
        """
        if data.known > 1:
            raise UserError(
                f"forecasts of this dataset start from observation {data.known} of a trajectory, and the true system "
                "can only be held from the first on; set initial_state.known to 1 or leave out `interventions`"
            )
        usual = (data.split == "test") & ~np.isin(data.phase, DISTANT_PHASES)
        codes = [code for code in range(len(data.trajectory_names)) if usual[data.rows_of(code)].any()]
        if not codes:
            raise UserError("no trajectory is test data, so that there is nothing to compare interventions on")
        rows = np.stack([data.rows_of(code) for code in codes])
        times = data.time[rows] - data.time[rows[:, :1]]
        first = data.initial_states[codes] if data.noise_free is None else data.noise_free[rows[:, 0]]
        system = source.system_from_provenance(provenance)
        indices = {feature: index for index, feature in enumerate(data.features)}
        center = np.zeros(len(data.features)) if data.center is None else data.center

        def solve(clamp: Mapping[str, float]) -> np.ndarray:
            held = {indices[name]: value + center[indices[name]] for name, value in clamp.items()}
            return np.asarray(system.solve(first + center, times, held) - center)

        held = [solve(intervention.clamp) for intervention in interventions]
        phase = data.phase[rows]
        return cls(
            data,
            interventions,
            Starts(data.initial_states[codes], rows[:, 0], list(times)),
            solve({}),
            np.stack(held),
            {name: phase == name for name in ("fit", "extrapolation") if (phase == name).any()},
        )

    def reference_rows(self, label: Mapping[str, Any]) -> list[pd.DataFrame]:
        """The trivial forecast's error and the true effects."""
        tables = []
        for phase, within in self.phases.items():
            trivial = np.array([self._no_effect(number, within) for number in range(len(self.interventions))])
            phase_label = {**label, **self._label(phase)}
            tables.extend(self._error_rows(self.metric, trivial[None], NO_KEYS, {**phase_label, "method": NO_EFFECT}))
            effects = [mean_change(true, self.free, within)[None] for true in self.held]
            tables.extend(self._effect_rows(effects, NO_KEYS, {**phase_label, "method": TRUTH}))
        return tables

    def rows(self, ensemble: Ensemble, label: Mapping[str, Any]) -> list[pd.DataFrame]:
        """Errors with and without interventions, skills and effects of every member."""
        keys = pd.DataFrame({"seed": [member.seed for member in ensemble.members]})
        free = np.stack(forecast_starts(ensemble, self.data, self.starts, {}), axis=1)
        measures: dict[str, dict[str, list[np.ndarray]]] = {
            phase: {"held": [], "free": [], "effect": []} for phase in self.phases
        }
        for intervention, true in zip(self.interventions, self.held, strict=True):
            predicted = np.stack(forecast_starts(ensemble, self.data, self.starts, intervention.clamp), axis=1)
            free_features = intervention.free(self.data.features)
            for phase, within in self.phases.items():
                measures[phase]["held"].append(_mean_error(predicted, true, within, free_features))
                measures[phase]["free"].append(_mean_error(free, self.free, within, free_features))
                measures[phase]["effect"].append(mean_change(predicted, free, within))
        tables = []
        for phase, within in self.phases.items():
            phase_label = {**label, **self._label(phase)}
            errors = np.stack(measures[phase]["held"], axis=1)
            tables.extend(self._error_rows(self.metric, errors, keys, phase_label))
            tables.extend(
                self._error_rows("unclamped_mse", np.stack(measures[phase]["free"], axis=1), keys, phase_label)
            )
            tables.extend(self._skill_rows(errors, within, keys, phase_label))
            tables.extend(self._effect_rows(measures[phase]["effect"], keys, phase_label))
            tables.extend(self._correlation_rows(measures[phase]["effect"], within, keys, phase_label))
        return tables

    def _label(self, phase: str) -> dict[str, str]:
        return {"split": "test", "phase": phase, "horizon": "trajectory"}

    def _no_effect(self, number: int, within: np.ndarray) -> float:
        free_features = self.interventions[number].free(self.data.features)
        return float(_mean_error(self.free, self.held[number], within, free_features))

    def _names(self) -> pd.DataFrame:
        return pd.DataFrame({"trajectory": [*(intervention.name for intervention in self.interventions), ALL]})

    def _error_rows(
        self, metric: str, errors: np.ndarray, keys: pd.DataFrame, label: Mapping[str, Any]
    ) -> list[pd.DataFrame]:
        """Errors (member, intervention), and their mean."""
        values = np.column_stack((errors, errors.mean(axis=1)))
        return [cross_table(keys, self._names(), values, metric=metric, unit=self.data.unit, **label)]

    def _skill_rows(
        self, errors: np.ndarray, within: np.ndarray, keys: pd.DataFrame, label: Mapping[str, Any]
    ) -> list[pd.DataFrame]:
        """1 - error / error of the trivial forecast; undefined where the intervention changes nothing in truth."""
        trivial = np.array([self._no_effect(number, within) for number in range(len(self.interventions))])
        trivial = np.append(trivial, trivial.mean())
        errors = np.column_stack((errors, errors.mean(axis=1)))
        changes = trivial > np.finfo(np.float32).eps * np.square(self.free).mean()
        with np.errstate(invalid="ignore"):
            values = np.where(changes, 1.0 - errors / np.where(changes, trivial, 1.0), np.nan)
        constants = {**label, "metric": "intervention_skill", "reference": NO_EFFECT}
        table = cross_table(keys, self._names(), values, **constants)
        # A forecast that is not finite says so, as its error does.
        unchanged = np.tile(~changes, len(keys))
        table.loc[unchanged, ["status", "reason"]] = ["undefined", registered_metrics()["intervention_skill"].undefined]
        return [table]

    def _effect_rows(
        self, effects: Sequence[np.ndarray], keys: pd.DataFrame, label: Mapping[str, Any]
    ) -> list[pd.DataFrame]:
        """Effects (member, feature) of each intervention on the features that it does not hold."""
        tables = []
        for intervention, values in zip(self.interventions, effects, strict=True):
            free_features = intervention.free(self.data.features)
            columns = pd.DataFrame({"reference": np.asarray(self.data.features, object)[free_features]})
            constants = {**label, "metric": "effect", "trajectory": intervention.name, "unit": self.data.unit}
            tables.append(cross_table(keys, columns, values[:, free_features], **constants))
        return tables

    def _correlation_rows(
        self, effects: Sequence[np.ndarray], within: np.ndarray, keys: pd.DataFrame, label: Mapping[str, Any]
    ) -> list[pd.DataFrame]:
        """Rank correlation of true and predicted effects over the other features, and over all pairs at once."""
        pairs = []
        for intervention, values, true in zip(self.interventions, effects, self.held, strict=True):
            free_features = intervention.free(self.data.features)
            pairs.append((values[:, free_features], mean_change(true, self.free, within)[free_features]))
        together = (
            np.concatenate([predicted for predicted, _ in pairs], axis=1),
            np.concatenate([true for _, true in pairs]),
        )
        least = SMALLEST * np.abs(together[1]).max(initial=0.0)
        values = np.array(
            [
                [effect_correlation(member, true, least) for member in predicted]
                for predicted, true in [*pairs, together]
            ]
        ).T
        table = cross_table(keys, self._names(), values, metric="effect_correlation", reference=TRUTH, **label)
        return [mark_undefined(table)]


def _mean_error(predicted: np.ndarray, true: np.ndarray, within: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Mean squared error (...,) over the given `features` and the times `within`, then over trajectories.

    `predicted` (..., trajectory, time, feature), `true` likewise, `within` (trajectory, time).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.square(predicted[..., features].astype(np.float64) - true[..., features]).mean(axis=-1)
        return np.asarray(_mean_over_times(squares[..., None], within)[..., 0])


def mean_change(held: np.ndarray, free: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Change of each feature's mean, (..., feature), over times `within` and trajectories."""
    with np.errstate(over="ignore", invalid="ignore"):
        return _mean_over_times(held.astype(np.float64) - free.astype(np.float64), within)


def _mean_over_times(values: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Mean (..., feature) of values (..., trajectory, time, feature) over each trajectory's times, then over these."""
    means = [values[..., row, mask, :].mean(axis=-2) for row, mask in enumerate(within) if mask.any()]
    return np.asarray(np.mean(means, axis=0))


def effect_correlation(first: np.ndarray, other: np.ndarray, least: float = 0.0) -> float:
    """Rank correlation of effects (feature,); NaN for fewer than three, or where one is not finite or all are alike.

    Values of a size below `least` count as zero.
    """
    if len(first) < 3 or not (np.isfinite(first).all() and np.isfinite(other).all()):
        return float("nan")
    return rank_correlation(*(np.where(np.abs(values) < least, 0.0, values) for values in (first, other)))
