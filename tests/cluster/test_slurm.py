"""The workflow on a real Slurm, by the profile that users take."""

import contextlib
import os
import re
import signal
from pathlib import Path

import pandas as pd
import pytest
from safetensors.numpy import load_file

from slurm import wait_for
from snakemake_runs import Workflow, finish, succeed
from sparsenode.pipeline import configuration

pytestmark = [pytest.mark.workflow, pytest.mark.cluster]

SMALL = {
    "run": {"datasets": ["branches"], "models": ["windows"], "methods": ["none"], "peers": []},
    "seeds": 1,
    "seeds_per_job": 1,
    "checkpoint_seconds": 0.5,
    "datasets": {"branches": {"source": "krumsiek11", "validation": {"by": "time_blocks", "share": 0.2}}},
    "models": {
        "windows": {"hidden": [8], "solver": {"step": 2.0}, "windows": {"length": 8, "stride": 8}, "iterations": 6}
    },
    "methods": {"none": {}, "l1": {"strengths": ["1e-3"]}, "pathreg": {"strengths": ["1e-2"]}},
}
LONG = configuration.merge(SMALL, {"models": {"windows": {"iterations": 4000, "check_every": 1000}}})
"""Training that runs for some seconds after its first checkpoint."""
# Each starts a Snakemake of its own, some two seconds of a core: SPARSENODE_TINY_JOBS=200 for a longer queue.
TINY_JOBS = int(os.environ.get("SPARSENODE_TINY_JOBS", "10"))

SEEDS = 3
PICTURE = "results/figures/krumsiek11/pareto.pdf"

# What differs between two runs of the same.
MEASURED = ["seconds", "memory_bytes"]


def reduced(repository: Path) -> dict:
    """The default run on one dataset, with two methods a model, two strengths, two seeds, and a short training."""
    config = configuration.read_yaml(repository / "config.yaml")
    config["run"] |= {"datasets": ["krumsiek11"], "methods": ["none", "pathreg", "grouplasso"], "peers": ["lasso"]}
    config |= {"seeds": 2, "seeds_per_job": 2}
    for model in config["models"].values():
        model |= {"iterations": 20, "check_every": 10}
        if model.get("refit"):
            model["refit"] = {"iterations": 10}
    for method in config["methods"].values():
        method["strengths"] = method.get("strengths", [])[:2]
    return config


def model_path(method: str) -> str:
    return f"results/models/branches/windows/{method}/seeds_0-0.safetensors"


def metrics(workflow: Workflow) -> pd.DataFrame:
    table = pd.read_csv(workflow.result("metrics.csv"))
    return table[~table["metric"].isin(MEASURED)].reset_index(drop=True)


def assert_same_models(one: Workflow, other: Workflow) -> None:
    paths = sorted(path.relative_to(one.folder) for path in one.result("models").rglob("*.safetensors"))
    assert paths
    for path in paths:
        found, expected = load_file(one.folder / path), load_file(other.folder / path)
        assert found.keys() == expected.keys()
        assert [name for name in found if found[name].tobytes() != expected[name].tobytes()] == []


