"""Long tables: a line for each observation, with its trajectory, its time, and a column for each variable."""

import gzip

import numpy as np
import pandas as pd
import pytest

import sparsenode as sn
from sparsenode.data.preprocess import assemble
from sparsenode.data.sources import make_source
from sparsenode.errors import UserError
from sparsenode.estimator.model import _assemble
from sparsenode.estimator.settings import FitSettings, preparation

GENES = ("Gata1", "Fog1", "Pu.1")


@pytest.fixture
def frame():
    """Three trajectories of seven observations at times of their own, in lines sorted by time, two entries missing."""
    generator = np.random.default_rng(0)
    rows = pd.DataFrame(generator.standard_normal((21, 3)), columns=list(GENES))
    rows.insert(0, "hour", np.concatenate([np.sort(generator.uniform(0, 9, 7)) for _ in range(3)]))
    rows.insert(0, "cell", np.repeat(["c1", "c2", "c 3"], 7))
    rows.loc[4, "Fog1"] = rows.loc[9, "Pu.1"] = np.nan
    return rows.sort_values("hour", ignore_index=True)


@pytest.fixture
def write(frame, tmp_path):
    """Write the table in a form, and give its path."""

    def written(form="csv"):
        path = tmp_path / f"cells.{form}"
        if form == "parquet":
            frame.to_parquet(path)
        elif form == "indexed.csv":
            frame.to_csv(path)
        else:
            text = frame.to_csv(
                index=False, sep={"tsv": "\t", "txt": ";"}.get(form, ","), na_rep="NA" * (form == "tsv")
            )
            path.write_bytes(gzip.compress(text.encode()) if form == "csv.gz" else text.encode())
        return path

    return written


@pytest.mark.parametrize("form", ["csv", "tsv", "txt", "csv.gz", "indexed.csv", "parquet"])
def test_every_form_of_a_table_gives_the_same(frame, write, form):
    adata = sn.read_table(write(form), time="hour", trajectory="cell")
    assert list(adata.var_names) == list(GENES)
    np.testing.assert_array_equal(adata.X, frame[list(GENES)])
    np.testing.assert_array_equal(adata.obs["hour"], frame["hour"])
    assert list(adata.obs["cell"]) == list(frame["cell"])
    assert np.isnan(adata.X).sum() == 2


def test_variables_are_chosen_or_columns_left_out(frame, write, tmp_path):
    frame["remark"] = "good"
    path = write()
    named = sn.read_table(path, time="hour", trajectory="cell", variables=["Pu.1", "Gata1"])
    assert list(named.var_names) == ["Pu.1", "Gata1"]
    np.testing.assert_array_equal(named.X, frame[["Pu.1", "Gata1"]])
    rest = sn.read_table(path, time="hour", trajectory="cell", leave_out=["remark", "Fog1"])
    assert list(rest.var_names) == ["Gata1", "Pu.1"]
    labeled = sn.read_table(path, time="hour", trajectory="cell", labels=["remark"])
    assert set(labeled.obs["remark"]) == {"good"}


def test_lines_of_any_order_are_sorted_where_it_is_said(frame, write, tmp_path):
    frame["hour"] = frame["hour"].round()
    path = write()
    raw = make_source("table", {"path": str(path), "time": "hour", "trajectory": "cell", "order": "any"}).load({})
    for trajectory in raw.trajectories:
        rows = frame[frame["cell"] == trajectory.name].sort_values("hour", kind="stable")
        np.testing.assert_array_equal(trajectory.times, rows["hour"])
        np.testing.assert_array_equal(trajectory.values, rows[list(GENES)])
    with pytest.raises(UserError, match=r"line \d+: the time \d repeats that of line \d+ in trajectory 'c.*1?'; sort"):
        sn.read_table(path, time="hour", trajectory="cell")


def test_the_source_gives_what_that_of_h5ad_files_gives(frame, write, tmp_path):
    frame["donor"] = frame["cell"].map({"c1": "d1", "c2": "d2", "c 3": "d2"})
    frame["stage"] = np.where(frame["hour"] > 6, "test", "train")
    options = {
        "time": "hour",
        "trajectory": "cell",
        "group": "donor",
        "split": "stage",
        "scaling": "training_range",
        "time_scaling": "unit",
        "time_unit": "h",
    }
    from_table = make_source("table", {"path": str(write()), **options})
    sn.read_table(write(), time="hour", trajectory="cell", labels=["donor", "stage"]).write_h5ad(tmp_path / "a.h5ad")
    from_file = make_source("anndata", {"path": str(tmp_path / "a.h5ad"), **options})
    assert from_table.check() == from_file.check() == []
    assert from_table.outline() == from_file.outline()
    first, second = from_table.load({}), from_file.load({})
    assert (first.features, first.time_unit, first.scaling) == (second.features, "h", "training_range")
    for one, other in zip(first.trajectories, second.trajectories, strict=True):
        assert (one.name, one.group, one.subject) == (other.name, other.group, other.subject)
        for part in ("times", "values", "splits", "phases", "offset", "scale"):
            np.testing.assert_array_equal(getattr(one, part), getattr(other, part))


def test_the_estimator_is_given_what_the_workflow_prepares(write):
    path = write()
    raw = make_source("table", {"path": str(path), "time": "hour", "trajectory": "cell"}).load({})
    settings = FitSettings(feature_weight="uniform")
    of_workflow = assemble("data", raw, preparation(settings), {})
    table = sn.read_table(path, time="hour", trajectory="cell")
    of_estimator = _assemble((table, None, None, None), "hour", {"trajectory": "cell"}, settings)
    np.testing.assert_array_equal(of_workflow.X, of_estimator.X)
    pd.testing.assert_frame_equal(of_workflow.obs, of_estimator.obs)


