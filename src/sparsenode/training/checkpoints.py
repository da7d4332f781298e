"""Checkpoints of a training job: written whole or not at all, two at most, and used only by the same job.

A file is the sha256 of its content, and the content: tensors as safetensors with the job's identity and the state of
the run as JSON in the header, so that nothing in it can be executed. Its name holds a hash of the identity.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from sparsenode.ensemble.device import is_out_of_memory
from sparsenode.errors import UserError
from sparsenode.files import tensor_file_header, write_atomically
from sparsenode.provenance import list_differences

_LOG = logging.getLogger(__name__)

KEPT = 2
"""The newest checkpoint, and the one before it, should the newest be damaged."""

Checkpoint = tuple[int, dict[str, Tensor], dict[str, Any]]
"""Number, tensors and state of a checkpoint."""

_TOP_FOLDER = "checkpoints"
_LOCK = ".lock"
_NAME = re.compile(r"[0-9]{12}-[0-9a-f]{16}\.checkpoint")

_DIGEST_BYTES = 64


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one training job, in a folder of its own.

    `identity` is all that the result depends on: settings, seeds, data, versions. A checkpoint is due when `seconds`
    have passed since the last one.
    """

    folder: Path
    identity: Mapping[str, Any]
    seconds: float = 60.0

    @property
    def key(self) -> str:
        """Hash of the identity, 16 hexadecimal digits."""
        canonical = json.dumps(self.identity, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def save(self, number: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> bool:
        """Write checkpoint `number`, which counts up, and remove all but the last two.

        Returns False, with a warning in the log, where the file system refuses or the memory does not suffice: the
        training itself can go on.
        """
        path = self.folder / f"{number:012d}-{self.key}.checkpoint"
        try:
            header = {"identity": self.identity, "state": state}
            contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
            content = save(contiguous, metadata={"sparsenode": json.dumps(header)})
            with write_atomically(path) as temporary, temporary.open("wb") as stream:
                stream.write(hashlib.sha256(content).hexdigest().encode())
                stream.write(content)
        except (UserError, OSError) as error:
            _LOG.warning("no checkpoint: %s; the training goes on without it", error)
            return False
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError) and not is_out_of_memory(error):
                raise
            _LOG.warning("no checkpoint: there is not enough memory for one; the training goes on without it")
            return False
        for old in self._files()[:-KEPT]:
            _discard(old)
        return True

    def load(self) -> Checkpoint | None:
        """Number, tensors and state of the newest sound checkpoint of this job; None to start again.

        Checkpoints of another job in the folder, damaged ones, and what an interrupted write left are named in the
        log and removed.
        """
        if not self.folder.is_dir():
            return None
        for rest in self.folder.glob(".*.checkpoint"):
            _discard(rest)
        for path in reversed(self._files()):
            try:
                content = _read(path)
                tensors, header = load(content), tensor_file_header(io.BytesIO(content))
            except (_DamagedError, SafetensorError, OSError, ValueError, KeyError) as error:
                _LOG.warning("%s is damaged (%s): it is not used, and removed", path, error)
                _discard(path)
                continue
            if header["identity"] != json.loads(json.dumps(self.identity)):
                differences = list_differences(header["identity"], self.identity)
                difference = "; ".join(f"{key}: {old}, now {new}" for key, old, new in differences)
                _LOG.warning("%s belongs to another training (%s): it is not used, and removed", path, difference)
                _discard(path)
                continue
            return int(path.name.split("-")[0]), tensors, header["state"]
        return None

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes out of the folder within the block; the system forgets it when this process ends.

        Raises UserError if another one is training here.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = self.folder / _LOCK
        with lock.open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"another process is training with the checkpoints in {self.folder}; wait for it, or end it"
                ) from error
            except OSError as error:  # some network file systems have no locks
                _LOG.warning("%s cannot be locked (%s); let no second process train here", lock, error.strerror)
            yield
            if not self._files():
                lock.unlink(missing_ok=True)
                _remove_empty_folders(self.folder)

    def remove(self) -> None:
        """Remove all checkpoints, and the folders up to `checkpoints` that become empty by it."""
        for path in self._files():
            _discard(path)
        _remove_empty_folders(self.folder)

    def _files(self) -> list[Path]:
        """All checkpoints in the folder, oldest first; the number has leading zeros."""
        return sorted(path for path in self.folder.glob("*.checkpoint") if _NAME.fullmatch(path.name))


def _discard(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _remove_empty_folders(folder: Path) -> None:
    """Remove an empty folder, and those above it up to one called `checkpoints`."""
    folders = [folder, *folder.parents]
    names = [path.name for path in folders]
    last = names.index(_TOP_FOLDER) if _TOP_FOLDER in names else 0
    with contextlib.suppress(OSError):  # other jobs may use the folders above
        for path in folders[: last + 1]:
            path.rmdir()


class _DamagedError(Exception):
    pass


def _read(path: Path) -> bytes:
    whole = path.read_bytes()
    digest, content = whole[:_DIGEST_BYTES], whole[_DIGEST_BYTES:]
    if hashlib.sha256(content).hexdigest().encode() != digest:
        message = "its checksum is wrong: it was cut or changed"
        raise _DamagedError(message)
    return content
