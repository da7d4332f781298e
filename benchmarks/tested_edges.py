"""How good the sets of edges are that a test calls needed, on the systems that other methods are measured on.

    python benchmarks/tested_edges.py [--parts hill dysts ...] [--most N] [--minutes 120] [--print-only]

One call of `test_edges` a system, with its defaults for all of them; the true network is only compared with. Each
system is a row of benchmarks/tested_edges.csv, from which a later call goes on; rows of an earlier commit stay as they
are until their lines are deleted. Printed by part: the share of absent edges among the selected ones and the share of
the edges that is selected, both at nominal 10 %, the area under the curve of precision and recall by effect, and the
share of pairs that is wrong, of pairs of different variables and, where the truth tells of self-effects, of all.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from ranking import commit, count_selected
from stored import StoredRows

from peers import SYSTEMS
from sparsenode.data.contract import true_network
from sparsenode.data.preprocess import load_dataset
from sparsenode.errors import UserError
from sparsenode.evaluation.structure import rank_pairs
from sparsenode.inference import test_edges
from sparsenode.inference.results import UNTOLD, mask_unscreened, order_effects

TABLE = Path(__file__).with_suffix(".csv")
RATES = (0.05, 0.1, 0.2)
# Of the 30 systems to develop on those in which every pair of different variables or every pair is an edge.
COMPLETE = ("DequanLi", "Hadley", "LiuChen", "Lorenz84", "LuChenCheng", "QiChen", "WangSun")
VALUES = (
    *("variables", "observations", "edges", "pairs"),
    *(f"{name}_{rate:g}" for rate in RATES for name in ("selected", "false")),
    *("wrong", "wrong_with_self", "auprc", "untold", "blocks", "seconds", "commit"),
)

Systems = Callable[[], Iterator[tuple[str, Callable[[], AnnData]]]]


def _hill() -> Iterator[tuple[str, Callable[[], AnnData]]]:
    for seed in range(10):
        options = {"nodes": 50, "trajectories": 24, "test_trajectories": 4, "noise": 0.05, "seed": seed}
        yield f"network {seed}", partial(load_dataset, "hill", **options)


def _dysts(noise: float) -> Iterator[tuple[str, Callable[[], AnnData]]]:
    """One series of 50 periods at 40 points a period."""
    length = {"trajectories": 1, "test_trajectories": 0, "periods": 50.0, "points_per_period": 40.0}
    for name in sorted([*SYSTEMS, *COMPLETE]):
        options = {**length, "system": name, "noise": noise, "extrapolation_share": 0.0, "burn_in": 20.0}
        yield name, partial(load_dataset, "dysts", **options)


def _couplings(noise: float) -> Iterator[tuple[str, Callable[[], AnnData]]]:
    for seed in range(20):
        yield f"seed {seed}", partial(load_dataset, "second_order", noise=noise, seed=seed)


def _krumsiek11() -> Iterator[tuple[str, Callable[[], AnnData]]]:
    yield "krumsiek11", partial(load_dataset, "krumsiek11")


PARTS: Mapping[str, Systems] = {
    "hill": _hill,
    "dysts": partial(_dysts, 0.0),
    "dysts_noise": partial(_dysts, 0.05),
    "couplings": partial(_couplings, 0.0),
    "couplings_noise": partial(_couplings, 0.05),
    "krumsiek11": _krumsiek11,
}


def measure_system(load: Callable[[], AnnData]) -> dict[str, Any]:
    """The row of one system."""
    adata = load()
    truth = true_network(adata)
    assert truth is not None
    edges = pd.DataFrame(truth.truth != 0, index=adata.var_names, columns=adata.var_names)
    known = pd.DataFrame(np.asarray(truth.known, bool), index=adata.var_names, columns=adata.var_names)
    began = time.process_time()
    test = test_edges(adata)
    seconds = time.process_time() - began
    off_diagonal, itself = (
        table.assign(
            edge=[edges.loc[pair] for pair in zip(table["source"], table["target"], strict=True)],
            known=[known.loc[pair] for pair in zip(table["source"], table["target"], strict=True)],
        )
        for table in (test.table, test.self_effects)
    )
    off_diagonal, itself = off_diagonal[off_diagonal["known"]], itself[itself["known"]]
    row: dict[str, Any] = {
        "variables": adata.n_vars,
        "observations": adata.n_obs,
        "edges": int(off_diagonal["edge"].sum()),
        "pairs": len(off_diagonal),
        "blocks": test.blocks,
        "untold": int((off_diagonal["verdict"] == UNTOLD).sum()),
    }
    row |= count_selected(off_diagonal["q"].to_numpy(), off_diagonal["edge"].to_numpy(bool), RATES)
    differs = (off_diagonal["q"] <= 0.1) != off_diagonal["edge"]
    differs_itself = (itself["q"] <= 0.1) != itself["edge"]
    row["wrong"] = float(differs.mean())
    row["wrong_with_self"] = float(pd.concat([differs, differs_itself]).mean()) if len(itself) else ""
    some = 0 < row["edges"] < row["pairs"]
    effects, present = mask_unscreened(off_diagonal)["effect"].to_numpy(), off_diagonal["edge"].to_numpy(float)
    row["auprc"] = rank_pairs(order_effects(effects), present)["auprc"] if some else ""
    return {**row, "seconds": seconds, "commit": commit()}


def summarize(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each part, means over its systems."""
    lines = []
    for name, systems in rows.groupby("part", sort=False):
        selected, false = (systems[f"{column}_0.1"].astype(float) for column in ("selected", "false"))
        with_edges = systems["edges"] > 0
        recall = ((selected - false) / systems["edges"])[with_edges]
        lines.append(
            {
                "part": name,
                "systems": len(systems),
                "false": (false / selected.clip(lower=1)).mean(),
                "recall": recall.mean(),
                "auprc": systems["auprc"].mean(),
                "wrong": systems["wrong"].mean(),
                "wrong_with_self": systems["wrong_with_self"].mean(),
                "untold": (systems["untold"] / systems["pairs"]).mean(),
                "seconds": systems["seconds"].mean(),
            }
        )
    return pd.DataFrame(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--most", type=int, help="systems of each part")
    parser.add_argument("--minutes", type=float, default=120.0, help="after which no further system begins")
    parser.add_argument("--print-only", action="store_true")
    arguments = parser.parse_args()
    ends = time.monotonic() + 60 * arguments.minutes
    rows = StoredRows(TABLE, ("part", "system"), VALUES)
    for name in [] if arguments.print_only else arguments.parts:
        for number, (system, load) in enumerate(PARTS[name]()):
            if (arguments.most is not None and number >= arguments.most) or time.monotonic() > ends:
                break
            try:
                rows.measure({"part": name, "system": system}, partial(measure_system, load))
            except UserError as error:  # a system that leaves its attractor from every start
                print(f"{name} {system}: {error}", flush=True)
        print(f"{name}: done", flush=True)
    print(summarize(rows.read()).to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
