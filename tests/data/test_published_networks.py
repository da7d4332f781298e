import ast
import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from published_equations import brute_force
from sparsenode import read_trajectories
from sparsenode.cli import main
from sparsenode.data.downloads import check_downloaded
from sparsenode.data.preprocess import assemble
from sparsenode.data.simulated.equations import System, system_from_provenance
from sparsenode.data.simulated.published_networks import (
    PublishedNetwork,
    PublishedNetworkSource,
    draw_starts,
    read_edges,
    read_genes,
)
from sparsenode.data.sources import get_source, make_source
from sparsenode.data.trajectories import RawTrajectories
from sparsenode.errors import UserError
from sparsenode.interventions.forecast import evaluate_interventions
from sparsenode.interventions.settings import InterventionSettings
from sparsenode.pipeline import configuration, plan
from sparsenode.typed import read_settings

SMALL = {"trajectories": 4, "test_trajectories": 2}
NETWORK = PublishedNetwork(*(f"https://example.org/{kind}.csv" for kind in ("equations", "edges", "genes")), size=3)


class ExampleSource(PublishedNetworkSource):
    """A network of three genes."""

    network = NETWORK


EQUATIONS = {
    "BOTH": "((1 * fAct(HIGH, 0.4, 1.5) * (1 - 1 * fAct(END, 0.5, 1.6))) * 1 - 1 * BOTH) / 1",
    "END": "((1 * fAct(BOTH, 0.45, 1.7)) * 1 - 1 * END) / 1",
    "HIGH": "input gene",
}
EDGES = ["HIGH,BOTH,1,TRUE,0.4,1.5", "END,BOTH,1,FALSE,0.5,1.6", "BOTH,END,1,TRUE,0.45,1.7"]


def source(**changes: object) -> PublishedNetworkSource:
    return read_settings(ExampleSource, {**SMALL, **changes}, "options")


def options(name: str = "sim350", **changes: object) -> dict:
    return make_source(name, {**SMALL, **changes}).options


def downloaded(name: str, mirror: Path) -> dict[str, Path]:
    return {file.local_path: mirror / file.local_path for file in make_source(name, {}).required_files()}


@pytest.fixture(scope="module", params=["sim350", "sim690"])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def raw(name: str, mirror: Path) -> RawTrajectories:
    return make_source(name, options(name)).load(downloaded(name, mirror))


