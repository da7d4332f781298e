"""What Snakemake would do, and what it refuses before anything is done."""

from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import yaml

from snakemake_runs import EVALUATION, Workflow, succeed
from sparsenode.pipeline import configuration, plan

pytestmark = pytest.mark.workflow


def write_cells(path: Path) -> None:
    """A file of two courses of ten observations of three features."""
    obs = pd.DataFrame({"time": np.tile(np.arange(10.0), 2), "course": ["a"] * 10 + ["b"] * 10})
    obs.index = [f"c{number}" for number in range(20)]
    adata = anndata.AnnData(np.random.default_rng(0).random((20, 3)).astype(np.float32), obs)
    adata.var_names = ["A", "B", "C"]
    adata.write_h5ad(path)


def test_dry_run_counts_the_jobs(workflow):
    done = workflow.snakemake("--dry-run")
    assert done.status == 0, done.output
    assert done.jobs == {"preprocess_dataset": 1, "freeze_settings": 2, "train_members": 2, **EVALUATION}
    assert not (workflow.folder / "results").exists()


def test_the_plan_counts_the_jobs_of_the_dry_run(workflow):
    workflow.configure(
        run={"datasets": ["branches", "springs"], "models": ["windows", "motion"], "peers": ["correlation"]},
        seeds=3,
        datasets={"branches": {"benchmark": "sim350", "interventions": {"each": "low"}}},
        peers={"correlation": {}},
    )
    done = succeed(workflow.snakemake("--dry-run"))
    config = configuration.check_configuration(configuration.read_yaml(workflow.folder / "config.yaml"))
    made = plan.make_plan(config)
    assert len(made.training) + sum(count for count, _ in made.others.values()) == sum(done.jobs.values())


def test_what_is_left_out_is_said(workflow):
    assert "nothing is trained with" not in workflow.snakemake("--dry-run").output
    workflow.configure(models={"windows": {"methods": ["l1"]}})
    done = succeed(workflow.snakemake("--dry-run"))
    assert done.output.count("run.methods: nothing is trained with none: ") == 1
    assert done.jobs["train_members"] == 1


def test_a_comparison_takes_the_tables_of_its_datasets(workflow):
    comparisons = {
        "kinds": {"label": "order", "datasets": {"branches": 1, "springs": 2}},
        "penalty": {"label": "penalty", "dataset": "branches", "methods": {"mine": {"none": 0, "l1": 1}}},
    }
    both = {"datasets": ["branches", "springs"], "models": ["windows", "motion"]}
    workflow.configure(run=both, comparisons=comparisons)
    done = succeed(workflow.snakemake("--dry-run", "--", "results/figures/comparisons/kinds.pdf"))
    assert {"evaluate_models_branches", "evaluate_models_springs"} <= set(done.jobs)
    assert done.jobs["draw_comparison"] == 1
    workflow.configure(comparisons=comparisons)
    done = succeed(workflow.snakemake("--dry-run"))
    assert done.jobs["draw_comparison"] == 1
    refused = workflow.snakemake("--dry-run", "results/figures/comparisons/kinds.pdf")
    assert refused.status == 1
    assert (
        "there is no kinds.pdf in results/figures/comparisons/; there are: penalty.pdf, penalty.png" in refused.output
    )


def test_a_benchmark_has_a_table(workflow):
    workflow.configure(datasets={"branches": {"benchmark": "sim350"}})
    done = succeed(workflow.snakemake("--dry-run", "--printshellcmds"))
    assert done.jobs["tabulate_benchmark"] == 1
    drawn = next(line for line in done.output.splitlines() if "sparsenode draw-balanced-accuracy" in line)
    assert " --benchmark sim350 " in drawn
    workflow.configure()
    done = succeed(workflow.snakemake("--dry-run", "--", "results/benchmark.md"))
    assert done.jobs["tabulate_benchmark"] == 1


