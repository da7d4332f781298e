"""How large the values of another trajectory are to be expected, where each is scaled by the range of its own cells.

The range of noisy values grows with the number of cells, so that the same expression is scaled to smaller values where
there are more of them. And the level of one sample of cells is only partly that of another sample. Both are known
before any value of the other trajectory is, from its number of cells and from the training cells themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsenode.data.trajectories import Floats
from sparsenode.data.transforms import scale_of_range, value_range

_REPEATS = 60
_FEWEST_CELLS = 16
_PARTS = (4, 2, 1)


@dataclass(frozen=True)
class LevelLaw:
    """Expected level of other cells beside those of a trajectory, 1 / (`equal` + `growth` log2(other cells / cells)).

    The range of values with exponential tails grows with the logarithm of their number. `equal` is for a sample of
    equal size, `growth` what doubling it adds.
    """

    cells: int
    equal: float
    growth: float

    def at(self, count: int) -> float:
        """Level of `count` other cells, at most 1: a shrinkage factor, which never expands."""
        return float(1.0 / max(1.0, self.equal + self.growth * np.log2(count / self.cells)))


def learn_levels(values: Floats, seed: int = 0) -> LevelLaw:
    """Learn the law only from the cells of a training trajectory, (cell, gene), before scaling.

    Half of the cells are scaled by their range, and a half, a quarter and an eighth of the cells, other than those, by
    theirs. The level of the one sample beside the other is the least-squares factor between their mean expressions
    (a regression through the origin over the genes), averaged over random halves in which a gene moves; the law is a
    line through the reciprocals. With fewer than 16 cells, or where no gene moves in samples of a size, nothing is
    learned.
    """
    cells = len(values)
    if cells < _FEWEST_CELLS:
        return LevelLaw(cells, 1.0, 0.0)
    generator = np.random.default_rng(seed)
    half = cells // 2
    sizes = np.array([half // divisor for divisor in _PARTS])
    factors, count = np.zeros(len(sizes)), 0
    for _ in range(_REPEATS):
        order = generator.permutation(cells)
        half_mean = _scaled_mean(values[order[:half]])
        square = float(half_mean @ half_mean)
        if square == 0:
            continue
        sample_means = [_scaled_mean(values[order[half : half + size]]) for size in sizes]
        factors += [float(sample_mean @ half_mean) / square for sample_mean in sample_means]
        count += 1
    if (factors == 0).any():
        return LevelLaw(cells, 1.0, 0.0)
    growth, equal = np.polyfit(np.log2(sizes / half), count / factors, 1)
    return LevelLaw(cells, float(equal), float(growth))


def _scaled_mean(values: Floats) -> Floats:
    """Mean (gene,) of values (cell, gene) that are scaled to [0, 1] by their own range; 0 where there is none."""
    lowest, extent = value_range(values)
    return np.asarray((values.mean(axis=0) - lowest) / scale_of_range(extent))
