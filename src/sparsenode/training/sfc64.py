"""NumPy's generator SFC64 by tensor operations, for many seeds and iterations at once: the same bits on any device.

A step of the generator (Doty-Humphrey's sfc64 of PractRand, as in numpy/random/src/sfc64) gives 64 bits; it is seeded
by `numpy.random.SeedSequence` (O'Neill's seed_seq_fe). torch has no unsigned 64-bit arithmetic, but sums and products
of signed numbers wrap around, and a shift to the right is one with a mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

NUMBERS_OF_A_STEP = 4
"""Numbers of 16 bits."""

MOST_KEY = 2**32
"""Numbers of a key are below it."""

_WORD = 0xFFFFFFFF
_POOL = 4
_DISCARDED = 12
# Constants of SeedSequence.
_INIT_A, _MULT_A, _INIT_B, _MULT_B = 0x43B0D7E5, 0x931E8875, 0x8B51F9DD, 0x58F38DED
_MIX_LEFT, _MIX_RIGHT = 0xCA01F9DD, 0x4973F715
_HALF = 16


class _Hash:
    """The hash of SeedSequence, whose constant changes with each use."""

    def __init__(self, first: int, multiplier: int) -> None:
        self.constant, self.multiplier = first, multiplier

    def __call__(self, words: Tensor) -> Tensor:
        words = words ^ self.constant
        self.constant = (self.constant * self.multiplier) & _WORD
        words = (words * self.constant) & _WORD
        return words ^ (words >> _HALF)


def _mix(left: Tensor, right: Tensor) -> Tensor:
    mixed = (((left * _MIX_LEFT) & _WORD) - ((right * _MIX_RIGHT) & _WORD)) & _WORD
    return mixed ^ (mixed >> _HALF)


def seed_states(entropy: Sequence[Tensor]) -> list[Tensor]:
    """The first three words of 64 bits that `SeedSequence(entropy)` gives, which are the generator's state.

    Args:
        entropy: up to four tensors of one shape, of numbers of 32 bits.
    """
    hashed = _Hash(_INIT_A, _MULT_A)
    nothing = torch.zeros_like(entropy[0])
    pool = [hashed(entropy[index] if index < len(entropy) else nothing) for index in range(_POOL)]
    for source in range(_POOL):
        for target in range(_POOL):
            if source != target:
                pool[target] = _mix(pool[target], hashed(pool[source]))
    generated = _Hash(_INIT_B, _MULT_B)
    words = [generated(pool[index % _POOL]) for index in range(6)]
    return [words[index] | (words[index + 1] << 32) for index in (0, 2, 4)]


def draw_bits(purpose: int, seeds: Sequence[int], iterations: range, count: int, device: torch.device) -> Tensor:
    """Numbers of 16 bits (iteration, seed, count), those of `SFC64([purpose, seed, iteration]).random_raw`.

    Args:
        purpose: first number of the key.
        seeds: second numbers, below `MOST_KEY`.
        iterations: third numbers.
        count: how many numbers for each seed and iteration.
        device: where they are made.
    """
    shape = (len(iterations), len(seeds))
    of_seeds = torch.tensor(list(seeds), dtype=torch.int64, device=device).expand(shape)
    of_iterations = torch.arange(iterations.start, iterations.stop, device=device)[:, None].expand(shape)
    a, b, c = seed_states([torch.full(shape, purpose, dtype=torch.int64, device=device), of_seeds, of_iterations])
    steps = -(-count // NUMBERS_OF_A_STEP)
    drawn = torch.empty((*shape, steps), dtype=torch.int64, device=device)
    for step in range(_DISCARDED + steps):
        result = (a + b).add_(1 + step)  # the counter starts at 1
        a = ((b >> 11) & ((1 << 53) - 1)).bitwise_xor_(b)
        b = (c << 3).add_(c)
        c = ((c >> 40) & ((1 << 24) - 1)).bitwise_or_(c << 24).add_(result)
        if step >= _DISCARDED:
            drawn[..., step - _DISCARDED] = result
    return drawn.view(torch.int16)[..., :count]
