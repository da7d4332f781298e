"""What simulated sources share: ranges of parameters, regular times, and trajectories in units of their deviation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsenode.data.trajectories import Floats, Trajectory, constant_labels

INTERVAL: dict[str, Any] = {
    "type": "array",
    "items": {"type": "number", "exclusiveMinimum": 0},
    "minItems": 2,
    "maxItems": 2,
}
"""Schema of an option that is a range of positive numbers."""


def draw_uniform(generator: np.random.Generator, interval: Sequence[float], count: int) -> Floats:
    """Draw `count` numbers from an interval."""
    return generator.uniform(interval[0], interval[1], size=count)


def regular_times(horizon: float, within: int, extrapolation_share: float) -> Floats:
    """Times (time,): 0 and `within` more up to `horizon`, and as dense beyond it, up to a share longer."""
    beyond = round(within * extrapolation_share)
    # Through linspace, so that the end of the fit is `horizon` to the last bit.
    fit = np.linspace(0.0, horizon, within + 1)
    return np.concatenate([fit, horizon + np.arange(1, beyond + 1) * (horizon / within)])


def make_trajectories(
    states: Floats, times: Floats, within: NDArray[np.bool_], scale: Floats, noise: Floats, *, training: int
) -> tuple[Trajectory, ...]:
    """Trajectories of exact `states` over their `scale` (feature,), and noise in that unit; the first are for training.

    Shapes: `states` and `noise` (trajectory, time, feature), `times` and `within` (trajectory, time), the latter true
    in the interval that models are trained on.
    """
    width = len(str(len(states) - 1))
    trajectories = []
    for index in range(len(states)):
        name = f"trajectory_{index:0{width}d}"
        noise_free = states[index] / scale
        trajectories.append(
            Trajectory(
                name=name,
                group="all",
                subject=name,
                times=times[index],
                values=noise_free + noise[index],
                splits=constant_labels("train" if index < training else "test", len(times[index])),
                phases=np.where(within[index], "fit", "extrapolation"),
                noise_free=noise_free,
                scale=scale,
            )
        )
    return tuple(trajectories)
