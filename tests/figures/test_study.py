"""Figures of the study."""

import numpy as np
import pytest

from sparsenode.errors import UserError
from sparsenode.evaluation.study.effects import paired_values
from sparsenode.evaluation.study.tables import VALIDATION, write_long
from sparsenode.figures import style
from sparsenode.figures.study import STUDY_FIGURES, draw_study, gain, levels, ratios, structure
from sparsenode.figures.study.shared import mean_over_systems
from study_tables import make_long


@pytest.fixture(scope="module")
def long():
    return make_long({"l1": np.log(0.5), "pathreg": 0.2}, {"pathreg": 0.2}, kinds=("hill", "linear"), networks=2)


@pytest.fixture(autouse=True)
def drawn_in_style():
    with style.style():
        yield


def texts(figure):
    from matplotlib.text import Text

    return " ".join(text.get_text() for text in figure.findobj(Text))


def test_a_mean_counts_kinds_and_networks_alike(long):
    rows = long[(long["metric"] == "auprc") & (long["choice"] == VALIDATION)]
    again = rows[(rows["kind"] == "hill") & (rows["network"] == "seed=0")]
    import pandas as pd

    repeated = pd.concat([rows, again, again])
    pd.testing.assert_frame_equal(
        mean_over_systems(repeated, "value", ["method"]), mean_over_systems(rows, "value", ["method"])
    )


def test_cells_are_the_ratios_of_each_noise_and_share(long):
    figure = ratios.draw(long)
    paired = paired_values(long[long["choice"] == VALIDATION], "mse_cut", "ratio")
    panels = [axes for axes in figure.axes if axes.collections and axes.get_label() != "<colorbar>"]
    assert len(panels) == 2 * 6
    expected = paired[(paired["method"] == "l1") & (paired["distance"] == 0) & (paired["noise"] == 0.3)]
    value = mean_over_systems(expected, "effect", ["method"])["effect"].iloc[0]
    assert f"{np.exp(value):.2f}" in [text.get_text() for text in panels[0].texts]
    # Three of the nine cells were measured.
    assert len(panels[0].texts) == 4
    assert "held variable" in texts(figure)


def test_errors_of_all_methods_and_references_are_drawn(long):
    figure = levels.draw(long)
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert labels[:3] == ["none", "l1", "pathreg"]
    assert {"best trivial forecast", "true system, unchanged"} <= set(labels)
    line = figure.axes[0].lines[1]
    rows = long[(long["method"] == "l1") & (long["metric"] == "mse_cut") & (long["choice"] == VALIDATION)]
    rows = rows[rows["distance"] == 2].assign(value=lambda table: np.log(table["value"]))
    expected = np.exp(mean_over_systems(rows, "value", ["method"])["value"].iloc[0])
    assert line.get_ydata()[2] == pytest.approx(expected)


def test_structure_is_over_one_condition_with_the_others_at_their_center(long):
    center = structure.centers(long[long["metric"] == "auprc"])
    assert center == {"noise": 0.1, "share_kept": 0.5, "trajectories": 8.0}
    figure = structure.draw(long)
    assert [tick.get_text() for tick in figure.axes[-3].get_xticklabels()] == ["0.1", "0.3"]
    assert "AUPRC" in texts(figure)


def test_a_dot_is_a_system(long):
    figure = gain.draw(long)
    dots = figure.axes[0].lines[:2]
    assert [len(line.get_xdata()) for line in dots] == [2, 2]
    assert (np.concatenate([line.get_ydata() for line in dots]) > 1).all()  # l1 halves the error


@pytest.mark.parametrize("name", sorted(STUDY_FIGURES))
def test_what_is_not_there_is_told(long, name, tmp_path):
    write_long(long[long["metric"] == "auroc"], tmp_path / "long.csv")
    with pytest.raises(UserError, match=r"the long table of the study has no .*, so that there is nothing to draw"):
        draw_study(name, tmp_path / "long.csv", [tmp_path / "figure.png"])


def test_a_figure_is_written(long, tmp_path):
    write_long(long, tmp_path / "long.csv.gz")
    draw_study("gain", tmp_path / "long.csv.gz", [tmp_path / "figure.png"], dots_per_inch=40)
    assert (tmp_path / "figure.png").stat().st_size > 2000
