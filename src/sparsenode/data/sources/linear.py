"""linear: a stable linear system of any size and density, solved exactly.

See `sparsenode.data.simulated.systems.linear`.
"""

from typing import ClassVar

import numpy as np
from pydantic import Field

from sparsenode.data.simulated.benchmark import Density, Horizon, Observations, TimedSource
from sparsenode.data.simulated.simulation import Interval
from sparsenode.data.simulated.system import System
from sparsenode.data.simulated.systems.linear import Linear


class LinearSource(TimedSource):
    """Random couplings of either sign, and one decay of all variables."""

    system_type: ClassVar[type[System]] = Linear

    nodes: int = Field(10, ge=1, description="Number of variables.")
    density: Density = 0.2
    strength: Interval = Field((0.5, 1.5), description="Range of the sizes of the couplings.")
    slowest_decay: float = Field(0.2, gt=0, description="Rate at which the slowest mode decays, per unit of time.")
    horizon: Horizon = 5.0
    observations: Observations = 50

    def check(self) -> list[str]:
        """Options that contradict each other, each as `option: found; allowed`."""
        problems = super().check()
        if self.strength[0] > self.strength[1]:
            problems.append(f"strength: found {list(self.strength)}; allowed: the first not above the second")
        return problems

    def variables(self) -> tuple[str, ...]:
        """Names of the features, without a draw of the system."""
        return Linear.names(self.nodes)

    def make_system(self, generator: np.random.Generator) -> Linear:
        """A drawn matrix."""
        low, high = self.strength
        return Linear.draw(
            generator, self.nodes, density=self.density, strength=(low, high), slowest_decay=self.slowest_decay
        )
