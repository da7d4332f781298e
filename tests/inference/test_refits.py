"""Levenberg-Marquardt refits with projected starts, beside closed forms and brute force."""

from dataclasses import replace

import pytest
import torch

from sparsenode.dynamics.fused import refit as fused
from sparsenode.inference.networks import Inputs, Layout, parameter_sensitivity, solve_targets
from sparsenode.inference.refits import (
    Problems,
    fit_starts,
    fit_starts_plainly,
    refit,
    refit_plainly,
    ridge_by_evidence,
)

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
    assert (ridge > 0).all()


def test_the_evidence_takes_an_input_that_does_nothing_out():
    problems, _, _ = make_problem(noise=0.1)
    generator = torch.Generator().manual_seed(3)
    idle = torch.randn((1, 12, 17, 1), generator=generator, dtype=torch.float64)
    layout = Layout(inputs=3, units=2)
    driven = replace(problems.inputs, values=torch.cat([problems.inputs.values, idle], dim=-1))
    problems = replace(problems, layout=layout, inputs=driven, mask=torch.ones((1, 3), dtype=torch.float64))
    still = replace(driven, values=driven.values * torch.tensor([1.0, 0.0], dtype=torch.float64))
    ridge = torch.full((1,), 1e-2, dtype=torch.float64)
    first = fits = refit(problems, layout.draw(1, generator), problems.observed[..., 0], ridge, steps=20)
    for _ in range(5):
        fits = refit(problems, fits.parameters, fits.start, ridge_by_evidence(problems, fits), steps=20)
    before, after = (
        (
            solve_targets(layout, each.parameters, each.start, driven).states
            - solve_targets(layout, each.parameters, each.start, still).states
        ).norm()
        for each in (first, fits)
    )
    assert after < 0.2 * before
    of_input = [float(fits.ridge[0, layout.groups() == number].mean()) for number in range(3)]
    assert of_input[2] > 100 * max(of_input[:2])


def test_groups_are_the_weights_of_each_input_and_all_others():
    groups = Layout(inputs=3, units=4).groups()
    for number, mask in enumerate(torch.eye(3, dtype=torch.float64)):
        free = Layout(inputs=3, units=4).free(mask) > 0
        assert torch.equal(free & (groups < 3), groups == number)
    assert (groups == 3).sum() == 2 * 4 + 1


def test_a_path_that_explodes_ends_no_refit():
    problems, _, _ = make_problem(noise=0.05)
    drawn = LAYOUT.draw(1, torch.Generator().manual_seed(0))
    LAYOUT.split(drawn)[3][0, 0] = 500.0
    ridge = torch.full((1,), 1e-3, dtype=torch.float64)
    fits = refit(problems, drawn, problems.observed[..., 0], ridge, steps=5)
    assert torch.isfinite(fits.parameters).all()


@pytest.fixture(params=["compiled", "plain"])
def engine(request, monkeypatch):
    """Both engines in turn, of which the plain one is taken where there is no compiler."""
    if request.param == "plain":
        monkeypatch.setattr(fused, "is_available", lambda: False)
    elif not fused.is_available():
        pytest.skip("there is no C compiler here")
    return request.param


