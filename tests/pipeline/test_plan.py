import math

import pytest

from sparsenode.cli import main
from sparsenode.data.preprocess import preprocess_dataset
from sparsenode.data.sources import make_source
from sparsenode.errors import UserError
from sparsenode.inference.costs import START_SECONDS, estimate
from sparsenode.inference.settings import EdgeSettings
from sparsenode.pipeline import configuration, plan

MODELS = {
    "plain": {"hidden": [7], "iterations": 100},
    "windows": {"hidden": [7], "iterations": 100, "windows": {"length": 8, "stride": 4}, "solver": {"step": 1.0}},
    "second": {"hidden": [7], "iterations": 100, "order": 2, "velocity_hidden": [5]},
    "adaptive": {"hidden": [7], "iterations": 100, "solver": {"scheme": "dopri5"}},
    "matched": {"hidden": [7], "iterations": 100, "matching": {"share": 0.8}},
    "refitted": {"hidden": [7], "iterations": 100, "refit": {"iterations": 100}},
}


@pytest.fixture
def config(tmp_path):
    """A checked configuration whose results folder is empty."""
    return configuration.check_configuration(
        {
            "results_dir": str(tmp_path / "results"),
            "seeds": 5,
            "seeds_per_job": 3,
            "run": {"datasets": ["branches"], "models": ["plain"], "methods": ["none", "l1", "pathreg"]},
            "datasets": {"branches": {"source": "krumsiek11"}, "springs": {"source": "second_order"}},
            "models": MODELS,
            "methods": {"none": {}, "l1": {"strengths": ["1", "2"]}, "pathreg": {"strengths": ["1", "2", "3", "4"]}},
        }
    )


def test_members_and_jobs_of_each_method(config):
    made = plan.make_plan(config)
    members = [(job.method, job.members) for job in made.training]
    assert members == [("none", 3), ("none", 2), ("l1", 6), ("l1", 4), ("pathreg", 12), ("pathreg", 8)]
    assert made.others["freeze_settings"][0] == 3
    assert "download_source" not in made.others
    assert not made.exact


def test_strengths_that_training_chooses_are_planned_at_their_most(config):
    """Four batches of five, one after another: four times the members and time, and the memory of one batch."""
    listed = {"strengths": ["1", "2", "3", "4", "5"]}
    methods = {"listed": {**listed, "regularizer": "l1"}, "l1": {}, "imp": {}, "none": {}}
    changed = {"run": {**config["run"], "methods": list(methods)}, "methods": methods}
    config = configuration.check_configuration(
        {
            **{key: config[key] for key in ("results_dir", "seeds", "seeds_per_job")},
            "datasets": {"branches": {"source": "krumsiek11"}},
            "models": MODELS,
            **changed,
        }
    )
    jobs = {method: plan.training_job(config, "branches", "plain", method, seeds=3) for method in methods}
    assert {name: job.members for name, job in jobs.items()} == {"listed": 15, "l1": 60, "imp": 18, "none": 3}
    one, four = jobs["listed"], jobs["l1"]
    assert four.memory_mb == one.memory_mb
    assert four.products_seconds == pytest.approx(4 * one.products_seconds)
    assert four.overhead_seconds == pytest.approx(4 * one.overhead_seconds)
    assert four.disk_mb == pytest.approx(4 * one.disk_mb)
    text = plan.describe_plan(plan.make_plan(config), cores=2)
    assert "training chooses the strengths of imp, l1, in batches of 5" in text
    config["methods"] = {**config["methods"], "imp": {**config["methods"]["imp"], "strengths": ["0.5"]}}
    assert "training chooses the strengths of l1, in" in plan.describe_plan(plan.make_plan(config), cores=2)


def test_peers_and_interventions_are_jobs_of_the_datasets_that_have_them(config):
    made = plan.make_plan(config)
    assert not {"infer_peer", "forecast_interventions"} & set(made.others)
    config["run"]["datasets"] = ["branches", "springs"]
    config["run"]["peers"] = ["correlation", "sindy"]
    config["datasets"]["springs"]["interventions"] = {"each": "low"}
    made = plan.make_plan(config)
    assert (made.others["infer_peer"][0], made.others["forecast_interventions"][0]) == (4, 1)


