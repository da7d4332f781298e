"""Trained ensembles: their file, and what they say of themselves."""

from __future__ import annotations

import itertools
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.linalg import expm

from sparsenode.dynamics import gates, network
from sparsenode.dynamics.network import Parameters
from sparsenode.ensemble import members as ensembles
from sparsenode.ensemble.members import Ensemble, Member, join_ensembles, load_ensemble, save_ensemble
from sparsenode.ensemble.model import initialize
from sparsenode.errors import UserError
from sparsenode.settings import read_model_settings

MATRIX = np.array([[-0.3, 1.0], [-1.0, -0.3]])
"""x' = x MATRIX, row = source and column = target."""


def settings_of(method: str = "none", **model: Any) -> dict[str, Any]:
    return {
        "dataset": "plane",
        "model": "small",
        "method": method,
        "model_settings": {"order": 1, "hidden": [], "solver": {"step": 0.1}} | model,
        "method_settings": {"regularizer": method, "strengths": [0.0], "options": {}},
    }


def linear(decay: tuple[torch.Tensor, ...] = ()) -> Ensemble:
    """Two members whose fields are exactly x MATRIX and 0."""
    weights = torch.stack((torch.tensor(MATRIX, dtype=torch.float32), torch.zeros(2, 2)))
    parameters = Parameters((weights,), (torch.zeros(2, 1, 2),), decay=decay)
    members = tuple(Member(0.0, seed, "finished", "", 10, 1.0) for seed in (0, 1))
    return Ensemble(settings_of(decay=1.0 if decay else None), members, ("x", "y"), {"note": "made"}, parameters)


def random_ensemble(method: str, **model: Any) -> Ensemble:
    settings = settings_of(method, hidden=[5, 4], velocity_hidden=[3], **model)
    gated = method in {"l0", "pathreg"}
    parameters = initialize(read_model_settings(settings["model_settings"]), 3, [0, 1], gated=gated)
    members = tuple(Member(0.5, seed, "finished", "", 10, 1.0) for seed in (0, 1))
    return Ensemble(settings, members, ("a", "b", "c"), {}, parameters)


def save(ensemble: Ensemble, path: Path) -> Path:
    save_ensemble(path, ensemble.parameters, ensemble.members, ensemble.settings, ensemble.features, ensemble.metadata)
    return path


def test_forecasts_are_the_exact_solution() -> None:
    states = np.array([[1.0, 0.0], [0.5, -2.0]])
    times = [np.array([0.0, 0.37, 2.0, 2.0, 5.0]), np.array([3.0, 3.5])]
    found = linear().forecast(states, times)
    for state, row_times, forecast in zip(states, times, found, strict=True):
        exact = np.stack([state @ expm(MATRIX * (time - row_times[0])) for time in row_times])
        np.testing.assert_allclose(forecast[0], exact, atol=2e-5)
        np.testing.assert_allclose(forecast[1], np.tile(state, (len(row_times), 1)), atol=1e-6)


def test_forecasts_of_rows_do_not_depend_on_each_other() -> None:
    states, times = np.array([[1.0, 0.0], [0.5, -2.0]]), [np.linspace(0, 1, 4), np.linspace(0, 7, 9)]
    together = linear().forecast(states, times)
    for row in range(2):
        (alone,) = linear().forecast(states[[row]], [times[row]])
        np.testing.assert_allclose(together[row], alone, atol=1e-6)


def test_a_forecast_at_the_start_alone_is_the_start() -> None:
    (found,) = linear().forecast(np.array([[1.0, 2.0]]), [np.array([4.0])])
    np.testing.assert_array_equal(found, np.full((2, 1, 2), [1.0, 2.0]))


def test_second_order_takes_velocities_that_are_given() -> None:
    ensemble = random_ensemble("none", order=2)
    still = replace(ensemble, parameters=ensemble.parameters.map(torch.zeros_like))
    start, velocity = np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 0.0, -1.0]])
    (found,) = still.forecast(start, [np.array([0.0, 2.0])], velocity)
    np.testing.assert_allclose(found[:, 1], np.tile(start + 2 * velocity, (2, 1)), atol=1e-5)


def test_rates_jacobians_and_paths_of_a_linear_field() -> None:
    ensemble = linear()
    states = np.array([[1.0, 2.0], [0.0, -1.0], [3.0, 3.0]])
    np.testing.assert_allclose(ensemble.rates(states)[0], states @ MATRIX, atol=1e-6)
    np.testing.assert_allclose(ensemble.mean_jacobian(states)[0], MATRIX, atol=1e-6)
    np.testing.assert_allclose(ensemble.mean_absolute_jacobian(states)[0], np.abs(MATRIX), atol=1e-6)
    np.testing.assert_allclose(ensemble.path_matrix()[0], np.abs(MATRIX), atol=1e-6)
    np.testing.assert_array_equal(ensemble.weight_sparsity(), [0.0, 1.0])
    assert ensemble.open_probability() is None


def test_a_decay_is_part_of_rates_and_a_self_loop() -> None:
    ensemble = linear(decay=(torch.full((2, 1, 2), 0.5),))
    states = np.array([[1.0, 2.0]])
    np.testing.assert_allclose(ensemble.rates(states)[1], -0.5 * states, atol=1e-6)
    np.testing.assert_allclose(ensemble.mean_jacobian(states)[0], MATRIX - 0.5 * np.eye(2), atol=1e-6)
    np.testing.assert_allclose(ensemble.path_matrix()[1], 0.5 * np.eye(2), atol=1e-6)
    (found,) = ensemble.forecast(states, [np.array([0.0, 2.0])])
    np.testing.assert_allclose(found[1, 1], states[0] * np.exp(-1.0), atol=1e-5)


