"""Small made-up tables of the kind that evaluation writes."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from edge_tests import edge_test
from sparsenode.evaluation.edges import write_test
from sparsenode.evaluation.tables import join_tables, make_table
from sparsenode.figures import FIGURES

if TYPE_CHECKING:
    import anndata

STRENGTHS = {"none": [0.0], "l1": [0.0, 1e-3, 1e-2, 1e-1], "mine": [1e-3, 1e-1]}
DIVERGED = {("l1", 1e-1, 0), ("l1", 1e-1, 1)}


@cache
def make_metrics(models: tuple[str, ...] = ("small",)) -> pd.DataFrame:
    """Errors, sparsities and scores that grow with the strength."""
    tables = [
        make_table(
            method="baseline:training_mean", metric="mse", split=split, phase="fit", trajectory="all",
            horizon="trajectory", unit="mol", value=[0.5],
        )
        for split in ("train", "validation", "test")
    ]  # fmt: skip
    tables.append(make_table(method="baseline:random", metric="auprc", trajectory="all", value=[0.2]))
    for model in models:
        for method, strengths in STRENGTHS.items():
            for strength in strengths:
                for seed in range(3):
                    key = {"model": model, "method": method, "strength": strength, "seed": seed}
                    lost = (method, strength, seed) in DIVERGED
                    status = "diverged" if lost else "finished"
                    tables.append(make_table(**key, metric="seconds", value=[1.0], status=status))
                    if lost:
                        tables.append(make_table(**key, metric="mse", value=[np.nan], status="diverged"))
                        continue
                    tables += [
                        make_table(
                            **key, metric="mse", split=split, phase="fit", trajectory="all", horizon="trajectory",
                            unit="mol", value=[0.1 + strength + 0.01 * seed],
                        )
                        for split in ("train", "validation", "test")
                    ]  # fmt: skip
                    sparsity = {"trajectory": "all", "value": [min(1, 5 * strength)]}
                    tables.append(make_table(**key, metric="weight_sparsity", estimator="weights", **sparsity))
                    for estimator in ("paths", "relative"):
                        tables.append(make_table(**key, metric="feature_sparsity", estimator=estimator, **sparsity))
                    tables.append(
                        make_table(**key, metric="auprc", estimator="paths", trajectory="all", value=[0.4 + 0.1 * seed])
                    )
                pooled = {"model": model, "method": method, "strength": strength, "seed": -1, "trajectory": "all"}
                tables.append(make_table(**pooled, metric="auprc", estimator="paths", value=[0.9]))
            for estimator in ("paths", "relative"):
                tables.append(
                    make_table(
                        model=model, method=method, seed=0, metric="feature_sparsity", estimator=estimator,
                        trajectory="all", value=[0.05], status="untrained",
                    )
                )  # fmt: skip
    metrics = join_tables(tables)
    metrics["dataset"] = "toy"
    return metrics


@cache
def make_forecasts(models: tuple[str, ...] = ("small",)) -> pd.DataFrame:
    """Waves of three features in two trajectories, the first one with a later test part."""
    rows = []
    methods = [("", "baseline:zeros", [-1])] + [(model, method, range(3)) for model in models for method in STRENGTHS]
    for model, method, seeds in methods:
        for seed in seeds:
            for trajectory in ("first", "second"):
                for time in np.linspace(0, 5, 30):
                    for number, feature in enumerate("abc"):
                        observed = np.sin(time + number)
                        rows.append(
                            {
                                "dataset": "toy",
                                "model": model,
                                "method": method,
                                "strength": 0.01,
                                "seed": seed,
                                "protocol": "trajectory",
                                "trajectory": trajectory,
                                "group": trajectory,
                                "split": "test" if trajectory == "first" and time > 3 else "train",
                                "phase": "fit",
                                "start": 0.0,
                                "time": time,
                                "time_unit": "hour",
                                "value_unit": "mol",
                                "feature": feature,
                                "observed": observed,
                                "predicted": observed * (1 + 0.1 * seed),
                            }
                        )
    table = pd.DataFrame(rows)
    text = [name for name in table.columns if table[name].dtype == object]
    return table.astype(dict.fromkeys(text, "category"))


@pytest.fixture
def metrics() -> pd.DataFrame:
    """Metrics of one model."""
    return make_metrics().copy()


@pytest.fixture
def two_models() -> pd.DataFrame:
    """Metrics of two models."""
    return make_metrics(("small", "large")).copy()


@pytest.fixture
def forecasts() -> pd.DataFrame:
    """Forecasts of one model."""
    return make_forecasts().copy()


@pytest.fixture(scope="session")
def written_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tables of one data set."""
    folder = tmp_path_factory.mktemp("files")
    make_metrics().to_parquet(folder / "metrics.parquet", index=False)
    make_forecasts().to_parquet(folder / "forecasts.parquet", index=False)
    for method in STRENGTHS:
        choice = folder / "selection" / "small" / f"{method}.json"
        choice.parent.mkdir(parents=True, exist_ok=True)
        chosen = {"none": 0.0, "l1": 0.01, "mine": None}[method]
        choice.write_text(json.dumps({"chosen": chosen, "protocol": "trajectory"}))
    return folder


