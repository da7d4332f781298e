import fcntl
import hashlib
import json
import logging
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsenode.cli import main
from sparsenode.data.downloads import (
    MIRROR_VARIABLE,
    RemoteFile,
    check_downloaded,
    download_source,
    known_file,
    known_files,
    relative_path,
)
from sparsenode.errors import UserError

CONTENT = b"dpt_pseudotime\tgene\n0.0\t1.0\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
URL = "https://data.example.org/folder/CD14+ cells.csv"
PAGE = b"<!DOCTYPE html><html><body>Sign in</body></html>"


@pytest.fixture(autouse=True)
def _no_mirror_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MIRROR_VARIABLE, raising=False)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that would be waited before each further attempt."""
    seconds: list[float] = []
    monkeypatch.setattr("pooch.core.time", SimpleNamespace(sleep=seconds.append))
    return seconds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    file = tmp_path / "mirror" / "data.example.org" / "folder" / "CD14+ cells.csv"
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    return tmp_path / "mirror"


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind, _, _ = self.path.lstrip("/").partition("/")
        if kind in {"missing", "busy"}:
            self.send_error(404 if kind == "missing" else 503)
            return
        content = PAGE if kind == "page" else CONTENT
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) + (10 if kind == "short" else 0)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_from_a_folder(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "downloads" / relative_path(URL)
    download_source(URL, output, sha256=SHA256, size=len(CONTENT), mirror=str(folder))
    assert output.read_bytes() == CONTENT
    assert output == tmp_path / "downloads" / "data.example.org" / "folder" / "CD14+ cells.csv"


def test_from_the_folder_that_the_variable_names(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRROR_VARIABLE, str(folder))
    download_source(URL, tmp_path / "output", sha256=SHA256)
    assert (tmp_path / "output").read_bytes() == CONTENT


def test_from_an_address(server: str, tmp_path: Path) -> None:
    download_source(URL, tmp_path / "mirrored", sha256=SHA256, size=len(CONTENT), mirror=f"{server}/whole/")
    download_source(f"{server}/whole/file.csv", tmp_path / "direct", sha256=SHA256)
    assert (tmp_path / "mirrored").read_bytes() == (tmp_path / "direct").read_bytes() == CONTENT


def test_without_a_known_checksum_the_one_found_is_logged(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        download_source(URL, tmp_path / "output", mirror=str(folder))
    assert SHA256 in caplog.text
    assert (tmp_path / "output").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("kind", "expected", "message"),
    [
        ("missing", {"sha256": SHA256}, r"the server answered 404 Not Found"),
        ("busy", {"sha256": SHA256}, r"the server answered 503"),
        ("page", {"sha256": SHA256}, rf"web page \(HTML\) .* {len(PAGE)} bytes came .*; nothing was kept"),
        ("page", {}, rf"web page \(HTML\) .* {len(PAGE)} bytes came .*; nothing was kept"),
        ("short", {}, rf"IncompleteRead\({len(CONTENT)} bytes read, 10 more expected\)"),
        ("whole", {"sha256": "0" * 64}, rf"expected sha256:{'0' * 64} but got {SHA256}.*; nothing was kept"),
        ("whole", {"size": len(CONTENT) + 1}, rf"has {len(CONTENT)} bytes instead of {len(CONTENT) + 1}"),
        ("whole", {"size": 3}, rf"has {len(CONTENT)} bytes instead of 3; nothing was kept"),
    ],
)
def test_a_bad_answer_leaves_nothing_behind(
    server: str, tmp_path: Path, kind: str, expected: dict, message: str
) -> None:
    for url, mirror in ((f"{server}/{kind}/file.csv", None), (URL, f"{server}/{kind}")):
        output = tmp_path / "downloads" / "file.csv"
        with pytest.raises(UserError, match=message) as caught:
            download_source(url, output, mirror=mirror, **expected)
        assert url in str(caught.value)
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_no_connection(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing whole came from http://127\.0\.0\.1:9/.*SPARSENODE_MIRROR"):
        download_source("http://127.0.0.1:9/file", tmp_path / "output")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_the_mirror_lacks(folder: Path, tmp_path: Path) -> None:
    url = "https://data.example.org/folder/other.csv"
    with pytest.raises(UserError, match=r"other\.csv: the mirror has no readable file .*data.example.org/folder"):
        download_source(url, tmp_path / "output", mirror=str(folder))
    with pytest.raises(UserError, match="has no readable file"):
        download_source(url, tmp_path / "output", mirror=str(tmp_path / "nowhere"))
    assert not (tmp_path / "output").exists()


def test_an_earlier_file_survives_a_failed_download(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "output").write_text("earlier")
    with pytest.raises(UserError, match="expected sha256:000"):
        download_source(URL, tmp_path / "output", sha256="0" * 64, mirror=str(folder))
    assert (tmp_path / "output").read_text() == "earlier"


@pytest.mark.parametrize(
    "url",
    [
        "https://host/../secret",
        "https://host/a/%2e%2e/%2E%2E/secret",
        "https://host/a//b",
        "https://host/a/./b",
        "https://host/a%5c..%5cb",
        "https://host/a%00b",
        "https://host/",
        "https://host",
        "https://../etc/passwd",
        "https://user:password@host/file",
        "https:///etc/passwd",
        "file:///etc/passwd",
        "ftp://host/file",
        "https://host/file?id=3",
        "host/file",
    ],
)
def test_an_address_that_names_no_plain_file(tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError):
        download_source(url, tmp_path / "output", mirror=str(tmp_path))


@pytest.mark.slow(reason="draws many examples")
@given(st.text(alphabet="abz./\\%25eE0:@~ ", max_size=30))
def test_no_address_leads_out_of_the_folder(path: str) -> None:
    try:
        place = relative_path(f"https://host/{path}")
    except UserError:
        return
    inside = (Path("/downloads") / place).resolve()
    assert inside.is_relative_to("/downloads/host")
    assert inside != Path("/downloads/host")


def test_the_table_of_sources() -> None:
    for place, file in known_files().items():
        assert place == file.relative_path
        assert file.sha256 is None or len(bytes.fromhex(file.sha256)) == 32
        assert (file.sha256 is None) == (file.size is None)
    unknown = "https://data.example.org/new.csv"
    assert known_file(unknown) == RemoteFile(unknown)
    assert known_file(f"{unknown}.gz", unpack=True) == RemoteFile(f"{unknown}.gz", unpack=True)
    known = next(file for file in known_files().values() if file.sha256 and file.url.endswith(".gz"))
    assert known_file(known.url) == known
    unpacked = known_file(known.url, unpack=True)
    assert (unpacked.sha256, unpacked.size, unpacked.unpack) == (known.sha256, known.size, True)


def test_the_raw_cells_are_in_the_table() -> None:
    """Nobody has published a checksum of them."""
    name = "GSE194122_openproblems_neurips2021_multiome_BMMC_processed.h5ad"
    place = f"ftp.ncbi.nlm.nih.gov/geo/series/GSE194nnn/GSE194122/suppl/{name}"
    file = known_files()[f"{place}.gz"]
    assert (file.sha256, file.size) == (None, None)
    assert known_file(file.url, unpack=True).local_path == place


def test_where_a_file_is_read() -> None:
    url = "https://data.example.org/folder/CD14%2B%20cells.h5ad.gz"
    assert RemoteFile(url).local_path == RemoteFile(url).relative_path == "data.example.org/folder/CD14+ cells.h5ad.gz"
    unpacked = RemoteFile(url, unpack=True)
    assert unpacked.relative_path == RemoteFile(url).relative_path
    assert unpacked.local_path == "data.example.org/folder/CD14+ cells.h5ad"
    for other in (URL, "https://data.example.org/folder/.gz", "https://data.example.org/gz", f"{url}.zip"):
        with pytest.raises(UserError, match=re.escape(f"{other!r} cannot be unpacked: only a file NAME.gz can")):
            _ = RemoteFile(other, unpack=True).local_path


def test_the_table_of_sources_tells_of_the_real_files(mirror: Path) -> None:
    present = [file for place, file in known_files().items() if (mirror / place).exists()]
    assert present == [file for file in known_files().values() if file.sha256 is not None]
    assert len(present) >= 72
    for file in present:
        assert check_downloaded(file, mirror / file.relative_path) == file.sha256


def test_a_download_that_was_changed_since(tmp_path: Path) -> None:
    file = RemoteFile(URL, SHA256, len(CONTENT))
    path = tmp_path / "file.csv"
    with pytest.raises(UserError, match=r"is missing; it is downloaded from https://data"):
        check_downloaded(file, path)
    path.write_bytes(CONTENT)
    assert check_downloaded(file, path) == SHA256
    path.write_bytes(CONTENT[: len(CONTENT) // 2])
    with pytest.raises(UserError, match=rf"sha256 [0-9a-f]+, expected {SHA256}, size 14, expected 28; delete it"):
        check_downloaded(file, path)
    path.write_bytes(PAGE)
    with pytest.raises(UserError, match=r"web page \(HTML\)"):
        check_downloaded(file, path)


def test_what_is_unpacked_has_no_known_checksum(tmp_path: Path) -> None:
    file = RemoteFile(f"{URL}.gz", "0" * 64, 1, unpack=True)
    with pytest.raises(UserError, match=r"is missing; it is unpacked from https://data"):
        check_downloaded(file, tmp_path / "file.csv")
    (tmp_path / "file.csv").write_bytes(CONTENT)
    assert check_downloaded(file, tmp_path / "file.csv") == SHA256


BYTES = random.Random(0).randbytes(5_000_000)  # noqa: S311  no secret
BYTES_SHA256 = hashlib.sha256(BYTES).hexdigest()


@dataclass
class Asked:
    """One request, and what was sent of the file."""

    range: str | None
    if_range: str | None
    status: int = 0
    sent: int = 0


@dataclass
class Host:
    """A server of one file that behaves as its fields say; `breaks` gives how much of the body each answer sends."""

    content: bytes = BYTES
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})
    ranges: bool = True
    heeds_if_range: bool = True
    breaks: list[int] = field(default_factory=list)
    ending: str = "closed"
    refuses: list[int] = field(default_factory=list)
    chunked: bool = False
    excess: bytes = b""
    asked: list[Asked] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    address: str = ""

    @property
    def url(self) -> str:
        return f"{self.address}/file.gz"

    def download(self, output: Path, **settings: object) -> None:
        download_source(self.url, output, **{"sha256": BYTES_SHA256, **settings})


class _HostHandler(BaseHTTPRequestHandler):
    host: Host

    def do_GET(self) -> None:
        host = self.host
        asked = Asked(self.headers["Range"], self.headers["If-Range"])
        host.asked.append(asked)
        if host.refuses and (status := host.refuses.pop(0)):
            asked.status = status
            self.send_error(status)
            return
        if (first := self.first_byte(asked)) >= len(host.content):
            asked.status = 416
            self.send_error(416)
            return
        asked.status = 206 if first else 200
        body = host.content[first:] + (host.excess if first else b"")
        part = body[: host.breaks.pop(0) if host.breaks else len(body)]
        if host.chunked:
            self.protocol_version = "HTTP/1.1"
        self.send_response(asked.status)
        for name, value in host.headers.items():
            self.send_header(name, value)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(host.content) - 1}/{len(host.content)}")
        if host.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        asked.sent = len(part)
        try:
            self.wfile.write(b"%x\r\n" % len(body) + part if host.chunked else part)
        except ConnectionError:  # the client had enough
            return
        if len(part) == len(body):
            if host.chunked:
                self.wfile.write(b"\r\n0\r\n\r\n")
        elif host.ending == "silent":
            host.released.wait(60)
        elif host.ending == "reset":
            # The client has to have read what came: a reset throws away what is on its way.
            host.released.wait(60)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def first_byte(self, asked: Asked) -> int:
        """Where the answer is to begin."""
        current = self.host.headers.get("ETag", self.host.headers.get("Last-Modified"))
        if not asked.range or not self.host.ranges or (self.host.heeds_if_range and asked.if_range != current):
            return 0
        return int(re.fullmatch(r"bytes=(\d+)-", asked.range)[1])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def host() -> Iterator[Host]:
    """A server that breaks off after as many bytes as a test tells it."""
    host = Host()
    handler = type("Handler", (_HostHandler,), {"host": host})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        host.address = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield host
        host.released.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "file.gz"


def parts(output: Path) -> tuple[Path, Path]:
    """Where the part of a file and its record lie."""
    return output.with_name(f".{output.name}.part"), output.with_name(f".{output.name}.part.json")


def files_beside(output: Path) -> set[str]:
    return {path.name for path in output.parent.iterdir()}


def break_off(host: Host, output: Path, count: int) -> None:
    """A download that ends after `count` bytes, as often as it tries."""
    host.breaks = [count, *[0 if host.ranges and host.headers else count] * 6]
    with pytest.raises(UserError, match="nothing whole came from"):
        host.download(output)
    host.breaks.clear()
    host.asked.clear()


@pytest.mark.parametrize("seed", range(4))
def test_a_connection_that_breaks_is_taken_up_where_it_broke(host: Host, output: Path, seed: int) -> None:
    breaks = random.Random(seed).choices(range(1, 600_000), k=7)  # noqa: S311  no secret
    host.breaks = breaks.copy()
    host.download(output, size=len(BYTES))
    assert output.read_bytes() == BYTES
    assert files_beside(output) == {"file.gz"}
    places = [sum(breaks[:count]) for count in range(8)]
    assert [asked.range for asked in host.asked] == [None, *(f"bytes={place}-" for place in places[1:])]
    assert [asked.if_range for asked in host.asked] == [None, *['"one"'] * 7]
    assert sum(asked.sent for asked in host.asked) == len(BYTES)


@pytest.mark.parametrize("by", ["reset", "silence"])
def test_a_connection_that_is_reset_or_silent_is_taken_up(
    host: Host, output: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.breaks, host.ending = [2_000_000], "silent" if by == "silence" else "reset"
    part = parts(output)[0]

    def release() -> None:
        while not part.exists() or part.stat().st_size < 2_000_000:
            time.sleep(0.01)
        host.released.set()

    if by == "reset":
        threading.Thread(target=release, daemon=True).start()
    host.download(output, timeout=0.5)
    assert output.read_bytes() == BYTES
    assert [asked.range for asked in host.asked] == [None, "bytes=2000000-"]


def test_the_next_run_asks_for_the_rest_alone(host: Host, output: Path, caplog: pytest.LogCaptureFixture) -> None:
    break_off(host, output, 3_000_000)
    assert files_beside(output) == {".file.gz.part", ".file.gz.part.json"}
    part, record = parts(output)
    assert part.read_bytes() == BYTES[:3_000_000]
    assert json.loads(record.read_text()) == {"address": host.url, "mark": '"one"', "size": len(BYTES)}
    with caplog.at_level(logging.INFO):
        host.download(output)
    assert host.asked == [Asked("bytes=3000000-", '"one"', 206, 2_000_000)]
    assert f"goes on after the 3000000 bytes that are there, of {len(BYTES)}" in caplog.text
    assert output.read_bytes() == BYTES
    assert files_beside(output) == {"file.gz"}


def test_the_error_of_a_broken_download_tells_what_is_kept(host: Host, output: Path) -> None:
    host.breaks = [3_000_000, *[0] * 6]
    with pytest.raises(UserError, match=r"; 3000000 bytes are kept for the next run; without internet"):
        host.download(output)
    assert len(host.asked) == 7
    host.headers, host.breaks = {}, [0] * 6
    parts(output)[0].unlink()
    with pytest.raises(UserError, match=r"IncompleteRead\(0 bytes read, 5000000 more expected\)\)?\); without"):
        host.download(output)
    assert files_beside(output) == set()


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_a_killed_process_is_gone_on_with(host: Host, output: Path) -> None:
    host.breaks, host.ending = [3_500_000], "silent"
    arguments = ["download-source", "--url", host.url, "--sha256", BYTES_SHA256, "--output", str(output)]
    process = subprocess.Popen([sys.executable, "-m", "sparsenode.cli", *arguments], stderr=subprocess.DEVNULL)
    part = parts(output)[0]
    deadline = time.monotonic() + 60
    while not part.exists() or part.stat().st_size < 3_500_000:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not output.exists()
    host.asked.clear()
    assert main(arguments) == 0
    assert host.asked == [Asked("bytes=3500000-", '"one"', 206, 1_500_000)]
    assert output.read_bytes() == BYTES
    assert not any(path.exists() for path in parts(output))


def test_a_process_killed_after_the_last_byte_asks_for_nothing(host: Host, output: Path) -> None:
    break_off(host, output, 3_000_000)
    with parts(output)[0].open("ab") as part:
        part.write(BYTES[3_000_000:])
    host.download(output)
    assert host.asked == []
    assert output.read_bytes() == BYTES


def test_a_server_that_knows_no_ranges_sends_all_again(host: Host, output: Path) -> None:
    host.ranges = False
    break_off(host, output, 3_000_000)
    host.breaks = [4_000_000]
    host.download(output)
    assert [(asked.status, asked.sent) for asked in host.asked] == [(200, 4_000_000), (200, len(BYTES))]
    assert output.read_bytes() == BYTES


def test_a_server_that_says_so_is_not_asked_for_ranges(host: Host, output: Path) -> None:
    host.headers["Accept-Ranges"], host.ranges, host.breaks = "none", False, [1_000_000]
    host.download(output)
    assert [asked.range for asked in host.asked] == [None, None]
    assert output.read_bytes() == BYTES


def test_a_server_that_always_breaks_at_one_place_is_left_in_the_end(host: Host, output: Path) -> None:
    host.ranges, host.breaks = False, [1_000_000] * 100
    with pytest.raises(UserError, match=r"IncompleteRead\(1000000 bytes read, 4000000 more expected\)"):
        host.download(output)
    assert len(host.asked) == 7


@pytest.mark.parametrize(
    ("heeds_if_range", "change"), [(True, "mark"), (True, "both"), (False, "mark"), (False, "both"), (False, "size")]
)
def test_a_file_that_changed_is_fetched_anew(
    host: Host, output: Path, heeds_if_range: bool, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the server does not heed If-Range, and offers the rest of another file."""
    break_off(host, output, 3_000_000)
    if change in {"mark", "both"}:
        host.headers = {"ETag": '"two"'}
    host.content = BYTES[::-1] if change == "mark" else BYTES[::-1] + b"more"
    host.heeds_if_range = heeds_if_range
    download_source(host.url, output, sha256=hashlib.sha256(host.content).hexdigest())
    assert output.read_bytes() == host.content
    assert host.asked[0].range == "bytes=3000000-"
    assert host.asked[-1].status == 200
    assert "from the beginning" in caplog.text


