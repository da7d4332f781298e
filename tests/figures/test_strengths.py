"""The figure of error and sparsities over strength."""

import numpy as np
import pytest

from sparsenode.evaluation.results import Choice
from sparsenode.figures import strengths

CHOICES = {("small", "l1"): Choice(0.01, "trajectory"), ("small", "mine"): Choice(None, "trajectory")}


def panels(figure):
    return [axes for axes in figure.findobj(match=lambda artist: hasattr(artist, "get_xlim")) if axes.get_visible()]


@pytest.mark.slow(reason="draws a whole figure")
def test_each_method_tells_its_divergence_and_chosen_strength(metrics):
    figure = strengths.draw("toy", metrics, CHOICES)
    titles = [axes.get_title() for axes in panels(figure) if axes.get_title()]
    assert titles == ["l1\n2 of 12 diverged", "mine\n0 of 6 diverged"]
    stripes = [line.get_xdata()[0] for axes in panels(figure) for line in axes.get_lines() if line.get_linewidth() == 5]
    assert stripes == [0.01, 0.01]


@pytest.mark.slow(reason="draws a whole figure")
def test_points_are_medians_over_seeds(metrics):
    axes = next(axes for axes in panels(strengths.draw("toy", metrics, CHOICES)) if axes.get_title().startswith("l1"))
    test = next(line for line in axes.get_lines() if line.get_label() == "test")
    np.testing.assert_allclose(test.get_xdata(), [1e-3, 1e-2, 1e-1])
    np.testing.assert_allclose(test.get_ydata(), [0.111, 0.12, 0.22])
    assert axes.get_ylabel() == "mean squared error\nmol²"


@pytest.mark.slow(reason="draws a whole figure")
def test_plain_training_stands_in_for_strength_0_only_where_that_is_plain(metrics):
    given = Choice(0.1, "trajectory", "dash", {"name": "some", "of": "some", "corruption": 0.0})
    for choice, stands_in, label in (
        (Choice(0.1, "trajectory", "l1"), True, "strength (0: no regularizer)"),
        (given, False, "strength"),
    ):
        shown = panels(strengths.draw("toy", metrics, {**CHOICES, ("small", "mine"): choice}))
        mine = next(axes for axes in shown if axes.get_title().startswith("mine"))
        # What stands at strength 0 is apart from the lines, with bars.
        assert bool(mine.containers) is stands_in
        assert label in [axes.get_xlabel() for axes in shown[-2:]]


@pytest.mark.slow(reason="draws a whole figure")
def test_models_stand_below_each_other(two_models):
    figure = strengths.draw("toy", two_models, CHOICES)
    assert len(panels(figure)) == 8