@pytest.fixture
def files(written_files: Path, tmp_path: Path) -> dict[str, Path]:
    """The tables of one data set, as files that a test may change."""
    shutil.copytree(written_files, tmp_path, dirs_exist_ok=True)
    return {name: tmp_path / f"{name}.parquet" for name in ("metrics", "forecasts")} | {
        "selection": tmp_path / "selection"
    }


PLACES = {
    "root": ("root", "middle"), "lowerback": ("trunk", "middle"), "upperback": ("trunk", "middle"),
    "thorax": ("trunk", "middle"), "lowerneck": ("head", "middle"), "upperneck": ("head", "middle"),
    "head": ("head", "middle"),
}  # fmt: skip
LIMBS = {"leg": ("femur", "tibia", "foot", "toes"), "arm": ("humerus", "radius", "wrist", "hand", "thumb")}
WALKING_MODELS = ("first_order", "second_order")
WALKING_CHOSEN = {"none": 0.0, "l1": 0.01, "pathreg": 0.1}


def place_of(joint: str) -> tuple[str, str]:
    """Part and side of the body of a joint."""
    if joint in PLACES:
        return PLACES[joint]
    side = {"l": "left", "r": "right"}[joint[0]]
    return next((f"{side} {limb}", side) for limb, joints in LIMBS.items() if joint[1:] in joints)


@dataclass(frozen=True)
class Trial:
    """Angles in degrees (frame, channel), 30 frames per second."""

    subject: str
    split: str
    degrees: np.ndarray


def make_walking(
    trials: dict[str, Trial], channels: list[str], skeletons: dict[str, object], constant: dict[str, dict[str, float]]
) -> anndata.AnnData:
    """Trajectories of joint angles in the form that the workflow stores; scaled by the training trials."""
    import anndata

    degrees = np.concatenate([trial.degrees for trial in trials.values()])
    training = np.concatenate([trial.degrees for trial in trials.values() if trial.split == "train"])
    offset, scale = training.mean(axis=0), training.std(axis=0) + 1.0
    lengths = [len(trial.degrees) for trial in trials.values()]
    obs = pd.DataFrame(
        {
            "trajectory": pd.Categorical(np.repeat(list(trials), lengths), categories=list(trials)),
            "time": np.concatenate([np.arange(length) / 30 for length in lengths]),
            "weight": 1.0,
        },
        index=[f"o{number}" for number in range(len(degrees))],
    )
    for name, values in {
        "group": [trial.subject for trial in trials.values()],
        "subject": [trial.subject for trial in trials.values()],
        "split": [trial.split for trial in trials.values()],
        "phase": ["fit"] * len(trials),
    }.items():
        obs[name] = pd.Categorical(np.repeat(values, lengths))
    adata = anndata.AnnData(((degrees - offset) / scale).astype(np.float32), obs=obs)
    adata.var_names = channels
    adata.var["weight"], adata.var["is_regulator"] = 1.0, True
    adata.var["joint"] = [name.split(".")[0] for name in channels]
    adata.var["degree_of_freedom"] = [name.split(".")[1] for name in channels]
    adata.var["body_part"], adata.var["side"] = zip(*(place_of(name) for name in adata.var["joint"]), strict=True)
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    states = pd.DataFrame(adata.X[starts], index=list(trials), columns=channels)
    adata.uns["sparsenode"] = {
        "contract_version": 1, "name": "mocap", "kind": "mocap", "time_unit": "second", "value_unit": "scaled",
        "initial_states": states, "initial_state_count": 1,
        "offset": np.tile(offset, (len(trials), 1)), "scale": np.tile(scale, (len(trials), 1)),
        "provenance": {"skeletons": json.dumps(skeletons), "constant_degrees": json.dumps(constant)},
    }  # fmt: skip
    return adata


