"""Published values as data."""

import pytest

from sparsenode.errors import UserError
from sparsenode.figures import published


def test_every_row_says_what_it_is_and_where_it_is_from():
    for row in published._rows():
        if not row["method"]:
            assert row["condition"]
            continue
        assert row["metric"] in published.METRICS
        assert row["unit"] in published.SCALES
        assert "arXiv" in row["source"]
        assert "as quoted" in row["source"]


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

    assert published.benchmark_names() == ["sim350", "breast", "yeast", "hematopoiesis"]
    for benchmark in published.benchmark_names():
        for one in published.read_published(benchmark):
            assert one.counterpart in {"", *method_names()}
            assert "exact_weight_sparsity" in one.values


def test_what_differs_from_the_data_here_is_told():
    assert "`start: published`" in published.benchmark_note("sim350")
    assert published.benchmark_note("yeast") == ""
    assert {one.condition for one in published.read_published("breast")} == {"11,165 genes; here 500"}


def test_without_a_benchmark_nothing_is_published():
    assert published.read_published(None) == []
    with pytest.raises(UserError, match="benchmark 'sim351'; there are: sim350, breast"):
        published.read_published("sim351")
