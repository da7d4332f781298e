"""Long tables of the study: made from results, written, read and joined."""

import gzip
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sparsenode.data.distances import LEVELS
from sparsenode.data.observations import read_observations
from sparsenode.data.preprocess import assemble
from sparsenode.data.sources import make_source
from sparsenode.errors import UserError
from sparsenode.evaluation.study.rows import UNCHANGED, describe_dataset, long_rows
from sparsenode.evaluation.study.tables import collect_study, join_long, read_long, write_long
from sparsenode.evaluation.tables import join_tables, make_table
from study_tables import make_long

OPTIONS = {
    "nodes": 4, "horizon": 2, "observations": 6, "trajectories": 6, "test_trajectories": 2, "noise": 0.1, "seed": 3,
    "share_kept": 0.5, "distances": {"parameter": "matrix"},
}  # fmt: skip


@pytest.fixture(scope="module")
def data():
    source = make_source("linear", OPTIONS)
    settings = {"source": "linear", "options": source.options, "validation": {"by": "trajectory", "share": 0.25}}
    return read_observations(assemble("small", source.load({}), settings, {}))


def error_rows(method: str, strength: float, seed: int, value: float, **columns: object) -> pd.DataFrame:
    """Errors and shares of a member, the same at each level."""
    pairs = [pair for pair, level in LEVELS.items() if level < 5]
    same = {"dataset": "small", "model": "joint", "method": method, "strength": strength, "seed": seed,
            "split": [split for split, _ in pairs], "phase": [phase for _, phase in pairs], "trajectory": "all",
            "horizon": "trajectory", **columns}  # fmt: skip
    single = {**same, "split": "test", "phase": "interpolation"}
    if "trajectory" not in columns:
        single["trajectory"] = [f"interpolation_{number}" for number in range(4)]
    return join_tables(
        [
            make_table(**same, metric="mse_cut", value=[value] * len(pairs)),
            make_table(**same, metric="share_ran_away", value=[value / 10] * len(pairs)),
            # Trajectory 2 chose the strength: it is no training data.
            make_table(**single, metric="mse_cut", value=[value, value, value + 50, value]),
            make_table(**single, metric="share_ran_away", value=[value / 10] * 4),
        ][: None if "trajectory" not in columns else 2]
    )


def structure_rows(method: str, strength: float, seed: int, value: float) -> pd.DataFrame:
    same = {"dataset": "small", "model": "joint", "method": method, "strength": strength, "seed": seed,
            "trajectory": "all", "value": value}  # fmt: skip
    return join_tables(
        [
            make_table(**same, metric="auprc", estimator="jacobian"),
            make_table(**{**same, "value": 0.99}, metric="auprc", estimator="paths"),
            make_table(**same, metric="spurious_feature_sparsity", estimator="paths", reference="truth"),
            make_table(**same, metric="spurious_feature_sparsity", estimator="paths", reference="not_regulators"),
            make_table(**same, metric="sign_accuracy", estimator="paths"),
        ]
    )


def some_metrics() -> pd.DataFrame:
    """A method of which validation chooses .1, though .01 has the least error, and 1 the best structure."""
    tables = []
    for seed in (0, 1):
        tables += [error_rows("none", 0.0, seed, 2.0), structure_rows("none", 0.0, seed, 0.2)]
        for strength, error, area in ((0.01, 0.5, 0.3), (0.1, 0.7, 0.4), (1.0, 3.0, 0.6)):
            tables += [error_rows("l1", strength, seed, error), structure_rows("l1", strength, seed, area)]
    # One of the two members that would be best was lost: so it is not what the truth chooses.
    tables += [error_rows("l1", 0.001, 0, 0.1), structure_rows("l1", 0.001, 0, 0.9)]
    chosen = {"dataset": "small", "model": "joint", "metric": "chosen_strength"}
    tables += [make_table(**chosen, method="none", value=0.0), make_table(**chosen, method="l1", value=0.1)]
    tables += [error_rows("baseline:zeros", float("nan"), -1, 4.0, model="")]
    tables += [
        error_rows("l1", 0.1, 0, 99.0, horizon="window"),
        error_rows("l1", 0.1, 0, 98.0, trajectory="trajectory_9"),
    ]
    return join_tables(tables)


def value_of(rows: pd.DataFrame, **where: object) -> list[float]:
    for column, entry in where.items():
        rows = rows[rows[column] == entry]
    return rows["value"].tolist()


