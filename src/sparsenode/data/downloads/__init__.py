"""Downloads: checked files, laid out as HOST/PATH below one folder, from the internet or a mirror of it.

pooch fetches a file, checks its checksum and asks again after a failure. What a broken transfer over http(s) has
brought is beside the output, under a hidden name, and the next attempt or run goes on from there.
"""

from __future__ import annotations

import csv
import fcntl
import json
import logging
import os
import re
import shutil
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from http import HTTPStatus
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from sparsenode.errors import UserError
from sparsenode.files import is_web_address, check_free_space, file_sha256
from sparsenode.progress import follow_bytes

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

MIRROR_VARIABLE = "SPARSENODE_MIRROR"
_CHUNK = 2**20
_RETRIES = 5  # after a failure or a wrong checksum; attempts that brought something do not count
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS} | {
    status for status in HTTPStatus if status >= 500
}
_PIECE = re.compile(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)")
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
    address = urllib.parse.urlsplit(url)
    if address.scheme not in {"http", "https"} or not _HOST.fullmatch(address.netloc):
        message = f"not an http or https address: {url!r}"
        raise UserError(message)
    path = urllib.parse.unquote(address.path).removeprefix("/")
    segments = path.split("/")
    unsafe = any(segment in {"", ".", ".."} for segment in segments) or re.search(r"[\\\x00-\x1f]", path)
    if unsafe or address.query or address.fragment:
        message = f"the address {url!r} does not name a plain file (empty or '..' segments, a query or a fragment)"
        raise UserError(message)
    return f"{address.netloc}/{path}"


@cache
def known_files() -> Mapping[str, RemoteFile]:
    """All files of the table of sources, by HOST/PATH."""
    table = resources.files(__name__).joinpath("sources.csv").read_text(encoding="utf-8")
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
    checksum = file_sha256(path)
    if file.sha256 is not None and not file.unpack and checksum != file.sha256:
        message = (
            f"{path} is not the file at {file.url}: {_looks_like(path)}sha256 {checksum}, expected "
            f"{file.sha256}, "
            f"size {path.stat().st_size}, expected {file.size}; delete it and run again"
        )
        raise UserError(message)
    return checksum


def download_source(
    url: str,
    output: str | Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    mirror: str | None = None,
    timeout: float = 60.0,
) -> None:
    """Write the file at `url` to `output`, once its checksum is right.

    Args:
        url: http(s) address of a plain file.
        output: where the file is written; an earlier file with the right checksum is taken as it is.
        sha256: expected checksum; without one, that of the file that came is logged, with a warning.
        size: expected size in bytes, where it is known.
        mirror: a folder or an http(s) address laid out as HOST/PATH, used instead of the internet; where it is None,
            the variable SPARSENODE_MIRROR is asked.
        timeout: seconds without a byte after which a connection counts as broken.

    Raises:
        UserError: no such file, no connection or a broken one, another process at the same file, no room on the disk,
            another size or checksum, or a web page in place of data. Nothing half-written is left at `output`.
    """
    import pooch
    import requests

    mirror = mirror or os.environ.get(MIRROR_VARIABLE) or None
    output = Path(output)
    path = relative_path(url)
    address, fetch = url, _receive
    if mirror is not None and is_web_address(mirror):
        address = f"{mirror.rstrip('/')}/{urllib.parse.quote(path)}"
    elif mirror is not None:
        address, fetch = str(Path(mirror).expanduser() / path), _copy
    target = _Target(url, output, size, timeout)
    pooch.get_logger().setLevel("WARNING")  # the lines of this module name the address as well
    files = pooch.create(
        path=output.parent,
        base_url="",
        registry={output.name: sha256 and f"sha256:{sha256}"},
        urls={output.name: address},
        retry_if_failed=_RETRIES,
    )
    try:
        files.fetch(output.name, downloader=partial(fetch, target))
    except requests.RequestException as error:
        received = f"; {_size(target.part)} bytes are kept for the next run" if target.part.exists() else ""
        message = (
            f"{url}: nothing whole came from {address} ({error}){received}; without internet, set `mirror` in the "
            f"configuration or {MIRROR_VARIABLE} to a folder or an address laid out as HOST/PATH"
        )
        raise UserError(message) from error
    except OSError as error:
        message = (
            f"cannot write {output}: {error.strerror or error}; check the free space, the permissions and the folders"
        )
        raise UserError(message) from error
    except ValueError as error:
        message = f"{url}: another file than the published one came from {address}: {error}; nothing was kept"
        raise UserError(message) from error
    for leftover in (target.part, target.record):  # of an earlier attempt from elsewhere
        leftover.unlink(missing_ok=True)
    if sha256 is None:
        logger.warning("%s: no checksum is known for this file; sha256 of what came: %s", url, file_sha256(output))
    logger.info("%s: %d bytes from %s", output, _size(output), address)


