"""Strengths that training chooses by itself, beside the best of four to six decades; see `rules.py`."""

from __future__ import annotations

import argparse
import csv
import logging
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from sparsenode.data.observations import read_observations
from sparsenode.data.preprocess import load_dataset
from sparsenode.ensemble.members import join_ensembles
from sparsenode.estimator.settings import FitSettings, complete_settings
from sparsenode.evaluation.evaluate import evaluate_ensembles
from sparsenode.evaluation.results import pick
from sparsenode.evaluation.tables import ALL
from sparsenode.training.job import make_training
from sparsenode.training.strengths import strength_at

if TYPE_CHECKING:
    from anndata import AnnData

    from sparsenode.ensemble.members import Ensemble

REPOSITORY = Path(__file__).resolve().parents[1]
SYSTEMS: Mapping[str, Mapping[str, Any]] = {
    "linear": {"nodes": 5, "trajectories": 8, "test_trajectories": 2, "observations": 20},
    "hill": {"nodes": 6, "trajectories": 8, "test_trajectories": 2, "observations": 20},
    "lotka_volterra": {"species": 4, "trajectories": 5, "test_trajectories": 1, "observations": 60, "horizon": 20.0},
    "kuramoto": {"oscillators": 4, "trajectories": 8, "test_trajectories": 2, "observations": 20},
}
NOISE, FIRST_SEED = 0.05, 8000
GRID = tuple(map(strength_at, range(-8, 5)))
"""Strengths of the grid, beside those that training has chosen."""
SHARES = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99, 0.999)
CLOSE = 0.05
METHODS = ("grouplasso", "l1", "l0", "cnode", "pathreg", "lassonet", "imp")
SEEDS = (0, 1)
COLUMNS = (
    "system", "seed", "method", "iterations", "chosen", "batches", "strengths", "best", "validation", "noise_free",
    "auprc", "best_auprc", "edges_of_largest", "seconds", "reason", "commit",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["grouplasso", "l1"])
    parser.add_argument("--seeds", type=int, default=2, help="systems of each kind")
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=60.0, help="no fit is begun after so many")
    parser.add_argument("--csv", type=Path, default=REPOSITORY / "benchmarks" / "rules_strengths.csv")


def run(arguments: argparse.Namespace) -> None:
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    ends = time.monotonic() + 60 * arguments.minutes
    iterations = arguments.iterations
    finished = {(row["system"], int(row["seed"]), row["method"]) for row in _read(arguments.csv, iterations)}
    for seed in range(FIRST_SEED, FIRST_SEED + arguments.seeds):
        for method in arguments.methods:
            for system in arguments.systems:
                if (system, seed, method) in finished:
                    continue
                if time.monotonic() > ends:
                    return _print_table(arguments.csv, iterations)
                options = {**SYSTEMS[system], "noise": NOISE, "seed": seed}
                adata = load_dataset(system, validation={"by": "trajectory", "share": 0.25}, **options)
                row = {"system": system, "seed": seed, "method": method, **compare(adata, method, iterations)}
                _append(arguments.csv, {**row, "iterations": iterations, "commit": _commit()})
                print({name: row[name] for name in row if name != "reason"}, flush=True)
    return _print_table(arguments.csv, iterations)


