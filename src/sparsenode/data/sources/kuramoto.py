"""kuramoto: a network of phase oscillators, observed as the cosine and sine of each phase.

See `sparsenode.data.simulated.systems.kuramoto` for the equations and for the edges between features.
"""

from typing import ClassVar

import numpy as np
from pydantic import Field

from sparsenode.data.simulated.benchmark import Density, Horizon, Observations, Range, TimedSource
from sparsenode.data.simulated.system import System
from sparsenode.data.simulated.systems.kuramoto import Kuramoto


class KuramotoSource(TimedSource):
    """Oscillators on a random directed network."""

    system_type: ClassVar[type[System]] = Kuramoto

    oscillators: int = Field(10, ge=1, description="Number of oscillators; each has two features.")
    density: Density = 0.2
    coupling: float = Field(1.0, description="Strength of all couplings.")
    frequency: Range = Field((1.0, 10.0), description="Range of the frequencies, in radians per unit of time.")
    horizon: Horizon = 5.0
    observations: Observations = 50

    def check(self) -> list[str]:
        """Options that contradict each other, each as `option: found; allowed`."""
        problems = super().check()
        if self.frequency[0] > self.frequency[1]:
            problems.append(f"frequency: found {list(self.frequency)}; allowed: the first not above the second")
        return problems

    def variables(self) -> tuple[str, ...]:
        """Names of the features, without a draw of the system."""
        return Kuramoto.names(self.oscillators)

    def make_system(self, generator: np.random.Generator) -> Kuramoto:
        """A drawn network."""
        low, high = self.frequency
        return Kuramoto.draw(
            generator, self.oscillators, density=self.density, coupling=self.coupling, frequency=(low, high)
        )
