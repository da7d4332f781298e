import hashlib
import inspect
import json
import resource
import subprocess
import sys
import warnings
from functools import partial
from importlib import import_module

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import sparsenode
from sparsenode.cli import build_parser, main
from sparsenode.evaluation.tables import make_table
from sparsenode.pipeline import configuration

FEATURES = ("left", "right")
SUBCOMMANDS = (
    "tabulate-study",
    "collect-study",
    "answer-claim",
    "answer-study",
    "summarize-effects",
    "draw-study",
    "init",
    "run",
    "fit",
    "plan",
    "describe",
    "forecast",
    "rates",
    "network",
    "edges",
    "download-source",
    "unpack-source",
    "preprocess-dataset",
    "freeze-settings",
    "train-members",
    "infer-peer",
    "evaluate-models",
    "forecast-interventions",
    "collect-metrics",
    "collect-remarks",
    "tabulate-benchmark",
    "draw-strengths",
    "draw-pareto",
    "draw-trajectories",
    "draw-network",
    "draw-precision-recall",
    "draw-balanced-accuracy",
    "draw-stability",
    "draw-network-graph",
    "draw-comparison",
)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """Untrained members of two strengths and two seeds, on two features."""
    from sparsenode.ensemble.members import Member, save_ensemble
    from sparsenode.ensemble.model import initialize
    from sparsenode.settings import read_model_settings

    settings = {
        "dataset": "pair",
        "model": "small",
        "method": "l1",
        "model_settings": {"hidden": [3]},
        "method_settings": {"regularizer": "l1", "strengths": [0.0, 0.5], "options": {}},
    }
    grid = [(strength, seed) for strength in (0.0, 0.5) for seed in (0, 1)]
    model_settings = read_model_settings(settings["model_settings"])
    parameters = initialize(model_settings, len(FEATURES), [seed for _, seed in grid], gated=False)
    members = [Member(strength, seed, "finished", "", 7, 0.1) for strength, seed in grid]
    members[-1] = Member(0.5, 1, "diverged", "loss not finite", 3, 0.1)
    path = tmp_path_factory.mktemp("model") / "seeds_0-1.safetensors"
    save_ensemble(path, parameters, members, settings, FEATURES, {"package": "test"})
    return path


