"""Lotka and Volterra's prey and predators, several species of each, as GVAR simulates them.

dx_i/dt = alpha x_i - beta x_i (sum of its predators) - eta x_i^2 of the prey and
dy_j/dt = delta y_j (sum of its prey) - rho y_j of the predators (Marcinkevičs and Vogt, ICLR 2021, appendix). Prey and
predators are in groups of `partners` of each, and all of a group meet. Their experiments take ten of each in pairs,
alpha = rho = 1.1, beta = delta = .2, eta = 2.75e-5, and add normal noise of deviation .1 after each step of .01, at
which numbers below 0 become 0.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsenode.data.simulated.system import System, number_names
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError


@dataclass(frozen=True)
class LotkaVolterra(System):
    """As many prey as predators, `species` of each, in groups of `partners`; the parameters are those of the paper.

    `noise` is the standard deviation of what is added in a step of length `noise_step`; `lowest_start` and
    `highest_start` are the range of the numbers at time 0.

    Raises:
        UserError: the species do not make whole groups.
    """

    parameters: ClassVar[tuple[str, ...]] = ("alpha", "beta", "delta", "rho", "eta", "noise")

    species: int = 10
    partners: int = 2
    alpha: float = 1.1
    beta: float = 0.2
    delta: float = 0.2
    rho: float = 1.1
    eta: float = 2.75e-5
    noise: float = 0.0
    noise_step: float = 0.01
    lowest_start: float = 10.0
    highest_start: float = 100.0

    def __post_init__(self) -> None:
        if self.species < 1 or self.partners < 1 or self.species % self.partners:
            message = (
                f"the system LotkaVolterra has {self.species} prey with {self.partners} predators each; "
                "the first must be a multiple of the second, and both positive"
            )
            raise UserError(message)

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the prey, then of the predators."""
        return number_names("prey_", self.species) + number_names("predator_", self.species)

    def rates(self, states: Floats) -> Floats:
        """dx/dt (…, variable) at `states` (…, variable), numbers of animals."""
        prey, predators = np.split(states, 2, axis=-1)
        prey_change = prey * (self.alpha - self.beta * (predators @ self._meetings) - self.eta * prey)
        predator_change = predators * (self.delta * (prey @ self._meetings) - self.rho)
        return np.concatenate([prey_change, predator_change], axis=-1)

    def jacobian(self, states: Floats) -> Floats:
        """Derivatives of the rates (…, target, source) by the variables at `states` (…, variable)."""
        prey, predators = np.split(states, 2, axis=-1)
        derivatives = np.zeros((*states.shape, states.shape[-1]))
        first, second = np.arange(self.species), self.species + np.arange(self.species)
        derivatives[..., : self.species, self.species :] = -self.beta * prey[..., :, None] * self._meetings
        derivatives[..., self.species :, : self.species] = self.delta * predators[..., :, None] * self._meetings
        derivatives[..., first, first] = self.alpha - self.beta * (predators @ self._meetings) - 2.0 * self.eta * prey
        derivatives[..., second, second] = self.delta * (prey @ self._meetings) - self.rho
        return derivatives

    def edges(self) -> NDArray[np.bool_]:
        """Which species is in the rate of which, (source, target): the other kind of its group, and itself."""
        meetings, itself = self._meetings != 0.0, np.eye(self.species, dtype=bool)
        return np.block([[itself, meetings], [meetings, itself]])

    def signs(self) -> Floats:
        """1 from prey to predator and -1 back (source, target); effects on itself change their sign with the state."""
        none = np.zeros_like(self._meetings)
        return np.block([[none, self._meetings], [-self._meetings, none]])

    def draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        """Uniform numbers (trajectory, variable) between `lowest_start` and `highest_start`, all species alike."""
        return generator.uniform(self.lowest_start, self.highest_start, (count, 2 * self.species))

    def diffusion(self, states: Floats) -> Floats:
        """The same standard deviation (…, variable) for every species, per square root of time."""
        return np.full_like(states, self.noise / np.sqrt(self.noise_step))

    def constrain(self, states: Floats) -> Floats:
        """Numbers (…, variable) of which those below 0 are 0."""
        return np.maximum(states, 0.0)

    @property
    def _meetings(self) -> Floats:
        """1 where prey and predator meet, (prey, predator); symmetric."""
        group = np.arange(self.species) // self.partners
        return (group[:, None] == group).astype(np.float64)
