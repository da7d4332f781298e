"""What forecasts are worth beside the best trivial one, on the validation data or on trajectories of a person's own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sparsenode.data.observations import Observations
from sparsenode.errors import UserError
from sparsenode.evaluation.forecast import check_features, forecast_errors
from sparsenode.evaluation.plans import TRAJECTORY, plan_trajectories
from sparsenode.evaluation.protocols import make_protocol
from sparsenode.evaluation.remarks import least_trivial_error
from sparsenode.evaluation.tables import join_tables
from sparsenode.evaluation.tabulate import baseline_rows, error_rows

if TYPE_CHECKING:
    from sparsenode.ensemble.members import Ensemble

_LABEL = {"dataset": "", "model": "fit", "method": "fit"}


def skill(ensemble: Ensemble, data: Observations, split: str) -> float:
    """1 less the median squared error over members over that of the best trivial forecast, of whole trajectories.

    Args:
        ensemble: the members, less any center of the data.
        data: the observations.
        split: the split whose forecasts are scored, in the phase that is fitted.

    Raises:
        UserError: there are no observations of that split, or other features.
    """
    if not ((data.split == split) & (data.phase == "fit")).any():
        raise UserError(f"there are no {split} observations to score; give trajectories that were not fitted")
    check_features(ensemble, data, "the model")
    protocol = make_protocol(data, plan_trajectories(data))
    errors = forecast_errors(ensemble, data, protocol.plan, protocol.kept)
    keys = pd.DataFrame([(member.strength, member.seed) for member in ensemble.members], columns=["strength", "seed"])
    metrics = join_tables(
        [*error_rows(errors, keys, data, protocol, _LABEL), *baseline_rows(data, protocol, dataset="", model="")]
    )
    mine = (metrics["metric"] == "mse") & (metrics["method"] == _LABEL["method"]) & (metrics["trajectory"] == "all")
    mine &= (metrics["split"] == split) & (metrics["phase"] == "fit") & (metrics["horizon"] == TRAJECTORY)
    trivial = least_trivial_error(metrics, model="fit", protocol=TRAJECTORY, split=split, phase="fit")[1]
    error = float(np.median(metrics.loc[mine, "value"]))
    return 1.0 - error / trivial if trivial > 0 else float("nan")


def join_test(fitted: Observations, test: Observations) -> Observations:
    """The observations of a fit and beside them others as test data, in the modeling units of the fit.

    Raises:
        UserError: the others have other variables.
    """
    if test.features != fitted.features:
        missing = [name for name in fitted.features if name not in test.features]
        what = f"lacks {missing[0]!r}" if missing else "has others, or another order of them"
        raise UserError(f"X {what}: the model has the variables {', '.join(fitted.features[:5])}, ... in this order")
    shift = (0.0 if test.center is None else test.center) - (0.0 if fitted.center is None else fitted.center)
    names = tuple(f"test {name}" for name in test.trajectory_names)
    first = len(fitted.trajectory_names)

    def both(name: str, values: np.ndarray) -> np.ndarray:
        return np.concatenate((getattr(fitted, name), values))

    return replace(
        fitted,
        values=both("values", test.values + shift),
        noise_free=None,
        time=both("time", test.time),
        trajectory=both("trajectory", test.trajectory + first),
        trajectory_names=(*fitted.trajectory_names, *names),
        group=both("group", test.group),
        subject=both("subject", np.array([f"test {name}" for name in test.subject], dtype=object)),
        split=both("split", np.full(len(test.split), "test", dtype=object)),
        phase=both("phase", test.phase),
        initial_states=both("initial_states", test.initial_states + shift),
        scale=both("scale", test.scale),
        levels=both("levels", test.levels),
    )