def error_of(capsys, *arguments):
    """The one-line error that a failing call prints."""
    assert main([str(argument) for argument in arguments]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_every_subcommand_explains_itself(subcommand, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([subcommand, "--help"])
    assert stopped.value.code == 0
    assert subcommand in capsys.readouterr().out


def test_arguments_of_a_subcommand_are_those_of_its_function():
    (choices,) = (action.choices for action in build_parser()._actions if action.choices)
    runs = {name: parser.get_default("run") for name, parser in choices.items()}
    called = {name: run.args[0] for name, run in runs.items() if isinstance(run, partial)}
    assert {"download-source", "rates", "metrics"} <= set(called)
    for name, path in called.items():
        module, _, function = path.partition(":")
        arguments = dict.fromkeys(action.dest for action in choices[name]._actions if action.dest != "help")
        inspect.signature(getattr(import_module(f"sparsenode.{module}"), function)).bind(**arguments)


def test_help_names_every_subcommand():
    text = build_parser().format_help()
    assert [name for name in SUBCOMMANDS if name not in text] == []


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"sparsenode {sparsenode.__version__}"


def test_public_names_are_found():
    assert callable(sparsenode.load_model)
    assert callable(sparsenode.read_trajectories)
    with pytest.raises(AttributeError, match="no attribute 'load_everything'"):
        _ = sparsenode.load_everything


@pytest.mark.slow(reason="starts a process")
def test_installed_command_prints_an_error_without_a_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "sparsenode.cli", "describe", "--model", str(tmp_path / "none.safetensors")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: no model file at ")


def test_broken_json_is_refused(capsys, tmp_path):
    arguments = ["--name", "x", "--settings", "{", "--downloads", str(tmp_path), "--output", str(tmp_path / "x.h5ad")]
    with pytest.raises(SystemExit) as stopped:
        main(["preprocess-dataset", *arguments])
    assert stopped.value.code == 2
    assert "not JSON" in capsys.readouterr().err


def test_frozen_settings_are_those_of_the_slice(repository, tmp_path):
    config = configuration.read_configuration(repository)
    dataset, model = configuration.pairs(config)[0]
    settings = configuration.slice_settings(config, dataset, model, "pathreg")
    output = tmp_path / "below" / "pathreg.json"
    status = main(
        [
            "freeze-settings",
            *("--dataset", dataset),
            *("--model", model),
            *("--method", "pathreg"),
            *("--model-settings", configuration.canonical_json(settings["model_settings"])),
            *("--method-settings", configuration.canonical_json(settings["method_settings"])),
            *("--output", str(output)),
        ]
    )
    assert status == 0
    assert json.loads(output.read_text()) == settings


@pytest.mark.slow(reason="starts processes or draws figures")
def test_download_from_a_mirror_and_wrong_checksum(tmp_path, capsys):
    mirrored = tmp_path / "mirror" / "example.org" / "table.csv"
    mirrored.parent.mkdir(parents=True)
    mirrored.write_text("a,b\n1,2\n")
    checksum = hashlib.sha256(mirrored.read_bytes()).hexdigest()
    output = tmp_path / "downloads" / "table.csv"
    url = ["--url", "https://example.org/table.csv", "--mirror", str(tmp_path / "mirror"), "--output", str(output)]
    assert main(["download-source", *url, "--sha256", checksum, "--size", "8"]) == 0
    assert output.read_text() == "a,b\n1,2\n"
    output.unlink()
    message = error_of(capsys, "download-source", *url, "--sha256", "0" * 64)
    assert "https://example.org/table.csv" in message
    assert checksum in message
    assert "0" * 64 in message
    assert not output.exists()


def test_seeds_in_the_wrong_order(capsys, tmp_path):
    paths = ["--data", "x", "--settings", "x", "--output", tmp_path / "x", "--history", tmp_path / "y"]
    message = error_of(capsys, "train-members", *paths, "--first-seed", 3, "--last-seed", 1)
    assert "found 3 to 1; allowed" in message


def test_plan_of_the_default_run(repository, capsys):
    assert main(["plan", "--workflow", str(repository), "--cores", "2"]) == 0
    text = capsys.readouterr().out
    config = configuration.read_configuration(repository)
    jobs = len(configuration.grid(config)) * len(configuration.seed_blocks(config))
    assert f"of them {jobs} train_members" in text
    for total in ("members:", "time:", "memory:", "disk:"):
        assert f"\n{total}" in text
    assert "on 2 cores" in text


def test_plan_of_a_bad_configuration(repository, capsys, tmp_path):
    override = tmp_path / "override.yaml"
    override.write_text("seeds: 0\n")
    message = error_of(capsys, "plan", "--workflow", repository, "--configfile", override)
    assert "seeds: found the number 0; allowed: an integer at least 1" in message


@pytest.mark.slow(reason="reads the whole configuration")
def test_plan_takes_values_as_snakemake_does(repository, capsys):
    run = "run={datasets: [second_order], models: [second_order], methods: [none]}"
    assert main(["plan", "--workflow", str(repository), "--config", "seeds=7", "seeds_per_job=7", run]) == 0
    assert "\nmembers: 7\n" in capsys.readouterr().out
    for value, problem in (
        ("seeds=many", 'seeds: found "many"; allowed: an integer at least 1'),
        ("seeds", "--config: Invalid config definition"),
    ):
        assert problem in error_of(capsys, "plan", "--workflow", repository, "--config", value)
    message = error_of(capsys, "plan", "--workflow", repository, "--config", "seeds=1", "seeds=2")
    assert "--config: found seeds more than once; allowed: each key once" in message


@pytest.mark.slow(reason="reads the whole configuration")
def test_plan_says_what_a_file_lacks(repository, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = "datasets={mine: {source: anndata, options: {path: cells.h5ad}}}"
    run = "run={datasets: [mine], models: [mine], methods: [none]}"
    message = error_of(capsys, "plan", "--config", own, run, "models={mine: {}}")
    assert f"datasets.mine.options: cells.h5ad is missing (looked for at {tmp_path}/cells.h5ad)" in message


def test_an_option_of_one_value_is_given_once(capsys, tmp_path):
    for arguments in (
        ["describe", "--model", "a", "--strength", "1", "--strength", "2"],
        ["describe", "--model", "a", "--model", "a", "--strength", "1"],
        ["plan", "--configfile", "a", "--configfile", "b"],
        ["plan", "--cores", "1", "--cores", "1"],
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        assert "found more than once; allowed: once" in capsys.readouterr().err
    # Each call begins anew.
    for _ in range(2):
        assert "no model file" in error_of(capsys, "describe", "--model", tmp_path / "a", "--strength", 1)


@pytest.mark.parametrize(
    ("subcommand", "option", "value", "allowed"),
    [
        ("plan", "--cores", "0", "a whole number, 1 or more"),
        ("plan", "--gpu-speed", "0", "a number above 0"),
        ("plan", "--gpu-speed", "inf", "a number above 0"),
        ("evaluate-models", "--threads", "0", "a whole number, 1 or more"),
        ("evaluate-models", "--threads", "-1", "a whole number, 1 or more"),
        ("draw-pareto", "--dots-per-inch", "0", "a whole number, 1 or more"),
        ("draw-pareto", "--dots-per-inch", "-5", "a whole number, 1 or more"),
        ("draw-comparison", "--font-size", "nan", "a number above 0"),
        ("draw-pareto", "--font-size", "0", "a number above 0"),
        ("draw-pareto", "--font-size", "-3", "a number above 0"),
        ("download-source", "--size", "-1", "a whole number, 0 or more"),
        ("train-members", "--first-seed", "-1", "a whole number, 0 or more"),
        ("train-members", "--checkpoint-seconds", "0", "a number above 0"),
        ("describe", "--strength", "nan", "a finite number"),
    ],
)
def test_numbers_out_of_bounds_are_refused(capsys, subcommand, option, value, allowed):
    with pytest.raises(SystemExit) as stopped:
        main([subcommand, f"{option}={value}"])
    assert stopped.value.code == 2
    assert f"{option}: found '{value}'; allowed: {allowed}" in capsys.readouterr().err


def test_numbers_of_every_option_are_bounded():
    subparsers = next(action for action in build_parser()._actions if hasattr(action, "choices") and action.choices)
    unbounded = {
        (name, action.dest)
        for name, parser in subparsers.choices.items()
        for action in parser._actions
        if action.type in {int, float} and not action.choices
    }
    # Those of times depend on each other, and are looked at together.
    assert unbounded == {("forecast", "times")}


def test_a_plan_says_which_configuration_it_does_not_read(repository, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("samples: {a: b}\n")
    assert main(["plan", "--workflow", str(repository)]) == 0
    assert f"config.yaml of the working folder is not read: the base is {repository}/config.yaml" in caplog.text


def test_options_of_several_values_are_joined():
    common = ["--output", "o", "--markdown", "m"]
    tables = ["--datasets", "a", "--metrics", "x", "--selections", "s", "--datasets", "b", "c", "--metrics", "y"]
    parsed = build_parser().parse_args(["tabulate-benchmark", *tables, *common])
    assert parsed.datasets == ["a", "b", "c"]
    assert list(map(str, parsed.metrics)) == ["x", "y"]
    held = ["--clamp", "A=0", "--clamp", "B=0", "C=1", "--times", "0", "--times", "1", "2"]
    parsed = build_parser().parse_args(["forecast", "--model", "m", "--initial-states", "s", "--output", "o", *held])
    assert parsed.clamp == [("A", 0.0), ("B", 0.0), ("C", 1.0)]
    assert parsed.times == [0.0, 1.0, 2.0]
    parsed = build_parser().parse_args(["forecast", "--model", "m", "--initial-states", "s", "--output", "o"])
    assert parsed.clamp == []


def test_every_option_of_several_values_is_joined_or_given_once():
    """None takes the last of several without a word."""
    subparsers = next(action for action in build_parser()._actions if hasattr(action, "choices") and action.choices)
    for name, parser in subparsers.choices.items():
        for action in parser._actions:
            silent = type(action).__name__ == "_StoreAction" and action.option_strings
            assert not silent, f"{name}: {action.option_strings}"


def test_a_home_folder_in_the_path_of_an_option(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    parsed = build_parser().parse_args(["describe", "--model=~/model.safetensors"])
    assert str(parsed.model) == "/home/ada/model.safetensors"
    with pytest.raises(SystemExit):
        build_parser().parse_args(["describe", "--model=~nobody_at_all/model.safetensors"])


def test_collected_metrics_are_all_rows(tmp_path):
    tables = [
        make_table(dataset="a", metric="mse", seed=[0, 1], value=[0.1, np.nan], reason=["", 'lost, "early"']),
        make_table(dataset="b", metric="shd", strength=1e-5, value=[3.0]),
    ]
    for name, table in zip("ab", tables, strict=True):
        table.to_parquet(tmp_path / f"{name}.parquet")
    arguments = ["--metrics", *(str(tmp_path / f"{name}.parquet") for name in "ab")]
    assert main(["collect-metrics", *arguments, "--output", str(tmp_path / "all.csv")]) == 0
    expected = pd.concat(tables, ignore_index=True).to_csv(index=False)
    assert (tmp_path / "all.csv").read_text(encoding="utf-8") == expected
    (tmp_path / "list.txt").write_text("".join(f"{word}\n" for word in arguments), encoding="utf-8")
    listed = ["collect-metrics", "--arguments-from", str(tmp_path / "list.txt"), "--output", str(tmp_path / "b.csv")]
    assert main(listed) == 0
    assert (tmp_path / "b.csv").read_text(encoding="utf-8") == expected


def test_a_list_of_arguments_that_is_not_there_is_named(tmp_path, capsys):
    missing = str(tmp_path / "list.txt")
    assert main(["collect-metrics", "--arguments-from", missing, "--output", str(tmp_path / "all.csv")]) == 1
    assert f"error: {missing} is missing; run again" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_describe(model_file, capsys):
    assert main(["describe", "--model", str(model_file)]) == 0
    text = capsys.readouterr().out
    assert "4 members, 2 features" in text
    assert "dataset pair, model small, method l1" in text
    assert "diverged" in text
    assert "loss not finite" in text


def test_members_that_were_lost_are_told_where_they_are_among_those_asked_for(model_file, tmp_path, caplog):
    arguments = ["network", "--model", str(model_file), "--output", str(tmp_path / "network.csv")]
    assert main([*arguments, "--strength", "0"]) == 0
    assert not caplog.records
    assert main(arguments) == 0
    told = "members were lost in training (1 of 4, by iteration 3); use those whose status is finished"
    assert caplog.messages == [f"{model_file}: {told}"]


@pytest.fixture
def states_file(tmp_path):
    path = tmp_path / "states.csv"
    # Columns in another order than the model's, and one that it does not know.
    path.write_text("cell,right,left,other\na,0.5,0.1,9\nb,0.25,0.2,9\n")
    return path


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_forecast_from_a_csv(model_file, states_file, tmp_path, ending):
    from sparsenode import load_model

    output = tmp_path / f"forecast.{ending}"
    arguments = ["--model", str(model_file), "--initial-states", str(states_file), "--output", str(output)]
    assert main(["forecast", *arguments, "--times", "0", "0.5", "2", "--strength", "0.5"]) == 0
    table = pd.read_csv(output) if ending == "csv" else pd.read_parquet(output)
    assert set(table["strength"]) == {0.5}
    assert len(table) == 2 * 2 * 3 * 2  # trajectories, members, times, features
    start = table[(table["time"] == 0) & (table["seed"] == 0)].pivot_table(
        index="trajectory", columns="feature", values="predicted"
    )
    np.testing.assert_allclose(start.loc["a", ["left", "right"]], [0.1, 0.5], rtol=1e-6)
    states = np.array([[0.1, 0.5], [0.2, 0.25]], np.float32)
    expected = load_model(model_file).forecast(states, [np.array([0, 0.5, 2])] * 2)
    last = table[(table["trajectory"] == "b") & (table["seed"] == 1) & (table["time"] == 2)]
    np.testing.assert_allclose(last["predicted"], expected[1][3, -1], rtol=1e-5)


@pytest.mark.parametrize("command", ["forecast", "rates"])
@pytest.mark.parametrize("header", ["cell,left,right", "left,right"])
def test_names_of_states_are_text(model_file, tmp_path, command, header):
    """A name is what stands there, also where it looks like a number; R leaves out the name of the first column."""
    path, output = tmp_path / "states.csv", tmp_path / "out.csv"
    names = ["007", "NA", "1e5", "nan", "True", "2024-01-01", "x y"]
    path.write_text("\n".join([header, *(f"{name},0.1,0.5" for name in names)]))
    arguments = ["--model", str(model_file), "--output", str(output)]
    files = {"forecast": ["--initial-states", str(path), "--times", "0", "1"], "rates": ["--states", str(path)]}
    assert main([command, *arguments, *files[command]]) == 0
    table = pd.read_csv(output, dtype=str, keep_default_na=False)
    column = {"forecast": "trajectory", "rates": "observation"}[command]
    assert set(table[column]) == set(names)
    if command == "forecast":
        start = table[table["time"] == "0.0"].groupby("feature")["predicted"].first().astype(float)
        np.testing.assert_allclose(start[["left", "right"]], [0.1, 0.5], rtol=1e-6)


def test_r_leaves_out_the_name_before_a_column_that_is_no_variable(tmp_path):
    from sparsenode.application import read_states

    states = tmp_path / "states.csv"
    states.write_text("depth,left,right\na,9,0.1,0.5\nb,9,1,2\n")
    table = read_states(states, ["left", "right"])
    assert list(table.index) == ["a", "b"]
    np.testing.assert_array_equal(table, [[0.1, 0.5], [1, 2]])


@pytest.mark.slow(reason="writes large tables")
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_tables_in_pieces_are_those_in_one(model_file, tmp_path, ending, monkeypatch):
    from sparsenode import application

    states = tmp_path / "states.csv"
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(7, 2)), columns=FEATURES, index=list("abcdefg"))
    table.to_csv(states)
    common = ["--model", str(model_file)]
    subcommands = {
        "forecast": ["--initial-states", str(states), "--times", "0", "0.5", "2"],
        "rates": ["--states", str(states)],
        "network": [],
    }
    for name, arguments in subcommands.items():
        whole, pieces = tmp_path / f"{name}_whole.{ending}", tmp_path / f"{name}_pieces.{ending}"
        monkeypatch.setattr(application, "LINES_AT_ONCE", 10**6)
        assert main([name, *common, *arguments, "--output", str(whole)]) == 0
        monkeypatch.setattr(application, "LINES_AT_ONCE", 2)
        assert main([name, *common, *arguments, "--output", str(pieces)]) == 0
        if ending == "csv":
            assert pieces.read_bytes() == whole.read_bytes()
        else:
            pd.testing.assert_frame_equal(pd.read_parquet(pieces), pd.read_parquet(whole))
            assert pq.ParquetFile(pieces).num_row_groups > pq.ParquetFile(whole).num_row_groups


def test_a_forecast_that_is_not_finite_is_a_warning(model_file, tmp_path, caplog):
    states = tmp_path / "states.csv"
    pd.DataFrame([[0.1, 0.2], [1e38, -1e38]], columns=FEATURES, index=["a", "b"]).to_csv(states)
    output = tmp_path / "forecast.csv"
    arguments = ["--model", model_file, "--initial-states", states, "--times", 0, 1, 200, "--output", output]
    assert main(["forecast", *map(str, arguments)]) == 0
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    (told,) = (text for text in warnings if "leave the range" in text)
    lost = ~np.isfinite(pd.read_csv(output)["predicted"].to_numpy().reshape(8, -1)).all(axis=1)
    assert lost.any()
    assert told.startswith(f"{lost.sum()} of 8 forecasts leave the range of numbers")
    assert "the first: b, strength 0, seed 0 (finished); ask for earlier times" in told


def test_a_forecast_of_many_steps_says_so_and_one_of_too_many_is_refused(model_file, states_file, tmp_path, capsys):
    common = ["forecast", "--model", model_file, "--initial-states", states_file, "--output", tmp_path / "x.csv"]
    told = error_of(capsys, *common, "--times", 0, 1e12)
    assert "5,000,000,000,000 steps of 0.2 (`solver.step` of the model), more than 10,000,000" in told
    assert not (tmp_path / "x.csv").exists()


def test_forecast_from_a_plain_anndata(model_file, tmp_path):
    from anndata import AnnData

    cells = AnnData(
        np.array([[0.1, 0.5], [0.2, 0.25]], np.float32),
        obs=pd.DataFrame(index=["a", "b"]),
        var=pd.DataFrame(index=list(FEATURES)),
    )
    cells.write_h5ad(tmp_path / "cells.h5ad")
    output = tmp_path / "forecast.csv"
    arguments = ["--model", str(model_file), "--initial-states", str(tmp_path / "cells.h5ad"), "--output", str(output)]
    assert main(["forecast", *arguments, "--times", "0", "1"]) == 0
    assert set(pd.read_csv(output)["trajectory"]) == {"a", "b"}


def test_repeated_options_hold_every_variable(model_file, states_file, tmp_path):
    arguments = ["forecast", "--model", model_file, "--initial-states", states_file, "--times", 0, 1]
    for name, held in (
        ("joined", ["--clamp", "left=0", "right=1"]),
        ("repeated", ["--clamp", "left=0", "--clamp", "right=1"]),
    ):
        assert main([str(part) for part in [*arguments, *held, "--output", tmp_path / f"{name}.csv"]]) == 0
    assert (tmp_path / "joined.csv").read_bytes() == (tmp_path / "repeated.csv").read_bytes()


@pytest.mark.slow(reason="runs whole subcommands")
def test_forecast_of_a_dataset_uses_its_own_times(tmp_path, model_file):
    """A preprocessed dataset brings its initial states and times; features that the model lacks are refused."""
    settings = {
        "source": "krumsiek11",
        "options": {"test_share": 0.15},
        "validation": {"by": "time_blocks", "share": 0.15, "seed": 0},
        "initial_state": {"mean_of_first": 1},
        "feature_weight": "movement",
    }
    data = tmp_path / "data.h5ad"
    common = ["--name", "branches", "--settings", json.dumps(settings), "--downloads", str(tmp_path)]
    assert main(["preprocess-dataset", *common, "--output", str(data)]) == 0

    from sparsenode.application import read_initial_states

    adata = sparsenode.read_trajectories(data)
    states, times = read_initial_states(data, list(adata.var_names))
    assert states.shape == (4, 11)
    assert times is not None
    assert [row[0] for row in times] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cell,left\na,1\n", ": 1 of the 2 variables of the model are missing: right; the columns (1) are: left"),
        ("cell,left,right\na,1,fast\n", "line 2, column 'right': 'fast' is not a finite number"),
        ("cell,left,right\na,1,\n", "line 2, column 'right': it is empty where a number is needed"),
        ("cell;left;right\na;1;0,5\n", "line 2, column 'right': '0,5' has a comma; write numbers with a decimal point"),
        ("cell,left,right\na,1,1e39\n", "1 values are no finite numbers, the first 1e+39 at row 'a'"),
        ("cell,left,right\n", "has no rows"),
        ("", "cannot read"),
        ("cell,left,right\na,1,2,99\n", "line 2: 4 fields where line 1 names 3 columns: '99' follows the last column"),
        ("cell,left,right\na,1,2\nb,1\n", "line 3: 2 fields where line 1 names 3 columns, none for the column 'right'"),
        ("cell,left,right,left\na,1,2,3\n", "line 1: the column 'left' is there more than once, as fields 2 and 4"),
        ("left,right\n1,2\n", "the first column is to name the states, and is called 'left', like a feature"),
        ("cell,left,right\na,1,2\n\na,3,4\n", "line 4: the state 'a' is in line 2 already"),
        ("cell,left,right\n,1,2\n", "line 2: the first field, the name of the state, is empty"),
    ],
)
def test_bad_states(model_file, tmp_path, capsys, text, expected):
    states = tmp_path / "states.csv"
    states.write_text(text)
    arguments = ["--model", model_file, "--initial-states", states, "--output", tmp_path / "out.csv"]
    assert expected in error_of(capsys, "forecast", *arguments, "--times", 0, 1)
    assert not (tmp_path / "out.csv").exists()


def test_states_of_an_anndata_that_are_not_told_apart(model_file, tmp_path, capsys):
    from anndata import AnnData

    states = tmp_path / "cells.h5ad"
    arguments = ["--model", model_file, "--initial-states", states, "--output", tmp_path / "out.csv", "--times", 0, 1]
    values = np.array([[0.1, 0.5, 0.2], [0.2, 0.25, 0.3]], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of anndata, on names that repeat
        AnnData(values, pd.DataFrame(index=["a", "b"]), pd.DataFrame(index=["left", "right", "left"])).write_h5ad(
            states
        )
        assert "the variable 'left' is there 2 times; name each once" in error_of(capsys, "forecast", *arguments)
        cells = AnnData(values, pd.DataFrame(index=["a", "a"]), pd.DataFrame(index=["left", "right", "other"]))
        cells.write_h5ad(states)
        message = error_of(capsys, "forecast", *arguments)
    assert "the name 'a' is there more than once; give each state a name of its own" in message


def test_a_text_table_has_no_layers(model_file, states_file, tmp_path, capsys):
    arguments = ["--model", model_file, "--output", tmp_path / "out.csv", "--layer", "scaled"]
    for command in (["forecast", "--initial-states", states_file, "--times", 0, 1], ["rates", "--states", states_file]):
        message = error_of(capsys, *command, *arguments)
        assert "--layer: found 'scaled'" in message
        assert "a text table, which has no layers to choose from" in message


@pytest.mark.parametrize("times", [["1", "0"], ["0"], ["0", "nan"], ["0", "0"]])
def test_bad_times(model_file, states_file, tmp_path, capsys, times):
    arguments = ["--model", model_file, "--initial-states", states_file, "--output", tmp_path / "out.csv"]
    message = error_of(capsys, "forecast", *arguments, "--times", *times)
    assert "allowed: two or more finite numbers that increase" in message


def test_missing_times_and_unknown_strength(model_file, states_file, tmp_path, capsys):
    arguments = ["--model", model_file, "--initial-states", states_file, "--output", tmp_path / "out.csv"]
    assert "--times: missing" in error_of(capsys, "forecast", *arguments)
    message = error_of(capsys, "forecast", *arguments, "--times", 0, 1, "--strength", 3)
    assert "found 3; allowed: 0, 0.5" in message


def test_a_forecast_with_a_variable_held(model_file, states_file, tmp_path):
    from sparsenode import load_model

    output = tmp_path / "forecast.csv"
    arguments = ["--model", str(model_file), "--initial-states", str(states_file), "--output", str(output)]
    assert main(["forecast", *arguments, "--times", "0", "2", "--clamp", "left=-1.5"]) == 0
    table = pd.read_csv(output)
    assert set(table.loc[table["feature"] == "left", "predicted"]) == {-1.5}
    states = np.array([[0.1, 0.5], [0.2, 0.25]], np.float32)
    expected = load_model(model_file).forecast(states, [np.array([0.0, 2.0])] * 2, clamp={"left": -1.5})
    last = table[(table["trajectory"] == "a") & (table["feature"] == "right") & (table["time"] == 2)]
    np.testing.assert_allclose(last["predicted"], expected[0][:, -1, 1], rtol=1e-5)


def test_what_cannot_be_held_is_refused(model_file, states_file, tmp_path, capsys):
    arguments = ["--model", model_file, "--initial-states", states_file, "--output", tmp_path / "out.csv"]
    message = error_of(capsys, "forecast", *arguments, "--times", 0, 1, "--clamp", "Lefd=0")
    assert "cannot hold 'Lefd': the model has no such variable; the nearest: left, right" in message
    for held in (["--clamp", "left=0", "right=1", "left=1"], ["--clamp", "left=0", "--clamp", "left=1"]):
        message = error_of(capsys, "forecast", *arguments, "--times", 0, 1, *held)
        assert "--clamp: found left more than once" in message
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("held", ["left", "=1", "left=", "left=much", "left=nan"])
def test_a_variable_is_held_at_a_number(model_file, states_file, tmp_path, capsys, held):
    arguments = ["--model", model_file, "--initial-states", states_file, "--output", tmp_path / "out.csv"]
    with pytest.raises(SystemExit):
        main([str(one) for one in ["forecast", *arguments, "--times", 0, 1, "--clamp", held]])
    assert "allowed: a variable, = and a finite number, such as Gata1=0" in capsys.readouterr().err


def test_damaged_h5ad(model_file, tmp_path, capsys):
    states = tmp_path / "states.h5ad"
    states.write_bytes(b"not a file of that kind")
    arguments = ["--model", model_file, "--initial-states", states, "--output", tmp_path / "out.csv"]
    assert "states.h5ad cannot be read as an h5ad file" in error_of(capsys, "forecast", *arguments, "--times", 0, 1)


def test_h5ad_without_values(model_file, tmp_path, capsys):
    import anndata

    states, names = tmp_path / "states.h5ad", pd.DataFrame(index=["a", "b"])
    layers = {"scaled": np.ones((2, 2))}
    anndata.AnnData(None, names, pd.DataFrame(index=list(FEATURES)), layers=layers).write_h5ad(states)
    for command in (("forecast", "--initial-states", states, "--times", 0, 1), ("rates", "--states", states)):
        arguments = [*command, "--model", model_file, "--output", tmp_path / "out.csv"]
        assert "states.h5ad has no X; name a layer by --layer; there are: scaled" in error_of(capsys, *arguments)
        assert main([str(one) for one in [*arguments, "--layer", "scaled"]]) == 0


def test_rates_and_network(model_file, states_file, tmp_path):
    from sparsenode import load_model

    ensemble = load_model(model_file)
    output = tmp_path / "rates.csv"
    assert main(["rates", "--model", str(model_file), "--states", str(states_file), "--output", str(output)]) == 0
    rates = pd.read_csv(output)
    expected = ensemble.rates(np.array([[0.1, 0.5], [0.2, 0.25]], np.float32))
    np.testing.assert_allclose(rates["rate"], expected.ravel(), rtol=1e-5)
    assert rates["observation"].tolist()[:4] == ["a", "a", "b", "b"]

    output = tmp_path / "network.csv"
    assert main(["network", "--model", str(model_file), "--output", str(output)]) == 0
    network = pd.read_csv(output)
    np.testing.assert_allclose(network["weight"], ensemble.path_matrix().ravel(), rtol=1e-5)
    assert network.loc[1, ["source", "target"]].tolist() == ["left", "right"]


def test_folder_that_cannot_be_written(model_file, states_file, tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    output = tmp_path / "taken" / "out.csv"
    arguments = ["--model", model_file, "--initial-states", states_file, "--output", output]
    assert "cannot write" in error_of(capsys, "forecast", *arguments, "--times", 0, 1)


def run_on_a_full_disk(*arguments):
    """Run the command line in a process that may write no more than two kilobytes to a file."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))

    command = [sys.executable, "-m", "sparsenode.cli", *map(str, arguments)]
    return subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, check=False)


@pytest.mark.slow(reason="starts a process that forecasts")
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_full_disk(model_file, states_file, tmp_path, ending):
    output = tmp_path / "results" / f"forecast.{ending}"
    times = [0.01 * step for step in range(500)]
    arguments = ["--model", model_file, "--initial-states", states_file, "--output", output]
    done = run_on_a_full_disk("forecast", *arguments, "--times", *times)
    assert done.returncode == 1
    assert f"error: cannot write {output}: " in done.stderr
    assert "Traceback" not in done.stderr
    assert list(output.parent.iterdir()) == []


@pytest.mark.slow(reason="runs whole subcommands")
def test_a_model_that_takes_slopes_forecasts_a_dataset_and_names_what_it_needs_otherwise(capsys, tmp_path):
    """From the last known observation and its slope, as the evaluation does."""
    from sparsenode.data.windows import past_slopes
    from sparsenode.ensemble.members import Member, load_ensemble, save_ensemble
    from sparsenode.ensemble.model import initialize
    from sparsenode.settings import read_model_settings

    settings = {"source": "second_order", "options": {"trajectories": 3, "test_trajectories": 1}}
    settings |= {"validation": {"by": "none-in-source"}, "initial_state": {"known": 3}}
    data = tmp_path / "data.h5ad"
    common = ["--name", "springs", "--settings", json.dumps(settings), "--downloads", str(tmp_path)]
    assert main(["preprocess-dataset", *common, "--output", str(data)]) == 0
    adata = sparsenode.read_trajectories(data)
    model_settings = {"order": 2, "hidden": [4], "velocity_observations": 3, "solver": {"step": 0.5}}
    parameters = initialize(read_model_settings(model_settings), adata.n_vars, [0], gated=False)
    frozen = {"dataset": "springs", "model": "m", "method": "none", "model_settings": model_settings}
    frozen |= {"method_settings": {"regularizer": "none", "strengths": [0.0], "options": {}}}
    model = tmp_path / "model.safetensors"
    save_ensemble(model, parameters, [Member(0.0, 0, "finished", "", 1, 1.0)], frozen, list(adata.var_names), {})
    output = tmp_path / "forecast.csv"
    assert main(["forecast", "--model", str(model), "--initial-states", str(data), "--output", str(output)]) == 0
    table = pd.read_csv(output)
    name = adata.obs["trajectory"].cat.categories[1]
    own = np.flatnonzero(adata.obs["trajectory"] == name)
    times, values = adata.obs["time"].to_numpy(), np.asarray(adata.X, float)
    mine = table[table["trajectory"] == name].pivot_table(index="time", columns="feature", values="predicted")
    np.testing.assert_allclose(mine.index, times[own[2:]])
    np.testing.assert_allclose(mine.iloc[0][list(adata.var_names)], values[own[2]], rtol=1e-5)
    slopes = past_slopes(times, values, own[[2]], 3)[0]
    expected = load_ensemble(model).forecast(values[own[[2]]], [times[own[2:]]], slopes=slopes)[0][0]
    np.testing.assert_allclose(mine[list(adata.var_names)], expected, rtol=1e-4, atol=1e-5)
    states = tmp_path / "states.csv"
    states.write_text("name," + ",".join(adata.var_names) + "\na" + ",0.1" * adata.n_vars + "\n")
    arguments = ["--model", model, "--initial-states", states, "--output", output, "--times", "0", "1"]
    assert "starts from the slopes of the last 3 observations" in error_of(capsys, "forecast", *arguments)
    rates = ["--model", model, "--states", states, "--output", output]
    assert "call Ensemble.rates with velocities" in error_of(capsys, "rates", *rates)


@pytest.mark.slow(reason="runs whole subcommands")
def test_a_model_with_learned_starts_forecasts_a_dataset_by_its_groups_and_levels(tmp_path, caplog):
    from sparsenode.data.contract import write_trajectories
    from sparsenode.ensemble.members import Member, load_ensemble, save_ensemble
    from sparsenode.ensemble.model import initialize
    from sparsenode.ensemble.starts import given_starts
    from sparsenode.settings import read_model_settings

    data = tmp_path / "data.h5ad"
    settings = {"source": "krumsiek11", "validation": {"by": "none-in-source"}, "initial_state": {"mean_of_first": 2}}
    common = ["--name", "branches", "--settings", json.dumps(settings), "--downloads", str(tmp_path)]
    assert main(["preprocess-dataset", *common, "--output", str(data)]) == 0
    adata = sparsenode.read_trajectories(data)
    names = list(adata.obs["trajectory"].cat.categories)
    adata.uns["sparsenode"]["levels"] = np.linspace(0.5, 1.0, len(names))
    write_trajectories(adata, data)
    model_settings = {"order": 1, "hidden": [4], "decay": 1.0, "starts": "learned", "solver": {"step": 20.0}}
    given = given_starts(adata)
    parameters = initialize(read_model_settings(model_settings), adata.n_vars, [0], gated=False, given=given)
    frozen = {"dataset": "branches", "model": "m", "method": "none", "model_settings": model_settings}
    frozen |= {"method_settings": {"regularizer": "none", "strengths": [0.0], "options": {}}}
    model, output = tmp_path / "model.safetensors", tmp_path / "forecast.csv"
    members = [Member(0.0, 0, "finished", "", 1, 1.0)]
    save_ensemble(model, parameters, members, frozen, list(adata.var_names), {}, given.groups)
    assert main(["forecast", "--model", str(model), "--initial-states", str(data), "--output", str(output)]) == 0
    found = pd.read_csv(output)
    states = adata.uns["sparsenode"]["initial_states"].to_numpy()
    groups = adata.obs.groupby("trajectory", observed=True)["group"].first()
    times = [np.unique(adata.obs["time"][adata.obs["trajectory"] == name]) for name in names]
    forecasts = load_ensemble(model).forecast(
        states, times, groups=[str(groups[name]) for name in names], levels=np.linspace(0.5, 1.0, len(names))
    )
    for name, forecast in zip(names, forecasts, strict=True):
        mine = found[found["trajectory"] == name].pivot_table(index="time", columns="feature", values="predicted")
        np.testing.assert_allclose(mine[list(adata.var_names)], forecast[0], rtol=1e-4, atol=1e-5)
    table = tmp_path / "states.csv"
    adata.uns["sparsenode"]["initial_states"].to_csv(table)
    arguments = ["--initial-states", str(table), "--output", str(output), "--times", "0", "10"]
    with caplog.at_level("INFO"):
        assert main(["forecast", "--model", str(model), *arguments]) == 0
    assert "each forecast begins at the learned start nearest to its state" in caplog.text


def raising(error):
    def describe(name):
        raise error

    return describe


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "error: interrupted: what was begun is not written, and the next run makes it"),
        (
            MemoryError("Unable to allocate 94.7 GiB for an array\nof this shape"),
            1,
            "error: there is not enough memory (Unable to allocate 94.7 GiB for an array); run fewer jobs at once, or "
            "take a machine with more (on a cluster, a larger `mem_mb` of the rule)",
        ),
        (MemoryError(), 1, "error: there is not enough memory; run fewer jobs"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
            1,
            "error: there is not enough memory ([enforce fail] DefaultCPUAllocator",
        ),
    ],
)
def test_an_interruption_and_lack_of_memory_end_in_one_line(monkeypatch, capsys, error, status, message):
    import torch  # noqa: F401  whose errors are only looked for where it runs

    monkeypatch.setattr("sparsenode.pipeline.catalog.describe_catalog", raising(error))
    assert main(["options"]) == status
    told = capsys.readouterr().err
    assert told.startswith(message)
    assert told.count("\n") == 1


def test_another_runtime_error_is_a_mistake_of_the_package(monkeypatch):
    monkeypatch.setattr("sparsenode.pipeline.catalog.describe_catalog", raising(RuntimeError("shapes differ")))
    with pytest.raises(RuntimeError, match="shapes differ"):
        main(["options"])
