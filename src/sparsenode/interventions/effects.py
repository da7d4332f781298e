"""What a single intervention changes, variable by variable, from the starts of the training trajectories on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sparsenode.data.missing import deviation_observed
from sparsenode.data.observations import Observations
from sparsenode.interventions.requests import Starts, forecast_starts, resolve_interventions
from sparsenode.interventions.settings import InterventionSettings, interval_levels
from sparsenode.interventions.true_effects import mean_change
from sparsenode.typed import read_settings

if TYPE_CHECKING:
    from sparsenode.ensemble.members import Ensemble

_TIMES = 60  # evenly spread over the longest training trajectory, over which effects are averaged
_NAME = "held"


def intervention_effects(
    ensemble: Ensemble, data: Observations, clamp: Mapping[str, float | str], *, coverage: float
) -> pd.DataFrame:
    """Effects of holding variables on all that are not held, the largest first.

    Args:
        ensemble: the members, less any center of the data.
        data: the observations.
        clamp: value of each variable that is held, in the units of the source, or `low` or `high`.
        coverage: share of the members that an interval leaves inside.

    Returns:
        Columns `rank`, `variable`, `effect`, `lower`, `upper`, `relative` and `agreement`; see `SparseNODE.intervene`.

    Raises:
        UserError: there is no such variable, or all are held.
    """
    quantiles = interval_levels(coverage)
    values = {name: value if isinstance(value, str) else float(value) for name, value in clamp.items()}
    settings = read_settings(InterventionSettings, {"clamp": {_NAME: values}}, "interventions")
    (intervention,) = resolve_interventions(data, settings, data.name)
    starts = _training_starts(data)
    free, held = (
        np.stack(forecast_starts(ensemble, data, starts, levels), axis=1) for levels in ({}, intervention.clamp)
    )
    change = mean_change(held, free, np.ones(held.shape[1:3], dtype=bool))
    effect, lower, upper = np.quantile(change, quantiles, axis=0)
    spread = deviation_observed(data.values[data.training])
    table = pd.DataFrame(
        {
            "variable": np.asarray(data.features, dtype=object),
            "effect": effect,
            "lower": lower,
            "upper": upper,
            # NaN, and last, of a variable that does not move in the training data.
            "relative": effect / np.where(spread > 0, spread, np.nan),
            "agreement": (np.sign(change) == np.sign(effect)).mean(axis=0),
        }
    )[intervention.free(data.features)]
    table = table.sort_values("relative", key=np.abs, ascending=False, kind="stable").reset_index(drop=True)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    return table


def _training_starts(data: Observations) -> Starts:
    """The initial state of each trajectory with training data, to be followed as long as the longest of them."""
    codes = [code for code in range(len(data.trajectory_names)) if data.training[data.rows_of(code)].any()]
    rows = [data.rows_of(code)[max(data.known, 1) - 1 :] for code in codes]
    length = max(float(np.ptp(data.time[numbers])) for numbers in rows)
    firsts = np.array([numbers[0] for numbers in rows])
    times = [data.time[first] + np.linspace(0.0, length, _TIMES) for first in firsts]
    return Starts(data.initial_states[codes], firsts, times)
