"""The training job: what it reads and writes, what it refuses, and how it goes on after it was killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sparsenode.data.preprocess import preprocess_dataset
from sparsenode.ensemble import load_ensemble
from sparsenode.errors import UserError
from sparsenode.training import train_members


def frozen(folder: Path, **changes: Any) -> Path:
    path = folder / "settings.json"
    content = {
        "dataset": "springs",
        "model": "small",
        "method": "l0",
        "model_settings": {"order": 2, "hidden": [4], "iterations": 4, "check_every": 2, "solver": {"step": 1.0}},
        "method_settings": {"regularizer": "l0", "strengths": [0.1, 1.0], "options": {}},
    }
    path.write_text(json.dumps(content | changes))
    return path


@pytest.fixture(scope="module")
def springs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("springs")
    options = {"oscillators": 3, "trajectories": 6, "test_trajectories": 1, "observations": 10}
    entry = {
        "source": "second_order",
        "options": options,
        "validation": {"by": "trajectory", "share": 0.2, "seed": 0},
        "initial_state": {"mean_of_first": 1},
        "feature_weight": "uniform",
    }
    preprocess_dataset("springs", entry, folder, folder / "springs.h5ad")
    return folder / "springs.h5ad"


def test_a_job_writes_a_model_that_says_what_it_was_made_with(springs: Path, tmp_path: Path) -> None:
    settings = frozen(tmp_path)
    output, history = tmp_path / "seeds_3-4.safetensors", tmp_path / "history.parquet"
    train_members(springs, settings, range(3, 5), output, history, device="cpu")
    ensemble = load_ensemble(output)
    assert ensemble.settings == json.loads(settings.read_text())
    assert [(member.strength, member.seed) for member in ensemble.members] == [(0.1, 3), (0.1, 4), (1.0, 3), (1.0, 4)]
    assert {"data_sha256", "torch_version", "sparsenode_version", "training_version"} <= ensemble.metadata.keys()
    table = pd.read_parquet(history)
    assert set(table["iteration"]) == {0, 2, 4}
    assert len(table) == 12


def test_settings_of_another_dataset_are_refused(springs: Path, tmp_path: Path) -> None:
    settings = frozen(tmp_path, dataset="other")
    with pytest.raises(UserError, match=r"holds the dataset 'springs', but .* is for 'other'"):
        train_members(springs, settings, [0], tmp_path / "m.safetensors", tmp_path / "h.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


def test_a_window_longer_than_every_trajectory_is_refused(springs: Path, tmp_path: Path) -> None:
    windows = {"order": 1, "hidden": [4], "windows": {"length": 50, "stride": 1}}
    settings = frozen(tmp_path, model_settings=windows)
    with pytest.raises(UserError, match="windows of length 50 do not fit: the longest stretch of train"):
        train_members(springs, settings, [0], tmp_path / "m.safetensors", tmp_path / "h.parquet")
