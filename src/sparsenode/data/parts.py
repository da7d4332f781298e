"""Files that come in pieces: what there is of one lies under a hidden name beside it, written by one process at a time.

Beside a part may lie a record of where it comes from; with one, a part outlives a failure and is gone on with.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path

from sparsenode.errors import UserError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Origin:
    """Where a part comes from: the address, its file's ETag or date, and its size in bytes if known."""

    address: str
    validator: str
    size: int | None


@dataclass(frozen=True)
class Part:
    """What there is of a file, open for appending and locked."""

    path: Path
    stream: FileIO

    @property
    def received(self) -> int:
        """Number of bytes that are there."""
        return os.fstat(self.stream.fileno()).st_size

    @property
    def origin(self) -> Origin | None:
        """Where the bytes come from; None where there are none, or where they cannot be gone on with."""
        try:
            origin = Origin(**json.loads(self._record.read_text(encoding="utf-8")))
            known = isinstance(origin.address, str) and isinstance(origin.validator, str)
            possible = 0 < self.received <= (self.received if origin.size is None else origin.size)
        except (OSError, ValueError, TypeError):  # none, or one that was cut short
            return None
        return origin if known and possible else None

    @property
    def _record(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def begin(self, origin: Origin | None = None) -> None:
        """Drop what is there, and note where the bytes that follow come from, if they may be gone on with."""
        self._record.unlink(missing_ok=True)
        self.stream.truncate(0)
        if origin is not None:
            self._record.write_text(json.dumps(asdict(origin)), encoding="utf-8")

    def append(self, chunk: bytes) -> None:
        """Write `chunk` at the end; nothing is held back in a buffer, so that a killed process loses nothing."""
        rest = memoryview(chunk)
        while rest:
            rest = rest[self.stream.write(rest) :]

    def become(self, output: Path) -> None:
        """Give the part its own name, at which an earlier file is replaced."""
        self.path.replace(output)
        self._record.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove part and record, unless the part has become a file already."""
        if _is_at(self.stream, self.path):
            self._record.unlink(missing_ok=True)
            self.path.unlink()


@contextmanager
def part_of(output: Path) -> Iterator[Part]:
    """Give the part of `output`, `.NAME.part` beside it, to this process alone; missing folders are made.

    Afterwards the part is there only if it has not become the file and can be gone on with.

    Raises:
        UserError: another process writes it, or the file system refuses.
    """
    path = output.with_name(f".{output.name}.part")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path, output) as stream:
            part = Part(path, stream)
            try:
                yield part
            finally:
                if part.origin is None:
                    part.remove()
    except OSError as error:
        message = (
            f"cannot write {output}: {error.strerror or error}; check the free space, the permissions and the folders"
        )
        raise UserError(message) from error


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


@contextmanager
def _locked(path: Path, output: Path) -> Iterator[FileIO]:
    """Open the part for appending and lock it; the system forgets the lock when this process ends."""
    while True:
        with FileIO(path, "a+") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                message = f"another process is writing {output} (by way of {path}); wait for it, or end it"
                raise UserError(message) from error
            except OSError as error:  # some network file systems have no locks
                logger.warning("%s cannot be locked (%s); let no second process write it", path, error.strerror)
            # Between opening and locking, the one before may have finished and given the file another name.
            if _is_at(stream, path):
                yield stream
                return


def _is_at(stream: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False
