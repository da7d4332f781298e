"""lorenz96: Lorenz-96, a chaotic ring of variables each driven by three others.

The defaults are the protocol of CUTS (Cheng et al., ICLR 2023) and NGM (Bellot et al., ICLR 2022) without their noise
of .1: ten variables, a forcing of 10 and one series of 1,000 observations after 1,000 that are left out, and one more
for testing. See `sparsenode.data.simulated.systems.lorenz96` for the equations.
"""

from typing import ClassVar

import numpy as np
from pydantic import Field

from sparsenode.data.simulated.benchmark import Horizon, Observations, TimedSource
from sparsenode.data.simulated.source import BurnIn, TestTrajectories, Trajectories
from sparsenode.data.simulated.system import System
from sparsenode.data.simulated.systems.lorenz96 import Lorenz96


class Lorenz96Source(TimedSource):
    """A ring of variables under a constant forcing."""

    system_type: ClassVar[type[System]] = Lorenz96

    nodes: int = Field(10, ge=4, description="Number of variables.")
    forcing: float = Field(10.0, description="The constant F; from about 5 on the system is chaotic.")
    trajectories: Trajectories = 2
    test_trajectories: TestTrajectories = 1
    horizon: Horizon = 100.0
    observations: Observations = 1000
    burn_in: BurnIn = 100.0

    def make_system(self, generator: np.random.Generator) -> Lorenz96:  # noqa: ARG002  nothing of it is random
        """The ring."""
        return Lorenz96(self.nodes, self.forcing)
