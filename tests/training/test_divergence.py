"""Why members were lost in training, and that what is advised ends it."""

import json
import logging
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from sparsenode.data.magnitudes import Magnitudes
from sparsenode.data.preprocess import preprocess_dataset
from sparsenode.ensemble.members import Member, load_ensemble
from sparsenode.settings import read_model_settings
from sparsenode.training.divergence import count_lost, doubts_of_training, reasons_of_loss
from sparsenode.training.job import train_members

ORDINARY = Magnitudes("mine", (0.5, 2.0), 3.0, 9.0, "hour", {})


def member(status: str, iterations: int) -> Member:
    return Member(0.1, 0, status, "", iterations, 1.0)


def test_lost_members_are_counted_with_their_iterations():
    assert count_lost([member("finished", 9)]) == ""
    assert count_lost([member("diverged", 0), member("diverged", 0)]) == "2 of 2, by iteration 0"
    some = [member("diverged", 50), member("finished", 60), member("diverged", 25)]
    assert count_lost(some) == "2 of 3, by iteration 25 to 50"


def test_a_failure_makes_more_doubtful():
    settings = read_model_settings({"time_scale": 0.5, "solver": {"step": 0.6}})
    assert doubts_of_training(ORDINARY, settings) == []
    long, step = doubts_of_training(ORDINARY, settings, failed=True)
    assert "9 (hour), 18 times the model's `time_scale`" in long
    assert "a step of the solver (0.6) is longer" in step


def test_of_members_that_were_mostly_lost_the_data_are_doubted_first():
    settings = read_model_settings({"time_scale": 0.5})
    few = [member("diverged", 0), member("finished", 9), member("finished", 9)]
    assert "first forecasts exploded" in reasons_of_loss(ORDINARY, settings, few)[0]
    assert "trajectories are long" in reasons_of_loss(ORDINARY, settings, few[:2])[0]


def test_where_nothing_is_doubtful_the_course_of_training_tells():
    settings = read_model_settings({})
    [first] = reasons_of_loss(ORDINARY, settings, [member("diverged", 0), member("finished", 9)])
    [later] = reasons_of_loss(ORDINARY, settings, [member("diverged", 0), member("diverged", 25)])
    assert "first forecasts exploded" in first
    assert "smaller `learning_rate`" in later


@pytest.fixture
def train(tmp_path: Path):
    """A function that trains two members on six short trajectories, and gives how they ended."""
    rng = np.random.default_rng(0)
    time = np.linspace(0, 10, 20)
    courses = [
        np.stack([np.sin(time * (1 + number / 9) + start) for number in range(4)], axis=1)
        for start in rng.uniform(0, 6, size=6)
    ]
    labels = np.repeat([f"t{number}" for number in range(6)], 20)

    def do(*, values: float = 1.0, shift: float = 0.0, times: float = 1.0, options: dict, model: dict) -> list[str]:
        obs = pd.DataFrame(
            {"name": labels, "time": np.tile(time * times, 6)}, index=[str(number) for number in range(120)]
        )
        table = anndata.AnnData(np.concatenate(courses) * values + shift, obs=obs)
        table.write_h5ad(tmp_path / "mine.h5ad")
        own = {"path": str(tmp_path / "mine.h5ad"), "trajectory": "name", **options}
        preprocess_dataset("mine", {"source": "anndata", "options": own}, tmp_path, tmp_path / "data.h5ad")
        settings = {
            "dataset": "mine",
            "model": "tiny",
            "method": "none",
            "model_settings": {"hidden": [4], "iterations": 20, "check_every": 10, "solver": {"step": 0.5}, **model},
            "method_settings": {"regularizer": "none", "strengths": [0.0], "options": {}},
        }
        (tmp_path / "settings.json").write_text(json.dumps(settings))
        output = tmp_path / "model.safetensors"
        train_members(
            tmp_path / "data.h5ad", tmp_path / "settings.json", range(2), output, tmp_path / "h.parquet", device="cpu"
        )
        return [one.status for one in load_ensemble(output).members]

    return do


@pytest.mark.slow(reason="trains an ensemble")
@pytest.mark.parametrize("shift", [1e4, 1e7])
def test_values_far_from_zero_lose_no_members(train, shift):
    """They are centered before they are trained on."""
    assert train(shift=shift, options={}, model={}) == ["finished"] * 2


@pytest.mark.slow(reason="trains an ensemble")
@pytest.mark.parametrize(
    ("data", "advised", "followed"),
    [
        ({"values": 1e-9}, "set `scaling: training_range` in datasets.mine.options", {"scaling": "training_range"}),
        ({"values": 1e-9}, "`standardize: true`", {"standardize": True}),
        ({"values": 1e25}, "set `scaling: training_range` in datasets.mine.options", {"scaling": "training_range"}),
        ({"times": 60}, "set `time_scaling: unit` in datasets.mine.options", {"time_scaling": "unit"}),
        ({"times": 60}, "set `time_scale` in the model", {"time_scale": 60, "solver": {"step": 12}}),
    ],
)
def test_training_that_loses_its_members_says_why_and_the_advice_helps(train, caplog, data, advised, followed):
    with caplog.at_level(logging.WARNING, "sparsenode.training.job"):
        assert train(**data, options={}, model={}) == ["diverged"] * 2
    messages = [record.getMessage() for record in caplog.records if record.name == "sparsenode.training.job"]
    assert messages[0].startswith("mine/tiny/none: members were lost in training")
    assert messages[0].endswith("2 of 2, by iteration 0")
    assert messages[1].startswith("mine/tiny: ")
    assert advised in " ".join(messages)
    caplog.clear()
    options = {key: value for key, value in followed.items() if key in {"scaling", "time_scaling"}}
    model = {key: value for key, value in followed.items() if key not in options}
    with caplog.at_level(logging.WARNING, "sparsenode.training.job"):
        assert train(**data, options=options, model=model) == ["finished"] * 2
    assert not [record for record in caplog.records if record.name == "sparsenode.training.job"]
