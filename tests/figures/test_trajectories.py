"""The figure of observed and predicted trajectories."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection

from sparsenode.errors import UserError
from sparsenode.evaluation.results import Choice, Results
from sparsenode.figures import trajectories

CHOICES = {("small", "l1"): Choice(0.01, "trajectory"), ("small", "none"): Choice(0.0, "trajectory")}


def grid_of(figure):
    return {(axes.get_subplotspec().rowspan.start, axes.get_subplotspec().colspan.start): axes for axes in figure.axes}


@pytest.mark.slow(reason="draws a whole figure")
def test_the_best_forecast_is_the_median_over_seeds(metrics, forecasts):
    figure = trajectories.draw("toy", metrics, CHOICES, forecasts)
    grid = grid_of(figure)
    assert grid[0, 0].get_title() == "first"
    assert [grid[row, 0].get_ylabel() for row in range(2)] == ["a\n(mol)", "b\n(mol)"]
    assert grid[0, 0].get_xlabel() == ""
    times = grid[0, 0].get_lines()[0].get_xdata()
    values = grid[0, 0].get_lines()[0].get_ydata()
    finite = np.isfinite(times)
    np.testing.assert_allclose(values[finite], 1.1 * np.sin(times[finite]), atol=1e-6)


def test_errors_over_all_features_tell_networks_apart(metrics, forecasts):
    worse = forecasts["method"].eq("l1")
    forecasts.loc[worse, "predicted"] = forecasts.loc[worse, "observed"] + 0.5
    grid = grid_of(trajectories.draw("toy", metrics, CHOICES, forecasts))
    lines = {line.get_color(): line for line in grid[2, 0].get_lines()}
    looks = trajectories.network_looks(list(CHOICES))
    values = lines[looks["small", "l1"].color].get_ydata()
    np.testing.assert_allclose(values[np.isfinite(values)], 0.5, rtol=1e-6)
    mine = forecasts[(forecasts["method"] == "none") & (forecasts["trajectory"] == "first") & (forecasts["seed"] == 1)]
    expected = ((mine["predicted"] - mine["observed"]) ** 2).groupby(mine["time"]).mean() ** 0.5
    values = lines[looks["small", "none"].color].get_ydata()
    np.testing.assert_allclose(values[np.isfinite(values)], expected)


def test_a_method_of_a_second_model_is_dashed():
    looks = trajectories.network_looks([("small", "l1"), ("large", "l1"), ("large", "none")])
    assert looks["small", "l1"].color == looks["large", "l1"].color
    assert looks["small", "l1"].line != looks["large", "l1"].line
    assert looks["large", "none"].line == "-"


@pytest.mark.slow(reason="draws several figures")
def test_an_explosion_does_not_set_the_scale(metrics, forecasts):
    forecasts.loc[forecasts["seed"] == 2, "predicted"] = 1e9
    grid = grid_of(trajectories.draw("toy", metrics, CHOICES, forecasts))
    assert max(grid[row, 0].get_ylim()[1] for row in range(2)) < 2


@pytest.mark.slow(reason="draws a whole figure")
def test_windows_start_at_their_restart_observation(metrics, forecasts):
    windows = forecasts.copy()
    windows["protocol"] = "window"
    windows["start"] = np.floor(windows["time"] / 2.5) * 2.5
    starts = windows.groupby(["trajectory", "start"], observed=True)["time"].transform("min")
    windows["start"] = starts
    windows = windows[windows["time"] > windows["start"]]
    choices = {key: Choice(choice.strength, "window") for key, choice in CHOICES.items()}
    figure = trajectories.draw("toy", metrics, choices, pd.concat([forecasts, windows]))
    grid = grid_of(figure)
    line = grid[0, 0].get_lines()[0]
    breaks = np.flatnonzero(np.isnan(line.get_xdata()))
    assert len(breaks) >= 2
    second = breaks[0] + 1
    np.testing.assert_allclose(line.get_ydata()[second], np.sin(line.get_xdata()[second]), atol=1e-6)
    assert np.isnan(grid[2, 0].get_lines()[0].get_xdata()).sum() >= 2


def test_held_out_parts_are_shaded():
    observed = pd.DataFrame(
        {"trajectory": "a", "time": [0.0, 1, 2, 3], "split": ["train", "train", "test", "test"], "phase": "fit"}
    )
    assert trajectories.spans(observed, "a") == [(0.0, 1.5, ("train", "fit")), (1.5, 3.0, ("test", "fit"))]
    observed["split"] = ["train", "test"] * 2
    assert len(trajectories.spans(observed, "a")) == 4
    many = pd.concat([observed, observed.assign(time=observed["time"] + 4)], ignore_index=True)
    assert trajectories.spans(many, "a") == []


def test_trajectories_come_from_each_group_and_noise_is_told_from_a_course():
    names = [f"{group}{number}" for group in "xyz" for number in range(3)]
    observed = pd.DataFrame(
        {"trajectory": names, "group": [name[0] for name in names], "split": "test", "time": 0.0, "feature": "a"}
    )
    chosen = trajectories.choose_trajectories(observed)
    assert len({name[0] for name in chosen}) == trajectories.TRAJECTORIES
    assert len(chosen) == trajectories.TRAJECTORIES
    rng = np.random.default_rng(0)
    assert trajectories.is_noisy(pd.Series(rng.normal(size=100)))
    assert not trajectories.is_noisy(pd.Series(np.sin(np.linspace(0, 6, 100))))


@pytest.mark.parametrize("column", ["observed", "value_unit", "group"])
def test_forecasts_without_a_column_are_damage(files, column):
    pd.read_parquet(files["forecasts"]).drop(columns=column).to_parquet(files["forecasts"], index=False)
    tables = {name: files[name] for name in ("metrics", "selection", "forecasts")}
    with pytest.raises(UserError, match=rf"forecasts\.parquet is damaged \(it lacks '{column}'\); delete it and run"):
        trajectories.read(Results("toy", tables))


@pytest.mark.slow(reason="draws a whole figure")
def test_what_is_missing_is_not_drawn(metrics, forecasts):
    """No point, no course through a long gap, no scale; the forecast goes on."""
    rng = np.random.default_rng(0)
    times = pd.Series(np.linspace(0, 5, 30))
    noise = dict(zip(times.round(6), rng.normal(size=30), strict=True))
    forecasts["observed"] += forecasts["time"].round(6).map(noise).astype(float)
    gap = forecasts["feature"].eq("b") & forecasts["time"].between(1.0, 4.0)
    forecasts.loc[gap, "observed"] = np.nan
    forecasts.loc[forecasts["feature"].eq("c"), "observed"] = np.nan
    figure = trajectories.draw("toy", metrics, CHOICES, forecasts)
    panels = {axes.get_subplotspec().rowspan.start: axes for axes in figure.axes}
    for row, count in ((0, 30), (1, int((~times.between(1.0, 4.0)).sum()))):
        dots = [drawn for drawn in panels[row].collections if isinstance(drawn, PathCollection)]
        assert sum(len(points.get_offsets()) for points in dots) == count
        forecast = panels[row].get_lines()[0]
        assert np.isfinite(forecast.get_ydata()).sum() == 30
        assert np.isfinite(panels[row].get_ylim()).all()


def test_the_course_of_noisy_values_has_gaps_where_they_are_missing():
    values = np.random.default_rng(0).normal(size=200)
    values[80:140] = np.nan
    observed = pd.DataFrame(
        {
            "trajectory": "a",
            "feature": "x",
            "time": np.arange(200.0),
            "observed": values,
            "split": "train",
            "phase": "fit",
        }
    )
    assert trajectories.is_noisy(observed["observed"])
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    trajectories._draw_observed(axes, observed, "a", "x")
    course = axes.get_lines()[0].get_ydata()
    assert np.isnan(course[90:130]).all()
    assert np.isfinite(course[20:75]).all()
