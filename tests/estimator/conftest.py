"""Small trajectories and a fit of a few iterations, which the tests of the estimator share."""

from __future__ import annotations

from typing import Any

import pytest

from rotations import rotation
from sparsenode.estimator.model import SparseNODE

TINY: dict[str, Any] = {
    "hidden": (4,),
    "iterations": 6,
    "strengths": (0.01, 0.1),
    "seeds": 2,
    "check_every": 2,
    "windows": None,
    "time_scale": 1.0,
    "ranking": "paths",
    "verbose": 0,
}


@pytest.fixture
def tiny() -> dict[str, Any]:
    return dict(TINY)


@pytest.fixture(scope="session")
def fitted() -> SparseNODE:
    """Fitted to three damped rotations. Copy it before you change it."""
    return SparseNODE(**TINY).fit(*rotation())
