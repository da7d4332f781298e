"""The figure of what each strength costs and leaves."""

import numpy as np
import pandas as pd
import pytest

from sparsenode.evaluation.results import Choice
from sparsenode.figures import strengths, style

CHOICES = {("small", "l1"): Choice(0.01, "trajectory"), ("small", "mine"): Choice(None, "trajectory")}


def line_of(axes, method):
    color = style.looks(style.method_order(["none", "l1", "mine"]))[method].color
    return next(line for line in axes.get_lines() if line.get_color() == color and line.get_linestyle() == "-")


def legend_of(figure):
    [legend] = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_errors_are_multiples_of_that_without_a_regularizer(metrics):
    errors, left = strengths.draw("toy", metrics, CHOICES).axes
    np.testing.assert_allclose(line_of(errors, "l1").get_xdata(), [1e-3, 1e-2, 1e-1])
    np.testing.assert_allclose(line_of(errors, "l1").get_ydata(), np.array([0.111, 0.12, 0.22]) / 0.11)
    assert errors.get_ylabel() == "multiple of the error\nwithout a regularizer"
    # The share of pairs without a path is five times the strength.
    np.testing.assert_allclose(line_of(left, "l1").get_ydata(), [99.5, 95.0, 50.0])


def test_the_chosen_strength_has_a_ring_in_both_panels(metrics):
    figure = strengths.draw("toy", metrics, CHOICES)
    rings = [line for axes in figure.axes for line in axes.get_lines() if line.get_markersize() == 10]
    assert [float(ring.get_xdata()[0]) for ring in rings] == [0.01, 0.01]


def test_only_what_diverged_is_told(metrics):
    assert legend_of(strengths.draw("toy", metrics, CHOICES))[:2] == ["l1 (2 of 12 diverged)", "mine"]


def test_without_plain_training_errors_are_beside_the_best_trivial_forecast(metrics):
    rest = metrics[metrics["method"] != "none"]
    errors = strengths.draw("toy", rest, CHOICES).axes[0]
    assert errors.get_ylabel().endswith("of the best trivial forecast")
    trivial = metrics.loc[metrics["method"].str.startswith("baseline:") & metrics["split"].eq("test"), "value"].min()
    np.testing.assert_allclose(line_of(errors, "l1").get_ydata(), np.array([0.111, 0.12, 0.22]) / trivial)


@pytest.mark.slow(reason="draws a whole figure")
def test_of_many_models_the_three_that_forecast_validation_data_best_are_shown(two_models):
    one = two_models[two_models["model"] == "small"]
    models = {f"m{number}": number for number in (4, 1, 3, 2, 5)}
    tables = [
        one.assign(model=name, value=one["value"].where(one["metric"] != "mse", one["value"] * worth))
        for name, worth in models.items()
    ]
    table = pd.concat([two_models[two_models["model"] == ""], *tables])
    choices = {(name, "l1"): Choice(0.01, "trajectory") for name in models}
    figure = strengths.draw("toy", table, choices)
    assert [axes.get_title() for axes in figure.axes[::2]] == ["m1: test error", "m3: test error", "m2: test error"]
    assert "3 of 5 models" in figure.get_suptitle()


@pytest.mark.slow(reason="draws a whole figure")
def test_a_legend_lies_outside_of_the_panels(two_models, tmp_path):
    figure = strengths.draw("toy", two_models, CHOICES)
    style.save_figure(figure, [tmp_path / "figure.png"])
    [legend] = figure.legends
    assert all(legend.get_window_extent().y1 < axes.get_window_extent().y0 for axes in figure.axes)
    assert len(figure.axes) == 4
