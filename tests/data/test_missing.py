"""Entries that were not observed, on their way into a dataset: every number is that of the observed ones only."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st

from sparsenode.data.centering import center_values, count_steps, refuse_rounded
from sparsenode.data.contract import read_metadata, read_trajectories, write_trajectories
from sparsenode.data.magnitudes import measure_magnitudes
from sparsenode.data.missing import by_pattern, carry_forward, interpolate
from sparsenode.data.preprocess import assemble, describe, preprocess_dataset
from sparsenode.data.sources import make_source
from sparsenode.data.trajectories import RawTrajectories, Trajectory
from sparsenode.data.windows import local_fit, observation_noise, past_slopes, training_rows
from sparsenode.errors import UserError

NAN = np.nan


def raw_of(*matrices: np.ndarray, splits: dict[int, list[str]] | None = None) -> RawTrajectories:
    """Trajectories `t0`, `t1`, ... of values (observation, feature), for training where `splits` say nothing else."""
    return RawTrajectories(
        kind="measured",
        features=tuple("abcdef"[: matrices[0].shape[1]]),
        trajectories=tuple(
            Trajectory(
                name=f"t{number}",
                group="all",
                subject=f"t{number}",
                times=np.arange(len(values), dtype=float),
                values=np.asarray(values, dtype=float),
                splits=np.array((splits or {}).get(number, ["train"] * len(values))),
                phases=np.full(len(values), "fit"),
            )
            for number, values in enumerate(matrices)
        ),
        time_unit="h",
        value_unit="value",
    )


def with_holes(shape: tuple[int, int], share: float = 0.3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape)
    values[rng.random(shape) < share] = NAN
    values[np.isnan(values).all(axis=1), 0] = 1.0
    return values


def test_missing_entries_are_read_back_from_the_file(tmp_path: Path) -> None:
    values = [with_holes((9, 3)), with_holes((7, 3), seed=1)]
    adata = assemble("small", raw_of(*values), {}, {})
    write_trajectories(adata, tmp_path / "small.h5ad")
    again = read_trajectories(tmp_path / "small.h5ad")
    np.testing.assert_array_equal(again.X, np.vstack(values).astype(np.float32))
    share = 100 * np.isnan(np.vstack(values)).mean()
    assert describe(again) == (
        f"2 trajectories, 16 observations (16 train, 0 validation, 0 test), 3 features, {share:.3g} % of the entries "
        "missing"
    )


def test_weights_movement_and_magnitudes_are_those_of_observed_entries() -> None:
    values = with_holes((40, 3))
    adata = assemble("small", raw_of(values), {}, {})
    start = read_metadata(adata).initial_states.to_numpy()[0]
    movement = [np.square(column[~np.isnan(column)] - at).mean() for column, at in zip(values.T, start, strict=True)]
    np.testing.assert_allclose(adata.var["weight"], 1 / np.array(movement), rtol=1e-6)
    magnitudes = measure_magnitudes(adata)
    np.testing.assert_allclose(magnitudes.movements, (np.sqrt(min(movement)), np.sqrt(max(movement))), rtol=1e-6)
    assert magnitudes.level == pytest.approx(np.nanmax(np.abs(values)))


def test_a_start_is_the_mean_of_what_is_observed_of_the_first_ones() -> None:
    values = np.array([[1.0, NAN, 5.0], [3.0, 4.0, NAN], [9.0, 9.0, 9.0], [0.0, 1.0, 2.0]])
    adata = assemble("small", raw_of(values), {"initial_state": {"mean_of_first": 2}}, {})
    np.testing.assert_array_equal(read_metadata(adata).initial_states.to_numpy(), [[2.0, 4.0, 5.0]])
    rows = training_rows(adata, windows=None, smoothing=0, order=1)
    noise = observation_noise(adata.X.astype(float))
    np.testing.assert_allclose(rows.initial_error[0], noise / np.sqrt([2, 1, 1]))


def test_a_start_that_is_not_observed_is_the_nearest_training_value(caplog: pytest.LogCaptureFixture) -> None:
    """Before the start where it can be; never a value that is held back to be forecast."""
    first = np.array([[1.0, NAN], [2.0, 6.0], [3.0, 7.0], [4.0, 8.0]])
    other = np.array([[1.0, 3.0], [NAN, NAN], [2.0, NAN], [3.0, 5.0]])
    splits = {0: ["train", "validation", "train", "train"]}
    with caplog.at_level(logging.WARNING):
        adata = assemble("small", raw_of(first, other, splits=splits), {}, {})
    np.testing.assert_array_equal(read_metadata(adata).initial_states.to_numpy(), [[1.0, 7.0], [1.0, 3.0]])
    assert "dataset small: 1 initial values are not observed" in caplog.text
    assert "'b' in trajectory 't0'" in caplog.text
    settings = {"initial_state": {"known": 2}}
    adata = assemble("small", raw_of(first, np.delete(other, 1, axis=0), splits=splits), settings, {})
    np.testing.assert_array_equal(read_metadata(adata).initial_states.to_numpy(), [[2.0, 6.0], [2.0, 3.0]])


def test_observations_without_an_entry_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    values = with_holes((9, 3), share=0.2)
    holes = np.insert(values, [0, 4, 9], NAN, axis=0)
    raw = raw_of(holes, values)
    first = replace(
        raw.trajectories[0],
        weights=np.arange(12.0),
        noise_free=np.arange(36.0).reshape(12, 3),
        observation_names=tuple("abcdefghijkl"),
        embeddings={"map": np.arange(24.0).reshape(12, 2)},
        observation_labels={"kind": tuple("mnopqrstuvwx")},
    )
    with caplog.at_level(logging.WARNING):
        adata = assemble("small", replace(raw, trajectories=(first, raw.trajectories[1])), {}, {})
    assert "3 observations have no observed entry and are left out: 3 of trajectory 't0'" in caplog.text
    rows = [1, 2, 3, 4, 6, 7, 8, 9, 10]
    np.testing.assert_array_equal(adata.X[:9], values.astype(np.float32))
    np.testing.assert_array_equal(adata.obs["time"].iloc[:9], rows)
    np.testing.assert_array_equal(adata.obs["weight"].iloc[:9], rows)
    assert adata.obs_names[:9].tolist() == [first.observation_names[row] for row in rows]


def test_too_little_is_named_in_one_message() -> None:
    values = with_holes((9, 4), share=0.2)
    values[:, 1] = NAN
    values[4, 1] = 1.0
    short = np.full((3, 4), 1.0)
    short[0], short[1:] = NAN, 2.0
    lone = np.full((2, 4), NAN)
    lone[0, 0] = lone[1, 2] = 1.0
    no_d = np.ones((3, 4))
    no_d[:, 3] = NAN
    raw = raw_of(values, lone, no_d, splits={1: ["train", "test"]})
    with pytest.raises(UserError) as caught:
        assemble("small", raw, {}, {})
    message = str(caught.value)
    assert message.startswith(
        "dataset small: 1 training trajectories with fewer than two observed training values: 't1' has 1"
    )
    assert "'c' in trajectory 't1', 'd' in trajectory 't1', 'd' in trajectory 't2'" in message
    assert message.endswith("; leave these features or trajectories out")
    values[:, 1] = NAN
    with pytest.raises(UserError, match="1 features with fewer than two observed training values: 'b' has 0; leave"):
        assemble("small", raw_of(values, values[::-1]), {}, {})


def test_centering_looks_at_observed_entries() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal((1e7, 0.0), size=(60, 2))
    holes = values.copy()
    holes[rng.random(holes.shape) < 0.4] = NAN
    holes[np.isnan(holes).all(axis=1), 1] = 0.5
    train = [np.full(60, "train")]
    raw, center = center_values("far", raw_of(holes), train)
    assert center is not None
    assert center[0] == pytest.approx(1e7, abs=1.0)
    assert center[1] == 0.0
    np.testing.assert_array_equal(raw.trajectories[0].values, holes - center)


def test_rounded_values_are_refused_between_missing_ones() -> None:
    values = np.float32(1e7) + np.tile([0.0, 1.0, 2.0, 3.0], 10)[:, None]
    values[::5] = NAN
    assert count_steps([values, np.full((2, 1), NAN)], np.dtype(np.float32))[0] == 3
    with pytest.raises(UserError, match="the movement of 1 of 1 features"):
        refuse_rounded([values], np.dtype(np.float32), ["x"], "file")


@given(st.integers(0, 10_000), st.floats(0.05, 0.9))
def test_local_fits_slopes_and_noise_are_those_of_each_feature_by_itself(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    times, values = np.sort(rng.uniform(0, 3, 12)), rng.normal(size=(12, 4))
    values[rng.random(values.shape) < share] = NAN
    at = float(rng.uniform(0, 3))
    fitted, slope = local_fit(times, values, at)
    slopes, errors = past_slopes(times, values, np.array([11]), 8)
    noise = observation_noise(values, np.arange(1.0, 13.0))
    for column in range(4):
        seen = ~np.isnan(values[:, column])
        alone = values[seen][:, [column]]
        assert noise[column] == pytest.approx(observation_noise(alone, np.arange(1.0, 13.0)[seen])[0])
        if not seen.any():
            assert np.isnan(fitted[column])
            assert slope[column] == 0.0
            continue
        expected = local_fit(times[seen], alone, at)
        np.testing.assert_allclose([fitted[column], slope[column]], np.ravel(expected), rtol=1e-7, atol=1e-9)
        past = seen[4:]
        degree = min(1 if past.sum() < 4 else 2, past.sum() - 1)
        if degree < 1:
            assert (slopes[0, column], errors[0, column]) == (0.0, 0.0)
            continue
        fit = np.polynomial.Polynomial.fit(times[4:][past], values[4:, column][past], degree)
        assert slopes[0, column] == pytest.approx(fit.deriv()(times[11]), rel=1e-6, abs=1e-8)


@given(st.integers(0, 10_000))
def test_states_are_carried_forward_within_a_trajectory(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, trajectory = rng.normal(size=(15, 3)), np.repeat([0, 1, 2], [6, 1, 8])
    values[rng.random(values.shape) < 0.6] = NAN
    initial = rng.normal(size=(3, 3))
    carried = carry_forward(values, trajectory, initial)
    for row in range(15):
        for column in range(3):
            expected = initial[trajectory[row], column]
            for before in np.flatnonzero(trajectory[: row + 1] == trajectory[row]):
                if np.isfinite(values[before, column]):
                    expected = values[before, column]
            assert carried[row, column] == expected


def test_lines_lead_from_one_observed_value_to_the_next() -> None:
    times = np.array([0.0, 1.0, 3.0, 4.0])
    values = np.array([[NAN, 1.0, NAN, 1.0], [2.0, NAN, NAN, 2.0], [NAN, NAN, NAN, 3.0], [5.0, NAN, NAN, 4.0]])
    expected = np.array([[2.0, 1.0, NAN, 1.0], [2.0, 1.0, NAN, 2.0], [4.0, 1.0, NAN, 3.0], [5.0, 1.0, NAN, 4.0]])
    np.testing.assert_array_equal(interpolate(times, values), expected)
    assert {tuple(columns.tolist()): int(rows.sum()) for columns, rows in by_pattern(values)} == {
        (0,): 2,
        (1,): 1,
        (2,): 0,
        (3,): 4,
    }


@pytest.mark.parametrize("smoothing", [0, 2])
def test_windows_restart_where_nothing_was_observed(smoothing: int) -> None:
    """On a line every way to fill an entry but the last resort is exact."""
    times = np.arange(12.0)
    values = np.stack((times, 3 - 2 * times), axis=1)
    for row, column in ((3, 0), (4, 0), (6, 1), (9, 0)):
        values[row, column] = NAN
    adata = assemble("line", raw_of(values), {}, {})
    rows = training_rows(adata, windows=(2, 1), smoothing=smoothing, order=2)
    starts = np.array([chosen[0] for chosen in rows.observations])
    np.testing.assert_allclose(rows.initial, np.stack((starts, 3 - 2 * starts), axis=1), atol=1e-9)
    np.testing.assert_allclose(rows.velocity, np.tile([1.0, -2.0], (len(starts), 1)), atol=1e-9)
    assert sum(np.isnan(observed).sum() for observed in rows.observed) > 0


def test_a_file_with_missing_entries_is_preprocessed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    values = 1e3 * np.abs(with_holes((20, 3)))
    obs = pd.DataFrame(
        {"t": np.tile(np.arange(10.0), 2), "who": ["x"] * 10 + ["y"] * 10}, index=list("abcdefghijklmnopqrstu"[:20])
    )
    AnnData(values, obs, pd.DataFrame(index=["A", "B", "C"])).write_h5ad(tmp_path / "mine.h5ad")
    named = {"path": str(tmp_path / "mine.h5ad"), "time": "t", "trajectory": "who", "transform": "log1p"}
    options = make_source("anndata", {**named, "scaling": "training_range"}).options
    with caplog.at_level(logging.INFO):
        preprocess_dataset("mine", {"source": "anndata", "options": options}, tmp_path, tmp_path / "out.h5ad")
    adata = read_trajectories(tmp_path / "out.h5ad")
    logs = np.log1p(values)
    lowest, highest = np.nanmin(logs, axis=0), np.nanmax(logs, axis=0)
    np.testing.assert_allclose(adata.X, (logs - lowest) / (highest - lowest), rtol=1e-5, atol=1e-6)
    assert "% of the entries missing" in caplog.text
