"""What the documents show: every block of code is run, parsed or checked as it is written."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import anndata
import numpy as np
import pandas as pd
import pytest
import yaml
from snakemake.cli import get_argument_parser

from snakemake_runs import Workflow, succeed
from sparsenode.cli import build_parser
from sparsenode.data.contract import read_trajectories
from sparsenode.data.preprocess import preprocess_dataset
from sparsenode.data.readers.long_tables import read_table
from sparsenode.estimator.settings import PARAMETERS
from sparsenode.evaluation.evaluate import evaluate_models
from sparsenode.pipeline import configuration
from sparsenode.pipeline.configuration import (
    dataset_settings,
    pairs,
    read_configuration,
    seed_blocks,
    slice_settings,
    sweeps_of,
)
from sparsenode.training.job import train_members

REPOSITORY = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
    REPOSITORY / "docs/tutorials/grid.md",
]
"""Documents whose blocks are run here; `make docs` runs the tutorials that are notebooks."""
EXPERIMENTS = sorted((REPOSITORY / "experiments").glob("*.yaml"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


DIRECTIVE = re.compile(r"^```\{.*?^```$", re.MULTILINE | re.DOTALL)
"""What only the site shows, such as a table of contents."""


class Block(NamedTuple):
    """A block of code of a document."""

    document: Path
    line: int
    language: str
    code: str


def read_document(path: Path) -> str:
    """The text of a document, with empty lines in place of directives."""
    return DIRECTIVE.sub(lambda match: "\n" * match[0].count("\n"), path.read_text(encoding="utf-8"))


def blocks(language: str | None = None) -> list[Block]:
    found = [
        Block(path, text.count("\n", 0, match.start()) + 1, match[1], match[2])
        for path in DOCUMENTS
        for text in [read_document(path)]
        for match in FENCE.finditer(text)
    ]
    return [block for block in found if language in {None, block.language}]


def name_of(value: Block | str | Path) -> str:
    return f"{value.document.name}:{value.line}" if isinstance(value, Block) else str(value)


def commands() -> list[str]:
    """Commands of the blocks of shell code, and of the comments at the top of the experiments, in their order."""
    lines = [line for block in blocks("sh") for line in block.code.splitlines()]
    typed = [line.removeprefix("$ ") for block in blocks("console") for line in block.code.splitlines()]
    lines += [line for line in typed if line.startswith("sparsenode ")]
    for path in EXPERIMENTS:
        text = path.read_text(encoding="utf-8")
        for name, value in re.findall(r'^# +(\w+)="(.*)"$', text, re.MULTILINE):
            text = text.replace(f"${name}", value)
        lines += re.findall(r"^ *# +((?:snakemake|sparsenode|make) .*)$", text, re.MULTILINE)
    plain = [shlex.join(shlex.split(line, comments=True)) for line in lines]
    return list(dict.fromkeys(command for command in plain if command))


def inline_commands() -> list[str]:
    texts = [" ".join(FENCE.sub("", read_document(path)).split()) for path in DOCUMENTS]
    pattern = r"(?<!`)`((?:snakemake|sparsenode|make) [^`]+)`"
    return list(dict.fromkeys(command for text in texts for command in re.findall(pattern, text)))


def test_every_block_is_of_a_language_that_is_tested_here() -> None:
    assert {block.language for block in blocks()} == {"console", "csv", "python", "sh", "yaml"}
    counts = [read_document(path).count("```") for path in DOCUMENTS]
    assert sum(counts) == 2 * len(blocks())


# Python


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results that the Python of the documents names, of a training of a few iterations."""
    folder = tmp_path_factory.mktemp("trained")
    code = "\n".join(block.code for block in blocks("python"))
    named = {
        tuple(path) for path in re.findall(r'"results/models/(\w+)/(\w+)/(\w+)/seeds_(\d+)-(\d+)\.safetensors"', code)
    }
    assert named
    short = {"iterations": 2, "warm_up": 0.5, "refit": {"iterations": 1}}
    few = {"strengths": ["0.5", "2"]}
    changes = {
        "models": {model: short for _, model, *_ in named},
        "methods": {method: few for _, _, method, *_ in named},
    }
    (folder / "short.yaml").write_text(yaml.safe_dump(changes))
    config = read_configuration(REPOSITORY, [folder / "short.yaml"])
    results = folder / config["results_dir"]
    for dataset, model, method, first, last in named:
        assert (int(first), int(last)) in seed_blocks(config)
        data = results / "data" / f"{dataset}.h5ad"
        preprocess_dataset(dataset, dataset_settings(config, dataset), folder, data)
        settings = folder / "settings.json"
        configuration.freeze_settings(slice_settings(config, dataset, model, method), settings)
        output = results / "models" / dataset / model / method / f"seeds_{first}-{last}.safetensors"
        train_members(data, settings, range(int(first), int(last) + 1), output, output.with_suffix(".parquet"))
        evaluate_models(
            data=data,
            models=[output],
            settings=[settings],
            metrics=results / "metrics" / f"{dataset}.parquet",
            forecasts=results / "forecasts" / f"{dataset}.parquet",
            networks=results / "networks" / dataset,
            selection=results / "selection" / dataset,
        )
    return folder


