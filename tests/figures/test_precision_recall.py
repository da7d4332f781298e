"""The figure of precision over recall."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from rankings import split_rankings
from sparsenode.errors import UserError
from sparsenode.evaluation.networks import join_rankings
from sparsenode.evaluation.results import Choice, Results
from sparsenode.evaluation.structure import auprc, auprc_ratio
from sparsenode.figures import precision_recall, style


def draw(name, table, *more):
    return precision_recall.draw(name, split_rankings(table), *more)


def panels(figure):
    return list(figure.findobj(match=lambda artist: hasattr(artist, "get_xlim")))


def legend_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_rankings_that_were_not_written_are_asked_for(tmp_path):
    with pytest.raises(UserError, match=r"rankings\.parquet is missing"):
        precision_recall.read(Results("genes", {"selection": tmp_path, "networks": tmp_path}))


def test_corners_of_a_ranking_with_a_tie():
    """First an edge, then an edge and two absent pairs in one go, then an absent pair."""
    recall, precision = precision_recall.trace(np.array([4.0, 2, 2, 2, 1]), np.array([1, 0, 1, 0, 0]))
    np.testing.assert_allclose(recall, [0, 0.5, 0.5, 1])
    np.testing.assert_allclose(precision, [1, 1, 0.5, 0.5])


def test_scores_that_are_all_equal_are_chance():
    recall, precision = precision_recall.trace(np.ones(8), np.arange(8) < 2)
    np.testing.assert_allclose(recall, [0, 1])
    np.testing.assert_allclose(precision, [0.25, 0.25])


@pytest.mark.slow(reason="draws a whole figure")
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=40))
def test_the_area_is_the_step_average_precision(pairs):
    scores, edges = (np.array(column) for column in zip(*[*pairs, (2, True)], strict=True))
    recall, precision = precision_recall.trace(scores, edges)
    assert np.trapezoid(precision, recall) == pytest.approx(auprc(scores, edges))
    assert recall[0] == 0
    assert recall[-1] == 1


def test_one_panel_tells_the_ratios_of_paths_in_order(rankings):
    [axes] = panels(draw("genes", rankings))
    mine = rankings[(rankings["method"] == "pathreg") & (rankings["estimator"] == "paths")]
    ratio = auprc_ratio(mine["score"].to_numpy(), mine["edge"].to_numpy())
    assert legend_of(axes)[0] == f"{ratio:.2f}  pathreg"
    ratios = [float(text.split()[0]) for text in legend_of(axes)]
    assert ratios == sorted(ratios, reverse=True)
    assert "1.00  chance" in legend_of(axes)


def test_another_ranking_is_drawn_where_there_is_none_of_paths(rankings):
    rest = rankings[rankings["estimator"] != "paths"]
    figure = draw("genes", rest)
    assert len(panels(figure)) == 1
    assert "ranked by their mean absolute Jacobian" in figure.get_suptitle()


def test_lines_that_coincide_are_narrower_the_higher_they_lie(rankings):
    [axes] = panels(draw("genes", rankings))
    ours = sorted((line for line in axes.get_lines() if line.get_linestyle() == "-" and len(line.get_xdata()) > 2),
                  key=lambda line: line.get_zorder())  # fmt: skip
    widths = [line.get_linewidth() for line in ours]
    assert len(widths) == 3
    assert widths == sorted(widths, reverse=True)
    assert len(set(widths)) == 3


def test_peers_are_dashed_gray(rankings):
    [axes] = panels(draw("genes", rankings))
    by_label = dict(zip(legend_of(axes), axes.get_legend().get_lines(), strict=True))
    [handle] = [line for label, line in by_label.items() if "SINDy (peer)" in label]
    assert handle.get_linestyle() == "--"
    assert len(set(to_rgb(handle.get_color()))) == 1
    ours = next(line for text, line in by_label.items() if text.endswith("pathreg"))
    assert ours.get_linestyle() == "-"


def test_a_peer_is_drawn_by_the_better_of_its_scores(rankings):
    both = rankings.astype({"estimator": str, "method": str})
    better = both[both["method"] == "peer:sindy"].copy()
    better["estimator"], better["score"] = "peer_shares", better["edge"].astype(float)
    worse = better.assign(estimator="peer_worse", score=1.0 - better["score"])
    for estimator in ("frequency", "paths"):
        table = split_rankings(pd.concat([worse, both, better]))
        made = {key: precision_recall.make_curve(*ranking) for key, ranking in table.items()}
        curves = precision_recall.select_curves(made, "windows", estimator)
        assert curves["peer:sindy"] is made["", "peer:sindy", "peer_shares"]
        assert list(curves) == ["none", "l1", "pathreg", "peer:correlation", "peer:sindy"]


@pytest.mark.slow(reason="draws a whole figure")
def test_methods_that_are_given_the_truth_are_marked(rankings):
    told = {"name": "perfect", "of": "truth", "corruption": 0.0}
    method = str(rankings.loc[~rankings["method"].str.startswith("peer:"), "method"].iloc[0])
    for prior, marked in ((told, True), ({**told, "of": "motif"}, False), (None, False)):
        choices = {("windows", method): Choice(0.1, "trajectory", "dash", prior)}
        figure = draw("genes", rankings, choices)
        names = [text for axes in panels(figure) for text in legend_of(axes) if f" {method}" in text]
        assert names
        assert all(("†" in name) is marked for name in names)
        assert (style.TOLD in figure.get_suptitle()) is marked


def test_of_many_methods_and_peers_the_best_are_drawn(rankings):
    text = rankings.astype({"method": str})
    mine, peer = text[text["method"] == "pathreg"], text[text["method"] == "peer:sindy"]
    more = [mine.assign(method=f"mine_{number}") for number in range(4)]
    more += [peer.assign(method=f"peer:other_{number}") for number in range(3)]
    [axes] = panels(draw("genes", pd.concat([text, *more])))
    drawn = [line for line in axes.get_lines() if len(line.get_xdata()) > 2]
    assert len(drawn) == precision_recall.MOST_METHODS + precision_recall.MOST_PEERS
    # Seven methods and five peers, of which six are drawn, and chance.
    assert legend_of(axes)[-1] == "and 6 with less"
    assert len(legend_of(axes)) == len(drawn) + 2


@pytest.mark.slow(reason="draws a whole figure")
def test_each_model_has_a_panel(rankings):
    text = rankings.astype({"model": str})
    other = text[text["model"] == "windows"].assign(model="larger")
    figure = draw("genes", pd.concat([text, other]))
    assert [axes.get_title() for axes in panels(figure)] == ["windows", "larger"]
    heading = " ".join(figure.get_suptitle().split())
    assert "genes: how many of the 26 true edges are found, and at what precision all 110 pairs" in heading


@pytest.mark.slow(reason="draws a whole figure")
def test_without_a_chosen_strength_peers_stand_alone(rankings, tmp_path):
    peers = rankings[rankings["model"] == ""]
    for table, lines in ((peers, 3), (join_rankings([]), 0)):
        figure = draw("genes", table)
        [axes] = panels(figure)
        assert "no method has a chosen strength (too few members finished)" in figure.get_suptitle()
        assert len(axes.get_lines()) == lines
        figure.savefig(tmp_path / "curves.png", dpi=30)


@pytest.mark.slow(reason="draws a whole figure")
def test_a_truth_that_tells_of_no_pair_is_said_to(tmp_path):
    figure = precision_recall.draw("genes", {}, {("small", "l1"): Choice(0.1, "chosen")})
    assert len(panels(figure)) == 1
    assert "no pair of two variables has a known truth" in figure.get_suptitle()
    figure.savefig(tmp_path / "curves.png", dpi=30)
