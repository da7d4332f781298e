"""The figure of expression along lineages."""

import numpy as np
import pandas as pd
import pytest

from sparsenode.errors import UserError
from sparsenode.evaluation.results import read_metrics, read_selection
from sparsenode.figures import gene_trends, style


def test_each_lineage_shows_the_genes_that_change_in_it(cells):
    trends = gene_trends.read_trends(cells, list(cells.var_names))
    assert {name: set(genes) for name, genes in trends.genes.items()} == {
        "erythroid": {"GATA1", "HBB"},
        "monocyte": {"SPI1", "CD14"},
    }
    assert trends.donors == {"s1": "training", "s2": "test"}
    assert trends.trajectory["monocyte", "s2"] == "s2 monocyte"


def test_test_donors_do_not_choose_the_genes(cells):
    changed = cells.copy()
    test = (changed.obs["split"] == "test").to_numpy()
    changed.X[test, 4] = 100 * changed.obs["time"].to_numpy()[test]
    names = list(cells.var_names)
    assert gene_trends.read_trends(changed, names).genes == gene_trends.read_trends(cells, names).genes


def test_values_are_in_the_unit_of_the_source(cells):
    trends = gene_trends.read_trends(cells, ["HBB", "CD14"])
    rows = (cells.obs["trajectory"] == "s1 erythroid").to_numpy()
    np.testing.assert_allclose(trends.observed["HBB", "s1 erythroid"].values, 1 + 2 * cells.X[rows, 1], rtol=1e-6)
    assert trends.unit == "log(1 + normalized counts)"


@pytest.mark.slow(reason="draws a whole figure")
def test_forecasts_are_drawn_in_the_unit_of_the_source(cell_files, cells):
    metrics = read_metrics(cell_files["metrics"])
    choices = read_selection(cell_files["selection"])
    forecasts = pd.read_parquet(cell_files["forecasts"])
    trends = gene_trends.read_trends(cells, list(cells.var_names))
    figure = gene_trends.draw("cells", metrics, choices, forecasts, trends)
    panel = figure.axes[0]
    labels = [f"{gene}\n({lineage})" for lineage, genes in trends.genes.items() for gene in genes]
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == labels
    (color,) = {look.color for name, look in style.looks(["l1"]).items() if name == "l1"}
    (line,) = (line for line in panel.get_lines() if line.get_color() == color)
    gene = trends.genes["erythroid"][0]
    rows = (cells.obs["trajectory"] == "s1 erythroid").to_numpy()
    expected = 1 + 2 * (np.asarray(cells.X[rows, cells.var_names.get_loc(gene)], float) + 0.005)
    np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-5)


@pytest.mark.slow(reason="draws a whole figure")
def test_a_donor_without_a_lineage_has_an_empty_panel(cell_files, cells):
    part = cells[cells.obs["trajectory"] != "s2 monocyte"].copy()
    part.obs["trajectory"] = part.obs["trajectory"].cat.remove_unused_categories()
    for key in ("offset", "scale"):
        part.uns["sparsenode"][key] = part.uns["sparsenode"][key][:3]
    trends = gene_trends.read_trends(part, list(cells.var_names))
    forecasts = pd.read_parquet(cell_files["forecasts"])
    choices = read_selection(cell_files["selection"])
    figure = gene_trends.draw("cells", read_metrics(cell_files["metrics"]), choices, forecasts, trends)
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["no cells"] * 2


def test_genes_are_those_that_change_more_than_along_other_lineages():
    changes = {"a": np.array([5.0, 3.0, 1.0]), "b": np.array([5.5, 0.0, 2.0])}
    assert gene_trends.choose_genes(changes, ["both", "own", "rest"]) == {"a": ("own", "both"), "b": ("rest",)}
    assert gene_trends.choose_genes({"a": changes["a"]}, ["x", "y", "z"]) == {"a": ("x", "y")}


def test_a_known_marker_goes_first_where_it_changes_enough():
    genes = ["OTHER", "EBF1", "PAX5"]
    moving = {"B": np.array([5.0, 1.1, 0.9])}
    assert gene_trends.choose_genes(moving, genes) == {"B": ("EBF1", "OTHER")}
    assert gene_trends.choose_genes({"liver": moving["B"]}, genes) == {"liver": ("OTHER", "EBF1")}


@pytest.mark.slow(reason="draws a whole figure")
def test_nearly_all_cells_are_within_the_panels(cell_files, cells):
    trends = gene_trends.read_trends(cells, list(cells.var_names))
    forecasts = pd.read_parquet(cell_files["forecasts"])
    forecasts.loc[forecasts["seed"] == 1, "predicted"] = 1e9
    choices = read_selection(cell_files["selection"])
    figure = gene_trends.draw("cells", read_metrics(cell_files["metrics"]), choices, forecasts, trends)
    for axes in figure.axes:
        values = axes.collections[0].get_offsets()[:, 1]
        low, high = axes.get_ylim()
        assert low < values.min()
        assert (values <= high).mean() >= 0.99
        assert high < 1.5 * values.max()


def test_the_running_mean_of_a_line_is_the_line():
    times = np.linspace(0.0, 1.0, 100)
    means_of = gene_trends.running_mean(gene_trends.Trend(times, 3 * times))
    np.testing.assert_allclose(means_of[1], 3 * means_of[0])
    few = gene_trends.running_mean(gene_trends.Trend(times[:4], times[:4]))
    assert len(few[0]) == 1


def test_change_along_a_lineage_is_the_range_of_its_course():
    times = np.linspace(0.0, 1.0, 50)
    change = gene_trends.change_along(times, np.stack((2 * times, np.ones(50)), axis=1))
    np.testing.assert_allclose(change, [2.0, 0.0], atol=1e-9)


def test_forecasts_of_other_genes_are_refused(cells):
    with pytest.raises(UserError, match="no forecast of any of its genes was kept"):
        gene_trends.read_trends(cells, ["UNKNOWN"])


@pytest.mark.slow(reason="draws a whole figure")
def test_missing_values_are_no_cells(cell_files, cells):
    holes = cells.copy()
    rows = (cells.obs["trajectory"] == "s1 erythroid").to_numpy()
    names = list(cells.var_names)
    holes.X[np.flatnonzero(rows)[::3], names.index("HBB")] = np.nan
    holes.X[(cells.obs["trajectory"] == "s2 erythroid").to_numpy(), names.index("HBB")] = np.nan
    trends = gene_trends.read_trends(holes, names)
    assert trends.genes == gene_trends.read_trends(cells, names).genes
    trend = trends.observed["HBB", "s1 erythroid"]
    kept = np.delete(np.flatnonzero(rows), slice(None, None, 3))
    np.testing.assert_array_equal(trend.times, cells.obs["time"].to_numpy()[kept])
    np.testing.assert_allclose(trend.values, 1 + 2 * cells.X[kept, names.index("HBB")], rtol=1e-6)
    metrics, choices = read_metrics(cell_files["metrics"]), read_selection(cell_files["selection"])
    figure = gene_trends.draw("cells", metrics, choices, pd.read_parquet(cell_files["forecasts"]), trends)
    assert sum(text.get_text() == "no cells" for axes in figure.axes for text in axes.texts) == 1
