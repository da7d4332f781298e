"""Integrate an ensemble, give dense output at any times, and the exact loss over all observations.

A solve visits a coarse grid of nodes, equally spaced within each row (a trajectory or a window). Between nodes the
prediction is the cubic Hermite interpolant, linear in the node values Z = (states, step x slopes): y = C Z. C is known
before training, so that C = V U with orthonormal V turns the squared error over all observations into
||U Z - V'y||^2 plus a constant, whatever the number of observations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparsenode.data.missing import by_pattern
from sparsenode.dynamics.fields import VectorField
from sparsenode.dynamics.mlp import Layers, spread_over_units


@dataclass(frozen=True)
class Grid:
    """The nodes of a solve: `intervals` steps of length `step` (row, 1), which may differ between rows."""

    intervals: int
    step: Tensor


class _WeightGradients:
    """Adds up the weight gradients of many evaluations, with few and large products.

    A product over few rows is bound by the memory traffic of the weights, so evaluations are gathered until they have
    `ENOUGH_ROWS` together; with many rows each is added at once, since copying them together would cost more.
    """

    ENOUGH_ROWS = 64

    def __init__(self, layers: Layers) -> None:
        self.rows_last = layers.rows_last
        self.weights: list[Tensor | None] = [None] * len(layers.weights)
        self.biases: list[Tensor | None] = [None] * len(layers.weights)
        self.decay = None if layers.decay is None else torch.zeros_like(layers.decay)
        self.skip = None if layers.skip is None else torch.zeros_like(layers.skip)
        self.pending: list[tuple[Sequence[Tensor], Sequence[Tensor]]] = []

    def add(self, recorded: Sequence[Tensor], linear_gradients: Sequence[Tensor]) -> None:
        """Take one evaluation: what the field has recorded, and the gradient (member, row, out) of every layer."""
        self.pending.append((recorded, linear_gradients))
        if len(self.pending) * linear_gradients[0].shape[1] >= self.ENOUGH_ROWS:
            self._flush()

    def _flush(self) -> None:
        for index in range(len(self.weights)):
            # Between the state, which may be the first layer's input itself, and the output are the layers' inputs.
            inputs = [layer_inputs[index - len(self.weights) - 1] for layer_inputs, _ in self.pending]
            outputs = [layer_gradients[index] for _, layer_gradients in self.pending]
            left = inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=1)
            right = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)
            weight, bias = self.weights[index], self.biases[index]
            if self.rows_last and index == len(self.weights) - 1:
                row = (left * spread_over_units(right, left.shape[-1])).sum(1, keepdim=True)
                self.weights[index] = row if weight is None else weight + row
                self.biases[index] = right.sum(1, keepdim=True) + (0.0 if bias is None else bias)
            elif weight is None or bias is None:
                self.weights[index] = torch.bmm(left.transpose(1, 2), right)
                self.biases[index] = right.sum(1, keepdim=True)
            else:
                torch.baddbmm(weight, left.transpose(1, 2), right, out=weight)
                bias += right.sum(1, keepdim=True)
        if self.skip is not None:
            first = torch.cat([layer_inputs[0] for layer_inputs, _ in self.pending], dim=1)
            last = torch.cat([layer_gradients[-1] for _, layer_gradients in self.pending], dim=1)
            self.skip.baddbmm_(first.transpose(1, 2), last)
        if self.decay is not None:
            for recorded, gradients in self.pending:
                orders = self.decay.shape[-1] // gradients[-1].shape[-1]
                gradient = gradients[-1] if orders == 1 else gradients[-1].repeat(1, 1, orders)
                self.decay -= (recorded[0] * gradient).sum(1, keepdim=True)
        self.pending.clear()

    def total(self) -> tuple[Tensor | None, ...]:
        """Gradients of decay (member, 1, state), skip and weights (member, in, out), and biases (member, 1, out)."""
        if self.pending:
            self._flush()
        return self.decay, self.skip, *self.weights, *self.biases


def _integrate(
    field: VectorField, layers: Layers, grid: Grid, initial: Tensor, records: list[Any] | None = None
) -> tuple[Tensor, Tensor]:
    """States and slopes (member, row, node, state) of the classical Runge-Kutta solve; no slopes at second order.

    Only where `records` is given, what the reverse pass needs is added to it: four evaluations for each interval, and
    at first order that of the last slope.
    """
    step = grid.step
    half_step, sixth_step = step / 2, step / 6
    state = initial
    states, slopes = [initial], []
    for _ in range(grid.intervals):
        first, record_1 = field.record(layers, state)
        second, record_2 = field.record(layers, torch.addcmul(state, first, half_step))
        third, record_3 = field.record(layers, torch.addcmul(state, second, half_step))
        fourth, record_4 = field.record(layers, torch.addcmul(state, third, step))
        total = torch.add(first, second, alpha=2.0).add_(third, alpha=2.0).add_(fourth)
        state = torch.addcmul(state, total, sixth_step)
        states.append(state)
        if field.order == 1:
            slopes.append(first)
        if records is not None:
            records.append((record_1, record_2, record_3, record_4))
    stacked = torch.stack(states, dim=2)
    if field.order == 2:
        return stacked, stacked.new_empty(0)
    last_slope, last_record = field.record(layers, state)
    slopes.append(last_slope)
    if records is not None:
        records.append(last_record)
    return stacked, torch.stack(slopes, dim=2)


class _RungeKutta4(torch.autograd.Function):
    """The classical Runge-Kutta solve as one node of the graph, with a reverse pass written out.

    Autograd over single operations costs more than the arithmetic of a small network, and adds up the weight
    gradients of all evaluations one by one; here they are gathered into one product per layer.
    """

    @staticmethod
    def forward(
        ctx: Any,
        field: VectorField,
        activation: str,
        grid: Grid,
        initial: Tensor,
        decay: Tensor | None,
        skip: Tensor | None,
        rows_last: bool,
        *tensors: Tensor,
    ) -> Any:
        half = len(tensors) // 2
        layers = Layers(tensors[:half], tensors[half:], activation, decay, skip, rows_last)
        records: list[Any] = []
        states, slopes = _integrate(field, layers, grid, initial, records)
        last_record = records.pop() if field.order == 1 else None
        ctx.field, ctx.grid, ctx.layers, ctx.records, ctx.last_record = field, grid, layers, records, last_record
        return states, slopes

    @staticmethod
    def backward(ctx: Any, states_gradient: Tensor, slopes_gradient: Tensor) -> Any:
        field, grid, layers = ctx.field, ctx.grid, ctx.layers
        gathered = _WeightGradients(layers)

        def pull(record: list[Tensor], gradient: Tensor) -> Tensor:
            state_gradient, linear_gradients = field.reverse(layers, record, gradient)
            gathered.add(record, linear_gradients)
            return state_gradient

        step = grid.step
        half_step, third_step, sixth_step = step / 2, step / 3, step / 6
        gradient = states_gradient[:, :, -1]
        if field.order == 1:
            gradient = gradient + pull(ctx.last_record, slopes_gradient[:, :, -1].contiguous())
        for index in range(grid.intervals - 1, -1, -1):
            record_1, record_2, record_3, record_4 = ctx.records[index]
            sixth, third = gradient * sixth_step, gradient * third_step
            through_4 = pull(record_4, sixth)
            through_3 = pull(record_3, torch.addcmul(third, through_4, step))
            through_2 = pull(record_2, third.addcmul_(through_3, half_step))
            first = torch.addcmul(sixth, through_2, half_step)
            if field.order == 1:
                first += slopes_gradient[:, :, index]
            through_1 = pull(record_1, first)
            gradient = gradient + through_4
            gradient.add_(through_3).add_(through_2).add_(through_1).add_(states_gradient[:, :, index])
        decay, skip, *weights_and_biases = gathered.total()
        return (None, None, None, gradient, decay, skip, None, *weights_and_biases)


_MOST_STEPS = 10_000
"""Steps of an adaptive solve between two nodes; what needs more has diverged or calls for another solver."""


def _solve_dopri5(
    field: VectorField, layers: Layers, grid: Grid, initial: Tensor, tolerance: float
) -> tuple[Tensor, Tensor]:
    """Adaptive reference solve. One member at a time: a shared step size would let members change each other."""
    from torchdiffeq import odeint

    times = torch.linspace(0.0, 1.0, grid.intervals + 1, dtype=initial.dtype, device=initial.device)
    duration = grid.step * grid.intervals
    limit = {"max_num_steps": _MOST_STEPS}
    solved = []
    for member in range(initial.shape[0]):
        member_layers = layers.select(slice(member, member + 1))

        def rate(_time: Tensor, state: Tensor, member_layers: Layers = member_layers) -> Tensor:
            return field.rate(member_layers, state) * duration

        start = initial[member : member + 1]
        try:
            path = odeint(rate, start, times, rtol=tolerance, atol=tolerance, method="dopri5", options=limit)
        except AssertionError:
            # torchdiffeq's word for steps too small or too many: this member diverges, and the other members go on.
            path = (start * torch.nan).expand(len(times), -1, -1, -1)
        solved.append(path.permute(1, 2, 0, 3))
    states = torch.cat(solved)
    if field.order == 2:
        return states, states.new_empty(0)
    flat = states.flatten(1, 2)
    return states, field.rate(layers, flat).view(states.shape)


def solve_nodes(
    field: VectorField, layers: Layers, grid: Grid, initial: Tensor, *, scheme: str = "rk4", tolerance: float = 1e-3
) -> Tensor:
    """Node values Z (member, row, 2 x nodes, feature): observed states, then their slopes times the step.

    Differentiable once in the initial state, weights and biases.

    Args:
        field: the vector field.
        layers: its effective layers.
        grid: the nodes of the solve.
        initial: (member, row, state).
        scheme: `rk4` or `dopri5`.
        tolerance: relative and absolute tolerance of `dopri5`.
    """
    states, slopes = _solve(field, layers, grid, initial, scheme, tolerance)
    return _join_nodes(field, grid, states, slopes)


def solve_pieces(
    field: VectorField,
    layers: Layers,
    grid: Grid,
    initial: Tensor,
    *,
    piece: int,
    scheme: str = "rk4",
    tolerance: float = 1e-3,
) -> Iterator[tuple[int, Tensor]]:
    """The nodes of a solve in pieces: number of the first node, and their node values.

    Neighboring pieces share a node, and each has the form of `solve_nodes`. However long the solve is, it takes the
    memory of one piece.

    Args:
        field: the vector field.
        layers: its effective layers.
        grid: the nodes of the whole solve.
        initial: (member, row, state).
        piece: intervals of a piece at most.
        scheme: `rk4` or `dopri5`.
        tolerance: relative and absolute tolerance of `dopri5`.
    """
    state = initial
    for first in range(0, grid.intervals, piece):
        piece_grid = Grid(min(piece, grid.intervals - first), grid.step)
        states, slopes = _solve(field, layers, piece_grid, state, scheme, tolerance)
        state = states[:, :, -1].contiguous()
        yield first, _join_nodes(field, piece_grid, states, slopes)


def _solve(
    field: VectorField, layers: Layers, grid: Grid, initial: Tensor, scheme: str, tolerance: float
) -> tuple[Tensor, Tensor]:
    """States and slopes (member, row, node, state); no slopes at second order, where states hold them."""
    if scheme == "dopri5":
        return _solve_dopri5(field, layers, grid, initial, tolerance)
    if not torch.is_grad_enabled():
        return _integrate(field, layers, grid, initial)
    solved: tuple[Tensor, Tensor] = _RungeKutta4.apply(
        field,
        layers.activation,
        grid,
        initial,
        layers.decay,
        layers.skip,
        layers.rows_last,
        *layers.weights,
        *layers.biases,
    )
    return solved


def _join_nodes(field: VectorField, grid: Grid, states: Tensor, slopes: Tensor) -> Tensor:
    if field.order == 2:
        states, slopes = states[..., : field.features], states[..., field.features :]
    return torch.cat((states, slopes * grid.step.unsqueeze(-1)), dim=2)


def dense_output_matrix(positions: np.ndarray, intervals: int) -> np.ndarray:
    """Matrix C (time, 2 x nodes) of the cubic Hermite interpolant, in float64.

    `positions` are times as multiples of the step since the start, between 0 and `intervals`; slopes enter
    multiplied by the step. Error of order step**4 between the nodes of an exact solution.
    """
    interval = np.clip(np.floor(positions), 0, intervals - 1).astype(int)
    s = positions - interval
    nodes = intervals + 1
    matrix = np.zeros((len(positions), 2 * nodes))
    row = np.arange(len(positions))
    matrix[row, interval] = (1 + 2 * s) * (1 - s) ** 2
    matrix[row, interval + 1] = s**2 * (3 - 2 * s)
    matrix[row, nodes + interval] = s * (1 - s) ** 2
    matrix[row, nodes + interval + 1] = s**2 * (s - 1)
    return matrix


@dataclass(frozen=True)
class ExactLoss:
    """Weighted squared error over all observations as a function of the node values only.

    Shapes: `factor` (row or 1, rank, 2 x nodes), `projected` (row, rank, feature), `feature_weight` (feature,),
    `constant` (row,) and `scale` (), the error of the trivial forecast when the loss is relative and else 1. Where
    members weigh observations differently, factor, projected and constant have an axis `member` before these.

    Where entries are missing, `columns` (group, width) are numbers of the features of each group, all of whose features
    are observed at the same times. Each group has a factor of its own: factor and projected have an axis `group` before
    the axis `row`, `projected` ends with the axis `width`, and `feature_weight` is (group, width), 0 for the columns
    that fill groups up.
    """

    factor: Tensor
    projected: Tensor
    feature_weight: Tensor
    constant: Tensor
    scale: Tensor
    columns: Tensor | None = None

    def __call__(self, nodes: Tensor) -> Tensor:
        """Loss (member,) of node values (member, row, 2 x nodes, feature)."""
        if self.columns is not None:
            # Members become columns of the products, so that no factor is copied for each of them.
            member = "m" if self.factor.dim() == 5 else ""
            grouped = nodes.index_select(-1, self.columns.flatten()).unflatten(-1, self.columns.shape)
            residual = torch.einsum(f"{member}grkn,mrngw->mgrkw", self.factor, grouped) - self.projected
            squares = (residual.square().sum((2, 3)) * self.feature_weight).sum((1, 2))
            return (squares + self.constant.sum(-1)) / self.scale
        residual = torch.matmul(self.factor, nodes) - self.projected
        squares = residual.square().sum((1, 2))
        return (squares @ self.feature_weight + self.constant.sum(-1)) / self.scale

    def of_rows(self, nodes: Tensor) -> Tensor:
        """Share (member, row) of each row in the loss of node values (member, row, 2 x nodes, feature)."""
        if self.columns is not None:
            member = "m" if self.factor.dim() == 5 else ""
            grouped = nodes.index_select(-1, self.columns.flatten()).unflatten(-1, self.columns.shape)
            residual = torch.einsum(f"{member}grkn,mrngw->mgrkw", self.factor, grouped) - self.projected
            squares = torch.einsum("mgrkw,gw->mr", residual.square(), self.feature_weight)
        else:
            residual = torch.matmul(self.factor, nodes) - self.projected
            squares = residual.square().sum(2) @ self.feature_weight
        return (squares + self.constant) / self.scale

    def select(self, rows: Tensor) -> ExactLoss:
        """The loss of some rows, scaled so that its mean over random choices of them is the loss of all."""
        factor = self.factor if self.factor.shape[-3] == 1 else self.factor[..., rows, :, :]
        scale = self.scale * (len(rows) / self.projected.shape[-3])
        projected, constant = self.projected[..., rows, :, :], self.constant[..., rows]
        return replace(self, factor=factor, projected=projected, constant=constant, scale=scale)

    def of_members(self, places: Tensor) -> ExactLoss:
        """The loss of members that weigh observations as those at `places` (member,) of the axis `member` do."""
        factor, projected, constant = self.factor[places], self.projected[places], self.constant[places]
        return replace(self, factor=factor, projected=projected, constant=constant)

    def to(self, device: torch.device) -> ExactLoss:
        """The same loss on another device."""
        return ExactLoss(
            self.factor.to(device),
            self.projected.to(device),
            self.feature_weight.to(device),
            self.constant.to(device),
            self.scale.to(device),
            None if self.columns is None else self.columns.to(device),
        )


def stack_losses(losses: Sequence[ExactLoss]) -> ExactLoss:
    """One loss with an axis `member` out of several that weigh the same observations differently."""
    rank = max(loss.factor.shape[-2] for loss in losses)

    def stack(tensors: Sequence[Tensor]) -> Tensor:
        padded = [torch.nn.functional.pad(tensor, (0, 0, 0, rank - tensor.shape[-2])) for tensor in tensors]
        return torch.stack(padded)

    factors = [loss.factor.expand(*loss.projected.shape[:-2], -1, -1) for loss in losses]
    return replace(
        losses[0],
        factor=stack(factors),
        projected=stack([loss.projected for loss in losses]),
        constant=torch.stack([loss.constant for loss in losses]),
    )


def factor_loss(
    positions: Sequence[np.ndarray],
    observed: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    feature_weight: np.ndarray,
    intervals: int,
    scale: float = 1.0,
    dtype: torch.dtype = torch.float32,
) -> ExactLoss:
    """Factor the weighted squared error over rows of observations once, in float64.

    Rows observed at the same positions share one factor. Where entries are missing, so do features of which the same
    ones are missing in every row, and every other feature has a factor of its own.

    Args:
        positions: by row, (time,) in steps since the start of the row.
        observed: by row, (time, feature), NaN where an entry is missing: it does not count.
        weights: by row, (time,) the full weight of an observation in the loss.
        feature_weight: (feature,) weights of the features.
        intervals: number of the steps of the grid.
        scale: what the loss is divided by.
        dtype: type of the tensors of the loss.
    """
    rows = [row_observed.astype(np.float64) for row_observed in observed]
    columns = None
    if all(np.isfinite(row_observed).all() for row_observed in rows):
        factors, projected, constant = _factor_rows(positions, rows, weights, feature_weight, intervals)
    else:
        columns = group_features(rows, 2 * (intervals + 1))
        groups = [_factor_group(features, positions, rows, weights, feature_weight, intervals) for features in columns]
        rank = max(group[0].shape[1] for group in groups)
        count = max(len(group[0]) for group in groups)
        padded = [_pad(group[0], rank) for group in groups]
        factors = np.stack([np.broadcast_to(factor, (count, *factor.shape[1:])) for factor in padded])
        projected = np.stack([_pad(group[1], rank) for group in groups])
        constant = np.sum([group[2] for group in groups], axis=0)
        feature_weight = np.where(columns >= 0, feature_weight[columns], 0.0)

    def tensor(values: Any) -> Tensor:
        return torch.as_tensor(values, dtype=dtype)

    return ExactLoss(
        tensor(factors),
        tensor(projected),
        tensor(feature_weight),
        tensor(constant),
        tensor(scale),
        None if columns is None else torch.as_tensor(np.maximum(columns, 0)),
    )


def _factor_rows(
    positions: Sequence[np.ndarray],
    observed: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    feature_weight: np.ndarray,
    intervals: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Factors (row or 1, rank, 2 x nodes), projected values (row, rank, feature), and constants (row,)."""
    factors, projected, constant = [], [], []
    shared: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
    for row_positions, row_observed, row_weights in zip(positions, observed, weights, strict=True):
        root = np.sqrt(row_weights)[:, None]
        key = row_positions.tobytes() + row_weights.tobytes()
        if key not in shared:
            left, singular, right = np.linalg.svd(
                root * dense_output_matrix(row_positions, intervals), full_matrices=False
            )
            is_significant = singular > 1e-12 * singular.max(initial=0.0)
            shared[key] = left[:, is_significant], singular[is_significant, None] * right[is_significant]
        left, factor = shared[key]
        values = root * row_observed
        row_projected = left.T @ values
        constant.append(float((np.square(values - left @ row_projected) @ feature_weight).sum()))
        factors.append(factor)
        projected.append(row_projected)
    rank = max(len(factor) for factor in factors)
    if len(shared) == 1:
        factors = factors[:1]
    return (
        np.stack([_pad(factor, rank) for factor in factors]),
        np.stack([_pad(values, rank) for values in projected]),
        np.array(constant),
    )


