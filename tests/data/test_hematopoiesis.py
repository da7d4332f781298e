import gzip
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from sparsenode.data.contract import read_trajectories, trajectory_slices
from sparsenode.data.downloads import RemoteFile
from sparsenode.data.preprocess import preprocess_dataset
from sparsenode.data.sources import make_source
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError

GENES = ("GATA1", "SPI1", "CONSTANT", "AHSP")
STUDY = {
    "source": "hematopoiesis",
    "validation": {"by": "observation", "share": 0.1, "seed": 0},
    "initial_state": {"mean_of_first": 5},
    "feature_weight": "uniform",
}
# donor: cells used; initial state held, training mean, zeros, line in time, own cubic. Published with the study's
# protocol; sums over the three lineages of the mean squared error.
BASELINES = {
    "s1d2": ((280, 824, 168), (0.04797, 0.03584, 0.04268, 0.03372, 0.03255)),
    "s2d1": ((687, 1441, 391), (0.04123, 0.02725, 0.03164, 0.02790, 0.02458)),
    "s3d6": ((160, 315, 48), (0.07699, 0.06273, 0.07169, 0.06190, 0.05159)),
    "s1d1": ((1197, 998, 482), (0.04048, 0.02696, 0.03099, 0.02701, 0.02391)),
}


def load(options: dict, files: dict[str, Path]) -> RawTrajectories:
    return make_source("hematopoiesis", options).load(files)


def required_files(options: dict) -> list[RemoteFile]:
    return make_source("hematopoiesis", options).required_files()


