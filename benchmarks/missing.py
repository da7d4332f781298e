"""What a training step costs where half of the entries are missing: 10 variables, 1,000 observations.

Prints the median time of the processor of a step, of joint networks and of one network per target, of complete data
and with entries missing at random, and the ratio.

    python benchmarks/missing.py [--members 10] [--steps 30] [--trajectories 1] [--share 0.5]
        [--output benchmarks/missing.csv]

Each kind of network is a row of the output; a row that is there is not measured again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from stored import StoredRows

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
    began = time.process_time()
    problems = make_problems(adata, settings)
    factored = time.process_time() - began
    stamps: list[float] = []
    method = MethodSettings(regularizer="none", strengths=(0.0,))
    train(
        problems, FEATURES, settings, method, tuple(range(members)), report=lambda _: stamps.append(time.process_time())
    )
    return median(np.diff(stamps)), factored


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("members", 10), ("steps", 30), ("trajectories", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".csv"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keys, values = ("network", "members", "trajectories", "share"), ("ms_complete", "ms_missing", "ratio", "s_factor")
    rows = StoredRows(arguments.output, keys, values)
    for network in ("joint", "per_target"):
        key = {
            "network": network,
            "members": arguments.members,
            "trajectories": arguments.trajectories,
            "share": arguments.share,
        }
        rows.measure(key, lambda network=network: measure(network, arguments))
    print(rows.read().to_string())


def measure(network: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Milliseconds of a step of complete data and with entries missing, and seconds of factoring the latter's loss."""
    complete, missing = (
        step_seconds(dataset(arguments.trajectories, share), network, arguments.members, arguments.steps)
        for share in (0.0, arguments.share)
    )
    return {
        "ms_complete": 1e3 * complete[0],
        "ms_missing": 1e3 * missing[0],
        "ratio": missing[0] / complete[0],
        "s_factor": missing[1],
    }


if __name__ == "__main__":
    main()
