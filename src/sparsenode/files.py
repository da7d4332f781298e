"""Writing of files such that a reader never sees a half-written one, and their checksums."""

import contextlib
import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path

from sparsenode.errors import UserError


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
        if error.errno is None or not _is_about(error, path):
            raise
        message = f"cannot write {path}: {error.strerror}; check the free space, the permissions and the folders"
        raise UserError(message) from error
    finally:
        with contextlib.suppress(OSError):  # where the folder could not be made there is nothing to remove
            temporary.unlink(missing_ok=True)


def _is_about(error: OSError, path: Path) -> bool:
    """Whether the error is one of writing `path`, not of another file that the block reads."""
    if error.filename is None:  # a write or a close, without a name: no space left
        return True
    named = Path(error.filename)
    return named.parent == path.parent or named in path.parents


def describe_absence(path: Path) -> str | None:
    """Say what is in the place of a file that is to be read: nothing, or a folder; None where the file is there."""
    if path.is_file():
        return None
    if path.is_dir():
        store = path.suffix == ".zarr" or any((path / name).exists() for name in (".zgroup", ".zattrs", "zarr.json"))
        instead = "write the data as one h5ad file (AnnData.write_h5ad)" if store else "name a file in it"
        return f"{path} is a folder{' (a zarr store)' if store else ''}, and a file is read; {instead}"
    if path.exists():
        return f"{path} is neither a file nor a folder; name a file"
    where = f" (looked for at {path.absolute()})" if not path.is_absolute() else ""
    return f"{path} is missing{where}; check the path"


def file_sha256(path: Path) -> str:
    """Checksum of a file, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
