"""DASH: pruning by what a prior network expects beside the size of weights (Hossain et al. 2024, arXiv 2403.04805).

A layer's score is `strength * expected + (1 - strength) * size`, with the sizes |W| of the weights, both relative to
their sum over the layer, so that a strength means the same at any width and on any prior. What is expected of a layer
follows from the prior A (source x target, absolute values) and the scores S of the other layers, at best as products of
scores reach from each source to each unit, Q_l = S_1...S_l:

- the last layer should lead on to the targets, Q_(L-1) S_L = A: expected is Q_(L-1)^+ A, with one layer A itself;
- before, sources should meet in a unit as far as they share targets, Q_l Q_l^T = A A^T: expected is
  Q_(l-1)^+ A A^T (Q_l^T)^+, in which Q_l holds the scores of the pruning before.

For two layers these are the published formulas; the published code has (arbitrary) units of its own for the expected
part, with a strength for each layer (.05 and .01), and starts from random scores where this starts from |W|. Strength 0
is magnitude pruning, strength 1 pruning by the prior alone (their BioPrune).

On a biological network, the one of the published code, both branches are such chains, each pruned by itself, and the
size of a weight that leads onto a gene is |W| max(0, rate of the gene), as there. Three things are not followed:

- There the size of a weight into the product branch is exp(W). W is an exponent, and one of 0 does nothing: by exp(W)
  it stays longer than any negative one, a repressor, and small weights are all but alike. Here it is |W|.
- There each pruning sets the learning rate, which falls where validation no longer improves, to where it began (the
  fivefold one of the genes' rates then goes to the weights out of the product branch instead). Here it falls by the
  clock, or with `stop` after the last pruning alone.
- There what leads onto the genes starts from orthogonal weights, here from few that are not zero, as in PHOENIX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sparsenode import pruning
from sparsenode.methods import Method

if TYPE_CHECKING:
    from torch import Tensor

_SMALLEST = 1e-5
"""Singular values below this share of the largest are what rounding has left of single-precision weights."""


def scores(
    sizes: Sequence[Tensor],
    before: Sequence[Tensor],
    edges: Tensor | None,
    strength: float,
    *,
    prior: str = "",
    most: float = 1.0,
    **schedule: Any,
) -> list[Tensor]:
    """Scores of each layer of a chain of one member, in the shape of its weights; larger ones stay.

    `sizes` are those of the weights, (in, out), or (target, in, out) with one network per target; `before` the scores
    of the pruning before; `edges` are those of the prior, (in, target) or (target, in, 1).
    """
    import torch

    del prior, most, schedule
    assert edges is not None  # noqa: S101  the method asks for one
    known = edges.double().abs()
    found: list[Tensor] = []
    reached: Tensor | None = None  # from each source to each unit; the sources themselves before the first layer
    for layer, (size, old) in enumerate(zip(sizes, before, strict=True)):
        expected = known
        if layer < len(sizes) - 1:
            to_units = old.double() if reached is None else reached @ old.double()
            shared = known.mT @ torch.linalg.pinv(to_units.mT, rtol=_SMALLEST)
            expected = known @ shared
        if reached is not None:
            expected = torch.linalg.pinv(reached, rtol=_SMALLEST) @ expected
        score = strength * _shares(expected) + (1.0 - strength) * _shares(size.double())
        reached = score if reached is None else reached @ score
        found.append(score.to(size.dtype))
    return found


def _shares(values: Tensor) -> Tensor:
    """Absolute values, over their sum if there is any."""
    sizes = values.abs()
    total = sizes.sum()
    return sizes / total if total > 0 else sizes


def weights_left(
    size: int, strength: float, iterations: int, *, prior: str = "", most: float = 1.0, **schedule: Any
) -> dict[int, int]:
    """Weights of a layer that the schedule leaves, by iteration; it ends where a share `most` is pruned."""
    del strength, prior
    return pruning.weights_left(size, most, iterations, **schedule)


METHOD = Method(
    "dash",
    "weights pruned step by step, by their size and by a prior network",
    strength="the weight of the prior in the score of a weight, beside its size: 0 prunes by size alone (as imp), 1 by "
    "the prior alone",
    largest_strength=1.0,
    # Among equals the largest would be taken, and trust in the prior is what validation is asked about.
    sparsifies=False,
    scores=scores,
    weights_left=weights_left,
    problem=pruning.schedule_problem,
    prior=True,
    options={
        "prior": {
            "type": "string",
            "minLength": 1,
            "description": "name of the prior network, one of the dataset's: NAME of its varp['prior_NAME']",
        },
        "most": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "default": 1.0,
            "description": "the largest share of each layer's weights that is pruned, at which the schedule stops; 1 "
            "for its end. With one network per target only of what leads from the sources",
        },
        **pruning.SCHEDULE,
    },
)
