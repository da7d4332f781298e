"""What interventions change, variable by variable, from the starts of the training trajectories on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sparsenode.data.missing import deviation_observed
from sparsenode.data.observations import Observations
from sparsenode.interventions.intervals import check_coverage, member_interval, verdicts
from sparsenode.interventions.requests import Intervention, Starts, forecast_starts, resolve_interventions
from sparsenode.interventions.settings import InterventionSettings
from sparsenode.interventions.true_effects import mean_change
from sparsenode.typed import read_settings

if TYPE_CHECKING:
    from sparsenode.ensemble.members import Ensemble

_TIMES = 60  # evenly spread over the longest training trajectory, over which effects are averaged
_NAME = "held"


COLUMNS = ("rank", "variable", "effect", "lower", "upper", "relative", "agreement", "verdict")


def intervention_effects(
    ensemble: Ensemble, data: Observations, clamp: Mapping[str, float | str], *, coverage: float
) -> pd.DataFrame:
    """Effects of holding variables on all that are not held, the largest first.

    Args:
        ensemble: the members, less any center of the data.
        data: the observations.
        clamp: value of each variable that is held, in the units of the source, or `low` or `high`.
        coverage: of the interval over members.

    Returns:
        Columns `COLUMNS`; see `SparseNODE.intervene`.

    Raises:
        UserError: there is no such variable, or all are held.
    """
    check_coverage(coverage)
    values = {name: value if isinstance(value, str) else float(value) for name, value in clamp.items()}
    settings = read_settings(InterventionSettings, {"clamp": {_NAME: values}}, "interventions")
    return effects_of_each(ensemble, data, resolve_interventions(data, settings, data.name), coverage=coverage)[_NAME]


def effects_of_each(
    ensemble: Ensemble, data: Observations, interventions: Sequence[Intervention], *, coverage: float
) -> dict[str, pd.DataFrame]:
    """Effects of interventions by their names, each a table as of `intervention_effects`.

    Args:
        ensemble: the members, less any center of the data.
        data: the observations.
        interventions: what is held.
        coverage: of the interval over members.
    """
    starts = _training_starts(data)
    free = np.stack(forecast_starts(ensemble, data, starts, {}), axis=1)
    spread = deviation_observed(data.values[data.training])
    tables = {}
    for intervention in interventions:
        held = np.stack(forecast_starts(ensemble, data, starts, intervention.clamp), axis=1)
        change = mean_change(held, free, np.ones(held.shape[1:3], dtype=bool))
        effect, lower, upper = member_interval(change, coverage)
        table = pd.DataFrame(
            {
                "variable": np.asarray(data.features, dtype=object),
                "effect": effect,
                "lower": lower,
                "upper": upper,
                # NaN, and last, of a variable that does not move in the training data.
                "relative": effect / np.where(spread > 0, spread, np.nan),
                "agreement": (np.sign(change) == np.sign(effect)).mean(axis=0),
                "verdict": verdicts(lower, upper, len(change)),
            }
        )[intervention.free(data.features)]
        table = table.sort_values("relative", key=np.abs, ascending=False, kind="stable").reset_index(drop=True)
        table.insert(0, "rank", np.arange(1, len(table) + 1))
        tables[intervention.name] = table
    return tables


def _training_starts(data: Observations) -> Starts:
    """The initial state of each trajectory with training data, to be followed as long as the longest of them."""
    codes = [code for code in range(len(data.trajectory_names)) if data.training[data.rows_of(code)].any()]
    rows = [data.rows_of(code)[max(data.known, 1) - 1 :] for code in codes]
    length = max(float(np.ptp(data.time[numbers])) for numbers in rows)
    firsts = np.array([numbers[0] for numbers in rows])
    times = [data.time[first] + np.linspace(0.0, length, _TIMES) for first in firsts]
    return Starts(data.initial_states[codes], firsts, times)
