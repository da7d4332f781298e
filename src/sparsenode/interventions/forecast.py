"""What models forecast when a variable is held (a knock-out, an over-expression), and whether it comes true.

Where the source can be simulated again, with the same variable held, forecasts are compared with the true system. Where
its trajectories lead to several fates (the groups: lineages, branches), forecasts are followed to their end and the
shares of fates are compared with what is known to be lost or gained.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sparsenode.data.contract import read_metadata
from sparsenode.data.observations import read_observations
from sparsenode.data.source import SolvableSource
from sparsenode.evaluation.blocks import load_blocks
from sparsenode.evaluation.forecast import check_features
from sparsenode.evaluation.metrics.interventions import NOT_CHOSEN
from sparsenode.evaluation.tables import ALL, join_tables, make_table
from sparsenode.files import file_sha256, read_json, write_atomically
from sparsenode.interventions.effects import COLUMNS, effects_of_each
from sparsenode.interventions.fates import FATE_COLUMNS, FateCount
from sparsenode.interventions.requests import fate_names, resolve_interventions
from sparsenode.interventions.settings import InterventionSettings
from sparsenode.interventions.true_effects import TrueEffects

if TYPE_CHECKING:
    from anndata import AnnData

    from sparsenode.ensemble.members import Ensemble

logger = logging.getLogger(__name__)


def forecast_interventions(
    data: Path,
    models: Sequence[Path],
    settings: Sequence[Path],
    selection: Path,
    output: Path,
    settings_of_interventions: InterventionSettings,
    seeds: int | None = None,
    *,
    effects: Path | None = None,
    fates: Path | None = None,
) -> None:
    """Forecast interventions with all models of one dataset at their chosen strength, and write tidy rows of metrics.

    Args:
        data: file of the trajectories.
        models: model files, each of a block of seeds.
        settings: frozen settings that the blocks were trained with, one file for each (model, method).
        selection: folder of the chosen strengths.
        output: where the rows are written as parquet; the column `trajectory` holds the intervention.
        settings_of_interventions: which interventions are forecast.
        seeds: how many seeds to take, from 0 on; all if None.
        effects: CSV file of the effects on each variable with intervals and verdicts; None to write none.
        fates: the same of the shares of fates, without rows where trajectories have no groups; None to write none.

    Raises:
        UserError: as `sparsenode.evaluation.evaluate_models`; an unknown variable or fate; nothing to compare with.
    """
    from sparsenode.data.contract import read_trajectories

    adata = read_trajectories(data)
    name = read_metadata(adata).name
    ensembles = load_blocks(models, settings, name, file_sha256(data), seeds)
    chosen = {}
    for ensemble in ensembles:
        key = (ensemble.settings["model"], ensemble.settings["method"])
        chosen[key] = read_json(selection / key[0] / f"{key[1]}.json", keys=["chosen"])["chosen"]
    table = evaluate_interventions(adata, ensembles, chosen, settings_of_interventions)
    with write_atomically(output) as temporary:
        table.to_parquet(temporary, index=False)
    tables = tabulate_interventions(adata, ensembles, chosen, settings_of_interventions)
    for path, rows in zip((effects, fates), tables, strict=True):
        if path is not None:
            with write_atomically(path) as temporary:
                rows.to_csv(temporary, index=False)


def tabulate_interventions(
    adata: AnnData,
    ensembles: Sequence[Ensemble],
    chosen: Mapping[tuple[str, str], float | None],
    settings: InterventionSettings,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Effects of interventions and shares of fates, with intervals over members and verdicts, for reading.

    They are those of `SparseNODE.intervene` and `SparseNODE.fates`, of each model and method at its chosen strength.

    Args:
        adata: the trajectories.
        ensembles: one for each (model, method).
        chosen: chosen strength by (model, method); None where none was chosen.
        settings: which interventions are forecast.

    Raises:
        UserError: see `forecast_interventions`.
    """
    data = read_observations(adata, networks=False)
    interventions = resolve_interventions(data, settings, read_metadata(adata).name)
    count = FateCount.make(data, interventions, settings) if len(fate_names(data)) > 1 else None
    effects, fates = [], []
    for ensemble in ensembles:
        key = ensemble.settings["model"], ensemble.settings["method"]
        if not (rows := _chosen_rows(ensemble, chosen[key])):
            continue
        members = ensemble.select(rows)
        label = dict(zip(("model", "method"), key, strict=True))
        for name, table in effects_of_each(members, data, interventions, coverage=settings.coverage).items():
            effects.append(table.assign(**label, intervention=name))
        if count is not None:
            fates.append(count.table(members, coverage=settings.coverage).assign(**label))
    labels = ("model", "method")
    return (
        _join(effects, (*labels, "intervention", *COLUMNS)),
        _join(fates, (*labels, *FATE_COLUMNS)),
    )


def _join(tables: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """Tables below each other with columns in an order, also where there is none."""
    if not tables:
        return pd.DataFrame(columns=list(columns))
    return pd.concat(tables, ignore_index=True)[list(columns)]


def _chosen_rows(ensemble: Ensemble, strength: float | None) -> list[int]:
    """Numbers of the members that finished at a strength."""
    return [
        row
        for row, member in enumerate(ensemble.members)
        if member.strength == strength and member.status == "finished"
    ]


def evaluate_interventions(
    adata: AnnData,
    ensembles: Sequence[Ensemble],
    chosen: Mapping[tuple[str, str], float | None],
    settings: InterventionSettings,
) -> pd.DataFrame:
    """Tidy rows of all ensembles, each at its chosen strength.

    Args:
        adata: the trajectories.
        ensembles: one for each (model, method).
        chosen: chosen strength by (model, method); None where none was chosen.
        settings: which interventions are forecast.

    Raises:
        UserError: see `forecast_interventions`.
    """
    from sparsenode.data.sources import make_source

    metadata = read_metadata(adata)
    data = read_observations(adata, networks=False)
    interventions = resolve_interventions(data, settings, metadata.name)
    described = metadata.settings
    source = make_source(described["source"], described.get("options")) if "source" in described else None
    label = {"dataset": metadata.name}
    tables: list[pd.DataFrame] = []
    comparison: TrueEffects | FateCount
    if isinstance(source, SolvableSource):
        provenance = {"options": described.get("options", {}), "scale": metadata.scale, **metadata.provenance}
        comparison = TrueEffects.make(data, interventions, source, provenance)
        tables.extend(comparison.reference_rows(label))
    else:
        comparison = FateCount.make(data, interventions, settings)
    for ensemble in ensembles:
        started = time.perf_counter()
        model, method = ensemble.settings["model"], ensemble.settings["method"]
        check_features(ensemble, data, f"{model}/{method}")
        strength = chosen[model, method]
        of_model = {**label, "model": model, "method": method, "strength": np.nan if strength is None else strength}
        if rows := _chosen_rows(ensemble, strength):
            tables.extend(comparison.rows(ensemble.select(rows), of_model))
        else:
            outcome = {"status": "undefined", "reason": NOT_CHOSEN}
            tables.append(make_table(**of_model, metric=comparison.metric, trajectory=ALL, **outcome))
        logger.info("interventions of %s/%s in %.1f s", model, method, time.perf_counter() - started)
    return join_tables(tables)
