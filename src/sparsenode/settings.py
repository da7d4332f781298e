"""The settings of a model and of a method, as the configuration has them and training reads them from frozen JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from sparsenode.typed import Contradiction, Settings, read_settings

PRUNING_THRESHOLD = 1e-5
"""Weights and paths below this count as zero, in the refit and in the sparsity metrics: the published study's value."""

Auto = Literal["auto"]
AUTO: Auto = "auto"
"""Of a setting: taken from the data."""
BATCH, MOST_BATCHES = 5, 4
"""Strengths of a batch, where they are chosen by themselves, and how many batches one job trains at most."""

FROZEN = ("dataset", "model", "method", "model_settings", "method_settings")
"""Entries of the frozen settings, the JSON file that training reads."""


class SolverSettings(Settings):
    """How the vector field is integrated.

    The error of the dense output of `rk4` is of order step**4. `dopri5` is slower by an order of magnitude, and serves
    as the reference.
    """

    scheme: Literal["rk4", "dopri5"] = Field(
        "rk4",
        description="`rk4` steps over a coarse grid of nodes and interpolates between them; `dopri5` is adaptive, "
        "slower by far, and for data that are stiff or chaotic.",
    )
    step: float = Field(
        0.2,
        gt=0,
        description="Distance between the nodes, in the dataset's unit of time. Halve it where forecasts change with "
        "it.",
    )
    tolerance: float = Field(0.001, gt=0, le=1, description="Relative and absolute tolerance of `dopri5`.")


class WindowSettings(Settings):
    """Windows that restart from observations."""

    length: int = Field(8, ge=1, description="Steps of a window after its start, in observations.")
    stride: int = Field(4, ge=1, description="Observations from the start of one window to the start of the next.")
    batch: int | None = Field(
        None,
        ge=1,
        description="Windows that an iteration solves, drawn at random each time (50 to 500); null for all of "
        "them. Where windows are many and alike, a few of them tell as much. Whole trajectories "
        "(`whole_share`) are drawn likewise.",
    )


class BootstrapSettings(Settings):
    """Weights of the training observations, drawn for each seed (the Bayesian bootstrap, Rubin 1981)."""

    block: int | None = Field(
        None,
        ge=1,
        description="Consecutive observations of a trajectory that share a weight, drawn from the exponential "
        "distribution (the Bayesian bootstrap); null for one weight a trajectory. About as long as the "
        "system remembers; 1 for independent observations.",
    )


class StopSettings(Settings):
    """When a member stops; a larger `patience` (50 to 500) bears more noise."""

    tolerance: float = Field(
        0.005, ge=0, description="A mean that is lower by less than this share of the one before it has not fallen."
    )
    patience: int = Field(100, ge=1, description="Iterations over which the objective is averaged for one comparison.")
    cooldown: int = Field(
        200, ge=1, description="Iterations over which the learning rate of a member falls before it leaves."
    )


class RefitSettings(Settings):
    """Training that goes on without a penalty, with what was pruned held at zero."""

    iterations: int = Field(300, ge=1, description="Steps of the optimizer.")
    learning_rate: float = Field(0.003, gt=0, description="Adam's learning rate.")


class MatchingSettings(Settings):
    """Training on slopes of smoothed observations, without a solve, before or in place of training by solves."""

    share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="First share of the iterations in which rates are matched; an iteration takes a twentieth to a "
        "fiftieth of one with a solve. With 1 nothing is solved: a fast screen, which learns what smoothing bends too.",
    )
    form: Literal["slopes", "integrals"] = Field(
        "slopes",
        description="What rates are compared with: `slopes` of the smoothed observations, or `integrals`, differences "
        "of the observations over short intervals with integrals of the rates, which suffer less from noise.",
    )
    interval: int = Field(
        4, ge=1, description="Of `integrals`, the length of an interval, in observations: 2 to 10, more for more noise."
    )


