"""The estimator trains the members of the workflow, and answers from them."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import sparsenode
from rotations import rotation
from sparsenode.data.contract import write_trajectories
from sparsenode.ensemble.members import load_ensemble
from sparsenode.errors import UserError
from sparsenode.estimator.model import SparseNODE
from sparsenode.estimator.settings import PARAMETERS, FitSettings, complete_settings
from sparsenode.evaluation.evaluate import evaluate_models
from sparsenode.evaluation.networks import read_edges
from sparsenode.settings import JobSettings, ModelSettings, ValidationSettings
from sparsenode.training.job import train_members
from sparsenode.typed import read_settings


@pytest.mark.slow(reason="fits models")
def test_the_workflow_trains_the_same_members_and_measures_the_same(fitted: SparseNODE, tmp_path: Path) -> None:
    data, settings, output = (tmp_path / name for name in ("data.h5ad", "settings.json", "model.safetensors"))
    write_trajectories(fitted.adata_, data)
    settings.write_text(json.dumps(fitted.settings_))
    train_members(data, settings, range(2), output, tmp_path / "history.parquet", device="cpu")
    trained = load_ensemble(output)
    ours = fitted.ensemble_.parameters.named()
    theirs = trained.parameters.named()
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name].numpy(), theirs[name].numpy()) for name in ours)
    assert pd.read_parquet(tmp_path / "history.parquet").equals(fitted.history_)
    folders = {name: tmp_path / name for name in ("networks", "selection")}
    tables = {name: tmp_path / f"{name}.parquet" for name in ("metrics", "forecasts")}
    evaluate_models(data=data, models=[output], settings=[settings], **tables, **folders)
    measured = pd.read_parquet(tables["metrics"])
    same = ~measured["metric"].isin(["seconds", "memory_bytes"])
    values = fitted.evaluation_.metrics["value"]
    np.testing.assert_array_equal(measured.loc[same, "value"], values[same.to_numpy()])
    edges = read_edges(tmp_path / "networks" / "fit" / "grouplasso.csv")
    assert edges["source"].tolist() == fitted.evaluation_.networks["fit", "grouplasso"]["source"].tolist()


def test_defaults_are_those_of_the_typed_settings() -> None:
    parameters = SparseNODE().get_params()
    assert parameters == PARAMETERS
    for settings in (ModelSettings, JobSettings):
        for name in set(settings.model_fields) - set(FitSettings.__annotations__) - {"network"}:
            assert parameters[name] == settings.model_fields[name].get_default(call_default_factory=True), name


def test_no_setting_hides_a_method() -> None:
    methods = {name for name in dir(SparseNODE) if not name.startswith("_")}
    assert not methods & set(PARAMETERS)


def test_every_setting_is_described() -> None:
    table = SparseNODE.describe().set_index("setting")
    assert set(table.index) == set(PARAMETERS) - {"verbose"}
    assert table["description"].str.len().min() > 10


def test_settings_can_be_set_cloned_and_pickled(fitted: SparseNODE) -> None:
    model = SparseNODE(iterations=7).set_params(seeds=4)
    assert clone(model).get_params() == model.get_params()
    assert repr(model) == "SparseNODE(iterations=7, seeds=4)"
    copied = pickle.loads(pickle.dumps(fitted))  # noqa: S301  our own
    pd.testing.assert_frame_equal(copied.network(), fitted.network())


def test_a_fit_again_is_the_same_fit(fitted: SparseNODE, tiny: dict[str, Any]) -> None:
    again = SparseNODE(**tiny).fit(*rotation())
    assert again.network().equals(fitted.network())
    assert again.path().equals(fitted.path())


def test_a_network_lists_edges_by_their_rank(fitted: SparseNODE) -> None:
    edges = fitted.network()
    assert edges["rank"].tolist() == [1, 2]
    assert {*zip(edges["source"], edges["target"], strict=True)} == {("x1", "x2"), ("x2", "x1")}
    assert (np.sign(edges["effect"]) == edges["sign"]).all()
    listed = fitted.evaluation_.networks["fit", "grouplasso"].query("source != target")
    assert edges["effect"].abs().tolist() == listed["share"].tolist()
    assert edges["effect"].abs().is_monotonic_decreasing
    assert len(fitted.network(self_loops=True)) == 4


def test_a_path_has_each_strength_and_the_chosen_one(fitted: SparseNODE) -> None:
    path = fitted.path()
    assert path["strength"].tolist() == [0.01, 0.1]
    assert path.loc[path["chosen"], "strength"].tolist() == [fitted.strength_]
    candidates = fitted.evaluation_.selections["fit", "grouplasso"]["candidates"]
    assert path["error"].tolist() == [entry["mean"] for entry in candidates]
    assert (path["edges"] <= 2).all()


def chosen(model: SparseNODE) -> Any:
    members = model.ensemble_.members
    return model.ensemble_.select([row for row, each in enumerate(members) if each.strength == model.strength_])


def test_forecasts_are_medians_and_quantiles_of_the_chosen_members(fitted: SparseNODE) -> None:
    times = [0.0, 0.3, 1.0]
    members = chosen(fitted).forecast([[1.0, 0.2]], times)[0]
    states, lower, upper = fitted.forecast([1.0, 0.2], times, coverage=1.0)
    np.testing.assert_allclose(states, np.median(members, axis=0))
    np.testing.assert_allclose(lower, members.min(axis=0))
    np.testing.assert_allclose(upper, members.max(axis=0))
    several = fitted.forecast(pd.DataFrame({"x2": [0.2, 0.1], "x1": [1.0, 0.0]}), times)
    np.testing.assert_allclose(several.states[0], states)
    assert len(several.upper) == 2


def test_a_forecast_holds_what_is_clamped(fitted: SparseNODE) -> None:
    forecast = fitted.forecast([1.0, 0.2], [0.0, 1.0], clamp={"x2": 0.7})
    np.testing.assert_allclose(forecast.states[:, 1], 0.7, rtol=1e-6)


def test_rates_are_those_of_the_chosen_members(fitted: SparseNODE) -> None:
    states = np.array([[1.0, 0.0], [0.3, 0.4]])
    np.testing.assert_allclose(fitted.rates(states), np.median(chosen(fitted).rates(states), axis=0))
    np.testing.assert_allclose(fitted.rates(states[1]), fitted.rates(states)[1], rtol=1e-6)


def test_the_score_of_validation_data_is_the_skill_of_the_table_of_metrics(fitted: SparseNODE) -> None:
    metrics = fitted.evaluation_.metrics
    rows = metrics[(metrics["split"] == "validation") & (metrics["trajectory"] == "all") & (metrics["metric"] == "mse")]
    trivial = rows.loc[rows["method"].str.startswith("baseline:"), "value"].min()
    mine = rows.loc[(rows["method"] == "grouplasso") & (rows["strength"] == fitted.strength_), "value"].median()
    assert fitted.score() == pytest.approx(1 - mine / trivial)


def test_the_score_of_new_data_is_that_of_their_forecasts(fitted: SparseNODE) -> None:
    values, times = rotation(2)
    values = values[:, ::-1] + 0.1
    members = chosen(fitted).forecast(values[:, 0], times)
    errors = np.mean(
        [[np.square(member - row).mean() for member in each] for each, row in zip(members, values, strict=True)], axis=0
    )
    held = np.square(values - values[:, :1]).mean()
    zeros = np.square(values).mean()
    fit = fitted.adata_[fitted.adata_.obs["split"].isin(["train", "validation"])]
    mean = np.square(values - fit.X.mean(axis=0)).mean()
    time = fit.obs["time"].to_numpy()
    line = np.polynomial.polynomial.polyfit(time, fit.X.astype(float), 1)
    lines = np.square(values - (line[0] + times[:, None] * line[1])).mean()
    expected = 1 - np.median(errors) / min(held, zeros, mean, lines)
    assert fitted.score(values, times) == pytest.approx(expected, rel=1e-4)


def test_effects_of_an_intervention_are_changes_of_means(fitted: SparseNODE) -> None:
    table = fitted.knock_out("x1")
    assert table["variable"].tolist() == ["x2"]
    data = rotation()[0].astype(np.float32)
    times = np.linspace(0.0, 3.0, 60)
    ensemble = chosen(fitted)
    change = np.mean(
        [
            held[:, :, 1].mean(axis=1) - free[:, :, 1].mean(axis=1)
            for held, free in zip(
                ensemble.forecast(data[:, 0], times, clamp={"x1": 0.0}),
                ensemble.forecast(data[:, 0], times),
                strict=False,
            )
        ],
        axis=0,
    )
    assert table["effect"].item() == pytest.approx(np.median(change), rel=1e-4)
    assert table["lower"].item() <= table["effect"].item() <= table["upper"].item()
    assert fitted.intervene({"x1": "high"})["effect"].item() != table["effect"].item()
    # Nothing is drawn: the same fit, also after a file, gives the same answer again.
    assert fitted.knock_out("x1").equals(table)
    reach = 6.313751514675041 * np.std(change, ddof=1)  # Student's, of two members
    assert table["upper"].item() - table["effect"].item() == pytest.approx(reach, rel=1e-3)
    assert table["verdict"].item() == "cannot be told"


@pytest.mark.parametrize("coverage", [0.0, 1.5, 90, "most"])
def test_a_coverage_that_is_no_share_is_refused(fitted: SparseNODE, coverage: Any) -> None:
    message = f"coverage: found {coverage!r}; give a share above 0 and at most 1"
    with pytest.raises(UserError, match=message):
        fitted.forecast([1.0, 0.2], [0.0, 1.0], coverage=coverage)
    with pytest.raises(UserError, match=f"coverage: found {coverage!r}; give a share above 0 and below 1"):
        fitted.intervene({"x1": 0.0}, coverage=coverage)


def test_a_forecast_is_held_at_numbers_only(fitted: SparseNODE) -> None:
    with pytest.raises(UserError, match="cannot hold 'x1' at 'low'; give a finite number"):
        fitted.forecast([1.0, 0.2], [0.0, 1.0], clamp={"x1": "low"})  # type: ignore[dict-item]
    with pytest.raises(UserError, match=r"knock_out: found \['x1'\]; give names"):
        fitted.knock_out(["x1"])  # type: ignore[arg-type]


@pytest.mark.slow(reason="fits models")
def test_several_variables_are_knocked_out_together(tiny: dict[str, Any]) -> None:
    values, times = rotation()
    values = np.concatenate((values, values[..., :1] * values[..., 1:]), axis=-1)
    model = SparseNODE(**tiny).fit(values, times)
    both = model.knock_out("x1", "x3")
    assert both["variable"].tolist() == ["x2"]
    assert both.equals(model.intervene({"x1": 0.0, "x3": 0.0}))


def test_an_effect_on_what_rests_in_training_has_no_relative_size(fitted: SparseNODE) -> None:
    model = copy.deepcopy(fitted)
    training = (model.adata_.obs["split"] == "train").to_numpy()
    model.adata_.X[training, 1] = 0.5
    table = model.knock_out("x1")
    assert np.isfinite(table["effect"]).all()
    assert table["relative"].isna().all()


@pytest.mark.parametrize(
    ("clamp", "message"),
    [({"x9": 0.0}, "no variable is named 'x9'; the nearest: x"), ({"x1": 0.0, "x2": 0.0}, "holds every variable")],
)
def test_interventions_that_cannot_be_made_are_refused(
    fitted: SparseNODE, clamp: dict[str, float], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        fitted.intervene(clamp)


def test_a_summary_says_what_was_fitted_on_one_screen(fitted: SparseNODE) -> None:
    text = fitted.summary()
    assert "3 trajectories of 2 variables (x1, x2): 42 observations (36 train, 6 validation)" in text
    assert f"chosen strength: {fitted.strength_:g}" in text
    assert "best trivial forecast" in text
    assert len(text.splitlines()) < 40


@pytest.mark.slow(reason="fits models")
def test_strengths_are_chosen_in_training_unless_they_are_listed(tiny: dict[str, Any]) -> None:
    """The default; the summary says which batches were trained and why, and the table has all of them."""
    del tiny["strengths"]
    model = SparseNODE(**tiny).fit(*rotation())
    assert model.settings_["method_settings"]["strengths"] == "auto"
    (search,) = model.ensemble_.metadata["searches"]
    trained = sorted(strength for batch in search["batches"] for strength in batch)
    assert model.path()["strength"].tolist() == trained
    assert len(search["batches"][0]) == 5
    line = next(line for line in model.summary().splitlines() if "strengths by themselves" in line)
    assert line.endswith(search["reasons"][-1])
    assert search["reasons"][0] in line
    assert f"grouplasso, {len(trained)} strengths" in model.summary()
    rows = model.evaluation_.metrics
    row = rows[rows["metric"] == "strength_batches"].iloc[0]
    assert row["value"] == len(search["batches"])
    assert row["reason"] in line
    plain = SparseNODE(**tiny, regularizer="none").fit(*rotation())
    assert plain.settings_["method_settings"]["strengths"] == [0.0]
    assert "strengths by themselves" not in plain.summary()


def test_a_doubt_is_in_the_summary(fitted: SparseNODE) -> None:
    assert [remark.kind for remark in fitted.remarks_] != []
    assert "What to doubt:" in fitted.summary()


def test_notebooks_show_the_settings(fitted: SparseNODE) -> None:
    html = fitted._repr_html_()
    assert "iterations" in html


def test_an_unknown_figure_is_refused(fitted: SparseNODE) -> None:
    with pytest.raises(UserError, match=r"no figure 'networks'; did you mean 'network'\? There are: trajectories"):
        fitted.plot.figure("networks")


@pytest.mark.slow(reason="fits models")
@pytest.mark.parametrize("name", ["trajectories", "network", "graph", "path", "stability"])
def test_figures_are_those_of_the_workflow(fitted: SparseNODE, name: str) -> None:
    figure = getattr(fitted.plot, name)()
    assert figure.get_axes() or figure.subfigs
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_saved_estimator_is_the_same_after_loading(fitted: SparseNODE, tmp_path: Path) -> None:
    path = tmp_path / "model.sparsenode"
    fitted.save(path)
    loaded = sparsenode.load(path)
    assert loaded.get_params() == fitted.get_params()
    pd.testing.assert_frame_equal(loaded.network(), fitted.network())
    pd.testing.assert_frame_equal(loaded.history_, fitted.history_)
    assert loaded.settings_ == fitted.settings_
    np.testing.assert_array_equal(loaded.rates([[1.0, 0.2]]), fitted.rates([[1.0, 0.2]]))
    fitted.save(tmp_path / "again.sparsenode")
    assert (tmp_path / "again.sparsenode").read_bytes() == path.read_bytes()


def rewrite(path: Path, **changes: Any) -> None:
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content["estimator.json"] = json.dumps({**json.loads(content["estimator.json"]), **changes}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, entry in content.items():
            archive.writestr(name, entry)


def test_a_model_of_another_version_is_named(fitted: SparseNODE, tmp_path: Path) -> None:
    path = tmp_path / "model.sparsenode"
    fitted.save(path)
    rewrite(path, format="sparsenode estimator 9", version="9.0")
    with pytest.raises(UserError, match=r"was saved by sparsenode 9\.0, .* format is 'sparsenode estimator 9'"):
        SparseNODE.load(path)


def test_a_setting_of_another_version_is_named(fitted: SparseNODE, tmp_path: Path) -> None:
    path = tmp_path / "model.sparsenode"
    fitted.save(path)
    rewrite(path, settings={"iteration": 3})
    message = (
        r"model\.sparsenode was saved by sparsenode .* unknown setting: found \"iteration\" .*; fit again, or load"
    )
    with pytest.raises(UserError, match=message):
        SparseNODE.load(path)


def test_no_cut_or_changed_byte_of_a_file_is_taken_for_a_model(fitted: SparseNODE, tmp_path: Path) -> None:
    path = tmp_path / "model.sparsenode"
    fitted.save(path)
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    for position in generator.integers(len(content), size=12).tolist():
        changed = content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :]
        for damaged in (content[:position], changed):
            path.write_bytes(damaged)
            with contextlib.suppress(UserError):  # a byte of the archive may not matter
                pd.testing.assert_frame_equal(SparseNODE.load(path).network(), fitted.network())


def test_a_damaged_or_missing_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read as a saved SparseNODE"):
        SparseNODE.load(tmp_path / "model")
    with pytest.raises(UserError, match="other is missing"):
        SparseNODE.load(tmp_path / "other")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"iterations": 0}, "SparseNODE.iterations: found the number 0; allowed: an integer at least 1"),
        ({"regularizer": "l3"}, "l3"),
        ({"architecture": "dense"}, 'SparseNODE.architecture: found "dense"; allowed: auto, joint'),
        ({"strengths": [-1.0]}, "SparseNODE.strengths"),
        ({"solver": {"steps": 3}}, "SparseNODE.solver"),
        ({"windows": {"length": 50}}, "windows of length 50 do not fit"),
        ({"regularizer": "dash"}, "options of dash.prior: missing"),
        ({"order": 2, "standardize": True}, "SparseNODE.standardize: found true, with order: 2"),
    ],
)
def test_settings_that_cannot_be_are_named(settings: dict[str, Any], message: str, tiny: dict[str, Any]) -> None:
    if "regularizer" in settings:
        del tiny["strengths"]
    with pytest.raises(UserError, match=message):
        SparseNODE(**{**tiny, **settings}).fit(*rotation())


def test_an_unknown_setting_is_refused_at_once() -> None:
    with pytest.raises(UserError, match=r"unknown setting: found \"seed\" \(did you mean 'seeds'\?\)"):
        SparseNODE(seed=3)


@pytest.mark.slow(reason="fits models")
def test_missing_entries_are_taken_as_not_observed(tiny: dict[str, Any]) -> None:
    values, times = rotation()
    values[:, 5, 1] = values[0, 7, 0] = np.nan
    model = SparseNODE(**tiny).fit(values, times)
    assert np.isfinite(model.network()["weight" if "weight" in model.network() else "effect"]).all()
    assert "missing" in model.summary()


def test_infinite_values_are_refused(tiny: dict[str, Any]) -> None:
    values, times = rotation()
    values[0, 3, 1] = np.inf
    with pytest.raises(UserError, match="infinite"):
        SparseNODE(**tiny).fit(values, times)


def test_constant_variables_are_refused(tiny: dict[str, Any]) -> None:
    values, times = rotation()
    values = np.concatenate((values, np.ones((*values.shape[:2], 1))), axis=-1)
    with pytest.raises(UserError, match="1 of 3 variables have one value in all observations: x3; leave them"):
        SparseNODE(**tiny).fit(values, times)


def test_variables_are_constant_where_they_are_observed(tiny: dict[str, Any]) -> None:
    values, times = rotation()
    values[..., 1] = 1.0
    values[0, 3, 1] = np.nan
    with pytest.raises(UserError, match="1 of 2 variables have one value in all observations: x2"):
        SparseNODE(**tiny).fit(values, times)


def test_a_variable_may_rest_in_what_is_scored(fitted: SparseNODE) -> None:
    values, times = rotation(1)
    values[..., 1] = 0.5
    assert np.isfinite(fitted.score(values, times))


def test_a_variable_that_is_there_twice_is_warned_of(tiny: dict[str, Any]) -> None:
    values, times = rotation()
    values = np.concatenate((values, values[..., :1]), axis=-1)
    with pytest.warns(UserWarning, match="1 of 3 variables have the values of another one: x3 as x1; leave one"):
        SparseNODE(**tiny).fit(values, times)


@pytest.mark.slow(reason="fits models")
def test_seconds_since_1970_are_fitted_as_seconds_since_the_first(tiny: dict[str, Any]) -> None:
    values, times = rotation()
    times = 2.0**-10 * np.round(2.0**10 * times)  # exact in either
    since_first, since_1970 = (SparseNODE(**tiny).fit(values, start + times) for start in (0.0, 1.75e9))
    assert since_1970.network().equals(since_first.network())
    forecasts = [
        model.forecast(values[0, 0], start + times).states
        for start, model in ((0.0, since_first), (1.75e9, since_1970))
    ]
    np.testing.assert_allclose(*forecasts, rtol=1e-6)
    with pytest.raises(UserError, match="times up to 1750000000 in float32 are 128 apart at least"):
        SparseNODE(**tiny).fit(values, (1.75e9 + times).astype(np.float32))


@pytest.mark.slow(reason="fits models")
@pytest.mark.parametrize("count", [3, 4, 6])
def test_a_few_observations_are_enough(count: int) -> None:
    values, times = rotation(1, 6)
    model = SparseNODE(model="default", iterations=2, seeds=1, strengths=(0.01,), verbose=0).fit(
        values[0, :count], times[:count]
    )
    assert f"{count} observations" in model.summary()
    assert np.isfinite(model.forecast(values[0, 0], times).states).all()


def test_settings_of_what_trajectories_bring_are_refused(fitted: SparseNODE, tiny: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"SparseNODE\.validation: found \{'by': 'trajectory'.* which brings its own"):
        SparseNODE(**tiny, validation={"by": "trajectory"}).fit(fitted.adata_)


def call(model: SparseNODE, name: str, arguments: list[Any]) -> None:
    getattr(model, name)(*arguments)


@pytest.mark.parametrize("name", ["network", "path", "summary", "score", "save", "plot", "forecast", "rates"])
def test_what_is_not_fitted_says_so(name: str) -> None:
    arguments = {"save": ["x"], "forecast": [[1.0], [0.0]], "rates": [[1.0]]}.get(name, [])
    with pytest.raises(NotFittedError, match="call fit"):
        call(SparseNODE(), name, arguments)


def cells() -> anndata.AnnData:
    """The rotations as an AnnData of observations."""
    values, times = rotation()
    obs = pd.DataFrame(
        {"hour": np.tile(times, 3), "line": np.repeat(["a", "b", "c"], len(times)), "kind": "all"},
        index=[f"cell{number}" for number in range(3 * len(times))],
    )
    adata = anndata.AnnData(values.reshape(-1, 2), obs=obs, var=pd.DataFrame(index=["x1", "x2"]))
    adata.layers["doubled"] = 2 * adata.X
    return adata


@pytest.mark.slow(reason="fits models")
def test_an_anndata_is_fitted_as_its_arrays(fitted: SparseNODE, tiny: dict[str, Any]) -> None:
    keys = {"time_key": "hour", "trajectory_key": "line", "group_key": "kind"}
    assert SparseNODE(**tiny).fit(cells(), **keys).network().equals(fitted.network())
    backward = SparseNODE(**tiny).fit(cells()[::-1].copy(), **keys).adata_
    np.testing.assert_array_equal(backward[backward.obs["trajectory"] == "a"].X, fitted.adata_[:14].X)
    doubled = SparseNODE(**tiny).fit(cells(), time_key="hour", trajectory_key="line", layer="doubled")
    np.testing.assert_allclose(doubled.adata_.X.max(), 2 * cells().X.max(), rtol=1e-6)


@pytest.mark.slow(reason="fits models")
def test_a_file_is_fitted_as_what_it_holds(fitted: SparseNODE, tiny: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad"
    cells().write_h5ad(path)
    model = SparseNODE(**tiny).fit(path, time_key="hour", trajectory_key="line")
    assert model.network().equals(fitted.network())
    assert model.score(str(path), time_key="hour", trajectory_key="line") < 1
    with pytest.raises(UserError, match=r"cells\.h5ad: the column of `obs` 'hours' is not there"):
        SparseNODE(**tiny).fit(path, time_key="hours")
    with pytest.raises(UserError, match=r"other\.h5ad is missing"):
        SparseNODE(**tiny).fit(tmp_path / "other.h5ad", time_key="hour")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "time_key: missing; name the column of `obs` with the times; there are: hour, line, kind"),
        ({"time_key": "hours"}, "the column of `obs` 'hours' is not there"),
        ({"time_key": "line"}, "is to be times, but holds no numbers"),
        ({"time_key": "hour", "layer": "raw counts"}, "the layer 'raw counts' is not there"),
        ({"t": [0, 1]}, "name the columns of its `obs` by `time_key`"),
    ],
)
def test_columns_that_are_not_there_are_named(keys: dict[str, Any], message: str, tiny: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=message):
        SparseNODE(**tiny).fit(cells(), **keys)


def test_keys_are_for_an_anndata(tiny: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="time_key, layer: for an AnnData, and X is none"):
        SparseNODE(**tiny).fit(*rotation(), time_key="hour", layer="raw")


@pytest.mark.slow(reason="fits models")
def test_a_dataset_of_the_package_is_fitted_with_its_splits(tiny: dict[str, Any]) -> None:
    data = sparsenode.load_dataset("krumsiek11")
    model = SparseNODE(**{**tiny, "iterations": 1, "time_scale": 30.0}).fit(data)
    assert model.adata_ is data
    assert "known" in model.network()


def test_a_dataset_that_is_downloaded_is_left_to_the_workflow() -> None:
    with pytest.raises(UserError, match="the data of yeast are downloaded, which the workflow does"):
        sparsenode.load_dataset("yeast")


def test_ctrl_c_within_the_warm_up_leaves_the_estimator_as_it_was(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(0, monkeypatch)
    model = SparseNODE(**{**tiny, "verbose": 1})
    with pytest.raises(KeyboardInterrupt, match="nothing to keep"):
        model.fit(*rotation())
    assert not hasattr(model, "ensemble_")


def test_ctrl_c_after_the_warm_up_leaves_the_members_as_they_are(
    tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(20, monkeypatch)
    with pytest.warns(UserWarning, match="interrupted at iteration 21: the estimator is fitted"):
        model = SparseNODE(**{**tiny, "verbose": 1, "iterations": 40}).fit(*rotation())
    assert {member.iterations for member in model.ensemble_.members} == {21}
    assert len(model.network()) == 2
    # It stopped at the snapshot of the last check, where training that goes on has the same parameters.
    assert model.history_["iteration"].max() == 20


def interrupt_at(iteration: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C once training reports an iteration."""

    @contextlib.contextmanager
    def follow(title: str) -> Any:
        del title

        def report(state: Any) -> None:
            if state.iteration == iteration:
                signal.raise_signal(signal.SIGINT)

        yield report

    monkeypatch.setattr("sparsenode.progress.follow_training", follow)


