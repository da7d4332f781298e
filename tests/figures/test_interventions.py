"""The figure of interventions: effects beside the true ones, or fates."""

import numpy as np
import pandas as pd
import pytest

from sparsenode.errors import UserError
from sparsenode.evaluation.results import Results
from sparsenode.evaluation.tables import join_tables, make_table
from sparsenode.figures import interventions
from sparsenode.figures.drawing import draw_figure
from sparsenode.figures.style import looks
from sparsenode.interventions.true_effects import NO_EFFECT, TRUTH

FATES = ["left", "right", "none"]


def make_effects(models=("small",)):
    """Three interventions on three variables; l1 foretells half of each effect, the other method nothing finite."""
    tables, where = [], {"dataset": "toy", "split": "test", "horizon": "trajectory"}
    true = {("x low", "y"): 0.4, ("x low", "z"): -0.2, ("y low", "x"): 0.0, ("y low", "z"): 1.0, ("z low", "x"): -0.6}
    for phase, factor in (("fit", 1.0), ("extrapolation", 10.0)):
        for (name, reference), value in true.items():
            told = {**where, "phase": phase, "trajectory": name, "reference": reference, "metric": "effect"}
            told["unit"] = "mol"
            tables.append(make_table(**told, method=TRUTH, value=[factor * value]))
            for model in models:
                for seed in range(3):
                    key = {"model": model, "strength": 0.1, "seed": seed}
                    found = factor * (0.5 * value + 0.01 * (seed - 1))
                    tables.append(make_table(**told, **key, method="l1", value=[found]))
                    tables.append(make_table(**told, **key, method="mine", value=[np.nan]))
        for model in models:
            for metric, values in {"intervention_skill": (0.7, 0.75, 0.8), "effect_correlation": (0.9, 0.9, 1)}.items():
                told = {**where, "phase": phase, "trajectory": "all", "metric": metric, "model": model}
                tables.append(
                    make_table(**told, method="l1", seed=[0, 1, 2], value=[factor * value for value in values])
                )
        tables.append(make_table(**where, phase=phase, metric="intervention_mse", method=NO_EFFECT, value=[0.3]))
    return join_tables(tables)


def make_fates():
    """Shares of two fates without and with two interventions; of one method nothing was chosen."""
    shares = {
        "unclamped": (0.5, 0.25, 0.25), "gene_knockout": (0.0, 1.0, 0.0), "other_knockout": (0.5, 0.5, 0.0),
    }  # fmt: skip
    tables, where = [], {"dataset": "toy", "model": "small", "split": "train", "phase": "fit"}
    for name, values in shares.items():
        for seed in (-1, 0):
            told = {**where, "trajectory": name, "seed": seed, "method": "l1", "metric": "fate_share"}
            tables.append(make_table(**told, reference=FATES, value=list(values)))
    expected = {("gene_knockout", "left"): -1.0, ("gene_knockout", "right"): 1.0, ("other_knockout", "left"): -1.0}
    for (name, fate), value in expected.items():
        told = {**where, "trajectory": name, "method": "l1", "metric": "fate_expected", "reference": fate}
        tables.append(make_table(**told, value=[value]))
    for name, value in {"gene_knockout": 1.0, "other_knockout": 0.0, "all": 0.5}.items():
        told = {**where, "trajectory": name, "method": "l1", "metric": "fate_agreement"}
        tables.append(make_table(**told, value=[value]))
    tables.append(make_table(**where, method="l0", metric="fate_share", trajectory="all", status="undefined"))
    return join_tables(tables)


def panels(figure):
    return {axes.get_title().partition("\n")[0]: axes for axes in figure.axes if axes.get_visible()}


@pytest.mark.slow(reason="draws a whole figure")
@pytest.mark.parametrize("table", [make_effects(), make_effects(("small", "large")), make_fates()])
def test_files_are_written(table, files, tmp_path):
    table.to_parquet(tmp_path / "interventions.parquet", index=False)
    outputs = [tmp_path / "interventions.pdf", tmp_path / "interventions.png"]
    results = Results("toy", {**files, "interventions": tmp_path / "interventions.parquet"})
    draw_figure("interventions", results, outputs, dots_per_inch=50)
    assert outputs[0].read_bytes().startswith(b"%PDF")
    assert outputs[1].read_bytes().startswith(b"\x89PNG")


