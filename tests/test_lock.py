import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


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


@pytest.mark.parametrize(("environment", "torch"), [("sparsenode", "pytorch-cpu"), ("sparsenode_gpu", "pytorch-gpu")])
def test_conda_environments_have_the_direct_dependencies_in_locked_versions(repository, locked, environment, torch):
    entries = yaml.safe_load((repository / "envs" / f"{environment}.yaml").read_text())["dependencies"]
    pins = dict(entry.split(" =") for entry in entries if " =" in entry)
    assert pins.pop("python") == "3.11"
    (from_pip,) = (entry["pip"] for entry in entries if isinstance(entry, dict))
    pins |= dict(entry.split("==") for entry in from_pip)
    names = {torch: "torch", "matplotlib-base": "matplotlib"}
    found = {names.get(name, name): version for name, version in pins.items()}
    assert found == {name: locked.get(name) for name in found}

    # All that the rules import and what the package is built with; Snakemake itself runs outside.
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    direct = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    assert set(found) == {canonicalize_name(Requirement(text).name) for text in direct} - {"snakemake"}
    # Snakemake looks for what installs the package beside the environment, under its name.
    script = repository / "envs" / f"{environment}.post-deploy.sh"
    assert "pip install --no-deps --no-build-isolation --editable ." in script.read_text()


def test_plugin_for_slurm_is_locked(locked):
    assert {"snakemake-executor-plugin-slurm", "snakemake-executor-plugin-slurm-jobstep"} <= locked.keys()
