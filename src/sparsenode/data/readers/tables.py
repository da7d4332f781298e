"""Reading of text tables without guessing: a table is whole and all numbers, or an error names where not.

Published tables are read in the form in which they were published. Tables that people write (`read_written_table`) are
separated by commas, semicolons or tabs, with or without quotes, a byte-order mark and blanks around their fields; names
are text.
"""

import codecs
import contextlib
import csv
import gzip
import io
import itertools
import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sparsenode.data.trajectories import Floats
from sparsenode.errors import UserError

LARGEST = 2**30  # bytes of a table
MISSING = frozenset({"", "NA", "NaN", "nan"})
"""Fields of a number that was not observed."""
_FIRST_LINES = 20  # lines by which the separator is found
_SEPARATORS = ("\t", ";", ",")
_FORM = "a line of column names and lines of fields separated by commas, semicolons or tabs"
_COMMA = re.compile(r"[+-]?\d+(,\d+)+([eE][+-]?\d+)?")
_BEFORE_COMMA, _AFTER_COMMA = re.compile(r"[+-]?\d+"), re.compile(r"\d+([eE][+-]?\d+)?")
NamesRows = Callable[[Sequence[str], bool], bool]


@dataclass(frozen=True)
class WrittenTable:
    """A table that somebody has written: the names of its columns, and the number and the fields of each line below.

    Fields are text, without quotes and blanks around them. The lines are read while they are iterated over, once.
    """

    path: Path
    columns: tuple[str, ...]
    rows: Iterator[tuple[int, list[str]]]


def read_written_table(path: Path, *, names_rows: NamesRows = lambda _names, _decimal_commas: False) -> WrittenTable:
    """Open a table that somebody has written; gzipped if its name ends in `.gz`.

    R writes names of rows without a name for their column, so that the line of column names is one field short; the
    first column then has the name "". Lines without any entry and, at the end, several columns without a name or an
    entry, which spreadsheets write, are left out.

    Args:
        path: the file.
        names_rows: whether names that are one fewer than the fields below are those of all columns but the first, by
            the names and by whether a decimal comma in one column might be the reason, too.

    Raises:
        UserError: the file cannot be read, is no text, has a column twice or no line below the column names; while
            iterating, a line with more or fewer fields or with quotation marks out of place. The message names line
            and column.
    """
    content = read_table_text(path)
    separator = _find_separator(path, content)
    lines = _written_lines(path, content, separator)
    header_line, header = next(lines, (1, []))
    if not header:
        message = f"cannot read {path}: the file is empty; {_FORM} are needed"
        raise UserError(message)
    if header.count("") > 1:
        unnamed = len(list(itertools.takewhile(lambda name: not name, reversed(header[1:]))))
        header = header[: len(header) - unnamed]
        lines = ((line, _without_last(fields, unnamed)) for line, fields in lines)
    first = next(lines, None)
    if first is None:
        message = f"{path} has no rows: no line below the column names in line {header_line}"
        raise UserError(message)
    if len(first[1]) == len(header) + 1:
        decimal_commas = separator == "," and _may_be_decimal_commas(fields for _, fields in _all_lines(path, content))
        if names_rows(header, decimal_commas):
            header = ["", *header]
    repeated = next((name for name, count in Counter(header).items() if count > 1), None)
    if repeated is not None:
        fields = [str(field) for field, name in enumerate(header, start=1) if name == repeated]
        message = (
            f"{path}, line {header_line}: the column {repeated!r} is there more than once, as fields "
            f"{' and '.join(fields)}; give each column a name of its own"
        )
        raise UserError(message)
    return WrittenTable(path, tuple(header), _of_width(path, header_line, header, itertools.chain([first], lines)))


def _without_last(fields: list[str], count: int) -> list[str]:
    """The fields of a line without the last few, unless one of these has an entry."""
    return fields if any(fields[-count:]) else fields[:-count]


def _all_lines(path: Path, content: str) -> Iterator[tuple[int, list[str]]]:
    """Lines below the first of a table that is separated by commas, up to where quotation marks are out of place."""
    with contextlib.suppress(UserError):
        yield from itertools.islice(_written_lines(path, content, ","), 1, None)


