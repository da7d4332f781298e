"""What one automatic fit reaches on each benchmark, beside settings by hand and other people's methods.

    python benchmarks/automatic.py [--part hill krumsiek11 ...] [--minutes 180] [--note "what changed"]

Each system is fitted by `SparseNODE(model="auto")`, with nothing set but the number of seeds, and is one row of
`benchmarks/automatic.csv` with commit and settings, from which the next call goes on; rows of another commit are kept
and count only where this one has none (`--all-commits`). Each printing of the table against the truth is noted in
`benchmarks/automatic.log.md`. With `--rankings` only the settings are chosen and edges ranked, as a fit that ranks by
derivatives does, whose trained members have no part in it: rows of `benchmarks/automatic_rankings.csv`, in seconds a
system. Downloads are read from the mirror (`SPARSENODE_MIRROR`).
"""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from ranking import REPOSITORY, append_row, commit, rank_against, rank_fit, read_rows

from peers import SYSTEMS as DYSTS
from peers import read_system
from sparsenode.data.contract import true_network
from sparsenode.data.observations import read_observations
from sparsenode.data.preprocess import assemble, load_dataset
from sparsenode.data.readers.arrays import read_arrays
from sparsenode.data.sources import make_source
from sparsenode.dynamics.fused import library
from sparsenode.errors import UserError
from sparsenode.estimator.importance import derivative_shares, match_path
from sparsenode.estimator.model import SparseNODE
from sparsenode.estimator.settings import FitSettings, complete_settings
from sparsenode.evaluation.scoring import PROTOCOLS, pairs_of_protocol
from sparsenode.evaluation.structure import rank_pairs
from sparsenode.pipeline.configuration import dataset_settings, read_configuration
from sparsenode.training.engine import Engine

CSV, LOG = REPOSITORY / "benchmarks" / "automatic.csv", REPOSITORY / "benchmarks" / "automatic.log.md"
RANKINGS = REPOSITORY / "benchmarks" / "automatic_rankings.csv"
BY_TRAJECTORY = {"by": "trajectory", "share": 0.15}
INNER = {"by": "inner_blocks", "share": 0.15}
DRAW = "variable"
"""How starts of dysts' systems are drawn, see `peers.py`."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A row of the table: its systems, and the values beside it.

    Attributes:
        systems: gives the name of each system with a function that loads it.
        measure: what is measured of a fit, by name; the first is the one of the table.
        by_hand: the value with settings by hand.
        peers: the best of other people's methods.
        goal: what it should reach.
        seeds: seeds of each strength.
        protocol: which pairs count.
        ranked_by: the metric of a ranking that is the table's.
    """

    systems: Callable[[Path], Iterator[tuple[str, Callable[[], AnnData]]]]
    measure: Callable[[SparseNODE, AnnData], Mapping[str, float]]
    by_hand: str
    peers: str
    goal: str
    seeds: int = 3
    protocol: str = "pairs"
    ranked_by: str = "auroc"


def _ranking(*names: str, protocol: str = "pairs") -> Callable[[SparseNODE, AnnData], Mapping[str, float]]:
    def measure(model: SparseNODE, adata: AnnData) -> Mapping[str, float]:
        ranked = rank_fit(model, adata, protocol)
        return {name: ranked[name] for name in names}

    return measure


def _hill(_mirror: Path) -> Iterator[tuple[str, Callable[[], AnnData]]]:
    options = {"nodes": 50, "trajectories": 24, "test_trajectories": 4, "noise": 0.05}
    for seed in range(10):
        yield f"hill_{seed}", partial(load_dataset, "hill", validation=BY_TRAJECTORY, seed=seed, **options)


def _krumsiek11(_mirror: Path) -> Iterator[tuple[str, Callable[[], AnnData]]]:
    yield "krumsiek11", partial(load_dataset, "krumsiek11", validation=INNER)


def _couplings(_mirror: Path) -> Iterator[tuple[str, Callable[[], AnnData]]]:
    held_out = {"by": "trajectory", "share": 0.167}
    for noise in (0.0, 0.05):
        yield (
            f"second_order, noise {noise:g}",
            partial(load_dataset, "second_order", validation=held_out, noise=noise),
        )


