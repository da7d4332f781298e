"""Training where entries are missing: against the formula of the documents, and against what complete data give."""

from __future__ import annotations

from typing import Any

import anndata
import numpy as np
import pytest
import torch

from sparsenode.data.missing import mean_observed
from sparsenode.data.windows import training_rows
from sparsenode.dynamics.solvers import dense_output_matrix, factor_loss
from sparsenode.ensemble.starts import given_starts
from sparsenode.errors import UserError
from sparsenode.settings import (
    BootstrapSettings,
    MethodSettings,
    ModelSettings,
    SolverSettings,
    WindowSettings,
)
from sparsenode.training import problems as problems_module
from sparsenode.training.loop import train
from sparsenode.training.problems import bootstrap_multipliers, make_problems, training_standards

SETTINGS = ModelSettings(solver=SolverSettings(step=0.5))


def with_holes(data: anndata.AnnData, share: float, seed: int = 0) -> anndata.AnnData:
    """A copy of which a share of the entries is missing, no observation as a whole and no start."""
    adata = data.copy()
    holes = np.random.default_rng(seed).random(adata.shape) < share
    holes[:, 0] &= ~holes.all(axis=1)
    holes[adata.obs["time"] == 0.0] = False
    adata.X[holes] = np.nan
    return adata


@pytest.mark.parametrize("windows", [None, WindowSettings(length=4, stride=2)])
@pytest.mark.parametrize("bootstrap", [None, BootstrapSettings(block=2)])
@pytest.mark.parametrize("normalization", ["relative", "study"])
def test_the_loss_is_that_of_the_documents(rotation: anndata.AnnData, windows: Any, bootstrap: Any, normalization: str):
    """sum_v f_v / V * sum_rt w_rt m_rtv e_rtv^2 / sum_rt w_rt m_rtv, with the weights w_rt of a row adding up to 1."""
    data = with_holes(rotation, 0.4)
    rng = np.random.default_rng(0)
    data.obs["weight"] = rng.uniform(0.2, 3.0, data.n_obs)
    data.var["weight"] = [0.3, 2.0]
    settings = SETTINGS.changed(windows=windows, bootstrap=bootstrap, normalization=normalization)
    ((_, problem),) = make_problems(data, settings, [0, 3])
    problem = problem.of_seeds([3, 3])
    rows = training_rows(data, windows=None if windows is None else (4, 2), smoothing=0, order=1)
    intervals = problem.grid.intervals
    nodes = torch.as_tensor(rng.normal(size=(2, len(rows.times), 2 * (intervals + 1), 2)), dtype=torch.float32)
    drawn = np.ones(data.n_obs) if bootstrap is None else bootstrap_multipliers(data, 2, [3])[3]

    def loss_of(predict: Any, multipliers: np.ndarray) -> float:
        errors, weights = np.zeros(2), np.zeros(2)
        for row, (observed, indices) in enumerate(zip(rows.observed, rows.observations, strict=True)):
            predicted = predict(row)
            for time, index in enumerate(indices):
                weight = rows.weights[row][time] / rows.weights[row].sum()
                for variable in range(2):
                    if np.isfinite(observed[time, variable]):
                        error = (predicted[time, variable] - observed[time, variable]) ** 2
                        errors[variable] += weight * multipliers[index] * error
                        weights[variable] += weight
        return float(np.array([0.3, 2.0]) @ (errors / weights) / 2)

    for member in range(2):

        def forecast(row: int, member: int = member) -> np.ndarray:
            matrix = dense_output_matrix(rows.times[row] / float(problem.grid.step[row]), intervals)
            return matrix @ nodes[member, row].double().numpy()

        expected = loss_of(forecast, drawn)
        if normalization == "relative":
            expected /= loss_of(lambda row: np.tile(rows.initial[row], (len(rows.times[row]), 1)), np.ones(data.n_obs))
        assert problem.loss(nodes)[member].item() == pytest.approx(expected, rel=2e-4)


