"""The strength of a method is chosen on validation data, by the one-standard-error rule."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sparsenode.files import write_atomically

RULE = (
    "one standard error: the largest strength whose validation mse exceeds the best strength's, paired by seed and "
    "trajectory, by at most one standard error of that excess; at least half of a strength's members must finish"
)
SPARSE = "; of those with a median feature sparsity of at least {:g}, or the sparsest where there is none"


def choose_strength(
    errors: pd.DataFrame, members: pd.DataFrame, *, least_feature_sparsity: float = 0.0
) -> dict[str, Any]:
    """Choose a strength by validation error.

    `members` has one row per member with columns strength, seed, status; `errors` one row per member and validation
    trajectory with columns strength, seed, trajectory, value. A member is usable if it finished and all its errors
    are finite; a strength is a candidate if at least half of its members are. The candidate of least mean error is
    the best; the excess of another is the mean of the differences over the seeds and trajectories that both have, and
    its standard error is that of this mean. A strength of a single pair has standard error 0. With
    `least_feature_sparsity` (and a column feature_sparsity of `members`) a candidate has that median sparsity over its
    usable members at least; where none has, only the sparsest is one.

    Returns `{chosen, best, rule, candidates}`; `chosen` is None where no strength is a candidate.
    """
    table = _pivot(errors, members)
    candidates = []
    for strength in sorted(float(value) for value in members["strength"].unique()):
        group = members[members["strength"] == strength]
        usable = int(table.loc[[strength]].notna().all(axis=1).sum()) if strength in table.index else 0
        mean = float(np.nanmean(table.loc[[strength]].to_numpy())) if usable else math.nan
        entry = {"strength": strength, "members": len(group), "usable": usable, "mean": mean}
        entry["candidate"] = bool(usable and 2 * usable >= len(group))
        candidates.append(entry)
    if least_feature_sparsity > 0 and len(candidates) > 1:
        _keep_sparse(candidates, members, table, least_feature_sparsity)
    eligible = [entry for entry in candidates if entry["candidate"]]
    best = min(eligible, key=lambda entry: (entry["mean"], -entry["strength"]), default=None)
    chosen = None
    for entry in candidates:
        entry["excess"], entry["standard_error"] = math.nan, math.nan
        if best is None or not entry["candidate"]:
            continue
        excess = _paired_excess(table, entry["strength"], best["strength"])
        if len(excess):
            entry["excess"] = float(excess.mean())
            entry["standard_error"] = float(excess.std(ddof=1) / math.sqrt(len(excess))) if len(excess) > 1 else 0.0
            if entry["excess"] <= entry["standard_error"]:
                chosen = entry["strength"]
    return {
        "chosen": chosen,
        "best": None if best is None else best["strength"],
        "rule": RULE + (SPARSE.format(least_feature_sparsity) if least_feature_sparsity > 0 else ""),
        "candidates": candidates,
    }


def _keep_sparse(candidates: list[dict[str, Any]], members: pd.DataFrame, table: pd.DataFrame, least: float) -> None:
    """Strike out the candidates that are too dense, or all but the sparsest; `table` has the usable members' errors."""
    own = members.set_index(["strength", "seed"])["feature_sparsity"]
    sparsity = own[own.index.isin(table.index)].groupby("strength").median()
    usable = [entry for entry in candidates if entry["candidate"]]
    for entry in usable:
        entry["feature_sparsity"] = float(sparsity[entry["strength"]])
    bound = min(least, max((entry["feature_sparsity"] for entry in usable), default=least))
    for entry in usable:
        entry["candidate"] = entry["feature_sparsity"] >= bound


def _pivot(errors: pd.DataFrame, members: pd.DataFrame) -> pd.DataFrame:
    """Errors (strength and seed, trajectory) of the usable members; the others are left out."""
    finished = members.loc[members["status"] == "finished", ["strength", "seed"]]
    errors = errors.merge(finished, on=["strength", "seed"])
    table = errors.set_index(["strength", "seed", "trajectory"])["value"].unstack("trajectory")
    table = table.where(np.isfinite(table))
    return table.dropna().sort_index()


def _paired_excess(table: pd.DataFrame, strength: float, best: float) -> np.ndarray:
    ours, theirs = table.loc[strength], table.loc[best]
    seeds = ours.index.intersection(theirs.index)
    return (ours.loc[seeds] - theirs.loc[seeds]).to_numpy().ravel()


def write_selection(selection: dict[str, Any], path: Path) -> None:
    """Write a selection as JSON, with null for what is not a number."""
    text = json.dumps(_without_nan(selection), indent=2) + "\n"
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
