import json

import pytest

from sparsenode.errors import UserError
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
        solver=SolverSettings(scheme="dopri5", step=0.5, tolerance=1e-6),
        windows=WindowSettings(length=5, stride=2),
        refit=RefitSettings(iterations=10, learning_rate=0.1),
        clip=None,
    )
    read = read_model_settings(json.loads(settings.model_dump_json()))
    assert read == settings
    assert isinstance(read.hidden, tuple)
    assert hash(read)


def test_null_switches_off() -> None:
    read = read_model_settings({"windows": None, "refit": None, "clip": None})
    assert (read.windows, read.refit, read.clip) == (None, None, None)


def test_the_datasets_of_an_entry_are_no_matter_of_training() -> None:
    assert read_model_settings({"datasets": ["krumsiek11"]}) == ModelSettings()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            {"lerning_rate": 0.1},
            r"model_settings: unknown key: found \"lerning_rate\" \(did you mean 'learning_rate'\?\)",
        ),
        ({"solver": {"steps": 0.1}}, r"model_settings\.solver: unknown key: found \"steps\" \(did you mean 'step'\?\)"),
        ({"clip": "one"}, r"model_settings\.clip: found \"one\"; allowed: a number above 0 or null"),
        ({"hidden": 3}, r"model_settings\.hidden: found the number 3; allowed: a list, each an integer at least 1"),
        ({"order": 2, "standardize": True}, r"model_settings\.standardize: found true, with order: 2; allowed: false"),
    ],
)
def test_wrong_settings_are_refused_by_name(values: dict, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        read_model_settings(values)


def test_settings_of_a_method() -> None:
    read = read_method_settings({"regularizer": "pathreg", "strengths": [0.1, 1], "options": {"kappa": 0.2}})
    assert read == MethodSettings(regularizer="pathreg", strengths=(0.1, 1), options={"kappa": 0.2})
    assert read_method_settings({"regularizer": "none", "strengths": [0.0]}).options == {}
    with pytest.raises(UserError, match=r"method_settings\.strengths: missing; allowed: a list with 1 or more entries"):
        read_method_settings({"regularizer": "none"})
