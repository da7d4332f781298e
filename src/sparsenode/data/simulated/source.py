"""What all simulated sources share: their options, how trajectories are observed, and how they are simulated again."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sparsenode.data.outline import Outline
from sparsenode.data.simulated.simulation import make_trajectories, regular_times, solve_rates
from sparsenode.data.simulated.stochastic import solve_stochastic
from sparsenode.data.source import SolvableSource
from sparsenode.data.trajectories import Floats, RawTrajectories, Trajectory
from sparsenode.errors import UserError


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


class SimulatedSource(SolvableSource):
    """A simulated system with an exact network; trajectories are states over their training deviation.

    A source of it says how its system is drawn, started and solved, what the truth is, and what the provenance holds.
    """

    has_truth: ClassVar[bool] = True
    priors: ClassVar[tuple[str, ...]] = ()
    streams: ClassVar[Streams] = Streams()

    trajectories: int = Field(20, ge=2, description="Trajectories, test ones included.")
    test_trajectories: int = Field(4, ge=0, description="How many are test data.")
    horizon: float = Field(5.0, gt=0, description="Length of the interval that models are trained on.")
    extrapolation_share: float = Field(
        0.5, ge=0, description="How much longer trajectories go on, as a share of `horizon`, to test extrapolation."
    )
    observations: int = Field(50, ge=2, description="Observations within `horizon`, the one at time 0 not counted.")
    noise: float = Field(
        0.0,
        ge=0,
        description="Standard deviation of the observation noise, as a share of each variable's over the training "
        "trajectories.",
    )
    seed: int = Field(0, ge=0, description="Another seed is another system.")
    burn_in: float = Field(0.0, ge=0, description="Time that is simulated before the first observation and left out.")
    process_noise: float = Field(
        0.0,
        ge=0,
        description="Standard deviation of the noise of the dynamics over one unit of time, as a share of each "
        "variable's over the training trajectories without it.",
    )
    share_kept: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the observations after the first that is kept, drawn at random for each trajectory, so "
        "that times are irregular.",
    )
    missing: float = Field(
        0.0, ge=0, lt=1, description="Share of the single values after each first observation that is not observed."
    )
    hidden: int | tuple[str, ...] = Field(
        0, description="Variables that are not observed: their names, or how many are drawn by the seed."
    )
    test_spread: float = Field(
        1.0,
        gt=0,
        description="How far test trajectories start from the mean of the training starts, 1 being as far as those.",
    )

    @abstractmethod
    def variables(self) -> tuple[str, ...]:
        """Names of the system's variables."""

    @abstractmethod
    def draw_system(self) -> Any:
        """The system that the options and the seed draw."""

    @abstractmethod
    def draw_starts(self, system: Any, generator: np.random.Generator, count: int) -> Floats:
        """States at time 0, (trajectory, variable)."""

    @abstractmethod
    def truth(self, system: Any) -> tuple[Floats, NDArray[np.bool_]]:
        """Signs of the edges and where they are known, both (source, target)."""

    def facts(self, system: Any, scale: Floats) -> dict[str, Any]:  # noqa: ARG002  a source may have none
        """What the provenance holds of the system, in units of `scale` (variable,)."""
        return {}

    def is_signed(self, system: Any) -> bool:  # noqa: ARG002  signs are known unless a source says otherwise
        """Whether the edges have one sign at all states."""
        return True

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
        training = self.trajectories - self.test_trajectories
        return np.asarray(states[:training, within[0]].std(axis=(0, 1)))

    def contradictions_of_system(self) -> list[str]:
        """Options of the system that contradict each other, each as `option: what is wrong`."""
        return []

    def check(self) -> list[str]:
        """Options that contradict each other, each as `option: what is wrong`."""
        problems = self.contradictions_of_system()
        if self.test_trajectories >= self.trajectories:
            problems.append("test_trajectories: no trajectory is left for training")
        if round(self.share_kept * self.observations) < 2:
            problems.append(
                f"share_kept: {self.share_kept:g} of {self.observations} observations are fewer than 2; take a larger "
                "share or more observations"
            )
        names = self.variables()
        if isinstance(self.hidden, int):
            if not 0 <= self.hidden <= len(names) - 2:
                problems.append(
                    f"hidden: found {self.hidden}; allowed: 0 to {len(names) - 2}, so that two are observed"
                )
        elif unknown := sorted(set(self.hidden) - set(names)):
            problems.append(f"hidden: found {', '.join(unknown)}; allowed: {', '.join(names)}")
        elif len(set(self.hidden)) > len(names) - 2:
            problems.append("hidden: fewer than two variables are observed")
        return problems

    def observed(self) -> NDArray[np.int64]:
        """Numbers of the variables that are observed, in their order."""
        names = self.variables()
        if isinstance(self.hidden, int):
            generator = np.random.default_rng([self.seed, self.streams.hidden])
            hidden = generator.permutation(len(names))[: self.hidden]
        else:
            hidden = np.array([names.index(name) for name in self.hidden], dtype=np.int64)
        return np.setdiff1d(np.arange(len(names)), hidden)

    def outline(self) -> Outline:
        """Names of the observed variables."""
        names = self.variables()
        return Outline(features=tuple(names[index] for index in self.observed()))

    def load(self, files: Mapping[str, Path]) -> RawTrajectories:  # noqa: ARG002  nothing is downloaded
        """Simulated trajectories; the last `test_trajectories` are test data.

        Every variable is divided by its standard deviation over the training trajectories within `horizon`.

        Raises:
            UserError: options contradict one another, or the system cannot be drawn, or solved up to the last time.
        """
        if problems := self.check():
            message = f"data source {self.name}: " + "; ".join(problems)
            raise UserError(message)
        system = self.draw_system()
        times = self.observation_times(self._generator(self.streams.times))
        training = self.trajectories - self.test_trajectories
        within = times <= self.horizon
        starts = self._spread(self.draw_starts(system, self._generator(self.streams.start), self.trajectories))
        states = self._simulate(system, starts, times, within)
        scale = self.training_deviation(states, within)
        noise = self.noise * self._generator(self.streams.noise).standard_normal(states.shape)
        columns, rows = self.observed(), self._rows(within)
        trajectories = make_trajectories(
            _take_rows(states, rows)[:, :, columns],
            np.take_along_axis(times, rows, axis=1),
            np.take_along_axis(within, rows, axis=1),
            scale[columns],
            _take_rows(noise, rows)[:, :, columns],
            training=training,
        )
        truth, truth_known = self.truth(system)
        names = self.variables()
        return RawTrajectories(
            kind="simulated",
            features=tuple(names[index] for index in columns),
            trajectories=self._with_gaps(trajectories),
            time_unit="time unit",
            value_unit="standard deviation",
            scaling="training_deviation",
            truth=truth[np.ix_(columns, columns)],
            truth_known=truth_known[np.ix_(columns, columns)],
            truth_signed=self.is_signed(system),
            # Otherwise it would be read off the truth.
            is_regulator=np.ones(len(columns), dtype=bool),
            provenance=self.facts(system, scale),
        )

    def refuse_hidden(self) -> None:
        """Check that all variables are observed, as it takes to simulate the system again from observations.

        Raises:
            UserError: some are hidden.
        """
        if len(self.observed()) < len(self.variables()):
            message = (
                f"data source {self.name}: the system cannot be simulated again from observations, since variables are "
                "hidden; set hidden to 0 or leave out `interventions`"
            )
            raise UserError(message)

    def _simulate(self, system: Any, starts: Floats, times: Floats, within: NDArray[np.bool_]) -> Floats:
        later = self.burn_in + times
        if self.burn_in:  # from time 0 on, and only then what is observed
            later = np.hstack([np.zeros((len(times), 1)), later])
        states = self.solve(system, starts, later)
        first = later.shape[1] - times.shape[1]
        if self.process_noise:
            deviation = self.process_noise * self.training_deviation(states[:, first:], within)
            shape = getattr(system, "diffusion", np.ones_like)
            states = solve_stochastic(
                system.rates,
                lambda points: deviation * shape(points),
                starts,
                later,
                self._generator(self.streams.process),
                names=self.variables(),
            )
        return states[:, first:]

    def _generator(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream])

    def _spread(self, starts: Floats) -> Floats:
        if self.test_spread == 1:
            return starts
        training = self.trajectories - self.test_trajectories
        center = starts[:training].mean(axis=0)
        return np.concatenate([starts[:training], center + self.test_spread * (starts[training:] - center)])

    def _rows(self, within: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Numbers of the observations that are kept, (trajectory, time), of each part its share, and the first."""
        count, total = within.shape
        fit = int(within[0].sum())
        order = self._generator(self.streams.share).random((count, total))
        parts = [np.zeros((count, 1), dtype=np.int64)]
        for begin, end in ((1, fit), (fit, total)):
            size = round(self.share_kept * (end - begin))
            parts.append(begin + np.argsort(order[:, begin:end], axis=1)[:, :size])
        return np.sort(np.hstack(parts), axis=1)

    def _with_gaps(self, trajectories: tuple[Trajectory, ...]) -> tuple[Trajectory, ...]:
        if not self.missing:
            return trajectories
        generator = self._generator(self.streams.missing)
        observed = []
        for trajectory in trajectories:
            values = trajectory.values.copy()
            later = values[1:].reshape(-1)
            later[generator.permutation(later.size)[: round(self.missing * later.size)]] = np.nan
            values[1:] = later.reshape(values[1:].shape)
            observed.append(replace(trajectory, values=values))
        return tuple(observed)


def _take_rows(values: Floats, rows: NDArray[np.int64]) -> Floats:
    return np.asarray(np.take_along_axis(values, rows[:, :, None], axis=1))


class SimulatedSystem(Protocol):
    """A system of differential equations; states are (…, variable), in units of its own.

    A system whose noise depends on the state also has `diffusion(states)`, of the same shape.
    """

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables."""

    @property
    def signed(self) -> bool:
        """Whether every edge has one sign at all states."""

    def rates(self, states: Floats) -> Floats:
        """dx/dt at states."""

    def truth(self) -> Floats:
        """Signs of the edges (source, target), self-effects on the diagonal."""

    def draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        """States at time 0, (trajectory, variable)."""

    def with_parameter(self, name: str, factor: float) -> Self:
        """The system with a coupling parameter times a factor."""


@dataclass(frozen=True)
class ScaledSystem:
    """A system whose states are divided by `scale` (variable,)."""

    system: SimulatedSystem
    scale: Floats

    def rates(self, states: Floats) -> Floats:
        """dx/dt of the divided states."""
        return self.system.rates(states * self.scale) / self.scale

    def with_parameter(self, name: str, factor: float) -> "ScaledSystem":
        """The same with a coupling parameter times a factor."""
        return ScaledSystem(self.system.with_parameter(name, factor), self.scale)


class EquationSource(SimulatedSource):
    """A source of a `SimulatedSystem`, whose self-effects are known; it only says how its system is made."""

    @abstractmethod
    def make_system(self, generator: np.random.Generator) -> SimulatedSystem:
        """The system of these options, the same for the same generator."""

    def draw_system(self) -> SimulatedSystem:
        """The system of these options and the seed."""
        return self.make_system(self._generator(self.streams.system))

    def variables(self) -> tuple[str, ...]:
        """Names of the system's variables."""
        return self.draw_system().variables

    def draw_starts(self, system: SimulatedSystem, generator: np.random.Generator, count: int) -> Floats:
        """States at time 0, (trajectory, variable)."""
        return system.draw_starts(generator, count)

    def truth(self, system: SimulatedSystem) -> tuple[Floats, NDArray[np.bool_]]:
        """Signs of the edges, all of them known, self-effects too."""
        signs = system.truth()
        return signs, np.ones(signs.shape, dtype=bool)

    def is_signed(self, system: SimulatedSystem) -> bool:
        """Whether every edge has one sign at all states."""
        return system.signed

    def system_from_provenance(self, provenance: Mapping[str, Any]) -> ScaledSystem:
        """The system that these options draw, in units of the dataset's `scale` (trajectory, variable).

        Raises:
            UserError: variables are hidden, so that observed states do not tell what follows.
        """
        self.refuse_hidden()
        return ScaledSystem(self.draw_system(), np.asarray(provenance["scale"], np.float64)[0])

    def solve(
        self, system: Any, initial_states: Floats, times: Floats, clamp: Mapping[int, float] | None = None
    ) -> Floats:
        """States of the system, without noise, see `simulation.solve_rates`."""
        return solve_rates(system.rates, initial_states, times, clamp, self.variables())
