"""Which forecasts a protocol asks for, and which observation each of their values is compared with.

A *protocol* says what a forecast is given, and is named in the column `horizon` of the metrics. "trajectory": one solve
from each trajectory's initial state over all of its observations, whatever their split. "window": a solve from the
first observation of each window of the model's own length. "rolling": solves from within the trajectories that are
given the time before, as the dataset's `rolling` says; "rolling@0.5" is the error at only that lead time. "one_step":
solves from each observation to the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sparsenode.data.missing import is_complete
from sparsenode.data.observations import Observations
from sparsenode.ensemble.choice import time_blocks
from sparsenode.errors import UserError
from sparsenode.evaluation.settings import RollingSettings
from sparsenode.labels import ALL, SUBJECT

logger = logging.getLogger(__name__)

TRAJECTORY = "trajectory"
WINDOW = "window"
ROLLING = "rolling"
LEAD = f"{ROLLING}@"
ONE_STEP = "one_step"
BOTH = "train+validation"
"""Split of the errors over all observations of a trajectory that are not held out for the test, where validation
observations are within it: what a study without a validation split calls training."""
MOST_LEADS = 60
"""Lead times are kept apart up to this many; more, as of irregular times, are put into `LEAD_BINS` bins."""
LEAD_BINS = 20
KEYS = ["trajectory", "split", "phase", "horizon"]


@dataclass(frozen=True)
class Plan:
    """Forecasts of a protocol.

    Row r starts at `initial_states[r]` and is asked for `times[r]`; it is given the observation `starts[r]` and those
    before it, `given[r]` in all (0 where the initial state is a mean of several). The entries e with `row[e] == r` are
    its scored values: `position[e]` in its times against the observation `observation[e]`. Entries are sorted by row.
    `groups` names trajectory, split, phase, horizon and subject of each group of entries, `group[e]` its number; the
    last `len(unions)` groups are unions, each of the groups whose numbers are listed in `unions`.
    """

    protocol: str
    initial_states: np.ndarray
    times: tuple[np.ndarray, ...]
    starts: np.ndarray
    given: np.ndarray
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

    def observed_shares(self, data: Observations) -> np.ndarray | None:
        """What squared errors count times in each group, (group, feature), None where nothing is missing.

        With these shares, and 0 for missing entries, the mean over the entries of a group and over the features is the
        mean over the features, of those that the group observes, of each one's mean over its observed entries. A
        feature that is observed rarely counts as much as any other.
        """
        if is_complete(data.values):
            return None
        simple = len(self.groups) - len(self.unions)
        of_simple = np.zeros((simple, len(data.features)))
        np.add.at(of_simple, self.group, ~np.isnan(data.values[self.observation]))
        observed = np.array([of_simple[list(parts)].sum(axis=0) for parts in self.parts])
        sizes = np.bincount(self.group, minlength=simple)
        entries = np.array([sizes[list(parts)].sum() for parts in self.parts])
        features = np.maximum((observed > 0).sum(axis=1, keepdims=True), 1)
        shares = entries[:, None] * len(data.features) / (np.maximum(observed, 1) * features)
        return np.where(observed > 0, shares, 0.0)

    def validation_blocks(self, data: Observations) -> np.ndarray | None:
        """Block of time of each entry that a strength is chosen on, (entry,), -1 elsewhere.

        None where these are of several trajectories, each of which is a cluster, or of none.
        """
        held_out = (self.groups["split"] == "validation") & (self.groups["phase"] == "fit")
        numbers = np.flatnonzero(held_out.to_numpy()[: len(self.groups) - len(self.unions)])
        if self.groups["trajectory"].iloc[numbers].nunique() != 1:
            return None
        entries = np.flatnonzero(np.isin(self.group, numbers))
        blocks = np.full(len(self.group), -1)
        blocks[entries] = time_blocks(data.time[self.observation[entries]])
        return blocks

    def entries(self, number: int) -> np.ndarray:
        """Numbers of the entries of a group."""
        return np.flatnonzero(np.isin(self.group, self.parts[number]))


def plan_trajectories(data: Observations) -> Plan:
    """One forecast per trajectory from its initial state, placed at its first time; every observation is scored.

    Where several first observations are given, it starts from the last of them, and the later ones are scored.
    """
    first = max(data.known, 1) - 1
    rows = [data.rows_of(code)[first:] for code in range(len(data.trajectory_names))]
    counts = np.full(len(rows), data.known)
    return _make_plan(TRAJECTORY, data, data.initial_states, rows, counts, first_scored=int(first > 0))


def plan_windows(data: Observations, windows: Sequence[np.ndarray]) -> Plan:
    """One forecast per window from its first observation; its other observations are scored.

    `windows` holds the observation numbers of each, in order of time, within one trajectory, split and phase. Where
    windows overlap, an observation counts once for each.
    """
    starts = np.array([window[0] for window in windows], dtype=np.int64)
    counts = np.full(len(windows), max(data.known, 1))
    return _make_plan(WINDOW, data, data.states[starts], windows, counts, first_scored=1)


def plan_one_step(data: Observations) -> Plan:
    """One forecast from each observation to the next one of the same trajectory, split and phase, which is scored.

    Each is given as many observations as forecasts of whole trajectories are. Observations of one time do not follow
    each other: a step leads from the last of them to the first one later, and over what another split has of the
    trajectory in between.

    Raises:
        UserError: no observation is followed by another.
    """
    steps: list[np.ndarray] = []
    for code in range(len(data.trajectory_names)):
        rows = data.rows_of(code)
        observations = rows[max(data.known, 1) - 1 :]
        for split, phase in dict.fromkeys(zip(data.split[observations], data.phase[observations], strict=True)):
            stretch = observations[(data.split[observations] == split) & (data.phase[observations] == phase)]
            follows = np.flatnonzero(np.diff(data.time[stretch]) > 0)
            steps.extend(stretch[position : position + 2] for position in follows)
    stepped = {str(data.split[step[0]]) for step in steps}
    if alone := [name for name in dict.fromkeys(data.split.tolist()) if name not in stepped]:
        logger.warning(
            "no one-step forecasts of the split %s: none of its observations follows another", " and ".join(alone)
        )
    if not steps:
        message = (
            "no one-step forecast is possible: in no trajectory is an observation followed by a later one of the same "
            "split and phase; set `evaluation.one_step: false`"
        )
        raise UserError(message)
    starts = np.array([step[0] for step in steps])
    counts = np.full(len(steps), max(data.known, 1))
    return _make_plan(ONE_STEP, data, data.states[starts], steps, counts, first_scored=1)


def plan_rolling(data: Observations, rolling: RollingSettings) -> Plan:
    """Forecasts that start within the trajectories, every `stride`, given `past` and scored over `horizon`.

    Each is given as many observations as forecasts of whole trajectories are, at least. What is scored of one
    forecast lies in one split and phase; what it is given may lie in any. Where forecasts overlap, an observation
    counts once for each.

    Raises:
        UserError: no trajectory is long enough.
    """
    rows, counts, without = [], [], []
    for code, name in enumerate(data.trajectory_names):
        forecasts = _rolling_rows(data, data.rows_of(code), rolling)
        rows += [row for row, _ in forecasts]
        counts += [count for _, count in forecasts]
        if not forecasts:
            without.append(name)
    if not rows:
        longest = max(np.ptp(data.time[data.rows_of(code)]) for code in range(len(data.trajectory_names)))
        message = (
            f"no rolling forecast fits into any trajectory: rolling.past {rolling.past:g} and rolling.horizon "
            f"{rolling.horizon:g} need as much time in one split, of which the longest trajectory has {longest:g}, and "
            "at least one observation within the horizon"
        )
        raise UserError(message)
    if without:
        logger.warning(
            "no rolling forecasts of %d of %d trajectories, which are too short for past %g and horizon %g: %s",
            len(without),
            len(data.trajectory_names),
            rolling.past,
            rolling.horizon,
            ", ".join(without),
        )
    leads = np.concatenate([data.time[row[1:]] - data.time[row[0]] for row in rows])
    starts = np.array([row[0] for row in rows])
    return _make_plan(ROLLING, data, data.states[starts], rows, np.array(counts), first_scored=1, leads=_name(leads))


def _rolling_rows(
    data: Observations, observations: np.ndarray, rolling: RollingSettings
) -> list[tuple[np.ndarray, int]]:
    """Start and scored observations of each forecast of one trajectory, and how many observations it is given."""
    time = data.time[observations]
    past, horizon, stride = rolling.past, rolling.horizon, rolling.stride
    # Of times far from zero, such as seconds since 1970, only the rounding is a matter of their size.
    slack = max(1e-9 * max(1.0, float(np.ptp(time))), 4.0 * float(np.spacing(np.abs(time).max())))
    forecasts: list[tuple[np.ndarray, int]] = []
    next_start = time[0] + past
    for position in range(max(data.known, 1) - 1, len(observations)):
        if time[position] < next_start - slack or time[-1] < time[position] + horizon - slack:
            continue
        scored = observations[(time > time[position] + slack) & (time <= time[position] + horizon + slack)]
        if len(scored) == 0 or len(set(data.split[scored])) > 1 or len(set(data.phase[scored])) > 1:
            continue
        count = int(((time >= time[position] - past - slack) & (np.arange(len(observations)) <= position)).sum())
        count = max(count, data.known)
        forecasts.append((np.concatenate((observations[[position]], scored)), count))
        next_start = time[position] + stride
    return forecasts


def _name(leads: np.ndarray) -> np.ndarray:
    """Names of the lead times of entries."""
    rounded = np.round(leads, 6)
    if len(np.unique(rounded)) > MOST_LEADS:
        width = leads.max() / LEAD_BINS
        rounded = np.ceil(leads / width - 1e-9) * width
    distinct, index = np.unique(rounded, return_inverse=True)
    return np.array([f"{LEAD}{lead:.5g}" for lead in distinct], object)[index]


def _make_plan(
    protocol: str,
    data: Observations,
    initial: np.ndarray,
    rows: Sequence[np.ndarray],
    counts: np.ndarray,
    *,
    first_scored: int,
    leads: np.ndarray | None = None,
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
            "horizon": protocol if leads is None else leads,
            "subject": data.subject[entries],
        }
    )
    grouped = keys.groupby(KEYS, sort=False)
    simple = grouped.first().reset_index()
    groups, unions = _add_splits(simple) if leads is None else _add_leads(simple)
    return Plan(
        protocol=protocol,
        initial_states=np.asarray(initial, np.float64),
        times=tuple(times),
        starts=np.array([row[0] for row in rows], np.int64),
        given=np.asarray(counts, np.int64),
        row=np.repeat(np.arange(len(rows)), [len(entry) for entry in observation]),
        position=np.concatenate(position) if position else np.empty(0, np.int64),
        observation=entries,
        group=grouped.ngroup().to_numpy(),
        groups=groups,
        unions=unions,
    )


Unions = tuple[tuple[int, ...], ...]


def _add_splits(groups: pd.DataFrame) -> tuple[pd.DataFrame, Unions]:
    """Append the union of training and validation for trajectories that hold both in a phase."""
    candidates = groups[groups["split"].isin(["train", "validation"])]
    both = [members for _, members in candidates.groupby(["trajectory", "phase"], sort=False) if len(members) > 1]
    return _append(groups, both, split=BOTH)


def _add_leads(groups: pd.DataFrame) -> tuple[pd.DataFrame, Unions]:
    """Append the union over the lead times."""
    return _append(
        groups,
        [members for _, members in groups.groupby(["trajectory", "split", "phase"], sort=False)],
        horizon=ROLLING,
    )


def _append(groups: pd.DataFrame, tables: Sequence[pd.DataFrame], **named: str) -> tuple[pd.DataFrame, Unions]:
    if not tables:
        return groups, ()
    rows = [{**table.iloc[0].to_dict(), **named} for table in tables]
    unions = tuple(tuple(int(number) for number in table.index) for table in tables)
    return pd.concat([groups, pd.DataFrame(rows)], ignore_index=True), unions


def add_means(groups: pd.DataFrame, values: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """Append, for each split, phase and horizon, the unweighted mean over its trajectories, named "all".

    Where a split holds several subjects of which one has several trajectories, the mean over each subject's
    trajectories as well, named "subject NAME". `values` (..., group); returns the longer table of groups and values. An
    infinite or NaN entry spreads into the mean, which is then not finite either.
    """
    means: list[np.ndarray] = []
    rows: list[dict[str, Any]] = []
    for (split, phase, horizon), members in groups.groupby(["split", "phase", "horizon"], sort=False):
        named = {ALL: members.index}
        if 1 < members["subject"].nunique() < len(members):
            named |= {
                f"{SUBJECT}{name}": trajectories.index for name, trajectories in members.groupby("subject", sort=False)
            }
        for name, index in named.items():
            means.append(values[..., index.to_numpy()].mean(axis=-1))
            rows.append({"trajectory": name, "split": split, "phase": phase, "horizon": horizon, "subject": ""})
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
    trajectory_counts = {str(name): members["trajectory"].nunique() for name, members in groups.groupby("subject")}
    sums, rows = [], []
    for (subject, split, phase, horizon), members in groups.groupby(
        ["subject", "split", "phase", "horizon"], sort=False
    ):
        if 1 < trajectory_counts[str(subject)] == len(members):
            sums.append(values[..., members.index.to_numpy()].sum(axis=-1))
            rows.append({"trajectory": subject, "split": split, "phase": phase, "horizon": horizon})
    if not rows:
        return groups.iloc[:0][KEYS], values[..., :0]
    return pd.DataFrame(rows), np.stack(sums, axis=-1)


def is_summary(groups: pd.DataFrame) -> np.ndarray:
    """Which groups go into the table of metrics (group,): of single lead times, only the means over trajectories."""
    of_lead = groups["horizon"].str.startswith(LEAD).to_numpy(bool)
    mean = groups["trajectory"].eq(ALL) | groups["trajectory"].str.startswith(SUBJECT)
    return np.asarray(~of_lead | mean.to_numpy(bool))
