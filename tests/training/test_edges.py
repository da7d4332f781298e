"""Penalties on edges: the step as the design writes it, what it keeps, and that it finds a known network."""

from __future__ import annotations

from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.linalg import expm

from sparsenode.dynamics import network
from sparsenode.errors import UserError
from sparsenode.methods import make_method
from sparsenode.settings import MethodSettings, ModelSettings, SolverSettings
from sparsenode.training import run as runs
from sparsenode.training import step
from sparsenode.training.loop import TrainingResult, train
from sparsenode.training.problems import Problem, make_problems

SMALL = ModelSettings(
    network="per_target",
    hidden=(4,),
    solver=SolverSettings(step=0.5),
    iterations=60,
    check_every=20,
    learning_rate=0.02,
    warm_up=0.3,
    clip=None,
)
SYSTEM = np.array([[-0.5, 1.0, 0.0], [0.0, -0.7, -1.2], [0.0, 0.0, -0.4]])
"""x' = x A, A (source, target): x1 drives x2, which represses x3."""
CHAIN = [(0, 1), (1, 2)]


@pytest.fixture(scope="module")
def chain() -> anndata.AnnData:
    """Trajectories of the chain without noise, from starts that differ in every variable."""
    times = np.linspace(0.0, 1.0, 5)
    starts = np.random.default_rng(0).uniform(-1.0, 1.0, size=(20, 3))
    names = [f"t{number}" for number in range(len(starts))]
    values = np.concatenate([[start @ expm(SYSTEM * time) for time in times] for start in starts])
    obs = pd.DataFrame(
        {
            "trajectory": pd.Categorical(np.repeat(names, len(times))),
            "time": np.tile(times, len(starts)),
            "split": pd.Categorical(["train"] * len(values)),
            "phase": pd.Categorical(["fit"] * len(values)),
            "weight": 1.0,
        },
        index=[str(number) for number in range(len(values))],
    )
    adata = anndata.AnnData(values.astype(np.float32), obs=obs)
    adata.var_names = ["x1", "x2", "x3"]
    adata.var["weight"] = 1.0
    initial = pd.DataFrame(starts, index=names, columns=adata.var_names)
    adata.uns["sparsenode"] = {"initial_states": initial, "initial_state_count": 1}
    return adata


@pytest.fixture(scope="module")
def problems(chain: anndata.AnnData) -> list[tuple[float, Problem]]:
    return make_problems(chain, SMALL)


def by_edge(weight: torch.Tensor, order: int) -> np.ndarray:
    """Weights (member, target, order x source, unit) by edge, (member, target, source, order x unit), in float64."""
    return np.concatenate(np.split(weight.detach().numpy().astype(np.float64), order, axis=2), axis=3)


@pytest.mark.parametrize("cooling", [False, True])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("normalization", ["relative", "study"])
@pytest.mark.parametrize("method", ["grouplasso", "lassonet"])
def test_a_step_on_edges_is_that_of_the_design(
    chain: anndata.AnnData, method: str, normalization: str, order: int, cooling: bool
) -> None:
    """Adam with its second moment averaged over each edge, then the proximal step at step size x strength x weight.

    Written out in float64, from the gradients on, over three steps whose gradients differ.
    """
    record, first_moment, second_moment, tiny = make_method(method, {}), 0.9, 0.999, 1e-8
    settings = SMALL.changed(normalization=normalization, order=order, velocity_hidden=(3,))
    ((_, problem),) = make_problems(chain, settings)
    given = MethodSettings(regularizer=method, strengths=(0.2, 2.0), options={})
    task = runs.make_task(3, settings, given, [0, 1], torch.device("cpu"), problem.given)
    run = runs.start(task, range(4))
    others = 1.0 - np.eye(3)
    tensors = [run.parameters.weights[0], *run.parameters.skip]
    edges = [by_edge(tensor, order) for tensor in tensors]
    size = np.linalg.norm(edges[-1], axis=-1)  # of the skip, where there is one
    scale = (size * others).sum((1, 2)) if normalization == "relative" else np.full(4, 9.0)
    weights = np.random.default_rng(1).uniform(0.2, 3.0, (4, 3, 3)) * others
    run.edge_weights = [torch.tensor(weights, dtype=torch.float32)]
    share = np.array([1.0, 0.5, 0.1, 0.25]) if cooling else np.ones(4)
    strength = np.array([0.2, 0.2, 2.0, 2.0])
    moments = [(np.zeros_like(edge), np.zeros_like(edge)) for edge in edges]
    for number in range(1, 4):
        run.optimizer.zero_grad()
        step.data_loss(run, task, problem, number, None).sum().backward()
        gradients = [by_edge(tensor.grad, order) for tensor in tensors]
        edges = [by_edge(tensor, order) for tensor in tensors]
        told = torch.tensor(share, dtype=torch.float32) if cooling else None
        step.step(run, task, torch.tensor(strength, dtype=torch.float32), refitting=False, share=told)
        moments = [
            (first_moment * m + (1 - first_moment) * g, second_moment * v + (1 - second_moment) * g**2)
            for (m, v), g in zip(moments, gradients, strict=True)
        ]
        mean = np.concatenate([v for _, v in moments], axis=-1).mean(-1) / (1 - second_moment**number)
        step_size = 0.02 / (np.sqrt(mean) + tiny) * share[:, None, None]
        moved = [
            edge - step_size[..., None] * m / (1 - first_moment**number)
            for edge, (m, _) in zip(edges, moments, strict=True)
        ]
        threshold = step_size * strength[:, None, None] * weights / scale[:, None, None]
        assert (threshold[:, others == 0] == 0).all()
        if method == "grouplasso":
            norm = np.linalg.norm(moved[0], axis=-1)
            wanted = [moved[0] * (np.maximum(norm - threshold, 0.0) / norm)[..., None]]
            assert (threshold > 1e-3 * norm).any()
        else:
            found = record.proximal(*map(torch.tensor, (*moved, threshold)))
            wanted = [tensor.numpy() for tensor in found]
        for tensor, expected in zip(tensors, wanted, strict=True):
            np.testing.assert_allclose(by_edge(tensor, order), expected, rtol=2e-4, atol=2e-6)


