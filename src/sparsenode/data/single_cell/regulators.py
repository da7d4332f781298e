"""Which genes regulate which: the published base network and the networks of single cell types.

Tables of transcription factors (rows) and their targets (columns), from github.com/theislab/PathReg (MIT): a base
network of motifs in open chromatin, and of each cell type of the bone marrow a network of its own. The networks of the
cell types that a lineage passes through, united, are what is known of that lineage.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from sparsenode.data.downloads import RemoteFile, known_file
from sparsenode.data.readers.logical import ALLOWED, logical_value
from sparsenode.data.readers.tables import WrittenTable, finite_numbers, named_rows, read_written_table
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError, some_of
from sparsenode.labels import TRUTH
from sparsenode.typed import EachOnce, Settings

logger = logging.getLogger(__name__)

BASE = "base"
_ADDRESS = "https://raw.githubusercontent.com/theislab/PathReg/main/data/data/TFs_Targets"
_BASE_NETWORK = f"{_ADDRESS}/tf_targets_baseGRN_human_matrix.csv.gz"
_SOURCES = frozenset({"source", "regulator", "tf", "from"})  # what columns of a list are called, in any case
_TARGETS = frozenset({"target", "to"})
_WEIGHTS = frozenset({"weight"})
_FIRST_COLUMNS = _SOURCES | {"tf.human", "tf.name", ""}  # what the first column of a matrix is called
CellType = Literal[
    "B1 B",
    "CD14+ Mono",
    "CD16+ Mono",
    "CD4+ T activated",
    "CD4+ T naive",
    "CD8+ T",
    "Erythroblast",
    "G/M prog",
    "HSC",
    "Lymph prog",
    "MK/E prog",
    "NK",
    "Naive CD20+ B",
    "Normoblast",
    "Plasma cell",
    "Proerythroblast",
    "Transitional B",
    "cDC2",
    "pDC",
]
CELL_TYPES: tuple[CellType, ...] = get_args(CellType)


def network_names(*others: str, why: str) -> Any:
    """The validator and schema of names of prior networks, none of which may be that of one of the `others`."""

    def refuse_others(name: str) -> str:
        if name in others:
            message = f"{name} is another network"
            raise ValueError(message)
        return name

    allowed = f"letters, digits, _, + and -; not {' or '.join(others)}, {why}"
    return Field(pattern=r"^[A-Za-z0-9_+-]+$", json_schema_extra={"x-allowed": allowed}), AfterValidator(refuse_others)


_PATTERN, _REFUSAL = network_names(BASE, TRUTH, why="which are networks of other things")


class NetworkOptions(Settings):
    """Options of the prior networks of cell types."""

    networks: dict[
        Annotated[str, _PATTERN, _REFUSAL],
        Annotated[tuple[CellType, ...], Field(min_length=1), EachOnce],
    ] = Field(
        {
            "erythroid": ("HSC", "MK/E prog", "Proerythroblast", "Erythroblast", "Normoblast"),
            "monocyte": ("HSC", "G/M prog", "CD14+ Mono", "CD16+ Mono"),
            "B": ("HSC", "Lymph prog", "Transitional B", "Naive CD20+ B"),
        },
        description="Prior networks beside the base network, by name (that of a lineage, to be shown with it): of "
        "each, the cell types whose published networks are united. `{}` for only the base network.",
    )


@dataclass(frozen=True)
class PriorNetwork:
    """What a table says about a set of genes.

    Shapes: `edges` and `known` (source, target): where there is an edge, and of which pairs the table tells whether
    there is one, which are those of a gene among its regulators and a gene among its targets; `is_regulator` (gene,).
    """

    edges: NDArray[np.bool_]
    known: NDArray[np.bool_]
    is_regulator: NDArray[np.bool_]

    @property
    def density(self) -> float:
        """Share of edges among the known pairs, which is also the precision of a random prediction; NaN without any."""
        known_count = int(self.known.sum())
        return int(self.edges.sum()) / known_count if known_count else float("nan")


@dataclass(frozen=True)
class Priors:
    """Prior networks by name, `base` among them; `is_regulator` (gene,) are the regulators of any of them."""

    networks: Mapping[str, PriorNetwork]
    is_regulator: NDArray[np.bool_]

    @property
    def edges(self) -> dict[str, Floats]:
        """Edges of each network by name, (source, target) of 0 and 1."""
        return {name: network.edges.astype(np.float64) for name, network in self.networks.items()}

    @property
    def known(self) -> dict[str, NDArray[np.bool_]]:
        """Known pairs of each network by name, (source, target)."""
        return {name: network.known for name, network in self.networks.items()}

    @property
    def facts(self) -> dict[str, dict[str, float]]:
        """Of each network by name: how many regulators, known pairs and edges it has among the genes, its density."""
        return {
            name: {
                "regulators": int(network.is_regulator.sum()),
                "known_pairs": int(network.known.sum()),
                "edges": int(network.edges.sum()),
                "density": network.density,
            }
            for name, network in self.networks.items()
        }


def network_files(options: NetworkOptions) -> list[RemoteFile]:
    """The base network and, each once, the tables of the cell types in the option `networks`."""
    cell_types = dict.fromkeys(cell_type for united in options.networks.values() for cell_type in united)
    return [base_network_file(), *map(cell_type_file, cell_types)]


def base_network_file() -> RemoteFile:
    """The published network of all cell types, whose rows are the transcription factors."""
    return known_file(_BASE_NETWORK)


def cell_type_file(cell_type: str) -> RemoteFile:
    """The published network of a cell type; in its file's name each slash is an underscore."""
    return known_file(f"{_ADDRESS}/{quote(cell_type.replace('/', '_'))}_matrix.csv.gz")