def test_a_file_that_shrank_below_the_part_is_fetched_anew(host: Host, output: Path) -> None:
    break_off(host, output, 3_000_000)
    host.content, host.heeds_if_range = BYTES[:1000], False
    download_source(host.url, output, sha256=hashlib.sha256(BYTES[:1000]).hexdigest())
    assert [asked.status for asked in host.asked] == [416, 200]
    assert host.asked[1].range is None
    assert output.read_bytes() == BYTES[:1000]


@pytest.mark.parametrize(
    ("headers", "mark"),
    [
        ({"ETag": '"strong"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}, '"strong"'),
        ({"ETag": 'W/"weak"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}, "Thu, 01 Jan 2026 00:00:00 GMT"),
        ({"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}, "Thu, 01 Jan 2026 00:00:00 GMT"),
        ({"ETag": 'W/"weak"'}, None),
        ({}, None),
    ],
)
def test_by_what_the_state_of_a_file_is_known(host: Host, output: Path, headers: dict, mark: str | None) -> None:
    """A weak ETag does not tell that all bytes are the same, and without a mark nothing does."""
    host.headers, host.heeds_if_range, host.breaks = headers, False, [1_000_000]
    host.download(output)
    assert [asked.if_range for asked in host.asked] == [None, mark]
    assert [asked.range for asked in host.asked] == [None, mark and "bytes=1000000-"]
    assert output.read_bytes() == BYTES


def test_without_a_mark_nothing_is_kept(host: Host, output: Path) -> None:
    host.headers = {}
    break_off(host, output, 3_000_000)
    assert files_beside(output) == set()


def test_an_answer_in_chunks_that_breaks_off(host: Host, output: Path) -> None:
    """Its size is not announced, but the rest can be had."""
    host.chunked, host.breaks = True, [1_500_000]
    host.download(output)
    assert [asked.range for asked in host.asked] == [None, "bytes=1500000-"]
    assert output.read_bytes() == BYTES


@pytest.mark.parametrize("wrong", ["checksum", "page", "longer"])
def test_a_resumed_file_that_is_not_right_leaves_nothing(host: Host, output: Path, wrong: str) -> None:
    if wrong == "page":
        host.content = PAGE * 100_000
    break_off(host, output, 3_000_000)
    settings = {
        "checksum": {"sha256": "0" * 64},
        "page": {"sha256": None},
        "longer": {"size": len(BYTES) - 1},
    }[wrong]
    host.breaks.clear()
    message = {"page": r"web page \(HTML\)", "longer": "bytes instead of 4999999"}.get(
        wrong, r"expected sha256:[0-9a-f]{64} but got"
    )
    with pytest.raises(UserError, match=message + ".*nothing was kept"):
        host.download(output, **settings)
    assert files_beside(output) == set()
    assert host.asked[0].range == "bytes=3000000-"


def test_a_part_that_was_damaged_is_fetched_again(host: Host, output: Path) -> None:
    break_off(host, output, 3_000_000)
    parts(output)[0].write_bytes(bytes(3_000_000))
    host.download(output)
    assert [asked.range for asked in host.asked] == ["bytes=3000000-", None]
    assert output.read_bytes() == BYTES


def test_more_than_it_should_be_is_not_even_begun(host: Host, output: Path) -> None:
    with pytest.raises(UserError, match="has 5000000 bytes instead of 10; nothing was kept"):
        host.download(output, size=10)
    assert files_beside(output) == set()


def test_a_rest_longer_than_it_says_is_not_used(host: Host, output: Path) -> None:
    break_off(host, output, 3_000_000)
    host.excess = b"more"
    host.download(output, sha256=None)
    assert [asked.range for asked in host.asked] == ["bytes=3000000-", None]
    assert output.read_bytes() == BYTES


@pytest.mark.parametrize("record", ["", "{", "[]", "{}", '{"address": 1, "validator": 2, "size": 3}', "null"])
def test_a_part_without_a_sound_record_is_not_used(host: Host, output: Path, record: str) -> None:
    output.parent.mkdir()
    parts(output)[0].write_bytes(b"rubbish")
    parts(output)[1].write_text(record)
    host.download(output)
    assert host.asked == [Asked(None, None, 200, len(BYTES))]
    assert output.read_bytes() == BYTES
    assert files_beside(output) == {"file.gz"}


def test_a_part_longer_than_the_file_is_not_used(host: Host, output: Path) -> None:
    break_off(host, output, 3_000_000)
    parts(output)[0].write_bytes(BYTES + b"more")
    host.download(output)
    assert [asked.range for asked in host.asked] == [None]
    assert output.read_bytes() == BYTES


def test_a_part_from_elsewhere_is_not_used(host: Host, output: Path) -> None:
    """Another mirror may hold another file."""
    break_off(host, output, 3_000_000)
    download_source(URL, output, sha256=BYTES_SHA256, mirror=host.address)
    assert [asked.range for asked in host.asked] == [None]
    assert output.read_bytes() == BYTES


def test_a_file_from_a_folder_takes_the_place_of_a_part(host: Host, folder: Path, output: Path) -> None:
    break_off(host, output, 3_000_000)
    with pytest.raises(UserError, match="has no readable file"):
        download_source("https://data.example.org/other", output, mirror=str(folder))
    assert parts(output)[0].stat().st_size == 3_000_000
    download_source(URL, output, sha256=SHA256, mirror=str(folder))
    assert output.read_bytes() == CONTENT
    assert files_beside(output) == {"file.gz"}


@pytest.mark.parametrize("status", [404, 503])
def test_a_server_that_refuses_leaves_the_part(host: Host, output: Path, status: int) -> None:
    break_off(host, output, 3_000_000)
    host.refuses = [status] * 6
    with pytest.raises(UserError, match=f"the server answered {status}"):
        host.download(output)
    assert len(host.asked) == (1 if status == 404 else 6)
    assert parts(output)[0].read_bytes() == BYTES[:3_000_000]


def test_a_server_that_is_busy_in_between_is_asked_again(host: Host, output: Path) -> None:
    host.breaks, host.refuses = [1_000_000, 1_000_000], [0, 503, 429, 0, 500]
    host.download(output)
    assert [asked.status for asked in host.asked] == [200, 503, 429, 206, 500, 206]
    assert output.read_bytes() == BYTES


def test_a_file_that_vanishes_in_between(host: Host, output: Path) -> None:
    host.breaks, host.refuses = [1_000_000], [0, 404]
    with pytest.raises(UserError, match="the server answered 404"):
        host.download(output)
    assert parts(output)[0].stat().st_size == 1_000_000


def test_a_refused_connection_leaves_the_part(host: Host, output: Path) -> None:
    break_off(host, output, 3_000_000)
    record = json.loads(parts(output)[1].read_text())
    parts(output)[1].write_text(json.dumps({**record, "address": "http://127.0.0.1:9/file.gz"}))
    with pytest.raises(UserError, match=r"nothing whole came from http://127\.0\.0\.1:9/.*; 3000000 bytes are kept"):
        download_source("http://127.0.0.1:9/file.gz", output)
    assert parts(output)[0].read_bytes() == BYTES[:3_000_000]


def test_the_pauses_between_attempts_grow(host: Host, output: Path, pauses: list[float]) -> None:
    host.refuses = [503, 429, 503]
    host.download(output)
    assert pauses == [1, 2, 3]
    assert output.read_bytes() == BYTES


def test_two_processes_do_not_write_one_file(host: Host, output: Path) -> None:
    break_off(host, output, 3_000_000)
    program = (
        "import fcntl, sys\n"
        "with open(sys.argv[1], 'ab') as part:\n"
        "    fcntl.flock(part, fcntl.LOCK_EX)\n"
        "    print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(parts(output)[0])], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(UserError, match=r"another process is writing .*file\.gz.*wait for it, or end it"):
            host.download(output)
        assert host.asked == []
        assert parts(output)[0].read_bytes() == BYTES[:3_000_000]
        other.kill()
    host.download(output)  # the lock went with the process
    assert host.asked[0].range == "bytes=3000000-"
    assert output.read_bytes() == BYTES


def test_a_part_that_another_process_has_just_moved_away_is_not_written(
    host: Host, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_off(host, output, 3_000_000)
    lock = fcntl.flock

    def lock_late(stream: IO[bytes], how: int) -> None:
        parts(output)[0].replace(output)  # what the process does that has the lock until now
        lock(stream, how)

    monkeypatch.setattr("sparsenode.data.downloads.fcntl.flock", lock_late)
    with pytest.raises(UserError, match=r"another process has just written .*file\.gz; run again"):
        host.download(output)
    assert output.read_bytes() == BYTES[:3_000_000]


def test_no_room_on_the_disk(host: Host, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = SimpleNamespace(free=len(BYTES) - 1)
    monkeypatch.setattr("sparsenode.files.shutil.disk_usage", lambda folder: free)
    message = (
        rf"takes {len(BYTES)} more bytes, and the disk of {re.escape(str(output.parent))} has {len(BYTES) - 1} left"
    )
    with pytest.raises(UserError, match=message):
        host.download(output)
    assert files_beside(output) == set()
    break_at = len(BYTES) - 100
    free.free = len(BYTES)
    break_off(host, output, break_at)
    free.free = 99
    with pytest.raises(UserError, match="takes 100 more bytes"):
        host.download(output)
    assert parts(output)[0].stat().st_size == break_at
    free.free = 100
    host.download(output)
    assert output.read_bytes() == BYTES


def test_a_disk_that_fills_up_keeps_what_came(
    host: Host, output: Path, largest_file: Callable[[int], AbstractContextManager[None]]
) -> None:
    with largest_file(1_000_000), pytest.raises(UserError, match=r"cannot write .*file\.gz.*free space"):
        host.download(output)
    kept = parts(output)[0].stat().st_size
    assert 0 < kept <= 1_000_000
    host.asked.clear()
    host.download(output)
    assert host.asked == [Asked(f"bytes={kept}-", '"one"', 206, len(BYTES) - kept)]
    assert output.read_bytes() == BYTES


def test_a_disk_that_fills_up_from_a_folder_leaves_nothing(
    folder: Path, output: Path, largest_file: Callable[[int], AbstractContextManager[None]]
) -> None:
    with largest_file(10), pytest.raises(UserError, match=r"cannot write .*file\.gz.*free space"):
        download_source(URL, output, mirror=str(folder))
    assert files_beside(output) == set()


def test_progress_of_a_resumed_download(
    host: Host, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    break_off(host, output, 3_000_000)
    clock = iter(range(0, 10**6, 20))
    monkeypatch.setattr("sparsenode.progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
    host.download(output)
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"file\.gz: 3\.\d+ MB of 5 MB \(\d+%\), \S+ .?B/s, \d+ s left", lines[0])
    assert lines[-1].startswith("file.gz: 5 MB of 5 MB (100%), ")