class ModelSettings(Settings):
    """What is trained and for how long; the keys of a `models` entry of the configuration.

    The knobs that matter most: `learning_rate`, `iterations`, the solver's `step`, and `windows` for data whose
    trajectories start alike.
    """

    order: Literal[1, 2] = Field(
        1,
        description="1 for dx/dt = f(x); 2 for d2x/dt2 = f(x, dx/dt) with a learned initial velocity, where only "
        "positions are observed.",
    )
    network: Literal["joint", "per_target", "biological"] = Field(
        "joint",
        description="`joint`, one network for all variables; `per_target`, one network of `hidden` units (5 to 20) "
        "for each variable, in which the edges that lead to it can be told apart. Of n variables it has n "
        "times as many units, so it is for up to some hundred of them; `biological` (first order), that "
        "of PHOENIX, a branch of sums and a branch of products of Hill-like activations, half active at "
        "0.5, and for each variable a rate at which it approaches what they give, which starts at "
        "`decay`, or without it between 0 and 1 at random.",
    )
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (100, 100),
        description="Units of each hidden layer of the vector field (of each network); an empty list is a linear "
        "field. Of a biological network a single number, the units of each branch (40 to 120).",
    )
    activation: Literal["elu", "tanh", "softplus"] = Field(
        "elu", description="Activation of the hidden layers, but for a biological network, which has its own."
    )
    velocity_hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (20,),
        description="At second order only, the hidden layers of the network that gives the initial velocity from the "
        "initial position.",
    )
    velocity_observations: int | None = Field(
        None,
        ge=1,
        description="At second order only, what the network of the initial velocity is given. Above 1, the position "
        "and the slope of that many last observations, to which its output is added; 1, the position. It is "
        "then trained on windows too. null takes the velocity of a window from a fit to both sides, and "
        "the network for the start of a trajectory.",
    )
    time_scale: float = Field(
        1.0,
        gt=0,
        description="The time, in the dataset's unit, in which states change by about as much as they differ: "
        "networks see rates times it, and learn best where these are around 1. A sixth of the period of "
        "an oscillation.",
    )
    decay: float | None = Field(
        None,
        gt=0,
        description="Gives each variable a rate of decay (per time unit), as of molecules that are degraded, learned "
        "from this value on; null for none. A network narrower than the data cannot forget a noisy start "
        "without it. At second order a stiffness and a damping of each variable's own, so that those a "
        "sparse network does not drive come to rest.",
    )
    standardize: bool = Field(
        False,
        description="The network is given each variable less its mean over the training observations, in units of its "
        "deviation there, and gives rates in such units (order 1, not the biological network). The more "
        "variables there are, the better it learns; penalties then weigh sources alike, whatever their "
        "units.",
    )
    gates: Literal["weight", "unit"] = Field(
        "weight",
        description="What a gate is on in methods that have gates, `weight` for each weight, `unit` for each "
        "input unit of a layer (with one network per target, for each edge).",
    )
    solver: SolverSettings = Field(SolverSettings(), description="How the field is integrated.")
    windows: WindowSettings | None = Field(
        None, description="Training restarts from observations; null solves each trajectory once from its start."
    )
    bootstrap: BootstrapSettings | None = Field(
        None,
        description="Each seed gives the training observations weights of its own, so that the spread over seeds tells "
        "how much depends on the data at hand; null for the weights of the data.",
    )
    matching: MatchingSettings | None = Field(
        None,
        description="First share of the iterations in which rates are matched with slopes of smoothed observations; "
        "each member goes on from there only where it then forecasts the validation data better than from its random "
        "start. null trains by solves from the first iteration on.",
    )
    whole_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Last share of the iterations in which a model with windows trains on whole trajectories instead.",
    )
    smoothing: int = Field(
        0,
        ge=0,
        description="Half width, in observations, of the local polynomial fit that gives restart states; 0 takes the "
        "observation itself.",
    )
    starts: Literal["given", "learned"] = Field(
        "given",
        description="Where forecasts of whole trajectories begin. `given`, at the state that the dataset gives, the "
        "mean of the first observations. `learned`, where each group of trajectories (lineage, branch) "
        "starts is learned with the vector field, from all of the group's observations, and a forecast "
        "begins there. The part of what its own given state differs by that is beyond noise is added and "
        "decays at the field's own rates. For noisy observations; first order, with a decay and without "
        "windows.",
    )
    initial_noise: float = Field(
        0.0,
        ge=0,
        description="Perturbs the initial states of every training solve by that many standard errors (0 to 2), so "
        "that forecasts from a noisy start learn to forget the noise.",
    )
    iterations: int = Field(1000, ge=1, description="Steps of the optimizer.")
    learning_rate: float = Field(
        0.01, gt=0, description="Adam's learning rate of the weights, 0.001 to 0.01 in most cases."
    )
    gates_learning_rate: float = Field(0.05, gt=0, description="Adam's learning rate of the gates.")
    final_learning_rate_share: float = Field(
        0.05, ge=0, le=1, description="The learning rate falls along a cosine to this share of itself."
    )
    stop: StopSettings | None = Field(
        None,
        description="Early stopping, member by member; null for none. The learning rate then stays where it is until "
        "the mean of a member's objective (loss and penalty) no longer falls, falls along a cosine over "
        "the next `cooldown` iterations, and the member leaves. `iterations` are the most that a member "
        "may take. Looked at after the warm-up, after matching and after the last change from windows to whole "
        "trajectories.",
    )
    clip: float | None = Field(1.0, gt=0, description="Largest norm of each member's gradient; null for no bound.")
    warm_up: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of the iterations over which the penalty and the gates' noise ramp in; above 0 for "
        "`lassonet` and the adaptive `grouplasso`, which learn during it what they go on from.",
    )
    normalization: Literal["relative", "study"] = Field(
        "relative",
        description="`relative` divides the loss by that of the trivial forecast and each penalty by its value at "
        "initialization, so that one strength means the same at any width and on any data; `study` is the "
        "published form.",
    )
    refit: RefitSettings | None = Field(
        None, description="Training that follows without a penalty, with what was pruned held at zero; null for none."
    )
    precision: Literal["float32", "tf32"] = Field(
        "float32",
        description="Of matrix products on a GPU. `tf32` is faster and keeps 10 bits of each factor in place of 23.",
    )
    check_every: int = Field(
        25,
        ge=1,
        description="Iterations between two rows of the history, snapshots of the last good state, and reports of "
        "progress.",
    )

    @property
    def takes_slopes(self) -> bool:
        """Whether the network of the initial velocity is given slopes beside positions."""
        return self.order == 2 and (self.velocity_observations or 1) > 1

    @property
    def forecasts_from_windows(self) -> bool:
        """Whether the model can forecast from any observation: it trains on windows, and knows its velocity there."""
        return self.windows is not None and (self.order == 1 or self.velocity_observations is not None)

    @property
    def matching_until(self) -> float:
        """Share of the iterations at which solves follow on matching; 0 where it is all or none of the training."""
        return 0.0 if self.matching is None or self.matching.share == 1.0 else self.matching.share

    def contradictions(self) -> Iterator[Contradiction]:
        """Networks, starts and stops that the other settings do not allow."""
        is_biological = self.network == "biological"
        if is_biological and self.order == 2:
            yield Contradiction("network", "biological, with order: 2", "order: 1, or another network")
        if is_biological and len(self.hidden) != 1:
            units = ", ".join(map(str, self.hidden))
            allowed = "one number in brackets, such as [40], the units of each of its two branches"
            yield Contradiction("hidden", f"[{units}], with network: biological", allowed)
        if self.standardize and (is_biological or self.order == 2):
            conflict = "network: biological" if is_biological else "order: 2"
            yield Contradiction("standardize", f"true, with {conflict}", "false, or order: 1 and another network")
        if self.order == 1 and self.velocity_observations is not None:
            description = f"the number {self.velocity_observations}, with order: 1"
            yield Contradiction("velocity_observations", description, "null, or order: 2")
        hindered = {"order: 2": self.order == 2, "windows": self.windows, "decay: null": self.decay is None}
        if self.starts == "learned" and any(hindered.values()):
            conflict = next(name for name, hinders in hindered.items() if hinders)
            yield Contradiction("starts", f"learned, with {conflict}", "given, or order: 1, windows: null and a decay")
        if self.stop is not None:
            # Nobody may cool while the penalty still ramps in, rates are matched or windows are still trained on.
            last_change = max(self.warm_up, 1 - self.whole_share if self.windows else 0, self.matching_until)
            room = math.floor(self.iterations * (1 - last_change))
            if self.stop.cooldown > room:
                allowed = (
                    f"at most {room}, the iterations after the warm-up, after matching and after the change from "
                    "windows to whole trajectories"
                )
                yield Contradiction("stop.cooldown", str(self.stop.cooldown), allowed)


