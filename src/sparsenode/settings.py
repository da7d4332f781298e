"""The settings of a model and of a method, as training reads them from the frozen JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

PRUNING_THRESHOLD = 1e-5
"""Weights and paths below this count as zero, in the refit and in the sparsity metrics: the published study's value."""

FROZEN = ("dataset", "model", "method", "model_settings", "method_settings")
"""Entries of the frozen settings, the JSON file that training reads."""


@dataclass(frozen=True)
class SolverSettings:
    """How the vector field is integrated.

    `step` is the distance between the nodes of the coarse grid, in the dataset's unit of time; the error of the
    dense output is of order step**4, so halve it when forecasts change with it. `tolerance` (relative and absolute)
    is used only by `dopri5`, which is slower by an order of magnitude and serves as the reference.
    """

    scheme: str = "rk4"
    step: float = 0.2
    tolerance: float = 1e-3


@dataclass(frozen=True)
class WindowSettings:
    """Windows that restart from observations: `length` steps after the start, a new one every `stride` observations.

    With `batch` an iteration solves that many windows, drawn at random, and not all of them, and so many whole
    trajectories where a model trains on them too.
    """

    length: int = 8
    stride: int = 4
    batch: int | None = None


@dataclass(frozen=True)
class BootstrapSettings:
    """Each seed gives the training observations new weights, so that seeds tell how much depends on the data at hand.

    Every `block` consecutive observations of a trajectory share one weight, drawn from the exponential distribution of
    mean 1 (the Bayesian bootstrap, Rubin 1981); None for one weight a trajectory. Observations near in time are alike:
    take blocks that are about as long as the system remembers, 1 where observations are independent.
    """

    block: int | None = None


@dataclass(frozen=True)
class RefitSettings:
    """Training goes on without a penalty, with what was pruned held at zero."""

    iterations: int = 300
    learning_rate: float = 0.003


@dataclass(frozen=True)
class StopSettings:
    """A member stops when it has learned what it can, and `iterations` are the most it may take.

    Its learning rate stays where it is until the mean of its objective over `patience` iterations is not lower than
    that of the `patience` iterations before by a share of at least `tolerance`; then it falls along a cosine over
    `cooldown` iterations, and the member leaves. A larger `patience` (50 to 500) bears more noise.
    """

    tolerance: float = 0.005
    patience: int = 100
    cooldown: int = 200


@dataclass(frozen=True)
class ModelSettings:
    """What is trained and for how long; the keys of a `models` entry of the configuration.

    The knobs that matter most: `learning_rate` (0.001 to 0.01), `iterations`, the solver's `step`, and `windows` for
    data whose trajectories start alike. `decay` (per time unit) gives each variable a rate of decay, as of molecules
    that are degraded, learned from this value on: a network narrower than the data cannot forget a noisy start without
    it. At second order it is a stiffness and a damping, from those that return at this rate without overshooting: a
    sparse network that leaves a variable alone then leaves it at rest. `whole_share` is the last share of the
    iterations, in which a model with windows trains on whole trajectories from their start instead. `initial_noise` (0
    to 2) perturbs the initial states of every training solve by that many standard errors, so that forecasts from a
    noisy start learn to forget the noise. `velocity_observations` (second order) says what the network of the initial
    velocity is given: with k > 1 the position and the slope of the last k observations, to which its output is added,
    with 1 only the position; it then holds for windows too. None: windows take their velocity from a fit through the
    observations on both sides, and the network is for the start of a trajectory. `time_scale` is the time in which
    states change by about as much as they differ: networks see rates times it, and learn best where these are around 1.
    `precision` is that of matrix products on a GPU: `tf32` is faster, with 10 bits in place of 23. With `starts`
    `learned` (first order, whole trajectories) the state that the trajectories of a group start from is learned as well
    (see `sparsenode.ensemble.starts`), in place of the noisy one that is given. `network` is `joint`, one network for
    all variables, or `per_target`, one of `hidden` units (5 to 20) for each, in which edges can be told apart, or
    `biological`, sums and products of Hill-like activations in two branches of `hidden` units each (one number, 40 to
    120; see `sparsenode.dynamics.biological`), whose multipliers begin at `decay`, or without it between 0 and 1 at
    random, and which knows no `activation`; the more variables, the smaller its `learning_rate` has to be (0.0005 for
    thousands), since units of products grow exponentially. With `standardize` the network (order 1, not biological) is
    given each variable less its mean over the training observations, in units of its deviation there, and gives rates
    in such units: the more variables, the better it learns, and penalties then weigh all sources alike, whatever their
    units. With `bootstrap` every seed sees the observations with other
    weights.
    """

    order: int = 1
    network: str = "joint"
    hidden: tuple[int, ...] = (100, 100)
    activation: str = "elu"
    velocity_hidden: tuple[int, ...] = (20,)
    velocity_observations: int | None = None
    time_scale: float = 1.0
    decay: float | None = None
    standardize: bool = False
    gates: str = "weight"
    solver: SolverSettings = field(default_factory=SolverSettings)
    windows: WindowSettings | None = None
    bootstrap: BootstrapSettings | None = None
    whole_share: float = 0.0
    smoothing: int = 0
    starts: str = "given"
    initial_noise: float = 0.0
    iterations: int = 1000
    learning_rate: float = 0.01
    gates_learning_rate: float = 0.05
    final_learning_rate_share: float = 0.05
    stop: StopSettings | None = None
    clip: float | None = 1.0
    warm_up: float = 0.2
    normalization: str = "relative"
    refit: RefitSettings | None = None
    check_every: int = 25
    precision: str = "float32"

    @property
    def forecasts_from_windows(self) -> bool:
        """Whether the model can forecast from any observation: it trains on windows, and knows its velocity there."""
        return self.windows is not None and (self.order == 1 or self.velocity_observations is not None)


@dataclass(frozen=True)
class MethodSettings:
    """A regularizer or pruner, its strengths (ascending) and its options."""

    regularizer: str
    strengths: tuple[float, ...]
    options: Mapping[str, Any]


_NESTED = {
    "solver": SolverSettings,
    "windows": WindowSettings,
    "bootstrap": BootstrapSettings,
    "refit": RefitSettings,
    "stop": StopSettings,
}


def read_model_settings(values: Mapping[str, Any]) -> ModelSettings:
    """Settings from the JSON object of a frozen settings file; missing keys take their default."""
    field_names = {entry.name for entry in fields(ModelSettings)}
    unknown = set(values) - field_names - {"datasets", "methods"}
    if unknown:
        raise ValueError(f"unknown model settings {sorted(unknown)}; known are {sorted(field_names)}")
    read: dict[str, Any] = {}
    for name, value in values.items():
        if name in {"datasets", "methods"}:
            continue
        if name in _NESTED and value is not None:
            read[name] = _NESTED[name](**value)
        elif name in {"hidden", "velocity_hidden"}:
            read[name] = tuple(value)
        else:
            read[name] = value
    return ModelSettings(**read)


def read_method_settings(values: Mapping[str, Any]) -> MethodSettings:
    """Settings of a method from the JSON object of a frozen settings file."""
    return MethodSettings(values["regularizer"], tuple(values["strengths"]), dict(values.get("options", {})))
