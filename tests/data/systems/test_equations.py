"""Rates beside equations written out by hand, published numbers, and the ranges of the starts."""

import numpy as np
import pytest

from sparsenode.data.simulated.systems.fitzhugh_nagumo import FitzHughNagumo
from sparsenode.data.simulated.systems.glycolysis import Glycolysis
from sparsenode.data.simulated.systems.kuramoto import Kuramoto
from sparsenode.data.simulated.systems.linear import Linear
from sparsenode.data.simulated.systems.lorenz96 import Lorenz96
from sparsenode.data.simulated.systems.lotka_volterra import LotkaVolterra
from sparsenode.data.simulated.systems.rossler import Rossler
from sparsenode.errors import UserError


def test_lorenz96_with_five_variables() -> None:
    x1, x2, x3, x4, x5 = state = np.array([0.3, -1.2, 2.5, 0.7, -0.4])
    expected = [
        (x2 - x4) * x5 - x1 + 8.0,
        (x3 - x5) * x1 - x2 + 8.0,
        (x4 - x1) * x2 - x3 + 8.0,
        (x5 - x2) * x3 - x4 + 8.0,
        (x1 - x3) * x4 - x5 + 8.0,
    ]
    np.testing.assert_allclose(Lorenz96(5, 8.0).rates(state), expected, rtol=1e-14)


def test_lorenz96_drives_each_variable_by_the_next_and_the_two_before() -> None:
    truth = Lorenz96(7, 8.0).truth()
    for target in range(7):
        assert set(np.flatnonzero(truth[:, target])) == {(target + shift) % 7 for shift in (-2, -1, 0, 1)}
    assert not Lorenz96(7, 8.0).signed


@pytest.mark.slow(reason="reads, simulates or preprocesses whole datasets")
def test_lorenz96_has_the_published_lyapunov_exponent() -> None:
    # 1.67 to 1.69 at F = 8 and N = 40 (Lorenz and Emanuel 1998: errors double in 2.1 days, .42 units of time).
    system, step = Lorenz96(40, 8.0), 0.05
    generator = np.random.default_rng(0)
    # Sixteen trajectories at once in place of a long one.
    state = 8.0 + generator.standard_normal((16, 40))
    tangent = generator.standard_normal((16, 40))

    def rates(state, tangent):
        return system.rates(state), np.einsum("rij,rj->ri", system.jacobian(state), tangent)

    growth = []
    for index in range(1200):
        slopes = [rates(state, tangent)]
        for share in (0.5, 0.5, 1.0):
            slopes.append(rates(state + share * step * slopes[-1][0], tangent + share * step * slopes[-1][1]))
        state, tangent = (
            value + step / 6.0 * (slopes[0][part] + 2 * slopes[1][part] + 2 * slopes[2][part] + slopes[3][part])
            for part, value in enumerate((state, tangent))
        )
        size = np.linalg.norm(tangent, axis=1, keepdims=True)
        tangent /= size
        if index >= 200:
            growth.append(np.log(size).mean())
    assert np.mean(growth) / step == pytest.approx(1.67, rel=0.05)


def test_rossler_with_six_variables() -> None:
    x1, x2, x3, x4, x5, x6 = state = np.array([0.3, -1.2, 2.5, 0.7, -0.4, 1.1])
    expected = [
        0.2 * x1 - x2,
        np.sin(x1) - np.sin(x3),
        np.sin(x2) - np.sin(x4),
        np.sin(x3) - np.sin(x5),
        x4,
        0.1 + 4.0 * x6 * (x5 - 2.0),
    ]
    np.testing.assert_allclose(Rossler(6, a=0.2).rates(state), expected, rtol=1e-14)


