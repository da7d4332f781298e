"""Downloads: checked files, laid out as HOST/PATH below one folder, from the internet or a mirror of it.

What a broken download over http(s) has brought lies beside its output, under a hidden name, and the next run goes on
from there.
"""

import csv
import http.client
import logging
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from http import HTTPStatus
from importlib import resources
from pathlib import Path
from typing import Protocol

from sparsenode.data.parts import Origin, Part, check_free_space, part_of
from sparsenode.errors import UserError
from sparsenode.files import file_sha256
from sparsenode.progress import follow_bytes

logger = logging.getLogger(__name__)

MIRROR_VARIABLE = "SPARSENODE_MIRROR"
_LARGEST_DOWNLOAD = 8 * 2**30  # bytes, where no size is known
_CHUNK = 2**20
_RETRIES = 5  # in a row that brought nothing
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS} | {
    status for status in HTTPStatus if status >= 500
}
_PIECE = re.compile(r"bytes ([0-9]+)-[0-9]+/([0-9]+)")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?")


@dataclass(frozen=True)
class RemoteFile:
    """A file of the internet, with its checksum and its size in bytes where they are known.

    With `unpack` it is a gzip file that is read unpacked; checksum and size are still those of the packed file.
    """

    url: str
    sha256: str | None = None
    size: int | None = None
    unpack: bool = False

    @property
    def relative_path(self) -> str:
        """HOST/PATH: where the file lies below the folder of downloads and below a mirror."""
        return relative_path(self.url)

    @property
    def local_path(self) -> str:
        """HOST/PATH of what is read below the folder of downloads: without `.gz` where it is unpacked.

        Raises:
            UserError: it is to be unpacked, and its name does not end in `.gz`.
        """
        if not self.unpack:
            return self.relative_path
        path = self.relative_path.removesuffix(".gz")
        if path == self.relative_path or path.endswith("/"):
            message = f"{self.url!r} cannot be unpacked: only a file NAME.gz can"
            raise UserError(message)
        return path


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


def known_file(url: str, *, unpack: bool = False) -> RemoteFile:
    """The file at `url`, with checksum and size where the table of sources has them."""
    return replace(known_files().get(relative_path(url), RemoteFile(url)), unpack=unpack)


def check_downloaded(file: RemoteFile, path: Path) -> str:
    """Return the checksum of `path`, downloaded or unpacked, which has to be that of `file` where one is known.

    Of what is unpacked none is known: its gzip file brought its own, and was checked as a download.

    Raises:
        UserError: the file is missing, or is not the published one.
    """
    if not path.is_file():
        message = f"{path} is missing; it is {'unpacked' if file.unpack else 'downloaded'} from {file.url}"
        raise UserError(message)
    found = file_sha256(path)
    if file.sha256 is not None and not file.unpack and found != file.sha256:
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
    pause: float = 5.0,
    timeout: float = 60.0,
) -> None:
    """Write the file at `url` to `output`, once its size and its checksum are right.

    `mirror` is a folder or an http(s) address laid out as HOST/PATH, used instead of the internet; where it
    is None the variable SPARSENODE_MIRROR is asked. Without a known checksum the one found is logged, with a
    warning. A connection that breaks off, or is silent for `timeout` seconds, is taken up again after `pause`
    seconds as long as something comes. What came is then kept for the next run, where the server marks the state of
    its file by an ETag or a date.

    Raises:
        UserError: no such file, no connection or a broken one, another process at the same file, no room on the disk;
            a short or long file, another checksum, a web page in its place: nothing is left behind.
    """
    mirror = mirror or os.environ.get(MIRROR_VARIABLE) or None
    output = Path(output)
    path = relative_path(url)
    with part_of(output) as part:
        if mirror is None or mirror.startswith(("http://", "https://")):
            place = url if mirror is None else f"{mirror.rstrip('/')}/{urllib.parse.quote(path)}"
            _fetch(part, _Wanted(url, place, output, size, timeout), pause)
        else:
            place = str(Path(mirror).expanduser() / path)
            _copy(part, _Wanted(url, place, output, size, timeout), mirror)
        received, found = part.received, file_sha256(part.path)
        remark = _looks_like(part.path)
        complete = size in {None, received}
        if not complete or sha256 not in {None, found} or (sha256 is None and remark):
            part.remove()
            amount = f"{received} bytes" + ("" if complete else f" instead of {size}")
            message = (
                f"{url}: {remark}{amount} came from {place}, sha256 {found}, expected {sha256 or 'unknown'}; "
                "nothing was kept"
            )
            raise UserError(message)
        part.become(output)
    if sha256 is None:
        logger.warning("%s: no checksum is known for this file; sha256 of what came: %s", url, found)
    logger.info("%s: %d bytes from %s", output, received, place)