def read_priors(options: NetworkOptions, files: Mapping[str, Path], genes: Sequence[str]) -> Priors:
    """The base network and the networks of the option `networks` among `genes`.

    Args:
        options: those of the source, with the cell types of each network by its name in `networks`.
        files: paths of the downloaded files by HOST/PATH.
        genes: names of the measured genes.

    Raises:
        UserError: a table is damaged, no gene is a regulator of the base network, or a network tells nothing about
            any pair of genes.
    """
    path = files[base_network_file().relative_path]
    networks = {BASE: read_network(path, genes)}
    if not networks[BASE].is_regulator.any():
        message = (
            f"{path}: none of its regulators is among the {len(genes)} genes ({some_of(genes)}); are the genes named "
            "by their symbols?"
        )
        raise UserError(message)
    for name, cell_types in options.networks.items():
        cell_type_networks = [
            read_network(files[cell_type_file(cell_type).relative_path], genes) for cell_type in cell_types
        ]
        networks[name] = unite_networks(cell_type_networks)
        if not networks[name].known.any():
            message = (
                f"options.networks.{name}: the networks of {', '.join(cell_types)} have no regulator and target that "
                f"are both among the {len(genes)} genes ({some_of(genes)}); leave it out or name other cell types"
            )
            raise UserError(message)
    priors = Priors(networks, unite_networks(list(networks.values())).is_regulator)
    for name, facts in priors.facts.items():
        logger.info(
            "prior network %s: %d regulators among %d genes, %d edges among %d known pairs (density %.3f)",
            name,
            facts["regulators"],
            len(genes),
            facts["edges"],
            facts["known_pairs"],
            facts["density"],
        )
    return priors


def read_network(path: Path, genes: Sequence[str]) -> PriorNetwork:
    """A table of regulators and targets among `genes`, gzipped if its name ends in `.gz`, in one of two forms.

    A matrix has a line for each regulator and a column for each target, and holds 0 and 1; its first column names the
    regulators and is called `TF.human`, `tf.name`, `tf`, `regulator`, `source` or nothing. A list has a line for each
    edge and the columns `source` (or `regulator`, `tf`, `from`) and `target` (or `to`), where there is one `weight`,
    which is 0 for no edge, and other columns that are not read. It tells of the pairs of any of its sources and any of
    its targets. See `tables.read_written_table` for how fields are separated.

    Raises:
        UserError: the file is damaged, too large, has neither form, names a regulator or a target of a matrix twice,
            or holds anything but 0 and 1; or an edge of a list has no name, no number as its weight, or two weights.
    """
    table, columns = _open_network(path)
    return _read_matrix(table, genes) if columns is None else _read_list(table, columns, genes)


def read_regulators(path: Path) -> tuple[str, ...]:
    """All regulators of a table, in its order, whether they are measured or not.

    Raises:
        UserError: as for `read_network`, save that the values are not read.
    """
    table, columns = _open_network(path)
    if columns is None:
        return tuple(regulator for _, regulator, _ in named_rows(table, "regulator"))
    return tuple(dict.fromkeys(source for _, source, _, _ in _edges(table, columns)))


@dataclass(frozen=True)
class _ListColumns:
    """Places of the columns of a list of edges; without `weight` every line is an edge."""

    source: int
    target: int
    weight: int | None


def _list_columns(names: Sequence[str]) -> _ListColumns | None:
    """The columns of a list of edges by their names, None where the names are not those of a list."""
    sources, targets, weights = (
        [position for position, name in enumerate(names) if name.lower() in allowed]
        for allowed in (_SOURCES, _TARGETS, _WEIGHTS)
    )
    if len(sources) == len(targets) == 1 and len(weights) <= 1:
        return _ListColumns(sources[0], targets[0], weights[0] if weights else None)
    return None


