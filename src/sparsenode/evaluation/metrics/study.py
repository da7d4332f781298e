"""Metrics of the study's long table that it makes of others; measured in `sparsenode.evaluation.study`."""

from __future__ import annotations

from sparsenode.evaluation.metrics import describe

describe(
    "spurious",
    description="share of the known pairs that are no edge and have a path: 1 − `spurious_feature_sparsity`; in the "
    "table of the study",
    undefined="all known pairs are edges",
)
describe(
    "sign_errors",
    description="share of wrong signs among true edges that are predicted: 1 − `sign_accuracy`; in the table of the "
    "study",
    undefined="no true edge of known sign is predicted",
)