def test_nothing_is_written_without_verbose(fitted: SparseNODE, tiny: dict[str, Any], capfd: Any) -> None:
    SparseNODE(**tiny).fit(*rotation())
    assert capfd.readouterr() == ("", "")


def test_what_is_auto_follows_from_the_data(fitted: SparseNODE) -> None:
    settings = read_settings(FitSettings, {}, "SparseNODE")
    model, method, report = complete_settings(settings, fitted.adata_)
    # Of a rotation at 2 radians a unit of time states change by as much as they differ in half a unit.
    assert model["time_scale"] == pytest.approx(0.5, rel=0.1)
    assert model["solver"]["step"] == pytest.approx(model["time_scale"] / 6, rel=0.01)
    assert (model["network"], model["hidden"], model["standardize"]) == ("per_target", [5], True)
    reasons = {key: reason for key, _, reason in report["choices"]}
    assert "deviation" in reasons["time_scale"]
    assert method["regularizer"] == "grouplasso"
    joint = read_settings(FitSettings, {"regularizer": "cnode"}, "SparseNODE")
    assert complete_settings(joint, fitted.adata_)[0]["network"] == "joint"


def test_what_is_set_by_hand_is_left_alone(fitted: SparseNODE) -> None:
    settings = read_settings(FitSettings, {"decay": None, "iterations": 7, "hidden": (3,)}, "SparseNODE")
    model, _, report = complete_settings(settings, fitted.adata_)
    assert (model["decay"], model["iterations"], model["hidden"]) == (None, 7, [3])
    reasons = {key: reason for key, _, reason in report["choices"]}
    assert {key for key, reason in reasons.items() if reason == "set by hand"} == {"decay", "iterations", "hidden"}


