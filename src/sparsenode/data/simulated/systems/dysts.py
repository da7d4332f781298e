"""Chaotic systems of the package dysts (Gilpin, NeurIPS Datasets and Benchmarks 2021), with two true networks.

Starts and the second network are those of CausalDynamics "Simple" (Herdeanu et al., NeurIPS 2025, arXiv 2505.16620).
Systems with a delay, with a force that depends on the time, or with a variable that grows without bound are refused:
they are no equations dx/dt = f(x) of bounded variables. dysts is an optional package and is only imported when needed.
"""

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from sparsenode.data.simulated.simulation import solve_rates
from sparsenode.data.simulated.system import System
from sparsenode.data.solvable import check_factor
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError, nearest_names
from sparsenode.files import reading

_OFFICIAL = "causaldynamics"
_PERIODS, _POINTS = 20, 50  # of the trajectory on which the network is read
_PATTERN_TOLERANCE = 1e-6
_SMALLEST_EFFECT = 1e-9  # of a rate's own size
_FARTHEST = 10.0  # deviations of the attractor from its mean
_LEAST_MOVEMENT = 0.01  # share of the attractor's deviation
_MOST_DRAWS = 100
_STEP = 6e-6  # of a variable, about the cube root of the precision, where central differences err least


@dataclass(frozen=True, eq=False)
class Dysts(System):
    """The system `name` of dysts, with parameters in `changes` multiplied by their factors.

    `noise` is the standard deviation of the noise in the dynamics per square root of time, as a share of the size of
    each variable's default start; dysts takes it as a share of the start itself.

    Raises:
        UserError: dysts is not installed, has no system of that name, or the system is one of those that are refused.
    """

    parameters: ClassVar[tuple[str, ...]] = ()

    name: str
    changes: Mapping[str, float] = field(default_factory=dict)

    noise: float = 0.0

    def __post_init__(self) -> None:
        catalog = _read_catalog()
        if self.name not in catalog:
            message = f"dysts has no system {self.name!r}; the nearest: {nearest_names(self.name, catalog)}"
            raise UserError(message)
        if reason := _refusal(catalog[self.name]):
            message = f"the dysts system {self.name} is not a data source: {reason}; take another system"
            raise UserError(message)
        for name, factor in self.changes.items():
            check_factor(f"dysts {self.name}", self.parameter_names, name, factor)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the parameters in dysts, which `with_parameter` can multiply."""
        return tuple(sorted(self._metadata["parameters"]))

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables: x, y, z and w, or x1, x2, … where there are more."""
        count = self.size
        return tuple("xyzw"[:count]) if count <= len("xyzw") else tuple(f"x{index + 1:02d}" for index in range(count))

    @cached_property
    def size(self) -> int:
        """Number of variables."""
        return len(np.atleast_1d(self._metadata["initial_conditions"]))

    @property
    def period(self) -> float:
        """The dominant period, in units of the system's time, as dysts has measured it."""
        return float(self._metadata["period"])

    @property
    def lyapunov_time(self) -> float:
        """The time in which errors grow e-fold, 1 over the largest Lyapunov exponent that dysts has measured.

        Raises:
            UserError: dysts has none for this system.
        """
        exponent = self._metadata.get("maximum_lyapunov_estimated")
        if not exponent or exponent <= 0.0:
            message = f"dysts has no positive Lyapunov exponent of the system {self.name}; give its length in periods"
            raise UserError(message)
        return 1.0 / float(exponent)

    def rates(self, states: Floats) -> Floats:
        """dx/dt (…, variable) at `states` (…, variable)."""
        if self._is_vectorized:
            return self._columns(states)
        rows = states.reshape(-1, self.size)
        return np.stack([self._row(row) for row in rows]).reshape(states.shape)

    def jacobian(self, states: Floats) -> Floats:
        """Derivatives of the rates (…, target, source) at `states` (…, variable), by central differences."""
        derivatives = np.empty((*states.shape, self.size))
        for source in range(self.size):
            step = np.zeros_like(states)
            step[..., source] = _STEP * np.maximum(np.abs(states[..., source]), self._deviation[source])
            # What is added is what the sum differs by, not the step before rounding.
            above, below = states + step, states - step
            width = (above - below)[..., source]
            derivatives[..., source] = (self.rates(above) - self.rates(below)) / width[..., None]
        return derivatives

    def edges(self) -> NDArray[np.bool_]:
        """Which variable is in the rate of which, (source, target): the Jacobian's pattern along a trajectory.

        A pair is an edge where, somewhere on the trajectory from the default start, a change of the source by its
        deviation changes the rate of the target by more than a billionth of that rate's deviation.
        """
        states = self._attractor
        effect = np.abs(self.jacobian(states)).max(axis=0) * self._deviation
        size = np.maximum(self.rates(states).std(axis=0), effect.max(axis=1))
        return (effect > _SMALLEST_EFFECT * size[:, None]).T

    def signs(self) -> Floats:
        """Zeros (source, target): a trajectory does not tell whether a sign is the same at every state."""
        return np.zeros((self.size, self.size))

    def published_truths(self) -> Mapping[str, Floats]:
        """`causaldynamics` (source, target): the Jacobian at one point, all variables and parameters 1 and time 0.

        Entries that cancel there are no edge, such as rho - z of the Lorenz system. Systems without a Jacobian in dysts
        have no such network, as in CausalDynamics, and nor do those of another size than three.
        """
        matrix = self._published_jacobian(np.ones(self.size), ones=True)
        if matrix is None or self.size != 3:
            return {}
        return {_OFFICIAL: (matrix != 0.0).astype(np.float64).T}

    def draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        """The default start times one uniform number between 0 and 1 for each trajectory, (trajectory, variable)."""
        return generator.random((count, 1)) * self._start

    def draw_solved(
        self, generator: np.random.Generator, count: int, times: Floats, most_evaluations: int | None = None
    ) -> tuple[Floats, Floats, int]:
        """Starts (trajectory, variable), states (trajectory, time, variable), and how many had to be drawn again.

        A start is drawn again where its trajectory grows without bound, goes ten deviations of the attractor beyond
        its mean, or comes to rest: in its second half every variable moves by less than a hundredth of its deviation
        on the attractor.

        Args:
            generator: source of randomness.
            count: number of trajectories.
            times: (time,), none negative.
            most_evaluations: of the rates in one solve, as in `simulation.solve_rates`.

        Raises:
            UserError: trajectories have left the attractor in a hundred draws one after the other.
        """
        starts, states = np.empty((count, self.size)), np.empty((count, len(times), self.size))
        pending, redraws = np.arange(count), 0
        for _ in range(_MOST_DRAWS):
            drawn = self.draw_starts(generator, len(pending))
            solved = self._solve_where_possible(drawn, times, most_evaluations)
            stays = self._stay_on_attractor(solved)
            starts[pending[stays]], states[pending[stays]] = drawn[stays], solved[stays]
            pending = pending[~stays]
            if not len(pending):
                return starts, states, redraws
            redraws += len(pending)
        message = (
            f"the dysts system {self.name} has left its attractor from {_MOST_DRAWS} starts one after the other; "
            "take another system, a shorter time, or its parameters as they are"
        )
        raise UserError(message)

    def with_parameter(self, name: str, factor: float) -> Self:
        """The same system with the parameter `name` multiplied by `factor`, all its entries where it has several.

        Raises:
            UserError: there is no parameter of that name, or the factor is no number above 0.
        """
        return replace(self, changes={**self.changes, name: self.changes.get(name, 1.0) * factor})

    def diffusion(self, states: Floats) -> Floats:
        """Standard deviation (…, variable) of the noise, the same at all states."""
        return np.broadcast_to(self.noise * np.abs(self._start), states.shape)

    @property
    def _metadata(self) -> Mapping[str, Any]:
        return _read_catalog()[self.name]

    def _solve_where_possible(self, starts: Floats, times: Floats, most_evaluations: int | None) -> Floats:
        """States (trajectory, time, variable), not numbers in trajectories that cannot be solved."""
        try:
            return solve_rates(self._rates_near_attractor, starts, times, most_evaluations=most_evaluations)
        except UserError:
            if len(starts) == 1:
                return np.full((1, len(times), self.size), np.nan)
        # One trajectory without bound ends the solve of all.
        single = [self._solve_where_possible(start[None], times, most_evaluations) for start in starts]
        return np.concatenate(single)

    def _rates_near_attractor(self, states: Floats) -> Floats:
        """Rates that end the solve where a trajectory goes too far, long before it would overflow."""
        rates = self.rates(states)
        rates[~self._is_near(states)] = np.nan
        return rates

    def _is_near(self, states: Floats) -> NDArray[np.bool_]:
        return np.asarray((np.abs(states - self._flow.mean) <= _FARTHEST * self._deviation).all(axis=-1))

    def _stay_on_attractor(self, states: Floats) -> NDArray[np.bool_]:
        """Which trajectories (trajectory,) stay near and move, of `states` (trajectory, time, variable)."""
        near = self._is_near(states).all(axis=1)
        late = states[:, states.shape[1] // 2 :]
        moves = (np.ptp(late, axis=1) >= _LEAST_MOVEMENT * self._deviation).any(axis=1)
        return np.asarray(near & moves)

    @cached_property
    def _flow(self) -> Any:
        flow = getattr(_import_flows(), self.name)()
        for name, factor in self.changes.items():
            flow.params[name] = flow.params[name] * factor
        flow.__dict__.update(flow.params)
        flow.param_list = [flow.params[name] for name in sorted(flow.params)]
        return flow

    @cached_property
    def _start(self) -> Floats:
        return np.atleast_1d(np.asarray(self._metadata["initial_conditions"], dtype=np.float64))

    @cached_property
    def _deviation(self) -> Floats:
        deviation = np.asarray(self._flow.std, dtype=np.float64)
        return np.where(deviation > 0.0, deviation, 1.0)

    @cached_property
    def _attractor(self) -> Floats:
        """States (time, variable) from the default start, for `_PERIODS` periods."""
        from scipy.integrate import solve_ivp

        times = np.linspace(0.0, _PERIODS * self.period, _PERIODS * _POINTS + 1)
        # A pattern needs no exact states, and some systems are stiff.
        with np.errstate(all="ignore"):
            solution = solve_ivp(
                lambda _, state: self.rates(state[None])[0],
                (0.0, float(times[-1])),
                self._start,
                method="LSODA",
                t_eval=times,
                rtol=_PATTERN_TOLERANCE,
                atol=_PATTERN_TOLERANCE * self._deviation,
            )
        if not solution.success:
            message = f"the dysts system {self.name} cannot be solved from its default start: {solution.message}"
            raise UserError(message)
        return np.asarray(solution.y.T)

    @cached_property
    def _is_vectorized(self) -> bool:
        """Whether the equations take arrays: some of dysts branch on the state, or index it."""
        from dysts.base import DynSys

        if type(self._flow).rhs is not DynSys.rhs:
            return False
        states = self._start * np.linspace(0.5, 1.5, 7)[:, None]
        with np.errstate(all="ignore"):
            expected = np.stack([self._row(row) for row in states])
            try:
                return np.array_equal(self._columns(states), expected, equal_nan=True)
            except (TypeError, ValueError):
                return False

    def _columns(self, states: Floats) -> Floats:
        # As Python: to compile a system takes a second or two, and arrays need no compiler.
        rates = np.empty_like(states)
        columns = (states[..., index] for index in range(self.size))
        for index, change in enumerate(_plain(self._flow._rhs)(*columns, 0.0, *self._flow.param_list)):
            rates[..., index] = change
        return rates

    def _row(self, state: Floats) -> Floats:
        from dysts.base import DynSys

        if type(self._flow).rhs is DynSys.rhs:
            change = _plain(self._flow._rhs)(*state, 0.0, *self._flow.param_list)
        else:
            change = self._flow.rhs(state, 0.0)
        return np.asarray(change, dtype=np.float64)

    def _published_jacobian(self, state: Floats, *, ones: bool = False) -> Floats | None:
        """dysts' own Jacobian (target, source) at a state (variable,), or None where it has none."""
        if not self._flow.has_jacobian():
            return None
        function = _plain(self._flow._jac)
        values = [1] * (len(inspect.signature(function).parameters) - self.size - 1) if ones else self._flow.param_list
        return np.asarray(function(*state, 0, *values), dtype=np.float64)


def dysts_names() -> list[str]:
    """Names of all systems of dysts that can be data sources, sorted.

    Raises:
        UserError: dysts is not installed.
    """
    return sorted(name for name, metadata in _read_catalog().items() if not _refusal(metadata))


def _read_catalog() -> Mapping[str, Mapping[str, Any]]:
    """What dysts tells of its systems, by name, without an import of the package, which takes seconds.

    Raises:
        UserError: dysts is not installed.
    """
    package = find_spec("dysts")
    if package is None or not package.submodule_search_locations:
        message = 'the package dysts is not installed; install it with: pip install "sparsenode[benchmarks]"'
        raise UserError(message)
    return _read_json(Path(package.submodule_search_locations[0]) / "data" / "chaotic_attractors.json")


@cache
def _read_json(path: Path) -> Mapping[str, Mapping[str, Any]]:
    with reading(path):
        catalog: dict[str, Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return catalog


def _import_flows() -> Any:
    import dysts.flows

    return dysts.flows


def _refusal(metadata: Mapping[str, Any]) -> str:
    """Why a system of dysts cannot be a data source, or an empty text."""
    if metadata.get("delay"):
        return "its rates depend on states of the past"
    if metadata.get("nonautonomous"):
        return "its rates depend on the time"
    if metadata.get("unbounded_indices"):
        return "one of its variables grows without bound"
    return ""


def _plain(function: Any) -> Any:
    """The Python function that numba has wrapped."""
    return getattr(function, "py_func", function)
