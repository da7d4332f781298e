"""Random numbers of training, keyed by (seed, iteration): a run that resumes needs no other state of them.

Members of one seed get the same numbers, whatever their strength, their neighbors and the time at which they train.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_GATES = 1
_STARTS = 2
_BATCHES = 3
_WEIGHTS = 4


def _generator(purpose: int, seed: int, iteration: int) -> np.random.SFC64:
    return np.random.SFC64([purpose, seed, iteration])


def draw_logistic(seeds: Sequence[int], iteration: int, count: int, device: torch.device) -> Tensor:
    """Draw logistic noise (member, count) for the gates.

    The logit of 16 random bits each: a gate's chance to be closed is off by less than 2e-5, at a sixth of the time.
    """
    distinct, indices = _distinct(seeds)
    bits = np.stack(
        [_generator(_GATES, seed, iteration).random_raw(-(-count // 4)).view(np.int16)[:count] for seed in distinct]
    )
    noise = torch.from_numpy(bits).to(device).float().add_(2.0**15 + 0.5).mul_(2.0**-16).logit_()
    return noise if indices is None else noise[indices.to(device)]


def draw_normal(seeds: Sequence[int], iteration: int, shape: Sequence[int], device: torch.device) -> Tensor:
    """Draw standard normal noise (member, *shape) for the initial states."""
    distinct, indices = _distinct(seeds)
    drawn = [
        np.random.Generator(_generator(_STARTS, seed, iteration)).standard_normal(tuple(shape), dtype=np.float32)
        for seed in distinct
    ]
    noise = torch.from_numpy(np.stack(drawn)).to(device)
    return noise if indices is None else noise[indices.to(device)]


def draw_rows(iteration: int, rows: int, count: int) -> Tensor:
    """Draw `count` of `rows` rows without repetition: those of an iteration, the same for all members."""
    generator = np.random.Generator(_generator(_BATCHES, rows, iteration))
    return torch.from_numpy(generator.choice(rows, count, replace=False))


def draw_weights(seed: int, count: int) -> np.ndarray:
    """Draw `count` weights of a seed's bootstrap, exponential with mean 1."""
    return np.random.Generator(_generator(_WEIGHTS, seed, 0)).standard_exponential(count)


def _distinct(seeds: Sequence[int]) -> tuple[list[int], Tensor | None]:
    """Seeds without repetition, and for each member the place of its seed among them; None where none is repeated."""
    distinct = list(dict.fromkeys(seeds))
    if len(distinct) == len(seeds):
        return distinct, None
    number_of = {seed: number for number, seed in enumerate(distinct)}
    return distinct, torch.tensor([number_of[seed] for seed in seeds])
