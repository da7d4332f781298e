"""One peer on one dataset: files in, a table of scores out."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsenode.errors import UserError
from sparsenode.files import reading, write_atomically
from sparsenode.peers import Peer, make_peer
from sparsenode.peers.derivatives import Samples, read_samples
from sparsenode.peers.processes import TimeLimitError, ask_within_limit

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

_UNFINISHED = "unfinished"


def infer_peer(data: Path, peer: str, options: Mapping[str, Any], seeds: int, order: int, output: Path) -> None:
    """Score all ordered pairs of variables by a peer, and write them as parquet.

    Columns: seed, source, target, score (at least 0) and sign (0 where it is not known). Pairs of a variable with
    itself are there where the peer has self-effects. A peer that has not finished within its time limit leaves a table
    without rows, of which `unfinished_reason` gives the reason.

    Args:
        data: file of trajectories.
        peer: name of the peer.
        options: those of the peer.
        seeds: how many seeds a random peer is asked with, from 0; any other peer is asked once.
        order: order of the derivatives that are explained; 2 explains second ones by positions and velocities.
        output: the parquet file.

    Raises:
        UserError: there is no such peer or option, the data are too few, the peer's package has raised an error, or
            what the peer gives is not finite.
    """
    from sparsenode.data.contract import read_trajectories

    method = make_peer(peer, options)
    adata = read_trajectories(data)
    started = time.perf_counter()
    samples = read_samples(adata, order)
    logger.info("%d samples with derivatives in %.1f s", len(samples.rates), time.perf_counter() - started)
    started = time.perf_counter()
    try:
        table = score_pairs(method, samples, [str(name) for name in adata.var_names], seeds)
    except TimeLimitError as limit:
        logger.warning("%s: %s, so that it has no scores; raise its option `time_limit`", peer, limit)
        table = _empty_table()
        table.attrs[_UNFINISHED] = str(limit)
    else:
        logger.info("%s: %d scores in %.1f s", peer, len(table), time.perf_counter() - started)
    with write_atomically(output) as path:
        table.to_parquet(path, index=False)


def unfinished_reason(path: Path) -> str:
    """Why a file of scores has none, such as "not finished within 600 s"; empty where the peer has finished.

    Raises:
        UserError: the file is missing or damaged.
    """
    import json

    from pyarrow import parquet

    with reading(path):
        metadata = parquet.read_schema(path).metadata or {}
        return str(json.loads(metadata.get(b"PANDAS_ATTRS", b"{}")).get(_UNFINISHED, ""))


def score_pairs(peer: Peer, samples: Samples, features: list[str], seeds: int) -> pd.DataFrame:
    """Scores and signs of all ordered pairs, for each seed: of self-effects too where the peer has them.

    Of one variable and without self-effects there is no pair: the peer, which may take no such data, is not asked, and
    the table has no rows.

    Args:
        peer: the peer, with its options.
        samples: observations and their derivatives.
        features: names of the variables, (variable,).
        seeds: how many seeds a random peer is asked with, from 0; any other peer is asked once.

    Raises:
        UserError: a score is not finite or below 0, or the peer's package has raised an error.
        TimeLimitError: the peer took longer than its limit.
    """
    import pandas as pd

    is_scored = ~np.eye(len(features), dtype=bool) | peer.has_self_effects
    source, target = np.nonzero(is_scored)
    if not len(source):
        logger.warning("%s: one variable makes no pair to score", peer.name)
        return _empty_table()
    names = np.asarray(features, dtype=object)
    tables = []
    for seed, (score_matrix, sign_matrix) in enumerate(zip(*ask_within_limit(peer, samples, seeds), strict=True)):
        scores, signs = score_matrix[source, target], sign_matrix[source, target]
        wrong = np.flatnonzero(~(np.isfinite(scores) & (scores >= 0)))
        if len(wrong):
            pair = f"{features[source[wrong[0]]]} -> {features[target[wrong[0]]]}"
            raise UserError(
                f"the peer {peer.name} gives {len(wrong)} scores that are not finite or below 0, the first "
                f"{scores[wrong[0]]} for {pair} (seed {seed}); take it from `run.peers`, or change its options"
            )
        columns = {"source": names[source], "target": names[target], "score": scores, "sign": signs.astype(np.int64)}
        tables.append(pd.DataFrame({"seed": np.full(len(scores), seed), **columns}))
    return pd.concat(tables, ignore_index=True)


def _empty_table() -> pd.DataFrame:
    import pandas as pd

    kinds = {"seed": np.int64, "source": object, "target": object, "score": np.float64, "sign": np.int64}
    return pd.DataFrame({name: np.empty(0, kind) for name, kind in kinds.items()})
