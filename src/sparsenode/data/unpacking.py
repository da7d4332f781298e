"""Unpacking of downloaded gzip files, piece by piece."""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from sparsenode.data.parts import check_free_space, part_of
from sparsenode.errors import UserError
from sparsenode.progress import follow_bytes

logger = logging.getLogger(__name__)

_CHUNK = 2**20
_PACKED_CHUNK = 2**16
_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31  # of zlib: largest window, with gzip's header and its checksum


def unpack_source(packed: str | Path, output: str | Path, *, size: int | None = None) -> None:
    """Write what the gzip file `packed` holds to `output`, with a few MiB of memory whatever its size.

    `size` is the size of the unpacked file in bytes, where it is known. Members that follow each other are joined,
    and zeros at the end ignored, as gzip does.

    Raises:
        UserError: no gzip file, or a short, damaged or lengthened one, another size, or no room on the disk; nothing
            is left behind.
    """
    packed, output = Path(packed), Path(output)
    try:
        stream = packed.open("rb")
    except OSError as error:
        message = f"cannot read the gzip file {packed}: {error.strerror}"
        raise UserError(message) from error
    with stream, part_of(output) as part:
        part.begin()
        length = os.fstat(stream.fileno()).st_size
        check_free_space(output, _least_size(stream) if size is None else size)
        with follow_bytes(f"unpacking {packed.name}", length) as show:
            for chunk in _contents(stream, packed):
                if size is not None and part.received + len(chunk) > size:
                    message = f"{packed} unpacks to more than {size} bytes, which is not the file expected here"
                    raise UserError(message)
                part.append(chunk)
                show(stream.tell())
        received = part.received
        if size not in {None, received}:
            message = f"{packed} unpacks to {received} bytes instead of {size}, which is not the file expected here"
            raise UserError(message)
        part.become(output)
    logger.info("%s: %d bytes from %d packed ones", output, received, length)


def _least_size(stream: BufferedReader) -> int:
    """What a gzip file says it holds, in its last four bytes: the true size of its last member modulo 4 GiB."""
    if stream.seek(0, os.SEEK_END) < 4:
        return 0
    stream.seek(-4, os.SEEK_END)
    return int.from_bytes(stream.read(4), "little")


def _contents(stream: BufferedReader, packed: Path) -> Iterator[bytes]:
    """What the members hold, in chunks of at most a MiB; each member is checked at its end."""
    stream.seek(0)
    rest = _read(stream, packed)
    if not rest.startswith(_MAGIC):
        message = f"{packed} is no gzip file: it begins with {rest[:20]!r}; delete it and run again"
        raise UserError(message)
    while rest:
        if not rest.startswith(_MAGIC):
            message = f"{packed}: the end of the gzip data is followed by {rest[:20]!r}; delete it and run again"
            raise UserError(message)
        member = zlib.decompressobj(_GZIP_WINDOW)
        while not member.eof:
            data = rest or _read(stream, packed)
            try:
                chunk = member.decompress(data, _CHUNK)
            except zlib.error as error:
                message = f"{packed}: the gzip file is damaged ({error}); delete it and run again"
                raise UserError(message) from error
            rest = member.unconsumed_tail
            if chunk:
                yield chunk
            elif not data and not member.eof:
                message = f"{packed}: the gzip file is cut short; delete it and run again"
                raise UserError(message)
        rest = member.unused_data
        while len(rest := rest.lstrip(b"\0")) < len(_MAGIC) and (more := _read(stream, packed)):
            rest += more


def _read(stream: BufferedReader, packed: Path) -> bytes:
    try:
        return stream.read(_PACKED_CHUNK)
    except OSError as error:  # not to be mistaken for a full disk
        message = f"cannot read the gzip file {packed}: {error.strerror}"
        raise UserError(message) from error
