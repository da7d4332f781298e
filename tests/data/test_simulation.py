import warnings

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from sparsenode.data.simulated import simulation
from sparsenode.data.simulated.equations import compile_equations, solve
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError

TIMES = np.array([0.0, 2.0, 9.0])
STARTS = np.array([[0.25, 0.4], [0.9, 0.1]])


def solve_equations(*equations: str, starts: Floats = STARTS) -> Floats:
    system = compile_equations([(text, "made") for text in equations], ["A", "B"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return solve(system, starts, TIMES, genes=["A", "B"])


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
        solve(system, STARTS, TIMES)
