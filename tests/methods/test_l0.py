import pytest
import torch

from sparsenode.dynamics import gates
from sparsenode.methods import get_method
from sparsenode.methods.l0 import OpenGates


def test_the_penalty_is_the_mean_open_probability_of_all_weights() -> None:
    probabilities = [torch.tensor([[[0.1, 0.2]], [[1.0, 1.0]]]), torch.tensor([[[0.6], [0.7]], [[1.0], [1.0]]])]
    ((coefficient, term),) = OpenGates().penalty(probabilities, probabilities, per_entry=False)
    assert coefficient == 1.0
    assert term.tolist() == pytest.approx([0.4, 1.0])


def test_layers_count_by_their_weights() -> None:
    probabilities = [torch.ones(1, 3, 4), torch.zeros(1, 4, 1)]
    for per_entry in (False, True):
        ((_, term),) = OpenGates().penalty(probabilities, probabilities, per_entry=per_entry)
        assert float(term) == pytest.approx(12 / 16)
        on_units = [probability[:, :, :1] for probability in probabilities]
        ((_, term),) = OpenGates().penalty(probabilities, on_units, per_entry=per_entry)
        assert float(term) == pytest.approx(12 / 16)


def test_the_penalty_is_the_expected_share_of_open_gates() -> None:
    generator = torch.Generator().manual_seed(0)
    log_alpha = torch.empty(1, 5, 4).uniform_(-4, 2, generator=generator)
    noise = torch.rand(4000, 5, 4, generator=generator).logit()
    share = float((gates.sample(log_alpha, noise) > 0).float().mean())
    ((_, term),) = OpenGates().penalty([log_alpha], [gates.open_probability(log_alpha)], per_entry=False)
    assert share == pytest.approx(float(term), abs=0.01)


def test_the_penalty_closes_gates_and_leaves_weights_alone() -> None:
    log_alpha = torch.zeros(2, 3, 3, requires_grad=True)
    weight = torch.ones(2, 3, 3, requires_grad=True)
    ((_, term),) = OpenGates().penalty([weight], [gates.open_probability(log_alpha)], per_entry=False)
    term.sum().backward()
    assert (log_alpha.grad > 0).all()
    assert weight.grad is None


def test_closed_gates_cost_nothing_and_are_not_pushed() -> None:
    log_alpha = torch.full((1, 3, 3), -200.0, requires_grad=True)
    ((_, term),) = OpenGates().penalty([log_alpha], [gates.open_probability(log_alpha)], per_entry=False)
    term.sum().backward()
    assert term.tolist() == [0.0]
    assert not log_alpha.grad.any()


def test_l0_is_gated() -> None:
    assert get_method("l0").gated
