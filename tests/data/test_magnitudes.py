"""How large values, movements and times are, and what is said where they are far from one."""

import logging
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from sparsenode.data.magnitudes import (
    Magnitudes,
    doubts_of_step,
    doubts_of_times,
    doubts_of_values,
    measure_magnitudes,
)
from sparsenode.data.preprocess import preprocess_dataset

ORDINARY = Magnitudes("mine", (0.5, 2.0), 3.0, 10.0, "hour", {"scaling": "none", "time_scaling": "none"})


def test_training_observations_are_measured_and_no_others():
    obs = pd.DataFrame(
        {
            "trajectory": pd.Categorical(["b"] * 3 + ["a"] * 3 + ["c"] * 2, categories=["b", "a", "c"]),
            "time": [0.0, 1.0, 4.0, 2.0, 3.0, 9.0, 0.0, 70.0],
            "split": ["train", "train", "validation", "train", "train", "train", "test", "test"],
            "phase": ["fit"] * 5 + ["extrapolation"] + ["fit"] * 2,
        },
        index=[str(number) for number in range(8)],
    )
    values = np.array(
        [[0.0, 10.0], [3.0, 10.0], [99.0, 99.0], [1.0, -20.0], [5.0, -20.0], [99.0, 0.0], [9e9, 0.0], [0.0, 9e9]]
    )
    adata = anndata.AnnData(values.astype(np.float32), obs=obs, var=pd.DataFrame(index=["x", "y"]))
    states = pd.DataFrame([[0.0, 10.0], [1.0, -20.0], [9.0, 0.0]], index=["b", "a", "c"], columns=["x", "y"])
    adata.uns["sparsenode"] = {
        "name": "mine",
        "time_unit": "hour",
        "initial_states": states,
        "settings": '{"options": {"scaling": "none"}}',
    }
    # Squares 0, 9, 0 and 16 over four observations; the second feature never leaves its initial states.
    expected = Magnitudes("mine", (0.0, 2.5), 20.0, 7.0, "hour", {"scaling": "none"})
    assert measure_magnitudes(adata) == expected


@pytest.mark.parametrize(
    ("movements", "level", "doubtful"),
    [
        ((0.5, 2.0), 3.0, False),
        ((1e-9, 0.02), 0.1, False),
        ((50.0, 90.0), 900.0, False),
        ((1e-3, 9e-3), 1.0, True),
        ((0.0, 0.0), 1.0, True),
        ((1.0, 101.0), 200.0, True),
        ((1e25, 1e25), 1e25, True),
        ((0.5, 1.0), 101.0, True),
        ((0.04, 0.05), 9.0, False),
    ],
)
def test_values_far_from_one_or_from_zero_are_doubtful(movements, level, doubtful):
    doubts = doubts_of_values(replace(ORDINARY, movements=movements, level=level))
    assert bool(doubts) == doubtful
    assert all("set `scaling: training_range` in datasets.mine.options" in doubt for doubt in doubts)


def test_standardized_states_take_all_values_that_single_precision_can_tell_apart():
    small, shifted = replace(ORDINARY, movements=(1e-9, 1e-9)), replace(ORDINARY, level=1e4)
    for magnitudes in (small, shifted):
        assert doubts_of_values(magnitudes) != []
        assert doubts_of_values(magnitudes, standardized=True) == []
    assert doubts_of_values(replace(ORDINARY, movements=(1.0, 1e25)), standardized=True) != []
    assert doubts_of_values(replace(ORDINARY, level=1e7), standardized=True) != []


@pytest.mark.parametrize(
    ("span", "time_scale", "doubtful"),
    [
        (10.0, None, False),
        (159.0, None, False),
        (1440.0, None, True),
        (1e-9, None, True),
        (159.0, 30.0, False),
        (159.0, 1.0, True),
        (86400.0, 3600.0, False),
        (1e-3, 1.0, True),
        (1e-3, 1e-3, False),
    ],
)
def test_times_far_from_one_are_doubtful_in_the_unit_of_the_model(span, time_scale, doubtful):
    doubts = doubts_of_times(replace(ORDINARY, span=span), time_scale)
    assert bool(doubts) == doubtful
    assert all("set `time_scaling: unit` in datasets.mine.options, or set `time_scale`" in doubt for doubt in doubts)


def test_what_is_set_already_or_cannot_be_set_is_not_advised():
    scaled = replace(
        ORDINARY, movements=(1e-9, 1e-9), span=1e9, options={"scaling": "training_range", "time_scaling": "unit"}
    )
    for options in (scaled.options, {}):
        doubts = doubts_of_values(replace(scaled, options=options)) + doubts_of_times(replace(scaled, options=options))
        assert len(doubts) == 2
        assert not any("options" in doubt for doubt in doubts)


def test_a_step_longer_than_what_moves_is_doubtful():
    assert doubts_of_step(ORDINARY, 0.2, 1.0) == []
    [longer] = doubts_of_step(ORDINARY, 2.0, 1.0)
    assert "longer than the model's `time_scale` (1)" in longer
    [whole] = doubts_of_step(replace(ORDINARY, span=1e-9), 0.2, 1.0)
    assert "as long as the longest trajectory (1e-09 hour)" in whole


@pytest.mark.parametrize(
    ("values", "times", "warning"),
    [
        (1.0, 1.0, ""),
        (1e-9, 1.0, "mine: values move by 3.7e-10 to 6.4e-10 from their initial states"),
        (1e25, 1.0, "mine: values move by 3.7e+24 to 6.4e+24 from their initial states"),
        (1.0, 3600.0, "mine: trajectories are long, 3.6e+04 (hour)"),
        (1.0, 1e-9, "mine: trajectories are short, 1e-08 (hour)"),
    ],
)
def test_preprocessing_warns_of_its_data(values, times, warning, tmp_path: Path, caplog):
    rng = np.random.default_rng(0)
    time = np.linspace(0, 10, 20)
    courses = [np.stack([np.sin(time + start), np.cos(time / 2 + start)], axis=1) / 2 for start in rng.uniform(size=3)]
    obs = pd.DataFrame(
        {"name": np.repeat(["a", "b", "c"], 20), "time": np.tile(time * times, 3)},
        index=[str(number) for number in range(60)],
    )
    anndata.AnnData(np.concatenate(courses) * values, obs=obs).write_h5ad(tmp_path / "mine.h5ad")
    options = {"path": str(tmp_path / "mine.h5ad"), "trajectory": "name", "time_unit": "hour"}
    with caplog.at_level(logging.WARNING):
        preprocess_dataset("mine", {"source": "anndata", "options": options}, tmp_path, tmp_path / "data.h5ad")
    assert [record.getMessage().partition(", and")[0] for record in caplog.records] == [warning] * bool(warning)
