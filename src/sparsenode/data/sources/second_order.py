"""second_order: coupled damped oscillators with an exact solution and an exact network.

x'' = -K x - G x' + C x with K and G diagonal and C sparse: the truth is the support of C, read as source ->
target. Only positions are observed, from an initial velocity that is a smooth function of the initial
position, so that a position tells what follows. The reference is Aliee et al., NeurIPS 2022, whose equations
are not published.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sparsenode.data.simulated.simulation import (
    Interval,
    check_provenance,
    draw_uniform,
    regular_times,
)
from sparsenode.data.simulated.source import DrawnSource, Streams
from sparsenode.data.solvable import SolvableSystem
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError

_LARGEST_GROWTH_RATE = -0.02  # real part of the slowest eigenvalue; at time 15 a mode keeps at most 3/4 of its size
_DRAWS = 1000


@dataclass(frozen=True)
class System(SolvableSystem):
    """x'' = -stiffness x - damping x' + coupling x, from x' = velocity tanh(scale x) / scale at time 0.

    Shapes: `stiffness`, `damping` and `scale`, the unit of each position, (oscillator,), `coupling` (target, source).
    """

    parameters: ClassVar[tuple[str, ...]] = ("stiffness", "damping", "coupling")

    stiffness: Floats
    damping: Floats
    coupling: Floats
    velocity: float
    scale: Floats

    def first_order(self) -> Floats:
        """Matrix A of z' = A z for z = (x, x'), of twice the number of oscillators."""
        count = len(self.stiffness)
        lower = np.hstack([self.coupling - np.diag(self.stiffness), -np.diag(self.damping)])
        return np.vstack([np.hstack([np.zeros((count, count)), np.eye(count)]), lower])

    def growth_rate(self) -> float:
        """Rate at which the slowest mode grows, per unit of time, below 0 if it decays."""
        return float(np.linalg.eigvals(self.first_order()).real.max())

    def solve(self, initial_states: Floats, times: Floats, clamp: Mapping[int, float] | None = None) -> Floats:
        """Exact positions (trajectory, time, oscillator) by the matrix exponential.

        Args:
            initial_states: (trajectory, oscillator), the positions at time 0.
            times: (time,) or (trajectory, time).
            clamp: values by number of the oscillator; these oscillators are held at them from time 0 on, the other ones
                start with the velocity of their own position.

        Raises:
            UserError: `clamp` names an oscillator that there is not, or the system grows beyond all numbers.
        """
        from scipy.linalg import expm

        count = initial_states.shape[1]
        if outside := [index for index in clamp or {} if not 0 <= index < count]:
            message = f"cannot hold oscillator {outside[0]}: the system has the oscillators 0 to {count - 1}"
            raise UserError(message)
        matrix = self.first_order()
        velocities = self.velocity * np.tanh(self.scale * initial_states) / self.scale
        states = np.hstack([initial_states, velocities])
        for index, value in (clamp or {}).items():
            matrix[[index, count + index]] = 0.0
            states[:, [index, count + index]] = value, 0.0
        times = np.broadcast_to(times, (len(states), np.shape(times)[-1]))
        different, where = np.unique(times, return_inverse=True)
        with np.errstate(over="ignore", invalid="ignore"):
            propagators = expm(matrix * different[:, None, None])[:, :count]
        if not np.isfinite(propagators).all():
            message = (
                f"the oscillators grow by a factor of e^{self.growth_rate():.3g} a unit of time, beyond all numbers by "
                f"time {different[-1]:.6g}; take earlier times, weaker couplings or more damping"
            )
            raise UserError(message)
        return np.asarray(np.einsum("rtij,rj->rti", propagators[where.reshape(times.shape)], states))

    def scaled(self, scale: Floats) -> "System":
        """The same system for positions divided by `scale` (oscillator,)."""
        coupling = self.coupling * scale[None, :] / scale[:, None]
        return System(self.stiffness, self.damping, coupling, self.velocity, self.scale * scale)


class SecondOrderSource(DrawnSource):
    """The source and its options."""

    streams: ClassVar[Streams] = Streams()
    system_type: ClassVar[type[SolvableSystem]] = System

    oscillators: int = Field(5, ge=2, description="Number of oscillators.")
    couplings_per_oscillator: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (1, 2), min_length=2, max_length=2, description="Fewest and most incoming couplings of an oscillator."
    )
    coupling: Interval = Field((0.3, 0.6), description="Range of |C|; signs are drawn evenly.")
    frequency: Interval = Field((0.8, 2.0), description="Range of angular frequencies, sqrt(K).")
    damping: Interval = Field((0.05, 0.15), description="Range of damping rates, the diagonal of G.")
    velocity: float = Field(0.5, description="Initial velocity over tanh of the initial position; 0 starts at rest.")
    trajectories: int = Field(30, ge=2, description="Trajectories, test ones included.")
    test_trajectories: int = Field(6, ge=0, description="How many are test data.")
    horizon: float = Field(10.0, gt=0, description="Length of the interval that models are trained on.")
    extrapolation_share: float = Field(
        0.5, ge=0, description="How much longer trajectories go on, as a share of `horizon`, to test extrapolation."
    )
    observations: int = Field(100, ge=2, description="Observations within `horizon`, the one at time 0 not counted.")
    irregular: bool = Field(False, description="Draw the observation times at random, other ones for each trajectory.")
    noise: float = Field(
        0.0, ge=0, description="Standard deviation of the observation noise; that of the positions is 1."
    )
    seed: int = Field(0, ge=0, description="Another seed is another system.")

    def variables(self) -> tuple[str, ...]:
        """Names of the oscillators."""
        return tuple(f"x{index + 1}" for index in range(self.oscillators))

    def draw_system(self) -> System:
        """Draw systems until one is stable: couplings that form a loop can feed energy in.

        Raises:
            UserError: no draw was stable.
        """
        generator = np.random.default_rng([self.seed, self.streams.system])
        count = self.oscillators
        fewest, most = self.couplings_per_oscillator
        for _ in range(_DRAWS):
            coupling = np.zeros((count, count))
            for target in range(count):
                candidates = np.delete(np.arange(count), target)
                sources = generator.choice(
                    candidates, size=generator.integers(fewest, most, endpoint=True), replace=False
                )
                signs = generator.choice([-1.0, 1.0], size=len(sources))
                coupling[target, sources] = signs * draw_uniform(generator, self.coupling, len(sources))
            stiffness = draw_uniform(generator, self.frequency, count) ** 2
            damping = draw_uniform(generator, self.damping, count)
            system = System(stiffness, damping, coupling, self.velocity, np.ones(count))
            if system.growth_rate() <= _LARGEST_GROWTH_RATE:
                return system
        message = (
            f"data source second_order: none of {_DRAWS} systems drawn is stable; "
            "choose weaker coupling, fewer couplings or more damping"
        )
        raise UserError(message)

    def draw_starts(self, system: System, generator: np.random.Generator, count: int) -> Floats:
        """Positions between -1 and 1, (trajectory, oscillator)."""
        return generator.uniform(-1.0, 1.0, size=(count, len(system.stiffness)))

    def observation_times(self, generator: np.random.Generator) -> Floats:
        """Times (trajectory, time); the first is 0, and as many lie within `horizon` for every trajectory."""
        count, horizon, within = self.trajectories, self.horizon, self.observations
        if not self.irregular:
            return np.tile(regular_times(horizon, within, self.extrapolation_share), (count, 1))
        beyond = round(within * self.extrapolation_share)
        fit = horizon * (1.0 - generator.random((count, within)))  # in (0, horizon]
        later = horizon * (1.0 + self.extrapolation_share * (1.0 - generator.random((count, beyond))))
        start = np.zeros((count, 1))
        return np.hstack([start, np.sort(fit, axis=1), np.sort(later, axis=1)])

    def training_deviation(self, states: Floats, within: NDArray[np.bool_]) -> Floats:
        """Standard deviation of each position over the training observations, one after the other."""
        training = self.trajectories - self.test_trajectories
        return np.asarray(states[:training][within[:training]].std(axis=0))

    def truth(self, system: System) -> tuple[Floats, NDArray[np.bool_]]:
        """Signs of the couplings; self-effects are not scored."""
        return np.sign(system.coupling).T, ~np.eye(self.oscillators, dtype=bool)

    def facts(self, system: System, scale: Floats) -> dict[str, Any]:
        """`stiffness`, `damping` and `coupling` (target, source) in units of the values."""
        scaled = system.scaled(scale)
        return {"stiffness": scaled.stiffness, "damping": scaled.damping, "coupling": scaled.coupling}

    def contradictions_of_system(self) -> list[str]:
        """Options that contradict each other, each as `option: what is wrong`."""
        problems = [
            f"{key} {list(getattr(self, key))}: the first must not be above the second"
            for key in ("couplings_per_oscillator", "coupling", "frequency", "damping")
            if getattr(self, key)[0] > getattr(self, key)[1]
        ]
        if self.couplings_per_oscillator[1] > self.oscillators - 1:
            problems.append("couplings_per_oscillator: more couplings than there are other oscillators")
        problems += [
            f"{key}: found {getattr(self, key):g}; allowed: 0, since initial velocities follow from the positions"
            for key in ("burn_in", "process_noise")
            if getattr(self, key)
        ]
        return problems

    def read_system(self, provenance: Mapping[str, Any]) -> System:
        """The system of a provenance.

        Beside what `facts` gives are needed the `options` of the source and the `scale` (trajectory, oscillator) of its
        trajectories, all of which have the same.

        Raises:
            UserError: the provenance is that of another source.
        """
        needed = ("stiffness", "damping", "coupling", "options", "scale")
        check_provenance(needed, provenance, origin="the data source second_order", source="`source: second_order`")
        stiffness, damping, coupling, scale = (
            np.asarray(provenance[name], np.float64) for name in ("stiffness", "damping", "coupling", "scale")
        )
        return System(stiffness, damping, coupling, float(provenance["options"]["velocity"]), scale[0])
