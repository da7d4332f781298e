"""FitzHugh and Nagumo's neurons on a directed network, a voltage and a recovery variable each.

dv_i/dt = v_i - v_i^3/3 - w_i + I + sum over j of G_ij (v_j - v_i); dw_i/dt = (v_i + a - b w_i) / tau (FitzHugh,
Biophysical Journal 1961, equations 1 and 2 with the sign of the voltage turned, and couplings through gap junctions).
At a = .7, b = .8, tau = 12.5 and I = .5 a single neuron fires again and again, some 40 units of time apart.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsenode.data.simulated.system import System, draw_couplings, number_names
from sparsenode.data.trajectories import Floats


@dataclass(frozen=True, eq=False)
class FitzHughNagumo(System):
    """Neurons with a `coupling` (target, source) of their voltages, not negative, and parameters that all share."""

    parameters: ClassVar[tuple[str, ...]] = ("coupling", "current", "a", "b", "tau")

    coupling: Floats
    current: float = 0.5
    a: float = 0.7
    b: float = 0.8
    tau: float = 12.5

    @classmethod
    def draw(
        cls, generator: np.random.Generator, neurons: int, *, density: float = 0.2, coupling: float = 0.1
    ) -> "FitzHughNagumo":
        """Draw a network.

        Args:
            generator: source of randomness.
            neurons: how many.
            density: probability that an ordered pair is coupled, from 0 to 1.
            coupling: strength of all couplings; from about 1 on, neurons that reach each other fire as one.
        """
        return cls(np.where(draw_couplings(generator, neurons, density), coupling, 0.0))

    @staticmethod
    def names(neurons: int) -> tuple[str, ...]:
        """Names of the voltages, then of the recovery variables, of a system of this size."""
        return number_names("v_", neurons) + number_names("w_", neurons)

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the voltages, then of the recovery variables."""
        return self.names(len(self.coupling))

    def rates(self, states: Floats) -> Floats:
        """dx/dt (…, variable) at `states` (…, variable)."""
        voltage, recovery = np.split(states, 2, axis=-1)
        received = voltage @ self.coupling.T - self.coupling.sum(axis=1) * voltage
        voltage_change = voltage - voltage**3 / 3.0 - recovery + self.current + received
        return np.concatenate([voltage_change, (voltage + self.a - self.b * recovery) / self.tau], axis=-1)

    def jacobian(self, states: Floats) -> Floats:
        """Derivatives of the rates (…, target, source) by the variables at `states` (…, variable)."""
        count = len(self.coupling)
        voltage, first, second = states[..., :count], np.arange(count), count + np.arange(count)
        derivatives = np.zeros((*states.shape, 2 * count))
        derivatives[..., :count, :count] = self.coupling
        derivatives[..., first, first] = 1.0 - voltage**2 - self.coupling.sum(axis=1)
        derivatives[..., first, second] = -1.0
        derivatives[..., second, first] = 1.0 / self.tau
        derivatives[..., second, second] = -self.b / self.tau
        return derivatives

    def edges(self) -> NDArray[np.bool_]:
        """Which variable is in the rate of which, (source, target); between neurons only voltages act on voltages."""
        diagonal, coupled = np.eye(len(self.coupling), dtype=bool), (self.coupling != 0.0).T
        return np.block([[coupled | diagonal, diagonal], [diagonal, diagonal & (self.b != 0.0)]])

    def signs(self) -> Floats:
        """Signs (source, target); a voltage drives itself where it is small only, so its effect on itself has none."""
        diagonal, coupled = np.eye(len(self.coupling)), np.sign(self.coupling).T
        return np.block([[coupled, np.sign(self.tau) * diagonal], [-diagonal, -np.sign(self.b * self.tau) * diagonal]])

    def draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        """Uniform voltages between -2 and 2 and recovery variables between -.5 and 1.5, (trajectory, variable)."""
        neurons = len(self.coupling)
        low, high = np.repeat([[-2.0, -0.5], [2.0, 1.5]], neurons, axis=1)
        return generator.uniform(low, high, (count, 2 * neurons))
