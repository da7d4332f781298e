"""Test sets of a simulated source at levels of distance from its training data (see `sparsenode.data.distances`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import Field

from sparsenode.data.distances import CHANGED, INTERPOLATION, OUTSIDE
from sparsenode.data.simulated.simulation import make_trajectories
from sparsenode.data.trajectories import Floats, Trajectory, constant_labels
from sparsenode.typed import Settings

MOST_HELD_OUT = 20
"""Held-out times within the trained interval at most, the same for all training trajectories."""


class DistanceSettings(Settings):
    """Which test sets there are beside the usual ones."""

    parameter: str = Field(
        description="Parameter of the system that is halved and doubled, all its entries, such as a coupling; models "
        "are not told."
    )


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """What was simulated and observed, from which the distant test sets are made.

    Attributes:
        system: the true system.
        course: features (trajectory, time, feature), in the unit of the states, of a system from starts (trajectory,
            variable) at times (trajectory, time).
        starts: exact states (trajectory, variable) at the first observation, the training trajectories first.
        training: number of training trajectories.
        times: of the test trajectories within the trained interval, (trajectory, time).
        horizon: end of the trained interval.
        scale: unit of the values, (feature,).
        noise: standard deviation of the observation noise, in that unit, (feature,).
        first_noise: noise of the first observations in that unit, (trajectory, feature).
    """

    system: Any
    course: Callable[[Any, Floats, Floats], Floats]
    starts: Floats
    training: int
    times: Floats
    horizon: float
    scale: Floats
    noise: Floats
    first_noise: Floats


def distant_trajectories(
    simulation: Simulation,
    settings: DistanceSettings,
    generator: np.random.Generator,
    nearest_allowed: Callable[[Floats], Floats],
) -> tuple[Trajectory, ...]:
    """Test trajectories of the levels 0, 3 and 4, each with its own noise-free truth.

    Those of level 0 are the training trajectories at other times within the trained interval, observed alike at their
    start. Those of level 4 start as the test trajectories do and are observed alike there, so that the system is all
    that differs; those of level 3 start on the line from the center of the training starts through the start of each
    test trajectory.

    Args:
        simulation: what was simulated.
        settings: the parameter that is changed.
        generator: source of the held-out times and of the noise.
        nearest_allowed: takes states (trajectory, variable) and gives the nearest ones that the system can have.

    Raises:
        UserError: a changed system, or one from farther out, cannot be solved up to the last time.
    """
    trajectories: list[Trajectory] = []
    for phase, system, starts, times, first_noise in _sets(simulation, settings, generator, nearest_allowed):
        features = simulation.course(system, starts, times)
        noise = simulation.noise * generator.standard_normal(features.shape)
        if first_noise is not None:
            noise[:, 0] = first_noise
        made_of = make_trajectories(
            features,
            times,
            np.ones(features.shape[:2], dtype=bool),
            simulation.scale,
            noise,
            training=0,
            name=phase,
        )
        trajectories += [replace(entry, phases=constant_labels(phase, times.shape[1])) for entry in made_of]
    return tuple(trajectories)


def _sets(
    simulation: Simulation,
    settings: DistanceSettings,
    generator: np.random.Generator,
    nearest_allowed: Callable[[Floats], Floats],
) -> Iterator[tuple[str, Any, Floats, Floats, Floats | None]]:
    """Phase, system, starts, times, and noise of the first observations where it is not drawn."""
    count, times = simulation.training, simulation.times
    training, tests = simulation.starts[:count], simulation.starts[count:]
    width = min(MOST_HELD_OUT, times.shape[1] - 1)
    held_out = np.sort(simulation.horizon * (1.0 - generator.random(width)))  # in (0, horizon]
    first = simulation.first_noise
    of_training = np.tile(np.concatenate([[0.0], held_out]), (count, 1))
    yield INTERPOLATION, simulation.system, training, of_training, first[:count]
    center = training.mean(axis=0)
    for phase, distance in OUTSIDE.items():
        yield phase, simulation.system, nearest_allowed(center + distance * (tests - center)), times, None
    for phase, factor in CHANGED.items():
        yield phase, simulation.system.with_parameter(settings.parameter, factor), tests, times, first[count:]
