import csv
import gzip
import json
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sparsenode.data.readers.tables import (
    finite_numbers,
    read_numeric_table,
    read_table_text,
    read_text_table,
    read_written_table,
)
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
        ("a\ta\n1\t2\n", r"line 1: the column 'a' is there more than once"),
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


@pytest.mark.parametrize("content", [b"\0" * 2**24, b"line\n" * 2**22])
def test_a_gzip_bomb_stops_at_the_limit(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(content, 1))
    assert path.stat().st_size < 2**18
    with pytest.raises(UserError, match=r"bomb\.gz unpacks to more than 1000 bytes"):
        read_table_text(path, limit=1000)
    (tmp_path / "plain").write_bytes(content)
    with pytest.raises(UserError, match=r"plain has more than 1000 bytes"):
        read_table_text(tmp_path / "plain", limit=1000)
    assert read_table_text(tmp_path / "plain", limit=len(content)) == content.decode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"line\n" * 1000, mtime=0)[:-12], "cut off or damaged"),
        (gzip.compress(bytes(range(256)) * 10, mtime=0)[:200] + b"\0" * 100, "cut off or damaged|cannot read the gzip"),
        (b"<html>", "cannot read the gzip file"),
        (gzip.compress(b"\xfe\n", mtime=0), r"is not a text file \(byte 0 is no UTF-8\)"),
    ],
)
def test_a_damaged_gzip_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_table_text(path)
    with pytest.raises(UserError, match="cannot read"):
        read_table_text(tmp_path / "missing.gz")


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


# Tables that people write.

PLAIN = "name,A,B c\n007,0.5,1e5\nNA,-1,x;y\n"
FORMS = {
    "plain": PLAIN.encode(),
    "byte-order mark": b"\xef\xbb\xbf" + PLAIN.encode(),
    "UTF-16": PLAIN.encode("utf-16"),
    "ends of Windows": PLAIN.replace("\n", "\r\n").encode(),
    "ends of old": PLAIN.replace("\n", "\r").encode(),
    "no end": PLAIN.rstrip().encode(),
    "empty lines": ("\n" + PLAIN.replace("\n", "\n \n") + "\n\n").encode(),
    "tabs": PLAIN.replace(",", "\t").encode(),
    "semicolons": b'name;A;B c\n007;0.5;1e5\nNA;-1;"x;y"\n',
    "quotes": b'"name","A","B c"\n"007","0.5","1e5"\n"NA","-1","x;y"\n',
    "blanks": b' name , A, B c \n007 ,0.5 , "1e5"\nNA,\xc2\xa0-1 ,x;y\t\n',
    "blanks and quotes": b'"name" , "A" ,"B c" \n "007" ,"0.5","1e5"\n"NA", "-1" , "x;y" ',
    "blanks and tabs": b"name \tA \t B c\n 007\t0.5\t1e5 \n NA\t -1\tx;y\n",
}


@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("name", ["table.csv", "table.tsv", "table.csv.gz"])
def test_a_written_table_is_the_same_in_every_form(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    table = read_written_table(path)
    assert table.columns == ("name", "A", "B c")
    assert [fields for _, fields in table.rows] == [["007", "0.5", "1e5"], ["NA", "-1", "x;y"]]


@pytest.mark.parametrize("separator", list("\t;,"))
@settings(max_examples=50)
@given(rows=st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"), min_size=1,
                                      max_size=8).map(str.strip).filter(bool), min_size=3, max_size=3),
                     min_size=1, max_size=5))  # fmt: skip
def test_written_text_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, separator: str, rows: list[list[str]]
) -> None:
    path = tmp_path_factory.mktemp("tables") / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([["one", "other", "third"], *rows])
    table = read_written_table(path)
    assert table.columns == ("one", "other", "third")
    assert list(table.rows) == list(enumerate(rows, start=2))


def test_the_names_of_rows_as_r_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text('"A","B"\n"1",2,3\n"NA",4,5\n')
    table = read_written_table(path, names_rows=lambda names, _: names[0] == "A")
    assert table.columns == ("", "A", "B")
    assert [fields for _, fields in table.rows] == [["1", "2", "3"], ["NA", "4", "5"]]
    # The same widths are a line that is too long where the first name may be that of the names.
    path.write_text("name,A,B\nx,2,3,99\n")
    with pytest.raises(UserError, match=r"line 2: 4 fields where line 1 names 3 columns: '99' follows the last .* 'B'"):
        list(read_written_table(path, names_rows=lambda names, _: names[0] == "A").rows)
    path.write_text("A,B\n1,2,3\n4,5\n")
    with pytest.raises(UserError, match=r"line 3: 2 fields where line 1 names 3 columns, none for the column 'B'"):
        list(read_written_table(path, names_rows=lambda names, _: names[0] == "A").rows)


