"""The figure of learned and true networks."""

import numpy as np
import pytest

from sparsenode.data.contract import Network
from sparsenode.evaluation.results import Choice
from sparsenode.figures import network

FEATURES = ["a", "b", "c", "d"]
CHOICES = {("small", "l1"): Choice(0.01, "trajectory")}
LEARNED = np.array([[9.0, 2, 0, 0], [0, 0, -4, 0], [0, 0, 0, 1], [0, 0, 0, 0]])


def test_weights_are_relative_to_the_largest_off_the_diagonal():
    scaled = network.scale(LEARNED)
    assert scaled[1, 2] == -1
    assert scaled[0, 1] == 0.5
    assert scaled[0, 0] == 0
    assert not network.scale(np.eye(3)).any()


def test_clustering_puts_equals_beside_each_other():
    profiles = np.array([[0.0, 1], [1, 0], [0, 1], [1, 0]])
    order = list(network.cluster(profiles))
    assert abs(order.index(0) - order.index(2)) == 1
    assert abs(order.index(1) - order.index(3)) == 1
    assert sorted(network.cluster(profiles[:2])) == [0, 1]


def test_of_many_features_those_with_the_strongest_edges_are_shown():
    wide = np.zeros((60, 60))
    wide[50, 3] = 2
    shown, order = network.choose_features({("m", "l1"): wide}, None)
    assert shown == len(order) == network.MOST_FEATURES
    assert {50, 3} <= set(order.tolist())
    wide[59, 58] = 1
    known = np.ones((60, 60), bool)
    known[50] = False
    truth = Network(np.zeros((60, 60)), known, signed=True)
    _, told = network.choose_features({("m", "l1"): wide}, ("true network", truth))
    assert {59, 58} <= set(told.tolist())
    assert 50 not in told.tolist()


@pytest.mark.slow(reason="draws a whole figure")
def test_panels_tell_edges_divergence_and_score(metrics, tmp_path):
    truth = Network(np.sign(LEARNED), np.ones((4, 4), bool), signed=True)
    figure = network.draw("toy", metrics, CHOICES, {("small", "l1"): LEARNED}, FEATURES, ("true network", truth))
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles[0].startswith("true network\n3 edges")
    assert titles[1] == "l1\n3 edges\nAUPRC 0.50"
    figure.savefig(tmp_path / "network.png", dpi=40)


@pytest.mark.slow(reason="draws a whole figure")
def test_an_edge_of_unknown_sign_is_neither_red_nor_blue(metrics, tmp_path):
    positive, unsigned = np.abs(LEARNED), LEARNED < 0
    learned = {("small", "l1"): positive}
    figure = network.draw("toy", metrics, CHOICES, learned, FEATURES, None, {("small", "l1"): unsigned})
    figure.savefig(tmp_path / "network.png", dpi=40)
    axes = next(axes for axes in figure.axes if axes.get_title().startswith("l1"))
    assert "3 edges" in axes.get_title()
    alone, others = (mesh.get_array() for mesh in axes.collections)
    assert (alone.count(), others.count()) == (1, 16 - 4 - 1)
    assert "green: sign not known" in figure.get_suptitle()
    known = network.draw("toy", metrics, CHOICES, learned, FEATURES, None)
    assert "green" not in known.get_suptitle()


@pytest.mark.slow(reason="draws a whole figure")
def test_a_truth_without_signs_is_green_and_what_it_does_not_tell_is_blank(metrics, tmp_path):
    known = np.ones((4, 4), bool)
    known[3] = False
    truth = Network(np.abs(np.sign(LEARNED)), known, signed=False)
    figure = network.draw("toy", metrics, CHOICES, {("small", "l1"): LEARNED}, FEATURES, ("true network", truth))
    figure.savefig(tmp_path / "network.png", dpi=40)
    axes = next(axes for axes in figure.axes if axes.get_title().startswith("true network"))
    blank, edges, others = (mesh.get_array().count() for mesh in axes.collections)
    assert (blank, edges, others) == (3, 3, 16 - 4 - 3 - 3)
    heading = " ".join(figure.get_suptitle().split())
    assert "green: sign not known" in heading
    assert "light gray: pairs of which the true network tells nothing" in heading


def test_without_truth_or_any_edge(metrics, tmp_path):
    choices = {("small", "l1"): Choice(None, "trajectory")}
    figure = network.draw("toy", metrics, choices, {("small", "l1"): np.zeros((4, 4))}, FEATURES, None)
    figure.savefig(tmp_path / "network.pdf")
    assert "too few members finished" in figure.axes[0].get_title()


@pytest.mark.slow(reason="draws a whole figure")
def test_of_a_cut_list_the_true_number_of_edges_is_told_and_unlisted_pairs_are_not_known(metrics, tmp_path):
    counts = {"found": 11, "listed": 3, "typical": 9}
    choices = {("small", "l1"): Choice(0.01, "trajectory", edges=counts)}
    weights = {("small", "l1"): LEARNED}
    unlisted = {("small", "l1"): LEARNED == 0}
    figure = network.draw("toy", metrics, choices, weights, FEATURES, None, None, unlisted)
    axes = next(axes for axes in figure.axes if axes.get_title().startswith("l1"))
    assert "9 edges" in axes.get_title()
    [cells] = [item for item in axes.collections if item.get_hatch()]
    hatched = {tuple(path.vertices.min(axis=0)[::-1].astype(int).tolist()) for path in cells.get_paths()}
    off = ~np.eye(4, dtype=bool)
    _, order = network.choose_features(weights, None)
    assert hatched == {tuple(pair) for pair in np.argwhere((LEARNED == 0)[np.ix_(order, order)] & off).tolist()}
    heading = " ".join(figure.get_suptitle().split())
    assert "hatched: not known, since the pair is not among the 3 edges of the largest share" in heading
    figure.savefig(tmp_path / "network.png", dpi=40)
    whole = {("small", "l1"): Choice(0.01, "trajectory", edges={"found": 4, "listed": 4, "typical": 3})}
    figure = network.draw("toy", metrics, whole, weights, FEATURES, None)
    assert "hatched" not in figure.get_suptitle()
    axes = next(axes for axes in figure.axes if axes.get_title().startswith("l1"))
    assert "3 edges" in axes.get_title()
