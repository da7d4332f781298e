"""What a run has found, in a few lines."""

import json

import numpy as np
import pandas as pd
import pytest

from sparsenode import cli
from sparsenode.evaluation.results import Results
from sparsenode.evaluation.tables import ALL, join_tables, make_table
from sparsenode.figures.summary import describe_summary, summarize
from sparsenode.remarks import HEADINGS, LARGEST, TRIVIAL, Remark, tell_summary, write_remarks

ERRORS = {("small", "l1"): (0.2, 0.3), ("small", "none"): (0.4, 0.1), ("wide", "l1"): (0.15, 0.9)}
"""Errors on validation and test data by model and method, at the chosen strength."""


@pytest.fixture
def files(tmp_path):
    """Metrics, choices and remarks of one dataset; errors at other strengths are tiny, and test errors mislead."""
    tables = []
    for model, trivial in (("small", 1.0), ("wide", 0.5)):
        for split in ("validation", "test"):
            errors = {"baseline:zeros": trivial, "baseline:linear": 2 * trivial}
            where = {"model": model, "metric": "mse", "split": split, "phase": "fit", "trajectory": ALL}
            where["horizon"] = "trajectory"
            tables += [make_table(method=name, value=[error], **where) for name, error in errors.items()]
            for method in ("l1", "none"):
                for strength in (0.1, 1.0):
                    error = ERRORS.get((model, method), (9.0, 9.0))[split == "test"] if strength == 1.0 else 1e-9
                    key = {"method": method, "strength": strength, **where}
                    tables.append(make_table(seed=[0, 1, 2], value=[error, 2 * error, 0.5 * error], **key))
    key = {"model": "small", "method": "l1", "strength": 1.0, "trajectory": ALL, "estimator": "paths"}
    tables.append(make_table(metric="seconds", value=[1.0], **key | {"seed": 0}))
    tables.append(make_table(metric="feature_sparsity", seed=[0, 1, 2], value=[0.7, 0.75, 0.8], **key))
    tables.append(make_table(metric="auprc", seed=[0, 1, 2, -1], value=[0.5, 0.6, 0.7, 0.1], **key))
    tables.append(make_table(method="baseline:random", metric="auprc", trajectory=ALL, value=[0.2]))
    for peer, area in (("lasso", 0.5), ("extra_trees", 0.4)):
        keys = {"method": f"peer:{peer}", "estimator": "peer", "trajectory": ALL, "metric": "auprc"}
        tables.append(make_table(seed=[0, -1], value=[0.99, area], **keys))
    metrics = tmp_path / "metrics.parquet"
    join_tables(tables).assign(dataset="toy").to_parquet(metrics, index=False)
    for model, method in ERRORS:
        path = tmp_path / "selection" / model / f"{method}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"chosen": 1.0, "protocol": "trajectory"}))
    write_remarks(
        [Remark("toy", "small", "l1", LARGEST, "1"), Remark("other", "", "", LARGEST, "1")], tmp_path / "remarks.csv"
    )
    return {"metrics": metrics, "selection": tmp_path / "selection", "remarks": tmp_path / "remarks.csv"}


def test_the_best_method_is_that_of_validation_beside_its_own_trivial_forecast(files):
    summary = summarize(Results("toy", files))
    assert (summary.model, summary.method, summary.strength, summary.seeds) == ("small", "l1", 1.0, 3)
    assert (summary.split, summary.trivial) == ("test", "zero")
    np.testing.assert_allclose([summary.error, summary.trivial_error], [0.3, 1.0])


def test_the_network_has_the_best_peer_and_chance_beside_it(files):
    summary = summarize(Results("toy", files))
    assert summary.peer == "lasso"
    measured = [summary.empty_pairs, summary.auprc, summary.chance, summary.peer_auprc]
    np.testing.assert_allclose(measured, [0.75, 0.6, 0.2, 0.5])


def test_the_words_say_what_was_measured(files):
    remarks = [Remark("toy", "small", "l1", LARGEST, "1"), Remark("other", "small", "l1", LARGEST, "1")]
    words = " ".join(describe_summary(summarize(Results("toy", files), remarks)).split())
    assert "Best on validation data: l1 (model small) at strength 1." in words
    assert "Its error on test data is 0.3, 70 % below that of the best trivial forecast (zero, 1)." in words
    assert "25 % of all pairs of variables have a path in its network" in words
    assert "average precision of 0.60 (chance 0.20; best peer, lasso, 0.50)." in words
    assert words.count(HEADINGS[LARGEST]) == 1


def test_doubts_on_other_methods_are_counted(files):
    remarks = [Remark("toy", "small", "l1", LARGEST, "1"), Remark("toy", "small", "none", TRIVIAL, "x")]
    words = " ".join(describe_summary(summarize(Results("toy", files), remarks)).split())
    assert HEADINGS[LARGEST] in words
    assert HEADINGS[TRIVIAL] not in words
    assert words.endswith("and 1 more on other methods (`remarks.md`).")


def test_a_model_that_is_worse_than_a_trivial_forecast_is_said_to_be(files):
    table = pd.read_parquet(files["metrics"])
    trivial = table["method"].eq("baseline:zeros") & table["split"].eq("test")
    table.loc[trivial, "value"] = 0.1
    table.to_parquet(files["metrics"], index=False)
    assert "0.3, 3 times that of the best" in " ".join(describe_summary(summarize(Results("toy", files))).split())


def test_without_a_choice_there_is_nothing_but_the_reason(files):
    for path in files["selection"].glob("*/*.json"):
        path.write_text(json.dumps({"chosen": None, "protocol": "trajectory"}))
    text = describe_summary(summarize(Results("toy", files)))
    assert text == "**toy**\n- No strength was chosen, since too few members finished their training."


def test_the_command_writes_what_the_end_of_a_run_prints(files, tmp_path):
    output, markdown = tmp_path / "summary.json", tmp_path / "summary.md"
    named = ["--datasets", "toy", "--metrics", str(files["metrics"]), "--selections", str(files["selection"])]
    named += ["--remarks", str(files["remarks"]), "--output", str(output), "--markdown", str(markdown)]
    assert cli.main(["summarize-run", *named]) == 0
    (content,) = json.loads(output.read_text())
    assert (content["method"], content["error"]) == ("l1", pytest.approx(0.3))
    assert [remark["dataset"] for remark in content["remarks"]] == ["toy"]
    assert tell_summary(markdown).startswith("toy\n- Best on validation data: l1")


def test_of_many_datasets_the_first_are_printed(tmp_path):
    path = tmp_path / "summary.md"
    path.write_text("\n\n".join(["# Summary", *(f"**d{number}**\n- text" for number in range(9))]) + "\n")
    lines = tell_summary(path).splitlines()
    assert lines[0] == "d0"
    assert lines[-1] == f"And 3 more datasets are in {path}."
    assert tell_summary(tmp_path / "none.md") == ""
