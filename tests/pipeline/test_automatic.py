"""Automatic models in the workflow: what is frozen, what counts as trained, and what a plan shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsenode import versions
from sparsenode.data.contract import write_trajectories
from sparsenode.data.preprocess import assemble
from sparsenode.data.readers.arrays import read_arrays
from sparsenode.errors import UserError
from sparsenode.pipeline import configuration, plan, seed_blocks
from sparsenode.settings import FROZEN, read_model_settings
from sparsenode.training.job import train_members


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """A run of one small dataset with an automatic model of which the iterations are set by hand."""
    return configuration.check_configuration(
        {
            "results_dir": str(tmp_path / "results"),
            "run": {"datasets": ["small"], "models": ["mine"], "methods": ["none", "grouplasso", "l1"]},
            "datasets": {"small": {"source": "krumsiek11"}},
            "models": {"mine": {"auto": True, "iterations": 4}},
            "methods": {"none": {}, "grouplasso": {"strengths": ["0.1"]}, "l1": {"strengths": ["0.1"]}},
            "seeds": 1,
        }
    )


@pytest.fixture
def data(config: dict[str, Any]) -> Path:
    """Its preprocessed data: three damped rotations."""
    times = np.linspace(0.0, 3.0, 16)
    angles = np.arange(3)[:, None] + 2.0 * times
    values = np.stack((np.cos(angles), np.sin(angles)), axis=-1) * np.exp(-0.3 * times)[:, None]
    settings = {"validation": {"by": "trajectory", "share": 0.3}, "initial_state": {}, "feature_weight": "movement"}
    path = Path(config["results_dir"]) / "data" / "small.h5ad"
    path.parent.mkdir(parents=True)
    write_trajectories(assemble("small", read_arrays(values, times), settings, {}), path)
    return path


def freeze(config: dict[str, Any], data: Path, method: str) -> Path:
    output = Path(config["results_dir"]) / "settings" / "small" / "mine" / f"{method}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    configuration.freeze_settings(configuration.slice_settings(config, "small", "mine", method), output, data=data)
    return output


def test_choices_are_frozen_with_their_reasons_and_with_what_was_asked_for(config: dict[str, Any], data: Path) -> None:
    frozen = {method: json.loads(freeze(config, data, method).read_text()) for method in ("grouplasso", "l1")}
    for method, settings in frozen.items():
        assert set(settings) == {*FROZEN, "automatic"}
        model = read_model_settings(settings["model_settings"])
        assert model.iterations == 4
        choices = {key: (value, reason) for key, value, reason in settings["automatic"]["choices"]}
        assert choices["iterations"] == (4, "set by hand")
        assert choices["time_scale"][0] == model.time_scale
        assert configuration.as_asked(settings) == configuration.slice_settings(config, "small", "mine", method)
    networks = {method: settings["model_settings"]["network"] for method, settings in frozen.items()}
    assert networks == {"grouplasso": "per_target", "l1": "joint"}


def test_what_is_chosen_needs_data(config: dict[str, Any], tmp_path: Path) -> None:
    settings = configuration.slice_settings(config, "small", "mine", "none")
    with pytest.raises(UserError, match="the model mine is chosen from the data"):
        configuration.freeze_settings(settings, tmp_path / "frozen.json")
    assert not (tmp_path / "frozen.json").exists()


@pytest.mark.slow(reason="trains a model")
def test_a_trained_automatic_model_is_known_by_what_was_asked_for(config: dict[str, Any], data: Path) -> None:
    frozen = freeze(config, data, "none")
    folder = Path(config["results_dir"]) / "models" / "small" / "mine" / "none"
    folder.mkdir(parents=True)
    model, history = folder / "seeds_0-0.safetensors", folder / "seeds_0-0.history.parquet"
    train_members(data, frozen, [0], model, history, device="cpu")
    asked = configuration.slice_settings(config, "small", "mine", "none")
    assert seed_blocks.trained_blocks(folder, asked) == [(0, 0)]
    for changes in ({"auto": versions.AUTOMATIC + 1}, {"iterations": 5}, {"hidden": [3]}):
        other = {**asked, "model_settings": {**asked["model_settings"], **changes}}
        assert seed_blocks.trained_blocks(folder, other) == []
    assert not seed_blocks.is_trained_now(model, {**asked, "model_settings": {}})


def test_a_plan_takes_what_is_frozen_and_before_what_may_be_chosen(config: dict[str, Any], data: Path) -> None:
    before = plan.expected_settings(config, "small", "mine", "grouplasso")
    assert (before["iterations"], before["network"]) == (4, "per_target")
    frozen = json.loads(freeze(config, data, "grouplasso").read_text())
    assert plan.expected_settings(config, "small", "mine", "grouplasso") == frozen["model_settings"]
    assert plan.make_plan(config).training


def test_a_plan_shows_the_choices_of_preprocessed_data(config: dict[str, Any], data: Path) -> None:
    lines = plan.automatic_choices(config)
    assert "mine on small, chosen from its training and validation data (none):" in lines
    assert any(line.split() == ["iterations", "4", "set", "by", "hand"] for line in lines)
    # Only what differs is repeated for another method.
    after = lines[lines.index("with l1:") :]
    assert [line.split()[0] for line in after[1:]] == ["network", "hidden"]
    assert "with grouplasso:" not in lines


def test_a_plan_says_that_data_have_to_be_made_first(config: dict[str, Any]) -> None:
    lines = plan.automatic_choices(config)
    assert len(lines) == 2
    assert "small" in lines[1]
    assert "data/small.h5ad" in lines[1]


def test_too_few_observations_are_told_with_model_and_dataset(config: dict[str, Any], data: Path) -> None:
    settings = {"validation": {"by": "time_blocks", "share": 0.2}, "initial_state": {}, "feature_weight": "uniform"}
    values = np.array([[0.0], [1.0], [2.0], [1.5], [1.0], [0.2]])
    write_trajectories(assemble("small", read_arrays(values), settings, {}), data)
    with pytest.raises(UserError, match="mine on small: found 5 training and 1 validation observations"):
        freeze(config, data, "none")
