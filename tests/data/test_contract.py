import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from sparsenode.data.contract import (
    check_trajectories,
    prior_network,
    read_metadata,
    read_trajectories,
    trajectory_slices,
    true_network,
    write_trajectories,
)
from sparsenode.data.preprocess import assemble
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError


def test_what_is_written_is_read(adata: AnnData, tmp_path: Path) -> None:
    path = tmp_path / "small.h5ad"
    write_trajectories(adata, path)
    found = read_trajectories(path)
    np.testing.assert_array_equal(found.X, adata.X)
    assert found.X.dtype == np.float32
    assert found.obs["time"].dtype == np.float64
    pd.testing.assert_frame_equal(found.obs, adata.obs, check_categorical=False)
    pd.testing.assert_frame_equal(found.var, adata.var)
    metadata, expected = found.uns["sparsenode"], adata.uns["sparsenode"]
    pd.testing.assert_frame_equal(metadata["initial_states"], expected["initial_states"])
    assert metadata["source_files"] == {"host/path.csv": "0" * 64}
    assert metadata["settings"] == expected["settings"]
    np.testing.assert_array_equal(found.varp["truth"].toarray(), adata.varp["truth"].toarray())
    np.testing.assert_array_equal(found.varp["prior_guess"].toarray(), np.eye(3))


def test_a_prior_network_is_found_by_its_name(adata: AnnData) -> None:
    found = prior_network(adata, "guess")
    np.testing.assert_array_equal(found.truth, np.eye(3))
    assert found.known.all()
    with pytest.raises(UserError, match=r"the dataset 'small' has no prior network 'motif' \(there are: guess\)"):
        prior_network(adata, "motif")
    del adata.varp["prior_guess"]
    with pytest.raises(UserError, match=r"no prior network 'guess' \(it has none\)"):
        prior_network(adata, "guess")


def drawn(raw: RawTrajectories) -> AnnData:
    """Trajectories with coordinates and cell types."""
    generator = np.random.default_rng(1)
    parts = [
        dataclasses.replace(
            part,
            embeddings={"diffmap": generator.standard_normal((len(part.times), 2))},
            observation_labels={"cell_type": tuple(generator.choice(["young", "old"], len(part.times)).tolist())},
        )
        for part in raw.trajectories
    ]
    return assemble("small", dataclasses.replace(raw, trajectories=tuple(parts)), {}, {})


def test_coordinates_and_labels_of_observations_are_kept(raw: RawTrajectories, tmp_path: Path) -> None:
    adata = drawn(raw)
    write_trajectories(adata, tmp_path / "small.h5ad")
    found = read_trajectories(tmp_path / "small.h5ad")
    assert list(found.obsm) == ["X_diffmap"]
    assert found.obsm["X_diffmap"].dtype == np.float32
    np.testing.assert_array_equal(found.obsm["X_diffmap"], adata.obsm["X_diffmap"])
    assert found.obs["cell_type"].tolist() == adata.obs["cell_type"].tolist()
    assert found.obs["cell_type"].dtype == "category"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x: np.where(np.arange(len(x))[:, None] == 9, np.nan, x),
            r"2 values that are NaN.*'second/part:1', dim",
        ),
        (lambda x: np.rint(x).astype(int), r"is to be a dense array of floating-point numbers"),
    ],
)
def test_coordinates_that_nothing_can_be_drawn_at(raw: RawTrajectories, change: Callable, message: str) -> None:
    adata = drawn(raw)
    adata.obsm["X_diffmap"] = change(adata.obsm["X_diffmap"])
    with pytest.raises(UserError, match=rf"obsm\['X_diffmap'\].*{message}"):
        check_trajectories(adata)


def test_writing_leaves_the_object_as_it_was(adata: AnnData, tmp_path: Path) -> None:
    write_trajectories(adata, tmp_path / "small.h5ad")
    assert isinstance(adata.uns["sparsenode"]["initial_states"], pd.DataFrame)


