"""What holds of every benchmark system."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from sparsenode.data.simulated.system import System
from sparsenode.data.simulated.systems.fitzhugh_nagumo import FitzHughNagumo
from sparsenode.data.simulated.systems.glycolysis import Glycolysis
from sparsenode.data.simulated.systems.kuramoto import Kuramoto
from sparsenode.data.simulated.systems.linear import Linear
from sparsenode.data.simulated.systems.lorenz96 import Lorenz96
from sparsenode.data.simulated.systems.lotka_volterra import LotkaVolterra
from sparsenode.data.simulated.systems.rossler import Rossler
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError

SYSTEMS: dict[str, System] = {
    "lorenz96": Lorenz96(6, 10.0),
    "lorenz96_smallest": Lorenz96(4, 8.0),
    "rossler": Rossler(8),
    "rossler_with_a": Rossler(5, a=0.1),
    "rossler_smallest": Rossler(3),
    "lotka_volterra": LotkaVolterra(4, 2, lowest_start=1.0, highest_start=5.0),
    "kuramoto": Kuramoto.draw(np.random.default_rng(3), 5, density=0.3),
    "glycolysis": Glycolysis(),
    "fitzhugh_nagumo": FitzHughNagumo.draw(np.random.default_rng(3), 5, density=0.3),
    "linear": Linear.draw(np.random.default_rng(3), 6, density=0.3, slowest_decay=3.0),
    "linear_without_edges": Linear.draw(np.random.default_rng(3), 4, density=0.0),
}


@pytest.fixture(params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> System:
    return SYSTEMS[request.param]


def trajectory(system: System, *, horizon: float = 3.0) -> Floats:
    """States (time, variable) along four trajectories."""
    starts = system.draw_starts(np.random.default_rng(5), 4)
    return system.solve(starts, np.linspace(0.0, horizon, 40)).reshape(-1, len(system.variables))


def feature_rates(system: System, features: Floats) -> Floats:
    """Rates of what is observed, as equations in nothing else."""
    if not isinstance(system, Kuramoto):
        return system.rates(features)
    cosine, sine = np.split(features, 2, axis=-1)
    speed = np.empty_like(cosine)
    for target, frequency in enumerate(system.frequency):
        pulls = system.coupling[target] * (sine * cosine[..., [target]] - cosine * sine[..., [target]])
        speed[..., target] = frequency + pulls.sum(axis=-1)
    return np.concatenate([-sine * speed, cosine * speed], axis=-1)


def complex_jacobian(system: System, features: Floats) -> Floats:
    """Derivatives (row, target, source) of the features' rates by a complex step, exact to rounding."""
    count = features.shape[-1]
    columns = [feature_rates(system, features + 1e-30j * np.eye(count)[source]).imag / 1e-30 for source in range(count)]
    return np.stack(columns, axis=-1)


def test_jacobian_is_that_of_the_rates(system: System) -> None:
    states = trajectory(system)
    count = len(system.variables)
    steps = 1e-30j * np.eye(count)
    expected = np.stack([system.rates(states + steps[source]).imag / 1e-30 for source in range(count)], axis=-1)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(system.jacobian(states), expected, rtol=1e-11, atol=1e-13 * scale)
    # Leading axes are free.
    np.testing.assert_array_equal(system.jacobian(states[0]), system.jacobian(states)[0])
    np.testing.assert_array_equal(system.jacobian(states[None])[0], system.jacobian(states))
    np.testing.assert_allclose(system.rates(states[None, :3])[0], system.rates(states[:3]), rtol=1e-13, atol=1e-13)


def test_truth_is_the_pattern_of_the_jacobian_along_a_trajectory(system: System) -> None:
    features = system.observe(trajectory(system))
    pattern = (complex_jacobian(system, features) != 0.0).any(axis=0).T
    np.testing.assert_array_equal(system.truth() != 0.0, pattern)
    assert system.truth().shape == (len(system.features), len(system.features))
    np.testing.assert_array_equal(system.truth() != 0.0, system.edges())