def compare(adata: AnnData, method: str, iterations: int) -> dict[str, Any]:
    """The automatic choice beside all strengths that it, or the grid, has: ratios of errors, and AUPRC.

    Its seconds are those of the processor, without the grid and the evaluation.
    """
    settings = FitSettings(regularizer=method, iterations=iterations, seeds=len(SEEDS))
    model_settings, method_settings = complete_settings(settings, adata)
    frozen = {
        "dataset": adata.uns["sparsenode"]["name"],
        "model": "fit",
        "method": method,
        "model_settings": model_settings,
        "method_settings": method_settings,
    }
    began = time.process_time()
    automatic, _ = make_training(adata, frozen, SEEDS).run()
    seconds = time.process_time() - began
    trained = {member.strength for member in automatic.members}
    grid = sorted(set(SHARES if method == "imp" else GRID) - trained)
    listed = {**frozen, "method_settings": {**method_settings, "strengths": grid}}
    others, _ = make_training(adata, listed, SEEDS).run()
    everything = join_ensembles([automatic, replace(others, settings=automatic.settings)])
    data = read_observations(adata)
    choice = evaluate_ensembles(data, [automatic]).selections["fit", method]
    evaluation = evaluate_ensembles(data, [everything])
    protocol, chosen = choice["protocol"], choice["chosen"]
    errors = {
        name: _by_strength(evaluation.metrics, metric=metric, split=split, horizon=protocol)
        for name, metric, split in (("validation", "mse", "validation"), ("noise_free", "mse_noise_free", "test"))
    }
    rankings = _by_strength(evaluation.metrics, metric="auprc", estimator="jacobian")
    search = automatic.metadata["searches"][0]
    return {
        "chosen": chosen,
        "batches": len(search["batches"]),
        "strengths": len(trained),
        "best": errors["validation"].idxmin(),
        **{name: values[chosen] / values.min() for name, values in errors.items()},
        "auprc": rankings[chosen],
        "best_auprc": rankings.max(),
        "edges_of_largest": _edges(automatic, max(trained)),
        "seconds": round(seconds, 1),
        "reason": " | ".join(search["reasons"]),
    }


def _by_strength(metrics: pd.DataFrame, **where: str) -> pd.Series:
    """Median over seeds, by strength, of a metric over all trajectories."""
    if "split" in where:
        where |= {"trajectory": ALL, "phase": "fit"}
    rows = pick(metrics, status="finished", **where)
    rows = rows[rows["strength"].notna() & rows["seed"].ge(0)]
    return rows.groupby("strength")["value"].median()


def _edges(ensemble: Ensemble, strength: float) -> int:
    """Most edges that a member has at a strength."""
    rows = [row for row, member in enumerate(ensemble.members) if member.strength == strength]
    paths = np.asarray(ensemble.path_matrix())[rows]
    return int((paths[:, ~np.eye(paths.shape[1], dtype=bool)] >= 1e-5).sum(axis=1).max())


def _commit() -> str:
    command = ["git", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _read(path: Path, iterations: int) -> list[dict[str, str]]:
    """Finished rows of trainings of so many iterations."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return [row for row in csv.DictReader(stream) if int(row["iterations"]) == iterations]


def _append(path: Path, row: Mapping[str, Any]) -> None:
    is_new = not path.is_file()
    with path.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow({name: f"{row[name]:.6g}" if isinstance(row[name], float) else row[name] for name in COLUMNS})


def _print_table(path: Path, iterations: int) -> None:
    """Of each method how often the choice is within 5 % of the best, and the mean ratios."""
    rows = pd.DataFrame(_read(path, iterations))
    numbers = ["batches", "strengths", "validation", "noise_free", "auprc", "best_auprc", "edges_of_largest", "seconds"]
    rows = rows.astype(dict.fromkeys(numbers, float))
    table = rows.groupby("method", sort=False).apply(_summarize, include_groups=False)
    print(table.to_string(float_format="{:.2f}".format))


def _summarize(rows: pd.DataFrame) -> pd.Series:
    return pd.Series(
        {
            "systems": len(rows),
            "within 5 %: validation": (rows["validation"] <= 1 + CLOSE).mean(),
            "noise-free": (rows["noise_free"] <= 1 + CLOSE).mean(),
            "AUPRC": (rows["auprc"] >= (1 - CLOSE) * rows["best_auprc"]).mean(),
            "error over the best: validation": np.exp(np.log(rows["validation"]).mean()),
            "noise free": np.exp(np.log(rows["noise_free"]).mean()),
            "AUPRC over the best": (rows["auprc"] / rows["best_auprc"]).mean(),
            "largest left no edge": (rows["edges_of_largest"] == 0).mean(),
            "batches": rows["batches"].mean(),
            "seconds": rows["seconds"].mean(),
        }
    )
