"""Hard-concrete gates (Louizos, Welling & Kingma 2018, arXiv 1712.01312, equations 10 to 12)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

TEMPERATURE = 2.0 / 3.0
STRETCH_LOW = -0.1
STRETCH_HIGH = 1.1
INITIAL_LOG_ALPHA = 2.0
"""Gates start nearly open (deterministic value .96): a network that starts half closed loses its first iterations."""

_OPEN_SHIFT = TEMPERATURE * math.log(-STRETCH_LOW / STRETCH_HIGH)  # negative: a gate at log alpha 0 is open with .83


def _stretch(probability: Tensor) -> Tensor:
    return (probability * (STRETCH_HIGH - STRETCH_LOW) + STRETCH_LOW).clamp(0.0, 1.0)


def deterministic(log_alpha: Tensor) -> Tensor:
    """Gate value of evaluation, clip(1.2 sigmoid(log alpha) - 0.1, 0, 1): exactly zero below log alpha = -2.398."""
    return _stretch(torch.sigmoid(log_alpha))


class _Sample(torch.autograd.Function):
    """A draw as one node of the graph: over many gates, each operation is a pass through memory."""

    @staticmethod
    def forward(ctx: Any, log_alpha: Tensor, noise: Tensor) -> Tensor:
        drawn = torch.add(noise, log_alpha).mul_(1.0 / TEMPERATURE).sigmoid_()
        drawn = drawn.mul_(STRETCH_HIGH - STRETCH_LOW).add_(STRETCH_LOW).clamp_(0.0, 1.0)
        ctx.save_for_backward(drawn)
        return drawn

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        # The sigmoid s is (z - low) / (high - low) while 0 < z < 1, and low + high = 1, so that s (1 - s) is
        # (z - z^2 - low high) / (high - low)^2; and z - z^2 is zero where the gate is closed or fully open.
        (drawn,) = ctx.saved_tensors
        ends = STRETCH_LOW * STRETCH_HIGH
        inside = torch.threshold_(torch.addcmul(drawn, drawn, drawn, value=-1.0), 0.0, ends).sub_(ends)
        scale = 1.0 / (TEMPERATURE * (STRETCH_HIGH - STRETCH_LOW))
        return inside.mul_(gradient).mul_(scale), None


def sample(log_alpha: Tensor, noise: Tensor) -> Tensor:
    """A random draw of the gates (equation 10) from logistic noise of the same shape, log u - log(1 - u)."""
    drawn: Tensor = _Sample.apply(log_alpha, noise)
    return drawn


def open_probability(log_alpha: Tensor) -> Tensor:
    """Probability that a gate is not zero (equation 12)."""
    return torch.sigmoid(log_alpha - _OPEN_SHIFT)


def initialize(weight: Tensor, stands_on: str) -> Tensor:
    """Log alpha for a layer's weights (..., in, out): of their shape on single weights, (..., in, 1) on input units.

    With one network per target an input unit of the first layer is an edge.
    """
    shape = weight.shape if stands_on == "weight" else (*weight.shape[:-1], 1)
    return torch.full(shape, INITIAL_LOG_ALPHA)
