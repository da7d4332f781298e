import dataclasses
import json

import pytest

from sparsenode.settings import (
    MethodSettings,
    ModelSettings,
    RefitSettings,
    SolverSettings,
    WindowSettings,
    read_method_settings,
    read_model_settings,
)


def test_missing_keys_take_their_default() -> None:
    assert read_model_settings({}) == ModelSettings()
    assert read_model_settings({"order": 2}) == ModelSettings(order=2)
    assert read_model_settings({"solver": {"step": 0.1}}).solver == SolverSettings(step=0.1)


def test_settings_survive_json() -> None:
    settings = ModelSettings(
        order=2,
        hidden=(7, 8),
        velocity_hidden=(),
        solver=SolverSettings("dopri5", 0.5, 1e-6),
        windows=WindowSettings(5, 2),
        refit=RefitSettings(10, 0.1),
        clip=None,
    )
    read = read_model_settings(json.loads(json.dumps(dataclasses.asdict(settings))))
    assert read == settings
    assert isinstance(read.hidden, tuple)
    assert hash(read)


def test_null_switches_off() -> None:
    read = read_model_settings({"windows": None, "refit": None, "clip": None})
    assert (read.windows, read.refit, read.clip) == (None, None, None)


def test_the_datasets_of_an_entry_are_no_matter_of_training() -> None:
    assert read_model_settings({"datasets": ["krumsiek11"]}) == ModelSettings()


def test_unknown_settings_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"unknown model settings \['lerning_rate'\]"):
        read_model_settings({"lerning_rate": 0.1})
    with pytest.raises(TypeError, match="steps"):
        read_model_settings({"solver": {"steps": 0.1}})


def test_settings_of_a_method() -> None:
    read = read_method_settings({"regularizer": "pathreg", "strengths": [0.1, 1], "options": {"kappa": 0.2}})
    assert read == MethodSettings("pathreg", (0.1, 1), {"kappa": 0.2})
    assert read_method_settings({"regularizer": "none", "strengths": [0.0]}).options == {}
