"""Paths of one-dimensional equations and their sensitivities, beside automatic differentiation and exact solutions."""

import pytest
import torch
from torch.autograd.functional import jacobian as automatic_jacobian
from torch.autograd.functional import jvp

from sparsenode.inference.networks import Inputs, Layout, parameter_sensitivity, solve_targets, start_sensitivity

LAYOUT = Layout(inputs=3, units=4)


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    steps = torch.rand((5, 6), generator=generator, dtype=torch.float64) * 0.3
    steps[0, 4:] = 0.0
    inputs = Inputs(values=draw(2, 5, 13, 2), steps=steps, slope=torch.tensor([1.3, 0.7], dtype=torch.float64))
    return LAYOUT.draw(2, generator) + 0.3 * draw(2, LAYOUT.size), draw(2, 5), inputs


def test_sensitivities_to_parameters_are_those_of_automatic_differentiation(problem):
    parameters, start, inputs = problem
    path = solve_targets(LAYOUT, parameters, start, inputs)
    _, jacobian = parameter_sensitivity(LAYOUT, parameters, path, inputs)
    automatic = automatic_jacobian(
        lambda changed: solve_targets(LAYOUT, changed, start, inputs).states.sum(0), parameters
    )
    torch.testing.assert_close(jacobian, automatic[:, 1:].permute(2, 0, 1, 3), rtol=1e-12, atol=1e-13)


def test_sensitivities_to_the_start_are_those_of_automatic_differentiation(problem):
    parameters, start, inputs = problem
    path = solve_targets(LAYOUT, parameters, start, inputs)
    along = start_sensitivity(LAYOUT, parameters, path, inputs)
    automatic = jvp(
        lambda changed: solve_targets(LAYOUT, parameters, changed, inputs).states, start, torch.ones_like(start)
    )[1]
    torch.testing.assert_close(along, automatic, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(parameter_sensitivity(LAYOUT, parameters, path, inputs)[0], along)


def test_a_linear_rate_gives_the_exponential():
    layout = Layout(inputs=2, units=1)
    parameters = torch.zeros((1, layout.size), dtype=torch.float64)
    _, _, _, linear, constant = layout.split(parameters)
    linear[0, 0], linear[0, 1], constant[0] = -1.0, 2.0, 0.5
    steps = torch.full((1, 40), 0.05, dtype=torch.float64)
    time = torch.linspace(0.0, 2.0, 81, dtype=torch.float64)
    inputs = Inputs(values=time.sin()[None, None, :, None], steps=steps, slope=torch.ones(1, dtype=torch.float64))
    states = solve_targets(layout, parameters, torch.zeros((1, 1), dtype=torch.float64), inputs).states[0, 0]
    at = time[::2]
    exact = 0.5 * (1 - (-at).exp()) + at.sin() - at.cos() + (-at).exp()
    torch.testing.assert_close(states, exact, rtol=0, atol=1e-7)


def test_what_a_mask_leaves_out_is_the_weights_of_that_input():
    free = LAYOUT.free(torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64))
    first, bias, second, linear, constant = LAYOUT.split(free)
    assert first[0].sum(1).tolist() == [4.0, 0.0, 4.0]
    assert linear[0].tolist() == [1.0, 0.0, 1.0]
    assert bias.min() == second.min() == constant.min() == 1.0


def test_steps_of_no_length_leave_the_state_as_it_is(problem):
    parameters, start, inputs = problem
    states = solve_targets(LAYOUT, parameters, start, inputs).states
    assert torch.equal(states[:, 0, 4], states[:, 0, 6])
    assert not torch.equal(states[:, 1, 4], states[:, 1, 6])
