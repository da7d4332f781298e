"""Sweeps: what an entry stands for, how its members are named and addressed, and what is refused."""

import csv
import itertools
import json

import pytest

from sparsenode.errors import UserError
from sparsenode.pipeline import configuration, packs, plan, sweeps
from sparsenode.pipeline.configuration import check_configuration, merge

BASE = {
    "run": {"datasets": ["hill"], "models": ["plain"], "methods": ["none"]},
    "datasets": {
        "hill": {
            "source": "hill",
            "options": {"nodes": 5},
            "sweep": {"noise": [0, 0.05, 0.1], "seed": [0, 1]},
        },
        "other": {"source": "hill", "options": {"nodes": 5}},
    },
    "models": {"plain": {}},
    "methods": {"none": {}},
}


def sweep_of(values, **changes):
    """The base configuration with another sweep, and further changes of its entry."""
    config = merge(BASE, {"datasets": {"hill": changes}})
    config["datasets"]["hill"]["sweep"] = values
    return config


def problems(config):
    with pytest.raises(UserError) as caught:
        check_configuration(config)
    return str(caught.value)


def test_every_combination_is_a_dataset_in_the_order_of_the_values():
    checked = check_configuration(BASE)
    expected = {
        f"hill_noise{noise}_seed{seed}": (noise, seed) for noise, seed in itertools.product((0, 0.05, 0.1), (0, 1))
    }
    assert checked["run"]["datasets"] == list(expected)
    options = {name: checked["datasets"][name]["options"] for name in expected}
    assert {name: (each["noise"], each["seed"]) for name, each in options.items()} == expected
    assert {each["nodes"] for each in options.values()} == {5}
    assert set(checked["datasets"]) == {*expected, "other"}
    assert checked["sweeps"]["datasets"]["hill"]["hill_noise0.05_seed1"] == {"noise": 0.05, "seed": 1}


def test_a_member_equals_the_same_entry_written_by_hand():
    by_hand = merge(BASE, {"datasets": {"other": {"options": {"noise": 0.05, "seed": 1}}}})
    checked = check_configuration(by_hand)
    assert checked["datasets"]["hill_noise0.05_seed1"] == checked["datasets"]["other"]
    assert not set(checked["datasets"]["other"]) & {"sweep", "design", "center", "names"}


def test_corners_are_the_first_and_last_values():
    values = {"a": [1, 2, 3], "b": [4], "c": [5, 6]}
    combined = sweeps.combinations(values, "corners", None)
    assert combined == [{"a": a, "b": 4, "c": c} for a in (1, 3) for c in (5, 6)]


def test_one_at_a_time_differs_from_the_center_in_one_option():
    values = {"a": [1, 2, 3], "b": [4, 5], "c": ["x", "y"]}
    center = {"a": 2, "b": 4, "c": "y"}
    combined = sweeps.combinations(values, "one_at_a_time", center)
    full = sweeps.combinations(values, "full", None)
    nearby = [each for each in full if sum(each[key] != center[key] for key in center) <= 1]
    assert sorted(map(json.dumps, combined)) == sorted(map(json.dumps, nearby))
    assert combined[0] == center


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-05, "1e-05"),
        (1e20, "1e20"),
        (-2, "-2"),
        (True, "true"),
        (None, "none"),
        ("a b/c", "a-b-c"),
        ([20, 40], "20-40"),
        ({"length": 10}, "length10"),
    ],
)
def test_values_are_safe_in_names(value, text):
    assert sweeps.value_text(value) == text


def test_keys_of_the_entry_are_swept_by_their_path():
    checked = check_configuration(sweep_of({"validation.share": [0.1, 0.2], "feature_weight": ["movement", "uniform"]}))
    entry = checked["datasets"]["hill_share0.2_feature_weightuniform"]
    assert (entry["validation"]["share"], entry["feature_weight"]) == (0.2, "uniform")


def test_keys_within_an_option_of_the_source_are_swept_by_their_path():
    ring = {"source": "lorenz96", "sweep": {"parameter_factors.forcing": [0.5, 2]}}
    config = merge(BASE, {"run": {"datasets": ["ring"]}, "datasets": {"ring": ring}})
    checked = check_configuration(config)["datasets"]
    factors = {name: checked[name]["options"]["parameter_factors"] for name in ("ring_forcing0.5", "ring_forcing2")}
    assert factors == {"ring_forcing0.5": {"forcing": 0.5}, "ring_forcing2": {"forcing": 2}}


def test_models_are_swept_and_their_lists_of_datasets_name_groups():
    model = {"datasets": ["hill"], "sweep": {"hidden": [[4], [8, 8]], "solver.step": [0.1, 0.5]}}
    checked = check_configuration(merge(BASE, {"models": {"plain": model}}))
    widths = [
        (checked["models"][name]["hidden"], checked["models"][name]["solver"]["step"]) for name in checked["models"]
    ]
    assert widths == [([4], 0.1), ([4], 0.5), ([8, 8], 0.1), ([8, 8], 0.5)]
    assert checked["run"]["models"] == list(checked["models"])
    assert checked["models"]["plain_hidden4_step0.1"]["datasets"] == checked["run"]["datasets"]
    assert len(configuration.grid(checked)) == 6 * 4
    frozen = configuration.slice_settings(checked, "hill_noise0_seed0", "plain_hidden4_step0.5", "none")
    assert frozen["model_settings"]["solver"]["step"] == 0.5
    assert not set(frozen["model_settings"]) & {"sweep", "design", "center", "names"}


