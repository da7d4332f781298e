"""What figures share."""

import json

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from sparsenode.errors import UserError
from sparsenode.evaluation.baselines import BASELINE_NAMES
from sparsenode.evaluation.remarks import least_trivial_error
from sparsenode.evaluation.results import error_split, read_metrics, read_selection
from sparsenode.evaluation.tables import make_table
from sparsenode.figures import style


def test_methods_keep_their_look_and_others_get_one_of_their_own():
    looks = style.looks(["mine", "pathreg", "other", "l1"])
    assert looks["pathreg"] == style.looks(["pathreg"])["pathreg"]
    assert len(set(looks.values())) == 4
    many = style.looks([f"method_{number}" for number in range(30)])
    assert len(many) == 30


def test_what_a_method_is_told_is_said_in_words(tmp_path):
    (tmp_path / "small").mkdir()
    for name, prior in {
        "right": {"name": "perfect", "of": "truth", "corruption": 0.0},
        "wrong": {"name": "half", "of": "truth", "corruption": 0.5},
        "other": {"name": "motif", "of": "motif", "corruption": 0.0},
        "plain": None,
    }.items():
        content = {"chosen": 0.1, "protocol": "window", "regularizer": "dash" if prior else "l1", "prior": prior}
        (tmp_path / "small" / f"{name}.json").write_text(json.dumps(content))
    choices = {method: choice for (_, method), choice in read_selection(tmp_path).items()}
    assert choices["right"].told == "given the prior perfect, made of the true network"
    assert choices["wrong"].told == "given the prior half, made of the true network, 50 % of its edges moved"
    assert choices["other"].told == "given the prior motif"
    assert choices["plain"].told == ""
    assert [name for name, choice in choices.items() if choice.knows_truth] == ["right", "wrong"]
    assert [name for name, choice in choices.items() if choice.starts_plain] == ["plain"]


def test_methods_come_in_one_order_and_baselines_are_none():
    assert style.method_order(["mine", "pathreg", "baseline:zeros", "none", "mine"]) == ["none", "pathreg", "mine"]


def test_peers_are_gray_dashed_lines_apart_from_the_methods():
    names = ["peer:sindy", "l1", "peer:mine", "peer:correlation", "peer:yours", "mine"]
    looks = style.looks(names)
    assert {name: look.line == "-" for name, look in looks.items() if ":" not in name} == {"l1": True, "mine": True}
    for name in style.peer_order(names):
        assert looks[name].line != "-"
        assert len(set(to_rgb(looks[name].color))) == 1
    assert len({(look.color, look.line) for look in looks.values()}) == 6
    assert looks["mine"] == style.looks(["l1", "mine"])["mine"]


def test_peers_come_in_one_order_and_have_names():
    peers = ["peer:mine", "peer:sindy", "l1", "peer:correlation"]
    assert style.peer_order(peers) == ["peer:correlation", "peer:sindy", "peer:mine"]
    assert style.method_order(peers) == ["l1"]
    assert [style.method_label(name) for name in ("peer:extra_trees", "peer:my_own", "l1")] == [
        "extra trees",
        "my own",
        "l1",
    ]


def test_zero_has_a_place_left_of_all_strengths():
    axis = style.StrengthAxis([0.0, 1e-3, 1.0, 1e-3, np.nan])
    assert axis.has_zero
    places = axis.place([0.0, 1e-3, 1.0])
    assert (np.diff(places) > 0).all()
    axes = Figure().subplots()
    axis.draw(axes)
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels[0] == "0"
    low, high = axes.get_xlim()
    assert low < places[0] < places[2] < high


@pytest.mark.parametrize(
    ("strengths", "labels"),
    [
        ([0.2, 0.5], ["0.2", "0.5"]),
        ([0.0, 0.2, 0.5], ["0", "0.2", "0.5"]),
        ([0.5], ["0.5"]),
        ([0.2, 0.21, 0.22, 0.6], ["0.2", "0.6"]),
        ([0.00021, 0.00022], ["0.00021"]),
        ([0.5, 2], ["10⁰"]),
        ([0.0], ["0", "10⁰"]),
    ],
)
def test_strengths_have_labels_where_no_power_of_ten_lies_within_them(strengths, labels):
    axes = Figure().subplots()
    style.StrengthAxis(strengths).draw(axes)
    assert [label.get_text() for label in axes.get_xticklabels()] == labels


