"""What a training step costs where half of the entries are missing: 10 variables, 1,000 observations.

Prints the median time of a step, of joint networks and of one network per target, of complete data and with entries
missing at random, and the ratio. Nothing else should run meanwhile.

    python benchmarks/missing.py [--members 10] [--steps 30] [--trajectories 1] [--share 0.5]
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

import numpy as np
import torch

from sparsenode.data.preprocess import assemble
from sparsenode.data.trajectories import RawTrajectories, Trajectory
from sparsenode.settings import MethodSettings, ModelSettings, SolverSettings
from sparsenode.training.loop import train
from sparsenode.training.problems import make_problems

FEATURES, OBSERVATIONS = 10, 1000
INTERVALS = 50


def dataset(trajectories: int, share: float) -> Any:
    """Waves of several frequencies with noise, of which a share of the entries is missing."""
    rng = np.random.default_rng(0)
    length = OBSERVATIONS // trajectories
    times = np.linspace(0.0, 10.0, length)
    parts = []
    for number in range(trajectories):
        phases = rng.uniform(0, 2 * np.pi, FEATURES)
        values = np.sin(times[:, None] * np.linspace(0.3, 1.5, FEATURES) + phases)
        values += 0.05 * rng.normal(size=values.shape)
        values[rng.random(values.shape) < share] = np.nan
        name = f"trajectory {number}"
        splits, phases_of = np.full(length, "train"), np.full(length, "fit")
        parts.append(Trajectory(name, "waves", name, times, values, splits, phases_of))
    names = tuple(f"x{number}" for number in range(FEATURES))
    return assemble("waves", RawTrajectories("simulated", names, tuple(parts), "s", "value"), {}, {})


def step_seconds(adata: Any, network: str, members: int, steps: int) -> tuple[float, float]:
    """Median seconds of a training step, and seconds of factoring the loss."""
    settings = ModelSettings(
        network=network, hidden=(32,), iterations=steps, solver=SolverSettings(step=10.0 / INTERVALS), check_every=1
    )
    began = time.perf_counter()
    problems = make_problems(adata, settings)
    factored = time.perf_counter() - began
    stamps: list[float] = []
    method = MethodSettings(regularizer="none", strengths=(0.0,))
    train(
        problems, FEATURES, settings, method, tuple(range(members)), report=lambda _: stamps.append(time.perf_counter())
    )
    return median(np.diff(stamps)), factored


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("members", 10), ("steps", 30), ("trajectories", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--share", type=float, default=0.5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for network in ("joint", "per_target"):
        found = {
            share: step_seconds(dataset(arguments.trajectories, share), network, arguments.members, arguments.steps)
            for share in (0.0, arguments.share)
        }
        (complete, before), (missing, after) = found[0.0], found[arguments.share]
        print(
            f"{network}: {1e3 * complete:.1f} ms a step of complete data, {1e3 * missing:.1f} ms with "
            f"{arguments.share:.0%} missing: {missing / complete:.2f} times; factored in {before:.2f} and {after:.2f} s"
        )


if __name__ == "__main__":
    main()
