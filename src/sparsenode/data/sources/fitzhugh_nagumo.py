"""fitzhugh_nagumo: a network of spiking neurons, a voltage and a recovery variable each.

See `sparsenode.data.simulated.systems.fitzhugh_nagumo` for the equations.
"""

from typing import ClassVar

import numpy as np
from pydantic import Field

from sparsenode.data.simulated.benchmark import Density, Horizon, Observations, TimedSource
from sparsenode.data.simulated.system import System
from sparsenode.data.simulated.systems.fitzhugh_nagumo import FitzHughNagumo


class FitzHughNagumoSource(TimedSource):
    """Neurons on a random directed network."""

    system_type: ClassVar[type[System]] = FitzHughNagumo

    neurons: int = Field(10, ge=1, description="Number of neurons; each has two variables.")
    density: Density = 0.2
    coupling: float = Field(
        0.1, gt=0, description="Strength of all couplings; from about 1 on neurons that reach each other fire as one."
    )
    horizon: Horizon = 100.0
    observations: Observations = 200

    def variables(self) -> tuple[str, ...]:
        """Names of the features, without a draw of the system."""
        return FitzHughNagumo.names(self.neurons)

    def make_system(self, generator: np.random.Generator) -> FitzHughNagumo:
        """A drawn network."""
        return FitzHughNagumo.draw(generator, self.neurons, density=self.density, coupling=self.coupling)
