"""The published regularizers and pruners: one file each, found by name.

A method is one record of hooks, absent ones None. To add one, write `methods/NAME.py` that ends with
`METHOD = Method(...)`; nothing else needs to know of it. Method files import torch for types alone, so that the
workflow can read names and options without loading it.
"""

from __future__ import annotations

import importlib
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
    `options` are JSON-schema properties with defaults.
    """

    name: str
    summary: str
    gated: bool = False
    has_strength: bool = True
    penalty: Callable[..., Sequence[tuple[float, Tensor]]] | None = None
    proximal: Callable[..., tuple[Tensor, ...]] | None = None
    size: Callable[..., Tensor] | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def method_names() -> tuple[str, ...]:
    """Names of all methods, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def get_method(name: str) -> Method:
    """The record of a method; KeyError with the known names if there is none."""
    if name not in method_names():
        raise KeyError(f"no method {name!r}; known are {', '.join(method_names())}")
    method: Method = importlib.import_module(f"{__name__}.{name}").METHOD
    return method
