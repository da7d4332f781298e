"""Forecasts of an ensemble on a dataset, and their squared errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sparsenode.data.observations import Observations
from sparsenode.ensemble.conditions import prepare_conditions
from sparsenode.errors import UserError
from sparsenode.evaluation.metrics import ERRORS, registered_metrics
from sparsenode.evaluation.metrics.errors import error_units, weigh_squares
from sparsenode.evaluation.plans import Plan

if TYPE_CHECKING:
    from sparsenode.ensemble.members import Ensemble

BYTES_AT_ONCE = 2**28
"""Forecasts are made and scored in batches of rows of about this size."""


@dataclass(frozen=True)
class Kept:
    """Entries and features of a plan whose forecasts themselves are kept, for figures."""

    entries: np.ndarray
    features: np.ndarray


@dataclass(frozen=True)
class Errors:
    """Mean squared errors (member, group) of a plan by metric, and the forecasts that were kept.

    Of `means`, `mse` is in squared units of the values, `mse_weighted` with each feature's squared error times its
    weight (where weights differ), `mse_restored` in those of the source (where it names one), `mse_noise_free` against
    the noise-free values (where they are known). `kept` is (member, entry, feature). Where entries are missing, each
    feature's error is the mean over those that are observed (`Plan.observed_shares`).

    `of_blocks` (member, block) is the `mse` in each block of time of the validation observations, where these are of a
    single trajectory (`Plan.validation_blocks`); else None.
    """

    means: Mapping[str, np.ndarray]
    kept: np.ndarray
    of_blocks: np.ndarray | None = None

    @property
    def mse(self) -> np.ndarray:
        """Mean squared errors (member, group) in squared units of the values."""
        return self.means["mse"]

    def pick(self, members: np.ndarray) -> Errors:
        """The errors of some members."""
        of_blocks = None if self.of_blocks is None else self.of_blocks[members]
        return Errors({name: values[members] for name, values in self.means.items()}, self.kept[members], of_blocks)


def forecast_errors(ensemble: Ensemble, data: Observations, plan: Plan, stored: Kept) -> Errors:
    """Errors of every member on every group of a plan; forecasts are made in batches of bounded memory.

    A forecast that is not finite makes its group's error not finite, and no other.
    """
    members = len(ensemble.members)
    sums = _ErrorSums(members, data, plan)
    blocks = plan.validation_blocks(data)
    block_sums = None if blocks is None else _BlockSums(members, data, plan, blocks)
    kept_values = np.full((members, len(stored.entries), len(stored.features)), np.nan, np.float32)
    for first, last, predicted in predict_rows(ensemble, data, plan):
        sums.add(predicted, first, last)
        if block_sums is not None:
            block_sums.add(predicted, first, last)
        entries = np.flatnonzero((stored.entries >= first) & (stored.entries < last))
        if len(entries):
            chosen = predicted[:, stored.entries[entries] - first]
            kept_values[:, entries] = chosen[..., stored.features]
    errors = sums.means(kept_values)
    return errors if block_sums is None else replace(errors, of_blocks=block_sums.means())


def predict_rows(ensemble: Ensemble, data: Observations, plan: Plan) -> Iterator[tuple[int, int, np.ndarray]]:
    """Forecasts of a plan, a row at a time: its entries from a first to before a last, and (member, entry, feature)."""
    conditions = prepare_conditions(ensemble, data, plan.starts, int(plan.given.min(initial=np.iinfo(np.int64).max)))
    for rows in _batches(plan, len(ensemble.members) * len(data.features) * 4):
        times = [plan.times[row] for row in rows]
        forecasts = conditions.select(rows).forecast(ensemble, plan.initial_states[rows], times)
        for row, predicted in zip(rows, forecasts, strict=True):
            first, last = np.searchsorted(plan.row, [row, row + 1])
            if first < last:
                yield first, last, predicted[:, plan.position[first:last]]


def matrix_errors(predicted: np.ndarray, data: Observations, plan: Plan, stored: Kept) -> Errors:
    """Errors of one forecast given as a matrix (entry, feature), as if of an ensemble of one member."""
    sums = _ErrorSums(1, data, plan)
    sums.add(predicted[None], 0, len(predicted))
    return sums.means(predicted[None][:, stored.entries][..., stored.features].astype(np.float32))


class _ErrorSums:
    """Running sums of squared errors over the entries of a plan, by metric, member and group."""

    def __init__(self, members: int, data: Observations, plan: Plan) -> None:
        self.data, self.plan = data, plan
        simple = len(plan.groups) - len(plan.unions)
        self.counts = np.bincount(plan.group, minlength=simple).astype(np.float64)
        self.metrics = registered_metrics(ERRORS)
        # Missing entries leave a union with other shares than its parts, so that it has a sum of its own.
        self.shares = plan.observed_shares(data)
        self.sums = {
            name: np.zeros((members, simple if self.shares is None else len(plan.groups))) for name in error_units(data)
        }
        self.union_of = np.full(simple, -1)
        for number, parts in enumerate(plan.unions, start=simple):
            self.union_of[list(parts)] = number

    def add(self, predicted: np.ndarray, first: int, last: int) -> None:
        """Add entries `first` to `last`, predicted (member, entry, feature)."""
        observation = self.plan.observation[first:last]
        group = self.plan.group[first:last]
        for member, forecast in enumerate(predicted):
            with np.errstate(over="ignore", invalid="ignore"):
                squares = np.square(forecast.astype(np.float64) - self.data.values[observation])
                if self.shares is None:
                    self._add(member, group, squares, forecast, observation, 1.0)
                    continue
                for groups in (group, self.union_of[group]):
                    rows = np.flatnonzero(groups >= 0)
                    if len(rows):
                        missing = np.isnan(self.data.values[observation[rows]])
                        shares = np.where(missing, 0.0, self.shares[groups[rows]])
                        weighed = weigh_squares(squares[rows], shares)
                        self._add(member, groups[rows], weighed, forecast[rows], observation[rows], shares)

    def _add(
        self,
        member: int,
        group: np.ndarray,
        squares: np.ndarray,
        forecast: np.ndarray,
        observation: np.ndarray,
        shares: np.ndarray | float,
    ) -> None:
        for name, total in self.sums.items():
            values = self.metrics[name].measure(
                squares=squares, forecast=forecast, data=self.data, observation=observation, shares=shares
            )
            _add_by_group(total[member], group, values)

    def means(self, kept_values: np.ndarray) -> Errors:
        return Errors({name: self._mean(total) for name, total in self.sums.items()}, kept_values)

    def _mean(self, sums: np.ndarray) -> np.ndarray:
        """Means over the entries of each group, unions last."""
        simple_groups = [list(numbers) for numbers in self.plan.parts]
        if self.shares is not None:
            return sums / np.array([self.counts[columns].sum() for columns in simple_groups])
        return np.stack(
            [sums[:, columns].sum(axis=1) / self.counts[columns].sum() for columns in simple_groups], axis=1
        )


class _BlockSums:
    """Running sums of squared errors over the entries in each block of time, by member and feature."""

    def __init__(self, members: int, data: Observations, plan: Plan, blocks: np.ndarray) -> None:
        self.data, self.plan, self.blocks = data, plan, blocks
        count = int(blocks.max()) + 1
        observed = ~np.isnan(data.values[plan.observation])
        self.counts = np.array([observed[blocks == block].sum(axis=0) for block in range(count)])
        self.sums = np.zeros((members, count, len(data.features)))

    def add(self, predicted: np.ndarray, first: int, last: int) -> None:
        """Add entries `first` to `last`, predicted (member, entry, feature)."""
        observed = self.data.values[self.plan.observation[first:last]]
        blocks = self.blocks[first:last]
        for block in np.unique(blocks[blocks >= 0]):
            rows = np.flatnonzero(blocks == block)
            for member, forecast in enumerate(predicted):
                with np.errstate(over="ignore", invalid="ignore"):
                    squares = np.square(forecast[rows].astype(np.float64) - observed[rows])
                    self.sums[member, block] += np.where(np.isnan(observed[rows]), 0.0, squares).sum(axis=0)

    def means(self) -> np.ndarray:
        """Mean (member, block) over the features that a block observes of each one's mean."""
        shares = np.where(self.counts > 0, 1.0 / np.maximum(self.counts, 1), 0.0)
        shares = shares / np.maximum((self.counts > 0).sum(axis=1, keepdims=True), 1)
        return np.asarray(np.einsum("mbf,bf->mb", self.sums, shares))


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


def check_features(ensemble: Ensemble, data: Observations, name: str) -> None:
    """Refuse an ensemble that was trained on other features or another order of them.

    Raises:
        UserError: the features differ.
    """
    if tuple(ensemble.features) != data.features:
        trained, expected = list(ensemble.features)[:5], list(data.features)[:5]
        message = (
            f"{name} was trained on {len(ensemble.features)} features ({trained} ...), but the data have "
            f"{len(data.features)} ({expected} ...): train it again on these data"
        )
        raise UserError(message)