def test_members_are_those_at_the_validated_strength_and_at_the_best_by_the_truth(data):
    rows = long_rows(data, some_metrics())
    l1 = {"method": "l1", "phase": "fit", "metric": "mse_cut"}
    assert value_of(rows, **l1, choice="validation") == [0.7, 0.7]
    assert value_of(rows, **l1, choice="truth") == [0.5, 0.5]
    share = {**l1, "metric": "share_ran_away"}
    assert value_of(rows, **share, choice="truth") == pytest.approx([0.05, 0.05])
    assert value_of(rows, method="l1", metric="auprc", choice="validation") == [0.4, 0.4]
    assert value_of(rows, method="l1", metric="auprc", choice="truth") == [0.6, 0.6]
    assert value_of(rows, method="l1", metric="spurious", choice="truth") == pytest.approx([0.4, 0.4])
    assert value_of(rows, method="l1", metric="sign_errors", choice="validation") == pytest.approx([0.6, 0.6])
    assert value_of(rows, method="none", metric="mse_cut", phase="outside_2", choice="validation") == [2.0, 2.0]
    assert value_of(rows, method="baseline:zeros", phase="fit", metric="mse_cut") == [4.0]
    assert set(rows["distance"]) == {-1, 0, 1, 2, 3, 4}


def test_the_dataset_is_told_by_kind_network_and_conditions(data):
    first = long_rows(data, some_metrics()).iloc[0]
    assert (first["kind"], first["network"]) == ("linear", "nodes=4 seed=3")
    assert (first["noise"], first["share_kept"], first["trajectories"]) == (0.1, 0.5, 4)
    other = {**data.settings["options"], "noise": 0.0, "trajectories": 9, "horizon": 3.0}
    assert describe_dataset({"source": "linear", "options": other})["network"] == first["network"]
    assert describe_dataset({"source": "linear", "options": {**other, "seed": 4}})["network"] != first["network"]
    with pytest.raises(UserError, match="the study takes simulated data, not those of the data source krumsiek11"):
        describe_dataset({"source": "krumsiek11", "options": {}})


def test_the_unchanged_system_errs_by_how_much_the_change_matters(data):
    rows = long_rows(data, some_metrics())
    system = make_source("linear", OPTIONS).build_system()
    (value,) = value_of(rows, method=UNCHANGED, phase="changed_2", metric="mse_cut")
    changed = np.flatnonzero(data.phase == "changed_2")
    scale = data.scale[0]
    errors = []
    for code in np.unique(data.trajectory[changed]):
        numbers = changed[data.trajectory[changed] == code]
        start = data.noise_free[numbers[:1]] * scale
        unchanged = system.solve(start, data.time[numbers])[0] / scale
        errors.append(np.square(data.noise_free[numbers] - unchanged).mean())
    assert value == pytest.approx(np.mean(errors), rel=1e-4)
    assert value > 0.01


def test_held_variables_are_level_five_and_their_errors_are_cut(data):
    same = {"dataset": "small", "model": "joint", "method": "l1", "strength": 0.1, "split": "test", "phase": "fit",
            "metric": "intervention_mse"}  # fmt: skip
    held = join_tables(
        [
            make_table(**same, seed=0, trajectory="x1 low", value=2.0),
            make_table(**same, seed=0, trajectory="x2 low", value=1e9),
            make_table(**same, seed=0, trajectory="all", value=5e8),
            make_table(**same, seed=1, trajectory="x1 low", value=float("inf")),
            make_table(**same, seed=1, trajectory="x2 low", value=4.0),
            make_table(**{**same, "phase": "extrapolation"}, seed=0, trajectory="x1 low", value=7.0),
            make_table(**{**same, "method": "baseline:no_effect", "model": ""}, trajectory="x1 low", value=3.0),
        ]
    )
    rows = long_rows(data, some_metrics(), held)
    assert value_of(rows, method="l1", distance=5, metric="mse_cut", choice="validation") == [51.0, 52.0]
    assert value_of(rows, method="l1", distance=5, metric="share_ran_away") == [0.5, 0.5]
    assert value_of(rows, method="baseline:no_effect", metric="mse_cut") == [3.0]


