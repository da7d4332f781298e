"""LassoNet: a linear skip decides which inputs a network may use (Lemhadri, Ruan, Abraham & Tibshirani, JMLR 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsenode.methods import Method

if TYPE_CHECKING:
    from torch import Tensor

FIRST_SHARE = 1e-3
"""Share of the strength that a member's path begins with."""


def edge_size(edges: Tensor, skip: Tensor | None) -> Tensor:
    """Euclidean norm (member, target, source) of each edge's linear weights (equation 2)."""
    del edges
    assert skip is not None  # noqa: S101  the method's networks have one
    return skip.square().sum(-1).sqrt()


def edge_proximal(
    edges: Tensor, skip: Tensor | None, threshold: Tensor, *, hierarchy: float = 10.0
) -> tuple[Tensor, Tensor | None]:
    """Hierarchical proximal step (algorithm 3, and its group form) of every edge.

    Shapes: `edges` (member, target, source, entry) the first layer's weights, `skip` (member, target, source, order)
    the linear ones, `threshold` (member, target, source). Gives the minimizer of half the squared distance to both
    plus threshold times the norm of the linear weights, subject to: no first-layer weight is larger than `hierarchy`
    times that norm.
    """
    import torch

    assert skip is not None  # noqa: S101  as above
    entries = edges.shape[-1]
    sizes = edges.abs().sort(dim=-1, descending=True).values
    # With the s largest entries bound by the constraint, the linear weights have the norm `candidate[s]`.
    total = torch.cat((torch.zeros_like(sizes[..., :1]), sizes.cumsum(-1)), dim=-1)
    bound = torch.arange(entries + 1, dtype=edges.dtype, device=edges.device)
    norm = edge_size(edges, skip).unsqueeze(-1)
    candidate = (norm - threshold.unsqueeze(-1) + hierarchy * total).clamp(min=0.0) / (1.0 + bound * hierarchy**2)
    # s is right where the largest entry that is not bound lies below the bound: the first such s.
    above = torch.cat((sizes, torch.zeros_like(sizes[..., :1])), dim=-1)
    first = (hierarchy * candidate >= above).to(torch.int8).argmax(-1, keepdim=True)
    length = candidate.gather(-1, first)
    largest = hierarchy * length
    # A linear weight of zero has no direction to grow in; any is as near.
    direction = torch.where(norm > 0, skip / torch.where(norm > 0, norm, 1.0), skip.shape[-1] ** -0.5)
    scaled = direction * length
    return torch.minimum(torch.maximum(edges, -largest), largest), scaled


def ramp(progress: float, *, hierarchy: float = 10.0) -> float:
    """Share of the strength while a `progress` (0 to 1) of the warm-up is over.

    A warm-started path from dense to sparse: the strength grows geometrically, as from one model of a path to the next.
    """
    del hierarchy
    return FIRST_SHARE ** (1.0 - min(progress, 1.0)) if progress > 0 else 0.0


def warm_up(*, hierarchy: float = 10.0) -> str:
    """The path itself."""
    del hierarchy
    return "which goes from dense to sparse during the warm-up"


METHOD = Method(
    "lassonet",
    "linear skip that bounds each edge's weights, proximal, one network per target",
    per_target=True,
    skip=True,
    edge_size=edge_size,
    edge_proximal=edge_proximal,
    ramp=ramp,
    warm_up=warm_up,
    options={
        "hierarchy": {
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 10.0,
            "description": "how many times larger than the linear weight of an edge its network weights may be; small "
            "values (1) come near to a linear model, large ones (10, as published) to a free network",
        }
    },
)
