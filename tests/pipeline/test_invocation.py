import shlex
import subprocess
from pathlib import Path

import pytest

from sparsenode.pipeline import invocation
from sparsenode.pipeline.invocation import describe_unknown_target, repeated_option, targets_of, targets_of_options

FILES = [
    "results/metrics.csv",
    *(f"results/figures/{name}/{figure}.pdf" for name in ("krumsiek11", "springs") for figure in ("pareto", "network")),
    "results/models/springs/motion/l1/seeds_0-2.safetensors",
]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (
            "results/figures/krumsiek1/pareto.pdf",
            "nothing makes results/figures/krumsiek1/pareto.pdf: there is no krumsiek1 in results/figures/; did you "
            "mean 'krumsiek11'?; there are: krumsiek11, springs",
        ),
        (
            "results/figures/springs/paretto.pdf",
            "nothing makes results/figures/springs/paretto.pdf: there is no paretto.pdf in results/figures/springs/; "
            "did you mean 'pareto.pdf'?; there are: network.pdf, pareto.pdf",
        ),
        (
            "metrics.csv",
            "nothing makes metrics.csv: there is no metrics.csv; did you mean 'results/metrics.csv'?; "
            "there are: results",
        ),
        (
            "results/figures/springs",
            "nothing makes results/figures/springs, which is a folder; name a file in it, such as "
            "results/figures/springs/network.pdf",
        ),
        (
            "results/models/",
            "nothing makes results/models/, which is a folder; name a file in it, such as "
            "results/models/springs/motion/l1/seeds_0-2.safetensors",
        ),
        ("evaluate_model", "there is no rule and no file 'evaluate_model'; did you mean 'evaluate_models'?"),
    ],
)
def test_an_unknown_target_is_named_with_what_there_is(target, expected):
    assert describe_unknown_target(target, ["all", "evaluate_models"], FILES) == expected


def test_of_many_names_the_nearest_are_listed():
    files = [f"results/data/dataset{number}.h5ad" for number in range(100)]
    problem = describe_unknown_target("results/data/dataset7x.h5ad", ["all"], files)
    assert "there are: dataset7" in problem
    assert problem.endswith(", ...")
    assert problem.count(".h5ad") < 40


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["--configfile", "a", "b", "--config", "seeds=1"], None),
        (["--configfile", "a", "--configfile", "b"], "--configfile"),
        (["--configfile=a", "--configfiles", "b"], "--configfile"),
        (["--forcer", "a", "--forceru=b"], "--forcerun"),
        (["-C", "seeds=1", "--cores", "2", "--config", "seeds=2"], "--config"),
        (["-Cseeds=1", "-Cthreads=2"], "--config"),
        (["--config=-C", "--cores", "2"], None),
        (["--cores", "2", "--", "-C", "-C"], None),
        (["--resources", "a=1", "--res", "b=2"], "--resources"),
        (["--forcerun", "a", "-Rb"], "--forcerun"),
        (["-npR", "a", "-R", "b"], "--forcerun"),
        (["--set-resources", "a:mem_mb=1", "--set-resources", "b:mem_mb=1"], "--set-resources"),
        (["--quiet"], None),
        (["--cores", "2", "--cores", "3"], None),
    ],
)
def test_a_list_of_which_snakemake_takes_only_the_last_values(arguments, option):
    problem = repeated_option(["/bin/snakemake", *arguments])
    assert (problem is None) if option is None else problem.startswith(f"{option}: found 2 times")


def test_what_is_no_command_of_snakemake_repeats_nothing():
    assert repeated_option(["/bin/pytest", "--config", "a=1", "--config", "b=2"]) is None


def test_options_name_rules_and_files():
    command = ["/bin/snakemake", "-R", "evaluate_models", "--unti", "b", "a", "-Oc", "--prioritize=d", "--", "all"]
    assert targets_of_options(command) == {
        "--forcerun": ("evaluate_models",),
        "--prioritize": ("d",),
        "--until": ("a", "b"),
        "--omit-from": ("c",),
    }
    assert targets_of_options(["/bin/snakemake", "-n"]) == {}


def test_targets_are_what_snakemake_takes_for_targets():
    command = ["/bin/snakemake", "--cores", "2", "--configfile", "a", "b", "--", "results/a.pdf", "results/b.pdf"]
    assert targets_of(command) == ["results/a.pdf", "results/b.pdf"]
    assert targets_of(["/lib/python/snakemake/__main__.py", "--cores", "2", "evaluate_models"]) == ["evaluate_models"]
    assert targets_of(["/bin/pytest", "results/a.pdf"]) == []
    assert targets_of(["/bin/snakemake", "--no-such-option"]) == []


def test_a_short_list_is_in_the_command_and_a_long_one_in_a_file(tmp_path: Path) -> None:
    flags = {"--metrics": ["a b.parquet", Path("c.parquet")], "--peers": []}
    command = invocation.arguments_of(flags, tmp_path)
    assert command == "--metrics 'a b.parquet' c.parquet --peers"
    assert list(tmp_path.iterdir()) == []
    paths = [f"results of mine/metrics/hill_noise{number}.parquet" for number in range(3000)]
    command = invocation.arguments_of({"--metrics": paths, "--output": ["x"]}, tmp_path)
    flag, name = shlex.split(command)
    assert flag == "--arguments-from"
    assert Path(name).read_text(encoding="utf-8").splitlines() == ["--metrics", *paths, "--output", "x"]
    written = Path(name).stat().st_mtime_ns
    assert invocation.arguments_of({"--metrics": paths, "--output": ["x"]}, tmp_path) == command
    assert Path(name).stat().st_mtime_ns == written
    assert invocation.arguments_of({"--metrics": paths[1:], "--output": ["x"]}, tmp_path) != command


def test_a_shell_takes_what_it_would_refuse_as_one_command(tmp_path: Path) -> None:
    words = [f"results/metrics/hill_noise0.05_seed{number}.parquet" for number in range(3000)]
    with pytest.raises(OSError, match="Argument list too long"):
        subprocess.run(["bash", "-c", f"true {shlex.join(words)}"], check=True)
    command = invocation.arguments_of({"--metrics": words}, tmp_path)
    done = subprocess.run(["bash", "-c", f"cat {command.split()[1]}"], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["--metrics", *words]
