"""Glycolysis of yeast in seven variables, which oscillates within about a minute.

The model of Ruoff et al. (Biophysical Chemistry 2003) with the parameters and the ranges of the starts of Daniels and
Nemenman (PLoS ONE 2015, doi 10.1371/journal.pone.0119821, the tables of the section on yeast glycolysis).
Concentrations are in mM and times in minutes. Of the true network in the code of NGM (Bellot et al., ICLR 2022), which
has this system too, two rows do not follow from its equations.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsenode.data.simulated.system import System
from sparsenode.data.trajectories import Floats

_START_RANGES = (
    (0.15, 1.60),
    (0.19, 2.16),
    (0.04, 0.20),
    (0.10, 0.35),
    (0.08, 0.30),
    (0.14, 2.67),
    (0.05, 0.10),
)


@dataclass(frozen=True)
class Glycolysis(System):
    """S1 glucose, S2 triose phosphates, S3 bisphosphoglycerate, S4 pyruvate, S5 NADH, S6 ATP, S7 pyruvate outside.

    The parameters have the names of the paper, except `influx` (its J0), `inhibition` (K1, the ATP at which half of the
    first step is inhibited), and the pools of all NAD and all adenosine phosphates, `nad` (N) and `adenosine` (A).
    """

    parameters: ClassVar[tuple[str, ...]] = (
        "influx", "k1", "k2", "k3", "k4", "k5", "k6", "k", "kappa", "q", "inhibition", "psi", "nad", "adenosine",
    )  # fmt: skip

    influx: float = 2.5
    k1: float = 100.0
    k2: float = 6.0
    k3: float = 16.0
    k4: float = 100.0
    k5: float = 1.28
    k6: float = 12.0
    k: float = 1.8
    kappa: float = 13.0
    q: float = 4.0
    inhibition: float = 0.52
    psi: float = 0.1
    nad: float = 1.0
    adenosine: float = 4.0

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the seven concentrations."""
        return tuple(f"S{number}" for number in range(1, 8))

    def rates(self, states: Floats) -> Floats:
        """dx/dt (…, variable) at `states` (…, variable)."""
        s1, s2, s3, s4, s5, s6, s7 = np.moveaxis(states, -1, 0)
        first = self.k1 * s1 * s6 / (1.0 + (s6 / self.inhibition) ** self.q)
        second = self.k2 * s2 * (self.nad - s5)
        third = self.k3 * s3 * (self.adenosine - s6)
        fourth = self.k4 * s4 * s5
        side = self.k6 * s2 * s5
        exchange = self.kappa * (s4 - s7)
        return np.stack(
            [
                self.influx - first,
                2.0 * first - second - side,
                second - third,
                third - fourth - exchange,
                second - fourth - side,
                -2.0 * first + 2.0 * third - self.k5 * s6,
                self.psi * exchange - self.k * s7,
            ],
            axis=-1,
        )

    def jacobian(self, states: Floats) -> Floats:
        """Derivatives of the rates (…, target, source) by the variables at `states` (…, variable)."""
        s1, s2, s3, s4, s5, s6, _ = np.moveaxis(states, -1, 0)
        power = (s6 / self.inhibition) ** self.q
        first_1 = self.k1 * s6 / (1.0 + power)
        first_6 = self.k1 * s1 * (1.0 + power * (1.0 - self.q)) / (1.0 + power) ** 2
        second_2, second_5 = self.k2 * (self.nad - s5), -self.k2 * s2
        third_3, third_6 = self.k3 * (self.adenosine - s6), -self.k3 * s3
        fourth_4, fourth_5 = self.k4 * s5, self.k4 * s4
        side_2, side_5 = self.k6 * s5, self.k6 * s2
        entries = {
            (0, 0): -first_1, (0, 5): -first_6,
            (1, 0): 2.0 * first_1, (1, 1): -second_2 - side_2, (1, 4): -second_5 - side_5, (1, 5): 2.0 * first_6,
            (2, 1): second_2, (2, 2): -third_3, (2, 4): second_5, (2, 5): -third_6,
            (3, 2): third_3, (3, 3): -fourth_4 - self.kappa, (3, 4): -fourth_5, (3, 5): third_6, (3, 6): self.kappa,
            (4, 1): second_2 - side_2, (4, 3): -fourth_4, (4, 4): second_5 - fourth_5 - side_5,
            (5, 0): -2.0 * first_1, (5, 2): 2.0 * third_3, (5, 5): -2.0 * first_6 + 2.0 * third_6 - self.k5,
            (6, 3): self.psi * self.kappa, (6, 6): -self.psi * self.kappa - self.k,
        }  # fmt: skip
        derivatives = np.zeros((*states.shape, 7))
        for (target, source), values in entries.items():
            derivatives[..., target, source] = values
        return derivatives

    def edges(self) -> NDArray[np.bool_]:
        """Which variable is in the rate of which, (source, target)."""
        sources = ((0, 5), (0, 1, 4, 5), (1, 2, 4, 5), (2, 3, 4, 5, 6), (1, 3, 4), (0, 2, 5), (3, 6))
        exists = np.zeros((7, 7), dtype=bool)
        for target, of_target in enumerate(sources):
            exists[list(of_target), target] = True
        # NADH is used up with S2 in one step and made in the other: at equal constants this cancels in S2's rate.
        exists[4, 1] = self.k2 != self.k6
        return exists

    def signs(self) -> Floats:
        """Signs (source, target) at states within the pools of NAD and adenosine phosphates.

        ATP both drives and inhibits the first step, so its effects on S1, S2 and itself have no sign, and S2 both makes
        and uses up NADH.
        """
        signs = np.zeros((7, 7))
        signs[4, 1] = np.sign(self.k2 - self.k6)
        for sign, pairs in (
            (1.0, ((0, 1), (1, 2), (5, 2), (2, 3), (6, 3), (2, 5), (3, 6))),
            (-1.0, ((0, 0), (1, 1), (2, 2), (4, 2), (3, 3), (4, 3), (5, 3), (3, 4), (4, 4), (0, 5), (6, 6))),
        ):
            for source, target in pairs:
                signs[source, target] = sign
        return signs

    def draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        """Uniform concentrations (trajectory, variable) from the published ranges."""
        low, high = np.transpose(_START_RANGES)
        return generator.uniform(low, high, (count, 7))
