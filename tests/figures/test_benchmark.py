"""The table of a benchmark."""

import json

import numpy as np
import pandas as pd
import pytest

from sparsenode import cli
from sparsenode.errors import UserError
from sparsenode.evaluation.results import Choice
from sparsenode.evaluation.tables import ALL, join_tables, make_table
from sparsenode.figures import benchmark
from sparsenode.remarks import HEADINGS, LARGEST, TRIVIAL, Remark

CHOICES = {("small", "pathreg"): Choice(1.0, "trajectory"), ("small", "mine"): Choice(None, "trajectory")}
CHOICES |= {("large", "pathreg"): Choice(0.1, "window")}


def make_metrics() -> pd.DataFrame:
    """Two models: three seeds of one method, of which one diverged, and a method without a choice; a peer."""
    tables = [
        make_table(
            method="peer:lasso", estimator="peer", trajectory=ALL, seed=[0, 1, 2, -1], metric="auprc",
            value=[0.1, 0.2, 0.4, 0.3],
        ),
        make_table(
            method="peer:lasso", estimator="peer_shares", trajectory=ALL, seed=[0, 1, 2, -1], metric="auprc",
            value=[7.0, 7.0, 7.0, 0.2],
        ),
        make_table(
            method="peer:lasso", estimator="peer", trajectory=ALL, seed=-1, metric="auprc_degree_z", value=[1.5]
        ),
        make_table(
            method="peer:lasso", estimator="peer", trajectory=ALL, seed=[0], metric="balanced_accuracy", value=[0.5]
        ),
        make_table(method="baseline:random", metric="auprc", trajectory=ALL, value=[0.05]),
    ]  # fmt: skip
    for model, strength in (("small", 0.1), ("small", 1.0), ("large", 0.1)):
        for seed in (0, 1, 2):
            key = {"model": model, "method": "pathreg", "strength": strength, "seed": seed, "trajectory": ALL}
            if (strength, seed) == (1.0, 2):
                tables.append(make_table(**key, metric="seconds", value=[1.0], status="diverged"))
                continue
            tables.append(make_table(**key, metric="seconds", value=[1.0]))
            paths = {**key, "estimator": "paths"}
            # Far from what is wanted where the strength is not the chosen one.
            far = 0.0 if strength == CHOICES[model, "pathreg"].strength else -9.0
            tables += [
                make_table(**paths, metric="feature_sparsity", value=[0.95 + 0.02 * seed + far]),
                make_table(**key, estimator="relative", metric="feature_sparsity", value=[7.0]),
                make_table(**paths, metric="balanced_accuracy", value=[0.8 + 0.1 * seed + far]),
                make_table(**paths, metric="auprc", value=[0.3 + 0.1 * seed + far]),
                make_table(**paths, metric="auroc", value=[0.6 + 0.1 * seed + far]),
                make_table(**paths, metric="wrong_share", value=[0.02 + 0.02 * seed + far]),
                make_table(**paths, metric="scoring_auroc", reference="scoring:pairs", value=[0.7 + 0.1 * seed + far]),
                make_table(**paths, metric="scoring_auroc", reference="scoring:pairs_and_self", value=[7.0]),
                make_table(**key, estimator="jacobian", metric="auprc", value=[7.0]),
                make_table(**key, metric="exact_weight_sparsity", estimator="weights", value=[0.9 + far]),
                make_table(
                    **key,
                    metric="mse",
                    split="test",
                    phase="fit",
                    horizon="trajectory",
                    value=[2e-3 + 1e-3 * seed + far],
                ),
                make_table(**key, metric="mse", split="train", phase="fit", horizon="trajectory", value=[7.0]),
                make_table(**key, metric="mse", split="test", phase="fit", horizon="window", value=[7.0]),
            ]
        pooled = {"model": model, "method": "pathreg", "strength": strength, "seed": -1, "trajectory": ALL}
        tables.append(make_table(**pooled, estimator="paths", metric="auprc", value=[7.0]))
        tables.append(make_table(**pooled, estimator="jacobian", metric="auprc_degree_z", value=[7.0]))
        tables.append(make_table(**pooled, estimator="paths", metric="auprc_degree_z", value=[5.0 + far]))
    mine = {"model": "small", "method": "mine", "strength": 1.0, "seed": 0}
    tables.append(make_table(**mine, metric="seconds", value=[1.0], status="diverged"))
    return join_tables(tables)