class MethodSettings(Settings):
    """A regularizer or pruner, its strengths and its options."""

    regularizer: str = Field(min_length=1, description="Name of the method.")
    strengths: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] | Auto = Field(
        description='Strengths, ascending; "auto" for batches of them that training chooses by itself.'
    )
    options: Mapping[str, Any] = Field({}, description="Options of the method.")

    @property
    def listed_strengths(self) -> tuple[float, ...]:
        """The strengths of a list.

        Raises:
            ValueError: training is to choose them by itself.
        """
        if self.strengths == AUTO:
            raise ValueError("strengths that training chooses by itself are no list")
        return self.strengths


class ValidationSettings(Settings):
    """What is held out of the training data."""

    by: Literal["trajectory", "time_blocks", "inner_blocks", "observation", "none-in-source"] = Field(
        "time_blocks",
        description="`trajectory` holds out whole trajectories, `time_blocks` the last share of each training "
        "trajectory, `inner_blocks` as much at a random place of each (where trajectories come to rest, "
        "their ends tell little), `observation` single observations drawn at random; `none-in-source` "
        "holds out nothing more than what the source itself has marked as validation data.",
    )
    share: float = Field(0.15, gt=0, lt=1, description="The share of the training data that is held out.")
    seed: int = Field(0, ge=0, description="Seed of the draw, where one is made.")


