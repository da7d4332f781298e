"""Group lasso on edges, one network per target (neural graphical modelling, Bellot et al. 2022, arXiv 2105.02522)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from sparsenode.methods import EdgeProximal

if TYPE_CHECKING:
    from torch import Tensor


class GroupLasso(EdgeProximal):
    """Shorten the norm of all first-layer weights of an edge."""

    summary: ClassVar[str] = "norm of each edge's weights, proximal, one network per target"

    adaptive: float = Field(
        0.0,
        ge=0,
        description="exponent of the adaptive variant, which learns without a penalty during the warm-up and "
        "then penalizes each edge by its norm to the power of minus this; 0 for the plain group lasso",
    )
    stages: int = Field(
        1,
        ge=1,
        description="of the adaptive variant, how often edges are weighed: after the warm-up, and again by what "
        "the penalty has left of them (Buhlmann and Meier 2008); 2 to 4 empty weak edges for good",
    )
    lasso_first: bool = Field(
        False,
        description="of the adaptive variant, whether the penalty ramps in during the warm-up already, so that "
        "edges are first weighed by what the plain group lasso gives; for many variables, where a fit without any "
        "penalty says little",
    )

    def edge_size(self, edges: Tensor, skip: Tensor | None) -> Tensor:
        """Euclidean norm (member, target, source) of the first-layer weights of each edge (their equation 6)."""
        del skip
        return edges.square().sum(-1).sqrt()

    def proximal(self, edges: Tensor, skip: Tensor | None, threshold: Tensor) -> tuple[Tensor, Tensor | None]:
        """Shorten each edge (member, target, source, weight) by its threshold (member, target, source), or to zero."""
        norm = self.edge_size(edges, None)
        shortened = (norm - threshold).clamp(min=0.0) / norm.clamp(min=1e-30)
        return edges * shortened.unsqueeze(-1), skip

    def weighings(self) -> int:
        """As often as there are stages."""
        return self.stages

    def edge_weights(self, size: Tensor) -> Tensor | None:
        """Weights (member, target, source) of the edges in the penalty, from their norms after training without it.

        The adaptive group lasso (their equation 7): the norm relative to the mean over a target's edges from others, to
        the power of minus `adaptive`. 0 weighs all edges alike; 1 to 2 spares the strong ones, whose shrinkage is the
        bias of the lasso.
        """
        import torch

        if self.adaptive == 0:
            return None
        off_diagonal = 1.0 - torch.eye(size.shape[-1], dtype=size.dtype, device=size.device)
        mean = (size * off_diagonal).sum(-1, keepdim=True) / off_diagonal.sum(-1, keepdim=True).clamp(min=1.0)
        relative = size / mean.clamp(min=1e-30)
        return relative.clamp(min=1e-3) ** -self.adaptive

    def ramp(self, progress: float) -> float:
        """Of the adaptive variant none before norms are known, unless the plain group lasso gives them."""
        return float(progress >= 1.0) if self.adaptive and not self.lasso_first else progress

    def why_warm_up(self) -> str | None:
        """The adaptive variant: without one the weights would be those of random first-layer weights."""
        return "which weighs edges by what it learns during the warm-up" if self.adaptive else None
