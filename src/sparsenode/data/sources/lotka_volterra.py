"""lotka_volterra: prey and predators, several species of each, with noise in their numbers.

The defaults are the protocol of GVAR (Marcinkevičs and Vogt, ICLR 2021): ten prey and ten predators with two partners
each, noise of deviation .1 after each step of .01, one series of 2,000 observations .1 apart, and one more for testing.
See `sparsenode.data.simulated.systems.lotka_volterra` for the equations.
"""

from typing import ClassVar

import numpy as np
from pydantic import Field

from sparsenode.data.simulated.benchmark import Horizon, Observations, TimedSource
from sparsenode.data.simulated.source import TestTrajectories, Trajectories
from sparsenode.data.simulated.system import System
from sparsenode.data.simulated.systems.lotka_volterra import LotkaVolterra


class LotkaVolterraSource(TimedSource):
    """As many prey as predators, in groups that all meet."""

    system_type: ClassVar[type[System]] = LotkaVolterra

    species: int = Field(10, ge=1, description="Number of prey, and of predators.")
    partners: int = Field(2, ge=1, description="Predators of each prey, and prey of each predator.")
    alpha: float = Field(1.1, gt=0, description="Growth rate of the prey.")
    beta: float = Field(0.2, gt=0, description="Prey that a predator takes, per unit of time and prey.")
    delta: float = Field(0.2, gt=0, description="Growth of a predator by each of its prey.")
    rho: float = Field(1.1, gt=0, description="Death rate of the predators.")
    eta: float = Field(2.75e-5, ge=0, description="How much prey of one species hinder each other.")
    step_noise: float = Field(
        0.1, ge=0, description="Standard deviation of what is added to all numbers in .01 units of time; 0 for none."
    )
    lowest_start: float = Field(10.0, gt=0, description="Fewest animals of a species at the start.")
    highest_start: float = Field(100.0, gt=0, description="Most animals of a species at the start.")
    trajectories: Trajectories = 2
    test_trajectories: TestTrajectories = 1
    horizon: Horizon = 200.0
    observations: Observations = 2000

    def check(self) -> list[str]:
        """Options that contradict each other, each as `option: found; allowed`."""
        problems = super().check()
        if self.species % self.partners:
            problems.append(f"species: found {self.species}; allowed: a multiple of partners, {self.partners}")
        if self.lowest_start > self.highest_start:
            problems.append(f"lowest_start: found {self.lowest_start:g}; allowed: at most {self.highest_start:g}")
        return problems

    def noise_of_dynamics(self) -> str | None:
        """The option that gives the dynamics noise, None where they have none."""
        return "step_noise" if self.step_noise else super().noise_of_dynamics()

    def make_system(self, generator: np.random.Generator) -> LotkaVolterra:  # noqa: ARG002  nothing of it is random
        """The species."""
        return LotkaVolterra(
            species=self.species,
            partners=self.partners,
            alpha=self.alpha,
            beta=self.beta,
            delta=self.delta,
            rho=self.rho,
            eta=self.eta,
            noise=self.step_noise,
            lowest_start=self.lowest_start,
            highest_start=self.highest_start,
        )