@pytest.mark.slow(reason="writes and reads many files")
def test_a_file_read_and_written_again_is_the_same_to_the_byte(adata: AnnData, tmp_path: Path) -> None:
    write_trajectories(adata, tmp_path / "one.h5ad")
    write_trajectories(read_trajectories(tmp_path / "one.h5ad"), tmp_path / "two.h5ad")
    write_trajectories(read_trajectories(tmp_path / "two.h5ad"), tmp_path / "three.h5ad")
    assert (tmp_path / "two.h5ad").read_bytes() == (tmp_path / "three.h5ad").read_bytes()


def test_rows_of_each_trajectory(adata: AnnData) -> None:
    assert trajectory_slices(adata) == {
        "first": slice(0, 8),
        "second/part": slice(8, 13),
        "third": slice(13, 19),
    }


def test_the_true_network(adata: AnnData) -> None:
    network = true_network(adata)
    assert network.truth.tolist() == [[1, -1, 0], [0, 0, 0], [0, 2, 0]]
    assert network.known.tolist() == (~np.eye(3, dtype=bool)).tolist()
    del adata.varp["truth"], adata.varp["truth_known"]
    assert true_network(adata) is None


def nothing_observed(adata: AnnData) -> None:
    adata.X[9] = np.nan


def infinite(adata: AnnData) -> None:
    adata.X[3, 0] = -np.inf


def not_a_number_in_a_layer(adata: AnnData) -> None:
    adata.layers["noise_free"] = np.full(adata.shape, np.nan, dtype=np.float32)


def decreasing(adata: AnnData) -> None:
    adata.obs.loc[adata.obs_names[10], "time"] = 0.5


def missing_time(adata: AnnData) -> None:
    adata.obs.loc[adata.obs_names[10], "time"] = np.nan


def unknown_split(adata: AnnData) -> None:
    adata.obs["split"] = adata.obs["split"].astype(str).replace("test", "Test").astype("category")


def no_weight(adata: AnnData) -> None:
    del adata.obs["weight"]


def negative_weight(adata: AnnData) -> None:
    adata.obs.loc[adata.obs_names[0], "weight"] = -1.0


def two_groups(adata: AnnData) -> None:
    adata.obs["group"] = pd.Categorical(["x"] * 4 + ["y"] * 15)


def text_for_trajectory(adata: AnnData) -> None:
    adata.obs["trajectory"] = adata.obs["trajectory"].astype(str).to_numpy(dtype=object)


def other_order(adata: AnnData) -> None:
    adata.obs["trajectory"] = adata.obs["trajectory"].cat.reorder_categories(["third", "first", "second/part"])


def infinite_feature_weight(adata: AnnData) -> None:
    adata.var["weight"] = [1.0, np.inf, 1.0]


def text_for_regulators(adata: AnnData) -> None:
    adata.var["is_regulator"] = ["yes", "no", "no"]


def missing_for_regulators(adata: AnnData) -> None:
    adata.var["is_regulator"] = pd.array([True, pd.NA, False], dtype="boolean")


def text_for_signs(adata: AnnData) -> None:
    adata.uns["sparsenode"]["truth_signed"] = "False"


def half_known(adata: AnnData) -> None:
    adata.varp["known_guess"] = np.full((3, 3), 0.5)


def trajectory_all(adata: AnnData) -> None:
    adata.obs["trajectory"] = adata.obs["trajectory"].cat.rename_categories({"third": "all"})


def trajectory_like_a_subject(adata: AnnData) -> None:
    adata.obs["trajectory"] = adata.obs["trajectory"].cat.rename_categories({"third": "subject third"})


def subject_all(adata: AnnData) -> None:
    adata.obs["subject"] = adata.obs["subject"].cat.rename_categories({"third": "all"})


def group_none(adata: AnnData) -> None:
    adata.obs["group"] = adata.obs["group"].cat.rename_categories({"all": "none"})


def feature_like_a_baseline(adata: AnnData) -> None:
    adata.var_names = ["a", "baseline:linear", "d"]


