"""What all simulated sources share."""

import hashlib

import numpy as np
import pytest

from sparsenode.data.sources import make_source
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError


def load(name: str, **options: object) -> RawTrajectories:
    return make_source(name, {"trajectories": 5, "test_trajectories": 2, "observations": 20, **options}).load({})


def fingerprint(raw: RawTrajectories) -> str:
    digest = hashlib.sha256()
    for part in raw.trajectories:
        for array in (part.times, part.values, part.noise_free, part.scale):
            digest.update(np.ascontiguousarray(array, dtype=np.float64).tobytes())
        digest.update(",".join([*part.splits, *part.phases, part.name]).encode())
    return digest.update(raw.truth.tobytes()) or digest.hexdigest()


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("hill", {}, "45e99feefdb904229ed42fd858baea32d7993194dc359098cdd0a01d4a00ce76"),
        (
            "hill",
            {"seed": 3, "noise": 0.1, "trajectories": 6, "test_trajectories": 2},
            "4299eb13c7c23a987af41d18539f9c364b92d6f4f84f2a25e33f4ab1819d961e",
        ),
        ("second_order", {}, "0f7f538d56ea5f8cd1db381bf4dac46fa1246aad0c3b1e3d2f1284573a2fe7ef"),
        (
            "second_order",
            {"irregular": True, "noise": 0.05},
            "1bd41a4bf63e65722c6993fe38f9322bec744ad3ccc99a48dadfb743c2fc9d58",
        ),
    ],
)
def test_numbers_are_those_of_the_first_version(name: str, options: dict, expected: str) -> None:
    assert fingerprint(make_source(name, options).load({})) == expected


SOURCES = pytest.mark.parametrize("name", ["linear", "hill", "second_order"])


@SOURCES
def test_a_share_of_the_training_observations_is_the_same_ones_with_the_same_noise(name: str) -> None:
    whole, half = load(name, noise=0.1), load(name, noise=0.1, share_kept=0.5)
    for all_of, part in zip(whole.trajectories, half.trajectories, strict=True):
        rows = np.searchsorted(all_of.times, part.times)
        assert rows[0] == 0
        assert (part.phases == "fit").sum() == (11 if part.splits[0] == "train" else 21)
        assert (part.phases == "extrapolation").sum() == 10
        np.testing.assert_array_equal(all_of.times[rows], part.times)
        np.testing.assert_array_equal(all_of.values[rows], part.values)
    assert not np.array_equal(half.trajectories[0].times, half.trajectories[1].times)


@SOURCES
def test_missing_values_are_their_share_of_training_and_the_rest_is_unchanged(name: str) -> None:
    whole, gaps = load(name, observations=200), load(name, observations=200, missing=0.25)
    for all_of, part in zip(whole.trajectories, gaps.trajectories, strict=True):
        lost = np.isnan(part.values)
        fitted = (part.splits == "train") & (part.phases == "fit")
        assert not lost[0].any()
        assert not lost[~fitted].any()
        if fitted.any():
            assert lost[fitted].mean() == pytest.approx(0.25, abs=0.05)
        np.testing.assert_array_equal(all_of.values[~lost], part.values[~lost])
        np.testing.assert_array_equal(all_of.noise_free, part.noise_free)


@SOURCES
def test_hidden_variables_are_in_neither_values_nor_truth(name: str) -> None:
    whole = load(name, noise=0.1)
    by_name, by_count = load(name, noise=0.1, hidden=[whole.features[1]]), load(name, noise=0.1, hidden=1)
    assert by_name.features == (whole.features[0], *whole.features[2:])
    for raw in (by_name, by_count):
        columns = [whole.features.index(feature) for feature in raw.features]
        assert len(columns) == len(whole.features) - 1
        np.testing.assert_array_equal(raw.truth, whole.truth[np.ix_(columns, columns)])
        np.testing.assert_array_equal(raw.truth_known, whole.truth_known[np.ix_(columns, columns)])
        np.testing.assert_array_equal(raw.trajectories[2].values, whole.trajectories[2].values[:, columns])
        np.testing.assert_array_equal(raw.trajectories[2].scale, whole.trajectories[2].scale[columns])


@SOURCES
def test_test_trajectories_start_farther_out(name: str) -> None:
    near, far = load(name), load(name, test_spread=2.0)
    start = [np.stack([part.noise_free[0] for part in raw.trajectories]) for raw in (near, far)]
    np.testing.assert_allclose(start[0][:3], start[1][:3], rtol=1e-9)
    center = start[0][:3].mean(axis=0)
    np.testing.assert_allclose(start[1][3:] - center, 2 * (start[0][3:] - center), atol=1e-9)


@pytest.mark.parametrize("name", ["linear", "hill"])
def test_process_noise_leaves_starts_and_is_no_observation_noise(name: str) -> None:
    still, driven = load(name), load(name, process_noise=0.3)
    part, path = still.trajectories[0], driven.trajectories[0]
    np.testing.assert_allclose(path.noise_free[0] * path.scale, part.noise_free[0] * part.scale)
    np.testing.assert_array_equal(path.noise_free, path.values)
    assert np.abs(path.values - part.values)[5:].max() > 0.05


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("linear", {"test_trajectories": 5}, "test_trajectories: found 5; allowed: fewer than trajectories, 5"),
        ("hill", {"share_kept": 0.01}, "share_kept: 0.01 of 20 observations are fewer than 2"),
        ("linear", {"share_kept": 0.01}, "share_kept: 0.01 of 20 observations are fewer than 2"),
        ("linear", {"hidden": 10}, "hidden: found 10; allowed: 0 to 9, so that one is observed"),
        ("hill", {"hidden": ["w"]}, "hidden: found 'w'; allowed: a variable, of which the nearest are gene_"),
        ("second_order", {"burn_in": 1.0}, "burn_in: found 1; allowed: 0"),
    ],
)
def test_options_that_contradict_each_other(name: str, changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(name, **changes)


def test_a_system_with_hidden_variables_is_not_simulated_again() -> None:
    for source in (make_source("linear", {"hidden": 1}), make_source("hill", {"hidden": 1})):
        with pytest.raises(UserError, match="variables are hidden; set hidden to 0"):
            source.system_from_provenance({"system": "linear", "options": source.options, "scale": np.ones((1, 10))})
