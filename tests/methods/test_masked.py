"""Training with the edges of a network only."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sparsenode.ensemble.members import Ensemble, path_strengths
from sparsenode.errors import UserError
from sparsenode.methods import EdgeMask, get_method
from sparsenode.settings import MethodSettings, read_model_settings
from sparsenode.training import run as runs
from sparsenode.training.loop import train
from sparsenode.training.problems import make_problems

PRIOR = np.array([[0, 1, 0], [0, 0, -1], [0, 0, 0]])  # (source, target)
METHOD = MethodSettings(regularizer="masked", strengths=(0.0,), options={"prior": "tested"})


def make_run(order: int, hidden: list[int], **settings):
    model = read_model_settings({"network": "per_target", "order": order, "hidden": hidden, **settings})
    task = runs.make_task(3, model, METHOD, [0, 1], torch.device("cpu"), prior=PRIOR)
    return task, runs.start(task, [0, 1])


@pytest.mark.parametrize(("order", "hidden"), [(1, [4]), (1, []), (1, [4, 3]), (2, [4])])
def test_only_edges_of_the_prior_and_the_variables_themselves_have_paths(order, hidden):
    task, run = make_run(order, hidden)
    paths = path_strengths(run.parameters, task.field).numpy()
    expected = (PRIOR != 0) | np.eye(3, dtype=bool)
    assert ((paths != 0) == expected).all()


@pytest.mark.parametrize("engine", ["plain", "compiled"])
@pytest.mark.parametrize("changes", [{}, {"standardize": True, "decay": 0.5}, {"refit": {"iterations": 3}}])
def test_what_is_masked_has_exactly_no_influence_after_training(rotation, engine, changes):
    """x1 acts on x2, and x2 only on itself and on nothing else, whatever the data say."""
    settings = read_model_settings(
        {"network": "per_target", "hidden": [4], "solver": {"step": 1.0}, "iterations": 12, **changes}
    )
    result = train(make_problems(rotation, settings), 2, settings, METHOD, (0, 1), prior=PRIOR[:2, :2], engine=engine)
    assert all(member.status == "finished" for member in result.members)
    frozen = {
        "dataset": "rotation",
        "model": "m",
        "method": "masked",
        "model_settings": settings.model_dump(mode="json"),
    }
    frozen["method_settings"] = METHOD.model_dump(mode="json")
    ensemble = Ensemble(frozen, result.members, tuple(rotation.var_names), {}, result.parameters)
    states = np.array([[0.3, 0.5], [0.3, -2.0], [7.0, 0.5]])
    rates = ensemble.rates(states)
    np.testing.assert_array_equal(rates[:, 0, 0], rates[:, 1, 0])
    assert (rates[:, 0, 1] != rates[:, 2, 1]).all()
    assert (ensemble.path_matrix()[:, 1, 0] == 0).all()
    start = make_run_of(settings)
    moved = [(after != before).any() for after, before in zip(result.parameters.weights, start.weights, strict=True)]
    assert all(moved)


def make_run_of(settings):
    task = runs.make_task(2, settings, METHOD, [0, 1], torch.device("cpu"), prior=PRIOR[:2, :2],
                          standards=np.array([[0.0, 0.0], [1.0, 1.0]]) if settings.standardize else None)  # fmt: skip
    return runs.fresh_parameters(task, [0, 1])


def test_the_method_takes_no_strength_and_needs_one_network_per_target():
    method = get_method("masked")
    assert issubclass(method, EdgeMask)
    assert method.strength is None
    model = read_model_settings({"network": "joint", "hidden": [4]})
    with pytest.raises(UserError, match="masked needs one network per target"):
        runs.make_task(3, model, METHOD, [0], torch.device("cpu"), prior=PRIOR)
    model = read_model_settings({"network": "per_target", "hidden": [4]})
    with pytest.raises(UserError, match="takes a prior network"):
        runs.make_task(3, model, METHOD, [0], torch.device("cpu"))