def prior_truth(adata: AnnData) -> None:
    adata.varp["prior_truth"] = np.eye(3)


def truth_alone(adata: AnnData) -> None:
    del adata.varp["truth_known"]


def infinite_prior(adata: AnnData) -> None:
    adata.varp["prior_guess"].data[1] = np.inf


def infinite_truth(adata: AnnData) -> None:
    adata.varp["truth"] = np.full((3, 3), np.nan)


def other_version(adata: AnnData) -> None:
    adata.uns["sparsenode"]["contract_version"] = 99


def no_metadata(adata: AnnData) -> None:
    del adata.uns["sparsenode"]


def no_unit(adata: AnnData) -> None:
    del adata.uns["sparsenode"]["time_unit"]


def initial_states_of_others(adata: AnnData) -> None:
    adata.uns["sparsenode"]["initial_states"].index = ["x", "y", "z"]


BREACHES = [
    (nothing_observed, r"X holds 1 observations without any observed entry, the first 'second/part:1'; remove them"),
    (infinite, r"X holds 1 values that are infinite, the first at observation 'first:3', feature 'a'; remove them, or"),
    (not_a_number_in_a_layer, r"layers\['noise_free'\] holds 57 values that are NaN"),
    (decreasing, r"trajectory 'second/part': time decreases from 1 to 0\.5 at observation 'second/part:2'; sort"),
    (missing_time, r"the column 'time' of `obs` is to hold finite floating-point numbers"),
    (unknown_split, r"the column 'split' of `obs` holds 'Test'; allowed: train, validation, test"),
    (no_weight, r"`obs` has no column 'weight'"),
    (negative_weight, r"negative weight"),
    (two_groups, r"trajectory 'first': 'group' differs within it"),
    (text_for_trajectory, r"the column 'trajectory' of `obs` is to be categorical"),
    (other_order, r"not sorted by trajectory"),
    (infinite_feature_weight, r"'weight' of `var` holds a weight that is negative or not finite"),
    (text_for_regulators, r"'is_regulator' of `var` is to be true or false"),
    (missing_for_regulators, r"'is_regulator' of `var` is to be true or false"),
    (text_for_signs, r"uns\['sparsenode'\]\['truth_signed'\] holds 'False'; allowed: true or false"),
    (half_known, r"varp\['known_guess'\] is to be true or false, 1 or 0"),
    (trajectory_all, r"the trajectory 'all' cannot be called so, since results use it for the mean over all"),
    (trajectory_like_a_subject, r"the trajectory 'subject third' cannot be called so"),
    (subject_all, r"the subject 'all' cannot be called so"),
    (group_none, r"the group 'none' cannot be called so"),
    (feature_like_a_baseline, r"the feature 'baseline:linear' cannot be called so"),
    (prior_truth, r"the prior network 'truth' cannot be called so"),
    (truth_alone, r"`varp` is to have both 'truth' and 'truth_known'"),
    (infinite_prior, r"varp\['prior_guess'\] holds values that are not finite"),
    (infinite_truth, r"varp\['truth'\] holds values that are not finite"),
    (other_version, r"contract version 99, and this sparsenode reads 1"),
    (no_metadata, r"was not made by `sparsenode preprocess-dataset`"),
    (no_unit, r"has no 'time_unit'"),
    (initial_states_of_others, r"'initial_states'\] has other names"),
]


@pytest.mark.parametrize(("damage", "message"), BREACHES, ids=[breach[0].__name__ for breach in BREACHES])
def test_a_breach_is_refused_in_memory_and_never_written(
    adata: AnnData, tmp_path: Path, damage: Callable[[AnnData], None], message: str
) -> None:
    check_trajectories(adata)
    damage(adata)
    with pytest.raises(UserError, match=message):
        check_trajectories(adata)
    with pytest.raises(UserError, match=rf"small\.h5ad: .*{message}"):
        write_trajectories(adata, tmp_path / "small.h5ad")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow(reason="writes and reads many files")