def test_single_members_are_named_beside_groups():
    run = {"datasets": ["hill_noise0.1_seed1", "hill", "other"]}
    model = {"datasets": ["hill_noise0_seed0", "other"]}
    checked = check_configuration(merge(BASE, {"run": run, "models": {"plain": {}, "few": model}}))
    assert checked["run"]["datasets"][0] == "hill_noise0.1_seed1"
    assert len(checked["run"]["datasets"]) == 7
    assert checked["models"]["few"]["datasets"] == ["hill_noise0_seed0", "other"]


def test_names_of_ones_own():
    checked = check_configuration(sweep_of({"seed": [0, 1]}, names="network_{seed}"))
    assert checked["run"]["datasets"] == ["network_0", "network_1"]


def test_a_comparison_takes_its_numbers_from_the_values_of_an_option():
    comparison = {"noise": {"label": "noise", "datasets": {"hill": "noise", "other": 0.2}}}
    checked = check_configuration(merge(BASE, {"comparisons": comparison}))
    expected = {f"hill_noise{noise}_seed{seed}": noise for noise in (0, 0.05, 0.1) for seed in (0, 1)}
    assert checked["comparisons"]["noise"]["datasets"] == {**expected, "other": 0.2}


def test_figures_of_a_sweep_are_drawn_when_asked_for():
    checked = check_configuration(merge(BASE, {"run": {"datasets": ["hill", "other"]}}))
    assert configuration.figures_drawn(checked, "hill_noise0_seed0") == []
    assert configuration.figures_drawn(checked, "other") == configuration.figures_of(checked, "other") != []
    checked = check_configuration(sweep_of({"seed": [0, 1]}, figures=True))
    assert configuration.figures_drawn(checked, "hill_seed0") == configuration.figures_of(checked, "hill_seed0")


def test_another_value_changes_nothing_of_the_other_members():
    before, after = (
        check_configuration(BASE),
        check_configuration(sweep_of({"noise": [0, 0.02, 0.05, 0.1], "seed": [0, 1]})),
    )
    assert set(before["datasets"]) < set(after["datasets"])
    for name in before["run"]["datasets"]:
        assert configuration.results_settings(before, name) == configuration.results_settings(after, name)


def test_the_table_has_a_column_for_each_option(tmp_path):
    config = merge(sweep_of({"seed": [0]}), {"models": {"plain": {"sweep": {"hidden": [[4]], "decay": [0.5]}}}})
    sweeps.tabulate_sweeps(sweeps.table_rows(check_configuration(config)["sweeps"]), tmp_path / "sweeps.csv")
    with (tmp_path / "sweeps.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert rows == [
        {"kind": "dataset", "sweep": "hill", "name": "hill_seed0", "seed": "0", "hidden": "", "decay": ""},
        {
            "kind": "model",
            "sweep": "plain",
            "name": "plain_hidden4_decay0.5",
            "seed": "",
            "hidden": "[4]",
            "decay": "0.5",
        },
    ]


def test_a_plan_counts_the_members():
    made = plan.make_plan(check_configuration(BASE))
    assert len(made.training) == made.others["evaluate_models"][0] == 6
    assert "draw figures" not in made.others
    assert (made.packs, made.packed, made.training_jobs()) == (1, 6, 1)
    assert "of them 1 packs of 6 trainings on sweeps (" in plan.describe_plan(made, cores=1)


def trainings_of(config):
    blocks = dict.fromkeys(configuration.grid(config), configuration.seed_blocks(config))
    return blocks, [packs.Training(*key, first, last) for key in blocks for first, last in blocks[key]]


def test_packs_hold_what_is_alike_and_each_training_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = sweep_of({"nodes": [4, 5], "seed": list(range(50))}) | {
        "run": {**BASE["run"], "datasets": ["hill", "other"]}
    }
    checked = check_configuration(config)
    blocks, trainings = trainings_of(checked)
    packed = packs.packs_of_run(checked, blocks)
    assert sorted(each for pack in packed for each in pack) == sorted(t for t in trainings if t.dataset != "other")
    for pack in packed:
        assert len({checked["datasets"][each.dataset]["options"]["nodes"] for each in pack}) == 1
        assert 1 <= len(pack) <= packs.MOST_PACKED
    assert packs.decode_packs(packs.encode_packs(packed)) == packed