def test_default_grid_gives_the_same_as_on_a_workstation(repository, server, cluster, on_slurm, tmp_path):
    base = reduced(repository)
    local = Workflow(repository, tmp_path / "local", base).warm(server)
    local.folder.mkdir()
    submitted = on_slurm(tmp_path / "grid", base, **{"set-resources": {"train_members": {"slurm_partition": "gpu"}}})
    for workflow in (local, submitted):
        workflow.configure()
    targets = ["results/metrics.csv", "results/interventions/krumsiek11.parquet", PICTURE]
    both = [workflow.start("--", *targets) for workflow in (local, submitted)]
    for done in [finish(process) for process in both]:
        succeed(done)
    pd.testing.assert_frame_equal(metrics(submitted), metrics(local), check_exact=True)
    assert_same_models(submitted, local)
    assert (submitted.folder / PICTURE).exists()

    jobs = cluster.jobs(submitted.folder)
    assert {job.state for job in jobs} == {"COMPLETED"}
    assert {job.fields["Requeue"] for job in jobs} == {"1"}
    assert all(job.fields["JobName"].startswith("sparsenode_") for job in jobs)
    training = {job.comment: job for job in jobs if "train_members" in job.comment}
    assert sorted(training) == [
        "rule_train_members_wildcards_krumsiek11_targets_grouplasso_0_1",
        "rule_train_members_wildcards_krumsiek11_targets_none_0_1",
        "rule_train_members_wildcards_krumsiek11_windows_none_0_1",
        "rule_train_members_wildcards_krumsiek11_windows_pathreg_0_1",
    ]
    # Training asks for a GPU where its partition has one, the other rules for none; figures wait in no queue.
    assert {(job.fields["Partition"], job.fields.get("TresPerJob")) for job in training.values()} == {
        ("gpu", "gres:gpu:1")
    }
    others = [job for job in jobs if job.comment not in training]
    assert {(job.fields["Partition"], job.fields.get("TresPerJob")) for job in others} == {("cpu", None)}
    assert {job.comment.removeprefix("rule_").partition("_wildcards")[0] for job in others} == {
        "preprocess_dataset",
        "infer_peer",
        "evaluate_models_krumsiek11",
        "forecast_interventions",
    }


def test_training_that_slurm_ended_goes_on_and_ends_the_same(repository, server, cluster, on_slurm, tmp_path):
    run = {"run": {"methods": ["none", "l1", "pathreg"]}, "seeds_per_job": 1}
    base = configuration.merge(LONG, run)
    local = Workflow(repository, tmp_path / "local", base).warm(server)
    local.folder.mkdir()
    ended = on_slurm(tmp_path / "ended", base)
    for workflow in (local, ended):
        workflow.configure()
    targets = [model_path(method) for method in run["run"]["methods"]]
    succeed(ended.snakemake("--", "results/data/branches.h5ad"))
    process = ended.start("--", *targets)
    # Each as soon as it has something to go on from, whichever comes first.
    waiting = set(run["run"]["methods"])

    def end_those_with_a_checkpoint() -> bool:
        for method in sorted(waiting):
            if list(ended.result(f"checkpoints/branches/windows/{method}/seeds_0-0").glob("[0-9]*.checkpoint")):
                (job,) = running(cluster, ended, method)
                END[method](cluster, job.number, ended.folder)
                waiting.remove(method)
        return not waiting

    wait_for(end_those_with_a_checkpoint, seconds=400)
    reference = local.start("--", *targets)
    # Slurm looks every 30 seconds whose time is over, and tells the process, which hears it when it goes on.
    wait_for(lambda: not running(cluster, ended, "pathreg"), seconds=300)
    for number in processes_of(ended.folder, "pathreg"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGCONT)
    done = succeed(finish(process))
    succeed(finish(reference))

    assert_same_models(ended, local)
    for method in run["run"]["methods"]:
        assert "going on from a checkpoint" in ended.read_log(f"train_members/branches/windows/{method}/seeds_0-0")
    assert not ended.result("checkpoints").exists()
    states = {method: [job.state for job in training(cluster, ended, method)] for method in run["run"]["methods"]}
    assert states == {"none": ["CANCELLED", "COMPLETED"], "l1": ["COMPLETED"], "pathreg": ["TIMEOUT", "COMPLETED"]}
    (requeued,) = training(cluster, ended, "l1")
    assert requeued.fields["Restarts"] == "1"
    assert done.output.count("Trying to restart job") == 2


