import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from anndata import settings as settings_of_anndata
from scipy.sparse import csr_matrix

from sparsenode.data.contract import read_trajectories, write_trajectories
from sparsenode.data.outline import Outline
from sparsenode.data.preprocess import assemble, preprocess_dataset
from sparsenode.data.priors import corrupt
from sparsenode.data.sources import make_source
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError


def load(options: dict, files: dict[str, Path]) -> RawTrajectories:
    return make_source("anndata", options).load(files)


def check(options: dict) -> list[str]:
    return make_source("anndata", options).check()


def outline(options: dict) -> Outline:
    return make_source("anndata", options).outline()


@pytest.fixture
def cells() -> AnnData:
    """Twelve cells of two donors, unsorted, with counts in a sparse layer."""
    generator = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "pseudotime": generator.permutation(12) / 10,
            "sample": ["s1"] * 5 + ["s2"] * 7,
            "donor": ["x"] * 12,
            "stage": ["train"] * 9 + ["validation", "test", "test"],
        },
        index=[f"cell{index}" for index in range(12)],
    )
    var = pd.DataFrame({"factor": [True, False, True]}, index=["A", "B", "C"])
    adata = AnnData(generator.standard_normal((12, 3)).astype(np.float32), obs, var)
    adata.layers["counts"] = csr_matrix(generator.poisson(3.0, (12, 3)).astype(np.float32))
    adata.varp["network"] = csr_matrix(np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]))
    return adata


@pytest.fixture
def options(cells: AnnData, tmp_path: Path) -> Callable[..., dict]:
    def write(**changes: object) -> dict:
        path = tmp_path / "cells.h5ad"
        cells.write_h5ad(path)
        named = {"path": str(path), "time": "pseudotime", "trajectory": "sample"}
        return make_source("anndata", {**named, **changes}).options

    return write


def test_cells_are_sorted_by_time_and_keep_their_names(cells: AnnData, options: Callable[..., dict]) -> None:
    raw = load(options(), {})
    assert [part.name for part in raw.trajectories] == ["s1", "s2"]
    for part in raw.trajectories:
        assert (np.diff(part.times) > 0).all()
        expected = cells[list(part.observation_names)]
        np.testing.assert_array_equal(part.values, expected.X)
        np.testing.assert_array_equal(part.times, expected.obs["pseudotime"])


def test_layer_genes_transform_and_scaling(cells: AnnData, options: Callable[..., dict]) -> None:
    chosen = {"layer": "counts", "genes": ["C", "A"], "transform": "log1p", "test_trajectories": ["s2"]}
    raw = load(options(**chosen, scaling="training_range", time_scaling="unit"), {})
    assert raw.features == ("C", "A")
    train, test = raw.trajectories
    assert (train.values.min(), train.values.max()) == (0, 1)
    assert (train.times[0], train.times[-1]) == (0, 1)
    assert set(test.splits) == {"test"}
    np.testing.assert_array_equal(train.scale, test.scale)
    expected = np.log1p(cells[list(test.observation_names)][:, ["C", "A"]].layers["counts"].toarray())
    np.testing.assert_allclose(test.offset + test.scale * test.values, expected, rtol=1e-6)


def test_network_regulators_subject_and_split(options: Callable[..., dict]) -> None:
    raw = load(options(truth="network", regulators="factor", genes=["C", "A"], subject="donor", split="stage"), {})
    assert raw.truth.tolist() == [[0, -1], [0, 0]]
    assert raw.is_regulator.tolist() == [True, True]
    assert {part.subject for part in raw.trajectories} == {"x"}
    assert sorted(np.concatenate([part.splits for part in raw.trajectories])) == sorted(
        ["train"] * 9 + ["validation"] + ["test"] * 2
    )