def test_model_file_size_is_that_of_the_weights(config):
    job = plan.training_job(config, "branches", "plain", "l1", seeds=1)
    assert job.disk_mb == pytest.approx(4 * 2 * (11 * 7 + 7 * 11) / 1e6)
    gated = plan.training_job(config, "branches", "plain", "pathreg", seeds=1)
    assert gated.disk_mb == pytest.approx(2 * 4 * 4 * (11 * 7 + 7 * 11) / 1e6)
    second = plan.training_job(config, "springs", "second", "l1", seeds=1)
    assert second.disk_mb == pytest.approx(4 * 2 * (10 * 7 + 7 * 5 + 5 * 5 + 5 * 5) / 1e6)


@pytest.mark.parametrize("costly", ["adaptive", "refitted"])
def test_what_takes_longer_is_planned_longer(config, costly):
    plain, other = (plan.training_job(config, "branches", name, "l1").seconds for name in ("plain", costly))
    assert other - plan.JOB_START_SECONDS > 1.5 * (plain - plan.JOB_START_SECONDS)


def test_matching_takes_one_evaluation_in_place_of_a_solve(config):
    """Of the iterations a fifth is left with solves, and rates at all observations cost little beside them."""
    plain, matched = (plan.training_job(config, "branches", model, "none") for model in ("plain", "matched"))
    assert 0.2 < matched.overhead_seconds / plain.overhead_seconds < 0.25
    assert 0.2 < matched.products_seconds / plain.products_seconds < 0.5


def test_more_cores_take_less_time_but_no_less_than_the_longest_job(config):
    made = plan.make_plan(config)
    assert plan.wall_seconds(made, 2) == pytest.approx(plan.wall_seconds(made, 1) / 2)
    assert plan.wall_seconds(made, 1000) == max(job.seconds for job in made.training)


def test_size_is_read_from_preprocessed_data(config, tmp_path):
    settings = configuration.canonical_json(configuration.dataset_settings(config, "branches"))
    output = tmp_path / "results" / "data" / "branches.h5ad"
    common = ["--name", "branches", "--settings", settings, "--downloads", str(tmp_path), "--output", str(output)]
    assert main(["preprocess-dataset", *common]) == 0
    assert plan.make_plan(config).exact

    from sparsenode import read_trajectories
    from sparsenode.data.windows import make_windows

    windows = make_windows(read_trajectories(output), "train", "fit", 8, 4)
    size = plan.data_size(config, "branches")
    assert (size.features, size.trajectories, size.exact) == (11, 4, True)
    rows, duration = plan.training_rows(size, {"length": 8, "stride": 4, "batch": None})
    assert rows == pytest.approx(len(windows), abs=4)
    assert duration == pytest.approx(8)