@pytest.fixture
def rows() -> pd.DataFrame:
    """Rows of a dataset that repeats sim350."""
    return benchmark.dataset_rows("mine", "sim350", make_metrics(), CHOICES)


def test_a_method_is_measured_at_its_chosen_strength(rows):
    first = rows.iloc[0]
    assert (first["dataset"], first["published"], first["method"], first["model"]) == ("mine", "no", "pathreg", "small")
    assert (first["strength"], first["seeds"]) == (1.0, 2)
    found = first[["sparsity", "sparsity_min", "sparsity_max"]].to_list()
    assert found == pytest.approx([0.96, 0.95, 0.97])
    found = first[["balanced_accuracy", "balanced_accuracy_min", "balanced_accuracy_max"]].to_list()
    assert found == pytest.approx([0.85, 0.8, 0.9])
    assert first[["auprc", "auprc_min", "auprc_max"]].to_list() == pytest.approx([0.35, 0.3, 0.4])
    assert first[["mse", "mse_min", "mse_max"]].to_list() == pytest.approx([2.5e-3, 2e-3, 3e-3])
    assert first["exact_weight_sparsity"] == pytest.approx(0.9)
    assert first["auprc_degree_z"] == 5.0
    assert rows.iloc[1]["model"] == "large"
    assert rows.iloc[1]["auprc"] == pytest.approx(0.4)


def test_what_was_not_measured_is_empty(rows):
    for column in ("exact_sparsity", "balanced_accuracy_at_95", "early_precision", "out_degree", "mean_out_degree"):
        assert rows[column].isna().all()
    assert rows.loc[rows["published"] == "no", "mse_one_step"].isna().all()


def test_other_metrics_fill_their_columns_where_they_are_there():
    metrics = make_metrics()
    key = {"model": "small", "method": "pathreg", "strength": 1.0, "seed": [0, 1], "trajectory": ALL}
    more = [
        make_table(**key, metric="exact_sparsity", estimator="paths", value=[0.9, 0.8]),
        make_table(**key, metric="balanced_accuracy_at_95", estimator="paths", value=[0.7, 0.9]),
        make_table(**key, metric="out_degree", estimator="paths", value=[3.0, 5.0]),
        make_table(**key, metric="mean_out_degree", estimator="paths", value=[1.0, 2.0]),
        make_table(**key, metric="mse", split="test", phase="fit", horizon="one_step", value=[1e-4, 3e-4]),
        make_table(
            method="peer:lasso", seed=0, estimator="peer", trajectory=ALL, metric="balanced_accuracy_at_95", value=[0.6]
        ),
    ]
    rows = benchmark.dataset_rows("mine", None, join_tables([metrics, *more]), CHOICES)
    columns = ["exact_sparsity", "balanced_accuracy_at_95", "out_degree", "mean_out_degree"]
    assert rows.iloc[0][columns].to_list() == pytest.approx([0.85, 0.8, 4.0, 1.5])
    found = rows.iloc[0][["mse_one_step", "mse_one_step_min", "mse_one_step_max"]].to_list()
    assert found == pytest.approx([2e-4, 1e-4, 3e-4])
    assert rows.iloc[-1]["balanced_accuracy_at_95"] == 0.6


def test_published_values_stand_below_their_counterpart_and_are_marked(rows):
    assert rows["method"].to_list()[:4] == ["pathreg", "pathreg", "PathReg", "mine"]
    published = rows[rows["published"] == "yes"].set_index("method")
    assert len(published) == 8
    found = published.loc["PathReg", ["exact_weight_sparsity", "balanced_accuracy", "mse_one_step"]].to_list()
    assert found == pytest.approx([0.566, 0.619, 8e-3])
    # Of pairs, and of whole trajectories, nothing is published.
    assert published[["sparsity", "exact_sparsity", "mse"]].isna().all(axis=None)
    assert set(published["study"]) == {"DASH"}
    assert published["remark"].str.contains("as quoted").all()
    assert "presumed" in published.loc["PathReg", "remark"]
    assert published["seeds"].isna().all()
    assert rows["benchmark"].eq("sim350").all()


