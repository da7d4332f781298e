"""The networks that an ensemble learned, as files: their edges, in each group, over all strengths, and in rankings."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsenode.errors import UserError
from sparsenode.evaluation.sparsity import THRESHOLD
from sparsenode.files import write_atomically

if TYPE_CHECKING:
    from anndata import AnnData

NETWORK_COLUMNS = ("source", "target", "weight", "share", "sign", "selection_frequency")
KNOWN = "known"
"""Further column of a dataset with a truth: "true", "false", or "unknown" where the truth does not tell."""
GROUP_COLUMNS = ("group", "source", "target", "value")
STRONGEST_PAIRS = 2000
"""Pairs of each group (lineage, branch) that are written out at most."""
_ENDING = ".groups.parquet"
_STABILITY_ENDING = ".stability.parquet"
STABILITY_COLUMNS = ("strength", "source", "target", "frequency", "weight")
RANKING_COLUMNS = ("model", "method", "estimator", "source", "target", "score", "sign", "edge")
RANKINGS = "rankings.parquet"
ANNOTATED = "network.h5ad"
STRONGEST_EDGES = 5000
"""Edges of a graph that are written out at most: more of them no program draws."""
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")
"""Names that the configuration allows: without a slash, which an h5ad file and a path take apart."""


def selection_frequency(paths: np.ndarray) -> np.ndarray:
    """Share of the members in which a path is present (source, target); `paths` (member, source, target)."""
    return (paths >= THRESHOLD).mean(axis=0)


def target_shares(matrices: np.ndarray, deviations: np.ndarray | None = None) -> np.ndarray:
    """Share of each source in what a target gets from all others, (member, source, target), of such scores.

    Scores are first multiplied by the `deviations` (source,) of the sources, so that their units do not matter. With
    shares a target whose rate is large does not outweigh the others, nor a network of large weights (as GENIE3 scales
    its importances, Huynh-Thu et al. 2010). A target without any score gets zeros. Signed scores keep their signs.
    """
    moved = matrices if deviations is None else matrices * np.asarray(deviations)[:, None]
    off = ~np.eye(matrices.shape[-1], dtype=bool)
    total = np.abs(moved * off).sum(axis=-2, keepdims=True)
    return np.asarray(moved / np.where(total > 0, total, np.inf))


def network_table(
    paths: np.ndarray,
    jacobian: np.ndarray,
    features: Sequence[str],
    truth: tuple[np.ndarray, np.ndarray] | None = None,
    deviations: np.ndarray | None = None,
) -> pd.DataFrame:
    """Edges that at least one member selected, those of the largest share first; self-loops included.

    `paths` and `jacobian` (member, source, target): path strengths and mean signed Jacobians of the members at one
    strength. `weight` is the median path strength over members (0 if most members have no path), `share` the mean over
    members of the source's share in what the target gets from all others, by paths times the sources' `deviations`
    (of a self-loop relative to that): the score that edges are ranked by. `sign` is that of the median mean Jacobian
    (+1 activation, -1 repression, 0 neither), `selection_frequency` the share of members with the path. A pair that is
    not listed was selected by none. With a `truth`, edges and where they are known (source, target), the column `known`
    says whether an edge is a true one.
    """
    if len(paths) == 0:
        return pd.DataFrame({name: [] for name in (*NETWORK_COLUMNS, *([KNOWN] if truth else []))})
    frequency = selection_frequency(paths)
    source, target = np.nonzero(frequency)
    names = np.asarray(features, dtype=object)
    table = pd.DataFrame(
        {
            "source": names[source],
            "target": names[target],
            "weight": np.median(paths, axis=0)[source, target],
            "share": target_shares(paths, deviations).mean(axis=0)[source, target],
            "sign": np.sign(np.median(jacobian, axis=0)[source, target]).astype(int),
            "selection_frequency": frequency[source, target],
        }
    )
    if truth is not None:
        edges, known = truth
        told = np.where(edges[source, target], "true", "false").astype(object)
        table[KNOWN] = np.where(known[source, target], told, "unknown")
    return table.sort_values(["share", "weight"], ascending=False, kind="stable", ignore_index=True)


def write_network(table: pd.DataFrame, path: Path) -> None:
    """Write a table of edges as CSV, numbers to the precision of float32."""
    import pyarrow as pa
    from pyarrow import csv

    kinds: dict[str, Any] = {"source": str, "target": str, "weight": np.float32, "share": np.float32, "sign": np.int64}
    kinds |= {"selection_frequency": np.float32, KNOWN: str}
    # pandas takes ten times as long, which is felt with hundreds of thousands of edges.
    known = {name: kind for name, kind in kinds.items() if name in table}
    rows = pa.Table.from_pandas(table.astype(known), preserve_index=False)
    with write_atomically(path) as temporary:
        csv.write_csv(rows, temporary, csv.WriteOptions(quoting_style="needed"))


def read_edges(path: Path) -> pd.DataFrame:
    """Table of edges of a CSV, as `network_table` gives it, `known` as text.

    Raises:
        UserError: the file is missing.
    """
    if not Path(path).is_file():
        raise UserError(f"{path} is missing: evaluate the models of this dataset anew (sparsenode evaluate-models)")
    # A gene may be called "NA" or "nan": names are never read as missing values.
    return pd.read_csv(path, dtype={"source": str, "target": str, KNOWN: str}, keep_default_na=False)


def read_shares(path: Path, features: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Signed shares and selection frequencies (source, target) of a CSV of edges; pairs not listed are 0."""
    table = read_edges(path)
    return network_matrices(table.assign(weight=table["share"]), features)


