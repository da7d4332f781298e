"""Levenberg-Marquardt refits with projected starts, beside closed forms and brute force."""

from dataclasses import replace

import pytest
import torch

from sparsenode.inference.networks import Inputs, Layout, parameter_sensitivity, solve_targets
from sparsenode.inference.refits import Problems, fit_starts, refit, ridge_by_evidence

LAYOUT = Layout(inputs=2, units=2)


def make_problem(noise=0.0, networks=1):
    """Networks that are linear in themselves and one input, observed over windows."""
    generator = torch.Generator().manual_seed(3)
    parameters = torch.zeros((networks, LAYOUT.size), dtype=torch.float64)
    linear = LAYOUT.split(parameters)[3]
    linear[:, 0], linear[:, 1] = -0.8, 1.5
    values = torch.randn((1, 12, 1, 1), generator=generator, dtype=torch.float64).expand(networks, 12, 17, 1)
    wave = torch.linspace(0, 3, 17, dtype=torch.float64).sin()[None, None, :, None]
    inputs = Inputs(
        values=(values + wave).contiguous(),
        steps=torch.full((12, 8), 0.2, dtype=torch.float64),
        slope=torch.ones(networks, dtype=torch.float64),
    )
    start = torch.randn((networks, 12), generator=generator, dtype=torch.float64)
    states = solve_targets(LAYOUT, parameters, start, inputs).states
    observed = states + noise * torch.randn(states.shape, generator=generator, dtype=torch.float64)
    mask = torch.ones((networks, 2), dtype=torch.float64)
    problems = Problems(layout=LAYOUT, inputs=inputs, observed=observed, weight=torch.ones_like(observed), mask=mask)
    return problems, parameters, start


def fit(problems, *, ridge=1e-8, steps=60, tolerance=1e-9):
    networks = len(problems.mask)
    drawn = LAYOUT.draw(networks, torch.Generator().manual_seed(0))
    ridge = torch.full((networks,), ridge, dtype=torch.float64)
    return refit(problems, drawn, problems.observed[..., 0], ridge, steps=steps, tolerance=tolerance)


def test_a_linear_equation_is_recovered_exactly():
    problems, _, start = make_problem()
    fits = fit(problems)
    assert fits.squares[0] < 1e-9
    torch.testing.assert_close(fits.start, start, rtol=0, atol=1e-4)


def test_at_the_end_the_gradient_of_the_whole_loss_is_zero():
    problems, _, _ = make_problem(noise=0.1)
    fits = fit(problems, ridge=1e-2, steps=200, tolerance=1e-12)
    parameters, start = fits.parameters.clone().requires_grad_(), fits.start.clone().requires_grad_()
    states = solve_targets(LAYOUT, parameters, start, problems.inputs).states
    loss = (states - problems.observed).square().sum() + 1e-2 * parameters.square().sum()
    for gradient in torch.autograd.grad(loss, (parameters, start)):
        assert gradient.abs().max() < 1e-4


def test_the_curvature_is_that_of_the_residuals_with_starts_projected_out():
    problems, _, _ = make_problem(noise=0.1)
    fits = fit(problems, steps=3)
    path = solve_targets(LAYOUT, fits.parameters, fits.start, problems.inputs)
    along, jacobian = parameter_sensitivity(LAYOUT, fits.parameters, path, problems.inputs)
    expected = torch.zeros_like(fits.curvature[0])
    for window in range(12):
        columns = torch.cat([torch.zeros_like(jacobian[0, window, :1]), jacobian[0, window]])
        unit = along[0, window] / along[0, window].norm()
        columns = columns - unit[:, None] * (unit @ columns)
        expected += columns.mT @ columns
    torch.testing.assert_close(fits.curvature[0], expected, rtol=1e-9, atol=1e-9)


def test_networks_of_a_batch_do_not_depend_on_each_other():
    problems, _, _ = make_problem(noise=0.1, networks=2)
    problems = replace(problems, observed=problems.observed * torch.tensor([1.0, 0.5])[:, None, None])
    together = fit(problems, steps=20)
    drawn = LAYOUT.draw(2, torch.Generator().manual_seed(0))
    for network in range(2):
        row = torch.tensor([network])
        ridge = torch.full((1,), 1e-8, dtype=torch.float64)
        single = refit(problems.of(row), drawn[row], problems.observed[row][..., 0], ridge, steps=20, tolerance=1e-9)
        torch.testing.assert_close(single.squares, together.squares[row], rtol=1e-6, atol=1e-9)


def test_masked_inputs_stay_without_weights_and_the_loss_rises():
    problems, _, _ = make_problem(noise=0.05)
    masked = replace(problems, mask=torch.tensor([[1.0, 0.0]], dtype=torch.float64))
    fits = fit(masked)
    first, _, _, linear, _ = LAYOUT.split(fits.parameters)
    assert first[0, 1].abs().max() == linear[0, 1] == 0.0
    assert fits.squares[0] > 3 * fit(problems).squares[0]


def test_missing_observations_say_nothing():
    problems, _, _ = make_problem(noise=0.05)
    weight = problems.weight.clone()
    weight[:, :, 2::3] = 0.0
    absurd = replace(problems, weight=weight, observed=torch.where(weight > 0, problems.observed, 1e6))
    plain = replace(problems, weight=weight, observed=problems.observed * weight)
    torch.testing.assert_close(fit(absurd).parameters, fit(plain).parameters, rtol=1e-6, atol=1e-8)


def test_starts_are_those_of_brute_force():
    problems, parameters, _ = make_problem(noise=0.2)
    starts, residual = fit_starts(problems, parameters, problems.observed[..., 0])
    states = solve_targets(LAYOUT, parameters, starts, problems.inputs).states
    torch.testing.assert_close(residual, states - problems.observed)
    least = residual.square().sum(-1)
    for change in (-1e-3, 1e-3):
        moved = solve_targets(LAYOUT, parameters, starts + change, problems.inputs).states
        assert ((moved - problems.observed).square().sum(-1) > least).all()


@pytest.mark.parametrize("noise", [0.05, 0.2])
def test_the_ridge_by_evidence_leaves_the_noise(noise):
    problems, _, _ = make_problem(noise=noise)
    fits = fit(problems, ridge=1e-2, steps=10)
    for _ in range(3):
        ridge = ridge_by_evidence(problems, fits)
        fits = refit(problems, fits.parameters, fits.start, ridge, steps=10)
    assert float(fits.squares[0]) == pytest.approx(noise**2 * (12 * 8 - 4), rel=0.35)
    assert float(ridge[0]) > 0


def test_a_path_that_explodes_ends_no_refit():
    problems, _, _ = make_problem(noise=0.05)
    drawn = LAYOUT.draw(1, torch.Generator().manual_seed(0))
    LAYOUT.split(drawn)[3][0, 0] = 500.0
    ridge = torch.full((1,), 1e-3, dtype=torch.float64)
    fits = refit(problems, drawn, problems.observed[..., 0], ridge, steps=5)
    assert torch.isfinite(fits.parameters).all()
