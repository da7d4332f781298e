"""One measurement of the training engine, in a process of its own, so that its peak memory is its own too.

    python benchmarks/measure.py '{"kind": "step", "members": 32, "method": "pathreg", "gates": "unit"}'

Prints one line of JSON. `engine.py` calls this for all of its measurements.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import made_up
import numpy as np
import rivals
import torch
from reference import ReferenceLoop, Trajectory

from sparsenode.data.contract import read_trajectories
from sparsenode.ensemble.device import keep_freed_memory, peak_memory
from sparsenode.ensemble.members import Ensemble
from sparsenode.ensemble.memory import evaluations_kept
from sparsenode.evaluation.sparsity import feature_sparsity
from sparsenode.settings import MethodSettings, ModelSettings, SolverSettings, StopSettings
from sparsenode.training.loop import TrainingResult, train
from sparsenode.training.problems import Problem, make_problem, make_problems

DATA = Path("results/data/hematopoiesis_study.h5ad")
GENES = 529
STEP = 0.2


def main() -> None:
    given = json.loads(sys.argv[1])
    torch.set_num_threads(given.pop("threads"))
    kind = given.pop("kind")
    if kind != "reference":  # the allocator's setting is part of the engine
        keep_freed_memory()
    found = MEASUREMENTS[kind](**given)
    found["memory_mb"] = peak_memory("cpu") / 1e6
    print(json.dumps(found))


def measure_peak() -> dict[str, Any]:
    """Float32 matrix products of 2048 x 2048: what the machine can do."""
    size = 2048
    left, right = torch.rand(size, size), torch.rand(size, size)
    seconds = []
    for _ in range(30):
        began = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - began)
    return {"flops_per_second": 2 * size**3 / median(seconds)}


def measure_reference(draw: str, iterations: int, settled: int = 40) -> dict[str, Any]:
    """The one-model loop on all cells of the training donor, as the study has it, after some iterations.

    The engine trains on those that validation leaves; its step does not depend on their number.
    """
    adata = read_trajectories(DATA)
    trajectories = []
    for name in adata.obs["trajectory"].cat.categories:
        rows = ((adata.obs["trajectory"] == name) & (adata.obs["split"] != "test")).to_numpy()
        if rows.any():
            times = torch.tensor(adata.obs["time"].to_numpy()[rows], dtype=torch.float32)
            observed = torch.tensor(np.asarray(adata.X[rows]))
            trajectories.append(Trajectory(observed[:5].mean(0), times - times[0], observed))
    loop = ReferenceLoop(trajectories, (100, 100), draw)
    seconds, evaluations = [], []
    for _ in range(settled + iterations):
        loop.network.evaluations = 0
        began = time.perf_counter()
        loop.iterate()
        seconds.append(time.perf_counter() - began)
        evaluations.append(loop.network.evaluations)
    return {"seconds": seconds[settled:], "evaluations": median(evaluations[settled:])}


def measure_step(
    members: int,
    method: str,
    gates: str,
    hidden: list[int] | None = None,
    genes: int = GENES,
    iterations: int = 25,
) -> dict[str, Any]:
    """Iterations of the training loop itself: real cells, or made-up ones with as many genes as asked for."""
    settings = ModelSettings(
        hidden=tuple(hidden or (100, 100)),
        gates=gates,
        solver=SolverSettings(step=STEP),
        iterations=iterations,
        warm_up=0.0,
    )
    if genes == GENES:
        problems = make_problems(read_trajectories(DATA), settings)
    else:
        problems = [(1.0, made_up.lineages(1000, genes, settings))]
    seconds = time_iterations(problems, genes, settings, method, members)
    widths = [genes, *settings.hidden, genes]
    rows, intervals = len(problems[0][1].positions), problems[0][1].grid.intervals
    # A product forward, one back to the state and one to the weights, in each evaluation.
    weights = sum(below * above for below, above in pairwise(widths))
    flops = 3 * 2 * rows * evaluations_kept("rk4", intervals) * weights
    return {"seconds": median(seconds), "flops_per_member": flops}


def measure_target(members: int, strength: float, model: dict[str, Any]) -> dict[str, Any]:
    """Train a block of PathReg members on the real cells: the error and the feature sparsity that they end with."""
    if "stop" in model:
        model["stop"] = StopSettings(**model["stop"])
    settings = ModelSettings(gates="unit", solver=SolverSettings(step=STEP), **model)
    method = MethodSettings(regularizer="pathreg", strengths=(strength,), options={"kappa": 0.1})
    adata = read_trajectories(DATA)
    problems = make_problems(adata, settings)
    began = time.perf_counter()
    result = train(problems, GENES, settings, method, range(members))
    seconds = time.perf_counter() - began
    errors, sparsity = errors_and_sparsity(adata, result, settings)
    return {
        "seconds": seconds,
        "iterations": median(member.iterations for member in result.members),
        "mse_sum": errors[0].tolist(),
        "mse_sum_all_cells": errors[1].tolist(),
        "feature_sparsity": sparsity.tolist(),
    }


def errors_and_sparsity(
    adata: Any, result: TrainingResult, settings: ModelSettings
) -> tuple[list[np.ndarray], np.ndarray]:
    """Sums over the lineages of the mean squared error, on the training cells and on all of the donor, (member,) each.

    And the share (member,) of empty paths. All with deterministic gates.
    """
    frozen = {
        "model_settings": settings.model_dump(mode="json"),
        "method_settings": {"regularizer": "pathreg", "strengths": [0.0], "options": {}},
    }
    ensemble = Ensemble(frozen, result.members, tuple(adata.var_names), {}, result.parameters)
    names = adata.obs["trajectory"].astype(str).to_numpy()
    split = adata.obs["split"].astype(str).to_numpy()
    time_ = adata.obs["time"].to_numpy(dtype=float)
    trajectories = list(dict.fromkeys(names[split == "train"]))
    starts = adata.uns["sparsenode"]["initial_states"].loc[trajectories].to_numpy(dtype=float)
    chosen = [np.flatnonzero((split != "test") & (names == name)) for name in trajectories]
    forecasts = ensemble.forecast(starts, [time_[rows] for rows in chosen])
    values = np.asarray(adata.X)
    errors = []
    for splits in (("train",), ("train", "validation")):
        total = np.zeros(len(result.members))
        for forecast, rows in zip(forecasts, chosen, strict=True):
            counted = np.isin(split[rows], splits)
            total += np.square(forecast - values[rows])[:, counted].mean(axis=(1, 2))
        errors.append(total)
    return errors, feature_sparsity(ensemble.path_matrix())


def measure_cells(cells: list[int], members: int = 8, rounds: int = 5, iterations: int = 40) -> dict[str, Any]:
    """Steps on data sets of several sizes, in turn within one process: what else the machine does hits all alike."""
    settings = ModelSettings(gates="unit", solver=SolverSettings(step=STEP), iterations=iterations, warm_up=0.0)
    problems, preparation = {}, []
    for count in cells:
        began = time.perf_counter()
        problems[count] = made_up.lineages(count, GENES, settings)
        preparation.append(time.perf_counter() - began)
    seconds: dict[int, list[float]] = {count: [] for count in cells}
    for _ in range(rounds):
        for count, problem in problems.items():
            seconds[count] += time_iterations([(1.0, problem)], GENES, settings, "pathreg", members)
    return {"seconds": [median(seconds[count]) for count in cells], "preparation": preparation}


def time_iterations(
    problems: Sequence[tuple[float, Problem]], genes: int, settings: ModelSettings, method: str, members: int
) -> list[float]:
    """Times of the iterations of the training loop, the first few left out."""
    stamps: list[float] = []

    def stamp() -> int:
        stamps.append(time.perf_counter())
        return 0

    strengths = (0.0,) if method == "none" else (0.1,)
    train(
        problems,
        genes,
        settings,
        MethodSettings(regularizer=method, strengths=strengths, options={}),
        range(members),
        interrupted=stamp,
    )
    return [after - before for before, after in pairwise(stamps)][3:]


def measure_rival(engine: str, size: dict[str, Any], members: list[int], iterations: int) -> dict[str, Any]:
    """Seconds of an iteration of all members, for each number of them; `ours` is the training loop of this package."""
    what = rivals.Size(**{**size, "hidden": tuple(size["hidden"])})
    if engine == "ours":
        return {"seconds": [time_ours(what, count, iterations) for count in members]}
    return {"seconds": [rivals.time_engine(engine, what, count, iterations) for count in members]}


def time_ours(size: rivals.Size, members: int, iterations: int) -> float:
    """Seconds of an iteration of the training loop, without gates and penalties as the others."""
    settings = ModelSettings(
        network="per_target" if size.per_target else "joint",
        hidden=size.hidden,
        activation="tanh" if size.per_target else "elu",
        solver=SolverSettings(step=size.step),
        iterations=iterations + 4,
        check_every=iterations + 4,
        warm_up=0.0,
    )
    observed = list(size.observed())
    times = [size.step * np.arange(size.steps + 1.0)] * size.rows
    rows = made_up.rows_of(np.array([values[0] for values in observed]), times, observed)
    problem = make_problem(rows, settings, np.ones(size.variables))
    return median(time_iterations([(1.0, problem)], size.variables, settings, "none", members))


MEASUREMENTS = {
    "cells": measure_cells,
    "peak": measure_peak,
    "reference": measure_reference,
    "rival": measure_rival,
    "step": measure_step,
    "target": measure_target,
}

if __name__ == "__main__":
    main()
