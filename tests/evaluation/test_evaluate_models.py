"""Evaluation of files that training really wrote, and what it refuses."""

import json
from types import SimpleNamespace

import networkx
import numpy as np
import pandas as pd
import pytest

from sparsenode.data.contract import read_trajectories
from sparsenode.data.preprocess import preprocess_dataset
from sparsenode.errors import UserError
from sparsenode.evaluation import evaluate as evaluate_module
from sparsenode.evaluation.evaluate import evaluate_models
from sparsenode.evaluation.networks import read_rankings, read_stability
from sparsenode.figures.network import draw_network
from sparsenode.figures.network_graph import draw_network_graph
from sparsenode.figures.pareto import draw_pareto
from sparsenode.figures.precision_recall import draw_precision_recall
from sparsenode.figures.stability import draw_stability
from sparsenode.figures.strengths import draw_strengths
from sparsenode.figures.trajectories import draw_trajectories
from sparsenode.training import train_members

DATASET = {
    "source": "second_order",
    "options": {"trajectories": 6, "test_trajectories": 2, "observations": 12, "oscillators": 3, "horizon": 2.0},
    "validation": {"by": "trajectory", "share": 0.25, "seed": 0},
    "initial_state": {"mean_of_first": 1},
    "feature_weight": "uniform",
}
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
    rankings = read_rankings(folder)
    assert rankings.groupby("estimator", observed=True).size().to_dict() == {"paths": 6, "jacobian": 6, "frequency": 6}
    annotated = read_trajectories(folder / "network.h5ad")
    assert {"truth", "network_small_pathreg", "frequency_small_pathreg"} <= set(annotated.varp)
    common = {"dataset": "toy", "metrics": files["metrics"], "selection": files["selection"], "dots_per_inch": 40}
    for name, draw, more in (
        ("strengths", draw_strengths, {}),
        ("pareto", draw_pareto, {}),
        ("trajectories", draw_trajectories, {"forecasts": files["forecasts"]}),
        ("network", draw_network, {"networks": files["networks"], "data": files["data"]}),
        ("stability", draw_stability, {"networks": files["networks"], "data": files["data"]}),
        ("network_graph", draw_network_graph, {"networks": files["networks"], "data": files["data"]}),
    ):
        outputs = [tmp_path / f"{name}.pdf", tmp_path / f"{name}.png"]
        draw(**common, **more, outputs=outputs)
        assert all(path.is_file() for path in outputs)
    curves = [tmp_path / "precision_recall.png"]
    given = {name: files[name] for name in ("selection", "networks")}
    draw_precision_recall(dataset="toy", **given, outputs=curves, dots_per_inch=40)
    assert curves[0].is_file()


def test_a_model_of_other_settings_is_refused(trained, tmp_path):
    frozen = json.loads((trained / "settings.json").read_text())
    frozen["model_settings"]["iterations"] = 4
    (tmp_path / "settings.json").write_text(json.dumps(frozen))
    with pytest.raises(UserError, match=r"model_settings\.iterations: 3 in the model, 4 in the settings; delete it and run again"):
        evaluate(trained, tmp_path, settings=[tmp_path / "settings.json"])
    assert not (tmp_path / "metrics.parquet").exists()


def test_missing_and_repeated_blocks_are_refused(trained, tmp_path):
    with pytest.raises(UserError, match="no trained model was given"):
        evaluate(trained, tmp_path, models=[])
    with pytest.raises(UserError, match="no frozen settings"):
        evaluate(trained, tmp_path, settings=[])
    with pytest.raises(UserError, match="hold the same seeds"):
        evaluate(trained, tmp_path, models=[trained / "seeds_0.safetensors"] * 2)


def test_models_whose_networks_would_share_a_key_are_refused_before_any_work(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate_module, "load_blocks", lambda *given: [named("a_b", "c"), named("a", "b_c")])
    with pytest.raises(UserError, match="would both be network_a_b_c"):
        evaluate(trained, tmp_path)


def named(model, method):
    return SimpleNamespace(settings={"model": model, "method": method})
