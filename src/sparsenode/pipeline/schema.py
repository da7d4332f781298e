"""The keys of the configuration: their types, bounds, defaults and descriptions, from which its JSON schema is made.

Light on purpose: the Snakefile reads the configuration again in every job.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from sparsenode.evaluation.settings import EvaluationSettings
from sparsenode.files import write_atomically
from sparsenode.inference.settings import EdgeSettings
from sparsenode.interventions.settings import InterventionSettings
from sparsenode.settings import AUTO, Auto, JobSettings, ModelSettings, PreparationSettings
from sparsenode.typed import (
    Contradiction,
    HomePath,
    Name,
    Names,
    PathText,
    Settings,
    SomeNames,
    settings_schema,
)

STRENGTH = 'a number that is finite and at least 0, in quotes, such as "1e-3"'
_UNQUOTED_STRENGTH = "without quotes, YAML reads some strengths as numbers and some as text"

Strength = Annotated[str, Field(json_schema_extra={"x-allowed": f"{STRENGTH} ({_UNQUOTED_STRENGTH})"})]
Positions = Annotated[
    dict[str, float],
    Field(
        json_schema_extra={"x-allowed": "a mapping of two or more names to numbers, such as {clean: 0, noisy: 5}"},
    ),
]
"""Names, each with its number on the horizontal axis of a figure."""
DatasetPositions = Annotated[
    dict[str, float | str],
    Field(
        json_schema_extra={
            "x-allowed": "a mapping of two or more names to numbers, or of sweeps to one of their options"
        },
    ),
]
"""Datasets, each with its number, and sweeps, each with the option whose values are the numbers."""


SWEEP_KEYS = ("sweep", "design", "center", "names")
"""Keys of an entry that say which entries it stands for; none of these has them."""

Sweep = Annotated[
    dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]],
    Field(json_schema_extra={"x-allowed": "a mapping of options to lists of values, such as {noise: [0, 0.05]}"}),
]


class SweptSettings(Settings):
    """What entries share that can stand for many."""

    sweep: Sweep | None = Field(
        None,
        description="Options with lists of values: the entry stands for one entry for each of their combinations, with "
        "names such as `hill_noise0.05_seed1`, and its own name for all of them. Of a dataset, options of the source, "
        "or keys of the entry such as `validation.share`; of a model, its keys, such as `solver.step`. null for none.",
    )
    design: Literal["full", "one_at_a_time", "corners"] = Field(
        "full",
        description="Which combinations: `full` for all; `one_at_a_time` for `center` and what differs from it in one "
        "option; `corners` for those of each option's first and last value.",
    )
    center: dict[str, Any] | None = Field(
        None,
        description="For `one_at_a_time`, the value of each swept option in the center, such as `{noise: 0.05, seed: "
        "0}`.",
    )
    names: str | None = Field(
        None,
        min_length=1,
        description="Names of the combinations with the options in braces, such as `hill_{seed}`; null for the entry's "
        "name and each option with its value.",
    )


class PriorEntry(Settings):
    """An entry of the `priors` of a dataset."""

    of: str = Field(
        description="What it is made of, `truth` or the name of a prior of the source (`motif` of breast and yeast).",
        json_schema_extra={"x-allowed": "truth or the name of a prior of the source"},
    )
    corruption: float = Field(
        0.0,
        ge=0,
        le=1,
        description="The share of its edges that are moved, with their signs, to random pairs that have no edge. 0, "
        "0.2 and 0.4 in the literature.",
    )
    seed: int = Field(
        0, ge=0, description="Seed of the draw. With one seed, a larger share moves what a smaller one does, and more."
    )


class DatasetEntry(PreparationSettings, SweptSettings):
    """An entry of `datasets`."""

    source: str = Field(description="Where the data come from, a data source that `sparsenode options` lists.")
    options: dict[str, Any] = Field(
        {}, description="The options of the source, which `sparsenode options SOURCE` describes."
    )
    methods: SomeNames | None = Field(
        None,
        description="Methods of the run that models are trained with on this dataset, among those that they take; "
        "null for all.",
        json_schema_extra={"x-allowed": "null or a list of names of methods"},
    )
    peers: Names | None = Field(
        None,
        description="Peers of the run that infer the network of this dataset; null for all.",
        json_schema_extra={"x-allowed": "null or a list of names of peers"},
    )
    priors: dict[Name, PriorEntry] = Field(
        {},
        description='Further prior networks, by name, beside those that the source has (`varp["prior_NAME"]` of the '
        "data): such as `{truth20: {of: truth, corruption: 0.2}}`.",
    )
    evaluation: EvaluationSettings = Field(
        EvaluationSettings(), description="How models are scored and chosen. A change trains nothing again."
    )
    interventions: InterventionSettings | None = Field(
        None,
        description="Variables to hold (knock-out, over-expression) in forecasts at the chosen strength; null for "
        "none. They are compared with the true system where the source can be simulated again, else by "
        "the fates (groups of trajectories) that forecasts end in. A change trains nothing again.",
    )
    edges: EdgeSettings | None = Field(
        None,
        description="Test which edges are needed, with false discovery rates, in `edges/DATASET` of the results; "
        "`{}` tests with the defaults. null for no test, since one takes minutes (`sparsenode plan` estimates it). A "
        "change trains nothing again.",
    )
    benchmark: str | None = Field(
        None,
        description="The published benchmark that these data repeat, whose published values are beside ours in the "
        "table and the figure of balanced accuracy (sim350 with noise 0.025, breast, yeast, hematopoiesis "
        "with only its erythroid lineage); null for none. A change trains nothing again.",
    )
    figures: bool | None = Field(
        None,
        description="Whether the figures of the dataset are drawn without being asked for as targets; null for yes, "
        "and for no in a sweep.",
    )


class ModelEntry(ModelSettings, SweptSettings):
    """An entry of `models`: what is trained, on which datasets and with which methods."""

    auto: bool = Field(
        False,
        description="Whether the settings that the entry does not name are chosen from the training and validation "
        "data of each dataset (`models: {NAME: auto}` for all of them). The file of settings of each training has them "
        "with their reasons, and `sparsenode plan` shows them.",
    )
    datasets: SomeNames | None = Field(
        None,
        description="Names of the datasets that this model is trained on; null for every dataset of the run.",
        json_schema_extra={"x-allowed": "null or a list of names of datasets"},
    )
    methods: SomeNames | None = Field(
        None,
        description="Names of the methods that this model is trained with; null for every method of the run that its "
        "network allows.",
        json_schema_extra={"x-allowed": "null or a list of names of methods"},
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Those of the model; of an automatic one they are looked for once all settings are chosen."""
        return iter(()) if self.auto else super().contradictions()