def _factor_group(
    features: np.ndarray,
    positions: Sequence[np.ndarray],
    observed: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    feature_weight: np.ndarray,
    intervals: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of one group of features of `group_features`, over what is observed of them."""
    members = features[features >= 0]
    present = [np.isfinite(values[:, members[0]]) for values in observed]
    factors, projected, constant = _factor_rows(
        [times[mask] for times, mask in zip(positions, present, strict=True)],
        [values[np.ix_(mask, members)] for values, mask in zip(observed, present, strict=True)],
        [weight[mask] for weight, mask in zip(weights, present, strict=True)],
        feature_weight[members],
        intervals,
    )
    return factors, np.pad(projected, ((0, 0), (0, 0), (0, len(features) - len(members)))), constant


def group_features(observed: Sequence[np.ndarray], nodes: int) -> np.ndarray:
    """Features of which the same entries are missing in every row, as numbers (group, width), -1 where there is none.

    Groups are filled up to one width, and large ones cut, so that factors and columns take the least memory.

    Args:
        observed: by row, (time, feature), NaN where an entry is missing.
        nodes: number of the node values of a feature.
    """
    alike = [features.tolist() for features, _ in by_pattern(np.concatenate(observed))]
    sizes = np.array([len(features) for features in alike])
    widths = np.minimum(2 ** np.arange(int(sizes.max()).bit_length() + 1), sizes.max())
    counts = np.array([(-(-sizes // width)).sum() for width in widths])
    width = int(widths[np.argmin(counts * (nodes + widths))])
    groups = [features[first : first + width] for features in alike for first in range(0, len(features), width)]
    return np.array([features + [-1] * (width - len(features)) for features in groups], dtype=np.int64)


def _pad(rows: np.ndarray, count: int) -> np.ndarray:
    """Matrices (..., row, column) with zeros below, `count` rows in all."""
    return np.concatenate((rows, np.zeros((*rows.shape[:-2], count - rows.shape[-2], rows.shape[-1]))), axis=-2)
