import warnings

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from sparsenode.data.simulated import simulation
from sparsenode.data.simulated.equations import compile_equations
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError

TIMES = np.array([0.0, 2.0, 9.0])
STARTS = np.array([[0.25, 0.4], [0.9, 0.1]])


def solve_equations(*equations: str, starts: Floats = STARTS) -> Floats:
    system = compile_equations([(text, "made") for text in equations], ["A", "B"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return system.solve(starts, TIMES, genes=["A", "B"])


def test_a_sound_system_is_solved_to_the_same_bits_as_without_a_watch() -> None:
    equations = ["1 * fAct(B, 0.4, 1.5) - 1 * A", "A * B - 2 * B"]
    system = compile_equations([(text, "made") for text in equations], ["A", "B"])
    expected = solve_ivp(
        lambda _, flat: system.rates(flat.reshape(STARTS.shape)).ravel(), (0.0, 9.0), STARTS.ravel(), method="DOP853",
        t_eval=TIMES, rtol=1e-11, atol=1e-12,
    )  # fmt: skip
    found = solve_equations(*equations)
    np.testing.assert_array_equal(found, expected.y.reshape(2, 2, 3).swapaxes(1, 2))


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
@pytest.mark.parametrize(
    ("equation", "message"),
    [
        # From 0.9 on the solution is 1 / (1 / 0.9 - t).
        ("A * A", r"beyond time 1\.11111: A changes without bound, by .* a unit of time; take earlier times or other"),
        ("1e200 * A", r"beyond time [0-9.]+e-[0-9]+: A changes without bound, by 9e\+199 a unit of time; take earlier"),
        ("1e308 - 1e308 * A", r"beyond time [0-9.]+e-[0-9]+: A (is not finite|changes without bound)"),
        ("1e300 * (1e300 * A)", r"beyond time 0: A is not finite"),
    ],
)
def test_a_system_without_bound_is_refused_with_its_time_and_node(equation: str, message: str) -> None:
    with pytest.raises(UserError, match=f"cannot solve the simulated system {message}"):
        solve_equations(equation, "input gene")
    with pytest.raises(UserError, match=f"cannot solve the simulated system {message.replace('A', 'B')}"):
        solve_equations("input gene", equation.replace("A", "B"), starts=STARTS[:, ::-1])


def test_a_system_that_is_too_fast_ends_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "_MOST_EVALUATIONS", 3000)
    with pytest.raises(UserError, match=r"beyond time [0-9.]+e-0[5-7]: 3000 evaluations .* no farther, and A changes"):
        solve_equations("1e8 * B - 1e8 * A", "input gene")
    # With as many evaluations a slower one is solved.
    assert np.isfinite(solve_equations("10 * B - 10 * A", "input gene")).all()


def test_nodes_without_names_are_called_by_their_numbers() -> None:
    system = compile_equations([("input gene", "made"), ("B * B", "made")], ["A", "B"])
    with pytest.raises(UserError, match=r"beyond time 2\.5: node 1 changes without bound"):
        system.solve(STARTS, TIMES)


def test_more_evaluations_can_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "_MOST_EVALUATIONS", 30)
    start, times = np.array([[1.0, 0.0]]), np.array([0.0, 6.0])

    def turn(states: Floats) -> Floats:
        return np.stack([states[:, 1], -states[:, 0]], axis=1)

    with pytest.raises(UserError, match="30 evaluations of its rates reach no farther"):
        simulation.solve_rates(turn, start, times)
    with pytest.raises(UserError, match="40 evaluations of its rates reach no farther"):
        simulation.solve_rates(turn, start, times, most_evaluations=40)
    found = simulation.solve_rates(turn, start, times, most_evaluations=2000)[0, 1]
    np.testing.assert_allclose(found, [np.cos(6.0), -np.sin(6.0)], atol=1e-9)


def decay(states: Floats) -> Floats:
    return -0.5 * states


def test_a_simulation_without_noise_is_of_order_four() -> None:
    times = np.array([0.0, 1.0, 3.5])
    errors = []
    for step in (0.5, 0.25):
        states = simulation.solve_with_noise(
            decay, np.zeros_like, np.ones((1, 1)), times, step=step, generator=np.random.default_rng(0)
        )
        errors.append(abs(states[0, 2, 0] - np.exp(-1.75)))
    assert errors[0] / errors[1] == pytest.approx(16.0, rel=0.2)
    assert errors[1] < 1e-5


def test_a_simulation_with_noise_has_the_variance_of_the_ornstein_uhlenbeck_process() -> None:
    # dx = -x/2 dt + .4 dW from 1: mean exp(-t/2), variance .4^2 (1 - exp(-t)).
    times = np.array([0.0, 0.4, 2.0])
    states = simulation.solve_with_noise(
        decay,
        lambda states: np.full_like(states, 0.4),
        np.ones((20_000, 1)),
        times,
        step=0.02,
        generator=np.random.default_rng(0),
    )[:, :, 0]
    np.testing.assert_allclose(states.mean(axis=0), np.exp(-0.5 * times), atol=0.008)
    np.testing.assert_allclose(states.var(axis=0), 0.16 * (1.0 - np.exp(-times)), atol=0.004)


def test_a_simulation_with_noise_keeps_to_what_is_allowed_and_to_its_steps() -> None:
    calls = []

    def count(states: Floats) -> Floats:
        calls.append(len(states))
        return -states

    states = simulation.solve_with_noise(
        count,
        np.ones_like,
        np.ones((3, 2)),
        np.array([0.3, 0.4]),
        step=0.1,
        generator=np.random.default_rng(0),
        constrain=lambda states: np.maximum(states, 0.9),
    )
    assert (states >= 0.9).all()
    assert len(calls) == 4 * 4  # three steps before the first time and one after it
    assert states.shape == (3, 2, 2)


def test_a_simulation_with_noise_that_grows_without_bound_is_refused() -> None:
    with pytest.raises(UserError, match=r"beyond time 0: B is not finite; take a shorter step than 0\.5, less noise"):
        simulation.solve_with_noise(
            lambda states: states * np.array([0.0, 1e200]),
            np.zeros_like,
            np.ones((1, 2)),
            np.array([0.0, 5.0]),
            step=0.5,
            generator=np.random.default_rng(0),
            names=["A", "B"],
        )