def test_a_common_jacobian_is_that_of_the_members_mean() -> None:
    ensemble = random_ensemble("l0", order=1, gates="weight")
    states = np.random.default_rng(5).normal(size=(4, 3))
    each = [ensemble.mean_jacobian(states[row : row + 1]) for row in range(4)]
    expected = np.abs(np.mean(each, axis=1)).mean(axis=0)
    np.testing.assert_allclose(ensemble.common_jacobian(states), expected, atol=1e-6)
    assert len(ensemble.members) > 1
    assert (expected < ensemble.mean_absolute_jacobian(states).mean(axis=0)).any()


def test_a_common_jacobian_of_second_order_is_that_of_a_single_member() -> None:
    ensemble = random_ensemble("l0", order=2, gates="weight").select([0])
    states, velocities = np.random.default_rng(5).normal(size=(2, 1, 3))
    expected = np.abs(ensemble.mean_jacobian(states, velocities)[0])
    np.testing.assert_allclose(ensemble.common_jacobian(states, velocities), expected, atol=1e-6)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("gates", ["weight", "unit"])
def test_jacobian_agrees_with_differences_of_rates(order: int, gates: str) -> None:
    ensemble = random_ensemble("l0", order=order, gates=gates)
    states, velocities = np.array([[0.3, -0.2, 0.9]]), np.array([[0.1, 0.4, -0.5]])
    given = velocities if order == 2 else None
    step = 1e-2
    slopes = []
    for moved in ("states", "velocities")[:order]:
        columns = []
        for source in range(3):
            shift = step * np.eye(3)[[source]]
            ends = []
            for sign in (1, -1):
                state = states + sign * shift * (moved == "states")
                velocity = None if given is None else given + sign * shift * (moved == "velocities")
                ends.append(ensemble.rates(state, velocity)[:, 0])
            columns.append((ends[0] - ends[1]) / (2 * step))
        slopes.append(np.stack(columns, axis=1))
    expected = slopes[0]
    if order == 2:
        expected = np.where(np.abs(slopes[1]) > np.abs(slopes[0]), slopes[1], slopes[0])
    np.testing.assert_allclose(ensemble.mean_jacobian(states, given), expected, atol=2e-3)


def test_closed_gates_empty_the_path_matrix() -> None:
    ensemble = random_ensemble("pathreg")
    closed = replace(
        ensemble.parameters, log_alpha=tuple(torch.full_like(one, -3.0) for one in ensemble.parameters.log_alpha)
    )
    ensemble = replace(ensemble, parameters=closed)
    assert (ensemble.path_matrix() == 0).all()
    assert (ensemble.weight_sparsity() == 1).all()
    probability = ensemble.open_probability()
    assert probability is not None
    assert ((probability > 0) & (probability < 0.1)).all()


@pytest.mark.parametrize("model", [{}, {"order": 2}, {"decay": 0.5}])
def test_a_saved_ensemble_comes_back_as_it_was(tmp_path: Path, model: dict[str, Any]) -> None:
    ensemble = random_ensemble("pathreg", **model)
    loaded = load_ensemble(save(ensemble, tmp_path / "deep" / "model.safetensors"))
    assert (loaded.settings, loaded.members, loaded.features) == (
        ensemble.settings,
        ensemble.members,
        ensemble.features,
    )
    start, times = np.array([[0.1, 0.2, 0.3]]), [np.array([0.0, 1.0])]
    np.testing.assert_array_equal(loaded.forecast(start, times)[0], ensemble.forecast(start, times)[0])


def test_untrained_is_the_initialization_of_the_same_seeds() -> None:
    ensemble = random_ensemble("pathreg")
    moved = replace(ensemble, parameters=ensemble.parameters.map(lambda tensor: tensor + 1))
    for name, tensor in moved.untrained().parameters.named().items():
        assert torch.equal(tensor, ensemble.parameters.named()[name])


def test_blocks_join_and_members_can_be_selected() -> None:
    ensemble = random_ensemble("l0")
    joined = join_ensembles([ensemble.select([1]), ensemble.select([0])])
    assert [member.seed for member in joined.members] == [1, 0]
    np.testing.assert_array_equal(joined.path_matrix(), ensemble.path_matrix()[::-1])


def test_blocks_of_other_settings_do_not_join() -> None:
    with pytest.raises(UserError, match="different settings"):
        join_ensembles([random_ensemble("l0"), random_ensemble("l0", gates="unit")])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weights": [1]}))


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, pickled, empty])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: Any) -> None:
    path = save(random_ensemble("none"), tmp_path / "model.safetensors")
    damage(path)
    with pytest.raises(UserError, match="cannot be read as a model"):
        load_ensemble(path)


