"""Figures across datasets or methods."""

import json

import numpy as np
import pytest

from sparsenode import cli
from sparsenode.errors import UserError
from sparsenode.evaluation.results import Choice, pick, results_of_datasets
from sparsenode.evaluation.tables import ALL, join_tables, make_table
from sparsenode.figures import comparison

NOISE = {"label": "noise (%)", "datasets": {"clean": 0.0, "noisy": 5.0}, "dataset": None, "methods": None}
PRIORS = {
    "label": "wrong edges (%)",
    "datasets": None,
    "dataset": "clean",
    "methods": {"dash": {"l1": 0.0, "pathreg": 20.0}},
}
CHOICES = {("small", "l1"): Choice(0.1, "trajectory"), ("small", "pathreg"): Choice(1.0, "trajectory")}


def make_metrics(noise: float = 0.0, models: tuple[str, ...] = ("small",)):
    """Three seeds of two methods at two strengths, worse with noise; one member diverged; a peer and chance."""
    tables = [
        make_table(method="baseline:random", metric="auprc", trajectory=ALL, value=[0.05]),
        make_table(
            method="peer:lasso", metric="auprc", estimator="peer", trajectory=ALL, seed=[0, 1, -1],
            value=[0.2 - noise, 0.3 - noise, 0.9],
        ),
    ]  # fmt: skip
    for model in models:
        for method, quality in (("l1", 0.6), ("pathreg", 0.8)):
            for strength in (0.1, 1.0):
                for seed in (0, 1, 2):
                    key = {"model": model, "method": method, "strength": strength, "seed": seed, "trajectory": ALL}
                    if (method, strength, seed) == ("pathreg", 1.0, 2):
                        tables.append(make_table(**key, metric="seconds", value=[1.0], status="diverged"))
                        tables.append(make_table(**key, metric="mse", value=[np.nan], status="diverged"))
                        continue
                    tables.append(make_table(**key, metric="seconds", value=[1.0]))
                    paths = {**key, "estimator": "paths"}
                    score = quality - noise + 0.01 * seed + strength / 100
                    tables.append(make_table(**paths, metric="balanced_accuracy", value=[score]))
                    tables.append(make_table(**paths, metric="auprc", value=[score / 2]))
                    tables.append(make_table(**paths, metric="feature_sparsity", value=[0.9 if seed else 0.99]))
                    for horizon, split, error in (
                        ("trajectory", "test", 1e-3),
                        ("window", "test", 9),
                        ("trajectory", "train", 9),
                    ):
                        tables.append(
                            make_table(
                                **key, metric="mse", split=split, phase="fit", horizon=horizon,
                                value=[error * (1 + noise)],
                            )
                        )  # fmt: skip
                pooled = {"model": model, "method": method, "strength": strength, "seed": -1, "trajectory": ALL}
                tables.append(make_table(**pooled, estimator="paths", metric="balanced_accuracy", value=[1.0]))
                tables.append(make_table(**pooled, estimator="paths", metric="auprc", value=[1.0]))
    return join_tables(tables)


def tables(**changes):
    return {"clean": (make_metrics(**changes), CHOICES), "noisy": (make_metrics(noise=0.1, **changes), CHOICES)}


def heights(container):
    """Values that an error bar container marks; matplotlib keeps them as objects."""
    return np.asarray(container.lines[0].get_ydata(), float)


def values(points, **wanted):
    return pick(points, **wanted).groupby("x")["value"].agg(list).to_dict()


def test_members_at_their_chosen_strength_along_datasets():
    points = comparison.collect_points(NOISE, tables())
    found = values(points, line="l1", panel="balanced_accuracy")
    assert found == {0.0: pytest.approx([0.601, 0.611, 0.621]), 5.0: pytest.approx([0.501, 0.511, 0.521])}
    # One member diverged; the strength chosen is the other one.
    assert values(points, line="pathreg", panel="auprc")[0.0] == pytest.approx([0.405, 0.41])
    assert values(points, line="l1", panel="mse") == {0.0: pytest.approx([1e-3] * 3), 5.0: pytest.approx([1.1e-3] * 3)}
    assert values(points, line="l1", panel="sparsity")[5.0] == [0.99, 0.9, 0.9]


@pytest.mark.slow(reason="draws a whole figure")
def test_peers_and_chance_have_an_auprc_alone():
    points = comparison.collect_points(NOISE, tables())
    references = points[points["model"] == ""]
    assert set(references["panel"]) == {"auprc"}
    assert values(references, line="peer:lasso") == {0.0: [0.2, 0.3], 5.0: pytest.approx([0.1, 0.2])}
    assert values(references, line=comparison.CHANCE) == {0.0: [0.05], 5.0: [0.05]}


def test_a_line_of_methods_on_one_dataset():
    points = comparison.collect_points(PRIORS, tables())
    assert set(points["line"]) == {"dash", "peer:lasso", comparison.CHANCE}
    found = values(points, line="dash", panel="balanced_accuracy")
    assert found == {0.0: pytest.approx([0.601, 0.611, 0.621]), 20.0: pytest.approx([0.81, 0.82])}
    assert points.loc[points["line"] == "peer:lasso", "x"].isna().all()


