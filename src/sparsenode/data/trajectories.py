"""What a source hands on: trajectories in modeling units, before validation is set aside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trajectory:
    """One course of the system in time.

    Shapes: `times` (observation,), not decreasing; `values` and `noise_free` (observation, feature);
    `weights`, `splits` and `phases` (observation,); `offset` and `scale` (feature,). An observation in the
    source's own (transformed) unit is `offset + scale * value`, its time there `time_offset + time_scale *
    time`. `observation_names` are given only where the source has names worth keeping. Baselines are fitted
    per `group`; errors are summed per `subject` (a donor, a person, or the trajectory itself).

    Where observations are averages, `first_values` (single observation, feature) are the first of what was averaged,
    and make the initial state. `embeddings` are coordinates of the observations by name, each (observation,
    dimension); `observation_labels` further columns of `obs`, each (observation,), such as `cell_type`. `level` is the
    factor by which the values are expected to be smaller than those of the group's training trajectories, known
    without looking at them (see `sparsenode.data.single_cell.levels`). `cells` (observation,) are numbers by which a
    cell that is in several trajectories is recognized, so that what is held out of one is held out of all.
    """

    name: str
    group: str
    subject: str
    times: Floats
    values: Floats
    splits: NDArray[np.str_]
    phases: NDArray[np.str_]
    weights: Floats | None = None
    noise_free: Floats | None = None
    offset: Floats | None = None
    scale: Floats | None = None
    observation_names: tuple[str, ...] | None = None
    time_offset: float = 0.0
    time_scale: float = 1.0
    first_values: Floats | None = None
    embeddings: Mapping[str, Floats] = field(default_factory=dict)
    observation_labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    level: float = 1.0
    cells: NDArray[np.int_] | None = None


@dataclass(frozen=True)
class RawTrajectories:
    """All trajectories of a source, and what is known about the network behind them.

    Shapes: `truth` (source, target), its sign the sign of the influence, 0 for no edge; `truth_known`
    (source, target), False where nobody knows; without `truth_signed` its edges have no known sign; every entry of
    `priors` (source, target), and of `priors_known`, False where that prior tells nothing; `is_regulator` (feature,),
    by default every feature, whatever the truth says. `kind` is `simulated` or
    `measured`. `provenance` is written into the file as it is: numbers, strings, arrays and dictionaries of them.
    `feature_labels` are further columns of `var`, each (feature,); `source_unit` is the unit of `offset + scale *
    value`, empty where it has no name.
    """

    kind: str
    features: tuple[str, ...]
    trajectories: tuple[Trajectory, ...]
    time_unit: str
    value_unit: str
    scaling: str = "none"
    transform: str = "none"
    truth: Floats | None = None
    truth_known: NDArray[np.bool_] | None = None
    truth_signed: bool = True
    priors: Mapping[str, Floats] = field(default_factory=dict)
    priors_known: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    is_regulator: NDArray[np.bool_] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    feature_labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source_unit: str = ""


def constant_labels(label: str, count: int) -> NDArray[np.str_]:
    """The same split or phase for `count` observations."""
    return np.full(count, label)
