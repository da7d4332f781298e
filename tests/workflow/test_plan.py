"""What Snakemake would do, and what it refuses before anything is done."""

import pytest

from snakemake_runs import EVALUATION, succeed
from sparsenode import configuration

pytestmark = pytest.mark.workflow


def test_dry_run_counts_the_jobs(workflow):
    done = workflow.snakemake("--dry-run")
    assert done.status == 0, done.output
    assert done.jobs == {"preprocess_dataset": 1, "freeze_settings": 2, "train_members": 2, **EVALUATION}
    assert not (workflow.folder / "results").exists()


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
    assert "No rule to produce results/figures/comparisons/kinds.pdf" in refused.output


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
    (workflow.folder / "mine.h5ad").touch()
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
        ("results/figures/springs/pareto.pdf", "No rule to produce results/figures/springs/pareto.pdf"),
        ("results/models/branches/windows/l1/seeds_0-7.safetensors", "there are: 0-1"),
    ],
)
def test_target_outside_the_grid_is_refused(workflow, target, expected):
    done = workflow.snakemake(target)
    assert done.status == 1
    assert expected in done.output
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


def test_every_submitted_rule_has_memory_and_time_of_its_own_or_the_default(workflow, repository):
    """A rule's name in the profile that no rule has would be ignored in silence."""
    profile = configuration.read_yaml(repository / "slurm" / "config.yaml")
    rules = set(succeed(workflow.snakemake("--list-rules")).output.split())
    assert set(profile["set-resources"]) <= rules
    assert {"mem_mb", "runtime"} <= set(profile["default-resources"])
    entries = profile["set-resources"].values()
    for expression in (entry[key] for entry in entries for key in ("mem_mb", "runtime") if key in entry):
        assert "attempt" in expression


@pytest.mark.parametrize(("device", "gpus"), [("cpu", 0), ("cuda", 1)])
def test_training_asks_for_a_gpu_where_the_device_is_one(workflow, device, gpus):
    workflow.configure(device=device)
    done = succeed(workflow.snakemake("--dry-run", "--", "results/models/branches/windows/l1/seeds_0-1.safetensors"))
    training = done.output.partition("rule train_members:")[2].partition("\n\n")[0]
    assert f"gpu={gpus}" in training


@pytest.mark.parametrize("command", ["--summary", "--rulegraph"])
def test_what_runs_nothing_needs_no_executor(workflow, command):
    """Of `device: auto` it is asked where training would run, also where nothing is to be run."""
    workflow.configure(device="auto")
    done = workflow.snakemake(command)
    assert done.status == 0, done.output
