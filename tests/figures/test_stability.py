"""The figure of selection frequencies over the strength."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PolyCollection

from sparsenode.data.contract import Network, reference_network
from sparsenode.errors import UserError
from sparsenode.evaluation import networks
from sparsenode.evaluation.networks import write_stability
from sparsenode.evaluation.results import Choice
from sparsenode.evaluation.tables import make_table
from sparsenode.figures import stability, style
from sparsenode.figures.stability import Paths

FEATURES = ["a", "b", "c"]
TRUTH = np.array([[0.0, 1, 0], [0, 0, -1], [0, 0, 1]])
KNOWN = ~np.eye(3, dtype=bool)
CHOICES = {("small", "l1"): Choice(0.01, "trajectory")}


def panels(figure):
    return [axes for axes in figure.findobj(match=lambda artist: hasattr(artist, "get_xlim")) if axes.get_visible()]


def falling(reference=None, features: int = 3) -> Paths:
    """Edges are kept up to strength 0.01, other pairs are gone by then."""
    strengths = np.array([0.0, 0.001, 0.01, 0.1])
    frequency = np.zeros((4, features, features), np.float32)
    frequency[0] = 1.0
    frequency[1] = 0.6
    frequency[1:3, 0, 1], frequency[1:3, 1, 2] = 1.0, 0.8
    return stability.make_paths(strengths, frequency, reference)


def draw(metrics, reference, paths=None):
    return stability.draw("toy", metrics, CHOICES, {("small", "l1"): paths or falling(reference)}, reference)


def finished(strengths):
    return make_table(
        model="m", method="l1", strength=np.array(strengths), seed=np.arange(len(strengths)), metric="seconds",
        value=np.ones(len(strengths)),
    )  # fmt: skip


def listed(rows):
    table = pd.DataFrame(rows, columns=["strength", "source", "target", "frequency", "weight"])
    table = table.astype({"source": "category", "target": "category", "frequency": np.float32, "weight": np.float32})
    table.attrs[networks.SUMMARY] = [
        {"strength": row[0], "group": "pairs", "pairs": 6, "mean": row[3] / 6, "lower": 0.0, "upper": 0.0}
        for row in rows
    ]
    return table


def test_frequencies_are_read_as_they_are_written(gene_files, gene_metrics):
    from sparsenode.evaluation.results import read_metrics

    names = ["Gata2", "Gata1", "Fog1", "EKLF", "Fli1", "SCL", "Cebpa", "Pu.1", "cJun", "EgrNab", "Gfi1"]
    paths = stability.read_paths(gene_files["networks"], read_metrics(gene_files["metrics"]), "windows", "l1", names)
    table = pd.read_parquet(gene_files["networks"] / "windows" / "l1.stability.parquet")
    np.testing.assert_array_equal(paths.strengths, [1e-3, 1e-2, 1e-1, 1])
    assert (paths.frequency > 0).sum() == len(table)
    row = table.iloc[len(table) // 2]
    place = (np.searchsorted(paths.strengths, row["strength"]), names.index(row["source"]), names.index(row["target"]))
    assert paths.frequency[place] == row["frequency"]


def test_a_strength_at_which_nothing_is_selected_counts_as_zero(tmp_path):
    write_stability(listed([(0.1, "b", "a", 0.5, 1.0)]), tmp_path, "m", "l1")
    paths = stability.read_paths(tmp_path, finished([0.1, 0.1, 1.0]), "m", "l1", FEATURES)
    np.testing.assert_array_equal(paths.strengths, [0.1, 1.0])
    assert paths.frequency[0, 1, 0] == 0.5
    assert paths.frequency.sum() == 0.5


def test_tables_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"l1\.stability\.parquet is missing"):
        stability.read_paths(tmp_path, finished([0.1]), "m", "l1", FEATURES)
    write_stability(listed([(0.1, "b", "other", 0.5, 1.0)]), tmp_path, "m", "l1")
    with pytest.raises(UserError, match=r"names the feature 'other', which the data do not have; delete it"):
        stability.read_paths(tmp_path, finished([0.1]), "m", "l1", FEATURES)


def test_pairs_at_a_strength_that_the_summary_lacks_are_damage(tmp_path):
    table = listed([(0.1, "b", "a", 0.5, 1.0)]).assign(strength=7.0)
    table.attrs.update(listed([(0.1, "b", "a", 0.5, 1.0)]).attrs)
    write_stability(table, tmp_path, "m", "l1")
    with pytest.raises(UserError, match=r"l1\.stability\.parquet is damaged \(.*of which it has no summary\); delete"):
        stability.read_paths(tmp_path, finished([0.1]), "m", "l1", FEATURES)


def test_edges_and_other_pairs_are_lines_of_their_colors_and_means(metrics, monkeypatch):
    monkeypatch.setattr(stability, "FEWEST_SEEDS", 3)
    [axes] = panels(draw(metrics, ("true network", Network(TRUTH, KNOWN, signed=True))))
    collections = [item for item in axes.collections if isinstance(item, LineCollection)]
    assert [len(item.get_segments()) for item in collections] == [4, 2]
    # Strength 0 stands apart, as a mark, and not in the lines.
    edge = collections[1].get_segments()[0]
    np.testing.assert_allclose(edge, [[0.001, 100], [0.01, 100], [0.1, 0]])
    means = [line for line in axes.get_lines() if line.get_linewidth() > 2 and len(line.get_xdata()) == 3]
    assert [line.get_color() for line in means] == [style.GRAY, style.EDGE]
    np.testing.assert_allclose(means[0].get_ydata(), [60, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(means[1].get_ydata(), [90, 90, 0], rtol=1e-6)


def test_of_few_seeds_only_means_are_drawn(metrics):
    [axes] = panels(draw(metrics, ("true network", Network(TRUTH, KNOWN, signed=True))))
    assert not [item for item in axes.collections if isinstance(item, LineCollection)]
    assert len([line for line in axes.get_lines() if len(line.get_xdata()) == 3]) == 2


def test_the_chosen_strength_is_a_dashed_line(metrics):
    [axes] = panels(draw(metrics, None))
    [chosen] = [line for line in axes.get_lines() if line.get_linestyle() == "--"]
    assert list(chosen.get_xdata()) == [0.01, 0.01]
    assert axes.get_title() == "l1\n2 of 12 diverged"
    assert axes.get_xscale() == "log"


def test_no_line_where_no_strength_was_chosen(metrics):
    none = {("small", "l1"): Choice(None, "trajectory")}
    figure = stability.draw("toy", metrics, none, {("small", "l1"): falling()}, None)
    assert not [line for line in panels(figure)[0].get_lines() if line.get_linestyle() == "--"]


def test_pairs_of_which_nothing_is_known_are_left_out():
    known = KNOWN.copy()
    known[0] = False
    groups = networks.group_pairs(("prior network base", Network(TRUTH, known, signed=True)), 3)
    assert {name: int(mask.sum()) for name, mask in groups.items()} == {
        "other pairs": 3,
        "edges of the prior network base": 1,
    }
    assert int(networks.group_pairs(None, 3)["pairs"].sum()) == 6


@pytest.mark.slow(reason="draws a whole figure")
def test_many_pairs_are_drawn_as_quartiles(metrics):
    count = 30
    generator = np.random.default_rng(0)
    frequency = generator.random((2, count, count)).astype(np.float32)
    truth = np.zeros((count, count))
    truth[0, 1:] = 1.0
    reference = ("true network", Network(truth, ~np.eye(count, dtype=bool), signed=True))
    figure = draw(metrics, reference, stability.make_paths(np.array([0.01, 0.1]), frequency, reference))
    [axes] = panels(figure)
    assert not [item for item in axes.collections if isinstance(item, LineCollection)]
    areas = [item for item in axes.collections if isinstance(item, PolyCollection)]
    assert len(areas) == 2
    bounds = np.quantile(frequency[:, 0, 1:], [0.25, 0.75], axis=1)
    heights = areas[1].get_paths()[0].vertices[:, 1]
    assert heights.min() == pytest.approx(100 * bounds.min())
    assert heights.max() == pytest.approx(100 * bounds.max())
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "the middle half of the pairs" in texts
    assert "edges of the true network (29), mean" in texts


def test_methods_without_strengths_are_shown_where_there_are_no_others(metrics):
    assert stability.methods_with_strengths(metrics, "small") == ["l1", "mine"]
    plain = metrics[metrics["method"] == "none"]
    assert stability.methods_with_strengths(plain, "small") == ["none"]
    alone = {("small", "none"): stability.make_paths(np.array([0.0]), np.ones((1, 3, 3), np.float32), None)}
    [axes] = panels(stability.draw("toy", plain, {("small", "none"): Choice(0.0, "")}, alone, None))
    assert axes.get_xlabel() == "penalty strength"


def test_where_every_member_diverged_panels_are_empty(metrics, tmp_path):
    lost = metrics.assign(status="diverged")
    write_stability(listed([]), tmp_path, "small", "l1")
    paths = {("small", "l1"): stability.read_paths(tmp_path, lost, "small", "l1", FEATURES)}
    assert len(paths["small", "l1"].strengths) == 0
    assert stability.methods_with_strengths(lost, "small") == ["none", "l1", "mine"]
    figure = stability.draw("toy", lost, {}, paths, ("true network", Network(TRUTH, KNOWN, signed=True)))
    assert panels(figure)[0].get_title() == "l1\n12 of 12 diverged"
    assert "no member finished, 3 seeds" in figure.get_suptitle()
    figure.savefig(tmp_path / "stability.png", dpi=30)


def test_the_truth_goes_before_the_base_prior(genes):
    assert reference_network(genes)[0] == "true network"
    genes.varp["prior_base"] = genes.varp["prior_abc"] = np.eye(11)[::-1].copy()
    del genes.varp["truth"]
    name, network = reference_network(genes)
    assert name == "prior network base"
    assert network.truth.sum() == 11
    del genes.varp["prior_base"], genes.varp["prior_abc"]
    assert reference_network(genes) is None


@pytest.mark.slow(reason="draws a whole figure")
def test_models_stand_below_each_other(two_models, tmp_path):
    paths = {(model, "l1"): falling() for model in ("small", "large")}
    figure = stability.draw("toy", two_models, {}, paths, None)
    assert len(panels(figure)) == 2
    figure.savefig(tmp_path / "stability.png", dpi=40)


def test_what_is_drawn_of_many_pairs_does_not_depend_on_how_many_are_listed(monkeypatch, metrics, tmp_path):
    """Every edge is kept by every member, and ties with other pairs that are listed before it."""
    count = 30
    generator = np.random.default_rng(0)
    truth = np.where(generator.random((count, count)) < 0.1, 1.0, 0.0) * ~np.eye(count, dtype=bool)
    members = np.where(generator.random((4, count, count)) < 0.7, generator.random((4, count, count)), 0.0)
    members[:, truth != 0] = 1e-3
    reference = ("true network", Network(truth, np.ones((count, count), bool), signed=True))
    strengths, names = np.array([0.01, 0.01, 0.1, 0.1]), [f"g{number}" for number in range(count)]
    drawn = []
    for most in (10**6, 40):
        monkeypatch.setattr(networks, "LISTED_PAIRS", most)
        table = networks.stability_table(members, strengths, names, networks.group_pairs(reference, count))
        assert len(table) > 1000 if most > 40 else len(table) == 80
        write_stability(table, tmp_path, "small", "l1")
        paths = stability.read_paths(tmp_path, finished([0.01, 0.1]), "small", "l1", names)
        figure = draw(metrics, None, paths)
        [axes] = panels(figure)
        means = [line.get_ydata() for line in axes.get_lines() if line.get_linewidth() > 2]
        areas = [item.get_paths()[0].vertices for item in axes.collections]
        drawn.append((means, areas))
        assert f"edges of the true network ({int(truth.sum())}), mean" in [
            text.get_text() for text in figure.legends[0].get_texts()
        ]
    np.testing.assert_array_equal(drawn[0][0][1], [100.0, 100.0])
    others = (truth == 0) & ~np.eye(count, dtype=bool)
    exact = [(members[strengths == strength] >= 1e-5).mean(axis=0)[others] for strength in (0.01, 0.1)]
    np.testing.assert_allclose(drawn[0][0][0], [100 * one.mean() for one in exact], rtol=1e-6)
    for first, second in zip(drawn[0][0] + drawn[0][1], drawn[1][0] + drawn[1][1], strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_path_without_a_summary_is_made_again(tmp_path):
    table = listed([(0.1, "b", "a", 0.5, 1.0)])
    table.attrs.clear()
    write_stability(table, tmp_path, "m", "l1")
    with pytest.raises(UserError, match=r"l1\.stability\.parquet has no summary of all pairs.*again"):
        stability.read_paths(tmp_path, finished([0.1]), "m", "l1", FEATURES)
