"""Kuramoto's phase oscillators on a directed network, observed as the cosine and sine of each phase.

d theta_i/dt = omega_i + sum over j of K_ij sin(theta_j - theta_i) (Kuramoto, Lecture Notes in Physics 39, 1975; on
networks Rodrigues et al., Physics Reports 2016). Frequencies between 1 and 10, phases from the whole circle, couplings
of 1, and half of all pairs coupled are those of Kipf et al. (ICML 2018), where couplings go both ways; here they are
directed.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsenode.data.simulated.system import System, draw_couplings, number_names
from sparsenode.data.trajectories import Floats


@dataclass(frozen=True, eq=False)
class Kuramoto(System):
    """Oscillators with a `frequency` (oscillator,) in radians a unit of time and a `coupling` (target, source).

    Variables are phases in radians. Features are the cosines of all phases, then their sines: two belong to each
    oscillator. With c and s for them, dc_i/dt = -s_i r_i and ds_i/dt = c_i r_i, where r_i = omega_i +
    sum over j of K_ij (s_j c_i - c_j s_i); edges between features are those of these equations.
    """

    parameters: ClassVar[tuple[str, ...]] = ("frequency", "coupling")

    frequency: Floats
    coupling: Floats

    @classmethod
    def draw(
        cls,
        generator: np.random.Generator,
        oscillators: int,
        *,
        density: float = 0.5,
        coupling: float = 1.0,
        frequency: tuple[float, float] = (1.0, 10.0),
    ) -> "Kuramoto":
        """Draw a network and its frequencies.

        Args:
            generator: source of randomness.
            oscillators: how many.
            density: probability that an ordered pair is coupled, from 0 to 1.
            coupling: strength of all couplings.
            frequency: range of the frequencies.
        """
        coupled = draw_couplings(generator, oscillators, density)
        return cls(generator.uniform(*frequency, oscillators), np.where(coupled, coupling, 0.0))

    @staticmethod
    def names(oscillators: int) -> tuple[str, ...]:
        """Names of the cosines, then of the sines, of a system of this size."""
        return number_names("cos_", oscillators) + number_names("sin_", oscillators)

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the phases."""
        return number_names("phase_", len(self.frequency))

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the cosines, then of the sines."""
        return self.names(len(self.frequency))

    def observe(self, states: Floats) -> Floats:
        """Cosines, then sines (…, feature) of the phases (…, variable)."""
        return np.concatenate([np.cos(states), np.sin(states)], axis=-1)

    def recover(self, features: Floats) -> Floats:
        """Phases (…, variable) of cosines and sines (…, feature), which noise may have moved off the circle."""
        cosine, sine = np.split(features, 2, axis=-1)
        return np.arctan2(sine, cosine)

    def rates(self, states: Floats) -> Floats:
        """Change (…, variable) of the phases (…, variable)."""
        cosine, sine = np.cos(states), np.sin(states)
        # The sine of a difference is a sum of products, so no array is of pairs.
        return self.frequency + cosine * (sine @ self.coupling.T) - sine * (cosine @ self.coupling.T)

    def jacobian(self, states: Floats) -> Floats:
        """Derivatives of the rates (…, target, source) by the phases (…, variable)."""
        attraction = self.coupling * np.cos(states[..., None, :] - states[..., :, None])
        diagonal = np.arange(len(self.frequency))
        attraction[..., diagonal, diagonal] -= attraction.sum(axis=-1)
        return attraction

    def edges(self) -> NDArray[np.bool_]:
        """Which feature is in the rate of which, (source, target).

        Both features of an oscillator act on both of each that it is coupled to. Of the same oscillator the cosine acts
        on the sine and back, and each on itself where the oscillator is coupled to another.
        """
        coupled = (self.coupling != 0.0).T
        any_source = np.diag(coupled.any(axis=0))
        return np.block(
            [
                [coupled | any_source, coupled | np.eye(len(coupled), dtype=bool)],
                [coupled | np.eye(len(coupled), dtype=bool), coupled | any_source],
            ]
        )

    def signs(self) -> Floats:
        """Zeros (feature, feature): on a circle every sign changes, except between two features of an uncoupled one."""
        free = np.diag((~(self.coupling != 0.0).any(axis=1)) * np.sign(self.frequency))
        none = np.zeros_like(free)
        return np.block([[none, free], [-free, none]])

    def draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        """Uniform phases (trajectory, variable) from the whole circle."""
        return generator.uniform(0.0, 2.0 * np.pi, (count, len(self.frequency)))
