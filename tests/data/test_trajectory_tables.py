from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsenode.data.readers.trajectory_tables import read_trajectory_table
from sparsenode.errors import UserError

SMALL = "2,2,\n1,2,3\n4,5,6\n0,0.5,1\n7,8,\n9,,\n0,2,\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "values.csv"
    path.write_text(text)
    return path


def test_two_trajectories_one_filled_up(tmp_path: Path) -> None:
    (times, values), (other_times, other_values) = read_trajectory_table(write(tmp_path, SMALL))
    np.testing.assert_array_equal(times, [0, 0.5, 1])
    np.testing.assert_array_equal(values, [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(other_times, [0, 2])
    np.testing.assert_array_equal(other_values, [[7, 9], [8, np.nan]])


@pytest.mark.parametrize("missing", ["", "NA", "NaN", "nan"])
def test_missing_values_are_nan(tmp_path: Path, missing: str) -> None:
    [(times, values)] = read_trajectory_table(write(tmp_path, f"1,1\n3,{missing},5\n0,1,2"))
    np.testing.assert_array_equal(times, [0, 1, 2])
    np.testing.assert_array_equal(values[:, 0], [3, np.nan, 5])


@pytest.mark.slow(reason="draws many examples")
@given(data=st.data())
def test_what_is_written_is_read_to_the_last_bit(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    genes, count = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    numbers = st.floats(allow_nan=False, allow_infinity=False)
    lines, expected = [f"{genes},{count}"], []
    for _ in range(count):
        times = sorted(data.draw(st.lists(numbers, min_size=1, max_size=4, unique=True)))
        rows = [[data.draw(numbers) for _ in times] for _ in range(genes)]
        lines += [",".join(map(repr, row)) for row in (*rows, times)]
        expected.append((np.array(times), np.array(rows).T))
    found = read_trajectory_table(write(tmp_path_factory.mktemp("tables"), "\n".join(lines) + "\n"))
    assert len(found) == count
    for pair, other in zip(found, expected, strict=True):
        for values, wanted in zip(pair, other, strict=True):
            np.testing.assert_array_equal(values, wanted)


@pytest.mark.parametrize("cut", range(len(SMALL) - 6))
def test_a_file_cut_before_its_last_line_is_refused(tmp_path: Path, cut: int) -> None:
    with pytest.raises(UserError, match=r"values\.csv"):
        read_trajectory_table(write(tmp_path, SMALL[:cut]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: '', expected the numbers of genes and of trajectories"),
        ("gene,t\n1\n0\n", r"line 1: 'gene,t'"),
        ("2\n1\n2\n0\n", r"line 1: '2'"),
        ("-1,1\n", r"line 1"),
        ("0,1\n0,1\n", r"line 1"),
        ("²,1\n1\n1\n0\n", r"line 1"),
        ("1,1,5\n1,2\n0,1\n", r"line 1: '1,1,5'"),
        ("2,1\n1,2\n0,1\n", r"3 lines, but 2 genes and 1 trajectories \(line 1\) make 4"),
        ("1,1\n1,2\n0,1\n0,2\n", r"4 lines, but 1 genes and 1 trajectories \(line 1\) make 3"),
        ("1,1\n1,2,3\n0,1\n", r"line 2: 3 fields where the line of the times, line 3, has 2"),
        ("1,1\n1,x\n0,1\n", r"line 2, field 2: 'x' is not a finite number"),
        ("1,1\n1,inf\n0,1\n", r"line 2, field 2: 'inf' is not a finite number"),
        ("1,1\n1,1_0\n0,1\n", r"line 2, field 2: '1_0' is not a finite number"),
        ("1,1\n1,2,3\n0,2,1\n", r"line 3: the time 1 follows 2, where times are to increase"),
        ("1,1\n1,2\n1,1\n", r"line 3: the time 1 follows 1"),
        ("1,1\n1,2,3\n0,,1\n", r"line 3: field 2 holds no time, but there are values above it"),
        ("1,1\n,\n,\n", r"line 3: no times"),
        ("<!DOCTYPE html>\n<html>\n", r"is a web page"),
    ],
)
def test_broken_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_trajectory_table(write(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*nothing\.csv"):
        read_trajectory_table(tmp_path / "nothing.csv")


def test_published_trajectories_of_the_simulated_network(mirror: Path) -> None:
    path = mirror / "raw.githubusercontent.com/QuackenbushLab/DASH/main/ground_truth_simulator/clean_data"
    found = read_trajectory_table(path / "simu_690genes_10samples_for_testing.csv")
    assert len(found) == 10
    assert {values.shape[1] for _, values in found} == {690}
    assert all(times[0] == 0 and np.isfinite(values).all() for times, values in found)
