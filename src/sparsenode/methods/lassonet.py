"""LassoNet: a linear skip decides which inputs a network may use (Lemhadri, Ruan, Abraham & Tibshirani, JMLR 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from sparsenode.methods import EdgeProximal

if TYPE_CHECKING:
    from torch import Tensor

FIRST_SHARE = 1e-3
"""Share of the strength that a member's path begins with."""


class LassoNet(EdgeProximal):
    """Shorten the linear weights of an edge, which bound what its network weights may be."""

    summary: ClassVar[str] = "linear skip that bounds each edge's weights, proximal, one network per target"
    skip: ClassVar[bool] = True

    hierarchy: float = Field(
        10.0,
        gt=0,
        description="how many times larger than the linear weight of an edge its network weights may be; small "
        "values (1) come near to a linear model, large ones (10, as published) to a free network",
    )

    def edge_size(self, edges: Tensor, skip: Tensor | None) -> Tensor:
        """Euclidean norm (member, target, source) of each edge's linear weights (equation 2)."""
        del edges
        assert skip is not None  # noqa: S101  the method's networks have one
        return skip.square().sum(-1).sqrt()

    def proximal(self, edges: Tensor, skip: Tensor | None, threshold: Tensor) -> tuple[Tensor, Tensor | None]:
        """Hierarchical proximal step (algorithm 3, and its group form) of every edge.

        Args:
            edges: first-layer weights (member, target, source, weight).
            skip: linear weights (member, target, source, order).
            threshold: (member, target, source).

        Returns:
            The minimizer of half the squared distance to both plus threshold times the norm of the linear weights,
            subject to: no first-layer weight is larger than `hierarchy` times that norm.
        """
        import torch

        assert skip is not None  # noqa: S101  as above
        weights = edges.shape[-1]
        sizes = edges.abs().sort(dim=-1, descending=True).values
        # With the s largest weights bound by the constraint, the linear weights have the norm `candidate[s]`.
        total = torch.cat((torch.zeros_like(sizes[..., :1]), sizes.cumsum(-1)), dim=-1)
        bound = torch.arange(weights + 1, dtype=edges.dtype, device=edges.device)
        norm = self.edge_size(edges, skip).unsqueeze(-1)
        candidate = (norm - threshold.unsqueeze(-1) + self.hierarchy * total).clamp(min=0.0) / (
            1.0 + bound * self.hierarchy**2
        )
        # s is right where the largest weight that is not bound is below the bound: the first such s.
        above = torch.cat((sizes, torch.zeros_like(sizes[..., :1])), dim=-1)
        first = (self.hierarchy * candidate >= above).to(torch.int8).argmax(-1, keepdim=True)
        length = candidate.gather(-1, first)
        largest = self.hierarchy * length
        # A linear weight of zero has no direction to grow in; any is as near.
        direction = torch.where(norm > 0, skip / torch.where(norm > 0, norm, 1.0), skip.shape[-1] ** -0.5)
        scaled = direction * length
        return torch.minimum(torch.maximum(edges, -largest), largest), scaled

    def ramp(self, progress: float) -> float:
        """A warm-started path from dense to sparse: the strength grows geometrically over the warm-up.

        So it does from one model of a published path to the next.
        """
        return FIRST_SHARE ** (1.0 - min(progress, 1.0)) if progress > 0 else 0.0

    def why_warm_up(self) -> str:
        """The path itself."""
        return "which goes from dense to sparse during the warm-up"