def _may_be_decimal_commas(lines: Iterable[Sequence[str]]) -> bool:
    """Whether the same two neighboring fields of all lines may be one number with a decimal comma."""
    candidates: set[int] | None = None
    for fields in lines:
        number = {
            index
            for index, (whole, decimals) in enumerate(itertools.pairwise(fields))
            if _BEFORE_COMMA.fullmatch(whole) and _AFTER_COMMA.fullmatch(decimals)
        }
        candidates = number if candidates is None else candidates & number
        if not candidates:
            return False
    return True


def _written_lines(path: Path, content: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of each line that has an entry, without blanks around the fields."""
    padded = any(blank in content for blank in " \xa0\t" if blank != separator)
    if padded and '"' in content:
        # The csv module takes no blanks between a quotation mark and the end of its field.
        # Each quoted field is passed over as a whole, so that the search takes time in proportion to the text.
        quoted = rf'(?:\A|[{separator}\r\n]) *+"[^"]*+(?:""[^"]*+)*+"'
        content = re.sub(rf"({quoted})(?:[ \xa0]++(?=[{separator}\r\n]|\Z))?", r"\1", content)
    hint = f"a table has {_FORM}"
    for line, row in _csv_rows(path, content, separator, skipinitialspace=True, hint=hint):
        fields = [field.strip() for field in row] if padded else row
        if any(fields):
            yield line, fields


def _find_separator(path: Path, content: str) -> str:
    """The separator by which the first two lines have as many fields, or by which the first one has most."""
    beginning = "".join(itertools.islice(io.StringIO(content, newline=""), _FIRST_LINES))

    def fit(separator: str) -> tuple[int, int]:
        widths = []
        # A line with quotation marks out of place is refused when it is read.
        with contextlib.suppress(UserError):
            for _, fields in itertools.islice(_written_lines(path, beginning, separator), 2):
                widths.append(len(fields))
        first, second = (*widths, 0, 0)[:2]
        is_fit = max(first, second) > 1 and second in {first, first + 1}
        return is_fit * (2 if second == first else 1), first

    fits = {separator: fit(separator) for separator in _SEPARATORS}
    return max(fits, key=lambda separator: fits[separator]) if any(map(any, fits.values())) else ","


def _of_width(
    path: Path, header_line: int, header: Sequence[str], lines: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    """The lines, as long as each has a field for every column."""
    for line, fields in lines:
        if len(fields) != len(header):
            number = f"{path}, line {line}: {len(fields)} fields where line {header_line} names {len(header)} columns"
            if len(fields) < len(header):
                message = f"{number}, none for the column {header[len(fields)]!r}; is the line cut off?"
            else:
                entry = next(filter(None, fields[len(header) :]), "")
                message = (
                    f"{number}: {entry!r} follows the last column, {header[-1]!r}; give every column a "
                    "name, quote text with commas, and write numbers with a decimal point"
                )
            raise UserError(message)
        yield line, fields


def finite_numbers(table: WrittenTable, line: int, columns: Sequence[int], fields: Sequence[str]) -> list[float]:
    """Numbers in some fields of a line of a table.

    Args:
        table: the table, for messages.
        line: number of the line, for messages.
        columns: indices of the fields to read.
        fields: all fields of the line.

    Raises:
        UserError: a field holds what is not a finite number; the message names line and column.
    """
    picked = [fields[column] for column in columns]
    try:
        numbers = [float(text) for text in picked]
        if all(map(math.isfinite, numbers)) and "_" not in "".join(picked):  # Python's own numbers may hold underscores
            return numbers
    except ValueError:
        pass
    wrong = next(column for column in columns if not _is_finite_number(fields[column]))
    text = fields[wrong]
    problem = f"{text!r} is not a finite number"
    if not text:
        problem = "it is empty where a number is needed"
    elif _COMMA.fullmatch(text):
        problem = f"{text!r} has a comma; write numbers with a decimal point and without separators of thousands"
    message = f"{table.path}, line {line}, column {table.columns[wrong]!r}: {problem}"
    raise UserError(message)


def read_numeric_table(path: Path, separator: str) -> tuple[list[str], Floats]:
    """Column names of the first line and the numbers below, (row, column).

    Raises:
        UserError: the file cannot be read, is a web page, is cut off, has lines of different lengths,
            repeated column names, text in a number's place, or a number that is not finite.
    """
    content = read_table_text(path)
    header = content.partition("\n")[0].removesuffix("\r").split(separator)
    if not content.endswith("\n"):
        message = f"{path}: the last line has no end: the file is cut off; fetch it again"
        raise UserError(message)
    if len(set(header)) < len(header):
        repeated = next(name for name in header if header.count(name) > 1)
        message = f"{path}, line 1: the column {repeated!r} is there more than once"
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


def named_rows(table: WrittenTable, what: str) -> Iterator[tuple[int, str, list[str]]]:
    """Line, name and all fields of each row of a table whose first column names the rows.

    Args:
        table: the table.
        what: what messages call a row, such as "state".

    Raises:
        UserError: a name is empty, or there twice; the message names the line.
    """
    lines: dict[str, int] = {}
    for line, fields in table.rows:
        name = fields[0]
        if not name:
            message = f"{table.path}, line {line}: the first field, the name of the {what}, is empty"
            raise UserError(message)
        if lines.setdefault(name, line) != line:
            message = f"{table.path}, line {line}: the {what} {name!r} is in line {lines[name]} already; name each once"
            raise UserError(message)
        yield line, name, fields


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
    return [[row[index].strip() for row in rows] for index in map(header.index, columns)]


def _text_lines(path: Path, *, skipinitialspace: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of each line of a CSV file, as many as the first has, or an error that names the line."""
    width = None
    for line, row in _csv_rows(path, read_table_text(path), skipinitialspace=skipinitialspace):
        width = len(row) if width is None else width
        if len(row) != width:
            message = f"{path}, line {line}: {len(row)} fields where line 1 has {width}; is the file cut off?"
            raise UserError(message)
        yield line, row


def _csv_rows(
    path: Path,
    content: str,
    separator: str = ",",
    *,
    skipinitialspace: bool = False,
    hint: str = "is the file cut off?",
) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of each line of a text, or an error that names the line."""
    reader = csv.reader(
        io.StringIO(content, newline=""), delimiter=separator, skipinitialspace=skipinitialspace, strict=True
    )
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        message = f"{path}, line {reader.line_num}: {error}; {hint}"
        raise UserError(message) from error


def _at_least_one(path: Path, lines: Iterator[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    rows = list(lines)
    if not rows:
        message = f"{path}: no line below the column names; is the file cut off?"
        raise UserError(message)
    return rows


def read_table_text(path: Path, *, limit: int = LARGEST) -> str:
    """The text of a file that is to be a table, without a byte-order mark; unpacked where its name ends in `.gz`.

    Raises:
        UserError: the file cannot be read, is no text, is a web page, or has more than `limit` bytes.
    """
    content = _read_bytes(path, limit)
    try:
        # A byte-order mark says how a text is encoded; spreadsheets write one.
        encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        invalid_byte = f"byte {error.start} is no UTF-{'16' if encoding == 'utf-16' else '8'}"
        message = f"{path} is not a text file ({invalid_byte}); save a table as UTF-8"
        raise UserError(message) from error
    if text[:512].lstrip().lower().startswith(("<!doctype html", "<html")):
        message = f"{path} is a web page (HTML) in place of a table; delete it and fetch the data again"
        raise UserError(message)
    return text


def _read_bytes(path: Path, limit: int) -> bytes:
    packed = path.suffix == ".gz"
    what = f"{'the gzip file ' if packed else ''}{path}"
    try:
        # At most `limit` bytes and one are read: a small gzip file may unpack to any size.
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            content = stream.read(limit + 1)
    except (EOFError, zlib.error) as error:
        message = f"{path}: the gzip file is cut off or damaged ({error}); fetch it again"
        raise UserError(message) from error
    except OSError as error:
        message = f"cannot read {what}: {error.strerror or error}"
        raise UserError(message) from error
    if len(content) > limit:
        message = f"{path} {'unpacks to' if packed else 'has'} more than {limit} bytes, which is no table that is read"
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
        return "_" not in text and math.isfinite(float(text))
    except ValueError:
        return False
