"""Systems of dysts beside equations written out by hand, dysts' own Jacobians, and the published second network."""

import sys

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from sparsenode.data.simulated.systems import dysts as module
from sparsenode.data.simulated.systems.dysts import Dysts, dysts_names
from sparsenode.errors import UserError

STATES = np.array([[1.0, 2.0, 3.0], [-0.4, 0.3, 20.0], [5.0, -7.0, 0.1]])


def test_the_lorenz_system() -> None:
    x, y, z = STATES.T
    expected = np.stack([10.0 * (y - x), x * (28.0 - z) - y, x * y - 2.667 * z], axis=-1)
    lorenz = Dysts("Lorenz")
    np.testing.assert_allclose(lorenz.rates(STATES), expected, rtol=1e-13)
    np.testing.assert_allclose(lorenz.rates(STATES[1]), expected[1], rtol=1e-13)
    assert lorenz.variables == ("x", "y", "z")
    assert lorenz.period == pytest.approx(1.5008)
    assert 1.0 / lorenz.lyapunov_time == pytest.approx(0.8917, abs=1e-4)
    halved = lorenz.with_parameter("rho", 0.5)
    np.testing.assert_allclose(halved.rates(STATES)[:, 1], x * (14.0 - z) - y, rtol=1e-13)
    np.testing.assert_allclose(halved.with_parameter("rho", 2.0).rates(STATES), expected, rtol=1e-13)
    # dysts holds parameters in one place for all systems of a name.
    np.testing.assert_allclose(Dysts("Lorenz").rates(STATES), expected, rtol=1e-13)


def test_the_published_network_of_lorenz_lacks_what_cancels_at_ones() -> None:
    # Targets x, y, z; at x = y = z = 1 and all parameters 1 the derivative rho - z of y by x is 0.
    truth = np.array([[1, 1, 1], [1, 1, 1], [0, 1, 1]])
    lorenz = Dysts("Lorenz")
    np.testing.assert_array_equal(lorenz.truth(), truth)
    published = lorenz.published_truths()["causaldynamics"]
    assert np.argwhere(published != truth).tolist() == [[0, 1]]
    assert not lorenz.signed


def test_a_system_of_four_variables_has_no_published_network() -> None:
    # The energy x^2/2 + y^2/2 + lambda (x^2 y - y^3/3), so that each velocity depends on both positions.
    system = Dysts("HenonHeiles")
    assert system.published_truths() == {}
    np.testing.assert_array_equal(system.truth(), [[0, 0, 1, 1], [0, 0, 1, 1], [1, 0, 0, 0], [0, 1, 0, 0]])


@pytest.mark.parametrize("name", ["Lorenz", "Rucklidge", "SprottA", "Chua", "ThomasLabyrinth"])
def test_jacobian_is_that_of_dysts_and_has_the_pattern_of_the_truth(name: str) -> None:
    import dysts.flows

    system, flow = Dysts(name), getattr(dysts.flows, name)()
    states = system._attractor[::20]
    arguments = [flow.params[key] for key in sorted(flow.params)]
    expected = np.stack([np.array(flow._jac.py_func(*state, 0.0, *arguments), dtype=float) for state in states])
    # Chua's is not continuous at x = 1 and -1.
    smooth = (np.abs(np.abs(states[:, 0]) - 1.0) > 1e-3) if name == "Chua" else np.ones(len(states), dtype=bool)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(system.jacobian(states)[smooth], expected[smooth], rtol=1e-7, atol=1e-8 * scale)
    np.testing.assert_array_equal(system.truth(), (expected != 0.0).any(axis=0).T)


@pytest.mark.parametrize("name", ["Lorenz", "MultiChua", "CellularNeuralNetwork"])
def test_rates_are_those_that_dysts_integrates(name: str) -> None:
    import dysts.flows

    flow, system = getattr(dysts.flows, name)(), Dysts(name)
    states = flow.ic * np.array([[0.5], [1.0], [1.3]])
    np.testing.assert_allclose(system.rates(states), [np.ravel(flow(state, 0.0)) for state in states], rtol=1e-12)
    np.testing.assert_array_equal(system.rates(states[None, 1])[0], system.rates(states)[1])


