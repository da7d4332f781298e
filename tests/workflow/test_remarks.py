"""What is doubtful reaches the person who runs the workflow: on the terminal, in the report, and as an error."""

from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest

from snakemake_runs import succeed
from sparsenode.pipeline.terminal import MOST_LINES, TERMINAL
from sparsenode.remarks import LARGEST, LOST, SMALLEST, STILL, read_remarks

pytestmark = pytest.mark.workflow

LETTERS = {
    "source": "anndata",
    "options": {"path": "letters.h5ad", "trajectory": "name", "test_trajectories": ["t5"]},
    "validation": {"by": "observation", "share": 0.2},
}
RUN = {
    "run": {"datasets": ["letters"], "models": ["tiny"], "methods": ["none", "l1"]},
    "datasets": {"letters": LETTERS},
    "models": {"tiny": {"hidden": [4], "iterations": 20, "solver": {"step": 0.5}}},
}


def write_letters(folder, *, values=1.0, times=1.0):
    """Six trajectories of twenty observations of four variables."""
    rng = np.random.default_rng(0)
    time = np.linspace(0, 10, 20)
    courses = [
        np.stack([np.sin(time * (1 + number / 9) + start) for number in range(4)], axis=1)
        for start in rng.uniform(0, 6, size=6)
    ]
    obs = pd.DataFrame(
        {"name": np.repeat([f"t{number}" for number in range(6)], 20), "time": np.tile(time * times, 6)},
        index=[str(number) for number in range(120)],
    )
    table = anndata.AnnData(np.concatenate(courses) * values, obs=obs, var=pd.DataFrame(index=list("ABCD")))
    table.write_h5ad(folder / "letters.h5ad")


def test_a_run_of_which_nothing_finished_fails_with_the_reason(workflow):
    write_letters(workflow.folder, values=1e-9)
    workflow.configure(**RUN)
    done = workflow.snakemake("--", "results/remarks.md")
    assert done.status == 1
    told = done.output.rpartition("What is doubtful about the results:")[2]
    assert "letters/tiny/l1: members were lost in training" in told
    assert "letters/tiny/none: members were lost in training" in told
    assert "letters, letters/tiny: values move by" in told
    assert "no member of the dataset letters has finished its training" in told
    assert "set `scaling: training_range` in datasets.letters.options" in told
    log = workflow.read_log("evaluate_models/letters")
    assert "error: no member of the dataset letters has finished its training (6 of 6, by iteration 0)" in log
    assert "Traceback" not in log
    assert not workflow.result("metrics/letters.parquet").exists()


def test_a_run_in_which_nothing_moves_says_so_at_its_end(workflow):
    """It is shown as people see it: a plan, progress, the summary, and what is doubtful."""
    write_letters(workflow.folder, times=1e-9)
    workflow.configure(**RUN)
    workflow = replace(workflow, environment={**workflow.environment, TERMINAL: ""})
    done = succeed(workflow.snakemake("--", "results/remarks.md", "results/summary.md"))
    lines = done.output.splitlines()
    # Before the plan there is only a line of Snakemake's on the profile.
    assert "8 jobs to do: 1 dataset, 2 files of settings, 2 trainings, 1 evaluation, 2 tables" in lines[:2]
    assert [line for line in lines if line.startswith("8 of 8 jobs, ")]
    assert len(lines) <= MOST_LINES
    summary, doubts = lines.index("letters"), lines.index("What is doubtful about the results:")
    assert lines[summary + 1].startswith("- Best on validation data: ")
    assert lines.index("All of it is in results/remarks.md.") > doubts > summary
    assert lines[summary - 2].startswith("8 of 8 jobs, ")
    told = done.output.rpartition("What is doubtful about the results:")[2]
    assert "nothing moves" in told
    assert "trajectories are short, 1e-08 (time unit)" in told
    assert "All of it is in results/remarks.md." in told
    found = read_remarks(workflow.result("remarks.csv"))
    assert {(remark.method, remark.kind) for remark in found} >= {("none", STILL), ("l1", STILL)}
    assert LOST not in {remark.kind for remark in found}


def test_the_report_and_the_table_tell_what_is_doubtful(finished):
    found = read_remarks(finished.result("remarks.csv"))
    assert found == read_remarks(finished.result("remarks/branches.csv"))
    # Of two strengths either is at an end.
    assert {LARGEST, SMALLEST} & {remark.kind for remark in found if remark.method == "l1"}
    succeed(finished.snakemake("--report", "results/report.html"))
    text = finished.result("report.html").read_text(encoding="utf-8")
    finished.result("report.html").unlink()
    assert "on offer; " in text