def test_prior_networks_are_taken_over(
    cells: AnnData, options: Callable[..., dict], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prior = np.array([[0.5, 1.0, 0.0], [0.0, 0.0, -2.0], [0.0, 0.0, 0.0]])
    known = np.array([[1, 1, 1], [1, 1, 1], [0, 0, 0]], dtype=bool)
    cells.varp.update(prior_motif=csr_matrix(prior), known_motif=known, prior_chip=prior.T, known_other=known)
    raw = load(options(genes=["C", "A"]), {})
    assert "varp['known_other'] is not used, since there is no varp['prior_other']" in caplog.text
    assert sorted(raw.priors) == ["chip", "motif"]
    np.testing.assert_array_equal(raw.priors["chip"], prior.T[np.ix_([2, 0], [2, 0])])
    assert list(raw.priors_known) == ["motif"]
    np.testing.assert_array_equal(raw.priors_known["motif"], [[False, False], [True, True]])
    settings = {
        "source": "anndata",
        "options": options(split="stage"),
        "priors": {"worse": {"of": "motif", "corruption": 0.4, "seed": 1}},
    }
    preprocess_dataset("mine", settings, tmp_path, tmp_path / "mine.h5ad")
    found = read_trajectories(tmp_path / "mine.h5ad")
    np.testing.assert_array_equal(found.varp["prior_motif"].toarray(), prior)
    np.testing.assert_array_equal(found.varp["known_motif"].toarray(), known)
    np.testing.assert_array_equal(found.varp["prior_worse"].toarray(), corrupt(prior, 0.4, 1, told=known))
    assert not (found.varp["prior_worse"].toarray() != 0)[~found.varp["known_worse"].toarray()].any()


FLAGS = {
    "text": ["False", "no", "True"],
    "nullable": pd.array([False, False, True], dtype="boolean"),
    "categories": pd.Categorical(["no", "no", "yes"]),
    "numbers": [0, 0, 1],
    "decimals": [0.0, 0.0, 1.0],
}


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_regulators_by_columns_of_every_type(cells: AnnData, options: Callable[..., dict], flags: list) -> None:
    cells.var["factor"] = flags
    assert load(options(regulators="factor"), {}).is_regulator.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["True", "perhaps", "False"],
            r"cells\.h5ad: the column 'factor' of `var` holds 'perhaps' for 'B'; allowed: true",
        ),
        ([1.0, np.nan, 0.0], r"the column 'factor' of `var` holds nothing for 'B'"),
        (pd.array([True, pd.NA, False], dtype="boolean"), r"the column 'factor' of `var` holds nothing for 'B'"),
        (pd.array([1, pd.NA, 0], dtype="Int64"), r"the column 'factor' of `var` holds nothing for 'B'"),
        ([1, 2, 0], r"the column 'factor' of `var` holds 2 for 'B'"),
    ],
)
def test_regulators_by_what_says_neither(
    cells: AnnData, options: Callable[..., dict], flags: list, message: str
) -> None:
    cells.var["factor"] = flags
    with pytest.raises(UserError, match=message):
        load(options(regulators="factor"), {})
    # Of features that are not modeled nothing has to be known.
    assert load(options(regulators="factor", genes=["C", "A"]), {}).is_regulator.tolist() == [False, True]


