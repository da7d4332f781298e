"""The table of all effects of the study."""

import numpy as np
import pandas as pd
import pytest

from sparsenode.evaluation.study.effects import measure_effect, paired_values
from sparsenode.evaluation.study.summary import METRICS, all_effects, summarize_effects
from sparsenode.evaluation.study.tables import write_long
from study_tables import make_long


def test_there_is_a_row_for_each_quantity_level_choice_and_condition(tmp_path):
    long = make_long({"l1": np.log(0.5)}, {"l1": 0.1}, spread=0.05, kinds=("hill", "linear"), conditions=2)
    write_long(long, tmp_path / "long.csv.gz")
    summarize_effects(tmp_path / "long.csv.gz", tmp_path / "effects.csv", repeats=50)
    table = pd.read_csv(tmp_path / "effects.csv")
    assert set(table["metric"]) == set(METRICS)
    # Six levels of two quantities of forecasts, and four of structure; each over all conditions and at two of them.
    assert len(table) == (2 * 6 + 4) * 2 * 3
    assert not table.duplicated(["metric", "method", "distance", "choice", "condition"]).any()
    assert table.loc[table["choice"] == "truth", "p"].isna().all()
    whole = table[(table["condition"] == "all") & (table["choice"] == "validation")].set_index(["metric", "distance"])
    paired = paired_values(long, "mse_cut", "ratio")
    one = paired[(paired["distance"] == 3) & (paired["choice"] == "validation")]
    expected = measure_effect(one, repeats=50, has_model=False)
    row = whole.loc[("mse_cut", 3)]
    assert row[["estimate", "lower", "upper", "p"]].tolist() == pytest.approx(
        [expected.estimate, expected.lower, expected.upper, expected.p], rel=1e-4
    )
    assert (row["systems"], row["pairs"]) == (6, len(one))
    assert whole.loc[("auprc", -1), "estimate"] == pytest.approx(0.1, abs=0.05)


def test_a_table_without_pairs_has_no_effects():
    assert all_effects(make_long({})).empty