def read_network(path: Path, features: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Signed weights and selection frequencies (source, target) of a CSV of edges; pairs not listed are 0."""
    return network_matrices(read_edges(path), features)


def network_matrices(table: pd.DataFrame, features: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Signed weights and selection frequencies (source, target) of a table of edges; pairs not listed are 0."""
    number = {name: index for index, name in enumerate(features)}
    source = table["source"].map(number).to_numpy(np.int64)
    target = table["target"].map(number).to_numpy(np.int64)
    weights, frequency = np.zeros((2, len(features), len(features)))
    sign = np.where(table["sign"].to_numpy(np.float64) < 0, -1.0, 1.0)
    weights[source, target] = table["weight"].to_numpy(np.float64) * sign
    frequency[source, target] = table["selection_frequency"].to_numpy(np.float64)
    return weights, frequency


def read_networks(
    folder: Path, keys: Iterable[tuple[str, str]], features: Sequence[str]
) -> dict[tuple[str, str], np.ndarray]:
    """Signed path strengths (source, target) of each (model, method) of a dataset's folder of networks."""
    return {
        (model, method): read_network(Path(folder) / model / f"{method}.csv", features)[0] for model, method in keys
    }


def group_table(
    influences: Mapping[str, np.ndarray], features: Sequence[str], is_regulator: np.ndarray | None = None
) -> pd.DataFrame:
    """Influences of the regulators in each group (lineage, branch), strongest first, `STRONGEST_PAIRS` each at most.

    `influences` (member, source, target) by group: mean signed Jacobians of the members at one strength over the
    group's states, times how far the source moves along the group. `value` is their median over members: how much
    faster the target rises, in modeling units, once the source has gone through its course. Self-loops, which hold the
    decay, are left out, and so are sources that are no regulators (feature,). A pair that is not listed is weaker
    than all those of its group, or nothing.
    """
    names = np.asarray(features, dtype=object)
    allowed = np.ones(len(names), bool) if is_regulator is None else np.asarray(is_regulator, bool)
    candidates = allowed[:, None] & ~np.eye(len(names), dtype=bool)
    tables = []
    for group, members in influences.items():
        value = np.median(members, axis=0) if len(members) else np.zeros(candidates.shape)
        source, target = np.nonzero(candidates & (value != 0))
        found = value[source, target]
        strongest = np.argsort(-np.abs(found), kind="stable")[:STRONGEST_PAIRS]
        tables.append(
            pd.DataFrame(
                {
                    "group": group,
                    "source": names[source[strongest]],
                    "target": names[target[strongest]],
                    "value": found[strongest].astype(np.float32),
                }
            )
        )
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({name: [] for name in GROUP_COLUMNS})
    kinds = {"group": pd.CategoricalDtype([str(group) for group in influences])}
    kinds |= {column: pd.CategoricalDtype(sorted(set(table[column]))) for column in ("source", "target")}
    return table.astype({**kinds, "value": np.float32})


def write_groups(table: pd.DataFrame, folder: Path, model: str, method: str) -> None:
    """Write a table of influences by group into a dataset's folder of networks, beside the network of all the data."""
    with write_atomically(folder / model / f"{method}{_ENDING}") as temporary:
        table.to_parquet(temporary, index=False)


def read_groups(folder: Path, model: str, method: str) -> pd.DataFrame:
    """Influences by group of one (model, method) of a dataset's folder of networks, as `group_table` gives them.

    Raises:
        UserError: the folder has no such table.
    """
    path = Path(folder) / model / f"{method}{_ENDING}"
    if not path.is_file():
        raise UserError(
            f"{path} is missing: the influences in each group were not written; evaluate the models of this dataset "
            "anew (sparsenode evaluate-models)"
        )
    return pd.read_parquet(path)


def write_graph(table: pd.DataFrame, features: Sequence[str], path: Path, **attributes: str | float) -> None:
    """Write a table of edges as GraphML, a directed graph with all features as nodes.

    The `STRONGEST_EDGES` first edges at most; the graph's attributes `edges_found` and `edges_written` say so, beside
    those given.
    """
    import networkx

    written = table.iloc[:STRONGEST_EDGES]
    graph = networkx.DiGraph(**attributes, edges_found=len(table), edges_written=len(written))
    graph.add_nodes_from(str(name) for name in features)
    columns = [name for name in table.columns if name not in {"source", "target"}]
    values = zip(*(written[name].tolist() for name in columns), strict=True)
    for source, target, told in zip(written["source"], written["target"], values, strict=True):
        graph.add_edge(source, target, **dict(zip(columns, told, strict=True)))
    # Through memory, and by Python's own writer of XML: the same bytes with and without lxml, and plain write errors.
    content = io.BytesIO()
    networkx.write_graphml_xml(graph, content)
    with write_atomically(path) as temporary:
        temporary.write_bytes(content.getvalue())


def stability_table(paths: np.ndarray, strengths: np.ndarray, features: Sequence[str]) -> pd.DataFrame:
    """How often each pair is selected at each strength: the stability path.

    `paths` (member, source, target) and `strengths` (member,) of the finished members. `frequency` is the share of a
    strength's members with the path, `weight` their median path strength. Pairs off the diagonal that some member
    selected, by strength, source and target, whose categories are all the features in their order.
    """
    off = ~np.eye(len(features), dtype=bool)
    parts: list[tuple[np.ndarray, ...]] = []
    for value in np.unique(strengths).tolist():
        own = paths[strengths == value]
        share = selection_frequency(own)
        pairs = np.nonzero(off & (share > 0))
        parts.append((np.full(len(pairs[0]), value), *pairs, share[pairs], np.median(own[:, *pairs], axis=0)))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)] if parts else [np.empty(0)] * 5
    strength, source, target, frequency, weight = columns
    return pd.DataFrame(
        {
            "strength": strength.astype(np.float64),
            "source": _named(source, features),
            "target": _named(target, features),
            "frequency": frequency.astype(np.float32),
            "weight": weight.astype(np.float32),
        }
    )


