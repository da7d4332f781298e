"""Plans of forecasts with what trivial forecasts reach on them, and which forecasts are kept for figures."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sparsenode.data.observations import Observations
from sparsenode.data.windows import cut_stretches, find_stretches
from sparsenode.errors import UserError
from sparsenode.evaluation.baselines import baseline_errors, baselines_of, fit_polynomial, oracles_of
from sparsenode.evaluation.forecast import Errors, Kept
from sparsenode.evaluation.plans import ONE_STEP, TRAJECTORY, Plan

logger = logging.getLogger(__name__)

KEPT_FEATURES = 12
"""Features whose forecasts are written out: those whose smooth course over time moves most."""
ALL_FEATURES = 128
"""All of them up to this number, which a figure of the whole (a skeleton) needs."""
KEPT_TIMES = 200
"""Forecast values written out per trajectory, protocol and feature at most, fewer for more than `KEPT_FEATURES`."""


@dataclass(frozen=True)
class Protocol:
    """A plan of forecasts with the errors of the trivial forecasts on it."""

    plan: Plan
    kept: Kept
    baselines: Mapping[str, Errors]
    oracles: Mapping[str, Errors]

    @property
    def name(self) -> str:
        """The entry of the column `horizon`."""
        return self.plan.protocol


def make_protocol(data: Observations, plan: Plan) -> Protocol:
    """Add the errors of the trivial forecasts to a plan, and say which of its forecasts are kept for figures."""
    selection = choose_kept(data, plan)
    baselines = {name: baseline_errors(name, data, plan, selection) for name in baselines_of(plan)}
    return Protocol(
        plan, selection, baselines, {name: baseline_errors(name, data, plan, selection) for name in oracles_of(plan)}
    )


def choose_kept(data: Observations, plan: Plan) -> Kept:
    """Keep at most `KEPT_FEATURES` features and `KEPT_TIMES` entries of each trajectory, evenly spread.

    Up to `ALL_FEATURES` features are all kept, at so many fewer times. Otherwise they are ranked by the variance of a
    cubic in time through each training trajectory, so that noise counts little, and each group (lineage, branch) gives
    its first in turn. Of forecasts from within a trajectory, whole ones that do not overlap are kept; of single steps
    none, since no figure draws them.
    """
    count = len(data.features) if len(data.features) <= ALL_FEATURES else KEPT_FEATURES
    most = KEPT_TIMES * KEPT_FEATURES // max(count, KEPT_FEATURES)
    training = data.training
    movement: dict[str, np.ndarray] = {}
    for code in np.unique(data.trajectory[training]):
        indices = np.flatnonzero(training & (data.trajectory == code))
        # A feature that a trajectory never observes moves 0.
        course = np.nan_to_num(fit_polynomial(data.time[indices], data.values[indices], 3)(data.time[indices]))
        moved = course.var(axis=0)
        group = str(data.group[indices[0]])
        movement[group] = movement.get(group, 0.0) + moved
    # Those of all groups in turn, first all first ones, then all second ones.
    ranked = np.stack([np.argsort(-moved, kind="stable") for moved in movement.values()], axis=1).ravel()
    features = np.sort(np.array(list(dict.fromkeys(ranked.tolist()))[:count], dtype=np.int64))
    trajectory = data.trajectory[plan.observation]
    entries = []
    for code in np.unique(trajectory) if plan.protocol != ONE_STEP else ():
        candidates = np.flatnonzero(trajectory == code)
        if plan.protocol != TRAJECTORY:
            rows = _disjoint_rows(plan, candidates)
            within = int(np.isin(plan.row[candidates], rows).sum())
            rows = rows[spread(len(rows), max(1, most * len(rows) // within))]
            entries.append(candidates[np.isin(plan.row[candidates], rows)])
        else:
            entries.append(candidates[spread(len(candidates), most)])
    return Kept(np.concatenate(entries) if entries else np.empty(0, np.int64), features)


def _disjoint_rows(plan: Plan, entries: np.ndarray) -> np.ndarray:
    chosen: list[int] = []
    end = -np.inf
    rows = np.unique(plan.row[entries])
    for row in sorted(rows, key=lambda number: plan.times[number][0]):
        if plan.times[row][0] >= end:
            chosen.append(int(row))
            end = plan.times[row][-1]
    return np.array(chosen, dtype=np.int64)


def spread(count: int, most: int) -> np.ndarray:
    """Numbers of at most `most` of `count` things, evenly spread from first to last."""
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).round().astype(np.int64))


def cut_windows(data: Observations, length: int, stride: int) -> list[np.ndarray]:
    """Observation numbers of the windows of every split and phase; a split too short for one has none."""
    windows: list[np.ndarray] = []
    for split, phase in dict.fromkeys(zip(data.split, data.phase, strict=True)):
        stretches = find_stretches((data.split == split) & (data.phase == phase), data.trajectory)
        where = f"{split} observations ({phase})"
        try:
            windows += cut_stretches(stretches, length, stride, past=max(1, data.known), where=where)
        except UserError as error:
            logger.warning("no window forecasts of split %s, phase %s: %s", split, phase, error)
    return windows
