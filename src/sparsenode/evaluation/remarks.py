"""What is doubtful about the models of a dataset: lost members, validation errors, and strengths at an end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.errors import UserError
from sparsenode.evaluation.baselines import BASELINE_NAMES
from sparsenode.evaluation.plans import TRAJECTORY
from sparsenode.evaluation.tables import ALL, PEER
from sparsenode.methods import get_method
from sparsenode.remarks import LARGEST, LOST, MAGNITUDES, NOT_CHOSEN, SMALLEST, STILL, TRIVIAL, UNFINISHED, Remark
from sparsenode.training.divergence import count_lost, doubts_of_training, has_failed, reasons_of_loss

if TYPE_CHECKING:
    from sparsenode.data.magnitudes import Magnitudes
    from sparsenode.ensemble.members import Ensemble

STILL_SHARE = 1e-3
"""A forecast is its initial state if its error on the training data is that of holding it, up to this share."""


def check_finished(ensembles: Sequence[Ensemble], magnitudes: Magnitudes) -> None:
    """Refuse to evaluate a dataset of which no member has finished.

    Raises:
        UserError: says why members may have been lost, and what to set.
    """
    members = [member for ensemble in ensembles for member in ensemble.members]
    if any(member.status == "finished" for member in members):
        return
    reasons = [
        reason
        for ensemble in ensembles
        for reason in reasons_of_loss(magnitudes, ensemble.model_settings, ensemble.members)
    ]
    raise UserError(
        f"no member of the dataset {magnitudes.dataset} has finished its training ({count_lost(members)}), so that "
        f"there is nothing to evaluate: {'; '.join(dict.fromkeys(reasons))}"
    )


def remarks_of_dataset(
    ensembles: Sequence[Ensemble],
    metrics: pd.DataFrame,
    selections: Mapping[tuple[str, str], Mapping[str, Any]],
    magnitudes: Magnitudes,
) -> list[Remark]:
    """Remarks on all that was trained on a dataset; no test data decide any of them.

    Args:
        ensembles: One for each model and method.
        metrics: The tidy metrics of the dataset.
        selections: The choice of a strength, by model and method.
        magnitudes: Those of the dataset's training observations.
    """
    findings: dict[tuple[str, str, str, str], None] = {}
    metrics = metrics[(metrics["metric"] == "mse") & (metrics["trajectory"] == ALL)]  # few of all rows
    for ensemble in ensembles:
        model, method = ensemble.settings["model"], ensemble.settings["method"]
        selection = selections[model, method]
        still = ""
        if lost := count_lost(ensemble.members):
            findings[model, method, LOST, lost] = None
        if selection["chosen"] is None:
            findings[model, method, NOT_CHOSEN, _usable(selection)] = None
        else:
            label = model, method, float(selection["chosen"])
            if still := _describe_still(metrics, label):
                findings[model, method, STILL, still] = None
            if worse := _describe_worse(metrics, label, selection["protocol"]):
                findings[model, method, TRIVIAL, worse] = None
            if edge := _edge_kind(selection):
                findings[model, method, edge, f"{selection['chosen']:g}"] = None
        doubts = doubts_of_training(
            magnitudes, ensemble.model_settings, failed=bool(still) or has_failed(ensemble.members)
        )
        findings |= dict.fromkeys((model, "", MAGNITUDES, doubt) for doubt in doubts)
    return [Remark(magnitudes.dataset, *key) for key in findings]


def remarks_of_peers(unfinished: Mapping[str, str], dataset: str) -> list[Remark]:
    """Remarks on peers that were ended by their time limit, by name what is said of them, such as after how long."""
    return [Remark(dataset, "", PEER + name, UNFINISHED, reason) for name, reason in unfinished.items()]


def least_trivial_error(
    metrics: pd.DataFrame, *, model: str, protocol: str, split: str, phase: str
) -> tuple[str, float]:
    """The trivial forecast (`baseline:NAME`) with the least mean squared error over all trajectories, and its error.

    An empty name and NaN where there is none.
    """
    errors = _all_errors(metrics, protocol, split, phase)
    errors = errors[errors["model"].isin(["", model]) & errors["method"].isin(list(BASELINE_NAMES))]
    means = errors.groupby("method")["value"].mean().reindex(list(BASELINE_NAMES)).dropna()
    return (str(means.idxmin()), float(means.min())) if len(means) else ("", math.nan)


def _all_errors(metrics: pd.DataFrame, protocol: str, split: str, phase: str) -> pd.DataFrame:
    """Mean squared errors over all trajectories, of those that finished."""
    conditions = {"metric": "mse", "trajectory": ALL, "horizon": protocol, "split": split, "phase": phase}
    keep = (metrics["status"] == "finished").to_numpy()
    for column, value in conditions.items():
        keep &= (metrics[column] == value).to_numpy()
    return metrics[keep]


def _errors_at(metrics: pd.DataFrame, label: tuple[str, str, float], protocol: str, split: str) -> np.ndarray:
    """Errors (seed,) of a model, method and strength in the phase that is fitted."""
    model, method, strength = label
    errors = _all_errors(metrics, protocol, split, "fit")
    mask = (errors["model"] == model) & (errors["method"] == method) & (errors["strength"] == strength)
    return errors.loc[mask, "value"].to_numpy(dtype=np.float64)


def _describe_still(metrics: pd.DataFrame, label: tuple[str, str, float]) -> str:
    """The error of a model whose forecasts are their initial states, beside that of holding these; else empty."""
    errors = _errors_at(metrics, label, TRAJECTORY, "train")
    trivial = _all_errors(metrics, TRAJECTORY, "train", "fit")
    held = trivial.loc[trivial["method"] == "baseline:initial_state", "value"].to_numpy(dtype=np.float64)
    if not len(errors) or not len(held) or not abs(np.median(errors) - held[0]) <= STILL_SHARE * held[0]:
        return ""
    return f"error on the training data {np.median(errors):.3g}; initial state held: {held[0]:.3g}"


def _describe_worse(metrics: pd.DataFrame, label: tuple[str, str, float], protocol: str) -> str:
    """The validation error of a model that is above that of a trivial forecast, and the latter; else empty."""
    errors = _errors_at(metrics, label, protocol, "validation")
    where = {"model": label[0], "protocol": protocol, "split": "validation", "phase": "fit"}
    name, trivial = least_trivial_error(metrics, **where)
    if not len(errors) or not name or not np.median(errors) > trivial:
        return ""
    return f"error {np.median(errors):.3g}; {BASELINE_NAMES[name]}: {trivial:.3g}"


def _edge_kind(selection: Mapping[str, Any]) -> str:
    """Whether strengths beyond the chosen one may be better: the kind of the remark, else empty."""
    if selection["at_edge"] == "smallest":
        return SMALLEST
    beyond = selection["chosen"] < get_method(selection["regularizer"]).largest_strength
    return LARGEST if selection["at_edge"] == "largest" and beyond else ""


def _usable(selection: Mapping[str, Any]) -> str:
    """How many members of each strength could be used."""
    entries = selection["candidates"]
    return ", ".join(f"strength {entry['strength']:g}: {entry['usable']} of {entry['members']}" for entry in entries)
