"""Forecasts of an ensemble on a data set, and their squared errors.

A *protocol* says what a forecast is given, and stands in the column `horizon` of the metrics. "trajectory": one solve
from each trajectory's initial state over all of its observations, whatever their split. "window": a solve from the
first observation of each window, which is the only thing known; the errors are those of the later ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sparsenode.data.contract import dense
from sparsenode.errors import UserError
from sparsenode.evaluation.tables import ALL

if TYPE_CHECKING:
    from anndata import AnnData

    from sparsenode.ensemble import Ensemble

TRAJECTORY = "trajectory"
WINDOW = "window"
BOTH = "train+validation"
"""Split of the errors over all observations of a trajectory that are not held out for the test, where validation
observations stand within it: what a study without a validation split calls training."""
BYTES_AT_ONCE = 2**28
"""Forecasts are made and scored in batches of rows of about this size."""


@dataclass(frozen=True)
class Observations:
    """The parts of an AnnData of trajectories that evaluation needs, as arrays over its observations.

    `values` (observation, feature); `noise_free` likewise or None; `weights` (feature,); `initial_states`
    (trajectory, feature) by the codes in `trajectory`, whose names are `trajectory_names`.
    """

    values: np.ndarray
    noise_free: np.ndarray | None
    time: np.ndarray
    trajectory: np.ndarray
    trajectory_names: tuple[str, ...]
    group: np.ndarray
    subject: np.ndarray
    split: np.ndarray
    phase: np.ndarray
    initial_states: np.ndarray
    features: tuple[str, ...]
    weights: np.ndarray
    unit: str
    time_unit: str


def read_observations(adata: AnnData) -> Observations:
    """Arrays of an AnnData that holds to the contract of trajectories."""
    facts = adata.uns["sparsenode"]
    names = tuple(str(name) for name in pd.unique(adata.obs["trajectory"].astype(str)))
    codes = pd.Categorical(adata.obs["trajectory"].astype(str), categories=list(names)).codes
    initial = facts["initial_states"]
    text = {name: adata.obs[name].astype(str).to_numpy() for name in ("split", "phase", "group", "subject")}
    weights = adata.var["weight"] if "weight" in adata.var else np.ones(adata.n_vars)
    return Observations(
        values=dense(adata.X).astype(np.float64),
        noise_free=dense(adata.layers["noise_free"]).astype(np.float64) if "noise_free" in adata.layers else None,
        time=adata.obs["time"].to_numpy(np.float64),
        trajectory=codes.astype(np.int64),
        trajectory_names=names,
        initial_states=initial.loc[list(names), list(adata.var_names)].to_numpy(np.float64),
        features=tuple(adata.var_names),
        weights=np.asarray(weights, np.float64),
        unit=str(facts["value_unit"]),
        time_unit=str(facts["time_unit"]),
        **text,
    )


@dataclass(frozen=True)
class Plan:
    """Which forecasts a protocol asks for, and which observation each of their values is compared with.

    Row r starts at `initial_states[r]` and is asked for `times[r]`; the entries e with `row[e] == r` are its scored
    values: `position[e]` in its times against the observation `observation[e]`. Entries are sorted by row.
    `groups` names trajectory, split, phase and subject of each group of entries, `group[e]` its number; the last
    `len(unions)` groups are unions, each of the groups whose numbers are listed in `unions`.
    """

    protocol: str
    initial_states: np.ndarray
    times: tuple[np.ndarray, ...]
    row: np.ndarray
    position: np.ndarray
    observation: np.ndarray
    group: np.ndarray
    groups: pd.DataFrame
    unions: tuple[tuple[int, ...], ...]

    @property
    def parts(self) -> list[tuple[int, ...]]:
        """Numbers of the simple groups that each group consists of."""
        return [(number,) for number in range(len(self.groups) - len(self.unions))] + list(self.unions)

    def entries(self, number: int) -> np.ndarray:
        """Numbers of the entries of a group."""
        return np.flatnonzero(np.isin(self.group, self.parts[number]))


def plan_trajectories(data: Observations) -> Plan:
    """One forecast per trajectory from its initial state, placed at its first time; every observation is scored."""
    rows = [np.flatnonzero(data.trajectory == code) for code in range(len(data.trajectory_names))]
    return _make_plan(TRAJECTORY, data, data.initial_states, rows, first_scored=0)


def plan_windows(data: Observations, windows: Sequence[np.ndarray]) -> Plan:
    """One forecast per window from its first observation; the others of the window are scored.

    `windows` holds the observation numbers of each, in order of time, within one trajectory, split and phase. Where
    windows overlap, an observation counts once for each.
    """
    starts = np.array([window[0] for window in windows], dtype=np.int64)
    return _make_plan(WINDOW, data, data.values[starts], windows, first_scored=1)


def _make_plan(
    protocol: str, data: Observations, initial: np.ndarray, rows: Sequence[np.ndarray], *, first_scored: int
) -> Plan:
    times, position, observation = [], [], []
    for row in rows:
        # Observations may share a time (pseudotime does); the solver gets each time once.
        distinct, inverse = np.unique(data.time[row], return_inverse=True)
        times.append(distinct)
        position.append(inverse[first_scored:])
        observation.append(np.asarray(row)[first_scored:])
    entries = np.concatenate(observation) if observation else np.empty(0, np.int64)
    keys = pd.DataFrame(
        {
            "trajectory": np.asarray(data.trajectory_names, object)[data.trajectory[entries]],
            "split": data.split[entries],
            "phase": data.phase[entries],
            "subject": data.subject[entries],
        }
    )
    grouped = keys.groupby(["trajectory", "split", "phase"], sort=False)
    groups, unions = _add_unions(grouped.first().reset_index())
    return Plan(
        protocol=protocol,
        initial_states=np.asarray(initial, np.float64),
        times=tuple(times),
        row=np.repeat(np.arange(len(rows)), [len(entry) for entry in observation]),
        position=np.concatenate(position) if position else np.empty(0, np.int64),
        observation=entries,
        group=grouped.ngroup().to_numpy(),
        groups=groups,
        unions=unions,
    )


def _add_unions(groups: pd.DataFrame) -> tuple[pd.DataFrame, tuple[tuple[int, ...], ...]]:
    """Append the union of training and validation for trajectories that hold both in a phase."""
    known = groups[groups["split"].isin(["train", "validation"])]
    unions, rows = [], []
    for (trajectory, phase), both in known.groupby(["trajectory", "phase"], sort=False):
        if len(both) > 1:
            unions.append(tuple(int(number) for number in both.index))
            rows.append({"trajectory": trajectory, "split": BOTH, "phase": phase, "subject": both["subject"].iloc[0]})
    if not rows:
        return groups, ()
    return pd.concat([groups, pd.DataFrame(rows)], ignore_index=True), tuple(unions)


@dataclass(frozen=True)
class Kept:
    """Entries and features of a plan whose forecasts themselves are kept, for figures."""

    entries: np.ndarray
    features: np.ndarray


@dataclass(frozen=True)
class Errors:
    """Mean squared errors (member, group) of a plan, and the forecasts that were kept (member, entry, feature).

    `mse` in squared units of the values; `weighted` with each feature's squared error times its weight; `noise_free`
    against the noise-free values, or None.
    """

    mse: np.ndarray
    weighted: np.ndarray
    noise_free: np.ndarray | None
    kept: np.ndarray


def forecast_errors(ensemble: Ensemble, data: Observations, plan: Plan, kept: Kept) -> Errors:
    """Errors of every member on every group of a plan; forecasts are made in batches of bounded memory.

    A forecast that is not finite makes its group's error not finite, and no other.
    """
    members = len(ensemble.members)
    sums = _ErrorSums(members, data, plan)
    kept_values = np.full((members, len(kept.entries), len(kept.features)), np.nan, np.float32)
    for rows in _batches(plan, members * len(data.features) * 4):
        forecasts = ensemble.forecast(plan.initial_states[rows], [plan.times[row] for row in rows])
        for row, forecast in zip(rows, forecasts, strict=True):
            first, last = np.searchsorted(plan.row, [row, row + 1])
            if first == last:
                continue
            predicted = forecast[:, plan.position[first:last]]
            sums.add(predicted, first, last)
            wanted = np.flatnonzero((kept.entries >= first) & (kept.entries < last))
            if len(wanted):
                chosen = predicted[:, kept.entries[wanted] - first]
                kept_values[:, wanted] = chosen[..., kept.features]
    return sums.means(kept_values)


def matrix_errors(predicted: np.ndarray, data: Observations, plan: Plan, kept: Kept) -> Errors:
    """Errors of one forecast given as a matrix (entry, feature), as if of an ensemble of one member."""
    sums = _ErrorSums(1, data, plan)
    sums.add(predicted[None], 0, len(predicted))
    return sums.means(predicted[None][:, kept.entries][..., kept.features].astype(np.float32))


class _ErrorSums:
    """Running sums of squared errors over the entries of a plan, by member and group."""

    def __init__(self, members: int, data: Observations, plan: Plan) -> None:
        self.data, self.plan = data, plan
        simple = len(plan.groups) - len(plan.unions)
        self.counts = np.bincount(plan.group, minlength=simple).astype(np.float64)
        shape = (members, simple)
        self.plain, self.weighted, self.noise_free = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        features = len(data.features)
        self.columns = np.column_stack((np.full(features, 1 / features), data.weights / features))

    def add(self, predicted: np.ndarray, first: int, last: int) -> None:
        """Add entries `first` to `last`, predicted (member, entry, feature)."""
        observation = self.plan.observation[first:last]
        group = self.plan.group[first:last]
        targets = [self.data.values] if self.data.noise_free is None else [self.data.values, self.data.noise_free]
        for member, forecast in enumerate(predicted):
            for number, target in enumerate(targets):
                with np.errstate(over="ignore", invalid="ignore"):
                    error = forecast.astype(np.float64) - target[observation]
                    means = np.square(error, out=error) @ self.columns
                sums = (self.plain, self.weighted) if number == 0 else (self.noise_free,)
                for column, total in enumerate(sums):
                    _add_by_group(total[member], group, means[:, column])

    def means(self, kept: np.ndarray) -> Errors:
        noise_free = None if self.data.noise_free is None else self._mean(self.noise_free)
        return Errors(self._mean(self.plain), self._mean(self.weighted), noise_free, kept)

    def _mean(self, sums: np.ndarray) -> np.ndarray:
        """Means over the entries of each group, unions last."""
        parts = [list(numbers) for numbers in self.plan.parts]
        return np.stack([sums[:, part].sum(axis=1) / self.counts[part].sum() for part in parts], axis=1)


def _add_by_group(total: np.ndarray, group: np.ndarray, values: np.ndarray) -> None:
    first = group.min()
    sums = np.bincount(group - first, weights=values)
    total[first : first + len(sums)] += sums


def _batches(plan: Plan, bytes_per_time: int) -> Iterator[list[int]]:
    batch: list[int] = []
    size = 0
    for row, times in enumerate(plan.times):
        needed = len(times) * bytes_per_time
        if batch and size + needed > BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += needed
    if batch:
        yield batch


def add_means(groups: pd.DataFrame, values: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """Append, for each split and phase, the unweighted mean over its trajectories, named "all".

    `values` (..., group); returns the longer table of groups and values. An infinite or NaN entry spreads into the
    mean, which is then not finite either.
    """
    means, rows = [], []
    for (split, phase), members in groups.groupby(["split", "phase"], sort=False):
        means.append(values[..., members.index.to_numpy()].mean(axis=-1))
        rows.append({"trajectory": ALL, "split": split, "phase": phase, "subject": ""})
    if not rows:
        return groups, values
    return (
        pd.concat([groups, pd.DataFrame(rows)], ignore_index=True),
        np.concatenate([values, np.stack(means, axis=-1)], axis=-1),
    )


def sum_by_subject(groups: pd.DataFrame, values: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """Sum over the trajectories of each subject with more than one, by split and phase (the study's total error).

    `values` (..., group); returns groups whose `trajectory` is the subject's name. Left out where an entry does not
    hold all of the subject's trajectories that the plan scores anywhere.
    """
    wanted = {str(name): members["trajectory"].nunique() for name, members in groups.groupby("subject")}
    sums, rows = [], []
    for (subject, split, phase), members in groups.groupby(["subject", "split", "phase"], sort=False):
        if 1 < wanted[str(subject)] == len(members):
            sums.append(values[..., members.index.to_numpy()].sum(axis=-1))
            rows.append({"trajectory": subject, "split": split, "phase": phase})
    if not rows:
        return groups.iloc[:0][["trajectory", "split", "phase"]], values[..., :0]
    return pd.DataFrame(rows), np.stack(sums, axis=-1)


def check_features(ensemble: Ensemble, data: Observations, name: str) -> None:
    """Refuse an ensemble that was trained on other features or another order of them.

    Raises:
        UserError: the features differ.
    """
    if tuple(ensemble.features) != data.features:
        found, wanted = list(ensemble.features)[:5], list(data.features)[:5]
        message = (
            f"{name} was trained on {len(ensemble.features)} features ({found} ...), but the data have "
            f"{len(data.features)} ({wanted} ...): train it again on these data"
        )
        raise UserError(message)
