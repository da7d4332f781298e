import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsenode.data import trajectories
from sparsenode.data.contract import read_trajectories, trajectory_slices
from sparsenode.data.preprocess import assemble, describe, preprocess_dataset
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError

KRUMSIEK = {"source": "krumsiek11", "validation": {"by": "time_blocks", "share": 0.15, "seed": 0}}
OSCILLATORS = {
    "source": "second_order",
    "options": {"trajectories": 6, "test_trajectories": 2},
    "validation": {"by": "trajectory", "share": 0.25, "seed": 0},
}


@pytest.mark.parametrize("settings", [KRUMSIEK, OSCILLATORS], ids=["krumsiek11", "second_order"])
def test_sources_without_downloads(settings: dict, tmp_path: Path) -> None:
    path = tmp_path / "new" / "data.h5ad"
    preprocess_dataset("data", settings, tmp_path / "downloads", path)
    adata = read_trajectories(path)
    assert adata.uns["sparsenode"]["name"] == "data"
    assert set(adata.obs["split"]) == {"train", "validation", "test"}
    assert adata.uns["sparsenode"]["validation"] == settings["validation"]
    assert ("noise_free" in adata.layers) == (settings is OSCILLATORS)
    np.testing.assert_array_equal(adata.varp["truth_known"], ~np.eye(adata.n_vars, dtype=bool))


def test_blocks_in_time_of_krumsiek11(tmp_path: Path) -> None:
    preprocess_dataset("data", KRUMSIEK, tmp_path, tmp_path / "data.h5ad")
    adata = read_trajectories(tmp_path / "data.h5ad")
    for rows in trajectory_slices(adata).values():
        splits = adata.obs["split"].iloc[rows].tolist()
        assert splits == ["train"] * 116 + ["validation"] * 20 + ["test"] * 24


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_the_same_settings_give_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    preprocess_dataset("data", OSCILLATORS, tmp_path, tmp_path / "here.h5ad")
    program = (
        "import sys; from pathlib import Path; from sparsenode.data.preprocess import preprocess_dataset;"
        f"preprocess_dataset('data', {OSCILLATORS!r}, Path(sys.argv[1]), Path(sys.argv[1]) / 'there.h5ad')"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, env=environment)
    digests = {hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("here.h5ad", "there.h5ad")}
    assert len(digests) == 1


def test_two_trajectories_of_one_name_are_refused(raw: RawTrajectories) -> None:
    """A donor "a b" with a lineage "c", and a donor "a" with a lineage "b c", both make "a b c"."""
    parts = tuple(dataclasses.replace(part, name=name) for part, name in zip(raw.trajectories, "xyx", strict=True))
    with pytest.raises(UserError, match=r"dataset data: two trajectories are called 'x'; give each a name of its own"):
        assemble("data", dataclasses.replace(raw, trajectories=parts), {}, {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "all"}, r"dataset data: the trajectory 'all' cannot be called so"),
        ({"name": "subject a"}, r"dataset data: the trajectory 'subject a' cannot"),
        ({"subject": "all"}, r"dataset data: the subject 'all' cannot"),
        ({"group": "none"}, r"dataset data: the group 'none' cannot"),
        ({"group": "baseline:linear"}, r"since results use names that begin with 'baseline:' for trivial forecasts"),
    ],
)
def test_names_that_results_use_are_refused(raw: RawTrajectories, changes: dict, message: str) -> None:
    first = dataclasses.replace(raw.trajectories[0], **changes)
    with pytest.raises(UserError, match=message):
        assemble("data", dataclasses.replace(raw, trajectories=(first, *raw.trajectories[1:])), {}, {})


def test_a_prior_that_is_made_cannot_be_called_truth(raw: RawTrajectories) -> None:
    with pytest.raises(UserError, match=r"dataset data: the prior network 'truth' cannot be called so"):
        assemble("data", raw, {"priors": {"truth": {"of": "guess"}}}, {})


@pytest.mark.parametrize("first", [1, 3])
def test_initial_states_are_means_of_the_first_observations(raw: RawTrajectories, first: int) -> None:
    adata = assemble("data", raw, {"initial_state": {"mean_of_first": first}}, {})
    states = adata.uns["sparsenode"]["initial_states"]
    assert adata.uns["sparsenode"]["initial_state_count"] == first
    for part in raw.trajectories:
        np.testing.assert_allclose(states.loc[part.name], part.values[:first].mean(axis=0))


def with_averages(raw: RawTrajectories, singles: np.ndarray) -> RawTrajectories:
    averaged = dataclasses.replace(raw.trajectories[0], first_values=singles)
    return dataclasses.replace(raw, trajectories=(averaged, *raw.trajectories[1:]))


