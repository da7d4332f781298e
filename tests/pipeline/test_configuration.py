import copy
import datetime
import json
import math
import re
import subprocess
import sys

import jsonschema
import pytest
import yaml

from sparsenode import versions
from sparsenode.data import sources
from sparsenode.errors import UserError
from sparsenode.pipeline import configuration
from sparsenode.pipeline.configuration import (
    canonical_json,
    check_configuration,
    check_folders,
    check_sources,
    merge,
    pairs,
    read_configuration,
    read_yaml,
    seed_blocks,
    slice_settings,
)
from sparsenode.pipeline.schema import configuration_schema, write_schema
from sparsenode.settings import ModelSettings
from sparsenode.typed import settings_schema


@pytest.fixture
def default(repository):
    return read_yaml(repository / "config.yaml")


SMALL = {
    "run": {"datasets": ["branches"], "models": ["plain"], "methods": ["none", "l1"]},
    "datasets": {"branches": {"source": "krumsiek11"}},
    "models": {"plain": {}},
    "methods": {"none": {}, "l1": {"strengths": ["1e-3", "1e-1", "1e-2"]}},
}


def problems(**changes):
    """The message for a small configuration with changes laid over it."""
    with pytest.raises(UserError) as caught:
        check_configuration(merge(SMALL, changes))
    return str(caught.value)


