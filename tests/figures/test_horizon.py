"""The figure of errors over lead time."""

import numpy as np
import pandas as pd
import pytest

from sparsenode.errors import UserError
from sparsenode.evaluation.results import Choice, read_lead_errors
from sparsenode.figures import horizon, style

CHOICES = {
    (model, method): Choice(strength, "rolling")
    for model in ("first_order", "second_order")
    for method, strength in {"none": 0.0, "l1": 0.01, "pathreg": 0.1}.items()
}


@pytest.fixture
def errors(walking_metrics, tmp_path):
    walking_metrics.to_parquet(tmp_path / "metrics.parquet", index=False)
    return read_lead_errors(tmp_path / "metrics.parquet")


def make_figure(metrics, errors, adata, choices=CHOICES):
    return horizon.draw("mocap", metrics, choices, errors, horizon.choose_panels(adata, errors))


def lines_of(axes):
    return {str(line.get_label()).partition(":")[0]: line for line in axes.get_lines()}


@pytest.mark.slow(reason="draws a whole figure")
def test_lines_are_medians_over_seeds_in_degrees(walking_metrics, errors, walking):
    figure = make_figure(walking_metrics, errors, walking)
    same, other, *second = figure.axes
    assert same.get_title() == "first_order\nsame person (35), later trials"
    assert other.get_title() == "first_order\nanother person (07)"
    assert [axes.get_title().splitlines()[0] for axes in second] == ["second_order"] * 2
    leads = np.arange(1, 11) / 10
    line = lines_of(same)["l1"]
    assert line.get_color() == style.looks(["l1"])["l1"].color
    np.testing.assert_allclose(line.get_xdata(), leads)
    np.testing.assert_allclose(line.get_ydata(), 6.5 * leads**0.7)
    np.testing.assert_allclose(lines_of(other)["l1"].get_ydata(), 1.3 * 6.5 * leads**0.7)
    np.testing.assert_allclose(lines_of(same)["hold the last pose"].get_ydata(), 12 * np.sqrt(leads))
    assert same.get_ylabel() == "root mean squared error\n(degree)"
    assert same.get_xlabel() == "lead time (second)"


@pytest.mark.slow(reason="draws a whole figure")
def test_an_extrapolation_that_explodes_does_not_set_the_scale(walking_metrics, errors, walking):
    figure = make_figure(walking_metrics, errors, walking)
    axes = figure.axes[1]
    assert lines_of(axes)["constant velocity"].get_ydata()[-1] > 2 * axes.get_ylim()[1]
    assert 15.6 < axes.get_ylim()[1] < 17
    exploding = errors["method"].eq("none") & errors["seed"].eq(0)
    errors.loc[exploding, "value"] = 1e9
    assert horizon.top(errors) == pytest.approx(1.05 * horizon.BEYOND * 1.3 * 12)


@pytest.mark.slow(reason="draws a whole figure")
def test_without_restored_errors_those_in_modeling_units_are_drawn(walking_metrics, walking, tmp_path):
    kept = walking_metrics[walking_metrics["metric"] != "mse_restored"]
    kept.to_parquet(tmp_path / "metrics.parquet", index=False)
    errors = read_lead_errors(tmp_path / "metrics.parquet")
    axes = make_figure(walking_metrics, errors, walking).axes[0]
    assert axes.get_ylabel() == "root mean squared error\n(scaled units)"
    np.testing.assert_allclose(lines_of(axes)["l1"].get_ydata()[-1], 0.65)


def test_subjects_without_errors_of_their_own_are_shown_as_one_mean(errors, walking):
    panels = horizon.choose_panels(walking, errors[errors["trajectory"] == "all"])
    assert panels.titles == {"all": "mean over test trials"}


def test_of_many_subjects_the_mean_is_shown(errors, walking, monkeypatch):
    monkeypatch.setattr(horizon, "MOST_SUBJECTS", 1)
    assert horizon.choose_panels(walking, errors).titles == {"all": "mean over test trials"}


def test_a_subject_whose_mean_is_not_listed_is_found_under_another_name(errors, walking):
    one = walking[walking.obs["subject"] == "35"]
    assert horizon.choose_panels(one, errors[errors["trajectory"] == "all"]).titles == {
        "all": "same person (35), later trials"
    }
    each = walking[walking.obs["trajectory"] != "35_31"]
    alone = errors.replace({"trajectory": {"subject 35": "35_30", "subject 07": "07_01"}})
    assert list(horizon.choose_panels(each, alone).titles) == ["35_30", "07_01"]


@pytest.mark.slow(reason="draws several figures")
def test_validation_data_stand_in_for_test_data(errors, walking, walking_metrics):
    validation = errors[errors["split"] == "validation"]
    panels = horizon.choose_panels(walking, validation)
    assert panels.split == "validation"
    figure = horizon.draw("mocap", walking_metrics, CHOICES, validation, panels)
    assert [axes.get_title() for axes in figure.axes[:2]] == [
        f"{model}\nsame person (35), later trials" for model in ("first_order", "second_order")
    ]


@pytest.mark.slow(reason="draws a whole figure")
def test_a_method_without_a_strength_is_named_but_not_drawn(walking_metrics, errors, walking):
    choices = CHOICES | {("first_order", "pathreg"): Choice(None, "rolling")}
    axes = make_figure(walking_metrics, errors, walking, choices).axes[0]
    line = next(line for line in axes.get_lines() if str(line.get_label()).startswith("pathreg"))
    assert "too few members finished" in line.get_label()
    assert len(line.get_xdata()) == 0


def test_metrics_without_rolling_forecasts_are_refused(metrics, tmp_path):
    pd.DataFrame(metrics).to_parquet(tmp_path / "metrics.parquet", index=False)
    with pytest.raises(UserError, match="no errors of rolling forecasts"):
        read_lead_errors(tmp_path / "metrics.parquet")