def test_two_solvers_agree() -> None:
    system = Dysts("Rucklidge")
    times = np.linspace(0.0, 2.0 * system.period, 9)
    expected = solve_ivp(
        lambda _, state: system.rates(state), (0.0, times[-1]), system._start, method="LSODA", t_eval=times,
        rtol=1e-11, atol=1e-12,
    )  # fmt: skip
    np.testing.assert_allclose(system.solve(system._start[None], times)[0], expected.y.T, atol=1e-6)


def test_starts_are_shares_of_the_default_one() -> None:
    system = Dysts("Lorenz")
    starts = system.draw_starts(np.random.default_rng(0), 500)
    shares = starts / system._start
    np.testing.assert_allclose(shares, shares[:, :1].repeat(3, axis=1), rtol=1e-13)
    assert 0.0 < shares.min() < 0.02
    assert 0.98 < shares.max() < 1.0


@pytest.mark.slow(reason="integrates a chaotic system to a tight tolerance")
def test_starts_off_the_attractor_are_drawn_again_and_counted() -> None:
    # Most multiples of the default start of this system escape to infinity.
    system = Dysts("SprottJerk")
    times = np.linspace(0.0, 2.0 * system.period, 40)
    starts, states, redraws = system.draw_solved(np.random.default_rng(0), 2, times)
    assert states.shape == (2, 40, 3)
    assert redraws > 0
    assert np.isfinite(states).all()
    np.testing.assert_array_equal(states[:, 0], starts)
    shares = starts / system._start
    np.testing.assert_allclose(shares, shares[:, :1].repeat(3, axis=1), rtol=1e-12)
    lorenz = Dysts("Lorenz")
    starts, states, redraws = lorenz.draw_solved(np.random.default_rng(4), 3, np.linspace(0.0, 1.0, 5))
    assert redraws == 0
    np.testing.assert_array_equal(states[:, 0], starts)
    np.testing.assert_array_equal(starts, lorenz.draw_starts(np.random.default_rng(4), 3))


@pytest.mark.slow(reason="integrates a chaotic system to a tight tolerance")
def test_a_system_that_comes_to_rest_ends_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_DRAWS", 2)
    # At rho = 14 the Lorenz system spirals into a fixed point.
    system = Dysts("Lorenz").with_parameter("rho", 0.5)
    with pytest.raises(UserError, match="the dysts system Lorenz has left its attractor from 2 starts one after"):
        system.draw_solved(np.random.default_rng(0), 1, np.linspace(0.0, 60.0, 50))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lorens", "dysts has no system 'lorens'; the nearest: Lorenz, "),
        ("DynSys", "dysts has no system 'DynSys'"),
        ("MackeyGlass", "MackeyGlass is not a data source: its rates depend on states of the past"),
        ("Duffing", "Duffing is not a data source: its rates depend on the time"),
        ("DoublePendulum", "DoublePendulum is not a data source: one of its variables grows without bound"),
    ],
)
def test_systems_that_are_no_equations_of_the_state_are_refused(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Dysts(name)


def test_unknown_parameters_are_refused() -> None:
    with pytest.raises(UserError, match="the system dysts Lorenz has no parameter 'roh'; the nearest: rho"):
        Dysts("Lorenz").with_parameter("roh", 2.0)
    with pytest.raises(UserError, match="cannot multiply the parameter rho by 0"):
        Dysts("Lorenz").with_parameter("rho", 0.0)


def test_names_are_those_that_can_be_data_sources() -> None:
    names = dysts_names()
    assert len(names) == 110
    assert {"Lorenz", "HenonHeiles", "Lorenz96"} <= set(names)
    assert not {"MackeyGlass", "Duffing", "DoublePendulum", "DynSys"} & set(names)


def test_without_the_package_a_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dysts", None)
    monkeypatch.setitem(sys.modules, "dysts.flows", None)
    with pytest.raises(UserError, match=r"dysts is not installed; install it with: pip install \"sparsenode\[bench"):
        Dysts("Lorenz")
