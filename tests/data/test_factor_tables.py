from pathlib import Path

import numpy as np
import pytest

from sparsenode.data.readers.factor_tables import read_factor_cells, read_factor_network, read_factors, read_pseudotimes
from sparsenode.errors import UserError


def read_two(path: Path) -> None:
    """Read a network of two factors."""
    read_factor_network(path, ("A", "B"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.txt"


def test_lines_are_factors_and_fields_are_cells(path: Path) -> None:
    path.write_text("1\t2\t3\n4\t5\t6\n")
    np.testing.assert_array_equal(read_factor_cells(path, 2), [[1, 4], [2, 5], [3, 6]])


def test_labels_without_quotation_marks_and_pseudotimes(path: Path) -> None:
    path.write_text('"MEF"\t2.5\t0\n"Myocyte"\t1e1\t22\n')
    labels, times = read_pseudotimes(path, 2)
    assert labels.tolist() == ["MEF", "Myocyte"]
    assert times.tolist() == [2.5, 10.0]


def test_edges_are_read_by_number_counted_from_0(path: Path) -> None:
    path.write_text("KLF4\tSOX2\t1\t0\nSOX2\tSOX2\t0\t0\n")
    np.testing.assert_array_equal(read_factor_network(path, ("Sox2", "Klf4")), [[1, 0], [1, 0]])


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_factors, "A\n\nB\n", r"line 2: the name is empty"),
        (read_factors, "A\nB\nA\n", r"line 3: the name 'A' is in line 1 already"),
        (read_factors, "", r"is empty"),
        (lambda path: read_factor_cells(path, 3), "1\t2\n3\t4\n", r"2 lines, expected one for each of 3"),
        (lambda path: read_factor_cells(path, 2), "1\t2\n3\n", r"line 2: 1 fields where line 1 has 2"),
        (lambda path: read_factor_cells(path, 1), "1\tx\n", r"line 1, field 2: 'x' is not a finite"),
        (lambda path: read_pseudotimes(path, 2), "a\t1\n", r"1 lines, expected one for each of 2 cells"),
        (lambda path: read_pseudotimes(path, 1), "1.5\n", r"line 1: .*a label and a pseudotime"),
        (read_two, "A\tB\t1\t2\n", r"'A' has the number 1, which is B"),
        (read_two, "A\tB\t0\t2\n", r"line 1: 'B' has the number 2, which is none, of 2"),
        (read_two, "A\tB\t0\n", r"line 1: .*names and numbers"),
    ],
)  # fmt: skip
def test_damaged_files(path: Path, read, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read(path)
