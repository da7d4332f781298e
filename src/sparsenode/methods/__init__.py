"""The published regularizers and pruners: one file each, found by name.

A method is one record of hooks, absent ones None. To add one, write `methods/NAME.py` that ends with
`METHOD = Method(...)`; nothing else needs to know of it. Method files import torch for types alone, so that the
workflow can read names and options without loading it.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Method:
    """What a method adds to plain training.

    `penalty(weights, open_probability, per_entry=..., **options)` gives pairs (coefficient, term (member,)). Weights
    are (member, in, out), probabilities the same, or (member, in, 1) where a gate stands on an input unit. Training
    divides each term by its value at initialization, unless the normalization is the study's (`per_entry`).
    `proximal(weights, step_sizes, strength, **options)` gives the weights after the optimizer's step; `step_sizes`
    are those of the optimizer for each weight, `strength` is (member,).
    `size(weights, per_entry=..., **options)` is the value, (member,), of the penalty that a proximal step stands for.

    A method with `per_target` needs one network per target, and acts on edges, all first-layer weights of one source
    in one target's network: `edge_size(edges, skip)` is the penalty (member, target, source) of edges (member, target,
    source, entry), and `edge_proximal(edges, skip, threshold, **options)` the proximal step with thresholds of its
    shape. With `skip` the networks also have linear weights from inputs to targets, (member, target, source, order).
    `edge_weights(size, **options)` weighs the edges of the penalty once the warm-up is over, None for alike; with an
    option `stages` it does so that many times in all.

    A pruner has two hooks. `scores(sizes, before, edges, strength, **options)` gives the scores of one member's
    weights in a chain of layers from the sources to the targets, of which the largest stay; `sizes` are the absolute
    weights, times the rates of their targets if the network has any, `before` the scores of the pruning before, at the
    first one the sizes. `weights_left(size, strength, iterations, **options)` tells by iteration how many weights of a
    layer of `size` are left from there on, in a training of `iterations`; the iterations depend on nothing else. Both
    take the weights without a member axis, (in, out) or (target, in, out), and one number as the strength. What was
    pruned stays zero. With `prior` the method takes the prior network that its option of this name names: its `edges`
    are (in, target), or (target, in, 1) with one network per target, of any sign; else None.

    `ramp(progress, **options)` is the share of the strength within the warm-up, `progress` itself where there is none.
    `warm_up(**options)` says what the method takes a warm-up for, as "which ...", None if it can do without.
    `strength` says what a strength means, `largest_strength` is the largest that has a meaning. With `sparsifies` a
    larger one makes sparser and 0 is plain training; else strengths are chosen by validation error alone.
    `options` are JSON-schema properties, with defaults unless they must be given; `problem(**options)` says what among
    them contradicts itself, as `option: found X; allowed: Y`, else None.
    """

    name: str
    summary: str
    gated: bool = False
    has_strength: bool = True
    penalty: Callable[..., Sequence[tuple[float, Tensor]]] | None = None
    proximal: Callable[..., tuple[Tensor, ...]] | None = None
    size: Callable[..., Tensor] | None = None
    per_target: bool = False
    skip: bool = False
    edge_size: Callable[..., Tensor] | None = None
    edge_proximal: Callable[..., tuple[Tensor, Tensor | None]] | None = None
    edge_weights: Callable[..., Tensor | None] | None = None
    scores: Callable[..., Sequence[Tensor]] | None = None
    weights_left: Callable[..., Mapping[int, int]] | None = None
    prior: bool = False
    ramp: Callable[..., float] | None = None
    warm_up: Callable[..., str | None] | None = None
    strength: str = "the weight of the penalty beside the loss"
    largest_strength: float = math.inf
    sparsifies: bool = True
    problem: Callable[..., str | None] | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def missing_warm_up(method: Method, options: Mapping[str, Any], share: float) -> str | None:
    """What a method takes a warm-up for, as "which ...", if its `share` of the iterations is 0; else None."""
    return method.warm_up(**options) if method.warm_up is not None and share == 0 else None


def method_names() -> tuple[str, ...]:
    """Names of all methods, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def get_method(name: str) -> Method:
    """The record of a method; KeyError with the known names if there is none."""
    if name not in method_names():
        raise KeyError(f"no method {name!r}; known are {', '.join(method_names())}")
    method: Method = importlib.import_module(f"{__name__}.{name}").METHOD
    return method