class _Target(NamedTuple):
    """The file that is wanted; sizes in bytes, the timeout in seconds."""

    url: str
    output: Path
    size: int | None
    timeout: float

    @property
    def part(self) -> Path:
        """What a broken transfer has brought."""
        return self.output.with_name(f".{self.output.name}.part")

    @property
    def record(self) -> Path:
        """The _Origin of the part, as JSON."""
        return self.output.with_name(f".{self.output.name}.part.json")


class _Origin(NamedTuple):
    """Where a part comes from: its address, the server's mark (ETag or date) of the file, and the file's size."""

    address: str
    mark: str
    size: int | None


def _copy(target: _Target, address: str, output: str, _pooch: Any) -> None:
    """Copy the file from the folder of a mirror (a downloader of pooch)."""
    source = Path(address)
    if not source.is_file() or not os.access(source, os.R_OK):
        message = f"{target.url}: the mirror has no readable file {source}"
        raise UserError(message)
    check_free_space(target.output, _size(source))
    shutil.copyfile(source, output)
    _check(target, address, Path(output))


def _receive(target: _Target, address: str, output: str, _pooch: Any) -> None:
    """Receive the file over http(s), and go on as long as each attempt brings something (a downloader of pooch)."""
    import requests

    with _locked_part(target) as stream:
        while True:
            earlier = _size(target.part)
            try:
                _receive_rest(target, address, stream)
                break
            except requests.RequestException as error:
                if _size(target.part) <= earlier or _origin(target, address) is None:
                    raise
                logger.warning("%s: %s; after %d bytes once more", target.url, error, _size(target.part))
        target.record.unlink(missing_ok=True)
        _check(target, address, target.part)
        target.part.replace(output)


def _check(target: _Target, address: str, path: Path) -> None:
    """Refuse a web page in place of data, and a file of another size; the checksum is pooch's to check.

    Raises:
        UserError: says what came.
    """
    size, remark = _size(path), _looks_like(path)
    if remark or target.size not in {None, size}:
        amount = f"{size} bytes" + ("" if target.size in {None, size} else f" instead of {target.size}")
        message = f"{target.url}: {remark}{amount} came from {address}; nothing was kept"
        raise UserError(message)


@contextmanager
def _locked_part(target: _Target) -> Iterator[BinaryIO]:
    """Open the part for appending, locked against other processes; it is left only if it can be gone on with.

    Raises:
        UserError: another process writes it.
    """
    with target.part.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"another process is writing {target.output} (by way of {target.part}); wait for it, or end it"
            raise UserError(message) from error
        except OSError as error:  # some network file systems have no locks
            logger.warning("%s cannot be locked (%s); let no second process write it", target.part, error.strerror)
        # The process that had the lock before may have moved the file away.
        if not _is_at(stream, target.part):
            message = f"another process has just written {target.output}; run again"
            raise UserError(message)
        try:
            yield stream
        finally:
            if target.part.exists() and (not _size(target.part) or not target.record.exists()):
                target.record.unlink(missing_ok=True)
                target.part.unlink()


