"""The long table of a dataset that was trained, evaluated and forecast as the workflow does."""

import json

import numpy as np
import pandas as pd
import pytest

from sparsenode.data.contract import read_trajectories
from sparsenode.data.observations import read_observations
from sparsenode.data.preprocess import preprocess_dataset
from sparsenode.evaluation.evaluate import evaluate_models
from sparsenode.evaluation.study.rows import tabulate_study
from sparsenode.evaluation.study.tables import read_long
from sparsenode.training.job import train_members

DATASET = {
    "source": "linear",
    "options": {
        "nodes": 3, "trajectories": 6, "test_trajectories": 2, "observations": 12, "horizon": 2.0, "noise": 0.1,
        "strength": [0.2, 0.6], "slowest_decay": 0.5, "distances": {"parameter": "coupling"},
    },
    "validation": {"by": "trajectory", "share": 0.25, "seed": 0},
    "initial_state": {"mean_of_first": 1},
    "feature_weight": "uniform",
}  # fmt: skip
MODEL = {"hidden": [5], "iterations": 3, "check_every": 1}
METHODS = {"none": {"regularizer": "none", "strengths": [0.0], "options": {}},
           "l1": {"regularizer": "l1", "strengths": [0.01, 0.1], "options": {}}}  # fmt: skip


def make(folder):
    """Files of a small run: its data, and metrics of two methods."""
    preprocess_dataset("toy", DATASET, folder, folder / "toy.h5ad")
    for name, method in METHODS.items():
        settings = {"dataset": "toy", "model": "joint", "method": name, "model_settings": MODEL}
        (folder / f"{name}.json").write_text(json.dumps({**settings, "method_settings": method}))
        train_members(
            folder / "toy.h5ad", folder / f"{name}.json", range(2), folder / f"{name}.safetensors",
            folder / f"{name}.parquet", threads=1, device="cpu",
        )  # fmt: skip
    evaluate_models(
        data=folder / "toy.h5ad",
        models=[folder / f"{name}.safetensors" for name in METHODS],
        settings=[folder / f"{name}.json" for name in METHODS],
        metrics=folder / "metrics.parquet",
        forecasts=folder / "forecasts.parquet",
        networks=folder / "networks",
        selection=folder / "selection",
    )


@pytest.mark.slow(reason="trains and evaluates as the workflow does")
def test_the_long_table_of_a_run_has_all_levels_and_all_structure(tmp_path):
    make(tmp_path)
    tabulate_study(tmp_path / "toy.h5ad", tmp_path / "metrics.parquet", tmp_path / "long.csv.gz")
    long = read_long(tmp_path / "long.csv.gz")
    for method, choice in ((method, choice) for method in METHODS for choice in ("validation", "truth")):
        rows = long[(long["method"] == method) & (long["choice"] == choice)]
        assert set(rows["distance"]) == {-1, 0, 1, 2, 3, 4}
        assert set(rows["seed"]) == {0, 1}
        assert {"mse_cut", "share_ran_away", "auroc", "auprc", "spurious", "sign_errors"} <= set(rows["metric"])
    # Level 0 is of the trajectories that models were fitted to, not of those that chose the strength.
    data = read_observations(read_trajectories(tmp_path / "toy.h5ad"))
    names = np.array(data.trajectory_names)
    fitted = {int(name[-1]) for name in names[np.unique(data.trajectory[data.split == "train"])]}
    assert len(fitted) == 3
    metrics = pd.read_parquet(tmp_path / "metrics.parquet")
    of_member = metrics[(metrics["metric"] == "mse_cut") & (metrics["method"] == "none") & (metrics["seed"] == 1)]
    single = of_member[(of_member["phase"] == "interpolation") & (of_member["trajectory"] != "all")]
    single = single[single["horizon"] == "trajectory"]
    assert len(single) == 4
    expected = single[[int(name[-1]) in fitted for name in single["trajectory"]]]["value"].mean()
    value = long[(long["method"] == "none") & (long["seed"] == 1) & (long["distance"] == 0)]
    value = value[(value["metric"] == "mse_cut") & (value["choice"] == "validation")]["value"]
    assert value.tolist() == pytest.approx([expected], rel=1e-4)
