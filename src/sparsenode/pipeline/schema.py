"""The keys of the configuration: their types, bounds, defaults and descriptions, from which its JSON schema is made.

Light on purpose: the Snakefile reads the configuration again in every job.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from sparsenode.files import write_atomically
from sparsenode.labels import reserved_name
from sparsenode.settings import ModelSettings
from sparsenode.typed import (
    Contradiction,
    HomePath,
    Name,
    Names,
    PathText,
    Settings,
    SomeNames,
    describe_names,
    describe_unknown,
    settings_schema,
)

STRENGTH = 'a number that is finite and at least 0, in quotes, such as "1e-3"'
_UNQUOTED_STRENGTH = "without quotes, YAML reads some strengths as numbers and some as text"

Strength = Annotated[str, Field(json_schema_extra={"x-allowed": f"{STRENGTH} ({_UNQUOTED_STRENGTH})"})]
Level = Annotated[
    float | Literal["low", "high"], Field(json_schema_extra={"x-allowed": "a number in modeling units, low or high"})
]
"""What a variable is held at."""
Clamp = Annotated[
    dict[str, Level],
    Field(
        min_length=1,
        json_schema_extra={"x-allowed": "a mapping of one or more variables to values, such as {Gata1: 0}"},
    ),
]
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


class ValidationSettings(Settings):
    """What is held out of the training data."""

    by: Literal["trajectory", "time_blocks", "inner_blocks", "observation", "none-in-source"] = Field(
        "time_blocks",
        description="`trajectory` holds out whole trajectories, `time_blocks` the last share of each training "
        "trajectory, `inner_blocks` as much at a random place of each (where trajectories come to rest, "
        "their ends tell little), `observation` single observations drawn at random; `none-in-source` "
        "holds out nothing more than what the source itself has marked as validation data.",
    )
    share: float = Field(0.15, gt=0, lt=1, description="The share of the training data that is held out.")
    seed: int = Field(0, ge=0, description="Seed of the draw, where one is made.")


class InitialStateSettings(Settings):
    """The state that forecasts of a whole trajectory start from."""

    mean_of_first: int = Field(1, ge=1, description="How many of a trajectory's first observations are averaged.")
    known: int = Field(
        1,
        ge=1,
        description="How many of a trajectory's first observations a forecast is given, in place of their mean. It "
        "starts from the last of them, and what comes later is scored.",
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """A start that would be a mean, and the last of several observations."""
        if self.mean_of_first > 1 and self.known > 1:
            yield Contradiction(
                "", f"mean_of_first: {self.mean_of_first} and known: {self.known}", "one of them above 1"
            )


class RollingSettings(Settings):
    """Forecasts from within the trajectories."""

    past: float = Field(
        ge=0, description="What a forecast is given of the time before its start, in the dataset's unit of time."
    )
    horizon: float = Field(gt=0, description="How far it reaches, in the dataset's unit of time.")
    stride: float = Field(0.0, ge=0, description="Time from one start to the next; 0 starts from every observation.")


class EvaluationSettings(Settings):
    """How models are scored and chosen."""

    rolling: RollingSettings | None = Field(
        None,
        description="Forecasts from within the trajectories as well, each scored over its horizon; null for none. "
        "Strengths are then chosen by them.",
    )
    one_step: bool = Field(
        False,
        description="Forecasts from each observation to the next one of the same trajectory, split and phase as well, "
        "as others report them. No strength is chosen by them.",
    )
    least_feature_sparsity: float = Field(
        0.0,
        ge=0,
        le=1,
        description="The strength is chosen among those whose members leave at least this share of the pairs of "
        "variables unconnected (median over seeds); where none does, among those that leave most.",
    )
    interval_repeats: int | None = Field(
        None,
        ge=100,
        description="At the chosen strength, how much less the model errs than each trivial forecast, with a 95 % "
        "interval from so many bootstrap samples (better 1000 or more) of seeds and observations; null "
        "for none. For observations that are independent of each other, such as cells in pseudotime.",
    )


class ExpectedFates(Settings):
    """The fates that an intervention is expected to change."""

    lost: Names = Field((), description="Groups of trajectories that fewer forecasts end in.")
    gained: Names = Field((), description="Groups that, together, more forecasts end in.")


class InterventionsSettings(Settings):
    """Variables to hold in forecasts."""

    clamp: dict[Name, Clamp] = Field(
        {},
        description="Named interventions, such as `gata1_knockout: {Gata1: 0}`, each with the variables that it holds "
        "and their values in modeling units, or `low` or `high` for the least or the greatest in the "
        "training data.",
    )
    each: Literal["low", "high"] | None = Field(
        None, description="Holds every variable in turn as well, at `low` or `high`; null for none."
    )
    expected: dict[str, ExpectedFates] = Field(
        {},
        description="For interventions of `clamp`, by name, the fates that are known to be `lost` (the share of "
        "forecasts that end there falls, for each) or `gained` (it rises, for all of them together). Name "
        "both: a model that leads nowhere agrees with every loss.",
    )
    horizon: float = Field(
        1.0,
        gt=0,
        description="How far ahead forecasts of fates go, as a multiple of the length of the longest training "
        "trajectory. Beyond 1 models must stay where they have not been trained.",
    )
    starts: int = Field(
        5,
        ge=1,
        description="Fates are forecast from at most so many states of each training trajectory, spread evenly over "
        "the part in which it is nearer to the common start than to its own end.",
    )

    def contradictions(self) -> Iterator[Contradiction]:
        """Nothing to hold, and expectations of interventions that there are not."""
        if not self.clamp and self.each is None:
            yield Contradiction("", "neither clamp nor each", "null, or one of them")
        for name in self.expected:
            if name not in self.clamp:
                yield Contradiction(
                    "expected", describe_unknown(name, list(self.clamp)), describe_names(list(self.clamp))
                )
        for name in self.clamp:
            if (use := reserved_name("intervention", name)) is not None:
                yield Contradiction("clamp", f"the name {name!r}", f"another name, since {use}")


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


class DatasetEntry(SweptSettings):
    """An entry of `datasets`."""

    source: str = Field(
        description="Where the data come from, the name of a module of sparsenode/data (krumsiek11, second_order, "
        "hill, sim350, sim690, mocap, hematopoiesis, breast, yeast, single_cells, anndata)."
    )
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
    validation: ValidationSettings = Field(
        ValidationSettings(), description="What is held out of the training data to choose strengths on."
    )
    initial_state: InitialStateSettings = Field(
        InitialStateSettings(), description="The state that forecasts of a whole trajectory start from."
    )
    evaluation: EvaluationSettings = Field(
        EvaluationSettings(), description="How models are scored and chosen. A change trains nothing again."
    )
    interventions: InterventionsSettings | None = Field(
        None,
        description="Variables to hold (knock-out, over-expression) in forecasts at the chosen strength; null for "
        "none. They are compared with the true system where the source can be simulated again, else by "
        "the fates (groups of trajectories) that forecasts end in. A change trains nothing again.",
    )
    benchmark: str | None = Field(
        None,
        description="The published benchmark that these data repeat, whose published values are beside ours in the "
        "table and the figure of balanced accuracy (sim350 with noise 0.025, breast, yeast, hematopoiesis "
        "with only its erythroid lineage); null for none. A change trains nothing again.",
    )
    feature_weight: Literal["movement", "uniform"] = Field(
        "movement",
        description="`movement` weighs a feature's error by one over the feature's own movement, so that holding the "
        "state scores 1 in each; `uniform` is the plain mean squared error.",
    )
    figures: bool | None = Field(
        None,
        description="Whether the figures of the dataset are drawn without being asked for as targets; null for yes, "
        "and for no in a sweep.",
    )


class ModelEntry(ModelSettings, SweptSettings):
    """An entry of `models`: what is trained, on which datasets and with which methods."""

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


class MethodEntry(Settings):
    """An entry of `methods`."""

    regularizer: str | None = Field(
        None,
        description="The regularizer or pruner, the name of a module of sparsenode/methods (none, l1, cnode, l0, "
        "pathreg, grouplasso, lassonet, imp, dash); the entry's own name where it is null.",
    )
    strengths: tuple[Strength, ...] = Field(
        (),
        json_schema_extra={"x-allowed": 'a list of strengths in quotes, such as ["1e-3", "1e-2"]'},
        description='The strengths, in quotes ("1e-3"), since YAML reads some such numbers as text and some as '
        "numbers. `none` takes none.",
    )
    options: dict[str, Any] = Field(
        {}, description="Options of the regularizer, which `sparsenode options REGULARIZER` describes."
    )


class PeerEntry(Settings):
    """An entry of `peers`."""

    peer: str | None = Field(
        None,
        description="The peer, the name of a module of sparsenode/peers (correlation, extra_trees, sindy, lasso, "
        "lassonet); the entry's own name where it is null.",
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


class FiguresSettings(Settings):
    """How figures look."""

    font_size: float = Field(9.0, gt=0, description="Size of the text, in points.")
    dots_per_inch: int = Field(150, ge=30, le=1200, description="Resolution of the PNG files.")


class Configuration(Settings):
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
    seeds: int = Field(3, ge=1, description="How many seeds each strength is trained with; they are numbered from 0.")
    seeds_per_job: int = Field(
        3,
        ge=1,
        description="How many seeds one training job holds at most, side by side with all strengths of the method. "
        "Seeds that are trained already with the same settings are not trained again, also where this "
        "number or `seeds` changes.",
    )
    threads: int = Field(
        1,
        ge=1,
        description="Threads of one training job. On a workstation, one thread a job and many jobs is fastest for "
        "small models.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="Where training runs. `auto` takes and reserves a GPU for each job where the machine "
        "(`nvidia-smi`) or the partition has any, else CPUs; `cuda` takes one and fails without; `cpu` "
        "never does.",
    )
    memory_mb: int | None = Field(
        None,
        ge=500,
        description="Most memory of one training job, in MB: members that do not fit together are trained one part "
        "after another. null for what the machine or the GPU has.",
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
    models: dict[Name, ModelEntry] = Field(description="Named models.")
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
