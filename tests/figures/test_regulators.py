"""The figure of regulators and targets by lineage."""

import json

import numpy as np
import pandas as pd
import pytest

from sparsenode.errors import UserError
from sparsenode.evaluation.results import Choice, Results, read_metrics, read_selection
from sparsenode.figures import regulators


def test_the_sparse_method_with_the_least_validation_error_is_shown(cell_files):
    metrics = read_metrics(cell_files["metrics"])
    choices = read_selection(cell_files["selection"])
    assert regulators.choose_method(metrics, choices) == ("cells", "l1", 0.1)
    alone = {key: choice for key, choice in choices.items() if key[1] == "none"}
    assert regulators.choose_method(metrics, alone) == ("cells", "none", 0.0)
    with pytest.raises(UserError, match="no strength was chosen for any method"):
        regulators.choose_method(metrics, {("cells", "l1"): Choice(None, "trajectory")})


def test_influences_of_a_lineage_are_its_own(influences):
    table = regulators.influence_matrix(influences, "erythroid")
    assert set(table.index) == {"GATA1", "SPI1"}
    assert table.loc["GATA1", "HBB"] == 2.0
    assert table.loc["SPI1", "CD14"] == 0.0


def test_dots_are_edges_of_the_lineages_own_prior(cells, influences):
    priors = regulators.read_priors(cells, ["erythroid", "monocyte"])
    assert set(priors) == {"erythroid"}
    figure = regulators.draw("cells", ("cells", "l1", 0.1), influences, priors, "2 seeds")
    first, second = figure.axes[0], figure.axes[1]
    assert "1 of the 3 influences it tells of (33%; by chance 5%)" in first.get_title()
    assert "no prior network" in second.get_title()
    [dots] = first.get_lines()
    places = (
        [label.get_text() for label in first.get_yticklabels()],
        [label.get_text() for label in first.get_xticklabels()],
    )
    assert dots.get_ydata() - 0.5 == places[0].index("GATA1")
    assert dots.get_xdata() - 0.5 == places[1].index("HBB")
    assert not second.get_lines()


def test_a_lineage_without_a_prior_of_its_own_has_the_base_one(cells):
    cells.varp["prior_base"] = np.eye(5)[::-1].copy()
    priors = regulators.read_priors(cells, ["erythroid", "monocyte"])
    assert {group: prior.name for group, prior in priors.items()} == {"erythroid": "erythroid", "monocyte": "base"}
    assert priors["monocyte"].edges.loc["GATA1", "ACTB"]


def test_of_what_a_prior_tells_nothing_is_neither_right_nor_wrong(cells, influences):
    cells.varp["known_erythroid"] = np.zeros((5, 5))
    cells.varp["known_erythroid"][0, :3] = 1.0
    [prior] = regulators.read_priors(cells, ["erythroid"]).values()
    assert prior.chance() == 0.5
    table = regulators.influence_matrix(influences, "erythroid")
    assert "1 of the 1 influences it tells of (100%; by chance 50%)" in regulators.describe_prior(table, prior)
    nothing = prior._replace(known=prior.known & False)
    assert regulators.describe_prior(table, nothing) == "the erythroid network tells of none of these influences"
    assert np.isnan(nothing.chance())


def test_the_heading_says_why_a_method_is_shown(influences):
    figure = regulators.draw("cells", ("cells", "l1", 0.1), influences, {}, "2 seeds")
    assert "l1 (strength 0.1, 2 seeds): the least validation error of all sparse" in figure.get_suptitle()
    alone = regulators.draw("cells", ("cells", "none", 0.0), influences, {}, "2 seeds")
    assert "no sparse method finished" in alone.get_suptitle()


def test_a_lineage_without_influences_says_so(influences):
    none = influences[influences["group"] != "monocyte"]
    figure = regulators.draw("cells", ("cells", "l1", 0.1), none, {}, "2 seeds")
    assert "no influence of any regulator" in figure.axes[1].get_title()


def test_only_the_strongest_are_shown():
    sources = [f"r{number}" for number in range(regulators.REGULATORS + 5)]
    rows = [("a", name, f"t{number}", float(number)) for number, name in enumerate(sources)]
    table = pd.DataFrame(rows, columns=["group", "source", "target", "value"])
    shown = regulators.influence_matrix(table, "a")
    assert set(shown.index) == set(sources[5:])
    assert np.count_nonzero(shown.to_numpy()) == regulators.REGULATORS


def test_pairs_that_a_cut_list_lacks_are_hatched(influences, monkeypatch):
    counts = influences["group"].value_counts()
    monkeypatch.setattr(regulators, "STRONGEST_PAIRS", int(counts.max()) + 1)
    whole = regulators.draw("cells", ("cells", "l1", 0.1), influences, {}, "2 seeds")
    assert not [item for axes in whole.axes for item in axes.collections if item.get_hatch()]
    assert "hatched" not in whole.get_suptitle()
    monkeypatch.setattr(regulators, "STRONGEST_PAIRS", int(counts["erythroid"]))
    figure = regulators.draw("cells", ("cells", "l1", 0.1), influences, {}, "2 seeds")
    [cells] = [item for item in figure.axes[0].collections if item.get_hatch()]
    table = regulators.influence_matrix(influences, "erythroid").to_numpy()
    assert hatched_cells(cells) == {tuple(pair) for pair in np.argwhere(table == 0).tolist()}
    assert f"hatched: weaker than the {counts['erythroid']} strongest pairs of its lineage" in figure.get_suptitle()


def hatched_cells(cells):
    return {tuple(path.vertices.min(axis=0)[::-1].astype(int).tolist()) for path in cells.get_paths()}


def test_a_regulator_on_itself_is_not_hatched(monkeypatch):
    rows = [("a", "r1", "r2", 1.0), ("a", "r2", "r1", 2.0), ("a", "r1", "t", 3.0)]
    table = pd.DataFrame(rows, columns=["group", "source", "target", "value"]).astype({"group": "category"})
    monkeypatch.setattr(regulators, "STRONGEST_PAIRS", len(table))
    figure = regulators.draw("cells", ("cells", "l1", 0.1), table, {}, "2 seeds")
    [cells] = [item for item in figure.axes[0].collections if item.get_hatch()]
    shown = regulators.influence_matrix(table, "a")
    assert hatched_cells(cells) == {(shown.index.get_loc("r2"), shown.columns.get_loc("t"))}


def test_tables_that_were_not_written_are_asked_for(cell_files):
    (cell_files["networks"] / "cells" / "l1.groups.parquet").unlink()
    files = {name: cell_files[name] for name in ("metrics", "selection", "networks", "data")}
    with pytest.raises(UserError, match=r"l1\.groups\.parquet is missing; run again"):
        regulators.read(Results("cells", files))
    assert json.loads((cell_files["selection"] / "cells" / "l1.json").read_text())["chosen"] == 0.1
