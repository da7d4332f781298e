import gzip
import random
import re
import subprocess
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsenode.cli import main
from sparsenode.data.downloads.unpacking import unpack_source
from sparsenode.errors import UserError

CONTENT = b"pseudotime,gene\n" * 1000 + random.Random(0).randbytes(3000)  # noqa: S311  no secret


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "host" / "cells.h5ad"


@pytest.fixture
def pack(tmp_path: Path) -> Callable[[bytes], Path]:
    """A file of given bytes."""

    def write(content: bytes) -> Path:
        path = tmp_path / "cells.h5ad.gz"
        path.write_bytes(content)
        return path

    return write


def files_beside(output: Path) -> set[str]:
    return {path.name for path in output.parent.iterdir()} if output.parent.exists() else set()


def test_content_comes_out(pack: Callable[[bytes], Path], output: Path) -> None:
    packed = pack(gzip.compress(CONTENT, mtime=0))
    unpack_source(packed, output)
    assert output.read_bytes() == CONTENT
    assert files_beside(output) == {"cells.h5ad"}
    assert gzip.decompress(packed.read_bytes()) == CONTENT


def test_the_subcommand(pack: Callable[[bytes], Path], output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["unpack-source", "--packed", str(pack(gzip.compress(CONTENT, mtime=0))), "--output", str(output)]
    assert main(arguments) == 0
    assert output.read_bytes() == CONTENT
    pack(gzip.compress(CONTENT, mtime=0)[:-1])
    assert main(arguments) == 1
    assert "cut short" in capsys.readouterr().err
    assert output.read_bytes() == CONTENT


def test_what_gzip_itself_packs(tmp_path: Path, output: Path) -> None:
    """With the name and the date of the file in its header."""
    original = tmp_path / "cells.h5ad"
    original.write_bytes(CONTENT)
    subprocess.run(["gzip", "-9", str(original)], check=True)
    unpack_source(tmp_path / "cells.h5ad.gz", output)
    assert output.read_bytes() == CONTENT


def test_members_are_joined_and_zeros_at_the_end_ignored(pack: Callable[[bytes], Path], output: Path) -> None:
    members = [b"first", b"", CONTENT, b"\0\0", b"last"]
    unpack_source(pack(b"".join(map(gzip.compress, members)) + bytes(200_000)), output)
    assert output.read_bytes() == b"".join(members)


def test_nothing_unpacks_to_nothing(pack: Callable[[bytes], Path], output: Path) -> None:
    unpack_source(pack(gzip.compress(b"")), output)
    assert output.read_bytes() == b""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"\(not a gzipped file \(b''\)\)"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", r"\(Not a gzipped file \(b'<!'\)\)"),
        (b"\x1f", r"\(not a gzipped file \(b'\\x1f'\)\)"),
        (b"\x1f\x8b\x07" + gzip.compress(CONTENT, mtime=0)[3:], r"\(Unknown compression method\)"),
        (gzip.compress(CONTENT, mtime=0)[:2], r"\(not a gzipped file"),
        (gzip.compress(CONTENT, mtime=0)[:1000], r"\(Compressed file ended before"),
        (gzip.compress(CONTENT, mtime=0)[:-8], r"\(Compressed file ended before"),
        (gzip.compress(CONTENT, mtime=0)[:-1], r"\(Compressed file ended before"),
        (gzip.compress(b"one", mtime=0) + gzip.compress(b"two", mtime=0)[:-1], r"\(Compressed file ended before"),
        (gzip.compress(CONTENT, mtime=0)[:-8] + bytes(8), r"\(CRC check failed"),
        (gzip.compress(CONTENT, mtime=0)[:-4] + b"\1\0\0\0", r"\(Incorrect length of data produced\)"),
        (
            gzip.compress(CONTENT, mtime=0)[:500] + bytes(500) + gzip.compress(CONTENT, mtime=0)[1000:],
            r"\(CRC check failed",
        ),
        (gzip.compress(CONTENT, mtime=0) + b"more", r"\(Not a gzipped file \(b'mo'\)\)"),
        (gzip.compress(CONTENT, mtime=0) + bytes(100_000) + b"\x1f", r"\(Not a gzipped file \(b'\\x1f'\)\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_whole_leaves_nothing(
    pack: Callable[[bytes], Path], output: Path, content: bytes, message: str
) -> None:
    packed = pack(content)
    with pytest.raises(
        UserError, match=f"{re.escape(str(packed))}: the gzip file is .*{message}.*; delete it and run again"
    ):
        unpack_source(packed, output)
    assert files_beside(output) <= {output.name}
    assert not output.exists()


def test_no_packed_file(tmp_path: Path, output: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read the gzip file .*none\.gz: No such file"):
        unpack_source(tmp_path / "none.gz", output)
    with pytest.raises(UserError, match=r"cannot read the gzip file .*: Is a directory"):
        unpack_source(tmp_path, output)
    assert files_beside(output) == set()


def test_an_earlier_file_survives_a_failure_and_not_a_success(pack: Callable[[bytes], Path], output: Path) -> None:
    output.parent.mkdir(parents=True)
    output.write_text("earlier")
    with pytest.raises(UserError):
        unpack_source(pack(gzip.compress(CONTENT, mtime=0)[:-1]), output)
    assert output.read_text() == "earlier"
    assert files_beside(output) == {"cells.h5ad"}
    unpack_source(pack(gzip.compress(CONTENT, mtime=0)), output)
    assert output.read_bytes() == CONTENT
    assert files_beside(output) == {"cells.h5ad"}


members = st.lists(
    st.tuples(st.binary(max_size=40), st.integers(1, 50), st.integers(0, 9)).map(
        lambda parts: gzip.compress(parts[0] * parts[1], compresslevel=parts[2], mtime=0)
    ),
    min_size=1,
    max_size=4,
).map(b"".join)


def unpack_in_small_steps(folder: Path, content: bytes, step: int) -> bytes | None:
    """What comes out with chunks of a few bytes, so that their ends fall anywhere; None after an error."""
    packed, output = folder / "file.gz", folder / "file"
    packed.write_bytes(content)
    output.unlink(missing_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sparsenode.data.downloads.unpacking._CHUNK", step)
        try:
            unpack_source(packed, output)
        except UserError:
            assert {path.name for path in folder.iterdir()} == {"file.gz"}
            return None
    assert {path.name for path in folder.iterdir()} == {"file.gz", "file"}
    return output.read_bytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("unpacking")


@pytest.mark.slow(reason="draws many examples")
@given(members, st.integers(1, 300), st.integers(0, 70))
def test_as_the_gzip_of_python_does(folder: Path, content: bytes, step: int, zeros: int) -> None:
    assert unpack_in_small_steps(folder, content + bytes(zeros), step) == gzip.decompress(content)


@pytest.mark.slow(reason="draws many examples")
@given(members, st.data())
def test_a_changed_byte_never_goes_unseen(folder: Path, content: bytes, data: st.DataObject) -> None:
    place, value = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 255))
    changed = bytearray(content)
    changed[place] ^= value
    found = unpack_in_small_steps(folder, bytes(changed), 50)
    assert found in {None, gzip.decompress(content)}  # a date in a header says nothing of the content


@pytest.mark.slow(reason="draws many examples")
@given(members, st.data())
def test_a_cut_never_goes_unseen(folder: Path, content: bytes, data: st.DataObject) -> None:
    """But for one between two members, after which all is a sound file."""
    length = data.draw(st.integers(0, len(content) - 1))
    found = unpack_in_small_steps(folder, content[:length], 50)
    try:
        expected = gzip.decompress(content[:length]) if length else None
    except (EOFError, gzip.BadGzipFile):
        expected = None
    assert found == expected


def zeros(path: Path, mebibytes: int) -> None:
    """A gzip file of zeros, packed to a thousandth."""
    packer = zlib.compressobj(wbits=31)
    with path.open("wb") as stream:
        for _ in range(mebibytes):
            stream.write(packer.compress(bytes(2**20)))
        stream.write(packer.flush())


@pytest.mark.slow(reason="reads or preprocesses whole datasets")
def test_memory_is_bounded_however_much_comes_out(tmp_path: Path, output: Path) -> None:
    packed = tmp_path / "zeros.gz"
    zeros(packed, 200)
    assert packed.stat().st_size < 2**20
    tracemalloc.start()
    try:
        unpack_source(packed, output)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert output.stat().st_size == 200 * 2**20
    assert peak < 5 * 2**20
    output.unlink()


def test_no_room_on_the_disk(pack: Callable[[bytes], Path], output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found before anything is written, by what the file says of itself."""
    free = SimpleNamespace(free=len(CONTENT) - 1)
    monkeypatch.setattr("sparsenode.files.shutil.disk_usage", lambda folder: free)
    packed = pack(gzip.compress(CONTENT, mtime=0))
    with pytest.raises(UserError, match=rf"cells\.h5ad takes {len(CONTENT)} more bytes, .* has {free.free} left"):
        unpack_source(packed, output)
    assert files_beside(output) == set()
    free.free += 1
    unpack_source(packed, output)
    assert output.read_bytes() == CONTENT


def test_a_disk_that_fills_up_leaves_nothing(
    pack: Callable[[bytes], Path], output: Path, largest_file: Callable[[int], AbstractContextManager[None]]
) -> None:
    packed = pack(gzip.compress(CONTENT, mtime=0))
    with largest_file(5000), pytest.raises(UserError, match=r"cannot write .*cells\.h5ad: .*check the free space"):
        unpack_source(packed, output)
    assert files_beside(output) == set()


def test_progress(
    pack: Callable[[bytes], Path], output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(0, 10**6, 20))
    monkeypatch.setattr("sparsenode.progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
    packed = pack(gzip.compress(random.Random(1).randbytes(3_000_000)))  # noqa: S311  no secret
    unpack_source(packed, output)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("unpacking cells.h5ad.gz: ")
    assert lines[-1].startswith("unpacking cells.h5ad.gz: 3 MB of 3 MB (100%), ")
