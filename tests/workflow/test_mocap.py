"""Human motion from CMU's own files to the report's figures, on a few trials."""

import pandas as pd
import pytest

pytestmark = pytest.mark.workflow

WALKS = [
    {"subject": "35", "trials": ["01", "02", "05"], "motion": "walk", "split": "train"},
    {"subject": "35", "trials": ["30"], "motion": "walk", "split": "test"},
    {"subject": "07", "trials": ["01"], "motion": "walk", "split": "calibration"},
    {"subject": "07", "trials": ["02"], "motion": "walk", "split": "test"},
]
CONFIGURATION = {
    "run": {"datasets": ["walks"], "models": ["bodies"], "methods": ["none", "l1"]},
    "seeds": 1,
    "datasets": {
        "walks": {
            "source": "mocap",
            "options": {"trials": WALKS},
            "validation": {"by": "trajectory", "share": 0.3},
            "initial_state": {"known": 3},
            "evaluation": {"rolling": {"past": 0.8, "horizon": 0.5, "stride": 0.2}},
            "feature_weight": "uniform",
        }
    },
    "models": {
        "bodies": {
            "datasets": ["walks"],
            "order": 2,
            "hidden": [8],
            "velocity_observations": 3,
            "decay": 5.0,
            "time_scale": 0.2,
            "solver": {"step": 0.1},
            "windows": {"length": 10, "stride": 5, "batch": 8},
            "iterations": 10,
        }
    },
}


def test_from_the_files_of_the_mirror_to_all_figures(workflow, mirror):
    workflow.configure(**CONFIGURATION)
    done = workflow.snakemake(mirror=mirror)
    assert done.status == 0, done.output
    assert {rule: done.jobs[rule] for rule in ("draw_horizon", "draw_skeleton", "draw_joints")} == {
        "draw_horizon": 1,
        "draw_skeleton": 1,
        "draw_joints": 1,
    }
    for name in ("horizon.pdf", "skeleton.png", "skeleton.gif", "joints.png"):
        assert workflow.result(f"figures/walks/{name}").stat().st_size > 1000
    metrics = pd.read_parquet(workflow.result("metrics/walks.parquet"))
    rolling = metrics[(metrics["metric"] == "mse") & (metrics["horizon"] == "rolling")]
    assert {"35_30", "07_02"} <= set(rolling["trajectory"])
    baselines = {f"baseline:{name}" for name in ("initial_state", "constant_velocity", "last_cycle", "training_mean")}
    assert baselines <= set(rolling["method"])
    assert set(metrics.loc[metrics["metric"] == "mse_restored", "unit"]) == {"degree^2"}
    again = workflow.snakemake(mirror=mirror)
    assert again.status == 0, again.output
    assert "Nothing to be done" in again.output


def test_another_horizon_trains_nothing_anew(workflow, mirror):
    workflow.configure(**CONFIGURATION)
    assert workflow.snakemake("--until", "train_members", mirror=mirror).status == 0
    longer = {**CONFIGURATION["datasets"]["walks"], "evaluation": {"rolling": {"past": 0.8, "horizon": 0.6}}}
    workflow.configure(**{**CONFIGURATION, "datasets": {"walks": longer}})
    done = workflow.snakemake("--dry-run", mirror=mirror)
    assert done.status == 0, done.output
    assert not {"preprocess_dataset", "train_members"} & set(done.jobs)
    assert done.jobs["evaluate_models_walks"] == 1


def test_a_trial_number_without_quotes_stops_before_any_job(workflow):
    walks = {**CONFIGURATION["datasets"]["walks"], "options": {"trials": [{**WALKS[0], "trials": [1]}]}}
    workflow.configure(**{**CONFIGURATION, "datasets": {"walks": walks}})
    done = workflow.snakemake("--dry-run")
    assert done.status != 0
    assert "quotes" in done.output
