"""Networks of genes as published tables: lists of edges, and matrices without names."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsenode.data.readers.tables import read_table_text, read_text_columns
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError

Edge = tuple[str, str]


def read_edge_list(path: Path, source: str, target: str) -> list[Edge]:
    """Edges of a CSV as (source, target), in the file's order, each once.

    Args:
        path: the CSV file.
        source: name of the column of sources.
        target: name of the column of targets.

    Raises:
        UserError: see `tables.read_text_columns`, or a name is empty.
    """
    sources, targets = read_text_columns(path, [source, target])
    edges = list(zip(sources, targets, strict=True))
    if empty := [number for number, edge in enumerate(edges, start=2) if not all(edge)]:
        message = f"{path}, line {empty[0]}: an edge without a name"
        raise UserError(message)
    return list(dict.fromkeys(edges))


def edge_matrix(edges: Iterable[Edge], genes: Sequence[str]) -> NDArray[np.bool_]:
    """Edges among `genes` (source, target); those that name other genes are left out."""
    positions = {gene: number for number, gene in enumerate(genes)}
    matrix = np.zeros((len(genes), len(genes)), dtype=bool)
    for source, target in edges:
        if source in positions and target in positions:
            matrix[positions[source], positions[target]] = True
    return matrix


def read_edge_matrix(path: Path, genes: int) -> Floats:
    """A CSV of numbers without names, (source, target): a line for each source, a field for each target.

    Raises:
        UserError: the file cannot be read, has another size than `genes` by `genes`, or holds what is no finite number.
    """
    lines = read_table_text(path).splitlines()
    widths = [line.count(",") + 1 for line in lines]
    if len(lines) != genes or set(widths) != {genes}:
        wrong = next((number for number, width in enumerate(widths, start=1) if width != genes), None)
        size = f"{len(lines)} lines" if wrong is None else f"line {wrong} has {widths[wrong - 1]} fields"
        message = f"{path}: {size}, expected a matrix of {genes} by {genes} genes; is the file cut off?"
        raise UserError(message)
    try:
        matrix = np.loadtxt(lines, delimiter=",", comments=None, ndmin=2)
    except ValueError as error:
        message = f"{path}: {error}"
        raise UserError(message) from error
    if not np.isfinite(matrix).all():
        source, target = np.argwhere(~np.isfinite(matrix))[0]
        message = f"{path}, line {source + 1}, field {target + 1}: {matrix[source, target]} is not a finite number"
        raise UserError(message)
    return np.asarray(matrix, dtype=np.float64)


def read_genes(path: Path, column: str, count: int) -> tuple[str, ...]:
    """Names of genes in a column of a CSV, each of which names one gene.

    Args:
        path: the CSV file.
        column: name of the column.
        count: number of genes that the trajectories have.

    Raises:
        UserError: see `tables.read_text_columns`, another number of genes, or a name that is empty or repeated.
    """
    (genes,) = read_text_columns(path, [column])
    if len(genes) != count:
        message = f"{path}: {len(genes)} genes, but the trajectories have {count}; is the file cut off?"
        raise UserError(message)
    if len(set(genes)) < count or "" in genes:
        wrong = next(gene for gene in genes if gene == "" or genes.count(gene) > 1)
        message = f"{path}: the name {wrong!r} in the column {column!r} does not name one gene"
        raise UserError(message)
    return tuple(genes)