@pytest.mark.parametrize("by", ["observation", "time_blocks", "none-in-source"])
def test_initial_states_of_averages_are_means_of_what_was_averaged_first(raw: RawTrajectories, by: str) -> None:
    singles = np.random.default_rng(5).standard_normal((7, 3))
    settings = {"initial_state": {"mean_of_first": 3}, "validation": {"by": by, "share": 0.2, "seed": 0}}
    long_enough = dataclasses.replace(raw, trajectories=(raw.trajectories[0], raw.trajectories[2]))
    one, other = (assemble("data", data, settings, {}) for data in (long_enough, with_averages(long_enough, singles)))
    states, before = (adata.uns["sparsenode"]["initial_states"] for adata in (other, one))
    np.testing.assert_allclose(states.loc["first"], singles[:3].mean(axis=0))
    np.testing.assert_array_equal(states.loc["third"], before.loc["third"])
    np.testing.assert_array_equal(one.obs["split"], other.obs["split"])
    assert ("validation" in set(other.obs["split"])) == (by != "none-in-source")


def test_averages_start_at_a_known_observation_where_several_are_known(raw: RawTrajectories) -> None:
    adata = assemble("data", with_averages(raw, np.full((7, 3), 9.0)), {"initial_state": {"known": 3}}, {})
    np.testing.assert_array_equal(adata.uns["sparsenode"]["initial_states"].loc["first"], raw.trajectories[0].values[2])


def test_fewer_averages_than_make_the_initial_state(raw: RawTrajectories) -> None:
    settings = {"initial_state": {"mean_of_first": 6}}
    long_enough = dataclasses.replace(raw, trajectories=(raw.trajectories[0], raw.trajectories[2]))
    adata = assemble("data", with_averages(long_enough, np.ones((6, 3))), settings, {})
    assert (adata.uns["sparsenode"]["initial_states"].loc["first"] == 1).all()
    short = with_averages(long_enough, np.ones((5, 3)))
    with pytest.raises(UserError, match=r"trajectory 'first': `initial_state\.mean_of_first` is 6, .* first 5 single"):
        assemble("data", short, settings, {})


def test_coordinates_and_labels_are_written_where_all_trajectories_have_them(raw: RawTrajectories) -> None:
    def labeled(part: trajectories.Trajectory) -> trajectories.Trajectory:
        coordinates = np.arange(2.0 * len(part.times)).reshape(-1, 2)
        names = tuple(f"{part.name} {index % 2}" for index in range(len(part.times)))
        return dataclasses.replace(part, embeddings={"map": coordinates}, observation_labels={"cell_type": names})

    parts = [labeled(part) for part in raw.trajectories]
    adata = assemble("data", dataclasses.replace(raw, trajectories=tuple(parts)), {}, {})
    expected = np.vstack([part.embeddings["map"] for part in parts])
    np.testing.assert_array_equal(adata.obsm["X_map"], expected.astype(np.float32))
    assert adata.obs["cell_type"].tolist() == [
        label for part in parts for label in part.observation_labels["cell_type"]
    ]
    assert adata.obs["cell_type"].cat.categories[:2].tolist() == ["first 0", "first 1"]
    some = assemble("data", dataclasses.replace(raw, trajectories=(*parts[:2], raw.trajectories[2])), {}, {})
    assert not some.obsm
    assert "cell_type" not in some.obs


def test_prior_networks_and_what_they_tell_of(raw: RawTrajectories) -> None:
    known = np.array([[True, True, False], [False] * 3, [False, True, False]])
    adata = assemble("data", dataclasses.replace(raw, priors_known={"guess": known}), {}, {})
    np.testing.assert_array_equal(adata.varp["known_guess"].toarray(), known)
    assert "known_guess" not in assemble("data", raw, {}, {}).varp


def test_holding_the_initial_state_scores_one_under_the_feature_weights(tmp_path: Path) -> None:
    preprocess_dataset("data", OSCILLATORS, tmp_path, tmp_path / "data.h5ad")
    adata = read_trajectories(tmp_path / "data.h5ad")
    chosen = ((adata.obs["split"] == "train") & (adata.obs["phase"] == "fit")).to_numpy()
    held = adata.uns["sparsenode"]["initial_states"].loc[adata.obs["trajectory"].astype(str)].to_numpy()
    error = ((adata.X - held)[chosen] ** 2).mean(axis=0)
    np.testing.assert_allclose(error * adata.var["weight"], 1.0, rtol=1e-5)


