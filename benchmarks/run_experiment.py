"""Time a whole run of the workflow in a fresh folder, and print the headline numbers of its metrics.

    python benchmarks/run_experiment.py
    python benchmarks/run_experiment.py --configfile experiments/hematopoiesis.yaml --folder /tmp/run
    python benchmarks/run_experiment.py --configfile experiments/hill.yaml experiments/hill_methods.yaml
    python benchmarks/run_experiment.py --timed hill

Prints wall time, the share of it that Snakemake and Python need to start, the peak memory of a job, and for each data
set and method the error at the chosen strength beside the best trivial forecast. With --read, only the numbers of a
folder that is there already. `--timed` runs a configuration of an earlier commit that is kept in benchmarks/timed/, and
prints its time then.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

REPOSITORY = Path(__file__).resolve().parent.parent
IMPORTS = {
    "preprocess_dataset": "sparsenode.data.preprocess, anndata",
    "train_members": "sparsenode.training, anndata",
    "evaluate_models": "sparsenode.evaluation.evaluate, sparsenode.ensemble.members, anndata",
    "draw": "sparsenode.figures.style, matplotlib.figure, pandas",
}
TIMED = {"default": (["default.yaml"], 4.9), "hill": (["default.yaml", "hill.yaml"], 31.0)}
"""Files of benchmarks/timed/, laid over each other, and the minutes that they took with commit 5a490c3 on two cores."""

HORIZONS = ("", "trajectory", "window", "rolling", "rolling@0.1", "rolling@0.5", "rolling@1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", type=Path, nargs="+", default=[], help="laid over each other in this order")
    parser.add_argument("--timed", choices=list(TIMED), help="a kept configuration, in place of --configfile")
    parser.add_argument("--cores", default="all")
    parser.add_argument("--folder", type=Path, help="folder of the results; empty, or not there yet")
    parser.add_argument("--read", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="sparsenode-benchmark-"))
    if not arguments.read:
        command = ["snakemake", "--cores", str(arguments.cores), "--quiet", "all", "--config", f"results_dir={folder}"]
        files = arguments.configfile
        if arguments.timed:
            files = [REPOSITORY / "benchmarks" / "timed" / name for name in TIMED[arguments.timed][0]]
        if files:
            command += ["--configfile", *map(str, files)]
        began = time.perf_counter()
        subprocess.run(command, cwd=REPOSITORY, check=True)
        wall = time.perf_counter() - began
        report_time(folder, wall, command)
        if arguments.timed:
            print(f"{wall / 60:.1f} minutes; with commit 5a490c3 {TIMED[arguments.timed][1]:.1f} on two cores")
    report_numbers(folder)


def report_time(folder: Path, wall: float, command: list[str]) -> None:
    """Print wall time, start-up share and peak memory."""
    jobs = [
        (path.relative_to(folder / "benchmarks").parts[0], pd.read_csv(path, sep="\t", na_values="-"))
        for path in (folder / "benchmarks").rglob("*.tsv")
    ]
    table = pd.DataFrame(
        [{"rule": rule, "seconds": job["s"].sum(), "memory": job["max_rss"].max()} for rule, job in jobs]
    )
    starting = seconds_of([*command, "--dry-run"])
    for prefix, modules in IMPORTS.items():
        starting += seconds_of([sys.executable, "-c", f"import {modules}"]) * table["rule"].str.startswith(prefix).sum()
    cores = len(os.sched_getaffinity(0))
    print(f"\nwall time {wall:.0f} s on {cores} cores, {len(table)} jobs, at most {table['memory'].max():.0f} MB each")
    print(f"start of Snakemake and Python: {starting:.0f} core seconds, {starting / (wall * cores):.0%} of the run")
    print(table.groupby("rule")["seconds"].agg(["count", "sum", "max"]).to_string(float_format="{:.1f}".format))


def seconds_of(command: list[str]) -> float:
    """Wall time of a command, the faster of two runs."""
    times = []
    for _ in range(2):
        began = time.perf_counter()
        subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return min(times)


def report_numbers(folder: Path) -> None:
    """Print, for each dataset and model, errors and structure at the chosen strengths."""
    metrics = pd.read_csv(folder / "metrics.csv", low_memory=False)
    metrics["model"] = metrics["model"].fillna("")
    chosen = metrics[metrics["metric"] == "chosen_strength"].set_index(["dataset", "model", "method"])["value"]
    for (dataset, model), strengths in chosen.groupby(level=[0, 1]):
        own = metrics[(metrics["dataset"] == dataset) & metrics["model"].isin(["", model])]
        at_choice = own["method"].map(strengths.droplevel([0, 1]))
        own = own[(own["strength"] == at_choice) | own["method"].str.contains(":")]
        own = own[(own["status"] == "finished") & own["horizon"].fillna("").isin(HORIZONS)]
        everywhere = own[own["trajectory"].eq("all") | own["trajectory"].fillna("").str.startswith("subject ")]
        print(f"\n{dataset} / {model}, median over seeds at the chosen strength")
        print(strengths.droplevel([0, 1]).to_string())
        for metric in ("mse", "mse_noise_free", "mse_restored"):
            show(everywhere[everywhere["metric"] == metric], metric, ["split", "phase", "trajectory", "horizon"])
        show(own[(own["metric"] == "mse_sum") & (own["horizon"] == "trajectory")], "mse_sum", ["trajectory", "split"])
        show_reductions(own)
        show(own[own["metric"] == "prior_auprc"], "auprc against prior networks", ["reference", "estimator"])
        structure = ["auprc_ratio", "auroc", "shd"]
        show(own[own["metric"].isin(structure)], "structure", ["metric", "estimator"])
        sparsities = ["weight_sparsity", "feature_sparsity", "spurious_feature_sparsity"]
        show(own[own["metric"].isin(sparsities)], "sparsity", ["metric", "estimator"])


def show_reductions(own: pd.DataFrame) -> None:
    """Print by how many percent the models err less than the best trivial forecast of each subject, with intervals."""
    told = own[own["horizon"].eq("trajectory") & own["split"].eq("test")]
    trivial = told[told["metric"].eq("mse_sum") & told["method"].str.startswith("baseline:")]
    reduced = told[told["metric"] == "mse_sum_reduction"]
    for subject, errors in trivial.groupby("trajectory"):
        best = errors.loc[errors["value"].idxmin()]
        mine = reduced[reduced["trajectory"].eq(subject) & reduced["reference"].eq(best["method"])]
        percent = mine.assign(value=100 * mine["value"] / best["value"])
        show(percent, f"{subject}: percent below {best['method']} ({best['value']:.5f})", ["estimator"])


def show(rows: pd.DataFrame, title: str, columns: list[str]) -> None:
    """Print a table of medians, methods down and `columns` across."""
    if len(rows):
        table = rows.pivot_table(index="method", columns=columns, values="value", aggfunc="median")
        print(f"\n{title}\n{table.to_string(float_format='{:.4g}'.format)}")


if __name__ == "__main__":
    main()
