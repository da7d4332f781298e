"""How well each peer finds the true networks of chaotic systems, beside numbers that were published or measured before.

    python benchmarks/peers.py [--peers lasso sindy ...] [--starts 2] [--folder FOLDER] [--systems ...]
        [--draw trajectory] [--time-limit SECONDS] [--output benchmarks/peers.csv]

The package `dysts` is needed for the systems (pip install dysts). The protocol is that of CausalDynamics' "Simple" part
(Herdeanu et al. 2025, arXiv 2505.16620): 1,000 steps at 100 points a period without noise, from the default start times
a uniform number between 0 and 1 for each variable, or with `--draw trajectory` one for all of them, drawn again where
the solution leaves ten times the default one's range or comes to rest; values of mean 0 and deviation 1; one network a
series, self-effects counted; AUROC and AUPRC are means over the series of all systems in which some pairs are edges and
some are not.

The truth is the pattern of the Jacobian over the series: a pair is an edge where its entry, in units of the deviations
of the source and of the target's rate, is anywhere above 1e-6. Entries come from central differences of steps of 1e-5
deviations, whose rounding is below 1e-9, and the least entry of an edge of these systems is above 0.05.

Each series is one row of the output, and a row that is there is not measured again; series, also as smoothed for this
version of the peers, are kept in a folder, so that a second run takes only the peers' time. With a time limit each
series has a process of its own, whose start is part of its seconds, and a peer that is ended has no AUROC. Options of
the peers are their defaults, or those of a variant in `VARIANTS`; none is chosen by the truth.
"""

from __future__ import annotations

import argparse
import logging
import resource
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from stored import StoredRows

from sparsenode import versions
from sparsenode.evaluation.structure import auprc, auroc
from sparsenode.peers import Peer, make_peer, peer_names
from sparsenode.peers.derivatives import Samples, smooth
from sparsenode.peers.processes import TimeLimitError, ask_within_limit

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
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "sindy_quadratic": ("sindy", {"library": "quadratic"}),
    "sindy_cubic": ("sindy", {"library": "cubic"}),
    "sindy_quadratic_threshold_0.1": ("sindy", {"library": "quadratic", "thresholds": [0.1]}),
    "quadratic_lasso_differences": ("quadratic_lasso", {"rates": "differences"}),
    "lasso_differences": ("lasso", {"rates": "differences"}),
    "dyngenie3_100": ("dyngenie3", {"trees": 100}),
    "extra_trees_100": ("extra_trees", {"trees": 100}),
}
"""Peers with other options than their defaults, by the name that the table has for them."""
STEPS, STEPS_OF_PERIOD = 1000, 100
EDGE = 1e-6
MOST_DRAWS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*peer_names(), *VARIANTS]
    parser.add_argument("--peers", nargs="+", choices=names, metavar="NAME", default=names, help=", ".join(names))
    parser.add_argument("--systems", nargs="+", default=SYSTEMS)
    parser.add_argument("--starts", type=int, default=2)
    parser.add_argument("--draw", choices=("variable", "trajectory"), default="variable", help="numbers of a start")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "sparsenode-dysts")
    parser.add_argument("--time-limit", type=float, help="seconds for a peer on a series; none by default")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".csv"))
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    rows = StoredRows(arguments.output, ("peer", "system", "start"), ("auroc", "auprc", "seconds", "unfinished"))
    folder = arguments.folder / arguments.draw
    series = {name: read_system(name, arguments.starts, folder, arguments.draw) for name in arguments.systems}
    print(f"{len(series)} systems, {arguments.starts} starts each; draws that were not taken: {count_redraws(series)}")
    samples = {
        (name, start): sample(values, float(entry["step"]), folder / f"{name}-{start}-{versions.PEERS}.npz")
        for name, entry in series.items()
        if entry["edges"].any() and not entry["edges"].all()
        for start, values in enumerate(entry["values"])
    }
    for name in arguments.peers:
        kind, options = VARIANTS.get(name, (name, {}))
        peer = make_peer(kind, {**options, "time_limit": arguments.time_limit})
        for (system, start), each in samples.items():
            edges = series[system]["edges"].ravel()
            rows.measure(
                {"peer": name, "system": system, "start": start},
                lambda peer=peer, each=each, edges=edges: measure_peer(peer, each, edges),
            )
        print(summarize(rows.read(), [name]), flush=True)
    print(summarize(rows.read(), arguments.peers))


def measure_peer(peer: Peer, samples: Samples, edges: np.ndarray) -> dict[str, Any]:
    """AUROC and AUPRC of a peer on a series and its seconds of the processor; random peers have the seed 0."""
    started = processor_seconds()
    try:
        scores = ask_within_limit(peer, samples, 1)[0].ravel()
    except TimeLimitError as limit:
        return {"seconds": processor_seconds() - started, "unfinished": str(limit)}
    seconds = processor_seconds() - started
    return {"auroc": auroc(scores, edges), "auprc": auprc(scores, edges), "seconds": seconds}


def processor_seconds() -> float:
    """Seconds of the processor that this process and those it has started have taken."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def summarize(rows: pd.DataFrame, peers: list[str]) -> str:
    """Means of each peer over its finished series, and the system in which it is worst."""
    table = {}
    for name in peers:
        measured = rows[rows["peer"] == name]
        by_system = measured.groupby("system")["auroc"].mean()
        table[name] = {
            "AUROC": measured["auroc"].mean(),
            "AUPRC": measured["auprc"].mean(),
            "worst system": by_system.idxmin() if by_system.notna().any() else "",
            "its AUROC": by_system.min(),
            "seconds a series": measured["seconds"].mean(),
            "series": len(measured),
            "unfinished": int(measured["unfinished"].notna().sum()),
        }
    return pd.DataFrame(table).T.to_string(float_format="{:.3f}".format)


def sample(values: np.ndarray, step: float, path: Path) -> Samples:
    """What peers are given: standardized values, smoothed as those of any dataset are.

    Smoothing takes longer than most peers, and is read from the file if it is there.
    """
    values = (values - values.mean(0)) / values.std(0)
    times = step * np.arange(len(values))
    if not path.is_file():
        states, slopes = smooth(times, values)
        np.savez(path, states=states, slopes=slopes)
    with np.load(path) as stored:
        states, slopes = stored["states"], stored["slopes"]
    return Samples(
        observed=values, states=states, velocities=None, rates=slopes, stretch=np.zeros(len(values), int), time=times
    )


def read_system(name: str, starts: int, folder: Path, draw: str) -> dict[str, np.ndarray]:
    """Values (start, step, variable), true edges (source, target) and step of a system, from the folder if there."""
    path = folder / f"{name}-{starts}.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, **solve_system(name, starts, draw))
    with np.load(path) as stored:
        return dict(stored)


def solve_system(name: str, starts: int, draw: str) -> dict[str, np.ndarray]:
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
        solved = solve(system, start * generator.uniform(size=len(start) if draw == "variable" else 1), times, bound)
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
