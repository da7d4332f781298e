"""The loss of a Runge-Kutta solve by the compiled kernel, as one node of the graph."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from sparsenode.dynamics.fields import VectorField
from sparsenode.dynamics.fused import library
from sparsenode.dynamics.fused.threads import thread_memory, thread_pool
from sparsenode.dynamics.mlp import Layers
from sparsenode.dynamics.solvers import ExactLoss, Grid

_ACTIVATIONS = {"elu": 0, "tanh": 1, "softplus": 2}
_TASKS = {torch.float32: library.FloatTask, torch.float64: library.DoubleTask}
_NAMES = {torch.float32: "float32", torch.float64: "float64"}


def solve_loss(field: VectorField, layers: Layers, grid: Grid, initial: Tensor, loss: ExactLoss) -> Tensor:
    """Loss (member,) of the classical Runge-Kutta solve: that of `solve_nodes`, to rounding.

    Differentiable once in the layers and the initial state. The gradients are computed together with the loss, while
    what they need is in the processor's cache.

    Args:
        field: the vector field, that of `fields.make_field`: others are not known to the kernel.
        layers: its effective layers.
        grid: the nodes of the solve.
        initial: (member, row, state).
        loss: the loss of the node values.
    """
    tensors = (initial, layers.decay, layers.skip, *layers.weights, *layers.biases)
    computed: Tensor = _Loss.apply(field, layers.activation, layers.rows_last, (grid, loss), *tensors)
    return computed + loss.constant.sum(-1) / loss.scale


class Residuals(Protocol):
    """What rates at fixed states are compared with (see `training.matching.Matching`)."""

    @property
    def states(self) -> Tensor: ...  # noqa: D102

    @property
    def movement(self) -> Tensor: ...  # noqa: D102

    @property
    def weight(self) -> Tensor: ...  # noqa: D102

    @property
    def feature_weight(self) -> Tensor: ...  # noqa: D102

    @property
    def observed(self) -> Tensor | None: ...  # noqa: D102

    @property
    def nodes(self) -> Tensor | None: ...  # noqa: D102

    @property
    def quadrature(self) -> Tensor | None: ...  # noqa: D102

    @property
    def first(self) -> Tensor | None: ...  # noqa: D102

    @property
    def duration(self) -> Tensor | None: ...  # noqa: D102

    @property
    def steps(self) -> int: ...  # noqa: D102


def match_loss(field: VectorField, layers: Layers, residuals: Residuals) -> Tensor:
    """Loss (member,) of rates at fixed states: the weighted sum of squared residuals.

    Differentiable once in the layers.

    Args:
        field: the vector field, that of `fields.make_field`: others are not known to the kernel.
        layers: its effective layers.
        residuals: what rates are compared with.
    """
    tensors = (None, layers.decay, layers.skip, *layers.weights, *layers.biases)
    computed: Tensor = _Loss.apply(field, layers.activation, layers.rows_last, residuals, *tensors)
    return computed


class _Loss(torch.autograd.Function):
    """Losses of members, whose gradients are computed with them."""

    @staticmethod
    def forward(
        ctx: Any,
        field: VectorField,
        activation: str,
        rows_last: bool,
        compared: tuple[Grid, ExactLoss] | Residuals,
        *tensors: Tensor | None,
    ) -> Tensor:
        whole = [None if tensor is None else tensor.contiguous() for tensor in tensors]
        gradients = [None if tensor is None else torch.empty_like(tensor) for tensor in whole]
        weights = whole[3]
        assert weights is not None  # noqa: S101  a network has at least one layer
        losses = weights.new_empty(len(weights))
        call = _Call(weights.dtype)
        call.take_network(field, activation, rows_last, whole, gradients)
        call.task.loss = losses.data_ptr()
        if isinstance(compared, tuple):
            call.take_solve(*compared)
            call.run("solve", len(weights))
        else:
            call.take_residuals(compared)
            call.run("match", len(weights))
        ctx.gradients = gradients
        return losses

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        # Given away: of a gradient that is held here as well, a copy would be made.
        gradients, ctx.gradients = ctx.gradients, None
        if not bool((gradient == 1.0).all()):
            gradients = [None if own is None else own * gradient.view(-1, *[1] * (own.dim() - 1)) for own in gradients]
        return (None, None, None, None, *gradients)


class _Call:
    """One call of the kernel; holds on to the tensors that it is given pointers of."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.task = _TASKS[dtype]()
        self.precision = _NAMES[dtype]
        self.tensors: list[Tensor] = []

    def take_network(
        self,
        field: VectorField,
        activation: str,
        rows_last: bool,
        tensors: Sequence[Tensor | None],
        gradients: Sequence[Tensor | None],
    ) -> None:
        """The network, and where its gradients go: initial state, decay, skip, weights and biases."""
        task = self.task
        task.order, task.features, task.activation = field.order, field.features, _ACTIVATIONS[activation]
        task.targets = field.features if rows_last else 0
        task.widths[0] = field.inputs
        task.initial, task.decay, task.skip = map(self._pointer, tensors[:3])
        task.initial_gradient, task.decay_gradient, task.skip_gradient = map(self._pointer, gradients[:3])
        task.layers = count = (len(tensors) - 3) // 2
        for layer in range(count):
            weight, bias = 3 + layer, 3 + count + layer
            task.weights[layer], task.biases[layer] = self._pointer(tensors[weight]), self._pointer(tensors[bias])
            task.weights_gradient[layer] = self._pointer(gradients[weight])
            task.biases_gradient[layer] = self._pointer(gradients[bias])
            task.widths[layer + 1] = tensors[bias].shape[-1]  # type: ignore[union-attr]

    def take_solve(self, grid: Grid, loss: ExactLoss) -> None:
        """The grid and the loss of its node values."""
        task = self.task
        task.rows, task.intervals = len(grid.step), grid.intervals
        task.step = self._pointer(grid.step)
        grouped, members = loss.columns is not None, loss.constant.dim() > 1
        task.rank, task.factor_rows = loss.factor.shape[-2], loss.factor.shape[-3]
        task.groups, task.width = loss.feature_weight.shape if grouped else (1, loss.feature_weight.shape[-1])
        if members:
            task.factor_stride, task.projected_stride = loss.factor[0].numel(), loss.projected[0].numel()
        task.factor, task.projected = self._pointer(loss.factor), self._pointer(loss.projected)
        task.feature_weight, task.columns = self._pointer(loss.feature_weight), self._pointer(loss.columns)
        task.scale = float(loss.scale)

    def take_residuals(self, residuals: Residuals) -> None:
        """States, and what rates there are compared with."""
        task = self.task
        task.rows, task.residuals = len(residuals.states), len(residuals.movement)
        task.states, task.movement = self._pointer(residuals.states), self._pointer(residuals.movement)
        task.residual_weight = self._pointer(residuals.weight)
        task.weight_stride = len(residuals.movement) if len(residuals.weight) > 1 else 0
        task.feature_weight, task.observed = self._pointer(residuals.feature_weight), self._pointer(residuals.observed)
        if residuals.nodes is not None:
            task.nodes_of_step, task.steps = residuals.nodes.shape[1], residuals.steps
            task.nodes, task.quadrature = self._pointer(residuals.nodes), self._pointer(residuals.quadrature)
            task.first, task.duration = self._pointer(residuals.first), self._pointer(residuals.duration)

    def run(self, function: str, members: int) -> None:
        """Call the kernel, in as many threads as torch has and members give."""
        kernel = library.load(self.precision)
        assert kernel is not None  # noqa: S101  the caller has asked whether there is one
        task = ctypes.byref(self.task)
        size = getattr(kernel, f"{function}_bytes")(task)
        threads = min(torch.get_num_threads(), members)
        compute = getattr(kernel, function)

        def part(number: int) -> None:
            first, last = members * number // threads, members * (number + 1) // threads
            compute(task, _INTEGER(first), _INTEGER(last), _POINTER(thread_memory(size)))

        if threads == 1:
            part(0)
        else:
            list(thread_pool(threads).map(part, range(threads)))

    def _pointer(self, tensor: Tensor | None) -> int | None:
        if tensor is None:
            return None
        whole = tensor.contiguous()
        self.tensors.append(whole)
        return whole.data_ptr()


_INTEGER, _POINTER = ctypes.c_int64, ctypes.c_void_p
