"""Time an iteration of training by both engines, one after the other in turn: operations of torch, the compiled kernel.

    python benchmarks/compiled.py [--threads 1] [--rounds 5] [--only "3 variables, 1"] [--clock process]

The data are random walks; an iteration is that of the training loop, optimizer and checks included. Prints medians in
milliseconds a member and their ratio. With `--clock process` it counts processor time, for a machine that is not idle.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np
import torch

from sparsenode.data.windows import Rows
from sparsenode.dynamics.fields import make_field
from sparsenode.dynamics.network import effective_layers, initialize_parameters
from sparsenode.ensemble.device import keep_freed_memory
from sparsenode.settings import MethodSettings, ModelSettings, SolverSettings
from sparsenode.training.engine import Engine
from sparsenode.training.loop import train
from sparsenode.training.matching import Matching
from sparsenode.training.problems import make_problem

ENGINES: tuple[Engine, ...] = ("plain", "compiled")
CLOCKS = {"wall": time.perf_counter, "process": time.process_time}
SKIPPED = 3


@dataclass(frozen=True, kw_only=True)
class Point:
    """What is timed; `most` is the time in milliseconds a member that is aimed at."""

    features: int
    members: int
    hidden: tuple[int, ...] = (20,)
    network: str = "per_target"
    rows: int = 64
    intervals: int = 12
    method: str = "none"
    gates: str = "unit"
    iterations: int = 20
    most: float


WIDE = {"hidden": (100, 100), "network": "joint", "rows": 3, "intervals": 5}
POINTS = {
    "3 variables, 1 member": Point(features=3, members=1, iterations=100, most=0.6),
    "3 variables, 15 members": Point(features=3, members=15, iterations=40, most=0.3),
    "3 variables, 60 members": Point(features=3, members=60, most=0.3),
    "20 variables, 8 members": Point(features=20, members=8, most=3.5),
    "50 variables, 4 members": Point(features=50, members=4, iterations=10, most=15.0),
    "529-100-100-529, 1 member": Point(features=529, members=1, iterations=60, most=1.3, **WIDE),
    "529-100-100-529, 32 members": Point(features=529, members=32, iterations=10, most=0.6, **WIDE),
    "the same, gates on units": Point(features=529, members=32, method="pathreg", iterations=10, most=0.75, **WIDE),
    "the same, gates on weights": Point(
        features=529, members=32, method="pathreg", gates="weight", iterations=10, most=1.1, **WIDE
    ),
}
MATCHING = "matching, 50 variables x 2,000, 32 members"
MOST_OF_MATCHING = 4.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="begin of the names of what is timed")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    clock = CLOCKS[arguments.clock]
    points: dict[str, tuple[Callable[[Engine], list[float]], float]] = {
        name: (lambda engine, point=point: time_training(point, engine, clock), point.most)
        for name, point in POINTS.items()
    }
    points[MATCHING] = (lambda engine: time_matching(engine, clock), MOST_OF_MATCHING)
    print(f"{'ms a member':<44} {'plain':>9} {'compiled':>9} {'ratio':>6} {'aim':>6}")
    for name, (measure, most) in points.items():
        if not name.startswith(arguments.only):
            continue
        seconds: dict[Engine, list[float]] = {engine: [] for engine in ENGINES}
        for _ in range(arguments.rounds):
            for engine in ENGINES:
                seconds[engine] += measure(engine)
        plain, compiled = (1e3 * median(seconds[engine]) for engine in ENGINES)
        print(f"{name:<44} {plain:>9.3f} {compiled:>9.3f} {plain / compiled:>6.1f} {most:>6.2f}", flush=True)


def time_training(point: Point, engine: Engine, clock: Callable[[], float]) -> list[float]:
    """Seconds a member of each iteration of a training, the first ones left out."""
    rng = np.random.default_rng(0)
    observations = point.intervals + 1
    observed = [0.1 * rng.normal(size=(observations, point.features)).cumsum(0) for _ in range(point.rows)]
    nothing = np.zeros((point.rows, point.features))
    rows = Rows(
        initial=np.array([values[0] for values in observed]),
        initial_error=nothing,
        velocity=nothing,
        velocity_error=nothing,
        at_start=np.ones(point.rows, dtype=bool),
        times=[np.linspace(0.0, 1.0, observations)] * point.rows,
        observed=observed,
        weights=[np.ones(observations)] * point.rows,
    )
    settings = ModelSettings(
        hidden=point.hidden,
        network=point.network,
        activation="tanh" if point.network == "per_target" else "elu",
        gates=point.gates,
        solver=SolverSettings(step=1.0 / point.intervals),
        iterations=point.iterations,
        warm_up=0.0,
    )
    stamps: list[float] = []

    def stamp() -> int:
        stamps.append(clock())
        return 0

    strengths = (0.0,) if point.method == "none" else (0.1,)
    train(
        [(1.0, make_problem(rows, settings, np.ones(point.features)))],
        point.features,
        settings,
        MethodSettings(regularizer=point.method, strengths=strengths),
        range(point.members),
        interrupted=stamp,
        engine=engine,
    )
    return [(after - before) / point.members for before, after in pairwise(stamps)][SKIPPED:]


def time_matching(engine: Engine, clock: Callable[[], float], features: int = 50, members: int = 32) -> list[float]:
    """Seconds a member of the loss of slopes and its gradient, 2,000 observations and 20 units a target."""
    observations = 2000
    generators = [torch.Generator().manual_seed(member) for member in range(members)]
    fresh = initialize_parameters(generators, [features, 20, features], gates_on=None, per_target=True)
    parameters = fresh.map(lambda tensor: tensor.requires_grad_())
    matching = Matching(
        states=torch.randn(observations, features),
        movement=torch.randn(observations, features),
        weight=torch.full((1, observations), 1.0 / observations),
        feature_weight=torch.full((features,), 1.0 / features),
    )
    seconds = []
    for _ in range(3):
        began = clock()
        layers = effective_layers(parameters, (), "tanh")
        losses = matching.loss(make_field(1, features), layers, compiled=engine == "compiled")
        torch.autograd.grad(losses.sum(), [*parameters.weights, *parameters.biases])
        seconds.append((clock() - began) / members)
    return seconds[1:]


if __name__ == "__main__":
    main()
