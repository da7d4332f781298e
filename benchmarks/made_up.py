"""Problems that benchmarks make up, in the shapes of real ones."""

from __future__ import annotations

import numpy as np

from sparsenode.data.windows import Rows
from sparsenode.settings import ModelSettings
from sparsenode.training.problems import Problem, make_problem

TRAJECTORY_SHARES = (0.22, 0.65, 0.13)
"""Cells along the three lineages of the real data, as shares."""


def lineages(cells: int, genes: int, settings: ModelSettings) -> Problem:
    """Three trajectories of noisy cells around smooth curves, over a time of 1."""
    generator = np.random.default_rng(0)
    times, observed = [], []
    for share in TRAJECTORY_SHARES:
        time = np.sort(generator.random(max(10, round(share * cells))))
        time[0], time[-1] = 0.0, 1.0
        curve = generator.random((2, genes), dtype=np.float32)
        values = generator.random((len(time), genes), dtype=np.float32)
        values *= 0.2
        values += curve[0] + np.outer(time, curve[1] - 0.5).astype(np.float32)
        times.append(time)
        observed.append(values)
    starts = np.array([values[:5].mean(0) for values in observed])
    return make_problem(rows_of(starts, times, observed), settings, np.ones(genes))


def windows(variables: int, count: int, steps: int, settings: ModelSettings) -> Problem:
    """Windows of damped oscillations, observed at each step, of which each lasts 1."""
    generator = np.random.default_rng(1)
    times = [np.arange(steps + 1.0) for _ in range(count)]
    observed = []
    for time in times:
        phase, size = generator.random((2, variables))
        values = np.exp(-0.05 * time)[:, None] * np.sin(0.5 * time[:, None] + 6.0 * phase) * (0.5 + size)
        observed.append(values.astype(np.float32))
    starts = np.array([values[0] for values in observed])
    return make_problem(rows_of(starts, times, observed), settings, np.ones(variables))


def rows_of(starts: np.ndarray, times: list[np.ndarray], observed: list[np.ndarray]) -> Rows:
    """Rows without errors, of which all observations count alike."""
    nothing = np.zeros_like(starts)
    return Rows(
        initial=starts,
        initial_error=nothing,
        velocity=nothing,
        velocity_error=nothing,
        at_start=np.ones(len(times), bool),
        times=times,
        observed=observed,
        weights=[np.ones(len(time)) for time in times],
    )