@dataclass(frozen=True)
class _Wanted:
    """A file, where it really comes from, its size if known, and how long to wait for an answer, in seconds."""

    url: str
    place: str
    output: Path
    size: int | None
    timeout: float


class _BrokenOffError(Exception):
    """The file did not come whole, which another attempt may mend."""


class _NoAnswerError(_BrokenOffError):
    """Not even an answer came."""


class _Readable(Protocol):
    """A file or an answer."""

    def read1(self, size: int, /) -> bytes: ...


def _copy(part: Part, wanted: _Wanted, mirror: str) -> None:
    """Copy the file from a folder."""
    source = Path(wanted.place)
    try:
        stream = source.open("rb")
    except OSError as error:
        path = relative_path(wanted.url)
        message = f"{wanted.url}: the mirror {mirror} has no readable file {path} ({error.strerror})"
        raise UserError(message) from error
    with stream:
        part.begin()
        try:
            _append(part, wanted, stream, os.fstat(stream.fileno()).st_size)
        except _BrokenOffError as broken:
            message = f"{broken}; run again"
            raise UserError(message) from broken


def _fetch(part: Part, wanted: _Wanted, pause: float) -> None:
    """Receive the file over http(s), in as many attempts as bring something."""
    furthest, idle, answered = part.received, 0, False
    while True:
        try:
            _receive(part, wanted)
            return
        except _BrokenOffError as broken:
            # Counted from the furthest place, so that a server that begins anew each time comes to an end too.
            idle = 0 if part.received > furthest else idle + 1
            furthest = max(furthest, part.received)
            answered = answered or not isinstance(broken, _NoAnswerError)
            if not answered or idle >= _RETRIES:
                kept = _origin(part, wanted) is not None
                after = f"{part.received} bytes are kept, and the next run goes on from there" if kept else "run again"
                message = f"{broken}; {after}"
                raise UserError(message) from broken
            logger.warning("%s; once more in %g s", broken, pause)
            time.sleep(pause)


def _origin(part: Part, wanted: _Wanted) -> Origin | None:
    """Where the part comes from, if that is where the rest is to come from."""
    origin = part.origin
    return origin if origin is not None and origin.address == wanted.place else None


def _receive(part: Part, wanted: _Wanted) -> None:
    """Ask once for the file, or for the rest of it, and append what comes."""
    origin = _origin(part, wanted)
    if origin is not None and part.received == origin.size:
        return  # the process ended between the last byte and the check
    answer = _ask(wanted, part.received, origin)
    if answer is None:
        logger.warning("%s: the rest of the file is not to be had; from the beginning", wanted.url)
        part.begin()
        _receive(part, wanted)
        return
    with answer:
        total = _total(answer)
        if answer.status == HTTPStatus.PARTIAL_CONTENT:
            logger.info("%s: goes on after the %d bytes that are there, of %s", wanted.url, part.received, total)
        else:
            if origin is not None:
                logger.warning("%s: the file has changed, or the server sends no rest; from the beginning", wanted.url)
            validator = _validator(answer)
            part.begin(None if validator is None else Origin(wanted.place, validator, total))
        _append(part, wanted, answer, total)


