"""The drawing of learned networks with known and new edges."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import ArrowStyle, FancyArrowPatch

from sparsenode.data.contract import Network
from sparsenode.evaluation.networks import Matrices
from sparsenode.evaluation.results import Choice
from sparsenode.figures import network_graph, style
from sparsenode.figures.network_graph import Drawing

FEATURES = ["a", "b", "c", "d"]
CHOICES = {("small", "l1"): Choice(0.01, "trajectory")}
WEIGHTS = np.array([[9.0, 2, 0, 0], [0, 0, -4, 0], [0, 3, 0, 1], [0, 0, 0, 0]])
FREQUENCY = np.array([[1, 1, 0, 0], [0, 0, 0.5, 0], [0, 0.4, 0, 1], [0, 0, 0, 0]])
TRUTH = np.array([[0.0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, -1], [1, 0, 0, 0]])
REFERENCE = Network(TRUTH, np.ones((4, 4), bool), signed=True)


def learned_of(weights, frequency, unsigned=None):
    return Matrices(weights, frequency, np.zeros(weights.shape, bool) if unsigned is None else unsigned)


LEARNED = {("small", "l1"): learned_of(WEIGHTS, FREQUENCY)}


def draw(metrics, reference, learned=LEARNED, features=FEATURES, choices=CHOICES):
    return network_graph.draw("toy", metrics, choices, learned, features, reference)


def panels(figure):
    return [axes for axes in figure.axes if axes.get_title()]


def arrows(axes):
    return [
        patch
        for patch in axes.patches
        if isinstance(patch, FancyArrowPatch) and not isinstance(patch.get_arrowstyle(), network_graph.HeadOnly)
    ]


def test_edges_of_too_few_seeds_and_self_loops_are_none():
    drawing = network_graph.choose_edges(learned_of(WEIGHTS, FREQUENCY), REFERENCE, 9)
    assert drawing.rule == "all 3 edges that half of the seeds have"
    assert np.argwhere(drawing.confirmed).tolist() == [[0, 1], [2, 3]]
    assert np.argwhere(drawing.new).tolist() == [[1, 2]]
    assert np.argwhere(drawing.missed).tolist() == [[3, 0]]


def test_of_more_edges_the_strongest_are_taken():
    drawing = network_graph.choose_edges(learned_of(WEIGHTS, FREQUENCY), REFERENCE, 2)
    assert drawing.rule == "its 2 strongest edges of 3"
    assert np.argwhere(drawing.confirmed | drawing.new).tolist() == [[0, 1], [1, 2]]
    assert network_graph.describe(drawing, TRUTH) == ["1 of 3 known found, 1 new"]
    assert network_graph.describe(drawing, None) == []


def test_of_a_cut_list_what_is_not_listed_is_only_missed_where_more_is_listed_than_drawn():
    listed = WEIGHTS * (np.abs(WEIGHTS) > 1)
    for wanted, missed, rule in (
        (1, 3, "its 1 strongest edges of 2 that are listed"),
        (2, 2, "all 2 listed edges that half of the seeds have"),
        (3, 0, "all 2 listed edges that half of the seeds have\n2 known edges are not listed: not known"),
    ):
        network = learned_of(listed, np.where(listed != 0, FREQUENCY, 0.0))
        drawing = network_graph.choose_edges(network, REFERENCE, wanted, cut=True)
        assert (int(drawing.missed.sum()), drawing.rule) == (missed, rule)


def test_of_equal_weights_the_one_of_more_seeds_is_taken():
    frequency = np.where(TRUTH != 0, [[0.6], [0], [0.9], [0.7]], 0.0)
    drawing = network_graph.choose_edges(learned_of(np.abs(TRUTH), frequency), None, 1)
    assert np.argwhere(drawing.new).tolist() == [[2, 3]]


def test_every_known_edge_is_found_or_missed():
    generator = np.random.default_rng(0)
    for _ in range(20):
        weights = generator.standard_normal((6, 6))
        edges = np.where(generator.random((6, 6)) < 0.3, 1.0, 0.0) * ~np.eye(6, dtype=bool)
        wanted = int(generator.integers(0, 30))
        known = generator.random((6, 6)) < 0.7
        reference = network_graph.restrict(Network(edges, known, signed=False), np.ix_(range(6), range(6)))
        drawing = network_graph.choose_edges(learned_of(weights, generator.random((6, 6))), reference, wanted)
        np.testing.assert_array_equal(drawing.confirmed | drawing.missed, (edges != 0) & known)
        together = np.sum([drawing.confirmed, drawing.missed, drawing.new, drawing.untold], axis=0)
        assert together.max() <= 1
        assert not (drawing.untold & known).any()
        assert not (drawing.new & ~known).any()
        assert drawing.learned.sum() <= wanted


def test_how_many_edges_are_drawn():
    assert network_graph.count_wanted(REFERENCE, 4, is_truth=True) == 3
    assert network_graph.count_wanted(REFERENCE, 4, is_truth=False) == 4
    partly = REFERENCE._replace(known=TRUTH != 0)
    assert network_graph.count_wanted(partly, 4, is_truth=True) == 4
    assert network_graph.count_wanted(None, 4, is_truth=False) == 8
    nothing = REFERENCE._replace(truth=np.zeros((4, 4)))
    assert network_graph.count_wanted(nothing, 4, is_truth=True) == 4


def test_titles_count_and_colors_tell_what_an_edge_is(metrics):
    [axes] = panels(draw(metrics, ("true network", REFERENCE)))
    assert axes.get_title() == ("l1\n2 of 3 known found, 1 new\nall 3 edges that half of the seeds have")
    colors = sorted(to_hex(arrow.get_edgecolor()).upper() for arrow in arrows(axes))
    assert colors == sorted([style.EDGE.upper()] * 2 + [style.NEW_EDGE.upper(), "#A0A0A0"])


def test_arrows_activate_and_bars_repress(metrics):
    [axes] = panels(draw(metrics, ("true network", REFERENCE)))
    by_color = {}
    for arrow in arrows(axes):
        by_color.setdefault(to_hex(arrow.get_edgecolor()).upper(), []).append(arrow.get_arrowstyle())
    # The only new edge, b to c, has a negative weight; the missed one, d to a, activates in the truth.
    assert isinstance(by_color[style.NEW_EDGE.upper()][0], ArrowStyle.BracketB)
    assert isinstance(by_color["#A0A0A0"][0], ArrowStyle.CurveFilledB)


@pytest.mark.slow(reason="draws several figures")
def test_an_edge_of_unknown_sign_is_an_open_arrow(metrics):
    learned = {("small", "l1"): learned_of(np.abs(WEIGHTS), FREQUENCY, WEIGHTS < 0)}
    figure = draw(metrics, ("true network", REFERENCE), learned)
    [axes] = panels(figure)
    assert axes.get_title().splitlines()[1] == "2 of 3 known found, 1 new"
    [head] = [
        arrow.get_arrowstyle()
        for arrow in arrows(axes)
        if to_hex(arrow.get_edgecolor()).upper() == style.NEW_EDGE.upper()
    ]
    assert type(head) is ArrowStyle.CurveB
    assert "open arrow: sign not known" in figure.get_suptitle()
    assert "open arrow" not in draw(metrics, ("true network", REFERENCE)).get_suptitle()


def test_a_missed_edge_of_a_truth_without_signs_is_an_open_arrow(metrics):
    figure = draw(metrics, ("true network", REFERENCE._replace(truth=np.abs(TRUTH), signed=False)))
    [axes] = panels(figure)
    [head] = [arrow.get_arrowstyle() for arrow in arrows(axes) if to_hex(arrow.get_edgecolor()).upper() == "#A0A0A0"]
    assert type(head) is ArrowStyle.CurveB
    assert "open arrow: sign not known" in figure.get_suptitle()


def test_an_edge_of_which_the_truth_tells_nothing_is_not_new(metrics):
    known = np.ones((4, 4), bool)
    known[1] = False
    figure = draw(metrics, ("true network", REFERENCE._replace(known=known)))
    [axes] = panels(figure)
    assert axes.get_title().splitlines()[1] == "2 of 3 known found, 0 new, 1 of pairs not known"
    colors = [to_hex(arrow.get_edgecolor()).upper() for arrow in arrows(axes)]
    assert colors.count(style.BLACK) == 1
    assert style.NEW_EDGE.upper() not in colors
    [legend] = figure.legends
    assert legend.get_texts()[-1].get_text() == "the true network tells nothing of it"
    [all_known] = draw(metrics, ("true network", REFERENCE)).legends
    assert len(all_known.get_texts()) == 3


def test_width_is_the_weight(metrics):
    [axes] = panels(draw(metrics, None))
    assert {to_hex(arrow.get_edgecolor()).upper() for arrow in arrows(axes)} == {style.EDGE.upper()}
    widths = sorted(arrow.get_linewidth() for arrow in arrows(axes))
    np.testing.assert_allclose(widths, [0.4 + 1.6 * 1 / 4, 0.4 + 1.6 * 2 / 4, 2.0])


def test_every_feature_has_one_place_in_all_panels(metrics):
    choices = {("small", method): Choice(0.01, "trajectory") for method in ("l1", "mine")}
    learned = {("small", "l1"): LEARNED["small", "l1"], ("small", "mine"): learned_of(WEIGHTS.T, FREQUENCY.T)}
    one, other = panels(draw(metrics, ("true network", REFERENCE), learned, choices=choices))
    places = [{text.get_text(): text.get_position() for text in axes.texts} for axes in (one, other)]
    assert set(places[0]) == set(FEATURES)
    assert places[0] == places[1]


def test_the_layout_is_that_of_the_truth_whatever_was_learned():
    empty = np.zeros((4, 4), bool)
    some = Drawing(TRUTH != 0, empty, WEIGHTS != 0, empty, "")
    none = Drawing(empty, TRUTH != 0, empty, empty, "")
    one, other = (network_graph.lay_out(TRUTH, [drawing], is_truth=True) for drawing in (some, none))
    np.testing.assert_array_equal(one, other)
    assert np.abs(one).max() == pytest.approx(1)
    learned = network_graph.lay_out(TRUTH, [some], is_truth=False)
    assert not np.allclose(one, learned)


def test_neighbors_lie_nearer_than_others_and_parts_do_not_fly_apart():
    """Two chains of four; within each the distances along it are kept in order."""
    edges, empty = np.zeros((8, 8)), np.zeros((8, 8), bool)
    for source in (0, 1, 2, 4, 5, 6):
        edges[source, source + 1] = 1.0
    places = network_graph.lay_out(edges, [Drawing(edges != 0, empty, empty, empty, "")], is_truth=True)
    distances = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    assert distances[0, 1] < distances[0, 2] < distances[0, 3]
    assert distances[0, 1] > 0.1
    assert np.isfinite(places).all()


def test_boxes_are_pushed_apart():
    generator = np.random.default_rng(1)
    places = np.concatenate((0.1 * generator.standard_normal((12, 2)), np.zeros((3, 2))))
    sizes = np.tile([0.3, 0.1], (15, 1))
    moved = network_graph.push_apart(places, sizes, steps=1000)
    lacking = (sizes[:, None] + sizes[None]) / 2 - np.abs(moved[:, None] - moved[None])
    assert not ((lacking > 1e-9).all(axis=2) & ~np.eye(15, dtype=bool)).any()
    apart = np.array([[-1.0, 0], [1, 0]])
    np.testing.assert_array_equal(network_graph.push_apart(apart, sizes[:2]), apart)


@pytest.mark.slow(reason="draws a whole figure")
def test_of_many_features_those_of_the_strongest_edges_are_shown(metrics):
    generator = np.random.default_rng(2)
    wide = np.where(generator.random((60, 60)) < 0.2, 0.1, 0.0)
    wide[50, 3], wide[3, 51] = 5.0, 4.0
    learned = {("small", "l1"): learned_of(wide, (wide > 0).astype(float))}
    picked = network_graph.choose_features(learned, None)
    assert len(picked) == network_graph.SUBGRAPH
    assert {50, 3, 51} <= set(picked.tolist())
    assert sorted(set(picked.tolist())) == picked.tolist()
    known = np.ones((60, 60), bool)
    known[50] = False
    told = network_graph.choose_features(learned, Network(wide, known, signed=True))
    assert {3, 51} <= set(told.tolist())
    known[:] = False
    known[7, :40] = True
    told = network_graph.choose_features(learned, Network(wide, known, signed=True))
    assert {7, *np.flatnonzero(wide[7, :40] * (np.arange(40) != 7)).tolist()} <= set(told.tolist())
    figure = draw(metrics, None, learned, [f"g{number}" for number in range(60)])
    assert "12 of 60 variables: those of the strongest edges" in figure.get_suptitle()


@pytest.mark.slow(reason="draws a whole figure")
def test_headings_lie_above_the_titles_of_panels(metrics):
    wide = np.where(np.arange(2500).reshape(50, 50) % 97 == 1, 1.0, 0.0)
    learned = {("small", method): learned_of(wide, wide) for method in ("none", "l1", "mine")}
    choices = dict.fromkeys(learned, Choice(0.01, "trajectory"))
    with style.style():
        reference = Network(wide, np.ones((50, 50), bool), signed=True)
        figure = draw(metrics, ("true network", reference), learned, [f"g{number}" for number in range(50)], choices)
        style.save_figure(figure, [])
    heading = figure.get_children()
    [box] = [item.get_window_extent() for item in heading if getattr(item, "get_text", str)().startswith("toy")]
    assert all(axes.title.get_window_extent().y1 < box.y0 for axes in panels(figure))


def test_without_any_edge(metrics, tmp_path):
    empty = {("small", "l1"): learned_of(np.zeros((4, 4)), np.zeros((4, 4)))}
    choices = {("small", "l1"): Choice(None, "trajectory")}
    figure = draw(metrics, None, empty, choices=choices)
    assert "too few members finished" in panels(figure)[0].get_title()
    figure.savefig(tmp_path / "graph.pdf")
    wide = {("small", "l1"): learned_of(np.zeros((50, 50)), np.zeros((50, 50)))}
    assert len(network_graph.choose_features(wide, None)) == network_graph.SUBGRAPH


def test_models_stand_below_each_other(two_models):
    learned = {(model, "l1"): LEARNED["small", "l1"] for model in ("small", "large")}
    choices = dict.fromkeys(learned, Choice(0.01, "trajectory"))
    figure = draw(two_models, ("true network", REFERENCE), learned, choices=choices)
    assert len(panels(figure)) == 2
    assert [axes.get_title().splitlines()[0] for axes in panels(figure)] == ["small: l1", "large: l1"]


def test_filled_heads_lie_above_all_lines(metrics):
    [axes] = panels(draw(metrics, ("true network", REFERENCE)))
    lines = arrows(axes)
    heads = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch) and patch not in lines]
    # Of four edges, b to c represses, and the others activate.
    assert len(heads) == 3
    assert min(head.get_zorder() for head in heads) > max(line.get_zorder() for line in lines)
    axes.figure.draw_without_rendering()
    for head in heads:
        paths, is_filled = head._get_path_in_displaycoord()
        assert (len(paths), list(is_filled)) == (1, [True])


@pytest.mark.slow(reason="draws a whole figure")
@pytest.mark.parametrize(("features", "shown"), [(3, 3), (30, 12), (300, 12), (3000, 12)])
def test_any_number_of_variables_gives_a_graph_that_can_be_read(metrics, features, shown):
    weights = np.zeros((features, features))
    weights[np.arange(features - 1), np.arange(1, features)] = 1.0 + np.arange(features - 1) / features
    learned = {("small", "l1"): learned_of(weights, (weights > 0).astype(float))}
    [axes] = panels(draw(metrics, None, learned, [f"gene{number}" for number in range(features)]))
    assert len(axes.texts) == shown
    assert arrows(axes)
