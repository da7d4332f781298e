"""Values far from zero beside their movement, from the file to forecasts that are written."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from sparsenode.application import forecast_file, rates_file
from sparsenode.data.centering import center_values, count_steps
from sparsenode.data.contract import read_trajectories, subtracted_center
from sparsenode.data.preprocess import assemble, preprocess_dataset
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.ensemble.members import load_ensemble
from sparsenode.errors import UserError
from sparsenode.evaluation.evaluate import evaluate_models
from sparsenode.training.job import train_members

FAR = np.array([1e7, 0.0, -3e8])


def cells_of(values: np.ndarray, times: np.ndarray | None = None) -> AnnData:
    """Four trajectories of ten observations of A, B and C."""
    obs = pd.DataFrame(
        {"time": np.tile(np.linspace(0, 2, 10), 4) if times is None else times, "course": np.repeat(list("abcd"), 10)},
        index=[f"o{number}" for number in range(40)],
    )
    return AnnData(values, obs, pd.DataFrame(index=["A", "B", "C"]))


@pytest.fixture(scope="module")
def near() -> np.ndarray:
    """Values that decay from 0.5 to 1.5 at the start, and noise, in double precision."""
    generator = np.random.default_rng(0)
    decay = np.exp(-np.tile(np.linspace(0, 2, 10), 4))[:, None]
    return np.repeat(generator.uniform(0.5, 1.5, (4, 3)), 10, axis=0) * decay + 0.01 * generator.standard_normal(
        (40, 3)
    )


Preprocess = Callable[..., AnnData]


@pytest.fixture
def preprocess(tmp_path: Path) -> Preprocess:
    def write(cells: AnnData, name: str = "mine", **options: Any) -> AnnData:
        cells.write_h5ad(tmp_path / f"cells_{name}.h5ad")
        settings = {
            "source": "anndata",
            "options": {
                "path": str(tmp_path / f"cells_{name}.h5ad"),
                "trajectory": "course",
                "test_trajectories": ["d"],
                **options,
            },
            "validation": {"by": "trajectory", "share": 0.3},
        }
        preprocess_dataset(name, settings, tmp_path, tmp_path / f"{name}.h5ad")
        return read_trajectories(tmp_path / f"{name}.h5ad")

    return write


def measured(adata: AnnData) -> np.ndarray:
    facts = adata.uns["sparsenode"]
    rows = adata.obs["trajectory"].cat.codes.to_numpy()
    return facts["offset"][rows] + facts["scale"][rows] * np.asarray(adata.X, np.float64)


@pytest.mark.parametrize("transform", ["none", "log1p"])
def test_what_was_measured_is_led_back_to(near: np.ndarray, preprocess: Preprocess, transform: str) -> None:
    values = near + np.abs(FAR) + 1
    adata = preprocess(cells_of(values), transform=transform)
    expected = np.log1p(values) if transform == "log1p" else values
    np.testing.assert_allclose(measured(adata), expected, rtol=0, atol=1e-6)
    moved = np.asarray(adata.X, np.float64)
    for feature in range(3):
        found, true = np.diff(moved[:10, feature]), np.diff(expected[:10, feature])
        np.testing.assert_allclose(found, true, rtol=0, atol=1e-6 * np.ptp(true))
    states = adata.uns["sparsenode"]["initial_states"].to_numpy()
    np.testing.assert_allclose(states + subtracted_center(adata), expected[::10], rtol=0, atol=1e-7)
    assert (np.abs(moved) < 10).all()


@pytest.mark.parametrize("far", [0.0, 100.0])
def test_values_near_zero_keep_their_bits(near: np.ndarray, preprocess: Preprocess, far: float) -> None:
    adata = preprocess(cells_of(near + far))
    np.testing.assert_array_equal(adata.X, (near + far).astype(np.float32))
    assert "center" not in adata.uns["sparsenode"]
    assert not adata.uns["sparsenode"]["offset"].any()


def test_only_far_features_are_centered_and_it_is_said(
    near: np.ndarray, preprocess: Preprocess, caplog: pytest.LogCaptureFixture
) -> None:
    adata = preprocess(cells_of(near + FAR))
    center = adata.uns["sparsenode"]["center"]
    assert center[1] == 0
    np.testing.assert_array_equal(adata.X[:, 1], near[:, 1].astype(np.float32))
    np.testing.assert_allclose(center - FAR, [0.5, 0, 0.5], rtol=0, atol=0.6)
    np.testing.assert_array_equal(adata.uns["sparsenode"]["offset"], np.tile(center, (4, 1)))
    assert (
        "2 of 3 features are far from zero beside their movement, and are centered in X: A by 0.277 beside"
        in caplog.text
    )


SETTINGS: Mapping[str, Any] = {
    "model": "small",
    "method": "none",
    "model_settings": {"hidden": [6], "iterations": 60, "decay": 1.0, "solver": {"scheme": "rk4", "step": 0.5}},
    "method_settings": {"regularizer": "none", "strengths": [0.0], "options": {}},
}


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_models_and_forecasts_are_those_of_values_near_zero(
    near: np.ndarray, preprocess: Preprocess, tmp_path: Path
) -> None:
    # What is subtracted is subtracted from both, so that the same numbers are learned from.
    center = preprocess(cells_of(near + FAR), "far").uns["sparsenode"]["center"]
    preprocess(cells_of(near + FAR - center), "near")
    metrics, zeros, forecasts, models, tables, rates = {}, {}, {}, {}, {}, {}
    for name, shift in (("near", FAR - center), ("far", FAR)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"dataset": name, **SETTINGS}))
        model = tmp_path / f"{name}.safetensors"
        data = tmp_path / f"{name}.h5ad"
        train_members(data, tmp_path / f"{name}.json", range(2), model, tmp_path / "h.parquet", threads=1, device="cpu")
        models[name] = load_ensemble(model)
        folder = tmp_path / name
        evaluate_models(
            data=data,
            models=[model],
            settings=[tmp_path / f"{name}.json"],
            metrics=folder / "metrics.parquet",
            forecasts=folder / "forecasts.parquet",
            networks=folder / "networks",
            selection=folder / "selection",
        )
        table = pd.read_parquet(folder / "metrics.parquet").query("metric in ['mse', 'skill']")
        by_zeros = (table["method"] == "baseline:zeros") | (table["reference"] == "baseline:zeros")
        metrics[name], zeros[name] = table[~by_zeros], table[table["method"] == "baseline:zeros"]
        forecasts[name] = pd.read_parquet(folder / "forecasts.parquet").query("method != 'baseline:zeros'")
        states = pd.DataFrame(near[[0, 10]] + shift, index=["x", "y"], columns=["A", "B", "C"])
        states.to_csv(tmp_path / "states.csv")
        forecast_file(model, tmp_path / "states.csv", tmp_path / "csv.parquet", times=[0, 1, 2])
        forecast_file(model, data, tmp_path / "h5ad.parquet")
        rates_file(model, tmp_path / "states.csv", tmp_path / "rates.parquet")
        tables[name] = [pd.read_parquet(tmp_path / f"{kind}.parquet") for kind in ("csv", "h5ad")]
        rates[name] = pd.read_parquet(tmp_path / "rates.parquet")["rate"]
        held = models[name].forecast(states.to_numpy(), [np.arange(3.0)] * 2, clamp={"A": shift[0] + 2})
        np.testing.assert_allclose(held[0][..., 0] - shift[0], 2, rtol=0, atol=1e-6)
    assert (models["near"].centers, models["far"].centers) == ((), tuple(center))
    np.testing.assert_allclose(metrics["far"]["value"], metrics["near"]["value"], rtol=1e-4)
    whole = zeros["far"].query("trajectory == 'all' and split == 'test'")["value"]
    np.testing.assert_allclose(whole, np.square(near[30:] + FAR).mean(), rtol=1e-6)
    np.testing.assert_allclose(rates["far"], rates["near"], rtol=0, atol=1e-5)
    by_feature = dict(zip("ABC", center, strict=True))
    for far, plain in zip([forecasts["far"], *tables["far"]], [forecasts["near"], *tables["near"]], strict=True):
        assert far["predicted"].dtype == np.float64
        back = far["predicted"] - far["feature"].map(by_feature).astype(float)
        np.testing.assert_allclose(back, plain["predicted"], rtol=0, atol=1e-5)
    start = tables["far"][0].query("trajectory == 'x' and time == 0").groupby("feature")["predicted"].first()
    np.testing.assert_allclose(start, near[0] + FAR, rtol=0, atol=1e-6)


def raw_of(near: np.ndarray, raw: RawTrajectories, shift: np.ndarray, **changes: Any) -> RawTrajectories:
    parts = [
        replace(part, values=near[10 * number : 10 * number + 10][: len(part.times)] + shift[number])
        for number, part in enumerate(raw.trajectories)
    ]
    return replace(raw, trajectories=tuple(parts), **changes)


def test_movement_that_is_lost_all_the_same_is_refused(near: np.ndarray, raw: RawTrajectories) -> None:
    apart = np.array([[0.0, 0, 0], [1e9, 0, 0], [0, 0, 0]])
    message = r"dataset small: 1 of 3 features move too little .*: a by 0\.\d+ beside values up to 1000000001.*per_traj"
    with pytest.raises(UserError, match=message):
        assemble("small", raw_of(near, raw, apart), {}, {})
    for part in (apart / 1e5, apart * 0):
        assert center_values("small", raw_of(near, raw, part), [one.splits for one in raw.trajectories])[1] is None


def test_movement_in_test_data_alone_is_centered(near: np.ndarray, raw: RawTrajectories) -> None:
    values = [np.full(part.values.shape, 1e8) for part in raw.trajectories]
    values[2][:, 0] += np.linspace(0, 1, 6)  # within the test trajectory
    values[2][:, 1] += 1  # between it and the others
    parts = [replace(part, values=value) for part, value in zip(raw.trajectories, values, strict=True)]
    centered, center = center_values("s", replace(raw, trajectories=tuple(parts)), [part.splits for part in parts])
    assert center is not None
    np.testing.assert_array_equal(center, [1e8, 1e8, 0])
    np.testing.assert_array_equal(centered.trajectories[2].values[:, 0], values[2][:, 0] - 1e8)
    np.testing.assert_array_equal(centered.trajectories[2].values[:, 1], 1.0)


def test_movement_that_is_lost_in_test_data_alone_is_refused(near: np.ndarray, raw: RawTrajectories) -> None:
    for shift in (np.array([[0.0, 0, 0], [0, 0, 0], [1e9, 0, 0]]), np.array([[0.0, 0, 0], [0, 0, 0], [0, 0, -1e9]])):
        far = raw_of(near, raw, shift)
        with pytest.raises(UserError, match="1 of 3 features move too little within their trajectories"):
            center_values("s", far, [part.splits for part in far.trajectories])


@pytest.mark.parametrize("size", [1e-50, 1e-200])
def test_values_that_single_precision_would_make_zeros_are_refused(
    near: np.ndarray, raw: RawTrajectories, size: float
) -> None:
    tiny = raw_of(near * np.array([1, size, 1]), raw, np.zeros((3, 3)))
    with pytest.raises(UserError, match=r"1 of 3 features move too little .*: b/c by .* beside values up to \d.*e-"):
        assemble("small", tiny, {}, {})
    zeros = raw_of(near * np.array([1, 0, 1]), raw, np.zeros((3, 3)))
    assert not assemble("small", zeros, {}, {}).X[:, 1].any()


@pytest.mark.parametrize("trajectory", [0, 2])
def test_one_observation_far_from_all_others_is_no_reason_to_refuse_them(
    near: np.ndarray, raw: RawTrajectories, trajectory: int
) -> None:
    plain = raw_of(near, raw, np.zeros((3, 3)))
    plain.trajectories[trajectory].values[4, 1] = 2e6
    centered, center = center_values("s", plain, [part.splits for part in plain.trajectories])
    assert center is None
    assert centered is plain


def test_what_arithmetic_leaves_of_a_constant_is_no_movement(near: np.ndarray, raw: RawTrajectories) -> None:
    tiny = raw_of(1e-14 * near, raw, np.full((3, 3), 0.3))
    found, center = center_values("small", tiny, [part.splits for part in raw.trajectories])
    assert center is None
    assert found is tiny


def test_noise_free_and_single_observations_are_centered_too(near: np.ndarray, raw: RawTrajectories) -> None:
    far = raw_of(near, raw, np.tile(FAR, (3, 1)))
    parts = [replace(part, noise_free=part.values + 1, first_values=part.values - 1) for part in far.trajectories]
    parts = [replace(part, scale=np.array([2.0, 1, 1]), offset=np.array([5.0, 0, 0])) for part in parts]
    found, center = center_values("s", replace(far, trajectories=tuple(parts)), [part.splits for part in parts])
    assert center is not None
    for part, same in zip(found.trajectories, parts, strict=True):
        np.testing.assert_array_equal(part.values, same.values - center)
        np.testing.assert_array_equal(part.noise_free, same.noise_free - center)
        np.testing.assert_array_equal(part.first_values, same.first_values - center)
        np.testing.assert_array_equal(part.offset, [5 + 2 * center[0], center[1], center[2]])


@pytest.mark.parametrize(
    ("kind", "far", "scaling"),
    [("float32", 1e7, "none"), ("float32", 1e7, "training_range"), ("float16", 1000.0, "none")],
)
def test_values_that_were_rounded_before_are_refused(
    near: np.ndarray, preprocess: Preprocess, kind: str, far: float, scaling: str
) -> None:
    values = (near + far * np.array([1, 0, 0])).astype(kind)
    message = rf"cells_mine\.h5ad: the movement of 1 of 3 features \(A\) is lost in rounding: .* in {kind}, .* double"
    with pytest.raises(UserError, match=message):
        preprocess(cells_of(values), scaling=scaling)
    preprocess(cells_of(values), genes=["B", "C"], scaling=scaling)


@pytest.mark.parametrize(
    ("constant", "noise"),
    [(0.1, np.nextafter(np.float32(0.1), np.float32(1))), (0.0, 1e-45), (0.0, 1e-44)],
)
def test_what_arithmetic_leaves_of_a_constant_is_told(
    near: np.ndarray, preprocess: Preprocess, constant: float, noise: float, caplog: pytest.LogCaptureFixture
) -> None:
    values = near.astype(np.float32)
    values[:, 1] = constant
    values[14, 1] = noise
    preprocess(cells_of(values))
    assert "the movement of 1 of 3 features (B) is lost in rounding: within a trajectory" in caplog.text
    assert "if they are no constants, write them in double precision (float64), or less a number" in caplog.text
    values[:, 0] += np.float32(1e7)  # a feature that is refused is not left unnamed beside them
    with pytest.raises(UserError, match=r"the movement of 1 of 3 features \(A\) is lost in rounding"):
        preprocess(cells_of(values))


def test_what_double_precision_has_rounded_is_told(
    near: np.ndarray, preprocess: Preprocess, caplog: pytest.LogCaptureFixture
) -> None:
    preprocess(cells_of(near + np.array([0, 1e16, 0])))
    assert "the movement of 1 of 3 features (B) is lost in rounding: within a trajectory" in caplog.text
    assert "in float64, span at most 1 neighboring numbers of it; if they are no constants" in caplog.text


def test_steps_between_neighboring_numbers() -> None:
    parts = [np.array([[0.0, 1.0, 2**23, 5.0]]), np.array([[1.0, 1.0, 2**23, 5.0], [3.0, 1.0, 2**23 + 4, 5.0]])]
    steps = count_steps(parts, np.dtype(np.float32))
    np.testing.assert_array_equal(steps, [2 * 2**22, np.inf, 4, np.inf])
    np.testing.assert_array_equal(count_steps(parts, np.dtype(np.int32))[2], 4 * 2**29)


SECONDS = np.tile(np.linspace(0, 90, 10), 4)


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_times_since_1970_change_nothing(near: np.ndarray, preprocess: Preprocess, tmp_path: Path) -> None:
    tables = {}
    # As many steps as over the 2 units of time of the other tests.
    in_seconds = {"decay": 1 / 45, "time_scale": 45.0, "solver": {"scheme": "rk4", "step": 22.5}}
    settings_of_model = {**SETTINGS["model_settings"], **in_seconds}
    for name, origin in (("near", 0.0), ("far", 1.7e9)):
        preprocess(cells_of(near, SECONDS + origin), name)
        written = {"dataset": name, **SETTINGS, "model_settings": settings_of_model}
        (tmp_path / f"{name}.json").write_text(json.dumps(written))
        paths = {key: tmp_path / name / f"{key}.parquet" for key in ("metrics", "forecasts")}
        model = tmp_path / f"{name}.safetensors"
        arguments = {"threads": 1, "device": "cpu"}
        data, settings = tmp_path / f"{name}.h5ad", tmp_path / f"{name}.json"
        train_members(data, settings, range(1), model, tmp_path / "h.parquet", **arguments)
        folders = {key: tmp_path / name / key for key in ("networks", "selection")}
        evaluate_models(data=data, models=[model], settings=[settings], **paths, **folders)
        tables[name] = pd.read_parquet(paths["metrics"]).query("metric in ['mse', 'skill', 'explained']")["value"]
    np.testing.assert_allclose(tables["far"], tables["near"], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    "times",
    [
        (SECONDS + 1.7e9).astype(np.float32),
        np.full(40, 1.7e9, np.float32),
        (np.tile(np.arange(10), 4) * 100 + 1.7e18).astype(np.int64),
        (SECONDS / 90 + 2000).astype(np.float16),
    ],
)
def test_times_that_were_rounded_before_are_refused(
    near: np.ndarray, preprocess: Preprocess, times: np.ndarray
) -> None:
    with pytest.raises(
        UserError, match=r"trajectory 'a': times up to .* apart at least, which rounds their steps away"
    ) as caught:
        preprocess(cells_of(near, times))
    assert str(caught.value).endswith("float64)") == (times.dtype.kind == "f")