def changed_header(path: Path, change: Any) -> None:
    """Change what a model file says beside its weights."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["sparsenode"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dictionary
    change(header)
    save_file(tensors, path, metadata={"sparsenode": json.dumps(header)})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda header: header["settings"].pop("dataset"), "its settings lack dataset"),
        (lambda header: header.update(settings=5), "its settings are no mapping"),
        (lambda header: header.pop("members"), "it lacks 'members'"),
        (
            lambda header: header["settings"]["model_settings"].update(depth=3),
            "its settings are of another version: .*depth",
        ),
        (
            lambda header: header["settings"]["model_settings"].update(solver=5),
            "its settings are of another version: ",
        ),
        (
            lambda header: header["settings"]["method_settings"].pop("regularizer"),
            "its settings are of another version: .*regularizer",
        ),
        (
            lambda header: header["settings"]["method_settings"].update(regularizer="nono"),
            "its settings are of another version: .*nono",
        ),
        (lambda header: header["features"].pop(), "its network has 3 inputs, and its features and order make 2"),
        (lambda header: header["members"].pop(), "it has 1 members, and weights of 2"),
        (lambda header: header.update(centers=[0.0]), "it has 3 features, and centers of 1"),
    ],
)
def test_a_file_whose_parts_do_not_fit_is_refused(tmp_path: Path, change: Any, problem: str) -> None:
    path = save(random_ensemble("none"), tmp_path / "model.safetensors")
    changed_header(path, change)
    with pytest.raises(UserError, match=rf"model\.safetensors cannot be read as a model \({problem}") as refusal:
        load_ensemble(path)
    assert "\n" not in str(refusal.value)
    assert "delete it and run again" in str(refusal.value)


def test_a_missing_file_and_another_format_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(UserError, match="no model file at"):
        load_ensemble(tmp_path / "none.safetensors")
    save_file({"weights": torch.zeros(2)}, tmp_path / "other.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="is not a model of this version"):
        load_ensemble(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("states", "times", "message"),
    [
        (np.zeros((1, 3)), [np.array([0.0, 1.0])], "has 2 variables"),
        (np.zeros(2), [np.array([0.0, 1.0])], "has 2 variables"),
        (np.array([[0.0, np.nan]]), [np.array([0.0, 1.0])], "NaN or infinite"),
        (np.zeros((1, 2)), [], "times are empty"),
        (np.zeros((1, 2)), [np.array([])], "are empty, decrease"),
        (np.zeros((1, 2)), [np.array([1.0, 0.0])], "decrease"),
        (np.zeros((1, 2)), [np.array([0.0, np.inf])], "not finite"),
    ],
)
def test_bad_questions_are_refused(states: np.ndarray, times: list[np.ndarray], message: str) -> None:
    with pytest.raises(UserError, match=message):
        linear().forecast(states, times)


def test_the_header_is_json_and_nothing_else(tmp_path: Path) -> None:
    path = save(random_ensemble("none"), tmp_path / "model.safetensors")
    length = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + length])
    assert json.loads(header["__metadata__"]["sparsenode"])["features"] == ["a", "b", "c"]


def oscillator(position: np.ndarray, velocity: np.ndarray) -> Ensemble:
    """x'' = x position + x' velocity; the network of the initial velocity is the identity."""
    width = len(position)
    weights = torch.as_tensor(np.vstack((position, velocity)), dtype=torch.float32)[None]
    zero, identity = torch.zeros(1, 1, width), torch.eye(width)[None]
    parameters = Parameters((weights,), (zero,), velocity_weights=(identity,), velocity_biases=(zero,))
    settings = settings_of(order=2, velocity_hidden=[], solver={"step": 0.05})
    return Ensemble(settings, (Member(0.0, 0, "finished", "", 10, 1.0),), ("x", "y")[:width], {}, parameters)


def random_gates(ensemble: Ensemble) -> Ensemble:
    """The same with gates of which about a third are closed in evaluation."""
    generator = torch.Generator().manual_seed(4)
    drawn = tuple(torch.empty_like(one).uniform_(-5, 4, generator=generator) for one in ensemble.parameters.log_alpha)
    return replace(ensemble, parameters=replace(ensemble.parameters, log_alpha=drawn))


def test_a_second_order_forecast_is_exact_with_the_given_and_with_its_own_velocity() -> None:
    ensemble = oscillator(np.array([[-4.0]]), np.array([[0.0]]))
    times, starts, velocities = np.linspace(0, 2, 11), np.array([[1.0], [0.5]]), np.array([[0.0], [3.0]])
    given = ensemble.forecast(starts, [times, times], velocities)
    own = ensemble.forecast(starts, [times, times])
    for row in range(2):
        for found, velocity in ((given, velocities[row]), (own, starts[row])):
            exact = starts[row] * np.cos(2 * times) + velocity / 2 * np.sin(2 * times)
            np.testing.assert_allclose(found[row][0, :, 0], exact, atol=1e-5)


def test_second_order_networks_keep_the_larger_of_position_and_velocity_with_its_sign() -> None:
    position, velocity = np.array([[-4.0, 1.0], [0.0, -9.0]]), np.array([[-0.1, -2.0], [0.0, 0.3]])
    larger = np.array([[-4.0, -2.0], [0.0, -9.0]])
    ensemble, states = oscillator(position, velocity), np.array([[1.0, 2.0], [0.0, -1.0]])
    np.testing.assert_allclose(ensemble.mean_jacobian(states)[0], larger)
    np.testing.assert_allclose(ensemble.mean_absolute_jacobian(states)[0], np.abs(larger))
    np.testing.assert_allclose(ensemble.path_matrix()[0], np.abs(larger))
    np.testing.assert_allclose(ensemble.rates(states, -states)[0], states @ position - states @ velocity, atol=1e-5)


def test_a_member_that_explodes_is_not_finite_and_harms_no_other() -> None:
    ensemble = linear()
    ensemble.parameters.weights[0][1] = 1e5 * torch.eye(2)
    (found,) = ensemble.forecast(np.array([[1.0, 0.5]]), [np.linspace(0, 5, 4)])
    (calm,) = linear().forecast(np.array([[1.0, 0.5]]), [np.linspace(0, 5, 4)])
    np.testing.assert_allclose(found[0], calm[0], atol=1e-6)
    assert not np.isfinite(found[1]).all()


def test_no_rows_no_forecasts() -> None:
    assert linear().forecast(np.empty((0, 2)), []) == []


@pytest.mark.parametrize("gates_on", ["weight", "unit"])
def test_path_matrix_and_open_probability_go_over_all_paths(gates_on: str) -> None:
    ensemble = random_gates(random_ensemble("l0", gates=gates_on))
    parameters, member = ensemble.parameters, 1
    pairs = zip(parameters.weights, parameters.log_alpha, strict=True)
    effective = [weight * gates.deterministic(log_alpha) for weight, log_alpha in pairs]
    opened = [
        one.expand_as(weight)
        for one, weight in zip(network.open_probabilities(parameters), parameters.weights, strict=True)
    ]
    paths, probability = ensemble.path_matrix(), ensemble.open_probability()
    assert probability is not None
    for source, target in itertools.product(range(3), repeat=2):
        strength, chance = [], []
        for one, two in itertools.product(range(5), range(4)):
            steps = [(source, one), (one, two), (two, target)]
            strength.append(np.prod([abs(float(w[member][step])) for w, step in zip(effective, steps, strict=True)]))
            chance.append(np.prod([float(p[member][step]) for p, step in zip(opened, steps, strict=True)]))
        assert paths[member, source, target] == pytest.approx(sum(strength), abs=1e-6)
        assert probability[member, source, target] == pytest.approx(np.mean(chance), abs=1e-6)