BAD = {
    "comparison of an unknown dataset": (
        {"comparisons": {"noise": {"label": "noise", "datasets": {"branch": 0, "branches": 1}}}},
        ["comparisons.noise.datasets: found \"branch\" (did you mean 'branches'?); allowed: branches"],
    ),
    "comparison of one dataset": (
        {"comparisons": {"noise": {"label": "noise", "datasets": {"branches": 1}}}},
        ["comparisons.noise.datasets: found branches; allowed: two or more datasets, each with a number of its own"],
    ),
    "comparison at a place that is no number": (
        {
            "methods": {"l1": {"strengths": ["1"]}},
            "comparisons": {
                "one": {"label": "x", "dataset": "branches", "methods": {"a": {"none": 0, "l1": math.inf}}}
            },
        },
        ["comparisons.one.methods.a.l1: found inf; allowed: a finite number"],
    ),
    "comparison with a line of a name that is none": (
        {"comparisons": {"one": {"label": "x", "dataset": "branches", "methods": {"peer:l1": {"l1": 0, "none": 1}}}}},
        ["comparisons.one.methods", "peer:l1"],
    ),
    "comparison without a label": (
        {"comparisons": {"noise": {"datasets": {"branches": 1}}}},
        ["comparisons.noise.label: missing; allowed: text that is not empty"],
    ),
    "comparison of a name to nothing": (
        {"comparisons": {"noise": {"label": "noise", "datasets": {"branches": None}}}},
        ["comparisons.noise.datasets.branches: found nothing (null); allowed: a number"],
    ),
    "comparison of neither": (
        {"comparisons": {"noise": {"label": "noise", "dataset": "branches"}}},
        ["comparisons.noise: found dataset; allowed: either datasets, or a dataset and methods"],
    ),
    "comparison on an unknown dataset": (
        {"comparisons": {"prior": {"label": "prior", "dataset": "leaf", "methods": {"mine": {"l1": 0, "none": 1}}}}},
        ['comparisons.prior.dataset: found "leaf"; allowed: branches'],
    ),
    "comparison of an unknown method": (
        {"comparisons": {"prior": {"label": "prior", "dataset": "branches", "methods": {"mine": {"l1": 0, "l2": 1}}}}},
        ['comparisons.prior.methods.mine: found "l2"', "allowed: none, l1"],
    ),
    "comparison of one method": (
        {"comparisons": {"prior": {"label": "prior", "dataset": "branches", "methods": {"one": {"l1": 0}}}}},
        ["comparisons.prior.methods.one: found l1; allowed: two or more methods, each with a number of its own"],
    ),
    "comparison of two methods at one place": (
        {"comparisons": {"prior": {"label": "prior", "dataset": "branches", "methods": {"two": {"l1": 2, "none": 2}}}}},
        ["comparisons.prior.methods.two: found the number 2 more than once; allowed: each method with a number"],
    ),
    "unknown benchmark": (
        {"datasets": {"branches": {"benchmark": "sim35"}}},
        ["datasets.branches.benchmark: found \"sim35\" (did you mean 'sim350'?); allowed: null, sim350, breast"],
    ),
    "unknown dataset": (
        {"run": {"datasets": ["branch"]}},
        ["run.datasets[0]: found \"branch\" (did you mean 'branches'?); allowed: branches"],
    ),
    "unknown model": ({"run": {"models": ["deep"]}}, ['run.models[0]: found "deep"; allowed: plain']),
    "unknown method": (
        {"run": {"methods": ["none", "l2"]}},
        ['run.methods[1]: found "l2"', "allowed: none, l1"],
    ),
    "unknown regularizer": (
        {"methods": {"mine": {"strengths": ["1"]}}},
        ['methods.mine.regularizer: found "mine"; allowed: ', "pathreg"],
    ),
    "unknown source": (
        {"datasets": {"branches": {"source": "krumsiek"}}},
        [
            "datasets.branches.source: found \"krumsiek\" (did you mean 'krumsiek11'?); allowed: ",
            "second_order",
        ],
    ),
    "unknown key": (
        {"models": {"plain": {"hiden": [3]}}},
        ["models.plain: unknown key: found \"hiden\" (did you mean 'hidden'?); allowed: ", "activation"],
    ),
    "unknown key at the top": ({"sedes": 3}, ['unknown key: found "sedes"', "allowed: ", "seeds"]),
    "value that a variable cannot be held at": (
        {"datasets": {"branches": {"interventions": {"clamp": {"one": {"Gata1": "lowest"}}}}}},
        [
            'datasets.branches.interventions.clamp.one.Gata1: found "lowest"; '
            "allowed: a number in modeling units, low or high"
        ],
    ),
    "truth value that a variable cannot be held at": (
        {"datasets": {"branches": {"interventions": {"clamp": {"one": {"Gata1": True}}}}}},
        ["datasets.branches.interventions.clamp.one.Gata1: found true (YAML reads yes, no, on and off without quotes"],
    ),
    "number in place of a mirror": ({"mirror": 5}, ["mirror: found the number 5; allowed: text in quotes or null"]),
    "truth value in place of a method of scaling": (
        {"datasets": {"mine": {"source": "anndata", "options": {"path": "a.h5ad", "scaling": False}}}},
        ["options.scaling: found false (YAML reads yes, no, on and off without quotes so); allowed: none, per_traj"],
    ),
    "intervention on nothing": (
        {"datasets": {"branches": {"interventions": {"clamp": {"one": {}}}}}},
        ["interventions.clamp.one: found an empty mapping; allowed: a mapping of one or more variables to values"],
    ),
    "no intervention": (
        {"datasets": {"branches": {"interventions": {"starts": 3}}}},
        ["datasets.branches.interventions: found neither clamp nor each; allowed: null, or one of them"],
    ),
    "expected of an unknown intervention": (
        {"datasets": {"branches": {"interventions": {"clamp": {"one": {"Gata1": 0}}, "expected": {"on": {}}}}}},
        ["datasets.branches.interventions.expected: found \"on\" (did you mean 'one'?); allowed: one"],
    ),
    "intervention with a name of the table": (
        {"datasets": {"branches": {"interventions": {"clamp": {"unclamped": {"Gata1": 0}}}}}},
        ["datasets.branches.interventions.clamp: found the name 'unclamped'; allowed: another name"],
    ),
    "unknown outcome": (
        {"datasets": {"branches": {"interventions": {"each": "low", "expected": {"one": {"fewer": []}}}}}},
        ['interventions.expected.one: unknown key: found "fewer"; allowed: lost, gained'],
    ),
    "unknown option of a source": (
        {"datasets": {"branches": {"options": {"test_shar": 0.1}}}},
        ['datasets.branches.options: unknown key: found "test_shar"', "allowed: test_share"],
    ),
    "option of a source out of range": (
        {"datasets": {"branches": {"options": {"test_share": 2}}}},
        ["datasets.branches.options.test_share: found the number 2; allowed: a number at least 0"],
    ),
    "missing option of a source": (
        {"datasets": {"mine": {"source": "anndata"}}},
        ["datasets.mine.options.path: missing; allowed: a path"],
    ),
    "unknown option of a regularizer": (
        {"methods": {"pathreg": {"strengths": ["1"], "options": {"kapa": 1}}}},
        ['methods.pathreg.options: unknown key: found "kapa"', "allowed: kappa"],
    ),
    "unknown peer of the run": (
        {"run": {"peers": ["genie3"]}, "peers": {"extra_trees": {}}},
        ['run.peers[0]: found "genie3"; allowed: extra_trees'],
    ),
    "unknown peer": (
        {"peers": {"trees": {"peer": "extra_tree"}}},
        ["peers.trees.peer: found \"extra_tree\" (did you mean 'extra_trees'?); allowed: correlation, dyngenie3"],
    ),
    "peer by the name of its entry": (
        {"peers": {"mine": {}}},
        ['peers.mine.peer: found "mine"; allowed: correlation'],
    ),
    "unknown option of a peer": (
        {"peers": {"extra_trees": {"options": {"treees": 3}}}},
        ["peers.extra_trees.options: unknown key: found \"treees\" (did you mean 'trees'?)"],
    ),
    "option of a peer out of range": (
        {"peers": {"sindy": {"options": {"library": "quartic"}}}},
        ['peers.sindy.options.library: found "quartic"; allowed: auto, cubic, quadratic, linear'],
    ),
    "peers that are null": ({"run": {"peers": None}}, ["run.peers: found nothing (null); allowed: a list of names"]),
    "a peer twice": (
        {"run": {"peers": ["sindy", "sindy"]}, "peers": {"sindy": {}}},
        ["run.peers: found sindy more than once; allowed"],
    ),
    "zero seeds": ({"seeds": 0}, ["seeds: found the number 0; allowed: an integer at least 1"]),
    "seeds that are no number": ({"seeds": "three"}, ['seeds: found "three"; allowed: an integer']),
    "strengths of another word": (
        {"methods": {"l1": {"strengths": "automatic"}}},
        ['methods.l1.strengths: found "automatic"; allowed: auto or a list of strengths in quotes'],
    ),
    "negative strength": (
        {"methods": {"l1": {"strengths": ["-1e-3"]}}},
        ['methods.l1.strengths[0]: found "-1e-3"; allowed: a number that is finite and at least 0'],
    ),
    "strength that is not finite": (
        {"methods": {"l1": {"strengths": ["inf"]}}},
        ['strengths[0]: found "inf"; allowed'],
    ),
    "strength that is no number": (
        {"methods": {"l1": {"strengths": ["big"]}}},
        ['strengths[0]: found "big"; allowed'],
    ),
    "duplicate strength": (
        {"methods": {"l1": {"strengths": ["1e-3", "0.001"]}}},
        ['methods.l1.strengths[1]: found "0.001", which equals "1e-3" as a number; allowed: each strength once'],
    ),
    "unquoted strength": (
        {"methods": {"l1": {"strengths": [0.001]}}},
        ["methods.l1.strengths[0]: found the number 0.001; allowed: ", "in quotes"],
    ),
    "no strengths": (
        {"methods": {"l1": {"strengths": []}}},
        ["methods.l1.strengths: found an empty list; allowed"],
    ),
    "strengths without a penalty": (
        {"methods": {"none": {"strengths": ["1"]}}},
        ["methods.none.strengths: found a list; allowed: no strengths"],
    ),
    "strength above the largest that has a meaning": (
        {"methods": {"imp": {"strengths": ["0.5", "1.01"]}}},
        ['methods.imp.strengths[1]: found "1.01"; allowed: at most 1: the largest share of each layer'],
    ),
    "pruner that is told of no prior": (
        {"methods": {"dash": {"strengths": ["0.5"]}}},
        ["methods.dash.options.prior: missing; allowed: text that is not empty"],
    ),
    "schedule that begins after its end": (
        {"methods": {"imp": {"strengths": ["1"], "options": {"epochs": 2}}}},
        ["methods.imp.options.first_epoch: found 3, with epochs: 2; allowed: at most 2"],
    ),
    "schedule that ends before it begins": (
        {"methods": {"dash": {"strengths": ["1"], "options": {"prior": "known", "last_epoch": 2}}}},
        ["methods.dash.options.last_epoch: found 2; allowed: null, or from first_epoch (3) to epochs (200)"],
    ),
    "share of weights above one": (
        {"methods": {"imp": {"strengths": ["1"], "options": {"share": 1}}}},
        ["methods.imp.options.share: found the number 1; allowed: a number at least 0 and below 1"],
    ),
    "name that leads out of the results": (
        {"datasets": {"../secrets": {"source": "krumsiek11"}}},
        ["datasets: found the name '../secrets'; allowed: letters, digits and underscores"],
    ),
    "windows with validation by observation": (
        {
            "datasets": {"branches": {"validation": {"by": "observation"}}},
            "models": {"plain": {"windows": {"length": 8, "stride": 4}}},
        },
        ["models.plain.windows: found windows", "allowed: windows: null, or validation by"],
    ),
    "dataset without a model": (
        {"datasets": {"other": {"source": "krumsiek11"}}, "models": {"plain": {"datasets": ["other"]}}},
        ["run.datasets: found branches, for which run.models has no model"],
    ),
    "model of an unknown dataset": (
        {"models": {"plain": {"datasets": ["nowhere"]}}},
        ['models.plain.datasets[0]: found "nowhere"; allowed: branches'],
    ),
    "nothing to run": (
        {"run": {"methods": []}},
        ["run.methods: found an empty list; allowed: a list of one or more"],
    ),
    "a name twice": ({"run": {"methods": ["l1", "l1"]}}, ["run.methods: found l1 more than once; allowed"]),
    "order of three": (
        {"models": {"plain": {"order": 3}}},
        ["models.plain.order: found the number 3; allowed: 1, 2"],
    ),
    "true for a number": (
        {"models": {"plain": {"clip": True}}},
        ["models.plain.clip: found true; allowed: a number"],
    ),
    "window of length zero": (
        {"models": {"plain": {"windows": {"length": 0}}}},
        ["models.plain.windows.length: found the number 0; allowed: an integer at least 1"],
    ),
    "prior of nothing": (
        {"datasets": {"branches": {"priors": {"good": {"corruption": 0.2}}}}},
        ["datasets.branches.priors.good.of: missing; allowed: truth or the name of a prior of the source"],
    ),
    "more than all is wrong": (
        {"datasets": {"branches": {"priors": {"good": {"of": "truth", "corruption": 20}}}}},
        ["datasets.branches.priors.good.corruption: found the number 20; allowed: a number at least 0 and at most 1"],
    ),
    "name of a prior": (
        {"datasets": {"branches": {"priors": {"20%": {"of": "truth"}}}}},
        ["datasets.branches.priors: found the name '20%'; allowed: letters, digits and underscores"],
    ),
    "prior of a prior that the source does not have": (
        {"datasets": {"tumors": {"source": "breast", "priors": {"mine": {"of": "motive"}}}}},
        ["datasets.tumors.priors.mine.of: found \"motive\" (did you mean 'motif'?); allowed: truth, motif"],
    ),
    "prior that the dataset of a method does not have": (
        {
            "run": {"datasets": ["branches"], "methods": ["dash"]},
            "datasets": {"branches": {"priors": {"perfect": {"of": "truth"}}}},
            "methods": {"dash": {"strengths": ["0.5"], "options": {"prior": "perfct"}}},
        },
        [
            "methods.dash.options.prior: found \"perfct\" (did you mean 'perfect'?); allowed: perfect (prior "
            "networks of the dataset branches"
        ],
    ),
    "prior of an unknown truth": (
        {"datasets": {"cycle": {"source": "yeast", "priors": {"good": {"of": "truth"}}}}},
        ["datasets.cycle.priors.good.of: found truth; allowed: a prior of the source, since the true network"],
    ),
    "dataset called like the folder of comparisons": (
        {"datasets": {"comparisons": {"source": "krumsiek11"}}},
        ["datasets: found the name 'comparisons'; allowed: another name, since `figures/comparisons` holds figures"],
    ),
    "method called like another one": (
        {"methods": {"none": {"regularizer": "pathreg", "strengths": ["0.1"]}}},
        ["methods.none.regularizer: found pathreg; allowed: none, of which results would tell by this name"],
    ),
    "peer called like another one": (
        {"peers": {"lasso": {"peer": "sindy"}}},
        ["peers.lasso.peer: found sindy; allowed: lasso, of which results would tell by this name, or another name"],
    ),
    "models whose files are the same without their case": (
        {"run": {"models": ["plain", "Plain"]}, "models": {"Plain": {}}},
        ["run.models: found plain and Plain; allowed: names that differ in more than their case"],
    ),
    "networks that would have one name": (
        {
            "run": {"models": ["a", "a_b"], "methods": ["b_l1", "l1"]},
            "models": {"a": {"methods": ["b_l1"]}, "a_b": {"methods": ["l1"]}},
            "methods": {"b_l1": {"regularizer": "l1", "strengths": ["0.1"]}},
        },
        [
            "run: found the method b_l1 of the model a, and l1 of a_b; allowed: names that differ when joined, "
            "since both networks would be network_a_b_l1 in network.h5ad"
        ],
    ),
    "prior called truth": (
        {"datasets": {"branches": {"priors": {"truth": {"of": "truth"}}}}},
        ["datasets.branches.priors: found the name 'truth'; allowed: another name, since results use it for the true"],
    ),
    "intervention called like what is forecast without one": (
        {"datasets": {"branches": {"interventions": {"clamp": {"unclamped": {"Gata1": 0}}}}}},
        ["datasets.branches.interventions.clamp: found the name 'unclamped'; allowed: another name, since results use"],
    ),
    "network of a source called truth": (
        {"datasets": {"cells": {"source": "hematopoiesis", "options": {"networks": {"truth": ["HSC"]}}}}},
        ["datasets.cells.options.networks: found the name 'truth'; allowed: letters, digits, _, + and -; not base or"],
    ),
    "key that is a number": (
        {"datasets": {"branches": {"interventions": {"clamp": {"knockout": {7157: 0, "Gata1": 0}}}}}},
        [
            "datasets.branches.interventions.clamp.knockout: found the number 7157 as a key; allowed: the name in "
            'quotes, such as "7157"'
        ],
    ),
    "key that is a truth value": (
        {"datasets": {"branches": {"interventions": {"clamp": {"knockout": {False: 0}}}}}},
        ["found false as a key (YAML reads yes, no, on and off without quotes so); allowed: the name in quotes"],
    ),
    "key that is a date": (
        {"datasets": {datetime.date(2020, 1, 2): {"source": "krumsiek11"}}},
        ['datasets: found the date 2020-01-02 as a key; allowed: the name in quotes, such as "2020-01-02"'],
    ),
    "key that is nothing": (
        {"datasets": {None: {"source": "krumsiek11"}}},
        ['datasets: found nothing (null) as a key; allowed: the name in quotes, such as "null"'],
    ),
    "key that is a list": (
        {"models": {("a", "b"): {}}},
        ["models: found ", "as a key; allowed: the name in quotes"],
    ),
    "key within a list": (
        {"datasets": {"walks": {"source": "mocap", "options": {"trials": [{1: 2}]}}}},
        ["datasets.walks.options.trials[0]: found the number 1 as a key"],
    ),
    "date in place of a name": (
        {"models": {"plain": {"datasets": [datetime.date(2020, 1, 2)]}}},
        ['models.plain.datasets[0]: found the date 2020-01-02; allowed: text in quotes, such as "2020-01-02"'],
    ),
    "number in place of a name": (
        {"run": {"peers": [1]}},
        ['run.peers[0]: found the number 1; allowed: text in quotes, such as "1"'],
    ),
    "truth value in place of a name": (
        {"run": {"peers": [False]}},
        ["run.peers[0]: found false (YAML reads yes, no, on and off without quotes so); allowed: text in quotes"],
    ),
    "braces in the results": (
        {"results_dir": "runs/{name}"},
        ['results_dir: found "runs/{name}"; allowed: a path, without braces ({ and }), which Snakemake would take for'],
    ),
    "braces in the downloads": (
        {"downloads_dir": "{x}"},
        ['downloads_dir: found "{x}"; allowed: a path, without braces'],
    ),
    "braces in a file": (
        {"datasets": {"mine": {"source": "anndata", "options": {"path": "{run}/cells.h5ad"}}}},
        ['datasets.mine.options.path: found "{run}/cells.h5ad"; allowed: a path, without braces'],
    ),
    "braces in an address": (
        {
            "datasets": {
                "mine": {
                    "source": "single_cells",
                    "options": {"file": "https://host/{run}.h5ad", "donors": {"train": ["a"], "test": []}},
                }
            }
        },
        ['datasets.mine.options.file: found "https://host/{run}.h5ad"; allowed: a path, without braces'],
    ),
    "braces in a network": (
        {
            "datasets": {
                "mine": {
                    "source": "single_cells",
                    "options": {
                        "file": "cells.h5ad",
                        "donors": {"train": ["a"], "test": []},
                        "networks": {"base": ["a.csv", "b{.csv"]},
                    },
                }
            }
        },
        ['datasets.mine.options.networks.base[1]: found "b{.csv"; allowed: a path, without braces'],
    ),
    "empty results folder": ({"results_dir": ""}, ['results_dir: found ""; allowed: a path, without braces']),
}