def _dysts(noise: float) -> Callable[[Path], Iterator[tuple[str, Callable[[], AnnData]]]]:
    def load(name: str) -> AnnData:
        """One series of 1,000 steps, each variable of mean 0 and deviation 1, with observation noise of that unit."""
        entry = read_system(name, 2, Path(tempfile.gettempdir()) / "sparsenode-dysts" / DRAW, DRAW)
        values = np.asarray(entry["values"][0], float)
        values = (values - values.mean(0)) / values.std(0)
        values = values + noise * np.random.default_rng(DYSTS.index(name)).standard_normal(values.shape)
        adata = _of_arrays(values, float(entry["step"]) * np.arange(len(values)))
        adata.uns["edges"] = np.asarray(entry["edges"], bool)
        return adata

    def systems(_mirror: Path) -> Iterator[tuple[str, Callable[[], AnnData]]]:
        for name in DYSTS:
            yield f"{name}, noise {noise:g}", partial(load, name)

    return systems


def _of_arrays(values: np.ndarray, times: np.ndarray) -> AnnData:
    settings = {"validation": INNER, "initial_state": {}, "feature_weight": "movement"}
    return assemble("series", read_arrays(values, times), settings, {})


def _measure_dysts(model: SparseNODE, adata: AnnData) -> Mapping[str, float]:
    """AUROC and AUPRC with self-effects, against the pattern of the Jacobian over the series."""
    edges = adata.uns["edges"]
    ranked = rank_against(model, edges, np.ones_like(edges), "pairs_and_self")
    return {"auroc": ranked["auroc"], "auprc": ranked["auprc"]}


def _files(source: Any, mirror: Path) -> dict[str, Path]:
    return {file.local_path: mirror / file.local_path for file in source.required_files()}


def _dream3(size: int) -> Callable[[Path], Iterator[tuple[str, Callable[[], AnnData]]]]:
    def load(network: str, mirror: Path) -> AnnData:
        source = make_source("dream3", {"size": size, "network": network})
        entry = {"source": "dream3", "options": source.options, "validation": BY_TRAJECTORY | {"share": 0.25}}
        return assemble("dream3", source.load(_files(source, mirror)), entry, {})

    def systems(mirror: Path) -> Iterator[tuple[str, Callable[[], AnnData]]]:
        from sparsenode.data.sources.dream3 import NETWORKS

        for network in NETWORKS:
            yield f"{network}, {size} genes", partial(load, network, mirror)

    return systems


def _scode(mirror: Path) -> Iterator[tuple[str, Callable[[], AnnData]]]:
    source = make_source("scode", {"cells": 2})
    entry = {"source": "scode", "options": source.options, "validation": {"by": "observation", "share": 0.2}}
    yield "scode_2", partial(assemble, "scode_2", source.load(_files(source, mirror)), entry, {})


def _configured(experiment: str, *names: str) -> Callable[[Path], Iterator[tuple[str, Callable[[], AnnData]]]]:
    """Datasets of an experiment, prepared as its configuration says."""

    def load(name: str, mirror: Path) -> AnnData:
        config = read_configuration(REPOSITORY, [REPOSITORY / "experiments" / experiment])
        entry = dataset_settings(config, name)
        source = make_source(entry["source"], entry["options"])
        return assemble(name, source.load(_files(source, mirror)), {**entry, "options": source.options}, {})

    def systems(mirror: Path) -> Iterator[tuple[str, Callable[[], AnnData]]]:
        for name in names:
            yield name, partial(load, name, mirror)

    return systems


def _sizes(_mirror: Path) -> Iterator[tuple[str, Callable[[], AnnData]]]:
    for nodes in (3, 20, 50):
        options = {"nodes": nodes, "trajectories": 42, "test_trajectories": 2, "seed": 0}
        yield f"{nodes} variables", partial(load_dataset, "linear", validation=BY_TRAJECTORY, **options)


