import os
import subprocess
import sys
from pathlib import Path

import pytest

from sparsenode.data.parts import Origin, check_free_space, part_of
from sparsenode.errors import UserError

ORIGIN = Origin("https://data.example.org/file", '"mark"', 10)


def files_below(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def fail_after(output: Path, origin: Origin | None, content: bytes) -> None:
    with part_of(output) as part:
        part.begin(origin)
        part.append(content)
        raise RuntimeError


def test_a_part_becomes_the_file(tmp_path: Path) -> None:
    output = tmp_path / "new" / "folder" / "file.csv"
    with part_of(output) as part:
        part.begin(ORIGIN)
        part.append(b"abc")
        part.append(b"")
        part.append(b"def")
        assert part.path.read_bytes() == b"abcdef"
        assert part.received == 6
        assert not output.exists()
        part.become(output)
    assert output.read_bytes() == b"abcdef"
    assert files_below(tmp_path) == {"file.csv"}


def test_a_part_whose_origin_is_known_outlives_an_error(tmp_path: Path) -> None:
    output = tmp_path / "file.csv"
    with pytest.raises(RuntimeError):
        fail_after(output, ORIGIN, b"abc")
    assert files_below(tmp_path) == {".file.csv.part", ".file.csv.part.json"}
    with part_of(output) as part:
        assert part.origin == ORIGIN
        part.append(b"def")
    assert (tmp_path / ".file.csv.part").read_bytes() == b"abcdef"
    with part_of(output) as part:
        part.remove()
    assert files_below(tmp_path) == set()


@pytest.mark.parametrize("origin", [None, ORIGIN], ids=["unknown", "known, but nothing came"])
def test_other_parts_do_not_outlive_an_error(tmp_path: Path, origin: Origin | None) -> None:
    with pytest.raises(RuntimeError):
        fail_after(tmp_path / "file.csv", origin, b"abc" if origin is None else b"")
    assert files_below(tmp_path) == set()


def test_what_begins_anew_forgets_all(tmp_path: Path) -> None:
    with part_of(tmp_path / "file.csv") as part:
        part.begin(ORIGIN)
        part.append(b"abc")
        part.begin()
        part.append(b"d")
        assert part.origin is None
        assert part.path.read_bytes() == b"d"


def test_a_part_longer_than_its_file_cannot_be_gone_on_with(tmp_path: Path) -> None:
    with part_of(tmp_path / "file.csv") as part:
        part.begin(ORIGIN)
        part.append(bytes(10))
        assert part.origin == ORIGIN
        part.append(b"1")
        assert part.origin is None


def test_one_process_at_a_time(tmp_path: Path) -> None:
    output = tmp_path / "file.csv"
    program = (
        "import sys; from pathlib import Path; from sparsenode.data.parts import part_of; "
        "from sparsenode.errors import UserError\n"
        "try:\n"
        "    with part_of(Path(sys.argv[1])): print('alone')\n"
        "except UserError as error: print(error)"
    )

    def ask_other() -> str:
        command = [sys.executable, "-c", program, str(output)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with part_of(output) as part:
        part.append(b"abc")
        assert f"another process is writing {output}" in ask_other()
        assert part.path.read_bytes() == b"abc"
    assert ask_other() == "alone\n"


def test_a_part_that_became_a_file_between_opening_and_locking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock of such a part is one on the finished file, which must not be written to."""
    output, path = tmp_path / "file.csv", tmp_path / ".file.csv.part"
    path.write_bytes(b"whole")
    import fcntl

    lock, locked = fcntl.flock, []

    def finish_first(stream: object, operation: int) -> None:
        if not locked:
            path.replace(output)
        locked.append(operation)
        lock(stream, operation)

    monkeypatch.setattr("sparsenode.data.parts.fcntl.flock", finish_first)
    with part_of(output) as part:
        part.append(b"other")
        assert os.fstat(part.stream.fileno()).st_ino == path.stat().st_ino
    assert len(locked) == 2
    assert output.read_bytes() == b"whole"
    assert files_below(tmp_path) == {"file.csv"}


def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(stream: object, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("sparsenode.data.parts.fcntl.flock", refuse)
    output = tmp_path / "file.csv"
    with part_of(output) as part:
        part.append(b"abc")
        part.become(output)
    assert output.read_bytes() == b"abc"
    assert "cannot be locked (Operation not supported); let no second process write it" in caplog.text


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with (
        pytest.raises(UserError, match=r"cannot write .*taken/file\.csv: .*check the free space"),
        part_of(tmp_path / "taken" / "file.csv"),
    ):
        pass
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*folder: "), part_of(tmp_path / "folder") as part:
        part.become(tmp_path / "folder")
    assert files_below(tmp_path) == {"taken"}


def test_free_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_free_space(tmp_path / "file", 1)
    with pytest.raises(UserError, match=r"file takes 1000000000000000000 more bytes.*set `downloads_dir`"):
        check_free_space(tmp_path / "file", 10**18)