def test_methods_that_are_given_a_prior_say_so_and_published_values_follow_the_regularizer():
    prior = {"name": "half", "of": "truth", "corruption": 0.5}
    choices = {("small", "mine"): Choice(1.0, "trajectory", "dash", prior)}
    choices |= {(model, "pathreg"): Choice(1.0, "trajectory", "pathreg") for model in ("small", "large")}
    rows = benchmark.dataset_rows("mine", "sim350", make_metrics(), choices)
    assert rows["method"].to_list()[:5] == ["pathreg", "pathreg", "PathReg", "mine", "DASH"]
    [mine] = rows.loc[rows["method"] == "mine", "remark"]
    assert mine == "given the prior half, made of the true network, 50 % of its edges moved"
    assert f"- mine (small): {mine}." in benchmark.write_markdown(rows).splitlines()


def test_published_scores_are_beside_ours_over_the_same_pairs():
    rows = benchmark.dataset_rows("mine", "dream3_100", make_metrics(), CHOICES)
    ours, published = rows.iloc[0], rows[rows["published"] == "yes"].set_index("method")
    assert ours[["auroc", "scoring_auroc"]].to_list() == pytest.approx([0.65, 0.75])
    assert published.loc["CUTS", "scoring_auroc"] == 0.592
    assert published["auroc"].isna().all()
    text = benchmark.write_markdown(rows)
    assert "| AUROC, pairs as published |" in text
    assert "| *CUTS, published by CUTS* |" in text
    # Of values without a known protocol nothing of ours is by theirs.
    rows = benchmark.dataset_rows("mine", "lotka_volterra_20", make_metrics(), CHOICES)
    assert rows["scoring_auroc"].isna().all()
    assert rows.set_index("method").loc["GVAR", ["auroc", "auprc"]].to_list() == [0.991, 0.974]
    assert rows.iloc[0]["wrong_share"] == pytest.approx(0.03)


def test_without_a_benchmark_nothing_is_published():
    rows = benchmark.dataset_rows("mine", None, make_metrics(), CHOICES)
    assert rows["method"].to_list() == ["pathreg", "pathreg", "mine", "lasso (peer)"]
    assert rows["benchmark"].eq("").all()


def test_a_peer_that_was_ended_has_the_reason_in_place_of_numbers():
    reason = "not finished within 600 s"
    ended = make_table(
        method="peer:pcmci", estimator="peer", trajectory=ALL, metric="auprc", status="unfinished", reason=reason
    )
    table = benchmark.dataset_rows("toy", None, pd.concat([make_metrics(), ended]), CHOICES)
    peer = table.iloc[-1]
    assert peer[["method", "remark", "seeds"]].to_list() == ["PCMCI+ (peer)", reason, 0]
    assert np.isnan(peer["auprc"])
    assert f"- PCMCI+ (peer): {reason}." in benchmark.write_markdown(table)


def test_a_peer_has_a_ranking_and_no_network(rows):
    peer = rows.iloc[-1]
    assert peer["method"] == "lasso (peer)"
    assert peer[["auprc", "auprc_min", "auprc_max"]].to_list() == pytest.approx([0.2, 0.1, 0.4])
    assert peer["auprc_degree_z"] == 1.5
    assert peer["seeds"] == 3
    assert peer[["sparsity", "balanced_accuracy", "strength"]].isna().all()


def test_a_method_without_a_choice_says_so(rows):
    [mine] = rows[rows["method"] == "mine"].to_dict("records")
    assert mine["seeds"] == 0
    assert mine["remark"] == "no strength chosen, since too few members finished"
    assert np.isnan(mine["sparsity"])


