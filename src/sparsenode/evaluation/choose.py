"""The strength of an ensemble is chosen on its validation forecasts, by the rule of `ensemble.choice`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.ensemble.choice import choose_strength
from sparsenode.errors import UserError
from sparsenode.evaluation.plans import LEAD, ROLLING, WINDOW
from sparsenode.evaluation.sparsity import THRESHOLD
from sparsenode.evaluation.structure import select_pairs
from sparsenode.files import write_atomically
from sparsenode.methods import get_method
from sparsenode.settings import MOST_BATCHES

if TYPE_CHECKING:
    from sparsenode.evaluation.measure import Measurement


def choose(measurement: Measurement, *, least_feature_sparsity: float = 0.0) -> dict[str, Any]:
    """Choose the strength of an ensemble on the validation observations of the fit phase.

    Args:
        measurement: what was measured of the ensemble.
        least_feature_sparsity: see `choose_strength`.

    Raises:
        UserError: there are several strengths, and no validation forecasts to choose among them by.
    """
    plan, members = measurement.protocols[measurement.deciding].plan, measurement.members
    errors = measurement.errors[measurement.deciding]
    label = {**measurement.label, **measurement.method}
    groups = plan.groups[~plan.groups["horizon"].str.startswith(LEAD)]
    columns = groups[(groups["split"] == "validation") & (groups["phase"] == "fit")]
    if columns.empty and members["strength"].nunique() > 1:
        asked = {WINDOW: "windows", ROLLING: "rolling forecasts"}.get(plan.protocol, "observations")
        shorter = {
            WINDOW: " or shorten `windows.length` of the model",
            ROLLING: " or shorten `evaluation.rolling.past` or `horizon` (which trains nothing again)",
        }
        raise UserError(
            f"data set {label['dataset']} has no validation {asked} (split validation, phase fit) to choose the "
            f"strength of {label['model']}/{label['method']} on: enlarge `validation.share` of the data set"
            + shorter.get(plan.protocol, "")
        )
    values = np.zeros((len(members), 1)) if columns.empty else errors.mse[:, columns.index]
    if errors.of_blocks is not None:
        values = errors.of_blocks
    table = pd.DataFrame(
        {
            "strength": np.repeat(members["strength"].to_numpy(), values.shape[1]),
            "seed": np.repeat(members["seed"].to_numpy(), values.shape[1]),
            "cluster": np.tile(np.arange(values.shape[1]), len(members)),
            "value": values.ravel(),
        }
    )
    choice = choose_strength(
        table,
        members,
        least_feature_sparsity=least_feature_sparsity,
        selected=select_pairs(measurement.paths >= THRESHOLD, np.ones(measurement.paths.shape[1:], bool)),
        sparsifies=get_method(label["regularizer"]).sparsifies,
    )
    searches = measurement.searches
    # Training, which asks by the same forecasts and for no sparsity, has looked beyond the end or found it to be none.
    asked_alike = plan.protocol != ROLLING and least_feature_sparsity == 0
    if searches and asked_alike and max(len(search["batches"]) for search in searches) < MOST_BATCHES:
        choice["at_edge"] = None
    return {
        **label,
        **choice,
        "searches": list(searches),
        "protocol": plan.protocol,
        "split": "validation",
        "phase": "fit",
    }


def write_selection(selection: dict[str, Any], path: Path) -> None:
    """Write a selection as JSON, with null for what is not a number."""
    text = json.dumps(_without_nan(selection), indent=2) + "\n"
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