NO_METRICS = make_table(metric="seconds", value=[]).iloc[:0]


def draw(table):
    return interventions.draw("toy", NO_METRICS, {}, table)


def test_what_forecasts_lack_lies_over_the_true_effects_of_the_fit():
    by_name = panels(draw(make_effects()))
    assert list(by_name) == ["l1", "mine"]
    assert by_name["l1"].get_title() == "l1\nskill 0.75"
    assert by_name["mine"].get_title() == "mine\nskill undefined"
    (points,) = (line for line in by_name["l1"].get_lines() if line.get_marker() == looks(["l1"])["l1"].marker)
    np.testing.assert_allclose(points.get_xdata(), [0.4, -0.2, 0.0, 1.0, -0.6])
    np.testing.assert_allclose(points.get_ydata(), [-0.2, 0.1, 0.0, -0.5, 0.3], atol=1e-12)
    assert by_name["l1"].get_ylabel() == "forecast less true\n(mol)"
    np.testing.assert_allclose(by_name["l1"].get_xlim(), (-1.15, 1.15))
    # The farthest is 0.51 off, with its range.
    np.testing.assert_allclose(by_name["l1"].get_ylim(), (-0.612, 0.612))


def test_points_that_are_far_beyond_the_true_effects_are_counted():
    table = make_effects()
    far = (table["method"] == "l1") & (table["metric"] == "effect") & (table["phase"] == "fit")
    table.loc[far & (table["trajectory"] == "x low"), "value"] = 7.0
    table.loc[far & (table["trajectory"] == "z low") & (table["seed"] == 2), "value"] = np.inf
    by_name = panels(draw(table))
    # The range of one that diverged in a single seed leaves the panel, its median does not.
    assert by_name["l1"].get_title() == "l1\nskill 0.75; 2 beyond the panel"
    assert by_name["mine"].get_title() == "mine\nskill undefined"
    np.testing.assert_allclose(by_name["l1"].get_ylim(), (-1, 1))


def test_models_are_named_where_there_are_several():
    assert list(panels(draw(make_effects(("small", "large"))))) == [
        "small: l1", "small: mine", "large: l1", "large: mine",
    ]  # fmt: skip


def test_cells_are_changes_of_the_shares_and_triangles_what_is_expected():
    by_name = panels(draw(make_fates()))
    axes = by_name["l1"]
    assert axes.get_title() == "l1\n1 of 2 as expected"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["gene knockout", "other knockout"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["left", "right", "none of them"]
    cells = axes.collections[0].get_array().reshape(2, 3)
    np.testing.assert_allclose(cells, [[-50, 75, -25], [0, 25, -25]])
    marks = {
        (line.get_xdata()[0], line.get_ydata()[0]): (line.get_marker(), line.get_markerfacecolor())
        for line in axes.get_lines()
    }
    assert marks == {(0.5, 0.5): ("v", "black"), (1.5, 0.5): ("^", "black"), (0.5, 1.5): ("v", "white")}
    assert by_name["l0"].get_title() == "l0\nno strength chosen"


def test_of_many_interventions_those_that_change_most_are_shown():
    names = [f"i{number}" for number in range(30)]
    change = pd.DataFrame({"left": np.arange(30.0), "right": 0.0}, index=names)
    assert (
        interventions.choose_interventions(names, [change, -change]) == names[30 - interventions.MOST_INTERVENTIONS :]
    )
    assert interventions.choose_interventions(names[:4], [change]) == names[:4]


def test_a_table_without_models_is_refused():
    table = make_effects()
    with pytest.raises(UserError, match="the interventions on toy hold no trained model"):
        draw(pd.DataFrame(table[table["model"] == ""]))
