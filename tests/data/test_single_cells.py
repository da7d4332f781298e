import json
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from anndata import AnnData, read_h5ad
from scipy.sparse import csc_matrix, csr_matrix
from scipy.stats import spearmanr

from sparsenode.data.contract import read_trajectories
from sparsenode.data.downloads import RemoteFile
from sparsenode.data.outline import Outline
from sparsenode.data.preprocess import preprocess_dataset
from sparsenode.data.sources import make_source
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError
from sparsenode.pipeline.configuration import read_configuration, remote_files

DONORS = ["s1d2", "s2d1", "s3d6"]
LINEAGES = {
    "erythroid": ["HSC", "MK/E prog", "Proerythroblast", "Erythroblast", "Normoblast"],
    "monocyte": ["HSC", "G/M prog", "CD14+ Mono", "CD16+ Mono"],
    "B": ["HSC", "Lymph prog", "Transitional B", "Naive CD20+ B"],
}
GENES, PEAKS = 250, 40
STAGES = 8


Make = Callable[[int, int], AnnData]


def check(options: dict) -> list[str]:
    return make_source("single_cells", options).check()


def load(options: dict, files: dict[str, Path]) -> RawTrajectories:
    return make_source("single_cells", options).load(files)


def local_files(options: dict) -> list[Path]:
    return make_source("single_cells", options).local_files()


def outline(options: dict) -> Outline:
    return make_source("single_cells", options).outline()


def required_files(options: dict) -> list[RemoteFile]:
    return make_source("single_cells", options).required_files()


