"""glycolysis: the oscillating glycolysis of yeast, in seven variables.

Starts are drawn from the published ranges (Daniels and Nemenman, PLoS ONE 2015). Its parameters can be changed by
`parameter_factors`. See `sparsenode.data.simulated.systems.glycolysis` for the equations.
"""

from typing import ClassVar

import numpy as np

from sparsenode.data.simulated.benchmark import Horizon, Observations, TimedSource
from sparsenode.data.simulated.system import System
from sparsenode.data.simulated.systems.glycolysis import Glycolysis


class GlycolysisSource(TimedSource):
    """Seven concentrations."""

    system_type: ClassVar[type[System]] = Glycolysis
    time_unit: ClassVar[str] = "minute"

    horizon: Horizon = 5.0
    observations: Observations = 100

    def make_system(self, generator: np.random.Generator) -> Glycolysis:  # noqa: ARG002  nothing of it is random
        """The published system."""
        return Glycolysis()
