"""How many of the edges that a test calls needed are absent, over simulated systems of several kinds.

    python benchmarks/calibration.py [--kinds linear hill ...] [--systems 60] [--minutes 240] [--print-only]

Each finished system is a row of benchmarks/calibration.csv, from which a later call goes on, and its pairs with all
scores are rows of benchmarks/calibration_pairs.csv; the seeds are fixed by the kind and number of a system. Printed
by kind: the false discovery rate that came out at nominal 5, 10 and 20 %, with an interval over systems; the share of
edges that was found; and what peers find whose rankings are cut, with the truth, at the same rate, pooled over the
kind. Of systems without edges: in how many any edge was called needed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ranking import commit, count_selected
from scipy import stats

from sparsenode.data.preprocess import assemble
from sparsenode.data.sources import make_source
from sparsenode.evaluation.structure import rank_pairs
from sparsenode.inference import test_edges
from sparsenode.inference.results import UNTOLD, mask_unscreened, order_effects
from sparsenode.peers import RandomPeer, make_peer
from sparsenode.peers.derivatives import read_samples

FOLDER = Path(__file__).parent
TABLE, PAIRS = FOLDER / "calibration.csv", FOLDER / "calibration_pairs.csv"
SYSTEM, PAIR = ("kind", "system"), ("kind", "system", "source", "target")
RATES = (0.05, 0.1, 0.2)
SIGNED = ("linear", "hill")  # kinds whose edges have a sign that does not depend on the state
PEERS = ("correlation", "lasso", "quadratic_lasso", "extra_trees")
FIRST_SEED = 50_000
SYSTEMS = 60
WITHOUT_EDGES = 150
REPEATS = 4000


def options_of(kind: str, number: int) -> tuple[str, dict[str, Any]]:
    """Source and options of a system: noise, sampling and size change with its number, each at a pace of its own."""
    noise, observations, trajectories = (0.05, 0.1, 0.02)[number % 3], (30, 50)[number % 2], (16, 24)[number // 2 % 2]
    common = {
        "noise": noise,
        "observations": observations,
        "trajectories": trajectories + 1,
        "test_trajectories": 1,
        "extrapolation_share": 0.0,
        "seed": FIRST_SEED + number,
    }
    size = number % 4
    own: dict[str, tuple[str, dict[str, Any]]] = {
        "linear": ("linear", {"nodes": (4, 5, 6, 8)[size], "density": 0.3}),
        "hill": ("hill", {"nodes": (10, 12, 20, 30)[size]}),
        "lotka_volterra": (
            "lotka_volterra",
            {
                "species": (2, 3, 4, 4)[size],
                "partners": (1, 1, 2, 1)[size],
                "step_noise": 0.0,
                "horizon": 8.0,
                "lowest_start": 2.0,
                "highest_start": 10.0,
            },
        ),
        "lorenz96": (
            "lorenz96",
            {
                "nodes": (5, 6, 8, 10)[size],
                "forcing": (8.0, 10.0)[number // 4 % 2],
                "horizon": 0.05 * observations,
                "burn_in": 10.0,
            },
        ),
        "kuramoto": ("kuramoto", {"oscillators": (3, 3, 4, 5)[size], "density": 0.4, "frequency": (1.0, 4.0)}),
        "second_order": ("second_order", {"oscillators": (3, 4, 5, 6)[size]}),
        "no_edges": ("linear", {"nodes": (4, 5, 6, 8)[size], "density": 0.0}),
    }
    source, special = own[kind]
    return source, {**common, **special}


KINDS = ("linear", "hill", "lotka_volterra", "lorenz96", "kuramoto", "second_order", "no_edges")


def run_system(kind: str, number: int) -> tuple[dict[str, Any], pd.DataFrame]:
    """Simulate a system, test its edges and rank them by peers; a row of the system, and one of each pair."""
    source, options = options_of(kind, number)
    made = make_source(source, options)
    raw = made.load({})
    entry = {"source": source, "options": made.options, "validation": {"by": "none-in-source"}}
    adata = assemble(kind, raw, entry, {})
    assert raw.truth is not None
    truth = pd.DataFrame(raw.truth, index=raw.features, columns=raw.features)
    started, cpu = time.perf_counter(), time.process_time()
    test = test_edges(adata)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    pairs = test.table[["source", "target", "effect", "lower", "upper", "p", "q", "sign", "selected", "verdict"]].copy()
    sign = np.sign([truth.loc[source, target] for source, target in zip(pairs["source"], pairs["target"], strict=True)])
    pairs["edge"] = sign != 0
    samples = read_samples(adata, 1)
    for name in PEERS:
        peer = make_peer(name, {})
        scores, _ = peer.infer(samples, 0) if isinstance(peer, RandomPeer) else peer.infer(samples)
        table = pd.DataFrame(scores, index=raw.features, columns=raw.features)
        pairs[name] = [
            table.loc[source, target] for source, target in zip(pairs["source"], pairs["target"], strict=True)
        ]
    pairs.insert(0, "kind", kind)
    pairs.insert(1, "system", number)
    edges = pairs["edge"].to_numpy(bool)
    row: dict[str, Any] = {
        "kind": kind,
        "system": number,
        "seed": options["seed"],
        "variables": len(raw.features),
        "trajectories": options["trajectories"] - 1,
        "observations": options["observations"],
        "noise": options["noise"],
        "edges": int(edges.sum()),
        "pairs": len(pairs),
    }
    row |= count_selected(pairs["q"].to_numpy(), edges, RATES)
    row["rejected_absent"] = int(((pairs["p"] < 0.05).to_numpy() & ~edges).sum())
    row["wrong_signs"] = int((pairs["selected"] & edges & (pairs["sign"] != sign)).sum())
    row["untold"] = int((pairs["verdict"] == UNTOLD).sum())
    some = 0 < edges.sum() < len(edges)
    row["auprc"] = (
        rank_pairs(order_effects(mask_unscreened(test.table)["effect"].to_numpy()), edges.astype(float))["auprc"]
        if some
        else np.nan
    )
    return {**row, "cpu_seconds": round(cpu, 1), "seconds": round(seconds, 1), "commit": commit()}, pairs


def drawn_again(count: int) -> np.ndarray:
    """Numbers of systems, drawn with replacement, (repeat, system)."""
    return np.random.default_rng(0).integers(0, count, (REPEATS, count))


def interval_of_rate(false: np.ndarray, selected: np.ndarray) -> tuple[float, float, float]:
    """Mean share of absent edges among the selected, 0 where none is, and its interval over systems drawn again."""
    share = np.where(selected > 0, false / np.maximum(selected, 1), 0.0)
    low, high = np.quantile(share[drawn_again(len(share))].mean(1), [0.025, 0.975])
    return float(share.mean()), float(low), float(high)


def interval_of_recall(found: np.ndarray, edges: np.ndarray) -> tuple[float, float, float]:
    """Share of all edges of a kind that are selected, and its interval over systems drawn again."""
    drawn = drawn_again(len(found))
    low, high = np.quantile(found[drawn].sum(1) / np.maximum(edges[drawn].sum(1), 1), [0.025, 0.975])
    return float(found.sum() / edges.sum()), float(low), float(high)


def recall_at(pairs: pd.DataFrame, name: str, rate: float) -> float:
    """Largest share of the edges above a cut at which, pooled over systems, at most so many of the pairs are absent."""
    edges = pairs["edge"].to_numpy(bool)[np.argsort(-pairs[name].to_numpy(), kind="stable")]
    share = np.cumsum(~edges) / np.arange(1, len(edges) + 1)
    allowed = np.flatnonzero(share <= rate)
    return float(edges[: allowed[-1] + 1].sum() / edges.sum()) if len(allowed) else 0.0


def summarize(table: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """A row for each kind with edges and nominal rate: what came out, with intervals, and what peers find."""
    rows = []
    for kind, systems in table[table["edges"] > 0].groupby("kind", sort=False):
        of_kind = pairs[pairs["kind"] == kind]
        for rate in RATES:
            false, selected = systems[f"false_{rate:g}"].to_numpy(), systems[f"selected_{rate:g}"].to_numpy()
            realized, low, high = interval_of_rate(false, selected)
            recall, recall_low, recall_high = interval_of_recall(selected - false, systems["edges"].to_numpy())
            pooled = float(false.sum() / max(selected.sum(), 1))
            row = {
                "kind": kind,
                "systems": len(systems),
                "nominal": rate,
                "realized": realized,
                "low": low,
                "high": high,
            }
            row |= {"pooled": pooled, "recall": recall, "recall_low": recall_low, "recall_high": recall_high}
            rows.append(row | {name: recall_at(of_kind, name, pooled) for name in PEERS})
    return pd.DataFrame(rows)


def print_table(table: pd.DataFrame, pairs: pd.DataFrame) -> None:
    """What the finished systems say, by kind."""
    for kind, rows in table.groupby("kind", sort=False):
        absent, edges = int((rows["pairs"] - rows["edges"]).sum()), int(rows["edges"].sum())
        level = rows["rejected_absent"].sum() / max(absent, 1)
        print(f"{kind}: {len(rows)} systems, {edges} edges, {absent} absent pairs, of which p < .05: {level:.3f}")
        line = f"  cannot be told: {int(rows['untold'].sum())} pairs; {rows['cpu_seconds'].mean():.0f} s a system"
        if edges:
            line += f"; AUPRC by effect {rows['auprc'].mean():.3f}"
        if kind in SIGNED:
            line += f"; wrong signs: {int(rows['wrong_signs'].sum())} of the edges selected at 10 %"
        print(line)
        if not edges:
            for rate in RATES:
                wrong = int((rows[f"selected_{rate:g}"] > 0).sum())
                interval = stats.binomtest(wrong, len(rows)).proportion_ci()
                print(f"  nominal {rate:.0%}: any edge in {wrong} ({interval.low:.3f} to {interval.high:.3f})")
    summary = summarize(table, pairs)
    if len(summary):
        print("\nIntervals are over systems; peers are cut, with the truth, at the pooled rate.")
        print(summary.to_string(index=False, float_format="{:.3f}".format))
        for rate, rows in summary.groupby("nominal"):
            above = rows.loc[rows["low"] > rate, "kind"].tolist()
            print(
                f"nominal {rate:.0%}: mean over kinds {rows['realized'].mean():.3f}; "
                f"lower bound above it: {', '.join(above) or 'no kind'}"
            )


def read_rows(file: Path, key: tuple[str, ...]) -> pd.DataFrame:
    """Rows of what is finished, the last one of each key: a run that was ended leaves pairs that are measured again."""
    if not file.exists():
        return pd.DataFrame(columns=[*key])
    return pd.read_csv(file).drop_duplicates([*key], keep="last", ignore_index=True)


def append(rows: pd.DataFrame, file: Path) -> None:
    """Add rows to a file."""
    rows.to_csv(file, mode="a", header=not file.exists(), index=False, float_format="%.4g")


def next_systems(done: pd.DataFrame, kinds: Mapping[str, int]) -> list[tuple[str, int]]:
    """Systems that are left, the kinds in turn."""
    have = set(zip(done["kind"], done["system"], strict=True))
    most = max(kinds.values(), default=0)
    return [
        (kind, number) for number in range(most) for kind in kinds if number < kinds[kind] if (kind, number) not in have
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument(
        "--systems", type=int, default=None, help=f"of a kind; {SYSTEMS}, without edges {WITHOUT_EDGES}"
    )
    parser.add_argument("--minutes", type=float, default=240.0, help="after which no further system begins")
    parser.add_argument("--print-only", action="store_true")
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    counts = {kind: arguments.systems or (WITHOUT_EDGES if kind == "no_edges" else SYSTEMS) for kind in arguments.kinds}
    if not arguments.print_only:
        for kind, number in next_systems(read_rows(TABLE, SYSTEM), counts):
            if time.monotonic() > end:
                break
            row, pairs = run_system(kind, number)
            append(pairs, PAIRS)
            append(pd.DataFrame([row]), TABLE)
            print(f"{kind} {number}: {row['seconds']:.0f} s", flush=True)
    rows = read_rows(TABLE, SYSTEM)
    if rows.empty:
        print("no system is measured yet")
    else:
        print_table(rows, read_rows(PAIRS, PAIR))


if __name__ == "__main__":
    main()
