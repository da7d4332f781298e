"""The rule that tests the edges of a dataset: what asks for it, what it makes again, and what its results become."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from snakemake_runs import EVALUATION, Workflow, succeed

pytestmark = pytest.mark.workflow

CHEAP = {"folds": 2, "units": 1, "draws": 1, "rounds": 1, "candidates": 1}
TESTED = {"datasets": {"branches": {"edges": CHEAP}}}
NETWORK = "results/edges/branches/network.csv"
METRICS = "results/metrics/branches.parquet"


@pytest.fixture(scope="module")
def tested(finished_run: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A copy of the finished run whose edges are tested too."""
    copy = replace(finished_run, folder=tmp_path_factory.mktemp("tested") / "copy")
    shutil.copytree(finished_run.folder, copy.folder, symlinks=True)
    copy.configure(**TESTED)
    planned = succeed(copy.snakemake("--dry-run")).jobs
    assert planned == {"infer_edges": 1, "draw_edges": 1, **EVALUATION}  # nothing is trained again
    succeed(copy.snakemake("--", METRICS, "results/figures/branches/edges.png", "results/summary.md"))
    return copy


def test_a_run_without_edges_tests_none_and_says_so_when_asked(finished: Workflow) -> None:
    assert not finished.result("edges").exists()
    refused = finished.snakemake("--", NETWORK)
    assert refused.status != 0
    assert "datasets.branches has no `edges`, so that none are tested" in refused.output


def test_tested_edges_are_scored_beside_the_truth_and_told(tested: Workflow) -> None:
    table = pd.read_csv(tested.folder / NETWORK)
    assert len(table) == 11 * 10
    metrics = pd.read_parquet(tested.folder / METRICS)
    rows = metrics[metrics["method"] == "tested edges"].set_index("metric")["value"]
    assert rows["selected_edges"] == table["selected"].sum()
    assert rows["untold_edges"] == (table["verdict"] == "cannot be told").sum()
    assert 0 <= rows["false_discovery_rate"] <= 1
    summary = " ".join(tested.result("summary.md").read_text().split())
    assert f"The test of edges finds {table['selected'].sum()} needed" in summary
    remarks = pd.read_csv(tested.result("remarks/branches.csv"))
    told = remarks[remarks["method"] == "tested edges"]["finding"]
    assert (len(told) > 0) == (rows["untold_edges"] > 0 or bool(table["group"].notna().any()))


def test_a_deleted_file_is_made_again_and_a_damaged_one_is_named(tested: Workflow, tmp_path: Path) -> None:
    copy = replace(tested, folder=tmp_path / "copy")
    shutil.copytree(tested.folder, copy.folder, symlinks=True)
    copy.result("edges/branches/targets.csv").unlink()
    jobs = succeed(copy.snakemake("--dry-run")).jobs
    assert jobs["infer_edges"] == jobs["evaluate_models_branches"] == 1
    assert "train_members" not in jobs
    shutil.copy(tested.result("edges/branches/targets.csv"), copy.result("edges/branches/targets.csv"))
    (copy.folder / NETWORK).write_text("source,target\n")
    failed = copy.snakemake("--", METRICS)
    assert failed.status != 0
    assert "network.csv is damaged" in copy.read_log("evaluate_models/branches")
