"""What every benchmark system has: rates, their Jacobian, the true network, starts and parameters."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsenode.data.simulated.simulation import solve_rates
from sparsenode.data.solvable import SolvableSystem
from sparsenode.data.trajectories import Floats


@dataclass(frozen=True)
class System(SolvableSystem):
    """Autonomous equations dx/dt = rates(x), what is known of their network, and how published studies start them.

    A variable is a number of the state, a feature is what is observed of it; most systems observe their variables as
    they are. All values are float64.
    """

    @property
    @abstractmethod
    def variables(self) -> tuple[str, ...]:
        """Names of the variables."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of what is observed."""
        return self.variables

    @abstractmethod
    def rates(self, states: Floats) -> Floats:
        """dx/dt (…, variable) at `states` (…, variable)."""

    @abstractmethod
    def jacobian(self, states: Floats) -> Floats:
        """Derivatives of the rates (…, target, source) by the variables at `states` (…, variable)."""

    @abstractmethod
    def edges(self) -> NDArray[np.bool_]:
        """Which feature is in the rate of which, (source, target), effects on itself included."""

    @abstractmethod
    def signs(self) -> Floats:
        """1 or -1 (source, target) where an edge has this sign at every state that the system reaches, otherwise 0."""

    @abstractmethod
    def draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        """States (trajectory, variable) at time 0, from the distribution of the published protocol."""

    @property
    def signed(self) -> bool:
        """Whether every edge has one sign at every state."""
        return bool((self.signs()[self.edges()] != 0.0).all())

    def truth(self) -> Floats:
        """The true network (source, target), 0 for no edge.

        An edge is 1 or -1, its sign, if the network is `signed`, and otherwise 1.
        """
        return np.where(self.edges(), self.signs() if self.signed else 1.0, 0.0)

    def published_truths(self) -> Mapping[str, Floats]:
        """Further networks (source, target) that studies score against, by name, where these are not the `truth`."""
        return {}

    def diffusion(self, states: Floats) -> Floats:
        """Standard deviation (…, variable) of the process noise, per square root of time; 0 without noise."""
        return np.zeros_like(states)

    def constrain(self, states: Floats) -> Floats:
        """The allowed states (…, variable) nearest to `states`, after a step with process noise."""
        return states

    def observe(self, states: Floats) -> Floats:
        """Features (…, feature) of `states` (…, variable)."""
        return states

    def recover(self, features: Floats) -> Floats:
        """States (…, variable) that are observed as `features` (…, feature)."""
        return features

    def solve(
        self,
        initial_states: Floats,
        times: Floats,
        clamp: Mapping[int, float] | None = None,
        most_evaluations: int | None = None,
    ) -> Floats:
        """States (trajectory, time, variable) without process noise.

        Args:
            initial_states: (trajectory, variable), at time 0.
            times: (time,) or (trajectory, time), none negative.
            clamp: values by number of the variable, which is held at them from time 0 on.
            most_evaluations: of the rates, as in `simulation.solve_rates`; None for its default.

        Raises:
            UserError: `clamp` names a variable that there is not, a state or value is not finite, or the system cannot
                be solved up to the last time.
        """
        return solve_rates(self.rates, initial_states, times, clamp, self.variables, most_evaluations)


def number_names(stem: str, count: int) -> tuple[str, ...]:
    """Names `stem` and a number from 1 on, all of one length."""
    width = len(str(count))
    return tuple(f"{stem}{index + 1:0{width}d}" for index in range(count))


def draw_couplings(generator: np.random.Generator, nodes: int, density: float) -> NDArray[np.bool_]:
    """A random directed graph (target, source): each ordered pair is coupled with the probability `density`."""
    return (generator.random((nodes, nodes)) < density) & ~np.eye(nodes, dtype=bool)