def _is_at(stream: BinaryIO, path: Path) -> bool:
    """Whether the open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _origin(target: _Target, address: str) -> _Origin | None:
    """Where the part comes from; None where there is none that the file at `address` could be gone on with."""
    try:
        origin = _Origin(**json.loads(target.record.read_text(encoding="utf-8")))
        received = _size(target.part)
        usable = origin.address == address and 0 < received <= (received if origin.size is None else origin.size)
    except (OSError, ValueError, TypeError):  # none, or one that was cut short
        return None
    return origin if usable else None


def _receive_rest(target: _Target, address: str, stream: BinaryIO) -> None:
    """Ask once for what the part lacks, or for the whole file, and append what comes.

    Raises:
        requests.RequestException: another attempt may mend it.
        UserError: the server has no such file, or one of another size.
    """
    import requests

    origin, start = _origin(target, address), _size(target.part)
    if origin is not None and start == origin.size:
        return  # the process ended between the last byte and the check
    # Packed on its way, a file would have other bytes and another size.
    headers = {"User-Agent": "sparsenode", "Accept-Encoding": "identity"}
    if origin is not None:
        headers |= {"Range": f"bytes={start}-", "If-Range": origin.mark}
    with requests.get(address, headers=headers, stream=True, timeout=target.timeout) as answer:
        if origin is not None and _follows(answer, start, origin):
            logger.info("%s: goes on after the %d bytes that are there, of %s", target.url, start, origin.size)
            _append(target, answer, stream, origin.size)
            return
        unusable = {HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE} if origin else set()
        if answer.status_code not in {HTTPStatus.OK, *unusable}:
            message = f"{target.url}: the server answered {answer.status_code} {answer.reason} for {address}"
            raise requests.HTTPError(message) if answer.status_code in _PASSING else UserError(message)
        if origin is not None:
            logger.warning("%s: the file has changed, or its rest is not to be had; from the beginning", target.url)
        target.record.unlink(missing_ok=True)
        stream.truncate(0)
        if answer.status_code == HTTPStatus.OK:
            length = answer.headers.get("Content-Length")
            total = None if length is None else int(length)
            if (mark := _mark(answer)) is not None:
                record = json.dumps(_Origin(address, mark, total)._asdict())
                target.record.write_text(record, encoding="utf-8")
            _append(target, answer, stream, total)
            return
    _receive_rest(target, address, stream)


def _follows(answer: requests.Response, start: int, origin: _Origin) -> bool:
    """Whether the answer holds what follows the first `start` bytes of the same state of the file."""
    piece = _PIECE.fullmatch(answer.headers.get("Content-Range", ""))
    if answer.status_code != HTTPStatus.PARTIAL_CONTENT or piece is None or int(piece[1]) != start:
        return False
    length, total = answer.headers.get("Content-Length"), piece[2]
    same_size = origin.size is None or total == str(origin.size)
    whole_rest = length is None or not total.isdigit() or start + int(length) == int(total)
    return same_size and whole_rest and _mark(answer) in {None, origin.mark}


def _mark(answer: requests.Response) -> str | None:
    """Mark of the state of a file by which its rest can be asked for: a strong ETag, else its date."""
    tag = answer.headers.get("ETag", "")
    mark = tag if tag.startswith('"') else answer.headers.get("Last-Modified")
    return None if mark is None or answer.headers.get("Accept-Ranges") == "none" else mark


def _append(target: _Target, answer: requests.Response, stream: BinaryIO, total: int | None) -> None:
    """Append all that comes; `total` is the size of the whole file, where the server says it.

    Raises:
        UserError: the server has a file of another size, or the disk no room for it.
    """
    start = _size(target.part)
    if total is not None and target.size not in {None, total}:
        target.record.unlink(missing_ok=True)
        message = f"{target.url}: {answer.url} has {total} bytes instead of {target.size}; nothing was kept"
        raise UserError(message)
    if total is not None:
        check_free_space(target.output, total - start)
    with follow_bytes(target.output.name, total, start=start) as show:
        for chunk in _chunks(answer):
            stream.write(chunk)
            stream.flush()  # so that a killed process loses nothing
            show(stream.tell())


def _chunks(answer: requests.Response) -> Iterator[bytes]:
    """What comes, as it comes: `iter_content` would drop the last bytes before a connection breaks.

    Raises:
        requests.ConnectionError: less came than was announced, or nothing for too long.
    """
    import requests
    import urllib3

    try:
        while chunk := answer.raw.read1(_CHUNK):
            yield chunk
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(error) from error


def _size(path: Path) -> int:
    return path.stat().st_size


def _looks_like(path: Path) -> str:
    """A remark on a file that is a web page, the usual reason for a wrong checksum; empty otherwise."""
    with path.open("rb") as stream:
        start = stream.read(512).lstrip().lower()
    return "it is a web page (HTML) in place of data: " if start.startswith((b"<!doctype html", b"<html")) else ""
