"""The figure of tested edges."""

import numpy as np
import pytest

from edge_tests import edge_test
from sparsenode.evaluation.edges import write_test
from sparsenode.evaluation.results import Results
from sparsenode.figures import edges, style
from sparsenode.figures.drawing import draw_figure
from sparsenode.inference.results import CONTRADICTED, REQUIRED

THREE = ["x", "y", "z"]


def texts(figure):
    axes = figure.axes[0]
    return [label.get_text() for label in axes.get_yticklabels()]


def test_three_variables_have_a_row_for_each_pair_in_the_order_of_q(tmp_path):
    test = edge_test(THREE, [("x", "y"), ("z", "x")])
    write_test(test, THREE, tmp_path / "edges")
    figure = draw_figure("edges", Results("toy", {"edges": tmp_path / "edges"}), [tmp_path / "edges.png"])
    labels = texts(figure)
    assert len(labels) == 6
    assert set(labels[:2]) == {"x → y", "z ⊣ x"}
    assert figure.get_suptitle().startswith("toy: 2 of 6 edges are needed, given the other measured variables")
    assert "left out" not in figure.get_suptitle()
    points = {line.get_label(): line for line in figure.axes[0].containers}
    needed = points["needed"].lines[0]
    rows = test.table.set_index(["source", "target"])
    assert sorted(needed.get_xdata()) == sorted(rows.loc[[("x", "y"), ("z", "x")], "effect"])
    assert sorted(needed.get_ydata()) == [0, 1]
    assert needed.get_color() == style.BLUE


def test_of_many_edges_the_first_are_drawn_and_the_rest_is_counted():
    names = [f"gene{number}" for number in range(50)]
    selected = [(names[number], names[number + 1]) for number in range(45)]
    with style.style():
        figure = edges.draw("many", edge_test(names, selected))
    assert len(texts(figure)) == edges.MOST_ROWS == 40
    assert "drawn are the 40 of the smallest q-values, 2410 others are left out" in figure.get_suptitle()
    assert "45 of 2450 edges" in figure.get_suptitle()


def test_what_cannot_be_told_is_drawn_as_such_and_forbidden_edges_are_not():
    test = edge_test(THREE, [], reason="a test takes 10 independent blocks")
    test.table.loc[0, "verdict"] = "forbidden"
    test.table.loc[1, "verdict"] = "required, without evidence"
    with style.style():
        figure = edges.draw("toy", test)
    assert len(texts(figure)) == 5
    assert {container.get_label() for container in figure.axes[0].containers} == {"required", "cannot be told"}
    assert "4 cannot be told" in figure.get_suptitle()


def test_a_required_edge_that_the_data_contradict_is_hollow():
    test = edge_test(THREE, [])
    test.table.loc[0, "verdict"] = REQUIRED
    test.table.loc[1, "verdict"] = CONTRADICTED
    with style.style():
        figure = edges.draw("toy", test)
    points = {container.get_label(): container.lines[0] for container in figure.axes[0].containers}
    assert set(points) == {"required", "required, contradicted", "no evidence"}
    filling = {label: line.get_markerfacecolor() for label, line in points.items()}
    assert filling["required, contradicted"] == "white"
    assert filling["required"] == points["required, contradicted"].get_markeredgecolor() == style.PURPLE


@pytest.mark.parametrize("names", [["x"], THREE])
def test_nothing_that_was_tested_is_said(names):
    test = edge_test(names if len(names) > 1 else [*names, "y"], [])
    test.table["effect"] = np.nan
    with style.style():
        figure = edges.draw("toy", test)
    assert [text.get_text() for text in figure.axes[0].texts] == ["nothing was tested"]
