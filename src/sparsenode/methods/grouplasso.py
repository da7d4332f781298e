"""Group lasso on edges, one network per target (neural graphical modelling, Bellot et al. 2022, arXiv 2105.02522)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsenode.methods import Method

if TYPE_CHECKING:
    from torch import Tensor


def edge_size(edges: Tensor, skip: Tensor | None) -> Tensor:
    """Euclidean norm (member, target, source) of the first-layer weights of each edge (their equation 6)."""
    del skip
    return edges.square().sum(-1).sqrt()


def edge_proximal(
    edges: Tensor,
    skip: Tensor | None,
    threshold: Tensor,
    *,
    adaptive: float = 0.0,
    stages: int = 1,
    lasso_first: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Shorten each edge (member, target, source, entry) by its threshold (member, target, source), down to zero."""
    del adaptive, stages, lasso_first
    norm = edge_size(edges, None)
    shortened = (norm - threshold).clamp(min=0.0) / norm.clamp(min=1e-30)
    return edges * shortened.unsqueeze(-1), skip


def edge_weights(size: Tensor, *, adaptive: float = 0.0, stages: int = 1, lasso_first: bool = False) -> Tensor | None:
    """Weights (member, target, source) of the edges in the penalty, from their norms after training without it.

    The adaptive group lasso (their equation 7): the norm relative to the mean over a target's edges from others, to the
    power of minus `adaptive`. 0 weighs all edges alike; 1 to 2 spares the strong ones, whose shrinkage is the bias of
    the lasso.
    """
    import torch

    del stages, lasso_first
    if adaptive == 0:
        return None
    others = 1.0 - torch.eye(size.shape[-1], dtype=size.dtype, device=size.device)
    mean = (size * others).sum(-1, keepdim=True) / others.sum(-1, keepdim=True).clamp(min=1.0)
    relative = size / mean.clamp(min=1e-30)
    return relative.clamp(min=1e-3) ** -adaptive


def ramp(progress: float, *, adaptive: float = 0.0, stages: int = 1, lasso_first: bool = False) -> float:
    """Share of the strength while a `progress` (0 to 1) of the warm-up is over.

    None before norms are known, unless the plain group lasso gives them.
    """
    del stages
    return float(progress >= 1.0) if adaptive and not lasso_first else progress


def warm_up(*, adaptive: float = 0.0, stages: int = 1, lasso_first: bool = False) -> str | None:
    """The adaptive variant: without one the weights would be those of random first-layer weights."""
    del stages, lasso_first
    return "which weighs edges by what it learns during the warm-up" if adaptive else None


METHOD = Method(
    "grouplasso",
    "norm of each edge's weights, proximal, one network per target",
    per_target=True,
    edge_size=edge_size,
    edge_proximal=edge_proximal,
    edge_weights=edge_weights,
    ramp=ramp,
    warm_up=warm_up,
    options={
        "adaptive": {
            "type": "number",
            "minimum": 0,
            "default": 0.0,
            "description": "exponent of the adaptive variant, which learns without a penalty during the warm-up and "
            "then penalizes each edge by its norm to the power of minus this; 0 for the plain group lasso",
        },
        "stages": {
            "type": "integer",
            "minimum": 1,
            "default": 1,
            "description": "of the adaptive variant, how often edges are weighed: after the warm-up, and again by what "
            "the penalty has left of them (Buhlmann and Meier 2008); 2 to 4 empty weak edges for good",
        },
        "lasso_first": {
            "type": "boolean",
            "default": False,
            "description": "of the adaptive variant, whether the penalty ramps in during the warm-up already, so that "
            "edges are first weighed by what the plain group lasso gives; for many variables, where a fit without any "
            "penalty says little",
        },
    },
)
