import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from sparsenode.dynamics.fields import make_field
from sparsenode.dynamics.fused import library
from sparsenode.dynamics.fused.loss import solve_loss
from sparsenode.dynamics.network import Parameters, effective_layers, initialize_parameters
from sparsenode.dynamics.solvers import ExactLoss, Grid, factor_loss, solve_nodes, stack_losses

INTERVALS = 3


@pytest.fixture(autouse=True)
def _needs_a_compiler() -> None:
    if library.find_compiler() is None:
        pytest.skip("there is no C compiler here")


def make_parameters(
    order: int, hidden: tuple[int, ...], *, per_target: bool, extras: bool, members: int = 2, dtype: torch.dtype
) -> Parameters:
    """Networks of three variables with gradients; `extras` are a decay and a skip."""
    parameters = initialize_parameters(
        [torch.Generator().manual_seed(member) for member in range(members)],
        [3 * order, *hidden, 3],
        gates_on=None,
        decay=[0.3, 0.2][:order] if extras else (),
        per_target=per_target,
        skip=extras,
    )
    return parameters.map(lambda tensor: tensor.to(dtype).requires_grad_())


def make_loss(rows: int, kind: str, dtype: torch.dtype, members: int = 2) -> ExactLoss:
    """The loss of rows that are observed at the same times or not, in part, or weighed differently by members."""
    rng = np.random.default_rng(rows)
    counts = [7 if kind == "alike" else int(rng.integers(5, 9)) for _ in range(rows)]
    positions = [
        np.linspace(0, INTERVALS, count) if kind == "alike" else np.sort(rng.random(count)) * INTERVALS
        for count in counts
    ]
    observed = [rng.normal(size=(count, 3)) for count in counts]
    if kind == "missing":
        for values in observed:
            values[rng.random(values.shape) < 0.2] = np.nan

    def weigh(seed: int) -> ExactLoss:
        draws = np.random.default_rng(seed)
        weights = [draws.random(count) if kind == "bootstrap" else np.ones(count) for count in counts]
        return factor_loss(positions, observed, weights, np.array([0.5, 1.0, 2.0]), INTERVALS, 2.0, dtype)

    return stack_losses([weigh(seed) for seed in range(members)]) if kind == "bootstrap" else weigh(0)


def both_ways(
    parameters: Parameters, order: int, activation: str, loss: ExactLoss, initial: Tensor
) -> list[tuple[Tensor, tuple[Tensor, ...]]]:
    """Losses, and gradients of a sum in which members count differently: the plain path, then the kernel."""
    rng = np.random.default_rng(1)
    grid = Grid(INTERVALS, torch.as_tensor(0.05 + 0.2 * rng.random((initial.shape[1], 1)), dtype=initial.dtype))
    field = make_field(order, 3)
    leaves = [*parameters.named().values(), initial]
    weights = torch.tensor([1.0, 2.0], dtype=initial.dtype)
    results = []
    for compute in (
        lambda layers: loss(solve_nodes(field, layers, grid, initial)),
        lambda layers: solve_loss(field, layers, grid, initial, loss),
    ):
        losses = compute(effective_layers(parameters, (), activation))
        results.append((losses.detach(), torch.autograd.grad((losses * weights).sum(), leaves)))
    return results


def make_initial(rows: int, order: int, dtype: torch.dtype) -> Tensor:
    values = np.random.default_rng(rows).normal(size=(2, rows, 3 * order))
    return torch.as_tensor(values, dtype=dtype).requires_grad_()