def test_the_size_of_a_file_of_ones_own_is_read_from_its_headers(config, tmp_path):
    """As it will be once it is preprocessed."""
    import anndata
    import numpy as np
    import pandas as pd

    names = [f"{donor} {lineage}" for donor in ("a", "b") for lineage in ("up", "down")]
    obs = pd.DataFrame(
        {"time": np.tile(np.linspace(0, 6, 13), 4), "course": np.repeat(names, 13)}, index=[f"c{n}" for n in range(52)]
    )
    adata = anndata.AnnData(np.random.default_rng(0).random((52, 17)).astype(np.float32), obs)
    adata.var_names = [f"g{number}" for number in range(17)]
    adata.write_h5ad(tmp_path / "cells.h5ad")
    options = {"path": str(tmp_path / "cells.h5ad"), "trajectory": "course", "test_trajectories": ["b up"]}
    config["datasets"]["mine"] = {**config["datasets"]["branches"], "source": "anndata"}
    config["datasets"]["mine"]["options"] = make_source("anndata", options).options
    expected = plan.data_size(config, "mine")
    assert expected == plan.DataSize(17, 3, 13, 6.0)
    validation = {"by": "none-in-source", "share": 0.2, "seed": 0}
    settings = {**configuration.dataset_settings(config, "mine"), "validation": validation}
    preprocess_dataset("mine", settings, tmp_path, tmp_path / "results" / "data" / "mine.h5ad")
    assert plan.data_size(config, "mine") == plan.DataSize(17, 3, 13, 6.0, exact=True)
    adata.X[:13, 3] = np.nan
    adata.X[:8, 3] = 0.5
    adata.write_h5ad(tmp_path / "cells.h5ad")
    preprocess_dataset("mine", settings, tmp_path, tmp_path / "results" / "data" / "mine.h5ad")
    config["run"]["datasets"] = ["mine"]
    assert plan.data_size(config, "mine").missing == pytest.approx(5 / (52 * 17))
    assert "mine: 0.566 % of the entries missing" in plan.missing_remarks(config)
    adata[:, :5].copy().write_h5ad(tmp_path / "cells.h5ad")
    (tmp_path / "results" / "data" / "mine.h5ad").unlink()
    assert plan.data_size(config, "mine").features == 5


def test_a_file_that_is_not_there_is_taken_for_a_small_one(config, tmp_path):
    config["datasets"]["mine"] = {
        "source": "anndata",
        "options": make_source("anndata", {"path": str(tmp_path / "nowhere.h5ad")}).options,
    }
    assert plan.data_size(config, "mine") == plan.DataSize(100, 3, 500, 1.0)


def test_the_table_names_every_job_and_the_totals(config):
    text = plan.describe_plan(plan.make_plan(config), cores=4)
    assert text.count("branches / plain / pathreg") == 2
    assert "members: 35" in text
    assert "on 4 cores" in text
    assert "expected size" in text


def test_the_table_says_what_is_left_out(config):
    config["models"]["plain"]["methods"] = ["none"]
    assert "run.methods: nothing is trained with l1, pathreg: " in plan.describe_plan(plan.make_plan(config), cores=1)


def test_the_table_says_what_will_be_refused(config):
    entry = config["models"]["plain"]
    least = plan.make_plan(config).training[0].least_mb
    for network, limit, refused in (
        ("per_target", 1, True),
        ("joint", 1, False),
        ("per_target", math.ceil(least) + 100, False),
        ("per_target", None, False),
    ):
        entry["network"], config["memory_mb"] = network, limit
        text = plan.describe_plan(plan.make_plan(config), cores=1)
        assert ("memory_mb: plain on branches will be refused: one member needs about" in text) is refused
        assert text.count("will be refused") == refused


def test_the_table_says_what_spans_take(config, monkeypatch):
    entry = config["models"]["plain"]
    for step, memory, told in (
        (
            1e-6,
            10**9,
            "solver.step: plain on branches will be refused on a machine with no more memory",
        ),
        (1e-2, 10**12, "solver.step: plain on branches takes 13,600 steps of 0.01, one after another"),
        (0.2, 10**12, ""),
    ):
        entry["solver"]["step"] = step
        monkeypatch.setattr(plan.memory, "machine_bytes", lambda size=memory: size)
        text = plan.describe_plan(plan.make_plan(config), cores=1)
        assert text.count("solver.step: ") == bool(told)
        assert told in text


def test_a_step_that_no_machine_could_take_is_named_with_its_model(config):
    config["models"]["plain"]["solver"]["step"] = 5e-324
    with pytest.raises(UserError, match=r"^models\.plain\.solver\.step: found 4.94066e-324, with rows of 136 in"):
        plan.make_plan(config)


