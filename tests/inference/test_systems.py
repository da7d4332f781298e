"""Starts of whole systems: the compiled kernel beside operations of torch, and windows that explode."""

import pytest
import torch

from sparsenode.dynamics.fused import library
from sparsenode.dynamics.fused import system as fused
from sparsenode.inference.networks import Layout
from sparsenode.inference.systems import Wiring, fit_system_starts, fit_system_starts_plainly, solve_system


def draw_system(variables, inputs, units, windows=6, steps=5, seed=0):
    """A random system, its starts, paths and noisy observations, of which some are missing."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    others = [torch.randperm(variables - 1, generator=generator)[: inputs - 1] for _ in range(variables)]
    sources = torch.stack([chosen + (chosen >= target) for target, chosen in enumerate(others)])
    layout = Layout(inputs=inputs, units=units)
    wiring = Wiring(
        sources=sources,
        mask=torch.ones((variables, inputs), dtype=torch.float64),
        slope=0.5 + torch.rand(variables, generator=generator, dtype=torch.float64),
        layout=layout,
    )
    parameters = layout.draw(variables, generator) + 0.3 * draw(variables, layout.size)
    lengths = 0.05 + 0.1 * torch.rand((windows, steps), generator=generator, dtype=torch.float64)
    lengths[1, 3:] = 0.0
    start = draw(windows, variables)
    path = solve_system(wiring, parameters, start, lengths)
    weight = (torch.rand((windows, steps + 1, variables), generator=generator) < 0.8).double()
    weight[1, 4:] = 0.0
    observed = (path[:, ::2] + 0.05 * draw(windows, steps + 1, variables)) * weight
    return wiring, parameters, start, observed, weight, lengths


@pytest.mark.parametrize(("variables", "inputs", "units"), [(2, 2, 3), (3, 3, 12), (10, 5, 8), (9, 9, 1)])
def test_the_kernels_starts_of_systems_are_those_of_operations_of_torch(variables, inputs, units):
    if not fused.is_available():
        pytest.skip("there is no C compiler here")
    wiring, parameters, start, *compared = draw_system(variables, inputs, units)
    for changed in (start, start + 0.3):
        compiled = fit_system_starts(wiring, parameters, changed, *compared)
        plain = fit_system_starts_plainly(wiring, parameters, changed, *compared)
        for ours, reference in zip(compiled, plain, strict=True):
            torch.testing.assert_close(ours, reference, rtol=1e-7, atol=1e-7)


@pytest.fixture(params=["compiled", "plain"])
def fit(request):
    if request.param == "plain":
        return fit_system_starts_plainly
    if not fused.is_available():
        pytest.skip("there is no C compiler here")
    return fit_system_starts


def test_the_gradient_vanishes_at_the_fitted_starts(fit):
    wiring, parameters, start, observed, weight, lengths = draw_system(4, 3, 5)
    fitted, path = fit(wiring, parameters, start + 0.2, observed, weight, lengths)
    torch.testing.assert_close(path, solve_system(wiring, parameters, fitted, lengths))
    at = fitted.clone().requires_grad_()
    residual = (solve_system(wiring, parameters, at, lengths)[:, ::2] - observed) * weight
    (gradient,) = torch.autograd.grad(residual.square().sum(), at)
    assert gradient.abs().max() < 1e-2


def test_windows_that_explode_stay_and_disturb_no_others(fit):
    wiring, parameters, start, observed, weight, lengths = draw_system(3, 3, 4)
    wild = start.clone()
    wild[2] = torch.inf
    wild[3, 1] = torch.nan
    fitted, path = fit(wiring, parameters, wild, observed, weight, lengths)
    calm, calm_path = fit(wiring, parameters, start, observed, weight, lengths)
    sound = torch.tensor([0, 1, 4, 5])
    torch.testing.assert_close(fitted[sound], calm[sound], rtol=0, atol=1e-9)
    torch.testing.assert_close(path[sound], calm_path[sound], rtol=0, atol=1e-9)
    assert not torch.isfinite(path[2]).all()


def test_threads_change_no_bit_of_starts():
    arguments = draw_system(5, 4, 6, windows=23)
    if not fused.is_available():
        pytest.skip("there is no C compiler here")
    threads, results = torch.get_num_threads(), []
    try:
        for number in (1, 3):
            torch.set_num_threads(number)
            results.append(fit_system_starts(*arguments))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(first, second) for first, second in zip(*results, strict=True))


def test_without_a_compiler_operations_of_torch_are_taken_with_one_warning(monkeypatch, tmp_path, caplog):
    arguments = draw_system(3, 3, 4)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", "no-such-compiler")
    library.load.cache_clear()
    try:
        for _ in range(2):
            fitted = fit_system_starts(*arguments)
        plain = fit_system_starts_plainly(*arguments)
        assert all(torch.equal(first, second) for first, second in zip(fitted, plain, strict=True))
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "there is no C compiler" in caplog.text
    finally:
        library.load.cache_clear()
