"""How often intervals of forecasts hold the true state: their coverage on simulated systems, by number of members.

    python benchmarks/intervals.py [--systems hill linear lotka_volterra] [--draws 8] [--output FILE.csv]

Each draw is a system of its own. A model is fitted with all defaults but one strength and a short training, and
forecasts the test trajectories over the interval of the training. `model` is the coverage of the true states by
forecasts from true starts; `observed` that of noisy observations by forecasts from noisy starts, for which the
intervals are not meant. Rows that the output has are not computed again. `seconds` are of a processor, for the fit.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import sparsenode as sn
from sparsenode.data.contract import trajectory_slices

SYSTEMS: Mapping[str, Mapping[str, Any]] = {
    "hill": {"nodes": 8},
    "linear": {"nodes": 8, "density": 0.2},
    "lotka_volterra": {"species": 4, "partners": 2, "horizon": 5.0, "step_noise": 0.0},
}
SHARED = {"trajectories": 10, "test_trajectories": 3, "observations": 30, "extrapolation_share": 0.0}
NOISE = 0.05
MEMBERS = (3, 10)
COVERAGE = 0.9
STRENGTH = 0.003
COLUMNS = ("system", "draw", "members", "model", "observed", "width", "skill", "seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".csv"))
    arguments = parser.parse_args()
    for draw in range(arguments.draws):
        for system in arguments.systems:
            if not _is_there(arguments.output, system, draw):
                _append(arguments.output, measure(system, draw, arguments.iterations))
    table = pd.read_csv(arguments.output)
    means = table.groupby(["system", "members"])[["model", "observed", "width", "skill", "seconds"]].mean()
    print(means.to_string(float_format="{:.3g}".format))
    print(table.groupby("members")[["model", "observed"]].mean().to_string(float_format="{:.3f}".format))


def measure(system: str, draw: int, iterations: int) -> list[dict[str, Any]]:
    """A row for each number of members, of one drawn system."""
    data = sn.load_dataset(system, noise=NOISE, seed=draw, **SHARED, **SYSTEMS[system])
    started = time.process_time()
    model = sn.SparseNODE(seeds=max(MEMBERS), iterations=iterations, strengths=(STRENGTH,), peers=(), verbose=0).fit(
        data
    )
    seconds = time.process_time() - started
    return [
        {
            "system": system,
            "draw": draw,
            "members": count,
            **coverages(model, data, count),
            "skill": model.score(),
            "seconds": seconds,
        }
        for count in MEMBERS
    ]


def coverages(model: sn.SparseNODE, data: Any, count: int) -> dict[str, float]:
    """Shares of the test values within intervals over the first members, and the intervals' width in deviations."""
    chosen = model._chosen
    few = chosen.select([row for row, member in enumerate(chosen.members) if member.seed < count])
    tails = [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]
    spread = np.asarray(data.layers["noise_free"], np.float64).std(axis=0)
    inside: dict[str, list[np.ndarray]] = {"model": [], "observed": []}
    widths = []
    for rows in trajectory_slices(data).values():
        if data.obs["split"].iloc[rows.start] != "test":
            continue
        times = data.obs["time"].to_numpy(np.float64)[rows]
        for name, values in (("model", data.layers["noise_free"][rows]), ("observed", data.X[rows])):
            forecasts = few.forecast(np.asarray(values[:1], np.float64), times)[0]
            lower, upper = np.quantile(forecasts, tails, axis=0)
            within = (lower[1:] <= values[1:]) & (values[1:] <= upper[1:])
            inside[name].append(within)
            if name == "model":
                widths.append((upper - lower)[1:] / spread)
    shares = {name: float(np.concatenate(parts).mean()) for name, parts in inside.items()}
    return {**shares, "width": float(np.concatenate(widths).mean())}


def _is_there(path: Path, system: str, draw: int) -> bool:
    if not path.is_file():
        return False
    table = pd.read_csv(path)
    return bool(((table["system"] == system) & (table["draw"] == draw)).any())


def _append(path: Path, rows: list[dict[str, Any]]) -> None:
    is_new = not path.is_file()
    with path.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerows({name: _short(row[name]) for name in COLUMNS} for row in rows)


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


if __name__ == "__main__":
    main()