@pytest.mark.parametrize(
    ("text", "decimal_commas"),
    [
        ("z,A,B\nx,1,5,3\ny,2,5,3.5\n", True),  # 1,5 may be one and a half
        ("z,A,B\nx,1,5.0,3\ny,2,5.0,3.5\n", False),
        ("z,A,B\nx,1,5,3.5\ny,2.0,5,3\n", False),
        ("z\tA\tB\nx\t1\t5\t3\n", False),
    ],
)
def test_a_decimal_comma_is_told_from_a_name_that_r_left_out(tmp_path: Path, text: str, decimal_commas: bool) -> None:
    asked = []
    (tmp_path / "table").write_text(text)
    table = read_written_table(tmp_path / "table", names_rows=lambda *names: not asked.append(names))
    assert asked == [(["z", "A", "B"], decimal_commas)]
    assert table.columns == ("", "z", "A", "B")
    assert [len(fields) for _, fields in table.rows] == [4] * (text.count("\n") - 1)


@pytest.mark.parametrize(
    "text", ["a,b,,\n1,2,,\n3,4,,\n", "a,b,,\n1,2,,\n,,,\n3,4,,\n,,,\n", "a;b;;\n1;2;;\n3;4;;\n;;;"]
)
def test_empty_columns_and_lines_of_a_spreadsheet_are_left_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "table.csv").write_text(text)
    table = read_written_table(tmp_path / "table.csv")
    assert table.columns == ("a", "b")
    assert [fields for _, fields in table.rows] == [["1", "2"], ["3", "4"]]


@pytest.mark.parametrize("separator", list("\t;,"))
@pytest.mark.parametrize("end", ['"', '" ', ""])
def test_long_quoted_fields_take_time_in_proportion(tmp_path: Path, separator: str, end: str) -> None:
    cell = json.dumps({f"key {number}": f"value{separator} {number}" for number in range(3000)}).replace('"', '""')
    for text in (cell, '""' * 60_000, f'{separator}""x' * 10_000):
        line = f'a{separator}b {separator}"{text}{end}\n'
        (tmp_path / "table.csv").write_text(f"source{separator}target{separator}meta\n{line}")
        begin = time.process_time()
        try:
            table = read_written_table(tmp_path / "table.csv")
            assert [fields[:2] for _, fields in table.rows] == [["a", "b"]]
        except UserError:
            assert end == ""
        assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,A\nx,1\ny,1,9\n", r"line 3: 3 fields where line 1 names 2 columns: '9' follows the last column, 'A'"),
        ("name,A,B\nx,1,2\ny,1\n", r"line 3: 2 fields where line 1 names 3 columns, none for the column 'B'"),
        ("name,A,B\nx,0,5,0,7\n", r"line 2: 5 fields where line 1 names 3 .* write numbers with a decimal point"),
        ("\nname;A\nx;1;2\n", r"line 3: 3 fields where line 2 names 2"),
        ("name,A,B,A\nx,1,2,3\n", r"line 1: the column 'A' is there more than once, as fields 2 and 4"),
        ("name,A,,,B\nx,1,,,2\n", r"line 1: the column '' is there more than once, as fields 3 and 4"),
        ("name,A,,\nx,1,,2\n", r"line 2: 4 fields where line 1 names 2 columns: '2' follows the last column, 'A'"),
        ('name,A\nx,"1\ny,2\n', r"line 3: unexpected end of data; a table has a line of column names and lines of"),
        ('name,A\nx,"1"0\n', r"line 2: ',' expected after '\"'"),
        ("name,A\n", r"has no rows: no line below the column names in line 1"),
        ("", r"cannot read .*: the file is empty"),
        ("\n \n", r"cannot read .*: the file is empty"),
        ("<!doctype html>\n", r"is a web page"),
    ],
)
def test_a_damaged_written_table_is_refused_with_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        list(read_written_table(path).rows)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fast", r"'fast' is not a finite number"),
        ("", r"it is empty where a number is needed"),
        ("nan", r"'nan' is not a finite number"),
        ("1_0", r"'1_0' is not a finite number"),
        ("0,5", r"'0,5' has a comma; write numbers with a decimal point and without separators of thousands"),
        ("1,000,000", r"'1,000,000' has a comma"),
        ("-1,5e-3", r"'-1,5e-3' has a comma"),
    ],
)
def test_a_number_that_is_none_is_refused_with_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "table.tsv"
    path.write_text(f"name\tA\tB\nx\t-1e-3\t+.5\ny\t1\t{text}\n")
    table = read_written_table(path)
    rows = iter(table.rows)
    assert finite_numbers(table, 2, [2, 1], next(rows)[1]) == [0.5, -1e-3]
    line, fields = next(rows)
    with pytest.raises(UserError, match=rf"table\.tsv, line 3, column 'B': {message}"):
        finite_numbers(table, line, [1, 2], fields)