def test_with_nothing_missing_the_loss_keeps_its_bits(rotation: anndata.AnnData) -> None:
    """Of complete data the factors are computed as they always were, and no mask takes part."""
    rows = training_rows(rotation, windows=None, smoothing=0, order=1)
    positions, per = [times / 0.25 for times in rows.times], np.array([0.3, 2.0])
    loss = factor_loss(positions, rows.observed, rows.weights, per, 12)
    assert loss.columns is None
    left, singular, right = np.linalg.svd(
        np.sqrt(rows.weights[0])[:, None] * dense_output_matrix(positions[0], 12), full_matrices=False
    )
    keep = singular > 1e-12 * singular.max()
    factor = torch.as_tensor(singular[keep, None] * right[keep], dtype=torch.float32)
    assert torch.equal(loss.factor[0], factor)
    nodes = torch.randn(4, 3, 26, 2, generator=torch.Generator().manual_seed(0))
    projected = torch.as_tensor(
        np.stack([left[:, keep].T @ (np.sqrt(weight)[:, None] * values) for weight, values in
                  zip(rows.weights, rows.observed, strict=True)]), dtype=torch.float32)  # fmt: skip
    squares = (torch.matmul(factor[None], nodes) - projected).square().sum((1, 2))
    expected = (squares @ torch.as_tensor(per, dtype=torch.float32) + loss.constant.sum(-1)) / loss.scale
    assert torch.equal(loss(nodes), expected)


def test_standards_and_starts_are_those_of_observed_entries(rotation: anndata.AnnData) -> None:
    data = with_holes(rotation, 0.4)
    values = data.X.astype(float)
    np.testing.assert_allclose(
        training_standards(data), [np.nanmean(values, axis=0), np.nanstd(values, axis=0)], rtol=1e-12
    )
    np.testing.assert_allclose(mean_observed(values), np.nanmean(values, axis=0))
    data.obs["group"] = data.obs["trajectory"]
    starts = given_starts(data)
    assert np.isfinite(starts.errors).all()
    assert (starts.errors > 0).all()


CASES = {
    "joint": {},
    "per_target": {"network": "per_target"},
    "windows": {"windows": WindowSettings(length=4, stride=2, batch=5), "smoothing": 1, "whole_share": 0.5},
    "second order": {"order": 2, "smoothing": 1},
    "bootstrap": {"bootstrap": BootstrapSettings(block=1)},
    "noise": {"initial_noise": 1.0},
    "standardized": {"standardize": True},
}


@pytest.mark.slow(reason="trains several models")
@pytest.mark.parametrize("case", CASES)
def test_every_kind_of_model_learns(rotation: anndata.AnnData, case: str) -> None:
    data = with_holes(rotation, 0.3)
    settings = ModelSettings(
        hidden=(6,), iterations=60, learning_rate=0.03, solver=SolverSettings(step=0.5), check_every=20
    ).changed(**CASES[case])
    problems = make_problems(data, settings, [0, 1])
    result = train(problems, 2, settings, MethodSettings(regularizer="none", strengths=(0.0,)), (0, 1))
    assert [member.status for member in result.members] == ["finished"] * 2
    losses = np.array([row["loss"] for row in result.history if row["seed"] == 0])
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


@pytest.mark.slow(reason="trains several models")
def test_a_linear_system_is_recovered_about_as_well(rotation: anndata.AnnData) -> None:
    settings = ModelSettings(hidden=(), iterations=250, learning_rate=0.05, solver=SolverSettings(step=0.25))
    wrong = []
    for share in (0.0, 0.3):
        problems = make_problems(with_holes(rotation, share), settings)
        result = train(problems, 2, settings, MethodSettings(regularizer="none", strengths=(0.0,)), (0,))
        matrix = result.parameters.weights[0][0].numpy()
        wrong.append(np.abs(matrix - [[-0.2, 1.0], [-1.0, -0.2]]).max())
    assert wrong[0] < 0.02
    assert wrong[1] < 0.03


def test_factors_of_many_patterns_that_do_not_fit_are_refused(
    rotation: anndata.AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any is made: what suffices for complete data may not suffice for two factors a row."""
    needed = 3 * 8 * 13 * 26 * 2  # three factors of 13 x 26 numbers, twice
    monkeypatch.setattr(problems_module, "usable_memory", lambda _: 8 * 3 * 13 * 26 + 8 * 13 * 26 + needed)
    settings = SETTINGS.changed(solver=SolverSettings(step=0.25))
    make_problems(rotation, settings)
    with pytest.raises(UserError, match=r"solver\.step"):
        make_problems(with_holes(rotation, 0.4), settings)