NETWORKS = [
    pytest.param((), False, id="linear"),
    pytest.param((5,), False, id="joint"),
    pytest.param((5, 7), False, id="deep"),
    pytest.param((), True, id="linear targets"),
    pytest.param((6,), True, id="targets"),
    pytest.param((4, 3), True, id="deep targets"),
]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("hidden", "per_target"), NETWORKS)
@pytest.mark.parametrize(
    ("activation", "rows", "kind", "extras"),
    [
        ("tanh", 1, "alike", False),
        ("elu", 5, "irregular", True),
        ("softplus", 19, "missing", False),
        ("tanh", 70, "bootstrap", True),
        ("elu", 40, "alike", True),
    ],
)
def test_loss_and_gradients_are_those_of_the_plain_path(
    order: int, hidden: tuple[int, ...], per_target: bool, activation: str, rows: int, kind: str, extras: bool
) -> None:
    parameters = make_parameters(order, hidden, per_target=per_target, extras=extras, dtype=torch.float64)
    loss, initial = make_loss(rows, kind, torch.float64), make_initial(rows, order, torch.float64)
    (plain, plain_gradients), (fused, fused_gradients) = both_ways(parameters, order, activation, loss, initial)
    torch.testing.assert_close(fused, plain, rtol=1e-12, atol=0)
    for own, reference in zip(fused_gradients, plain_gradients, strict=True):
        torch.testing.assert_close(own, reference, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("hidden", [(70,), (40, 33), (65, 3, 8)])
@pytest.mark.parametrize(
    ("activation", "rows", "kind", "decays"),
    [("tanh", 1, "alike", False), ("elu", 2, "irregular", True), ("softplus", 2, "bootstrap", True)],
)
def test_wide_networks_of_few_rows_give_the_same(
    hidden: tuple[int, ...], activation: str, rows: int, kind: str, decays: bool
) -> None:
    parameters = make_parameters(1, hidden, per_target=False, extras=decays, dtype=torch.float64)
    parameters = replace(parameters, skip=())
    loss, initial = make_loss(rows, kind, torch.float64), make_initial(rows, 1, torch.float64)
    (plain, plain_gradients), (fused, fused_gradients) = both_ways(parameters, 1, activation, loss, initial)
    torch.testing.assert_close(fused, plain, rtol=1e-12, atol=0)
    for own, reference in zip(fused_gradients, plain_gradients, strict=True):
        torch.testing.assert_close(own, reference, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("activation", ["elu", "tanh", "softplus"])
def test_single_precision_is_as_close_to_double_as_the_plain_path(activation: str) -> None:
    double = make_parameters(1, (8,), per_target=True, extras=True, dtype=torch.float64)
    single = double.map(lambda tensor: tensor.detach().float().requires_grad_())
    exact = both_ways(
        double.map(lambda tensor: tensor.detach().float().double().requires_grad_()),
        1,
        activation,
        make_loss(40, "irregular", torch.float64),
        make_initial(40, 1, torch.float32).detach().double().requires_grad_(),
    )[0]
    plain, fused = both_ways(
        single, 1, activation, make_loss(40, "irregular", torch.float32), make_initial(40, 1, torch.float32)
    )
    for index, reference in enumerate(exact[1]):
        scale = float(reference.abs().max())
        error_of_plain = float((plain[1][index] - reference).abs().max()) / scale
        assert float((fused[1][index] - reference).abs().max()) / scale < max(3e-6, 3 * error_of_plain)
    torch.testing.assert_close(fused[0], exact[0].float(), rtol=2e-6, atol=0)


@pytest.mark.parametrize("activation", ["elu", "tanh", "softplus"])
def test_activations_are_right_over_their_whole_range(activation: str) -> None:
    # One variable that moves by the mean of one hidden unit's value for a short time: the loss shows the value.
    values = torch.cat((torch.linspace(-30.0, 30.0, 997), torch.tensor([-1e30, 1e30, 0.0])))
    members = len(values)
    weight, bias = torch.ones(members, 1, 1), torch.zeros(members, 1, 1)
    layers = effective_layers(Parameters((weight, weight.clone()), (bias, bias.clone())), (), activation)
    # The slope at the start is the only node value that counts, against a target of zero.
    loss = ExactLoss(
        torch.tensor([[[0.0, 0.0, 1e12, 0.0]]]),
        torch.zeros(1, 1, 1),
        torch.ones(1),
        torch.zeros(1),
        torch.tensor(1.0),
    )
    size = solve_loss(make_field(1, 1), layers, Grid(1, torch.full((1, 1), 1e-12)), values.view(-1, 1, 1), loss)
    size = size.double().sqrt()
    function = {"elu": torch.nn.functional.elu, "tanh": torch.tanh, "softplus": torch.nn.functional.softplus}
    expected = function[activation](values.double())
    is_finite = expected.abs() < 1e18  # the square of a larger one is infinite
    torch.testing.assert_close(size[is_finite], expected[is_finite].abs(), rtol=1e-6, atol=4e-7)


@pytest.mark.parametrize(("hidden", "per_target", "rows"), [((6,), True, 20), ((70, 5), False, 3)])
def test_a_member_that_is_not_finite_touches_no_other(hidden: tuple[int, ...], per_target: bool, rows: int) -> None:
    parameters = make_parameters(1, hidden, per_target=per_target, extras=False, dtype=torch.float32)
    loss, initial = make_loss(rows, "alike", torch.float32), make_initial(rows, 1, torch.float32)
    healthy = both_ways(parameters, 1, "tanh", loss, initial)[1]
    with torch.no_grad():
        parameters.weights[0][0].view(-1)[0] = torch.nan
    sick = both_ways(parameters, 1, "tanh", loss, initial)[1]
    assert sick[0][0].isnan()
    assert sick[0][1] == healthy[0][1]
    for own, reference in zip(sick[1], healthy[1], strict=True):
        assert own[0].isnan().any()
        torch.testing.assert_close(own[1], reference[1], rtol=0, atol=0)


def test_bits_depend_neither_on_threads_nor_on_neighbors() -> None:
    parameters = make_parameters(1, (6,), per_target=True, extras=True, members=5, dtype=torch.float32)
    layers = effective_layers(parameters, (), "tanh")
    loss = make_loss(20, "alike", torch.float32)
    initial = make_initial(20, 1, torch.float32).detach()[:1].expand(5, -1, -1)
    grid, field = Grid(INTERVALS, torch.full((20, 1), 0.1)), make_field(1, 3)

    def compute(rows: slice, threads: int) -> list[Tensor]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            some = layers.select(rows)
            losses = solve_loss(field, some, grid, initial[rows], loss)
            return [losses.detach(), *torch.autograd.grad(losses.sum(), some.weights)]
        finally:
            torch.set_num_threads(before)

    reference = compute(slice(0, 5), 1)
    for own, all_members in zip(compute(slice(0, 5), 3), reference, strict=True):
        assert torch.equal(own, all_members)
    for own, all_members in zip(compute(slice(3, 4), 1), reference, strict=True):
        assert torch.equal(own, all_members[3:4])


def test_without_a_compiler_there_is_a_warning_and_no_kernel(
    monkeypatch: pytest.MonkeyPatch, tmp_path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", "no-such-compiler")
    assert library.load.__wrapped__("float32") is None
    assert "there is no C compiler" in caplog.text


def test_a_compiler_that_fails_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def fail(command: list[str], **options: object) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="error: no space\nmore")

    monkeypatch.setattr(library.subprocess, "run", fail)
    assert library.load.__wrapped__("float32") is None
    assert "error: no space" in caplog.text
    assert not list((tmp_path / "sparsenode").iterdir())
