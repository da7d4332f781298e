"""Reading of text tables without guessing: a table is whole and all numbers, or an error names where not."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError


def read_numeric_table(path: Path, separator: str) -> tuple[list[str], Floats]:
    """Column names of the first line and the numbers below, (row, column).

    Raises:
        UserError: the file cannot be read, is a web page, is cut off, has lines of different lengths,
        repeated
            column names, text in a number's place, or a number that is not finite.
    """
    content = read_table_text(path)
    header = content.partition("\n")[0].removesuffix("\r").split(separator)
    if not content.endswith("\n"):
        message = f"{path}: the last line has no end: the file is cut off; fetch it again"
        raise UserError(message)
    if len(set(header)) < len(header):
        repeated = next(name for name in header if header.count(name) > 1)
        message = f"{path}, line 1: the column {repeated!r} stands there more than once"
        raise UserError(message)
    lines = content.splitlines()[1:]
    if not lines:
        message = f"{path}: no line below the column names; is the file cut off?"
        raise UserError(message)
    try:
        values = np.loadtxt(lines, delimiter=separator, comments=None, ndmin=2)
    except ValueError as error:
        _raise_first_problem(path, header, lines, separator)
        message = f"{path}: {error}"
        raise UserError(message) from error
    if values.shape != (len(lines), len(header)) or not np.isfinite(values).all():
        _raise_first_problem(path, header, lines, separator)
    return header, values


def read_text_table(path: Path, columns: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Lines below the header of a CSV file of exactly these `columns`, each with its number; fields may be quoted.

    Raises:
        UserError: the file cannot be read, is a web page, has other columns, a line with more or fewer fields, a
            quotation mark that is not closed, or no line below its header.
    """
    lines = _text_lines(path)
    first = next(lines, None)
    if first is not None and first[1] != list(columns):
        message = f"{path}, line 1: found the columns {', '.join(first[1])!r}, expected {', '.join(columns)!r}"
        raise UserError(message)
    return _at_least_one(path, lines)


def read_text_columns(path: Path, columns: Sequence[str]) -> list[list[str]]:
    """The named columns of a CSV of texts, quoted or not, each (row,), without the blanks around them.

    Raises:
        UserError: the file cannot be read, is a web page, has no such column or no row, or has lines of different
            lengths or unbalanced quotes, as one that is cut off.
    """
    lines = _text_lines(path, skipinitialspace=True)
    header = [name.strip() for name in next(lines, (1, []))[1]]
    if missing := [name for name in columns if name not in header]:
        message = f"{path}, line 1: no column {missing[0]!r}; there are: {', '.join(header) or 'none'}"
        raise UserError(message)
    rows = [row for _, row in _at_least_one(path, lines)]
    return [[row[place].strip() for row in rows] for place in map(header.index, columns)]


def _text_lines(path: Path, *, skipinitialspace: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of each line of a CSV file, as many as the first has, or an error that names the line."""
    content = io.StringIO(read_table_text(path), newline="")
    reader = csv.reader(content, skipinitialspace=skipinitialspace, strict=True)
    width = None
    try:
        for row in reader:
            width = len(row) if width is None else width
            if len(row) != width:
                message = (
                    f"{path}, line {reader.line_num}: {len(row)} fields where line 1 has {width}; is the file cut off?"
                )
                raise UserError(message)
            yield reader.line_num, row
    except csv.Error as error:
        message = f"{path}, line {reader.line_num}: {error}; is the file cut off?"
        raise UserError(message) from error


def _at_least_one(path: Path, lines: Iterator[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    found = list(lines)
    if not found:
        message = f"{path}: no line below the column names; is the file cut off?"
        raise UserError(message)
    return found


def read_table_text(path: Path) -> str:
    """The text of a file that is to be a table.

    Raises:
        UserError: the file cannot be read, is no text, or is a web page.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise UserError(message) from error
    except UnicodeDecodeError as error:
        message = f"{path} is not a text file (byte {error.start} is no UTF-8)"
        raise UserError(message) from error
    if content[:512].lstrip().lower().startswith(("<!doctype html", "<html")):
        message = f"{path} is a web page (HTML) in place of a table; delete it and fetch the data again"
        raise UserError(message)
    return content


def _raise_first_problem(path: Path, header: list[str], lines: list[str], separator: str) -> None:
    for number, line in enumerate(lines, start=2):
        fields = line.split(separator)
        if len(fields) != len(header):
            message = (
                f"{path}, line {number}: {len(fields)} fields where line 1 has {len(header)}; "
                "is the file cut off, or is the separator another one?"
            )
            raise UserError(message)
        for name, text in zip(header, fields, strict=True):
            if not _is_finite_number(text):
                message = f"{path}, line {number}, column {name!r}: {text!r} is not a finite number"
                raise UserError(message)


def _is_finite_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def gzip_lines(path: Path, *, limit: int) -> Iterator[str]:
    """Lines of a gzipped text file, without their ends; at most `limit` bytes are unpacked.

    Raises:
        UserError: the file cannot be read, is no gzip or is cut off, or unpacks to more than `limit` bytes.
    """
    unpacked = 0
    try:
        with gzip.open(path, "rb") as stream:
            # A line is bounded too: a bomb may hold no line end at all.
            while line := stream.readline(limit + 1):
                unpacked += len(line)
                if unpacked > limit:
                    message = f"{path} unpacks to more than {limit} bytes, which is not the file expected here"
                    raise UserError(message)
                yield line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        message = f"{path} does not unpack to text"
        raise UserError(message) from error
    except (EOFError, zlib.error) as error:
        message = f"{path}: the gzip file is cut off or damaged ({error}); fetch it again"
        raise UserError(message) from error
    except OSError as error:
        message = f"cannot read the gzip file {path}: {error.strerror or error}"
        raise UserError(message) from error