def test_what_is_looked_up_before_a_run_reads_a_changed_file_again(frame, write):
    source = make_source(
        "table", {"path": str(write()), "time": "hour", "trajectory": "cell", "test_trajectories": ["c2"]}
    )
    outline = source.outline()
    assert (outline.features, outline.trajectories, outline.observations) == (GENES, 2, 7)
    training = frame[frame["cell"] != "c2"]
    assert outline.duration == training.groupby("cell")["hour"].agg(np.ptp).max()
    frame.drop(frame[frame["cell"] == "c 3"].index, inplace=True)
    write()
    assert source.outline().trajectories == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"test_trajectories": ["c4"]},
            r"test_trajectories: found 'c4'; allowed: a trajectory of .*There are: c 3, c1",
        ),
        ({"test_trajectories": ["c1", "c2", "c 3"]}, r"test_trajectories: no observation of .* is left to train on"),
        ({"split": "cell", "test_trajectories": ["c1"]}, r"split: found with test_trajectories"),
        ({"split": "cell"}, r"split: the column 'cell' of .* holds 'c1'; allowed: train, validation, test"),
        ({"phase": "cell"}, r"phase: the column 'cell' of .* holds 'c1'; allowed: fit, extrapolation"),
    ],
)
def test_what_options_name_is_looked_up(write, options, problem):
    source = make_source("table", {"path": str(write()), "time": "hour", "trajectory": "cell", **options})
    (found,) = source.check()
    assert pd.Series([found]).str.contains(problem).all(), found


HEADER = "cell,hour,a,b\n"
BAD = {
    "a line that is cut": (HEADER + "c,0,1,2\nc,1,1\n", r"line 3: 3 fields where line 1 names 4 columns"),
    "a line that is too long": (HEADER + "c,0,1,2\nc,1,1,2,3\n", r"line 3: 5 fields where line 1 names 4 columns"),
    "a column twice": ("cell,hour,a,a\nc,0,1,2\n", r"line 1: the column 'a' is there more than once"),
    "no rows": (HEADER, r"has no rows"),
    "an empty file": ("", r"the file is empty"),
    "decreasing times": (HEADER + "c,1,1,2\nd,0,1,2\nc,0,1,2\n", r"line 4: the time 0 is before 1, that of line 2 in"),
    "repeated times": (HEADER + "c,1,1,2\nd,1,1,2\nc,1,1,2\n", r"line 4: the time 1 repeats that of line 2 in traj"),
    "text in a number": (HEADER + "c,0,1,2\nc,1,high,2\n", r"line 3, column 'a': 'high' is not a finite .*`leave_out`"),
    "a decimal comma": (HEADER + 'c,0,"1,5",2\n', r"line 2, column 'a': '1,5' has a comma"),
    "an infinite value": (HEADER + "c,0,1,inf\n", r"line 2, column 'b': 'inf' is not a finite number"),
    "a time of text": (HEADER + "c,noon,1,2\n", r"line 2, column 'hour': 'noon' is not a finite number"),
    "a missing time": (HEADER + "c,,1,2\n", r"line 2, column 'hour': it is empty where a number is needed"),
    "a missing label": (HEADER + ",0,1,2\n", r"line 2, column 'cell': it is empty; give each observation a label"),
    "no variables": ("cell,hour\nc,0\n", r"has no column beside hour, cell; each variable is a column"),
    "another time": ("cell,hours,a\nc,0,1\n", r"no column 'hour' \(time\)\. did you mean 'hours'\?"),
    "a column without a name": ("cell,hour,a,,b\nc,0,1,2,3\n", r"field 4 of the column names is empty"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_bad_tables_are_refused_with_their_line(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        sn.read_table(path, time="hour", trajectory="cell")
    assert str(path) in str(caught.value)


def test_times_that_restart_say_that_trajectories_are_to_be_told_apart(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("time,a\n0,1\n1,2\n0,1\n1,3\n")
    with pytest.raises(UserError, match=r"line 4: the time 0 is before 1, .*tell trajectories apart by a column"):
        sn.read_table(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Fog1": ["high"] * 21}, r"column 'Fog1': it holds (large_)?string, and no numbers; .*`leave_out`"),
        ({"hour": [None, *range(20)]}, r"row 1, column 'hour': the time is missing"),
        ({"cell": ["c"] * 20 + [None]}, r"row 21, column 'cell': it is empty"),
        ({"Fog1": [np.inf] + [0.0] * 20}, r"row 1, column 'Fog1': inf is not a finite number"),
    ],
)
def test_bad_parquet_files_are_refused_with_their_row(frame, write, change, message):
    for name, values in change.items():
        frame[name] = values
    with pytest.raises(UserError, match=message):
        sn.read_table(write("parquet"), time="hour", trajectory="cell", order="any")


def test_what_is_no_parquet_file_is_named(tmp_path):
    path = tmp_path / "table.parquet"
    path.write_text("hour,a\n")
    with pytest.raises(UserError, match=r"table\.parquet cannot be read as a parquet file"):
        sn.read_table(path, time="hour")
    with pytest.raises(UserError, match=r"nowhere\.csv is missing"):
        sn.read_table(tmp_path / "nowhere.csv")


def test_a_column_is_named_for_one_thing(write):
    with pytest.raises(UserError, match=r"the column 'hour' is named for time and for leave_out; name it for one"):
        sn.read_table(write(), time="hour", trajectory="cell", leave_out=["hour"])
