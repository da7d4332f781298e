"""What all simulated sources share: options of observation and noise, what is hidden or left out, and starts."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sparsenode.data.contract import training_mask
from sparsenode.data.outline import Outline
from sparsenode.data.simulated.distances import DistanceSettings, Simulation, distant_trajectories
from sparsenode.data.simulated.simulation import make_trajectories, regular_times, solve_with_noise
from sparsenode.data.solvable import SolvableSystem
from sparsenode.data.source import SolvableSource
from sparsenode.data.trajectories import Floats, RawTrajectories, Trajectory
from sparsenode.errors import UserError, nearest_names

_FEWEST = 2  # observations of a training trajectory after the first
_NOISE_STEPS = 1000  # of a simulation with noise in its dynamics, at least
_OF_OBSERVATIONS = ("times", "values", "splits", "phases", "noise_free")


# Options whose defaults differ between sources.
Trajectories = Annotated[int, Field(ge=1, description="Trajectories, test ones included.")]
TestTrajectories = Annotated[int, Field(ge=0, description="How many are test data.")]
BurnIn = Annotated[
    float,
    Field(
        ge=0,
        description="Time that is simulated from the drawn start on before the first observation and left out, such as "
        "the way to an attractor.",
    ),
]


class Streams(NamedTuple):
    """Numbers of the streams of random numbers, each its own, so that one option leaves the draws of all others."""

    system: int = 0
    start: int = 1
    times: int = 2
    noise: int = 3
    process: int = 10
    share: int = 11
    missing: int = 12
    hidden: int = 13
    distances: int = 14


class SimulatedSource(SolvableSource):
    """A simulated system with an exact network; a source of it says how its trajectories are made.

    Test data are complete: observations and entries are left out of training data only, within the interval that models
    are trained on.
    """

    has_truth: ClassVar[bool] = True
    priors: ClassVar[tuple[str, ...] | None] = ()
    streams: ClassVar[Streams] = Streams()

    trajectories: Trajectories = 20
    test_trajectories: TestTrajectories = 4
    extrapolation_share: float = Field(
        0.5, ge=0, description="How much longer trajectories go on, as a share of `horizon`, to test extrapolation."
    )
    noise: float = Field(
        0.0,
        ge=0,
        description="Standard deviation of the observation noise, as a share of each variable's over the training "
        "trajectories.",
    )
    seed: int = Field(0, ge=0, description="Another seed is another system, where it is drawn, and other starts.")
    burn_in: BurnIn = 0.0
    process_noise: float = Field(
        0.0,
        ge=0,
        description="Standard deviation of the noise of the dynamics over one unit of time, as a share of each "
        "variable's without it.",
    )
    share_kept: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the observations of training trajectories within `horizon`, after the first, that is "
        "kept, drawn at random for each trajectory, so that times are irregular.",
    )
    missing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the single entries of training trajectories within `horizon`, after the first "
        "observation, that are missing at random.",
    )
    hidden: int | tuple[str, ...] = Field(
        0, description="Variables that are not observed: their names, or how many are drawn by the seed."
    )
    test_spread: float = Field(
        1.0,
        gt=0,
        description="How far test trajectories start from the mean of the training starts, 1 being as far as those.",
    )
    distances: DistanceSettings | None = Field(
        None,
        description="Further test sets at levels of distance from the training data, such as `{parameter: coupling}`: "
        "held-out times of the training trajectories, starts 1.5 and 2 times as far from the center, and the parameter "
        "halved and doubled. They take test trajectories, and dynamics without noise. null for none.",
    )

    @abstractmethod
    def variables(self) -> tuple[str, ...]:
        """Names of the variables that could be observed."""

    @abstractmethod
    def interval(self) -> tuple[float, int]:
        """The `horizon`, and the number of observations within it, the one at time 0 not counted."""

    @property
    def training_trajectories(self) -> int:
        """How many trajectories are training data; they are the first."""
        return self.trajectories - self.test_trajectories

    def check(self) -> list[str]:
        """Options that contradict each other, each as `option: found; allowed`."""
        problems = super().check()
        _, count = self.interval()
        if self.share_kept < 1.0 and round(self.share_kept * count) < _FEWEST:
            problems.append(
                f"share_kept: {self.share_kept:g} of {count} observations are fewer than {_FEWEST}; take a larger "
                "share or more observations"
            )
        if self.test_trajectories >= self.trajectories:
            allowed = f"fewer than trajectories, {self.trajectories}, so that one is left for training"
            return [*problems, f"test_trajectories: found {self.test_trajectories}; allowed: {allowed}"]
        problems += self._distance_problems()
        return [*problems, *(self._hidden_problems(self.variables()) if self.hidden else ())]

    def outline(self) -> Outline | None:
        """Names of the observed variables, and the size of the training data."""
        names = self.variables()
        horizon, count = self.interval()
        return Outline(
            features=tuple(names[index] for index in self.observed(names)),
            trajectories=self.training_trajectories,
            observations=max(1, round(self.share_kept * count)),
            duration=float(horizon),
        )

    def refuse_contradictions(self) -> None:
        """Check that the options do not contradict each other.

        Raises:
            UserError: lists what is wrong.
        """
        if problems := self.check():
            message = f"data source {self.name}: " + "; ".join(problems)
            raise UserError(message)

    def refuse_hidden(self) -> None:
        """Check that all variables are observed, as it takes to simulate the system again from observations.

        Raises:
            UserError: some are hidden.
        """
        if self.hidden:
            message = (
                f"data source {self.name}: the system cannot be simulated again from observations, since variables are "
                "hidden; set hidden to 0 or leave out `interventions`"
            )
            raise UserError(message)

    def generator_of(self, stream: int, *numbers: int) -> np.random.Generator:
        """The source of randomness of a stream, and of numbers within it, such as that of a trajectory."""
        return np.random.default_rng([self.seed, stream, *numbers])

    def observed(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Numbers of the variables that are observed, in the order of their `names`."""
        if isinstance(self.hidden, int):
            hidden = self.generator_of(self.streams.hidden).permutation(len(names))[: self.hidden]
        else:
            hidden = np.array([names.index(name) for name in self.hidden], dtype=np.int64)
        return np.setdiff1d(np.arange(len(names)), hidden)

    def spread(self, starts: Floats) -> Floats:
        """The starts (trajectory, variable), those of test trajectories moved away from the mean of the others."""
        if self.test_spread == 1:
            return starts
        training = starts[: self.training_trajectories]
        center = training.mean(axis=0)
        return np.concatenate([training, center + self.test_spread * (starts[len(training) :] - center)])

    def thin(self, index: int, trajectory: Trajectory) -> Trajectory:
        """The trajectory of this number, less the observations and entries that are left out at random."""
        fitted = training_mask(trajectory.splits, trajectory.phases)
        fitted[0] = False
        if not fitted.any():
            return trajectory
        if self.share_kept < 1.0:
            candidates = np.flatnonzero(fitted)
            order = self.generator_of(self.streams.share, index).permutation(candidates)
            stays = np.ones(len(fitted), dtype=bool)
            stays[order[round(self.share_kept * len(candidates)) :]] = False
            fitted = fitted[stays]
            trajectory = replace(trajectory, **{name: getattr(trajectory, name)[stays] for name in _OF_OBSERVATIONS})
        if self.missing > 0.0:
            drawn = self.generator_of(self.streams.missing, index).random(trajectory.values.shape)
            absent = (drawn < self.missing) & fitted[:, None]
            trajectory = replace(trajectory, values=np.where(absent, np.nan, trajectory.values))
        return trajectory

    def noise_of_dynamics(self) -> str | None:
        """The option that gives the dynamics noise, None where they have none."""
        return "process_noise" if self.process_noise else None

    def nearest_allowed(self, system: Any, states: Floats) -> Floats:  # noqa: ARG002  most systems can have any state
        """The states (…, variable) nearest to `states` that the system can have."""
        return states

    def distant(self, simulation: Simulation) -> tuple[Trajectory, ...]:
        """Test trajectories at further levels of distance, none where `distances` is null.

        Raises:
            UserError: a changed system, or one from farther out, cannot be solved up to the last time.
        """
        if self.distances is None:
            return ()
        generator = self.generator_of(self.streams.distances)

        def nearest_allowed(states: Floats) -> Floats:
            return self.nearest_allowed(simulation.system, states)

        return distant_trajectories(simulation, self.distances, generator, nearest_allowed)

    def _distance_problems(self) -> list[str]:
        if self.distances is None:
            return []
        problems, names = [], self.parameter_names()
        parameter, noisy = self.distances.parameter, self.noise_of_dynamics()
        if parameter not in names:
            problems.append(
                f"distances.parameter: found {parameter!r}; allowed: a parameter of the system, of which the nearest "
                f"are {nearest_names(parameter, names)}"
            )
        if self.test_trajectories == 0:
            problems.append("test_trajectories: found 0; allowed: 1 or more, since `distances` moves their starts")
        if self.test_spread != 1.0:
            problems.append(
                f"test_spread: found {self.test_spread:g}; allowed: 1, since `distances` has starts farther out"
            )
        if noisy is not None:
            problems.append(
                f"{noisy}: found {getattr(self, noisy):g}; allowed: 0, since with noise in the dynamics there is no "
                "exact course for `distances`"
            )
        return problems

    def _hidden_problems(self, names: Sequence[str]) -> list[str]:
        if isinstance(self.hidden, int):
            if not 0 <= self.hidden < len(names):
                return [f"hidden: found {self.hidden}; allowed: 0 to {len(names) - 1}, so that one is observed"]
            return []
        for name in self.hidden:
            if name not in names:
                return [f"hidden: found {name!r}; allowed: a variable, of which the nearest are "
                        f"{nearest_names(name, names)}"]  # fmt: skip
        return [] if len(set(self.hidden)) < len(names) else ["hidden: found all variables; allowed: all but one"]


