"""`sparsenode fit`: from a file to a folder that is complete or not there."""

import json

import numpy as np
import pandas as pd
import pytest

import sparsenode as sn
from sparsenode.cli import main
from sparsenode.errors import UserError
from sparsenode.estimator.model import SparseNODE
from sparsenode.estimator.plots import Plots
from sparsenode.fitting import FILES, fit_file, write_folder

TINY = {"iterations": 3, "seeds": 2, "strengths": [0.001, 0.01], "windows": None, "bootstrap": None, "verbose": 0}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Four damped rotations as a table."""
    times = np.linspace(0, 6, 15)
    angles = np.arange(4)[:, None] + times
    states = np.stack((np.cos(angles), np.sin(angles)), axis=-1) * np.exp(-0.2 * times)[:, None]
    frame = pd.DataFrame(states.reshape(-1, 2), columns=["a", "b"])
    frame.insert(0, "hour", np.tile(times, 4))
    frame.insert(0, "cell", np.repeat(["c1", "c2", "c3", "c4"], 15))
    path = tmp_path_factory.mktemp("table") / "cells.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def fitted(table):
    """The estimator as a person fits it in Python."""
    data = sn.read_table(table, time="hour", trajectory="cell")
    return SparseNODE(**TINY).fit(data, time_key="hour", trajectory_key="cell")


@pytest.mark.slow(reason="trains, and draws all figures")
def test_a_fit_of_a_file_is_that_of_the_estimator(table, fitted, tmp_path, capsys):
    output = tmp_path / "results" / "fit"
    settings = [f"{name}={json.dumps(value)}" for name, value in TINY.items()]
    columns = ["--time", "hour", "--trajectory", "cell"]
    assert main(["fit", str(table), *columns, "--settings", *settings, "--output", str(output)]) == 0
    assert [path.name for path in output.parent.iterdir()] == ["fit"]
    assert {path.name for path in output.iterdir()} == set(FILES)
    assert {path.name for path in (output / "figures").iterdir()} >= {"network.pdf", "trajectories.png"}
    pd.testing.assert_frame_equal(pd.read_csv(output / "network.csv"), fitted.network(), check_dtype=False)
    model = sn.load(output / "model.sparsenode")
    np.testing.assert_array_equal(model.ensemble_.path_matrix(), fitted.ensemble_.path_matrix())
    summary = fitted.summary()
    assert summary in (output / "summary.md").read_text()
    assert summary in capsys.readouterr().out
    assert pd.read_csv(output / "strengths.csv")["strength"].tolist() == [0.001, 0.01]


@pytest.mark.slow(reason="trains, and measures")
def test_an_h5ad_file_is_fitted_by_its_columns(table, fitted, tmp_path, monkeypatch):
    data = sn.read_table(table, time="hour", trajectory="cell")
    data.layers["counts"] = data.X
    data.X = None
    data.write_h5ad(tmp_path / "cells.h5ad")
    monkeypatch.setattr(Plots, "save", lambda _, folder: folder.mkdir())
    keys = {"time": "hour", "trajectory": "cell", "layer": "counts"}
    fit_file(tmp_path / "cells.h5ad", tmp_path / "fit", settings=TINY, **keys)
    model = sn.load(tmp_path / "fit" / "model.sparsenode")
    np.testing.assert_array_equal(model.ensemble_.path_matrix(), fitted.ensemble_.path_matrix())


@pytest.mark.slow(reason="trains, and measures")
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_left_of_a_folder_that_is_not_complete(fitted, tmp_path, monkeypatch, error):
    def fail(_self, _folder):
        raise error

    monkeypatch.setattr(Plots, "save", fail)
    with pytest.raises((UserError, KeyboardInterrupt)) as caught:
        write_folder(fitted, tmp_path / "fit", "cells.csv")
    assert list(tmp_path.iterdir()) == []
    if isinstance(error, OSError):
        assert "fit: No space left on device; check the free space" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"settings": {"iteration": 3}},
            r"^SparseNODE: unknown setting: found \"iteration\" \(did you mean 'iter",
        ),
        ({"layer": "counts"}, r"^--layer: for an h5ad file, and .*cells\.csv is a table"),
        ({"time": "day"}, r"has no column 'day' \(time\)"),
        ({"trajectory": None}, r"column 'cell': 'c1' is not a finite number; name a column .* as `trajectory`"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(table, tmp_path, monkeypatch, arguments, message):
    monkeypatch.setattr(SparseNODE, "fit", lambda *_args, **_keys: pytest.fail("it is fitted"))
    with pytest.raises(UserError, match=message):
        fit_file(table, tmp_path / "fit", **{"time": "hour", "trajectory": "cell", **arguments})
    assert list(tmp_path.iterdir()) == []


def test_values_of_settings_are_checked(table, tmp_path):
    with pytest.raises(UserError, match=r"^SparseNODE\.iterations: found \"few\"; allowed: an integer"):
        fit_file(table, tmp_path / "fit", time="hour", trajectory="cell", settings={"iterations": "few"})
    assert list(tmp_path.iterdir()) == []


def test_h5ad_files_take_no_options_of_tables(table, tmp_path):
    path = tmp_path / "cells.h5ad"
    sn.read_table(table, time="hour", trajectory="cell").write_h5ad(path)
    with pytest.raises(UserError, match=r"^--any-order: for a table, and .*cells\.h5ad is an h5ad file"):
        fit_file(path, tmp_path / "fit", time="hour", any_order=True)
    with pytest.raises(UserError, match=r"^--time: missing; name the column of `obs` of .*; there are: hour, cell"):
        fit_file(path, tmp_path / "fit")


def test_a_folder_with_something_in_it_is_refused(table, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"^--output: found .*, which has notes\.txt in it; allowed: a folder that is"):
        fit_file(table, tmp_path, time="hour", trajectory="cell")
    with pytest.raises(UserError, match=r"^--output: found .*notes\.txt, which is a file"):
        fit_file(table, tmp_path / "notes.txt", time="hour", trajectory="cell")


def test_settings_are_named_once_with_a_value(table, tmp_path, capsys):
    command = ["fit", str(table), "--output", str(tmp_path / "fit"), "--settings", "seeds=1"]
    assert main([*command, "seeds=2"]) == 1
    assert "--settings: found seeds more than once; allowed: each setting once" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, "seeds"])
    assert "found 'seeds'; allowed: a name, = and a value, such as seeds=5" in capsys.readouterr().err