@pytest.mark.slow(reason="starts processes or draws figures")
@pytest.mark.parametrize("document", sorted({block.document for block in blocks("python")}), ids=lambda path: path.name)
def test_python_runs_as_it_is_written(document: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    write_cells(trained / "cells.h5ad")
    write_table(trained / "cells.csv")
    # What the documents leave at the default is shortened.
    quick = {"iterations": 3, "seeds": 2, "strengths": (0.001, 0.01), "peers": ("lasso",), "verbose": 0}
    for name, value in quick.items():
        monkeypatch.setitem(PARAMETERS, name, value)
    names: dict[str, Any] = {}
    for block in blocks("python"):
        if block.document == document:
            # Lines of errors are those of the document.
            code = block.code.replace("iterations=300", "iterations=3")
            exec(compile("\n" * block.line + code, str(document), "exec"), names)  # noqa: S102
    check_names(document, names)


def check_names(document: Path, names: dict[str, Any]) -> None:
    """What the blocks of a document have computed is what it says."""
    if document.name == "python.md":
        assert names["states"].shape == names["lower"].shape == names["upper"].shape == (20, 2)
        assert {"dynamics_effect", "dynamics_frequency"} == set(names["adata"].varp)
        assert names["model"].settings_["method_settings"]["strengths"] == [1.0, 10.0]
        return
    if document.name != "trained_models.md":
        assert len(names["model"].network()) == 11 * 10
        return
    model, states = names["model"], names["states"]
    assert len(names["forecasts"]) == len(states)
    assert {forecast.shape for forecast in names["forecasts"]} == {
        (len(model.members), len(names["times"]), len(model.features))
    }
    assert np.isfinite(names["forecasts"]).all()
    assert {member.strength for member in model.members} == {names["selection"]["chosen"]}
    screen = repr(model).splitlines()
    assert len(screen) < 24
    assert max(map(len, screen)) <= 120
    assert str(document) not in repr(model)


@pytest.mark.slow(reason="trains, evaluates and reads what was written")
def test_the_columns_of_a_network_are_described(trained: Path) -> None:
    text = (REPOSITORY / "docs" / "workflow.md").read_text(encoding="utf-8")
    described = text.partition("An edge of `METHOD.csv`")[2].partition("\n\n")[0]
    tables = list((trained / "results" / "networks").rglob("*.csv"))
    assert tables
    for path in tables:
        table = pd.read_csv(path)
        assert set(table.columns) == set(re.findall(r"`([a-z_]+)`", described)) - {"true", "false", "unknown"}
        others = table[table["source"] != table["target"]]
        assert others["share"].is_monotonic_decreasing
        assert others["share"].max() <= 1
        assert len(table) > len(others)
        assert (table.index[table["source"] == table["target"]] >= len(others)).all()


# YAML


def write_cells(path: Path) -> None:
    """Cells with all the columns that the examples name: two donors on two lineages, four cell types."""
    generator = np.random.default_rng(0)
    count = 240
    cells = np.arange(count)
    lineage = np.where(cells % 2, "erythroid", "monocyte")
    donor = np.where(cells % 4 < 2, "donor1", "donor2")
    obs = pd.DataFrame(
        {
            "pseudotime": cells / count,
            "lineage": lineage,
            "donor": donor,
            "donor_lineage": [f"{person}_{course}" for person, course in zip(donor, lineage, strict=True)],
            "batch": np.where(donor == "donor1", "s1d2", "s2d1"),
            "cell_type": np.array(["HSC", "G/M prog", "CD14+ Mono", "CD16+ Mono"])[4 * cells // count],
        },
        index=[f"cell{number}" for number in cells],
    )
    counts = generator.poisson(3 + 5 * obs["pseudotime"].to_numpy()[:, None], (count, 12))
    adata = anndata.AnnData(counts.astype(np.float32), obs=obs)
    adata.var_names = [f"gene{number}" for number in range(12)]
    adata.write_h5ad(path)


def write_table(path: Path) -> None:
    """A long table with the columns that the examples name: four cells over fifteen hours."""
    generator = np.random.default_rng(0)
    table = pd.DataFrame(generator.standard_normal((60, 3)), columns=["Gata1", "Fog1", "Pu.1"])
    table.insert(0, "hour", np.tile(np.arange(15.0), 4))
    table.insert(0, "cell", np.repeat(["c1", "c2", "c3", "c4"], 15))
    table.to_csv(path, index=False)


@pytest.mark.parametrize("block", blocks("csv"), ids=name_of)
def test_tables_are_read_as_they_are_written(block: Block, tmp_path: Path) -> None:
    (tmp_path / "cells.csv").write_text(block.code)
    table = read_table(tmp_path / "cells.csv", time="hour", trajectory="cell")
    assert list(table.var_names) == ["Gata1", "Fog1", "Pu.1"]
    assert np.isnan(table.X).sum() == 1


@pytest.mark.parametrize("block", blocks("yaml"), ids=name_of)
def test_yaml_is_a_configuration_laid_over_the_default(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_cells(tmp_path / "cells.h5ad")
    write_table(tmp_path / "cells.csv")
    (tmp_path / "mine.yaml").write_text(block.code)
    config = read_configuration(REPOSITORY, [tmp_path / "mine.yaml"])
    named = yaml.safe_load(block.code)["datasets"]
    for dataset in [member for name in named for member in sweeps_of(config)["datasets"].get(name, [name])]:
        if "run" in yaml.safe_load(block.code):
            assert dataset in {name for name, _ in pairs(config)}
        if config["datasets"][dataset]["source"] in {"anndata", "table"}:
            preprocess_dataset(dataset, dataset_settings(config, dataset), tmp_path, tmp_path / "data.h5ad")
            adata = read_trajectories(tmp_path / "data.h5ad")
            assert set(adata.obs["split"]) == {"train", "validation", "test"}


# Shell


def options_of(words: list[str]) -> Iterator[str]:
    return (word.partition("=")[0] for word in words if word.startswith("-") and word != "--")


def check_make(words: list[str]) -> None:
    done = subprocess.run(
        ["make", "--dry-run", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr


def check_snakemake(words: list[str], folder: Path) -> None:
    """Its options are there, and what it is configured by is a configuration."""
    parsed = get_argument_parser().parse_args(words)
    overrides = [REPOSITORY / path for path in parsed.configfile or ()]
    settings = dict(setting.split("=", 1) for setting in parsed.config or ())
    if settings:
        overrides.append(folder / "settings.yaml")
        values = {key: yaml.safe_load(value) for key, value in settings.items()}
        overrides[-1].write_text(yaml.safe_dump(values))
    config = read_configuration(REPOSITORY, overrides)
    assert pairs(config)
    for profile in parsed.profile or ():
        assert (REPOSITORY / profile / "config.yaml").is_file()


@pytest.mark.parametrize("command", commands())
def test_shell_commands_are_understood(command: str, tmp_path: Path) -> None:
    program, *words = shlex.split(command)
    if program == "make":
        check_make(words)
    elif program == "sparsenode":
        build_parser().parse_args(words)
    elif program == "snakemake":
        check_snakemake(words, tmp_path)
    else:
        pytest.fail(f"no test of {program}")


@pytest.mark.parametrize("command", inline_commands())
def test_commands_within_sentences_have_the_options_that_they_name(command: str) -> None:
    program, *words = shlex.split(command)
    if program == "make":
        check_make(words)
        return
    parser = get_argument_parser()
    if program == "sparsenode":
        (choices,) = (action.choices for action in build_parser()._actions if action.choices)
        assert words[0] in choices
        # Options of a run are Snakemake's.
        parser = parser if words[0] == "run" else choices[words[0]]
    for option in options_of(words):
        assert option in parser._option_string_actions


@pytest.mark.workflow
@pytest.mark.parametrize(
    "command", [command for command in commands() if command.startswith("snakemake") and " results/" in command]
)
def test_files_that_are_asked_for_can_be_made(command: str, tmp_path: Path) -> None:
    base = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))
    workflow = Workflow(REPOSITORY, tmp_path, base)
    (tmp_path / "experiments").symlink_to(REPOSITORY / "experiments")
    workflow.configure()
    _, *words = shlex.split(command)
    succeed(workflow.snakemake("--dry-run", *words))