def test_signs_hold_at_every_state_and_the_others_change(system: System) -> None:
    signs, edges = system.signs(), system.edges()
    jacobian = complex_jacobian(system, system.observe(trajectory(system))).swapaxes(-1, -2)
    assert (signs[~edges] == 0.0).all()
    assert (signs * jacobian >= 0.0).all()
    assert ((signs * jacobian).max(axis=0) > 0.0)[signs != 0.0].all()
    assert system.signed == (signs[edges] != 0.0).all()
    np.testing.assert_array_equal(system.truth(), np.where(edges, signs if system.signed else 1.0, 0.0))


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("lorenz96", 5.0),
        ("rossler_with_a", 3.0),
        ("lotka_volterra", 8.0),
        ("fitzhugh_nagumo", 2.0),
        ("glycolysis", 1.0),
    ],
)
def test_edges_without_a_sign_have_both(name: str, scale: float) -> None:
    system = SYSTEMS[name]
    generator = np.random.default_rng(2)
    states = scale * generator.standard_normal((2000, len(system.variables)))
    if name in {"lotka_volterra", "glycolysis"}:
        states = np.abs(states)
    jacobian = system.jacobian(states).swapaxes(-1, -2)
    open_edges = system.edges() & (system.signs() == 0.0)
    assert open_edges.any()
    assert ((jacobian.min(axis=0) < 0.0) & (jacobian.max(axis=0) > 0.0))[open_edges].all()


def test_two_solvers_agree(system: System) -> None:
    starts = system.draw_starts(np.random.default_rng(1), 2)
    times = np.array([0.0, 0.4, 1.0])
    states = system.solve(starts, times)
    for start, solved in zip(starts, states, strict=True):
        expected = solve_ivp(
            lambda _, state: system.rates(state), (0.0, 1.0), start, method="Radau", t_eval=times,
            jac=lambda _, state: system.jacobian(state), rtol=1e-9, atol=1e-11,
        )  # fmt: skip
        scale = max(1.0, np.abs(solved).max())
        np.testing.assert_allclose(solved / scale, expected.y.T / scale, atol=1e-6)


def test_a_held_variable_stays(system: System) -> None:
    starts = system.draw_starts(np.random.default_rng(1), 2)
    states = system.solve(starts, np.array([0.0, 0.2, 0.5]), {1: 0.25})
    np.testing.assert_allclose(states[:, :, 1], 0.25, atol=1e-13)
    with pytest.raises(UserError, match="cannot hold"):
        system.solve(starts, np.array([1.0]), {99: 0.0})


def test_names_are_one_for_each_number(system: System) -> None:
    states = system.draw_starts(np.random.default_rng(0), 3)
    assert states.shape == (3, len(system.variables))
    assert system.observe(states).shape == (3, len(system.features))
    assert len(set(system.features)) == len(system.features)


def test_starts_are_drawn_by_the_generator(system: System) -> None:
    first, again, other = (system.draw_starts(np.random.default_rng(seed), 3) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_a_parameter_is_multiplied_and_nothing_else(system: System) -> None:
    states = trajectory(system, horizon=1.0)
    for name in system.parameters:
        if np.all(getattr(system, name) == 0.0):
            continue
        changed = system.with_parameter(name, 3.0)
        np.testing.assert_array_equal(getattr(changed, name), 3.0 * np.asarray(getattr(system, name)))
        rates_change = not np.array_equal(changed.rates(states), system.rates(states))
        noise_changes = not np.array_equal(changed.diffusion(states), system.diffusion(states))
        assert rates_change != noise_changes
        back = changed.with_parameter(name, 1.0 / 3.0)
        np.testing.assert_allclose(back.rates(states), system.rates(states), rtol=1e-9, atol=1e-12)


def test_an_unknown_parameter_or_a_factor_of_zero_is_refused(system: System) -> None:
    name = system.parameters[0]
    with pytest.raises(UserError, match=rf"has no parameter '{name}s'; the nearest: {name}"):
        system.with_parameter(name + "s", 2.0)
    for factor in (0.0, -2.0, np.nan, np.inf):
        with pytest.raises(UserError, match=f"cannot multiply the parameter {name} by {factor}"):
            system.with_parameter(name, factor)
