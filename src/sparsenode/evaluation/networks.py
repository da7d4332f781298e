"""The networks that an ensemble learned, as files: their edges, in each group, over all strengths, and in rankings."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from sparsenode.errors import UserError
from sparsenode.evaluation.sparsity import THRESHOLD
from sparsenode.files import read_table, reading, write_atomically

if TYPE_CHECKING:
    from anndata import AnnData

    from sparsenode.data.contract import Network

logger = logging.getLogger(__name__)

NETWORK_COLUMNS = ("source", "target", "weight", "share", "sign", "selection_frequency")
KNOWN = "known"
"""Further column of a dataset with a truth: "true", "false", or "unknown" where the truth does not say."""
GROUP_COLUMNS = ("group", "source", "target", "value")
STRONGEST_PAIRS = 2000
"""Pairs of each group (lineage, branch) that are written out at most."""
_ENDING = ".groups.parquet"
_STABILITY_ENDING = ".stability.parquet"
STABILITY_COLUMNS = ("strength", "source", "target", "frequency", "weight")
SUMMARY = "summary"
"""Attribute of a stability path, and of the metadata of its file, that describes all pairs."""
SUMMARY_COLUMNS = ("strength", "group", "pairs", "mean", "lower", "upper")
QUARTILES = (0.25, 0.75)
RANKING_COLUMNS = ("model", "method", "estimator", "source", "target", "score", "sign", "edge")
RANKING_TEXT = ("model", "method", "estimator", "source", "target")
RANKING_KEYS = ("model", "method", "estimator")
RANKINGS = "rankings.parquet"
ANNOTATED = "network.h5ad"
STRONGEST_EDGES = 5000
"""Edges of a graph that are written out at most: more of them no program draws."""
LISTED_EDGES = 500_000
"""Edges of a network that are listed at most: a dense one of thousands of genes has millions."""
LISTED_PAIRS = 500_000
"""Pairs of a stability path that are listed at most for each strength."""
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")
"""Names that the configuration allows: without a slash, which an h5ad file and a path take apart."""


class Matrices(NamedTuple):
    """Signed weights and selection frequencies of edges, (source, target), and whose sign is not known; 0 is no edge.

    The weight of an edge whose sign is not known is its size: where direction of effect matters, mask it.
    """

    weights: np.ndarray
    frequency: np.ndarray
    unsigned: np.ndarray


def selection_frequency(paths: np.ndarray) -> np.ndarray:
    """Share of the members in which a path is present (source, target); `paths` (member, source, target)."""
    return np.asarray((paths >= THRESHOLD).mean(axis=0))


def target_shares(
    matrices: np.ndarray, deviations: np.ndarray | None = None, *, self_effects: bool = False
) -> np.ndarray:
    """Share of each source in what a target gets from all other variables, (member, source, target), of such scores.

    Scores are first multiplied by the `deviations` (source,) of the sources, so that their units do not matter. With
    shares a target whose rate is large does not outweigh the other targets, nor a network of large weights. A target
    without any score gets zeros. Signed scores keep their signs. With `self_effects` the shares are those in what a
    target gets from all variables, itself included.
    """
    moved = np.array(matrices, np.float64)
    if deviations is not None:
        moved *= np.asarray(deviations)[:, None]
    size, diagonal = np.abs(moved), np.arange(moved.shape[-1])
    if not self_effects:
        size[..., diagonal, diagonal] = 0.0
    total = size.sum(axis=-2, keepdims=True)
    moved /= np.where(total > 0, total, np.inf)
    return moved


def mean_shares(
    matrices: np.ndarray, deviations: np.ndarray | None = None, *, self_effects: bool = False
) -> np.ndarray:
    """Mean over members of their `target_shares`, (source, target); `matrices` (member, source, target)."""
    # Member by member: of thousands of genes a matrix takes 100 MB.
    total = np.zeros(matrices.shape[1:])
    for matrix in matrices:
        total += target_shares(matrix, deviations, self_effects=self_effects)
    total /= len(matrices)
    return total


def median_members(matrices: np.ndarray) -> np.ndarray:
    """Median over members (source, target), computed source by source; `matrices` (member, source, target)."""
    medians = np.empty(matrices.shape[1:], matrices.dtype)
    for source in range(len(medians)):
        medians[source] = np.median(matrices[:, source], axis=0)
    return medians


def strongest(first: np.ndarray, second: np.ndarray, most: int) -> np.ndarray:
    """Numbers of the `most` largest entries by `first`, then by `second`, then in their order: largest first."""
    if most == 0:
        return np.empty(0, np.int64)
    least = _largest(first, most)
    listed = first >= least
    if (surplus := int(np.count_nonzero(listed)) - most) > 0:
        # Sorted are only those that have a place: sparse and dense networks alike tie by the million.
        tied = first == least
        listed &= ~tied | (second >= _largest(second[tied], int(np.count_nonzero(tied)) - surplus))
    chosen = np.flatnonzero(listed)
    return chosen[np.lexsort((-second[chosen], -first[chosen]))][:most]


def _largest(values: np.ndarray, rank: int) -> Any:
    """The value of a rank, counted from 1 for the largest."""
    return np.partition(values, len(values) - rank)[len(values) - rank]


def pick_members(matrices: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Matrices (member, source, target) of some members, by their numbers; all of them are not copied."""
    return matrices if np.array_equal(members, np.arange(len(matrices))) else matrices[members]


