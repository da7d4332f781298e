"""How models are scored and chosen: the `evaluation` of a dataset's entry in the configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sparsenode.typed import EachOnce, Settings

ScoringName = Literal["pairs", "pairs_and_self", "each_series", "regulators"]
"""Names of the scoring protocols; the protocols themselves are in `scoring`."""


class RollingSettings(Settings):
    """Forecasts from within the trajectories."""

    past: float = Field(
        ge=0, description="What a forecast is given of the time before its start, in the dataset's unit of time."
    )
    horizon: float = Field(gt=0, description="How far it reaches, in the dataset's unit of time.")
    stride: float = Field(0.0, ge=0, description="Time from one start to the next; 0 starts from every observation.")


class EvaluationSettings(Settings):
    """How models are scored and chosen."""

    rolling: RollingSettings | None = Field(
        None,
        description="Forecasts from within the trajectories as well, each scored over its horizon; null for none. "
        "Strengths are then chosen by them.",
    )
    one_step: bool = Field(
        False,
        description="Forecasts from each observation to the next one of the same trajectory, split and phase as well, "
        "as others report them. No strength is chosen by them.",
    )
    least_feature_sparsity: float = Field(
        0.0,
        ge=0,
        le=1,
        description="The strength is chosen among those whose members leave at least this share of the pairs of "
        "variables unconnected (median over seeds); where none does, among those that leave most.",
    )
    scoring: Annotated[tuple[ScoringName, ...], EachOnce] = Field(
        (),
        description="Scoring protocols by which networks are scored beside the project's own scores, so that published "
        "values can be set beside them: `pairs`, all ordered pairs of two variables; `pairs_and_self`, a variable with "
        "itself too; `each_series`, the same, for one series; `regulators`, only sources that have an edge.",
    )
    interval_repeats: int | None = Field(
        None,
        ge=100,
        description="At the chosen strength, how much less the model errs than each trivial forecast, with a 95 % "
        "interval from so many bootstrap samples (better 1000 or more) of seeds and observations; null "
        "for none. For observations that are independent of each other, such as cells in pseudotime.",
    )
