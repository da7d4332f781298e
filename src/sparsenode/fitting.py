"""`sparsenode fit`: from a file of the user's own to tables, figures, a summary and a model, by the estimator."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsenode.errors import UserError
from sparsenode.files import lookup_problem

if TYPE_CHECKING:
    from anndata import AnnData

    from sparsenode.estimator.model import SparseNODE

FILES = {
    "summary.md": "what was fitted and chosen, how far forecasts err beside trivial ones, and what to doubt",
    "network.csv": "edges at the chosen strength, the strongest first (`SparseNODE.network`)",
    "strengths.csv": "error, number of edges and stability of each strength (`SparseNODE.path`)",
    "metrics.csv": "all that was measured (`sparsenode metrics` says what each metric is)",
    "remarks.csv": "what is doubtful",
    "figures": "trajectories, network and choice of the strength, as PDF and PNG",
    "model.sparsenode": "the fitted estimator (`sparsenode.load`), to forecast with and to intervene in",
}
"""What a fit writes into its folder."""


def fit_file(
    data: Path,
    output: Path,
    *,
    time: str | None = None,
    trajectory: str | None = None,
    group: str | None = None,
    subject: str | None = None,
    layer: str | None = None,
    variables: Sequence[str] | None = None,
    leave_out: Sequence[str] = (),
    any_order: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> str:
    """Fit `SparseNODE` to a file, write what was learned into a folder (see `write_folder`), and give the summary.

    Args:
        data: h5ad file, or a table with a line for each observation (see `read_table`).
        output: the folder to write; it must be empty or not be there.
        time: column of the times; of a table `time` where it is None.
        trajectory: column of the trajectories; None where all observations are one.
        group: column that trajectories of one kind share.
        subject: column of the donor or person.
        layer: layer of an h5ad file to model; `X` where it is None.
        variables: columns of a table to model; None for all that nothing else names.
        leave_out: columns of a table that are no variables.
        any_order: whether lines of a table may be in any order, and times may repeat.
        settings: settings of `SparseNODE`.

    Raises:
        UserError: file, columns or settings cannot be used, or the folder has something in it.
    """
    from sparsenode.estimator.model import SparseNODE

    _check_output(output)
    model = SparseNODE(**(settings or {}))
    table_options = {"--variables": variables, "--leave-out": leave_out, "--any-order": any_order}
    if data.suffix == ".h5ad":
        if misplaced := [option for option, value in table_options.items() if value]:
            raise UserError(f"{misplaced[0]}: for a table, and {data} is an h5ad file; leave it out")
        adata, keys = _read_h5ad(data, time, trajectory, group, subject, layer)
    else:
        if layer is not None:
            raise UserError(f"--layer: for an h5ad file, and {data} is a table; leave it out")
        from sparsenode.data.readers.long_tables import read_table

        adata = read_table(
            data,
            time=time or "time",
            trajectory=trajectory,
            group=group,
            subject=subject,
            variables=variables,
            leave_out=leave_out,
            order="any" if any_order else "increasing",
        )
        keys = {"time_key": time or "time"}
        keys |= {"trajectory_key": trajectory, "group_key": group, "subject_key": subject}
    model.fit(adata, **keys)
    write_folder(model, output, data.name)
    return model.summary()


def _read_h5ad(
    path: Path, time: str | None, trajectory: str | None, group: str | None, subject: str | None, layer: str | None
) -> tuple[AnnData, dict[str, str | None]]:
    """The AnnData of a file, and what `SparseNODE.fit` is told of its columns."""
    from sparsenode.data.contract import has_metadata, read_h5ad

    adata = read_h5ad(path)
    if time is None and not has_metadata(adata):
        columns = ", ".join(map(str, list(adata.obs.columns)[:8])) or "none"
        raise UserError(f"--time: missing; name the column of `obs` of {path} with the times; there are: {columns}")
    return adata, {
        "time_key": time,
        "trajectory_key": trajectory,
        "group_key": group,
        "subject_key": subject,
        "layer": layer,
    }


def _check_output(folder: Path) -> None:
    """Refuse a folder that has something in it, before anything is computed."""
    if (problem := lookup_problem(folder)) is not None:
        raise UserError(problem)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output: found {folder}, which is a file; allowed: a folder that is empty or not there")
    if folder.is_dir() and (names := sorted(path.name for path in folder.iterdir())):
        raise UserError(
            f"--output: found {folder}, which has {names[0]} in it; allowed: a folder that is empty or not there"
        )


def write_folder(model: SparseNODE, folder: Path, data_name: str) -> None:
    """Write a fitted estimator with its tables, figures and summary, `FILES`, into a folder.

    The folder is complete or not there: it is written beside its place and then renamed.

    Args:
        model: the estimator.
        folder: the folder, which is empty or not there.
        data_name: what the summary calls the data.

    Raises:
        UserError: the file system refuses it.
    """
    from sparsenode.remarks import write_remarks

    temporary = folder.absolute().with_name(f".{folder.absolute().name}-{secrets.token_hex(4)}")
    try:
        temporary.mkdir(parents=True)
        (temporary / "summary.md").write_text(_describe(model, data_name), encoding="utf-8")
        model.network().to_csv(temporary / "network.csv", index=False)
        model.path().to_csv(temporary / "strengths.csv", index=False)
        model.evaluation_.metrics.to_csv(temporary / "metrics.csv", index=False)
        write_remarks(model.remarks_, temporary / "remarks.csv")
        model.plot.save(temporary / "figures")
        model.save(temporary / "model.sparsenode")
        temporary.replace(folder)
    except OSError as error:
        raise UserError(
            f"cannot write {folder}: {error.strerror or error}; check the free space, the permissions and the folders"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _describe(model: SparseNODE, data_name: str) -> str:
    """The summary as Markdown, with a list of the files."""
    files = [f"- `{name}`: {content}" for name, content in FILES.items()]
    return "\n".join(
        [f"# SparseNODE fitted to {data_name}", "", "```text", model.summary(), "```", "", "## Files", "", *files, ""]
    )
