from pathlib import Path

import numpy as np
import pytest

from sparsenode.data.readers.series_tables import read_pair_list, read_series_table
from sparsenode.errors import UserError

SERIES = '"Time"\t"G1"\t"G2"\n0.0\t1\t2\n10.0\t3\t4\n\n0.0\t5\t6\n20.0\t7\t8e-1\n\n'
PAIRS = "G1\tG2\t1\r\nG2\tG1\t0\r\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.tsv"


def test_series_one_after_another(path: Path) -> None:
    path.write_text(SERIES)
    genes, series = read_series_table(path)
    assert genes == ("G1", "G2")
    (first_times, first), (times, values) = series
    np.testing.assert_array_equal(first_times, [0, 10])
    np.testing.assert_array_equal(first, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(times, [0, 20])
    np.testing.assert_array_equal(values, [[5, 6], [7, 0.8]])


def test_pairs_with_line_ends_of_windows(path: Path) -> None:
    path.write_bytes(PAIRS.encode())
    np.testing.assert_array_equal(read_pair_list(path, ["G1", "G2"]), [[False, True], [False, False]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SERIES[:-8], r"line 6: the last line has no end: the file is cut off"),
        (SERIES.replace("20.0\t7\t8e-1\n", ""), r"lines 5 to 5: series 2 has 1 observations where the first has 2"),
        (SERIES.replace("20.0\t7\t8e-1\n", "20\t7\t8\n30\t7\t8\n"), r"lines 5 to 7: series 2 has 3 observations"),
        (SERIES.replace("\n\n0.0", "\n0.0"), r"line 4: the time 0 follows 10, .*the empty line between two series"),
        (SERIES.replace("\t6", ""), r"line 5: 2 fields where line 1 has 3"),
        (SERIES.replace("\t6", "\tx"), r"line 5, column 'G2': 'x' is not a finite number"),
        (SERIES.replace("\t6", "\tinf"), r"line 5, column 'G2': 'inf' is not a finite number"),
        (SERIES.replace("G2", "G1"), r"line 1: .*expected Time and names of genes, each once"),
        (SERIES.replace("Time", "t"), r"line 1: .*expected Time"),
        ('"Time"\t"G1"\n\n', r"no line below the column names"),
    ],
)
def test_damaged_series(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_series_table(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("G1\tG2\t1\n", r"1 pairs are missing, the first from G2 to G1; is the file cut off"),
        ("G1\tG2\t1\nG2\tG3\t0\n", r"line 2: no gene of the series is named 'G3'; the nearest: .*another network"),
        ("G1\tG2\t1\nG2\tG1\n", r"line 2: .*expected source, target and 0 or 1"),
        ("G1\tG2\t2\n", r"line 1: .*expected source, target and 0 or 1"),
        (PAIRS + "G2\tG1\t1\n", r"line 3: the pair from G2 to G1 is there a second time"),
        ("G1\tG1\t1\n", r"line 1: the pair from G1 to G1 is a gene with itself"),
    ],
)
def test_damaged_pairs(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_pair_list(path, ["G1", "G2"])