class InitialStateSettings(Settings):
    """The state that forecasts of a whole trajectory start from."""

    mean_of_first: int = Field(1, ge=1, description="How many of a trajectory's first observations are averaged.")
    known: int = Field(
        1,
        ge=1,
        description="How many of a trajectory's first observations a forecast is given, in place of their mean. It "
        "starts from the last of them, and what comes later is scored.",
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """A start that would be a mean, and the last of several observations."""
        if self.mean_of_first > 1 and self.known > 1:
            yield Contradiction(
                "", f"mean_of_first: {self.mean_of_first} and known: {self.known}", "one of them above 1"
            )


class PreparationSettings(Settings):
    """What is done to the data of any source before training."""

    validation: ValidationSettings = Field(
        ValidationSettings(), description="What is held out of the training data to choose strengths on."
    )
    initial_state: InitialStateSettings = Field(
        InitialStateSettings(), description="The state that forecasts of a whole trajectory start from."
    )
    feature_weight: Literal["movement", "uniform"] = Field(
        "movement",
        description="`movement` weighs a feature's error by one over the feature's own movement, so that holding the "
        "state scores 1 in each; `uniform` is the plain mean squared error.",
    )


class JobSettings(Settings):
    """How many members are trained, and on what; no member depends on it, to rounding."""

    seeds: int = Field(3, ge=1, description="How many seeds each strength is trained with; they are numbered from 0.")
    threads: int = Field(
        1,
        ge=1,
        description="Threads of one training job. On a workstation, one thread a job and many jobs is fastest for "
        "small models.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="Where training runs. `auto` takes and reserves a GPU for each job where the machine "
        "(`nvidia-smi`) or the partition has any, else CPUs; `cuda` takes one and fails without; `cpu` "
        "never does.",
    )
    memory_mb: int | None = Field(
        None,
        ge=500,
        description="Most memory of one training job, in MB: members that do not fit together are trained one part "
        "after another. null for what the machine or the GPU has.",
    )


def read_model_settings(values: Mapping[str, Any]) -> ModelSettings:
    """Settings from the JSON object of a frozen settings file; missing keys take their default.

    Raises:
        UserError: a key is unknown, a value is not allowed, or values contradict each other.
    """
    of_training = {key: value for key, value in values.items() if key not in {"datasets", "methods"}}
    return read_settings(ModelSettings, of_training, "model_settings")


def read_method_settings(values: Mapping[str, Any]) -> MethodSettings:
    """Settings of a method from the JSON object of a frozen settings file.

    Raises:
        UserError: a key is unknown or missing, or a value is not allowed.
    """
    return read_settings(MethodSettings, values, "method_settings")
