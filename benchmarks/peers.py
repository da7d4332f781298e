"""How well each peer finds the true networks of chaotic systems, beside numbers that were published or measured before.

    python benchmarks/peers.py [--peers lasso sindy ...] [--starts 2] [--folder FOLDER] [--systems ...]

The package `dysts` is needed for the systems (pip install dysts). The protocol is that of CausalDynamics' "Simple" part
(Herdeanu et al. 2025, arXiv 2505.16620): 1,000 steps at 100 points a period without noise, from the default start times
a uniform number between 0 and 1 for each variable, drawn again where the solution leaves ten times the default one's
range or comes to rest; values of mean 0 and deviation 1; one network a series, self-effects counted; AUROC and AUPRC
are means over the series of all systems in which some pairs are edges and some are not.

The truth is the pattern of the Jacobian over the series: a pair is an edge where its entry, in units of the deviations
of the source and of the target's rate, is anywhere above 1e-6. Entries come from central differences of steps of 1e-5
deviations, whose rounding is below 1e-9, and the least entry of an edge of these systems is above 0.05.

Series are kept in a folder, so that a second run takes only the peers' time. Options of the peers are their defaults;
none is chosen by the truth.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sparsenode.evaluation.structure import auprc, auroc
from sparsenode.peers import RandomPeer, make_peer, peer_names
from sparsenode.peers.derivatives import Samples, smooth

# Those of the 30 systems to develop on in which pairs are of both kinds.
SYSTEMS = [
    "Arneodo",
    "Chen",
    "Chua",
    "Finance",
    "HenonHeiles",
    "KawczynskiStrizhak",
    "PanXuZhou",
    "RikitakeDynamo",
    "Rucklidge",
    "SanUmSrisuchinwong",
    "SprottA",
    "SprottC",
    "SprottE",
    "SprottG",
    "SprottI",
    "SprottJerk",
    "SprottL",
    "SprottN",
    "SprottP",
    "SprottR",
    "SprottTorus",
    "ThomasLabyrinth",
    "YuWang2",
]
BEFORE = {"quadratic_lasso": (0.958, 0.976), "sindy": (0.947, 0.969)}
STEPS, STEPS_OF_PERIOD = 1000, 100
EDGE = 1e-6
MOST_DRAWS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", nargs="+", default=list(peer_names()), help="NAME, or NAME={JSON of its options}")
    parser.add_argument("--systems", nargs="+", default=SYSTEMS)
    parser.add_argument("--starts", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "sparsenode-dysts")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    series = {name: read_system(name, arguments.starts, arguments.folder) for name in arguments.systems}
    print(f"{len(series)} systems, {arguments.starts} starts each; draws that were not taken: {count_redraws(series)}")
    # Smoothing takes longer than most peers: once for all of them.
    samples = {
        name: [sample(values, float(entry["step"])) for values in entry["values"]] for name, entry in series.items()
    }
    edges = {name: entry["edges"].ravel() for name, entry in series.items()}
    rows = {}
    for entry in arguments.peers:
        name, _, options = entry.partition("=")
        scores = measure_peer(name, json.loads(options or "{}"), samples, edges)
        before = BEFORE.get(entry, (np.nan, np.nan))
        means = scores[["auroc", "auprc"]].mean()
        rows[entry] = {
            "AUROC": means["auroc"],
            "AUPRC": means["auprc"],
            "AUROC before": before[0],
            "AUPRC before": before[1],
            "worst system": scores.groupby("system")["auroc"].mean().idxmin(),
            "its AUROC": scores.groupby("system")["auroc"].mean().min(),
            "seconds a series": scores["seconds"].mean(),
        }
        print(f"{entry}: {means['auroc']:.3f} {means['auprc']:.3f} ({len(scores)} series)", flush=True)
    print(pd.DataFrame(rows).T.to_string(float_format="{:.3f}".format))


def measure_peer(
    name: str, options: dict[str, Any], samples: dict[str, list[Samples]], edges: dict[str, np.ndarray]
) -> pd.DataFrame:
    """AUROC and AUPRC of a peer for each series of each system; random peers are asked with the seed 0."""
    peer = make_peer(name, {**options, "time_limit": None})
    rows = []
    for system, all_samples in samples.items():
        if edges[system].all() or not edges[system].any():
            continue
        for one_start in all_samples:
            started = time.process_time()
            scores = (peer.infer(one_start, 0) if isinstance(peer, RandomPeer) else peer.infer(one_start))[0].ravel()
            rows.append(
                {
                    "system": system,
                    "auroc": auroc(scores, edges[system]),
                    "auprc": auprc(scores, edges[system]),
                    "seconds": time.process_time() - started,
                }
            )
    return pd.DataFrame(rows)


def sample(values: np.ndarray, step: float) -> Samples:
    """What peers are given: standardized values, smoothed as those of any dataset are."""
    values = (values - values.mean(0)) / values.std(0)
    times = step * np.arange(len(values))
    states, slopes = smooth(times, values)
    return Samples(
        observed=values, states=states, velocities=None, rates=slopes, stretch=np.zeros(len(values), int), time=times
    )


def read_system(name: str, starts: int, folder: Path) -> dict[str, np.ndarray]:
    """Values (start, step, variable), true edges (source, target) and step of a system, from the folder if there."""
    path = folder / f"{name}-{starts}.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, **solve_system(name, starts))
    with np.load(path) as stored:
        return dict(stored)


def solve_system(name: str, starts: int) -> dict[str, np.ndarray]:
    from dysts import flows

    system = getattr(flows, name)()
    start = np.asarray(system.ic, float)
    step = system.period / STEPS_OF_PERIOD
    times = step * np.arange(STEPS)
    generator = np.random.default_rng(SYSTEMS.index(name) if name in SYSTEMS else 0)
    usual = solve(system, start, times, np.inf)
    bound, least = 10 * np.abs(usual).max(), 1e-3 * usual.std(0).max()
    values: list[np.ndarray] = []
    draws = 0
    while len(values) < starts and draws < MOST_DRAWS:
        draws += 1
        solved = solve(system, start * generator.uniform(size=len(start)), times, bound)
        if len(solved) == STEPS and solved.std(0).min() > least:
            values.append(solved)
    if len(values) < starts:
        raise RuntimeError(f"{name}: only {len(values)} of {MOST_DRAWS} starts stay on the attractor")
    entries = np.max([jacobian_sizes(system, solved) for solved in values], axis=0)
    return {
        "values": np.stack(values),
        "edges": entries > EDGE,
        "step": np.asarray(step),
        "redraws": np.asarray(draws - starts),
    }


def solve(system: Any, start: np.ndarray, times: np.ndarray, bound: float) -> np.ndarray:
    """Solution (step, variable), which ends where a value is as large as the bound."""
    from scipy.integrate import solve_ivp

    def inside(_time: float, values: np.ndarray) -> float:
        return min(bound, 1e300) - np.abs(values).max()

    inside.terminal = True  # type: ignore[attr-defined]  # scipy reads this attribute of an event
    solution = solve_ivp(
        lambda time, values: np.asarray(system.rhs(values, time), float),
        (0.0, times[-1]),
        start,
        t_eval=times,
        method="LSODA",
        rtol=1e-9,
        atol=1e-9,
        events=inside,
    )
    return solution.y.T


def jacobian_sizes(system: Any, values: np.ndarray) -> np.ndarray:
    """Largest absolute entries of the Jacobian at every fifth step, standardized, (source, target)."""
    points = values[::5]
    deviations = values.std(0)
    rates = np.array([system.rhs(point, 0.0) for point in points], float)
    entries = []
    for unit, step in zip(np.eye(len(deviations)), 1e-5 * deviations, strict=True):
        ahead = np.array([system.rhs(point + step * unit, 0.0) for point in points], float)
        behind = np.array([system.rhs(point - step * unit, 0.0) for point in points], float)
        entries.append(np.abs(ahead - behind).max(0) / (2 * step))
    return np.array(entries) * deviations[:, None] / rates.std(0)


def count_redraws(series: dict[str, dict[str, np.ndarray]]) -> str:
    """How often starts were drawn again, for the systems in which they were."""
    redraws = {name: int(entry["redraws"]) for name, entry in series.items() if entry["redraws"]}
    return ", ".join(f"{name} {count}" for name, count in redraws.items()) or "none"


if __name__ == "__main__":
    main()
