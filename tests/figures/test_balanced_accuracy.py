"""The figure of balanced accuracy over sparsity."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.text import Text

from rankings import split_rankings
from sparsenode.errors import UserError
from sparsenode.evaluation import structure
from sparsenode.evaluation.results import Choice, Results
from sparsenode.evaluation.tables import ALL, join_tables, make_table
from sparsenode.figures import balanced_accuracy, style
from sparsenode.figures.drawing import draw_figure
from sparsenode.figures.published import read_published

CHOICES = {("windows", "pathreg"): Choice(0.1, "trajectory"), ("windows", "l1"): Choice(None, "trajectory")}


def scored(metrics: pd.DataFrame) -> pd.DataFrame:
    """The members of a table with a sparsity and a balanced accuracy of their own, and pooled values beside them."""
    tables = [metrics]
    members = metrics[metrics["metric"] == "seconds"]
    for model, method, strength, seed in members[["model", "method", "strength", "seed"]].itertuples(index=False):
        key = {"model": model, "method": method, "strength": strength, "estimator": "paths", "trajectory": ALL}
        sparsity = min(1.0, 0.5 + 0.5 * strength)
        tables.append(make_table(**key, seed=seed, metric="known_sparsity", value=[sparsity]))
        tables.append(make_table(**key, seed=seed, metric="balanced_accuracy", value=[0.6 + strength / 10 + seed / 50]))
        tables.append(make_table(**key, seed=-1, metric="balanced_accuracy", value=[0.99]))
    return join_tables(tables)


def draw(name, metrics, choices, rankings, *more):
    return balanced_accuracy.draw(name, metrics, choices, split_rankings(rankings), *more)


def lines_of(axes, color):
    return [line for line in axes.get_lines() if line.get_color() == color]


def texts_of(figure):
    [legend] = figure.legends
    return [text.get_text() for text in legend.get_texts()]


@pytest.mark.slow(reason="draws a whole figure")
def test_files_are_written(gene_files, gene_metrics, tmp_path):
    metrics = tmp_path / "metrics.parquet"
    scored(gene_metrics).to_parquet(metrics, index=False)
    outputs = [tmp_path / "accuracy.pdf", tmp_path / "accuracy.png"]
    given = {"metrics": metrics, **{name: gene_files[name] for name in ("selection", "networks")}}
    draw_figure("balanced_accuracy", Results("genes", given, "sim350"), outputs, dots_per_inch=50)
    assert outputs[0].read_bytes().startswith(b"%PDF")
    assert outputs[1].read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="no published values of the benchmark 'mine'"):
        draw_figure("balanced_accuracy", Results("genes", given, "mine"), outputs)


@pytest.mark.slow(reason="draws a whole figure")
def test_members_medians_and_the_choice_are_shown(gene_metrics, rankings):
    figure = draw("genes", scored(gene_metrics), CHOICES, rankings)
    [axes] = figure.axes
    [medians] = lines_of(axes, style.VERMILION)
    [dots] = [dots for dots in axes.collections if to_hex(dots.get_facecolor()[0]) == style.VERMILION.lower()]
    assert len(dots.get_offsets()) == 4 * 8
    # Three strengths of a density, and one at which no path is left, at its place of its own: sparser is right.
    densities = medians.get_xdata()
    np.testing.assert_allclose(densities[:3], [0.4995, 0.495, 0.45])
    assert 0 < densities[3] < 0.04
    np.testing.assert_allclose(medians.get_ydata(), 100 * (0.6 + np.array([1e-3, 1e-2, 0.1, 1]) / 10 + 0.07))
    low, high = axes.get_xlim()
    assert low > 1 > densities[3] > high
    rings = [line for line in axes.get_lines() if line.get_markersize() == balanced_accuracy.RING]
    assert [(*ring.get_xdata(), *ring.get_ydata()) for ring in rings] == [pytest.approx((0.45, 68.0))]


@pytest.mark.slow(reason="draws a whole figure")
def test_methods_that_are_given_the_truth_are_marked(gene_metrics, rankings):
    prior = {"name": "perfect", "of": "truth", "corruption": 0.0}
    choices = {**CHOICES, ("windows", "l1"): Choice(0.1, "trajectory", "dash", prior)}
    figure = draw("genes", scored(gene_metrics), choices, rankings)
    assert "l1 †" in texts_of(figure)
    assert "pathreg" in texts_of(figure)
    assert style.TOLD in " ".join(figure.get_suptitle().split())
    assert style.MARK not in draw("genes", scored(gene_metrics), CHOICES, rankings).get_suptitle()


def test_pooled_values_and_members_that_diverged_are_left_out(gene_metrics):
    table = scored(gene_metrics)
    lost = (table["method"] == "l1") & (table["seed"] == 3)
    table.loc[lost, "status"] = "diverged"
    members = balanced_accuracy.select_members(table, "windows")
    assert set(members["seed"]) == set(range(8))
    assert 3 not in set(members.loc[members["method"] == "l1", "seed"])
    assert members["balanced_accuracy"].max() < 0.9


PUBLISHED_LABEL = "published (of weights)"


def names_of(axes):
    return {text.get_text(): text for text in axes.texts if text.get_text()}


@pytest.mark.slow(reason="draws a whole figure")
def test_published_accuracies_stand_right_of_the_axis_of_pairs(gene_metrics, rankings):
    published = read_published("sim350")
    table = scored(gene_metrics)
    figure = draw("genes", table, CHOICES, rankings, published)
    [axes] = figure.axes
    named = names_of(axes)
    expected = {f"{one.method} {100 * one.values['balanced_accuracy']:.3g}" for one in published}
    assert set(named) == {*expected, "published (%)"}
    assert named["PathReg 61.9"].xy == pytest.approx((1, 61.9))
    assert PUBLISHED_LABEL in texts_of(figure)
    figure.draw_without_rendering()
    right = axes.get_window_extent().x1
    boxes = [Text.get_window_extent(text) for text in named.values()]
    assert all(box.x0 > right for box in boxes)
    assert not any(one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number])
    without = draw("genes", table, CHOICES, rankings, read_published("breast"))
    assert PUBLISHED_LABEL not in texts_of(without)
    assert not list(without.axes[0].texts)
    # What is published of weights does not move the axis of pairs.
    assert without.axes[0].get_xlim() == axes.get_xlim()


@pytest.mark.slow(reason="draws a whole figure")
def test_published_values_are_named_once_in_each_row(gene_metrics, rankings):
    models = pd.concat([scored(gene_metrics).assign(model=f"model_{number}") for number in range(4)])
    figure = draw("genes", models, {}, rankings, read_published("sim350"))
    seen = [axes for axes in figure.axes if axes.get_visible()]
    assert [bool(names_of(axes)) for axes in seen] == [False, True, False, True]
    assert [len(axes.texts) >= 8 for axes in seen] == [True] * 4


@pytest.mark.slow(reason="draws many examples")
@given(st.lists(st.floats(0, 100), min_size=1, max_size=8))
def test_names_are_set_apart_as_little_as_need_be(values):
    wanted = np.sort(values)
    found = balanced_accuracy.spread(wanted, 5.0, 0.0, 100.0)
    assert (np.diff(found) >= 5 - 1e-9).all()
    assert found.min() >= 2.5 - 1e-9
    assert found.max() <= 97.5 + 1e-9
    if (np.diff(wanted) >= 5).all() and wanted[0] >= 2.5 and wanted[-1] <= 97.5:
        np.testing.assert_allclose(found, wanted)


@pytest.mark.slow(reason="draws a whole figure")
def test_peers_take_their_best_pairs(rankings, gene_metrics):
    curves = balanced_accuracy.peer_curves(split_rankings(rankings))
    assert list(curves) == ["peer:correlation", "peer:sindy"]
    rows = rankings[rankings["method"] == "peer:sindy"].sort_values("score", ascending=False)
    edges = rows["edge"].to_numpy()
    densities, accuracies = curves["peer:sindy"]
    for count in (1, 26, 110):
        [at] = np.flatnonzero(np.isclose(densities, count / 110))
        expected = structure.balanced_accuracy(np.arange(110) < count, edges)
        assert accuracies[at] == pytest.approx(expected)
    figure = draw("genes", scored(gene_metrics), CHOICES, rankings)
    assert "SINDy (peer)" in texts_of(figure)
    assert any("(76.4 %)" in text for text in texts_of(figure))


@pytest.mark.slow(reason="draws a whole figure")
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=7))
def test_tied_pairs_count_as_the_mean_over_their_orders(pairs):
    scores, edges = (np.array(column) for column in zip(*[*pairs, (1, True), (1, False)], strict=True))
    densities, accuracies = balanced_accuracy.trace(scores.astype(float), edges)
    generator = np.random.default_rng(0)
    for density, accuracy in zip(densities, accuracies, strict=True):
        count = round(density * len(edges))
        # Exactly: the edges expected among the best `count` of a random order within ties.
        least = np.sort(scores)[::-1][count - 1]
        tied, above = scores == least, scores > least
        found = edges[above].sum() + edges[tied].mean() * (count - above.sum())
        absent = count - found
        expected = (found / edges.sum() + 1 - absent / (~edges).sum()) / 2
        assert accuracy == pytest.approx(expected)
    order = generator.permutation(len(edges))
    np.testing.assert_allclose(balanced_accuracy.trace(scores[order].astype(float), edges[order])[1], accuracies)


@pytest.mark.slow(reason="draws a whole figure")
def test_models_stand_beside_each_other_and_below(gene_metrics, rankings):
    table = scored(gene_metrics)
    models = [table.assign(model=f"model_{number}") for number in range(4)]
    figure = draw("genes", pd.concat(models), {}, rankings)
    seen = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in seen] == [f"model_{number}" for number in range(4)]
    assert len({axes.get_subplotspec().rowspan.start for axes in seen}) == 2


@pytest.mark.slow(reason="draws a whole figure")
def test_of_more_than_six_models_those_that_forecast_best_are_drawn(gene_metrics, rankings):
    names = [f"model_{number}" for number in range(8)]
    where = {"metric": "mse", "split": "validation", "phase": "fit", "trajectory": ALL, "horizon": "trajectory"}
    tables = [scored(gene_metrics).assign(model=name) for name in names]
    tables += [
        make_table(**where, model=name, method="pathreg", strength=0.1, seed=0, value=[10.0 - number])
        for number, name in enumerate(names)
    ]
    tables.append(make_table(**where, method="baseline:zeros", value=[20.0]))
    choices = {(name, "pathreg"): CHOICES["windows", "pathreg"] for name in names}
    figure = draw("genes", join_tables(tables), choices, rankings)
    seen = [axes.get_title() for axes in figure.axes if axes.get_visible()]
    assert seen == names[2:]
    assert "6 of 8 models: those that forecast validation data best" in figure.get_suptitle()


@pytest.mark.slow(reason="draws a whole figure")
def test_without_rankings_the_members_stand_alone(gene_metrics, rankings, tmp_path):
    figure = draw("genes", scored(gene_metrics), CHOICES, rankings.iloc[:0])
    assert not any("peer" in text or "true" in text for text in texts_of(figure))
    figure.savefig(tmp_path / "accuracy.png", dpi=30)


@pytest.mark.slow(reason="draws a whole figure")
def test_a_truth_that_tells_of_no_pair_is_said_to(gene_metrics, tmp_path):
    plain = gene_metrics[~gene_metrics["metric"].isin(["balanced_accuracy", "known_sparsity"])]
    figure = balanced_accuracy.draw("genes", plain, CHOICES, {})
    assert "no pair of two variables has a known truth" in [text.get_text() for text in figure.axes[0].texts]
    figure.savefig(tmp_path / "accuracy.png", dpi=30)
