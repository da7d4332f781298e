import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsenode.dynamics import gates

CLOSED = math.log(0.1 / 1.1)  # -2.398: 1.2 sigmoid(log alpha) = 0.1
EVEN = torch.logit((torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000)  # logistic noise without chance
log_alphas = st.floats(-6, 6)


def test_closed_below_minus_2_398_and_open_above() -> None:
    assert pytest.approx(-2.398, abs=5e-4) == CLOSED
    below, above = gates.deterministic(torch.tensor([CLOSED - 1e-3, CLOSED + 1e-3]))
    assert below == 0.0
    assert above > 0.0
    assert gates.deterministic(torch.tensor([-2.399, -50.0, -1e9])).tolist() == [0.0, 0.0, 0.0]
    assert gates.deterministic(torch.tensor([2.399, 50.0, 1e9])).tolist() == [1.0, 1.0, 1.0]


@settings(deadline=None)
@given(log_alphas)
def test_deterministic_gate_is_the_formula(log_alpha: float) -> None:
    expected = min(1.0, max(0.0, 1.2 / (1 + math.exp(-log_alpha)) - 0.1))
    assert float(gates.deterministic(torch.tensor(log_alpha, dtype=torch.float64))) == pytest.approx(expected)


def test_a_gate_that_just_closed_in_evaluation_is_open_with_31_percent_in_training() -> None:
    assert float(gates.open_probability(torch.tensor(CLOSED))) == pytest.approx(0.31, abs=0.005)
    assert float(gates.open_probability(torch.tensor(0.0))) == pytest.approx(0.83, abs=0.005)


@pytest.mark.parametrize("log_alpha", [-4.0, -2.398, -0.5, 0.0, 2.0, 5.0])
def test_share_of_open_draws_is_the_open_probability(log_alpha: float) -> None:
    value = torch.tensor(log_alpha, dtype=torch.float64)
    drawn = gates.sample(value.expand_as(EVEN), EVEN)
    share = float((drawn > 0).double().mean())
    assert share == pytest.approx(float(gates.open_probability(value)), abs=2e-5)


@pytest.mark.parametrize("log_alpha", [-4.0, 0.0, 3.0])
def test_draws_follow_the_hard_concrete_distribution(log_alpha: float) -> None:
    """Equation 23 of Louizos et al.: the stretched concrete's distribution function, at points inside (0, 1)."""
    drawn = gates.sample(torch.tensor(log_alpha, dtype=torch.float64).expand_as(EVEN), EVEN)
    for point in (0.05, 0.3, 0.5, 0.9, 0.999):
        inside = (point + 0.1) / 1.2
        expected = 1 / (1 + math.exp(log_alpha - gates.TEMPERATURE * math.log(inside / (1 - inside))))
        assert float((drawn <= point).double().mean()) == pytest.approx(expected, abs=2e-5)
    assert float(drawn.min()) >= 0.0
    assert float(drawn.max()) <= 1.0


@pytest.mark.slow(reason="draws or differentiates many networks")
def test_random_draws_match_the_open_probability() -> None:
    log_alpha = torch.tensor([[-3.0], [-1.0], [0.5]])
    noise = torch.logit(torch.rand(3, 40_000, generator=torch.Generator().manual_seed(0)))
    share = (gates.sample(log_alpha, noise) > 0).float().mean(1)
    torch.testing.assert_close(share, gates.open_probability(log_alpha)[:, 0], atol=0.01, rtol=0)


@settings(deadline=None)
@given(log_alphas, log_alphas, st.floats(0, 1))
def test_a_larger_log_alpha_never_closes_a_gate(one: float, other: float, uniform: float) -> None:
    low, high = torch.tensor(sorted((one, other)), dtype=torch.float64)
    noise = torch.tensor(uniform, dtype=torch.float64).logit()
    assert gates.sample(low, noise) <= gates.sample(high, noise)
    assert gates.deterministic(low) <= gates.deterministic(high)
    assert gates.open_probability(low) <= gates.open_probability(high)


def test_noise_at_its_ends_is_finite_with_finite_gradients() -> None:
    log_alpha = torch.zeros(4, requires_grad=True)
    drawn = gates.sample(log_alpha, torch.tensor([-torch.inf, torch.inf, -60.0, 16.0]))
    assert drawn.tolist() == [0.0, 1.0, 0.0, 1.0]
    drawn.sum().backward()
    assert torch.isfinite(log_alpha.grad).all()


def test_gradients_of_a_draw() -> None:
    log_alpha = torch.linspace(-1, 1, 7, dtype=torch.float64, requires_grad=True)
    noise = torch.linspace(-0.8, 0.8, 7, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda values: gates.sample(values, noise), log_alpha)
    assert torch.autograd.gradcheck(gates.open_probability, log_alpha)
    assert torch.autograd.gradcheck(gates.deterministic, log_alpha)


@pytest.mark.parametrize(("stands_on", "last"), [("weight", (5, 3)), ("unit", (1, 1))])
def test_gates_stand_on_weights_or_on_input_units(stands_on: str, last: tuple[int, int]) -> None:
    made = [gates.initialize(torch.zeros(2, *shape), stands_on) for shape in ((4, 5), (5, 3))]
    assert [tuple(one.shape) for one in made] == [(2, 4, last[0]), (2, 5, last[1])]
    assert all((gates.deterministic(one) > 0.9).all() for one in made)