def test_a_table_of_nothing_is_refused(workflow):
    own = {"source": "anndata", "options": {"path": "mine.h5ad", "time": "time"}}
    write_cells(workflow.folder / "mine.h5ad")
    workflow.configure(datasets={"mine": own}, run={"datasets": ["mine"]}, models={"windows": {"datasets": ["mine"]}})
    done = workflow.snakemake("--dry-run", "results/benchmark.csv")
    assert done.status == 1
    assert "no dataset of the run has a `benchmark` or a known true network" in done.output


def test_lint_is_clean(workflow):
    done = workflow.snakemake("--lint")
    assert done.status == 0, done.output
    assert "good condition" in done.output


def test_one_figure_builds_only_its_dataset(workflow):
    workflow.configure(run={"datasets": ["branches", "springs"], "models": ["windows", "motion"]})
    done = workflow.snakemake("--dry-run", "results/figures/branches/pareto.pdf")
    assert done.status == 0, done.output
    assert done.jobs == {
        "preprocess_dataset": 1,
        "freeze_settings": 2,
        "train_members": 2,
        "evaluate_models_branches": 1,
        "draw_pareto": 1,
    }
    assert "springs" not in done.output.partition("Job stats:")[2]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("results/figures/springs/pareto.pdf", "there is no springs in results/figures/; "),
        ("results/figures/branch/pareto.pdf", "there is no branch in results/figures/; did you mean 'branches'?"),
        (
            "results/figures/branches/paretto.pdf",
            "no paretto.pdf in results/figures/branches/; did you mean 'pareto.pdf'?",
        ),
        ("results/figures/branches/skeleton.pdf", "there is no skeleton.pdf in results/figures/branches/; "),
        ("results/data/branch.h5ad", "there is no branch.h5ad in results/data/; did you mean 'branches.h5ad'?"),
        ("metrics.csv", "there is no metrics.csv; did you mean 'results/metrics.csv'?"),
        ("evaluate_branches", "no rule and no file 'evaluate_branches'; did you mean 'evaluate_models_branches'?"),
        (
            "results/models/branches/windows/l1/seeds_0-7.safetensors",
            "did you mean 'seeds_0-1.safetensors'?; there are: seeds_0-1.history.parquet, seeds_0-1.safetensors",
        ),
    ],
)
def test_target_outside_the_grid_is_refused(workflow, target, expected):
    done = workflow.snakemake(target)
    assert done.status == 1
    assert expected in done.output
    assert "Traceback" not in done.output
    assert not (workflow.folder / "results").exists()


def test_model_on_a_dataset_that_it_does_not_name_is_refused(workflow):
    workflow.configure(run={"datasets": ["branches", "springs"], "models": ["windows", "motion"]})
    done = workflow.snakemake("results/settings/branches/motion/l1.json")
    assert done.status == 1
    assert "models.motion is not trained on branches" in done.output


def test_bad_configuration_stops_before_any_job(workflow):
    workflow.configure(methods={"l1": {"strengths": [0.1]}})
    done = workflow.snakemake()
    assert done.status == 1
    assert "methods.l1.strengths[0]: found the number 0.1; allowed: " in done.output
    assert "Traceback" not in done.output
    assert not (workflow.folder / "results").exists()


def test_what_a_file_lacks_is_said_though_its_results_are_there(workflow):
    """A mistyped path of a dataset that was made before would otherwise be "Nothing to be done"."""
    write_cells(workflow.folder / "mine.h5ad")
    own = {"source": "anndata", "options": {"path": "mine.h5ad", "trajectory": "course"}}
    setup = {"run": {"datasets": ["mine"]}, "models": {"windows": {"datasets": ["mine"]}}}
    workflow.configure(**setup, datasets={"mine": own})
    succeed(workflow.snakemake("results/data/mine.h5ad"))
    made = workflow.result("data/mine.h5ad").read_bytes()
    for options, problem in (
        ({"path": "main.h5ad"}, "datasets.mine.options: main.h5ad is missing (looked for at "),
        ({"time": "tme"}, "datasets.mine.options.time: found 'tme'; allowed: a column of `obs` of mine.h5ad. did you"),
        ({"test_trajectories": ["c"]}, "datasets.mine.options.test_trajectories: found 'c'; allowed: a trajectory of"),
    ):
        workflow.configure(**setup, datasets={"mine": {**own, "options": {**own["options"], **options}}})
        for arguments in (["results/data/mine.h5ad"], ["--dry-run"]):
            done = workflow.snakemake(*arguments)
            assert done.status == 1
            assert problem in done.output
            assert "Traceback" not in done.output
    assert workflow.result("data/mine.h5ad").read_bytes() == made
    workflow.configure(**setup, datasets={"mine": own})
    assert "Nothing to be done" in succeed(workflow.snakemake("results/data/mine.h5ad")).output


