"""The figure of regulators and targets by lineage."""

import json

import numpy as np
import pytest

from sparsenode.errors import UserError
from sparsenode.figures import regulators, style
from sparsenode.figures.style import Choice


def test_files_are_written(cell_files, tmp_path):
    outputs = [tmp_path / "regulators.pdf", tmp_path / "regulators.png"]
    files = {name: cell_files[name] for name in ("metrics", "selection", "networks", "data")}
    regulators.draw_regulators(dataset="cells", **files, outputs=outputs, dots_per_inch=50)
    assert all(path.stat().st_size > 1000 for path in outputs)


def test_the_sparse_method_with_the_least_validation_error_is_shown(cell_files):
    metrics = style.read_metrics(cell_files["metrics"])
    choices = style.read_selection(cell_files["selection"])
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


def test_dots_are_edges_of_the_lineages_own_prior(cells, cell_files):
    from sparsenode.evaluation.networks import read_groups

    influences = read_groups(cell_files["networks"], "cells", "l1")
    priors = regulators.read_prior_edges(cells, ["erythroid", "monocyte"])
    assert priors == {"erythroid": {("GATA1", "HBB")}}
    figure = regulators.draw("cells", ("cells", "l1", 0.1), influences, priors, seeds="2 seeds")
    first, second = figure.axes[0], figure.axes[1]
    assert "1 edges of its prior network" in first.get_title()
    assert "no prior network" in second.get_title()
    assert [len(line.get_xdata()) for line in first.get_lines()] == [1]
    assert not second.get_lines()


def test_a_lineage_without_influences_says_so(cell_files):
    from sparsenode.evaluation.networks import read_groups

    influences = read_groups(cell_files["networks"], "cells", "l1")
    none = influences[influences["group"] != "monocyte"]
    figure = regulators.draw("cells", ("cells", "l1", 0.1), none, {}, seeds="2 seeds")
    assert "no influence of any regulator" in figure.axes[1].get_title()


def test_only_the_strongest_are_shown():
    import pandas as pd

    sources = [f"r{number}" for number in range(regulators.REGULATORS + 5)]
    rows = [("a", name, f"t{number}", float(number)) for number, name in enumerate(sources)]
    table = pd.DataFrame(rows, columns=["group", "source", "target", "value"])
    shown = regulators.influence_matrix(table, "a")
    assert set(shown.index) == set(sources[5:])
    assert np.count_nonzero(shown.to_numpy()) == regulators.REGULATORS


def test_tables_that_were_not_written_are_asked_for(cell_files, tmp_path):
    (cell_files["networks"] / "cells" / "l1.groups.parquet").unlink()
    files = {name: cell_files[name] for name in ("metrics", "selection", "networks", "data")}
    with pytest.raises(UserError, match=r"l1\.groups\.parquet is missing.*evaluate the models of this dataset anew"):
        regulators.draw_regulators(dataset="cells", **files, outputs=[tmp_path / "r.png"])
    assert json.loads((cell_files["selection"] / "cells" / "l1.json").read_text())["chosen"] == 0.1