class EdgeCounts(NamedTuple):
    """Numbers of edges of a network before its list is cut.

    `found` are those that at least one member selected, self-loops included, `listed` those of its list, and `typical`
    the pairs of two variables among those found whose median path is not zero, as the whole list counts them.
    """

    found: int
    listed: int
    typical: int


class PooledPaths(NamedTuple):
    """Selection frequencies and median strengths of paths over members, both (source, target)."""

    frequency: np.ndarray
    median: np.ndarray


def pool_paths(paths: np.ndarray) -> PooledPaths:
    """Selection frequencies and medians of `paths` (member, source, target); zeros where there is no member."""
    if len(paths) == 0:
        return PooledPaths(*np.zeros((2, *paths.shape[1:])))
    return PooledPaths(selection_frequency(paths), median_members(paths))


def count_all_edges(pooled: PooledPaths) -> EdgeCounts:
    """Numbers of edges of members at one strength."""
    selected = pooled.frequency > 0
    count = int(np.count_nonzero(selected))
    # A path far below the threshold is not zero where a method only shrinks: no member has it, and no list.
    typical = selected & (pooled.median != 0)
    np.fill_diagonal(typical, val=False)
    return EdgeCounts(count, min(count, LISTED_EDGES), int(np.count_nonzero(typical)))