@pytest.mark.parametrize(("changes", "expected"), BAD.values(), ids=BAD)
def test_bad_configuration_names_key_value_and_what_is_allowed(changes, expected):
    message = problems(**changes)
    assert message.startswith("the configuration has a problem:\n")
    assert len(message.splitlines()) == 2
    for part in expected:
        assert part in message


def test_numbers_that_are_not_finite_are_all_named():
    message = problems(
        datasets={"large": {"source": "sim350", "options": {"noise": math.nan, "times": [0, math.inf]}}},
        models={"plain": {"learning_rate": -math.inf}},
    )
    assert message.splitlines()[1:] == [
        "  datasets.large.options.noise: found nan; allowed: a finite number",
        "  datasets.large.options.times[1]: found inf; allowed: a finite number",
        "  models.plain.learning_rate: found -inf; allowed: a finite number",
    ]


def test_missing_keys_are_all_named():
    with pytest.raises(UserError) as caught:
        check_configuration({})
    for key in ("run", "datasets", "models", "methods"):
        assert f"\n  {key}: missing; allowed: a mapping" in str(caught.value)


def test_every_problem_is_listed():
    message = problems(seeds=0, threads=0, models={"plain": {"hidden": [0]}})
    assert message.startswith("the configuration has 3 problems:\n")


def test_defaults_are_filled_in_and_the_given_configuration_stays():
    given = merge(SMALL, {"models": {"plain": {"learning_rate": 1, "iterations": 5.0}}})
    checked = check_configuration(given)
    assert checked["seeds"] == 3
    assert checked["datasets"]["branches"]["options"] == {"test_share": 0.15}
    assert checked["datasets"]["branches"]["validation"]["by"] == "time_blocks"
    assert checked["models"]["plain"]["solver"] == {"scheme": "rk4", "step": 0.2, "tolerance": 0.001}
    assert checked["methods"]["l1"]["regularizer"] == "l1"
    assert isinstance(checked["models"]["plain"]["learning_rate"], float)
    assert isinstance(checked["models"]["plain"]["iterations"], int)
    assert "options" not in given["datasets"]["branches"]


def test_checking_twice_changes_nothing():
    once = check_configuration(SMALL)
    assert canonical_json(check_configuration(once)) == canonical_json(once)


def test_settings_of_a_model_are_completed():
    described = check_configuration(SMALL)["models"]["plain"]
    assert described.pop("datasets") is None
    assert described.pop("methods") is None
    assert described == ModelSettings().model_dump(mode="json")


def test_every_key_is_described():
    def undescribed(part, path):
        for name, below in part.get("properties", {}).items():
            if "description" not in below:
                yield ".".join([*path, name])
            yield from undescribed(below, [*path, name])
        for keyword in ("items", "additionalProperties"):
            if isinstance(part.get(keyword), dict):
                yield from undescribed(part[keyword], [*path, keyword])
        for alternative in part.get("anyOf", ()):
            yield from undescribed(alternative, path)

    schema = configuration_schema()
    assert list(undescribed(schema, [])) == []
    model, automatic = schema["properties"]["models"]["additionalProperties"]["anyOf"]
    assert model["properties"]["solver"]["properties"]["step"]
    assert automatic["const"] == "auto"


def test_an_automatic_model_freezes_what_is_set_by_hand_only():
    entries = {
        "plain": "auto",
        "wide": {"auto": True, "hidden": [30]},
        "swept": {"auto": True, "sweep": {"order": [1]}},
    }
    changes = {"models": entries, "run": {"models": list(entries)}}
    config = check_configuration(merge(SMALL, changes))
    frozen = {model: slice_settings(config, "branches", model, "l1")["model_settings"] for model in config["models"]}
    assert frozen == {
        "plain": {"auto": versions.AUTOMATIC},
        "wide": {"auto": versions.AUTOMATIC, "hidden": [30]},
        "swept_order1": {"auto": versions.AUTOMATIC, "order": 1},
    }
    # Every method can be trained with it, until the data tell the network.
    assert configuration.methods_of(config, "plain") == ["none", "l1"]
    jsonschema.validate(merge(SMALL, changes), configuration_schema())


def test_learned_starts_are_not_chosen_where_forecasts_start_within_trajectories():
    changes = {"models": {"plain": "auto"}, "datasets": {"branches": {"evaluation": {"one_step": True}}}}
    frozen = slice_settings(check_configuration(merge(SMALL, changes)), "branches", "plain", "l1")
    assert frozen["model_settings"]["starts"] == "given"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("automatic", 'models.plain: found "automatic"; allowed: a mapping or auto'),
        ({"auto": "yes"}, 'models.plain.auto: found "yes"; allowed: true or false'),
        ({"auto": True, "hiden": [3]}, "models.plain: unknown key: found \"hiden\" (did you mean 'hidden'?)"),
    ],
)
def test_a_wrong_automatic_model_is_named(entry, message):
    assert message in problems(models={"plain": entry})