def _names_regulators(names: Sequence[str], decimal_commas: bool) -> bool:  # noqa: ARG001  a matrix holds 0 and 1
    """Whether names that are one fewer than the fields below have none for the regulators (lines)."""
    return names[0].lower() not in _FIRST_COLUMNS or _list_columns(names) is not None


def _open_network(path: Path) -> tuple[WrittenTable, _ListColumns | None]:
    """A table of regulators and targets, and its columns where it is a list of edges; None for a matrix."""
    table = read_written_table(path, names_rows=_names_regulators)
    columns = _list_columns(table.columns)
    if columns is not None:
        used = {columns.source, columns.target, columns.weight}
        unread = [repr(name) for position, name in enumerate(table.columns) if position not in used]
        if unread:
            logger.info("%s is a list of edges, of which these columns are not read: %s", path, some_of(unread))
    elif table.columns[0].lower() not in _FIRST_COLUMNS:
        message = (
            f"{path}, line 1: the first column is {table.columns[0]!r}; give a matrix of regulators (lines) and "
            "targets (columns), whose first column is called `tf`, `regulator` or nothing, or a list of edges with "
            "the columns source, target and, where there is one, weight"
        )
        raise UserError(message)
    return table, columns


def _read_matrix(table: WrittenTable, genes: Sequence[str]) -> PriorNetwork:
    column = {name: number for number, name in enumerate(table.columns)}
    targets = [(column[gene], index) for index, gene in enumerate(genes) if column.get(gene)]
    gene_indices = {gene: index for index, gene in enumerate(genes)}
    edges = np.zeros((len(genes), len(genes)), dtype=bool)
    is_regulator = np.zeros(len(genes), dtype=bool)
    for line, regulator, fields in named_rows(table, "regulator"):
        if (source := gene_indices.get(regulator)) is None:
            continue
        is_regulator[source] = True
        for position, target in targets:
            if (value := logical_value(fields[position])) is None:
                message = (
                    f"{table.path}, line {line}: {fields[position]!r} for {table.columns[position]!r}, expected "
                    f"{ALLOWED}; weights are read from a list of edges with the columns source, target, weight"
                )
                raise UserError(message)
            edges[source, target] = value
    is_target = np.zeros(len(genes), dtype=bool)
    is_target[[target for _, target in targets]] = True
    return PriorNetwork(edges, np.outer(is_regulator, is_target), is_regulator)


def _read_list(table: WrittenTable, columns: _ListColumns, genes: Sequence[str]) -> PriorNetwork:
    gene_indices = {gene: index for index, gene in enumerate(genes)}
    edges = np.zeros((len(genes), len(genes)), dtype=bool)
    is_regulator, is_target = np.zeros((2, len(genes)), dtype=bool)
    for _, source, target, is_edge in _edges(table, columns):
        if source in gene_indices:
            is_regulator[gene_indices[source]] = True
        if target in gene_indices:
            is_target[gene_indices[target]] = True
        if source in gene_indices and target in gene_indices:
            edges[gene_indices[source], gene_indices[target]] = is_edge
    return PriorNetwork(edges, np.outer(is_regulator, is_target), is_regulator)


def _edges(table: WrittenTable, columns: _ListColumns) -> Iterator[tuple[int, str, str, bool]]:
    """Line, source and target of each pair of a list, and whether it is an edge."""
    lines: dict[tuple[str, str], tuple[int, bool]] = {}
    is_plain = True
    for line, fields in table.rows:
        source, target = fields[columns.source], fields[columns.target]
        if not source or not target:
            message = f"{table.path}, line {line}: an edge without the name of its {'target' if source else 'source'}"
            raise UserError(message)
        weight = 1.0 if columns.weight is None else finite_numbers(table, line, [columns.weight], fields)[0]
        is_edge = weight != 0
        is_plain &= weight in {0, 1}
        earlier, was_edge = lines.setdefault((source, target), (line, is_edge))
        if was_edge != is_edge:
            message = (
                f"{table.path}, line {line}: the weight from {source!r} to {target!r} is {'not ' * is_edge}0, and "
                f"in line {earlier} it is {'not ' * was_edge}0; name each pair once"
            )
            raise UserError(message)
        yield line, source, target, is_edge
    if not is_plain:
        logger.info("%s: every weight but 0 is read as an edge; their sizes and signs are not used", table.path)


def unite_networks(networks: Sequence[PriorNetwork]) -> PriorNetwork:
    """Every edge, known pair and regulator that any of the networks has."""
    return PriorNetwork(
        edges=np.any([network.edges for network in networks], axis=0),
        known=np.any([network.known for network in networks], axis=0),
        is_regulator=np.any([network.is_regulator for network in networks], axis=0),
    )
