"""dysts: a chaotic system of the package dysts, sampled by its period.

The defaults are the protocol of CausalDynamics "Simple" (Herdeanu et al., NeurIPS 2025): 100 observations a period over
ten periods, and starts that are a random share of the default one; its true network is the prior network
`causaldynamics`. Starts whose trajectories leave the attractor are drawn again, and the provenance tells how many as
`redraws`. The package is optional: pip install "sparsenode[benchmarks]". See
`sparsenode.data.simulated.systems.dysts` for which systems there are.
"""

from typing import ClassVar, cast

import numpy as np
from pydantic import Field

from sparsenode.data.simulated.benchmark import BenchmarkSource, Simulated
from sparsenode.data.simulated.source import TestTrajectories, Trajectories
from sparsenode.data.simulated.system import System
from sparsenode.data.simulated.systems.dysts import Dysts
from sparsenode.data.trajectories import Floats

_FEWEST = 2  # observations


class DystsSource(BenchmarkSource):
    """One system of dysts."""

    system_type: ClassVar[type[System]] = Dysts
    priors: ClassVar[tuple[str, ...] | None] = None

    system: str = Field("Lorenz", description="Name of the system in dysts.")
    points_per_period: float = Field(100.0, gt=0, description="Observations in a period.")
    periods: float = Field(10.0, gt=0, description="Length of the interval that models are trained on, in periods.")
    lyapunov_times: float | None = Field(
        None, gt=0, description="Its length in Lyapunov times, in place of `periods`; null for `periods`."
    )
    drive_noise: float = Field(
        0.0,
        ge=0,
        description="Noise in the dynamics as dysts has it: its standard deviation per square root of time, as a share "
        "of the size of each variable's default start.",
    )
    trajectories: Trajectories = 10
    test_trajectories: TestTrajectories = 2

    def check(self) -> list[str]:
        """Options that contradict each other, each as `option: found; allowed`."""
        problems = super().check()
        if self.test_spread != 1.0:
            problems.append(f"test_spread: found {self.test_spread:g}; allowed: 1, since starts are on the attractor")
        # An unknown system ends with its own message.
        horizon, observations = self.interval()
        if observations < _FEWEST:
            problems.append(
                f"points_per_period: found {self.points_per_period:g}, which makes {observations} observations in the "
                f"horizon of {horizon:.4g}; allowed: {_FEWEST} or more"
            )
        return problems

    def noise_of_dynamics(self) -> str | None:
        """The option that gives the dynamics noise, None where they have none."""
        return "drive_noise" if self.drive_noise else super().noise_of_dynamics()

    def parameter_names(self) -> tuple[str, ...]:
        """Names of the system's parameters in dysts."""
        return self._make().parameter_names

    def make_system(self, generator: np.random.Generator) -> Dysts:  # noqa: ARG002  nothing of it is random
        """The system of dysts."""
        return self._make()

    def _make(self) -> Dysts:
        return Dysts(self.system, noise=self.drive_noise)

    def interval(self) -> tuple[float, int]:
        """The horizon, and the number of observations within it, the one at time 0 not counted."""
        system = self._make()
        horizon = (
            self.periods * system.period if self.lyapunov_times is None else self.lyapunov_times * system.lyapunov_time
        )
        return horizon, round(self.points_per_period * horizon / system.period)

    def simulate(self, system: System, times: Floats) -> Simulated:
        """States at `times` (time,) after the burn-in, from starts whose trajectories stay on the attractor.

        Raises:
            UserError: a hundred draws in a row have left the attractor.
        """
        flow = cast(Dysts, system)
        starts, states, redraws = flow.draw_solved(
            self.generator_of_starts(), self.trajectories, self.burn_in + times, self.most_evaluations(times)
        )
        if self.process_noise or self.drive_noise:
            states = self.solve_from(system, starts, times)
        return Simulated(states, times, {"redraws": redraws, "period": flow.period})
