"""rossler: a chain of variables between the ends of Rössler's system, as NGM simulates it.

The defaults are the protocol of NGM (Bellot et al., ICLR 2022): ten variables, one series of 1,000 observations .1
apart without noise, and one more for testing. The truth that its code scores against, which has an effect of the first
variable on itself at a = 0 too, is the prior network `ngm`. See `sparsenode.data.simulated.systems.rossler` for the
equations.
"""

from typing import ClassVar

import numpy as np
from pydantic import Field

from sparsenode.data.simulated.benchmark import Horizon, Observations, TimedSource
from sparsenode.data.simulated.source import TestTrajectories, Trajectories
from sparsenode.data.simulated.system import System
from sparsenode.data.simulated.systems.rossler import Rossler


class RosslerSource(TimedSource):
    """A chain of variables."""

    system_type: ClassVar[type[System]] = Rossler
    priors: ClassVar[tuple[str, ...] | None] = ("ngm",)

    nodes: int = Field(10, ge=3, description="Number of variables.")
    a: float = Field(0.0, description="Growth of the first variable by itself.")
    epsilon: float = Field(0.1, description="Constant growth of the last variable.")
    b: float = Field(4.0, gt=0, description="How fast the last variable follows the one before it.")
    d: float = Field(2.0, description="Value of the one before it from which on the last variable grows.")
    trajectories: Trajectories = 2
    test_trajectories: TestTrajectories = 1
    horizon: Horizon = 100.0
    observations: Observations = 1000

    def make_system(self, generator: np.random.Generator) -> Rossler:  # noqa: ARG002  nothing of it is random
        """The chain."""
        return Rossler(self.nodes, self.a, self.epsilon, self.b, self.d)