def network_table(
    paths: np.ndarray,
    jacobian: np.ndarray,
    features: Sequence[str],
    truth: tuple[np.ndarray, np.ndarray] | None = None,
    deviations: np.ndarray | None = None,
    pooled: PooledPaths | None = None,
) -> pd.DataFrame:
    """Edges that at least one member selected, by `share`, the largest first; self-loops come after all other edges.

    `weight` is the median path strength over members (0 if most members have no path), `share` the mean over members
    of the source's share in what the target gets from all other variables, by paths times the sources' `deviations`
    (of a self-loop relative to that): the score that edges are ranked by. `sign` is that of the median mean Jacobian
    (+1 activation, -1 repression, 0 neither), `selection_frequency` the share of members with the path. Of more than
    `LISTED_EDGES` edges the first so many are listed, which the log says; of fewer, a pair that is not listed was
    selected by none.

    Args:
        paths: path strengths (member, source, target) of the members at one strength.
        jacobian: their mean signed Jacobians, of the same shape.
        features: names of the variables.
        truth: edges and where they are known, both (source, target); the column `known` then says whether an edge is a
            true one.
        deviations: standard deviation of each source, (source,).
        pooled: the paths pooled over members, where they are computed already.
    """
    if len(paths) == 0:
        return pd.DataFrame({name: [] for name in (*NETWORK_COLUMNS, *([KNOWN] if truth else []))})
    frequency, weight = pool_paths(paths) if pooled is None else pooled
    share = mean_shares(paths, deviations)
    # Shares are not negative, so what no member selected comes last.
    share[frequency == 0] = -1.0
    selected = int(np.count_nonzero(frequency))
    order = strongest(share.ravel(), weight.ravel(), min(selected, LISTED_EDGES))
    if len(order) < selected:
        logger.info("of %d edges the %d of the largest share are listed", selected, len(order))
    source, target = np.unravel_index(order, frequency.shape)
    # Of a self-loop the share is relative to all other edges and may be any size: it is no part of the ranking.
    order = np.argsort(source == target, kind="stable")
    source, target = source[order], target[order]
    names = np.asarray(features, dtype=object)
    table = pd.DataFrame(
        {
            "source": names[source],
            "target": names[target],
            "weight": weight[source, target].astype(np.float64),
            "share": share[source, target],
            "sign": np.sign(np.median(jacobian[:, source, target], axis=0)).astype(int),
            "selection_frequency": frequency[source, target],
        }
    )
    if truth is not None:
        edges, known_pairs = truth
        labels = np.where(edges[source, target], "true", "false").astype(object)
        table[KNOWN] = np.where(known_pairs[source, target], labels, "unknown")
    return table


def write_network(table: pd.DataFrame, path: Path) -> None:
    """Write a table of edges as CSV, numbers to the precision of float32."""
    import pyarrow as pa
    from pyarrow import csv

    kinds: dict[str, Any] = {"source": str, "target": str, "weight": np.float32, "share": np.float32, "sign": np.int64}
    kinds |= {"selection_frequency": np.float32, KNOWN: str}
    # pandas takes ten times as long, which is felt with hundreds of thousands of edges.
    column_kinds = {name: kind for name, kind in kinds.items() if name in table}
    rows = pa.Table.from_pandas(table.astype(column_kinds), preserve_index=False)
    with write_atomically(path) as temporary:
        csv.write_csv(rows, temporary, csv.WriteOptions(quoting_style="needed"))


def read_edges(path: Path) -> pd.DataFrame:
    """Table of edges of a CSV, as `network_table` gives it, `known` as text.

    Raises:
        UserError: the file is missing or damaged.
    """
    text = {"source": str, "target": str, KNOWN: str}
    numbers = {name: np.float64 for name in NETWORK_COLUMNS if name not in text} | {"sign": np.int64}
    with reading(Path(path)):
        with Path(path).open("rb") as file:
            file.seek(max(0, file.seek(0, io.SEEK_END) - 1))
            if file.read() != b"\n":
                raise ValueError("its last line is cut")
        header = pd.read_csv(path, nrows=0).columns
        for name in NETWORK_COLUMNS:
            if name not in header:
                raise KeyError(name)
        # A gene may be called "NA" or "nan": names are never read as missing values.
        table = pd.read_csv(path, dtype={**text, **numbers}, keep_default_na=False)
        # Of lines with more fields than the header the first ones would be taken for an index.
        if not isinstance(table.index, pd.RangeIndex):
            raise ValueError("its lines have more fields than its header")
        return table[[name for name in table.columns if name in text or name in numbers]]


def read_shares(path: Path, features: Sequence[str]) -> Matrices:
    """Signed shares, as the weights, and selection frequencies of a CSV of edges."""
    table = read_edges(path)
    return network_matrices(table.assign(weight=table["share"]), features, where=str(path))


def read_network(path: Path, features: Sequence[str]) -> Matrices:
    """Signed weights and selection frequencies of a CSV of edges."""
    return network_matrices(read_edges(path), features, where=str(path))


