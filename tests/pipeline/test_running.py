"""`sparsenode run` and `sparsenode init`: the command line of Snakemake, and the files that a folder begins with."""

import importlib
import os
import sys
from pathlib import Path

import pytest

from sparsenode.cli import build_parser, main
from sparsenode.errors import UserError
from sparsenode.pipeline import configuration, running
from sparsenode.pipeline.configuration import check_configuration_files, read_configuration, with_own_configuration
from sparsenode.pipeline.running import snakemake_command
from sparsenode.pipeline.starter import init_folder

FILES = {"config.yaml", "slurm/config.yaml", "README.md"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that is no clone, as the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module", autouse=True)
def parser_of_snakemake():
    """Its import takes a second, which is no test's."""
    importlib.import_module("snakemake.cli")


def words_after(command):
    assert command[:4] == [sys.executable, "-P", "-m", "snakemake"]
    return command[4:]


def test_the_workflow_of_the_installation_runs_in_the_working_folder(folder, repository):
    assert words_after(snakemake_command([])) == ["--cores", "all", "--snakefile", f"{repository}/Snakefile"]
    assert words_after(snakemake_command(["--cores", "2", "results/metrics.csv"]))[-3:] == [
        "--cores",
        "2",
        "results/metrics.csv",
    ]


def test_a_clone_runs_its_own_workflow(repository, monkeypatch):
    monkeypatch.chdir(repository)
    assert words_after(snakemake_command(["-c1"])) == ["--snakefile", "Snakefile", "-c1"]


def test_files_are_laid_over_the_configuration_of_the_folder(folder, repository):
    init_folder(folder)
    (folder / "tiny.yaml").write_text("seeds: 1\n")
    assert words_after(snakemake_command(["-c1"]))[:2] == ["--configfile", "config.yaml"]
    command = words_after(snakemake_command(["-c1", "--configfile", "tiny.yaml", "--", "all"]))
    assert command == [
        "--configfile",
        "config.yaml",
        "tiny.yaml",
        "--snakefile",
        f"{repository}/Snakefile",
        "-c1",
        "--",
        "all",
    ]
    assert with_own_configuration(repository, [Path("tiny.yaml"), folder / "config.yaml"]) == [
        Path("tiny.yaml"),
        folder / "config.yaml",
    ]
    assert check_configuration_files(repository / "config.yaml", with_own_configuration(repository, [])) == []


def test_profiles_say_how_many_jobs_run(folder):
    init_folder(folder)
    assert "--cores" not in snakemake_command(["--profile", "slurm"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--bogus"],
            r"^run: Snakemake refuses this: unrecognized arguments: --bogus; `snakemake --help` lists its opt",
        ),
        (["--cores", "many"], r"^run: Snakemake refuses this: Error parsing number of cores"),
        (["--profile", "nowhere"], r"^run: Snakemake refuses this: .*profile directory given \(nowhere\)"),
        (["--configfile", "a", "--configfile", "b"], r"^--configfile: found more than once; allowed: once"),
    ],
)
def test_what_snakemake_refuses_is_one_message(folder, arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        snakemake_command(arguments)
    assert "\n" not in str(caught.value)


def test_the_package_alone_makes_no_environments_of_conda(folder, repository, monkeypatch):
    assert snakemake_command(["--sdm", "conda"])
    monkeypatch.setattr(configuration, "PACKAGED", repository)
    with pytest.raises(UserError, match=r"run: found --software-deployment-method conda; allowed: in a clone"):
        snakemake_command(["--sdm", "conda"])


def test_the_process_becomes_snakemake_which_calls_this_installation(folder, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "execve", lambda *call: calls.append(call))
    monkeypatch.setattr(sys, "argv", [f"{folder}/bin/sparsenode"])
    monkeypatch.setenv("PATH", "/usr/bin")
    assert main(["run", "--cores", "1", "--until", "train_members", "--version"]) == 0
    ((program, command, environment),) = calls
    assert program == command[0] == sys.executable
    assert command[-5:] == ["--cores", "1", "--until", "train_members", "--version"]
    assert environment["PATH"] == f"{folder}/bin{os.pathsep}/usr/bin"


def test_help_is_that_of_the_subcommand(capsys, monkeypatch):
    monkeypatch.setattr(running, "run_workflow", lambda _: pytest.fail("it runs"))
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["run", "--cores", "1", "--help"])
    assert "usage: sparsenode run [--configfile FILE ...]" in capsys.readouterr().out


@pytest.mark.slow(reason="reads the whole configuration and builds the parsers of all subcommands")
def test_a_folder_begins_with_a_configuration_that_runs(folder, repository, capsys):
    assert main(["init", "study"]) == 0
    study = folder / "study"
    assert {path.relative_to(study).as_posix() for path in study.rglob("*") if path.is_file()} == FILES
    config = read_configuration(repository, [study / "config.yaml"])
    assert configuration.grid(config) == [("krumsiek11", "targets", "grouplasso")]
    assert (study / "slurm/config.yaml").read_bytes() == (repository / "slurm/config.yaml").read_bytes()
    readme = (study / "README.md").read_text()
    assert len(readme.splitlines()) <= 10
    (choices,) = (action.choices for action in build_parser()._actions if action.choices)
    for name in choices:
        readme = readme.replace(f"`sparsenode {name}", "`")
    assert "`sparsenode" not in readme


def test_the_commented_entries_of_the_first_configuration_are_allowed(folder, repository):
    init_folder(folder)
    lines = (folder / "config.yaml").read_text().splitlines()
    text = "\n".join(line.replace("  # ", "  ", 1) if "mine" in line or "  #   " in line else line for line in lines)
    (folder / "config.yaml").write_text(text.replace("[krumsiek11]", "[mine]").replace("[targets]", "[mine]"))
    (folder / "cells.csv").write_text("cell,hour,a\nc,0,1\nc,1,2\n")
    config = read_configuration(repository, [folder / "config.yaml"])
    configuration.check_sources(config)
    assert configuration.grid(config) == [("mine", "mine", "grouplasso")]


@pytest.mark.parametrize("name", sorted(FILES))
def test_nothing_is_overwritten(folder, name):
    path = folder / "study" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(UserError, match=rf"^study has {name} already, and nothing is overwritten"):
        init_folder(Path("study"))
    assert [each for each in (folder / "study").rglob("*") if each.is_file()] == [path]
    assert path.read_text() == "mine"


def test_a_file_is_no_folder(folder):
    (folder / "study").write_text("")
    with pytest.raises(UserError, match=r"^study is a file; name a folder"):
        init_folder(Path("study"))


def test_a_plan_in_a_folder_is_of_what_a_run_does_there(folder, capsys, caplog):
    init_folder(folder)
    assert main(["plan"]) == 0
    assert "krumsiek11 / targets / grouplasso" in capsys.readouterr().out
    assert caplog.text == ""