def test_rossler_without_a_has_no_effect_of_the_first_variable_on_itself() -> None:
    # In the published truth it has one whatever a is; all other pairs are the same.
    truth, published = Rossler(10).truth(), Rossler(10).published_truths()["ngm"]
    assert np.argwhere(truth != published).tolist() == [[0, 0]]
    np.testing.assert_array_equal(Rossler(10, a=0.1).truth(), published)
    # Two for each inner variable, two at the first, one and two at the last ones.
    assert published.sum() == 2 * 7 + 2 + 1 + 2


def test_lotka_volterra_with_two_groups() -> None:
    system = LotkaVolterra(4, 2, alpha=1.1, beta=0.2, delta=0.3, rho=1.2, eta=0.01)
    x1, x2, x3, x4, y1, y2, y3, y4 = state = np.array([2.0, 3.0, 0.5, 4.0, 1.0, 2.5, 3.5, 0.2])
    expected = [
        1.1 * x1 - 0.2 * x1 * (y1 + y2) - 0.01 * x1**2,
        1.1 * x2 - 0.2 * x2 * (y1 + y2) - 0.01 * x2**2,
        1.1 * x3 - 0.2 * x3 * (y3 + y4) - 0.01 * x3**2,
        1.1 * x4 - 0.2 * x4 * (y3 + y4) - 0.01 * x4**2,
        0.3 * y1 * (x1 + x2) - 1.2 * y1,
        0.3 * y2 * (x1 + x2) - 1.2 * y2,
        0.3 * y3 * (x3 + x4) - 1.2 * y3,
        0.3 * y4 * (x3 + x4) - 1.2 * y4,
    ]
    np.testing.assert_allclose(system.rates(state), expected, rtol=1e-13)
    assert system.variables[0] == "prey_1"
    assert system.variables[-1] == "predator_4"


def test_lotka_volterra_of_one_prey_and_one_predator_has_its_invariant() -> None:
    system = LotkaVolterra(1, 1, eta=0.0)
    prey, predator = np.moveaxis(system.solve(np.array([[5.0, 2.0]]), np.linspace(0.0, 12.0, 50))[0], -1, 0)
    invariant = (
        system.delta * prey - system.rho * np.log(prey) + system.beta * predator - system.alpha * np.log(predator)
    )
    np.testing.assert_allclose(invariant, invariant[0], rtol=1e-9)
    assert prey.max() > 2.0 * prey.min()


def test_lotka_volterra_has_the_published_noise_at_each_step() -> None:
    # Normal noise of deviation .1 after each step of .01, and no negative numbers.
    system = LotkaVolterra(2, 1, noise=0.1)
    states = np.array([[1.0, 2.0, 3.0, 4.0]])
    np.testing.assert_allclose(system.diffusion(states) * np.sqrt(0.01), 0.1)
    np.testing.assert_array_equal(system.constrain(np.array([-0.1, 0.0, 2.0, -3.0])), [0.0, 0.0, 2.0, 0.0])
    np.testing.assert_array_equal(LotkaVolterra(2, 1).diffusion(states), 0.0)


def test_kuramoto_phases() -> None:
    coupling = np.array([[0.0, 0.7, 0.0], [0.0, 0.0, 1.5], [0.4, 0.0, 0.0]])
    first, second, third = state = np.array([0.3, 2.0, 4.4])
    expected = [
        1.0 + 0.7 * np.sin(second - first),
        2.0 + 1.5 * np.sin(third - second),
        3.0 + 0.4 * np.sin(first - third),
    ]
    system = Kuramoto(np.array([1.0, 2.0, 3.0]), coupling)
    np.testing.assert_allclose(system.rates(state), expected, rtol=1e-13)
    # Whether (feature, feature) pairs are edges: both of a source on both of a target.
    truth = system.truth()
    for source, target in ((1, 0), (2, 1), (0, 2)):
        assert truth[np.ix_([source, source + 3], [target, target + 3])].all()
    assert not truth[np.ix_([0, 3], [1, 4])].any()