class DrawnSource(SimulatedSource):
    """A source whose system is drawn; trajectories are states over their training deviation.

    It says how its system is drawn, started and solved, what the truth is, and what the provenance holds.
    """

    horizon: float = Field(5.0, gt=0, description="Length of the interval that models are trained on.")
    observations: int = Field(50, ge=2, description="Observations within `horizon`, the one at time 0 not counted.")

    system_type: ClassVar[type[SolvableSystem]]

    @abstractmethod
    def draw_system(self) -> Any:
        """The system that the options and the seed draw, before its parameters are changed."""

    @abstractmethod
    def read_system(self, provenance: Mapping[str, Any]) -> Any:
        """The system of a provenance in which `facts` are, for `system_from_provenance`.

        Raises:
            UserError: the provenance is that of another source.
        """

    @abstractmethod
    def draw_starts(self, system: Any, generator: np.random.Generator, count: int) -> Floats:
        """States at time 0, (trajectory, variable)."""

    @abstractmethod
    def truth(self, system: Any) -> tuple[Floats, NDArray[np.bool_]]:
        """Signs of the edges and where they are known, both (source, target)."""

    def facts(self, system: Any, scale: Floats) -> dict[str, Any]:  # noqa: ARG002  a source may have none
        """What the provenance holds of the system, in units of `scale` (variable,)."""
        return {}

    def parameter_names(self) -> Sequence[str]:
        """Names of the parameters that `parameter_factors` can multiply."""
        return self.system_type.parameters

    def system_from_provenance(self, provenance: Mapping[str, Any]) -> SolvableSystem:
        """The system behind a dataset of this source, in the units of its values.

        Args:
            provenance: that of the dataset, and beside it the source's `options` and the trajectories' `scale`.

        Raises:
            UserError: the provenance is that of another source, or variables are hidden.
        """
        self.refuse_hidden()
        system: SolvableSystem = self.read_system(provenance)
        return system

    def observation_times(self, generator: np.random.Generator) -> Floats:  # noqa: ARG002  regular ones need none
        """Times (trajectory, time); the first is 0, and as many lie within `horizon` for every trajectory."""
        times = regular_times(self.horizon, self.observations, self.extrapolation_share)
        return np.tile(times, (self.trajectories, 1))

    def training_deviation(self, states: Floats, within: NDArray[np.bool_]) -> Floats:
        """Standard deviation of each variable over the training trajectories within `horizon`.

        The order of the sum is part of the numbers of datasets.

        Args:
            states: (trajectory, time, variable).
            within: (trajectory, time), the same for every trajectory.
        """
        return np.asarray(states[: self.training_trajectories, within[0]].std(axis=(0, 1)))

    def contradictions_of_system(self) -> list[str]:
        """Options of the system that contradict each other, each as `option: what is wrong`."""
        return []

    def check(self) -> list[str]:
        """Options that contradict each other, each as `option: what is wrong`."""
        return [*self.contradictions_of_system(), *super().check()]

    def interval(self) -> tuple[float, int]:
        """The `horizon`, and the number of observations within it, the one at time 0 not counted."""
        return self.horizon, self.observations

    def load(self, files: Mapping[str, Path]) -> RawTrajectories:  # noqa: ARG002  nothing is downloaded
        """Simulated trajectories; the last `test_trajectories` are test data.

        Every variable is divided by its standard deviation over the training trajectories within `horizon`.

        Raises:
            UserError: options contradict one another, or the system cannot be drawn, or solved up to the last time.
        """
        self.refuse_contradictions()
        system = self.change(self.draw_system())
        times = self.observation_times(self.generator_of(self.streams.times))
        within = times <= self.horizon
        starts = self.spread(self.draw_starts(system, self.generator_of(self.streams.start), self.trajectories))
        states = self._simulate(system, starts, times, within)
        scale = self.training_deviation(states, within)
        noise = self.noise * self.generator_of(self.streams.noise).standard_normal(states.shape)
        names = self.variables()
        columns = self.observed(names)
        trajectories = make_trajectories(
            states[:, :, columns],
            times,
            within,
            scale[columns],
            noise[:, :, columns],
            training=self.training_trajectories,
        )
        truth, truth_known = self.truth(system)
        simulation = Simulation(
            system=system,
            course=lambda solvable, first, at: solvable.solve(first, at)[..., columns],
            starts=states[:, 0],
            training=self.training_trajectories,
            times=times[self.training_trajectories :, within[0]],
            horizon=self.horizon,
            scale=scale[columns],
            noise=np.full(len(columns), self.noise),
            first_noise=noise[:, 0, columns],
        )
        thinned = (self.thin(index, trajectory) for index, trajectory in enumerate(trajectories))
        return RawTrajectories(
            kind="simulated",
            features=tuple(names[index] for index in columns),
            trajectories=(*thinned, *self.distant(simulation)),
            time_unit="time unit",
            value_unit="standard deviation",
            scaling="training_deviation",
            truth=truth[np.ix_(columns, columns)],
            truth_known=truth_known[np.ix_(columns, columns)],
            # Otherwise it would be read off the truth.
            is_regulator=np.ones(len(columns), dtype=bool),
            provenance=self.facts(system, scale),
        )

    def _simulate(self, system: Any, starts: Floats, times: Floats, within: NDArray[np.bool_]) -> Floats:
        """States (trajectory, time, variable) at `times` (trajectory, time) after the burn-in."""
        later = self.burn_in + times
        if self.burn_in:  # from time 0 on, and only then what is observed
            later = np.hstack([np.zeros((len(times), 1)), later])
        first = later.shape[1] - times.shape[1]
        states = system.solve(starts, later)[:, first:]
        if not self.process_noise:
            return states
        deviation = self.process_noise * self.training_deviation(states, within)
        return solve_with_noise(
            system.rates,
            lambda points: np.broadcast_to(deviation, points.shape),
            starts,
            self.burn_in + times[0],
            step=(self.burn_in + times[0, -1]) / _NOISE_STEPS,
            generator=self.generator_of(self.streams.process),
            names=self.variables(),
        )