def test_where_a_larger_step_does_not_help_fewer_rows_are_advised(config, monkeypatch):
    config["run"]["models"] = ["windows"]
    config["models"]["windows"]["solver"]["step"] = 100.0
    monkeypatch.setattr(plan.memory, "machine_bytes", lambda: 1000)
    text = plan.describe_plan(plan.make_plan(config), cores=1)
    assert "windows.batch: windows on branches will be refused on a machine with no more memory than this" in text
    assert "takes 1 step of 100 " in text
    assert "or more" not in text


def test_memory_of_evaluation_and_figures_grows_with_the_pairs_of_variables(config, monkeypatch):
    def wide(features):
        monkeypatch.setattr(plan, "data_size", lambda *_: plan.DataSize(features, 3, 50, 1.0))
        curves, paths = (plan.figure_mb(config, "branches", name) for name in ("precision_recall", "stability"))
        return curves, paths, plan.evaluation_mb(config, "branches")

    (curves, paths, evaluation), (more_curves, more_paths, more_evaluation) = wide(11), wide(2000)
    assert curves == pytest.approx(paths, abs=0.1)
    assert more_paths == paths  # of many pairs only a summary is read
    assert 500 < more_curves - curves < 1000
    # Twenty members (four strengths, five seeds) of three matrices in single precision, at the very least.
    assert more_evaluation - evaluation > 20 * 3 * 4 * 2000**2 / 1e6
    text = plan.describe_plan(plan.make_plan(config), cores=1)
    assert "branches: with 2,000 variables its evaluation needs about" in text
    wide(11)
    assert "variables its evaluation" not in plan.describe_plan(plan.make_plan(config), cores=1)


def test_a_file_read_packed_and_unpacked_is_downloaded_once(config, monkeypatch):
    from sparsenode.data.downloads import RemoteFile

    url = "https://host/cells.h5ad.gz"
    files = [RemoteFile(url), RemoteFile(url, unpack=True), RemoteFile("https://host/other.csv")]
    monkeypatch.setattr(configuration, "remote_files", lambda config: {file.local_path: file for file in files})
    made = plan.make_plan(config)
    assert made.others["download_source"][0] == 2
    assert made.others["unpack_source"][0] == 1
    assert "2 download_source, 1 unpack_source" in plan.describe_plan(made, cores=1)


def test_without_packed_files_nothing_is_unpacked(config):
    assert "unpack_source" not in plan.make_plan(config).others


@pytest.mark.parametrize(
    ("source", "options", "size"),
    [
        ("lorenz96", {"nodes": 6, "trajectories": 5, "test_trajectories": 2}, (6, 3, 1000, 100.0)),
        ("second_order", {"oscillators": 3, "share_kept": 0.5}, (3, 24, 50, 10.0)),
        ("dream3", {"size": 10, "test_series": 1}, (10, 3, 21, 200.0)),
        ("sim350", {"times": [0, 1, 4]}, (350, 150, 3, 4.0)),
        ("krumsiek11", {"test_share": 0.5}, (11, 4, 80, 80.0)),
        ("mocap", {"trials": [{"subject": "35", "trials": ["01", "02"], "motion": "walk", "split": "train"}]},
         (53, 2, 96, 3.2)),
    ],
)  # fmt: skip
def test_sizes_follow_from_the_options(config, source, options, size):
    config["datasets"]["genes"] = {"source": source, "options": make_source(source, options).options}
    assert plan.data_size(config, "genes") == plan.DataSize(*size)


@pytest.mark.slow(reason="preprocesses published data")
@pytest.mark.parametrize(
    ("source", "options", "size"),
    [
        ("breast", {}, (500, 1, 151)),
        ("yeast", {"genes": 3551}, (3551, 1, 20)),
        ("yeast", {"genes": 500}, (500, 1, 20)),
    ],
)
def test_expected_sizes_are_those_of_the_data(config, mirror, tmp_path, source, options, size):
    config["datasets"]["genes"] = {
        "source": source,
        "options": options,
        "validation": {"by": "time_blocks", "share": 0.15},
    }
    expected = plan.data_size(config, "genes")
    output = tmp_path / "results" / "data" / "genes.h5ad"
    preprocess_dataset("genes", config["datasets"]["genes"], mirror, output)
    found = plan.data_size(config, "genes")
    for one in (expected, found):
        assert (one.features, one.trajectories, one.observations) == size
    # The expected duration is that of all times, the training part is shorter.
    assert found.duration < expected.duration < 1.3 * found.duration


