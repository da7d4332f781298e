"""How much memory members need in training. Imports nothing heavy: the plan of a run asks before anything runs."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from sparsenode.errors import UserError

if TYPE_CHECKING:
    from sparsenode.methods import Method
    from sparsenode.settings import ModelSettings

BASE_BYTES = 450 * 10**6
"""Python, torch and the data."""

_COPIES_OF_TRAINED = 14
_COPIES_OF_MASKS = 4
_COPIES_OF_ACTIVATIONS = 6
_ADAPTIVE_EVALUATIONS = 10
_LEAST_COPIES_OF_ACTIVATIONS = 3  # estimates hold within a factor of two
_COPIES_OF_LOSS = 3
_MOST_STEPS = 10**15
USABLE = 0.8
"""Share of the memory that members may take: the allocator's gaps and the libraries need the rest."""
_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_OWN_CONTROL_GROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class MemberSize:
    """What one member consists of: numbers of weights, gates and masks, and the summed widths of the field's layers.

    `products` are the multiplications of one evaluation for one row: more than the weights where networks of single
    targets have several hidden layers, since zeros between the targets take part.
    """

    weights: int
    gates: int
    widths: int
    products: int
    masks: int = 0

    @property
    def trained(self) -> int:
        """Numbers that the optimizer changes, biases aside."""
        return self.weights + self.gates