def test_the_readable_table_tells_the_same(rows):
    text = benchmark.write_markdown(rows)
    lines = text.splitlines()
    [header] = [line for line in lines if line.startswith("| method (model) |")]
    titles = [title.strip() for title in header.strip("|").split("|")]
    assert titles[2:5] == ["pairs without a path (%)", "weights exactly zero (%)", "balanced accuracy (%)"]
    assert titles[5:] == [
        "pairs wrong (%)", "AUROC", "AUPRC", "AUPRC beside equal degrees (z)", "test mse, whole course",
        "test mse, one step",
    ]  # fmt: skip
    ours = (
        "| pathreg (small) | 1 | 96 (95 to 97) | 90 | 85 (80 to 90) | 3 (2 to 4) | 0.65 (0.6 to 0.7) "
        "| 0.35 (0.3 to 0.4) | 5 | 0.0025 (0.002 to 0.003) |"
    )
    assert f"{ours}  |" in lines
    assert "| *PathReg, published by DASH* |  |  | 56.6 | 61.9 |  |  |  |  |  | 0.008 |" in lines
    assert "- mine (small): no strength chosen, since too few members finished." in lines
    assert any(line.startswith("- published by DASH: PathReg, C-NODE, IMP: 5 % noise; arXiv") for line in lines)
    [told] = [line for line in lines if line.startswith("Seeds: ")]
    assert told.startswith(
        "Seeds: 3; 2 of pathreg (small); 0 of mine (small). Published values are of trajectories whose"
    )
    assert "`start: published`" in told
    table = [line for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert len(table) == len(rows) + 2


def test_a_note_stands_only_beside_published_values(rows):
    ours = rows[rows["published"] == "no"]
    assert "Published values are of" not in benchmark.write_markdown(ours)
    told = benchmark.write_markdown(benchmark.dataset_rows("mine", "breast", make_metrics(), CHOICES))
    assert "Published values are of" not in told
    assert "11,165 genes; here 500" in told


@pytest.mark.parametrize(
    ("value", "text"),
    [(99.5489, "99.55"), (100, "100"), (88.672, "88.7"), (7.12e-4, "0.000712"), (0, "0"), (np.nan, "")],
)
def test_numbers_are_short(value, text):
    assert benchmark._number(value) == text


@pytest.fixture
def files(tmp_path):
    """Tables and choices of two datasets, as files."""
    for name in ("first", "second"):
        make_metrics().to_parquet(tmp_path / f"{name}.parquet", index=False)
        for (model, method), choice in CHOICES.items():
            path = tmp_path / name / model / f"{method}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"chosen": choice.strength, "protocol": choice.protocol}))
    names = ["first", "second"]
    return names, [tmp_path / f"{name}.parquet" for name in names], [tmp_path / name for name in names]


def test_the_command_writes_both_files(files, tmp_path):
    names, metrics, selections = files
    outputs = [tmp_path / "benchmark.csv", tmp_path / "benchmark.md"]
    arguments = ["tabulate-benchmark", "--datasets", *names, "--benchmarks", '{"second": "breast", "first": null}']
    arguments += ["--metrics", *map(str, metrics), "--selections", *map(str, selections)]
    assert cli.main([*arguments, "--output", str(outputs[0]), "--markdown", str(outputs[1])]) == 0
    table = pd.read_csv(outputs[0])
    assert tuple(table.columns) == benchmark.COLUMNS
    assert table["dataset"].drop_duplicates().to_list() == names
    assert table.groupby("dataset")["published"].agg(lambda column: (column == "yes").sum()).to_dict() == {
        "first": 0,
        "second": 3,
    }
    text = outputs[1].read_text()
    assert "\n## first\n" in text
    assert "\n## second (published benchmark: breast)\n" in text


def test_missing_tables_are_named(files, tmp_path):
    names, metrics, selections = files
    with pytest.raises(UserError, match="2 datasets, 1 metrics and 2 selections"):
        benchmark.tabulate_benchmark(names, {}, metrics[:1], selections, tmp_path / "b.csv", tmp_path / "b.md")


def test_what_is_doubtful_stands_below_the_table_of_its_dataset(rows):
    others = rows.assign(dataset="yours")
    remarks = [
        Remark("mine", "small", "pathreg", LARGEST, "1"),
        Remark("mine", "large", "pathreg", TRIVIAL, "error 2; line in time: 1"),
        Remark("elsewhere", "small", "l1", LARGEST, "3"),
    ]
    text = benchmark.write_markdown(pd.concat([rows, others]), remarks)
    mine, yours = text.partition("## yours")[::2]
    below = mine.partition("What is doubtful:\n\n")[2].strip().splitlines()
    assert below == [
        f"- {HEADINGS[TRIVIAL]}:",
        "  - mine: large/pathreg (error 2; line in time: 1)",
        f"- {HEADINGS[LARGEST]}:",
        "  - mine: small/pathreg (1)",
    ]
    assert "doubtful" not in yours
    assert "elsewhere" not in text
