"""Linear systems dx/dt = A x of any size and density, stable, with an exact solution."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from sparsenode.data.simulated.system import System, draw_couplings, number_names
from sparsenode.data.solvable import check_factor
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError


@dataclass(frozen=True, eq=False)
class Linear(System):
    """dx/dt = `matrix` x, with `matrix` (target, source) per unit of time.

    The parameter `matrix` is the speed of the whole system, `coupling` is all of the matrix but its diagonal.
    """

    parameters: ClassVar[tuple[str, ...]] = ("matrix", "coupling")

    matrix: Floats

    @classmethod
    def draw(
        cls,
        generator: np.random.Generator,
        size: int,
        *,
        density: float,
        strength: tuple[float, float] = (0.5, 1.5),
        slowest_decay: float = 0.2,
    ) -> "Linear":
        """Draw couplings of either sign, and one decay of all variables that makes the system stable.

        Args:
            generator: source of randomness.
            size: number of variables.
            density: probability that an ordered pair is coupled, from 0 (only decays) to 1.
            strength: range of the sizes of the couplings.
            slowest_decay: rate at which the slowest mode decays, per unit of time, above 0.
        """
        coupled = draw_couplings(generator, size, density)
        sizes = generator.uniform(*strength, (size, size)) * generator.choice([-1.0, 1.0], (size, size))
        matrix = np.where(coupled, sizes, 0.0)
        growth = float(np.linalg.eigvals(matrix).real.max())
        return cls(matrix - (max(growth, 0.0) + slowest_decay) * np.eye(size))

    @staticmethod
    def names(size: int) -> tuple[str, ...]:
        """Names of the variables, of a system of this size."""
        return number_names("x", size)

    @property
    def coupling(self) -> Floats:
        """The matrix without its diagonal, (target, source)."""
        return self.matrix - np.diag(np.diag(self.matrix))

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables."""
        return self.names(len(self.matrix))

    def with_parameter(self, name: str, factor: float) -> Self:
        """The same system with a parameter multiplied, see `SolvableSystem.with_parameter`.

        Raises:
            UserError: there is no such parameter, the factor is no number above 0, or the system would grow.
        """
        check_factor(type(self).__name__, self.parameters, name, factor)
        if name == "matrix":
            return replace(self, matrix=self.matrix * factor)
        changed = np.diag(np.diag(self.matrix)) + factor * self.coupling
        growth = float(np.linalg.eigvals(changed).real.max())
        if growth > 0.0:
            message = (
                f"couplings {factor:g} times as strong make the linear system grow, e-fold in {1.0 / growth:.3g} units "
                "of time; take a larger slowest_decay, or a weaker strength"
            )
            raise UserError(message)
        return replace(self, matrix=changed)

    def rates(self, states: Floats) -> Floats:
        """dx/dt (…, variable) at `states` (…, variable)."""
        return states @ self.matrix.T

    def jacobian(self, states: Floats) -> Floats:
        """The matrix at each of the `states`, (…, target, source)."""
        return np.broadcast_to(self.matrix, (*states.shape, len(self.matrix))).copy()

    def edges(self) -> NDArray[np.bool_]:
        """Entries of the matrix that are not 0, (source, target)."""
        return self.matrix.T != 0.0

    def signs(self) -> Floats:
        """Signs of the entries of the matrix, (source, target)."""
        return np.sign(self.matrix.T)

    def draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        """Standard normal states (trajectory, variable)."""
        return generator.standard_normal((count, len(self.matrix)))

    def solve(
        self,
        initial_states: Floats,
        times: Floats,
        clamp: Mapping[int, float] | None = None,
        most_evaluations: int | None = None,  # noqa: ARG002  the same for every system; this one is not integrated
    ) -> Floats:
        """Exact states (trajectory, time, variable) by the matrix exponential, for the arguments of `System.solve`.

        Raises:
            UserError: `clamp` names a variable that there is not.
        """
        from scipy.linalg import expm

        matrix, states = self.matrix.copy(), np.array(initial_states, dtype=np.float64)
        for index, value in (clamp or {}).items():
            if not 0 <= index < len(matrix):
                message = f"cannot hold variable {index}: the system has the variables 0 to {len(matrix) - 1}"
                raise UserError(message)
            matrix[index], states[:, index] = 0.0, value
        times = np.broadcast_to(times, (len(states), np.shape(times)[-1]))
        different, where = np.unique(times, return_inverse=True)
        propagators = expm(matrix * different[:, None, None])
        return np.asarray(np.einsum("rtij,rj->rti", propagators[where.reshape(times.shape)], states))