def member_size(
    *,
    features: int,
    order: int,
    hidden: Sequence[int],
    velocity_hidden: Sequence[int],
    gates: str | None,
    velocity_observations: int | None = None,
    network: str = "joint",
    skip: bool = False,
    masked: bool = False,
) -> MemberSize:
    """Size of a member.

    Args:
        features: number of the variables.
        order: order of the model, 1 or 2.
        hidden: units of the hidden layers; of a biological network those of each branch.
        velocity_hidden: units of the hidden layers of the network of the initial velocity (second order).
        gates: where gates are: on single weights (`weight`), on input units (`unit`), or nowhere (None).
        velocity_observations: how many observations that network is given, if any.
        network: `joint`, `per_target` or `biological`.
        skip: whether the method has linear weights from inputs to targets beside the network.
        masked: whether the method prunes.
    """
    if network == "biological":  # two branches in one hidden layer
        hidden = [2 * units for units in hidden]
    targets = features if network == "per_target" else 1
    widths = [order * features, *hidden, features // targets]
    weights = targets * _products(widths)
    on_gates = {"weight": weights, "unit": targets * sum(widths[:-1]), None: 0}[gates]
    widths = [order * features, *(targets * width for width in hidden), features]
    # Without hidden layers the networks of single targets are one matrix, and else their last layers are rows.
    last = widths[-2] if network == "per_target" and hidden else widths[-2] * features
    products = _products(widths[:-1]) + last
    if skip:
        weights += order * features * features
        products += order * features * features
    masks = weights if masked else 0
    if order == 2:
        velocity_inputs = 2 * features if (velocity_observations or 1) > 1 else features
        weights += _products([velocity_inputs, *velocity_hidden, features])
    return MemberSize(weights, on_gates, sum(widths), products, masks)


def member_size_of(features: int, settings: ModelSettings, method: type[Method]) -> MemberSize:
    """Size of a member of a model that a method trains, on data of so many `features`."""
    return member_size(
        features=features,
        order=settings.order,
        network=settings.network,
        hidden=settings.hidden,
        velocity_hidden=settings.velocity_hidden,
        velocity_observations=settings.velocity_observations,
        gates=settings.gates if method.gated else None,
        skip=method.skip,
        masked=method.masked,
    )


def member_bytes(size: MemberSize, *, rows: int, evaluations: int) -> int:
    """Bytes that one more member takes in training.

    What is trained has a value, a gradient, two moments, a snapshot and temporary copies. A mask has a snapshot and its
    weights' scores beside it. Networks of single targets are side by side in larger matrices, which have a value and a
    gradient.

    Args:
        size: the size of the member.
        rows: number of the rows of one solve.
        evaluations: number of the evaluations of the field, each of which keeps the activations of all `rows` for the
            reverse pass.
    """
    beside = 3 * (size.products - size.weights) if size.products > size.weights else 0
    persistent = _COPIES_OF_TRAINED * size.trained + _COPIES_OF_MASKS * size.masks
    return 4 * (persistent + beside + _COPIES_OF_ACTIVATIONS * rows * evaluations * size.widths)


def evaluations_kept(scheme: str, intervals: int) -> int:
    """Evaluations of the field that a solve keeps for its reverse pass; how many dopri5 takes is a guess."""
    coarse = 4 * intervals + 1
    return coarse if scheme == "rk4" else _ADAPTIVE_EVALUATIONS * coarse


def count_steps(duration: float, step: float) -> int:
    """Steps of the solver that a solve takes.

    Args:
        duration: time from the first to the last observation of the longest row.
        step: `solver.step` of the model, in the same unit.

    Raises:
        UserError: they are more than any machine could take.
    """
    steps = duration / step - 1e-9 if duration < step * _MOST_STEPS else math.inf
    if steps > _MOST_STEPS:
        raise UserError(
            f"solver.step: found {step:g}, with rows of {duration:g} in the unit of time, which would take more than "
            f"{_MOST_STEPS:g} steps; allowed: a step that is a small part of that, such as {duration / 100:.1g}"
        )
    return max(1, math.ceil(steps))


def solve_bytes(size: MemberSize, *, rows: int, evaluations: int) -> int:
    """Bytes that the reverse pass of one member's solve needs at the very least: what cannot be had without them."""
    return int(4 * _LEAST_COPIES_OF_ACTIVATIONS * rows * evaluations * size.widths)


def loss_bytes(observations: int, intervals: int) -> int:
    """Bytes that factoring the loss of one row takes: the matrix (observation, 2 x nodes) and what it is taken into."""
    return 8 * _COPIES_OF_LOSS * observations * 2 * (intervals + 1)


def _fitting_step(step: float, needed: float, available: float) -> float:
    """A `solver.step`, of one digit, with which a solve that needs so many bytes should fit into those available."""
    wished = 1.5 * step * needed / max(available, 1.0)
    digit = 10.0 ** math.floor(math.log10(wished))
    return float(f"{math.ceil(wished / digit) * digit:.1g}")


def a_step_helps(intervals: int, needed: float, usable: float) -> bool:
    """Whether a solve of so many steps would fit into the memory, both in bytes, with fewer of them."""
    return needed <= usable * intervals


def describe_steps(intervals: int, step: float, needed: float, usable: float, *, windows: bool = False) -> str:
    """Say that a solve of so many steps is beyond the memory, and what to set.

    Args:
        intervals: number of the steps.
        step: `solver.step` of the model.
        needed: bytes that the solve needs at least.
        usable: bytes that may be used.
        windows: whether the model trains on windows.
    """
    if a_step_helps(intervals, needed, usable):
        advice = (
            f"set `solver.step` of the model to {_fitting_step(step, needed, usable):g} or more, give the times in a "
            f"larger unit (`time_scaling: unit` of the dataset), or train on {'shorter' if windows else 'short'} "
            "`windows`"
        )
    else:
        advice = (
            f"{'set' if windows else 'train on `windows` and set'} `windows.batch` of the model to so few rows that "
            "they fit, or take fewer units; a larger `solver.step` would not do"
        )
    return (
        f"a training solve takes {intervals:,} step{'s' * (intervals != 1)} of {step:g} from the first to the last "
        f"observation of a row, for which one member needs at least {needed / 1e9:.1f} GB, and {usable / 1e9:.1f} GB "
        f"may be used here: {advice}"
    )


def machine_bytes() -> int:
    """Bytes of memory of this machine, free or not, or of the control group, as of a container, around this process."""
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_control_group_limits()])


def _control_group_limits() -> Iterator[int]:
    """Limits of the memory of all control groups that hold this process, version 1 or 2."""
    try:
        lines = _OWN_CONTROL_GROUPS.read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in {"", "memory"}:
            continue
        top = _CONTROL_GROUPS / controllers
        here = top / path.lstrip("/")
        for folder in (here, *here.parents):
            if not folder.is_relative_to(top):
                break
            for name in ("memory.max", "memory.limit_in_bytes"):
                with contextlib.suppress(OSError, ValueError):  # no such file, or the word "max"
                    yield int((folder / name).read_text())


def is_refused(network: str, needed: float, available: float) -> bool:
    """Whether a model is not even tried when one member of it needs more than there is, both in one unit.

    Other networks grow with the number of variables and not with its square: they may try.
    """
    return network == "per_target" and needed > available


def most_members(available: int, each: int) -> int:
    """Members that fit in `available` bytes beside what a job needs anyway; at least one, which has to be tried."""
    return max(1, (available - BASE_BYTES) // each)


def _products(widths: Sequence[int]) -> int:
    return sum(below * above for below, above in pairwise(widths))
