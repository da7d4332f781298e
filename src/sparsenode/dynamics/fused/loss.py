"""The loss of a Runge-Kutta solve by the compiled kernel, as one node of the graph."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch
from torch import Tensor

from sparsenode.dynamics.fields import PERCEPTRON, VectorField
from sparsenode.dynamics.fused import library
from sparsenode.dynamics.mlp import Layers
from sparsenode.dynamics.solvers import ExactLoss, Grid

_ACTIVATIONS = {"elu": 0, "tanh": 1, "softplus": 2}
_TASKS = {torch.float32: library.FloatTask, torch.float64: library.DoubleTask}
_NAMES = {torch.float32: "float32", torch.float64: "float64"}


def takes(field: VectorField, layers: Layers) -> bool:
    """Whether the kernel knows such a network: a perceptron of up to eight hidden layers, on the CPU."""
    weight = layers.weights[0]
    is_known = field.form is PERCEPTRON and len(layers.weights) <= library.MOST_LAYERS
    return is_known and weight.device.type == "cpu" and weight.dtype in _TASKS


def solve_loss(field: VectorField, layers: Layers, grid: Grid, initial: Tensor, loss: ExactLoss) -> Tensor:
    """Loss (member,) of the classical Runge-Kutta solve: that of `solve_nodes`, to rounding.

    Differentiable once in the layers and the initial state. The gradients are computed together with the loss, while
    what they need is in the processor's cache.

    Args:
        field: the vector field, of those that `takes` accepts.
        layers: its effective layers.
        grid: the nodes of the solve.
        initial: (member, row, state).
        loss: the loss of the node values.
    """
    tensors = (initial, layers.decay, layers.skip, *layers.weights, *layers.biases)
    computed: Tensor = _SolveLoss.apply(field, layers.activation, layers.rows_last, grid, loss, *tensors)
    return computed + loss.constant.sum(-1) / loss.scale


class _SolveLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        field: VectorField,
        activation: str,
        rows_last: bool,
        grid: Grid,
        loss: ExactLoss,
        *tensors: Tensor | None,
    ) -> Tensor:
        whole = [None if tensor is None else tensor.contiguous() for tensor in tensors]
        gradients = [None if tensor is None else torch.empty_like(tensor) for tensor in whole]
        initial = whole[0]
        assert initial is not None  # noqa: S101  the first of the tensors is the initial state
        values = initial.new_empty(len(initial))
        call = _Call(initial.dtype)
        call.describe(field, activation, rows_last, grid)
        call.take_network(whole, gradients)
        call.take_loss(loss)
        call.task.loss = values.data_ptr()
        call.run("solve", len(initial))
        ctx.gradients = gradients
        return values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        gradients = ctx.gradients
        if not bool((gradient == 1.0).all()):
            gradients = [None if own is None else own * gradient.view(-1, *[1] * (own.dim() - 1)) for own in gradients]
        return (None, None, None, None, None, *gradients)


class _Call:
    """One call of the kernel; holds on to the tensors that it is given pointers of."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.task = _TASKS[dtype]()
        self.precision = _NAMES[dtype]
        self.tensors: list[Tensor] = []

    def describe(self, field: VectorField, activation: str, rows_last: bool, grid: Grid) -> None:
        task = self.task
        task.order, task.features, task.activation = field.order, field.features, _ACTIVATIONS[activation]
        task.targets = field.features if rows_last else 0
        task.rows, task.intervals = len(grid.step), grid.intervals
        task.step = self._pointer(grid.step)

    def take_network(self, tensors: Sequence[Tensor | None], gradients: Sequence[Tensor | None]) -> None:
        task = self.task
        task.initial, task.decay, task.skip = map(self._pointer, tensors[:3])
        task.initial_gradient, task.decay_gradient, task.skip_gradient = map(self._pointer, gradients[:3])
        task.layers = count = (len(tensors) - 3) // 2
        task.widths[0] = tensors[0].shape[-1]  # type: ignore[union-attr]
        for layer in range(count):
            weight, bias = 3 + layer, 3 + count + layer
            task.weights[layer], task.biases[layer] = self._pointer(tensors[weight]), self._pointer(tensors[bias])
            task.weights_gradient[layer] = self._pointer(gradients[weight])
            task.biases_gradient[layer] = self._pointer(gradients[bias])
            task.widths[layer + 1] = tensors[bias].shape[-1]  # type: ignore[union-attr]

    def take_loss(self, loss: ExactLoss) -> None:
        task = self.task
        grouped, members = loss.columns is not None, loss.constant.dim() > 1
        task.rank, task.factor_rows = loss.factor.shape[-2], loss.factor.shape[-3]
        task.groups, task.width = loss.feature_weight.shape if grouped else (1, loss.feature_weight.shape[-1])
        if members:
            task.factor_stride, task.projected_stride = loss.factor[0].numel(), loss.projected[0].numel()
        task.factor, task.projected = self._pointer(loss.factor), self._pointer(loss.projected)
        task.feature_weight, task.columns = self._pointer(loss.feature_weight), self._pointer(loss.columns)
        task.scale = float(loss.scale)

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
            compute(task, _INTEGER(first), _INTEGER(last), _POINTER(_memory(number, size)))

        if threads == 1:
            part(0)
        else:
            list(_pool(threads).map(part, range(threads)))

    def _pointer(self, tensor: Tensor | None) -> int | None:
        if tensor is None:
            return None
        whole = tensor.contiguous()
        self.tensors.append(whole)
        return whole.data_ptr()


_INTEGER, _POINTER = ctypes.c_int64, ctypes.c_void_p


_MEMORY: dict[int, Tensor] = {}


def _memory(number: int, size: int) -> int:
    """Address of so many bytes for a thread, aligned to 64: the same at each call, since fresh pages are slow."""
    if number not in _MEMORY or len(_MEMORY[number]) < size + 64:
        _MEMORY[number] = torch.empty(size + 64, dtype=torch.uint8)
    return -(-_MEMORY[number].data_ptr() // 64) * 64


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="sparsenode-kernel")
