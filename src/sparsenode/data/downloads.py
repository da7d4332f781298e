"""Downloads: checked files, laid out as HOST/PATH below one folder, from the internet or a mirror of it."""

import csv
import hashlib
import http.client
import logging
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import BinaryIO

from sparsenode.errors import UserError
from sparsenode.files import file_sha256, write_atomically

logger = logging.getLogger(__name__)

MIRROR_VARIABLE = "SPARSENODE_MIRROR"
_LARGEST_DOWNLOAD = 8 * 2**30  # bytes, where no size is known
_CHUNK = 2**20
_TIMEOUT = 60  # seconds without an answer
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?")


@dataclass(frozen=True)
class RemoteFile:
    """A file of the internet, with its checksum and its size in bytes where they are known."""

    url: str
    sha256: str | None = None
    size: int | None = None

    @property
    def relative_path(self) -> str:
        """HOST/PATH: where the file lies below the folder of downloads and below a mirror."""
        return relative_path(self.url)


def relative_path(url: str) -> str:
    """HOST/PATH of an address, safe to append to a folder.

    Raises:
        UserError: the address is not http(s), names no file, or would lead out of the folder.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"http", "https"} or not _HOST.fullmatch(parts.netloc):
        message = f"not an http or https address: {url!r}"
        raise UserError(message)
    path = urllib.parse.unquote(parts.path).removeprefix("/")
    segments = path.split("/")
    unsafe = any(segment in {"", ".", ".."} for segment in segments) or re.search(r"[\\\x00-\x1f]", path)
    if unsafe or parts.query or parts.fragment:
        message = f"the address {url!r} does not name a plain file (empty or '..' segments, a query or a fragment)"
        raise UserError(message)
    return f"{parts.netloc}/{path}"


@cache
def known_files() -> Mapping[str, RemoteFile]:
    """All files of the table of sources, by HOST/PATH."""
    table = resources.files("sparsenode.data").joinpath("sources.csv").read_text(encoding="utf-8")
    files = [
        RemoteFile(row["url"], row["sha256"] or None, int(row["size"]) if row["size"] else None)
        for row in csv.DictReader(table.splitlines())
    ]
    return {file.relative_path: file for file in files}


def known_file(url: str) -> RemoteFile:
    """The file at `url`, with checksum and size where the table of sources has them."""
    return known_files().get(relative_path(url), RemoteFile(url))


def check_downloaded(file: RemoteFile, path: Path) -> str:
    """Return the checksum of the downloaded `path`, which has to be that of `file` where one is known.

    Raises:
        UserError: the file is missing, or is not the published one.
    """
    if not path.is_file():
        message = f"{path} is missing; it is downloaded from {file.url}"
        raise UserError(message)
    found = file_sha256(path)
    if file.sha256 is not None and found != file.sha256:
        message = (
            f"{path} is not the file at {file.url}: {_looks_like(path)}sha256 {found}, expected "
            f"{file.sha256}, "
            f"size {path.stat().st_size}, expected {file.size}; delete it and run again"
        )
        raise UserError(message)
    return found


def download_source(
    url: str,
    output: str | Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    mirror: str | None = None,
) -> None:
    """Write the file at `url` to `output`, once its size and its checksum are right.

    `mirror` is a folder or an http(s) address laid out as HOST/PATH, used instead of the internet; where it
    is None the variable SPARSENODE_MIRROR is asked. Without a known checksum the one found is logged, with a
    warning.

    Raises:
        UserError: no such file, no connection, a short or long file, another checksum, a web page in its
        place;
            nothing is left behind.
    """
    mirror = mirror or os.environ.get(MIRROR_VARIABLE) or None
    output = Path(output)
    with _opened(url, mirror) as (stream, place, announced), write_atomically(output) as temporary:
        found, received = _copy(stream, temporary, f"{url} (from {place})", size)
        _check_received(temporary, url, place, (found, sha256), (received, size, announced))
    if sha256 is None:
        logger.warning("%s: no checksum is known for this file; sha256 of what came: %s", url, found)
    logger.info("%s: %d bytes from %s", output, received, place)


@contextmanager
def _opened(url: str, mirror: str | None) -> Iterator[tuple[BinaryIO, str, int | None]]:
    """Stream of the file, where it really comes from, and how long the sender says it is."""
    path = relative_path(url)
    if mirror is not None and not mirror.startswith(("http://", "https://")):
        local = Path(mirror) / path
        try:
            stream = local.open("rb")
        except OSError as error:
            message = f"{url}: the mirror {mirror} has no readable file {path} ({error.strerror})"
            raise UserError(message) from error
        with stream:
            yield stream, str(local), None
        return
    address = url if mirror is None else f"{mirror.rstrip('/')}/{urllib.parse.quote(path)}"
    request = urllib.request.Request(address, headers={"User-Agent": "sparsenode"})  # noqa: S310  http(s) only
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as stream:  # noqa: S310  as above
            length = stream.headers.get("Content-Length")
            yield stream, address, int(length) if length else None
    except urllib.error.HTTPError as error:
        error.close()
        message = f"{url}: the server answered {error.code} {error.reason} for {address}"
        raise UserError(message) from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        message = (
            f"{url}: no connection to {address} ({reason}); without internet, set `mirror` in the "
            "configuration or "
            f"{MIRROR_VARIABLE} to a folder or an address laid out as HOST/PATH"
        )
        raise UserError(message) from error


def _copy(stream: BinaryIO, target: Path, named: str, size: int | None) -> tuple[str, int]:
    """Copy at most a little more than `size` bytes; return checksum and count."""
    limit = _LARGEST_DOWNLOAD if size is None else size
    digest = hashlib.sha256()
    received = 0
    with target.open("wb") as output:
        while chunk := _read_chunk(stream, named):
            received += len(chunk)
            if received > limit:
                message = f"{named}: more than the {limit} bytes it should have; nothing was kept"
                raise UserError(message)
            digest.update(chunk)
            output.write(chunk)
    return digest.hexdigest(), received


def _read_chunk(stream: BinaryIO, named: str) -> bytes:
    # An interrupted connection is an OSError too, and must not be mistaken for a full disk.
    try:
        return stream.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        message = f"{named}: reading broke off ({error or type(error).__name__}); run again"
        raise UserError(message) from error


def _check_received(
    path: Path,
    url: str,
    place: str,
    checksums: tuple[str, str | None],
    sizes: tuple[int, int | None, int | None],
) -> None:
    found, expected = checksums
    received, size, announced = sizes
    complete = received == (size if size is not None else announced if announced is not None else received)
    if complete and expected in {None, found} and not (expected is None and _looks_like(path)):
        return
    wanted = expected or "unknown"
    amount = f"{received} bytes" + ("" if complete else f" instead of {size if size is not None else announced}")
    message = (
        f"{url}: {_looks_like(path)}{amount} came from {place}, sha256 {found}, expected {wanted}; nothing was kept"
    )
    raise UserError(message)


def _looks_like(path: Path) -> str:
    """A remark on a file that is a web page, the usual reason for a wrong checksum; empty otherwise."""
    with path.open("rb") as stream:
        start = stream.read(512).lstrip().lower()
    return "a web page (HTML) stands in place of data: " if start.startswith((b"<!doctype html", b"<html")) else ""