@pytest.fixture
def elsewhere(repository, server, tmp_path):
    """The workflow of the repository itself, run from another folder."""
    execution = ["--snakefile", str(repository / "Snakefile"), "--cores", "2"]
    return Workflow(repository, tmp_path, {}, execution).warm(server)


OWN = {
    "datasets": {"mine": {"source": "anndata", "options": {"path": "mine.h5ad"}}},
    "models": {"mine": {"hidden": [5]}},
    "run": {"datasets": ["mine"], "models": ["mine"], "methods": ["none", "pathreg"]},
}


def test_a_run_from_another_folder_has_the_default_configuration_as_its_base(elsewhere, tmp_path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(OWN))
    write_cells(tmp_path / "mine.h5ad")
    done = succeed(elsewhere.snakemake("--dry-run", "--configfile", "mine.yaml"))
    assert done.jobs["train_members"] == 2
    assert "is not read" not in done.output
    # A file of another program, or of another run.
    (tmp_path / "config.yaml").write_text("samples: {a: b}\n")
    done = succeed(elsewhere.snakemake("--dry-run", "--configfile", "mine.yaml"))
    assert done.jobs["train_members"] == 2
    assert done.output.count("config.yaml of the working folder is not read: the base is ") == 1
    done = elsewhere.snakemake("--dry-run", "--configfile", "config.yaml", "mine.yaml")
    assert 'configuration: unknown key: found "samples"' in done.output


def test_paths_of_a_configuration_are_those_of_the_folder_that_is_named(elsewhere, tmp_path):
    (tmp_path / "below").mkdir()
    write_cells(tmp_path / "below" / "mine.h5ad")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(OWN))
    done = elsewhere.snakemake("--configfile", "mine.yaml", "--", "results/data/mine.h5ad")
    assert done.status == 1
    assert f"mine.h5ad is missing (looked for at {tmp_path}/mine.h5ad)" in done.output
    succeed(elsewhere.snakemake("--configfile", "mine.yaml", "--directory", "below", "--", "results/data/mine.h5ad"))
    assert (tmp_path / "below" / "results" / "data" / "mine.h5ad").is_file()
    assert not (tmp_path / "results").exists()


def test_a_home_folder_is_no_folder_of_that_name(workflow, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    at_home = replace(workflow, environment={**workflow.environment, "HOME": str(home)})
    at_home.configure(results_dir="~/runs")
    settings = home / "runs" / "settings" / "branches" / "windows" / "l1.json"
    succeed(at_home.snakemake("--", str(settings)))
    assert settings.is_file()
    assert not (workflow.folder / "~").exists()


def test_options_that_snakemake_would_drop_are_refused(workflow):
    (workflow.folder / "a.yaml").write_text("seeds: 1\n")
    done = workflow.snakemake("--dry-run", "--configfile", "a.yaml", "--configfile", "a.yaml")
    assert done.status == 1
    assert "--configfile: found 2 times, of which Snakemake takes only the last" in done.output


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("seeds: 1\nrun: [a\n", "config.yaml, line 3, column 1: not valid YAML: "),
        ("seeds: 1\nseeds: 2\n", "config.yaml, line 2: the key 'seeds' is in line 1 already"),
    ],
)
def test_a_mistake_of_yaml_names_file_and_line(workflow, text, problem):
    (workflow.folder / "config.yaml").write_text(text)
    done = workflow.snakemake("--dry-run")
    assert done.status == 1
    assert problem in done.output
    assert "Traceback" not in done.output


