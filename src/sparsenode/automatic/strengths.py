"""Strengths and options of a regularizer where nobody has set them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_METHODS: Mapping[str, tuple[Mapping[str, Any], tuple[float, ...]]] = {
    "none": ({}, (0.0,)),
    "l1": ({}, (0.01, 0.03, 0.1, 0.3, 1.0)),
    "cnode": ({}, (0.1, 1.0, 10.0, 100.0, 1000.0)),
    "l0": ({}, (0.3, 1.0, 10.0, 30.0, 100.0)),
    "pathreg": ({"kappa": 0.1}, (0.3, 1.0, 10.0, 30.0, 100.0)),
    "grouplasso": ({"adaptive": 2.0, "stages": 3}, (0.0003, 0.001, 0.003, 0.01, 0.03)),
    "lassonet": ({"hierarchy": 10.0}, (0.01, 0.03, 0.1, 0.3, 1.0)),
    "imp": ({}, (0.3, 0.5, 0.7, 0.9)),
}


def automatic_strengths(regularizer: str) -> tuple[float, ...] | None:
    """Strengths that are tried of a regularizer, ascending; None where there are no usual ones."""
    return _METHODS[regularizer][1] if regularizer in _METHODS else None


def automatic_options(regularizer: str) -> dict[str, Any]:
    """Options of a regularizer."""
    return dict(_METHODS[regularizer][0]) if regularizer in _METHODS else {}
