"""Hard-concrete gates (Louizos, Welling & Kingma 2018, arXiv 1712.01312, equations 10 to 12)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

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


def sample(log_alpha: Tensor, uniform: Tensor) -> Tensor:
    """A random draw of the gates from uniform noise of the same shape (equation 10)."""
    noise = torch.logit(uniform, eps=1e-6)
    return _stretch(torch.sigmoid((noise + log_alpha) / TEMPERATURE))


def open_probability(log_alpha: Tensor) -> Tensor:
    """Probability that a gate is not zero (equation 12)."""
    return torch.sigmoid(log_alpha - _OPEN_SHIFT)


def initialize_gates(widths: Sequence[int], members: int, stands_on: str) -> list[Tensor]:
    """Log alpha of every layer: (member, in, out) on single weights, (member, in, 1) on input units."""
    return [
        torch.full((members, width_in, 1 if stands_on == "unit" else width_out), INITIAL_LOG_ALPHA)
        for width_in, width_out in pairwise(widths)
    ]