class MethodEntry(Settings):
    """An entry of `methods`."""

    regularizer: str | None = Field(
        None,
        description="The regularizer or pruner, a method that `sparsenode options` lists; the entry's own name where "
        "it is null.",
    )
    strengths: tuple[Strength, ...] | Auto = Field(
        AUTO,
        json_schema_extra={"x-allowed": 'auto or a list of strengths in quotes, such as ["1e-3", "1e-2"]'},
        description='The strengths, in quotes ("1e-3"), since YAML reads some such numbers as text and some as '
        "numbers. `auto` trains batches of five, half a decade apart, downward from one that leaves no edge, and "
        "further ones while the choice is at an end, four at most; of `imp` and `dash` the whole range of the share. "
        "`none` takes none.",
    )
    options: dict[str, Any] = Field(
        {}, description="Options of the regularizer, which `sparsenode options REGULARIZER` describes."
    )


class PeerEntry(Settings):
    """An entry of `peers`."""

    peer: str | None = Field(
        None,
        description="The peer, one that `sparsenode options` lists; the entry's own name where it is null.",
    )
    seeds: int | None = Field(
        None, ge=1, description="How many seeds a random peer is run with; null for as many as the methods."
    )
    options: dict[str, Any] = Field({}, description="Options of the peer, which `sparsenode options PEER` describes.")


class ComparisonEntry(Settings):
    """An entry of `comparisons`: a figure across datasets or methods."""

    model_config = ConfigDict(
        json_schema_extra={"x-allowed": "a mapping with a label, and either datasets, or a dataset and methods"}
    )

    label: str = Field(
        min_length=1, description="What the numbers are, with their unit, the label of the horizontal axis."
    )
    datasets: DatasetPositions | None = Field(
        None,
        description="Two or more datasets, each with its number, such as `{sim350_clean: 0, sim350: 5}`, or a sweep "
        "with the option whose values are the numbers, such as `{hill: noise}`; all models and methods are drawn. null "
        "where methods are compared.",
    )
    dataset: str | None = Field(None, description="The dataset on which methods are compared; null where datasets are.")
    methods: dict[Name, Positions] | None = Field(
        None,
        min_length=1,
        json_schema_extra={
            "x-allowed": "a mapping of lines to methods and their numbers, such as {dash: {dash: 0, dash_20: 20}}"
        },
        description="Named lines, each of two or more methods with their numbers, such as `{dash: {dash: 0, dash_20: "
        "20}}`; null where datasets are compared.",
    )