def test_a_source_without_paths_has_no_jacobian() -> None:
    ensemble = random_ensemble("l1")
    ensemble.parameters.weights[0][:, 2] = 0.0
    assert not ensemble.path_matrix()[:, 2].any()
    assert not ensemble.mean_absolute_jacobian(np.ones((2, 3)))[:, 2].any()
    assert ensemble.path_matrix()[:, :2].all()


def test_weight_sparsity_counts_closed_gates_and_what_is_below_the_threshold() -> None:
    ensemble = random_gates(random_ensemble("l0"))
    ensemble.parameters.weights[1][:, 0, :] = 1e-7
    closed = [gates.deterministic(one) == 0 for one in ensemble.parameters.log_alpha]
    below = [one.clone() for one in closed]
    below[1][:, 0, :] = True
    for threshold, empty_ones in ((1e-5, below), (1e-12, closed)):
        expected = torch.cat([one.flatten(1) for one in empty_ones], dim=1).double().mean(1)
        np.testing.assert_allclose(ensemble.weight_sparsity(threshold), expected)
    assert (ensemble.weight_sparsity() < 1).all()


def test_a_refitted_ensemble_comes_back_with_its_masks(tmp_path: Path) -> None:
    ensemble = random_gates(random_ensemble("l0"))
    pruned = replace(ensemble, parameters=network.prune_closed(ensemble.parameters, 1e-5))
    loaded = load_ensemble(save(pruned, tmp_path / "model.safetensors"))
    assert len(loaded.parameters.masks) == 3
    np.testing.assert_array_equal(loaded.path_matrix(), ensemble.path_matrix())
    np.testing.assert_array_equal(loaded.weight_sparsity(), ensemble.weight_sparsity())


def test_the_same_ensemble_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = (
        save(random_ensemble("l0"), tmp_path / name).read_bytes() for name in ("a.safetensors", "b.safetensors")
    )
    assert one == two


def test_blocks_of_other_variables_do_not_join() -> None:
    block = random_ensemble("l0")
    with pytest.raises(UserError, match="variables cannot be joined"):
        join_ensembles([block, replace(block, features=("a", "b", "d"))])


