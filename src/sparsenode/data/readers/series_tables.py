"""The file formats of the DREAM3 in-silico challenge: series of a network's genes, and edges as a list of all pairs.

A table of series is tab-separated: names of the columns in quotation marks, `Time` first, then the lines of one series
after another with an empty line between. A list of pairs has a line for each ordered pair of two different genes:
source, target, and 1 for an edge or 0 for none.
"""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsenode.data.readers.tables import read_table_text
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError, nearest_names

_TIME = "Time"
_IS_EDGE = {"0": False, "1": True}


def read_series_table(path: Path) -> tuple[tuple[str, ...], list[tuple[Floats, Floats]]]:
    """Names of the genes, and times (observation,) and values (observation, gene) of each series.

    Raises:
        UserError: the file cannot be read, its header is another, it is cut off, a series has another length than the
            first, a line has another width, there is text in a number's place, or times do not increase.
    """
    text = read_table_text(path)
    if not text.endswith("\n"):
        line_count = text.count("\n") + 1
        message = f"{path}, line {line_count}: the last line has no end: the file is cut off; fetch it again"
        raise UserError(message)
    lines = text.splitlines()
    header = [name.strip().strip('"') for name in lines[0].split("\t")]
    genes = tuple(header[1:])
    if header[0] != _TIME or not genes or "" in genes or len(set(genes)) < len(genes):
        message = f"{path}, line 1: {lines[0][:60]!r}, expected {_TIME} and names of genes, each once, between tabs"
        raise UserError(message)
    rows: list[list[tuple[int, list[float]]]] = [[]]
    for number, line in enumerate(lines[1:], start=2):
        if line.strip():
            rows[-1].append((number, _numbers(path, number, line, header)))
        elif rows[-1]:
            rows.append([])
    series = [lines_of_series for lines_of_series in rows if lines_of_series]
    if not series:
        message = f"{path}: no line below the column names; is the file cut off?"
        raise UserError(message)
    for position, lines_of_series in enumerate(series, start=1):
        _check_series(path, position, lines_of_series, len(series[0]))
    tables = [np.array([numbers for _, numbers in lines_of_series]) for lines_of_series in series]
    return genes, [(table[:, 0], table[:, 1:]) for table in tables]


def _numbers(path: Path, number: int, line: str, header: Sequence[str]) -> list[float]:
    fields = line.split("\t")
    if len(fields) != len(header):
        message = f"{path}, line {number}: {len(fields)} fields where line 1 has {len(header)}; is the file cut off?"
        raise UserError(message)
    return [finite_number(path, number, f"column {name!r}", field) for name, field in zip(header, fields, strict=True)]


def finite_number(path: Path, line: int, where: str, text: str) -> float:
    """A field of a table as a number.

    Args:
        path: the table.
        line: its line.
        where: what the field is called in a message, such as "field 3".
        text: what it holds.

    Raises:
        UserError: it is no finite number.
    """
    try:
        number = float("x" if "_" in text else text)  # Python's own numbers may hold underscores
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        message = f"{path}, line {line}, {where}: {text!r} is not a finite number"
        raise UserError(message)
    return number


def _check_series(path: Path, position: int, lines: Sequence[tuple[int, list[float]]], expected: int) -> None:
    first, last = lines[0][0], lines[-1][0]
    if len(lines) != expected:
        message = (
            f"{path}, lines {first} to {last}: series {position} has {len(lines)} observations where the first has "
            f"{expected}; is the file cut off?"
        )
        raise UserError(message)
    for (_, before), (line, after) in itertools.pairwise(lines):
        if after[0] <= before[0]:
            message = (
                f"{path}, line {line}: the time {after[0]:g} follows {before[0]:g}, where times are to increase; is "
                "the empty line between two series missing?"
            )
            raise UserError(message)


def read_pair_list(path: Path, genes: Sequence[str]) -> NDArray[np.bool_]:
    """Edges among the genes, (source, target), from a list of all ordered pairs of two different genes.

    Raises:
        UserError: the file cannot be read, a line is no pair of two of the genes with 0 or 1, or a pair is there twice
            or not at all.
    """
    positions = {gene: position for position, gene in enumerate(genes)}
    edges = np.zeros((len(genes), len(genes)), dtype=bool)
    is_listed = np.eye(len(genes), dtype=bool)
    for number, line in enumerate(read_table_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != 3 or fields[2] not in _IS_EDGE:
            message = f"{path}, line {number}: {line[:60]!r}, expected source, target and 0 or 1 between tabs"
            raise UserError(message)
        for gene in fields[:2]:
            if gene not in positions:
                message = (
                    f"{path}, line {number}: no gene of the series is named {gene!r}; the nearest: "
                    f"{nearest_names(gene, genes)}; does the list belong to another network?"
                )
                raise UserError(message)
        pair = positions[fields[0]], positions[fields[1]]
        if is_listed[pair]:
            reason = "is a gene with itself" if pair[0] == pair[1] else "is there a second time"
            message = f"{path}, line {number}: the pair from {fields[0]} to {fields[1]} {reason}"
            raise UserError(message)
        is_listed[pair], edges[pair] = True, _IS_EDGE[fields[2]]
    if not is_listed.all():
        source, target = np.argwhere(~is_listed)[0]
        message = (
            f"{path}: {int((~is_listed).sum())} pairs are missing, the first from {genes[source]} to {genes[target]}; "
            "is the file cut off?"
        )
        raise UserError(message)
    return edges