def write_stability(table: pd.DataFrame, folder: Path, model: str, method: str) -> None:
    """Write a stability path into a dataset's folder of networks."""
    with write_atomically(folder / model / f"{method}{_STABILITY_ENDING}") as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")


def read_stability(folder: Path, model: str, method: str) -> pd.DataFrame:
    """Stability path of one (model, method) of a dataset's folder of networks, as `stability_table` gives it.

    Raises:
        UserError: the folder has no such table.
    """
    path = Path(folder) / model / f"{method}{_STABILITY_ENDING}"
    if not path.is_file():
        raise UserError(
            f"{path} is missing: selection frequencies at each strength were not written; evaluate the models of this "
            "dataset anew (sparsenode evaluate-models)"
        )
    return pd.read_parquet(path)


def ranking_table(
    scores: Mapping[str, tuple[np.ndarray, np.ndarray]],
    features: Sequence[str],
    truth: tuple[np.ndarray, np.ndarray],
    *,
    model: str,
    method: str,
) -> pd.DataFrame:
    """Scores of all known pairs off the diagonal beside the truth, for curves of precision and recall.

    `scores` and their signs, both (source, target), by estimator; `truth` the edges and where they are known. A `sign`
    of 0 is not known. A peer is the method `peer:NAME` of the model "".
    """
    edges, known = truth
    source, target = np.nonzero(np.asarray(known, bool) & ~np.eye(len(features), dtype=bool))
    tables = [
        pd.DataFrame(
            {
                "estimator": estimator,
                "source": _named(source, features),
                "target": _named(target, features),
                "score": np.asarray(matrix, np.float64)[source, target],
                "sign": np.sign(signs[source, target]).astype(np.int64),
                "edge": np.asarray(edges, bool)[source, target],
            }
        ).assign(model=model, method=method)[list(RANKING_COLUMNS)]
        for estimator, (matrix, signs) in scores.items()
    ]
    return join_rankings(tables)


