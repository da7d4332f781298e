"""A packed sweep in Snakemake itself: made, found again, and extended."""

import pandas as pd
import pytest

from snakemake_runs import PICTURES, Workflow, succeed

pytestmark = pytest.mark.workflow


def configure(workflow: Workflow, noise: list[float], motion: dict | None = None) -> None:
    """A sweep over the noise of three springs, and of their model if asked for."""
    entry = {"options": {"oscillators": 3, "trajectories": 8, "test_trajectories": 2, "observations": 20}}
    workflow.configure(
        run={"datasets": ["springs"], "models": ["motion"], "methods": ["none"]},
        datasets={"springs": {**entry, "sweep": {"noise": noise}}},
        models={"motion": {"sweep": motion}} if motion else {},
    )


def test_a_packed_sweep_is_made_and_extended(workflow):
    configure(workflow, [0, 0.05])
    planned = succeed(workflow.snakemake("--dry-run", "results_of_springs")).jobs
    assert planned["train_pack_0"] == 1
    assert planned["preprocess_dataset"] == planned["freeze_settings"] == 2
    models = [f"results/models/springs_noise{noise}/motion/none/seeds_0-1.safetensors" for noise in (0, 0.05)]
    done = succeed(workflow.snakemake(*models, "results/sweeps.csv"))
    assert done.jobs["train_pack_0"] == 1
    assert all((workflow.folder / model).is_file() for model in models)
    assert not list(workflow.result("checkpoints").rglob("*.safetensors"))
    assert pd.read_csv(workflow.result("sweeps.csv"))["noise"].tolist() == [0, 0.05]

    assert not any("train" in rule for rule in succeed(workflow.snakemake("--dry-run", "results_of_springs")).jobs)

    configure(workflow, [0, 0.02, 0.05])
    jobs = succeed(workflow.snakemake("--dry-run", "results_of_springs"))
    assert jobs.jobs["train_pack_0"] == jobs.jobs["preprocess_dataset"] == 1
    assert "noise0.02/motion/none/seeds_0-1" in jobs.output
    assert not any(f"--trainings {model.removeprefix('results/models/')}" in jobs.output for model in models)

    # What is forced is trained again, all of it, in a pack.
    configure(workflow, [0, 0.05])
    for forced in (("--forcerun", "train_pack_0"), ("--forcerun", "preprocess_dataset"), ("--forceall",)):
        jobs = succeed(workflow.snakemake("--dry-run", *models, *forced)).jobs
        assert jobs["train_pack_0"] == 1
        assert jobs.get("preprocess_dataset", 0) == (0 if "train_pack_0" in forced else 2)


def test_figures_of_a_sweep_are_drawn_when_asked_for_and_a_group_of_models_is_trained(workflow):
    configure(workflow, [0, 0.05], motion={"hidden": [[4], [6]]})
    by_itself = succeed(workflow.snakemake("--dry-run")).jobs
    assert not [rule for rule in by_itself if rule.startswith("draw_")]
    asked = succeed(workflow.snakemake("--dry-run", "figures_of_springs"))
    assert {rule: count for rule, count in asked.jobs.items() if rule.startswith("draw_")} == dict.fromkeys(PICTURES, 2)
    assert {f"evaluate_models_springs_noise{noise}" for noise in (0, 0.05)} <= set(asked.output.split())
    trained = succeed(workflow.snakemake("--dry-run", "models_of_motion"))
    assert trained.jobs["train_pack_0"] == trained.jobs["train_pack_1"] == 1
    assert trained.jobs["freeze_settings"] == 4
    assert not [rule for rule in trained.jobs if rule.startswith("evaluate")]
    for noise in ("0", "0.05"):
        for hidden in ("4", "6"):
            assert f"springs_noise{noise}/motion_hidden{hidden}/none/seeds_0-1.safetensors" in trained.output