class RunSettings(Settings):
    """What is run."""

    datasets: SomeNames = Field(
        json_schema_extra={"x-allowed": "a list of one or more names"},
        description="Names of entries below `datasets`.",
    )
    models: SomeNames = Field(
        json_schema_extra={"x-allowed": "a list of one or more names"},
        description="Names of entries below `models`.",
    )
    methods: SomeNames = Field(
        json_schema_extra={"x-allowed": "a list of one or more names"},
        description="Names of entries below `methods`.",
    )
    peers: Names = Field(
        (),
        json_schema_extra={"x-allowed": "a list of names"},
        description="Names of entries below `peers`, each of which infers the network of every dataset whose truth is "
        "known.",
    )


class StudySettings(Settings):
    """What the study is made from."""

    tables: tuple[PathText, ...] = Field(
        (),
        description="Long tables of the study that are there already, such as those of finished parts. Its claims, "
        "figures and answer are then made from these only, without training; an empty list takes the datasets of the "
        "run that have the option `distances`.",
    )


class FiguresSettings(Settings):
    """How figures look."""

    font_size: float = Field(9.0, gt=0, description="Size of the text, in points.")
    dots_per_inch: int = Field(150, ge=30, le=1200, description="Resolution of the PNG files.")


class Configuration(JobSettings):
    """Everything that a run is made of: the keys of `config.yaml` and of the files laid over it."""

    results_dir: PathText = Field(
        "results",
        description="Folder that everything a run makes is written to. As all paths of a configuration, in the folder "
        "that the run is started in, or absolute; `~` is the home folder.",
    )
    downloads_dir: PathText = Field(
        "downloads", description="Folder of downloaded files, as HOST/PATH; several results folders can share it."
    )
    mirror: HomePath | None = Field(
        None,
        description="Folder or http(s) address laid out as HOST/PATH that is tried instead of the internet; where it "
        "is null, the environment variable SPARSENODE_MIRROR is used, and without it the internet.",
    )
    seeds_per_job: int = Field(
        3,
        ge=1,
        description="How many seeds one training job holds at most, side by side with all strengths of the method. "
        "Seeds that are trained already with the same settings are not trained again, also where this "
        "number or `seeds` changes.",
    )
    checkpoint_seconds: float = Field(
        60.0,
        gt=0,
        description="Time between two checkpoints of a training job, below RESULTS_DIR/checkpoints. A job that was "
        "killed goes on from its last one when it is started again, and they are removed when it "
        "succeeds.",
    )
    run: RunSettings = Field(
        description="What is run. Each dataset is trained with each model whose `datasets` is null or names it, and "
        "with each method."
    )
    datasets: dict[Name, DatasetEntry] = Field(
        description="Named datasets; every variant of the data (scaling, transform, noise) is an entry with a name of "
        "its own."
    )
    models: dict[Name, ModelEntry | Literal["auto"]] = Field(
        description="Named models. `auto` in place of the settings of one chooses all of them from the data."
    )
    methods: dict[Name, MethodEntry] = Field(description="Named methods.")
    peers: dict[Name, PeerEntry] = Field(
        {},
        description="Named peers, other people's methods of network inference, which are beside the methods in the "
        "metrics.",
    )
    comparisons: dict[Name, ComparisonEntry] = Field(
        {},
        description="Named figures across datasets or methods, results/figures/comparisons/NAME: balanced accuracy, "
        "AUPRC, sparsity and test error over a quantity such as noise. Those whose datasets and methods "
        "are all of the run are drawn.",
    )
    study: StudySettings = Field(
        StudySettings(),
        description="The study, results/study: what sparsity does at levels of distance from the training data, over "
        "all datasets with the option `distances`.",
    )
    figures: FiguresSettings = Field(
        FiguresSettings(), description="How figures look; a change draws figures again and trains nothing."
    )


def configuration_schema() -> dict[str, Any]:
    """The JSON schema of the configuration, by which editors complete and check it."""
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": draft, "title": "Configuration of sparsenode", **settings_schema(Configuration)}


def write_schema(output: Path) -> None:
    """Write the JSON schema of the configuration to a file."""
    with write_atomically(output) as path:
        path.write_text(json.dumps(configuration_schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