def join_rankings(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """All rankings of a dataset below each other, text as categories."""
    if not tables:
        return pd.DataFrame({name: [] for name in RANKING_COLUMNS})
    categories = {
        name: list(dict.fromkeys(itertools.chain.from_iterable(_values(table[name]) for table in tables)))
        for name in ("model", "method", "estimator", "source", "target")
    }
    kinds = {name: pd.CategoricalDtype(values) for name, values in categories.items()}
    return pd.concat([table.astype(kinds) for table in tables], ignore_index=True)


def write_rankings(table: pd.DataFrame, folder: Path) -> None:
    """Write the rankings of a dataset into its folder of networks."""
    with write_atomically(folder / RANKINGS) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")


def read_rankings(folder: Path) -> pd.DataFrame:
    """Rankings of a dataset's folder of networks, as `ranking_table` gives them, of all methods and peers.

    Raises:
        UserError: the folder has none.
    """
    path = Path(folder) / RANKINGS
    if not path.is_file():
        raise UserError(
            f"{path} is missing: rankings are written for a dataset whose true network is known; evaluate its models "
            "anew (sparsenode evaluate-models)"
        )
    return pd.read_parquet(path)


def network_keys(keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, str]]:
    """Names in `varp` of the weights and of the frequencies of each (model, method).

    Raises:
        UserError: a name that cannot be part of a key, or two pairs of names that give one key.
    """
    named: dict[tuple[str, str], tuple[str, str]] = {}
    taken: dict[str, tuple[str, str]] = {}
    for model, method in keys:
        for kind, name in (("model", model), ("method", method)):
            if not _SAFE.fullmatch(name):
                raise UserError(
                    f"the {kind} {name!r} cannot name a network in {ANNOTATED}: rename it in the configuration, with "
                    "letters, digits and underscores"
                )
        joined = f"{model}_{method}"
        if joined in taken:
            raise UserError(
                f"the networks of {'/'.join(taken[joined])} and of {model}/{method} would both be network_{joined} in "
                f"{ANNOTATED}: rename a model or a method in the configuration"
            )
        taken[joined] = model, method
        named[model, method] = f"network_{joined}", f"frequency_{joined}"
    return named


def write_annotated(adata: AnnData, networks: Mapping[tuple[str, str], pd.DataFrame], folder: Path) -> None:
    """Write a dataset with its learned networks, for single-cell tools, into its folder of networks.

    Tables of edges by (model, method) become sparse matrices, row = source, column = target: the signed weights
    `varp["network_{model}_{method}"]` and the selection frequencies `varp["frequency_{model}_{method}"]`.

    Raises:
        UserError: names that cannot be keys (`network_keys`), or the file cannot be written.
    """
    import anndata
    from scipy import sparse

    from sparsenode.data.contract import write_trajectories

    learned: dict[str, Any] = {}
    for key, names in network_keys(networks).items():
        matrices = network_matrices(networks[key], list(adata.var_names))
        learned |= {
            name: sparse.csr_matrix(matrix.astype(np.float32)) for name, matrix in zip(names, matrices, strict=True)
        }
    annotated = anndata.AnnData(
        X=adata.X,
        obs=adata.obs,
        var=adata.var,
        obsm=dict(adata.obsm),
        layers=dict(adata.layers),
        varp={**adata.varp, **learned},
        uns=dict(adata.uns),
    )
    write_trajectories(annotated, folder / ANNOTATED)


def _named(numbers: np.ndarray, features: Sequence[str]) -> pd.Categorical[str]:
    """Names of features by their numbers; all features are categories, in their order."""
    names = pd.Index([str(name) for name in features])
    return pd.Categorical.from_codes(numbers.astype(np.int64), categories=names)


def _values(column: pd.Series) -> list[Any]:
    """Values that a column has or may have, in order."""
    return list(column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column.unique())
