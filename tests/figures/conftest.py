"""Small made-up tables of the kind that evaluation writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sparsenode.evaluation.tables import join_tables, make_table

STRENGTHS = {"none": [0.0], "l1": [0.0, 1e-3, 1e-2, 1e-1], "mine": [1e-3, 1e-1]}
DIVERGED = {("l1", 1e-1, 0), ("l1", 1e-1, 1)}


def make_metrics(models: tuple[str, ...] = ("small",)) -> pd.DataFrame:
    """Errors, sparsities and scores that grow with the strength."""
    tables = [
        make_table(
            method="baseline:training_mean", metric="mse", split=split, phase="fit", trajectory="all",
            horizon="trajectory", unit="mol", value=[0.5],
        )
        for split in ("train", "validation", "test")
    ]  # fmt: skip
    tables.append(make_table(method="baseline:random", metric="auprc", trajectory="all", value=[0.2]))
    for model in models:
        for method, strengths in STRENGTHS.items():
            for strength in strengths:
                for seed in range(3):
                    key = {"model": model, "method": method, "strength": strength, "seed": seed}
                    lost = (method, strength, seed) in DIVERGED
                    status = "diverged" if lost else "finished"
                    tables.append(make_table(**key, metric="seconds", value=[1.0], status=status))
                    if lost:
                        tables.append(make_table(**key, metric="mse", value=[np.nan], status="diverged"))
                        continue
                    tables += [
                        make_table(
                            **key, metric="mse", split=split, phase="fit", trajectory="all", horizon="trajectory",
                            unit="mol", value=[0.1 + strength + 0.01 * seed],
                        )
                        for split in ("train", "validation", "test")
                    ]  # fmt: skip
                    sparsity = {"trajectory": "all", "value": [min(1, 5 * strength)]}
                    tables.append(make_table(**key, metric="weight_sparsity", estimator="weights", **sparsity))
                    for estimator in ("paths", "relative"):
                        tables.append(make_table(**key, metric="feature_sparsity", estimator=estimator, **sparsity))
                    tables.append(
                        make_table(**key, metric="auprc", estimator="paths", trajectory="all", value=[0.4 + 0.1 * seed])
                    )
            for estimator in ("paths", "relative"):
                tables.append(
                    make_table(
                        model=model, method=method, seed=0, metric="feature_sparsity", estimator=estimator,
                        trajectory="all", value=[0.05], status="untrained",
                    )
                )  # fmt: skip
    metrics = join_tables(tables)
    metrics["dataset"] = "toy"
    return metrics


def make_forecasts(models: tuple[str, ...] = ("small",)) -> pd.DataFrame:
    """Waves of three features in two trajectories, the first one with a later test part."""
    rows = []
    methods = [("", "baseline:zeros", [-1])] + [(model, method, range(3)) for model in models for method in STRENGTHS]
    for model, method, seeds in methods:
        for seed in seeds:
            for trajectory in ("first", "second"):
                for time in np.linspace(0, 5, 30):
                    for number, feature in enumerate("abc"):
                        observed = np.sin(time + number)
                        rows.append(
                            {
                                "dataset": "toy",
                                "model": model,
                                "method": method,
                                "strength": 0.01,
                                "seed": seed,
                                "protocol": "trajectory",
                                "trajectory": trajectory,
                                "group": trajectory,
                                "split": "test" if trajectory == "first" and time > 3 else "train",
                                "phase": "fit",
                                "start": 0.0,
                                "time": time,
                                "time_unit": "hour",
                                "value_unit": "mol",
                                "feature": feature,
                                "observed": observed,
                                "predicted": observed * (1 + 0.1 * seed),
                            }
                        )
    table = pd.DataFrame(rows)
    text = [name for name in table.columns if table[name].dtype == object]
    return table.astype(dict.fromkeys(text, "category"))


@pytest.fixture
def metrics() -> pd.DataFrame:
    """Metrics of one model."""
    return make_metrics()


@pytest.fixture
def two_models() -> pd.DataFrame:
    """Metrics of two models."""
    return make_metrics(("small", "large"))


@pytest.fixture
def forecasts() -> pd.DataFrame:
    """Forecasts of one model."""
    return make_forecasts()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The tables of one data set, as files."""
    make_metrics().to_parquet(tmp_path / "metrics.parquet", index=False)
    make_forecasts().to_parquet(tmp_path / "forecasts.parquet", index=False)
    for method in STRENGTHS:
        choice = tmp_path / "selection" / "small" / f"{method}.json"
        choice.parent.mkdir(parents=True, exist_ok=True)
        chosen = {"none": 0.0, "l1": 0.01, "mine": None}[method]
        choice.write_text(json.dumps({"chosen": chosen, "protocol": "trajectory"}))
    return {name: tmp_path / f"{name}.parquet" for name in ("metrics", "forecasts")} | {
        "selection": tmp_path / "selection"
    }
