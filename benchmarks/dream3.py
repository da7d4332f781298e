"""How well peers rank the edges of the DREAM3 networks: AUROC and AUPRC of each network and their means.

    python benchmarks/dream3.py --mirror FOLDER [--size 100] [--peers lasso lasso_differences extra_trees]
        [--networks Ecoli1 ...] [--output benchmarks/dream3.csv]

Over all ordered pairs of two different genes, from all series. FOLDER holds the published files as HOST/PATH. What
others have published: `sparsenode published dream3_100`. Each network is one row of the output, and a row that is there
is not measured again. Options of the peers are their defaults, or those in `PEERS`; none is chosen by the truth.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stored import StoredRows

from sparsenode.data.observations import read_observations
from sparsenode.data.preprocess import assemble
from sparsenode.data.sources.dream3 import NETWORKS, SERIES, Dream3Source
from sparsenode.evaluation.structure import rank_pairs, select_pairs
from sparsenode.evaluation.truth import Truth, describe_truth
from sparsenode.peers import Peer, make_peer
from sparsenode.peers.derivatives import Samples, read_samples
from sparsenode.peers.processes import ask_peer

PEERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "lasso": ("lasso", {}),
    "lasso_differences": ("lasso", {"rates": "differences"}),
    "extra_trees": ("extra_trees", {}),
    "extra_trees_100": ("extra_trees", {"trees": 100}),
    "extra_trees_third": ("extra_trees", {"tried": "third", "trees": 200}),
    "extra_trees_states": ("extra_trees", {"of": "states"}),
    "dyngenie3": ("dyngenie3", {}),
    "dyngenie3_100": ("dyngenie3", {"trees": 100}),
    "granger": ("granger", {}),
    "granger_one_lag": ("granger", {"lags": 1}),
    "correlation": ("correlation", {}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mirror", type=Path, required=True)
    parser.add_argument("--size", type=int, choices=list(SERIES), default=100)
    parser.add_argument(
        "--peers", nargs="+", choices=list(PEERS), default=["lasso_differences", "lasso", "extra_trees"]
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".csv"))
    arguments = parser.parse_args()
    rows = StoredRows(arguments.output, ("peer", "size", "network"), ("auroc", "auprc", "seconds"))
    for network in arguments.networks:
        samples, truth = read_network(arguments.mirror, arguments.size, network)
        for name in arguments.peers:
            kind, options = PEERS[name]
            rows.measure(
                {"peer": name, "size": arguments.size, "network": network},
                lambda kind=kind, options=options, samples=samples, truth=truth: measure_peer(
                    make_peer(kind, options), samples, truth
                ),
            )
            print(rows.read().iloc[-1].to_dict(), flush=True)
    table = rows.read()
    table = table[(table["size"] == str(arguments.size)) & table["peer"].isin(arguments.peers)]
    means = table.pivot_table(
        index="peer", columns="network", values=["auroc", "auprc"], sort=False, margins=True, margins_name="mean"
    )
    print(f"\nsize {arguments.size}\n{means.drop(index='mean').to_string(float_format='{:.3f}'.format)}")


def read_network(mirror: Path, size: int, network: str) -> tuple[Samples, Truth]:
    """What peers are given of all series of a network, and its truth."""
    source = Dream3Source(size=size, network=network)
    files = {file.local_path: mirror / file.local_path for file in source.required_files()}
    entry = {"source": "dream3", "options": source.options, "validation": {"by": "none-in-source"}}
    adata = assemble("dream3", source.load(files), entry, {})
    return read_samples(adata, 1), describe_truth(read_observations(adata))


def measure_peer(peer: Peer, samples: Samples, truth: Truth) -> dict[str, float]:
    """AUROC and AUPRC of a peer, and its seconds of the processor; random peers have the seed 0."""
    started = time.process_time()
    scores = ask_peer(peer, samples, 1)[0][0]
    seconds = time.process_time() - started
    assert truth.edges is not None
    ranking = rank_pairs(select_pairs(scores, truth.known), select_pairs(truth.edges, truth.known))
    return {"auroc": ranking["auroc"], "auprc": ranking["auprc"], "seconds": seconds}


if __name__ == "__main__":
    main()
