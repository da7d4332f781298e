import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}


@pytest.fixture(scope="module")
def locked(repository):
    lines = (repository / "envs" / "requirements.lock").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    # Names and exact versions alone: no hosts, no hashes, and no local version, which one kind of machine alone has.
    assert [pin for pin in pins if not re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", pin)] == []
    return dict(pin.split("==") for pin in pins)


def test_lock_satisfies_every_direct_dependency(repository, locked):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    direct = [Requirement(text) for text in project["dependencies"]]
    direct += [Requirement(text) for group in project["optional-dependencies"].values() for text in group]
    missing = [
        str(requirement)
        for requirement in direct
        if not requirement.specifier.contains(locked.get(canonicalize_name(requirement.name), "0"))
    ]
    assert missing == []
    assert locked["torch"] == "2.13.0"


def test_conda_environment_has_the_locked_versions(repository, locked):
    entries = yaml.safe_load((repository / "envs" / "sparsenode.yaml").read_text())["dependencies"]
    pins = dict(entry.split(" =") for entry in entries if " =" in entry)
    del pins["python"]
    (from_pip,) = (entry["pip"] for entry in entries if isinstance(entry, dict))
    pins |= dict(entry.split("==") for entry in from_pip)
    assert {"lassonet", "pysindy"} <= pins.keys()
    assert {CONDA_NAMES.get(name, name): version for name, version in pins.items()} == {
        CONDA_NAMES.get(name, name): locked[CONDA_NAMES.get(name, name)] for name in pins
    }