def test_file_in_place_of_the_results_folder(workflow):
    (workflow.folder / "results").write_text("my notes\n")
    done = workflow.snakemake()
    assert done.status == 1
    assert "results_dir: found results, which is a file; allowed: a folder" in done.output
    assert (workflow.folder / "results").read_text() == "my notes\n"


def test_results_can_stand_elsewhere(workflow):
    workflow.configure(results_dir="runs/first")
    done = workflow.snakemake("--dry-run", "runs/first/figures/branches/network.pdf")
    assert done.status == 0, done.output
    assert "draw_network" in done.jobs


@pytest.mark.parametrize(
    ("folder", "target"), [(".", "metrics.csv"), (".", "./metrics.csv"), ("runs/../first", "first/metrics.csv")]
)
def test_a_folder_of_results_may_be_written_in_any_way(workflow, folder, target):
    done = succeed(workflow.snakemake("--dry-run", "--config", f"results_dir={folder}", "--", target))
    assert done.jobs["collect_metrics"] == 1
    assert "starts with './'" not in done.output


def test_a_folder_is_no_target_though_it_is_there(workflow):
    workflow.result("models").mkdir(parents=True)
    done = workflow.snakemake("--dry-run", "--", "results/models")
    assert done.status == 1
    assert "nothing makes results/models, which is a folder; name a file in it, such as results/models/" in done.output


@pytest.mark.parametrize("option", ["--forcerun", "--until", "--omit-from"])
def test_options_that_name_no_rule_are_refused_with_the_nearest(workflow, option):
    done = workflow.snakemake("--dry-run", option, "evaluate_models")
    assert done.status == 1
    assert f"{option}: there is no rule and no file 'evaluate_models'; did you mean 'evaluate_models_br" in done.output
    succeed(workflow.snakemake("--dry-run", option, "evaluate_models_branches"))


def test_every_submitted_rule_has_memory_and_time_of_its_own_or_the_default(workflow, repository):
    """A rule's name in the profile that no rule has would be ignored in silence."""
    profile = configuration.read_yaml(repository / "slurm" / "config.yaml")
    rules = set(succeed(workflow.snakemake("--list-rules")).output.split())
    # What is asked for evaluate_models holds for the evaluation of each dataset, a rule of its own.
    assert set(profile["set-resources"]) - rules == {"evaluate_models"}
    assert "evaluate_models_branches" in rules
    assert {"mem_mb", "runtime"} <= set(profile["default-resources"])
    entries = profile["set-resources"].values()
    for expression in (entry[key] for entry in entries for key in ("mem_mb", "runtime") if key in entry):
        assert "attempt" in expression


@pytest.mark.parametrize(("device", "gpus"), [("cpu", 0), ("cuda", 1)])
def test_training_asks_for_a_gpu_where_the_device_is_one(workflow, device, gpus):
    workflow.configure(device=device)
    # What another run has exported does not count.
    exported = {**workflow.environment, "SPARSENODE_TRAINING_GPUS": str(1 - gpus)}
    workflow = replace(workflow, environment=exported)
    done = succeed(workflow.snakemake("--dry-run", "--", "results/models/branches/windows/l1/seeds_0-1.safetensors"))
    training = done.output.partition("rule train_members:")[2].partition("\n\n")[0]
    assert f"gpu={gpus}" in training


@pytest.mark.parametrize("command", ["--summary", "--rulegraph"])
def test_what_runs_nothing_needs_no_executor(workflow, command):
    """Of `device: auto` it is asked where training would run, also where nothing is to be run."""
    workflow.configure(device="auto")
    done = workflow.snakemake(command)
    assert done.status == 0, done.output
