"""The figure of error against sparsity."""

import numpy as np
import pytest

from sparsenode.evaluation.results import Choice
from sparsenode.figures import pareto

CHOICES = {("small", "l1"): Choice(0.01, "trajectory")}


@pytest.mark.slow(reason="draws a whole figure")
def test_each_panel_shows_every_method_at_every_strength(metrics):
    figure = pareto.draw("toy", metrics, CHOICES)
    axes = figure.subfigs[0].axes[0]
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert {"none (0 of 3 diverged)", "l1 (2 of 12 diverged)", "mine (0 of 6 diverged)"} <= set(lines)
    line = lines["l1 (2 of 12 diverged)"]
    np.testing.assert_allclose(line.get_xdata(), [0, 0.005, 0.05, 0.5])
    np.testing.assert_allclose(line.get_ydata(), [0.11, 0.111, 0.12, 0.22])
    rings = [line for line in axes.get_lines() if line.get_markersize() == 12]
    assert [(ring.get_xdata()[0], ring.get_ydata()[0]) for ring in rings] == [(0.05, 0.12)]


def test_a_method_whose_members_all_diverged_is_still_named(metrics):
    lost = metrics["method"].eq("mine") & metrics["metric"].eq("seconds")
    metrics.loc[lost, "status"] = "diverged"
    kept = metrics[~(metrics["method"].eq("mine") & ~metrics["metric"].eq("seconds"))]
    figure = pareto.draw("toy", kept, CHOICES)
    assert "mine (6 of 6 diverged)" in [line.get_label() for line in figure.subfigs[0].axes[0].get_lines()]
