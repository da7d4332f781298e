"""Measure the training engine: `make bench`.

Prints a table a question, and writes results/benchmarks/*.csv and figures. Needs results/data/hematopoiesis_study.h5ad
(`make bench` makes it; 24 MB of downloads, or a mirror). Nothing else should run meanwhile. JAX, diffrax and torchode
are measured beside it where they are installed: `pip install --requirement benchmarks/rivals.txt`.

    python benchmarks/engine.py [--only members] [--threads 2] [--folder results/benchmarks]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import draw
import pandas as pd
import rivals

HERE = Path(__file__).resolve().parent
MODELS = (("none", "unit"), ("pathreg", "unit"), ("pathreg", "weight"))
TARGET_MEMBERS = 24
TARGET_STRENGTH = 1.0
TARGET_ERROR, TARGET_SPARSITY = 0.0353, 0.5
RIVAL_ROUNDS = 3
RIVAL_MEMBERS = (1, 8, 32, 128)
RIVAL_SIZES: dict[str, dict[str, Any]] = {
    **{
        f"{variables} variables, 20 units a target": {
            "variables": variables,
            "hidden": [20],
            "per_target": True,
            "rows": 64,
            "steps": 12,
            "step": 1.0,
        }
        for variables in (3, 20, 50)
    },
    "529-100-100-529": {
        "variables": 529,
        "hidden": [100, 100],
        "per_target": False,
        "rows": 3,
        "steps": 5,
        "step": 0.2,
    },
}
VARIANTS: dict[str, dict[str, Any]] = {
    "100 iterations": {"iterations": 100},
    "200 iterations": {"iterations": 200},
    "400 iterations": {"iterations": 400},
    "1000 iterations": {"iterations": 1000},
    "early stopping, at most 1000": {"iterations": 1000, "stop": {"tolerance": 0.005, "patience": 50, "cooldown": 100}},
    "400, constant learning rate": {"iterations": 400, "final_learning_rate_share": 1.0},
    "400, no warm-up": {"iterations": 400, "warm_up": 0.0},
    "400, gates' learning rate .01": {"iterations": 400, "gates_learning_rate": 0.01},
    "400, learning rate .003": {"iterations": 400, "learning_rate": 0.003},
    "400, with decay and noisy starts": {"iterations": 400, "decay": 3.0, "initial_noise": 1.0},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(QUESTIONS), default=list(QUESTIONS))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks"))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)

    def ask(kind: str, **what: Any) -> dict[str, Any]:
        given = json.dumps({"kind": kind, "threads": arguments.threads, **what})
        print(f"  measuring {given}", file=sys.stderr, flush=True)
        done = subprocess.run(
            [sys.executable, HERE / "measure.py", given], check=True, stdout=subprocess.PIPE, text=True
        )
        return json.loads(done.stdout.splitlines()[-1])

    for name in arguments.only:
        table = QUESTIONS[name](ask)
        table.to_csv(arguments.folder / f"{name}.csv", index=False)
        with pd.option_context("display.width", 160, "display.max_columns", 20):
            title = (QUESTIONS[name].__doc__ or "").splitlines()[0]
            print(f"\n{title}\n{table.to_string(index=False, float_format='{:.4g}'.format)}\n", flush=True)
        draw.draw(name, table, arguments.folder)


def compare_members(ask: Callable[..., dict[str, Any]]) -> pd.DataFrame:
    """Time of one iteration of one member, 529-100-100-529, beside a loop of one model with dopri5."""
    peak = ask("peak")["flops_per_second"]
    loops = {draw_: [ask("reference", draw=draw_, iterations=15)] for draw_ in ("evaluation", "solve")}
    rows = []
    for method, gates in MODELS:
        for members in (1, 2, 4, 8, 16, 32, 64, 128):
            found = ask("step", members=members, method=method, gates=gates)
            each = found["seconds"] / members
            rows.append(
                {
                    "method": method,
                    "gates": gates if method != "none" else "none",
                    "members": members,
                    "ms_per_member": 1e3 * each,
                    "share_of_peak": found["flops_per_member"] / each / peak,
                    "memory_mb": found["memory_mb"],
                }
            )
    # The loops once more at the end: what else the machine does changes with time.
    for draw_, measured in loops.items():
        measured.append(ask("reference", draw=draw_, iterations=15))
    table = pd.DataFrame(rows)
    for draw_, measured in loops.items():
        seconds = median([one for loop in measured for one in loop["seconds"]])
        table[f"loop_ms_gates_per_{draw_}"] = 1e3 * seconds
        # The loop has gates and a penalty: a model without them does less.
        ratio = 1e3 * seconds / table["ms_per_member"]
        table[f"times_faster_than_gates_per_{draw_}"] = ratio.where(table["method"] != "none")
        evaluations = median(loop["evaluations"] for loop in measured)
        table[f"loop_evaluations_gates_per_{draw_}"] = evaluations
    table["peak_gflops"] = peak / 1e9
    return table


def compare_cells(ask: Callable[..., dict[str, Any]]) -> pd.DataFrame:
    """Time of a step of 8 members over the number of cells."""
    cells = [1000, 10_000, 100_000, 1_000_000]
    found = ask("cells", cells=cells)
    table = pd.DataFrame(
        {
            "cells": cells,
            "ms_per_step": [1e3 * seconds for seconds in found["seconds"]],
            "preparation_seconds": found["preparation"],
        }
    )
    table["ratio_to_fewest"] = table["ms_per_step"] / table["ms_per_step"].iloc[0]
    return table


def compare_genes(ask: Callable[..., dict[str, Any]]) -> pd.DataFrame:
    """Time of an iteration of one of 8 members over the number of genes."""
    rows = []
    for genes in (100, 300, 1000, 3000, 10_000):
        found = ask("step", members=8, method="pathreg", gates="unit", genes=genes, iterations=15)
        rows.append({"genes": genes, "ms_per_member": 1e3 * found["seconds"] / 8, "memory_mb": found["memory_mb"]})
    return pd.DataFrame(rows)


def compare_networks(ask: Callable[..., dict[str, Any]]) -> pd.DataFrame:
    """Time of an iteration of one of 16 members over hidden layers and their width, 529 genes."""
    rows = []
    for depth in (1, 2, 3, 4):
        for width in (25, 50, 100, 200, 400):
            found = ask("step", members=16, method="pathreg", gates="unit", hidden=[width] * depth, iterations=15)
            each = found["seconds"] / 16
            rows.append(
                {"hidden_layers": depth, "width": width, "ms_per_member": 1e3 * each, "memory_mb": found["memory_mb"]}
            )
    return pd.DataFrame(rows)


def compare_targets(ask: Callable[..., dict[str, Any]]) -> pd.DataFrame:
    """Time of a block of 24 PathReg members, gates on units; who ends at .0353 or below with half the paths empty."""
    rows = []
    for variant, model in VARIANTS.items():
        found = ask("target", members=TARGET_MEMBERS, strength=TARGET_STRENGTH, model=model)
        worse = [max(pair) for pair in zip(found["mse_sum"], found["mse_sum_all_cells"], strict=True)]
        pairs = list(zip(worse, found["feature_sparsity"], strict=True))
        rows.append(
            {
                "variant": variant,
                "seconds": found["seconds"],
                "iterations": found["iterations"],
                "mse_sum": median(found["mse_sum"]),
                "mse_sum_all_cells": median(found["mse_sum_all_cells"]),
                "feature_sparsity": median(found["feature_sparsity"]),
                "lowest_feature_sparsity": min(found["feature_sparsity"]),
                "members_at_target": sum(
                    error <= TARGET_ERROR and sparsity >= TARGET_SPARSITY for error, sparsity in pairs
                ),
            }
        )
    return pd.DataFrame(rows)


def compare_rivals(ask: Callable[..., dict[str, Any]]) -> pd.DataFrame:
    """Time of an iteration of one member beside other packages, where they are installed (benchmarks/rivals.txt)."""
    engines = ["ours", *(name for name, packages in rivals.PACKAGES.items() if all(map(find_spec, packages)))]
    for name in rivals.PACKAGES:
        if name not in engines:
            print(f"  {name} is not measured: pip install --requirement benchmarks/rivals.txt", file=sys.stderr)
    seconds: dict[tuple[str, int, str], list[float]] = {}
    for _ in range(RIVAL_ROUNDS):  # in turn: what else the machine does hits all alike
        for name, size in RIVAL_SIZES.items():
            for engine in engines:
                # What goes one after the other takes as long for each member, however many there are.
                counts = list(RIVAL_MEMBERS) if engine in {"ours", "jax_vmap"} else [1, 8]
                found = ask("rival", engine=engine, size=size, members=counts, iterations=15)["seconds"]
                for members, each in zip(counts, found, strict=True):
                    seconds.setdefault((name, members, engine), []).append(each / members)
    rows = []
    for name in RIVAL_SIZES:
        for members in RIVAL_MEMBERS:
            row: dict[str, Any] = {"size": name, "members": members}
            for engine in engines:
                measured = seconds.get((name, members, engine)) or seconds[name, 8, engine]
                row[f"{engine}_ms_per_member"] = 1e3 * median(measured)
            others = [value for key, value in row.items() if key.endswith("_ms_per_member") and key[:5] != "ours_"]
            row["times_the_fastest_other"] = min(others) / row["ours_ms_per_member"] if others else None
            rows.append(row)
    return pd.DataFrame(rows)


QUESTIONS = {
    "members": compare_members,
    "cells": compare_cells,
    "genes": compare_genes,
    "networks": compare_networks,
    "targets": compare_targets,
    "rivals": compare_rivals,
}

if __name__ == "__main__":
    main()
