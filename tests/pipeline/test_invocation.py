import pytest

from sparsenode.pipeline.invocation import describe_unknown_target, repeated_option, targets_of

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
            "nothing makes results/figures/springs: there is no springs in results/figures/; did you mean 'springs'?; "
            "there are: krumsiek11, springs",
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
        (["-C", "seeds=1", "--cores", "2", "--config", "seeds=2"], "--config"),
    ],
)
def test_an_option_of_which_snakemake_takes_the_last_alone(arguments, option):
    problem = repeated_option(arguments)
    assert (problem is None) if option is None else problem.startswith(f"{option}: found 2 times")


def test_targets_are_what_snakemake_takes_for_targets():
    command = ["/bin/snakemake", "--cores", "2", "--configfile", "a", "b", "--", "results/a.pdf", "results/b.pdf"]
    assert targets_of(command) == ["results/a.pdf", "results/b.pdf"]
    assert targets_of(["/lib/python/snakemake/__main__.py", "--cores", "2", "evaluate_models"]) == ["evaluate_models"]
    assert targets_of(["/bin/pytest", "results/a.pdf"]) == []
    assert targets_of(["/bin/snakemake", "--no-such-option"]) == []