@cache
def make_walking_metrics(subjects: tuple[str, ...] = ("35", "07"), *, seeds: int = 3) -> pd.DataFrame:
    """Errors that grow with the lead time, less with l1 than with other methods; constant velocity explodes."""
    leads = np.arange(1, 11) / 10
    trivial = {
        "baseline:initial_state": 12 * np.sqrt(leads), "baseline:constant_velocity": 30 * leads**2,
        "baseline:training_mean": 9 + 0 * leads, "baseline:last_cycle": 4 + 0 * leads,
    }  # fmt: skip
    curves = [("", method, np.nan, -1, curve) for method, curve in trivial.items()]
    tables = []
    for model in WALKING_MODELS:
        for method, strength in WALKING_CHOSEN.items():
            for seed in range(seeds):
                slope = {"none": 9.0, "l1": 6.0, "pathreg": 7.0}[method] - (model == "second_order")
                curves.append((model, method, strength, seed, (slope + 0.5 * seed) * leads**0.7))
                key = {"model": model, "method": method, "strength": strength, "seed": seed}
                tables.append(make_table(**key, metric="seconds", value=[1.0]))
                tables.append(
                    make_table(
                        **key, metric="mse", split="validation", phase="fit", trajectory="all", unit="scaled",
                        horizon="rolling", value=[slope],
                    )
                )  # fmt: skip
    for model, method, strength, seed, curve in curves:
        for split, names in (("test", ("all", *(f"subject {name}" for name in subjects))), ("validation", ("all",))):
            for name in names:
                error = (curve * (1.3 if name == "subject 07" else 1.0)) ** 2
                for metric, unit, factor in (("mse", "scaled", 0.01), ("mse_restored", "degree^2", 1.0)):
                    tables.append(
                        make_table(
                            model=model, method=method, strength=strength, seed=seed, metric=metric, unit=unit,
                            split=split, phase="fit", trajectory=name, value=factor * error,
                            horizon=[f"rolling@{lead:g}" for lead in leads],
                        )
                    )  # fmt: skip
    metrics = join_tables(tables)
    metrics["dataset"] = "mocap"
    return metrics


def make_walking_forecasts(adata: anndata.AnnData, *, seeds: int = 3, span: float = 1.0) -> pd.DataFrame:
    """Forecasts that lag more the later they are; rolling ones from three starts of each test trial."""
    tables = []
    subjects = adata.obs["subject"].astype(str)
    for name in adata.obs["trajectory"].cat.categories:
        mine = (adata.obs["trajectory"] == name).to_numpy() & (adata.obs["split"] == "test").to_numpy()
        if not mine.any():
            continue
        time, values = adata.obs["time"].to_numpy()[mine], adata.X[mine].astype(np.float64)
        last = time[-1]
        starts = [("trajectory", 0.0, np.arange(0, len(time), 2))]
        starts += [
            ("rolling", start, np.flatnonzero((time > start + 1e-9) & (time < start + span + 1e-9)))
            for start in (0.0, 0.1, 0.2)
        ]
        for model in WALKING_MODELS:
            for method, strength in WALKING_CHOSEN.items():
                for seed in range(seeds):
                    for protocol, start, at in starts:
                        slow = 0.93 if model == "second_order" else 0.85
                        lagged = np.clip(start + (time[at] - start) * slow + 0.01 * (seed - 1), 0, last)
                        predicted = np.array([np.interp(lagged, time, column) for column in values.T]).T
                        count = len(at)
                        tables.append(
                            pd.DataFrame(
                                {
                                    "dataset": "mocap", "model": model, "method": method, "strength": strength,
                                    "seed": seed, "protocol": protocol, "trajectory": name,
                                    "group": subjects[mine].iloc[0], "split": "test", "phase": "fit", "start": start,
                                    "time": np.repeat(time[at], adata.n_vars), "time_unit": "second",
                                    "value_unit": "scaled", "feature": list(adata.var_names) * count,
                                    "observed": values[at].ravel(), "predicted": predicted.ravel(),
                                }
                            )
                        )  # fmt: skip
    table = pd.concat(tables, ignore_index=True)
    text = [name for name in table.columns if table[name].dtype == object]
    return table.astype(dict.fromkeys(text, "category"))