def feature_numbers(names: pd.Series, features: Sequence[str], where: str) -> np.ndarray:
    """Index of each name in `features`, of which few are distinct; `where` names the file that they are from.

    Raises:
        UserError: a name is none of the features.
    """
    names = names.astype("category")
    lookup = pd.Index(list(features)).get_indexer(pd.Index(names.cat.categories))
    if (lookup < 0).any():
        unknown = str(names.cat.categories[int(np.argmin(lookup))])
        raise UserError(f"{where} names the feature {unknown!r}, which the data do not have; delete it and run again")
    return lookup[names.cat.codes.to_numpy()]


def network_matrices(table: pd.DataFrame, features: Sequence[str], *, where: str = "the network") -> Matrices:
    """Signed weights and selection frequencies of a table of edges; its sign 0 is one that is not known.

    Raises:
        UserError: the table, which is that of the file `where`, names a variable that is none of the features.
    """
    source, target = (feature_numbers(table[name], features, where) for name in ("source", "target"))
    weights, frequency = np.zeros((2, len(features), len(features)))
    unsigned = np.zeros(weights.shape, bool)
    sign = table["sign"].to_numpy(np.float64)
    weights[source, target] = table["weight"].to_numpy(np.float64) * np.where(sign < 0, -1.0, 1.0)
    frequency[source, target] = table["selection_frequency"].to_numpy(np.float64)
    unsigned[source, target] = sign == 0
    return Matrices(weights, frequency, unsigned & (weights != 0))


def read_networks(
    folder: Path, keys: Iterable[tuple[str, str]], features: Sequence[str]
) -> dict[tuple[str, str], Matrices]:
    """Signed path strengths of each (model, method) of a dataset's folder of networks, and their frequencies."""
    return {(model, method): read_network(Path(folder) / model / f"{method}.csv", features) for model, method in keys}


