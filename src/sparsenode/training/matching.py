"""Matching: rates compared with the slopes of smoothed observations, without a solve.

One evaluation of the vector field an iteration, where a solve takes dozens (collocation, Varah 1982; gradient matching,
Ellner et al. 2002). Smoothing bends the states, so that what is learned here is a start for shooting, or a screen.
The integral form compares integrals of the rates with differences of observations (Dattner and Klaassen 2015): no
slopes are needed, in which noise counts most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sparsenode.data.missing import largest_observed
from sparsenode.dynamics.fields import VectorField
from sparsenode.dynamics.fused.loss import match_loss
from sparsenode.dynamics.mlp import Layers
from sparsenode.errors import UserError
from sparsenode.peers.derivatives import ENDS, FEWEST, average_ties, smooth, training_stretches

if TYPE_CHECKING:
    from anndata import AnnData

    from sparsenode.settings import ModelSettings

_NODES = 4  # of the polynomial that the integral over one interval takes: the error is of order 5 in its length
_ROUNDING = 1e-6  # of values as float32: slopes below it, over the length of a stretch, are none


@dataclass(frozen=True, kw_only=True)
class Matching:
    """What rates are compared with; a row is a time of a trajectory, a residual belongs to a row or to an interval.

    Attributes:
        states: smoothed states, at second order with velocities, (row, state).
        movement: slopes of the smoothed states, or mean rates of the observations over intervals, (residual, feature).
        weight: of the residuals, (1, residual), or (seed, residual) where seeds weigh observations differently.
        feature_weight: of the features, (feature,), over the loss of a field without any rate.
        observed: 1 where a residual is of observed entries, else 0, (residual, feature); None where none is missing.
        nodes: numbers of the rows whose rates make the integral over a step, (step, node); None compares slopes.
        quadrature: weights of these rates, (step, node).
        first: number of the first step of each interval, (residual,).
        duration: of the intervals, (residual, 1).
        steps: number of the steps of an interval.
        seeds: seeds of the rows of `weight`; empty where all weigh alike.
    """

    states: Tensor
    movement: Tensor
    weight: Tensor
    feature_weight: Tensor
    observed: Tensor | None = None
    nodes: Tensor | None = None
    quadrature: Tensor | None = None
    first: Tensor | None = None
    duration: Tensor | None = None
    steps: int = 1
    seeds: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        """Rows that an iteration evaluates the field at."""
        return len(self.states)

    def of_seeds(self, seeds: Sequence[int]) -> Matching:
        """The same for members with these seeds."""
        if not self.seeds:
            return self
        members = torch.tensor([self.seeds.index(seed) for seed in seeds], device=self.weight.device)
        return replace(self, weight=self.weight[members], seeds=())

    def to(self, device: torch.device) -> Matching:
        """The same on another device."""
        tensors: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **tensors)

    def loss(self, field: VectorField, layers: Layers, *, compiled: bool = False) -> Tensor:
        """Weighted mean squared residual (member,) of the rates; a relative one is 1 for a field without any rate.

        Args:
            field: the vector field.
            layers: its effective layers.
            compiled: whether the compiled kernel computes it.
        """
        if compiled:
            return match_loss(field, layers, self)
        members = layers.weights[0].shape[0]
        rates = field.rate(layers, self.states.expand(members, -1, -1))[..., -field.features :]
        squares = torch.square(self._integrate(rates) - self.movement)
        if self.observed is not None:
            squares = squares * self.observed
        return (squares @ self.feature_weight * self.weight).sum(1)

    def _integrate(self, rates: Tensor) -> Tensor:
        """Rates (member, row, feature) at the residuals: as they are, or their means over intervals."""
        if self.nodes is None or self.quadrature is None or self.first is None or self.duration is None:
            return rates
        by_step = rates[:, self.nodes[:, 0]] * self.quadrature[:, :1]
        for node in range(1, self.nodes.shape[1]):
            by_step = by_step + rates[:, self.nodes[:, node]] * self.quadrature[:, node : node + 1]
        whole = by_step[:, self.first]
        for step in range(1, self.steps):
            whole = whole + by_step[:, self.first + step]
        return whole / self.duration


def make_matching(
    adata: AnnData, settings: ModelSettings, multipliers: Mapping[int, np.ndarray] | None = None
) -> Matching | None:
    """What a model with `matching` trains on first; None without.

    Observations count by their weights, and each feature's slopes in units of their own size.

    Args:
        adata: the trajectories.
        settings: the settings of the model.
        multipliers: (observation,) of the weights of observations, by seed.

    Raises:
        UserError: no trajectory has enough training observations in a row to be smoothed.
    """
    matching = settings.matching
    if matching is None:
        return None
    time = adata.obs["time"].to_numpy(dtype=np.float64)
    values = np.asarray(adata.X, dtype=np.float64)
    weight = adata.obs["weight"].to_numpy(dtype=np.float64)
    drawn = np.stack(list(multipliers.values()), axis=1) if multipliers else np.ones((len(time), 1))
    # Networks see states of the first order as they are, velocities and rates by the model's unit of time.
    unit = settings.time_scale
    stretches = []
    least = max(FEWEST, matching.interval + 1 if matching.form == "integrals" else FEWEST)
    longest = 0
    for rows in training_stretches(adata):
        at, levels, total = average_ties(time[rows], values[rows], weight[rows])
        _, by_seed, all_weight = average_ties(time[rows], drawn[rows], weight[rows])
        fewest = int((~np.isnan(levels)).sum(axis=0).min())
        longest = max(longest, fewest)
        if fewest >= least:
            stretches.append(_Stretch.make(at / unit, levels, total, by_seed * all_weight[:, None], settings.order))
    if not stretches:
        raise UserError(
            f"matching takes {least} training observations (split train, phase fit) of a trajectory in a row, at "
            f"different times, of every variable; the longest stretch has {longest}: set `matching` of the model to "
            "null"
        )
    parts = _slopes(stretches) if matching.form == "slopes" else _integrals(stretches, matching.interval)
    residual_weight = parts.weight / parts.weight.sum(axis=0)
    share = parts.weight.sum(axis=1) / parts.weight.sum()
    observed_share = share @ parts.observed
    movement = share @ (np.square(parts.movement) * parts.observed) / np.maximum(observed_share, np.finfo(float).tiny)
    span = max(float(np.ptp(stretch.time)) for stretch in stretches)
    level = largest_observed(np.abs(np.vstack([stretch.level for stretch in stretches])))
    moves = movement > np.square(_ROUNDING * level / span)
    if not moves.any():
        raise UserError("the training data never move, so there are no slopes to match; set `matching` to null")
    # A feature that never moves is to stay where it is: its rates count like those of the other features.
    feature_weight = 1.0 / np.where(moves, movement, movement[moves].mean()) / np.count_nonzero(moves)
    # The mean of a feature's squares is that over its observed entries.
    feature_weight = feature_weight / np.maximum(observed_share, np.finfo(float).tiny)
    if settings.normalization == "study":
        feature_weight = feature_weight * (np.count_nonzero(moves) / len(feature_weight))

    def tensor(array: np.ndarray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32)

    return Matching(
        states=tensor(np.vstack([stretch.states for stretch in stretches])),
        movement=tensor(parts.movement),
        weight=tensor(residual_weight.T),
        feature_weight=tensor(feature_weight),
        observed=None if parts.observed.all() else tensor(parts.observed),
        nodes=None if parts.nodes is None else torch.as_tensor(parts.nodes),
        quadrature=None if parts.quadrature is None else tensor(parts.quadrature),
        first=None if parts.first is None else torch.as_tensor(parts.first),
        duration=None if parts.duration is None else tensor(parts.duration[:, None]),
        steps=matching.interval if matching.form == "integrals" else 1,
        seeds=() if multipliers is None else tuple(multipliers),
    )


@dataclass(frozen=True, kw_only=True)
class _Stretch:
    """Training observations of a trajectory in a row: `time` (row,), `level` (row, feature) whose rate is modeled.

    `states` (row, state) are smoothed, `slopes` (row, feature) those of the highest derivative, `weight` (row, seed),
    `observed` (row, feature) true or false.
    """

    time: np.ndarray
    level: np.ndarray
    states: np.ndarray
    slopes: np.ndarray
    weight: np.ndarray
    observed: np.ndarray

    @classmethod
    def make(
        cls, time: np.ndarray, observed: np.ndarray, total: np.ndarray, weight: np.ndarray, order: int
    ) -> _Stretch:
        present = ~np.isnan(observed)
        smoothed, slopes = smooth(time, observed, total)
        if order == 1:
            return cls(time=time, level=observed, states=smoothed, slopes=slopes, weight=weight, observed=present)
        # The slopes are smoothed again: the curvature of the first spline is rougher than it need be.
        velocities, curvatures = smooth(time, np.where(present, slopes, np.nan), total)
        states = np.hstack([smoothed, velocities])
        # Splines that are bent least have no curvature at their ends.
        if len(time) >= FEWEST + 2 * ENDS:
            weight = weight * (np.minimum(np.arange(len(time)), np.arange(len(time))[::-1]) >= ENDS)[:, None]
        return cls(time=time, level=velocities, states=states, slopes=curvatures, weight=weight, observed=present)


@dataclass(frozen=True, kw_only=True)
class _Residuals:
    """What is compared, see `Matching`; `weight` is (residual, seed), `observed` (residual, feature) true or false."""

    movement: np.ndarray
    weight: np.ndarray
    observed: np.ndarray
    nodes: np.ndarray | None = None
    quadrature: np.ndarray | None = None
    first: np.ndarray | None = None
    duration: np.ndarray | None = None


def _slopes(stretches: Sequence[_Stretch]) -> _Residuals:
    """A residual at each row."""
    return _Residuals(
        movement=np.vstack([stretch.slopes for stretch in stretches]),
        weight=np.vstack([stretch.weight for stretch in stretches]),
        observed=np.vstack([stretch.observed for stretch in stretches]),
    )


def _integrals(stretches: Sequence[_Stretch], interval: int) -> _Residuals:
    """A residual for each interval of so many steps, which overlap."""
    movement, weight, observed, nodes, quadrature, first, duration = [], [], [], [], [], [], []
    rows_before = steps_before = 0
    for stretch in stretches:
        count = len(stretch.time)
        starts = np.arange(count - interval)
        spans = stretch.time[starts + interval] - stretch.time[starts]
        observed.append(stretch.observed[starts + interval] & stretch.observed[starts])
        difference = stretch.level[starts + interval] - stretch.level[starts]
        movement.append(np.where(observed[-1], difference, 0.0) / spans[:, None])
        weight.append((stretch.weight[starts] + stretch.weight[starts + interval]) / 2)
        stretch_nodes, stretch_quadrature = step_quadrature(stretch.time)
        nodes.append(stretch_nodes + rows_before)
        quadrature.append(stretch_quadrature)
        first.append(starts + steps_before)
        duration.append(spans)
        rows_before, steps_before = rows_before + count, steps_before + count - 1
    return _Residuals(
        movement=np.vstack(movement),
        weight=np.vstack(weight),
        observed=np.vstack(observed),
        nodes=np.vstack(nodes),
        quadrature=np.vstack(quadrature),
        first=np.concatenate(first),
        duration=np.concatenate(duration),
    )


def step_quadrature(time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights, both (step, node), of the integral from each time to the next.

    The integral is that of the cubic through the four nearest times: exact for cubics, whatever the times, and of
    order 5 in a step's length.

    Args:
        time: times that increase, (time,); four or more.
    """
    steps = np.arange(len(time) - 1)
    nodes = np.clip(steps - 1, 0, len(time) - _NODES)[:, None] + np.arange(_NODES)
    # In units of the step, from its begin: the moments of its powers are 1 / (power + 1).
    length = np.diff(time)[:, None]
    at = (time[nodes] - time[steps, None]) / length
    powers = np.arange(_NODES)
    vandermonde = at[:, None, :] ** powers[:, None]
    moments = np.broadcast_to(1.0 / (powers + 1.0), (len(steps), _NODES))
    return nodes, np.linalg.solve(vandermonde, moments[:, :, None])[:, :, 0] * length