def write_walking_selection(folder: Path) -> None:
    """A chosen strength for each method of each model."""
    for model in WALKING_MODELS:
        for method, chosen in WALKING_CHOSEN.items():
            path = folder / model / f"{method}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"chosen": chosen, "protocol": "rolling"}))


WALKING_CHANNELS = [
    "root.rx", "root.ry", "head.rx", "rfemur.rx", "rfemur.rz", "rtibia.rx", "lowerback.rx", "lfemur.rx", "lfemur.rz",
    "ltibia.rx", "rhumerus.rx", "lhumerus.rx",
]  # fmt: skip
WALKING_TRIALS = {
    "35_01": ("35", "train"), "35_28": ("35", "validation"), "35_30": ("35", "test"), "35_31": ("35", "test"),
    "07_01": ("07", "test"),
}  # fmt: skip


def swing(number: int, frames: int = 40) -> np.ndarray:
    """Angles in degrees (frame, channel) of legs and arms that swing, left against right, in planes along the walk."""
    wave = np.sin(2 * np.pi * (np.arange(frames) / 30 + 0.1 * number))
    sizes = {
        "rfemur.rx": -25,
        "lfemur.rx": 25,
        "rtibia.rx": 20,
        "ltibia.rx": -20,
        "rhumerus.rx": 20,
        "lhumerus.rx": -20,
    }
    return np.stack([sizes.get(name, 0.0) * wave for name in WALKING_CHANNELS], axis=1)


WALKING_BONES = {
    "lhipjoint": ("root", (0.1, 0, 0), ""), "rhipjoint": ("root", (-0.1, 0, 0), ""),
    "lfemur": ("lhipjoint", (0, -0.4, 0), "rx rz"), "rfemur": ("rhipjoint", (0, -0.4, 0), "rx rz"),
    "ltibia": ("lfemur", (0, -0.4, 0), "rx"), "rtibia": ("rfemur", (0, -0.4, 0), "rx"),
    "lfoot": ("ltibia", (0, 0, 0.2), "rx"), "rfoot": ("rtibia", (0, 0, 0.2), "rx"),
    "lowerback": ("root", (0, 0.5, 0), "rx"), "head": ("lowerback", (0, 0.3, 0), "rx"),
    "lhumerus": ("lowerback", (0.1, -0.5, 0), "rx"), "rhumerus": ("lowerback", (-0.1, -0.5, 0), "rx"),
}  # fmt: skip


def walking_skeleton() -> object:
    """A person of 1.6 m whose unit of length is the meter, as JSON."""
    from sparsenode.data.motion.acclaim import Bone, Skeleton, skeleton_to_json

    bones = []
    for name, (parent, way, freedoms) in WALKING_BONES.items():
        length = float(np.linalg.norm(way))
        limits = ((-180.0, 180.0),) * len(freedoms.split())
        x, y, z = (part / length for part in way)
        bones.append(Bone(name, (x, y, z), length, (0.0, 0.0, 0.0), "XYZ", tuple(freedoms.split()), limits, parent))
    order = ("tx", "ty", "tz", "rx", "ry", "rz")
    nothing = (0.0, 0.0, 0.0)
    skeleton = Skeleton("toy", 0.0254, 1.0, "deg", order, "XYZ", nothing, nothing, tuple(bones))
    return json.loads(skeleton_to_json(skeleton))


@pytest.fixture(scope="session")
def walking_source() -> anndata.AnnData:
    """Trials of two persons, one of them trained on."""
    trials = {
        name: Trial(subject, split, swing(number))
        for number, (name, (subject, split)) in enumerate(WALKING_TRIALS.items())
    }
    skeletons = {subject: walking_skeleton() for subject in ("35", "07")}
    return make_walking(trials, WALKING_CHANNELS, skeletons, {"35": {"lfoot.rx": 90.0}})