@pytest.mark.parametrize(
    "damage",
    [infinite, decreasing, no_weight, text_for_trajectory, no_metadata, trajectory_all, text_for_signs],
)
def test_a_breach_in_a_file_of_another_writer(
    adata: AnnData, tmp_path: Path, damage: Callable[[AnnData], None]
) -> None:
    damage(adata)
    metadata = adata.uns.get("sparsenode", {})
    metadata.pop("initial_states", None)  # its names have a slash, which plain h5ad files cannot hold
    metadata.pop("source_files", None)
    path = tmp_path / "other.h5ad"
    adata.write_h5ad(path)
    with pytest.raises(UserError, match=r"other\.h5ad"):
        read_trajectories(path)


def test_a_trajectory_with_one_observation(adata: AnnData) -> None:
    with pytest.raises(UserError, match="trajectory 'first' has 1 observations; it takes at least two"):
        check_trajectories(adata[7:].copy())


def test_a_trajectory_without_observations(adata: AnnData) -> None:
    obs = adata.obs.copy()
    obs["trajectory"] = obs["trajectory"].cat.add_categories("fourth")
    adata.obs = obs
    with pytest.raises(UserError, match="trajectory 'fourth' has 0 observations"):
        check_trajectories(adata)


def test_equal_times_are_allowed(adata: AnnData) -> None:
    adata.obs["time"] = 1.0
    check_trajectories(adata)


def test_files_that_are_no_trajectories(adata: AnnData, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing\.h5ad is missing"):
        read_trajectories(tmp_path / "missing.h5ad")
    (tmp_path / "page.h5ad").write_text("<html>")
    with pytest.raises(UserError, match=r"page\.h5ad is damaged .*; delete it and run again"):
        read_trajectories(tmp_path / "page.h5ad")
    write_trajectories(adata, tmp_path / "whole.h5ad")
    content = (tmp_path / "whole.h5ad").read_bytes()
    (tmp_path / "half.h5ad").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"half\.h5ad is damaged .*; delete it and run again"):
        read_trajectories(tmp_path / "half.h5ad")
    anndata.AnnData(np.ones((3, 2), dtype=np.float32)).write_h5ad(tmp_path / "bare.h5ad")
    with pytest.raises(UserError, match=r"bare\.h5ad: `obs` has no column 'trajectory'"):
        read_trajectories(tmp_path / "bare.h5ad")


def test_a_form_that_nobody_knows_is_damage(adata: AnnData, tmp_path: Path) -> None:
    write_trajectories(adata, tmp_path / "t.h5ad")
    with h5py.File(tmp_path / "t.h5ad", "r+") as file:
        file["obs"]["time"].attrs["encoding-type"] = "moment-array"
    with pytest.raises(
        UserError, match=r"t\.h5ad is damaged \(.*No read method registered.*\); delete it and run again"
    ):
        read_trajectories(tmp_path / "t.h5ad")


def test_only_the_contract_opens_the_metadata_and_writes_the_mask_of_training_observations(repository: Path) -> None:
    patterns = r'uns(\[|\.get\()"sparsenode"', r'== "train"\) & .*== "fit"'
    package = repository / "src" / "sparsenode"
    for pattern in patterns:
        modules = {path for path in package.rglob("*.py") if re.search(pattern, path.read_text(encoding="utf-8"))}
        assert modules == {package / "data" / "contract.py"}, pattern


def test_metadata_that_a_file_leaves_out_have_defaults(adata: AnnData) -> None:
    for key in ("source_unit", "scale", "levels", "center", "known_observations"):
        adata.uns["sparsenode"].pop(key, None)
    metadata = read_metadata(adata)
    assert (metadata.source_unit, metadata.center, metadata.known_observations) == ("", None, 1)
    np.testing.assert_array_equal(metadata.scale, np.ones((len(metadata.initial_states), adata.n_vars)))
    np.testing.assert_array_equal(metadata.levels, np.ones(len(metadata.initial_states)))
