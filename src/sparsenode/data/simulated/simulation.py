"""What simulated sources share: ranges of parameters, regular times, a solver, and trajectories of its states."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sparsenode.data.trajectories import Floats, Trajectory, constant_labels
from sparsenode.errors import UserError

_RELATIVE_TOLERANCE, _ABSOLUTE_TOLERANCE = 1e-11, 1e-12
_ROUNDING = 1e-9  # of a step: an interval of ten steps is cut into ten
_MOST_EVALUATIONS = 200_000  # systems that come to rest take about 500, chaotic ones 1,000 or more a period

Interval = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=2, max_length=2)]
"""An option that is a range of positive numbers."""


def draw_uniform(generator: np.random.Generator, interval: Sequence[float], count: int) -> Floats:
    """Draw `count` numbers from an interval."""
    return generator.uniform(interval[0], interval[1], size=count)


def regular_times(horizon: float, within: int, extrapolation_share: float) -> Floats:
    """Times (time,): 0 and `within` more up to `horizon`, and as dense beyond it, up to a share longer.

    Args:
        horizon: end of the interval that models are trained on.
        within: number of times in it, 0 not counted.
        extrapolation_share: how much longer the times go on, as a share of `horizon`.
    """
    beyond = round(within * extrapolation_share)
    # Through linspace, so that the end of the fit is `horizon` to the last bit.
    fit = np.linspace(0.0, horizon, within + 1)
    return np.concatenate([fit, horizon + np.arange(1, beyond + 1) * (horizon / within)])


def solve_rates(
    rates: Callable[[Floats], Floats],
    initial_states: Floats,
    times: Floats,
    clamp: Mapping[int, float] | None = None,
    names: Sequence[str] | None = None,
    most_evaluations: int | None = None,
) -> Floats:
    """States (trajectory, time, node) of dx/dt = rates(x), to about 1e-9 of their size, by Dormand and Prince, order 8.

    Args:
        rates: takes states and gives rates, both (trajectory, node).
        initial_states: (trajectory, node), at time 0.
        times: (time,) or (trajectory, time), none negative.
        clamp: values by number of the node; these nodes are held at them from time 0 on: the system under an
            intervention.
        names: (node,), what messages call the nodes, in place of their numbers.
        most_evaluations: of the rates, after which the system counts as too fast for the method; None for 200,000,
            which is far more than a system that comes to rest needs. What a chaotic one needs grows with the time.

    Raises:
        UserError: `clamp` names a node that there is not, a state or value is not finite, or the system grows without
            bound or is too fast to be solved up to the last time.
    """
    from scipy.integrate import solve_ivp

    start = np.array(initial_states, dtype=np.float64)
    held = np.array(sorted(clamp or {}), dtype=np.int64)
    outside = [int(node) for node in held if not 0 <= node < start.shape[1]]
    if outside:
        message = f"cannot hold node {outside[0]}: the system has the nodes 0 to {start.shape[1] - 1}"
        raise UserError(message)
    for node, value in (clamp or {}).items():
        start[:, node] = value
    if not np.isfinite(start).all():
        message = "cannot solve the simulated system from states, or with nodes held at values, that are not finite"
        raise UserError(message)

    asked = np.broadcast_to(times, (len(start), np.shape(times)[-1]))
    different, where = np.unique(asked, return_inverse=True)
    limit = _MOST_EVALUATIONS if most_evaluations is None else most_evaluations
    if different[-1] == 0.0:
        return np.repeat(start[:, None], asked.shape[1], axis=1)
    last_time, last_change, evaluations = 0.0, np.zeros_like(start), 0

    def free_rates(time: float, flat: Floats) -> Floats:
        nonlocal last_time, last_change, evaluations
        change = rates(flat.reshape(start.shape))
        change[:, held] = 0.0
        last_time, last_change, evaluations = float(time), change, evaluations + 1
        if evaluations == 1 and not np.isfinite(change).all():
            raise _unsolvable(last_time, last_change, names)
        if evaluations > limit:
            raise _unsolvable(last_time, last_change, names, evaluations=limit)
        return change.ravel()

    with np.errstate(all="ignore"):
        solution = solve_ivp(
            free_rates,
            (0.0, float(different[-1])),
            start.ravel(),
            method="DOP853",
            t_eval=different,
            rtol=_RELATIVE_TOLERANCE,
            atol=_ABSOLUTE_TOLERANCE,
        )
    if not solution.success:
        raise _unsolvable(last_time, last_change, names)
    states = solution.y.reshape(*start.shape, len(different)).swapaxes(1, 2)
    lost = ~np.isfinite(states).all(axis=(0, 2))
    if lost.any():
        first = int(lost.argmax())
        raise _unsolvable(float(different[first]), states[:, first], names)
    return np.asarray(np.take_along_axis(states, where.reshape(asked.shape)[:, :, None], axis=1))


def solve_with_noise(
    rates: Callable[[Floats], Floats],
    diffusion: Callable[[Floats], Floats],
    initial_states: Floats,
    times: Floats,
    *,
    step: float,
    generator: np.random.Generator,
    constrain: Callable[[Floats], Floats] | None = None,
    names: Sequence[str] | None = None,
) -> Floats:
    """States (trajectory, time, node) of the Itô equation dx = rates(x) dt + diffusion(x) dW, from time 0 on.

    A step is one of Runge and Kutta, order 4, and then the noise, as GVAR simulates it (Marcinkevičs and Vogt, ICLR
    2021); with no noise the error is of order step^4, with noise that does not depend on the state of order step.

    Args:
        rates: takes states and gives rates, both (trajectory, node).
        diffusion: takes states and gives the standard deviation of the noise per square root of time, both
            (trajectory, node).
        initial_states: (trajectory, node), at time 0.
        times: (time,), increasing, none negative.
        step: longest time step; each interval between `times` is cut into equal ones.
        generator: source of the noise.
        constrain: takes states after a step and gives the allowed ones nearest to them; None where all are.
        names: (node,), what messages call the nodes, in place of their numbers.

    Raises:
        UserError: a state is not finite: the system grows without bound, or the step is too long for it.
    """
    state, last = np.array(initial_states, dtype=np.float64), 0.0
    states = np.empty((len(state), len(times), state.shape[1]))
    with np.errstate(all="ignore"):
        for index, time in enumerate(times):
            count = max(1, int(np.ceil((time - last) / step - _ROUNDING))) if time > last else 0
            width = (time - last) / max(count, 1)
            for _ in range(count):
                first = rates(state)
                second = rates(state + 0.5 * width * first)
                third = rates(state + 0.5 * width * second)
                fourth = rates(state + width * third)
                kick = diffusion(state) * np.sqrt(width) * generator.standard_normal(state.shape)
                state = state + width / 6.0 * (first + 2.0 * second + 2.0 * third + fourth) + kick
                state = state if constrain is None else constrain(state)
            if not np.isfinite(state).all():
                node = int((~np.isfinite(state)).any(axis=0).argmax())
                message = (
                    f"cannot simulate the system with noise beyond time {last:.6g}: "
                    f"{f'node {node}' if names is None else names[node]} is not finite; take a shorter step than "
                    f"{step:g}, less noise, or see whether the equations let it grow for ever"
                )
                raise UserError(message)
            states[:, index], last = state, float(time)
    return states


def _unsolvable(time: float, values: Floats, names: Sequence[str] | None, *, evaluations: int = 0) -> UserError:
    """What to tell where a solve ends before its last time; `values` (trajectory, node) are states or rates there.

    After too many `evaluations` the system is too fast for the method, else it grows without bound.
    """
    lost = ~np.isfinite(values).all(axis=0)
    size = np.abs(values).max(axis=0)
    node = int(lost.argmax() if lost.any() else size.argmax())
    name = f"node {node}" if names is None else names[node]
    if evaluations:
        reason = f"{evaluations} evaluations of its rates reach no farther, and {name} changes fastest there"
        advice = (
            "take earlier times, or slower rates: where fast ones hold each other, the method cannot take large steps"
        )
    else:
        reason = (
            f"{name} is not finite"
            if lost.any()
            else f"{name} changes without bound, by {size[node]:.3g} a unit of time"
        )
        advice = "take earlier times or other starts, or see whether the equations let it grow for ever"
    return UserError(f"cannot solve the simulated system beyond time {time:.6g}: {reason}; {advice}")


def read_arrays(
    record: type[Any], provenance: Mapping[str, Any], *, origin: str, source: str, integers: Collection[str] = ()
) -> dict[str, NDArray[Any]]:
    """The fields of a dataclass of arrays from a provenance.

    Args:
        record: the dataclass.
        provenance: that of a dataset.
        origin: what the provenance has to come from, for messages.
        source: the setting that a dataset of this origin has, for messages.
        integers: names of the fields that hold whole numbers.

    Raises:
        UserError: the provenance is not that of its `origin`, for which a dataset with the `source` is needed.
    """
    names = [entry.name for entry in fields(record)]
    check_provenance(names, provenance, origin=origin, source=source)
    return {name: np.asarray(provenance[name], np.int64 if name in integers else np.float64) for name in names}


def check_provenance(names: Sequence[str], provenance: Mapping[str, Any], *, origin: str, source: str) -> None:
    """Check that a provenance has all `names`.

    Args:
        names: keys that are needed.
        provenance: that of a dataset.
        origin: what the provenance has to come from, for messages.
        source: the setting that a dataset of this origin has, for messages.

    Raises:
        UserError: it has not, so that it is not that of its `origin`, for which a dataset with the `source` is needed.
    """
    if missing := [name for name in names if name not in provenance]:
        message = (
            f"the provenance has no {', '.join(missing)}, so it is not that of {origin}; take a dataset with {source}"
        )
        raise UserError(message)


def make_trajectories(
    states: Floats,
    times: Floats,
    within: NDArray[np.bool_],
    scale: Floats,
    noise: Floats,
    *,
    training: int,
    name: str = "trajectory",
) -> tuple[Trajectory, ...]:
    """Trajectories of exact `states` over their `scale`, and noise in that unit; the first are for training.

    Args:
        states: (trajectory, time, feature).
        times: (trajectory, time).
        within: (trajectory, time), true in the interval that models are trained on.
        scale: (feature,).
        noise: (trajectory, time, feature), in units of `scale`.
        training: how many trajectories are for training; the rest are for testing.
        name: what trajectories are called, followed by their number.
    """
    width = len(str(len(states) - 1))
    trajectories = []
    for index in range(len(states)):
        numbered = f"{name}_{index:0{width}d}"
        noise_free = states[index] / scale
        trajectories.append(
            Trajectory(
                name=numbered,
                group="all",
                subject=numbered,
                times=times[index],
                values=noise_free + noise[index],
                splits=constant_labels("train" if index < training else "test", len(times[index])),
                phases=np.where(within[index], "fit", "extrapolation"),
                noise_free=noise_free,
                scale=scale,
            )
        )
    return tuple(trajectories)
