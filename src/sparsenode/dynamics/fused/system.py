"""Starts of whole systems that fit the observations of windows, by the compiled kernel (see `inference.systems`)."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsenode.dynamics.fused import library, refit
from sparsenode.dynamics.fused.threads import call_each, pointers_of

_Task = library.task_type(
    integers="windows steps variables inputs units most_steps",
    arrays="sources parameters slope lengths observed weight start path",
    numbers="farthest largest_change calm ridge",
)


@dataclass(frozen=True, kw_only=True)
class Networks:
    """One small network a variable, float64.

    `sources`: numbers of its inputs, itself first, (variable, input), int64; `parameters` (variable, parameter);
    `slope` (variable,); and the number of hidden `units`.
    """

    sources: Tensor
    parameters: Tensor
    slope: Tensor
    units: int


@dataclass(frozen=True, kw_only=True)
class Search:
    """How starts are sought.

    `steps` at most, none of which moves a start by more than `largest_change`; a window ends where its error falls by
    less than the share `calm`; a path `farthest` from the mean has left the data; `ridge` is added to the normal
    matrix.
    """

    steps: int
    farthest: float
    largest_change: float
    calm: float
    ridge: float


def is_available() -> bool:
    """Whether the kernel is here, or can be compiled; it goes with that of refits, so that one warning is enough."""
    return refit.is_available() and library.load("float64", "system") is not None


def fit_starts(
    networks: Networks, start: Tensor, observed: Tensor, weight: Tensor, lengths: Tensor, search: Search
) -> tuple[Tensor, Tensor]:
    """Starts that fit each window's observations best, and the paths from them, in as many threads as torch has.

    Args:
        networks: of the variables.
        start: to begin with, (window, variable).
        observed: (window, node, variable).
        weight: 1 or 0, (window, node, variable).
        lengths: of the steps, (window, step).
        search: how starts are sought.

    Returns:
        Starts (window, variable), and paths on half steps, (window, 2 * step + 1, variable).
    """
    kernel = library.load("float64", "system")
    assert kernel is not None  # noqa: S101  the caller has asked whether there is one
    start = start.clone(memory_format=torch.contiguous_format)
    windows, variables = start.shape
    steps = lengths.shape[1]
    path = start.new_empty((windows, 2 * steps + 1, variables))
    pointers, _alive = pointers_of(
        {
            "sources": networks.sources,
            "parameters": networks.parameters,
            "slope": networks.slope,
            "lengths": lengths,
            "observed": observed,
            "weight": weight,
            "start": start,
            "path": path,
        }
    )
    task = _Task(
        windows=windows,
        steps=steps,
        variables=variables,
        inputs=networks.sources.shape[1],
        units=networks.units,
        most_steps=search.steps,
        **{name: value for name, value in vars(search).items() if name != "steps"},
        **pointers,
    )
    lanes = kernel.lanes()
    call_each(kernel.fit_block_starts, task, -(-windows // lanes), kernel.system_bytes(ctypes.byref(task)))
    return start, path
