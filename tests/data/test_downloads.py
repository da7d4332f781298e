import hashlib
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        ("page", {"sha256": SHA256}, r"web page \(HTML\).*sha256 [0-9a-f]{64}, expected " + SHA256),
        ("page", {}, r"web page \(HTML\).*sha256 [0-9a-f]{64}, expected unknown"),
        ("short", {}, rf"{len(CONTENT)} bytes instead of {len(CONTENT) + 10} came"),
        ("whole", {"sha256": "0" * 64}, rf"sha256 {SHA256}, expected {'0' * 64}"),
        ("whole", {"size": len(CONTENT) + 1}, rf"{len(CONTENT)} bytes instead of {len(CONTENT) + 1} came"),
        ("whole", {"size": 3}, r"more than the 3 bytes it should have"),
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
    with pytest.raises(UserError, match=r"no connection to http://127\.0\.0\.1:9/.*SPARSENODE_MIRROR"):
        download_source("http://127.0.0.1:9/file", tmp_path / "output")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_the_mirror_lacks(folder: Path, tmp_path: Path) -> None:
    url = "https://data.example.org/folder/other.csv"
    with pytest.raises(UserError, match=r"other\.csv: the mirror .* has no readable file data.example.org/folder"):
        download_source(url, tmp_path / "output", mirror=str(folder))
    with pytest.raises(UserError, match="has no readable file"):
        download_source(url, tmp_path / "output", mirror=str(tmp_path / "nowhere"))
    assert not (tmp_path / "output").exists()


def test_an_earlier_file_survives_a_failed_download(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "output").write_text("earlier")
    with pytest.raises(UserError, match="expected 000"):
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


def test_the_table_of_sources_tells_of_the_real_files(mirror: Path) -> None:
    present = [file for place, file in known_files().items() if (mirror / place).exists()]
    assert len(present) == 53
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
