"""Which networks are shown, where legends lie, and colors that people with another color vision tell apart."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D

from sparsenode.evaluation.results import Choice
from sparsenode.evaluation.tables import join_tables, make_table
from sparsenode.figures import panels, style

WHERE = {"split": "validation", "phase": "fit", "trajectory": "all", "horizon": "trajectory"}
ERRORS = {("a", "l1"): 0.4, ("a", "l0"): 0.1, ("a", "none"): 0.2, ("b", "l1"): 0.9, ("b", "l0"): 0.8, ("c", "l1"): 0.3}


def make_metrics():
    tables = [make_table(**WHERE, metric="mse", method="baseline:zeros", value=[2.0])]
    for (model, method), error in ERRORS.items():
        key = {"model": model, "method": method, "strength": 0.1, "seed": 0}
        tables += [make_table(**key, metric="seconds", value=[1.0])]
        tables += [make_table(**key, **WHERE, metric="mse", value=[error])]
    return join_tables(tables)


CHOICES = dict.fromkeys(ERRORS, Choice(0.1, "trajectory"))


def test_the_error_on_validation_data_is_beside_the_best_trivial_forecast():
    assert panels.validation_ratio(make_metrics(), ("a", "l0"), Choice(0.1, "trajectory")) == pytest.approx(0.05)
    for choice in (Choice(None, "trajectory"), Choice(0.2, "trajectory"), Choice(0.1, "window")):
        assert panels.validation_ratio(make_metrics(), ("a", "l0"), choice) == np.inf


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (1, {("a", "l0")}),
        (3, {("a", "l0"), ("b", "l0"), ("c", "l1")}),
        (4, {("a", "l0"), ("b", "l0"), ("c", "l1"), ("a", "none")}),
        (6, set(ERRORS)),
    ],
)
def test_the_best_network_of_each_model_goes_before_the_second_of_any(most, expected):
    chosen = panels.choose_networks(make_metrics(), CHOICES, most)
    assert set(chosen) == expected
    assert chosen == [key for key in panels.choose_networks(make_metrics(), CHOICES, 99) if key in expected]


@pytest.mark.parametrize(("most", "expected"), [(1, ["a"]), (2, ["a", "c"]), (3, ["a", "b", "c"])])
def test_the_models_of_the_best_networks_are_shown(most, expected):
    assert panels.choose_models(make_metrics(), CHOICES, most) == expected


def test_models_without_a_chosen_strength_come_last():
    chosen = {("b", "l1"): CHOICES["b", "l1"], ("c", "l1"): Choice(None, "")}
    assert panels.choose_models(make_metrics(), chosen, 1) == ["b"]
    assert panels.choose_models(make_metrics(), chosen, 2) == ["a", "b"]
    assert panels.choose_models(make_metrics(), {}, 2) == ["a", "b"]


def test_a_selection_is_told():
    assert panels.describe_selection(6, 6) == []
    assert panels.describe_selection(5, 8) == [
        "5 of 8 networks: of each model those that forecast validation data best"
    ]


@pytest.mark.parametrize(("count", "below"), [(1, True), (2, True), (3, False), (4, True), (5, False), (6, True)])
def test_a_legend_fills_the_cell_without_a_panel_else_lies_below(count, below, tmp_path):
    with style.style():
        made = panels.make_panels(count, height=2.0, heading=["what is shown"])
        panels.add_legend(made, [Line2D([], [])] * 3, ["a", "b", "c"])
        style.save_figure(made.figure, [tmp_path / "figure.png"], dots_per_inch=40)
    legend = made.figure.legends[0] if below else made.vacant.get_legend()
    box = legend.get_window_extent()
    for axes in made.axes:
        extent = axes.get_window_extent()
        assert box.y1 <= extent.y0 or box.x0 >= extent.x1
        assert made.figure.texts[0].get_window_extent().y0 >= extent.y1
    assert len(made.axes) == count
    assert made.figure.get_size_inches()[0] == panels.WIDTH


def deuteranope(color):
    """What is seen of a color without green cones, in linear light (Machado et al. 2009, severity 1)."""
    matrix = np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    )
    value = np.array(to_rgb(color))
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return lab(np.clip(matrix @ linear, 0, 1))


def lab(linear):
    """CIE L*a*b* of linear sRGB under D65."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratio = (to_xyz @ linear) / np.array([0.9505, 1.0, 1.089])
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_methods_are_told_apart_without_green_cones():
    """Ten units of color difference are seen at a glance; a marker of its own comes on top."""
    methods = ["none", "l1", "cnode", "l0", "pathreg", "grouplasso", "lassonet"]
    looks = style.looks(methods)
    for one, other in combinations(methods, 2):
        difference = np.linalg.norm(deuteranope(looks[one].color) - deuteranope(looks[other].color))
        assert difference > 10, (one, other)
        assert looks[one].marker != looks[other].marker
    assert np.linalg.norm(deuteranope(style.EDGE) - deuteranope(style.NEW_EDGE)) > 30
