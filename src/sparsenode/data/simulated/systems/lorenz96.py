"""Lorenz-96: a ring of variables, each driven by three others and itself.

dx_i/dt = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + F, indices around the ring (Lorenz, Predictability: a problem partly
solved, ECMWF 1996, equation 1). Starts are those of the code of NGM (Bellot et al., ICLR 2022) and CUTS (Cheng et al.,
ICLR 2023), which leave out the first 1,000 observations.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsenode.data.simulated.system import System, number_names
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError

_START_DEVIATION = 0.01
_FEWEST = 4


@dataclass(frozen=True)
class Lorenz96(System):
    """A ring of `size` variables under a constant `forcing`: chaotic from a forcing of about 5 on.

    Raises:
        UserError: the ring has fewer than four variables, so that two of an equation's terms would be the same.
    """

    parameters: ClassVar[tuple[str, ...]] = ("forcing",)

    size: int
    forcing: float

    def __post_init__(self) -> None:
        if self.size < _FEWEST:
            message = f"the system Lorenz96 has {self.size} variables; it needs {_FEWEST} or more"
            raise UserError(message)

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables, in the order of the ring."""
        return number_names("x", self.size)

    def rates(self, states: Floats) -> Floats:
        """dx/dt (…, variable) at `states` (…, variable)."""
        after, before, second_before = (np.roll(states, shift, axis=-1) for shift in (-1, 1, 2))
        return (after - second_before) * before - states + self.forcing

    def jacobian(self, states: Floats) -> Floats:
        """Derivatives of the rates (…, target, source) by the variables at `states` (…, variable)."""
        after, before, second_before = (np.roll(states, shift, axis=-1) for shift in (-1, 1, 2))
        target = np.arange(self.size)
        derivatives = np.zeros((*states.shape, self.size))
        derivatives[..., target, (target + 1) % self.size] = before
        derivatives[..., target, (target - 2) % self.size] = -before
        derivatives[..., target, (target - 1) % self.size] = after - second_before
        derivatives[..., target, target] = -1.0
        return derivatives

    def edges(self) -> NDArray[np.bool_]:
        """Which variable is in the rate of which, (source, target): the next, the two before, and itself."""
        target = np.arange(self.size)
        exists = np.zeros((self.size, self.size), dtype=bool)
        for shift in (-2, -1, 0, 1):
            exists[(target + shift) % self.size, target] = True
        return exists

    def signs(self) -> Floats:
        """-1 (source, target) for each variable's decay; the signs of all other edges change with the state."""
        return -np.eye(self.size)

    def draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        """Normal states (trajectory, variable) of mean 0 and deviation .01, some 10 units of time off the attractor."""
        return _START_DEVIATION * generator.standard_normal((count, self.size))
