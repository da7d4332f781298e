"""What a true system can be asked for: its course with variables held, and itself with a changed parameter."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np

from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError, nearest_names


class SolvableSystem(ABC):
    """Equations of features that can be solved again; a frozen dataclass whose fields the `parameters` are."""

    parameters: ClassVar[tuple[str, ...]]
    """Fields that `with_parameter` can multiply."""

    @abstractmethod
    def solve(self, initial_states: Floats, times: Floats, clamp: Mapping[int, float] | None = None) -> Floats:
        """States (trajectory, time, feature).

        Args:
            initial_states: (trajectory, feature), at time 0.
            times: (time,) or (trajectory, time), none negative.
            clamp: values by number of the feature; these features are held at them from time 0 on.

        Raises:
            UserError: `clamp` names a feature that there is not, a state or value is not finite, or the system cannot
                be solved up to the last time.
        """

    def with_parameter(self, name: str, factor: float) -> Self:
        """The same system with the parameter `name` multiplied by `factor`, all its entries where it has several.

        Raises:
            UserError: there is no parameter of that name, or the factor is no number above 0, so that it could remove
                edges or turn their signs.
        """
        check_factor(type(self).__name__, self.parameters, name, factor)
        changed: Any = self  # a dataclass, as the class says
        return replace(changed, **{name: getattr(self, name) * factor})


def check_factor(system: str, parameters: Sequence[str], name: str, factor: float) -> None:
    """Check that a system has a parameter `name` that can be multiplied by the factor.

    Raises:
        UserError: it has not, or the factor is no number above 0.
    """
    if name not in parameters:
        message = f"the system {system} has no parameter {name!r}; the nearest: {nearest_names(name, parameters)}"
        raise UserError(message)
    if not 0.0 < factor < np.inf:
        message = f"cannot multiply the parameter {name} by {factor}: the factor must be a finite number above 0"
        raise UserError(message)
