"""How well peers alone rank the pairs of the datasets of an experiment: AUPRC over chance, without training a model.

    python benchmarks/peer_rankings.py --configfile experiments/structure.yaml [--peers sindy lasso]
        [--output benchmarks/peer_rankings.csv]

Over all ordered pairs of two different variables of known truth, by the better of a peer's scores and their shares in
what each target gets, as the tables of results have it; random peers have the seed 0. Each dataset is one row of the
output, and a row that is there is not measured again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from stored import StoredRows

from sparsenode.data.observations import read_observations
from sparsenode.data.preprocess import assemble
from sparsenode.data.sources import make_source
from sparsenode.evaluation.networks import mean_shares
from sparsenode.evaluation.structure import rank_pairs, select_pairs
from sparsenode.evaluation.truth import describe_truth
from sparsenode.peers import make_peer
from sparsenode.peers.derivatives import read_samples
from sparsenode.peers.processes import ask_peer
from sparsenode.pipeline import configuration

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", type=Path, required=True)
    parser.add_argument("--peers", nargs="+", default=["sindy", "lasso"])
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".csv"))
    arguments = parser.parse_args()
    merged = configuration.merge(
        configuration.read_yaml(ROOT / "config.yaml"), configuration.read_yaml(arguments.configfile)
    )
    config = configuration.check_configuration(merged)
    rows = StoredRows(arguments.output, ("experiment", "dataset", "peer"), ("auprc", "over_chance", "auroc", "seconds"))
    for dataset in config["run"]["datasets"]:
        for peer in arguments.peers:
            key = {"experiment": arguments.configfile.stem, "dataset": dataset, "peer": peer}
            rows.measure(key, lambda dataset=dataset, peer=peer: measure(config, dataset, peer))
    print(rows.read().to_string(float_format="{:.3f}".format))


def measure(config: dict, dataset: str, peer: str) -> dict[str, float]:
    """AUPRC, AUPRC over chance and AUROC of the better of the scores and their shares, and seconds of the processor."""
    entry = config["datasets"][dataset]
    raw = make_source(entry["source"], entry["options"]).load({})
    adata = assemble(dataset, raw, entry, {})
    truth = describe_truth(read_observations(adata))
    assert truth.edges is not None
    options = configuration.peer_settings(config, dataset, peer)
    samples = read_samples(adata, options["order"])
    started = time.process_time()
    scores = ask_peer(make_peer(options["peer"], options["options"]), samples, 1)[0]
    seconds = time.process_time() - started
    edges = select_pairs(truth.edges, truth.known)
    rankings = [rank_pairs(select_pairs(each, truth.known), edges) for each in (scores[0], mean_shares(scores))]
    best = max(rankings, key=lambda ranking: ranking["auprc"])
    return {"auprc": best["auprc"], "over_chance": best["auprc_ratio"], "auroc": best["auroc"], "seconds": seconds}


if __name__ == "__main__":
    main()
