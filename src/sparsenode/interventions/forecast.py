"""What models forecast when a variable is held (a knock-out, an over-expression), and whether it comes true.

Where the source can be simulated again, with the same variable held, forecasts are compared with the true system. Where
its trajectories lead to several fates (the groups: lineages, branches), forecasts are followed to their end and the
shares of fates are compared with what is known to be lost or gained.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.data.contract import read_metadata
from sparsenode.data.missing import largest_observed, least_observed, mean_observed
from sparsenode.data.observations import Observations, read_observations
from sparsenode.data.ranks import rank_correlation
from sparsenode.data.source import SolvableSource
from sparsenode.ensemble.conditions import prepare_conditions
from sparsenode.errors import UserError, nearest_names
from sparsenode.evaluation.blocks import load_blocks
from sparsenode.evaluation.forecast import check_features
from sparsenode.evaluation.metrics import registered_metrics
from sparsenode.evaluation.metrics.interventions import NOT_CHOSEN
from sparsenode.evaluation.tables import ALL, NO_SEED, cross_table, join_tables, make_table
from sparsenode.evaluation.tabulate import mark_undefined
from sparsenode.files import file_sha256, read_json, write_atomically
from sparsenode.interventions.settings import ExpectedFates, InterventionSettings
from sparsenode.labels import BASELINE, NO_FATE, ORACLE, UNCLAMPED

if TYPE_CHECKING:
    from anndata import AnnData

    from sparsenode.ensemble.members import Ensemble

logger = logging.getLogger(__name__)

NO_EFFECT = f"{BASELINE}no_effect"
"""The trivial forecast that the intervention changes nothing: the true trajectory without it."""
TRUTH = f"{ORACLE}system"
"""Entry of the column `method` of the true effects."""
SMALLEST = 1e-3
"""Effects below this share of the greatest true one count as none: their ranks would be those of rounding errors."""
END = 10
"""A trajectory ends in the mean of so many last training observations."""


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


def forecast_interventions(
    data: Path,
    models: Sequence[Path],
    settings: Sequence[Path],
    selection: Path,
    output: Path,
    settings_of_interventions: InterventionSettings,
    seeds: int | None = None,
) -> None:
    """Forecast interventions with all models of one dataset at their chosen strength, and write tidy rows of metrics.

    Args:
        data: file of the trajectories.
        models: model files, each of a block of seeds.
        settings: frozen settings that the blocks were trained with, one file for each (model, method).
        selection: folder of the chosen strengths.
        output: where the rows are written as parquet; the column `trajectory` holds the intervention.
        settings_of_interventions: which interventions are forecast.
        seeds: how many seeds to take, from 0 on; all if None.

    Raises:
        UserError: as `sparsenode.evaluation.evaluate_models`; an unknown variable or fate; nothing to compare with.
    """
    from sparsenode.data.contract import read_trajectories

    adata = read_trajectories(data)
    name = read_metadata(adata).name
    ensembles = load_blocks(models, settings, name, file_sha256(data), seeds)
    chosen = {}
    for ensemble in ensembles:
        key = (ensemble.settings["model"], ensemble.settings["method"])
        chosen[key] = read_json(selection / key[0] / f"{key[1]}.json", keys=["chosen"])["chosen"]
    table = evaluate_interventions(adata, ensembles, chosen, settings_of_interventions)
    with write_atomically(output) as temporary:
        table.to_parquet(temporary, index=False)


def evaluate_interventions(
    adata: AnnData,
    ensembles: Sequence[Ensemble],
    chosen: Mapping[tuple[str, str], float | None],
    settings: InterventionSettings,
) -> pd.DataFrame:
    """Tidy rows of all ensembles, each at its chosen strength.

    Args:
        adata: the trajectories.
        ensembles: one for each (model, method).
        chosen: chosen strength by (model, method); None where none was chosen.
        settings: which interventions are forecast.

    Raises:
        UserError: see `forecast_interventions`.
    """
    from sparsenode.data.sources import make_source

    metadata = read_metadata(adata)
    data = read_observations(adata, networks=False)
    interventions = resolve_interventions(data, settings, metadata.name)
    described = metadata.settings
    source = make_source(described["source"], described.get("options")) if "source" in described else None
    label = {"dataset": metadata.name}
    tables: list[pd.DataFrame] = []
    comparison: _Comparison | _FateCount
    if isinstance(source, SolvableSource):
        provenance = {"options": described.get("options", {}), "scale": metadata.scale, **metadata.provenance}
        comparison = _Comparison.make(data, interventions, source, provenance)
        tables.extend(comparison.reference_rows(label))
    else:
        comparison = _FateCount.make(data, interventions, settings)
    for ensemble in ensembles:
        started = time.perf_counter()
        model, method = ensemble.settings["model"], ensemble.settings["method"]
        check_features(ensemble, data, f"{model}/{method}")
        strength = chosen[model, method]
        of_model = {**label, "model": model, "method": method, "strength": np.nan if strength is None else strength}
        rows = [
            row
            for row, member in enumerate(ensemble.members)
            if member.strength == strength and member.status == "finished"
        ]
        if rows:
            tables.extend(comparison.rows(ensemble.select(rows), of_model))
        else:
            outcome = {"status": "undefined", "reason": NOT_CHOSEN}
            tables.append(make_table(**of_model, metric=comparison.metric, trajectory=ALL, **outcome))
        logger.info("interventions of %s/%s in %.1f s", model, method, time.perf_counter() - started)
    return join_tables(tables)


def resolve_interventions(data: Observations, settings: InterventionSettings, dataset: str) -> list[Intervention]:
    """The interventions with the values of their words, those of `each` last, named as in "x1 low".

    Raises:
        UserError: a variable or a fate that there is not, or no intervention at all.
    """
    training = data.values[data.training]
    words = {"low": least_observed(training), "high": largest_observed(training)}
    center = np.zeros(len(data.features)) if data.center is None else data.center
    indices = {feature: index for index, feature in enumerate(data.features)}
    known_fates = _fate_names(data)
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


def forecast_starts(
    ensemble: Ensemble, data: Observations, starts: Starts, clamp: Mapping[str, float]
) -> list[np.ndarray]:
    """Forecasts (member, time, feature) of each row, of a model of any kind."""
    conditions = prepare_conditions(ensemble, data, starts.observations, data.known, clamp)
    return conditions.forecast(ensemble, starts.states, starts.times)


@dataclass(frozen=True)
class _Comparison:
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
    ) -> _Comparison:
        if data.known > 1:
            raise UserError(
                f"forecasts of this dataset start from observation {data.known} of a trajectory, and the true system "
                "can only be held from the first on; set initial_state.known to 1 or leave out `interventions`"
            )
        codes = [code for code in range(len(data.trajectory_names)) if "test" in data.split[data.rows_of(code)]]
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


NO_KEYS = pd.DataFrame({"seed": [NO_SEED]})


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


@dataclass(frozen=True)
class Fates:
    """Where trajectories lead: `ends` (fate, feature) by name, and the common `start` (feature,)."""

    names: tuple[str, ...]
    ends: np.ndarray
    start: np.ndarray

    def classify(self, states: np.ndarray, free: np.ndarray) -> np.ndarray:
        """Number of the nearest end of states (..., feature) by the `free` features; the number of fates for none.

        A state is near none if it is nearer to the common start, or farther from every end than any two ends are from
        each other, or not finite.
        """
        ends, start = self.ends[:, free], self.start[free]
        positions = states[..., free].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            distances = np.linalg.norm(positions[..., None, :] - ends, axis=-1)
            from_start = np.linalg.norm(positions - start, axis=-1)
        distances = np.nan_to_num(distances, nan=np.inf)
        widest = np.linalg.norm(ends[:, None] - ends, axis=-1).max()
        least = distances.min(axis=-1)
        near = (least <= from_start) & (least <= widest)
        return np.where(near, distances.argmin(axis=-1), len(self.names))


def _fate_names(data: Observations) -> list[str]:
    return list(dict.fromkeys(data.group[data.training].tolist()))


def read_fates(data: Observations) -> Fates:
    """The fates are the groups of the training trajectories; each ends in the mean of its last training observations.

    Raises:
        UserError: there are fewer than two groups.
    """
    names = _fate_names(data)
    if len(names) < 2:
        raise UserError(
            "interventions need a source that can be simulated again, or trajectories of two groups (lineages, "
            f"branches) or more, whose ends are fates; the groups are: {', '.join(names)}"
        )
    ends: dict[str, list[np.ndarray]] = {name: [] for name in names}
    starts = []
    for observations in _training_rows(data):
        # A variable that is not observed there is taken as it was last known.
        end, known_state = mean_observed(data.values[observations[-END:]]), data.states[observations[-1]]
        ends[data.group[observations[0]]].append(np.where(np.isnan(end), known_state, end))
        starts.append(data.initial_states[data.trajectory[observations[0]]])
    return Fates(tuple(names), np.array([np.mean(ends[name], axis=0) for name in names]), np.mean(starts, axis=0))


def _training_rows(data: Observations) -> list[np.ndarray]:
    """Training observations of each trajectory that has some."""
    training = data.training
    rows = [np.flatnonzero(training & (data.trajectory == code)) for code in range(len(data.trajectory_names))]
    return [row for row in rows if len(row)]


def uncommitted_starts(data: Observations, fates: Fates, count: int, horizon: float) -> Starts:
    """States of the training trajectories before they commit themselves, at most `count` of each, evenly spread.

    A trajectory is uncommitted as long as it has always been nearer to the common start than to its own end. The first
    of its states is the initial state.

    Args:
        data: the observations.
        fates: ends of the trajectories and their common start.
        count: how many states of each trajectory at most.
        horizon: how far forecasts reach, in lengths of the longest training trajectory.
    """
    first = max(data.known, 1) - 1
    trajectories = _training_rows(data)
    length = max(float(np.ptp(data.time[rows])) for rows in trajectories)
    observations, states = [], []
    for rows in trajectories:
        after = rows[first:] if len(rows) > first else rows[-1:]
        end = fates.ends[fates.names.index(data.group[rows[0]])]
        to_start, to_end = (np.linalg.norm(data.states[after] - point, axis=1) for point in (fates.start, end))
        committed = np.flatnonzero(to_start >= to_end)
        uncommitted = max(1, int(committed[0]) if len(committed) else len(after))
        chosen = after[np.unique(np.linspace(0, uncommitted - 1, count).round().astype(int))]
        observations.append(chosen)
        states.append(data.states[chosen])
        states[-1][0] = data.initial_states[data.trajectory[chosen[0]]]
    joined = np.concatenate(observations)
    times = [np.array([data.time[start], data.time[start] + horizon * length]) for start in joined]
    return Starts(np.concatenate(states), joined, times)


@dataclass(frozen=True)
class _FateCount:
    """Which fates forecasts end in, from states before commitment."""

    data: Observations
    interventions: Sequence[Intervention]
    fates: Fates
    starts: Starts

    metric = "fate_share"

    @classmethod
    def make(
        cls, data: Observations, interventions: Sequence[Intervention], settings: InterventionSettings
    ) -> _FateCount:
        fates = read_fates(data)
        return cls(data, interventions, fates, uncommitted_starts(data, fates, settings.starts, settings.horizon))

    def rows(self, ensemble: Ensemble, label: Mapping[str, Any]) -> list[pd.DataFrame]:
        """Shares of fates without and with each intervention, of all members together (seed -1) and of each."""
        constants = {**label, "split": "train", "phase": "fit", "horizon": "trajectory"}
        starts = self.starts
        if ensemble.groups:
            # Learned starts are where such a model begins, and each group has one.
            firsts = np.unique(self.data.trajectory[starts.observations], return_index=True)[1]
            starts = Starts(starts.states[firsts], starts.observations[firsts], [starts.times[row] for row in firsts])
        keys = pd.DataFrame({"seed": [NO_SEED, *(member.seed for member in ensemble.members)]})
        columns = pd.DataFrame({"reference": [*self.fates.names, NO_FATE]})
        without = self._shares(ensemble, starts, Intervention(UNCLAMPED, {}))
        tables = [cross_table(keys, columns, without, metric=self.metric, trajectory=UNCLAMPED, **constants)]
        agreements = []
        for intervention in self.interventions:
            shares = self._shares(ensemble, starts, intervention)
            tables.append(
                cross_table(keys, columns, shares, metric=self.metric, trajectory=intervention.name, **constants)
            )
            if intervention.lost or intervention.gained:
                agreements.append(self._agreement(intervention, without, shares))
                intervention_columns = pd.DataFrame({"trajectory": [intervention.name]})
                tables.append(cross_table(keys, intervention_columns, agreements[-1][:, None],
                                          metric="fate_agreement", **constants))  # fmt: skip
        if agreements:
            mean = np.mean(agreements, axis=0)
            columns = pd.DataFrame({"trajectory": [ALL]})
            tables.append(cross_table(keys, columns, mean[:, None], metric="fate_agreement", **constants))
        return tables

    def _shares(self, ensemble: Ensemble, starts: Starts, intervention: Intervention) -> np.ndarray:
        """Share of each fate and of none, (1 + member, fate + 1): over members and starts, then over each one's."""
        ends = np.stack(
            [forecast[:, -1] for forecast in forecast_starts(ensemble, self.data, starts, intervention.clamp)], axis=1
        )
        fates = self.fates.classify(ends, intervention.free(self.data.features))
        shares = (fates[..., None] == np.arange(len(self.fates.names) + 1)).mean(axis=1)
        return np.concatenate((shares.mean(axis=0, keepdims=True), shares))

    def _agreement(self, intervention: Intervention, without: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """1 where each lost fate's share falls and that of the gained ones together rises, else 0: (1 + member,).

        A fate that is not reached without the intervention cannot be lost, nor one be gained that all forecasts reach:
        such a model does not have what is expected of it, and an intervention that changes nothing never agrees.
        Without a word on what is gained, a model that leads nowhere when anything is held would agree with every loss.
        """
        lost, gained = (
            [self.fates.names.index(name) for name in names] for names in (intervention.lost, intervention.gained)
        )
        # Shares may differ in the last bit where the same forecasts end there.
        agrees = (shares[:, lost] < without[:, lost] - 1e-9).all(axis=1)
        if gained:
            agrees &= shares[:, gained].sum(axis=1) > without[:, gained].sum(axis=1) + 1e-9
        return np.asarray(agrees, np.float64)
