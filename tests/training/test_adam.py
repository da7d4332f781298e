"""The optimizer: torch's own, bit for bit, and without loading torch's compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from sparsenode.training.adam import Adam

SHAPES = ((3, 4, 5), (3, 1, 5), (3, 2))


def tensors() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in SHAPES]


def step_all(optimizer: torch.optim.Adam | Adam, moved: list[torch.Tensor], steps: int) -> None:
    generator = torch.Generator().manual_seed(1)
    for number in range(steps):
        optimizer.zero_grad()
        for tensor in moved[: 2 if number == 0 else 3]:  # the last one has no gradient at first
            tensor.grad = torch.randn(tensor.shape, generator=generator) * 10.0 ** (number % 5 - 3)
        if isinstance(optimizer, Adam):
            optimizer.set_share(1.0 / (1 + number))
        else:
            for group, peak in zip(optimizer.param_groups, (0.1, 0.02), strict=True):
                group["lr"] = peak / (1 + number)
        optimizer.step()


@pytest.mark.parametrize("on_device", [False, True])
def test_steps_are_those_of_torch_bit_for_bit(on_device: bool) -> None:
    own, published = tensors(), tensors()
    groups = [{"params": own[:2], "peak": 0.1}, {"params": own[2:], "peak": 0.02}]
    optimizer = Adam(groups, on_device=on_device)
    reference = torch.optim.Adam([{"params": published[:2]}, {"params": published[2:]}], fused=True)
    step_all(optimizer, own, 40)
    step_all(reference, published, 40)
    for mine, theirs in zip(own, published, strict=True):
        if on_device:  # rates are of 24 bits there
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
            continue
        assert torch.equal(mine, theirs)
        for key, value in optimizer.state[mine].items():
            assert torch.equal(value, reference.state[theirs][key])


@pytest.mark.parametrize("on_device", [False, True])
def test_corrections_are_those_of_the_paper(on_device: bool) -> None:
    (own, *_) = tensors()
    optimizer = Adam([{"params": [own], "peak": 0.1}], on_device=on_device)
    for steps in (1, 2, 3):
        own.grad = torch.ones_like(own)
        optimizer.step()
        for moment, beta in enumerate((0.9, 0.999)):
            assert float(optimizer.correction(own, moment)) == pytest.approx(1 - beta**steps, rel=1e-6)


def test_moments_come_back_and_go_with_their_members() -> None:
    whole, cut = tensors(), tensors()
    optimizer, other = (Adam([{"params": each, "peak": 0.1}]) for each in (whole, cut))
    step_all(optimizer, whole, 3)
    step_all(other, cut, 3)
    fresh = [tensor.detach()[[2, 0]].clone().requires_grad_() for tensor in cut]
    other.replace(dict(zip(cut, fresh, strict=True)), [2, 0])
    again = Adam([{"params": fresh, "peak": 0.1}])
    again.load_moments(other.moments())
    for number, state in optimizer.moments().items():
        for key, value in state.items():
            assert torch.equal(again.moments()[number][key], value[[2, 0]] if value.dim() else value)
    for one, two in zip(whole, fresh, strict=True):
        one.grad = torch.ones_like(one)
        two.grad = torch.ones_like(two)
    optimizer.set_share(1.0)
    optimizer.step()
    again.step()
    for one, two in zip(whole, fresh, strict=True):
        assert torch.equal(one[[2, 0]], two)


@pytest.mark.slow(reason="starts a process that imports torch")
def test_training_does_not_load_the_compiler_of_torch() -> None:
    code = (
        "import sys, torch\n"
        "from sparsenode.training.adam import Adam\n"
        "weight = torch.ones(2, 3, requires_grad=True)\n"
        "optimizer = Adam([{'params': [weight], 'peak': .1}])\n"
        "weight.sum().backward()\n"
        "optimizer.step()\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
