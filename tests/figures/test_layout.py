"""No text of a figure lies on another, whatever the names are and however many panels there are."""

import json
import shutil

import anndata
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from drawn_figures import draw
from rendered_texts import overlaps, texts_of
from sparsenode.figures import style
from sparsenode.figures.layout import settle

LONG = "a name of more letters than any panel has room for_and_without_spaces_at_its_end_"


@pytest.fixture
def drawn(monkeypatch):
    """Extents of the texts of each figure once its layout has been found; figures are not written."""
    figures: list[dict] = []

    def look_at(figure, outputs, **settings):
        settle(figure)
        figures.append(texts_of(figure))

    monkeypatch.setattr(style, "save_figure", look_at)
    return figures


# The figures of metrics do not depend on the number of trajectories.
@pytest.mark.slow(reason="finds the layout of whole figures")
@pytest.mark.parametrize(
    ("trajectories", "figures"),
    [(1, ["trajectories"]), (2, ["trajectories", "strengths", "pareto"]), (4, ["trajectories"])],
)
def test_long_names_of_variables_trajectories_and_datasets_have_room(files, drawn, tmp_path, trajectories, figures):
    table = pd.read_parquet(files["forecasts"])
    courses = [table[table["trajectory"] == "second"].assign(trajectory=f"{LONG}{number}") for number in range(4)]
    table = pd.concat(courses[:trajectories])
    table["feature"] = table["feature"].astype(str).map(lambda name: f"{LONG}{name}")
    files["forecasts"] = tmp_path / "long.parquet"
    table.astype({"feature": "category"}).to_parquet(files["forecasts"], index=False)
    for figure in figures:
        draw(figure, LONG.replace(" ", "_"), files, tmp_path)
    assert drawn
    for texts in drawn:
        assert overlaps(texts) == []
    labels = [label for text in drawn[0] if "…" in (label := text.partition(": ")[2])]
    assert len(labels) == len(set(labels)) == 2 + min(trajectories, 2)


@pytest.mark.slow(reason="finds the layout of whole figures")
@pytest.mark.parametrize("models", [1, 2])
def test_a_legend_of_many_methods_has_room_beside_few_panels(files, drawn, tmp_path, models):
    """One variable and one trajectory; each of many methods has two lines in the legend."""
    metrics, table = pd.read_parquet(files["metrics"]), pd.read_parquet(files["forecasts"])
    methods = [f"method_{number}_of_a_long_name" for number in range(8)]
    names = ["small", "large"][:models]
    plain = metrics[metrics["method"] == "none"]
    others = [plain.assign(method=method, model=model) for method in methods for model in names]
    metrics = pd.concat([metrics[metrics["model"] == ""], *others])
    observed = table[(table["feature"] == "a") & (table["trajectory"] == "first")]
    forecasts = [observed[observed["method"] == "none"].assign(method=method, model=model)
                 for method in methods for model in names]  # fmt: skip
    pd.concat([observed[observed["method"] == "baseline:zeros"], *forecasts]).to_parquet(files["forecasts"])
    metrics.to_parquet(files["metrics"])
    shutil.rmtree(files["selection"])
    for model in names:
        for method in methods:
            path = files["selection"] / model / f"{method}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"chosen": 0.0, "protocol": "trajectory"}))
    for figure in ("trajectories", "strengths", "pareto"):
        draw(figure, "toy", files, tmp_path)
    for texts in drawn:
        assert overlaps(texts) == []
        boxes = [box for name, box in texts.items() if name.startswith("legend")]
        assert all(box.y0 > -5 for box in boxes)


@pytest.mark.slow(reason="finds the layout of whole figures")
@pytest.mark.parametrize("models", [1, 2])
def test_a_long_label_at_the_side_is_broken_within_its_part_of_the_figure(models, tmp_path):
    label = "value (a unit of more letters than a figure is high) " * 3
    with style.style():
        figure = Figure(figsize=(4, 3 * models), layout="constrained")
        for part in np.atleast_1d(figure.subfigures(models, 1)):
            part.subplots(2, 1)[0].set_ylabel("name")
            part.suptitle("A heading that is about as wide as the figure,\nin two lines")
            part.supylabel(label)
        style.save_figure(figure, [tmp_path / "figure.png"])
        texts = texts_of(figure)
    assert overlaps(texts) == []
    for part in figure.subfigs:
        box = part._supylabel.get_window_extent()
        assert part.bbox.y0 <= box.y0
        assert box.y1 <= part.bbox.y1
        assert "\n" in part._supylabel.get_text()
        assert "".join(part._supylabel.get_text().split()) == "".join(label.split())


UNIT = "a unit of more letters than any figure of a few panels is high, in parts per thousand " * 2


def check_side_label(drawn, last_word):
    [texts] = drawn
    assert overlaps(texts) == []
    labels = [box for name, box in texts.items() if last_word in name]
    assert labels
    assert all(box.y0 >= -1 for box in labels)


@pytest.mark.slow(reason="finds the layout of whole figures")
def test_long_units_of_trajectories_have_room_beside_two_models(two_models, files, drawn, tmp_path):
    two_models.to_parquet(files["metrics"], index=False)
    table = pd.read_parquet(files["forecasts"])
    both = [table.assign(model=model, value_unit=UNIT) for model in ("small", "large")]
    pd.concat(both, ignore_index=True).to_parquet(files["forecasts"], index=False)
    draw("trajectories", "toy", files, tmp_path)
    check_side_label(drawn, "thousand")


@pytest.mark.slow(reason="finds the layout of whole figures")
def test_long_units_of_genes_have_room(cell_files, drawn, tmp_path):
    adata = anndata.read_h5ad(cell_files["data"])
    adata.uns["sparsenode"] = {**adata.uns["sparsenode"], "value_unit": UNIT, "transform": "own"}
    adata.write_h5ad(cell_files["data"])
    draw("gene_trends", "cells", cell_files, tmp_path)
    check_side_label(drawn, "thousand")


@pytest.mark.slow(reason="finds the layout of whole figures")
def test_a_legend_lies_below_the_heading_that_reaches_over_it(tmp_path):
    with style.style():
        figure = Figure(figsize=(4, 3), layout="constrained")
        figure.subplots().plot([0, 1])
        figure.suptitle("A heading that is about as wide as the figure,\nin two lines")
        figure.legend([Line2D([], [])], ["a legend"], loc="outside right upper")
        style.save_figure(figure, [tmp_path / "figure.png"])
        texts_of(figure)
    assert overlaps(texts_of(figure)) == []
    heading, legend = figure.texts[0].get_window_extent(), figure.legends[0].get_window_extent()
    assert legend.y1 < heading.y0
    assert legend.x0 > figure.axes[0].get_window_extent().x1


@pytest.mark.slow(reason="finds the layout of whole figures")
def test_a_heading_wider_than_the_figure_is_broken_between_words(tmp_path):
    with style.style():
        figure = Figure(figsize=(3, 3), layout="constrained")
        figure.subplots().plot([0, 1])
        figure.suptitle("words " * 30 + "x" * 200)
        style.save_figure(figure, [tmp_path / "figure.png"])
        texts_of(figure)
    assert figure.texts[0].get_window_extent().width <= figure.bbox.width
    text = figure.texts[0].get_text()
    assert text.replace("\n", " ").count("words ") == 30
    assert text.replace("\n", "").count("x") == 200
