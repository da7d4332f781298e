"""How well peers rank the edges of the DREAM3 networks: AUROC and AUPRC of each network and their means.

    python benchmarks/dream3.py --mirror FOLDER [--size 100] [--peers lasso lasso_differences extra_trees]

Over all ordered pairs of two different genes, from all series. FOLDER holds the published files as HOST/PATH. What
others have published: `sparsenode published dream3_100`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sparsenode.data.observations import read_observations
from sparsenode.data.preprocess import assemble
from sparsenode.data.sources.dream3 import NETWORKS, SERIES, Dream3Source
from sparsenode.evaluation.structure import rank_pairs, select_pairs
from sparsenode.evaluation.truth import describe_truth
from sparsenode.peers import RandomPeer, make_peer
from sparsenode.peers.derivatives import read_samples

PEERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "lasso": ("lasso", {}),
    "lasso_differences": ("lasso", {"rates": "differences"}),
    "extra_trees": ("extra_trees", {}),
    "dyngenie3": ("dyngenie3", {}),
    "correlation": ("correlation", {}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mirror", type=Path, required=True)
    parser.add_argument("--size", type=int, choices=list(SERIES), default=100)
    parser.add_argument(
        "--peers", nargs="+", choices=list(PEERS), default=["lasso_differences", "lasso", "extra_trees"]
    )
    arguments = parser.parse_args()
    rows = []
    for network in NETWORKS:
        source = Dream3Source(size=arguments.size, network=network)
        files = {file.local_path: arguments.mirror / file.local_path for file in source.required_files()}
        entry = {"source": "dream3", "options": source.options, "validation": {"by": "none-in-source"}}
        adata = assemble("dream3", source.load(files), entry, {})
        samples, truth = read_samples(adata, 1), describe_truth(read_observations(adata))
        for name in arguments.peers:
            kind, peer_options = PEERS[name]
            peer = make_peer(kind, peer_options)
            started = time.perf_counter()
            scores, _ = peer.infer(samples, 0) if isinstance(peer, RandomPeer) else peer.infer(samples)
            seconds = time.perf_counter() - started
            assert truth.edges is not None
            ranking = rank_pairs(select_pairs(scores, truth.known), select_pairs(truth.edges, truth.known))
            rows.append({"peer": name, "network": network, **ranking, "seconds": seconds})
            print(f"{name} {network}: AUROC {ranking['auroc']:.3f}, AUPRC {ranking['auprc']:.3f}, {seconds:.0f} s")
    table = pd.DataFrame(rows).pivot_table(
        index="peer", columns="network", values=["auroc", "auprc"], sort=False, margins=True, margins_name="mean"
    )
    table = table.drop(index="mean")
    print(f"\nsize {arguments.size}\n{table.to_string(float_format='{:.3f}'.format)}")
    print(f"seconds: {np.sum([row['seconds'] for row in rows]):.0f}")


if __name__ == "__main__":
    main()