def test_two_kuramoto_oscillators_lock_where_their_coupling_exceeds_their_difference() -> None:
    # The difference obeys d' = 1 - K_sum sin d, so it rests at arcsin(1 / K_sum).
    system = Kuramoto(np.array([2.0, 3.0]), np.array([[0.0, 1.0], [1.0, 0.0]]))
    end = system.solve(np.array([[0.0, 0.5]]), np.array([0.0, 40.0]))[0, -1]
    assert end[1] - end[0] == pytest.approx(np.arcsin(0.5), abs=1e-7)


def test_an_uncoupled_kuramoto_oscillator_is_a_signed_circle() -> None:
    system = Kuramoto(np.array([1.5]), np.zeros((1, 1)))
    assert system.signed
    np.testing.assert_array_equal(system.truth(), [[0.0, 1.0], [-1.0, 0.0]])


def test_glycolysis_at_a_state_with_simple_fractions() -> None:
    # At S6 = K1 half of the first step is inhibited, v1 = 100 * 1 * .52 / 2 = 26.
    state = np.array([1.0, 0.5, 0.25, 0.125, 0.5, 0.52, 0.1])
    second, third, fourth, side = 6.0 * 0.5 * 0.5, 16.0 * 0.25 * 3.48, 100.0 * 0.125 * 0.5, 12.0 * 0.5 * 0.5
    exchange = 13.0 * 0.025
    expected = [
        2.5 - 26.0,
        52.0 - second - side,
        second - third,
        third - fourth - exchange,
        second - fourth - side,
        -52.0 + 2.0 * third - 1.28 * 0.52,
        0.1 * exchange - 1.8 * 0.1,
    ]
    np.testing.assert_allclose(Glycolysis().rates(state), expected, rtol=1e-12)


@pytest.mark.slow(reason="integrates a stiff system to a tight tolerance")
def test_glycolysis_oscillates_in_about_a_minute() -> None:
    # On the limit cycle ATP crosses its mean upward once a period.
    starts = Glycolysis().draw_starts(np.random.default_rng(0), 1)
    times = np.linspace(0.0, 6.0, 601)
    level = Glycolysis().solve(starts, times)[0, 300:, 5]
    above = level > level.mean()
    crossings = times[300:][1:][~above[:-1] & above[1:]]
    assert np.diff(crossings).mean() == pytest.approx(1.0, abs=0.3)
    assert level.max() - level.min() > 0.5


def test_glycolysis_loses_an_edge_where_two_constants_are_the_same() -> None:
    system = Glycolysis(k6=6.0)
    states = system.draw_starts(np.random.default_rng(0), 20)
    assert (system.jacobian(states)[:, 1, 4] == 0.0).all()
    assert not system.edges()[4, 1]
    assert Glycolysis().edges()[4, 1]


def test_fitzhugh_nagumo_neurons() -> None:
    system = FitzHughNagumo(np.array([[0.0, 0.3], [0.0, 0.0]]), current=0.4)
    v1, v2, w1, w2 = state = np.array([0.5, -1.2, 0.3, 0.8])
    expected = [
        v1 - v1**3 / 3 - w1 + 0.4 + 0.3 * (v2 - v1),
        v2 - v2**3 / 3 - w2 + 0.4,
        (v1 + 0.7 - 0.8 * w1) / 12.5,
        (v2 + 0.7 - 0.8 * w2) / 12.5,
    ]
    np.testing.assert_allclose(system.rates(state), expected, rtol=1e-13)


@pytest.mark.slow(reason="reads, simulates or preprocesses whole datasets")
def test_a_fitzhugh_nagumo_neuron_fires_again_and_again() -> None:
    system = FitzHughNagumo(np.zeros((1, 1)))
    times = np.linspace(0.0, 170.0, 1701)
    voltage = system.solve(np.array([[0.0, 0.0]]), times)[0, :, 0]
    spikes = times[1:][(voltage[:-1] < 1.0) & (voltage[1:] >= 1.0)]
    assert np.diff(spikes[1:]) == pytest.approx(39.5, abs=1.0)


