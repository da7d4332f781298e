"""The small run of `.test/`, as the workflow catalog and a first look use it."""

import yaml

from sparsenode.pipeline.configuration import check_sources, pairs, read_configuration


def test_small_run_is_of_this_workflow(repository):
    config = read_configuration(repository, [repository / ".test" / "config.yaml"])
    check_sources(config)
    assert pairs(config) == [("krumsiek11", "windows")]
    assert config["models"]["windows"]["iterations"] <= 100


def test_catalog_entry_names_what_there_is(repository):
    entry = yaml.safe_load((repository / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert entry["report"] is True
    deployed = {kind for kind, works in entry["software-stack-deployment"].items() if works}
    assert deployed == {"conda"}
    rules = "".join(path.read_text() for path in (repository / "workflow" / "rules").glob("*.smk"))
    assert rules.count("conda:") > 0
