"""The tidy table of metrics: one row per value, the same columns for every dataset and every metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from sparsenode.labels import ALL, PEER

COLUMNS = (
    "dataset",
    "model",
    "method",
    "strength",
    "seed",
    "split",
    "phase",
    "trajectory",
    "horizon",
    "unit",
    "estimator",
    "reference",
    "metric",
    "value",
    "status",
    "reason",
)
NUMBERS = {"strength": np.float64, "seed": np.int64, "value": np.float64}
NO_SEED = -1
"""Entry of the column `seed` where no single seed is meant (baselines, statistics over seeds)."""


def make_table(**columns: Any) -> pd.DataFrame:
    """Tidy rows from columns of equal length and constants.

    A column that is not given is empty: NaN in `strength`, -1 in `seed`, "" in text. Where `status` is not given it
    is "finished" for a finite value and "not_finite" for any other.

    Raises:
        TypeError: a column that the table does not have, or none of more than one row.
    """
    unknown = set(columns) - set(COLUMNS)
    if unknown:
        raise TypeError(f"no such columns of the metrics table: {sorted(unknown)}")
    count = max((len(column) for column in columns.values() if _is_sequence(column)), default=1)
    filled: dict[str, Any] = {}
    for name in COLUMNS:
        missing = {"strength": np.nan, "seed": NO_SEED, "value": np.nan}.get(name, "")
        column = columns.get(name, missing)
        kind = NUMBERS.get(name, object)
        filled[name] = np.asarray(column, kind) if _is_sequence(column) else np.full(count, column, kind)
    if "status" not in columns:
        filled["status"] = np.where(np.isfinite(filled["value"]), "finished", "not_finite").astype(object)
    return pd.DataFrame(filled)


def cross_table(rows: pd.DataFrame, columns: pd.DataFrame, values: np.ndarray, **constants: Any) -> pd.DataFrame:
    """Tidy rows of a matrix of values.

    Args:
        rows: entries of the tidy columns of each matrix row (say strength and seed).
        columns: entries of the tidy columns of each matrix column (say trajectory, split and phase).
        values: matrix (row, column).
        **constants: tidy columns that are the same for all values.
    """
    values = np.asarray(values, np.float64)
    if values.shape != (len(rows), len(columns)):
        raise ValueError(f"{values.shape} values for {len(rows)} rows and {len(columns)} columns")
    long = {name: np.repeat(rows[name].to_numpy(), len(columns)) for name in rows.columns}
    long |= {name: np.tile(columns[name].to_numpy(), len(rows)) for name in columns.columns}
    return make_table(**long, **constants, value=values.ravel())


def join_tables(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """All rows below each other, in the order given."""
    filled = [table for table in tables if len(table)]
    if not filled:
        return make_table(value=np.empty(0))
    return pd.concat(filled, ignore_index=True)


def _is_sequence(column: Any) -> bool:
    return isinstance(column, (np.ndarray, pd.Series, pd.Index, list, tuple))


__all__ = ["ALL", "COLUMNS", "NO_SEED", "NUMBERS", "PEER", "cross_table", "join_tables", "make_table"]