def draw_problem(inputs=4, units=5, windows=9, steps=7, networks=3, seed=0):
    """Wavy inputs, windows of several lengths, missing observations, and a mask of each network of its own."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    layout = Layout(inputs=inputs, units=units)
    lengths = 0.1 + 0.2 * torch.rand((windows, steps), generator=generator, dtype=torch.float64)
    lengths[1, steps // 2 :] = 0.0
    mask = torch.ones((networks, inputs), dtype=torch.float64)
    if networks > 2:
        mask[1, 0] = mask[2, -1] = 0.0
    weight = (torch.rand((networks, windows, steps + 1), generator=generator) < 0.7).double()
    weight[:, 1, steps // 2 + 1 :] = 0.0
    weight[:, 2] = 0.0
    weight[:, 3, 1:] = 0.0
    weight[:, :, 3] = 0.0
    problems = Problems(
        layout=layout,
        inputs=Inputs(
            values=draw(networks, windows, 2 * steps + 1, inputs - 1),
            steps=lengths,
            slope=0.5 + torch.rand(networks, generator=generator, dtype=torch.float64),
        ),
        observed=draw(networks, windows, steps + 1) * weight,
        weight=weight,
        mask=mask,
    )
    parameters = layout.draw(networks, generator) + 0.3 * draw(networks, layout.size)
    return problems, parameters, draw(networks, windows), torch.full((networks,), 0.1, dtype=torch.float64)


@pytest.mark.parametrize("shape", [{}, {"inputs": 2, "units": 1, "windows": 4}, {"inputs": 9, "units": 12, "steps": 3}])
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_the_kernel_refits_as_operations_of_torch_do(shape, steps):
    if not fused.is_available():
        pytest.skip("there is no C compiler here")
    problems, parameters, start, ridge = draw_problem(**{"inputs": 4, **shape})
    compiled = refit(problems, parameters, start, ridge, steps=steps, tolerance=1e-6)
    plain = refit_plainly(problems, parameters, start, ridge, steps=steps, tolerance=1e-6)
    free = problems.layout.free(problems.mask) > 0
    observed = problems.weight.sum(-1) > 0
    for name in ("parameters", "start", "squares", "curvature"):
        ours, reference = getattr(compiled, name), getattr(plain, name)
        if name == "start":
            ours, reference = ours[observed], reference[observed]
        if name == "curvature":
            assert not ours[~free[:, :, None] | ~free[:, None]].any()
        scale = float(reference.abs().max())
        torch.testing.assert_close(ours, reference, rtol=1e-10, atol=1e-10 * scale)
    by_parameter = 0.05 + torch.rand(parameters.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    compiled, plain = (
        engine(problems, parameters, start, by_parameter, steps=steps, tolerance=1e-6)
        for engine in (refit, refit_plainly)
    )
    torch.testing.assert_close(compiled.parameters, plain.parameters, rtol=1e-9, atol=1e-9)
    if steps:
        assert (compiled.squares < refit(problems, parameters, start, ridge, steps=0).squares).all()


def test_the_kernels_starts_are_those_of_operations_of_torch():
    if not fused.is_available():
        pytest.skip("there is no C compiler here")
    problems, parameters, start, _ = draw_problem()
    parameters = parameters * problems.layout.free(problems.mask)
    for steps, tolerance in ((0, 1e-10), (1, 1e-10), (2, 1e-10), (6, 1e-7)):
        compiled = fit_starts(problems, parameters, start, steps=steps)
        plain = fit_starts_plainly(problems, parameters, start, steps=steps)
        for ours, reference in zip(compiled, plain, strict=True):
            torch.testing.assert_close(ours, reference, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(compiled[1].square().sum(-1), plain[1].square().sum(-1), rtol=1e-10, atol=1e-10)


def test_the_gradient_and_curvature_are_those_of_finite_differences(engine):
    """Of the loss with the best starts: its second differences at a solution without residuals are the curvature."""
    problems, parameters, start, _ = draw_problem(networks=1, windows=5, steps=4)
    states = solve_targets(problems.layout, parameters, start, problems.inputs).states
    exact = replace(problems, observed=states * problems.weight)
    nothing = torch.zeros(1, dtype=torch.float64)
    curvature = refit(exact, parameters, start, nothing, steps=0).curvature[0]

    def loss(change):
        _, residual = fit_starts(exact, parameters + change, start, steps=8)
        return float(residual.square().sum()) / 2

    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        direction = torch.randn(parameters.shape, generator=generator, dtype=torch.float64)
        direction = direction / direction.norm()
        by_differences = (loss(1e-4 * direction) + loss(-1e-4 * direction)) / 1e-8
        assert float(direction[0] @ curvature @ direction[0]) == pytest.approx(by_differences, rel=1e-3)


def test_an_exact_problem_is_solved_by_both_engines(engine):
    problems, _, start = make_problem()
    fits = fit(problems)
    assert fits.squares[0] < 1e-9
    torch.testing.assert_close(fits.start, start, rtol=0, atol=1e-4)


def test_a_path_that_leaves_all_bounds_has_an_infinite_error(engine):
    problems, parameters, start, ridge = draw_problem()
    problems.layout.split(parameters)[3][0, 0] = 1e7
    fits = refit(problems, parameters, start, ridge, steps=3)
    assert fits.squares[0] == torch.inf
    assert torch.isfinite(fits.squares[1:]).all()
    assert torch.isfinite(fits.parameters).all()
    evidence = ridge_by_evidence(problems, fits)
    assert (evidence[0] == ridge[0]).all()
    assert (evidence[1:] != ridge[1:, None]).all()
    assert torch.isfinite(evidence).all()
    _, residual = fit_starts(problems, parameters, start)
    assert residual[0].square().sum() == torch.inf
    assert torch.isfinite(residual[1:]).all()


def test_threads_change_no_bit():
    if not fused.is_available():
        pytest.skip("there is no C compiler here")
    problems, parameters, start, ridge = draw_problem(networks=5)
    threads = torch.get_num_threads()
    fits = []
    try:
        for number in (1, 3):
            torch.set_num_threads(number)
            fits.append(refit(problems, parameters, start, ridge, steps=5))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(getattr(fits[0], name), getattr(fits[1], name)) for name in ("parameters", "curvature"))


def test_the_kernel_takes_float64_only():
    if not fused.is_available():
        pytest.skip("there is no C compiler here")
    problems, parameters, start, ridge = draw_problem()
    with pytest.raises(TypeError, match=r"ridge is of torch\.float32; refits are made in float64"):
        refit(problems, parameters, start, ridge.float(), steps=1)
    with pytest.raises(TypeError, match=r"ridge is of torch\.int64; refits are made in float64"):
        refit(problems, parameters, start, ridge.long(), steps=1)


def test_only_numbers_of_variables_are_whole():
    from sparsenode.dynamics.fused.threads import pointers_of

    sources, slope = torch.zeros((2, 1), dtype=torch.int64), torch.ones(2, dtype=torch.float64)
    pointers, whole = pointers_of({"sources": sources, "slope": slope})
    assert list(pointers.values()) == [tensor.data_ptr() for tensor in whole]
    with pytest.raises(TypeError, match=r"slope is of torch\.int64; refits are made in float64"):
        pointers_of({"sources": sources, "slope": slope.long()})
    with pytest.raises(TypeError, match=r"sources is of torch\.float64; numbers of variables are int64"):
        pointers_of({"sources": sources.double(), "slope": slope})


def test_without_a_correlated_input_the_other_one_comes_back():
    """The full fit has shut the true input out, as evidence can where another one is nearly the same."""
    from sparsenode.inference.masks import _masked

    generator = torch.Generator().manual_seed(0)
    layout = Layout(inputs=3, units=2)
    true = torch.randn((1, 12, 17, 1), generator=generator, dtype=torch.float64)
    alike = true + 0.05 * torch.randn(true.shape, generator=generator, dtype=torch.float64)
    inputs = Inputs(
        values=torch.cat([alike, true], dim=-1),
        steps=torch.full((12, 8), 0.2, dtype=torch.float64),
        slope=torch.ones(1, dtype=torch.float64),
    )
    linear = torch.zeros((1, layout.size), dtype=torch.float64)
    layout.split(linear)[3][:, 0], layout.split(linear)[3][:, 2] = -0.8, 1.5
    begun = torch.randn((1, 12), generator=generator, dtype=torch.float64)
    states = solve_targets(layout, linear, begun, inputs).states
    observed = states + 0.05 * torch.randn(states.shape, generator=generator, dtype=torch.float64)
    mask = torch.ones((1, 3), dtype=torch.float64)
    problems = Problems(layout=layout, inputs=inputs, observed=observed, weight=torch.ones_like(observed), mask=mask)
    ridge = torch.where(layout.groups() == 2, 250.0, 1e-3)[None].double()  # 250: the noise over the least variance
    drawn = layout.draw(1, generator)
    full = refit(problems, drawn, observed[..., 0], ridge, steps=40)
    assert layout.split(full.parameters)[3][0, 2].abs() < 0.2  # it is shut out
    parameters = _masked(problems, full, torch.tensor([0]), torch.tensor([[0.0, 1.0, 0.0]]).double())
    _, residual = fit_starts(problems, parameters, full.start)
    assert residual.square().mean() < 1.2 * 0.05**2
    assert layout.split(parameters)[3][0, 1] == 0