def test_pairs_that_a_prior_tells_of_are_told_by_truth_values(cells: AnnData, options: Callable[..., dict]) -> None:
    known = np.array([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    cells.varp.update(prior_motif=np.ones((3, 3)), known_motif=known)
    np.testing.assert_array_equal(load(options(), {}).priors_known["motif"], known == 1)
    known[1, 2] = np.nan
    with pytest.raises(UserError, match=r"varp\['known_motif'\] holds nan from 'B' to 'C'; allowed: true or false"):
        load(options(), {})


@pytest.mark.parametrize(
    ("column", "names", "message"),
    [
        (
            "sample",
            ["all", "s2"],
            r"dataset mine: the trajectory 'all' cannot be called so, since results use it for the",
        ),
        ("sample", ["s1", "subject x"], r"dataset mine: the trajectory 'subject x' cannot be called so"),
        ("sample", ["s1", ""], r"dataset mine: the trajectory '' cannot be called so"),
        ("donor", ["all", "x"], r"dataset mine: the subject 'all' cannot be called so"),
        ("stage", ["none", "late"], r"dataset mine: the group 'none' cannot be called so, since .* end near no group"),
        ("stage", ["peer:x", "late"], r"dataset mine: the group 'peer:x' cannot be called so"),
    ],
)
def test_names_that_results_use_are_refused(
    cells: AnnData, options: Callable[..., dict], tmp_path: Path, column: str, names: list[str], message: str
) -> None:
    cells.obs[column] = [names[0]] * 5 + [names[1]] * 7
    columns = {"subject": "donor", "group": "stage"} if column != "stage" else {"group": "stage"}
    cells.obs["stage"] = cells.obs["stage"] if column == "stage" else "one"
    settings = {"source": "anndata", "options": options(**columns)}
    with pytest.raises(UserError, match=message):
        preprocess_dataset("mine", settings, tmp_path, tmp_path / "mine.h5ad")
    assert not (tmp_path / "mine.h5ad").exists()


def test_a_prior_cannot_be_called_truth(cells: AnnData, options: Callable[..., dict], tmp_path: Path) -> None:
    cells.varp["prior_truth"] = np.ones((3, 3))
    settings = {"source": "anndata", "options": options()}
    with pytest.raises(UserError, match=r"dataset mine: the prior network 'truth' cannot be called so"):
        preprocess_dataset("mine", settings, tmp_path, tmp_path / "mine.h5ad")


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_the_whole_way(options: Callable[..., dict], tmp_path: Path) -> None:
    settings = {"source": "anndata", "options": options(split="stage"), "validation": {"by": "none-in-source"}}
    preprocess_dataset("mine", settings, tmp_path, tmp_path / "mine.h5ad")
    adata = read_trajectories(tmp_path / "mine.h5ad")
    assert adata.obs["split"].value_counts().to_dict() == {"train": 9, "test": 2, "validation": 1}
    # A file of trajectories is itself a file of cells.
    again = {"source": "anndata", "options": {"path": str(tmp_path / "mine.h5ad"), "trajectory": "trajectory"}}
    preprocess_dataset("again", again, tmp_path, tmp_path / "again.h5ad")
    np.testing.assert_array_equal(read_trajectories(tmp_path / "again.h5ad").X, adata.X)


def test_the_file_is_an_input_of_the_workflow(options: Callable[..., dict]) -> None:
    assert make_source("anndata", options()).local_files() == [Path(options()["path"])]


def test_one_trajectory_where_none_is_named(options: Callable[..., dict]) -> None:
    (part,) = load(options(trajectory=None), {}).trajectories
    assert (part.name, part.subject, len(part.times)) == ("trajectory", "trajectory", 12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time": "hour"}, r"cells\.h5ad: the column of `obs` 'hour' is not there; there are: pseudotime, sample"),
        ({"time": "sample"}, r"the column 'sample' of `obs` is to be times, but holds no numbers"),
        ({"layer": "spliced"}, r"the layer 'spliced' is not there; there are: counts"),
        ({"genes": ["A", "Z"]}, r"the feature 'Z' is not there; there are: A, B, C"),
        ({"truth": "grn"}, r"the entry of `varp` 'grn' is not there; there are: network"),
        ({"regulators": "tf"}, r"the column of `var` 'tf' is not there"),
        ({"test_trajectories": ["s3"]}, r"the test trajectory 's3' is not there; there are: s1, s2"),
        ({"test_trajectories": ["s1", "s2"], "scaling": "training_range"}, r"no observation is training data"),
        ({"test_trajectories": ["s1"], "split": "stage"}, r"give `split` or `test_trajectories`, not both"),
        ({"split": "sample"}, r"the column 'sample' of `obs` holds 's1'; allowed: train, validation, test"),
        ({"group": "stage"}, r"trajectory 's2': the column 'stage' of `obs` differs within it: test, train"),
        ({"transform": "log1p"}, r"negative values"),
        ({"path": "nowhere.h5ad"}, r"nowhere\.h5ad is missing"),
    ],
)
def test_what_is_not_there(options: Callable[..., dict], changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(options(**changes), {})


def test_times_that_repeat_or_are_missing_or_infinite(cells: AnnData, options: Callable[..., dict]) -> None:
    cells.obs["pseudotime"] = [0.0, 0.0, *range(10)]
    assert load(options(), {}).trajectories[0].times[:2].tolist() == [0, 0]
    with pytest.raises(UserError, match=r"trajectory 's1': 2 observations repeat a time \(first 0\); choose `keep`"):
        load(options(repeated_times="error"), {})
    cells.obs["pseudotime"] = [np.inf, *range(11)]
    with pytest.raises(UserError, match="the column 'pseudotime' of `obs` is infinite for 1 observations"):
        load(options(), {})
    cells.obs["pseudotime"] = [np.nan, *range(11)]
    with pytest.raises(UserError, match="the column 'pseudotime' of `obs` is empty for 1 observations"):
        load(options(), {})


@pytest.mark.parametrize("scaling", ["none", "per_trajectory"])
def test_values_that_are_infinite(cells: AnnData, options: Callable[..., dict], tmp_path: Path, scaling: str) -> None:
    cells.X[3, 1] = np.inf
    settings = {"source": "anndata", "options": options(scaling=scaling)}
    with pytest.raises(UserError, match=r"infinite.*; remove them, or write NaN for what was not observed"):
        preprocess_dataset("mine", settings, tmp_path, tmp_path / "mine.h5ad")
    assert not (tmp_path / "mine.h5ad").exists()


def test_a_column_tells_what_is_extrapolation(cells: AnnData, options: Callable[..., dict]) -> None:
    cells.obs["part"] = np.where(cells.obs["pseudotime"] > 0.7, "extrapolation", "fit")
    for part in load(options(phase="part"), {}).trajectories:
        assert part.phases.tolist() == ["extrapolation" if time > 0.7 else "fit" for time in part.times]
    assert {phase for part in load(options(), {}).trajectories for phase in part.phases} == {"fit"}
    cells.obs["part"] = "late"
    with pytest.raises(UserError, match="phases late in 'part'; allowed: fit, extrapolation"):
        load(options(phase="part"), {})


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_the_values_of_raw_where_they_are_named_or_there_are_no_others(
    cells: AnnData, options: Callable[..., dict]
) -> None:
    everything = cells.copy()
    everything.X = everything.layers["counts"]
    cells.raw = everything
    cells._inplace_subset_var(["C", "A"])
    counts = everything.to_df()
    for changes in ({"layer": "raw"}, {"layer": "raw", "truth": "network", "regulators": "factor"}):
        raw = load(options(**changes), {})
        assert raw.features == ("C", "A")
        for part in raw.trajectories:
            np.testing.assert_array_equal(part.values, counts.loc[list(part.observation_names), ["C", "A"]])
    assert raw.truth.tolist() == [[0, -1], [0, 0]]
    only = load(options(layer="raw", genes=["B", "A"], regulators="factor"), {})
    np.testing.assert_array_equal(
        only.trajectories[0].values, counts.loc[list(only.trajectories[0].observation_names), ["B", "A"]]
    )
    assert only.is_regulator.tolist() == [False, True]
    cells.layers.clear()
    cells.X = None
    np.testing.assert_array_equal(load(options(), {}).trajectories[0].values, raw.trajectories[0].values)
    with pytest.raises(UserError, match=r"the layer 'spliced' is not there; there are: raw$"):
        load(options(layer="spliced"), {})


def test_no_values_at_all(cells: AnnData, options: Callable[..., dict]) -> None:
    cells.X = None
    with pytest.raises(UserError, match=r"cells\.h5ad has no X; name a layer; there are: counts$"):
        load(options(), {})


def test_columns_and_an_index_in_which_values_may_be_missing(cells: AnnData, options: Callable[..., dict]) -> None:
    expected = load(options(split="stage"), {})
    for table in (cells.obs, cells.var):
        table.index = table.index.astype("string")
    for column in ("sample", "stage"):
        cells.obs[column] = cells.obs[column].astype("string")
    cells.X = cells.X.astype(np.float64)
    with settings_of_anndata.override(allow_write_nullable_strings=True):
        found = load(options(split="stage"), {})
    assert found.features == expected.features
    for part, same in zip(found.trajectories, expected.trajectories, strict=True):
        assert (part.name, part.observation_names) == (same.name, same.observation_names)
        assert part.splits.tolist() == same.splits.tolist()
        np.testing.assert_array_equal(part.values, same.values)


def test_a_form_that_nobody_knows(cells: AnnData, options: Callable[..., dict]) -> None:
    chosen = options()
    with h5py.File(chosen["path"], "r+") as file:
        file["obs"]["donor"].attrs["encoding-type"] = "moment-array"
    with pytest.raises(UserError, match=r"cells\.h5ad cannot be read as an h5ad file: No read method registered"):
        load(chosen, {})


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"time": "pseudotme"}, r"time: found 'pseudotme'; allowed: a column of `obs` .* did you mean 'pseudotime'\?"),
        ({"time": "donor"}, r"time: the column 'donor' of `obs` of .* holds 'x'; allowed: a column of numbers"),
        ({"time": "endless"}, r"time: the column 'endless' of `obs` of .* is infinite for 1 observations"),
        ({"time": "words"}, r"time: the column 'words' of `obs` of .* holds 'x'; allowed: a column of numbers"),
        ({"time": "unknown"}, r"time: the column 'unknown' of `obs` of .* holds NaN for 1 observations; remove those"),
        ({"time": "both"}, r"time: the .* is infinite for 1 observations and holds NaN for 1 observations; remove"),
        (
            {"trajectory": "names"},
            r"trajectory: the trajectory 'all' cannot be called so, since results use it for the",
        ),
        ({"trajectory": "means"}, r"trajectory: the trajectory 'subject 1' cannot be called so, since results use"),
        ({"group": "nothing"}, r"group: the group 'none' cannot be called so, since results use it for forecasts"),
        ({"subject": "names"}, r"subject: the subject 'all' cannot be called so"),
        (
            {"regulators": "maybe"},
            r"regulators: the column 'maybe' of `var` of .* holds 'maybe' for 'B'; allowed: true",
        ),
        ({"regulators": "gaps"}, r"regulators: the column 'gaps' of `var` of .* holds nothing for 'C'; allowed: true"),
        (
            {"trajectory": None, "test_trajectories": ["s1"]},
            r"test_trajectories: found 's1'; allowed: a trajectory of .*, whose observations are all one, since `traj",
        ),
        ({"time": "holes"}, r"time: the column 'holes' of `obs` of .* is empty for 2 observations"),
        ({"trajectory": "Sample"}, r"trajectory: found 'Sample'; .* did you mean 'sample'\?"),
        ({"group": "lineage"}, r"group: found 'lineage'; allowed: a column of `obs`"),
        ({"subject": "some"}, r"subject: the column 'some' of `obs` of .* is empty for 12 observations"),
        ({"split": "donor"}, r"split: the column 'donor' of `obs` of .* holds 'x'; allowed: train, validation, test"),
        ({"phase": "stage"}, r"phase: the column 'stage' of `obs` of .* holds 'test'; allowed: fit, extrapolation"),
        ({"split": "stage", "test_trajectories": ["s1"]}, r"split: found with test_trajectories; allowed: one of them"),
        ({"test_trajectories": ["s3"]}, r"test_trajectories: found 's3'; allowed: .* There are: s1, s2$"),
        ({"test_trajectories": ["s1", "s2"]}, r"test_trajectories: no observation of .* is left to train on"),
        ({"trajectory": None, "test_trajectories": ["trajectory"]}, r"test_trajectories: no observation of .* is left"),
        ({"layer": "Counts"}, r"layer: found 'Counts'; allowed: a layer of .* did you mean 'counts'\?"),
        ({"truth": "networks"}, r"truth: found 'networks'; allowed: an entry of `varp` of .* did you mean 'network'\?"),
        (
            {"regulators": "tf"},
            r"regulators: found 'tf'; allowed: a column of `var` of .* There are: factor, maybe, gaps$",
        ),
        ({"genes": ["A", "b", "D"]}, r"genes: found 'b'; allowed: a feature of .* did you mean 'B'\?"),
    ],
)
def test_what_a_file_lacks_is_known_by_its_headers(
    cells: AnnData, options: Callable[..., dict], changes: dict, problem: str
) -> None:
    """What `check` finds, `load` refuses too."""
    cells.obs["endless"] = [np.inf, *range(11)]
    odd = {
        "words": [*map(str, range(11)), "x"],
        "unknown": [*map(str, range(11)), "nan"],
        "both": ["inf", *map(str, range(10)), "nan"],
        "names": ["all"] * 12,
        "means": ["subject 1"] * 12,
        "nothing": ["none"] * 12,
    }
    for name in odd.keys() & {value for value in changes.values() if isinstance(value, str)}:
        cells.obs[name] = odd[name]
    cells.var["maybe"] = ["yes", "maybe", "no"]
    cells.var["gaps"] = pd.Categorical(["yes", "no", None])
    cells.obs["holes"] = [np.nan, np.nan, *range(10)]
    cells.obs["some"] = pd.Categorical([None] * 12, categories=["x"])
    chosen = options(**changes)
    problems = check(chosen)
    assert re.search(problem, problems[0])
    assert len(problems) == (2 if "D" in changes.get("genes", ()) else 1)
    if "is left" not in problem:
        with pytest.raises(UserError):
            write_trajectories(assemble("mine", load(chosen, {}), {}, {}), Path(chosen["path"]).with_name("mine.h5ad"))


