"""Metrics of forecasts in which variables are held; measured in `sparsenode.interventions`."""

from __future__ import annotations

from sparsenode.evaluation.metrics import describe

NOT_CHOSEN = "no strength was chosen: too few members finished"

describe(
    "intervention_mse",
    description="mean squared error over all variables that are not held, beside the true system under the same "
    "intervention",
    unit="squared modeling unit",
    undefined=NOT_CHOSEN,
)
describe(
    "unclamped_mse",
    description="mean squared error of the same forecasts without an intervention",
    unit="squared modeling unit",
)
describe(
    "intervention_skill",
    description="1 − `intervention_mse` / that of `reference`, the claim that nothing changes",
    undefined="nothing else changes in truth",
)
describe(
    "effect",
    description="change of the mean of the variable `reference` by an intervention",
    unit="unit of the values",
)
describe(
    "effect_correlation",
    description="rank correlation (Spearman) of true and forecast effects, those below 0.1 % of the greatest true one "
    "counting as none",
    undefined="effects are not finite, all alike, or of fewer than three variables",
)
describe(
    "fate_share",
    description="share of the forecasts that end near the fate `reference`",
    undefined=NOT_CHOSEN,
)
describe(
    "fate_agreement",
    description="1 where each lost fate's share falls and that of the gained ones together rises, else 0",
)
describe(
    "fate_expected",
    description="1 where the fate `reference` is expected to become more frequent, −1 where rarer",
)
