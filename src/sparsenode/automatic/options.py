"""Options of a regularizer where nobody has set them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "pathreg": {"kappa": 0.1},
    "grouplasso": {"adaptive": 2.0, "stages": 3},
    "lassonet": {"hierarchy": 10.0},
}


def automatic_options(regularizer: str) -> dict[str, Any]:
    """Options of a regularizer; of those that are not named here its defaults."""
    return dict(_OPTIONS.get(regularizer, {}))