def test_sparsities_near_one_are_apart():
    axis = style.SparsityAxis([0.0, 0.5, 0.99, np.nan])
    assert not axis.has_empty
    np.testing.assert_allclose(axis.place([0.0, 0.9, 0.99]), [1, 0.1, 0.01])
    for which in ("x", "y"):
        axes = Figure().subplots()
        axis.draw(axes, which)
        ticks = axes.get_xticklabels() if which == "x" else axes.get_yticklabels()
        assert {"0", "90", "95", "99"} <= {label.get_text() for label in ticks}
        first, last = axes.get_xlim() if which == "x" else axes.get_ylim()
        assert first > 1
        assert 0 < last < 0.01


def test_no_path_at_all_has_a_place_beyond_all_sparsities():
    axis = style.SparsityAxis([0.2, 0.99, 1.0])
    places = axis.place([0.2, 0.99, 1.0])
    assert (np.diff(places) < 0).all()
    axes = Figure().subplots()
    axis.draw(axes, "x")
    assert places[-1] > axes.get_xlim()[1]
    labels = {label.get_text(): tick for label, tick in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)}
    assert labels["100"] == places[-1]
    assert len(axes.get_lines()) == 1


@pytest.mark.parametrize("sparsities", [[], [1.0], [0.0], [np.nan]])
def test_an_axis_of_few_sparsities_can_be_drawn(sparsities):
    axes = Figure().subplots()
    style.SparsityAxis(sparsities).draw(axes, "x")
    assert axes.get_xlim()[0] > axes.get_xlim()[1] > 0


def test_an_axis_of_nothing_but_zero_can_be_drawn():
    axes = Figure().subplots()
    style.StrengthAxis([0.0]).draw(axes)
    assert axes.get_xticklabels()[0].get_text() == "0"


def test_divergence_is_told_in_words(metrics):
    assert style.describe_divergence(metrics, "small", "l1") == "2 of 12 diverged"
    assert style.describe_divergence(metrics, "small", "none") == "0 of 3 diverged"


def test_best_baseline_and_headline_split(metrics):
    assert error_split(metrics, "small", "trajectory") == ("test", "fit")
    where = {"model": "small", "split": "test", "phase": "fit"}
    assert least_trivial_error(metrics, protocol="trajectory", **where) == ("baseline:training_mean", 0.5)
    assert least_trivial_error(metrics, protocol="window", **where)[0] == ""


def test_range_of_errors_is_bounded():
    axes = Figure().subplots()
    axes.plot([0, 1], [1e-3, 1e30])
    style.limit_errors(axes)
    low, high = axes.get_ylim()
    assert high / low == pytest.approx(style.MOST_DECADES)


def test_metrics_without_a_model_are_refused(tmp_path):
    make_table(method="baseline:zeros", value=[1.0]).to_parquet(tmp_path / "m.parquet")
    with pytest.raises(UserError, match="no trained model"):
        read_metrics(tmp_path / "m.parquet")


@pytest.mark.slow(reason="draws a whole figure")
@pytest.mark.parametrize("ending", ["pdf", "png"])
def test_equal_figures_are_equal_files(tmp_path, ending):
    written = []
    for name in ("one", "two"):
        with style.style():
            figure = Figure(figsize=(2, 1))
            figure.subplots().plot([0, 1], [0, 1])
            style.save_figure(figure, [tmp_path / f"{name}.{ending}"])
        written.append((tmp_path / f"{name}.{ending}").read_bytes())
    assert written[0] == written[1]


@pytest.mark.slow(reason="draws several figures")
@pytest.mark.parametrize("ending", ["pdf", "png"])
def test_a_disk_that_takes_no_more_leaves_no_figure(tmp_path, largest_file, ending):
    figure = Figure()
    figure.subplots().plot([0, 1])
    with largest_file(500), pytest.raises(UserError, match=f"cannot write .*figure.{ending}"):
        style.save_figure(figure, [tmp_path / f"figure.{ending}"])
    assert list(tmp_path.iterdir()) == []


def test_every_protocol_is_told_apart():
    told = {style.describe_protocol(protocol) for protocol in ("trajectory", "window", "rolling", "one_step")}
    assert len(told) == 4


def test_every_baseline_has_a_name():
    from sparsenode.evaluation import baselines

    named = {f"baseline:{name}" for name in (*baselines.BASELINES, *baselines.PAST_BASELINES)}
    assert named == set(BASELINE_NAMES)