def test_the_schema_for_editors_is_that_of_the_settings(repository, tmp_path):
    """`sparsenode schema --output workflow/schemas/config.schema.json` writes it."""
    write_schema(tmp_path / "schema.json")
    written = (repository / configuration.SCHEMA_PATH).read_text(encoding="utf-8")
    assert (tmp_path / "schema.json").read_text(encoding="utf-8") == written
    jsonschema.Draft202012Validator.check_schema(json.loads(written))
    jsonschema.validate(read_configuration(repository), json.loads(written))


@pytest.mark.parametrize(
    "experiments",
    [
        ["hematopoiesis"],
        ["hematopoiesis", "hematopoiesis_raw"],
        ["hematopoiesis", "hematopoiesis_averages"],
        ["second_order"],
        ["couplings"],
        ["hill"],
        ["structure"],
        ["mocap"],
        ["gene_networks"],
        ["gene_networks", "gene_networks_yeast"],
        ["lorenz96"],
        ["study"],
        ["study_small"],
    ],
)
def test_experiments_are_valid(repository, experiments):
    config = read_configuration(repository, [repository / "experiments" / f"{name}.yaml" for name in experiments])
    assert pairs(config)
    check_sources(config)


def test_default_configuration_is_valid(repository):
    config = read_configuration(repository)
    check_sources(config)
    assert len(config["run"]["datasets"]) == 2
    assert len(config["run"]["methods"]) == 8
    for method in set(config["run"]["methods"]) - {"none"}:
        assert len(config["methods"][method]["strengths"]) >= 5


def test_pairs_follow_the_models_own_datasets():
    config = check_configuration(
        merge(
            SMALL,
            {
                "run": {"datasets": ["branches", "springs"], "models": ["plain", "second"]},
                "datasets": {"springs": {"source": "second_order"}},
                "models": {"second": {"datasets": ["springs"], "order": 2}},
            },
        )
    )
    assert pairs(config) == [("branches", "plain"), ("springs", "plain"), ("springs", "second")]


def test_the_grid_follows_the_models_own_methods():
    changes = {
        "run": {"models": ["plain", "targets"], "methods": ["none", "l1", "lassonet"]},
        "models": {
            "plain": {"methods": ["l1", "none"]},
            "targets": {"network": "per_target", "methods": ["lassonet", "none"]},
        },
        "methods": {"lassonet": {"strengths": ["1"]}},
    }
    config = check_configuration(merge(SMALL, changes))
    assert configuration.grid(config) == [
        ("branches", "plain", "none"),
        ("branches", "plain", "l1"),
        ("branches", "targets", "none"),
        ("branches", "targets", "lassonet"),
    ]
    assert "methods" not in slice_settings(config, "branches", "plain", "l1")["model_settings"]


@pytest.mark.parametrize("found", [{"order": 2}, {"network": "biological", "hidden": [4]}])
def test_states_are_standardized_at_first_order_and_not_for_the_biological_network(found):
    text = problems(models={"plain": {"standardize": True, **found}})
    key, value = next(iter(found.items()))
    assert f"models.plain.standardize: found true, with {key}: {value}" in text
    assert check_configuration(merge(SMALL, {"models": {"plain": {"standardize": True}}}))


def test_a_dataset_can_leave_out_methods():
    changes = {
        "run": {"datasets": ["branches", "springs"], "models": ["plain", "second"], "methods": ["none", "l1"]},
        "datasets": {"springs": {"source": "second_order", "methods": ["l1"]}},
        "methods": {"l1": {"strengths": ["1"]}},
        "models": {"second": {"methods": ["none"]}},
    }
    config = check_configuration(merge(SMALL, changes))
    assert configuration.grid(config) == [
        ("branches", "plain", "none"),
        ("branches", "plain", "l1"),
        ("branches", "second", "none"),
        ("springs", "plain", "l1"),
    ]
    assert pairs(config) == [("branches", "plain"), ("branches", "second"), ("springs", "plain")]
    assert "methods" not in configuration.dataset_settings(config, "springs")
    changes["run"]["peers"] = ["lasso", "correlation"]
    changes["peers"] = {"lasso": {}, "correlation": {}}
    changes["datasets"]["springs"]["peers"] = ["lasso"]
    config = check_configuration(merge(SMALL, changes))
    assert configuration.peers_of(config, "branches") == ["lasso", "correlation"]
    assert configuration.peers_of(config, "springs") == ["lasso"]
    assert "peers" not in configuration.dataset_settings(config, "springs")
    changes["datasets"]["springs"]["methods"] = ["l3"]
    assert 'datasets.springs.methods[0]: found "l3"' in problems(**changes)
    changes["datasets"]["springs"]["methods"] = ["none"]
    changes["models"] = {"plain": {"methods": ["l1"]}, "second": {"methods": ["l1"]}}
    assert "run.datasets: found springs, for which run.models has no model" in problems(**changes)
    changes["datasets"] = {"springs": {"source": "second_order"}, "branches": {"methods": ["l1"]}}
    changes["models"] = {"second": {"methods": ["none"], "datasets": ["branches"]}}
    assert "run.models: found second, which has no method in common with branches" in problems(**changes)
    changes["datasets"]["branches"]["peers"] = ["lassi"]
    assert 'datasets.branches.peers[0]: found "lassi"' in problems(**changes)


def test_a_method_of_one_network_per_target_needs_such_a_model():
    changes = {
        "run": {"methods": ["none", "lassonet"]},
        "methods": {"lassonet": {"strengths": ["1"]}},
        "models": {"plain": {"methods": ["none", "lassonet"]}},
    }
    assert "models.plain.network: found joint, with the method lassonet" in problems(**changes)
    changes["models"] = {}
    config = check_configuration(merge(SMALL, changes))  # a model that names no methods leaves it out
    assert configuration.methods_of(config, "plain") == ["none"]
    changes["run"]["methods"] = ["lassonet"]
    assert "run.models: found plain, for which run.methods has no method" in problems(**changes)
    none_left = {"run": {"methods": ["l1"]}, "models": {"plain": {"methods": ["none"]}}}
    assert "run.models: found plain, for which run.methods has no method" in problems(**none_left)
    unknown = {"models": {"plain": {"methods": ["none", "l2"]}}}
    assert 'models.plain.methods[1]: found "l2"' in problems(**unknown)


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ({"regularizer": "lassonet"}, "which goes from dense to sparse during the warm-up"),
        (
            {"regularizer": "grouplasso", "options": {"adaptive": 1}},
            "which weighs edges by what it learns during the warm-up",
        ),
        (
            {"regularizer": "grouplasso", "options": {"adaptive": 2, "lasso_first": True}},
            "which weighs edges by what it learns during the warm-up",
        ),
        ({"regularizer": "grouplasso"}, None),
        ({"regularizer": "cnode"}, None),
    ],
)
def test_what_is_learned_in_the_warm_up_takes_one(method, reason):
    changes = {
        "run": {"methods": ["none", "own"]},
        "methods": {"own": {"strengths": ["1"], **method}},
        "models": {"plain": {"network": "per_target", "warm_up": 0}},
    }
    if reason is None:
        check_configuration(merge(SMALL, changes))
    else:
        expected = f"models.plain.warm_up: found 0, with the method own, {reason}; allowed: above 0"
        assert expected in problems(**changes).splitlines()[1]
    changes["models"]["plain"]["warm_up"] = 0.1
    check_configuration(merge(SMALL, changes))


def test_priors_are_completed_and_a_matter_of_preprocessing():
    made = {"half": {"of": "truth", "corruption": 0.5}, "all": {"of": "truth", "seed": 3}}
    datasets = {"branches": {"priors": made}, "cycle": {"source": "yeast", "priors": {"m": {"of": "motif"}}}}
    checked = check_configuration(merge(SMALL, {"datasets": datasets}))
    assert configuration.dataset_settings(checked, "branches")["priors"] == {
        "half": {"of": "truth", "corruption": 0.5, "seed": 0},
        "all": {"of": "truth", "corruption": 0.0, "seed": 3},
    }
    assert check_configuration(SMALL)["datasets"]["branches"]["priors"] == {}