@pytest.mark.slow(reason="draws a whole figure")
def test_a_method_without_a_choice_has_no_point_and_a_single_point_is_no_line():
    given = tables()
    given["noisy"] = (given["noisy"][0], {**CHOICES, ("small", "l1"): Choice(None, "trajectory")})
    points = comparison.collect_points(NOISE, given)
    assert values(points, line="l1") == {}
    assert set(values(points, line="pathreg")) == {0.0, 5.0}
    given["noisier"] = tables()["noisy"]
    points = comparison.collect_points({**NOISE, "datasets": {"clean": 0.0, "noisy": 5.0, "noisier": 10.0}}, given)
    assert set(values(points, line="l1")) == {0.0, 10.0}


@pytest.mark.slow(reason="draws a whole figure")
def test_medians_and_ranges_are_drawn_apart():
    figure = comparison.draw("noise", NOISE, tables())
    accuracy, auprc, sparsity, error = figure.axes
    drawn = {container.get_label(): container for container in accuracy.containers}
    assert set(drawn) == {"l1", "pathreg"}
    line, _, [bars] = drawn["l1"].lines
    np.testing.assert_allclose(heights(drawn["l1"]), [61.1, 51.1])
    np.testing.assert_allclose([segment[:, 1] for segment in bars.get_segments()], [[60.1, 62.1], [50.1, 52.1]])
    apart = drawn["pathreg"].lines[0].get_xdata() - line.get_xdata()
    assert (apart > 0).all()
    assert (apart < 2.5).all()
    assert {container.get_label() for container in auprc.containers} == {"l1", "pathreg", "peer:lasso"}
    # Sparser is higher: an axis of what is left.
    np.testing.assert_allclose(heights(sparsity.containers[0]), [0.1, 0.1])
    assert sparsity.get_ylim()[0] > sparsity.get_ylim()[1]
    np.testing.assert_allclose(heights(error.containers[0]), [1e-3, 1.1e-3])
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["l1", "pathreg", "lasso (peer)", "chance"]
    assert [tick.get_text() for tick in accuracy.get_xticklabels()] == ["0", "5"]


@pytest.mark.slow(reason="draws a whole figure")
def test_on_one_dataset_peers_are_level_lines():
    figure = comparison.draw("priors", PRIORS, tables())
    auprc = figure.axes[1]
    levels = sorted(line.get_ydata()[0] for line in auprc.get_lines() if list(line.get_xdata()) == [0, 1])
    assert levels == pytest.approx([0.05, 0.25])


@pytest.mark.slow(reason="draws a whole figure")
def test_models_stand_below_each_other():
    both = {("large", method): choice for (_, method), choice in CHOICES.items()} | CHOICES
    given = {name: (metrics, both) for name, (metrics, _) in tables(models=("small", "large")).items()}
    figure = comparison.draw("noise", NOISE, given)
    assert [axes.get_ylabel() for axes in figure.axes[::4]] == ["model small", "model large"]


@pytest.mark.slow(reason="draws a whole figure")
def test_what_was_not_measured_is_said(tmp_path):
    given = {
        name: (metrics[metrics["metric"].isin(["seconds", "mse"])], CHOICES) for name, (metrics, _) in tables().items()
    }
    figure = comparison.draw("noise", NOISE, given)
    assert [[text.get_text() for text in axes.texts] for axes in figure.axes] == [["not measured"]] * 3 + [[]]
    nothing = {name: (metrics, {}) for name, (metrics, _) in given.items()}
    comparison.draw("noise", NOISE, nothing).savefig(tmp_path / "noise.png", dpi=30)


@pytest.fixture
def files(tmp_path):
    """Tables and choices of two datasets, as files, and the arguments that name them."""
    for name, (metrics, choices) in tables().items():
        metrics.to_parquet(tmp_path / f"{name}.parquet", index=False)
        for (model, method), choice in choices.items():
            path = tmp_path / name / model / f"{method}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"chosen": choice.strength, "protocol": choice.protocol}))
    names = ["noisy", "clean"]
    return {
        "datasets": names,
        "metrics": [tmp_path / f"{name}.parquet" for name in names],
        "selections": [tmp_path / name for name in names],
    }


@pytest.mark.slow(reason="draws a whole figure")
def test_the_command_writes_both_files(files, tmp_path):
    arguments = ["draw-comparison", "--comparison", "noise", "--settings", json.dumps(NOISE)]
    for name, values_ in files.items():
        arguments += [f"--{name}", *map(str, values_)]
    outputs = [tmp_path / "noise.pdf", tmp_path / "noise.png"]
    assert cli.main([*arguments, "--pdf", str(outputs[0]), "--png", str(outputs[1]), "--dots-per-inch", "50"]) == 0
    assert outputs[0].read_bytes().startswith(b"%PDF")
    assert outputs[1].read_bytes().startswith(b"\x89PNG")


def test_missing_tables_are_named(files):
    columns = list(files.values())
    with pytest.raises(UserError, match="2 datasets, 1 metrics and 2 selections"):
        results_of_datasets(columns[0], columns[1][:1], columns[2])
    settings = {**NOISE, "datasets": {"clean": 0, "dirty": 1}}
    with pytest.raises(UserError, match="noise needs the dataset dirty; given are: noisy, clean"):
        comparison.read("noise", settings, results_of_datasets(*columns))
