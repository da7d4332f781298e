"""The file formats of SCODE: cells of transcription factors, their pseudotimes, and a network of footprints.

All are tab-separated without a header. Expression has a line for each factor and a field for each cell; the pseudotimes
a line for each cell, its label and its pseudotime first; the network a line for each edge: names of source and target,
in upper case, and their numbers, from 0, in the list of factors.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparsenode.data.readers.series_tables import finite_number
from sparsenode.data.readers.tables import read_table_text
from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError


def read_factors(path: Path) -> tuple[str, ...]:
    """Names of the factors, one a line.

    Raises:
        UserError: the file cannot be read, is empty, or a name is empty or there twice.
    """
    names = [line.strip() for line in read_table_text(path).splitlines()]
    for number, name in enumerate(names, start=1):
        if not name or name in names[: number - 1]:
            problem = f"the name {name!r} is in line {names.index(name) + 1} already" if name else "the name is empty"
            message = f"{path}, line {number}: {problem}; each line names one factor"
            raise UserError(message)
    if not names:
        message = f"{path} is empty, where each line is to name one factor"
        raise UserError(message)
    return tuple(names)


def read_factor_cells(path: Path, factors: int) -> Floats:
    """Expression (cell, factor), of a file with a line for each factor.

    Raises:
        UserError: the file cannot be read, has another number of lines than there are factors, lines of different
            lengths, or text in a number's place.
    """
    lines = read_table_text(path).splitlines()
    if len(lines) != factors:
        message = f"{path}: {len(lines)} lines, expected one for each of {factors} factors; is the file cut off?"
        raise UserError(message)
    rows = [line.split("\t") for line in lines]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            message = f"{path}, line {number}: {len(row)} fields where line 1 has {len(rows[0])}; is the file cut off?"
            raise UserError(message)
    return np.array(
        [
            [finite_number(path, number, f"field {place}", text) for place, text in enumerate(row, start=1)]
            for number, row in enumerate(rows, start=1)
        ]
    ).T


def read_pseudotimes(path: Path, cells: int) -> tuple[NDArray[np.str_], Floats]:
    """Labels and pseudotimes, both (cell,), of a file with a line for each cell.

    Raises:
        UserError: the file cannot be read, has another number of lines than there are cells, or a line has no
            pseudotime.
    """
    lines = read_table_text(path).splitlines()
    if len(lines) != cells:
        message = f"{path}: {len(lines)} lines, expected one for each of {cells} cells; is the file cut off?"
        raise UserError(message)
    labels, times = [], []
    for number, line in enumerate(lines, start=1):
        fields = line.split("\t")
        if len(fields) < 2:
            message = f"{path}, line {number}: {line[:60]!r}, expected a label and a pseudotime between tabs"
            raise UserError(message)
        labels.append(fields[0].strip().strip('"'))
        times.append(finite_number(path, number, "field 2", fields[1]))
    return np.array(labels), np.array(times)


def read_factor_network(path: Path, factors: tuple[str, ...]) -> NDArray[np.bool_]:
    """Edges (source, target) among the factors, self-effects included, by the numbers in the file.

    Raises:
        UserError: the file cannot be read, a line is no edge of two factors, or its numbers and its names are those of
            different factors.
    """
    edges = np.zeros((len(factors), len(factors)), dtype=bool)
    for number, line in enumerate(read_table_text(path).splitlines(), start=1):
        fields = [field.strip() for field in line.split("\t")]
        texts = fields[2:]
        if len(fields) != 4 or not all(text.isascii() and text.isdigit() for text in texts):
            message = f"{path}, line {number}: {line[:60]!r}, expected names and numbers of source and target"
            raise UserError(message)
        source, target = (int(text) for text in texts)
        for name, position in zip(fields, (source, target), strict=False):
            if position >= len(factors) or factors[position].upper() != name.upper():
                named = factors[position] if position < len(factors) else f"none, of {len(factors)}"
                message = f"{path}, line {number}: {name!r} has the number {position}, which is {named}; counted from 0"
                raise UserError(message)
        edges[source, target] = True
    return edges