def test_the_default_model_chooses_nothing(fitted: SparseNODE) -> None:
    settings = read_settings(FitSettings, {"model": "default", "iterations": 7}, "SparseNODE")
    model, _, report = complete_settings(settings, fitted.adata_)
    assert model == ModelSettings(iterations=7).model_dump(mode="json")
    assert report == {}


def test_the_time_scale_goes_with_the_unit_of_time(fitted: SparseNODE) -> None:
    slower = copy.deepcopy(fitted.adata_)
    slower.obs["time"] *= 1000
    settings = read_settings(FitSettings, {}, "SparseNODE")
    scales = [complete_settings(settings, adata)[0]["time_scale"] for adata in (fitted.adata_, slower)]
    assert scales[1] == pytest.approx(1000 * scales[0], rel=1e-2)


@pytest.mark.slow(reason="fits models")
def test_validation_is_as_it_is_asked_for(tiny: dict[str, Any]) -> None:
    model = SparseNODE(**tiny, validation={"by": "trajectory", "share": 0.3}).fit(*rotation())
    by_trajectory = model.adata_.obs.groupby("trajectory", observed=True)["split"].nunique()
    assert (by_trajectory == 1).all()
    typed = SparseNODE(**tiny, validation=ValidationSettings(by="trajectory", share=0.3)).fit(*rotation())
    assert typed.network().equals(model.network())


@pytest.mark.slow(reason="fits models")
def test_the_package_is_imported_without_what_is_heavy() -> None:
    code = (
        "import sys, sparsenode; heavy = {'torch', 'pandas', 'anndata', 'scipy', 'sklearn', 'pydantic', 'matplotlib'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules); from sparsenode import SparseNODE; "
        "assert not {'torch', 'anndata', 'matplotlib', 'seaborn', 'scanpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
