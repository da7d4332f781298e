"""`sparsenode run`: Snakemake with the workflow that is at hand, in the user's folder."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sparsenode.errors import UserError
from sparsenode.pipeline import configuration


def run_workflow(arguments: Sequence[str]) -> None:
    """Become Snakemake, so that signals and its exit status are its own.

    Args:
        arguments: options and targets for Snakemake.

    Raises:
        UserError: see `snakemake_command`.
    """
    command = snakemake_command(arguments)
    # Jobs call `sparsenode`: that of this installation, also where nobody has activated its environment.
    scripts = sysconfig.get_path("scripts")
    if Path(sys.argv[0]).name == "sparsenode":
        scripts = str(Path(sys.argv[0]).absolute().parent)
    environment = {**os.environ, "PATH": os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)])}
    sys.stdout.flush()
    os.execve(command[0], command, environment)  # noqa: S606  this process has nothing more to do


def snakemake_command(arguments: Sequence[str]) -> list[str]:
    """The command line of Snakemake for a run in the working folder.

    The workflow is that of the working folder, of the clone that the package is installed from, or of the package; the
    `config.yaml` of the working folder is laid over that of the workflow, and the files of `--configfile` over both.
    All cores are taken where nothing is said of cores, jobs or a cluster.

    Args:
        arguments: options and targets for Snakemake.

    Raises:
        UserError: Snakemake does not know an option, or it asks for what only a clone has.
    """
    workflow = configuration.find_workflow()
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    reader.add_argument("--configfile", "--configfiles", type=Path, nargs="+", action="append", default=[])
    named, remaining = reader.parse_known_args(arguments)
    if len(named.configfile) > 1:
        raise UserError("--configfile: found more than once; allowed: once, with all its files after it")
    files = configuration.with_own_configuration(workflow, named.configfile[0] if named.configfile else [])
    # `--snakefile` takes one file, so that no target is taken for a file of the configuration.
    options = [*(["--configfile", *map(str, files)] if files else []), "--snakefile", str(workflow / "Snakefile")]
    parsed = _parse([*options, *remaining])
    if parsed is not None:
        _refuse_conda(parsed, workflow)
        if parsed.cores is None and parsed.jobs is None and parsed.executor in {None, "local", "dryrun"}:
            options = ["--cores", "all", *options]
    return [sys.executable, "-P", "-m", "snakemake", *options, *remaining]


def _parse(words: Sequence[str]) -> Any:
    """What Snakemake's own parser reads, with the profiles; None where it has only something to print.

    Raises:
        UserError: it refuses the command line, or a profile is not there.
    """
    from snakemake.cli import parse_args
    from snakemake.exceptions import CliException

    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(io.StringIO()):
            _, parsed = parse_args(list(words))
    except SystemExit as end:
        if not end.code:
            return None
        reason = (printed.getvalue().strip().splitlines() or [str(end.code)])[-1]
        reason = reason.partition("error: ")[2] or reason
        raise UserError(f"run: Snakemake refuses this: {reason}; `snakemake --help` lists its options") from end
    except CliException as error:
        raise UserError(f"run: Snakemake refuses this: {error.msg}") from error
    return parsed


def _refuse_conda(parsed: Any, workflow: Path) -> None:
    """Environments of conda install the package from a clone, which an installed wheel is none of."""
    methods = {str(method) for method in getattr(parsed, "software_deployment_method", None) or ()}
    if workflow == configuration.PACKAGED and any("conda" in method.lower() for method in methods):
        raise UserError(
            "run: found --software-deployment-method conda; allowed: in a clone of the repository only, from which its "
            "environments install sparsenode. Leave it out: jobs then run with this installation"
        )