@pytest.fixture
def walking(walking_source: anndata.AnnData) -> anndata.AnnData:
    """The same, to be changed at will."""
    return walking_source.copy()


@pytest.fixture
def walking_metrics() -> pd.DataFrame:
    """Metrics of rolling forecasts of two models."""
    return make_walking_metrics().copy()


@pytest.fixture(scope="session")
def walking_files(walking_source: anndata.AnnData, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the workflow has made of the trials, as files."""
    from sparsenode.data.contract import write_trajectories

    folder = tmp_path_factory.mktemp("walking")
    files = {name: folder / f"{name}.parquet" for name in ("metrics", "forecasts")}
    files |= {"data": folder / "data.h5ad", "selection": folder / "selection", "networks": folder / "networks"}
    make_walking_metrics().to_parquet(files["metrics"], index=False)
    make_walking_forecasts(walking_source).to_parquet(files["forecasts"], index=False)
    write_trajectories(walking_source, files["data"])
    write_walking_selection(files["selection"])
    for model in WALKING_MODELS:
        for method in WALKING_CHOSEN:
            path = files["networks"] / model / f"{method}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("source,target,weight,share,sign,selection_frequency\nlfemur.rx,rfemur.rx,2.0,1.0,-1,1.0\n")
    return files


CELL_CHOSEN = {"none": 0.0, "l1": 0.1, "pathreg": 1.0}
CELL_GENES = ("GATA1", "HBB", "SPI1", "CD14", "ACTB")


def make_cells(*, cells: int = 60) -> anndata.AnnData:
    """Two lineages of a training and a test donor that share their first cells; a diffusion map and a prior network."""
    import anndata

    generator = np.random.default_rng(0)
    parts, places, names, times = [], [], [], []
    rising = {"erythroid": (0, 1), "monocyte": (2, 3)}
    for donor in ("s1", "s2"):
        stem = generator.random((5, len(CELL_GENES))) * 0.1
        for number, (lineage, genes) in enumerate(rising.items()):
            time = np.linspace(0.0, 1.0, cells)
            values = 0.2 + 0.05 * generator.standard_normal((cells, len(CELL_GENES)))
            values[:, list(genes)] += time[:, None] * (1.0 + np.arange(2))
            place = np.stack((time, (2 * number - 1) * time), axis=1)
            values[:5], place[:5] = stem, np.stack((np.arange(5) / 100, np.zeros(5)), axis=1)
            parts.append(values)
            places.append(place)
            names.append((f"{donor} {lineage}", donor, lineage, "train" if donor == "s1" else "test"))
            times.append(time)
    labels = {
        column: pd.Categorical(np.repeat([name[place] for name in names], cells),
                               categories=list(dict.fromkeys(name[place] for name in names)))
        for place, column in enumerate(("trajectory", "subject", "group", "split"))
    }  # fmt: skip
    obs = pd.DataFrame(
        {**labels, "phase": pd.Categorical(["fit"] * len(names) * cells), "time": np.concatenate(times), "weight": 1.0},
        index=[f"c{number}" for number in range(len(names) * cells)],
    )
    adata = anndata.AnnData(np.concatenate(parts).astype(np.float32), obs=obs)
    adata.var_names = list(CELL_GENES)
    adata.var["weight"], adata.var["is_regulator"] = 1.0, [True, False, True, False, False]
    adata.obsm["X_diffmap"] = np.concatenate(places).astype(np.float32)
    prior = np.zeros((5, 5))
    prior[0, 1] = 1.0
    adata.varp["prior_erythroid"] = prior
    count = len(names)
    states = pd.DataFrame(adata.X[::cells], index=[name[0] for name in names], columns=list(CELL_GENES))
    adata.uns["sparsenode"] = {
        "contract_version": 1, "name": "cells", "kind": "measured", "time_unit": "pseudotime (0 to 1)",
        "value_unit": "scaled log expression", "transform": "log1p", "initial_states": states, "initial_state_count": 1,
        "offset": np.ones((count, 5)), "scale": np.full((count, 5), 2.0),
    }  # fmt: skip
    return adata


def make_cell_metrics() -> pd.DataFrame:
    """Validation errors at the chosen strengths: least without a regularizer, then l1."""
    tables = []
    for (method, strength), error in zip(CELL_CHOSEN.items(), (0.1, 0.2, 0.3), strict=True):
        for seed in range(2):
            key = {"model": "cells", "method": method, "strength": strength, "seed": seed, "dataset": "cells"}
            tables.append(make_table(**key, metric="seconds", value=[1.0]))
            told = {"split": "validation", "phase": "fit", "trajectory": "all", "horizon": "trajectory"}
            tables.append(make_table(**key, **told, metric="mse", unit="scaled", value=[error]))
    return join_tables(tables)


def make_cell_forecasts(adata: anndata.AnnData) -> pd.DataFrame:
    """Forecasts of all genes that are what was observed, and a little more for each seed."""
    columns = adata.obs[["trajectory", "group", "split", "phase", "time"]].astype({"time": float})
    tables = []
    for method, strength in CELL_CHOSEN.items():
        for seed in range(2):
            for number, gene in enumerate(adata.var_names):
                values = np.asarray(adata.X[:, number], np.float64)
                tables.append(
                    columns.assign(
                        dataset="cells", model="cells", method=method, strength=strength, seed=seed,
                        protocol="trajectory", start=0.0, time_unit="pseudotime (0 to 1)", value_unit="scaled",
                        feature=gene, observed=values, predicted=values + 0.01 * seed,
                    )
                )  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def make_influences() -> pd.DataFrame:
    """Influences of two regulators in each lineage."""
    rows = [
        ("erythroid", "GATA1", "HBB", 2.0), ("erythroid", "GATA1", "CD14", -1.0), ("erythroid", "SPI1", "HBB", -0.5),
        ("monocyte", "SPI1", "CD14", 3.0), ("monocyte", "GATA1", "ACTB", 0.1),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["group", "source", "target", "value"])
    table["group"] = pd.Categorical(table["group"], categories=["erythroid", "monocyte"])
    return table.astype({"source": "category", "target": "category", "value": np.float32})


@pytest.fixture
def cells() -> anndata.AnnData:
    """Cells of two donors along two lineages."""
    return make_cells()


@pytest.fixture
def influences() -> pd.DataFrame:
    """Influences of regulators in two lineages."""
    return make_influences()


@pytest.fixture
def cell_files(written_cell_files: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """What the workflow has made of the cells, as files that a test may change."""
    shutil.copytree(written_cell_files["data"].parent, tmp_path, dirs_exist_ok=True)
    return {name: tmp_path / path.name for name, path in written_cell_files.items()}


@pytest.fixture(scope="session")
def written_cell_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the workflow has made of the cells, as files."""
    from sparsenode.data.contract import write_trajectories

    adata, folder = make_cells(), tmp_path_factory.mktemp("cells")
    files = {name: folder / f"{name}.parquet" for name in ("metrics", "forecasts")}
    files |= {"data": folder / "data.h5ad", "selection": folder / "selection", "networks": folder / "networks"}
    write_trajectories(adata, files["data"])
    make_cell_metrics().to_parquet(files["metrics"], index=False)
    make_cell_forecasts(adata).to_parquet(files["forecasts"], index=False)
    for method, chosen in CELL_CHOSEN.items():
        path = files["selection"] / "cells" / f"{method}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"chosen": chosen, "protocol": "trajectory"}))
        table = files["networks"] / "cells" / f"{method}.groups.parquet"
        table.parent.mkdir(parents=True, exist_ok=True)
        make_influences().to_parquet(table, index=False)
    return files


GENES = ("Gata2", "Gata1", "Fog1", "EKLF", "Fli1", "SCL", "Cebpa", "Pu.1", "cJun", "EgrNab", "Gfi1")
GENE_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
GENE_CHOSEN = {"none": 0.0, "l1": 0.1, "pathreg": 0.1}
GENE_SIGNAL = {"none": 0.0, "l1": 1.0, "pathreg": 3.0}
GENE_PEERS = {"peer:correlation": 0.2, "peer:sindy": 1.0}


@dataclass(frozen=True)
class Learned:
    """Members of one method: paths (member, source, target) and the strength of each member."""

    paths: np.ndarray
    strengths: np.ndarray


def make_truth() -> np.ndarray:
    """Signed network (source, target) of 26 edges without self-loops; every gene has a target."""
    truth = np.zeros((len(GENES), len(GENES)))
    for source in range(len(GENES)):
        for number, step in enumerate((1, 3, 6)[: 3 if source < 4 else 2]):
            truth[source, (source + step) % len(GENES)] = -1.0 if (source + number) % 3 == 0 else 1.0
    return truth


def make_genes() -> anndata.AnnData:
    """Courses of genes in two trajectories, with the true network between them."""
    import anndata

    times = np.linspace(0.0, 1.0, 6)
    values = np.stack(
        [np.concatenate((np.sin(times + number), np.cos(times + number))) for number in range(11)], axis=1
    )
    obs = pd.DataFrame({"time": np.tile(times, 2), "weight": 1.0}, index=[f"o{number}" for number in range(12)])
    labels = {"trajectory": ("a", "b"), "group": ("a", "b"), "subject": ("a", "b"), "split": ("train", "test")}
    for column, names in labels.items():
        obs[column] = pd.Categorical(np.repeat(names, 6), categories=names)
    obs["phase"] = pd.Categorical(["fit"] * 12)
    adata = anndata.AnnData(values.astype(np.float32), obs=obs)
    adata.var_names = list(GENES)
    adata.var["weight"], adata.var["is_regulator"] = 1.0, True
    adata.varp["truth"] = make_truth()
    adata.varp["truth_known"] = ~np.eye(len(GENES), dtype=bool)
    states = pd.DataFrame(adata.X[[0, 6]], index=["a", "b"], columns=list(GENES))
    adata.uns["sparsenode"] = {
        "contract_version": 1, "name": "genes", "kind": "simulated", "time_unit": "hour", "value_unit": "activity",
        "initial_states": states, "initial_state_count": 1,
    }  # fmt: skip
    return adata


def make_learned(method: str, *, seeds: int = 8) -> Learned:
    """Members that tell edges from other pairs the better, the larger their method's signal; sparser by strength."""
    generator = np.random.default_rng(len(method))
    sizes = GENE_SIGNAL[method] * (make_truth() != 0) + generator.standard_normal((len(GENES), len(GENES)))
    strengths = (0.0,) if method == "none" else GENE_STRENGTHS
    levels = [-9.0 if strength == 0 else 1.5 + np.log10(strength) for strength in strengths]
    noise = 0.5 * generator.standard_normal((len(strengths), seeds, *sizes.shape))
    paths = np.array(
        [np.where(sizes + one > level, np.exp(sizes), 0.0) for one, level in zip(noise, levels, strict=True)]
    )
    return Learned(paths.reshape(-1, *sizes.shape), np.repeat(strengths, seeds))


@cache
def make_gene_metrics() -> pd.DataFrame:
    """One row for each member, all of which finished."""
    tables = []
    for method in GENE_CHOSEN:
        strengths = make_learned(method).strengths
        for strength in np.unique(strengths):
            seeds = np.arange(int((strengths == strength).sum()))
            tables.append(
                make_table(
                    dataset="genes", model="windows", method=method, strength=strength, seed=seeds, metric="seconds",
                    value=np.ones(len(seeds)), trajectory="all",
                )
            )  # fmt: skip
    return join_tables(tables)


@cache
def make_rankings() -> pd.DataFrame:
    """Scores of all pairs by method and estimator, and by peer."""
    from sparsenode.evaluation import networks

    truth = make_truth()
    signs = np.where(truth != 0, truth, 1.0)
    tables = []
    for method, chosen in GENE_CHOSEN.items():
        members = make_learned(method)
        paths = members.paths[members.strengths == chosen]
        estimators = {"paths": paths.mean(axis=0), "jacobian": paths.max(axis=0), "frequency": (paths > 0).mean(axis=0)}
        scores = {name: (matrix, signs) for name, matrix in estimators.items()}
        tables.append(
            networks.ranking_table(
                scores, GENES, (truth != 0, ~np.eye(len(GENES), dtype=bool)), model="windows", method=method
            )
        )
    generator = np.random.default_rng(0)
    for peer, signal in GENE_PEERS.items():
        matrix = np.exp(signal * (truth != 0) + generator.standard_normal(truth.shape))
        scores = {"peer": (matrix, np.zeros_like(truth))}
        tables.append(
            networks.ranking_table(scores, GENES, (truth != 0, ~np.eye(len(GENES), dtype=bool)), model="", method=peer)
        )
    return networks.join_rankings(tables)


@pytest.fixture
def rankings() -> pd.DataFrame:
    """Rankings of methods and peers against the true network."""
    return make_rankings().copy()


@pytest.fixture
def genes() -> anndata.AnnData:
    """Courses of genes with a true network."""
    return make_genes()


@pytest.fixture
def gene_metrics() -> pd.DataFrame:
    """Which members of which method finished."""
    return make_gene_metrics().copy()


@pytest.fixture(scope="session")
def gene_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the workflow has made of the genes, as files."""
    from sparsenode.data.contract import write_trajectories
    from sparsenode.evaluation import networks

    folder = tmp_path_factory.mktemp("genes")
    files = {"metrics": folder / "metrics.parquet", "data": folder / "data.h5ad"}
    files |= {name: folder / name for name in ("selection", "networks")}
    make_gene_metrics().to_parquet(files["metrics"], index=False)
    write_trajectories(make_genes(), files["data"])
    signs = np.where(make_truth() != 0, make_truth(), 1.0)
    for method, chosen in GENE_CHOSEN.items():
        path = files["selection"] / "windows" / f"{method}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"chosen": chosen, "protocol": "trajectory"}))
        members = make_learned(method)
        paths = members.paths[members.strengths == chosen]
        table = networks.network_table(paths, np.broadcast_to(signs, paths.shape), GENES)
        networks.write_network(table, files["networks"] / "windows" / f"{method}.csv")
        stability = networks.stability_table(members.paths, members.strengths, GENES)
        networks.write_stability(stability, files["networks"], "windows", method)
    networks.write_rankings([make_rankings()], files["networks"])
    return files


WORLD_OF_NEED = {"rolling": "walking_files", "body": "walking_files", "cells": "cell_files", "map": "cell_files"}


@pytest.fixture
def world(figure: str, request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Path]:
    """The tables of a dataset that has the `figure` of a test, as files."""
    needs, inputs = FIGURES[figure].needs, FIGURES[figure].inputs
    if needs == "interventions":
        files = request.getfixturevalue("files")
        return {**files, "interventions": write_fates(tmp_path / "interventions.parquet", "a fate")}
    if needs == "edges":
        names = [f"gene{number}" for number in range(12)]
        test = edge_test(names, list(itertools.pairwise(names)))
        test.table.loc[20:25, "verdict"] = "cannot be told"
        write_test(test, names, tmp_path / "edges")
        return {"edges": tmp_path / "edges"}
    name = WORLD_OF_NEED.get(needs, "gene_files" if "networks" in inputs else "files")
    files = dict(request.getfixturevalue(name))
    if name == "gene_files":
        files["metrics"] = write_scored(files["metrics"], tmp_path / "scored.parquet")
    return files


def write_scored(metrics: Path, path: Path) -> Path:
    """Metrics with a sparsity and an accuracy of each member."""
    table = pd.read_parquet(metrics)
    members = table[table["metric"] == "seconds"]
    scores = [
        members.assign(metric=metric, estimator="paths", value=np.linspace(0.5, 0.97, len(members)))
        for metric in ("known_sparsity", "balanced_accuracy")
    ]
    pd.concat([table, *scores]).to_parquet(path, index=False)
    return path


def write_fates(path: Path, name: str) -> Path:
    """Shares of three fates under two interventions, for two models of two methods."""
    tables = []
    for model in ("small", "a_model_whose_name_is_long"):
        for method in ("none", "pathreg"):
            for held in ("none", f"{name.replace(' ', '_')}_knockout"):
                for fate in ("none", f"{name} on the left", f"{name} on the right"):
                    key = {"dataset": "held", "model": model, "method": method, "strength": 0.1, "seed": -1}
                    tables.append(
                        make_table(**key, metric="fate_share", trajectory=held, reference=fate, value=[1 / 3])
                    )  # fmt: skip
    join_tables(tables).to_parquet(path, index=False)
    return path