def test_a_biological_network_takes_the_methods_that_have_a_meaning_on_it():
    changes = {
        "run": {"methods": ["none", "l1", "lassonet", "grouplasso"]},
        "methods": {"lassonet": {"strengths": ["1"]}, "grouplasso": {"strengths": ["1"]}},
        "models": {"plain": {"network": "biological", "hidden": [40]}},
    }
    config = check_configuration(merge(SMALL, changes))
    assert configuration.methods_of(config, "plain") == ["none", "l1"]
    for method in ("lassonet", "grouplasso"):
        named = merge(changes, {"models": {"plain": {"methods": ["none", method]}}})
        text = problems(**named)
        assert f"models.plain.network: found biological, with the method {method}, which needs one network" in text
        assert f"`models.plain.methods` without {method}" in text


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"order": 2}, "models.plain.network: found biological, with order: 2; allowed: order: 1, or another network"),
        ({"hidden": []}, "models.plain.hidden: found [], with network: biological; allowed: one number in brackets"),
        ({"hidden": [40, 40]}, "models.plain.hidden: found [40, 40], with network: biological; allowed: one number"),
    ],
)
def test_a_biological_network_has_first_order_and_one_number_of_units(changes, problem):
    assert problem in problems(models={"plain": {"network": "biological", "hidden": [40]} | changes})


def test_peers_infer_the_networks_whose_truth_is_known():
    changes = {
        "run": {"datasets": ["branches", "springs", "files", "truth"], "peers": ["trees", "sindy"]},
        "datasets": {
            "springs": {"source": "second_order"},
            "files": {"source": "anndata", "options": {"path": "mine.h5ad", "time": "time"}},
            "truth": {"source": "anndata", "options": {"path": "mine.h5ad", "time": "time", "truth": "network"}},
        },
        "peers": {"trees": {"peer": "extra_trees", "options": {"trees": 7}}, "sindy": {}, "correlation": {}},
    }
    config = check_configuration(merge(SMALL, changes))
    found = {name: configuration.peers_of(config, name) for name in config["run"]["datasets"]}
    both = ["trees", "sindy"]
    assert found == {"branches": both, "springs": both, "files": [], "truth": both}
    assert check_configuration(SMALL)["run"]["peers"] == []


def test_what_a_peer_depends_on():
    changes = {
        "run": {"datasets": ["branches", "springs"], "models": ["plain", "second"], "peers": ["trees", "sindy"]},
        "seeds": 5,
        "datasets": {"springs": {"source": "second_order"}},
        "models": {"second": {"datasets": ["springs"], "order": 2}},
        "peers": {"trees": {"peer": "extra_trees", "options": {"trees": 7}}, "sindy": {"options": {"thresholds": [1]}}},
    }
    config = check_configuration(merge(SMALL, changes))
    options = {"time_limit": 3600.0, "of": "derivatives", "decay": True, "trees": 7, "tried": "sqrt", "last": None}
    wanted = {"peer": "extra_trees", "options": options, "seeds": 5, "order": 1}
    assert configuration.peer_settings(config, "branches", "trees") == wanted
    assert configuration.peer_settings(config, "springs", "trees") == wanted | {"order": 2}
    sindy = configuration.peer_settings(config, "springs", "sindy")
    assert (sindy["seeds"], sindy["order"]) == (1, 2)
    assert canonical_json(sindy["options"]["thresholds"]) == "[1.0]"


@pytest.mark.parametrize(
    ("count", "size", "blocks"),
    [
        (3, 3, [(0, 2)]),
        (5, 2, [(0, 1), (2, 3), (4, 4)]),
        (1, 3, [(0, 0)]),
        (4, 1, [(0, 0), (1, 1), (2, 2), (3, 3)]),
    ],
)
def test_seed_blocks(count, size, blocks):
    assert seed_blocks({"seeds": count, "seeds_per_job": size}) == blocks


def test_settings_of_a_result_hold_no_seeds_and_no_other_method():
    config = check_configuration(SMALL)
    settings = slice_settings(config, "branches", "plain", "l1")
    assert set(settings) == {"dataset", "model", "method", "model_settings", "method_settings"}
    assert settings["method_settings"] == {
        "regularizer": "l1",
        "strengths": [0.001, 0.01, 0.1],
        "options": {},
    }
    changed = check_configuration(
        merge(SMALL, {"seeds": 7, "threads": 2, "device": "cpu", "methods": {"l0": {"strengths": ["1"]}}})
    )
    assert canonical_json(slice_settings(changed, "branches", "plain", "l1")) == canonical_json(settings)


def test_method_without_strengths_has_strength_zero():
    settings = slice_settings(check_configuration(SMALL), "branches", "plain", "none")
    assert settings["method_settings"]["strengths"] == [0.0]


def test_without_strengths_training_chooses_them():
    """In the frozen settings too, so that seeds, packs and what was trained before are found by them."""
    for entry in ({}, {"strengths": "auto"}):
        config = check_configuration({**SMALL, "methods": {"none": {}, "l1": entry}})
        assert slice_settings(config, "branches", "plain", "l1")["method_settings"]["strengths"] == "auto"
        assert slice_settings(config, "branches", "plain", "none")["method_settings"]["strengths"] == [0.0]


def test_pruners_come_with_the_published_schedule():
    methods = {"imp": {"strengths": ["0.9", "1"]}, "dash": {"strengths": ["0", "0.5"], "options": {"prior": "known"}}}
    config = check_configuration(merge(SMALL, {"methods": methods}))
    published = {"epochs": 200, "first_epoch": 3, "first_share": 0.7, "every": 10, "share": 0.1, "last_epoch": None}
    assert config["methods"]["imp"]["options"] == published
    assert config["methods"]["dash"]["options"] == {"prior": "known", "most": 1.0, **published}


def test_equal_strengths_written_otherwise_are_equal_settings():
    """Neither the way a number is written nor the order of keys makes other settings, which would train again."""
    other = merge(SMALL, {"methods": {"l1": {"strengths": ["0.1", "0.01", "0.001"]}}})
    first, second = (slice_settings(check_configuration(c), "branches", "plain", "l1") for c in (SMALL, other))
    assert canonical_json(first) == canonical_json(second)


def test_merge_replaces_lists_and_merges_mappings():
    merged = merge({"a": {"b": [1, 2], "c": 3}, "d": 4}, {"a": {"b": [5]}, "d": {"e": 6}})
    assert merged == {"a": {"b": [5], "c": 3}, "d": {"e": 6}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a\n- b\n", "holds a list; a configuration is a mapping"),
        ("a: [1\n", r"config\.yaml, line 2, column 1: not valid YAML: .* expected ',' or '\]'"),
        ("a:\n\tb: 1\n", r"config\.yaml, line 2, column 1: not valid YAML: .*; indent by blanks, not by tabs"),
        ("a: 1\nb: c: d\n", r"config\.yaml, line 2, column 5: not valid YAML: mapping values are not allowed here"),
        ("a: !!python/object/apply:os.getcwd []\n", r"config\.yaml, line 1, column 4: not valid YAML: "),
        ("a: 2020-13-45\n", r"config\.yaml: not valid YAML: month must be in 1\.\.12"),
        ("a: \x00\n", r"config\.yaml: not valid YAML: "),
        ("a: 1\nb: 2\na: 3\n", r"config\.yaml, line 3: the key 'a' is in line 1 already; keep one of them"),
        ("a: {b: 1, c: {d: 1,\n d: 2}}\n", r"config\.yaml, line 2: the key 'd' is in line 1 already"),
        ("a:\n  - {b: 1, b: 2}\n", r"config\.yaml, line 2: the key 'b' is in line 2 already"),
        (
            '{\n\t"a": {"b": 1, "c": 2, "b": 3}}\n',
            r"config\.yaml: the key 'b' is in one mapping twice; keep one of them",
        ),
        ("a: 1\nb: &b\n  c: [*b]\n", r"config\.yaml, line 2: what is anchored here contains itself"),
        ("a: &a [1, *a]\n", r"config\.yaml, line 1: what is anchored here contains itself"),
    ],
)
def test_unreadable_yaml(tmp_path, text, expected):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=expected):
        read_yaml(path)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*nowhere\.yaml"):
        read_yaml(tmp_path / "nowhere.yaml")


def test_file_in_place_of_the_results(tmp_path):
    (tmp_path / "taken").write_text("")
    config = {"results_dir": str(tmp_path / "taken" / "below"), "downloads_dir": str(tmp_path)}
    with pytest.raises(UserError, match=r"results_dir: found .*taken, which is a file; allowed: a folder"):
        check_folders(config)