class Trap:
    """Would leave a file behind if it were unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def test_a_pickle_is_not_executed(tmp_path: Path) -> None:
    path, mark = tmp_path / "model.safetensors", tmp_path / "executed"
    path.write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(UserError, match="cannot be read as a model"):
        load_ensemble(path)
    assert not mark.exists()


@pytest.mark.parametrize("share", [0.001, 0.1, 0.9, 0.999])
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, share: float) -> None:
    path = save(random_ensemble("none"), tmp_path / "model.safetensors")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match="cannot be read as a model"):
        load_ensemble(path)


def test_a_disk_that_takes_no_more_leaves_no_model(tmp_path: Path, largest_file: Any) -> None:
    with largest_file(500), pytest.raises(UserError, match=r"cannot write .*model\.safetensors"):
        save(random_ensemble("none"), tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def with_slopes(**model: Any) -> Ensemble:
    """A model that takes the slopes of three observations, of which every parameter is random."""
    ensemble = random_ensemble("none", order=2, velocity_observations=3, **model)
    generator = torch.Generator().manual_seed(6)
    return replace(
        ensemble,
        parameters=ensemble.parameters.map(lambda one: 0.7 * torch.randn(one.shape, generator=generator)),
    )


STARTS = np.array([[0.3, -0.2, 0.9], [1.0, 0.5, -0.7]])
SLOPES = np.array([[1.0, 0.0, -1.0], [0.4, -2.0, 0.3]])
TIMES = [np.array([2.0, 2.1, 3.3]), np.linspace(0.0, 0.7, 5)]


def assert_same_forecasts(one: list[np.ndarray], other: list[np.ndarray], tolerance: float = 0.0) -> None:
    for left, right in zip(one, other, strict=True):
        assert np.isfinite(left).all()
        np.testing.assert_allclose(left, right, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("time_scale", [1.0, 0.2])
def test_a_forecast_from_slopes_starts_at_the_slopes_and_what_the_network_adds(time_scale: float) -> None:
    ensemble = with_slopes(time_scale=time_scale)
    found = ensemble.forecast(STARTS, TIMES, slopes=SLOPES)
    parameters = ensemble.parameters
    for member in range(2):
        values = np.concatenate((STARTS, SLOPES * time_scale), axis=1)
        for layer in range(2):
            values = values @ parameters.velocity_weights[layer][member].numpy()
            values = values + parameters.velocity_biases[layer][member].numpy()
            values = np.where(values > 0, values, np.expm1(values)) if layer == 0 else values
        by_hand = ensemble.forecast(STARTS, TIMES, initial_velocities=SLOPES + values / time_scale)
        assert_same_forecasts([one[[member]] for one in found], [one[[member]] for one in by_hand], 1e-5)


def test_velocities_that_are_given_hold_in_place_of_slopes() -> None:
    ensemble, velocities = with_slopes(), SLOPES[::-1]
    given = ensemble.forecast(STARTS, TIMES, velocities)
    assert_same_forecasts(ensemble.forecast(STARTS, TIMES, velocities, SLOPES), given)
    assert not np.allclose(ensemble.forecast(STARTS, TIMES, slopes=SLOPES)[1], given[1])


def test_an_untrained_model_goes_on_with_the_slopes() -> None:
    ensemble = random_ensemble("none", order=2, velocity_observations=3)
    found = ensemble.forecast(STARTS, TIMES, slopes=SLOPES)
    assert_same_forecasts(found, ensemble.forecast(STARTS, TIMES, SLOPES))


def test_a_model_that_takes_slopes_needs_them() -> None:
    with pytest.raises(UserError, match="takes the slopes of the last observations"):
        with_slopes().forecast(STARTS, TIMES)
    with pytest.raises(UserError, match=r"slopes of shape \(1, 3\) do not fit initial states of shape \(2, 3\)"):
        with_slopes().forecast(STARTS, TIMES, slopes=SLOPES[:1])
    with pytest.raises(UserError, match=r"initial velocities of shape \(2, 2\) do not fit"):
        with_slopes().forecast(STARTS, TIMES, SLOPES[:, :2])


@pytest.mark.parametrize("model", [{}, {"order": 2}, {"order": 2, "velocity_observations": 1}])
def test_a_model_that_takes_no_slopes_ignores_them(model: dict[str, Any]) -> None:
    ensemble = random_ensemble("none", **model)
    assert_same_forecasts(ensemble.forecast(STARTS, TIMES, slopes=SLOPES), ensemble.forecast(STARTS, TIMES))


def test_slopes_of_a_row_stay_with_it_where_rows_are_solved_apart() -> None:
    ensemble = with_slopes()
    together = ensemble.forecast(STARTS, TIMES, slopes=SLOPES)
    for row in range(2):
        alone = ensemble.forecast(STARTS[[row]], [TIMES[row]], slopes=SLOPES[[row]])
        assert_same_forecasts(alone, [together[row]], 1e-6)


# Of a power of two, so that the division of the times is exact, and of one that rounds.
@pytest.mark.parametrize(("time_scale", "tolerance"), [(0.25, 0.0), (4.0, 0.0), (0.2, 2e-5), (5.0, 2e-5)])
@pytest.mark.parametrize("model", [{}, {"order": 2}, {"order": 2, "velocity_observations": 3}])
def test_a_time_scale_is_another_unit_of_time(model: dict[str, Any], time_scale: float, tolerance: float) -> None:
    """Of (times, step, scale) as of (times / scale, step / scale, 1); velocities are per unit of the data's time."""
    order = model.get("order", 1)
    scaled = with_slopes(time_scale=time_scale) if len(model) == 2 else random_ensemble("none", **model)
    step = 0.125
    here = settings_of("none", hidden=[5, 4], velocity_hidden=[3], **model, solver={"step": step})
    there = settings_of("none", hidden=[5, 4], velocity_hidden=[3], **model, solver={"step": step / time_scale})
    here["model_settings"]["time_scale"] = time_scale
    scaled, plain = replace(scaled, settings=here), replace(scaled, settings=there)
    stretched = [row_times / time_scale for row_times in TIMES]
    slopes, velocities = (SLOPES, 0.5 * SLOPES) if order == 2 else (None, None)

    def forecasts(ensemble: Ensemble, times: list[np.ndarray], factor: float) -> list[list[np.ndarray]]:
        past = None if slopes is None else factor * slopes
        found = [ensemble.forecast(STARTS, times, slopes=past)]
        if velocities is not None:
            found.append(ensemble.forecast(STARTS, times, factor * velocities))
        return found

    for one, other in zip(forecasts(scaled, TIMES, 1.0), forecasts(plain, stretched, time_scale), strict=True):
        assert_same_forecasts(one, other, tolerance)
    rates = scaled.rates(STARTS, velocities)
    expected = plain.rates(STARTS, None if velocities is None else time_scale * velocities) / time_scale**order
    np.testing.assert_allclose(rates, expected, rtol=tolerance or 1e-7, atol=tolerance)
    assert np.abs(rates).max() > 0


@pytest.mark.parametrize("time_scale", [1.0, 0.2])
def test_rates_are_the_derivatives_of_forecasts(time_scale: float) -> None:
    """In the unit of the data's time, whatever the time scale; the second derivative at second order."""
    first = random_ensemble("none", time_scale=time_scale)
    second = random_ensemble("none", order=2, time_scale=time_scale)
    gap = 0.02 * time_scale
    times = [np.array([0.0, gap, 2 * gap])] * 2
    for order, ensemble, velocities in ((1, first, None), (2, second, SLOPES)):
        found = np.stack(ensemble.forecast(STARTS, times, velocities), axis=1).astype(float)
        slope = (-3 * found[:, :, 0] + 4 * found[:, :, 1] - found[:, :, 2]) / (2 * gap)
        if order == 1:
            np.testing.assert_allclose(ensemble.rates(STARTS), slope, rtol=2e-3, atol=2e-3 / time_scale)
        else:
            np.testing.assert_allclose(slope, np.broadcast_to(SLOPES, slope.shape), atol=2e-3 / time_scale)
            half = (found[:, :, 1] - found[:, :, 0] - gap * SLOPES) * 2 / gap**2
            np.testing.assert_allclose(
                ensemble.rates(STARTS, SLOPES), half, rtol=0.05, atol=0.05 * np.abs(half).max() + 1e-6 / gap**2
            )


@pytest.mark.parametrize("time_scale", [1.0, 0.25])
@pytest.mark.parametrize("order", [1, 2])
def test_a_model_of_zero_weights_returns_at_its_initial_decay(order: int, time_scale: float) -> None:
    """At second order critically damped: as fast as the first order's, without overshooting."""
    decay = 1.5
    ensemble = random_ensemble("none", order=order, decay=decay, time_scale=time_scale, solver={"step": 0.05})
    parameters = ensemble.parameters
    still = replace(
        parameters,
        weights=tuple(map(torch.zeros_like, parameters.weights)),
        biases=tuple(map(torch.zeros_like, parameters.biases)),
    )
    times = np.linspace(0.0, 4.0, 17)
    given = SLOPES if order == 2 else None
    found = replace(ensemble, parameters=still).forecast(STARTS, [times, times], given)
    for row, start in enumerate(STARTS):
        exact = start * np.exp(-decay * times)[:, None]
        if order == 2:
            exact = exact + (SLOPES[row] + decay * start) * (times * np.exp(-decay * times))[:, None]
        np.testing.assert_allclose(found[row], np.broadcast_to(exact, found[row].shape), atol=2e-5)


