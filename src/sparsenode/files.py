"""Writing of files such that a reader never sees a half-written one, reading of those of a run, and checksums."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from sparsenode.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

_LONGEST_HEADER = 10**8  # bytes, as safetensors itself allows


@contextlib.contextmanager
def write_atomically(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, which becomes `path` when the block ends without an error.

    The temporary path keeps the ending of `path`, since several writers choose their format by it; no file
    exists at it yet. Missing parent folders are made. When the block raises, whatever was written is removed
    and an earlier file at `path` stays as it was.

    Raises:
        UserError: the file system refuses the file (no space left, no permission, a folder in its place).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.errno is None or not _is_about(error, path, temporary):
            raise
        message = f"cannot write {path}: {error.strerror}; check the free space, the permissions and the folders"
        raise UserError(message) from error
    finally:
        with contextlib.suppress(OSError):  # where the folder could not be made there is nothing to remove
            temporary.unlink(missing_ok=True)


def _is_about(error: OSError, path: Path, temporary: Path) -> bool:
    """Whether the error is one of writing `path`, not of another file that the block reads."""
    if error.filename is None:  # a write or a close, without a name: no space left
        return True
    named, written = Path(os.fsdecode(error.filename)).absolute(), path.absolute()
    return named == written or named in written.parents or named.name.startswith(temporary.stem)


@contextlib.contextmanager
def reading(path: Path, form: str | None = None) -> Iterator[None]:
    """Tell of a file of a run that cannot be read in one line: the block reads it, and does nothing else.

    Args:
        path: the file, which the same run makes again once it is gone.
        form: what the file should be, such as "a model", where a person may name any file; None for files that only
            a run names.

    Raises:
        UserError: the file is missing or a folder, or it is damaged: cut, empty, or of another kind.
        MemoryError: there is not enough memory to read it.
    """
    if (problem := lookup_problem(path)) is not None:
        raise UserError(problem)
    if not path.exists():
        raise UserError(f"{path} is missing; run again, and it is made")
    if path.is_dir():
        raise UserError(f"{path} is a folder and no file; delete it and run again")
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno not in {None, errno.EINVAL}:
            raise  # The system refuses the file, which may be sound.
        reason = describe_problem(error)
        if "alloc" in reason:
            raise MemoryError(f"{path}: {reason}") from error
        if form is None:
            raise UserError(f"{path} is damaged ({reason}); delete it and run again") from error
        raise UserError(
            f"{path} cannot be read as {form} ({reason}): it is damaged or of another kind; if it is a result of a "
            "run, delete it and run again"
        ) from error


def describe_problem(error: Exception) -> str:
    """The first line of what an error says of a file's content."""
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return f"it lacks {reason}" if isinstance(error, LookupError) else reason


def read_table(
    path: Path, *, columns: Sequence[str] | None = None, filters: Any = None, needed: Sequence[str] = ()
) -> pd.DataFrame:
    """A table of a run from its parquet file.

    Args:
        path: the parquet file.
        columns: names of the columns to read; all where it is None.
        filters: which rows to read, as `pandas.read_parquet` takes them; all where it is None.
        needed: names of columns that the file has to have, beside those to read.

    Raises:
        UserError: the file is missing or damaged (see `reading`).
    """
    import pandas as pd
    from pyarrow import parquet

    with reading(Path(path)):
        present = parquet.read_schema(path).names
        for name in (*(columns or ()), *needed):
            if name not in present:
                raise KeyError(name)
        return pd.read_parquet(path, columns=None if columns is None else list(columns), filters=filters)


def read_json(path: Path, keys: Sequence[str] = ()) -> dict[str, Any]:
    """A JSON object of a run from its file.

    Args:
        path: the JSON file.
        keys: entries that the object has to have.

    Raises:
        UserError: the file is missing or damaged (see `reading`).
    """
    with reading(Path(path)):
        content: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        for key in keys:
            content[key]
    return content


def tensor_file_header(stream: BinaryIO) -> dict[str, Any]:
    """What this package has put beside the tensors of a safetensors file, which begins with the length of its header.

    Args:
        stream: the file at its beginning; of a damaged one, some ValueError, LookupError or TypeError is raised.
    """
    length = int.from_bytes(stream.read(8), "little")
    if length > _LONGEST_HEADER:
        message = "it has no header"
        raise ValueError(message)
    described = json.loads(stream.read(length))["__metadata__"]["sparsenode"]
    header: dict[str, Any] = json.loads(described)
    return header


def describe_absence(path: Path) -> str | None:
    """Say what is in the place of a file that is to be read: nothing, or a folder; None where the file is there."""
    if (problem := lookup_problem(path)) is not None:
        return problem
    if path.is_file():
        return None
    if path.is_dir():
        marks = [path / name for name in (".zgroup", ".zattrs", "zarr.json")]
        store = path.suffix == ".zarr" or any(lookup_problem(mark) is None and mark.exists() for mark in marks)
        instead = "write the data as one h5ad file (AnnData.write_h5ad)" if store else "name a file in it"
        return f"{path} is a folder{' (a zarr store)' if store else ''}, and a file is read; {instead}"
    if path.exists():
        return f"{path} is neither a file nor a folder; name a file"
    where = f" (looked for at {path.absolute()})" if not path.is_absolute() else ""
    return f"{path} is missing{where}; check the path"


def lookup_problem(path: Path) -> str | None:
    """Say why the system cannot look a path up, such as one that is too long; None where it can."""
    try:
        path.exists()
    except OSError as error:
        return f"{path} cannot be looked up: {error.strerror}; check the path"
    return None


def file_sha256(path: Path) -> str:
    """Checksum of a file, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_free_space(output: Path, needed: int) -> None:
    """Check that the disk of `output`, whose folder is there, takes `needed` more bytes.

    Raises:
        UserError: it does not.
    """
    free = shutil.disk_usage(output.parent).free
    if needed > free:
        message = (
            f"{output} takes {needed} more bytes, and the disk of {output.parent} has {free} left: free some, or "
            "set `downloads_dir` to a folder on another disk"
        )
        raise UserError(message)


def scheme_of(location: str) -> str:
    """The scheme of an address in lower case, such as `https`; empty for a path."""
    scheme, separator, _ = location.partition("://")
    return scheme.lower() if separator and scheme.isalnum() else ""


def is_web_address(location: str) -> bool:
    """Whether a location is an http(s) address."""
    return scheme_of(location) in {"http", "https"}
