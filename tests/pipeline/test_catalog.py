"""What the command `options` says of sections of the configuration, data sources, methods and peers."""

import json
import re

import pytest

from sparsenode import cli
from sparsenode.data.sources import get_source, source_names
from sparsenode.errors import UserError
from sparsenode.methods import get_method, method_names
from sparsenode.peers import get_peer, peer_names
from sparsenode.pipeline import catalog
from sparsenode.pipeline.schema import (
    ComparisonEntry,
    Configuration,
    DatasetEntry,
    FiguresSettings,
    MethodEntry,
    ModelEntry,
    PeerEntry,
    RunSettings,
    StudySettings,
)
from sparsenode.typed import settings_schema


def test_the_list_has_a_line_for_everything_under_the_key_that_names_it():
    parts = catalog.describe_catalog().split("\n\n")
    keys = ("of the configuration", "datasets.NAME.source", "methods.NAME.regularizer", "peers.NAME.peer")
    sections = ["configuration", "run", "datasets", "models", "methods", "peers", "comparisons", "study", "figures"]
    names_by_kind = (sections, source_names(), method_names(), peer_names())
    for part, key, names in zip(parts, keys, names_by_kind, strict=False):
        heading, *lines = part.splitlines()
        assert key in heading
        assert [line.split()[0] for line in lines] == list(names)
        assert all(len(line.split()) > 2 for line in lines)


@pytest.mark.parametrize("name", [*source_names(), *method_names(), *peer_names()])
def test_every_option_is_described_with_its_default(name):
    """Of entries of one name all are described."""
    text = catalog.describe_catalog(name)
    words = " ".join(text.split())
    for names, options_of in (
        (source_names(), lambda name: settings_schema(get_source(name)).get("properties", {})),
        (method_names(), lambda name: settings_schema(get_method(name)).get("properties", {})),
        (peer_names(), lambda name: settings_schema(get_peer(name)).get("properties", {})),
    ):
        for key, schema in options_of(name).items() if name in names else ():
            given = f"default {json.dumps(schema['default'])}" if "default" in schema else "to be given"
            told = re.escape(f"{given}): {' '.join(schema['description'].split())}")
            assert re.search(rf" {key} \([^;]+; {told}", words)
    assert all(len(line) <= 100 for line in text.splitlines() if "://" not in line)


def test_each_key_of_the_configuration_is_described_once():
    """Those of entries in their section, those of the top level in `configuration`."""
    described = {
        section: re.findall(r"^    ([a-z_]+) \(", catalog.describe_catalog(section), re.MULTILINE)
        for section in (
            "configuration",
            "run",
            "datasets",
            "models",
            "methods",
            "peers",
            "comparisons",
            "study",
            "figures",
        )
    }
    entries = {
        "run": RunSettings,
        "datasets": DatasetEntry,
        "models": ModelEntry,
        "methods": MethodEntry,
        "peers": PeerEntry,
        "comparisons": ComparisonEntry,
        "study": StudySettings,
        "figures": FiguresSettings,
    }
    assert described.pop("configuration") == [key for key in Configuration.model_fields if key not in entries]
    assert described == {section: list(model.model_fields) for section, model in entries.items()}
    assert "validation (mapping; default" in catalog.describe_catalog("datasets")
    assert re.search(
        r"\n        share \(number, above 0, below 1; default 0.15\)", catalog.describe_catalog("datasets")
    )


def test_the_keys_of_a_mapping_stand_below_it():
    text = catalog.describe_catalog("single_cells")
    assert re.search(r"\n    donors \(mapping; to be given\).*\n        train \(list; to be given\)", text, re.DOTALL)
    assert re.search(r"\n        stop \(number, above 0; may be left out\)", catalog.describe_catalog("mocap"))


def test_what_a_method_needs_is_said():
    grouplasso = catalog.describe_catalog("grouplasso")
    assert "needs `network: per_target`" in grouplasso
    assert "strength (0 or more)" in grouplasso
    assert "strength (0 to 1): the weight of the prior" in catalog.describe_catalog("dash")
    assert "takes no strengths" in catalog.describe_catalog("none")
    assert "gates" in catalog.describe_catalog("pathreg")
    assert "no options" in catalog.describe_catalog("l1")


def test_a_method_and_a_peer_of_one_name_are_both_described():
    first, second = catalog.describe_catalog("lassonet").split("\n\n")
    assert first.startswith("method lassonet")
    assert second.startswith("peer lassonet")


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(UserError, match=r"'grupolasso'; did you mean 'grouplasso'\? There are: configuration"):
        catalog.describe_catalog("grupolasso")
    with pytest.raises(UserError, match=r"'qqqq'; There are: configuration"):
        catalog.describe_catalog("qqqq")


def test_the_command(capsys):
    assert cli.main(["options"]) == 0
    assert "sparsenode options NAME" in capsys.readouterr().out
    assert cli.main(["options", "correlation"]) == 0
    assert 'of (states or derivatives; default "states")' in capsys.readouterr().out
    assert cli.main(["options", "nothing"]) == 1
    assert capsys.readouterr().err.startswith("error: there is no section")