def test_stiffness_and_damping_are_part_of_rates_and_a_self_loop() -> None:
    ensemble = oscillator(np.array([[-4.0, 1.0], [0.0, -9.0]]), np.array([[-0.1, -2.0], [0.0, 0.3]]))
    stiffness, damping = np.array([0.5, 3.0]), np.array([1.0, 7.0])
    decay = torch.tensor([[[0.5, 3.0, 1.0, 7.0]]])
    settings = settings_of(order=2, velocity_hidden=[], solver={"step": 0.05}, decay=1.0)
    states, velocities = np.array([[1.0, 2.0], [0.0, -1.0]]), np.array([[0.5, 0.0], [2.0, 1.0]])
    damped = replace(ensemble, settings=settings, parameters=replace(ensemble.parameters, decay=(decay,)))
    taken = stiffness * states + damping * velocities
    np.testing.assert_allclose(
        damped.rates(states, velocities)[0], ensemble.rates(states, velocities)[0] - taken, atol=1e-5
    )
    own = np.diag(np.maximum(stiffness, damping))
    np.testing.assert_allclose(damped.path_matrix()[0], ensemble.path_matrix()[0] + own, rtol=1e-6)
    np.testing.assert_allclose(damped.mean_jacobian(states)[0], [[-4.5, -2.0], [0.0, -12.0]], rtol=1e-6)
    np.testing.assert_allclose(damped.mean_absolute_jacobian(states)[0], [[4.5, 2.0], [0.0, 12.0]], rtol=1e-6)
    empty = replace(damped, parameters=replace(damped.parameters, weights=(torch.zeros(1, 4, 2),)))
    np.testing.assert_allclose(empty.path_matrix()[0], own)


@pytest.mark.parametrize(
    "model", [{"order": 2, "decay": 0.5}, {"order": 2, "velocity_observations": 3, "time_scale": 0.2}]
)
def test_a_saved_model_of_motion_comes_back_as_it_was(tmp_path: Path, model: dict[str, Any]) -> None:
    ensemble = random_ensemble("pathreg", **model)
    loaded = load_ensemble(save(ensemble, tmp_path / "model.safetensors"))
    assert loaded.parameters.named().keys() == ensemble.parameters.named().keys()
    assert_same_forecasts(
        loaded.forecast(STARTS, TIMES, slopes=SLOPES), ensemble.forecast(STARTS, TIMES, slopes=SLOPES)
    )
    for name, tensor in ensemble.untrained().parameters.named().items():
        assert torch.equal(tensor, ensemble.parameters.named()[name])


@pytest.mark.slow(reason="solves by adaptive steps to compare")
@pytest.mark.parametrize("scheme", ["rk4", "dopri5"])
@pytest.mark.parametrize("order", [1, 2])
def test_a_clamped_forecast_is_that_of_a_model_without_that_rate(order: int, scheme: str) -> None:
    ensemble = random_ensemble("none", order=order, solver={"step": 0.1, "scheme": scheme})
    weights, biases = list(ensemble.parameters.weights), list(ensemble.parameters.biases)
    weights[-1], biases[-1] = weights[-1].clone(), biases[-1].clone()
    weights[-1][..., 1], biases[-1][..., 1] = 0.0, 0.0
    still = replace(ensemble, parameters=replace(ensemble.parameters, weights=tuple(weights), biases=tuple(biases)))
    states, times = np.array([[0.5, 9.0, -0.3], [1.0, -9.0, 0.2]]), [np.array([0.0, 0.7, 2.0]), np.array([1.0, 1.3])]
    moved = np.array([[0.5, 0.4, -0.3], [1.0, 0.4, 0.2]])
    given = {"initial_velocities": np.full((2, 3), 0.3)} if order == 2 else {}
    at_rest = {"initial_velocities": np.array([[0.3, 0.0, 0.3]] * 2)} if order == 2 else {}
    found = ensemble.forecast(states, times, clamp={"b": 0.4}, **given)
    for one, expected in zip(found, still.forecast(moved, times, **at_rest), strict=True):
        np.testing.assert_allclose(one, expected, atol=1e-5)
        np.testing.assert_array_equal(one[..., 1], np.float32(0.4))


def test_a_clamp_changes_nothing_where_no_path_leads() -> None:
    """The field is x' = -0.3 x + ..., with an edge from the first to the second variable alone."""
    matrix = torch.tensor([[-0.3, 1.0], [0.0, -0.3]]).expand(2, -1, -1).contiguous()
    ensemble = replace(linear(), parameters=Parameters((matrix,), (torch.zeros(2, 1, 2),)))
    states, times = np.array([[1.0, -2.0]]), [np.linspace(0.0, 3.0, 7)]
    (free,) = ensemble.forecast(states, times)
    (target_held,) = ensemble.forecast(states, times, clamp={"y": 5.0})
    (source_held,) = ensemble.forecast(states, times, clamp={"x": 5.0})
    np.testing.assert_array_equal(target_held[..., 0], free[..., 0])
    # y' = 5 - 0.3 y
    exact = 5 / 0.3 + (-2.0 - 5 / 0.3) * np.exp(-0.3 * times[0])
    np.testing.assert_allclose(source_held[0, :, 1], exact, atol=1e-4)


