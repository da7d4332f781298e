"""Unpacking of downloaded gzip files, piece by piece."""

from __future__ import annotations

import gzip
import logging
import os
import zlib
from pathlib import Path

from sparsenode.errors import UserError
from sparsenode.files import check_free_space, write_atomically
from sparsenode.progress import follow_bytes

logger = logging.getLogger(__name__)

_CHUNK = 2**20


def unpack_source(packed: str | Path, output: str | Path) -> None:
    """Write what the gzip file `packed` holds to `output`, with a few MiB of memory whatever its size.

    Members that follow each other are joined, and zeros at the end ignored, as gzip does.

    Raises:
        UserError: no gzip file, or a short, damaged or lengthened one, or no room on the disk; nothing is left behind.
    """
    packed, output = Path(packed), Path(output)
    try:
        length, least = packed.stat().st_size, _least_size(packed)
        with write_atomically(output) as temporary:
            check_free_space(output, least)
            with (
                packed.open("rb") as source,
                gzip.open(source) as stream,
                temporary.open("xb") as target,
                follow_bytes(f"unpacking {packed.name}", length) as show,
            ):
                while chunk := stream.read(_CHUNK):
                    target.write(chunk)
                    show(source.tell())
                size = target.tell()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        message = f"{packed}: the gzip file is cut short or damaged ({error}); delete it and run again"
        raise UserError(message) from error
    except OSError as error:
        message = f"cannot read the gzip file {packed}: {error.strerror or error}"
        raise UserError(message) from error
    logger.info("%s: %d bytes from %d packed ones", output, size, length)


def _least_size(packed: Path) -> int:
    """What a gzip file says it holds, in its last four bytes: the true size of its last member modulo 4 GiB.

    Raises:
        gzip.BadGzipFile: the file is shorter than any gzip file, which gzip itself would take for nothing packed.
    """
    with packed.open("rb") as stream:
        if stream.seek(0, os.SEEK_END) < len(gzip.compress(b"")):
            stream.seek(0)
            message = f"not a gzipped file ({stream.read()!r})"
            raise gzip.BadGzipFile(message)
        stream.seek(-4, os.SEEK_END)
        return int.from_bytes(stream.read(4), "little")
