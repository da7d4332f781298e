"""Evaluation of files that training really wrote, and what it refuses."""

import json
import shutil
from types import SimpleNamespace

import networkx
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from sparsenode.cli import main
from sparsenode.data.contract import read_trajectories
from sparsenode.data.preprocess import preprocess_dataset
from sparsenode.ensemble.members import join_ensembles, load_ensemble
from sparsenode.errors import UserError
from sparsenode.evaluation import evaluate as evaluate_module
from sparsenode.evaluation.blocks import take_seeds
from sparsenode.evaluation.evaluate import evaluate_models
from sparsenode.evaluation.networks import open_rankings, read_stability
from sparsenode.evaluation.results import Results
from sparsenode.figures import FIGURES
from sparsenode.figures.drawing import draw_figure
from sparsenode.peers import RandomPeer, get_peer, peer_names
from sparsenode.peers.inference import infer_peer
from sparsenode.remarks import UNFINISHED, Remark, read_remarks
from sparsenode.training.job import train_members

DATASET = {
    "source": "second_order",
    "options": {"trajectories": 6, "test_trajectories": 2, "observations": 12, "oscillators": 3, "horizon": 2.0},
    "validation": {"by": "trajectory", "share": 0.25, "seed": 0},
    "initial_state": {"mean_of_first": 1},
    "feature_weight": "uniform",
}
EMPTY = pd.DataFrame({"metric": []})
MODEL = {"order": 2, "hidden": [5], "velocity_hidden": [4], "iterations": 3, "check_every": 1}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small data set, and two blocks of seeds of one method on it."""
    folder = tmp_path_factory.mktemp("trained")
    preprocess_dataset("toy", DATASET, folder, folder / "toy.h5ad")
    settings = {
        "dataset": "toy",
        "model": "small",
        "method": "pathreg",
        "model_settings": MODEL,
        "method_settings": {"regularizer": "pathreg", "strengths": [0.01, 0.1], "options": {"kappa": 0.1}},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    for seed in (0, 1):
        train_members(
            folder / "toy.h5ad",
            folder / "settings.json",
            range(seed, seed + 1),
            folder / f"seeds_{seed}.safetensors",
            folder / f"seeds_{seed}.parquet",
            threads=1,
            device="cpu",
        )
    return folder


def evaluate(trained, folder, **changes):
    arguments = {
        "data": trained / "toy.h5ad",
        "models": [trained / "seeds_0.safetensors", trained / "seeds_1.safetensors"],
        "settings": [trained / "settings.json"],
        "metrics": folder / "metrics.parquet",
        "forecasts": folder / "forecasts.parquet",
        "networks": folder / "networks",
        "selection": folder / "selection",
    }
    evaluate_models(**{**arguments, **changes})
    return arguments


@pytest.mark.slow(reason="trains, evaluates and draws as the workflow does")
def test_blocks_are_joined_and_all_files_and_figures_written(trained, tmp_path):
    files = evaluate(trained, tmp_path)
    metrics = pd.read_parquet(files["metrics"])
    members = metrics[metrics["metric"] == "seconds"][["strength", "seed"]]
    assert sorted(members.itertuples(index=False, name=None)) == [(0.01, 0), (0.01, 1), (0.1, 0), (0.1, 1)]
    assert {"mse_noise_free", "auprc"} <= set(metrics["metric"])
    errors = metrics[(metrics["metric"] == "mse") & (metrics["trajectory"] == "all")]
    assert np.isfinite(errors["value"]).all()
    chosen = json.loads((tmp_path / "selection" / "small" / "pathreg.json").read_text())
    assert chosen["chosen"] in {0.01, 0.1}
    assert all(0 <= entry["stability"] <= 1 for entry in chosen["candidates"])
    folder = tmp_path / "networks"
    assert len(pd.read_csv(folder / "small" / "pathreg.csv")) == 9
    graph = networkx.read_graphml(folder / "small" / "pathreg.graphml")
    assert (graph.number_of_edges(), graph.graph["strength"]) == (9, chosen["chosen"])
    assert set(read_stability(folder, "small", "pathreg")["strength"]) == {0.01, 0.1}
    rankings = pd.read_parquet(folder / "rankings.parquet")
    assert rankings.groupby("estimator", observed=True).size().to_dict() == {"paths": 6, "jacobian": 6, "frequency": 6}
    annotated = read_trajectories(folder / "network.h5ad")
    assert {"truth", "network_small_pathreg", "frequency_small_pathreg"} <= set(annotated.varp)
    draw_figures(files, {"always", "truth"}, tmp_path)


def draw_figures(files, needs, folder):
    """Draw all figures that a dataset of such needs has."""
    for name, figure in FIGURES.items():
        if figure.needs in needs:
            path = folder / f"{name}.png"
            draw_figure(name, Results("toy", files), [path], dots_per_inch=30)
            assert path.is_file()


QUICK_PEERS = {
    "dyngenie3": {"trees": 5},
    "extra_trees": {"trees": 5},
    "lassonet": {"hidden": 3, "iterations": 20, "path_iterations": 5, "path_multiplier": 2.0},
}
ONE_VARIABLE = {
    "joint": ({"order": 1, "hidden": [4], "iterations": 2}, "l1"),
    "per_target": ({"order": 1, "hidden": [4], "iterations": 2, "network": "per_target"}, "grouplasso"),
    "second": ({"order": 2, "hidden": [4], "iterations": 2, "network": "per_target"}, "lassonet"),
}


@pytest.mark.slow(reason="trains, evaluates and draws as the workflow does")
@pytest.mark.parametrize(("model", "truth"), [("joint", "network"), ("per_target", None), ("second", "network")])
def test_one_variable_goes_the_whole_way(model, truth, tmp_path):
    generator = np.random.default_rng(0)
    times = np.tile(np.linspace(0, 2, 10), 4)
    names = np.repeat([f"t{number}" for number in range(4)], 10)
    values = np.repeat(generator.uniform(1, 2, 4), 10) * np.exp(-times) + 0.01 * generator.standard_normal(40)
    obs = pd.DataFrame({"time": times, "trajectory": names}, index=[f"o{number}" for number in range(40)])
    cells = AnnData(values[:, None], obs, pd.DataFrame(index=["A"]), varp={"network": np.ones((1, 1))})
    cells.write_h5ad(tmp_path / "cells.h5ad")
    options = {"path": str(tmp_path / "cells.h5ad"), "trajectory": "trajectory", "test_trajectories": ["t3"]}
    dataset = {"source": "anndata", "options": {**options, "truth": truth}, "validation": DATASET["validation"]}
    data = tmp_path / "toy.h5ad"
    preprocess_dataset("toy", dataset, tmp_path, data)
    settings, method = ONE_VARIABLE[model]
    frozen = {"dataset": "toy", "model": model, "method": method, "model_settings": settings}
    frozen["method_settings"] = {"regularizer": method, "strengths": [0.001, 0.1], "options": {}}
    (tmp_path / "settings.json").write_text(json.dumps(frozen))
    arguments = {"threads": 1, "device": "cpu"}
    train_members(
        data, tmp_path / "settings.json", range(2), tmp_path / "m.safetensors", tmp_path / "m.parquet", **arguments
    )
    peers = [tmp_path / "peers" / f"{name}.parquet" for name in peer_names()] if truth else []
    for path in peers:
        options = {"time_limit": None, **QUICK_PEERS.get(path.stem, {})}
        infer_peer(data, path.stem, options, 2, settings["order"], path)
        assert pd.read_parquet(path).columns.tolist() == ["seed", "source", "target", "score", "sign"]
        scored = 0 if path.stem == "correlation" else 2 if issubclass(get_peer(path.stem), RandomPeer) else 1
        assert len(pd.read_parquet(path)) == scored  # its effect on itself
    if truth:
        peers.append(tmp_path / "peers" / "ended.parquet")
        infer_peer(data, "lasso", {"time_limit": 0.01}, 2, settings["order"], peers[-1])
    remarks = tmp_path / "remarks.csv"
    files = evaluate(tmp_path, tmp_path, models=[tmp_path / "m.safetensors"], peers=peers, remarks=remarks)
    metrics = pd.read_parquet(files["metrics"])
    ended = [Remark("toy", "", "peer:ended", UNFINISHED, "not finished within 0.01 s")] if truth else []
    assert [remark for remark in read_remarks(remarks) if remark.method.startswith("peer:")] == ended
    assert metrics.loc[metrics["status"] == "unfinished", "method"].tolist() == ["peer:ended"] * bool(truth)
    assert set(metrics["status"]) - {"unfinished"} == {"finished", "untrained", "undefined"}
    undefined = metrics[metrics["status"] == "undefined"]
    assert dict(zip(undefined["metric"], undefined["reason"], strict=True)) == {
        "exact_sparsity": "one variable makes no pair",
        "mean_out_degree": "one variable makes no pair",
        "out_degree": "no source has a target",
    }
    files = {name: files[name] for name in ("metrics", "forecasts", "networks", "selection", "data")}
    if truth is not None:
        assert len(open_rankings(files["networks"])) == 0
    if model != "second":  # whose tables are like those of the first, with the same truth
        draw_figures(files, {"always", "truth"} if truth is not None else {"always"}, tmp_path)


def test_a_model_of_other_settings_is_refused(trained, tmp_path):
    frozen = json.loads((trained / "settings.json").read_text())
    frozen["model_settings"]["iterations"] = 4
    (tmp_path / "settings.json").write_text(json.dumps(frozen))
    with pytest.raises(
        UserError, match=r"model_settings\.iterations: 3 in the model, 4 in the settings; delete it and run again"
    ):
        evaluate(trained, tmp_path, settings=[tmp_path / "settings.json"])
    assert not (tmp_path / "metrics.parquet").exists()


def test_missing_and_repeated_blocks_are_refused(trained, tmp_path):
    with pytest.raises(UserError, match="no trained model was given"):
        evaluate(trained, tmp_path, models=[])
    with pytest.raises(UserError, match="no frozen settings"):
        evaluate(trained, tmp_path, settings=[])
    with pytest.raises(UserError, match="hold the same seeds"):
        evaluate(trained, tmp_path, models=[trained / "seeds_0.safetensors"] * 2)


@pytest.mark.slow(reason="trains, evaluates and draws as the workflow does")
def test_a_dataset_of_which_no_member_finished_ends_with_an_error_and_writes_nothing(tmp_path):
    options = {**DATASET["options"], "horizon": 2000.0}
    preprocess_dataset("toy", {**DATASET, "options": options}, tmp_path, tmp_path / "toy.h5ad")
    model = {**MODEL, "solver": {"step": 200.0}}
    content = {"dataset": "toy", "model": "small", "method": "none", "model_settings": model}
    content["method_settings"] = {"regularizer": "none", "strengths": [0.0], "options": {}}
    (tmp_path / "settings.json").write_text(json.dumps(content))
    for seed in (0, 1):
        files = tmp_path / f"seeds_{seed}.safetensors", tmp_path / f"seeds_{seed}.parquet"
        train_members(tmp_path / "toy.h5ad", tmp_path / "settings.json", [seed], *files, device="cpu")
    with pytest.raises(
        UserError, match=r"no member of the dataset toy has finished .*\(2 of 2, by iteration 0\)"
    ) as refused:
        evaluate(tmp_path, tmp_path / "new", remarks=tmp_path / "new" / "remarks.csv")
    assert "trajectories are long, 3e+03" in str(refused.value)
    assert "a step of the solver (200) is longer" in str(refused.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.slow(reason="trains, evaluates and draws as the workflow does")
def test_what_is_doubtful_is_a_table(trained, tmp_path):
    files = evaluate(trained, tmp_path, remarks=tmp_path / "remarks.csv")
    found = read_remarks(tmp_path / "remarks.csv")
    choice = json.loads((files["selection"] / "small" / "pathreg.json").read_text())
    assert choice["at_edge"] in {"smallest", "largest"}
    assert Remark("toy", "small", "pathreg", f"{choice['at_edge']} strength", f"{choice['chosen']:g}") in found
    # After three iterations a trivial forecast is better.
    assert {remark.kind for remark in found} <= {"smallest strength", "largest strength", "worse than trivial"}


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


@pytest.mark.slow(reason="trains or evaluates several models")
@pytest.mark.parametrize("file", ["toy.h5ad", "settings.json", "seeds_1.safetensors", "correlation.parquet"])
def test_a_damaged_file_is_named_on_one_line_and_nothing_written(trained, tmp_path, capsys, file):
    folder = tmp_path / "copy"
    shutil.copytree(trained, folder)
    peer = [
        "--data",
        str(folder / "toy.h5ad"),
        "--peer",
        "correlation",
        "--output",
        str(folder / "correlation.parquet"),
    ]
    assert main(["infer-peer", *peer]) == 0
    cut(folder / file)
    files = {name: tmp_path / name for name in ("metrics", "forecasts", "networks", "selection")}
    arguments = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    arguments += ["--models", *(str(folder / f"seeds_{seed}.safetensors") for seed in (0, 1))]
    arguments += ["--data", str(folder / "toy.h5ad"), "--settings", str(folder / "settings.json")]
    assert main(["evaluate-models", *arguments, "--peers", str(folder / "correlation.parquet")]) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith(f"error: {folder / file} ")
    assert "is damaged" in told
    assert told.endswith("delete it and run again")
    assert not any(path.exists() for path in files.values())


@pytest.mark.slow(reason="trains, evaluates and draws as the workflow does")
def test_only_the_seeds_that_are_asked_for_are_taken(trained, tmp_path):
    both = evaluate(trained, tmp_path / "both")
    one = evaluate(trained, tmp_path / "one", seeds=1)
    single = evaluate(trained, tmp_path / "single", models=[trained / "seeds_0.safetensors"])
    assert set(pd.read_parquet(both["metrics"])["seed"]) == {-1, 0, 1}
    pd.testing.assert_frame_equal(pd.read_parquet(one["metrics"]), pd.read_parquet(single["metrics"]))
    with pytest.raises(UserError, match="holds the seed 2, and 3 seeds are asked for"):
        evaluate(trained, tmp_path, seeds=3)
    with pytest.raises(UserError, match="holds the seed 0, and 1 seeds are asked for"):
        evaluate(trained, tmp_path, seeds=1, models=[trained / "seeds_1.safetensors"])


def test_the_members_of_some_seeds_are_taken_out_of_a_block(trained):
    blocks = [load_ensemble(trained / f"seeds_{seed}.safetensors") for seed in (0, 1)]
    joined = join_ensembles(blocks)
    (taken,) = take_seeds([joined], 1)
    assert taken.members == blocks[0].members
    assert np.array_equal(taken.path_matrix(), blocks[0].path_matrix())
    assert take_seeds([joined], 2) == [joined]
    assert take_seeds(blocks, 1) == [blocks[0]]


def test_rankings_are_written_without_rows_where_there_is_no_truth(trained, tmp_path, monkeypatch):
    evaluation = SimpleNamespace(networks={}, selections={}, rankings=None, metrics=EMPTY, forecasts=EMPTY)
    monkeypatch.setattr(evaluate_module, "evaluate_ensembles", lambda *given, **options: evaluation)
    evaluate(trained, tmp_path)
    assert len(open_rankings(tmp_path / "networks")) == 0


def test_models_whose_networks_would_share_a_key_are_refused_before_any_work(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate_module, "load_blocks", lambda *given: [named("a_b", "c"), named("a", "b_c")])
    with pytest.raises(UserError, match="would both be network_a_b_c"):
        evaluate(trained, tmp_path)


def named(model, method):
    return SimpleNamespace(settings={"model": model, "method": method})