def test_other_variables_start_as_the_unclamped_state_says() -> None:
    """At second order their velocity is that of the given position, not of one with a variable set to a value."""
    ensemble = random_ensemble("none", order=2)
    start = np.array([[0.5, 0.1, -0.3]])
    early = [np.array([0.0, 1e-3])]
    (free,), (held,) = ensemble.forecast(start, early), ensemble.forecast(start, early, clamp={"b": 3.0})
    moved = (free[:, 1] - free[:, 0])[:, [0, 2]]
    np.testing.assert_allclose((held[:, 1] - held[:, 0])[:, [0, 2]], moved, atol=1e-5)
    assert np.abs(moved).min() > 1e-5


def test_a_clamp_of_what_is_not_there_names_the_nearest() -> None:
    ensemble = replace(linear(), features=("Gata1", "Pu.1"))
    state, times = np.array([[1.0, 0.0]]), [np.array([0.0, 1.0])]
    with pytest.raises(UserError, match=r"cannot hold 'GATA1': .*the nearest: Gata1, Pu\.1"):
        ensemble.forecast(state, times, clamp={"GATA1": 0.0})
    with pytest.raises(UserError, match="cannot hold 'Gata1' at nan; give a finite number"):
        ensemble.forecast(state, times, clamp={"Gata1": np.nan})


def biological(method: str = "l0", **model: Any) -> Ensemble:
    """Networks of sums and products of which no weight is zero, and of which a multiplier is negative."""
    settings = settings_of(method, network="biological", **{"hidden": [4], **model})
    gated = method in {"l0", "pathreg"}
    parameters = initialize(read_model_settings(settings["model_settings"]), 3, [0, 1], gated=gated)
    generator = torch.Generator().manual_seed(7)
    weights = tuple(0.5 * torch.randn(one.shape, generator=generator) for one in parameters.weights)
    parameters.multiplier[0][1, 0, 2] = -0.5
    members = tuple(Member(0.5, seed, "finished", "", 10, 1.0) for seed in (0, 1))
    return Ensemble(settings, members, ("a", "b", "c"), {}, replace(parameters, weights=weights))


@pytest.mark.parametrize("gates_on", ["weight", "unit"])
@pytest.mark.parametrize("pruned", [False, True])
def test_a_saved_biological_network_comes_back_as_it_was(tmp_path: Path, gates_on: str, pruned: bool) -> None:
    ensemble = random_gates(biological(gates=gates_on))
    if pruned:
        ensemble = replace(ensemble, parameters=network.prune_closed(ensemble.parameters, 1e-5))
    loaded = load_ensemble(save(ensemble, tmp_path / "model.safetensors"))
    assert torch.equal(loaded.parameters.multiplier[0], ensemble.parameters.multiplier[0])
    assert len(loaded.parameters.masks) == 2 * pruned
    np.testing.assert_array_equal(loaded.path_matrix(), ensemble.path_matrix())
    assert_same_forecasts(loaded.forecast(STARTS, TIMES), ensemble.forecast(STARTS, TIMES))
    both = join_ensembles([loaded.select([0]), loaded.select([1])])
    assert_same_forecasts(both.forecast(STARTS, TIMES), ensemble.forecast(STARTS, TIMES), 1e-5)


def test_paths_of_a_biological_network_are_those_of_both_branches_and_the_multiplier_is_a_self_loop() -> None:
    ensemble = random_gates(biological())
    parameters = ensemble.parameters
    pairs = zip(parameters.weights, parameters.log_alpha, strict=True)
    into, onto = ((weight * gates.deterministic(log_alpha)).abs().numpy() for weight, log_alpha in pairs)
    found = ensemble.path_matrix()
    for member, source, target in itertools.product(range(2), range(3), range(3)):
        sums, products = (
            sum(into[member, source, unit] * onto[member, unit, target] for unit in units)
            for units in (range(4), range(4, 8))
        )
        multiplier = max(0.0, float(parameters.multiplier[0][member, 0, target]))
        expected = multiplier * (sums + products + (source == target))
        assert found[member, source, target] == pytest.approx(expected, abs=1e-6)
    assert not found[1, :, 2].any()
    probability = ensemble.open_probability()
    assert probability is not None
    assert probability.shape == (2, 3, 3)


@pytest.mark.parametrize("time_scale", [1.0, 0.2])
def test_rates_of_a_biological_network_are_the_derivatives_of_its_forecasts(time_scale: float) -> None:
    ensemble = biological("none", time_scale=time_scale)
    gap = 0.02 * time_scale
    found = np.stack(ensemble.forecast(STARTS, [np.array([0.0, gap, 2 * gap])] * 2), axis=1).astype(float)
    slope = (-3 * found[:, :, 0] + 4 * found[:, :, 1] - found[:, :, 2]) / (2 * gap)
    rates = ensemble.rates(STARTS)
    np.testing.assert_allclose(rates, slope, rtol=2e-3, atol=2e-3 / time_scale)
    assert np.abs(rates).max() > 0.1
    assert not rates[1, :, 2].any()


def test_jacobian_of_a_biological_network_agrees_with_differences_of_rates() -> None:
    ensemble, step = random_gates(biological()), 1e-2
    states = np.array([[0.3, 0.2, 0.9]])
    columns = []
    for source in range(3):
        shift = step * np.eye(3)[[source]]
        columns.append((ensemble.rates(states + shift)[:, 0] - ensemble.rates(states - shift)[:, 0]) / (2 * step))
    expected = np.stack(columns, axis=1)
    np.testing.assert_allclose(ensemble.mean_jacobian(states), expected, atol=2e-3)
    np.testing.assert_allclose(ensemble.mean_absolute_jacobian(states), np.abs(expected), atol=2e-3)


def test_a_held_gene_of_a_biological_network_stays_and_the_others_feel_it() -> None:
    ensemble = biological("none")
    free, held = (ensemble.forecast(STARTS, TIMES, clamp=clamp) for clamp in ({}, {"b": 3.0}))
    for one, other in zip(free, held, strict=True):
        np.testing.assert_array_equal(other[..., 1], np.float32(3.0))
        assert not np.allclose(one[:, 1:, 0], other[:, 1:, 0])


