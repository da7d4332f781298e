"""What data sources of benchmark systems share: their options, the simulation, noise, and what is left out of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sparsenode.data.simulated.distances import Simulation
from sparsenode.data.simulated.simulation import (
    check_provenance,
    make_trajectories,
    regular_times,
    solve_with_noise,
)
from sparsenode.data.simulated.source import SimulatedSource
from sparsenode.data.simulated.system import System
from sparsenode.data.solvable import SolvableSystem
from sparsenode.data.trajectories import Floats, RawTrajectories
from sparsenode.errors import UserError
from sparsenode.typed import read_settings

_MOST_EVALUATIONS = 200_000
_EVALUATIONS_OF_AN_OBSERVATION = 1_000  # a period takes a few thousand, and has several observations

Horizon = Annotated[
    float, Field(gt=0, description="Length of the interval that models are trained on, in the system's unit of time.")
]
Observations = Annotated[int, Field(ge=2, description="Observations within `horizon`, the one at time 0 not counted.")]
Density = Annotated[float, Field(ge=0, le=1, description="Probability that an ordered pair is coupled.")]
Range = Annotated[tuple[float, ...], Field(min_length=2, max_length=2)]
"""An option that is a range of numbers of any sign."""


@dataclass(frozen=True)
class Simulated:
    """States (trajectory, time, variable) at `times` (time,), and what the provenance is to tell of them."""

    states: Floats
    times: Floats
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class ScaledSystem(SolvableSystem):
    """A system for features in units of their `scale` (feature,); it has no noise in its dynamics."""

    parameters: ClassVar[tuple[str, ...]] = ()

    system: System
    scale: Floats

    def solve(self, initial_states: Floats, times: Floats, clamp: Mapping[int, float] | None = None) -> Floats:
        """States (trajectory, time, feature), for the arguments of `SolvableSystem.solve`.

        Raises:
            UserError: `clamp` names a feature that there is not, or one that is not a variable and cannot be held, or
                the system cannot be solved.
        """
        inner, scale = self.system, self.scale
        if clamp and inner.features != inner.variables:
            message = f"the features of {type(inner).__name__} are not its variables, so none can be held"
            raise UserError(message)
        # Numbers beyond the features go on as they are, to be refused by the system.
        held = {
            index: value * scale[index] if 0 <= index < len(scale) else value for index, value in (clamp or {}).items()
        }
        return inner.observe(inner.solve(inner.recover(initial_states * scale), times, held)) / scale

    def with_parameter(self, name: str, factor: float) -> Self:
        """The same with a parameter of its system multiplied, see `SolvableSystem.with_parameter`."""
        return replace(self, system=self.system.with_parameter(name, factor))


class BenchmarkSource(SimulatedSource):
    """A source of one of the benchmark systems, of the class `system_type`.

    What is its own is `make_system` and the length of its trajectories.
    """

    system_type: ClassVar[type[System]]
    time_unit: ClassVar[str] = "time unit"

    noise_unit: Literal["deviation", "system"] = Field(
        "deviation",
        description="`deviation`: the noise is a share of each feature's standard deviation over the training "
        "trajectories. `system`: it is in the system's own unit, the same for all features.",
    )
    process_step: float = Field(
        0.01, gt=0, description="Longest time step of a simulation with noise in its dynamics; without, it has none."
    )
    self_effects: bool = Field(
        True,
        description="Whether the truth tells which variables have an effect on themselves; without, these pairs are "
        "unknown.",
    )

    @abstractmethod
    def make_system(self, generator: np.random.Generator) -> System:
        """The system of the options, drawn with the generator where it is random.

        Raises:
            UserError: the options allow none.
        """

    def build_system(self) -> System:
        """The system with its changed parameters.

        Raises:
            UserError: the options allow none, or a parameter is unknown.
        """
        return self.change(self.make_system(self.generator_of(self.streams.system)))

    def variables(self) -> tuple[str, ...]:
        """Names of the features; it is called before each run, so a source whose system is drawn gives them without."""
        return self.make_system(self.generator_of(self.streams.system)).features

    def parameter_names(self) -> Sequence[str]:
        """Names of the parameters that `parameter_factors` can multiply."""
        return self.system_type.parameters

    def load(self, files: Mapping[str, Path]) -> RawTrajectories:  # noqa: ARG002  the same for every source
        """Simulated trajectories; the last `test_trajectories` are test data.

        Every feature is divided by its standard deviation over the training trajectories within `horizon`, where it
        has one.

        Raises:
            UserError: the options contradict one another, or the system cannot be solved.
        """
        self.refuse_contradictions()
        system = self.build_system()
        shown = self.observed(system.features)
        horizon, within_count = self.interval()
        simulated = self.simulate(system, regular_times(horizon, within_count, self.extrapolation_share))
        within = simulated.times <= horizon
        every = system.observe(simulated.states)
        features = every[..., shown]
        deviation = features[: self.training_trajectories, within].std(axis=(0, 1))
        scale = np.where(deviation > 0.0, deviation, 1.0)
        # Drawn for hidden features too, so that what is hidden leaves the noise of the others.
        noise = self.generator_of(self.streams.noise).standard_normal(every.shape)[..., shown] * self.noise
        in_unit = noise / scale if self.noise_unit == "system" else noise
        times = np.tile(simulated.times, (self.trajectories, 1))
        trajectories = make_trajectories(
            features,
            times,
            np.tile(within, (self.trajectories, 1)),
            scale,
            in_unit,
            training=self.training_trajectories,
        )
        truth, truth_known, signed = self._network(system, shown)
        simulation = Simulation(
            system=system,
            course=lambda solvable, first, at: self._course(solvable, first, at)[..., shown],
            starts=simulated.states[:, 0],
            training=self.training_trajectories,
            times=times[self.training_trajectories :, within],
            horizon=horizon,
            scale=scale,
            noise=self.noise / scale if self.noise_unit == "system" else np.full(len(scale), self.noise),
            first_noise=in_unit[:, 0],
        )
        thinned = (self.thin(index, entry) for index, entry in enumerate(trajectories))
        return RawTrajectories(
            kind="simulated",
            features=tuple(system.features[index] for index in shown),
            trajectories=(*thinned, *self.distant(simulation)),
            time_unit=self.time_unit,
            value_unit="standard deviation",
            scaling="training_deviation",
            truth=truth,
            truth_known=truth_known,
            truth_signed=signed,
            priors={name: network[np.ix_(shown, shown)] for name, network in system.published_truths().items()},
            is_regulator=np.ones(len(scale), dtype=bool),
            provenance={"system": self.name, **simulated.provenance},
        )

    def simulate(self, system: System, times: Floats) -> Simulated:
        """States at `times` (time,) after the burn-in, from drawn starts.

        Raises:
            UserError: the system cannot be solved up to the last time.
        """
        starts = self.spread(system.draw_starts(self.generator_of_starts(), self.trajectories))
        return Simulated(self.solve_from(system, starts, times), times, {})

    def generator_of_starts(self) -> np.random.Generator:
        """The source of randomness of the starts."""
        return self.generator_of(self.streams.start)

    def most_evaluations(self, times: Floats) -> int:
        """How many evaluations of the rates a solve up to the last of the `times` (time,) may take."""
        return max(_MOST_EVALUATIONS, _EVALUATIONS_OF_AN_OBSERVATION * len(times))

    def solve_from(self, system: System, starts: Floats, times: Floats) -> Floats:
        """States (trajectory, time, variable) at `times` (time,) after the burn-in, noise in the dynamics included."""
        later = self.burn_in + times
        limit = self.most_evaluations(times)
        if not self.process_noise and not system.diffusion(starts).any():
            return system.solve(starts, later, most_evaluations=limit)
        added = np.zeros(starts.shape[1])
        if self.process_noise:
            added = self.process_noise * system.solve(starts, later, most_evaluations=limit).std(axis=(0, 1))
        return solve_with_noise(
            system.rates,
            lambda states: np.hypot(system.diffusion(states), added),
            starts,
            later,
            step=self.process_step,
            generator=self.generator_of(self.streams.process),
            constrain=system.constrain,
            names=system.variables,
        )

    def _course(self, system: System, starts: Floats, times: Floats) -> Floats:
        """All features (trajectory, time, feature) of a system without noise in its dynamics, from `starts` on.

        `times` are (trajectory, time).
        """
        return system.observe(system.solve(starts, times, most_evaluations=self.most_evaluations(times[0])))

    def nearest_allowed(self, system: System, states: Floats) -> Floats:
        """The states (…, variable) nearest to `states` that the system can have."""
        return system.constrain(states)

    def _network(self, system: System, shown: NDArray[np.int64]) -> tuple[Floats, NDArray[np.bool_], bool]:
        """The true network of the observed features, where it is known, and whether all its edges have signs."""
        edges, signs = (matrix[np.ix_(shown, shown)] for matrix in (system.edges(), system.signs()))
        truth_known = np.ones(edges.shape, dtype=bool) if self.self_effects else ~np.eye(len(shown), dtype=bool)
        signed = bool((signs[edges & truth_known] != 0.0).all())
        return np.where(edges & truth_known, signs if signed else 1.0, 0.0), truth_known, signed

    def system_from_provenance(self, provenance: Mapping[str, Any]) -> ScaledSystem:
        """The system behind a dataset of this source, in the units of its values.

        Args:
            provenance: that of the dataset, and beside it the source's `options` and the trajectories' `scale`.

        Raises:
            UserError: the provenance is that of another source, or features are hidden, so that the observed ones do
                not tell how the system goes on.
        """
        needed = ("system", "options", "scale")
        check_provenance(needed, provenance, origin=f"the data source {self.name}", source=f"`source: {self.name}`")
        source = read_settings(type(self), provenance["options"], "options")
        source.refuse_hidden()
        return ScaledSystem(source.build_system(), np.asarray(provenance["scale"], dtype=np.float64)[0])


class TimedSource(BenchmarkSource):
    """A benchmark source whose length is given in the system's unit of time."""

    horizon: Horizon
    observations: Observations

    def interval(self) -> tuple[float, int]:
        """The `horizon`, and the number of observations within it, the one at time 0 not counted."""
        return self.horizon, self.observations