def test_jobs_that_are_alike_share_a_line(config):
    config["seeds"], config["seeds_per_job"] = 6, 2
    made = plan.make_plan(config)
    lines = plan.describe_plan(made, cores=1).splitlines()
    (line,) = [line for line in lines if "branches / plain / pathreg" in line]
    assert line.split()[5:7] == ["3", "8"]
    assert "members: 42" in lines


def test_training_is_planned_shorter_where_there_is_a_compiler(config, monkeypatch):
    seconds = []
    for compiler in (None, "/usr/bin/cc"):
        monkeypatch.setattr(plan, "find_compiler", lambda compiler=compiler: compiler)
        jobs = [plan.training_job(config, "branches", name, "pathreg") for name in ("plain", "adaptive")]
        seconds.append([job.seconds - plan.JOB_START_SECONDS for job in jobs])
    (plain, adaptive), (compiled, same) = seconds
    assert compiled < 0.5 * plain
    assert same == adaptive  # the kernel does not know the adaptive scheme


def test_a_faster_gpu_saves_products_and_not_the_overhead(config, monkeypatch):
    monkeypatch.setattr(plan, "find_compiler", lambda: None)
    job = plan.training_job(config, "branches", "plain", "pathreg")
    slow, fast, fastest = (job.gpu_seconds(speed) for speed in (1.0, 100.0, 1e12))
    assert slow == pytest.approx(job.seconds)
    assert slow - fast == pytest.approx(0.99 * job.products_seconds)
    assert fastest == pytest.approx(plan.JOB_START_SECONDS + job.overhead_seconds)


def test_a_test_of_edges_is_planned_with_time_and_memory(config):
    assert "infer_edges" not in plan.make_plan(config).others
    settings = EdgeSettings()
    config["datasets"]["branches"]["edges"] = settings.model_dump(mode="json")
    made = plan.make_plan(config)
    size = plan.data_size(config, "branches")
    expected = estimate(settings, variables=size.features, observations=size.trajectories * size.observations)
    assert made.others["infer_edges"] == (1, expected.seconds)
    (remark,) = [remark for remark in made.remarks if "edges" in remark]
    assert remark.startswith("datasets.branches.edges: the test takes about ")
    assert f"{expected.memory_mb:.1f} MB of memory" in plan.describe_plan(made, cores=2)
    assert plan.edges_job(config | {"threads": 4}, "branches").seconds < expected.seconds
    assert plan.edges_job(config | {"threads": 4}, "branches").memory_mb > expected.memory_mb


@pytest.mark.parametrize(
    ("variables", "observations", "measured"),
    [(5, 496, 2.4), (3, 2001, 5.1), (10, 496, 9.1), (10, 1020, 12.0), (20, 1020, 147.0)],
)
def test_a_test_of_edges_takes_about_what_was_measured(variables, observations, measured):
    """Seconds of a processor with compiled kernels: a linear system, Rucklidge's, and networks of genes."""
    seconds = estimate(EdgeSettings(), variables=variables, observations=observations).seconds - START_SECONDS
    assert 0.5 < seconds / measured < 2


def test_more_of_anything_makes_a_test_of_edges_longer():
    base = {"variables": 10, "observations": 1000}
    seconds = estimate(EdgeSettings(), **base).seconds
    for changes in ({"folds": 10}, {"splits": 2}, {"units": 16}):
        assert estimate(EdgeSettings(**changes), **base).seconds > seconds
    for changes in ({"variables": 20}, {"observations": 2000}):
        assert estimate(EdgeSettings(), **{**base, **changes}).seconds > seconds
    assert estimate(EdgeSettings(candidates=3), **base).seconds < seconds