@pytest.fixture(scope="module")
def make(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Cells of three donors as in the benchmark, as many and with as many genes as asked for."""
    write_cells = runpy.run_path(str(repository / "benchmarks" / "preprocess_cells.py"))["write_cells"]

    def make_cells(cells: int, genes: int) -> AnnData:
        path = tmp_path_factory.mktemp("made") / "cells.h5ad"
        write_cells(path, cells, genes, PEAKS, donors=DONORS, density=0.3)
        return read_h5ad(path)

    return make_cells


@pytest.fixture(scope="module")
def made(make: Make) -> AnnData:
    return make(1200, GENES)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Two regulators that are measured, and one that is not."""
    lines = ["TF.human,GENE0,GENE1,GENE9,OTHER", "GENE9,1.0,1.0,0.0,1.0", "OTHER,1,1,1,1", "GENE5,0.0,1.0,0.0,0.0"]
    path = tmp_path / "network.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


Options = Callable[..., dict]


@pytest.fixture
def options(made: AnnData, network: Path, tmp_path: Path) -> Options:
    """Options on a file that is written anew, changed or not."""

    def write(change: Callable[[AnnData], object] | None = None, /, **changes: object) -> dict:
        adata = made.copy()
        if change is not None:
            change(adata)
        path = tmp_path / "cells.h5ad"
        adata.write_h5ad(path)
        named = {
            "file": str(path),
            "donors": {"train": ["s1d2"], "test": ["s2d1", "s3d6"]},
            "networks": {"base": str(network)},
            "genes": {"highly_variable": 40},
            "drop_first": 2,
            "drop_last": 2,
        }
        return make_source("single_cells", named | changes).options

    return write


def in_use(adata: AnnData) -> np.ndarray:
    return adata.obs["cell_type"].isin({name for types in LINEAGES.values() for name in types}).to_numpy()


def facts(raw: RawTrajectories) -> Mapping:
    return json.loads(raw.provenance["donors"])


def assert_same(one: RawTrajectories, other: RawTrajectories, tolerance: float = 0.0) -> None:
    assert one.features == other.features
    for part, same in zip(one.trajectories, other.trajectories, strict=True):
        assert part.name == same.name
        np.testing.assert_allclose(part.times, same.times, atol=tolerance)
        np.testing.assert_allclose(part.values, same.values, atol=tolerance)
        assert part.observation_labels == same.observation_labels


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_trajectories_of_the_real_schema(options: Options, made: AnnData) -> None:
    raw = load(options(), {})
    assert [part.name for part in raw.trajectories] == [f"{donor} {name}" for donor in DONORS for name in LINEAGES]
    for part in raw.trajectories:
        assert part.name == f"{part.subject} {part.group}"
        assert set(part.splits) == {"train" if part.subject == "s1d2" else "test"}
        assert (np.diff(part.times) > 0).all()
        assert (part.times[0], part.times[-1]) == (0, 1)
        count = len(part.times)
        assert part.values.shape == (count, len(raw.features))
        assert part.embeddings["diffmap"].shape[0] == count
        assert set(part.observation_labels["cell_type"]) <= set(LINEAGES[part.group])
        cells = facts(raw)[part.subject]["lineages"][part.group]["cells"]
        types = made.obs["cell_type"][made.obs["batch"] == part.subject]
        assert cells == {name: int((types == name).sum()) for name in LINEAGES[part.group]}
        assert count == sum(cells.values()) - 4
    assert set(raw.features) <= {f"GENE{number}" for number in range(GENES)}
    assert raw.value_unit == "scaled expression"
    assert raw.provenance["values"] == "layers['counts']"
    assert {each["values"] for each in facts(raw).values()} == {"counts"}


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
@pytest.mark.parametrize(("embedding", "least", "on_average"), [("GEX_X_pca", 0.85, 0.93), (None, 0.7, 0.85)])
def test_pseudotime_recovers_the_order_of_the_cells(
    make: Make, options: Options, embedding: str | None, least: float, on_average: float
) -> None:
    """Types finer than those that pseudotime was made for, eighths of the way, follow it too."""
    cells = make(1500, 1500)
    stage = np.floor((cells.obs["progress"] - 0.15) / 0.85 * STAGES).astype(int).astype(str)
    types = cells.obs["cell_type"].astype(str)
    fine = cells.obs["lineage"].astype(str) + " " + stage
    cells.obs["cell_type"] = np.where((types == "HSC") | (cells.obs["lineage"] == "none"), types, fine)
    lineages = {name: ["HSC", *(f"{name} {stage}" for stage in range(STAGES))] for name in LINEAGES}
    chosen = options(lineages=lineages, embedding=embedding)
    cells.write_h5ad(chosen["file"])
    raw = load(chosen, {})
    found = []
    for part in raw.trajectories:
        order = [lineages[part.group].index(name) for name in part.observation_labels["cell_type"]]
        found.append(spearmanr(part.times, order).statistic)
        told = facts(raw)[part.subject]["lineages"][part.group]["rank_correlation_with_types"]
        assert told == pytest.approx(found[-1], abs=0.03)
    assert min(found) > least, found
    assert np.mean(found) > on_average, found


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_the_root_is_a_stem_cell_and_named(options: Options, made: AnnData) -> None:
    for rule in ("first", "extreme", "medoid"):
        for donor, told in facts(load(options(pseudotime={"root": rule}), {})).items():
            own = made.obs_names[(made.obs["batch"] == donor) & (made.obs["cell_type"] == "HSC")]
            for lineage in told["lineages"].values():
                assert lineage["root"] in own
                assert lineage["roots"]["first"] == own[0]
                assert lineage["root"] == lineage["roots"][rule]
                assert set(lineage["roots"]) == {"first", "extreme" if rule == "first" else rule}
                assert 0.5 < lineage["rank_correlation_of_roots"] <= 1


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_each_lineage_by_a_map_of_its_own(options: Options) -> None:
    one, each = load(options(), {}), load(options(pseudotime={"map": "lineage"}), {})
    assert one.features == each.features
    assert [part.name for part in one.trajectories] == [part.name for part in each.trajectories]
    for part, other in zip(one.trajectories, each.trajectories, strict=True):
        assert len(part.times) == len(other.times)
        assert not np.array_equal(part.times, other.times)


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_genes_and_what_they_were_chosen_as(options: Options) -> None:
    raw = load(options(genes={"highly_variable": 30, "names": ["GENE2", "GENE9"]}), {})
    reasons = dict(zip(raw.features, raw.feature_labels["chosen_as"], strict=True))
    variable = [name for name, reason in reasons.items() if reason.startswith("highly variable in s1d2")]
    assert len(variable) == 30
    assert set(reasons) == {*variable, "GENE2", "GENE5", "GENE9"}
    assert "regulator; named" in reasons["GENE9"]
    assert list(raw.features) == sorted(raw.features, key=lambda name: int(name[4:]))  # in the order of the file
    assert [name for name, regulates in zip(raw.features, raw.is_regulator, strict=True) if regulates] == [
        "GENE5",
        "GENE9",
    ]
    alone = load(options(genes={"highly_variable": 0, "regulators": False, "names": ["GENE2"]}, networks={}), {})
    assert (alone.features, alone.is_regulator, dict(alone.priors)) == (("GENE2",), None, {})


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_highly_variable_genes_of_the_donors_that_are_named(options: Options, caplog: pytest.LogCaptureFixture) -> None:
    def chosen(named: list[str] | None, **changes: object) -> RawTrajectories:
        genes = {"highly_variable": 20, "regulators": False, "donors": named}
        return load(options(genes=genes, networks={}, **changes), {})

    each = {donor: set(chosen([donor]).features) for donor in DONORS}
    assert len(set(map(frozenset, each.values()))) == 3
    caplog.clear()
    assert set(chosen(DONORS).features) == set.union(*each.values())
    assert "variable genes are taken of the test donors s2d1, s3d6 too" in caplog.text
    assert set(chosen(None).features) == each["s1d2"]
    # A donor that is not forecast may give genes.
    raw = chosen(["s2d1"], donors={"train": ["s1d2"], "test": []})
    assert set(raw.features) == each["s2d1"]
    assert {part.subject for part in raw.trajectories} == {"s1d2"}


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_networks_by_name_of_one_table_or_several(options: Options, network: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("tf.name,GENE0,GENE5\nGENE1,1,0\nGENE2,1,1\n")
    genes = {"highly_variable": 0, "names": ["GENE0", "GENE1", "GENE2"]}
    raw = load(options(genes=genes, networks={"base": str(network), "B": [str(other), str(network)]}), {})
    assert raw.features == ("GENE0", "GENE1", "GENE2", "GENE5", "GENE9")
    assert set(raw.priors) == set(raw.priors_known) == {"base", "B"}
    expected = np.zeros((5, 5))
    expected[4, [0, 1]] = expected[3, 1] = 1
    np.testing.assert_array_equal(raw.priors["base"], expected)
    expected[[1, 2], 0] = expected[2, 3] = 1
    np.testing.assert_array_equal(raw.priors["B"], expected)
    assert raw.is_regulator.tolist() == [False, True, True, True, True]
    # Which networks' regulators are taken can be said; a regulator of any is one.
    named = {"base": str(network), "B": str(other)}
    raw = load(options(genes={**genes, "names": ["GENE0", "GENE9"], "regulators": ["B"]}, networks=named), {})
    assert raw.features == ("GENE0", "GENE1", "GENE2", "GENE9")
    assert raw.is_regulator.tolist() == [False, True, True, True]


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_test_donors_do_not_touch_genes_or_training_data(options: Options) -> None:
    def disturb(adata: AnnData) -> None:
        tested = (adata.obs["batch"] != "s1d2").to_numpy()
        generator = np.random.default_rng(5)
        counts = adata.layers["counts"].toarray()
        counts[tested] = generator.permuted(counts[tested] * generator.integers(1, 9, counts.shape[1]), axis=1)
        adata.layers["counts"] = csr_matrix(counts)

    chosen = {"transform": "log1p", "scaling": "training_range", "constant_genes": "drop", "embedding": None}
    one, other = load(options(**chosen), {}), load(options(disturb, **chosen), {})
    assert one.features == other.features
    for part, same in zip(one.trajectories[:3], other.trajectories[:3], strict=True):
        np.testing.assert_array_equal(part.times, same.times)
        np.testing.assert_array_equal(part.values, same.values)
    assert not np.array_equal(one.trajectories[3].times, other.trajectories[3].times)


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
@pytest.mark.parametrize("form", [csc_matrix, lambda matrix: matrix.toarray()])
def test_how_the_matrix_is_stored_does_not_matter(options: Options, form: Callable) -> None:
    def store(adata: AnnData) -> None:
        adata.layers["counts"] = form(adata.layers["counts"])

    assert_same(load(options(embedding=None), {}), load(options(store, embedding=None), {}))


def as_normalized(adata: AnnData) -> None:
    """Counts over the total of a cell's genes, relative to the median of the donor's cells in use."""
    counts = adata.layers["counts"].toarray()
    totals = counts[:, :GENES].sum(axis=1)
    for donor in DONORS:
        own = (adata.obs["batch"] == donor).to_numpy()
        totals[own] /= np.median(totals[own & in_use(adata)])
    adata.X = csr_matrix((counts / totals[:, None]).astype(np.float32))


def as_logs(adata: AnnData) -> None:
    as_normalized(adata)
    adata.X = np.log1p(adata.X)


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
@pytest.mark.parametrize(("change", "kind"), [(as_normalized, "normalized counts"), (as_logs, "logs")])
@pytest.mark.parametrize("transform", ["none", "log1p"])
def test_counts_normalized_counts_and_logs_are_one(
    options: Options, change: Callable, kind: str, transform: str
) -> None:
    chosen = {"transform": transform, "scaling": "training_range"}
    counts = load(options(**chosen), {})
    raw = load(options(change, values="X", **chosen), {})
    assert {each["values"] for each in facts(raw).values()} == {kind}
    assert raw.provenance["values"] == "X"
    assert_same(counts, raw, 1e-5)


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_one_total_for_all_cells(options: Options, made: AnnData) -> None:
    """X of the made file is counts over size factors of its own, which a common total makes up for."""
    chosen = {"counts_per_cell": 1000, "scaling": "training_range", "drop_first": 0, "drop_last": 0}
    counts, normalized = load(options(**chosen), {}), load(options(values="X", **chosen), {})
    assert_same(counts, normalized, 1e-5)
    for part in counts.trajectories:
        own = (made.obs["batch"] == part.subject) & made.obs["cell_type"].isin(LINEAGES[part.group])
        values = made[own].layers["counts"].toarray()[:, :GENES]
        values *= 1000 / values.sum(axis=1, keepdims=True)
        values = values[:, [int(name[4:]) for name in counts.features]]
        found = part.offset + part.scale * part.values
        np.testing.assert_allclose(np.sort(found, axis=0), np.sort(values, axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_values_without_a_layer_of_counts_are_those_of_x(options: Options) -> None:
    def change(adata: AnnData) -> None:
        adata.layers["spliced"] = adata.layers.pop("counts")

    raw = load(options(change), {})
    assert (raw.provenance["values"], facts(raw)["s1d2"]["values"]) == ("X", "normalized counts")
    assert facts(load(options(change, values="spliced"), {}))["s1d2"]["values"] == "counts"


def to_raw(adata: AnnData) -> None:
    """Counts are in `raw` only, of all features; X has logarithms that were centered and scaled, of a few."""
    everything = adata.copy()
    everything.X = everything.layers.pop("counts")
    adata.raw = everything
    logs = np.log1p(adata.X.toarray())
    adata.X = (logs - logs.mean(axis=0)) / (logs.std(axis=0) + 1)
    adata.layers.clear()
    adata._inplace_subset_var(np.arange(0, adata.n_vars, 2))


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_counts_in_raw_are_named_taken_or_pointed_out(options: Options) -> None:
    expected = load(options(), {})
    refused(
        options(to_raw),
        r"X of donor 's1d2': \d+ values are negative.*; the file has counts in raw\.X \(`values: raw`\)$",
    )
    assert_same(load(options(to_raw, values="raw"), {}), expected)

    def without_others(adata: AnnData) -> None:
        to_raw(adata)
        adata.X = None

    found = load(options(without_others), {})
    assert_same(found, expected)
    assert found.provenance["values"] == "raw.X"


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_names_and_columns_of_another_file(options: Options) -> None:
    def rename(adata: AnnData) -> None:
        adata.obs = adata.obs.rename(columns={"batch": "sample", "cell_type": "leiden"})
        adata.var["symbol"] = adata.var_names.to_numpy()
        adata.var_names = [f"ENSG{number}" for number in range(adata.n_vars)]
        adata.var["kind"] = adata.var.pop("feature_types").map({"GEX": "gene", "ATAC": "peak"})
        adata.obsm["X_scVI"] = adata.obsm.pop("GEX_X_pca")

    named = {
        "donor": "sample",
        "cell_type": "leiden",
        "gene_names": "symbol",
        "feature_types": {"column": "kind", "keep": "gene"},
        "embedding": "X_scVI",
    }
    assert_same(load(options(), {}), load(options(rename, **named), {}))
    # All features are genes where no column says which.
    raw = load(options(feature_types=None, genes={"highly_variable": 0, "names": ["chr1-1-501"]}), {})
    assert "chr1-1-501" in raw.features


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_embedding_of_the_file_or_own_components(options: Options, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    load(options(), {})
    assert "neighbors by obsm['GEX_X_pca']" in caplog.text
    caplog.clear()
    own = load(options(embedding=None), {})
    assert "neighbors by principal components of its 2" in caplog.text
    caplog.clear()
    refused(options(embedding="X_none"), r"obsm has no 'X_none'\. .*There are: GEX_X_pca")
    chosen = options()
    with h5py.File(chosen["file"], "a") as file:
        del file["obsm/GEX_X_pca"]
    missing = load(chosen, {})
    assert "neighbors by principal components of its 2" in caplog.text
    assert_same(own, missing)


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_what_the_log_says(options: Options, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    load(options(values="X", donors={"train": ["s1d2"], "test": []}), {})
    assert (
        "X holds normalized counts (100.00% of the values are multiples of the smallest of their cell)" in caplog.text
    )
    assert "of 250 genes chosen: 40 highly variable in s1d2, 2 regulator" in caplog.text


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_types_in_an_order_that_pseudotime_does_not_follow(options: Options, caplog: pytest.LogCaptureFixture) -> None:
    load(options(), {})
    assert "hardly follows" not in caplog.text
    backward = {"monocyte": [*LINEAGES["monocyte"][:0:-1], "HSC"]}
    load(options(lineages=backward), {})
    assert "s1d2 monocyte: pseudotime hardly follows the order of the cell types" in caplog.text


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_the_whole_way(options: Options, tmp_path: Path) -> None:
    settings = {
        "source": "single_cells",
        "options": options(transform="log1p", scaling="training_range"),
        "validation": {"by": "observation", "share": 0.2},
        "initial_state": {"mean_of_first": 5},
    }
    output = tmp_path / "made.h5ad"
    preprocess_dataset("made", settings, tmp_path, output)
    adata = read_trajectories(output)
    assert set(adata.obs["cell_type"]) == {name for types in LINEAGES.values() for name in types}
    assert adata.obsm["X_diffmap"].shape[0] == adata.n_obs
    assert "prior_base" in adata.varp
    assert adata.var["chosen_as"].str.contains("highly variable in s1d2").sum() == 40
    first = output.read_bytes()
    preprocess_dataset("made", settings, tmp_path, output)
    assert output.read_bytes() == first


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_an_address_is_downloaded_and_unpacked(options: Options, network: Path, tmp_path: Path) -> None:
    addresses = {"file": "https://example.org/data/cells.h5ad.gz", "networks": {"base": "https://example.org/base.csv"}}
    chosen = options() | addresses
    cells, table = required_files(chosen)
    assert (cells.local_path, table.local_path) == ("example.org/data/cells.h5ad", "example.org/base.csv")
    assert local_files(chosen) == []
    files = {cells.local_path: tmp_path / "cells.h5ad", table.local_path: network}
    assert_same(load(chosen, files), load(options(), {}))
    assert required_files(options()) == []
    assert local_files(options()) == [tmp_path / "cells.h5ad", network]


def test_the_experiment_needs_the_files_that_it_names(repository: Path) -> None:
    overrides = [repository / "experiments" / f"{name}.yaml" for name in ("hematopoiesis", "hematopoiesis_raw")]
    config = read_configuration(repository, overrides)
    entries = yaml.safe_load(overrides[1].read_text())["datasets"]
    for name in config["run"]["datasets"]:
        assert entries[name]["options"]["lineages"] == LINEAGES
        files = remote_files(config, name)
        assert len(files) == 13
        (cells,) = [path for path in files if path.endswith("BMMC_processed.h5ad")]
        assert cells.startswith("ftp.ncbi.nlm.nih.gov/geo/series/GSE194nnn/GSE194122/suppl/")
        assert all(file.sha256 for path, file in files.items() if path != cells)


# Bad input.


def refused(chosen: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load(chosen, {})
    assert "\n" not in str(caught.value)


def test_a_donor_that_is_not_in_the_file(options: Options) -> None:
    chosen = options(donors={"train": ["s1d2"], "test": ["s9d9"]})
    refused(chosen, r"cells\.h5ad: no cell of donor 's9d9' in obs\['batch'\]; there are: s1d2, s2d1, s3d6$")
    refused(options(genes={"donors": ["s4d1"]}), "no cell of donor 's4d1'")


def test_a_cell_type_that_is_not_in_the_file(options: Options) -> None:
    chosen = options(lineages={"B": ["HSC", "B cell"]})
    refused(
        chosen, r"no cell of cell type 'B cell' in obs\['cell_type'\]; there are: CD14\+ Mono, CD16\+ Mono, CD8\+ T,"
    )
    refused(options(root="LT-HSC"), "no cell of cell type 'LT-HSC'")


def test_a_donor_without_stem_cells(options: Options) -> None:
    def change(adata: AnnData) -> None:
        gone = (adata.obs["batch"] == "s2d1") & (adata.obs["cell_type"] == "HSC")
        adata.obs.loc[gone, "cell_type"] = "NK"

    refused(
        options(change), r"donor 's2d1' has no cell of the root's type 'HSC' to start from; of the lineages it has \d"
    )


def test_a_lineage_of_too_few_cells(options: Options) -> None:
    def change(adata: AnnData) -> None:
        own = (adata.obs["batch"] == "s3d6") & adata.obs["cell_type"].isin(LINEAGES["B"])
        adata.obs.loc[adata.obs_names[own.to_numpy()][19:], "cell_type"] = "NK"

    refused(options(change), r"lineage 'B' of donor 's3d6' has 19 cells \(.*\); it takes at least 20")


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_cells_that_cannot_be_reached(options: Options) -> None:
    def change(adata: AnnData) -> None:
        far = ((adata.obs["batch"] == "s2d1") & (adata.obs["cell_type"] == "CD16+ Mono")).to_numpy()
        assert far.sum() > 15
        adata.obsm["GEX_X_pca"][far] += 1e4

    message = r"cells\.h5ad: donor s2d1: the graph of 15 nearest neighbors falls into 2 parts .*\(CD16\+ Mono \d+\)"
    refused(options(change, pseudotime={"neighbors": 15}), message)


def test_no_features_that_are_genes(options: Options) -> None:
    chosen = options(feature_types={"column": "feature_types", "keep": "Gene Expression"})
    refused(chosen, r"no feature is 'Gene Expression' in var\['feature_types'\]; there are: ATAC, GEX")
    refused(
        options(feature_types={"column": "modality", "keep": "GEX"}),
        r"var has no 'modality'\. .*There are: feature_types",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: (x - x.mean(axis=0)) / (x.std(axis=0) + 1), r"X of donor 's1d2': \d+ values are negative"),
        (
            lambda x: np.where(np.arange(x.shape[1]) == 7, np.nan, x),
            r"X of donor 's1d2': \d+ values are NaN or infinite",
        ),
        (np.sqrt, r"X of donor 's1d2': values up to .* neither counts"),
        (lambda x: 0 * x, r"X of donor 's1d2': all values are zero"),
    ],
)
def test_values_that_are_neither_counts_nor_normalized_nor_logs(
    options: Options, change: Callable, message: str
) -> None:
    def spoil(adata: AnnData) -> None:
        adata.X = change(adata.X.toarray()).astype(np.float32)

    refused(options(spoil, values="X"), message)


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_values_of_two_kinds(options: Options) -> None:
    def mix(adata: AnnData) -> None:
        counts, other = adata.layers["counts"].toarray(), adata.X.toarray()
        adata.X = csr_matrix(np.where((adata.obs["batch"] == "s1d2").to_numpy()[:, None], counts, other))

    refused(options(mix, values="X"), "X holds counts of s1d2, normalized counts of s2d1, normalized counts of s3d6")


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_repeated_names_of_genes(options: Options, caplog: pytest.LogCaptureFixture) -> None:
    def repeat(name: str, times: int) -> Callable[[AnnData], None]:
        def change(adata: AnnData) -> None:
            names = adata.var_names.to_list()
            used = set(features) | {"GENE5", "GENE9"}
            unused = [place for place in range(GENES) if names[place] not in used]
            for place in unused[: times - (name in used)]:
                names[place] = name
            adata.var["symbol"] = names

        return change

    features = load(options(), {}).features
    chosen = {"gene_names": "symbol"}
    refused(
        options(repeat(features[0], 3), **chosen),
        rf"1 of the genes .* occurs more than once \({features[0]}\); make the",
    )
    refused(options(repeat("GENE9", 2), **chosen), r"more than once \(GENE9\)")
    raw = load(options(repeat("MATR3", 2), **chosen), {})
    assert raw.features == features
    assert "1 names of genes that are not modeled repeat: MATR3" in caplog.text


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_genes_that_are_not_there(options: Options, network: Path) -> None:
    refused(
        options(genes={"names": ["GATA1"]}), r"no gene 'GATA1' \(genes\.names\); the nearest of the 250 genes: GENE1, "
    )
    network.write_text("TF.human,TAL1\nGATA1,1\nSPI1,0\n")
    refused(
        options(), r"none of the 2 regulators of the networks \(GATA1, SPI1\) is among the 250 genes \(GENE0, GENE1,"
    )
    refused(options(genes={"regulators": False}), r"options\.networks\.base: no regulator and target of it are both")


def test_options_that_contradict_themselves(options: Options) -> None:
    refused(options(donors={"train": ["s1d2"], "test": ["s2d1", "s1d2"]}), r"donors\.train and donors\.test share s1d2")
    refused(options(networks={}), r"genes\.regulators is true, but there are no networks")
    refused(options(genes={"highly_variable": 0, "regulators": False}), "genes chooses none")
    refused(options(genes={"regulators": ["B"]}), "names 'B', which is none of the networks; there are: base")


@pytest.mark.parametrize(
    ("donors", "lineages", "message"),
    [
        (["all"], ["B"], r"data source single_cells: the subject 'all' cannot be called so, since results use it"),
        (["s1"], ["none"], r"the group 'none' cannot be called so"),
        (
            ["subject"],
            ["B"],
            r"the trajectory 'subject B' cannot be called so, since results use names that begin with",
        ),
        (
            ["s", "s a"],
            ["a b", "b"],
            r"lineage 'a b' of donor 's' and lineage 'b' of donor 's a' would both be the traj",
        ),
    ],
)
def test_names_that_results_use_are_refused_before_the_file_is_read(
    options: Options, tmp_path: Path, donors: list[str], lineages: list[str], message: str
) -> None:
    chosen = options(donors={"train": donors, "test": []}, lineages={name: ["HSC"] for name in lineages})
    refused(chosen | {"file": str(tmp_path / "missing.h5ad")}, message)


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_a_network_is_a_matrix_or_a_list_of_edges(options: Options, network: Path) -> None:
    """The same network in both forms gives the same data, whatever separates the fields."""
    network.write_text("TF.human,GENE0,GENE1,GENE7\nGENE5,0,1,0\nGENE9,1,1,0\n")
    chosen = {"highly_variable": 0, "names": ["GENE0", "GENE1", "GENE7"]}
    raw = load(options(genes=chosen), {})
    network.write_text(
        '\ufeffSource;Target;Weight\r\nGENE5;GENE1;1\r\n"GENE9";GENE0; 1\r\nGENE9;GENE1;-3\r\nGENE9;GENE7;0'
    )
    listed = load(options(genes=chosen), {})
    assert listed.features == raw.features
    np.testing.assert_array_equal(listed.priors["base"], raw.priors["base"])
    np.testing.assert_array_equal(listed.priors_known["base"], raw.priors_known["base"])
    np.testing.assert_array_equal(listed.is_regulator, raw.is_regulator)
    assert raw.priors["base"].sum() == 3


def test_files_that_cannot_be_read(options: Options, tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad"
    options()
    path.write_bytes(path.read_bytes()[:-1000])
    chosen = {"file": str(path), "donors": {"train": ["s1d2"], "test": []}, "networks": {}}
    chosen = make_source("single_cells", chosen | {"genes": {"regulators": False}}).options
    refused(chosen, r"cells\.h5ad is cut short or no h5ad file")
    refused(chosen | {"file": str(tmp_path / "none.h5ad")}, r"none\.h5ad is missing")
    refused(chosen | {"file": str(tmp_path / "cells.h5ad.gz")}, r"cells\.h5ad\.gz is packed.*unpack it")


def test_columns_that_are_not_there(options: Options) -> None:
    refused(
        options(donor="sample"), r"cells\.h5ad: obs has no 'sample'\. .*There are: batch, cell_type, GEX_size_factors"
    )
    refused(options(cell_type="leiden"), "obs has no 'leiden'")
    refused(options(values="spliced"), r"layers has no 'spliced'\. .*There are: counts")
    refused(options(gene_names="symbol"), r"var has no 'symbol'\. .*There are: feature_types")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"donor": "Batch"}, r"obs has no 'Batch'\. did you mean 'batch'\? There are: "),
        ({"cell_type": "type"}, r"obs has no 'type'\. "),
        ({"values": "count"}, r"layers has no 'count'\. did you mean 'counts'\?"),
        ({"gene_names": "symbol"}, r"var has no 'symbol'\. "),
        (
            {"feature_types": {"column": "feature_types", "keep": "RNA"}},
            r"no feature is 'RNA' in var\['feature_types'\]",
        ),
        ({"donors": {"train": ["s1d9"], "test": []}}, r"no cell of donor 's1d9' in obs\['batch'\]; there are: s1d2, "),
        ({"donors": {"train": ["s1d2"], "test": ["s1d2"]}}, r"donors\.train and donors\.test share s1d2"),
        ({"lineages": {"a": ["HSC", "Erythroblasts"]}}, r"no cell of cell type 'Erythroblasts' in obs\['cell_type'\]"),
        ({"lineages": {"a": ["Lymph prog"]}, "root": "NK"}, r"lineage 'a' of donor 's1d2' has 13 cells"),
        ({"embedding": "X_pca"}, r"obsm has no 'X_pca'\. "),
        ({"genes": {"names": ["Gene0"]}}, r"no gene 'Gene0' \(genes\.names\); the nearest of the 250 genes: GENE0"),
        ({"genes": {"regulators": ["motif"]}}, r"genes\.regulators names 'motif', which is none of the networks"),
    ],
)
def test_what_a_file_lacks_is_known_by_its_headers(options: Options, changes: dict, message: str) -> None:
    """What `check` refuses, `load` refuses too."""
    chosen = options(**changes)
    with pytest.raises(UserError, match=message):
        check(chosen)
    with pytest.raises(UserError):
        load(chosen, {})


def test_a_file_with_only_another_layer_is_refused_before_the_run(options: Options) -> None:
    def only_spliced(adata: AnnData) -> None:
        adata.layers["spliced"] = adata.layers.pop("counts")
        adata.X = None

    chosen = options(only_spliced)
    for read in (check, lambda options: load(options, {})):
        with pytest.raises(UserError, match=r"has no X; name a layer; there are: spliced"):
            read(chosen)
    assert check(options(only_spliced, values="spliced")) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "network.csv: No such file"),
        ("TF.human,GENE0\nGENE9,1,1\n", "line 2: 3 fields where line 1 names 2"),
        ("source,target,weight\nGENE9,GENE1,high\n", "line 2, column 'weight': 'high' is not a finite number"),
    ],
)
def test_networks_that_cannot_be_read_are_refused_before_the_run(
    options: Options, network: Path, text: str | None, message: str
) -> None:
    chosen = options()
    network.unlink()
    if text is not None:
        network.write_text(text)
    with pytest.raises(UserError, match=message):
        check(chosen)


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_what_fits_has_no_problem_and_an_outline(options: Options, made: AnnData) -> None:
    assert check(options()) == []
    assert check(options(file="https://example.org/cells.h5ad")) == []
    told = outline(options())
    assert told.groups == tuple(LINEAGES)
    assert told.priors == ("base",)
    assert (told.trajectories, told.feature_count) == (3, 40)
    raw = load(options(), {})
    assert set(raw.features) <= set(told.features or ())
    longest = max(len(part.times) for part in raw.trajectories if (part.splits == "train").all())
    assert told.observations == longest
    assert outline(options(file="https://example.org/cells.h5ad")).trajectories == 3


def test_a_packed_file_is_to_be_unpacked_before_anything_is_planned(options: Options) -> None:
    with pytest.raises(UserError, match=r"cells\.h5ad\.gz is packed, and read in pieces; unpack it"):
        check(options(file="cells.h5ad.gz"))
