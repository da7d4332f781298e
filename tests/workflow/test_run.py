"""A whole run on tiny data, and what a change of the configuration makes anew."""

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest

from snakemake_runs import EVALUATION, FIGURES

pytestmark = pytest.mark.workflow


def test_everything_is_there(finished):
    for figure in (name.removeprefix("draw_") for name in FIGURES):
        assert finished.result(f"figures/branches/{figure}.pdf").read_bytes().startswith(b"%PDF")
        assert finished.result(f"figures/branches/{figure}.png").read_bytes().startswith(b"\x89PNG")
    metrics = pd.read_csv(finished.result("metrics.csv"))
    assert set(metrics["dataset"]) == {"branches"}
    assert {"none", "l1"} <= set(metrics["method"])
    choice = json.loads(finished.result("selection/branches/windows/l1.json").read_text())
    assert choice["chosen"] in {None, 0.001, 0.1}
    assert len(list(finished.result("benchmarks").rglob("*.tsv"))) == len(list(finished.result("logs").rglob("*.log")))


def test_second_run_has_nothing_to_do(finished):
    done = finished.snakemake()
    assert done.status == 0, done.output
    assert "Nothing to be done" in done.output


@pytest.mark.parametrize(
    ("changes", "jobs"),
    [
        pytest.param(
            {"methods": {"l1": {"strengths": ["1e-3", "1"]}}},
            {"freeze_settings": 1, "train_members": 1, **EVALUATION},
            id="a strength trains its method",
        ),
        pytest.param(
            {"methods": {"l1": {"strengths": ["0.1", "0.001"]}}}, {}, id="a strength written otherwise trains nothing"
        ),
        pytest.param(
            {"figures": {"font_size": 12}}, {**FIGURES, "write_overview": 1}, id="a figure's style trains nothing"
        ),
        pytest.param({"seeds": 4}, {"train_members": 2, **EVALUATION}, id="more seeds train as new blocks"),
        pytest.param(
            {"run": {"methods": ["none", "l1", "pathreg"]}},
            {"freeze_settings": 1, "train_members": 1, **EVALUATION},
            id="a new method trains alone",
        ),
        pytest.param(
            {"models": {"windows": {"learning_rate": 0.02}}},
            {"freeze_settings": 2, "train_members": 2, **EVALUATION},
            id="a model's setting trains all of its methods",
        ),
        pytest.param(
            {"datasets": {"branches": {"options": {"test_share": 0.2}}}},
            {"preprocess_dataset": 1, "train_members": 2, **EVALUATION},
            id="an option of the data makes the data anew",
        ),
        pytest.param(
            {"datasets": {"branches": {"interventions": {"clamp": {"knockout": {"Gata1": 0}}}}}},
            {"forecast_interventions": 1, "draw_interventions": 1},
            id="an intervention trains nothing",
        ),
        pytest.param({"threads": 2, "device": "auto"}, {}, id="where it was trained does not count"),
        pytest.param({"memory_mb": 2000, "checkpoint_seconds": 5}, {}, id="nor does how safely"),
        pytest.param(
            {"datasets": {"springs": {"options": {"oscillators": 4}}}},
            {},
            id="a dataset that is not run does not count",
        ),
    ],
)
def test_a_change_makes_anew_what_it_touches(finished, changes, jobs):
    finished.configure(**changes)
    done = finished.snakemake("--dry-run")
    assert done.status == 0, done.output
    assert done.jobs == jobs


def test_changed_strength_leaves_the_other_method_alone(finished_run, tmp_path):
    """The same, really done: in a copy of the finished run."""
    copy = replace(finished_run, folder=tmp_path / "copy")
    shutil.copytree(finished_run.folder, copy.folder, symlinks=True)
    models = copy.result("models/branches/windows")
    before = {path.parent.name: path.stat().st_mtime_ns for path in models.rglob("*.safetensors")}
    copy.configure(methods={"l1": {"strengths": ["1e-3", "1"]}})
    done = copy.snakemake("--until", "train_members")
    assert done.status == 0, done.output
    after = {path.parent.name: path.stat().st_mtime_ns for path in models.rglob("*.safetensors")}
    assert after["none"] == before["none"]
    assert after["l1"] > before["l1"]


def test_one_figure_after_the_weights_are_gone(finished_run, tmp_path):
    """A figure reads tables alone: without weights it is drawn, and nothing is trained."""
    copy = replace(finished_run, folder=tmp_path / "copy")
    shutil.copytree(finished_run.folder, copy.folder, symlinks=True)
    shutil.rmtree(copy.result("models"))
    copy.result("figures/branches/pareto.pdf").unlink()
    done = copy.snakemake("results/figures/branches/pareto.pdf")
    assert done.status == 0, done.output
    assert done.jobs == {"draw_pareto": 1}


def test_report_is_one_file_that_needs_no_network(finished):
    done = finished.snakemake("--report", "results/report.html")
    assert done.status == 0, done.output
    text = finished.result("report.html").read_text(encoding="utf-8")
    finished.result("report.html").unlink()
    for figure in (name.removeprefix("draw_") for name in FIGURES):
        assert f"results/figures/branches/{figure}.png" in text
    assert "Best on validation data" in text
    assert "data:image/png;base64" in text
    assert "<script src=" not in text
    assert '<link rel="stylesheet"' not in text
