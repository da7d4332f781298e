"""Independent blocks of the data, and the windows within them that networks are fitted to.

A trajectory is a block; of fewer trajectories than make a test each one is cut into blocks that are longer than the
observations remember. Only whole blocks are held out. Each block is smoothed by itself, so that no smoothed value of
a training block knows anything of a held-out one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sparsenode.data.missing import is_complete
from sparsenode.data.trajectories import Floats
from sparsenode.peers.derivatives import FEWEST, average_ties, smooth

FEWEST_BLOCKS = 10
"""Independent blocks below which no test is made."""
_BLOCKS = 20  # that fewer trajectories are cut into
_FEWEST_INTERVALS = 5  # of a block: a window is to say something of the dynamics
_LONGEST_STEP = 0.35  # of the solver, in the time in which a variable changes by as much as it varies
_MOST_SUBSTEPS = 10
_CHANGES_OF_WINDOW = 1.2  # times the time in which a variable changes by as much as it varies
_LEAST_INTERVALS, _MOST_INTERVALS = 4, 10  # of a window


@dataclass(frozen=True, kw_only=True)
class Block:
    """Observations in a row.

    `time` (time,), `values`, NaN where missing, and their smoothed course `states` and `slopes` (time, variable).
    """

    time: Floats
    values: Floats
    states: Floats
    slopes: Floats


@dataclass(frozen=True, kw_only=True)
class Windows:
    """All windows of some blocks.

    Attributes:
        block: number of each window's block, (window,).
        observed: observations at the nodes, 0 where there is none, (window, node, variable).
        weight: 1 where there is an observation, else 0, (window, node, variable).
        steps: lengths of the solver's steps from node to node, 0 beyond the end, (window, step).
        smoothed: smoothed states on half steps, (window, 2 * step + 1, variable).
        substeps: steps from one observation to the next.
    """

    block: np.ndarray
    observed: Floats
    weight: Floats
    steps: Floats
    smoothed: Floats
    substeps: int

    def of(self, chosen: np.ndarray) -> Windows:
        """Those of a boolean mask over blocks."""
        rows = chosen[self.block]
        return Windows(
            block=self.block[rows],
            observed=self.observed[rows],
            weight=self.weight[rows],
            steps=self.steps[rows],
            smoothed=self.smoothed[rows],
            substeps=self.substeps,
        )


def memory_time(time: Floats, values: Floats) -> float:
    """Time after which the autocorrelation of smoothed values (time, variable) is below 1/e, the median of variables.

    Infinite for a variable whose autocorrelation stays above it for half of the time.
    """
    centered = values - values.mean(0)
    power = np.square(centered).sum(0)
    moves = power > 1e-12 * np.square(values).sum(0)
    if not moves.any():
        return 0.0
    step = (time[-1] - time[0]) / (len(time) - 1)
    lags = []
    for column, whole in zip(centered[:, moves].T, power[moves], strict=True):
        product = np.correlate(column, column, mode="full")[len(column) - 1 :] / whole
        below = np.flatnonzero(product[: len(column) // 2 + 1] < np.exp(-1))
        lags.append(below[0] * step if len(below) else np.inf)
    return float(np.median(lags))


def cut_blocks(times: Sequence[Floats], values: Sequence[Floats]) -> list[Block]:
    """Blocks of all trajectories; fewer than `FEWEST_BLOCKS` where there is no more that is independent.

    Args:
        times: of each trajectory, (time,).
        values: of each trajectory, (time, variable), NaN where missing.
    """
    courses = []
    for when, what in zip(times, values, strict=True):
        time, merged, _ = average_ties(when, what, np.ones(len(when)))
        if int((~np.isnan(merged)).sum(0).min()) >= max(FEWEST, _FEWEST_INTERVALS + 1):
            courses.append((time, merged))
    if len(courses) >= FEWEST_BLOCKS:
        return _smooth_blocks(courses)
    share = -(-_BLOCKS // len(courses)) if courses else 0
    pieces: list[tuple[Floats, Floats]] = []
    for time, merged in courses:
        states, _ = smooth(time, merged)
        memory = memory_time(time, states)
        span = time[-1] - time[0]
        fitting = len(time) // max(FEWEST, _FEWEST_INTERVALS + 1)
        independent = int(span / memory) if memory > 0 else fitting
        count = max(1, min(share, independent, fitting))
        cut = np.array_split(np.arange(len(time)), count)
        pieces += [(time[rows], merged[rows]) for rows in cut if (~np.isnan(merged[rows])).sum(0).min() >= FEWEST]
    return _smooth_blocks(pieces)


def _smooth_blocks(pieces: Sequence[tuple[Floats, Floats]]) -> list[Block]:
    """Blocks out of times and values; those of equal steps are smoothed together, column by column, which is faster."""
    alike: dict[tuple[float, ...], list[int]] = {}
    for number, (time, values) in enumerate(pieces):
        spacing = np.diff(time) / (time[-1] - time[0])
        key = (*np.round(spacing, 9), *([] if is_complete(values) else [float(number)]))
        alike.setdefault(key, []).append(number)
    blocks: dict[int, Block] = {}
    for numbers in alike.values():
        time = pieces[numbers[0]][0]
        columns = np.concatenate([pieces[number][1] for number in numbers], axis=1)
        courses = smooth(time, columns)
        states, slopes = (np.split(course, len(numbers), axis=1) for course in courses)
        for number, state, slope in zip(numbers, states, slopes, strict=True):
            stretch = (time[-1] - time[0]) / (pieces[number][0][-1] - pieces[number][0][0])
            blocks[number] = Block(
                time=pieces[number][0], values=pieces[number][1], states=state, slopes=slope * stretch
            )
    return [blocks[number] for number in range(len(pieces))]


def change_time(blocks: Sequence[Block]) -> Floats:
    """Time in which each variable changes by as much as it varies, (variable,); infinite where it never moves."""
    states, slopes = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("states", "slopes"))
    speed = np.sqrt(np.square(slopes).mean(0))
    return np.where(speed > 0, states.std(0) / np.where(speed > 0, speed, 1.0), np.inf)


def usual_window(blocks: Sequence[Block]) -> int:
    """Observation intervals of a window in which errors of a chaotic system cannot yet grow large.

    Of windows much longer than the time in which the variables change, networks cannot be fitted down to the noise.
    """
    interval = float(np.median(np.concatenate([np.diff(block.time) for block in blocks])))
    changing = _CHANGES_OF_WINDOW * float(np.median(change_time(blocks)))
    return int(np.clip(np.floor(min(changing / interval, _MOST_INTERVALS)), _LEAST_INTERVALS, _MOST_INTERVALS))


def cut_windows(blocks: Sequence[Block], intervals: int) -> Windows:
    """Windows of at most so many intervals, as equal as they can be; neighbors share an observation.

    Args:
        blocks: whose values are in units in which all are alike.
        intervals: between observations, in a window.
    """
    fastest = float(np.median(change_time(blocks)))
    longest = max(float(np.diff(block.time).max()) for block in blocks)
    substeps = int(np.clip(np.ceil(longest / (_LONGEST_STEP * fastest)), 1, _MOST_SUBSTEPS)) if fastest > 0 else 1
    pieces = [
        (number, rows[0], rows[-1] + 1)
        for number, block in enumerate(blocks)
        for rows in np.array_split(np.arange(len(block.time) - 1), -(-(len(block.time) - 1) // intervals))
    ]
    most = max(last - first for _, first, last in pieces)
    count, variables, steps = len(pieces), blocks[0].values.shape[1], most * substeps
    observed, weight = np.zeros((count, steps + 1, variables)), np.zeros((count, steps + 1, variables))
    lengths, smoothed = np.zeros((count, steps)), np.zeros((count, 2 * steps + 1, variables))
    for row, (number, first, last) in enumerate(pieces):
        block = blocks[number]
        values = block.values[first : last + 1]
        nodes = np.arange(len(values)) * substeps
        present = ~np.isnan(values)
        observed[row, nodes], weight[row, nodes] = np.where(present, values, 0.0), present
        grid = np.interp(np.arange(nodes[-1] + 1) / substeps, np.arange(len(values)), block.time[first : last + 1])
        lengths[row, : nodes[-1]] = np.diff(grid)
        half = np.empty(2 * nodes[-1] + 1)
        half[::2], half[1::2] = grid, (grid[1:] + grid[:-1]) / 2
        smoothed[row, : len(half)] = _course(block)(half)
        smoothed[row, len(half) :] = smoothed[row, len(half) - 1]
    return Windows(
        block=np.array([number for number, _, _ in pieces]),
        observed=observed,
        weight=weight,
        steps=lengths,
        smoothed=smoothed,
        substeps=substeps,
    )


def _course(block: Block) -> Callable[[Floats], Floats]:
    """The smoothed course between the observations of a block."""
    from scipy.interpolate import CubicHermiteSpline

    return CubicHermiteSpline(block.time, block.states, block.slopes)
