"""Damped rotations in the plane, as arrays that a person has."""

from __future__ import annotations

import numpy as np


def rotation(count: int = 3, observations: int = 14) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (trajectory, time, variable), and their times (time,)."""
    times = np.linspace(0.0, 3.0, observations)
    angles = np.arange(count)[:, None] + 2.0 * times
    radius = np.exp(-0.3 * times)
    return np.stack((radius * np.cos(angles), radius * np.sin(angles)), axis=-1), times
