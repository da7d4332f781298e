"""What data sources of benchmark systems share: their options, the simulation, noise, and what is left out of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sparsenode.data.outline import Outline
from sparsenode.data.simulated.simulation import (
    check_provenance,
    make_trajectories,
    regular_times,
    solve_with_noise,
)
from sparsenode.data.simulated.system import System
from sparsenode.data.source import SolvableSource
from sparsenode.data.trajectories import Floats, RawTrajectories, Trajectory
from sparsenode.errors import UserError, nearest_names
from sparsenode.typed import read_settings

_MOST_EVALUATIONS = 200_000
_EVALUATIONS_OF_AN_OBSERVATION = 1_000  # a period takes a few thousand, and has several observations
# Streams of random numbers: each can be changed and all others stay the same.
_SYSTEM, _START, _PROCESS, _NOISE, _OBSERVED, _MISSING = range(6)

_OF_OBSERVATIONS = ("times", "values", "splits", "phases", "noise_free")

Horizon = Annotated[
    float, Field(gt=0, description="Length of the interval that models are trained on, in the system's unit of time.")
]
Observations = Annotated[int, Field(ge=2, description="Observations within `horizon`, the one at time 0 not counted.")]
Trajectories = Annotated[int, Field(ge=1, description="Trajectories, test ones included.")]
TestTrajectories = Annotated[int, Field(ge=0, description="How many are test data.")]
BurnIn = Annotated[
    float,
    Field(
        ge=0,
        description="Time before the first observation, from the drawn start on, which is left out: the way to the "
        "attractor.",
    ),
]
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
class ScaledSystem:
    """A system for features in units of their `scale` (feature,)."""

    system: System
    scale: Floats


class BenchmarkSource(SolvableSource):
    """A source of one of the benchmark systems; what is its own is `make_system` and the length of its trajectories."""

    has_truth: ClassVar[bool] = True
    priors: ClassVar[tuple[str, ...] | None] = ()
    time_unit: ClassVar[str] = "time unit"

    trajectories: Trajectories = 20
    test_trajectories: TestTrajectories = 4
    extrapolation_share: float = Field(
        0.5, ge=0, description="How much longer trajectories go on, as a share of `horizon`, to test extrapolation."
    )
    burn_in: BurnIn = 0.0
    noise: float = Field(
        0.0, ge=0, description="Standard deviation of the observation noise, in units of `noise_unit`."
    )
    noise_unit: Literal["deviation", "system"] = Field(
        "deviation",
        description="`deviation`: the noise is a share of each feature's standard deviation over the training "
        "trajectories. `system`: it is in the system's own unit, the same for all features.",
    )
    process_noise: float = Field(
        0.0,
        ge=0,
        description="Standard deviation of noise in the dynamics, per square root of a unit of time, as a share of "
        "each variable's own over all trajectories without it.",
    )
    process_step: float = Field(
        0.01, gt=0, description="Longest time step of a simulation with noise in its dynamics; without, it has none."
    )
    share_kept: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the observations of training trajectories within `horizon` that are kept, at random "
        "times of each; the first always is.",
    )
    missing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of single entries that are missing at random, in training trajectories within `horizon` "
        "after the first observation.",
    )
    hidden: tuple[str, ...] = Field((), description="Names of features that are simulated and not observed.")
    parameter_factors: dict[str, float] = Field(
        {}, description="Factors of the system's parameters, such as {forcing: 0.5}: a changed system."
    )
    self_effects: bool = Field(
        True,
        description="Whether the truth tells which variables have an effect on themselves; without, these pairs are "
        "unknown.",
    )
    seed: int = Field(0, ge=0, description="Another seed is another system, where it is drawn, and other starts.")

    @abstractmethod
    def make_system(self, generator: np.random.Generator) -> System:
        """The system of the options, drawn with the generator where it is random.

        Raises:
            UserError: the options allow none.
        """

    @abstractmethod
    def interval(self) -> tuple[float, int]:
        """The `horizon`, and the number of observations within it, the one at time 0 not counted."""

    def build_system(self) -> System:
        """The system with its changed parameters.

        Raises:
            UserError: the options allow none, or a parameter is unknown.
        """
        system = self.make_system(np.random.default_rng([self.seed, _SYSTEM]))
        for name, factor in self.parameter_factors.items():
            system = system.with_parameter(name, factor)
        return system

    def check(self) -> list[str]:
        """Options that contradict each other, each as `option: found; allowed`."""
        if self.test_trajectories >= self.trajectories:
            allowed = f"fewer than trajectories, {self.trajectories}"
            return [f"test_trajectories: found {self.test_trajectories}; allowed: {allowed}"]
        return []

    def outline(self) -> Outline | None:
        """Names of the features."""
        return Outline(features=self._features(self.build_system()))

    def load(self, files: Mapping[str, Path]) -> RawTrajectories:  # noqa: ARG002  the same for every source
        """Simulated trajectories; the last `test_trajectories` are test data.

        Every feature is divided by its standard deviation over the training trajectories within `horizon`, where it
        has one.

        Raises:
            UserError: the options contradict one another, or the system cannot be solved.
        """
        if problems := self.check():
            message = f"data source {self.name}: " + "; ".join(problems)
            raise UserError(message)
        system = self.build_system()
        shown = self._observed(system)
        horizon, within_count = self.interval()
        simulated = self.simulate(system, regular_times(horizon, within_count, self.extrapolation_share))
        within = simulated.times <= horizon
        features = system.observe(simulated.states)[..., shown]
        training = self.trajectories - self.test_trajectories
        deviation = features[:training, within].std(axis=(0, 1))
        scale = np.where(deviation > 0.0, deviation, 1.0)
        noise = np.random.default_rng([self.seed, _NOISE]).standard_normal(features.shape) * self.noise
        times = np.tile(simulated.times, (self.trajectories, 1))
        trajectories = make_trajectories(
            features,
            times,
            np.tile(within, (self.trajectories, 1)),
            scale,
            noise / scale if self.noise_unit == "system" else noise,
            training=training,
        )
        truth, truth_known, signed = self._network(system, shown)
        return RawTrajectories(
            kind="simulated",
            features=self._features(system),
            trajectories=tuple(self._thin(index, entry) for index, entry in enumerate(trajectories)),
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
        starts = system.draw_starts(self.generator_of_starts(), self.trajectories)
        return Simulated(self.solve_from(system, starts, times), times, {})

    def generator_of_starts(self) -> np.random.Generator:
        """The source of randomness of the starts."""
        return np.random.default_rng([self.seed, _START])

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
            generator=np.random.default_rng([self.seed, _PROCESS]),
            constrain=system.constrain,
            names=system.variables,
        )

    def _observed(self, system: System) -> NDArray[np.intp]:
        """Numbers of the observed features, (feature,)."""
        for name in self.hidden:
            if name not in system.features:
                message = (
                    f"data source {self.name}: hidden names {name!r}, which is no feature; "
                    f"the nearest: {nearest_names(name, system.features)}"
                )
                raise UserError(message)
        shown = np.array(
            [index for index, name in enumerate(system.features) if name not in self.hidden], dtype=np.intp
        )
        if not len(shown):
            message = f"data source {self.name}: hidden names all features; leave one that is observed"
            raise UserError(message)
        return shown

    def _features(self, system: System) -> tuple[str, ...]:
        return tuple(system.features[index] for index in self._observed(system))

    def _network(self, system: System, shown: NDArray[np.intp]) -> tuple[Floats, NDArray[np.bool_], bool]:
        """The true network of the observed features, where it is known, and whether all its edges have signs."""
        edges, signs = (matrix[np.ix_(shown, shown)] for matrix in (system.edges(), system.signs()))
        truth_known = np.ones(edges.shape, dtype=bool) if self.self_effects else ~np.eye(len(shown), dtype=bool)
        signed = bool((signs[edges & truth_known] != 0.0).all())
        return np.where(edges & truth_known, signs if signed else 1.0, 0.0), truth_known, signed

    def _thin(self, index: int, trajectory: Trajectory) -> Trajectory:
        """A trajectory less the observations and entries that are left out at random."""
        fitted = (trajectory.splits == "train") & (trajectory.phases == "fit")
        fitted[0] = False
        if not fitted.any():
            return trajectory
        if self.share_kept < 1.0:
            generator = np.random.default_rng([self.seed, _OBSERVED, index])
            candidates = np.flatnonzero(fitted)
            left_out = generator.permutation(candidates)[round(self.share_kept * len(candidates)) :]
            stays = np.ones(len(fitted), dtype=bool)
            stays[left_out] = False
            fitted = fitted[stays]
            trajectory = replace(
                trajectory,
                **{
                    name: getattr(trajectory, name)[stays]
                    for name in ("times", "values", "splits", "phases", "noise_free")
                },
            )
        if self.missing > 0.0:
            generator = np.random.default_rng([self.seed, _MISSING, index])
            absent = (generator.random(trajectory.values.shape) < self.missing) & fitted[:, None]
            trajectory = replace(trajectory, values=np.where(absent, np.nan, trajectory.values))
        return trajectory

    @classmethod
    def system_from_provenance(cls, provenance: Mapping[str, Any]) -> ScaledSystem:
        """The system behind a dataset of this source, in the units of its values.

        Args:
            provenance: that of the dataset, and beside it the source's `options` and the trajectories' `scale`.

        Raises:
            UserError: the provenance is that of another source, or features are hidden, so that the observed ones do
                not tell how the system goes on.
        """
        needed = ("system", "options", "scale")
        check_provenance(needed, provenance, origin=f"the data source {cls.name}", source=f"`source: {cls.name}`")
        source = read_settings(cls, provenance["options"], "options")
        if source.hidden:
            message = f"data source {cls.name}: hidden features leave open how the system goes on under an intervention"
            raise UserError(message)
        return ScaledSystem(source.build_system(), np.asarray(provenance["scale"], dtype=np.float64)[0])

    @staticmethod
    def solve(
        system: ScaledSystem, initial_states: Floats, times: Floats, clamp: Mapping[int, float] | None = None
    ) -> Floats:
        """Features (trajectory, time, feature) of a system without noise in its dynamics.

        Args:
            system: the system and the unit of each feature.
            initial_states: features at time 0, (trajectory, feature).
            times: (time,) or (trajectory, time), none negative.
            clamp: values at which features are held, by their number; None for none.

        Raises:
            UserError: `clamp` names a feature that there is not, or one that is not a variable and cannot be held, or
                the system cannot be solved.
        """
        inner, scale = system.system, system.scale
        if clamp and inner.features != inner.variables:
            message = f"the features of {type(inner).__name__} are not its variables, so none can be held"
            raise UserError(message)
        held = {index: value * scale[index] for index, value in (clamp or {}).items() if 0 <= index < len(scale)}
        held |= {index: value for index, value in (clamp or {}).items() if not 0 <= index < len(scale)}
        return inner.observe(inner.solve(inner.recover(initial_states * scale), times, held)) / scale


class TimedSource(BenchmarkSource):
    """A benchmark source whose length is given in the system's unit of time."""

    horizon: Horizon
    observations: Observations

    def interval(self) -> tuple[float, int]:
        """The `horizon`, and the number of observations within it, the one at time 0 not counted."""
        return self.horizon, self.observations
