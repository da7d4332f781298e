"""Levenberg-Marquardt refits of one-dimensional equations by the compiled kernel (see `inference.refits`)."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsenode.dynamics.fused import library
from sparsenode.dynamics.fused.threads import call_each, pointers_of

_Task = library.task_type(
    integers="windows steps inputs units most_steps tries calm",
    arrays="values lengths slope observed weight mask ridge parameters start squares curvature residual",
    numbers="tolerance first_damping least_damping slight_damping most_damping",
)


@dataclass(frozen=True, kw_only=True)
class Search:
    """How a refit goes on.

    `steps` at most; `tries` of a step, with more damping each time; `calm` steps in a row that lower the loss by less
    than `tolerance` end it. Damping begins at `first_damping`, is at least `least_damping` and at most `most_damping`;
    below `slight_damping` a step that promises less than `tolerance` is not tried.
    """

    steps: int
    tries: int
    calm: int
    tolerance: float
    first_damping: float
    least_damping: float
    slight_damping: float
    most_damping: float


@dataclass(frozen=True, kw_only=True)
class Data:
    """What networks are fitted to, float64.

    `values` (network, window, 2 * step + 1, input - 1), `lengths` (window, step), `slope` (network,), `observed` and
    `weight` (network, window, step + 1), `mask` (network, input), and the number of hidden `units`.
    """

    values: Tensor
    lengths: Tensor
    slope: Tensor
    observed: Tensor
    weight: Tensor
    mask: Tensor
    units: int


def is_available() -> bool:
    """Whether the kernel is here, or can be compiled."""
    return library.load("float64", "refit") is not None


def refit_networks(
    data: Data, parameters: Tensor, start: Tensor, ridge: Tensor, search: Search
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Refit networks, in as many threads as torch has.

    Args:
        data: what they are fitted to.
        parameters: to begin with, (network, parameter).
        start: states at the starts of the windows to begin with, (network, window).
        ridge: weights of the squared parameters, (network, parameter).
        search: how a refit goes on.

    Returns:
        Parameters, starts, sums of squared residuals (network,) and curvatures (network, parameter, parameter).
    """
    parameters, start = _copy(parameters), _copy(start)
    networks, size = parameters.shape
    squares, curvature = parameters.new_empty(networks), parameters.new_empty((networks, size, size))
    _call(
        "refit",
        data,
        {"parameters": parameters, "start": start, "ridge": ridge, "squares": squares, "curvature": curvature},
        most_steps=search.steps,
        **{name: value for name, value in vars(search).items() if name != "steps"},
    )
    return parameters, start, squares, curvature


def fit_network_starts(data: Data, parameters: Tensor, start: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Starts (network, window) that fit each window best, and the residuals with them (network, window, step + 1).

    Args:
        data: what they are fitted to.
        parameters: (network, parameter).
        start: to begin with, (network, window).
        steps: most steps.
    """
    start, residual = _copy(start), torch.empty_like(data.observed, memory_format=torch.contiguous_format)
    _call("fit_starts", data, {"parameters": parameters, "start": start, "residual": residual}, most_steps=steps)
    return start, residual


def _copy(tensor: Tensor) -> Tensor:
    """A copy that the kernel may write to."""
    return tensor.clone(memory_format=torch.contiguous_format)


def _call(function: str, data: Data, tensors: dict[str, Tensor], **numbers: float) -> None:
    kernel = library.load("float64", "refit")
    assert kernel is not None  # noqa: S101  the caller has asked whether there is one
    arrays = {name: value for name, value in vars(data).items() if name != "units"}
    pointers, _alive = pointers_of(arrays | tensors)
    networks, windows = data.observed.shape[:2]
    task = _Task(
        windows=windows,
        steps=data.lengths.shape[1],
        inputs=data.mask.shape[1],
        units=data.units,
        **pointers,
        **numbers,
    )
    call_each(getattr(kernel, function), task, networks, kernel.refit_bytes(ctypes.byref(task)))