def test_job_out_of_memory_is_tried_again_with_more(cluster, on_slurm, tmp_path):
    little = {"set-resources": {"train_members": {"mem_mb": "300 * 6 ** (attempt - 1)"}}}
    workflow = on_slurm(tmp_path / "memory", SMALL, **little)
    workflow.configure()
    succeed(workflow.snakemake("--", model_path("none")))
    first, second = training(cluster, workflow, "none")
    assert first.state in {"OUT_OF_MEMORY", "FAILED", "CANCELLED"}
    assert second.state == "COMPLETED"
    assert [job.fields["MinMemoryNode"] for job in (first, second)] == ["300M", "1800M"]


def test_controller_that_is_killed_loses_nothing(cluster, on_slurm, tmp_path):
    workflow = on_slurm(tmp_path / "controller", configuration.merge(LONG, {"seeds": SEEDS}))
    workflow.configure()
    process = workflow.start("--", "results/metrics.csv")
    checkpoints = workflow.result("checkpoints/branches/windows/none")
    try:
        # By then all have been submitted and train, the first for a while.
        wait_for(lambda: len(list(checkpoints.glob("*/[0-9]*.checkpoint"))) >= SEEDS, seconds=400)
        cluster.kill_controller()
        # Long enough for Snakemake to ask in vain, and for jobs to end unheard.
        wait_for((workflow.folder / model_path("none")).exists, seconds=400)
    finally:
        cluster.start_controller()
    succeed(finish(process))
    jobs = cluster.jobs(workflow.folder)
    assert {job.state for job in jobs} == {"COMPLETED"}
    assert len([job for job in jobs if "train_members" in job.comment]) == SEEDS


def test_many_tiny_jobs_finish(cluster, on_slurm, tmp_path):
    workflow = on_slurm(tmp_path / "tiny", {}, jobs=TINY_JOBS)
    snakefile = workflow.folder / "Snakefile"
    snakefile.write_text(
        f"rule all:\n    input: expand('out/{{number}}', number=range({TINY_JOBS}))\n    localrule: True\n\n"
        "rule touch:\n    output: 'out/{number}'\n    resources: mem_mb=500\n    shell: 'touch {output}'\n"
    )
    succeed(workflow.snakemake("--snakefile", str(snakefile)))
    assert len(list((workflow.folder / "out").iterdir())) == TINY_JOBS
    jobs = cluster.jobs(workflow.folder)
    assert [job.state for job in jobs] == ["COMPLETED"] * TINY_JOBS
    assert len({re.sub(r".*_", "", job.comment) for job in jobs}) == TINY_JOBS


def training(cluster, workflow, method):
    """Training jobs of a method, oldest first."""
    comment = f"train_members_wildcards_branches_windows_{method}_"
    return [job for job in cluster.jobs(workflow.folder) if comment in job.comment]


def running(cluster, workflow, method):
    return [job for job in training(cluster, workflow, method) if job.state == "RUNNING"]


def cancel(cluster, job, folder):
    cluster.call("scancel", str(job))


def requeue(cluster, job, folder):
    cluster.call("scontrol", "requeue", str(job))


def run_out_of_time(cluster, job, folder):
    """Stop the training, so that it is not done before its time is over."""
    (number,) = processes_of(folder, "pathreg")
    os.kill(number, signal.SIGSTOP)
    # A moment ahead: the controller refuses an end that its own clock has already passed.
    cluster.call("scontrol", "update", f"JobId={job}", "EndTime=now+2")


END = {"none": cancel, "l1": requeue, "pathreg": run_out_of_time}
"""How Slurm ends the training of a method."""


def processes_of(folder, method):
    """Numbers of the processes that train a method in a folder, without the shells around them."""
    numbers = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name, words = (process / "comm").read_text().strip(), (process / "cmdline").read_bytes().split(b"\0")
            here = (process / "cwd").readlink() == folder
        except OSError:
            continue
        output = f"results/models/branches/windows/{method}/".encode()
        if here and name == "sparsenode" and any(word.startswith(output) for word in words):
            numbers.append(int(process.name))
    return numbers
