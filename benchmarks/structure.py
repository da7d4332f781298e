"""How well each method and each peer of a run found the true networks: tables of what `results/metrics.csv` says.

    python benchmarks/structure.py [--folder results] [--datasets PREFIX]

At the strength that was chosen on validation. Pooled over seeds: AUPRC over chance by paths (of peers, by the better of
their own score and of its shares in what each target gets), by the mean absolute Jacobian and by selection frequency,
with the 95 % interval over seeds (and their bootstrapped weights). Of single seeds: median structural Hamming distance
by paths and how many seeds have the exact network, sign accuracy. Datasets with a common prefix are averaged.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from sparsenode.evaluation.peers import favored_metrics

POOLED = ("paths", "jacobian", "frequency")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("results"))
    parser.add_argument("--datasets", help="prefix of datasets to average over; default: each for itself")
    arguments = parser.parse_args()
    metrics = pd.read_csv(arguments.folder / "metrics.csv", low_memory=False).fillna({"model": ""})
    scored = metrics.loc[metrics["metric"] == "auprc", "dataset"].unique().tolist()
    if arguments.datasets:
        chosen = [name for name in scored if name.startswith(arguments.datasets)]
        print_table(pd.concat([table_of(metrics, name) for name in chosen]), f"mean over {len(chosen)} datasets")
        each = {name: table_of(metrics, name)["paths"] for name in chosen}
        print(f"\nby paths (peers: their score)\n{pd.DataFrame(each).to_string(float_format='{:.2f}'.format)}")
        return
    for name in scored:
        print_table(table_of(metrics, name), name)


def table_of(metrics: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """One row per (model, method) of a dataset, and per peer."""
    own = favored_metrics(metrics[metrics["dataset"] == dataset])
    chosen = own[own["metric"] == "chosen_strength"].set_index(["model", "method"])["value"]
    rows = {}
    for (model, method), strength in chosen.items():
        mine = own[(own["model"] == model) & (own["method"] == method) & (own["strength"] == strength)]
        rows[model, method] = {"strength": strength, **pooled_scores(mine), **single_scores(mine)}
    finished = own.loc[own["status"] == "finished", "method"]  # others were ended by their time limit
    for peer in sorted(name for name in finished.unique() if name.startswith("peer:")):
        mine = own[own["method"] == peer]
        ratio = mine[mine["metric"] == "auprc_ratio"].set_index("seed")["value"]
        single = ratio[ratio.index >= 0]
        rows["", peer] = {
            "paths": ratio[-1],
            "single_seed": single.median(),
            "seeds": float(len(single)),
            "auprc": mine.loc[(mine["metric"] == "auprc") & (mine["seed"] == -1), "value"].item(),
        }
    return pd.DataFrame(rows).T.rename_axis(["model", "method"])


def pooled_scores(mine: pd.DataFrame) -> dict[str, float]:
    """Scores pooled over seeds, and the ends of their intervals."""
    pooled = mine[mine["seed"] == -1].set_index(["estimator", "metric"])["value"]
    found = {}
    for estimator in POOLED:
        found[estimator] = pooled.get((estimator, "auprc_ratio"))
        for end in ("lower", "upper"):
            found[f"{estimator}_{end}"] = pooled.get((estimator, f"auprc_ratio_{end}"))
    return {**found, "auprc": pooled.get(("paths", "auprc")), "pooled_shd": pooled.get(("paths", "shd"))}


def single_scores(mine: pd.DataFrame) -> dict[str, float]:
    """Scores of single seeds by paths."""
    single = mine[(mine["seed"] >= 0) & (mine["estimator"] == "paths")]
    by_metric = single.groupby("metric")["value"]
    shd = single.loc[single["metric"] == "shd", "value"]
    return {
        "single_seed": by_metric.median().get("auprc_ratio"),
        "shd": shd.median(),
        "exact_seeds": float((shd == 0).sum()),
        "seeds": float(len(shd)),
        "sign_accuracy": by_metric.median().get("sign_accuracy"),
        "balanced_accuracy": by_metric.median().get("balanced_accuracy"),
        "sparsity": by_metric.median().get("feature_sparsity"),
    }


def print_table(table: pd.DataFrame, title: str) -> None:
    mean = table.groupby(level=[0, 1], sort=False).mean()
    print(f"\n{title}\n{mean.to_string(float_format='{:.3g}'.format)}")


if __name__ == "__main__":
    main()
