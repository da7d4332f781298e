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


def test_a_panel_for_each_estimator_tells_the_ratios_in_order(rankings):
    figure = draw("genes", rankings)
    assert [axes.get_title().split(":")[0] for axes in panels(figure)] == ["paths", "jacobian", "frequency"]
    for axes, estimator in zip(panels(figure), ("paths", "jacobian", "frequency"), strict=True):
        mine = rankings[(rankings["method"] == "pathreg") & (rankings["estimator"] == estimator)]
        ratio = auprc_ratio(mine["score"].to_numpy(), mine["edge"].to_numpy())
        assert legend_of(axes)[0] == f"{ratio:.2f}  pathreg"
        told = [float(text.split()[0]) for text in legend_of(axes)]
        assert told == sorted(told, reverse=True)
        assert "1.00  chance, precision 0.24" in legend_of(axes)


def test_peers_are_dashed_gray_and_the_same_in_every_panel(rankings):
    found = []
    for axes in panels(draw("genes", rankings)):
        by_label = dict(zip(legend_of(axes), axes.get_legend().get_lines(), strict=True))
        [(label, handle)] = [(label, line) for label, line in by_label.items() if "SINDy (peer)" in label]
        assert handle.get_linestyle() == "--"
        assert len(set(to_rgb(handle.get_color()))) == 1
        found.append(label)
        ours = next(line for text, line in by_label.items() if text.endswith("pathreg"))
        assert ours.get_linestyle() == "-"
    assert len(found) == 3
    assert len(set(found)) == 1


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
        assert (style.TOLD in figure.subfigs[0].get_suptitle()) is marked


def test_of_many_methods_the_best_are_drawn(rankings):
    text = rankings.astype({"method": str})
    mine = text[text["method"] == "pathreg"]
    more = [mine.assign(method=f"mine_{number}") for number in range(precision_recall.MOST_LINES)]
    figure = draw("genes", pd.concat([text, *more]))
    axes = panels(figure)[0]
    # Twelve methods, chance, and how many are not shown: none, l1, and both peers; of equals the first ones.
    assert legend_of(axes)[-1] == "and 5 with less"
    assert len(legend_of(axes)) == precision_recall.MOST_LINES + 2
    assert len([line for line in axes.get_lines() if len(line.get_xdata()) > 2]) == precision_recall.MOST_LINES


@pytest.mark.slow(reason="draws a whole figure")
def test_models_stand_below_each_other(rankings):
    text = rankings.astype({"model": str})
    other = text[text["model"] == "windows"].assign(model="larger")
    figure = draw("genes", pd.concat([text, other]))
    assert len(panels(figure)) == 6
    assert "model larger: how many of the 26 true edges (of 110 pairs)" in figure.subfigs[1].get_suptitle()


@pytest.mark.slow(reason="draws a whole figure")
def test_without_a_chosen_strength_peers_stand_alone(rankings, tmp_path):
    peers = rankings[rankings["model"] == ""]
    for table, lines in ((peers, 3), (join_rankings([]), 0)):
        figure = draw("genes", table)
        [axes] = panels(figure)
        assert axes.get_title() == "no method has a chosen strength (too few members finished)"
        assert len(axes.get_lines()) == lines
        figure.savefig(tmp_path / "curves.png", dpi=30)


@pytest.mark.slow(reason="draws a whole figure")
def test_a_truth_that_tells_of_no_pair_is_said_to(tmp_path):
    figure = precision_recall.draw("genes", {}, {("small", "l1"): Choice(0.1, "chosen")})
    [axes] = panels(figure)
    assert axes.get_title() == "no pair of two variables has a known truth"
    figure.savefig(tmp_path / "curves.png", dpi=30)