@pytest.fixture(scope="module")
def study(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> AnnData:
    path = tmp_path_factory.mktemp("study") / "hematopoiesis_study.h5ad"
    preprocess_dataset("hematopoiesis_study", STUDY, mirror, path)
    return read_trajectories(path)


def polynomial(times: np.ndarray, degree: int) -> np.ndarray:
    return np.vander(times, degree + 1)


@pytest.mark.slow(reason="reads, simulates or preprocesses whole datasets")
@pytest.mark.parametrize("donor", list(BASELINES))
def test_trivial_forecasts_of_the_study(study: AnnData, donor: str) -> None:
    rows = trajectory_slices(study)
    values, times = study.X.astype(np.float64), study.obs["time"].to_numpy()
    cells, sums = [], np.zeros(5)
    for lineage in ("erythroid", "monocyte", "B"):
        own, training = rows[f"{donor} {lineage}"], rows[f"s1d2 {lineage}"]
        x = values[own]
        line = np.linalg.lstsq(polynomial(times[training], 1), values[training])[0]
        cubic = np.linalg.lstsq(polynomial(times[own], 3), x)[0]
        forecasts = (
            study.uns["sparsenode"]["initial_states"].loc[f"{donor} {lineage}"].to_numpy(),
            values[training].mean(axis=0),
            np.zeros(x.shape[1]),
            polynomial(times[own], 1) @ line,
            polynomial(times[own], 3) @ cubic,
        )
        cells.append(len(x))
        sums += [((x - forecast) ** 2).mean() for forecast in forecasts]
    assert tuple(cells) == BASELINES[donor][0]
    assert tuple(np.round(sums, 5)) == BASELINES[donor][1]


@pytest.mark.slow(reason="preprocesses the published cells")
def test_what_the_study_file_says(study: AnnData) -> None:
    assert study.shape == (6991, 529)
    assert set(study.obs["split"][study.obs["subject"] == "s1d2"]) == {"train", "validation"}
    assert set(study.obs["split"][study.obs["subject"] != "s1d2"]) == {"test"}
    assert list(study.obs["group"].cat.categories) == ["erythroid", "monocyte", "B"]
    assert study.X.min() == 0
    assert study.X.max() == 1
    for rows in trajectory_slices(study).values():
        assert study.obs["time"].iloc[rows].iloc[[0, -1]].tolist() == [0, 1]
    assert len(study.uns["sparsenode"]["source_files"]) == 12 + 1 + 11  # cells, base network, cell types


@pytest.mark.slow(reason="preprocesses the published cells")
def test_regulators_and_prior_of_the_base_network(study: AnnData) -> None:
    prior = study.varp["prior_base"].toarray()
    assert set(np.unique(prior)) == {0, 1}
    regulators = study.var["is_regulator"].to_numpy()
    assert not prior[~regulators].any()
    assert study.var["is_regulator"]["GATA1"]
    assert not study.var["is_regulator"]["AHSP"]


@pytest.mark.slow(reason="preprocesses the published cells")
def test_known_pairs_of_the_networks_and_their_density(study: AnnData) -> None:
    facts = study.uns["sparsenode"]["provenance"]["networks"]
    assert set(facts) == {"base", "erythroid", "monocyte", "B"}
    for name, about in facts.items():
        edges, known = (study.varp[f"{kind}_{name}"].toarray().astype(bool) for kind in ("prior", "known"))
        assert not (edges & ~known).any()
        assert about["density"] == edges.sum() / known.sum()
        assert (about["edges"], about["known_pairs"]) == (edges.sum(), known.sum())
    assert facts["base"]["density"] == pytest.approx(0.55, abs=5e-4)


@pytest.mark.slow(reason="preprocesses the published cells")
def test_the_map_of_a_donor_follows_the_lineages(study: AnnData) -> None:
    coordinates, times = study.obsm["X_diffmap"], study.obs["time"].to_numpy()
    assert coordinates.shape == (study.n_obs, 2)
    for donor in BASELINES:
        rows = trajectory_slices(study)[f"{donor} erythroid"]
        assert spearmanr(coordinates[rows, 0], times[rows]).statistic > 0.7  # from the early cells on
        others = [trajectory_slices(study)[f"{donor} {lineage}"] for lineage in ("monocyte", "B")]
        assert all(coordinates[rows, 0].max() > coordinates[other, 0].max() for other in others)


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_cells_of_several_lineages_lie_at_one_place(mirror: Path) -> None:
    changes = {"donors": {"train": ["s3d6"], "test": []}, "networks": {}, "drop_first": 0, "drop_last": 0}
    options = make_source("hematopoiesis", {**changes, "scaling": "training_range"}).options
    files = {file.relative_path: mirror / file.relative_path for file in required_files(options)}
    places: dict[bytes, set[tuple[float, ...]]] = {}
    count = 0
    for part in load(options, files).trajectories:
        for values, place in zip(part.values, part.embeddings["diffmap"], strict=True):
            places.setdefault(values.tobytes(), set()).add(tuple(place))
            count += 1
    assert len(places) < count
    assert all(len(found) == 1 for found in places.values())


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_one_scale_from_training_leads_back_to_the_logarithm(mirror: Path) -> None:
    options = make_source(
        "hematopoiesis",
        {
            "donors": {"train": ["s1d2"], "test": ["s3d6"]},
            "lineages": ["B"],
            "transform": "log1p",
            "scaling": "training_range",
            "embedding": "none",
        },
    ).options
    files = {file.relative_path: mirror / file.relative_path for file in required_files(options)}
    train, test = load(options, files).trajectories
    np.testing.assert_array_equal(train.scale, test.scale)
    table = np.loadtxt(files[required_files(options)[1].relative_path], delimiter="\t", skiprows=1)
    expected = np.log1p(table[np.argsort(table[:, 0]), 1:])[10:-20]
    np.testing.assert_allclose(test.offset + test.scale * test.values, expected, atol=1e-12)
    assert test.values.max() > 1  # a test donor is not clipped


# Small tables from here on.


def random_cells(seed: int, count: int = 40) -> np.ndarray:
    generator = np.random.default_rng(seed)
    times = generator.permutation(count) / count + 0.01
    values = generator.gamma(1.0, 1.0, (count, len(GENES)))
    values[:, 2] = 0.5
    return np.column_stack([times, values])


Writer = Callable[..., Mapping[str, Path]]


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Writer:
    def write_files(options: dict, changes: Mapping[str, np.ndarray] | None = None) -> Mapping[str, Path]:
        folder = tmp_path_factory.mktemp("cells")
        files = {file.relative_path: folder / Path(file.relative_path).name for file in required_files(options)}
        for index, path in enumerate(files.values()):
            if path.suffix == ".gz":
                lines = ["TF.human,SPI1,GATA1,OTHER", "SPI1,0.0,1.0,1.0", "OTHER,1.0,1.0,0.0", "GATA1,1.0,0.0,0.0"]
                path.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n"))
                continue
            cells = (changes or {}).get(path.name, random_cells(index))
            np.savetxt(path, cells, "%.17g", "\t", header="\t".join(["dpt_pseudotime", *GENES]), comments="")
        return files

    return write_files


def small(**changes: object) -> dict:
    donors = {"train": ["s1d2"], "test": ["s2d1"]}
    return make_source(
        "hematopoiesis", {"donors": donors, "lineages": ["B"], "networks": {}, "embedding": "none", **changes}
    ).options


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000))
def test_the_order_of_the_cells_in_the_file_does_not_matter(write: Writer, seed: int) -> None:
    cells = random_cells(3)
    shuffled = np.random.default_rng(seed).permutation(cells)
    one, other = (
        load(small(), write(small(), {"B_12_norm.csv": table})).trajectories[0] for table in (cells, shuffled)
    )
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.times, other.times)