PARTS: Mapping[str, Part] = {
    "hill": Part(
        systems=_hill,
        measure=_ranking("auprc", "auprc_ratio", "auroc"),
        by_hand=".909",
        peers="lasso .867",
        goal=".92",
        ranked_by="auprc",
    ),
    "krumsiek11": Part(
        systems=_krumsiek11,
        measure=_ranking("auprc_ratio", "auprc", "auroc"),
        by_hand="2.73",
        peers="2.35",
        goal="2.4, aim 2.7",
        seeds=5,
        ranked_by="auprc_ratio",
    ),
    "couplings": Part(
        systems=_couplings,
        measure=_ranking("exact", "wrong", "auprc"),
        by_hand="5 of 5",
        peers="-",
        goal="exact",
        seeds=5,
        ranked_by="auprc",
    ),
    "sim350": Part(
        systems=_configured("gene_networks.yaml", "sim350"),
        measure=_ranking("balanced_accuracy_at_95", "auprc"),
        by_hand=".896, .728",
        peers=".884, .226",
        goal=".88, .68",
        ranked_by="balanced_accuracy_at_95",
    ),
    "dysts": Part(
        systems=_dysts(0.0),
        measure=_measure_dysts,
        by_hand="-",
        peers=".958 (quadratic lasso)",
        goal=".98",
        protocol="pairs_and_self",
    ),
    "dysts_noise": Part(
        systems=_dysts(0.05),
        measure=_measure_dysts,
        by_hand="-",
        peers="not measured",
        goal=".97",
        protocol="pairs_and_self",
    ),
    "dream3_10": Part(
        systems=_dream3(10), measure=_ranking("auroc", "auprc"), by_hand="-", peers="extra trees .544", goal=".62"
    ),
    "dream3_100": Part(
        systems=_dream3(100), measure=_ranking("auroc", "auprc"), by_hand="-", peers="extra trees .619", goal=".65"
    ),
    "scode": Part(
        systems=_scode,
        measure=_ranking("auroc", protocol="regulators"),
        by_hand="-",
        peers="GRISLI .571",
        goal=".60",
        protocol="regulators",
    ),
    "times": Part(
        systems=_sizes,
        measure=_ranking("auroc"),
        by_hand="-",
        peers="seconds",
        goal="10 s / 45 s / 2 min",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=180.0, help="no fit is begun after so many")
    parser.add_argument("--most", type=int, help="systems of each part")
    parser.add_argument("--mirror", type=Path, default=Path(os.environ.get("SPARSENODE_MIRROR", "downloads")))
    parser.add_argument("--note", default="", help="what has changed since the table was printed before")
    parser.add_argument("--all-commits", action="store_true", help="a row of another commit is not measured again")
    parser.add_argument("--read", action="store_true", help="fit nothing")
    parser.add_argument("--rankings", action="store_true", help="choose settings and rank edges, and train nothing")
    arguments = parser.parse_args()
    table_path = RANKINGS if arguments.rankings else CSV
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    if not arguments.read:
        measure_parts(arguments)
    table = make_table(arguments.part, table_path)
    text = table.to_string(index=False) if len(table) else "no rows"
    print(text)
    note_printing(text, arguments.note)


def measure_parts(arguments: argparse.Namespace) -> None:
    """Measure what has no row yet, until the time is over."""
    ends = time.monotonic() + 60 * arguments.minutes
    now = commit()
    path, measure = (RANKINGS, rank_system) if arguments.rankings else (CSV, measure_system)
    rows = [row for row in read_rows(path) if arguments.all_commits or row["commit"] == now]
    finished = {(row["part"], row["system"]) for row in rows}
    for name in arguments.part:
        for number, (system, load) in enumerate(PARTS[name].systems(arguments.mirror)):
            if (name, system) in finished or (arguments.most is not None and number >= arguments.most):
                continue
            if time.monotonic() > ends:
                return
            append_row(path, {**measure(name, system, load), "commit": now})


def rank_system(part: str, system: str, load: Callable[[], AnnData]) -> dict[str, Any]:
    """The row of one system whose settings are chosen and whose edges are ranked, without a fit."""
    adata = load()
    edges, protocol = adata.uns.pop("edges", None), PARTS[part].protocol
    if edges is not None:
        known = np.ones_like(edges)
    else:
        truth = true_network(adata)
        assert truth is not None
        edges, known = truth.truth != 0, np.asarray(truth.known, bool)
    began = time.process_time()
    values: dict[str, float] = {}
    failure, ranking = "", ""
    try:
        model, method, choices = complete_settings(FitSettings(), adata)
        ranking = next(value for key, value, _ in choices["choices"] if key == "ranking")
        if ranking != "derivatives":
            raise UserError(f"a fit ranks by {ranking}, which take its members")
        frozen = {"dataset": "ranked", "model": "fit", "method": method["regularizer"], "model_settings": model}
        # As beside a fit, which takes the kernel.
        engine: Engine = "compiled" if library.load("float32") is not None else "auto"
        matched = match_path(adata, {**frozen, "method_settings": method}, engine=engine)
        shares = derivative_shares(matched, read_observations(adata, networks=False))
        scored = pairs_of_protocol(PROTOCOLS[protocol], edges, known)
        values = rank_pairs(shares[scored.counted], scored.edges)
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"[:200]
    seconds = time.process_time() - began
    print(f"{part} {system}: {values or failure} ({seconds:.0f} s)", flush=True)
    return {
        "part": part,
        "system": system,
        "value": values.get(PARTS[part].ranked_by, np.nan),
        "values": json.dumps({name: round(value, 4) for name, value in values.items()}),
        "seconds": seconds,
        "ranking": ranking,
        "failure": failure,
        "measured": datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d"),
    }


def measure_system(part: str, system: str, load: Callable[[], AnnData]) -> dict[str, Any]:
    """The row of one system: what is measured, time of a processor, and the settings that were chosen."""
    row: dict[str, Any] = {"part": part, "system": system}
    began = time.process_time()
    settings, values, failure = {}, {}, ""
    try:
        adata = load()
        edges = adata.uns.pop("edges", None)
        began = time.process_time()
        model = SparseNODE(model="auto", seeds=PARTS[part].seeds, verbose=0).fit(adata)
        ranking = model.importances_.ranking.value
        seconds = time.process_time() - began
        if edges is not None:
            adata.uns["edges"] = edges
        values = dict(PARTS[part].measure(model, adata))
        chosen = {key: value for key, value, _ in model.settings_["automatic"]["choices"]}
        strengths = model.settings_["method_settings"]["strengths"]
        settings = {**chosen, "ranking": ranking, "strength": model.strength_, "strengths": strengths}
    except Exception as error:
        seconds, failure = time.process_time() - began, f"{type(error).__name__}: {error}"[:200]
    print(f"{part} {system}: {values or failure} ({seconds:.0f} s)", flush=True)
    return {
        **row,
        "value": float(next(iter(values.values()), np.nan)),
        "values": json.dumps({name: round(value, 4) for name, value in values.items()}),
        "seconds": seconds,
        "settings": json.dumps(settings),
        "failure": failure,
        "measured": datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d"),
    }


def make_table(parts: list[str], path: Path) -> pd.DataFrame:
    """Mean and 95 % interval over systems of the last row of each, beside the other values."""
    from scipy import stats

    rows = pd.DataFrame(read_rows(path))
    lines = []
    for name in parts:
        entries = rows[rows["part"] == name] if len(rows) else rows
        if entries.empty:
            continue
        entries = entries.drop_duplicates("system", keep="last")
        values = entries["value"].astype(float)
        usable = values.dropna()
        spread = (
            stats.t.ppf(0.975, len(usable) - 1) * usable.std() / np.sqrt(len(usable)) if len(usable) > 1 else np.nan
        )
        part = PARTS[name]
        lines.append(
            {
                "data": name,
                "systems": f"{len(usable)} of {len(values)}",
                "by hand": part.by_hand,
                "peers": part.peers,
                "goal": part.goal,
                "automatic": f"{usable.mean():.3f}",
                "interval": "" if np.isnan(spread) else f"{usable.mean() - spread:.3f} to {usable.mean() + spread:.3f}",
                "seconds": f"{entries['seconds'].astype(float).mean():.0f}",
                "commits": ", ".join(dict.fromkeys(entries["commit"])),
            }
        )
    return pd.DataFrame(lines)


def note_printing(text: str, note: str) -> None:
    """Add the table to the log of printings, with what has changed."""
    heading = "# Printings of the table of automatic fits against the truth\n"
    before = LOG.read_text(encoding="utf-8") if LOG.is_file() else heading
    date = datetime.datetime.now(tz=datetime.UTC).strftime("%Y-%m-%d %H:%M")
    LOG.write_text(f"{before}\n## {date}, commit {commit()}\n{note or 'No change noted.'}\n\n```text\n{text}\n```\n")


if __name__ == "__main__":
    main()
