"""Published values as data."""

import re
from pathlib import Path

import pytest

from sparsenode.cli import main
from sparsenode.errors import UserError
from sparsenode.evaluation.scoring import PROTOCOLS
from sparsenode.figures import published


def test_every_row_says_what_it_is_and_where_it_is_from():
    keys = set()
    for row in published._rows():
        if not row["method"]:
            assert row["condition"]
            continue
        assert row["metric"] in published.METRICS
        assert row["unit"] in published.SCALES
        assert row["source"].endswith(", as quoted")
        assert re.search(r"arXiv [0-9]{4}\.[0-9]{5}|doi 10\.|Boussard et al\. 2026", row["source"])
        assert row["scoring"] in {"", *PROTOCOLS}
        assert row["protocol"]
        assert row["tuned"] in published.TUNED
        assert float(row["value"]) >= 0
        key = tuple(row[name] for name in ("dataset", "study", "method", "metric"))
        assert key not in keys
        keys.add(key)


def test_the_table_of_the_documents_is_that_of_the_registry(repository: Path):
    text = (repository / "docs" / "published.md").read_text(encoding="utf-8")
    between = text.partition(published.TABLE_BEGIN)[2].partition(published.TABLE_END)[0]
    assert between.strip() == published.published_table()


def test_the_documents_name_every_scoring_protocol_in_its_words(repository: Path):
    text = (repository / "docs" / "published.md").read_text(encoding="utf-8")
    for name, protocol in PROTOCOLS.items():
        assert f"| `{name}` | {protocol.description} |" in text


def test_the_command_lists_one_benchmark_or_all(capsys: pytest.CaptureFixture[str]):
    assert main(["published", "scode_2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 2
    assert lines[2].startswith("| `scode_2` | GRISLI | AUROC | .571 | ordered pairs of two different factors")
    assert "(`regulators`) | not stated |" in lines[2]
    assert main(["published"]) == 0
    assert capsys.readouterr().out.strip() == published.published_table()
    values = [row for row in published._rows() if row["method"]]
    assert published.published_table().count("\n") == len(values) + 1


def test_a_value_of_the_registry_is_that_of_its_benchmark():
    by_method = {one.method: one for one in published.read_published("dream3_100")}
    assert by_method["CUTS"].values == {"auroc": 0.592}
    assert by_method["CUTS"].scoring == "pairs"
    assert [one.values["auroc"] for one in published.read_published("ngm_lorenz96_share_0.3")] == [0.767]
    assert published.read_published("dysts_dynamics")[1].values["distribution_distance"] == 3e6


def test_values_are_shares_and_errors():
    by_method = {one.method: one for one in published.read_published("sim350")}
    assert by_method["PathReg"].values == pytest.approx(
        {"exact_weight_sparsity": 0.566, "balanced_accuracy": 0.619, "mse_one_step": 8e-3}
    )
    assert by_method["PathReg"].counterpart == "pathreg"
    assert by_method["PathReg"].remarks == (
        "error by the published code one step ahead, between values without noise; unit 1e-3 (presumed)",
    )
    assert by_method["DASH"].condition == "5 % noise, perfect prior"
    assert all(0 <= one.values["exact_weight_sparsity"] <= 1 for one in by_method.values())
    assert len(by_method) == 8


def test_counterparts_are_methods_and_benchmarks_have_values_of_each_kind():
    from sparsenode.methods import method_names

    assert published.benchmark_names()[:4] == ["sim350", "breast", "yeast", "hematopoiesis"]
    for benchmark in published.benchmark_names():
        for one in published.read_published(benchmark):
            assert one.counterpart in {"", *method_names()}
            assert ("exact_weight_sparsity" in one.values) == (one.study == "DASH")


def test_what_differs_from_the_data_here_is_told():
    assert "`start: published`" in published.benchmark_note("sim350")
    assert published.benchmark_note("yeast") == ""
    assert {one.condition for one in published.read_published("breast")} == {"11,165 genes; here 500"}


def test_without_a_benchmark_nothing_is_published():
    assert published.read_published(None) == []
    with pytest.raises(UserError, match="benchmark 'sim351'; there are: sim350, breast"):
        published.read_published("sim351")
