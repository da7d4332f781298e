"""Levels of distance from the training data: which split and phase tests which level.

0: held-out times of training trajectories. 1: beyond the trained interval. 2: new starts from the same distribution.
3: starts farther from the center. 4: a changed parameter, of which models are not told. 5: a held variable, which the
forecasts of interventions test (`sparsenode.interventions`).
"""

from __future__ import annotations

from collections.abc import Mapping

INTERPOLATION = "interpolation"
"""Phase of held-out times within the trained interval."""
OUTSIDE: Mapping[str, float] = {"outside_1.5": 1.5, "outside_2": 2.0}
"""Phases of starts that are so many times as far from the center of the training starts."""
CHANGED: Mapping[str, float] = {"changed_0.5": 0.5, "changed_2": 2.0}
"""Phases of a system of which a parameter is multiplied."""
DISTANT_PHASES = (INTERPOLATION, *OUTSIDE, *CHANGED)
HELD = "held"
"""What the study calls the phase of forecasts with a held variable."""
LEVELS: Mapping[tuple[str, str], int] = {
    ("test", INTERPOLATION): 0,
    ("train", "extrapolation"): 1,
    ("test", "fit"): 2,
    **{("test", phase): 3 for phase in OUTSIDE},
    **{("test", phase): 4 for phase in CHANGED},
    ("test", HELD): 5,
}
"""Level by split and phase."""
LEVEL_NAMES: Mapping[int, str] = {
    0: "held-out times",
    1: "beyond the trained interval",
    2: "new starts",
    3: "starts outside",
    4: "changed parameter",
    5: "held variable",
}