def test_what_a_variable_does_to_itself_is_not_weighed(problems: list[tuple[float, Problem]]) -> None:
    given = MethodSettings(regularizer="grouplasso", strengths=(0.1,), options={"adaptive": 2.0})
    task = runs.make_task(3, SMALL, given, [0, 1], torch.device("cpu"), problems[0][1].given)
    run = runs.start(task, range(2))
    runs.reweigh_edges(run, task)
    (weights,) = run.edge_weights
    own = torch.eye(3, dtype=torch.bool)
    assert (weights[:, own] == 0).all()
    norm = run.parameters.weights[0].detach().square().sum(-1).sqrt()
    relative = norm / (norm * ~own).sum(-1, keepdim=True) * 2
    torch.testing.assert_close(weights[:, ~own], relative[:, ~own] ** -2)


def trained(
    problems: list[tuple[float, Problem]],
    method: str,
    strengths: tuple[float, ...],
    *,
    seeds: tuple[int, ...] = (0,),
    options: dict[str, float] | None = None,
    **changes: Any,
) -> TrainingResult:
    return train(
        problems,
        3,
        SMALL.changed(**changes),
        MethodSettings(regularizer=method, strengths=strengths, options=options or {}),
        seeds,
    )


@pytest.mark.slow(reason="trains several models")
@pytest.mark.parametrize("hierarchy", [0.5, 10.0])
def test_the_hierarchy_holds_after_training(problems: list[tuple[float, Problem]], hierarchy: float) -> None:
    parameters = trained(problems, "lassonet", (0.01, 1.0), options={"hierarchy": hierarchy}).parameters
    largest = parameters.weights[0].abs().amax(-1)
    bound = hierarchy * parameters.skip[0].norm(dim=-1)
    assert (largest <= bound * (1 + 1e-5)).all()
    assert torch.isclose(largest, bound).any()  # some weights would be larger


def edges_of(result: TrainingResult) -> list[list[tuple[int, int]]]:
    """Edges (source, target) of each member between variables, by paths that are not exactly zero."""
    paths = network.path_matrix(result.parameters).detach() * (1.0 - torch.eye(3))
    return [[(source, target) for source, target in one.nonzero().tolist()] for one in paths]


@pytest.mark.slow(reason="trains an ensemble")
def test_the_adaptive_group_lasso_finds_a_known_chain(problems: list[tuple[float, Problem]]) -> None:
    """Exactly its two edges, in their direction, at strengths apart by ten; what drives itself stays."""
    fast = {"iterations": 120, "learning_rate": 0.1, "warm_up": 0.4}
    result = trained(problems, "grouplasso", (0.1, 1.0), seeds=(0, 1), options={"adaptive": 2.0}, **fast)
    assert edges_of(result) == [CHAIN] * 4
    last = [row["loss"] for row in result.history[-4:]]
    assert max(last) < 0.05  # of holding the start
    assert (network.path_matrix(result.parameters).diagonal(dim1=1, dim2=2) > 0).all()


@pytest.mark.slow(reason="trains several models")
@pytest.mark.parametrize(("method", "strengths"), [("grouplasso", (0.0, 0.3, 3.0)), ("lassonet", (0.0, 3.0, 30.0))])
def test_fewer_edges_are_left_at_larger_strengths(
    problems: list[tuple[float, Problem]], method: str, strengths: tuple[float, ...]
) -> None:
    counts = [len(edges) for edges in edges_of(trained(problems, method, strengths))]
    assert counts[0] == 6
    assert counts[0] > counts[1] > counts[2]


@pytest.mark.slow(reason="trains several models")
@pytest.mark.parametrize("form", ["joint", "per_target"])
def test_paths_are_weaker_at_larger_strengths_of_cnode(problems: list[tuple[float, Problem]], form: str) -> None:
    result = trained(problems, "cnode", (0.0, 0.01, 0.1, 1.0), network=form)
    strength = network.path_matrix(result.parameters).mean((1, 2))
    assert (strength.diff() < 0).all()
    assert strength[-1] < 0.5 * strength[0]


@pytest.mark.parametrize(("method", "options"), [("lassonet", {}), ("grouplasso", {"adaptive": 2.0})])
def test_what_is_learned_in_the_warm_up_takes_one(
    problems: list[tuple[float, Problem]], method: str, options: dict[str, float]
) -> None:
    with pytest.raises(UserError, match=rf"`warm_up` of the model is 0, with the method {method}, which .* above 0"):
        trained(problems, method, (0.1,), options=options, warm_up=0.0)


def test_the_plain_group_lasso_takes_no_warm_up(problems: list[tuple[float, Problem]]) -> None:
    result = trained(problems, "grouplasso", (0.1,), iterations=5, warm_up=0.0)
    assert result.members[0].status == "finished"