def group_table(
    influences: Mapping[str, np.ndarray], features: Sequence[str], is_regulator: np.ndarray | None = None
) -> pd.DataFrame:
    """Influences of the regulators in each group (lineage, branch), strongest first, `STRONGEST_PAIRS` each at most.

    `value` is the median of the influences over members: how much faster the target rises, in modeling units, once the
    source has gone through its course. Self-loops, which hold the decay, are left out, and so are sources that are no
    regulators. A pair that is not listed is weaker than all those of its group, or nothing.

    Args:
        influences: mean signed Jacobians (member, source, target) of the members at one strength over a group's states,
            times how far the source moves along the group, by group.
        features: names of the variables.
        is_regulator: which variables are regulators, (feature,); all where it is None.
    """
    names = np.asarray(features, dtype=object)
    allowed = np.ones(len(names), bool) if is_regulator is None else np.asarray(is_regulator, bool)
    candidates = allowed[:, None] & ~np.eye(len(names), dtype=bool)
    tables = []
    for group, members in influences.items():
        value = median_members(members) if len(members) else np.zeros(candidates.shape)
        size = np.where(candidates, np.abs(value), 0.0).ravel()
        listed = strongest(size, size, min(int(np.count_nonzero(size)), STRONGEST_PAIRS))
        source, target = np.unravel_index(listed, value.shape)
        tables.append(
            pd.DataFrame(
                {
                    "group": group,
                    "source": names[source],
                    "target": names[target],
                    "value": value[source, target].astype(np.float32),
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
        UserError: the folder has no such table, or it is damaged.
    """
    path = Path(folder) / model / f"{method}{_ENDING}"
    table = read_table(path, columns=GROUP_COLUMNS)
    with reading(path):
        if not isinstance(table["group"].dtype, pd.CategoricalDtype):
            raise TypeError("its column 'group' holds no categories")
    return table


def write_graph(
    table: pd.DataFrame,
    features: Sequence[str],
    path: Path,
    *,
    edges_found: int | None = None,
    **attributes: str | float,
) -> None:
    """Write a table of edges as GraphML, a directed graph with all features as nodes.

    The `STRONGEST_EDGES` first edges at most; the graph's attributes `edges_found` and `edges_written` say so.

    Args:
        table: edges, as of `network_table`.
        features: names of the nodes.
        path: where the file is written.
        edges_found: number of edges before the table was cut; that of the table where it is None.
        **attributes: further attributes of the graph.
    """
    import networkx

    written = table.iloc[:STRONGEST_EDGES]
    edge_count = len(table) if edges_found is None else edges_found
    graph = networkx.DiGraph(**attributes, edges_found=edge_count, edges_written=len(written))
    graph.add_nodes_from(str(name) for name in features)
    columns = [name for name in table.columns if name not in {"source", "target"}]
    values = zip(*(written[name].tolist() for name in columns), strict=True)
    for source, target, edge_values in zip(written["source"], written["target"], values, strict=True):
        graph.add_edge(source, target, **dict(zip(columns, edge_values, strict=True)))
    # Through memory, and by Python's own writer of XML: the same bytes with and without lxml, and plain write errors.
    content = io.BytesIO()
    networkx.write_graphml_xml(graph, content)
    with write_atomically(path) as temporary:
        temporary.write_bytes(content.getvalue())


def group_pairs(reference: tuple[str, Network] | None, features: int) -> dict[str, np.ndarray]:
    """Mask (source, target) of each group of pairs by its name, edges of the reference last.

    Pairs of which the reference says nothing, and self-loops, are in no group.
    """
    off_diagonal = ~np.eye(features, dtype=bool)
    if reference is None:
        return {"pairs": off_diagonal}
    name, network = reference
    edges = (network.truth != 0) & network.known & off_diagonal
    return {"other pairs": network.known & off_diagonal & ~edges, f"edges of the {name}": edges}


def summarize_frequencies(
    frequency: np.ndarray, strength: float, groups: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Number, mean and quartiles of the frequencies (source, target) of each group of pairs at one strength.

    None of them are known of a group without a pair.
    """
    rows = []
    for name, mask in groups.items():
        values = frequency[mask]
        numbers: list[Any] = [values.mean(), *np.quantile(values, QUARTILES)] if len(values) else [None] * 3
        statistics = dict(
            zip(
                ("mean", "lower", "upper"),
                (None if number is None else float(number) for number in numbers),
                strict=True,
            )
        )
        rows.append({"strength": float(strength), "group": name, "pairs": len(values), **statistics})
    return rows


def stability_table(
    paths: np.ndarray, strengths: np.ndarray, features: Sequence[str], groups: Mapping[str, np.ndarray] | None = None
) -> pd.DataFrame:
    """How often each pair is selected at each strength: the stability path.

    `frequency` is the share of a strength's members with the path, `weight` their median path strength. Pairs off the
    diagonal that some member selected, by strength, source and target, whose categories are all the features in their
    order. Of more than `LISTED_PAIRS` at a strength the most frequent so many are listed, of equally frequent ones the
    strongest, and the log says so. What `summarize_frequencies` computes of all pairs of `groups`, listed or not, is in
    the attribute `SUMMARY` of the table.

    Args:
        paths: path strengths (member, source, target) of the finished members.
        strengths: their strengths, (member,).
        features: names of the variables.
        groups: masks (source, target) of groups of pairs by name; all pairs that are no self-loops where it is None.
    """
    groups = group_pairs(None, len(features)) if groups is None else groups
    summary: list[dict[str, Any]] = []
    column_blocks: list[tuple[np.ndarray, ...]] = []
    for value in np.unique(strengths).tolist():
        strength_paths = pick_members(paths, np.flatnonzero(strengths == value))
        share, weight = selection_frequency(strength_paths), median_members(strength_paths)
        np.fill_diagonal(share, 0.0)
        summary += summarize_frequencies(share.astype(np.float32), value, groups)
        selected = int(np.count_nonzero(share))
        listed = np.sort(strongest(share.ravel(), weight.ravel(), min(selected, LISTED_PAIRS)))
        if len(listed) < selected:
            logger.info("at the strength %g, of %d pairs the %d most frequent are listed", value, selected, len(listed))
        pairs = np.unravel_index(listed, share.shape)
        column_blocks.append((np.full(len(listed), value), *pairs, share[pairs], weight[pairs]))
    columns = (
        [np.concatenate(column) for column in zip(*column_blocks, strict=True)] if column_blocks else [np.empty(0)] * 5
    )
    strength, source, target, frequency, weight = columns
    table = pd.DataFrame(
        {
            "strength": strength.astype(np.float64),
            "source": _named(source, features),
            "target": _named(target, features),
            "frequency": frequency.astype(np.float32),
            "weight": weight.astype(np.float32),
        }
    )
    table.attrs[SUMMARY] = summary
    return table


def write_stability(table: pd.DataFrame, folder: Path, model: str, method: str) -> None:
    """Write a stability path into a dataset's folder of networks."""
    with write_atomically(folder / model / f"{method}{_STABILITY_ENDING}") as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")


def read_stability(folder: Path, model: str, method: str) -> pd.DataFrame:
    """Stability path of one (model, method) of a dataset's folder of networks, as `stability_table` gives it.

    Raises:
        UserError: the folder has no such table, or it is damaged.
    """
    return read_table(stability_file(folder, model, method), columns=STABILITY_COLUMNS)


def read_stability_summary(folder: Path, model: str, method: str) -> pd.DataFrame:
    """Summary of whole groups of pairs at each strength (`summarize_frequencies`) of a stability path; no pair is read.

    Raises:
        UserError: the folder has no such table, or one without a summary, or it is damaged.
    """
    from pyarrow import parquet

    path = stability_file(folder, model, method)
    with reading(path):
        attributes = json.loads((parquet.read_schema(path).metadata or {}).get(b"PANDAS_ATTRS", b"{}"))
        summary = attributes.get(SUMMARY)
        for row in summary or []:
            for name in SUMMARY_COLUMNS:
                row[name]
    if summary is None:
        raise UserError(
            f"{path} has no summary of all pairs, since an earlier version wrote it; delete it and run again"
        )
    return pd.DataFrame(summary, columns=SUMMARY_COLUMNS)


def stability_file(folder: Path, model: str, method: str) -> Path:
    """Where the stability path of one (model, method) is in a dataset's folder of networks."""
    return Path(folder) / model / f"{method}{_STABILITY_ENDING}"


def ranking_table(
    scores: Mapping[str, tuple[np.ndarray, np.ndarray]],
    features: Sequence[str],
    truth: tuple[np.ndarray, np.ndarray],
    *,
    model: str,
    method: str,
) -> pd.DataFrame:
    """Scores of all known pairs off the diagonal beside the truth, for curves of precision and recall.

    Args:
        scores: scores and their signs, both (source, target), by estimator; a sign of 0 is not known.
        features: names of the variables.
        truth: edges and where they are known, both (source, target).
        model: name of the model; "" for a peer.
        method: name of the method; `peer:NAME` for a peer.
    """
    edges, known_pairs = truth
    source, target = np.nonzero(np.asarray(known_pairs, bool) & ~np.eye(len(features), dtype=bool))
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
    kinds = _ranking_kinds(tables)
    return pd.concat([table.astype(kinds) for table in tables], ignore_index=True)


def _ranking_kinds(tables: Iterable[pd.DataFrame]) -> dict[str, pd.CategoricalDtype]:
    """Categories of the text of some rankings, in their order."""
    values: dict[str, dict[Any, None]] = {name: {} for name in RANKING_TEXT}
    for table in tables:
        for name in RANKING_TEXT:
            values[name] |= dict.fromkeys(_values(table[name]))
    return {name: pd.CategoricalDtype(list(distinct)) for name, distinct in values.items()}


def write_rankings(tables: Sequence[pd.DataFrame], folder: Path) -> None:
    """Write the rankings of a dataset into its folder of networks, each (model, method, estimator) in its own rows.

    `RankingFile` reads them one after another: of thousands of variables each takes 100 MB.
    """
    import pyarrow as pa
    from pyarrow import parquet

    kinds = _ranking_kinds(tables)
    empty = join_rankings([]).astype({**kinds, "score": np.float64, "sign": np.int64, "edge": bool})
    with write_atomically(folder / RANKINGS) as temporary:
        schema = pa.Schema.from_pandas(empty, preserve_index=False)
        with parquet.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for table in tables:
                for _, rows in table.groupby(list(RANKING_KEYS), observed=True, sort=False):
                    content = pa.Table.from_pandas(rows.astype(kinds), schema, preserve_index=False)
                    writer.write_table(content, row_group_size=max(1, len(rows)))


RankingKey = tuple[str, str, str]
"""Model, method and estimator of a ranking."""
Rankings = Mapping[RankingKey, tuple[np.ndarray, np.ndarray]]
"""Scores and edges, both (pair,), of the rankings of a dataset."""


class RankingFile(Rankings):
    """Rankings of a file, each of which is read when it is asked for: one at a time is in memory.

    `groups` are the numbers of the file's row groups by (model, method, estimator), in the order of the file.
    """

    def __init__(self, path: Path, groups: Mapping[RankingKey, Sequence[int]]) -> None:
        self.path, self.groups = path, groups

    def __getitem__(self, key: RankingKey) -> tuple[np.ndarray, np.ndarray]:
        """Scores and edges (pair,) of a ranking.

        Raises:
            KeyError: the file has no such ranking.
            UserError: the file is damaged.
        """
        from pyarrow import parquet

        groups = list(self.groups[key])
        with reading(self.path):
            with parquet.ParquetFile(self.path) as file:
                rows = file.read_row_groups(groups, columns=["score", "edge"])
            return rows["score"].to_numpy(), rows["edge"].to_numpy()

    def __iter__(self) -> Iterator[RankingKey]:
        """Keys in the order of the file."""
        return iter(self.groups)

    def __len__(self) -> int:
        """Number of rankings."""
        return len(self.groups)


def open_rankings(folder: Path) -> RankingFile:
    """Rankings of a dataset's folder of networks, of all methods and peers; which there are, is read at once.

    Where nothing is known of the true network there are none.

    Raises:
        UserError: the folder has no such table, or it is damaged, or of an earlier version.
    """
    from pyarrow import parquet

    path = Path(folder) / RANKINGS
    groups: dict[RankingKey, list[int]] = {}
    with reading(path), parquet.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            keys = file.read_row_group(number, columns=list(RANKING_KEYS))
            names = [set(keys[name].unique().to_pylist()) for name in RANKING_KEYS]
            if any(len(distinct) > 1 for distinct in names):
                raise UserError(f"{path} was written by an earlier version; delete it and run again")
            if keys.num_rows:
                model, method, estimator = (str(distinct.pop()) for distinct in names)
                groups.setdefault((model, method, estimator), []).append(number)
    return RankingFile(path, groups)


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
    `varp["network_{model}_{method}"]` and the selection frequencies `varp["frequency_{model}_{method}"]`. An edge whose
    sign is not known is only among the frequencies.

    Raises:
        UserError: names that cannot be keys (`network_keys`), or the file cannot be written.
    """
    from scipy import sparse

    from sparsenode.data.contract import replace_entries, write_trajectories

    learned: dict[str, Any] = {}
    for key, names in network_keys(networks).items():
        weights, frequency, unsigned = network_matrices(networks[key], list(adata.var_names))
        matrices = np.where(unsigned, 0.0, weights), frequency
        learned |= {
            name: sparse.csr_matrix(matrix.astype(np.float32)) for name, matrix in zip(names, matrices, strict=True)
        }
    write_trajectories(replace_entries(adata, varp={**adata.varp, **learned}), folder / ANNOTATED)


def _named(numbers: np.ndarray, features: Sequence[str]) -> pd.Categorical[str]:
    """Names of features by their numbers; all features are categories, in their order."""
    names = pd.Index([str(name) for name in features])
    return pd.Categorical.from_codes(numbers.astype(np.int64), categories=names)


def _values(column: pd.Series) -> list[Any]:
    """Values that a column has or may have, in order."""
    return list(column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column.unique())
