import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sparsenode.data.tables import gzip_lines, read_numeric_table, read_text_table
from sparsenode.errors import UserError

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def write_table(path: Path, values: np.ndarray) -> str:
    header = "\t".join(f"column {index}" for index in range(values.shape[1]))
    text = "\n".join([header, *("\t".join(repr(float(value)) for value in row) for row in values)]) + "\n"
    path.write_text(text)
    return text


@settings(deadline=None, max_examples=50)
@given(values=arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=FINITE))
def test_numbers_are_read_to_the_last_bit(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("tables") / "table.tsv"
    write_table(path, values)
    header, found = read_numeric_table(path, "\t")
    assert header == [f"column {index}" for index in range(values.shape[1])]
    np.testing.assert_array_equal(found, values)


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_a_table_cut_anywhere_inside_a_line_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("tables") / "table.tsv"
    text = write_table(path, np.arange(12.0).reshape(4, 3) / 7)
    cut = data.draw(st.integers(0, len(text) - 1))
    path.write_text(text[:cut])
    if text[:cut].count("\n") > 1 and text[:cut].endswith("\n"):
        assert len(read_numeric_table(path, "\t")[1]) == text[:cut].count("\n") - 1
    else:
        with pytest.raises(UserError, match=str(path)):
            read_numeric_table(path, "\t")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\n1\t2\n3\tx\n", r"line 3, column 'b': 'x' is not a finite number"),
        ("a\tb\n1\t\n", r"line 2, column 'b': '' is not a finite number"),
        ("a\tb\n1\tnan\n", r"line 2, column 'b': 'nan' is not"),
        ("a\tb\n-inf\t1\n", r"line 2, column 'a': '-inf' is not"),
        ("a\tb\n1\t2\n3\n", r"line 3: 1 fields where line 1 has 2"),
        ("a\tb\n1\t2\t3\n", r"line 2: 3 fields where line 1 has 2"),
        ("a\tb\n1\t2\n\n3\t4\n", r"line 3: 1 fields"),
        ("a\tb\n1,2\n", r"line 2: 1 fields where line 1 has 2.*separator"),
        ("a\ta\n1\t2\n", r"line 1: the column 'a' stands there more than once"),
        ("a\tb\n1\t2\n3\t4", r"cut off"),
        ("a\tb\n", r"no line below"),
        ("", r"cut off"),
        ("\n <!DOCTYPE html><html>\n", r"is a web page \(HTML\)"),
    ],
)
def test_a_damaged_table_names_the_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "table.tsv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_numeric_table(path, "\t")


def test_files_that_are_no_text_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\x1f\x8b\xff\xff")
    with pytest.raises(UserError, match="not a text file"):
        read_numeric_table(tmp_path / "binary", "\t")
    with pytest.raises(UserError, match=r"cannot read .*missing: No such file"):
        read_numeric_table(tmp_path / "missing", "\t")


def test_gzip_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines.gz"
    path.write_bytes(gzip.compress(b"one\r\ntwo\n\nthree"))
    assert list(gzip_lines(path, limit=100)) == ["one", "two", "", "three"]


@pytest.mark.parametrize("content", [b"\0" * 2**24, b"line\n" * 2**22])
def test_a_gzip_bomb_stops_at_the_limit(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(content, 1))
    assert path.stat().st_size < 2**18
    with pytest.raises(UserError, match=r"bomb\.gz unpacks to more than 1000 bytes"):
        list(gzip_lines(path, limit=1000))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"line\n" * 1000)[:-12], "cut off or damaged"),
        (gzip.compress(bytes(range(256)) * 10)[:200] + b"\0" * 100, "cut off or damaged|cannot read the gzip"),
        (b"<html>", "cannot read the gzip file"),
        (gzip.compress(b"\xff\xfe\n"), "does not unpack to text"),
    ],
)
def test_a_damaged_gzip_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(gzip_lines(path, limit=10**6))
    with pytest.raises(UserError, match="cannot read"):
        list(gzip_lines(tmp_path / "missing.gz", limit=10))


@settings(max_examples=50)
@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"), max_size=8),
                         min_size=2, max_size=2), min_size=1, max_size=5))  # fmt: skip
def test_text_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    path = tmp_path_factory.mktemp("tables") / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["one", "other"], *rows])
    assert read_text_table(path, ("one", "other")) == list(enumerate(rows, start=2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3\n", r"line 3: 1 fields where line 1 has 2; is the file cut off\?"),
        ("a,b\n1,2\n\n", "line 3: 0 fields where line 1 has 2"),
        ("a,b\n1,2,3\n", "line 2: 3 fields where line 1 has 2"),
        ('a,b\n1,"2\n3,4\n', r"line 3: unexpected end of data; is the file cut off\?"),
        ('a,b\n1,"2"3\n', "line 2: ',' expected after '\"'"),
        ("b,a\n1,2\n", "line 1: found the columns 'b, a', expected 'a, b'"),
        ("a,b\n", "no line below the column names"),
        ("", "no line below the column names"),
        ("<html>\n", "is a web page"),
        (f"a,b\n1,{'2' * 200_000}\n", "line 2: field larger than field limit"),
    ],
)
def test_a_damaged_table_of_text_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        read_text_table(path, ("a", "b"))
    assert str(path) in str(caught.value)