def test_packs_end_at_their_time(monkeypatch):
    checked = check_configuration(sweep_of({"seed": list(range(7))}))
    _, trainings = trainings_of(checked)
    each = packs.estimate(checked, trainings[0]).seconds
    monkeypatch.setattr(packs, "PACK_SECONDS", 3.5 * each)
    assert [len(pack) for pack in packs.cut(checked, trainings)] == [3, 3, 1]
    monkeypatch.setattr(packs, "PACK_SECONDS", 0.5 * each)
    assert [len(pack) for pack in packs.cut(checked, trainings)] == [1] * 7


BAD = {
    "unknown option": (
        sweep_of({"nois": [0, 1]}),
        "datasets.hill.sweep: found \"nois\" (did you mean 'noise'?)",
    ),
    "unknown key of a model": (
        merge(BASE, {"models": {"plain": {"sweep": {"hiden": [[4]]}}}}),
        "models.plain.sweep: found \"hiden\" (did you mean 'hidden'?)",
    ),
    "no values": (sweep_of({"noise": []}), "datasets.hill.sweep.noise: found an empty list; allowed: a list with 1"),
    "no options": (sweep_of({}), "datasets.hill.sweep: found an empty mapping; allowed: a mapping of one or more"),
    "repeated value": (
        sweep_of({"seed": [0, 1, 0]}),
        "datasets.hill.sweep.seed: found 0 more than once; allowed",
    ),
    "a setting by two names": (
        sweep_of({"seed": [0, 1], "options.seed": [2, 3]}),
        "datasets.hill.sweep: found seed and options.seed, of which one sets the other; allowed: each setting once",
    ),
    "a setting and one within it": (
        merge(BASE, {"models": {"plain": {"sweep": {"solver.step": [0.1, 0.2], "solver": [{"step": 0.3}]}}}}),
        "models.plain.sweep: found solver.step and solver, of which one sets the other",
    ),
    "value that is not allowed": (
        sweep_of({"noise": [-1]}),
        "datasets.hill_noise-1.options.noise: found the number",
    ),
    "no center": (
        sweep_of({"seed": [0, 1]}, design="one_at_a_time"),
        "datasets.hill.center: missing; allowed: a mapping of each swept option to one of its values",
    ),
    "center of half the options": (
        sweep_of({"seed": [0, 1], "noise": [0]}, design="one_at_a_time", center={"seed": 0}),
        "datasets.hill.center.noise: missing; allowed: 0",
    ),
    "center beside the values": (
        sweep_of({"seed": [0, 1]}, design="one_at_a_time", center={"seed": 2}),
        "datasets.hill.center.seed: found the number 2; allowed: 0, 1",
    ),
    "center of an unknown option": (
        sweep_of({"seed": [0, 1]}, design="one_at_a_time", center={"seed": 0, "sed": 1}),
        "datasets.hill.center: found \"sed\" (did you mean 'seed'?); allowed: seed",
    ),
    "center of another design": (
        sweep_of({"seed": [0, 1]}, center={"seed": 0}),
        "datasets.hill.center: found a mapping, with the design full; allowed: null, or the design one_at_a_time",
    ),
    "unknown design": (
        sweep_of({"seed": [0, 1]}, design="latin"),
        'datasets.hill.design: found "latin"; allowed: full, one_at_a_time, corners',
    ),
    "design without a sweep": (
        merge(BASE, {"datasets": {"other": {"design": "corners"}}}),
        "datasets.other.design: found corners without `sweep`; allowed: full, or with a sweep",
    ),
    "two members of one name": (
        sweep_of({"seed": [0, 1], "noise": [0]}, names="hill_{noise}"),
        "datasets.hill.sweep: found seed: 0, noise: 0, and seed: 1, noise: 0, both with the name hill_0",
    ),
    "the name of another entry": (
        sweep_of({"seed": [0]}, names="other"),
        "datasets.hill.sweep: found the member other, and another entry datasets.other; allowed: names that differ",
    ),
    "the name of an unknown option": (
        sweep_of({"seed": [0, 1]}, names="hill_{sed}"),
        "datasets.hill.names: found \"sed\" (did you mean 'seed'?); allowed: seed",
    ),
    "an unsafe name": (
        sweep_of({"seed": [0]}, names="a/{seed}"),
        "datasets.hill.sweep: found the member 'a/0' (",
    ),
    "a sweep as one dataset": (
        merge(BASE, {"comparisons": {"m": {"label": "x", "dataset": "hill", "methods": {"a": {"none": 0}}}}}),
        "comparisons.m.dataset: found hill, a sweep of 6; allowed: one of its datasets, such as hill_noise0_seed0",
    ),
    "a sweep with a number": (
        merge(BASE, {"comparisons": {"m": {"label": "x", "datasets": {"hill": 1}}}}),
        "comparisons.m.datasets.hill: found the number 1.0; allowed: an option of the sweep, noise, seed",
    ),
    "an option for a dataset": (
        merge(BASE, {"comparisons": {"m": {"label": "x", "datasets": {"other": "noise"}}}}),
        'comparisons.m.datasets.other: found "noise"; allowed: a number, since other is no sweep',
    ),
}


@pytest.mark.parametrize(("config", "message"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_told_once(config, message):
    text = problems(config)
    assert message in text
    assert text.startswith("the configuration has a problem:")
