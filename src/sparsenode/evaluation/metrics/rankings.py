"""Metrics that set rankings beside random networks and prior ones, and their intervals; measured in `tabulate`."""

from __future__ import annotations

from sparsenode.evaluation.degrees import CALIBRATED, CONSTANT, EMPTY, RIGID
from sparsenode.evaluation.metrics import describe

NO_EDGE = "no pair of known truth is an edge"
ENDS = ("lower", "upper")
PRIOR_METRICS = ("auroc", "auprc", "auprc_ratio", "early_precision")

describe(
    *(f"{name}_{end}" for name in ("auprc", "auprc_ratio") for end in ENDS),
    description="95 % jackknife over members (Student's t) of the pooled estimators at the chosen strength",
    undefined=NO_EDGE,
)
for kind, meaning, reasons in (
    ("mean", "mean over 100 random networks of the true one's in- and out-degrees", (RIGID,)),
    ("z", "how many standard deviations of these networks the value lies above their mean", (RIGID, CONSTANT)),
    ("ratio", "the value over that mean", (RIGID, EMPTY)),
):
    describe(
        *(f"{name}_degree_{kind}" for name in CALIBRATED),
        description=f"{meaning}; of pooled estimators at the chosen strength, and of peers",
        undefined="; ".join(reasons),
    )
describe(
    *(f"prior_{name}" for name in PRIOR_METRICS),
    description='the ranking metrics against each `varp["prior_NAME"]`, over the pairs it tells of, at the chosen '
    "strength; chance is in `baseline:random`",
)