def test_steps_of_the_study_by_hand(write: Writer) -> None:
    cells = random_cells(5)
    raw = load(small(), write(small(), {"B_12_norm.csv": cells}))
    kept = cells[np.argsort(cells[:, 0])][10:-20]
    part = raw.trajectories[0]
    assert (part.name, part.group, part.subject, part.splits[0]) == ("s1d2 B", "B", "s1d2", "train")
    np.testing.assert_allclose(part.times, (kept[:, 0] - kept[0, 0]) / np.ptp(kept[:, 0]))
    gene = kept[:, 1]
    np.testing.assert_allclose(part.values[:, 0], (gene - gene.min()) / np.ptp(gene))
    assert not part.values[:, 2].any()  # a constant gene is 0
    np.testing.assert_allclose(part.offset + part.scale * part.values, kept[:, 1:])


@pytest.mark.parametrize("scaling", ["training_range", "per_trajectory"])
def test_test_donors_do_not_touch_training_data(write: Writer, scaling: str) -> None:
    options = small(scaling=scaling, constant_genes="drop")
    changed = random_cells(9) * 100
    raw, other = (load(options, write(options, change)) for change in ({}, {"B_21_norm.csv": changed}))
    assert raw.features == other.features == ("GATA1", "SPI1", "AHSP")
    np.testing.assert_array_equal(raw.trajectories[0].values, other.trajectories[0].values)
    np.testing.assert_array_equal(raw.trajectories[0].scale, other.trajectories[0].scale)


def test_the_map_does_not_depend_on_the_order_of_the_cells(write: Writer) -> None:
    options = small(embedding="diffmap")
    cells = random_cells(3)
    shuffled = np.random.default_rng(0).permutation(cells)
    one, other = (
        load(options, write(options, {"B_12_norm.csv": table})).trajectories[0] for table in (cells, shuffled)
    )
    np.testing.assert_array_equal(one.embeddings["diffmap"], other.embeddings["diffmap"])
    assert np.ptp(one.embeddings["diffmap"], axis=0).min() > 0
    assert not load(small(), write(small())).trajectories[0].embeddings


def test_cells_that_no_map_connects(write: Writer) -> None:
    options = small(embedding="diffmap")
    near, far = random_cells(1), random_cells(2)
    far[:, 0] += 2
    far[:, 1:] += 1e6
    with pytest.raises(UserError, match=r"donor s1d2: .* falls into 2 parts .*; or do without .* `embedding: none`"):
        load(options, write(options, {"B_12_norm.csv": np.vstack([near, far])}))


def test_averages_of_training_cells_alone(write: Writer) -> None:
    options = small(average={"by": "pseudotime", "cells": 3}, drop_first=0, drop_last=0)
    raw = load(options, write(options))
    assert [len(part.times) for part in raw.trajectories] == [1 + 13, 40]
    assert [part.first_values is None for part in raw.trajectories] == [False, True]