def test_an_alias_can_be_used_twice(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("a: &a {b: [1]}\nc: [*a, *a]\n")
    assert read_yaml(path) == {"a": {"b": [1]}, "c": [{"b": [1]}] * 2}


def test_a_key_twice_in_a_setting_of_the_command_line(repository):
    with pytest.raises(UserError, match=r"^--config run, line 1: the key 'datasets' is in line 1 already"):
        read_configuration(repository, [], ['run={"datasets": [], "datasets": []}'])


def test_a_home_folder_is_put_in_for_its_sign_in_every_path(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    cells = {"file": "~/cells.h5ad", "donors": {"train": ["a"], "test": []}}
    remote = {**cells, "file": "https://host/~ada/cells.h5ad", "networks": {}}
    changes = {
        "results_dir": "~/runs/",
        "downloads_dir": "./far//~",
        "mirror": "~/mirror",
        "datasets": {
            "mine": {"source": "anndata", "options": {"path": "~/cells.h5ad"}},
            "cells": {"source": "single_cells", "options": {**cells, "networks": {"a": "~/a.csv", "b": ["~/b", "c~"]}}},
            "remote": {"source": "single_cells", "options": remote},
        },
    }
    config = check_configuration(merge(SMALL, changes))
    assert [config[key] for key in ("results_dir", "downloads_dir", "mirror")] == [
        "/home/ada/runs",
        "far/~",
        "/home/ada/mirror",
    ]
    options = {name: config["datasets"][name]["options"] for name in ("mine", "cells", "remote")}
    assert options["mine"]["path"] == options["cells"]["file"] == "/home/ada/cells.h5ad"
    assert options["cells"]["networks"] == {"a": "/home/ada/a.csv", "b": ["/home/ada/b", "c~"]}
    assert options["remote"]["file"] == "https://host/~ada/cells.h5ad"
    assert check_configuration({**SMALL, "mirror": "https://host/~ada"})["mirror"] == "https://host/~ada"
    for address in ("ftp://x/y", "HTTP://x/y"):
        assert check_configuration({**SMALL, "mirror": address})["mirror"] == address
    with pytest.raises(UserError, match=r"the path '~nobody_at_all/x', whose home folder is not known"):
        check_configuration({**SMALL, "results_dir": "~nobody_at_all/x"})


def test_every_option_that_names_a_file_is_marked_as_a_path():
    """Such as `~` in it could be forgotten: what a source lists as its files is what its schema marks."""
    from sparsenode.data import sources
    from sparsenode.data.source import Source

    marked = {
        name
        for name in sources.source_names()
        for schema in settings_schema(sources.get_source(name))["properties"].values()
        if "x-path" in json.dumps(schema)
    }
    assert marked == {
        name for name in sources.source_names() if sources.get_source(name).local_files is not Source.local_files
    }


@pytest.fixture
def cells(tmp_path, monkeypatch):
    """Twelve cells of two lineages in a file of the working folder, and a configuration on it."""
    import anndata
    import numpy as np
    import pandas as pd

    monkeypatch.chdir(tmp_path)
    obs = pd.DataFrame(
        {"time": np.arange(12.0), "branch": ["up"] * 6 + ["down"] * 6}, index=[f"c{n}" for n in range(12)]
    )
    adata = anndata.AnnData(np.ones((12, 3), dtype=np.float32), obs)
    adata.var_names = ["A", "B", "C"]
    adata.varp["prior_motif"] = np.eye(3)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    entry = {"source": "anndata", "options": {"path": "cells.h5ad", "trajectory": "branch", "group": "branch"}}
    return {"run": {"datasets": ["mine"], "methods": ["none", "l1"]}, "datasets": {"mine": entry}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"options": {"path": "cell.h5ad"}}, ["datasets.mine.options: cell.h5ad is missing (looked for at /"]),
        ({"options": {"path": "."}}, ["datasets.mine.options: . is a folder, and a file is read"]),
        ({"options": {"time": "tme"}}, ["datasets.mine.options.time: found 'tme'; allowed: a column of `obs`"]),
        (
            {"options": {"time": "tme", "layer": "counts"}},
            ["datasets.mine.options.time: found", "datasets.mine.options.layer: found 'counts'"],
        ),
        (
            {"interventions": {"clamp": {"low": {"a": 0}, "high": {"B": 1}}}},
            ['datasets.mine.interventions.clamp.low: found "a"; allowed: a variable of the dataset, of which the '],
        ),
        (
            {"interventions": {"clamp": {"low": {"A": 0}}, "expected": {"low": {"lost": ["upp"], "gained": ["down"]}}}},
            ["datasets.mine.interventions.expected.low.lost: found \"upp\" (did you mean 'up'?); allowed: up, down"],
        ),
        (
            {"options": {"group": None}, "interventions": {"each": "low"}},
            ["datasets.mine.interventions: found trajectories of one group, all; allowed: null, or "],
        ),
        (
            {"priors": {"half": {"of": "motifs", "corruption": 0.5}}},
            ["datasets.mine.priors.half.of: found \"motifs\" (did you mean 'motif'?); allowed: motif"],
        ),
        ({"priors": {"half": {"of": "motif", "corruption": 0.5}}}, []),
    ],
)
def test_what_a_dataset_names_is_there_before_anything_is_planned(cells, changes, expected):
    config = check_configuration(merge(merge(SMALL, cells), {"datasets": {"mine": changes}}))
    if not expected:
        check_sources(config)
        return
    with pytest.raises(UserError) as caught:
        check_sources(config)
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == len(expected)
    for line, problem in zip(lines, expected, strict=True):
        assert line.startswith(f"  {problem}")


def test_a_prior_of_a_file_that_a_method_is_given_is_there(cells):
    methods = {"dash": {"strengths": ["0.1"], "options": {"prior": "motifs"}}}
    changes = {"run": {"methods": ["dash"]}, "methods": methods}
    config = check_configuration(merge(merge(SMALL, cells), changes))
    with pytest.raises(UserError, match=r"methods\.dash\.options\.prior: found \"motifs\" .*; allowed: motif "):
        check_sources(config)
    config["methods"]["dash"]["options"]["prior"] = "motif"
    check_sources(config)


@pytest.mark.parametrize(
    ("source", "options", "problem"),
    [
        (
            "second_order",
            {"test_trajectories": 30},
            "test_trajectories: found 30; allowed: fewer than trajectories, 30, so that one is left for training",
        ),
        ("hill", {"nodes": 2}, "regulators_per_target: more regulators than there are other genes"),
        ("sim350", {"times": [0, 3, 2]}, "times: [0.0, 3.0, 2.0] have to increase, from 0 on"),
        ("sim690", {"test_times": [1, 3]}, "test_times: [1.0, 3.0] have to increase, from 0 on"),
        ("hematopoiesis", {"donors": {"train": ["s1d1"], "test": ["s1d1"]}}, "donors.train and donors.test share s1d1"),
    ],
)
def test_options_that_contradict_each_other_are_known_before_anything_is_planned(source, options, problem):
    changes = {"datasets": {"branches": {"source": source, "options": options}}}
    config = check_configuration(merge(SMALL, changes))
    with pytest.raises(UserError) as caught:
        check_sources(config)
    assert str(caught.value).splitlines()[1] == f"  datasets.branches.options.{problem}"


@pytest.mark.parametrize(
    ("source", "name", "nearest"),
    [("krumsiek11", "gata1", "Gata1"), ("second_order", "x6", "x1"), ("hill", "gene_1", "gene_")],
)
def test_variables_of_simulated_data_are_known(source, name, nearest):
    changes = {"datasets": {"branches": {"source": source, "interventions": {"clamp": {"held": {name: 0}}}}}}
    config = check_configuration(merge(SMALL, changes))
    with pytest.raises(UserError, match=rf'clamp\.held: found "{name}"; allowed: .* nearest are .*{nearest}'):
        check_sources(config)


def test_a_mirror_is_a_folder(tmp_path):
    config = check_configuration(merge(SMALL, {"mirror": str(tmp_path)}))
    check_sources(config)
    config["mirror"] = "HTTP://host/files"
    check_sources(config)
    config["mirror"] = "ftp://host/files"
    with pytest.raises(
        UserError, match=r"mirror: found ftp://host/files, .* neither .*; allowed: .* an http\(s\) addr"
    ):
        check_sources(config)
    config["mirror"] = str(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"mirror: found .*nowhere, which is no folder; allowed: a folder laid out as"):
        check_sources(config)


def test_only_datasets_of_the_run_are_looked_for():
    other = {"other": {"source": "anndata", "options": {"path": "nowhere.h5ad"}}}
    check_sources(check_configuration(merge(SMALL, {"datasets": other})))