def test_what_fits_has_no_problem(options: Callable[..., dict]) -> None:
    assert check(options()) == []
    named = {"truth": "network", "regulators": "factor", "genes": ["C"], "layer": "counts", "subject": "donor"}
    assert check(options(**named, test_trajectories=["s2"])) == []
    assert check(options(**named, split="stage")) == []


def test_a_file_without_a_matrix_or_with_repeated_names(cells: AnnData, options: Callable[..., dict]) -> None:
    cells.X = None
    cells.var_names = ["A", "B", "A"]
    problems = check(options())
    assert problems[0].startswith("layer: found null, but ")
    assert problems[0].endswith(" has no X; allowed: counts")
    assert problems[1].startswith("path: names of features repeat in ")


def with_raw(cells: AnnData, names: list[str]) -> AnnData:
    """Cells with `raw`, which has the counts of A, B and C, and whose features are these names."""
    everything = cells.copy()
    everything.X = everything.layers["counts"]
    changed = AnnData(np.zeros((12, len(names))), cells.obs, pd.DataFrame({"factor": "no"}, index=names))
    changed.raw = everything
    size = len(names)
    changed.varp = {"network": np.arange(size**2).reshape(size, size) % 3, "prior_motif": np.ones((size, size))}
    return changed


def test_features_that_raw_alone_has_are_in_no_network(
    cells: AnnData, options: Callable[..., dict], tmp_path: Path
) -> None:
    with_raw(cells, ["C", "A"]).write_h5ad(tmp_path / "raw.h5ad")
    named = {"path": str(tmp_path / "raw.h5ad"), "layer": "raw", "truth": "network", "regulators": "factor"}
    chosen = options(**named, genes=["B", "A", "C"])
    assert check(chosen) == []
    raw = load(chosen, {})
    assert outline(chosen).features == raw.features == ("B", "A", "C")
    assert outline(chosen).priors == tuple(raw.priors) == ("motif",)
    known = [[0, 0, 0], [0, 1, 1], [0, 1, 1]]
    np.testing.assert_array_equal(raw.priors["motif"], known)
    np.testing.assert_array_equal(raw.priors_known["motif"], known)
    np.testing.assert_array_equal(raw.truth, [[0, 0, 0], [0, 0, 2], [0, 1, 0]])
    np.testing.assert_array_equal(raw.truth_known, known - np.diag([0, 1, 1]))
    assert raw.is_regulator.tolist() == [False, False, False]
    for part in raw.trajectories:
        np.testing.assert_array_equal(
            part.values, cells[list(part.observation_names), ["B", "A", "C"]].layers["counts"].toarray()
        )


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_features_that_raw_lacks_are_left_out_everywhere(
    cells: AnnData, options: Callable[..., dict], tmp_path: Path
) -> None:
    with_raw(cells, ["C", "Z", "A"]).write_h5ad(tmp_path / "raw.h5ad")
    chosen = options(path=str(tmp_path / "raw.h5ad"), layer="raw")
    assert check(chosen) == []
    raw = load(chosen, {})
    assert outline(chosen).features == raw.features == ("C", "A")
    np.testing.assert_array_equal(raw.priors["motif"], np.ones((2, 2)))
    refused = options(path=str(tmp_path / "raw.h5ad"), layer="raw", genes=["Z"])
    assert re.search(r"genes: found 'Z'; allowed: a feature of `raw` of .* There are: A, B, C", check(refused)[0])
    with pytest.raises(UserError, match="the feature 'Z' is not there"):
        load(refused, {})
    with_raw(cells, ["X", "Y"]).write_h5ad(tmp_path / "raw.h5ad")
    assert re.search(r"layer: `raw` of .* has none of the features of the file itself", check(chosen)[0])
    with pytest.raises(UserError, match="has no features to model"):
        load(chosen, {})


