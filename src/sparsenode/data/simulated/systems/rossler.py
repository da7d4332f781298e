"""Rössler's system, extended to a chain of any length, as NGM simulates it.

dx_1/dt = a x_1 - x_2; dx_i/dt = sin(x_{i-1}) - sin(x_{i+1}) for i = 2 … p-2; dx_{p-1}/dt = x_{p-2};
dx_p/dt = epsilon + b x_p (x_{p-1} - d): the equations of the function `rossler` in the code of Bellot et al. (ICLR
2022, arXiv 2105.02522). Its experiments take a = 0, epsilon = .1, b = 4, d = 2, no noise, and steps of .1, and multiply
the observations by 400.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sparsenode.data.simulated.system import System, number_names
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError

_START_DEVIATION = 0.01
_FEWEST = 3


@dataclass(frozen=True)
class Rossler(System):
    """A chain of `size` variables; the letters of the parameters are those of the paper's code.

    Raises:
        UserError: the chain has fewer than three variables.
    """

    parameters: ClassVar[tuple[str, ...]] = ("a", "epsilon", "b", "d")

    size: int
    a: float = 0.0
    epsilon: float = 0.1
    b: float = 4.0
    d: float = 2.0

    def __post_init__(self) -> None:
        if self.size < _FEWEST:
            message = f"the system Rossler has {self.size} variables; it needs {_FEWEST} or more"
            raise UserError(message)

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables, in the order of the chain."""
        return number_names("x", self.size)

    def rates(self, states: Floats) -> Floats:
        """dx/dt (…, variable) at `states` (…, variable)."""
        change = np.empty_like(states)
        change[..., 0] = self.a * states[..., 0] - states[..., 1]
        change[..., 1:-2] = np.sin(states[..., :-3]) - np.sin(states[..., 2:-1])
        change[..., -2] = states[..., -3]
        change[..., -1] = self.epsilon + self.b * states[..., -1] * (states[..., -2] - self.d)
        return change

    def jacobian(self, states: Floats) -> Floats:
        """Derivatives of the rates (…, target, source) by the variables at `states` (…, variable)."""
        derivatives = np.zeros((*states.shape, self.size))
        derivatives[..., 0, 0] = self.a
        derivatives[..., 0, 1] = -1.0
        inner = np.arange(1, self.size - 2)
        derivatives[..., inner, inner - 1] = np.cos(states[..., inner - 1])
        derivatives[..., inner, inner + 1] = -np.cos(states[..., inner + 1])
        derivatives[..., -2, -3] = 1.0
        derivatives[..., -1, -2] = self.b * states[..., -1]
        derivatives[..., -1, -1] = self.b * (states[..., -2] - self.d)
        return derivatives

    def edges(self) -> NDArray[np.bool_]:
        """Which variable is in the rate of which, (source, target): only the ends have an effect on themselves."""
        exists = np.zeros((self.size, self.size), dtype=bool)
        inner = np.arange(1, self.size - 2)
        exists[inner - 1, inner] = exists[inner + 1, inner] = True
        exists[1, 0] = exists[-3, -2] = exists[-2, -1] = exists[-1, -1] = True
        exists[0, 0] = self.a != 0.0
        return exists

    def signs(self) -> Floats:
        """Signs (source, target) of the linear terms; those of the sines change with the state."""
        signs = np.zeros((self.size, self.size))
        signs[0, 0] = np.sign(self.a)
        signs[1, 0], signs[-3, -2] = -1.0, 1.0
        return signs

    def published_truths(self) -> Mapping[str, Floats]:
        """`ngm` (source, target): the truth of the paper's code, where x_1 has an effect on itself for any a."""
        edges = self.edges()
        edges[0, 0] = True
        return {"ngm": edges.astype(np.float64)}

    def draw_starts(self, generator: np.random.Generator, count: int) -> Floats:
        """Normal states (trajectory, variable) of mean 0 and deviation .01."""
        return _START_DEVIATION * generator.standard_normal((count, self.size))
