"""The rules of `sparsenode.automatic`, one grid each; see `rules.py`."""

from __future__ import annotations

import argparse
import json
import logging
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from ranking import REPOSITORY, append_row, commit, rank_fit, read_rows

from sparsenode.automatic.choose import choose_settings
from sparsenode.automatic.facts import rounded
from sparsenode.data.preprocess import load_dataset
from sparsenode.estimator.model import SparseNODE
from sparsenode.settings import ModelSettings

SYSTEMS: Mapping[str, Mapping[str, Any]] = {
    "hill": {"nodes": 10, "trajectories": 14, "test_trajectories": 2, "noise": 0.05},
    "linear": {"nodes": 5, "trajectories": 10, "test_trajectories": 2, "noise": 0.05},
    "lotka_volterra": {"species": 4, "trajectories": 6, "test_trajectories": 1, "noise": 0.05},
    "kuramoto": {"oscillators": 4, "trajectories": 6, "test_trajectories": 1, "noise": 0.05},
}
FIRST_SEED = 9000
CLOSE = 0.05
QUICK = {"seeds": 1, "iterations": 400, "strengths": (0.003, 0.03), "verbose": 0}

Grid = Callable[[ModelSettings], Mapping[str, Any]]


def _windows(settings: ModelSettings) -> dict[str, Any]:
    if settings.windows is None:
        return {}
    length = settings.windows.length
    changed = {factor: max(2, round(factor * length)) for factor in (0.5, 1, 2, 4)}
    return {
        f"{factor:g} of the choice": {
            "windows": {"length": steps, "stride": max(1, (steps + 1) // 2), "batch": settings.windows.batch}
        }
        for factor, steps in changed.items()
    } | {"whole": {"windows": None}}


def _scaled(key: str, *factors: float) -> Grid:
    def grid(settings: ModelSettings) -> dict[str, Any]:
        value = getattr(settings, key)
        return {f"{factor:g} of the choice": {key: rounded(factor * value)} for factor in factors}

    return grid


GRIDS: Mapping[str, Grid] = {
    "windows": _windows,
    "smoothing": lambda _: {str(width): {"smoothing": width} for width in (0, 2, 4, 8, 12)},
    "hidden": lambda _: {str(units): {"hidden": (units,)} for units in (3, 5, 10, 20, 40)},
    "decay": lambda settings: {**_scaled("decay", 0.3, 3)(settings), "none": {"decay": None}},
    "time_scale": _scaled("time_scale", 0.5, 2),
    "solver": lambda settings: {
        f"{factor:g} of the choice": {"solver": {"step": rounded(factor * settings.solver.step)}} for factor in (0.5, 2)
    },
    "matching": lambda _: {"none": {"matching": None}, "half": {"matching": {"share": 0.5}}},
    "order": lambda _: {"1": {"order": 1}, "2": {"order": 2}},
}
"""Values of a grid, each by its name, beside what the rule chooses."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rules", nargs="+", choices=list(GRIDS), default=list(GRIDS))
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--seeds", type=int, default=2, help="systems of each kind")
    parser.add_argument("--minutes", type=float, default=60.0, help="no fit is begun after so many")
    parser.add_argument("--csv", type=Path, default=REPOSITORY / "benchmarks" / "rules_choices.csv")


def run(arguments: argparse.Namespace) -> None:
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    ends = time.monotonic() + 60 * arguments.minutes
    finished = {(row["system"], row["seed"], row["rule"], row["value"]) for row in read_rows(arguments.csv)}
    for seed in range(FIRST_SEED, FIRST_SEED + arguments.seeds):
        for system in arguments.systems:
            adata = load_dataset(system, validation={"by": "trajectory", "share": 0.2}, seed=seed, **SYSTEMS[system])
            chosen = choose_settings(adata, {}).settings
            values = {("all", "chosen"): {}}
            for rule in arguments.rules:
                values |= {(rule, name): entry for name, entry in GRIDS[rule](chosen).items()}
            for (rule, name), entry in values.items():
                if (system, str(seed), rule, name) in finished:
                    continue
                if time.monotonic() > ends:
                    return print_table(arguments.csv)
                row = {"system": system, "seed": seed, "rule": rule, "value": name, **fit(adata, entry)}
                append_row(arguments.csv, {**row, "commit": commit(), "settings": json.dumps(entry)})
    return print_table(arguments.csv)


def fit(adata: AnnData, by_hand: Mapping[str, Any]) -> dict[str, Any]:
    """Validation error of whole trajectories (over the best trivial one), ranking and time of one fit."""
    began = time.process_time()
    try:
        model = SparseNODE(**{**QUICK, **by_hand}).fit(adata)
        error, ranking = 1.0 - model.score(), rank_fit(model, adata)["auprc"]
    except Exception as failure:
        return {"error": float("nan"), "auprc": float("nan"), "seconds": 0.0, "failure": str(failure)[:80]}
    return {"error": error, "auprc": ranking, "seconds": time.process_time() - began, "failure": ""}


def print_table(path: Path) -> None:
    """How often the choice of each rule is within 5 % of the best of its grid, and what the best would have gained."""
    rows = pd.DataFrame(read_rows(path)).astype({"error": float, "auprc": float, "seconds": float})
    lines = []
    for rule in [rule for rule in dict.fromkeys(rows["rule"]) if rule != "all"]:
        grids = rows[rows["rule"].isin([rule, "all"])].groupby(["system", "seed"], sort=False)
        near, lost = [], []
        for _, grid in grids:
            choice = grid[grid["rule"] == "all"].iloc[0]
            if not (grid["rule"] == rule).any():
                continue
            near.append(
                (
                    choice["error"] <= (1 + CLOSE) * grid["error"].min(),
                    choice["auprc"] >= (1 - CLOSE) * grid["auprc"].max(),
                )
            )
            lost.append((choice["error"] / grid["error"].min(), choice["auprc"] / grid["auprc"].max()))
        by_validation, by_truth = np.mean(near, axis=0)
        errors, rankings = np.exp(np.log(lost).mean(0))
        lines.append(
            {
                "rule": rule,
                "systems": len(near),
                "within 5 % by validation": by_validation,
                "by truth": by_truth,
                "error over the best": errors,
                "AUPRC over the best": rankings,
            }
        )
    print(pd.DataFrame(lines).to_string(index=False, float_format="{:.2f}".format))
    values = rows.groupby(["rule", "value"], sort=False)[["error", "auprc", "seconds"]].mean()
    print(values.to_string(float_format="{:.3f}".format))