@pytest.fixture(scope="module")
def system(raw: RawTrajectories) -> System:
    return system_from_provenance(raw.provenance)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Files of a made network of three genes."""
    paths = {file.local_path: tmp_path / file.local_path.rpartition("/")[2] for file in NETWORK.files()}
    write(paths, "equations", ['"node","eqn"', *(f'"{gene}","{text}"' for gene, text in EQUATIONS.items())])
    write(paths, "edges", ["from,to,weight,activation,EC50,n", *EDGES])
    write(paths, "genes", ['"x"', '"HIGH_input"', '"BOTH"', '"END"'])
    return paths


def write(files: dict[str, Path], kind: str, lines: list[str]) -> None:
    files[f"example.org/{kind}.csv"].write_text("\n".join([*lines, ""]), encoding="utf-8")


def load(files: dict[str, Path], **changes: object) -> RawTrajectories:
    return source(**changes).load(files)


def test_the_published_files_are_known(name: str, mirror: Path) -> None:
    required = make_source(name, {}).required_files()
    assert len(required) == 3
    for file in required:
        assert file.sha256 is not None
        assert file.size == (mirror / file.local_path).stat().st_size
        assert check_downloaded(file, mirror / file.local_path) == file.sha256


@pytest.mark.slow(reason="evaluates hundreds of equations")
def test_rates_are_those_of_the_equations_one_by_one(
    name: str, mirror: Path, raw: RawTrajectories, system: System
) -> None:
    path = next(path for place, path in downloaded(name, mirror).items() if "ode_system" in place)
    with path.open(encoding="utf-8") as lines:
        texts = {row["node"]: row["eqn"] for row in csv.DictReader(lines)}
    state = np.random.default_rng(0).random(len(raw.features))
    levels = dict(zip(raw.features, state, strict=True))
    expected = [
        0.0 if texts[gene] == "input gene" else brute_force(ast.parse(texts[gene], mode="eval").body, levels)
        for gene in raw.features
    ]
    np.testing.assert_allclose(system.rates(state), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_the_published_trajectories_solve_the_equations(mirror: Path) -> None:
    folder = mirror / Path(next(iter(downloaded("sim690", mirror)))).parent
    lines = (folder / "simu_690genes_10samples_for_testing.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split(",")[:2] == ["690", "10"]
    published = np.array([line.split(",") for line in lines[1:]], dtype=float).reshape(10, 691, 5)
    states, times = published[:, :690].swapaxes(1, 2), published[0, 690]
    np.testing.assert_array_equal(times, [0, 2, 3, 7, 9])
    raw = make_source("sim690", options("sim690")).load(downloaded("sim690", mirror))
    found = system_from_provenance(raw.provenance).solve(states[:, 0], times)
    np.testing.assert_allclose(found, states, rtol=0, atol=1e-6)
    # The starts that are called published are like these, input genes and others.
    drawn = draw_starts(make_source("sim690", {**SMALL, "start": "published"}), inputs(raw), 10, 1)
    for chosen in (inputs(raw), ~inputs(raw)):
        one, other = states[:, 0, chosen], drawn[:, chosen]
        assert abs(one.mean() - other.mean()) < 0.03
        np.testing.assert_allclose(one.std(axis=0).mean(), other.std(axis=0).mean(), rtol=0.1)
        np.testing.assert_allclose(one.mean(axis=0).std(), other.mean(axis=0).std(), rtol=0.2)
        assert abs(np.mean(one == 0) - np.mean(other == 0)) < 0.01


def inputs(raw: RawTrajectories) -> np.ndarray:
    """Genes whose rate is zero at any state."""
    system = system_from_provenance(raw.provenance)
    return (system.rates(np.random.default_rng(3).random((2, len(raw.features)))) == 0).all(axis=0)


def test_the_jacobian_has_the_signs_and_the_zeros_of_the_truth(raw: RawTrajectories, system: System) -> None:
    step, signs = 1e-4, []
    count = len(raw.features)
    for state in np.random.default_rng(0).uniform(0.2, 0.8, (2, count)):
        ahead, behind = (system.rates(state + np.diag(np.full(count, change))) for change in (step, -step))
        jacobian = (ahead - behind) / (2 * step)  # (source, target)
        np.testing.assert_allclose(jacobian.diagonal(), -1.0 + inputs(raw), atol=1e-8)
        np.fill_diagonal(jacobian, 0.0)
        assert not jacobian[raw.truth == 0].any()
        signs.append(np.sign(jacobian))
        np.testing.assert_array_equal(signs[-1], raw.truth)


def test_truth_and_inputs_are_the_published_ones(name: str, raw: RawTrajectories) -> None:
    count, edges, repressing, input_genes = {"sim350": (350, 547, 175, 74), "sim690": (690, 1082, 222, 97)}[name]
    assert len(raw.features) == count
    assert (np.count_nonzero(raw.truth), np.count_nonzero(raw.truth < 0)) == (edges, repressing)
    assert inputs(raw).sum() == input_genes
    assert raw.features[0] == "ABF1"
    place = raw.features.index
    assert raw.truth[place("TUP1"), place("GAL1")] == -1
    assert raw.truth[place("GAL4"), place("FUR4")] == 1
    # Edges that the file lists and no equation has are left open, as are those of a gene to itself.
    left_open = {("GLN3", "FUR4"), ("REB1", "SIN3"), ("UME6", "GAL1")} if name == "sim350" else set()
    found = {(raw.features[one], raw.features[two]) for one, two in np.argwhere(~raw.truth_known) if one != two}
    assert found == left_open
    assert not raw.truth_known.diagonal().any()
    assert raw.is_regulator.all()


def test_the_default_times_and_splits(raw: RawTrajectories) -> None:
    assert [part.splits[0] for part in raw.trajectories] == ["train"] * 4 + ["test"] * 2
    assert [part.name for part in raw.trajectories][3:] == ["trajectory_3", "test_0", "test_1"]
    for part in raw.trajectories:
        np.testing.assert_array_equal(part.times, [0, 2, 3, 7, 9])
        assert (part.phases == "fit").all()
        assert (part.noise_free >= 0).all()
        assert (part.noise_free <= 1 + 1e-9).all()
        np.testing.assert_array_equal(part.noise_free[:, inputs(raw)], np.tile(part.noise_free[0, inputs(raw)], (5, 1)))
        np.testing.assert_array_equal(part.scale, 1.0)
    defaults = make_source("sim350", None).options
    assert (defaults["trajectories"], defaults["times"], defaults["noise"]) == (150, [0, 2, 3, 7, 9], 0.025)


def test_a_held_gene_reaches_its_descendants_alone(raw: RawTrajectories, system: System) -> None:
    part = raw.trajectories[-1]
    start = part.noise_free[:1]
    gene = raw.features.index("GAL11")
    held = system.solve(start, part.times, {gene: 1.0 - np.round(start[0, gene])})[0]
    targets = raw.truth[gene] != 0
    reached = targets | (np.arange(len(raw.features)) == gene)
    for _ in range(20):
        reached |= (raw.truth[reached] != 0).any(axis=0)
    moved = np.abs(held - part.noise_free).max(axis=0)
    assert moved[~reached].max() < 1e-8
    # Where another regulator is at a bound, a target may not notice.
    assert np.mean(moved[targets] > 1e-3) > 0.8


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_the_system_is_found_again_in_the_preprocessed_file_whose_size_was_planned(
    name: str, mirror: Path, raw: RawTrajectories, system: System, tmp_path: Path
) -> None:
    settings = {"source": name, "options": options(name), "validation": {"by": "trajectory", "share": 0.25}}
    config = {"results_dir": tmp_path, "datasets": {"genes": settings}}
    planned = plan.data_size(config, "genes")
    output = tmp_path / "data" / "genes.h5ad"
    common = ["--name", "genes", "--settings", configuration.canonical_json(settings), "--downloads", str(mirror)]
    assert main(["preprocess-dataset", *common, "--output", str(output)]) == 0
    size = plan.data_size(config, "genes")
    assert (planned.features, planned.trajectories, planned.observations, planned.duration) == (
        len(raw.features), 4, 5, 9.0,
    )  # fmt: skip
    assert (size.features, size.trajectories, size.observations, size.duration) == (len(raw.features), 3, 5, 9.0)

    adata = read_trajectories(output)
    assert adata.obs["split"].value_counts().to_dict() == {"train": 15, "validation": 5, "test": 10}
    again = system_from_provenance(adata.uns["sparsenode"]["provenance"])
    states = np.random.default_rng(0).random((3, len(raw.features)))
    np.testing.assert_array_equal(again.rates(states), system.rates(states))
    part = adata[adata.obs["trajectory"] == "test_1"]
    np.testing.assert_array_equal(part.X, part.layers["noise_free"])
    found = again.solve(part.X[:1], part.obs["time"].to_numpy())[0]
    np.testing.assert_allclose(found, part.layers["noise_free"], atol=1e-6)  # of single precision


def test_a_made_network_is_read_whole(files: dict[str, Path]) -> None:
    raw = load(files)
    assert raw.features == ("HIGH", "BOTH", "END")
    np.testing.assert_array_equal(raw.truth, [[0, 1, 0], [0, 0, 1], [0, -1, 0]])
    np.testing.assert_array_equal(raw.truth_known, ~np.eye(3, dtype=bool))
    np.testing.assert_array_equal(inputs(raw), [True, False, False])
    assert (raw.scaling, raw.time_unit, raw.kind) == ("none", "time unit", "simulated")


def test_noise_is_as_large_as_asked_and_changes_nothing_else(files: dict[str, Path]) -> None:
    noisy, exact = (load(files, noise=noise, trajectories=400, times=[0, 1]) for noise in (0.1, 0.0))
    difference = np.stack([part.values - part.noise_free for part in noisy.trajectories[:400]])
    assert stats.kstest(difference.ravel() / 0.1, "norm").pvalue > 0.01
    np.testing.assert_allclose(difference.std(axis=(0, 1)), 0.1, rtol=0.1)
    for one, other in zip(noisy.trajectories, exact.trajectories, strict=True):
        np.testing.assert_array_equal(one.noise_free, other.noise_free)
        np.testing.assert_array_equal(other.values, other.noise_free)
    for part in noisy.trajectories[400:]:
        assert set(part.splits) == {"test"}
        np.testing.assert_array_equal(part.values, part.noise_free)


def test_same_seed_same_data_other_seed_other_data(files: dict[str, Path]) -> None:
    one, again, other = load(files), load(files), load(files, seed=1)
    for part, same, different in zip(one.trajectories, again.trajectories, other.trajectories, strict=True):
        np.testing.assert_array_equal(part.values, same.values)
        assert (part.noise_free[0] != different.noise_free[0]).any()
    assert not np.allclose(one.trajectories[0].values - one.trajectories[0].noise_free,
                           other.trajectories[0].values - other.trajectories[0].noise_free)  # fmt: skip
    starts = [part.noise_free[0] for part in one.trajectories]
    assert len({tuple(start) for start in starts}) == 6  # test trajectories start elsewhere


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
@pytest.mark.parametrize("start", ["normal", "published"])
def test_more_trajectories_and_other_times_leave_the_first_as_they_are(files: dict[str, Path], start: str) -> None:
    few, many = load(files, start=start), load(files, start=start, trajectories=7, test_trajectories=5)
    for one, other in zip(few.trajectories[:4], many.trajectories[:4], strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=1e-8)
    for one, other in zip(few.trajectories[4:], many.trajectories[7:9], strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=1e-8)
    dense = load(files, start=start, test_times=[0, 0.5, 2, 3, 7, 9, 20])
    for one, other in zip(few.trajectories, dense.trajectories, strict=True):
        kept = np.isin(other.times, one.times)
        np.testing.assert_allclose(one.values, other.values[kept], atol=1e-8)
    assert list(dense.trajectories[-1].phases) == ["fit"] * 6 + ["extrapolation"]
    assert load(files, start=start, test_trajectories=0).trajectories[-1].splits[0] == "train"


def test_normal_starts_are_cut_to_zero_and_one() -> None:
    drawn = draw_starts(source(), np.zeros(350, dtype=bool), 200, 1)
    low, high = stats.norm.cdf(-0.49 / 0.25), stats.norm.sf(0.51 / 0.25)
    np.testing.assert_allclose([np.mean(drawn == 0), np.mean(drawn == 1)], [low, high], rtol=0.1)
    within = drawn[(drawn > 0) & (drawn < 1)]
    truncated = stats.truncnorm(-0.49 / 0.25, 0.51 / 0.25, 0.49, 0.25)
    assert stats.kstest(within, truncated.cdf).pvalue > 0.01
    narrow = draw_starts(source(start_mean=0.2, start_deviation=0.01), np.zeros(350, dtype=bool), 200, 1)
    np.testing.assert_allclose([narrow.mean(), narrow.std()], [0.2, 0.01], rtol=0.01)


def test_published_starts_keep_each_gene_near_a_level_of_its_own() -> None:
    is_input = np.arange(4000) < 2000
    drawn = draw_starts(source(start="published"), is_input, 60, 1)
    again = draw_starts(source(start="published"), is_input, 60, 3)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    for starts in (drawn[:, is_input], again[:, is_input]):
        means, deviations = starts.mean(axis=0), starts.std(axis=0)
        assert stats.kstest(means, stats.beta(10, 10).cdf).pvalue > 0.01
        # On average half of a third of the distance to the nearer bound.
        np.testing.assert_allclose(deviations.mean(), np.minimum(means, 1 - means).mean() / 6, rtol=0.03)
        assert ((starts > 0) & (starts < 1)).all()
    # A gene's own level is the same for training and test, and the draws are others.
    assert np.corrcoef(drawn.mean(axis=0), again.mean(axis=0))[0, 1] > 0.97
    assert not np.allclose(drawn, again)
    # A Beta(2, 2) number is .5 on average, its deviation sqrt(.05); shifts are even over half a unit.
    others = drawn[:, ~is_input]
    np.testing.assert_allclose([others.mean(), others.mean(axis=0).std()], [0.5, 0.5 / np.sqrt(12)], atol=0.02)
    untouched = (others > 0).all(axis=0) & (others < 1).all(axis=0)
    assert untouched.any()
    np.testing.assert_allclose(others[:, untouched].std(axis=0).mean(), np.sqrt(0.05), rtol=0.03)


def test_interventions_are_compared_with_the_true_system(files: dict[str, Path]) -> None:
    raw = load(files)
    adata = assemble("genes", raw, {"source": "sim350", "options": options()}, {})
    table = evaluate_interventions(adata, [], {}, InterventionSettings(clamp={"high": {"HIGH": 1.0}}))
    errors = table[(table["metric"] == "intervention_mse") & (table["trajectory"] == "high")]
    tests = [part for part in raw.trajectories if part.splits[0] == "test"]
    start, times = np.stack([part.noise_free[0] for part in tests]), np.array([0, 2, 3, 7, 9])
    system = system_from_provenance(raw.provenance)
    change = system.solve(start, times, {0: 1.0}) - system.solve(start, times)
    np.testing.assert_allclose(errors["value"], (change[:, :, 1:] ** 2).mean(), rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("edges", lambda lines: [*lines, lines[1]], "line 5: the edge from HIGH to BOTH is there a second time"),
        ("edges", lambda lines: [*lines, "HIHG,END,1,TRUE,1,1"], "line 5: no gene is named 'HIHG'; the nearest: HIGH"),
        (
            "edges",
            lambda lines: [*lines, "HIGH,END,1,YES,1,1"],
            "line 5: found activation 'YES', expected TRUE or FALSE",
        ),
        ("edges", lambda lines: lines[:-1], r"edges.csv does not list 1 edges of the .*csv, such as BOTH to END"),
        (
            "edges",
            lambda lines: [line.rpartition(",")[0] for line in lines],
            "line 1: found the columns 'from, to, wei",
        ),
        ("genes", lambda lines: [*lines, '"HIGH"'], "the gene 'HIGH' is there more than once"),
        ("genes", lambda lines: lines[:-1], "equations.csv, line 3: no gene is named 'END'"),
        ("genes", lambda lines: [*lines, '"MORE"'], r"no equation of MORE \(1 of 4 genes have none\)"),
        ("equations", lambda lines: [*lines[:-1], '"HIGH","__import__(os)"'], "line 4, equation of HIGH, character 1"),
        ("equations", lambda lines: ["<!DOCTYPE html>", *lines], "is a web page"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    files: dict[str, Path], kind: str, change: Callable[[list[str]], list[str]], message: str
) -> None:
    lines = files[f"example.org/{kind}.csv"].read_text(encoding="utf-8").splitlines()
    write(files, kind, change(lines))
    with pytest.raises(UserError, match=message):
        load(files)


def test_listed_edges_without_an_equation_are_left_open(
    files: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    write(files, "edges", ["from,to,weight,activation,EC50,n", *EDGES, "HIGH,END,1,FALSE,0.4,1.5"])
    raw = load(files)
    np.testing.assert_array_equal(raw.truth, [[0, 1, 0], [0, 0, 1], [0, -1, 0]])
    np.testing.assert_array_equal(raw.truth_known, [[False, True, False], [True, False, True], [True, True, False]])
    assert "no equation has the edges HIGH to END; the truth leaves them open" in caplog.text
    genes, _ = read_genes(files["example.org/genes.csv"])
    assert read_edges(files["example.org/edges.csv"], genes)[0, 2] == -1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times": [1, 2]}, r"data source \w+: times: \[1.0, 2.0\] have to increase, from 0 on"),
        ({"times": [0, 3, 2]}, r"times: \[0.0, 3.0, 2.0\] have to increase"),
        ({"test_times": [0, 3, 2]}, r"test_times: \[0.0, 3.0, 2.0\] have to increase"),
        ({"times": [0, 0]}, r"options.times: found 0.0 more than once; allowed: each entry once"),
        ({"noise": -1}, "options.noise: found the number -1; allowed: a number at least 0"),
        ({"start": "even"}, 'options.start: found "even"; allowed: normal, published'),
        ({"nodes": 5}, 'options: unknown key: found "nodes" .*test_times'),
    ],
)
def test_options_that_make_no_data(files: dict[str, Path], changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(files, **changes)


def test_both_sources_share_their_options() -> None:
    one, other = (
        {key: str(field) for key, field in get_source(name).model_fields.items()} for name in ("sim350", "sim690")
    )
    assert one == other


def test_changed_couplings_keep_starts_and_truth(files: dict[str, Path]) -> None:
    published, halved = (load(files, parameter_factors=factors) for factors in ({}, {"coupling": 0.5}))
    np.testing.assert_array_equal(published.truth, halved.truth)
    first, second = published.trajectories[0], halved.trajectories[0]
    np.testing.assert_array_equal(first.noise_free[0], second.noise_free[0])
    system = system_from_provenance(published.provenance).with_parameter("coupling", 0.5)
    solved = system.solve(first.noise_free[:1], first.times)[0]
    np.testing.assert_allclose(solved, second.noise_free, rtol=1e-8)
    # One activation and a decay of 1: half of what it was comes in.
    state = np.array([[0.3, 0.6, 0.9]])
    names = list(published.features)
    end = names.index("END")
    whole, half = (system_from_provenance(raw.provenance).rates(state)[0, end] for raw in (published, halved))
    np.testing.assert_allclose(half + state[0, end], 0.5 * (whole + state[0, end]), rtol=1e-12)
    with pytest.raises(UserError, match="parameter_factors: found 'weight'; allowed: a parameter of the system"):
        load(files, parameter_factors={"weight": 0.5})
