"""The study in Snakemake itself: planned for datasets with levels of distance, and made from stored tables."""

import pandas as pd
import pytest

from snakemake_runs import Workflow, succeed
from sparsenode.evaluation.study.tables import write_long
from study_tables import make_long

pytestmark = pytest.mark.workflow


def test_the_study_is_planned_by_kind_and_made_from_stored_tables_without_training(workflow: Workflow):
    options = {"oscillators": 3, "trajectories": 8, "test_trajectories": 2, "observations": 20}
    entry = {"options": {**options, "distances": {"parameter": "coupling"}}, "sweep": {"noise": [0, 0.05]}}
    grid = {"run": {"datasets": ["springs"], "models": ["motion"], "methods": ["none"]}, "datasets": {"springs": entry}}
    workflow.configure(**grid)
    planned = succeed(workflow.snakemake("--dry-run", "results/study/kinds/second_order.csv.gz")).jobs
    assert planned["tabulate_study"] == planned["preprocess_dataset"] == 2
    assert planned["collect_kind"] == planned["train_pack_0"] == 1

    write_long(make_long({"l1": 0.1}, conditions=2), workflow.folder / "stored.csv.gz")
    workflow.configure(**grid, study={"tables": ["stored.csv.gz"]})
    target = "results/study/claims/weight_sparsity_dynamics.csv"
    assert set(succeed(workflow.snakemake("--dry-run", "results/study/answer.md")).jobs) == {
        "collect_study", "answer_claim", "answer_study"
    }  # fmt: skip
    assert set(succeed(workflow.snakemake("--dry-run", "results/study/effects.csv")).jobs) == {
        "collect_study", "summarize_effects"
    }  # fmt: skip
    done = succeed(workflow.snakemake(target))
    assert done.jobs == {"collect_study": 1, "answer_claim": 1}
    rows = pd.read_csv(workflow.folder / target)
    assert set(rows["claim"]) == {"weight_sparsity_dynamics"}
    assert (rows["verdict"] != "not measured").all()
