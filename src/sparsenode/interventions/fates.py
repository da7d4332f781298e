"""The fates that forecasts end in, from states before commitment, without an intervention and with each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.data.missing import mean_observed
from sparsenode.data.observations import Observations
from sparsenode.errors import UserError
from sparsenode.evaluation.tables import ALL, NO_SEED, cross_table
from sparsenode.interventions.intervals import member_interval, verdicts
from sparsenode.interventions.requests import Intervention, Starts, fate_names, forecast_starts
from sparsenode.interventions.settings import InterventionSettings
from sparsenode.labels import NO_FATE, UNCLAMPED

if TYPE_CHECKING:
    from sparsenode.ensemble.members import Ensemble

FATE_COLUMNS = ("intervention", "fate", "share", "without", "change", "lower", "upper", "verdict")
END = 10
"""A trajectory ends in the mean of so many last training observations."""


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


def read_fates(data: Observations) -> Fates:
    """The fates are the groups of the training trajectories; each ends in the mean of its last training observations.

    Raises:
        UserError: there are fewer than two groups.
    """
    names = fate_names(data)
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
class FateCount:
    """Which fates forecasts end in, from states before commitment."""

    data: Observations
    interventions: Sequence[Intervention]
    fates: Fates
    starts: Starts

    metric = "fate_share"

    @classmethod
    def make(
        cls, data: Observations, interventions: Sequence[Intervention], settings: InterventionSettings
    ) -> FateCount:
        """The fates of the training trajectories, and the states that forecasts start from."""
        fates = read_fates(data)
        return cls(data, interventions, fates, uncommitted_starts(data, fates, settings.starts, settings.horizon))

    def rows(self, ensemble: Ensemble, label: Mapping[str, Any]) -> list[pd.DataFrame]:
        """Shares of fates without and with each intervention, of all members together (seed -1) and of each."""
        constants = {**label, "split": "train", "phase": "fit", "horizon": "trajectory"}
        starts = self._starts_of(ensemble)
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
                tables.append(self._expected(intervention, constants))
        if agreements:
            mean = np.mean(agreements, axis=0)
            columns = pd.DataFrame({"trajectory": [ALL]})
            tables.append(cross_table(keys, columns, mean[:, None], metric="fate_agreement", **constants))
        return tables

    def _expected(self, intervention: Intervention, constants: Mapping[str, Any]) -> pd.DataFrame:
        """The fates that are to become more frequent (1) or rarer (−1) under an intervention."""
        ways = dict.fromkeys(intervention.lost, -1.0) | dict.fromkeys(intervention.gained, 1.0)
        columns = pd.DataFrame({"reference": list(ways)})
        seed = pd.DataFrame({"seed": [NO_SEED]})
        values = np.array([list(ways.values())])
        name = intervention.name
        return cross_table(seed, columns, values, metric="fate_expected", trajectory=name, **constants)

    def table(self, ensemble: Ensemble, *, coverage: float) -> pd.DataFrame:
        """Shares of fates under each intervention, with intervals over members, the largest change first.

        Args:
            ensemble: the members.
            coverage: of the intervals over members.

        Returns:
            Columns `intervention`, `fate` (and `none` of them), `share` of the forecasts that end there (the mean over
            members), `without` the intervention, `change`, the ends `lower` and `upper` of its interval over members,
            which compare each member with itself, and `verdict` (up, down, or of fewer than three members
            always cannot be told).
        """
        starts = self._starts_of(ensemble)
        without = self._shares(ensemble, starts, Intervention(UNCLAMPED, {}))
        tables = []
        for intervention in self.interventions:
            shares = self._shares(ensemble, starts, intervention)
            change = shares[0] - without[0]
            center, lower, upper = member_interval(shares[1:] - without[1:], coverage)
            # About the mean, which is what the share of all forecasts is.
            lower, upper = lower + change - center, upper + change - center
            table = pd.DataFrame(
                {
                    "intervention": intervention.name,
                    "fate": [*self.fates.names, NO_FATE],
                    "share": shares[0],
                    "without": without[0],
                    "change": change,
                    "lower": lower.clip(-1.0, 1.0),
                    "upper": upper.clip(-1.0, 1.0),
                    "verdict": verdicts(lower, upper, len(shares) - 1),
                }
            )
            tables.append(table.sort_values("change", key=np.abs, ascending=False, kind="stable"))
        return pd.concat(tables, ignore_index=True)

    def _starts_of(self, ensemble: Ensemble) -> Starts:
        """States that the forecasts of a model start from."""
        starts = self.starts
        if ensemble.groups:
            # Learned starts are where such a model begins, and each group has one.
            firsts = np.unique(self.data.trajectory[starts.observations], return_index=True)[1]
            starts = Starts(starts.states[firsts], starts.observations[firsts], [starts.times[row] for row in firsts])
        return starts

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
