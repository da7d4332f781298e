"""Noise of single iterations, as training draws it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sparsenode.training.noise import Needs, Stage

if TYPE_CHECKING:
    import torch


def draw_logistic(seeds: Sequence[int], iteration: int, count: int, device: torch.device) -> torch.Tensor:
    """Draw logistic noise (member, count) for the gates."""
    noise = Stage(device).at(Needs(gates=count), seeds, iteration, iteration).logistic()
    assert noise is not None
    return noise


def draw_normal(seeds: Sequence[int], iteration: int, shape: Sequence[int], device: torch.device) -> torch.Tensor:
    """Draw standard normal noise (member, *shape) for the initial states."""
    noise = Stage(device).at(Needs(starts=tuple(shape)), seeds, iteration, iteration).normal()
    assert noise is not None
    return noise