def test_files_of_a_configuration_are_read_strictly(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base, mine = tmp_path / "clone" / "config.yaml", tmp_path / "mine.yaml"
    base.parent.mkdir()
    base.write_text("seeds: 1\n")
    mine.write_text("seeds: 2\n")
    assert configuration.check_configuration_files(base, [mine]) == []
    (tmp_path / "config.yaml").write_text("seeds: 3\n")
    (remark,) = configuration.check_configuration_files(base, [mine])
    assert remark.startswith(f"config.yaml of the working folder is not read: the base is {base}")
    assert configuration.check_configuration_files(base, [tmp_path / "config.yaml"]) == []
    mine.write_text("a: 1\na: 2\n")
    with pytest.raises(UserError, match=r"mine\.yaml, line 2: the key 'a' is in line 1 already"):
        configuration.check_configuration_files(base, [mine])


def test_json_is_a_configuration_too(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{\n\t"seeds": 1,\n\t"run": {"datasets": ["a"]}}\n')
    assert read_yaml(path) == {"seeds": 1, "run": {"datasets": ["a"]}}


def test_the_workflow_is_found_from_elsewhere(repository, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert configuration.find_workflow() == repository
    monkeypatch.chdir(repository)
    assert configuration.find_workflow().absolute() == repository


@pytest.mark.slow(reason="starts a process that reads the configuration")
def test_the_workflow_imports_nothing_heavy(repository):
    """The Snakefile is parsed anew in every job, so that what it imports has to be light."""
    program = """
import sys
import sparsenode, sparsenode.pipeline.configuration, sparsenode.pipeline.plan, sparsenode.cli, sparsenode.versions
from sparsenode.data import sources
from sparsenode import methods
for name in sources.source_names():
    sources.get_source(name)
for name in methods.method_names():
    methods.get_method(name)
heavy = {"torch", "pandas", "anndata", "scanpy", "scipy", "matplotlib", "sklearn", "h5py"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_entry_for_own_data_in_the_documents_is_a_configuration(repository, default):
    text = (repository / "docs" / "workflow.md").read_text(encoding="utf-8")
    own, cells = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL))
    assert own["datasets"]["mine"]["source"] == "anndata"
    assert pairs(check_configuration(merge(default, own))) == [("mine", "mine")]
    assert cells["datasets"]["marrow"]["source"] == "single_cells"
    cells["run"] = {"datasets": ["marrow"], "models": ["mine"]}
    cells["models"] = {"mine": {"decay": 3.0, "starts": "learned"}}
    assert pairs(check_configuration(merge(default, cells))) == [("marrow", "mine")]


def test_a_velocity_at_first_order_is_refused(default):
    default["models"]["windows"]["velocity_observations"] = 3
    with pytest.raises(UserError, match=r"models\.windows\.velocity_observations: found .*3, with order: 1; allowed"):
        check_configuration(default)


def test_a_model_that_takes_more_than_a_forecast_is_given_is_refused(default):
    default["models"]["second_order"]["velocity_observations"] = 3
    place = r"with datasets\.second_order\.initial_state\.known: 1"
    with pytest.raises(UserError, match=r"models\.second_order\.velocity_observations: found 3, " + place):
        check_configuration(default)
    default["datasets"]["second_order"]["initial_state"] = {"known": 3}
    check_configuration(default)


def test_a_start_is_a_mean_or_the_last_of_what_is_known(default):
    default["datasets"]["second_order"]["initial_state"] = {"known": 3, "mean_of_first": 2}
    with pytest.raises(UserError, match=r"datasets\.second_order\.initial_state: found mean_of_first: 2 and known: 3"):
        check_configuration(default)


def test_how_models_are_scored_is_no_matter_of_preprocessing(default):
    before = check_configuration(copy.deepcopy(default))
    default["datasets"]["second_order"]["evaluation"] = {"rolling": {"past": 1.0, "horizon": 2.0}}
    after = check_configuration(default)
    one, other = (configuration.dataset_settings(config, "second_order") for config in (before, after))
    assert one == other
    assert after["datasets"]["second_order"]["evaluation"]["rolling"]["stride"] == 0


def test_the_table_of_benchmarks_holds_published_ones_and_known_networks(default):
    cells = {"source": "anndata", "options": {"path": "mine.h5ad", "time": "time"}}
    default["datasets"] |= {"cells": cells, "tumor": {**cells, "benchmark": "breast"}}
    default["run"]["datasets"] = ["cells", "tumor", "second_order"]
    default["models"]["plain"] = {}
    default["run"]["models"] = ["plain"]
    checked = check_configuration(default)
    assert configuration.benchmarks_of(checked) == {"tumor": "breast", "second_order": None}


def test_comparisons_of_the_run_are_those_whose_datasets_and_methods_it_has():
    changes = {
        "run": {"datasets": ["branches", "noisy"]},
        "datasets": {"noisy": {"source": "krumsiek11"}, "other": {"source": "krumsiek11"}},
        "methods": {"l0": {"strengths": ["1"]}},
        "comparisons": {
            "noise": {"label": "noise", "datasets": {"noisy": 2, "branches": 0}},
            "apart": {"label": "noise", "datasets": {"branches": 0, "other": 2}},
            "priors": {"label": "prior", "dataset": "noisy", "methods": {"mine": {"none": 0, "l1": 1}}},
            "pruned": {"label": "prior", "dataset": "noisy", "methods": {"mine": {"none": 0, "l0": 1}}},
        },
    }
    config = check_configuration(merge(SMALL, changes))
    assert configuration.comparisons_of(config) == ["noise", "priors"]
    assert configuration.datasets_compared(config, "noise") == ["noisy", "branches"]
    assert configuration.datasets_compared(config, "priors") == ["noisy"]
    assert configuration.comparisons_of(check_configuration(SMALL)) == []


def test_a_benchmark_is_no_matter_of_preprocessing():
    plain = check_configuration(SMALL)
    named = check_configuration(merge(SMALL, {"datasets": {"branches": {"benchmark": "sim350"}}}))
    assert plain["datasets"]["branches"]["benchmark"] is None
    found = [configuration.dataset_settings(config, "branches") for config in (plain, named)]
    assert found[0] == found[1]


def test_interventions_are_no_matter_of_preprocessing_and_have_a_figure():
    held = {"datasets": {"branches": {"interventions": {"clamp": {"one": {"Gata1": 0, "Pu.1": "high"}}}}}}
    without, with_one = (check_configuration(merge(SMALL, changes)) for changes in ({}, held))
    assert with_one["datasets"]["branches"]["interventions"] == {
        "clamp": {"one": {"Gata1": 0.0, "Pu.1": "high"}}, "each": None, "expected": {}, "coverage": 0.9, "horizon": 1.0,
        "starts": 5,
    }  # fmt: skip
    assert isinstance(with_one["datasets"]["branches"]["interventions"]["clamp"]["one"]["Gata1"], float)
    one, other = (configuration.dataset_settings(config, "branches") for config in (without, with_one))
    assert one == other
    figures = [configuration.figures_of(config, "branches") for config in (without, with_one)]
    assert figures[1] == [*figures[0], "interventions"]


def test_figures_of_a_dataset_are_those_that_it_allows(default, repository):
    default["datasets"]["second_order"]["interventions"] = None
    checked = check_configuration(default)
    always = ["strengths", "pareto", "trajectories", "network", "stability", "network_graph"]
    with_truth = [*always[:4], "precision_recall", "balanced_accuracy", *always[4:]]
    assert configuration.figures_of(checked, "second_order") == with_truth
    default["datasets"]["second_order"]["evaluation"] = {"rolling": {"past": 1.0, "horizon": 2.0}}
    assert configuration.figures_of(check_configuration(default), "second_order") == [*with_truth, "horizon"]
    motion = merge(default, yaml.safe_load((repository / "experiments/mocap.yaml").read_text(encoding="utf-8")))
    wanted = [*always, "horizon", "skeleton", "joints"]
    assert configuration.figures_of(check_configuration(motion), "mocap") == wanted


def test_figures_of_cells_need_cells_and_their_map_a_map(default, repository):
    override = yaml.safe_load((repository / "experiments/hematopoiesis.yaml").read_text(encoding="utf-8"))
    cells = merge(default, override)
    always = ["strengths", "pareto", "trajectories", "network", "stability", "network_graph"]
    found = configuration.figures_of(check_configuration(copy.deepcopy(cells)), "hematopoiesis")
    assert found == [*always, "embedding", "gene_trends", "regulators"]
    cells["datasets"]["hematopoiesis"]["options"]["embedding"] = "none"
    found = configuration.figures_of(check_configuration(cells), "hematopoiesis")
    assert found == [*always, "gene_trends", "regulators"]


def test_figures_of_files_need_a_truth_that_is_named(default):
    for truth, wanted in ((None, False), ("network", True)):
        options = {"path": "mine.h5ad", "time": "time", "truth": truth}
        default["datasets"]["mine"] = {"source": "anndata", "options": options, "validation": {"by": "trajectory"}}
        found = configuration.figures_of(check_configuration(copy.deepcopy(default)), "mine")
        assert ("precision_recall" in found) == wanted


def test_a_name_that_ends_in_a_new_line_is_refused(default):
    default["datasets"]["second\n"] = default["datasets"]["second_order"]
    with pytest.raises(UserError, match="letters, digits and underscores"):
        check_configuration(default)


@pytest.mark.parametrize(
    ("changes", "room"), [({"iterations": 100}, 80), ({"iterations": 100, "windows": {}, "whole_share": 0.3}, 30)]
)
def test_a_member_does_not_cool_before_its_objective_has_settled(changes, room):
    def check(cooldown):
        return check_configuration({**SMALL, "models": {"plain": {**changes, "stop": {"cooldown": cooldown}}}})

    assert check(room)["models"]["plain"]["stop"]["patience"] == 100
    with pytest.raises(UserError, match=rf"models.plain.stop.cooldown: found {room + 1}; allowed: at most {room},"):
        check(room + 1)


@pytest.fixture
def files_source(monkeypatch):
    """A source that needs the files which its options name."""
    from types import SimpleNamespace

    from sparsenode.data.downloads import RemoteFile

    def make_source(_, options):
        return SimpleNamespace(required_files=lambda: [RemoteFile(*file) for file in options["files"]])

    monkeypatch.setattr(sources, "make_source", make_source)


def files_of(**datasets):
    return {
        "run": {"datasets": list(datasets)},
        "datasets": {name: {"source": "files", "options": {"files": files}} for name, files in datasets.items()},
    }


def test_a_remote_file_is_known_by_where_it_is_read(files_source):
    packed, unpacked = ("https://host/a/cells.h5ad.gz", "00", 1), ("https://host/a/cells.h5ad.gz", "00", 1, True)
    config = files_of(one=[packed, ("http://host/b.csv",)], other=[unpacked], again=[unpacked])
    files = configuration.remote_files(config)
    assert {place: file.unpack for place, file in files.items()} == {
        "host/a/cells.h5ad.gz": False,
        "host/b.csv": False,
        "host/a/cells.h5ad": True,
    }
    assert list(configuration.remote_files(config, "other")) == ["host/a/cells.h5ad"]
    assert {file.relative_path for file in files.values()} == {"host/a/cells.h5ad.gz", "host/b.csv"}


@pytest.mark.parametrize("turned", [False, True])
def test_a_download_and_an_unpacked_file_at_one_place(files_source, turned):
    entries = {"one": [("https://host/cells.h5ad",)], "other": [("https://host/cells.h5ad.gz", None, None, True)]}
    config = files_of(**dict(reversed(entries.items())) if turned else entries)
    message = r"host/cells\.h5ad: https://host/cells\.h5ad, and https://host/cells\.h5ad\.gz unpacked; run their"
    with pytest.raises(UserError, match=message):
        configuration.remote_files(config)
    assert list(configuration.remote_files(config, "one")) == list(configuration.remote_files(config, "other"))


def test_what_cannot_be_unpacked(files_source):
    with pytest.raises(UserError, match=r"'https://host/cells.zip' cannot be unpacked: only a file NAME\.gz can"):
        configuration.remote_files(files_of(one=[("https://host/cells.zip", None, None, True)]))


@pytest.mark.parametrize(
    ("changes", "found"), [({"decay": None}, "decay: null"), ({"windows": {}}, "windows"), ({"order": 2}, "order: 2")]
)
def test_starts_are_learned_where_a_deviation_can_be_forgotten(changes, found):
    model = {"starts": "learned", "decay": 1.0}
    assert check_configuration({**SMALL, "models": {"plain": model}})["models"]["plain"]["starts"] == "learned"
    with pytest.raises(UserError, match=rf"models\.plain\.starts: found learned, with {found}; allowed: given, or"):
        check_configuration({**SMALL, "models": {"plain": {**model, **changes}}})


@pytest.mark.parametrize(
    ("name", "value"), [("rolling", {"past": 1.0, "horizon": 2.0}), ("one_step", True)], ids=["rolling", "one_step"]
)
def test_starts_are_not_learned_for_forecasts_from_within(default, name, value):
    default["datasets"]["krumsiek11"]["evaluation"] = {name: value}
    default["models"]["windows"] |= {"windows": None, "starts": "learned", "decay": 1.0}
    with pytest.raises(
        UserError, match=rf"models\.windows\.starts: found learned, with datasets\.krumsiek11\.evaluation\.{name};"
    ):
        check_configuration(default)


def test_a_method_that_nothing_is_trained_with_is_named():
    methods = {"group": {"regularizer": "grouplasso", "strengths": ["1"]}}
    given = merge(SMALL, {"methods": methods, "run": {"methods": ["none", "l1", "group"]}})
    config = check_configuration(given)
    (remark,) = configuration.remarks(config)
    assert remark.startswith("run.methods: nothing is trained with group: ")
    given = merge(given, {"models": {"plain": {"network": "per_target", "methods": ["group", "l1"]}}})
    (remark,) = configuration.remarks(check_configuration(given))
    assert "nothing is trained with none:" in remark
    given = merge(given, {"models": {"plain": {"methods": None}}})
    assert not configuration.remarks(check_configuration(given))


def test_a_benchmark_whose_published_scores_nothing_is_measured_beside_is_named():
    [name] = SMALL["run"]["datasets"]
    given = merge(SMALL, {"datasets": {name: {"benchmark": "scode_2"}}})
    (remark,) = configuration.remarks(check_configuration(given))
    assert remark.startswith(f"datasets.{name}.evaluation.scoring: the published scores of scode_2 count pairs by")
    assert remark.endswith("add regulators to the list")
    scored = merge(given, {"datasets": {name: {"evaluation": {"scoring": ["pairs", "regulators"]}}}})
    assert not configuration.remarks(check_configuration(scored))
    # The values of sim350 count by no protocol that is known.
    assert not configuration.remarks(check_configuration(merge(SMALL, {"datasets": {name: {"benchmark": "sim350"}}})))


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"methods": {"l1": {"strengths": ["0.1", "0.01", "0.001"]}}}, True),
        ({"figures": {"font_size": 12}, "threads": 2, "seeds_per_job": 1, "memory_mb": 900}, True),
        ({"datasets": {"branches": {"interventions": {"each": "low"}}}}, True),
        ({"methods": {"l1": {"strengths": ["1e-3", "1e-1"]}}}, False),
        ({"seeds": 2}, False),
        ({"models": {"plain": {"hidden": [7]}}}, False),
        ({"datasets": {"branches": {"options": {"test_share": 0.3}}}}, False),
        ({"datasets": {"branches": {"evaluation": {"one_step": True}}}}, False),
    ],
)
def test_the_origin_of_results_differs_where_they_may_differ(changes, same):
    before, after = (check_configuration(merge(SMALL, change)) for change in ({}, changes))
    prints = {configuration.fingerprint(configuration.results_settings(one, "branches")) for one in (before, after)}
    assert len(prints) == (1 if same else 2)


def test_a_test_of_edges_is_no_matter_of_preprocessing_and_training_and_has_a_figure():
    tested = {"datasets": {"branches": {"edges": {"forbidden": [["Gata1", "Fli1"]], "fdr": 0.05}}}}
    without, with_test = (check_configuration(merge(SMALL, changes)) for changes in ({}, tested))
    edges = with_test["datasets"]["branches"]["edges"]
    assert (edges["fdr"], edges["folds"], edges["forbidden"]) == (0.05, 5, [["Gata1", "Fli1"]])
    assert without["datasets"]["branches"]["edges"] is None
    assert configuration.dataset_settings(with_test, "branches") == configuration.dataset_settings(without, "branches")
    assert "edges" in configuration.figures_of(with_test, "branches")
    assert "edges" not in configuration.figures_of(without, "branches")
    # Results without a test are those of before; with one they depend on its settings.
    assert "edges" not in configuration.results_settings(without, "branches")
    assert configuration.results_settings(with_test, "branches")["edges"][0] == edges
    assert (
        configuration.results_settings(with_test, "branches")["training"]
        == configuration.results_settings(without, "branches")["training"]
    )


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ({"fdr": 1}, r"datasets\.branches\.edges\.fdr: found the number 1"),
        ({"folds": 1}, r"datasets\.branches\.edges\.folds: found the number 1"),
        ({"forbidden": [["Gata1"]]}, r"datasets\.branches\.edges\.forbidden"),
        ({"required": "Gata1"}, r"datasets\.branches\.edges\.required"),
        ({"threads": 2}, r"datasets\.branches\.edges.*threads"),
    ],
)
def test_a_test_of_edges_that_cannot_be_is_refused(edges, message):
    with pytest.raises(UserError, match=message):
        check_configuration(merge(SMALL, {"datasets": {"branches": {"edges": edges}}}))


def test_forbidden_and_required_edges_are_of_variables_of_the_dataset():
    named = {"datasets": {"branches": {"edges": {"required": [["Gata1", "Gata9"]]}}}}
    with pytest.raises(UserError, match=r'edges\.required: found "Gata9"; allowed: a variable .* nearest are Gata'):
        check_sources(check_configuration(merge(SMALL, named)))