@pytest.mark.parametrize(("shape", "missing"), [((0, 3), "observations"), ((12, 0), "features")])
def test_a_file_of_nothing_says_so(
    cells: AnnData, options: Callable[..., dict], tmp_path: Path, shape: tuple[int, int], missing: str
) -> None:
    chosen = options(test_trajectories=["s1"])
    cells[: shape[0], : shape[1]].write_h5ad(chosen["path"])
    assert check(chosen)[0] == f"path: {chosen['path']} has no {missing}"


def test_names_that_anndata_writes_and_reads_are_columns(cells: AnnData, options: Callable[..., dict]) -> None:
    cells.obs["a/b"], cells.obs["__t"] = cells.obs["sample"], cells.obs["pseudotime"]
    with pytest.warns(FutureWarning, match="slash"):
        chosen = options(trajectory="a/b", time="__t")
    assert check(chosen) == []
    assert [part.name for part in load(chosen, {}).trajectories] == ["s1", "s2"]
    assert outline(chosen).trajectories == 2


def test_layers_that_anndata_writes_and_cannot_read_are_refused(cells: AnnData, options: Callable[..., dict]) -> None:
    cells.layers["l/m"] = cells.layers["counts"]
    with pytest.warns(FutureWarning, match="slash"):
        chosen = options(layer="l/m")
    assert re.match(r"path: found layers\['l/m'\] in .*; allowed: names without a slash", check(chosen)[0])
    with pytest.raises(UserError):
        load(chosen, {})


def test_the_outline_is_that_of_the_dataset(cells: AnnData, options: Callable[..., dict]) -> None:
    cells.varp["prior_motif"] = cells.varp["network"]
    chosen = options(test_trajectories=["s1"], group="donor", genes=["C", "A"])
    told, raw = outline(chosen), load(chosen, {})
    training = [part for part in raw.trajectories if (part.splits == "train").all()]
    assert told.features == raw.features
    assert told.groups == ("x",)
    assert told.priors == tuple(raw.priors) == ("motif",)
    assert told.trajectories == len(training) == 1
    assert told.observations == len(training[0].times) == 7
    assert told.duration == pytest.approx(np.ptp(training[0].times))
    assert outline(options(time_scaling="unit")).duration == 1
    assert outline(options(split="stage", trajectory=None)).observations == 9
