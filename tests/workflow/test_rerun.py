"""What a second run makes again: what is gone, or left by a failure, and no more; and other numbers of seeds."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from snakemake_runs import EVALUATION, PICTURES, TELLING, Workflow, succeed
from sparsenode import load_model

pytestmark = pytest.mark.workflow

TABLE = "results/metrics.csv"
STRONGER = {"methods": {"l1": {"strengths": ["1e-3", "1"]}}}
MEASURED = ["seconds", "memory_bytes"]
"""Metrics that differ between two runs of the same."""


@pytest.fixture
def copied(finished_run: Workflow, tmp_path: Path) -> Workflow:
    """A copy of the finished run, which a test may change."""
    copy = replace(finished_run, folder=tmp_path / "copy")
    shutil.copytree(finished_run.folder, copy.folder, symlinks=True)
    copy.configure()
    return copy


def results(workflow: Workflow) -> set[str]:
    """All files of a run but its logs."""
    files = {path for path in workflow.result("").rglob("*") if path.is_file()}
    named = {str(path.relative_to(workflow.folder)) for path in files}
    return {name for name in named if not name.startswith(("results/logs/", "results/benchmarks/"))}


def metrics(workflow: Workflow) -> pd.DataFrame:
    table = pd.read_csv(workflow.result("metrics.csv"))
    return table[~table["metric"].isin(MEASURED)].reset_index(drop=True)


def kill_evaluations(workflow: Workflow) -> Workflow:
    """The same with an evaluation that is killed half-way, as the system does where memory lacks."""
    folder, path = workflow.folder / "killing", workflow.environment["PATH"]
    folder.mkdir()
    (folder / "sparsenode").write_text(
        "#!/bin/bash\n"
        'if [ "$1" = evaluate-models ]; then mkdir -p results/metrics; echo half > results/metrics/branches.parquet; '
        "kill -KILL $$; fi\n"
        f'exec "{shutil.which("sparsenode", path=path)}" "$@"\n'
    )
    (folder / "sparsenode").chmod(0o755)
    return replace(workflow, environment={**workflow.environment, "PATH": f"{folder}{os.pathsep}{path}"})


def test_every_file_is_an_output_that_the_default_target_asks_for(finished):
    """None is a folder: of a folder, Snakemake does not see what is in it."""
    rows = succeed(finished.snakemake("--summary")).output.splitlines()
    header = next(number for number, row in enumerate(rows) if row.startswith("output_file\t"))
    summary = {row.split("\t")[0] for row in rows[header + 1 :] if row.startswith("results/")}
    assert summary == results(finished)
    for name in ("network.h5ad", "windows/l1.csv", "windows/l1.graphml", "windows/l1.groups.parquet"):
        assert f"results/networks/branches/{name}" in summary
    assert "results/selection/branches/windows/l1.json" in summary
    asked = finished.snakemake("--", "results/networks/branches/network.h5ad")
    assert "Nothing to be done" in succeed(asked).output


@pytest.mark.parametrize(
    ("files", "jobs"),
    [
        (
            ["figures/branches/pareto.png", "figures/branches/network.pdf"],
            {"draw_pareto": 1, "draw_network": 1, "write_overview": 1},
        ),
        (["networks/branches/windows/l1.graphml"], EVALUATION),
        (["forecasts/branches.parquet"], EVALUATION),
        (["models/branches/windows/l1/seeds_0-1.safetensors"], {"train_members": 1, **EVALUATION}),
    ],
    ids=["pictures", "a graph", "forecasts", "a model"],
)
def test_a_deleted_file_is_made_again_with_what_is_made_of_it(copied, files, jobs):
    for file in files:
        copied.result(file).unlink()
    assert succeed(copied.snakemake("--dry-run")).jobs == jobs


def test_a_killed_evaluation_leaves_nothing_that_the_next_run_takes_for_good(copied):
    copied.configure(**STRONGER)
    failed = kill_evaluations(copied).snakemake()
    assert failed.status != 0
    assert {member.strength for member in load_model(model(copied)).members} == {1e-3, 1.0}, failed.output
    assert not copied.result("metrics/branches.parquet").exists()
    assert succeed(copied.snakemake("--dry-run")).jobs == EVALUATION
    succeed(copied.snakemake("--", TABLE))
    table = pd.read_csv(copied.folder / TABLE)
    assert set(table.loc[table["method"] == "l1", "strength"].dropna()) == {1e-3, 1.0}
    assert succeed(copied.snakemake("--dry-run")).jobs == {**PICTURES, **TELLING}


def test_results_from_a_clock_that_was_ahead_are_made_again_after_a_change(copied):
    copied.configure(**STRONGER)
    succeed(copied.snakemake("--until", "train_members"))
    tomorrow = time.time() + 86_400
    for file in results(copied):
        if not file.startswith(("results/models/", "results/settings/", "results/data/")):
            os.utime(copied.folder / file, (tomorrow, tomorrow))
    assert succeed(copied.snakemake("--dry-run")).jobs == EVALUATION


def test_a_method_that_is_no_longer_of_the_run_leaves_no_network(copied):
    copied.configure(run={"methods": ["l1"]})
    succeed(copied.snakemake("--", "results/figures/branches/strengths.pdf"))
    assert not list(copied.result("networks").rglob("none.*"))
    assert [path.name for path in copied.result("selection").rglob("*.json")] == ["l1.json"]


def model(workflow: Workflow, seeds: str = "0-1") -> Path:
    return workflow.result(f"models/branches/windows/l1/seeds_{seeds}.safetensors")


def test_fewer_seeds_train_nothing_and_more_seeds_only_the_new_ones(copied):
    before, written = metrics(copied), model(copied).stat().st_mtime_ns
    copied.configure(seeds=1)
    assert succeed(copied.snakemake("--dry-run")).jobs == EVALUATION
    succeed(copied.snakemake("--", TABLE))
    assert set(metrics(copied)["seed"]) == {-1, 0}
    single = before[before["seed"] == 0].reset_index(drop=True)
    now = metrics(copied)
    pd.testing.assert_frame_equal(now[now["seed"] == 0].reset_index(drop=True), single)
    copied.configure(seeds=3)
    assert succeed(copied.snakemake("--dry-run")).jobs == {"train_members": 2, **EVALUATION}
    succeed(copied.snakemake("--", TABLE))
    assert {member.seed for member in load_model(model(copied, "2-2")).members} == {2}
    assert model(copied).stat().st_mtime_ns == written
    assert succeed(copied.snakemake("--dry-run")).jobs == {**PICTURES, **TELLING}
    copied.configure(seeds=2)
    assert succeed(copied.snakemake("--dry-run")).jobs == EVALUATION
    succeed(copied.snakemake("--", TABLE))
    pd.testing.assert_frame_equal(metrics(copied), before)


def test_blocks_of_another_size_are_used_as_they_are(finished):
    finished.configure(seeds_per_job=1)
    assert "Nothing to be done" in succeed(finished.snakemake()).output
    finished.configure(seeds=1, **STRONGER)
    jobs = succeed(finished.snakemake("--dry-run", "--printshellcmds"))
    assert jobs.jobs == {"freeze_settings": 1, "train_members": 1, **EVALUATION}
    assert "--output results/models/branches/windows/l1/seeds_0-0.safetensors" in jobs.output


def test_what_is_asked_for_evaluations_holds_for_that_of_every_dataset(workflow):
    asked = ["--set-resources", "evaluate_models:mem_mb=5000 * attempt", "--set-threads", "evaluate_models=2"]
    output = succeed(workflow.snakemake("--dry-run", *asked)).output
    job = output.partition("rule evaluate_models_branches:")[2].partition("\n\n")[0]
    assert "threads: 2\n" in job
    assert "mem_mb=5000" in job
    assert output.count(" mem_mb=5000,") == 1
