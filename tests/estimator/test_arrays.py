"""Every form in which trajectories are given is the same data, and what cannot be used is refused in one sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from sparsenode.data.readers.arrays import read_arrays
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError

VALUES = np.arange(24, dtype=np.float64).reshape(2, 4, 3) ** 0.5
TIMES = np.array([0.0, 0.5, 0.7, 2.0])
FLAT = VALUES.reshape(8, 3)
LABELS = ["a"] * 4 + ["b"] * 4


def courses(raw: RawTrajectories) -> list[tuple[list[float], list[list[float]]]]:
    return [(trajectory.times.tolist(), trajectory.values.tolist()) for trajectory in raw.trajectories]


def table(rows: np.ndarray = FLAT) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["u", "v", "w"]).assign(hour=np.tile(TIMES, len(rows) // 4))


@pytest.mark.parametrize(
    "raw",
    [
        read_arrays(VALUES, TIMES),
        read_arrays(torch.as_tensor(VALUES), TIMES.tolist()),
        read_arrays(VALUES, np.stack((TIMES, TIMES))),
        read_arrays(list(VALUES), TIMES),
        read_arrays(VALUES.tolist(), [TIMES, TIMES]),
        read_arrays(FLAT, np.tile(TIMES, 2), LABELS),
        read_arrays(FLAT.tolist(), np.tile(TIMES, 2), np.array([1, 1, 1, 1, 2, 2, 2, 2])),
        read_arrays(table().assign(line=LABELS), "hour", "line"),
        read_arrays([table(VALUES[0]), table(VALUES[1])], "hour"),
        read_arrays([table(VALUES[0])[["u", "v", "w"]], table(VALUES[1])[["u", "v", "w"]]], TIMES),
    ],
)
def test_all_forms_are_the_same_trajectories(raw: RawTrajectories) -> None:
    assert courses(raw) == [(TIMES.tolist(), values.tolist()) for values in VALUES]


def test_variables_are_called_as_their_columns() -> None:
    assert read_arrays(table().assign(line=LABELS), "hour", "line").features == ("u", "v", "w")
    assert read_arrays(VALUES).features == ("x1", "x2", "x3")


def test_without_times_steps_are_of_one() -> None:
    raw = read_arrays([FLAT, FLAT[:5]])
    assert [trajectory.times.tolist() for trajectory in raw.trajectories] == [list(range(8)), list(range(5))]


def test_trajectories_may_have_times_of_their_own() -> None:
    raw = read_arrays([FLAT, FLAT[:2]], [np.arange(8) ** 2, [1, 5]])
    assert raw.trajectories[1].times.tolist() == [1.0, 5.0]
    assert raw.trajectories[0].times.tolist()[-1] == 49.0


def test_labels_may_be_mixed() -> None:
    raw = read_arrays(FLAT, np.repeat(TIMES, 2), ["a", "b"] * 4)
    assert [trajectory.name for trajectory in raw.trajectories] == ["a", "b"]
    assert courses(raw)[1] == (TIMES.tolist(), FLAT[1::2].tolist())


def test_what_is_missing_stays_missing() -> None:
    values = FLAT.copy()
    values[2, 1] = np.nan
    assert np.isnan(read_arrays(values).trajectories[0].values).sum() == 1


DOUBLED = pd.DataFrame(FLAT, columns=["u", "u", "w"])


@pytest.mark.parametrize(
    ("values", "times", "labels", "message"),
    [
        (np.zeros(4), None, None, r"X has the shape \(4,\); give an array \(observation, variable\)"),
        (np.zeros((0, 3)), None, None, r"X has the shape \(0, 3\): there are no observations"),
        ([[1.0, 2.0], [1.0]], None, None, "X is a list of rows of different lengths"),
        ([FLAT, FLAT[:, :2]], None, None, "X of trajectory '1' has 2 variables, and the first trajectory 3"),
        ([FLAT, FLAT[:0]], None, None, r"X\[1\] has the shape \(0, 3\)"),
        (FLAT[:1], None, None, "X has 1 observation; a trajectory takes at least 2"),
        (FLAT.astype(str), None, None, "X holds text and no real numbers"),
        (FLAT.astype("datetime64[s]"), None, None, "X holds dates and no real numbers"),
        (np.array([[1.0, "a"], [2.0, 3.0]], dtype=object), None, None, "X holds 'a', which is no number; give numbers"),
        (table().assign(w="low"), "hour", None, "the column 'w' of the DataFrame holds 'low', which is no number"),
        (table().assign(hour="noon"), "hour", None, "t, the column 'hour', holds 'noon', which is no number"),
        (FLAT, None, [*"aaaabbb", None], "trajectory has no label at 1 observations, the first of them 7"),
        (FLAT, None, [*"aaaabbb", np.nan], "trajectory has no label at 1 observations"),
        (FLAT, np.arange(8, dtype=np.float32) + 2**30, None, "t: times up to 1073741824 in float32 are 128 apart"),
        (FLAT, TIMES, None, r"t has the shape \(4,\), and X 8 observations"),
        (FLAT, np.arange(8).astype(str), None, "t holds text and no real numbers"),
        (FLAT, [0, 1, 2, 3, 3, 4, 5, 6], None, "t repeats 3 at observation 4; average"),
        (FLAT, [0, 1, 2, 5, 3, 4, 5, 6], None, "t decreases from 5 to 3 at observation 4; sort"),
        (FLAT, [0, 1, 2, np.nan, 3, 4, 5, 6], None, "t is nan at observation 3; leave"),
        (FLAT, None, ["a"] * 7, r"trajectory has the shape \(7,\), and X 8 observations"),
        (VALUES, None, LABELS, "trajectory labels are for observations in one array, and X has 2 trajectories"),
        (VALUES, [TIMES], None, "t has 1 arrays of times, and X 2 trajectories"),
        ([FLAT, FLAT[:5]], TIMES, None, "t is one array of 4 times for 2 trajectories of 8, 5 observations"),
        ([FLAT, FLAT], [np.arange(8), TIMES], None, r"t\[1\] has the shape \(4,\), and X\[1\] 8 observations"),
        (FLAT, "hour", None, "t or trajectory is the text 'hour', which names a column of a DataFrame"),
        (table(), "hours", None, "the DataFrame has no column 'hours'. did you mean 'hour'"),
        (DOUBLED, None, None, "the DataFrame has the column 'u' more than once"),
        ([table(), table().drop(columns="w")], "hour", None, "the DataFrame of trajectory 1 has other columns"),
    ],
)
def test_what_cannot_be_used_is_named(values: object, times: object, labels: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_arrays(values, times, labels)