def test_a_diverged_member_errs_by_the_bound_at_each_level(data):
    metrics = some_metrics()
    is_lost = (metrics["method"] == "l1") & (metrics["strength"] == 0.1) & (metrics["seed"] == 1)
    same = {"dataset": "small", "model": "joint", "method": "l1", "strength": 0.1}
    lost = make_table(**same, seed=1, metric="iterations", value=5.0, status="diverged", reason="it grew")
    held = make_table(
        **same, seed=0, split="test", phase="fit", trajectory="x1 low", metric="intervention_mse", value=2.0
    )
    rows = long_rows(data, join_tables([metrics[~is_lost], lost]), held)
    mine = {"method": "l1", "seed": 1, "choice": "validation"}
    assert value_of(rows, **mine, metric="mse_cut") == [100.0] * 8
    assert value_of(rows, **mine, metric="share_ran_away") == [1.0] * 8
    assert value_of(rows, **{**mine, "seed": 0}, metric="mse_cut", distance=5) == [2.0]
    assert value_of(rows, **mine, metric="auprc") == []


def test_tested_edges_are_there_beside_the_truth_where_a_dataset_has_them(data):
    same = {"dataset": "small", "method": "tested edges", "trajectory": "all", "estimator": "effect"}
    tested = make_table(**same, metric=["false_discovery_rate", "recall", "selected_edges"], value=[0.1, 0.8, 7.0])
    rows = long_rows(data, join_tables([some_metrics(), tested]))
    of_test = rows[rows["method"] == "tested edges"].set_index("metric")["value"]
    assert of_test.to_dict() == {"false_discovery_rate": 0.1, "recall": 0.8}
    assert set(rows.loc[rows["method"] == "tested edges", "choice"]) == {""}
    assert not (long_rows(data, some_metrics())["method"] == "tested edges").any()


def test_options_that_make_another_system_are_in_the_network_and_irregular_times_refused(data):
    options = data.settings["options"]
    plain = describe_dataset({"source": "linear", "options": options})["network"]
    for change in ({"parameter_factors": {"matrix": 2.0}}, {"hidden": 1}, {"missing": 0.1}):
        assert describe_dataset({"source": "linear", "options": {**options, **change}})["network"] != plain
    with pytest.raises(UserError, match="regular times of which a share is kept, not `irregular` ones of the data"):
        describe_dataset({"source": "second_order", "options": {"irregular": True}})


def test_data_without_levels_are_refused(data):
    metrics = some_metrics()
    with pytest.raises(UserError, match="dataset other has no test sets at levels of distance; set its option"):
        long_rows(replace(data, name="other"), metrics[metrics["metric"] != "mse_cut"].query("metric == 'auprc'"))


def test_a_table_is_written_as_it_is_read_with_the_same_bytes(tmp_path):
    long = make_long({"l1": 0.1})
    for name in ("first.csv.gz", "second.csv.gz", "plain.csv"):
        write_long(long, tmp_path / name)
    assert (tmp_path / "first.csv.gz").read_bytes() == (tmp_path / "second.csv.gz").read_bytes()
    assert gzip.decompress((tmp_path / "first.csv.gz").read_bytes()) == (tmp_path / "plain.csv").read_bytes()
    again = read_long(tmp_path / "first.csv.gz")
    pd.testing.assert_frame_equal(again, long, rtol=1e-5, check_dtype=False)


def test_tables_are_joined_in_any_order_and_conflicts_are_refused(tmp_path):
    long = make_long({"l1": 0.1})
    halves = [long[long["kind"] == "hill"], long[long["kind"] != "hill"]]
    for number, half in enumerate(halves):
        write_long(half, tmp_path / f"{number}.csv.gz")
    for order in ((0, 1), (1, 0), (0, 1, 1)):
        collect_study([tmp_path / f"{number}.csv.gz" for number in order], tmp_path / f"{order}.csv.gz")
    joined = {path.read_bytes() for path in tmp_path.glob("(*")}
    assert len(joined) == 1
    with pytest.raises(UserError, match=r"values twice and different, the first .* of dataset hill_0"):
        join_long([long, long.assign(value=long["value"] + 1)])


@pytest.mark.parametrize("content", ["kind,network\nhill,1\n", "", "\x00"])
def test_damaged_tables_are_named(tmp_path, content):
    (tmp_path / "long.csv").write_text(content)
    with pytest.raises(UserError, match=r"long\.csv"):
        read_long(tmp_path / "long.csv")
