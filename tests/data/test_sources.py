import subprocess
import sys

import jsonschema
import pytest

from sparsenode.data import sources
from sparsenode.errors import UserError
from sparsenode.typed import settings_schema


def test_sources_are_found_by_their_files() -> None:
    assert {"anndata", "hematopoiesis", "hill", "krumsiek11", "second_order", "sim350", "sim690"} <= set(
        sources.source_names()
    )
    assert not {"contract", "downloads", "equations", "preprocess", "published_networks"} & set(sources.source_names())


@pytest.mark.parametrize("name", sources.source_names())
def test_options_are_described_and_their_defaults_allowed(name: str) -> None:
    options = settings_schema(sources.get_source(name))["properties"]
    assert options
    for key, schema in options.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["description"].endswith("."), key
        if "default" in schema:
            jsonschema.validate(schema["default"], schema)


def test_unknown_source() -> None:
    with pytest.raises(UserError, match=r"unknown data source 'contract'; there are: .*krumsiek11"):
        sources.get_source("contract")


def test_options_are_completed_and_checked() -> None:
    assert sources.make_source("krumsiek11", None).options == {"test_share": 0.15}
    assert sources.make_source("krumsiek11", {"test_share": 0.3}).options == {"test_share": 0.3}
    with pytest.raises(UserError, match=r"options\.test_share: found the number 2.*\n.*found \"share\".*test_share"):
        sources.make_source("krumsiek11", {"test_share": 2, "share": 1})
    with pytest.raises(UserError, match=r"options\.path: missing; allowed: a path"):
        sources.make_source("anndata", {})
    with pytest.raises(UserError, match=r"options\.donors\.train\[0\]: found \"s9d9\"; allowed: s1d1, s1d2"):
        sources.make_source("hematopoiesis", {"donors": {"train": ["s9d9"], "test": []}})


def test_completed_options_share_nothing_with_the_defaults() -> None:
    sources.make_source("hematopoiesis", None).options["donors"]["train"].append("s2d4")
    assert sources.make_source("hematopoiesis", None).options["donors"]["train"] == ["s1d2"]


@pytest.mark.slow(reason="starts a process")
def test_the_workflow_imports_this_package_without_heavy_libraries() -> None:
    program = (
        "import sys; from sparsenode.data import sources; sources.source_names();"
        "print(*sorted({'torch', 'pandas', 'anndata', 'scanpy', 'scipy', 'h5py'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == ""
