"""The published regularizers and pruners: one file each, found by name.

A method is a small class of one of five kinds, a penalty, a proximal step on weights, a proximal step on edges, a
pruner, or a mask of edges; its options are its fields. To add one, write `methods/NAME.py` with one such class; nothing
else needs to know of it. Method files import torch for types only, so that the workflow can read names and options
without loading it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from sparsenode.errors import UserError
from sparsenode.settings import AUTO, BATCH, MOST_BATCHES, Auto
from sparsenode.typed import Settings, classes_of, read_settings, unknown_name

if TYPE_CHECKING:
    from torch import Tensor


class Method(Settings):
    """What a method adds to plain training: nothing here; each kind adds its steps, each method its options.

    Class attributes say what a method is: its `name` (that of its file) and `summary`; `gated`, whether it learns
    gates; `skip`, whether networks also have linear weights from inputs to targets; `masked`, whether it masks weights
    from the start; `strength`, what a strength means, None where it takes none; `largest_strength`, the largest that
    has a meaning; `sparsifies`, whether a larger strength makes sparser and 0 is plain training (else strengths are
    chosen by validation error only); `empties`, whether a large enough one leaves no edge; `whole_range`, strengths
    over all of the range of one that is a share, else None.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    gated: ClassVar[bool] = False
    skip: ClassVar[bool] = False
    masked: ClassVar[bool] = False
    strength: ClassVar[str | None] = "the weight of the penalty beside the loss"
    largest_strength: ClassVar[float] = math.inf
    sparsifies: ClassVar[bool] = True
    empties: ClassVar[bool] = True
    whole_range: ClassVar[tuple[float, ...] | None] = None

    def __init_subclass__(cls, **settings: Any) -> None:
        """Name the method by its file."""
        super().__init_subclass__(**settings)
        cls.name = cls.__module__.rpartition(".")[2]

    def ramp(self, progress: float) -> float:
        """Share of the strength when a share `progress` (0 to 1) of the warm-up is over."""
        return progress

    def why_warm_up(self) -> str | None:
        """What the method needs a warm-up for, as "which ..."; None if it can do without."""
        return None

    def prior_name(self) -> str | None:
        """Name of the prior network that the method takes, None if it takes none."""
        return None


class Penalty(Method):
    """A differentiable penalty beside the loss."""

    @abstractmethod
    def penalty(
        self, weights: Sequence[Tensor], open_probability: Sequence[Tensor], *, per_entry: bool
    ) -> Sequence[tuple[float, Tensor]]:
        """Pairs of a coefficient and a term (member,), which training divides by its value at initialization.

        Args:
            weights: of each layer (member, in, out).
            open_probability: of each layer's gates, the same, or (member, in, 1) where a gate is on an input unit.
            per_entry: whether the terms are means over entries, as the study's normalization has them.
        """


class WeightProximal(Method):
    """A penalty on single weights, by a proximal step after the optimizer's."""

    @abstractmethod
    def proximal(self, weights: Sequence[Tensor], step_sizes: Sequence[Tensor], strength: Tensor) -> tuple[Tensor, ...]:
        """The weights after the proximal step.

        Args:
            weights: of each layer (member, in, out), after the optimizer's step.
            step_sizes: of the optimizer, for each weight.
            strength: (member,).
        """

    @abstractmethod
    def size(self, weights: Sequence[Tensor], *, per_entry: bool) -> Tensor:
        """Value (member,) of the penalty that the step belongs to; its mean over entries where `per_entry`."""


class EdgeProximal(Method):
    """A penalty on edges, by a proximal step; for one network per target.

    An edge is all first-layer weights of one source in one target's network.
    """

    @abstractmethod
    def edge_size(self, edges: Tensor, skip: Tensor | None) -> Tensor:
        """Penalty (member, target, source) of edges (member, target, source, weight), skip (…, order)."""

    @abstractmethod
    def proximal(self, edges: Tensor, skip: Tensor | None, threshold: Tensor) -> tuple[Tensor, Tensor | None]:
        """Edges and skip after the proximal step with thresholds (member, target, source)."""

    def weighings(self) -> int:
        """How often edges are weighed, once the warm-up is over."""
        return 0

    def edge_weights(self, size: Tensor) -> Tensor | None:  # noqa: ARG002  a method that weighs edges takes it
        """Weights of the edges in the penalty, by their sizes (member, target, source); None for all alike."""
        return None


class EdgeMask(Method):
    """Edges that the prior network of the method does not have are masked from the start, for one network per target.

    What a variable does to itself is never masked.
    """

    masked: ClassVar[bool] = True


class Pruner(Method):
    """Weights are pruned step by step; what was pruned stays zero.

    The iterations of the prunings depend on the length of the training only. Weights are those of one member, without a
    member axis: (in, out), or (target, in, out) with one network per target.
    """

    masked: ClassVar[bool] = True

    @abstractmethod
    def scores(
        self, sizes: Sequence[Tensor], before: Sequence[Tensor], edges: Tensor | None, strength: float
    ) -> list[Tensor]:
        """Scores of the weights in a chain of layers from the sources to the targets, of which the largest stay.

        Args:
            sizes: absolute weights of each layer, times the rates of their targets if the network has any.
            before: the scores of the pruning before, at the first one the sizes.
            edges: those of the prior that the method takes, (in, target), or (target, in, 1) with one network per
                target, of any sign; else None.
            strength: that of the member.
        """

    @abstractmethod
    def weights_left(self, size: int, strength: float, iterations: int) -> dict[int, int]:
        """By iteration, how many weights of a layer of `size` are left from there on, in a training of `iterations`."""


def needs_one_network_per_target(method: type[Method]) -> bool:
    """Whether a method acts on whole edges, which only networks of single targets can tell apart."""
    return issubclass(method, EdgeProximal | EdgeMask)


@cache
def _methods() -> Mapping[str, type[Method]]:
    return classes_of(__name__, Method)


def method_names() -> tuple[str, ...]:
    """Names of all methods, sorted."""
    return tuple(_methods())


def get_method(name: str) -> type[Method]:
    """The class of a method.

    Raises:
        UserError: there is none of that name.
    """
    if name not in _methods():
        raise UserError(unknown_name("method", name, method_names()))
    return _methods()[name]


def offered_strengths(method: type[Method], strengths: Iterable[float | str] | Auto) -> list[float] | Auto:
    """Strengths as sorted numbers; "auto" where training chooses them, `[0.0]` for a method that takes none."""
    if method.strength is None:
        return [0.0]
    return AUTO if strengths == AUTO else sorted(map(float, strengths)) or [0.0]


def most_strengths(method: type[Method]) -> tuple[int, int]:
    """Strengths of one batch, and of all batches at most, where strengths are chosen by themselves."""
    if method.whole_range is not None:
        return len(method.whole_range), len(method.whole_range)
    return BATCH, MOST_BATCHES * BATCH


def make_method(name: str, options: Mapping[str, Any]) -> Method:
    """A method with its options.

    Raises:
        UserError: there is no such method, or an option is unknown, missing or not allowed.
    """
    if name not in method_names():
        raise UserError(unknown_name("method", name, method_names()))
    return read_settings(get_method(name), options, f"options of {name}")