def test_repeated_pseudotimes(write: Writer) -> None:
    cells = random_cells(2)
    order = np.argsort(cells[:, 0])
    cells[order[21]] = cells[order[20]]
    cells[order[21], 1] += 1.0
    one_first = {"B_12_norm.csv": cells[np.sort(order)]}
    with pytest.raises(UserError, match=r"s1d2 B: 1 observations repeat a time \(first 0\.51\); choose `first`"):
        load(small(repeated_pseudotimes="error"), write(small(), one_first))
    dropping = {"drop_first": 0, "drop_last": 0}
    first, mean = (
        load(small(repeated_pseudotimes=how, **dropping), write(small(), one_first)).trajectories[0]
        for how in ("first", "mean")
    )
    assert len(first.times) == len(mean.times) == 39
    assert (np.diff(mean.times) > 0).all()
    expression = (mean.offset + mean.scale * mean.values)[20, 0]
    assert expression == pytest.approx(cells[order[20:22], 1].mean())
    assert mean.weights.tolist() == [1.0] * 20 + [2.0] + [1.0] * 18
    assert (first.weights == 1).all()
    in_file = min(order[20], order[21])
    assert (first.offset + first.scale * first.values)[20, 0] == pytest.approx(cells[in_file, 1])


def test_constant_genes(write: Writer) -> None:
    for scaling, where in (("per_trajectory", "s1d2 B"), ("training_range", "all training donors")):
        options = small(constant_genes="error", scaling=scaling)
        message = rf"{where}: 1 of 4 variables have one value in all observations: CONSTANT; choose `zero`"
        with pytest.raises(UserError, match=message):
            load(options, write(options))
    options = small(constant_genes="drop")
    raw = load(options, write(options))
    assert raw.features == ("GATA1", "SPI1", "AHSP")
    assert raw.is_regulator.tolist() == [True, True, False]
    assert raw.trajectories[0].values.shape == (10, 3)


def test_a_trajectory_with_one_cell_left(write: Writer) -> None:
    options = small(drop_first=19)
    with pytest.raises(UserError, match=r"s1d2 B: 40 cells .* drop_first 19 and drop_last 20 leave fewer than 2"):
        load(options, write(options))


def test_negative_expression_has_no_logarithm(write: Writer) -> None:
    cells = random_cells(1)
    cells[4, 2] = -0.1
    options = small(transform="log1p")
    with pytest.raises(UserError, match="s2d1 B: negative expression"):
        load(options, write(options, {"B_21_norm.csv": cells}))


def test_donors_that_are_both_train_and_test(write: Writer) -> None:
    options = small(donors={"train": ["s1d2"], "test": ["s1d2", "s2d1"]})
    with pytest.raises(UserError, match=r"donors\.train and donors\.test share s1d2"):
        load(options, {})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], r"B_12_norm\.csv: .*cut off"),
        (lambda text: text.replace("\t0.5\t", "\tn/a\t", 1), r"B_12_norm\.csv, line 2, column 'CONSTANT': 'n/a'"),
        (lambda text: "<html>" + text, r"B_12_norm\.csv is a web page"),
        (lambda text: text.replace("dpt_pseudotime", "cell", 1), r"first column is 'cell', expected 'dpt_pseudo"),
    ],
)
def test_a_damaged_table(write: Writer, damage: Callable[[str], str], message: str) -> None:
    files = write(small())
    path = next(path for path in files.values() if path.name == "B_12_norm.csv")
    path.write_text(damage(path.read_text()))
    with pytest.raises(UserError, match=message):
        load(small(), files)


def test_tables_of_different_genes(write: Writer) -> None:
    files = write(small())
    path = next(path for path in files.values() if path.name == "B_21_norm.csv")
    path.write_text(path.read_text().replace("SPI1", "PU1"))
    with pytest.raises(UserError, match=r"B_21_norm\.csv: its genes are not those of the other tables"):
        load(small(), files)


def test_the_donor_without_a_checksum_is_named_by_its_address() -> None:
    files = required_files(small(donors={"train": ["s1d2"], "test": ["s2d4"]}))
    assert [Path(file.url).name for file in files[:2]] == ["B_12_norm.csv", "B_24_norm.csv"]
    assert [file.sha256 is None for file in files] == [False, True, False]
