"""The headline: every metric at the strength chosen on validation, as median and range over seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sparsenode.evaluation.tables import ALL

_GROUP = ["dataset", "model", "method", "strength", "horizon", "split", "phase", "trajectory"]
_METRIC = ["metric", "estimator", "reference", "unit"]


def summarize_metrics(metrics: pd.DataFrame, *, trajectories: bool = False) -> pd.DataFrame:
    """Median, least and largest value over seeds of each metric at the chosen strengths, and how many seeds count.

    `metrics` is the tidy table of one or more data sets. Baselines, which have no strength, are kept as they are.
    With `trajectories`, the rows of single trajectories and subjects too. Values that are not finite are left out.
    """
    chosen = metrics.loc[metrics["metric"] == "chosen_strength", ["dataset", "model", "method", "value"]]
    chosen = chosen.rename(columns={"value": "chosen"})
    rows = metrics[(metrics["status"] == "finished") & (metrics["metric"] != "chosen_strength")]
    if not trajectories:
        rows = rows[rows["trajectory"].isin([ALL, ""])]
    rows = rows.merge(chosen, on=["dataset", "model", "method"], how="left")
    trivial = rows["method"].str.contains(":", regex=False)
    rows = rows[np.isfinite(rows["value"]) & (trivial | (rows["strength"] == rows["chosen"]))]
    grouped = rows.groupby([*_GROUP, *_METRIC], sort=False, dropna=False)["value"]
    return grouped.agg(["median", "min", "max", "count"]).reset_index()
