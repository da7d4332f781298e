"""The compiled kernel in training: it gives what the plain engine gives, and is taken where it pays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import torch

from sparsenode.dynamics.fused import library
from sparsenode.dynamics.network import effective_layers
from sparsenode.ensemble.model import initialize, make_field
from sparsenode.errors import InterruptedTrainingError, UserError
from sparsenode.settings import (
    BootstrapSettings,
    MatchingSettings,
    MethodSettings,
    ModelSettings,
    RefitSettings,
    SolverSettings,
    WindowSettings,
)
from sparsenode.training import engine
from sparsenode.training.checkpoints import Checkpoints
from sparsenode.training.loop import TrainingResult, train
from sparsenode.training.matching import make_matching
from sparsenode.training.problems import bootstrap_of_seeds, make_problems

SETTINGS = ModelSettings(
    hidden=(6,), solver=SolverSettings(step=1.0), iterations=12, check_every=1, learning_rate=0.02, warm_up=0.2
)
VARIANTS: dict[str, dict[str, Any]] = {
    "joint": {"hidden": (5, 4), "activation": "softplus"},
    "targets": {"network": "per_target", "decay": 0.5, "activation": "tanh"},
    "standards": {"network": "per_target", "standardize": True},
    "second order": {"order": 2, "decay": 1.0, "velocity_hidden": (3,), "time_scale": 0.5},
    "bootstrap": {
        "bootstrap": BootstrapSettings(block=2),
        "windows": WindowSettings(length=4, stride=2, batch=5),
        "whole_share": 0.4,
    },
    "slopes": {"matching": MatchingSettings(share=0.5), "network": "per_target"},
    "integrals": {"matching": MatchingSettings(share=1.0, form="integrals", interval=2), "hidden": (4, 3)},
    "curvatures": {
        "matching": MatchingSettings(share=0.5, form="integrals", interval=2),
        "bootstrap": BootstrapSettings(block=2),
        "order": 2,
        "decay": 1.0,
    },
    "noise and refit": {"initial_noise": 1.0, "refit": RefitSettings(iterations=5, learning_rate=0.01)},
}


def trained(adata: anndata.AnnData, settings: ModelSettings, method: str = "pathreg", **named: Any) -> TrainingResult:
    strengths = MethodSettings(regularizer=method, strengths=(0.0, 0.1))
    problems = make_problems(adata, settings, (0, 1))
    matching = make_matching(adata, settings, bootstrap_of_seeds(adata, settings, (0, 1)))
    return train(problems, adata.n_vars, settings, strengths, (0, 1), matching=matching, **named)


@pytest.fixture(autouse=True)
def _needs_a_compiler() -> None:
    if library.find_compiler() is None:
        pytest.skip("there is no C compiler here")


@pytest.mark.slow(reason="trains by both engines")
@pytest.mark.parametrize("missing", [False, True], ids=["complete", "missing"])
@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_both_engines_train_alike(rotation: anndata.AnnData, changes: dict[str, Any], missing: bool) -> None:
    settings, adata = SETTINGS.changed(**changes), rotation.copy()
    if missing:
        holes = np.random.default_rng(0).random(adata.shape) < 0.1
        adata.X = np.where(holes & (adata.obs["time"].to_numpy() > 0)[:, None], np.nan, adata.X)
    plain, compiled = (trained(adata, settings, engine=name) for name in ("plain", "compiled"))
    losses = [[row["loss"] for row in result.history] for result in (plain, compiled)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-3)
    np.testing.assert_allclose(losses[1][:4], losses[0][:4], rtol=1e-5)
    assert [member.status for member in compiled.members] == [member.status for member in plain.members]


def test_a_compiled_training_in_pieces_is_the_whole_one(rotation: anndata.AnnData, tmp_path: Path) -> None:
    whole = trained(rotation, SETTINGS, engine="compiled")
    pieces = 0
    while True:
        calls = iter(range(10**6))
        try:
            result = trained(
                rotation,
                SETTINGS,
                engine="compiled",
                checkpoints=Checkpoints(tmp_path, {"method": "pathreg"}),
                interrupted=lambda calls=calls: 15 if next(calls) == 5 else 0,
            )
            break
        except InterruptedTrainingError:
            pieces += 1
    assert pieces == 2
    for name, tensor in whole.parameters.named().items():
        assert torch.equal(tensor, result.parameters.named()[name]), name


def test_a_member_that_diverges_changes_no_bit_of_another(rotation: anndata.AnnData) -> None:
    healthy, both = (
        train(
            make_problems(rotation, SETTINGS),
            2,
            SETTINGS.changed(clip=None),
            MethodSettings(regularizer="l0", strengths=strengths),
            (0,),
            engine="compiled",
        )
        for strengths in ((0.1,), (0.1, 1e39))
    )
    assert [member.status for member in both.members] == ["finished", "diverged"]
    for name, tensor in healthy.parameters.named().items():
        torch.testing.assert_close(both.parameters.named()[name][:1], tensor, rtol=1e-5, atol=1e-6, msg=name)


def test_short_trainings_take_the_plain_engine(rotation: anndata.AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(engine.library, "load", asked.append)
    trained(rotation, SETTINGS)
    assert not asked
    short = trained(rotation, SETTINGS).parameters
    for name, tensor in trained(rotation, SETTINGS, engine="plain").parameters.named().items():
        assert torch.equal(tensor, short.named()[name])


def test_long_trainings_take_the_kernel_and_do_without_it_where_there_is_none(
    rotation: anndata.AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(engine.library, "load", asked.append)  # gives None: there is none
    monkeypatch.setattr(engine.costs, "COMPILATION_SECONDS", 0.0)
    trained(rotation, SETTINGS)
    assert asked == ["float32"]
    trained(rotation, SETTINGS.changed(network="biological"), "l1")
    trained(rotation, SETTINGS.changed(solver=SolverSettings(step=1.0, scheme="dopri5"), iterations=1))
    assert asked == ["float32"]


def test_the_kernel_is_refused_where_it_cannot_be_had(rotation: anndata.AnnData) -> None:
    with pytest.raises(UserError, match="compiled engine was asked for"):
        trained(rotation, SETTINGS.changed(network="biological"), "l1", engine="compiled")


WIDE = ("integrals", 1, (200_000,), "joint", 0.0)
"""A network whose records are not all kept for the reverse pass."""


@pytest.mark.parametrize(
    ("form", "order", "hidden", "network", "holes"),
    [
        WIDE,
        *(
            (form, *net, holes)
            for form in ("slopes", "integrals")
            for net in ((1, (6,), "per_target"), (2, (5, 4), "joint"))
            for holes in (0.0, 0.1)
        ),
    ],
)
def test_gradients_of_matching_are_those_of_the_plain_engine(
    rotation: anndata.AnnData, form: str, order: int, hidden: tuple[int, ...], network: str, holes: float
) -> None:
    changes: dict[str, Any] = {"order": order, "hidden": hidden, "network": network, "decay": 0.5}
    settings = SETTINGS.changed(**changes, matching=MatchingSettings(form=form, interval=2))
    adata = rotation.copy()
    adata.X = np.where(np.random.default_rng(0).random(adata.shape) < holes, np.nan, adata.X)
    matching = make_matching(adata, settings)
    assert matching is not None
    double = {
        name: value.double()
        for name, value in vars(matching).items()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
    }
    matching = replace(matching, **double)
    field = make_field(settings, 2)
    parameters = initialize(settings, 2, (0, 1), gated=False).map(lambda tensor: tensor.double().requires_grad_())
    trained_tensors = [*parameters.weights, *parameters.biases, *parameters.decay]
    results = []
    for compiled in (False, True):
        losses = matching.loss(field, effective_layers(parameters, (), "tanh"), compiled=compiled)
        weighted = (losses * torch.tensor([1.0, 2.0])).sum()
        results.append((losses.detach(), torch.autograd.grad(weighted, trained_tensors)))
    torch.testing.assert_close(results[1][0], results[0][0], rtol=1e-12, atol=0)
    for own, reference in zip(results[1][1], results[0][1], strict=True):
        torch.testing.assert_close(own, reference, rtol=1e-9, atol=1e-12)
