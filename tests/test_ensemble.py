"""Trained ensembles: their file, and what they say of themselves."""

from __future__ import annotations

import itertools
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from sparsenode.dynamics import gates, network
from sparsenode.dynamics.network import Parameters
from sparsenode.ensemble import Ensemble, Member, join_ensembles, load_ensemble, save_ensemble
from sparsenode.errors import UserError
from sparsenode.model import initialize
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
        (np.zeros((1, 2)), [], "0 arrays of times"),
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
    pruned = replace(ensemble, parameters=network.prune_closed(ensemble.parameters, "elu", 1e-5))
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