def test_an_untrained_biological_network_is_the_initialization_of_its_seeds() -> None:
    settings = settings_of("pathreg", network="biological", hidden=[4], decay=0.5)
    fresh = initialize(read_model_settings(settings["model_settings"]), 3, [0, 1], gated=True)
    for name, tensor in replace(biological("pathreg"), settings=settings).untrained().parameters.named().items():
        assert torch.equal(tensor, fresh.named()[name])


@pytest.mark.slow(reason="solves by adaptive steps to compare")
@pytest.mark.parametrize("model", [{}, {"order": 2}, {"solver": {"scheme": "dopri5", "step": 0.1, "tolerance": 1e-7}}])
def test_a_long_forecast_in_pieces_is_that_in_one(model: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = random_ensemble("none", **model)
    states = np.random.default_rng(0).normal(size=(5, 3))
    times = [np.array([1.0, 1.0, 1.3, 1.3, 2.0]), np.array([0.0]), *(np.linspace(0.0, 2.0, 41) for _ in range(3))]
    whole = ensemble.forecast(states, times, clamp={"b": 0.5})
    monkeypatch.setattr(ensembles, "_MOST_INTERVALS", 3)
    monkeypatch.setattr(ensembles, "_READ_AT_ONCE", 20)
    monkeypatch.setattr(ensembles, "_BYTES_AT_ONCE", 500)
    pieces = ensemble.forecast(states, times, clamp={"b": 0.5})
    for found, expected in zip(pieces, whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        assert found.dtype == expected.dtype == np.float32


def test_a_long_forecast_is_finite_until_it_explodes(monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = linear()
    weights = (100.0 * torch.eye(2).expand(2, -1, -1),)
    exploding = replace(ensemble, parameters=replace(ensemble.parameters, weights=weights))
    monkeypatch.setattr(ensembles, "_MOST_INTERVALS", 2)
    (found,) = exploding.forecast(np.ones((1, 2)), [np.array([0.0, 0.1, 0.2, 50.0])])
    assert np.isfinite(found[:, :3]).all()
    assert not np.isfinite(found[:, 3]).any()


@pytest.mark.parametrize("end", [1e6 + 1.0, 1e300])
def test_more_steps_than_can_be_waited_for_are_refused(end: float) -> None:
    assert linear().count_steps([np.array([0.0, 1e6]), np.array([0.0])]).tolist() == [10_000_000, 1]
    with pytest.raises(
        UserError, match=r"steps of 0\.1 \(`solver\.step` of the model\), more than 10,000,000: ask for"
    ):
        linear().forecast(np.ones((1, 2)), [np.array([0.0, end])])


def test_forecasts_larger_than_the_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensembles, "usable_memory", lambda _device: 4 * 2 * 6 * 2)
    times = [np.linspace(0.0, 1.0, 3)] * 2
    assert len(linear().forecast(np.ones((2, 2)), times)) == 2
    with pytest.raises(UserError, match="forecasts of 2 members at 7 times of 2 states take"):
        linear().forecast(np.ones((2, 2)), [*times[:1], np.linspace(0.0, 1.0, 4)])


def test_forecasts_and_rates_take_states_in_every_form_and_one_array_of_times() -> None:
    ensemble, values, times = linear(), np.array([[1.0, 0.0], [0.5, -2.0]]), np.array([0.0, 0.5, 2.0])
    expected = ensemble.forecast(values, [times, times])
    table = pd.DataFrame({"y": values[:, 1], "x": values[:, 0]})
    annotated = anndata.AnnData(table.set_axis(["s", "t"]))
    for states in (values.tolist(), table, annotated, torch.tensor(values)):
        for shared in (times, times.tolist(), torch.tensor(times)):
            np.testing.assert_array_equal(ensemble.forecast(states, shared), expected)
        np.testing.assert_array_equal(ensemble.rates(states), ensemble.rates(values))
        np.testing.assert_array_equal(ensemble.mean_jacobian(states), ensemble.mean_jacobian(values))
        np.testing.assert_array_equal(ensemble.mean_absolute_jacobian(states), ensemble.mean_absolute_jacobian(values))


def test_velocities_and_slopes_take_the_forms_of_states() -> None:
    ensemble = random_ensemble("none", order=2)
    states, velocities = np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 0.0, -1.0]])
    table = pd.DataFrame(velocities[:, ::-1], columns=["c", "b", "a"])
    (expected,) = ensemble.forecast(states, [0.0, 1.0], velocities)
    for form in (table, velocities.tolist(), torch.tensor(velocities)):
        np.testing.assert_array_equal(ensemble.forecast(states, [0.0, 1.0], form)[0], expected)
        np.testing.assert_array_equal(ensemble.rates(states, form), ensemble.rates(states, velocities))
    with pytest.raises(UserError, match=r"velocities of shape \(2, 3\) do not fit initial states of shape \(1, 3\)"):
        ensemble.rates(states, np.zeros((2, 3)))


@pytest.mark.parametrize("features", [2, 20_000])
def test_a_model_says_what_it_is_on_one_screen(features: int) -> None:
    ensemble = linear()
    names = tuple(f"gene {'x' * 200}{number}" if features > 2 else "xy"[number] for number in range(features))
    members = tuple(Member(1.5 * number, number % 50, "finished" if number else "diverged", "", 9, 1.0)
                    for number in range(features))  # fmt: skip
    text = repr(replace(ensemble, members=members, features=names))
    lines = text.splitlines()
    assert len(lines) <= 10
    assert max(map(len, lines)) <= 250
    assert lines[0] == f"Ensemble of {features} trained members (sparsenode): dataset plane, model small, method none"
    assert f"variables ({features}): " in text
    assert f"  {features - 1} members finished, 1 diverged" in lines
    assert "strengths (2): 0, 1.5" in repr(replace(ensemble, members=members[:2]))
    assert str(ensemble) == repr(ensemble)