def test_a_feature_that_hardly_moves_gets_no_boundless_weight(raw: RawTrajectories) -> None:
    still = [dataclasses.replace(part, values=part.values * [1.0, 1e-9, 0.0]) for part in raw.trajectories]
    still_raw = dataclasses.replace(raw, trajectories=tuple(still))
    weights = assemble("data", still_raw, {"feature_weight": "movement"}, {}).var["weight"]
    assert weights.iloc[1] == weights.iloc[2] == pytest.approx(300 * weights.iloc[0])
    nothing = dataclasses.replace(
        raw, trajectories=tuple(dataclasses.replace(part, values=part.values * 0) for part in raw.trajectories)
    )
    assert (assemble("data", nothing, {}, {}).var["weight"] == 1).all()
    assert (assemble("data", raw, {"feature_weight": "uniform"}, {}).var["weight"] == 1).all()


def test_test_data_changes_nothing_in_training(raw: RawTrajectories) -> None:
    changed = [
        dataclasses.replace(part, values=part.values * 7) if part.name == "third" else part for part in raw.trajectories
    ]
    one = assemble("data", raw, {}, {})
    other = assemble("data", dataclasses.replace(raw, trajectories=tuple(changed)), {}, {})
    np.testing.assert_array_equal(one.var["weight"], other.var["weight"])
    np.testing.assert_array_equal(one.X[:13], other.X[:13])


def test_regulators_are_what_the_source_says_and_never_read_off_the_truth(raw: RawTrajectories) -> None:
    assert not (raw.truth != 0).any(axis=1).all()
    for truth in (raw.truth, np.zeros((3, 3)), np.eye(3)):
        assert assemble("data", dataclasses.replace(raw, truth=truth), {}, {}).var["is_regulator"].all()
    unknown = dataclasses.replace(raw, truth=None, truth_known=None)
    assert assemble("data", unknown, {}, {}).var["is_regulator"].all()
    given = dataclasses.replace(raw, is_regulator=np.array([False, True, True]))
    assert assemble("data", given, {}, {}).var["is_regulator"].tolist() == [False, True, True]


def test_a_line_for_the_log(raw: RawTrajectories) -> None:
    assert describe(assemble("data", raw, {}, {})) == (
        "3 trajectories, 19 observations (13 train, 0 validation, 6 test), 3 features"
    )


def with_values(raw: RawTrajectories, values: np.ndarray) -> RawTrajectories:
    first = dataclasses.replace(
        raw.trajectories[0],
        values=values,
        times=np.arange(len(values), dtype=float),
        splits=trajectories.constant_labels("train", len(values)),
        phases=trajectories.constant_labels("fit", len(values)),
    )
    return dataclasses.replace(raw, trajectories=(first, *raw.trajectories[1:]))


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_values_that_are_infinite(raw: RawTrajectories, bad: float) -> None:
    values = np.ones((4, 3))
    values[2, 1] = bad
    message = (
        r"dataset data, trajectory 'first': 1 values are infinite, the first at observation 2, feature 'b/c'; remove "
        "them, or write NaN for what was not observed"
    )
    with pytest.raises(UserError, match=message):
        assemble("data", with_values(raw, values), {}, {})


def test_trajectories_that_are_too_short(raw: RawTrajectories) -> None:
    with pytest.raises(UserError, match="trajectory 'first': 1 observations; it takes at least 2"):
        assemble("data", with_values(raw, np.ones((1, 3))), {}, {})
    with pytest.raises(UserError, match="trajectory 'first': 4 observations; it takes at least 5"):
        assemble("data", with_values(raw, np.ones((4, 3))), {"initial_state": {"mean_of_first": 5}}, {})


def test_missing_and_changed_downloads(tmp_path: Path) -> None:
    settings = {"source": "hematopoiesis", "options": {"donors": {"train": ["s1d2"], "test": []}}}
    with pytest.raises(UserError, match=r"eryth_12_norm\.csv is missing; it is downloaded from https://raw"):
        preprocess_dataset("data", settings, tmp_path / "downloads", tmp_path / "data.h5ad")
    place = "raw.githubusercontent.com/theislab/PathReg/main/data/data/trajectories/eryth_12_norm.csv"
    (tmp_path / "downloads" / place).parent.mkdir(parents=True)
    (tmp_path / "downloads" / place).write_text("<html>Not found</html>")
    with pytest.raises(UserError, match=r"web page \(HTML\).*sha256 .*, expected 7bb069ff.*; delete it and run again"):
        preprocess_dataset("data", settings, tmp_path / "downloads", tmp_path / "data.h5ad")
    assert not (tmp_path / "data.h5ad").exists()


def test_a_disk_that_takes_no_more(tmp_path: Path, largest_file: Any) -> None:
    with largest_file(50_000), pytest.raises(UserError, match=r"cannot write .*data\.h5ad: File too large"):
        preprocess_dataset("data", KRUMSIEK, tmp_path, tmp_path / "data.h5ad")
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_results_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*results/data/krumsiek11\.h5ad: Not a directory"):
        preprocess_dataset("krumsiek11", KRUMSIEK, tmp_path, tmp_path / "results" / "data" / "krumsiek11.h5ad")
