"""Training with the edges of a prior network only: every other edge is masked, and has exactly no influence."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sparsenode.methods import EdgeMask


class PriorMask(EdgeMask):
    """Mask all edges that a prior network does not have; what a variable does to itself stays free."""

    summary: ClassVar[str] = "only the edges of a prior network, all others exactly zero, one network per target"
    strength: ClassVar[str | None] = None

    prior: str = Field(
        min_length=1,
        description="name of the network whose edges are trained, one of the dataset's: NAME of its varp['prior_NAME']",
    )

    def prior_name(self) -> str:
        """The network that the options name."""
        return self.prior
