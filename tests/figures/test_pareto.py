"""The figure of error against sparsity."""

import numpy as np

from sparsenode.evaluation.results import Choice
from sparsenode.figures import pareto, style

CHOICES = {("small", "l1"): Choice(0.01, "trajectory")}
LOOKS = style.looks(["none", "l1", "mine"])


def lines_of(axes, method):
    return [line for line in axes.get_lines() if line.get_color() == LOOKS[method].color]


def test_medians_of_each_strength_are_joined_and_the_chosen_one_is_filled(metrics):
    [axes] = pareto.draw("toy", metrics, CHOICES).axes
    path, _, chosen = lines_of(axes, "l1")
    np.testing.assert_allclose(path.get_xdata(), [0, 0.5, 5, 50])
    np.testing.assert_allclose(path.get_ydata(), np.array([0.11, 0.111, 0.12, 0.22]) / 0.11)
    assert path.get_markerfacecolor() == "white"
    assert (chosen.get_xdata()[0], chosen.get_ydata()[0]) == (path.get_xdata()[2], path.get_ydata()[2])
    assert chosen.get_markerfacecolor() == LOOKS["l1"].color


def test_methods_at_one_place_are_set_apart_by_one_distance(metrics):
    [axes] = pareto.draw("toy", metrics, CHOICES).axes
    starts = [lines_of(axes, method)[0].get_xdata()[0] for method in ("none", "l1")]
    np.testing.assert_allclose(np.diff(starts), pareto.APART)
    low, high = axes.get_xlim()
    assert all(low < x < high for line in axes.get_lines()[:-1] for x in np.ravel(line.get_xdata()))


def test_a_method_whose_members_all_diverged_is_still_named(metrics):
    lost = metrics["method"].eq("mine") & metrics["metric"].eq("seconds")
    metrics.loc[lost, "status"] = "diverged"
    rest = metrics[~(metrics["method"].eq("mine") & ~metrics["metric"].eq("seconds"))]
    [legend] = pareto.draw("toy", rest, CHOICES).legends
    assert "mine (6 of 6 diverged)" in [text.get_text() for text in legend.get_texts()]
