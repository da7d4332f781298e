"""A packed sweep in Snakemake itself: made, found again, and extended."""

import pandas as pd
import pytest

from snakemake_runs import Workflow, succeed

pytestmark = pytest.mark.workflow


def configure(workflow: Workflow, noise: list[float]) -> None:
    """A sweep over the noise of three springs."""
    entry = {"options": {"oscillators": 3, "trajectories": 8, "test_trajectories": 2, "observations": 20}}
    workflow.configure(
        run={"datasets": ["springs"], "models": ["motion"], "methods": ["none"]},
        datasets={"springs": {**entry, "sweep": {"noise": noise}}},
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
