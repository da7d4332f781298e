"""Learned starts: what is told beyond noise, how it is forgotten, and that training recovers them."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsenode.dynamics.solvers import dense_output_matrix
from sparsenode.ensemble.members import Ensemble, load_ensemble, save_ensemble
from sparsenode.ensemble.starts import deviation_nodes, deviations, given_starts, nearest_groups, shrinkage
from sparsenode.errors import UserError
from sparsenode.settings import FROZEN, MethodSettings, ModelSettings, RefitSettings, SolverSettings
from sparsenode.training.loop import TrainingResult, train
from sparsenode.training.problems import make_problems

FEATURES = 6
RATE = 2.0
SETTINGS = ModelSettings(
    hidden=(8,),
    decay=RATE,
    starts="learned",
    solver=SolverSettings(step=0.25),
    iterations=200,
    learning_rate=0.03,
    check_every=100,
)
NONE = MethodSettings(regularizer="none", strengths=(0.0,), options={})


def two_groups(donors: int = 1, noise: float = 0.3, seed: int = 0) -> anndata.AnnData:
    """Groups `a` and `b` that relax from starts of their own to 1, observed with noise; one donor more is test data."""
    generator = np.random.default_rng(seed)
    starts = {"a": np.linspace(0.0, 3.0, FEATURES), "b": np.linspace(2.0, -1.0, FEATURES)}
    time = np.linspace(0.0, 1.0, 200)
    parts, names, groups, splits = [], [], [], []
    for donor in range(donors + 1):
        for group, start in starts.items():
            course = 1.0 + (start - 1.0) * np.exp(-RATE * time)[:, None]
            parts.append(course + noise * generator.standard_normal(course.shape))
            names.append(f"{donor} {group}")
            groups.append(group)
            splits.append("train" if donor < donors else "test")
    count = len(time)
    obs = pd.DataFrame(
        {
            "trajectory": pd.Categorical(np.repeat(names, count), categories=names),
            "time": np.tile(time, len(parts)),
            "split": np.repeat(splits, count),
            "phase": "fit",
            "weight": 1.0,
            "group": np.repeat(groups, count),
        },
        index=[str(number) for number in range(count * len(parts))],
    )
    adata = anndata.AnnData(np.concatenate(parts), obs=obs)
    adata.var["weight"] = 1.0
    means = pd.DataFrame([part[:4].mean(axis=0) for part in parts], index=names, columns=list(adata.var_names))
    adata.uns["sparsenode"] = {"initial_states": means, "initial_state_count": 4}
    return adata


@cache
def learned_from(noise: float) -> Ensemble:
    return trained(two_groups(noise=noise))[1]


def trained(adata: anndata.AnnData, settings: ModelSettings = SETTINGS) -> tuple[TrainingResult, Ensemble]:
    problems = make_problems(adata, settings)
    result = train(problems, FEATURES, settings, NONE, [0])
    given_ones = problems[-1][1].given
    assert given_ones is not None
    frozen = {
        "model_settings": {"decay": RATE, "starts": "learned", "hidden": [8], "solver": {"step": 0.25}},
        "method_settings": {"regularizer": "none", "strengths": [0.0], "options": {}},
    }
    return result, Ensemble(frozen, result.members, tuple(adata.var_names), {}, result.parameters, given_ones.groups)


def test_no_more_is_kept_than_noise_alone_explains() -> None:
    generator = torch.Generator().manual_seed(0)
    errors = torch.rand(2000, generator=generator) + 0.1
    noise = errors * torch.randn(50, 2000, generator=generator)
    shares = shrinkage(noise, errors)[:, 0]
    assert shares.max() < 0.15
    assert (shares == 0).sum() > 15
    assert shrinkage(100 * noise, errors).min() > 0.999


def test_the_share_kept_is_that_of_james_and_stein() -> None:
    differences, errors = torch.tensor([3.0, -1.0, 2.0, 0.5]), torch.tensor([1.0, 0.5, 2.0, 0.0])
    squares = 9.0 + 4.0 + 1.0  # a variable without noise says nothing of what noise explains
    assert shrinkage(differences, errors).item() == pytest.approx(1.0 - 1.0 / squares)
    assert shrinkage(torch.zeros(5), torch.ones(5)).item() == 0.0
    assert shrinkage(torch.tensor([0.1, 0.1]), torch.ones(2)).item() == 1.0  # as of fewer than three variables


def test_shrinking_errs_less_than_keeping_all_or_nothing() -> None:
    generator = np.random.default_rng(1)
    errors = torch.ones(400)
    for size in (0.3, 1.0, 3.0):
        truth = torch.as_tensor(size * generator.standard_normal((20, 400)))
        seen = truth + torch.as_tensor(generator.standard_normal((20, 400)))
        risk = float((shrinkage(seen, errors.double()) * seen - truth).square().mean())
        expected = size**2 / (1.0 + size**2)
        assert risk == pytest.approx(expected, rel=0.1)
        assert risk < min(1.0, size**2)


@pytest.mark.slow(reason="draws many examples")
@given(scale=st.floats(0.1, 10.0), factor=st.floats(1.0, 5.0))
def test_the_share_grows_with_the_difference(scale: float, factor: float) -> None:
    differences, errors = scale * torch.linspace(-1.0, 2.0, 12), torch.ones(12)
    share, larger = shrinkage(differences, errors), shrinkage(factor * differences, errors)
    assert 0.0 <= float(share) <= float(larger) <= 1.0


def test_deviations_belong_to_the_group_of_their_row() -> None:
    means = torch.stack((torch.zeros(4), torch.full((4,), 10.0))).expand(3, -1, -1)
    errors = torch.full((3, 2, 4), 1e-4)
    found = deviations((means, errors), torch.tensor([[10.5] * 4, [0.25] * 4]), torch.tensor([1, 0]))
    torch.testing.assert_close(found, torch.tensor([[[0.5] * 4, [0.25] * 4]] * 3))


def test_nodes_of_a_deviation_are_those_of_its_exponential_decay() -> None:
    deviation = torch.tensor([[[1.0, -2.0], [0.5, 3.0]]], dtype=torch.float64)
    decay = torch.tensor([[[2.0, -1.0]]], dtype=torch.float64)  # nothing grows
    for intervals, bound in ((4, 3e-4), (8, 3e-4 / 12), (16, 3e-4 / 180)):
        step = torch.tensor([[1.0], [2.0]], dtype=torch.float64) / intervals
        nodes = deviation_nodes(deviation, decay, step, range(intervals + 1))
        assert nodes.shape == (1, 2, 2 * (intervals + 1), 2)
        position = np.linspace(0.0, intervals, 97)
        matrix = torch.as_tensor(dense_output_matrix(position, intervals))
        values = matrix @ nodes[0, 0]
        expected = torch.exp(-2.0 * torch.as_tensor(position / intervals))
        assert float((values[:, 0] - expected).abs().max()) < bound
        torch.testing.assert_close(values[:, 1], torch.full((97,), -2.0, dtype=torch.float64))


def test_given_starts_are_means_of_training_trajectories_with_errors_of_a_difference() -> None:
    adata = two_groups(donors=3, noise=0.3)
    found = given_starts(adata)
    assert found.groups == ("a", "b")
    states = adata.uns["sparsenode"]["initial_states"]
    np.testing.assert_allclose(found.means[1], states.loc[["0 b", "1 b", "2 b"]].mean())
    # Four observations a start, and a mean of three starts that a fourth differs from.
    expected = 0.3 / math.sqrt(4) * math.sqrt(1 + 1 / 3)
    np.testing.assert_allclose(found.errors, expected, rtol=0.25)
    np.testing.assert_allclose(found.errors.mean(), expected, rtol=0.06)


def test_averages_tell_the_noise_of_single_observations() -> None:
    single = two_groups(noise=0.5)
    averaged = single[::1].copy()
    averaged.X = averaged.X.reshape(-1, 4, FEATURES).mean(1).repeat(4, axis=0)
    rows = np.arange(0, averaged.n_obs, 4)
    thinned = averaged[rows].copy()
    thinned.uns["sparsenode"] = single.uns["sparsenode"]
    thinned.obs["count"] = 4.0
    np.testing.assert_allclose(given_starts(thinned).errors.mean(), given_starts(single).errors.mean(), rtol=0.15)


@pytest.mark.slow(reason="trains an ensemble")
def test_training_finds_the_starts_of_both_groups_better_than_the_first_observations_tell() -> None:
    adata, ensemble = two_groups(noise=0.6), learned_from(0.6)
    truth = np.array([np.linspace(0.0, 3.0, FEATURES), np.linspace(2.0, -1.0, FEATURES)])
    learned = ensemble.parameters.starts[0].numpy()
    means = ensemble.parameters.references[0].numpy()
    assert ensemble.groups == ("a", "b")
    assert np.abs(learned - truth).mean() < 0.8 * np.abs(means - truth).mean()
    states = adata.uns["sparsenode"]["initial_states"].loc[["1 a", "1 b"]].to_numpy()
    time = np.linspace(0.0, 1.0, 11)
    forecasts = ensemble.forecast(states, [time, time], groups=["a", "b"])
    for forecast, start in zip(forecasts, truth, strict=True):
        assert np.abs(forecast - (1.0 + (start - 1.0) * np.exp(-RATE * time)[:, None])).mean() < 0.12


@pytest.mark.slow(reason="trains an ensemble")
def test_a_start_that_differs_is_followed_and_forgotten() -> None:
    ensemble = learned_from(0.05)
    means = ensemble.parameters.references[0][0].numpy()
    time = np.array([0.0, 1.0])
    plain, moved = (
        ensemble.forecast(means[:1] + shift, [time], groups=["a"])[0] for shift in (0.0, np.full(FEATURES, 2.0))
    )
    np.testing.assert_allclose(moved[:, 0] - plain[:, 0], 2.0, rtol=0.02)
    decay = ensemble.parameters.decay[0].numpy()[:, 0]
    np.testing.assert_allclose(moved[:, 1] - plain[:, 1], 2.0 * np.exp(-decay), rtol=0.02)


@pytest.mark.slow(reason="trains a model")
def test_without_groups_each_state_belongs_to_the_nearest_start() -> None:
    adata, ensemble = two_groups(noise=0.05), learned_from(0.05)
    states = adata.uns["sparsenode"]["initial_states"].loc[["1 b", "1 a"]].to_numpy()
    time = np.linspace(0.0, 1.0, 5)
    named = ensemble.forecast(states, [time, time], groups=["b", "a"])
    found = ensemble.forecast(states, [time, time])
    np.testing.assert_array_equal(named, found)
    assert nearest_groups(ensemble.parameters.references, torch.as_tensor(states).float()).tolist() == [1, 0]


def test_unknown_and_missing_groups_are_refused() -> None:
    adata = two_groups()
    _, ensemble = trained(adata, SETTINGS.changed(iterations=1))
    state, time = np.zeros((1, FEATURES)), [np.array([0.0, 1.0])]
    with pytest.raises(UserError, match="no start of 'c'; there are: a, b"):
        ensemble.forecast(state, time, groups=["c"])
    with pytest.raises(UserError, match="1 initial states but 2 groups"):
        ensemble.forecast(state, time, groups=["a", "b"])


def test_rates_and_jacobians_are_those_of_the_field_at_the_states_themselves() -> None:
    _, ensemble = trained(two_groups(), SETTINGS.changed(iterations=1))
    states = np.random.default_rng(0).standard_normal((3, FEATURES)).astype(np.float32)
    plain = replace(ensemble, groups=(), parameters=replace(ensemble.parameters, starts=(), references=()))
    np.testing.assert_array_equal(ensemble.rates(states), plain.rates(states))
    np.testing.assert_array_equal(ensemble.mean_jacobian(states), plain.mean_jacobian(states))


@pytest.mark.slow(reason="trains an ensemble")
def test_members_with_learned_starts_do_not_depend_on_their_neighbors() -> None:
    adata = two_groups(donors=2)
    settings = SETTINGS.changed(iterations=20, initial_noise=1.0, refit=RefitSettings(iterations=10))
    problems = make_problems(adata, settings)
    method = MethodSettings(regularizer="l0", strengths=(0.1, 1.0), options={})
    together = train(problems, FEATURES, settings, method, [0, 1]).parameters
    alone = train(
        problems, FEATURES, settings, MethodSettings(regularizer="l0", strengths=(1.0,), options={}), [1]
    ).parameters
    for name, tensor in alone.named().items():
        torch.testing.assert_close(together.named()[name][3:], tensor, rtol=1e-4, atol=1e-5)


def test_a_model_file_keeps_the_learned_starts_and_their_groups(tmp_path: Path) -> None:
    adata = two_groups()
    result, ensemble = trained(adata, SETTINGS.changed(iterations=2))
    path = tmp_path / "model.safetensors"
    frozen, features = {**dict.fromkeys(FROZEN, "a"), **ensemble.settings}, ensemble.features
    save_ensemble(path, result.parameters, result.members, frozen, features, {}, ensemble.groups)
    again = load_ensemble(path)
    assert again.groups == ("a", "b")
    states = np.zeros((1, FEATURES), np.float32)
    time = [np.linspace(0.0, 1.0, 4)]
    np.testing.assert_array_equal(
        again.forecast(states, time, groups=["b"]), ensemble.forecast(states, time, groups=["b"])
    )


def test_a_level_scales_the_course_and_the_start_that_is_expected() -> None:
    ensemble = learned_from(0.05)
    means = ensemble.parameters.references[0][0].numpy()
    time = np.linspace(0.0, 1.0, 5)
    [full], [half] = (
        ensemble.forecast(level * means[:1], [time], groups=["a"], levels=np.array([level])) for level in (1.0, 0.5)
    )
    np.testing.assert_allclose(half, 0.5 * full, rtol=1e-4, atol=1e-5)


def test_what_is_held_keeps_its_value_at_every_level_and_acts_by_its_share_of_it() -> None:
    ensemble = learned_from(0.05)
    means = ensemble.parameters.references[0][0].numpy()
    name = ensemble.features[2]
    found = []
    for level in (1.0, 0.5):
        told = {"groups": ["a"], "levels": np.array([level]), "clamp": {name: 1.7 * level}}
        (forecast,) = ensemble.forecast(level * means[:1] + np.eye(FEATURES)[2], [np.linspace(0.0, 1.0, 5)], **told)
        np.testing.assert_array_equal(forecast[..., 2], np.float32(1.7 * level))
        found.append(np.delete(forecast, 2, axis=-1))
    free = ensemble.forecast(means[:1], [np.linspace(0.0, 1.0, 5)], groups=["a"])[0]
    np.testing.assert_allclose(found[1], 0.5 * found[0], rtol=1e-4, atol=1e-5)
    assert np.abs(np.delete(free, 2, axis=-1) - found[0]).max() > 1e-3
