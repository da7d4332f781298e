from pathlib import Path

import numpy as np
import pytest

from sparsenode.data.readers.edge_tables import edge_matrix, read_edge_list, read_edge_matrix, read_genes
from sparsenode.errors import UserError


def write(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text)
    return path


def test_edges_are_read_once_each_without_blanks_and_quotes(tmp_path: Path) -> None:
    path = write(tmp_path, '"from", to,weight\n"A, B",C ,1\nC,C,2\n"A, B","C",3\nC,D /// E,1\n')
    assert read_edge_list(path, "from", "to") == [("A, B", "C"), ("C", "C"), ("C", "D /// E")]
    assert read_edge_list(path, "to", "weight")[0] == ("C", "1")


def test_a_matrix_of_edges_leaves_other_genes_out_and_does_not_depend_on_their_order() -> None:
    edges = [("b", "a"), ("x", "a"), ("a", "x"), ("c", "c"), ("a", "c")]
    expected = np.array([[0, 0, 1], [1, 0, 0], [0, 0, 1]], dtype=bool)
    np.testing.assert_array_equal(edge_matrix(edges, ["a", "b", "c"]), expected)
    np.testing.assert_array_equal(edge_matrix(edges[::-1], ["a", "b", "c"]), expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from,target\na,b\n", r"line 1: no column 'to'; there are: from, target"),
        ("", r"line 1: no column 'from'; there are: none"),
        ("from,to\n", r"no line below the column names"),
        ("from,to\na,b\nc\n", r"line 3: 1 fields where line 1 has 2"),
        ('from,to\na,"b\n', r"line 2: .*is the file cut off"),
        ("from,to\na,b\nc,\n", r"line 3: an edge without a name"),
        ("<html>\n", r"is a web page"),
    ],
)
def test_broken_lists(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_edge_list(write(tmp_path, text), "from", "to")


def test_a_matrix_is_read_row_by_row(tmp_path: Path) -> None:
    found = read_edge_matrix(write(tmp_path, "0,0.5\n-0.5,0\n"), 2)
    np.testing.assert_array_equal(found, [[0, 0.5], [-0.5, 0]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,1\n", r"1 lines, expected a matrix of 2 by 2 genes"),
        ("0,1\n0,1,2\n", r"line 2 has 3 fields, expected a matrix of 2 by 2 genes"),
        ("0,x\n0,1\n", r"table\.csv: .*x"),
        ("0,1\n0,nan\n", r"line 2, field 2: nan is not a finite number"),
    ],
)
def test_broken_matrices(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_edge_matrix(write(tmp_path, text), 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gene\na\n", r"1 genes, but the trajectories have 2"),
        ("gene\na\na\n", r"the name 'a' in the column 'gene' does not name one gene"),
        ("gene\na\n \n", r"the name '' in the column 'gene'"),
    ],
)
def test_broken_names(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_genes(write(tmp_path, text), "gene", 2)
    assert read_genes(write(tmp_path, "gene\nb\na\n"), "gene", 2) == ("b", "a")
