"""Checkpoints of a training job: written whole or not at all, two at most, and used by the same job alone.

A file is the sha256 of its content, and the content: tensors as safetensors with the job's identity and the state of
the run as JSON in the header, so that nothing in it can be executed. Its name holds a hash of the identity.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from sparsenode.errors import UserError
from sparsenode.files import write_atomically

_LOG = logging.getLogger(__name__)

KEPT = 2
"""The newest checkpoint, and the one before it, should the newest be damaged."""

TOP_FOLDER = "checkpoints"

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

        Returns False, with a warning in the log, where the file system refuses: the training itself can go on.
        """
        header = {"identity": self.identity, "state": state}
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        content = save(contiguous, metadata={"sparsenode": json.dumps(header)})
        path = self.folder / f"{number:012d}-{self.key}.checkpoint"
        try:
            with write_atomically(path) as temporary, temporary.open("wb") as stream:
                stream.write(hashlib.sha256(content).hexdigest().encode())
                stream.write(content)
        except (UserError, OSError) as error:
            _LOG.warning("no checkpoint: %s; the training goes on without it", error)
            return False
        for old in self._files()[:-KEPT]:
            old.unlink(missing_ok=True)
        return True

    def load(self) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
        """Number, tensors and state of the newest sound checkpoint of this job; None to start anew.

        Checkpoints of another job in the folder, damaged ones, and what an interrupted write left are named in the
        log and removed.
        """
        if not self.folder.is_dir():
            return None
        for rest in self.folder.glob(".*"):
            rest.unlink(missing_ok=True)
        for path in reversed(self._files()):
            try:
                content = _read(path)
                tensors, header = load(content), _header(content)
            except (_DamagedError, SafetensorError, ValueError, KeyError) as error:
                _LOG.warning("%s is damaged (%s) and is not used", path, error)
                path.unlink(missing_ok=True)
                continue
            if header["identity"] != json.loads(json.dumps(self.identity)):
                difference = _differences(header["identity"], self.identity)
                _LOG.warning("%s belongs to another training (%s) and is not used", path, difference)
                path.unlink(missing_ok=True)
                continue
            return int(path.name.split("-")[0]), tensors, header["state"]
        return None

    def remove(self) -> None:
        """Remove all checkpoints, and the folders up to `checkpoints` that become empty by it."""
        for path in self._files():
            path.unlink(missing_ok=True)
        folders = [self.folder, *self.folder.parents]
        names = [folder.name for folder in folders]
        last = names.index(TOP_FOLDER) if TOP_FOLDER in names else 0
        with contextlib.suppress(OSError):  # other jobs may use the folders above
            for folder in folders[: last + 1]:
                folder.rmdir()

    def _files(self) -> list[Path]:
        """All checkpoints in the folder, oldest first."""
        return sorted(self.folder.glob("*.checkpoint"), key=lambda path: int(path.name.split("-")[0]))


class _DamagedError(Exception):
    pass


def _read(path: Path) -> bytes:
    whole = path.read_bytes()
    digest, content = whole[:_DIGEST_BYTES], whole[_DIGEST_BYTES:]
    if hashlib.sha256(content).hexdigest().encode() != digest:
        message = "its checksum is wrong: it was cut or changed"
        raise _DamagedError(message)
    return content


def _header(content: bytes) -> dict[str, Any]:
    """What `save` put beside the tensors: safetensors begins with the length of its JSON header."""
    length = int.from_bytes(content[:8], "little")
    described = json.loads(content[8 : 8 + length])["__metadata__"]["sparsenode"]
    header: dict[str, Any] = json.loads(described)
    return header


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "") -> str:
    """Name the entries in which two identities differ, such as `training_version: 1, now 2`."""
    named = []
    for key in sorted({*found, *wanted}):
        old, new = found.get(key), wanted.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            if nested := _differences(old, new, f"{prefix}{key}."):
                named.append(nested)
        elif json.dumps(old) != json.dumps(new):
            named.append(f"{prefix}{key}: {old}, now {new}")
    return "; ".join(named)