def test_a_linear_system_without_couplings_only_decays() -> None:
    system = Linear.draw(np.random.default_rng(0), 4, density=0.0, slowest_decay=0.5)
    np.testing.assert_array_equal(system.truth(), -np.eye(4))
    times = np.linspace(0.0, 3.0, 7)
    states = system.solve(np.ones((2, 4)), times)
    np.testing.assert_allclose(states, np.broadcast_to(np.exp(-0.5 * times)[:, None], states.shape), rtol=1e-12)


@pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 1.0])
def test_a_linear_system_of_any_density_is_stable(density: float) -> None:
    system = Linear.draw(np.random.default_rng(1), 30, density=density, slowest_decay=0.2)
    assert np.linalg.eigvals(system.matrix).real.max() == pytest.approx(-0.2, abs=1e-9)
    off_diagonal = system.edges()[~np.eye(30, dtype=bool)]
    assert off_diagonal.mean() == pytest.approx(density, abs=0.05)
    assert system.signed
    sizes = np.abs(system.matrix)[~np.eye(30, dtype=bool) & (system.matrix != 0.0)]
    assert ((sizes >= 0.5) & (sizes <= 1.5)).all()


def test_linear_times_may_differ_between_trajectories() -> None:
    system = Linear.draw(np.random.default_rng(1), 3, density=0.5)
    starts = system.draw_starts(np.random.default_rng(2), 2)
    times = np.array([[0.0, 0.5, 2.0], [0.0, 1.0, 1.5]])
    together = system.solve(starts, times)
    for index in range(2):
        np.testing.assert_allclose(together[index], system.solve(starts[[index]], times[index])[0], rtol=1e-12)


@pytest.mark.parametrize(
    ("system", "low", "high"),
    [
        (LotkaVolterra(), 10.0, 100.0),
        (Kuramoto.draw(np.random.default_rng(0), 4), 0.0, 2.0 * np.pi),
        (Glycolysis(), [0.15, 0.19, 0.04, 0.10, 0.08, 0.14, 0.05], [1.60, 2.16, 0.20, 0.35, 0.30, 2.67, 0.10]),
        (FitzHughNagumo(np.zeros((2, 2))), [-2.0, -2.0, -0.5, -0.5], [2.0, 2.0, 1.5, 1.5]),
    ],
)
def test_uniform_starts_fill_their_range(system, low, high) -> None:
    starts = system.draw_starts(np.random.default_rng(0), 2000)
    share = (starts - low) / (np.asarray(high) - low)
    assert (share >= 0.0).all()
    assert (share <= 1.0).all()
    np.testing.assert_allclose(share.mean(axis=0), 0.5, atol=0.03)
    np.testing.assert_allclose(share.std(axis=0), np.sqrt(1.0 / 12.0), atol=0.02)


@pytest.mark.parametrize(
    ("system", "deviation"), [(Lorenz96(5, 8.0), 0.01), (Rossler(5), 0.01), (Linear(-np.eye(5)), 1.0)]
)
def test_normal_starts_have_their_deviation(system, deviation) -> None:
    starts = system.draw_starts(np.random.default_rng(0), 2000) / deviation
    np.testing.assert_allclose(starts.mean(axis=0), 0.0, atol=0.1)
    np.testing.assert_allclose(starts.std(axis=0), 1.0, atol=0.06)


def test_systems_that_are_too_small_or_uneven_are_refused() -> None:
    with pytest.raises(UserError, match="Lorenz96 has 3 variables; it needs 4 or more"):
        Lorenz96(3, 8.0)
    with pytest.raises(UserError, match="Rossler has 2 variables; it needs 3 or more"):
        Rossler(2)
    with pytest.raises(UserError, match="5 prey with 2 predators each; the first must be a multiple of the second"):
        LotkaVolterra(5, 2)