def _ask(wanted: _Wanted, received: int, origin: Origin | None) -> http.client.HTTPResponse | None:
    """Ask for the file, or for what follows the first bytes of `origin`; None where that is not to be had."""
    headers = {"User-Agent": "sparsenode"}
    if origin is not None:
        headers |= {"Range": f"bytes={received}-", "If-Range": origin.validator}
    request = urllib.request.Request(wanted.place, headers=headers)  # noqa: S310  http(s) only
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=wanted.timeout)  # noqa: S310  as above
    except urllib.error.HTTPError as error:
        error.close()
        if origin is not None and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None
        message = f"{wanted.url}: the server answered {error.code} {error.reason} for {wanted.place}"
        raise (_NoAnswerError if error.code in _PASSING else UserError)(message) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        message = (
            f"{wanted.url}: no connection to {wanted.place} ({reason}); without internet, set `mirror` in the "
            f"configuration or {MIRROR_VARIABLE} to a folder or an address laid out as HOST/PATH"
        )
        raise _NoAnswerError(message) from error
    if answer.status == HTTPStatus.OK:
        return answer
    if origin is not None and answer.status == HTTPStatus.PARTIAL_CONTENT:
        if _follows(answer, received, origin):
            return answer
        answer.close()
        return None
    answer.close()
    message = f"{wanted.url}: the server answered {answer.status} {answer.reason} for {wanted.place}"
    raise UserError(message)


def _follows(answer: http.client.HTTPResponse, received: int, origin: Origin) -> bool:
    """Whether the answer holds what follows the first `received` bytes of the same state of the file."""
    piece = _PIECE.fullmatch(answer.headers.get("Content-Range", ""))
    if piece is None or int(piece[1]) != received or origin.size not in {None, int(piece[2])}:
        return False
    return _validator(answer) in {None, origin.validator}


def _total(answer: http.client.HTTPResponse) -> int | None:
    """Size of the whole file, where the answer tells it."""
    if answer.status == HTTPStatus.PARTIAL_CONTENT and (piece := _PIECE.fullmatch(answer.headers["Content-Range"])):
        return int(piece[2])
    return answer.length


def _validator(answer: http.client.HTTPResponse) -> str | None:
    """Mark of the state of a file by which its rest can be asked for: a strong ETag, else its date."""
    tag = answer.headers.get("ETag", "")
    mark: str | None = tag if tag.startswith('"') else answer.headers.get("Last-Modified")
    usable = mark is not None and mark.isprintable() and answer.headers.get("Accept-Ranges") != "none"
    return mark if usable else None


def _append(part: Part, wanted: _Wanted, stream: _Readable, total: int | None) -> None:
    """Append all that comes, but not more than it should be; `total` is the size of the whole file."""
    most = _LARGEST_DOWNLOAD if wanted.size is None else wanted.size
    limit = most if total is None else min(most, total)
    expected = wanted.size if total is None else total
    place = f"{wanted.url} (from {wanted.place})"
    excess = f"{place}: more than the {limit} bytes it should have; nothing was kept"
    if total is not None and total > most:
        part.remove()
        raise UserError(excess)
    if expected is not None:
        check_free_space(wanted.output, expected - part.received)
    with follow_bytes(wanted.output.name, expected, start=part.received) as show:
        while chunk := _read_chunk(stream, place, part.received, total):
            if part.received + len(chunk) > limit:
                part.remove()
                raise UserError(excess)
            part.append(chunk)
            show(part.received)


def _read_chunk(stream: _Readable, place: str, received: int, total: int | None) -> bytes:
    """Read what there is, at most a chunk; nothing at the end, which is where all has come."""
    count = f"{received} bytes instead of {total} came" if total is not None else f"{received} bytes came"
    try:
        chunk = stream.read1(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        # An interrupted connection is an OSError too, and must not be mistaken for a full disk.
        message = f"{place}: reading broke off ({error or type(error).__name__}): {count}"
        raise _BrokenOffError(message) from error
    if not chunk and total is not None and received < total:
        message = f"{place}: reading broke off: {count}"
        raise _BrokenOffError(message)
    return chunk


def _looks_like(path: Path) -> str:
    """A remark on a file that is a web page, the usual reason for a wrong checksum; empty otherwise."""
    with path.open("rb") as stream:
        start = stream.read(512).lstrip().lower()
    return "a web page (HTML) stands in place of data: " if start.startswith((b"<!doctype html", b"<html")) else ""
