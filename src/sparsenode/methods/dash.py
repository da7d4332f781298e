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
is magnitude pruning, strength 1 pruning by the prior only (their BioPrune).

On a biological network, the one of the published code, both branches are such chains, each pruned by itself, and the
size of a weight that leads onto a gene is |W| max(0, rate of the gene), as there. Three things are not followed:

- There the size of a weight into the product branch is exp(W). W is an exponent, and one of 0 does nothing: by exp(W)
  it stays longer than any negative one, a repressor, and small weights are all but alike. Here it is |W|.
- There each pruning sets the learning rate, which falls where validation no longer improves, to where it began (the
  fivefold one of the genes' rates then goes to the weights out of the product branch instead). Here it falls by the
  clock, or with `stop` after the last pruning only.
- There what leads onto the genes starts from orthogonal weights, here from few that are not zero, as in PHOENIX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from sparsenode.pruning import ScheduledPruner

if TYPE_CHECKING:
    from torch import Tensor

_SMALLEST = 1e-5
"""Singular values below this share of the largest are what rounding has left of single-precision weights."""


class PriorPruning(ScheduledPruner):
    """Prune what is small and what a prior network does not expect."""

    summary: ClassVar[str] = "weights pruned step by step, by their size and by a prior network"
    strength: ClassVar[str | None] = (
        "the weight of the prior in the score of a weight, beside its size: 0 prunes only by size (as imp), 1 only "
        "by the prior"
    )
    largest_strength: ClassVar[float] = 1.0
    whole_range: ClassVar[tuple[float, ...]] = (0.0, 0.25, 0.5, 0.75, 1.0)
    # Among equals the largest would be taken, and trust in the prior is what validation is asked about.
    sparsifies: ClassVar[bool] = False

    prior: str = Field(
        min_length=1,
        description="name of the prior network, one of the dataset's: NAME of its varp['prior_NAME']",
    )
    most: float = Field(
        1.0,
        ge=0,
        le=1,
        description="the largest share of each layer's weights that is pruned, at which the schedule stops; 1 "
        "follows it to its end. With one network per target, only weights from the sources are pruned",
    )

    def prior_name(self) -> str:
        """The prior that the options name."""
        return self.prior

    def scores(
        self, sizes: Sequence[Tensor], before: Sequence[Tensor], edges: Tensor | None, strength: float
    ) -> list[Tensor]:
        """Scores of each layer of a chain of one member, in the shape of its weights; larger ones stay.

        Args:
            sizes: those of the weights, (in, out), or (target, in, out) with one network per target.
            before: the scores of the pruning before.
            edges: those of the prior, (in, target) or (target, in, 1).
            strength: the prior's share in the scores.
        """
        import torch

        assert edges is not None  # noqa: S101  the method asks for one
        prior = edges.double().abs()
        layers: list[Tensor] = []
        reached: Tensor | None = None  # from each source to each unit; the sources themselves before the first layer
        for layer, (size, old) in enumerate(zip(sizes, before, strict=True)):
            expected = prior
            if layer < len(sizes) - 1:
                to_units = old.double() if reached is None else reached @ old.double()
                shared = prior.mT @ torch.linalg.pinv(to_units.mT, rtol=_SMALLEST)
                expected = prior @ shared
            if reached is not None:
                expected = torch.linalg.pinv(reached, rtol=_SMALLEST) @ expected
            score = strength * _shares(expected) + (1.0 - strength) * _shares(size.double())
            reached = score if reached is None else reached @ score
            layers.append(score.to(size.dtype))
        return layers

    def weights_left(self, size: int, strength: float, iterations: int) -> dict[int, int]:
        """Weights of a layer that the schedule leaves, by iteration; it ends where a share `most` is pruned."""
        del strength
        return self.left_by_schedule(size, self.most, iterations)


def _shares(values: Tensor) -> Tensor:
    """Absolute values, over their sum if there is any."""
    sizes = values.abs()
    total = sizes.sum()
    return sizes / total if total > 0 else sizes
