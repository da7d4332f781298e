"""Steps on whole edges: all weights of one network that a source feeds, as one group (one network per target).

A proximal step on a group is exact only if the optimizer moves all of the group by one step size. So Adam's second
moment is averaged over each edge: Adam with a block-diagonal metric, whose proximal operator has a closed form.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sparsenode.dynamics.network import Parameters
from sparsenode.training.adam import EPSILON, Adam


def gather_edges(weight: Tensor, order: int) -> Tensor:
    """Weights (member, target, order x source, unit) by edge: (member, target, source, order x unit)."""
    return weight.unflatten(2, (order, -1)).transpose(2, 3).flatten(3)


def scatter_edges(edges: Tensor, order: int) -> Tensor:
    """The inverse of `gather_edges`."""
    return edges.unflatten(3, (order, -1)).transpose(2, 3).flatten(2, 3)


def edge_tensors(parameters: Parameters) -> tuple[Tensor, ...]:
    """What leads from the sources: the first layer, and the skip if there is one."""
    return (parameters.weights[0], *parameters.skip)


def between_variables(targets: int, device: torch.device) -> Tensor:
    """Weights (target, source) of the edges in a penalty: 1, and 0 for what a variable does to itself."""
    return 1.0 - torch.eye(targets, device=device)


def move_edges(
    optimizer: Adam, tensors: Sequence[Tensor], before: Sequence[Tensor], order: int
) -> tuple[list[Tensor], Tensor]:
    """Take Adam's step again from the values `before` it, with one step size for each edge.

    Returns the moved tensors by edge, and the step sizes (member, target, source).
    """
    first, second = [], []
    for tensor in tensors:
        moments = optimizer.state[tensor]
        first.append(gather_edges(moments["exp_avg"], order) / optimizer.correction(tensor, 0))
        second.append(gather_edges(moments["exp_avg_sq"], order) / optimizer.correction(tensor, 1))
    mean = torch.cat(second, dim=-1).mean(-1)
    sizes = optimizer.rate(0) / (mean.sqrt_() + EPSILON)
    moved = [
        torch.addcmul(gather_edges(old, order), sizes.unsqueeze(-1), moment, value=-1.0)
        for old, moment in zip(before, first, strict=True)
    ]
    return moved, sizes
